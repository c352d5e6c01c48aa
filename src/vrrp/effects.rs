//! What an instance puts on its interfaces and on the wire: addresses, adverts, gratuitous ARPs.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::event::{Action, Actions, Detail};
use super::instance::{Machine, Rogue};
use super::owned::{Owned, Owner, addresses, objects};
use super::packet::{Advert, Checksum};
use super::snapshot::VrrpState;
use super::{ah, checksum, ip, trailer};
use crate::config::model::{
    Auth, HmacMode, Instance, Transport, UnicastChecksum, VirtualAddress, VrrpVersion,
};

/// The kinds of objects that an instance has, in the order in which they are added.
fn kinds(config: &Instance) -> Vec<&'static str> {
    let kinds = [
        (true, "VIPs."),
        (!config.excluded.is_empty(), "E-VIPs."),
        (!config.routes.is_empty(), "Virtual Routes"),
        (!config.rules.is_empty(), "Virtual Rules"),
    ];
    kinds.into_iter().filter(|(has_any, _)| *has_any).map(|(_, kind)| kind).collect()
}

/// In the order in which they are removed: rules, routes, addresses.
pub(super) fn log_removing(config: &Instance, out: &mut Actions) {
    let mut kinds = kinds(config);
    let addresses = 1 + usize::from(!config.excluded.is_empty());
    kinds[addresses..].reverse();
    kinds.rotate_left(addresses);
    for kind in kinds {
        let text = format!("({}) removing {kind}", config.name);
        out.push(Action::Log { detail: Detail::Detail, text });
    }
}

