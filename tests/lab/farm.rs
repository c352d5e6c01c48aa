//! The bench of LVS cases: a director, some real servers and a client. On one network for DR and TUN, the real servers behind
//! the director for NAT.

use std::net::Ipv4Addr;

use crate::case::Lab;
use crate::kit::daemon::Daemon;
use crate::kit::http::Server;
use crate::kit::ipvs::wait_table;
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, secs};
use crate::kit::wire::Sniffer;

/// The address of the service on the clients' network.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);

/// The hosts. The daemon is declared first: it ends before they do.
pub(crate) struct Farm {
    pub(crate) daemon: Daemon,
    pub(crate) director: Host,
    /// r1 (10.0.0.11), r2 (10.0.0.12) …
    pub(crate) reals: Vec<Host>,
    pub(crate) client: Host,
    /// The real servers' network (10.0.0.0/24; the director is .1).
    inner: Switch,
    /// The clients' network (10.9.0.0/24; the director is .1, the client .10).
    _outer: Switch,
}

impl Farm {
    /// Everything laid out and not started: real servers behind the director, which forwards.
    pub(crate) fn new(lab: &Lab, reals: u8, config: &str) -> Outcome<Self> {
        let (inner, outer) = (Switch::new()?, Switch::new()?);
        let director = Host::on(&inner, "d", &["10.0.0.1/24"])?;
        director.plug(&outer, &["10.9.0.1/24", &format!("{SERVICE}/32")])?;
        director.space.sysctl("net.ipv4.ip_forward", "1")?;
        let client = Host::on(&outer, "c", &["10.9.0.10/24"])?;
        client.space.ip("route add default via 10.9.0.1")?;
        let mut hosts = Vec::new();
        for number in 1..=reals {
            let host = Host::on(&inner, &format!("r{number}"), &[&format!("10.0.0.{}/24", 10 + number)])?;
            host.space.ip("route add default via 10.0.0.1")?;
            hosts.push(host);
        }
        let daemon = Daemon::new(&lab.subject, &director, &lab.directory, config)?;
        Ok(Self { daemon, director, reals: hosts, client, inner, _outer: outer })
    }

    /// A web server on port 80 of every real server, each answering with its host's name.
    pub(crate) fn servers(&self) -> Outcome<Vec<Server>> {
        self.reals.iter().map(|real| Server::named(real, 80)).collect()
    }

    /// Another host on the real servers' network: for another daemon.
    pub(crate) fn beside(&self, name: &str, address: &str) -> Outcome<Host> {
        Host::on(&self.inner, name, &[&format!("{address}/24")])
    }

    /// Records frames of the real servers' network that `keep` wants, of the director, of the real servers and of `more`.
    pub(crate) fn record(&self, more: &[&Host], keep: fn(&[u8]) -> bool) -> Outcome<Sniffer> {
        let hosts: Vec<&Host> =
            std::iter::once(&self.director).chain(&self.reals).chain(more.iter().copied()).collect();
        Sniffer::keeping(&self.inner, &hosts, keep)
    }

    pub(crate) fn start(&mut self) -> Outcome {
        self.daemon.start(&self.director, &[]).map(drop)
    }

    /// Waits until the table is just this.
    pub(crate) fn table(&self, wanted: &[&str], seconds: f64) -> Outcome {
        wait_table(&self.director, wanted, secs(seconds)).map_err(|e| self.daemon.explain(e))
    }

    /// Lets the real servers take packets for the address as DR (and TUN) want it: on `interface`, without answering ARP, and
    /// with a way to the client that does not lead through the director.
    pub(crate) fn take_in(&self, interface: &str) -> Outcome {
        self.client.plug(&self.inner, &["10.0.0.10/24"])?;
        self.client.space.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        for real in &self.reals {
            for (name, value) in [("arp_ignore", "1"), ("arp_announce", "2"), ("rp_filter", "0")] {
                real.space.sysctl(&format!("net.ipv4.conf.all.{name}"), value)?;
                real.space.sysctl(&format!("net.ipv4.conf.{interface}.{name}"), value)?;
            }
            real.space.ip(&format!(
                "link set {interface} up\naddress add {SERVICE}/32 dev {interface}\nroute add 10.9.0.10 via 10.0.0.10"
            ))?;
        }
        Ok(())
    }
}

/// A `virtual_server` block.
pub(crate) fn service(head: &str, words: &str, reals: &[&str]) -> String {
    format!("virtual_server {head} {{\n{words}\n{}\n}}\n", reals.join("\n"))
}

/// A `real_server` block; the first is 10.0.0.11.
pub(crate) fn real(number: u8, port: u16, words: &str) -> String {
    format!("    real_server 10.0.0.{} {port} {{\n{words}\n    }}", 10 + number)
}

/// A TCP check that is quick for a test: a second between attempts, no random start.
pub(crate) const TCP_CHECK: &str =
    "TCP_CHECK {\n connect_timeout 2\n delay_loop 1\n delay_before_retry 1\n retry 1\n warmup 0\n}";
