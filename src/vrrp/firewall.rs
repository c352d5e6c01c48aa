//! What the firewall must hold: the addresses of masters that do not accept packets to them, and what keeps the reports
//! of VMACs from leaving with the virtual MAC (spec/vrrp-behaviour.md §10). Recomputed as a whole; the driver applies
//! the difference.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::links::LinkStanding;
use super::owned::addresses;
use super::router::{Phase, Router};
use super::snapshot::VrrpState;
use super::urgent::Release;
use crate::config::model::{Instance, VipRepair, VirtualLinkKind};
use crate::time::Time;

/// One nftables table for each family, of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Name of the tables.
    pub table: String,
    /// Priority of the base chains.
    pub priority: i32,
    /// Counters in the rules.
    pub counters: bool,
    /// The `ip` table.
    pub v4: TableV4,
    /// The `ip6` table.
    pub v6: TableV6,
}

/// Contents of the `ip` table; absent parts have no objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableV4 {
    /// VMACs and the interfaces below, by index: IGMP reports leave there.
    pub vmacs: BTreeSet<(u32, u32)>,
    /// Addresses to which packets are dropped; `None` before any instance needed it.
    pub vips: Option<BTreeSet<Ipv4Addr>>,
}

/// Contents of the `ip6` table; absent parts have no objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableV6 {
    /// VMACs and the interfaces below, by index: MLD reports leave there.
    pub vmacs: BTreeSet<(u32, u32)>,
    /// Link-local addresses that a VMAC has in common with the interface below: it must not advertise them.
    pub shared: BTreeSet<(Ipv6Addr, u32)>,
    /// Addresses to which packets are dropped; `None` before any instance needed it.
    pub vips: Option<BTreeSet<Ipv6Addr>>,
    /// Link-local ones, with their interface; `None` before any instance needed it.
    pub link_local: Option<BTreeSet<(Ipv6Addr, u32)>>,
}

impl TableV4 {
    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.vmacs.is_empty() && self.vips.is_none()
    }
}

impl TableV6 {
    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.vmacs.is_empty() && self.vips.is_none()
    }
}

/// What the core remembers of the firewall.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Firewall {
    /// What the driver was told last.
    told: Option<Ruleset>,
    /// When it was put back, the last few times.
    repairs: Vec<Time>,
    /// Somebody else changes it again and again: put back then.
    resting: Option<Time>,
}

/// It is put back so often in that time, then left alone for it.
const REPAIRS: usize = 3;
const QUARREL: std::time::Duration = std::time::Duration::from_secs(10);

impl Firewall {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.resting
    }
}

/// Can it need something there?
pub(super) fn needs_firewall(instance: &Instance) -> bool {
    instance.is_shielded() || instance.links.iter().next().is_some()
}

impl Router {
    /// The same, if what was done since `begin` can have changed it.
    pub(super) fn follow_firewall(&mut self, begin: usize, out: &mut Actions) {
        let matters = |action: &Action| {
            matches!(action, Action::Transition(_) | Action::Add { .. } | Action::Remove { .. })
        };
        if self.links.take_changed() || out[begin.min(out.len())..].iter().any(matters) {
            self.update_firewall(out);
        }
    }

    /// Tells the driver what the firewall must hold, if that changed.
    pub(super) fn update_firewall(&mut self, out: &mut Actions) {
        if !self.index.needs_firewall && self.firewall.told.is_none() {
            return;
        }
        if matches!(self.phase, Phase::Waiting | Phase::Stopped) {
            return;
        }
        let wanted = self.ruleset();
        if wanted != self.firewall.told {
            self.firewall.told.clone_from(&wanted);
            out.push(Action::Firewall(wanted.map(Box::new)));
        }
    }

    /// Somebody else changed our tables.
    pub(super) fn firewall_touched(&mut self, by: Option<&str>, now: Time, out: &mut Actions) {
        if self.firewall.told.is_none() || !self.is_started() || self.firewall.resting.is_some() {
            return;
        }
        // Stock does not notice. The objects serve all instances together.
        if self.part.instances.iter().all(|instance| instance.vip_repair == VipRepair::Stock) {
            return;
        }
        let who = by.map_or_else(|| "somebody else".to_owned(), |name| format!("`{name}`"));
        self.firewall.repairs.retain(|at| now.since(*at) < QUARREL);
        let text = if self.firewall.repairs.len() < REPAIRS {
            self.firewall.repairs.push(now);
            out.push(Action::Firewall(self.firewall.told.clone().map(Box::new)));
            format!("The firewall objects were changed by {who}: putting them back")
        } else {
            self.firewall.resting = Some(now + QUARREL);
            let seconds = QUARREL.as_secs();
            format!("The firewall objects are changed again and again by {who}: waiting {seconds} s")
        };
        out.push(Action::Log { detail: Detail::Normal, text });
    }

    /// Puts the firewall back after a rest.
    pub(super) fn tend_firewall(&mut self, now: Time, out: &mut Actions) {
        if self.firewall.resting.is_some_and(|until| until <= now) {
            self.firewall.resting = None;
            out.push(Action::Firewall(self.firewall.told.clone().map(Box::new)));
        }
    }

