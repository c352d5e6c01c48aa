//! Two hosts that know nothing of each other, one with the subject, one with stock, under the same configuration: what stock makes
//! of it is the measure. Both have the same names and hardware addresses, so that what tools show of them can be compared as it is.

use serde_json::Value;

use crate::case::Lab;
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::kit::wire::Sniffer;

/// A host alone on its switch, with a daemon. The daemon is declared first: it ends before its host does.
pub(crate) struct Twin {
    pub(crate) daemon: Daemon,
    pub(crate) wire: Sniffer,
    pub(crate) host: Host,
    pub(crate) switch: Switch,
}

/// The subject's host and stock's, laid out and not started: eth0 with 10.0.0.1/24, `2001:db8::1/64` and a link-local address.
pub(crate) fn twins(lab: &Lab, config: &str) -> Outcome<[Twin; 2]> {
    let make = |program: &Program, folder: &str| -> Outcome<Twin> {
        let switch = Switch::new()?;
        let host = Host::on(&switch, "a", &[])?;
        host.space.ip("link set eth0 address 02:00:00:00:00:01")?;
        host.use_ipv6("eth0", "2001:db8::1/64")?;
        host.space.ip("address add 10.0.0.1/24 broadcast + dev eth0")?;
        let wire = Sniffer::on(&switch, &[&host])?;
        let daemon = Daemon::new(program, &host, &lab.directory.join(folder), config)?;
        Ok(Twin { daemon, wire, host, switch })
    };
    Ok([make(&lab.subject, "subject")?, make(&Program::stock(), "stock")?])
}

impl Twin {
    pub(crate) fn start(&mut self) -> Outcome {
        self.daemon.start(&self.host, &[]).map(drop)
    }

    /// The objects that `ip -j` shows, without what changes by itself (lifetimes, counters of seconds).
    pub(crate) fn shown(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        let text = self.host.space.run("ip", &[&["-d", "-N", "-j"], arguments].concat())?;
        // Nothing at all for an empty list.
        let text = if text.trim().is_empty() { "[]" } else { &text };
        let mut all: Vec<Value> = serde_json::from_str(text).map_err(|e| format!("{e}: {text}"))?;
        for object in &mut all {
            for name in ["expires", "ifindex", "link_index"] {
                object.as_object_mut().into_iter().for_each(|map| drop(map.remove(name)));
            }
        }
        Ok(all)
    }

    /// Routes of all tables and both families, in no order.
    pub(crate) fn routes(&self) -> Outcome<Vec<String>> {
        let mut routes = self
            .sorted(&[&["-4", "route", "show", "table", "all"], &["-6", "route", "show", "table", "all"]])?;
        // What every interface has, as soon as it is up for a while.
        routes.retain(|route| {
            !["fe80:", "ff00:", "multicast"].iter().any(|own| route.contains(&format!("\"dst\":\"{own}")))
        });
        Ok(routes)
    }

    /// Rules of both families.
    pub(crate) fn rules(&self) -> Outcome<Vec<String>> {
        self.sorted(&[&["-4", "rule", "show"], &["-6", "rule", "show"]])
    }

    /// A second interface eth1, up, with a hardware address that is known.
    pub(crate) fn add_eth1(&self) -> Outcome {
        self.host.space.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        self.host.space.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        self.host.space.ip(
            "link add eth1 address 02:00:00:00:00:02 type veth peer name far1\nlink set eth1 up\nlink set far1 up",
        )?;
        for name in ["eth1.accept_dad", "eth1.disable_ipv6"] {
            self.host.space.sysctl(&format!("net.ipv6.conf.{name}"), "0")?;
        }
        until(secs(5.0), "a link-local address", || {
            let shown = self.host.space.run("ip", &["-o", "-6", "address", "show", "dev", "eth1"]).ok()?;
            (shown.contains("fe80::") && !shown.contains("tentative")).then_some(())
        })
    }