impl Machine<'_> {
    /// Puts into the kernel what is not there yet: addresses, routes, rules.
    pub(super) fn add_objects(&mut self) {
        self.log_setting();
        self.add_missing();
    }

    /// The same without a word; says whether there was an address among it.
    pub(super) fn add_missing(&mut self) -> bool {
        let missing = self.run.held.claim(objects(self.config));
        let has_address = missing.iter().any(|object| matches!(object, Owned::Address(_)));
        if !missing.is_empty() {
            self.out.push(Action::Add { owner: Owner::Instance(self.index), objects: missing });
        }
        has_address
    }

    /// Puts back what is missing of a MASTER's objects and announces what addresses there are among them.
    pub(super) fn mend(&mut self) {
        if self.run.state != VrrpState::Master {
            return;
        }
        let missing = self.run.held.claim(objects(self.config));
        let addresses: Vec<VirtualAddress> = missing
            .iter()
            .filter_map(|object| match object {
                Owned::Address(address) => Some(address.clone()),
                Owned::Route(_) | Owned::Rule(_) => None,
            })
            .collect();
        if !missing.is_empty() {
            self.out.push(Action::Add { owner: Owner::Instance(self.index), objects: missing });
        }
        self.announce_these(addresses.iter(), self.config.garp.repeat);
    }

    /// Takes out what we have put there: rules, routes, addresses.
    pub(super) fn remove_objects(&mut self) {
        let ours = self.run.held.release(objects(self.config));
        if self.detail >= Detail::Detail {
            log_removing(self.config, self.out);
        }
        if !ours.is_empty() {
            self.out.push(Action::Remove { owner: Owner::Instance(self.index), objects: ours });
        }
    }

    pub(super) fn log_setting(&mut self) {
        for kind in kinds(self.config) {
            self.log(Detail::Detail, format_args!("setting {kind}"));
        }
    }

    /// The burst after an advert of lower priority, also for the other members of the group.
    pub(super) fn announce_lower_priority(&mut self) {
        let copies = self.run.announce.lower_priority(&self.config.garp, self.now);
        self.announce(copies);
    }

    /// Sends (or queues) `copies` rounds of all addresses.
    pub(super) fn announce(&mut self, copies: u32) {
        self.announce_these(addresses(self.config), copies);
    }

    /// The same of some.
    pub(super) fn announce_these<'b>(
        &mut self,
        addresses: impl Iterator<Item = &'b VirtualAddress>,
        copies: u32,
    ) {
        if copies == 0 {
            return;
        }
        let facts = self.facts;
        let mut targets = Vec::with_capacity(addresses.size_hint().0);
        // One action for all lines: an advert waits in the same vector.
        let mut text = String::new();
        for address in addresses {
            let Some(interface) = facts.by_name(&address.interface).filter(|i| i.link.has_arp()) else {
                continue;
            };
            targets.push((interface.link.index, address.address));
            if self.detail < Detail::Detail {
                continue;
            }
            let what =
                if address.address.is_ipv4() { "gratuitous ARPs" } else { "Unsolicited Neighbour Adverts" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "({}) Sending/queueing {what} on {} for {}",
                self.config.name, address.interface, address.address
            );
        }
        if !text.is_empty() {
            self.out.push(Action::Log { detail: Detail::Detail, text });
        }
        if !targets.is_empty() {
            self.pacer.burst(self.facts, self.index, &targets, copies, self.now, self.out);
        }
    }

    /// Announces one address on each interface of addresses that is not the instance's, so that switches do not forget
    /// its hardware address: nothing else is sent there. Only on VMACs, unless `all` is configured.
    pub(super) fn announce_extra(&mut self) {
        let (config, facts) = (self.config, self.facts);
        let mut seen: Vec<&str> = Vec::new();
        let mut targets = Vec::new();
        for address in addresses(config) {
            let name = address.interface.as_str();
            let is_own = Some(name) == config.shown_interface() || Some(name) == config.interface.as_deref();
            let is_vmac = config.links.of_addresses.iter().any(|link| link.name == name);
            if is_own || seen.contains(&name) || !(is_vmac || config.garp.extra.all) {
                continue;
            }
            seen.push(name);
            let interface = facts.by_name(name).filter(|interface| interface.link.has_arp());
            targets.extend(interface.map(|interface| (interface.link.index, address.address)));
        }
        self.pacer.burst(self.facts, self.index, &targets, 1, self.now, self.out);
    }

    /// Unicast, after a fault: the master must learn again where we are.
    pub(super) fn announce_source(&mut self) {
        let (Transport::Unicast { .. }, Some(source), Some(name)) =
            (&self.config.transport, self.run.source, &self.config.interface)
        else {
            return;
        };
        if let Some(interface) = self.facts.by_name(name).filter(|i| i.link.has_arp()) {
            let targets = vec![(interface.link.index, source)];
            self.out.push(Action::Announce { targets, copies: 1 });
        }
    }

    /// Sends the advert of a MASTER outside its rhythm and starts the rhythm anew.
    pub(super) fn advertise_now(&mut self) {
        self.advertise();
        self.run.timer = Some(self.now + self.config.advert_int.duration());
    }

    pub(super) fn advertise(&mut self) {
        if let Rogue::Told { adverts, interval } = self.run.rogue {
            self.run.rogue = match adverts {
                0 | 1 => Rogue::Watched { until: self.now + interval.duration() * 6 / 5 },
                more => Rogue::Told { adverts: more - 1, interval },
            };
        }
        self.send_advert(self.run.effective);
    }

    /// Steps down aloud.
    pub(super) fn send_zero(&mut self) {
        self.send_advert(0);
        self.log(Detail::Detail, format_args!("sent 0 priority"));
    }

    pub(super) fn send_advert(&mut self, priority: u8) {
        let Some(source) = self.run.source else { return };
        self.run.counters.advert_sent += 1;
        if priority == 0 {
            self.run.counters.pri_zero_sent += 1;
        }
        self.run.last_advert = Some(self.now);
        let id = self.run.ids.advance();
        let seal = self.seal(priority, source);
        match &self.config.transport {
            Transport::Multicast { group } => self.send_to(priority, id, seal, (source, *group), Some(255)),
            Transport::Unicast { peers, ttl, .. } => {
                for peer in peers {
                    let ttl = ttl.or(peer.address.is_ipv4().then_some(255));
                    self.send_to(priority, id, seal, (source, peer.address), ttl);
                }
            }
        }
    }

    /// What authenticates one advert; all unicast copies share it.
    fn seal(&mut self, priority: u8, source: IpAddr) -> Seal {
        let config = self.config;
        match &config.auth {
            Auth::None | Auth::Pass(_) => Seal::None,
            Auth::Ah(_) => Seal::Ah(self.run.ah.advance()),
            Auth::Hmac(hmac) if hmac.mode == HmacMode::ReceiveOnly => Seal::None,
            Auth::Hmac(hmac) => {
                let Some(key) = hmac.key(hmac.active) else { return Seal::None };
                let mut pdu = Vec::with_capacity(self.room());
                self.advert(priority).encode(Checksum::Kernel, &mut pdu);
                let clock = self.clock_sequence();
                let sequence = self.run.marks.advance(hmac.anti_replay, clock);
                Seal::Trailer(trailer::sign(key, source, &pdu, sequence))
            }
        }
    }

    fn advert(&self, priority: u8) -> Advert<'_> {
        let config = self.config;
        Advert {
            version: config.version,
            vrid: config.vrid.get(),
            priority,
            interval: config.advert_int,
            auth: &config.auth,
            addresses: &self.fixed.addresses,
            family: config.family,
        }
    }

    /// More bytes than an advert has, whatever its seal.
    fn room(&self) -> usize {
        ip::HEADER + 64 + 16 * self.fixed.addresses.len()
    }

    /// The group that the version 3 checksum of unicast is made with, where it is the old one.
    pub(super) fn old_group(&self) -> Option<Ipv4Addr> {
        let is_old = match self.config.transport {
            Transport::Unicast { checksum: UnicastChecksum::Old, .. } => true,
            _ => self.run.old_checksum,
        };
        self.fixed.old_group.filter(|_| is_old)
    }

    fn send_to(
        &mut self,
        priority: u8,
        id: u16,
        seal: Seal,
        (source, destination): (IpAddr, IpAddr),
        ttl: Option<u8>,
    ) {
        let config = self.config;
        let advert = self.advert(priority);
        let mut packet = Vec::with_capacity(self.room());
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) {
            let (protocol, before) = match seal {
                Seal::Ah(_) => (ah::PROTOCOL, ip::HEADER + ah::HEADER),
                Seal::None | Seal::Trailer(_) => (checksum::PROTOCOL, ip::HEADER),
            };
            packet.resize(before, 0);
            let checksum = match config.version {
                VrrpVersion::V3 if !config.v3_checksum_as_v2 => {
                    Checksum::Pseudo { source, destination: self.old_group().unwrap_or(destination) }
                }
                VrrpVersion::V2 | VrrpVersion::V3 => Checksum::Plain,
            };
            advert.encode(checksum, &mut packet);
            seal.append(&mut packet);
            let payload = packet.len() - ip::HEADER;
            let ttl = ttl.unwrap_or(255);
            let header = ip::header(protocol, payload, id, ttl, (source, destination));
            packet[..ip::HEADER].copy_from_slice(&header);
            if let (Seal::Ah(sequence), Auth::Ah(key)) = (seal, &config.auth) {
                ah::seal(&mut packet, sequence, *key);
            }
        } else {
            advert.encode(Checksum::Kernel, &mut packet);
            seal.append(&mut packet);
        }
        let index = match config.advert_interface() {
            None => 0,
            Some(name) => {
                // Without its interface the packet would go where the routes lead.
                let Some(interface) = self.facts.by_name(name) else { return };
                interface.link.index
            }
        };
        self.out.push(Action::SendAdvert { instance: self.index, index, source, destination, ttl, packet });
    }
}

/// What proves who made an advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// Nothing, or a password inside.
    None,
    /// An authentication header with this sequence number.
    Ah(u32),
    /// A trailer.
    Trailer([u8; trailer::LENGTH]),
}

impl Seal {
    fn append(&self, packet: &mut Vec<u8>) {
        if let Self::Trailer(trailer) = self {
            packet.extend(trailer);
        }
    }
}
