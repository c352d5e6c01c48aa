//! The bench of most VRRP cases: hosts a (10.0.0.1) and b (10.0.0.2) on one switch, a sniffer and address monitors.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::case::Lab;
use crate::kit::addresses::AddressMonitor;
use crate::kit::daemon::Daemon;
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, Stamp, secs, until};
use crate::kit::wire::{Advert, Sniffer};

/// The address the pair shares.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The first host: runs the subject.
pub(crate) const A: usize = 0;
/// The second host: runs the peer.
pub(crate) const B: usize = 1;

/// Skew time of version 2 in seconds; for version 3 multiply by the interval.
pub(crate) fn skew(priority: u8) -> f64 {
    (256.0 - f64::from(priority)) / 256.0
}

/// One instance `VI_1` on eth0 with VRID 51 and the shared address; `more` goes into the instance.
pub(crate) fn config(priority: u8, more: &str) -> String {
    let interval = if more.contains("advert_int") { "" } else { "advert_int 1" };
    format!(
        "global_defs {{\n    router_id lab\n    script_user root\n}}\n\n{}",
        instance(
            "VI_1",
            51,
            "eth0",
            priority,
            &format!("{interval}\nvirtual_ipaddress {{\n {VIP}\n}}\n{more}")
        )
    )
}

/// A `vrrp_instance` block.
pub(crate) fn instance(name: &str, vrid: u8, interface: &str, priority: u8, more: &str) -> String {
    let more = more.replace('\n', "\n    ");
    format!(
        "vrrp_instance {name} {{\n    interface {interface}\n    virtual_router_id {vrid}\n    priority {priority}\n    \
         {more}\n}}\n"
    )
}

/// Two hosts, two daemons. The daemons are declared first: they end before their hosts do.
pub(crate) struct Pair {
    pub(crate) a: Daemon,
    pub(crate) b: Daemon,
    pub(crate) wire: Sniffer,
    pub(crate) monitors: [AddressMonitor; 2],
    pub(crate) hosts: [Host; 2],
    pub(crate) switch: Switch,
    /// When the daemons were about to be started.
    pub(crate) born: Stamp,
}

impl Pair {
    /// Everything laid out, nothing started.
    pub(crate) fn new(lab: &Lab, config_a: &str, config_b: &str) -> Outcome<Self> {
        let switch = Switch::new()?;
        let hosts = [Host::on(&switch, "a", &["10.0.0.1/24"])?, Host::on(&switch, "b", &["10.0.0.2/24"])?];
        let wire = Sniffer::on(&switch, &[&hosts[A], &hosts[B]])?;
        let monitors = [AddressMonitor::on(&hosts[A])?, AddressMonitor::on(&hosts[B])?];
        let a = Daemon::new(&lab.subject, &hosts[A], &lab.directory, config_a)?;
        let b = Daemon::new(&lab.peer, &hosts[B], &lab.directory, config_b)?;
        Ok(Self { a, b, wire, monitors, hosts, switch, born: Stamp::now() })
    }

    /// Both started, a first.
    pub(crate) fn started(lab: &Lab, config_a: &str, config_b: &str) -> Outcome<Self> {
        let mut pair = Self::new(lab, config_a, config_b)?;
        pair.start_a(&[])?;
        // Otherwise b may be the earlier one on a busy machine.
        pair.a.wait_log("(VI_1) Entering", secs(5.0))?;
        pair.start_b(&[])?;
        Ok(pair)
    }

    /// Only a runs.
    pub(crate) fn only_a(lab: &Lab, config_a: &str) -> Outcome<Self> {
        let mut pair = Self::new(lab, config_a, "")?;
        pair.start_a(&[])?;
        Ok(pair)
    }

    /// Both run, a is master and has the address, b is ready and quiet.
    pub(crate) fn elected(lab: &Lab, config_a: &str, config_b: &str) -> Outcome<Self> {
        let pair = Self::started(lab, config_a, config_b)?;
        pair.wait_master(A, pair.born, secs(8.0))?;
        pair.wait_vip(A, secs(2.0))?;
        pair.b.wait_log("Entering BACKUP STATE", secs(5.0))?;
        Ok(pair)
    }

    pub(crate) fn start_a(&mut self, options: &[&str]) -> Outcome<Stamp> {
        self.a.start(&self.hosts[A], options)
    }

    pub(crate) fn start_b(&mut self, options: &[&str]) -> Outcome<Stamp> {
        self.b.start(&self.hosts[B], options)
    }

    /// The first advert of that host at or after `since` whose priority is not 0.
    pub(crate) fn wait_master(&self, who: usize, since: Stamp, limit: Duration) -> Outcome<Advert> {
        let name = &self.hosts[who].name;
        let daemon = if who == A { &self.a } else { &self.b };
        self.wire
            .wait_advert(&format!("an advert of {name}"), since, limit, |advert| {
                advert.from == *name && advert.priority != 0
            })
            .map_err(|e| daemon.explain(e))
    }

    pub(crate) fn has_vip(&self, who: usize) -> bool {
        self.hosts[who].has(VIP)
    }

    pub(crate) fn wait_vip(&self, who: usize, limit: Duration) -> Outcome {
        let name = &self.hosts[who].name;
        until(limit, format!("{name} to have {VIP}"), || self.has_vip(who).then_some(()))
            .map_err(|e| if who == A { self.a.explain(e) } else { self.b.explain(e) })
    }
}