    /// Links with all that is known of them but what differs by chance; then addresses and settings of each.
    pub(crate) fn links(&self) -> Outcome<Vec<String>> {
        let mut lines = Vec::new();
        for mut object in self.shown(&["address", "show"])? {
            let name = object["ifname"].as_str().unwrap_or_default().to_owned();
            // Tunnel modules that another case of the guest loads put their own devices into every namespace.
            if ["far1", "lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0"]
                .contains(&name.as_str())
            {
                continue;
            }
            for address in object["addr_info"].as_array().into_iter().flatten() {
                lines.push(format!("{name} has {address}"));
            }
            let map = object.as_object_mut().ok_or("no object")?;
            map.remove("addr_info");
            map.remove("link_netnsid");
            map.remove("gso_ipv4_max_size");
            lines.push(format!("{name} is {object}"));
            lines.extend(self.settings(&name)?);
        }
        lines.extend(self.settings("all")?);
        lines.sort();
        Ok(lines)
    }

    fn settings(&self, interface: &str) -> Outcome<Vec<String>> {
        let names = [
            (
                "ipv4",
                &[
                    "arp_ignore",
                    "arp_filter",
                    "accept_local",
                    "rp_filter",
                    "promote_secondaries",
                    "arp_announce",
                ][..],
            ),
            (
                "ipv6",
                &[
                    "disable_ipv6",
                    "accept_dad",
                    "addr_gen_mode",
                    "accept_ra",
                    "autoconf",
                    "router_solicitations",
                ],
            ),
        ];
        let all = names.iter().flat_map(|(family, names)| {
            names.iter().map(move |name| format!("/proc/sys/net/{family}/conf/{interface}/{name}"))
        });
        self.host.space.inside(|| {
            all.map(|path| {
                let value = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
                Ok(format!("{path} = {}", value.trim()))
            })
            .collect()
        })
    }

    /// Addresses of eth0 and eth1, without link-local ones: those of eth1 are made of a random hardware address.
    pub(crate) fn addresses(&self) -> Outcome<Vec<String>> {
        let mut lines = Vec::new();
        for object in self.shown(&["address", "show"])? {
            let name = object["ifname"].as_str().unwrap_or_default();
            if !name.starts_with("eth") {
                continue;
            }
            let list = object["addr_info"].as_array().cloned().unwrap_or_default();
            let ours = list
                .into_iter()
                .filter(|one| one["local"].as_str().is_none_or(|address| !address.starts_with("fe80:")));
            lines.extend(ours.map(|mut one| {
                // It counts down.
                let left = one["preferred_life_time"].as_u64().unwrap_or_default();
                if (990..1000).contains(&left) {
                    one["preferred_life_time"] = 1000.into();
                }
                format!("{name} {one}")
            }));
        }
        lines.sort();
        Ok(lines)
    }

    /// The states that instances entered so far, as the log tells: `(VI_1) Entering MASTER STATE`.
    pub(crate) fn states(&self) -> Vec<String> {
        let log = self.daemon.log().into_iter();
        log.filter_map(|line| {
            let (_, said) = line.text.split_once(": (")?;
            said.contains(") Entering ").then(|| format!("({said}"))
        })
        .collect()
    }

    fn sorted(&self, commands: &[&[&str]]) -> Outcome<Vec<String>> {
        let mut lines = Vec::new();
        for command in commands {
            lines.extend(self.shown(command)?.iter().map(ToString::to_string));
        }
        lines.sort();
        Ok(lines)
    }
}

/// Both show the same.
pub(crate) fn same(what: &str, subject: &[String], stock: &[String]) -> Outcome {
    let missing: Vec<_> = stock.iter().filter(|line| !subject.contains(line)).collect();
    let surplus: Vec<_> = subject.iter().filter(|line| !stock.contains(line)).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "{what}: missing {missing:#?}\nsurplus {surplus:#?}");
    // The same number of each, too.
    ensure!(subject == stock, "{what}: {subject:#?}\nstock has\n{stock:#?}");
    Ok(())
}
