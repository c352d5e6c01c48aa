//! The core's mirror of the host's interfaces, by kernel index and by name.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::debounce::Debounce;
use super::interface::{Interface, Link};

/// All interfaces of the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    interfaces: BTreeMap<u32, Interface>,
    names: HashMap<String, u32>,
    pub(super) debounce: Debounce,
}

impl Facts {
    pub(super) fn new(interfaces: Vec<Interface>) -> Self {
        let names = interfaces.iter().map(|i| (i.link.name.clone(), i.link.index)).collect();
        let interfaces = interfaces.into_iter().map(|i| (i.link.index, i)).collect();
        Self { interfaces, names, debounce: Debounce::default() }
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
        if self.names.get(&gone.link.name) == Some(&index) {
            self.names.remove(&gone.link.name);
        }
        Some(gone)
    }

    /// Notes an address. Says whether it was new.
    pub(super) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let Some(interface) = self.interfaces.get_mut(&index) else { return false };
        let is_new = !interface.addresses.contains(&(address, prefix));
        if is_new {
            interface.addresses.push((address, prefix));
        }
        is_new
    }

    /// Forgets an address. Says whether it was known.
    pub(super) fn delete_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let Some(interface) = self.interfaces.get_mut(&index) else { return false };
        let before = interface.addresses.len();
        interface.addresses.retain(|known| *known != (address, prefix));
        interface.addresses.len() < before
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
