//! What an instance puts on its interfaces and on the wire: addresses, adverts, gratuitous ARPs.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::event::{Action, Detail};
use super::instance::{Machine, Rogue};
use super::ip;
use super::owned::{Owner, addresses, objects};
use super::packet::{Advert, Checksum};
use crate::config::model::{Transport, VrrpVersion};

impl Machine<'_> {
    /// Puts into the kernel what is not there yet: addresses, routes, rules.
    pub(super) fn add_objects(&mut self) {
        let missing = self.run.held.claim(objects(self.config));
        self.log_kinds("setting");
        if !missing.is_empty() {
            self.out.push(Action::Add { owner: Owner::Instance(self.index), objects: missing });
        }
    }

    /// Takes out what we have put there: rules, routes, addresses.
    pub(super) fn remove_objects(&mut self) {
        let ours = self.run.held.release(objects(self.config));
        self.log_kinds("removing");
        if !ours.is_empty() {
            self.out.push(Action::Remove { owner: Owner::Instance(self.index), objects: ours });
        }
    }

    fn log_kinds(&mut self, verb: &str) {
        let kinds = [
            (true, "VIPs."),
            (!self.config.excluded.is_empty(), "E-VIPs."),
            (!self.config.routes.is_empty(), "Virtual Routes"),
            (!self.config.rules.is_empty(), "Virtual Rules"),
        ];
        for (_, kind) in kinds.into_iter().filter(|(has_any, _)| *has_any) {
            self.log(Detail::Detail, format_args!("{verb} {kind}"));
        }
    }

    /// The burst after an advert of lower priority, also for the other members of the group.
    pub(super) fn announce_lower_priority(&mut self) {
        let copies = self.run.announce.lower_priority(&self.config.garp, self.now);
        self.announce(copies);
    }

    /// Sends (or queues) `copies` rounds of all addresses.
    pub(super) fn announce(&mut self, copies: u32) {
        if copies == 0 {
            return;
        }
        let facts = self.facts;
        let mut targets = Vec::new();
        // One action for all lines: an advert waits in the same vector.
        let mut text = String::new();
        for address in addresses(self.config) {
            let Some(interface) = facts.by_name(&address.interface).filter(|i| i.link.has_arp()) else {
                continue;
            };
            targets.push((interface.link.index, address.address));
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
        self.pacer.burst(self.index, &targets, copies, self.now, self.out);
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
        match &self.config.transport {
            Transport::Multicast { group } => self.send_to(priority, id, source, *group, Some(255)),
            Transport::Unicast { peers, ttl } => {
                for peer in peers {
                    let ttl = ttl.or(peer.address.is_ipv4().then_some(255));
                    self.send_to(priority, id, source, peer.address, ttl);
                }
            }
        }
    }

    pub(super) fn send_to(
        &mut self,
        priority: u8,
        id: u16,
        source: IpAddr,
        destination: IpAddr,
        ttl: Option<u8>,
    ) {
        let config = self.config;
        let advert = Advert {
            version: config.version,
            vrid: config.vrid.get(),
            priority,
            interval: config.advert_int,
            auth: &config.auth,
            addresses: &self.fixed.addresses,
            family: config.family,
        };
        let mut packet = Vec::with_capacity(ip::HEADER + 16 + 16 * self.fixed.addresses.len());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                packet.extend([0; ip::HEADER]);
                let old_group = self.fixed.old_group.filter(|_| self.run.old_checksum);
                let checksum = match config.version {
                    VrrpVersion::V3 if !config.v3_checksum_as_v2 => {
                        Checksum::Pseudo { source, destination: old_group.unwrap_or(destination) }
                    }
                    VrrpVersion::V2 | VrrpVersion::V3 => Checksum::Plain,
                };
                advert.encode(checksum, &mut packet);
                let payload = packet.len() - ip::HEADER;
                let header = ip::header(payload, id, ttl.unwrap_or(255), source, destination);
                packet[..ip::HEADER].copy_from_slice(&header);
            }
            _ => advert.encode(Checksum::Kernel, &mut packet),
        }
        let index = config.interface.as_deref().and_then(|name| self.facts.by_name(name));
        self.out.push(Action::SendAdvert {
            instance: self.index,
            index: index.map_or(0, |interface| interface.link.index),
            source,
            destination,
            ttl,
            packet,
        });
    }
}
