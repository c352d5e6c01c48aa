//! The core's mirror of the host's interfaces, by kernel index and by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::debounce::Debounce;
use super::interface::{Interface, Link};

/// All interfaces of the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    interfaces: BTreeMap<u32, Interface>,
    names: HashMap<String, u32>,
    #[serde(skip)]
    index: AddressIndex,
    pub(super) debounce: Debounce,
}

/// Interface index, address and prefix length of all addresses, so that thousands of them need no search each; made when
/// it is first needed.
#[derive(Debug, Clone, Default)]
struct AddressIndex(Option<HashSet<(u32, IpAddr, u8)>>);

/// It follows from the rest.
impl PartialEq for AddressIndex {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for AddressIndex {}

impl AddressIndex {
    fn of(&mut self, interfaces: &BTreeMap<u32, Interface>) -> &mut HashSet<(u32, IpAddr, u8)> {
        let all = || {
            let addresses = interfaces.iter().flat_map(|(index, interface)| {
                interface.addresses.iter().map(|(address, prefix)| (*index, *address, *prefix))
            });
            addresses.collect()
        };
        self.0.get_or_insert_with(all)
    }
}

impl Facts {
    pub(super) fn new(interfaces: Vec<Interface>) -> Self {
        let names = interfaces.iter().map(|i| (i.link.name.clone(), i.link.index)).collect();
        let interfaces = interfaces.into_iter().map(|i| (i.link.index, i)).collect();
        Self { interfaces, names, index: AddressIndex::default(), debounce: Debounce::default() }
    }

    /// Takes a new or changed link; its addresses stay. Returns what was known of this index before.
    pub(super) fn link(&mut self, link: Link) -> Option<Link> {
        let interface = self.interfaces.entry(link.index).or_default();
        let before = (interface.link.index != 0).then(|| interface.link.clone());
        if let Some(before) = before.as_ref().filter(|before| before.name != link.name) {
            self.names.remove(&before.name);
        }
        self.names.insert(link.name.clone(), link.index);
        interface.link = link;
        before
    }

    /// Forgets an interface; its addresses are gone with it.
    pub(super) fn delete(&mut self, index: u32) -> Option<Interface> {
        let gone = self.interfaces.remove(&index)?;
        self.index = AddressIndex::default();
        if self.names.get(&gone.link.name) == Some(&index) {
            self.names.remove(&gone.link.name);
        }
        Some(gone)
    }

    /// Notes an address. Says whether it was new.
    pub(super) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let is_new = self.interfaces.contains_key(&index)
            && self.index.of(&self.interfaces).insert((index, address, prefix));
        if is_new && let Some(interface) = self.interfaces.get_mut(&index) {
            interface.addresses.push((address, prefix));
        }
        is_new
    }

    /// Forgets an address. Says whether it was known.
    pub(super) fn delete_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let was_known = self.index.of(&self.interfaces).remove(&(index, address, prefix));
        if was_known && let Some(interface) = self.interfaces.get_mut(&index) {
            let place = interface.addresses.iter().position(|known| *known == (address, prefix));
            place.map(|place| interface.addresses.remove(place));
        }
        was_known
    }

    /// Gives back what is made again when it is needed.
    pub(super) fn rest(&mut self) {
        self.index = AddressIndex::default();
    }

    pub(super) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.interfaces.get(&index)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(self.names.get(name)?)
    }

    /// Exists, up, with carrier, as far as its delays let that count.
    pub(super) fn is_up(&self, name: &str) -> bool {
        let held = self.debounce.held(name);
        self.by_name(name).is_some_and(|interface| held.unwrap_or_else(|| interface.link.is_up()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_once_and_go_with_their_interface() {
        let link = |index| Link { index, name: format!("eth{index}"), ..Link::default() };
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let with = |index, addresses| Interface { link: link(index), addresses };
        let mut facts = Facts::new(vec![with(1, vec![(address(1), 24)]), with(2, Vec::new())]);
        assert!(!facts.add_address(1, address(1), 24), "known from the beginning");
        assert!(facts.add_address(1, address(1), 32) && facts.add_address(2, address(1), 24));
        assert!(!facts.add_address(3, address(1), 24), "no such interface");
        assert!(facts.delete_address(1, address(1), 24) && !facts.delete_address(1, address(1), 24));
        assert_eq!(facts.by_index(1).unwrap().addresses, [(address(1), 32)]);
        // What is written down and read back does not know less.
        let mut successor: Facts = postcard::from_bytes(&postcard::to_stdvec(&facts).unwrap()).unwrap();
        assert_eq!(successor, facts);
        assert!(!successor.add_address(1, address(1), 32));
        facts.delete(1);
        facts.link(link(1));
        assert!(facts.add_address(1, address(1), 32), "another interface of the same number");
    }
}
