//! What only the guest's kernel has: ipvlan, VRF, and routes with MPLS labels; beside stock.

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;
use crate::twins::{same, twins};
use crate::vrrp_links::senders;

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-behaviour.md §9 "ipvlan", "VRF"; spec/vrrp-config.md §3.2 vrf, encap mpls.
    Case::guest("guest_ipvlan_vrf_and_labels_are_what_they_are_with_stock", kinds),
];

fn quick(name: &str, vrid: u8, interface: &str, addresses: &str, more: &str) -> String {
    let more = format!("version 3\nadvert_int 0.5\nvirtual_ipaddress {{\n{addresses}\n}}\n{more}");
    instance(name, vrid, interface, 150, &more)
}

fn kinds(lab: &Lab) -> Outcome {
    let text = [
        quick("I1", 71, "eth0", "10.0.0.71", "use_ipvlan ipv71 10.0.0.171/24 bridge"),
        quick("I2", 72, "eth0", "fe80::72\n2001:db8::72", "use_ipvlan"),
        quick("V1", 73, "eth1", "10.2.0.73", "use_vmac"),
        quick(
            "R1",
            74,
            "eth0",
            "10.0.0.74",
            "virtual_routes {\n10.1.30.0/24 via 10.0.0.2 dev eth0 encap mpls 100/200\n10.1.31.0/24 via 10.2.0.2 vrf red\n}\n\
             virtual_rules {\nfrom 10.1.31.0/24 l3mdev preference 900\n}",
        ),
    ]
    .concat();
    let mut pair = twins(lab, &text)?;
    let mut seen = Vec::new();
    for twin in &mut pair {
        twin.add_eth1()?;
        twin.host.space.ip(
            "link add red address 02:00:00:00:00:03 type vrf table 10\nlink set red up\nlink set eth1 master red\naddress add 10.2.0.1/24 dev eth1",
        )?;
        let before = (twin.links()?, twin.routes()?);
        twin.start()?;
        until(secs(10.0), "all to be masters", || {
            (twin.states().iter().filter(|state| state.contains("MASTER")).count() == 4).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        until(secs(3.0), "the last rule", || {
            twin.rules().ok()?.iter().any(|rule| rule.contains("10.1.31.0")).then_some(())
        })?;
        until(secs(3.0), "an advert of each", || {
            [71, 72, 74]
                .iter()
                .all(|vrid| senders(twin).iter().any(|line| line.starts_with(&format!("VRID {vrid} "))))
                .then_some(())
        })?;
        seen.push((twin.links()?, twin.routes()?, twin.rules()?, senders(twin)));
        twin.daemon.stop()?;
        let is_kept = |line: &String| !line.contains("/arp_");
        let only = |lines: Vec<String>| lines.into_iter().filter(is_kept).collect::<Vec<_>>();
        same("links left behind", &only(twin.links()?), &only(before.0))?;
        same("routes left behind", &twin.routes()?, &before.1)?;
    }
    ensure!(seen[1].1.iter().any(|route| route.contains("mpls")), "{:#?}", seen[1].1);
    ensure!(seen[1].0.iter().any(|link| link.starts_with("ipv71 is")), "{:#?}", seen[1].0);
    same("links", &seen[0].0, &seen[1].0)?;
    same("routes", &seen[0].1, &seen[1].1)?;
    same("rules", &seen[0].2, &seen[1].2)?;
    same("frames", &seen[0].3, &seen[1].3)
}