    /// At a stop.
    pub(super) fn remove_firewall(&mut self, release: Release, out: &mut Actions) {
        if release != Release::Nothing && self.firewall.told.take().is_some() {
            out.push(Action::Firewall(None));
        }
    }

    /// Stock: sets and chains stay when their last element goes.
    fn ruleset(&self) -> Option<Ruleset> {
        let settings = &self.part.global.nftables;
        let before = self.firewall.told.as_ref();
        let mut set = Ruleset {
            table: settings.table().to_owned(),
            priority: settings.priority,
            counters: settings.counters,
            v4: TableV4::default(),
            v6: TableV6::default(),
        };
        let shields = self.part.instances.iter().any(Instance::is_shielded);
        if let Some(before) = before.filter(|_| shields) {
            set.v4.vips = before.v4.vips.as_ref().map(|_| BTreeSet::new());
            set.v6.vips = before.v6.vips.as_ref().map(|_| BTreeSet::new());
            set.v6.link_local = before.v6.link_local.as_ref().map(|_| BTreeSet::new());
        }
        let index = |name: &str| self.facts.by_name(name).map(|interface| interface.link.index);
        for (instance, run) in self.part.instances.iter().zip(&self.runs) {
            for link in instance.links.iter() {
                let is_vmac = matches!(link.kind, VirtualLinkKind::Vmac { .. });
                // Before it is up: its first reports must not leave with its own address.
                let is_there = self.links.standing(&link.name) != LinkStanding::Missing;
                let (Some(own), Some(base), true) =
                    (index(&link.name), index(&link.base), is_vmac && is_there)
                else {
                    continue;
                };
                if link.ipv4 {
                    set.v4.vmacs.insert((own, base));
                }
                if link.ipv6 {
                    set.v6.vmacs.insert((own, base));
                }
                for shared in run.shared.iter().filter(|shared| shared.interface == link.name) {
                    if let IpAddr::V6(shared) = shared.address {
                        set.v6.shared.insert((shared, own));
                    }
                }
            }
            if !instance.is_shielded() || run.state != VrrpState::Master {
                continue;
            }
            for vip in addresses(instance) {
                match vip.address {
                    IpAddr::V4(v4) => drop(set.v4.vips.get_or_insert_default().insert(v4)),
                    IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                        set.v6.vips.get_or_insert_default();
                        let places = set.v6.link_local.get_or_insert_default();
                        places.extend(index(&vip.interface).map(|index| (v6, index)));
                    }
                    IpAddr::V6(v6) => drop(set.v6.vips.get_or_insert_default().insert(v6)),
                }
            }
        }
        (!set.v4.is_empty() || !set.v6.is_empty()).then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::Event;
    use crate::vrrp::tests::samples::*;

    fn told(out: &[Action]) -> Vec<Option<Ruleset>> {
        out.iter()
            .filter_map(|action| match action {
                Action::Firewall(set) => Some(set.as_deref().cloned()),
                _ => None,
            })
            .collect()
    }

    fn shielded(priority: u8) -> Instance {
        Instance { accept: false, ..instance("V", 1, priority) }
    }

    #[test]
    fn a_master_that_does_not_accept_shields_its_addresses_and_one_that_leaves_keeps_the_empty_set() {
        let (mut bench, out) = Bench::start(&part(&[shielded(150)]));
        assert!(told(&out).is_empty(), "a BACKUP needs nothing");
        let out = bench.wait(4.0);
        let vips = |set: &Option<Ruleset>| set.as_ref().unwrap().v4.vips.clone().unwrap();
        assert_eq!(vips(&told(&out)[0]), BTreeSet::from([Ipv4Addr::new(10, 0, 0, 101)]));
        let out = bench.hear("10.0.0.2", 200);
        assert_eq!(vips(&told(&out)[0]), BTreeSet::new());
        let mut out = Vec::new();
        bench.router.stop(bench.now, Release::Ours, &mut out);
        assert_eq!(told(&out), [None]);
    }

    #[test]
    fn an_owner_accepts_always() {
        let (mut bench, mut out) = Bench::start(&part(&[shielded(255)]));
        out.extend(bench.wait(2.0));
        assert!(told(&out).is_empty());
    }

    #[test]
    fn what_somebody_else_changes_is_put_back_three_times_in_ten_seconds() {
        let (mut bench, _) = Bench::start(&part(&[shielded(150)]));
        bench.wait(4.0);
        for _ in 0..3 {
            let out = bench.event(Event::FirewallTouched { by: Some("nft".into()) });
            assert_eq!(told(&out).len(), 1);
        }
        let out = bench.event(Event::FirewallTouched { by: Some("nft".into()) });
        assert!(told(&out).is_empty());
        assert!(logs(&out)[0].contains("again and again by `nft`"), "{:?}", logs(&out));
        assert_eq!(told(&bench.wait(10.5)).len(), 1);
    }
}
