//! VMACs and what the firewall does for them and for `no_accept`, beside stock: links, settings, frames, and packets that are dropped.

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpStream};

use crate::case::{Case, Lab};
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{A, B, Pair, VIP, config, instance};
use crate::twins::{Twin, same, twins};

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-behaviour.md §9, spec/vrrp-config.md §2.1 "use_vmac".
    Case::single("links_every_kind_of_vmac_is_made_and_used_as_stock_does", kinds),
    // spec/vrrp-behaviour.md §10, spec/vrrp-config.md §5 "Accept off".
    Case::single("links_packets_to_addresses_are_accepted_or_dropped_as_with_stock", accept),
    // Nobody but the name of the virtual router is seen by a client, whoever is master.
    Case::pair("links_a_client_keeps_the_virtual_mac_over_a_failover_in_both_families", client),
];

/// That of eth0 of a twin.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A quick instance of version 3.
fn quick(name: &str, vrid: u8, addresses: &[&str], more: &str) -> String {
    let addresses = addresses.join("\n");
    let more = format!("version 3\nadvert_int 0.2\nvirtual_ipaddress {{\n{addresses}\n}}\n{more}");
    instance(name, vrid, "eth0", 150, &more)
}

fn kinds(lab: &Lab) -> Outcome {
    let first = [
        quick("V1", 51, &["10.0.0.51"], "use_vmac"),
        quick("V2", 52, &["10.0.0.52/24"], "use_vmac named52"),
        quick("V3", 53, &["10.0.0.53"], "use_vmac 02:00:5e:00:00:77"),
        quick("V4", 54, &["10.0.0.54"], "use_vmac\nvirtual_ipaddress_excluded {\n2001:db8::54\n}"),
        quick("V5", 55, &["10.0.0.55"], "use_vmac\nvmac_xmit_base"),
        quick("V6", 51, &["fe80::51", "2001:db8::51"], "use_vmac"),
        quick("V7", 57, &["fe80::57"], "use_vmac\nvmac_xmit_base"),
    ]
    .concat();
    let second = [
        "global_defs {\nvmac_prefix vm\nvmac_addr_prefix va\n}\n".to_owned(),
        quick("V1", 51, &["10.0.0.51"], "use_vmac"),
        quick("V8", 58, &["10.0.0.58", "10.2.0.58/24 dev eth1"], "use_vmac\nuse_vmac_addr"),
        quick(
            "V9",
            59,
            &["10.0.0.59 use_vmac", "10.2.0.59/24 dev eth1 use_vmac", "10.2.0.60/24 dev eth1"],
            "",
        ),
    ]
    .concat();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| kinds_of(lab, "second", &second, 3));
        kinds_of(lab, "first", &first, 7)?;
        other.join().map_err(|_| "panicked".to_owned())?
    })
}

/// Who sends what: for each advert VRID and family, for each announcement the address; from which addresses.
pub(crate) fn senders(twin: &Twin) -> Vec<String> {
    let mut all = BTreeSet::new();
    for frame in twin.wire.frames().iter().filter(|frame| frame.from == "a") {
        let bytes = &frame.bytes;
        let mac = bytes[6..12].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        if let Some(arp) = frame.announcement() {
            all.insert(format!("{} is announced from {mac}", arp.address));
        } else if let Some(advert) = frame.advert() {
            all.insert(format!("VRID {} comes from {} {mac}", advert.vrid, advert.source));
        } else if bytes.get(12..14) == Some(&[0x86, 0xdd]) && bytes.len() > 78 {
            let address = |at: usize| <[u8; 16]>::try_from(&bytes[at..at + 16]).map(std::net::Ipv6Addr::from);
            let (source, target) = (address(22).ok(), address(62).ok());
            all.insert(match bytes[20] {
                0 => continue,
                112 => format!("VRID {} comes from {source:?} {mac}", bytes[55]),
                _ => format!("{target:?} is announced from {mac}"),
            });
        }
    }
    all.into_iter().collect()
}

fn kinds_of(lab: &Lab, name: &str, text: &str, count: usize) -> Outcome {
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.peer.clone(), directory: lab.directory.join(name) };
    let mut pair = twins(&lab, text)?;
    let mut seen = Vec::new();
    for twin in &mut pair {
        twin.add_eth1()?;
        let before = twin.links()?;
        twin.start()?;
        until(secs(8.0), "all to be masters", || {
            (twin.states().iter().filter(|state| state.contains("MASTER")).count() == count).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        // An advert more of each.
        std::thread::sleep(secs(0.6));
        let mut links = twin.links()?;
        // 1 of an IPv6 VMAC is new in 2.4.
        if !twin.daemon.program.is_stock() {
            let is_v6 =
                |line: &&String| line.contains("vrrp6.51/arp_ignore") || line.contains("vrrp.57/arp_ignore");
            ensure!(links.iter().filter(is_v6).all(|line| line.ends_with("= 1")), "{links:#?}");
            ensure!(reports(twin).iter().all(|mac| *mac == MAC), "reports from {:02x?}", reports(twin));
        }
        ensure!(!reports(twin).is_empty(), "nobody reports");
        links.retain(|line| !line.contains("vrrp6.51/arp_ignore") && !line.contains("vrrp.57/arp_ignore"));
        seen.push((links, senders(twin)));
        twin.daemon.stop()?;
        let mut left = twin.links()?;
        if twin.daemon.program.is_stock() {
            // It does not put back the settings of the interface below.
            left.retain(|line| !line.contains("/arp_"));
            let before: Vec<_> = before.into_iter().filter(|line| !line.contains("/arp_")).collect();
            same("left behind", &left, &before)?;
        } else {
            same("left behind", &left, &before)?;
        }
    }
    same("links", &seen[0].0, &seen[1].0)?;
    same("frames", &seen[0].1, &seen[1].1)
}

/// From which hardware addresses IGMP and MLD reports leave.
fn reports(twin: &Twin) -> BTreeSet<[u8; 6]> {
    let is_report = |bytes: &[u8]| match bytes.get(12..14) {
        Some([8, 0]) => bytes.get(23) == Some(&2),
        Some([0x86, 0xdd]) => bytes.get(20) == Some(&0),
        _ => false,
    };
    let frames = twin.wire.frames().into_iter().filter(|frame| frame.from == "a" && is_report(&frame.bytes));
    frames.filter_map(|frame| frame.bytes.get(6..12)?.try_into().ok()).collect()
}

/// Whether somebody at this address answers: nobody listens, but the refusal tells.
fn answers(host: &Host, address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let found = host.space.inside(|| TcpStream::connect_timeout(&(address, 9).into(), secs(0.6)));
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn accept(lab: &Lab) -> Outcome {
    let owner = "version 3\nadvert_int 0.2\nstrict_mode\nvirtual_ipaddress {\n10.0.0.55\n}";
    let text = [
        quick("A51", 51, &["10.0.0.51"], ""),
        quick(
            "N52",
            52,
            &["10.0.0.52"],
            "no_accept\nvirtual_ipaddress_excluded {\n10.0.0.62\n2001:db8::62\n}",
        ),
        quick("S53", 53, &["10.0.0.53"], "strict_mode"),
        quick("S54", 54, &["10.0.0.54"], "strict_mode\naccept"),
        instance("O55", 55, "eth0", 255, owner),
        quick("N56", 56, &["fe80::56", "2001:db8::56"], "no_accept"),
        quick("V57", 57, &["10.0.0.57"], "use_vmac\nno_accept"),
        quick("V58", 58, &["10.0.0.58"], "use_vmac"),
        quick("A59", 59, &["fe80::59", "2001:db8::59"], "strict_mode\nno_accept\naccept"),
    ]
    .concat();
    let mut pair = twins(lab, &text)?;
    let addresses = [
        ("10.0.0.51", true),
        ("10.0.0.52", false),
        ("10.0.0.62", false),
        ("2001:db8::62", false),
        ("10.0.0.53", false),
        ("10.0.0.54", true),
        ("10.0.0.55", true),
        ("2001:db8::56", false),
        ("10.0.0.57", false),
        ("10.0.0.58", true),
        ("2001:db8::59", true),
        // The host itself is not touched.
        ("10.0.0.1", true),
        ("2001:db8::1", true),
    ];
    for twin in &mut pair {
        let client = Host::on(&twin.switch, "c", &["10.0.0.9/24"])?;
        client.use_ipv6("eth0", "2001:db8::9/64")?;
        twin.start()?;
        until(secs(8.0), "all to be masters", || {
            (twin.states().iter().filter(|state| state.contains("MASTER")).count() == 9).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        until(secs(2.0), "the last address", || answers(&client, "2001:db8::59").then_some(()))?;
        for (address, wanted) in addresses {
            let found = answers(&client, address);
            ensure!(found == wanted, "{}: {address} answers: {found}", twin.daemon.program.label);
        }
        // What left MASTER is open again to whoever has the address then.
        twin.daemon.stop()?;
        twin.host.space.ip("address add 10.0.0.52/32 dev eth0")?;
        ensure!(answers(&client, "10.0.0.52"), "a set is left behind");
    }
    Ok(())
}

fn client(lab: &Lab) -> Outcome {
    let text = |priority| {
        let six = "version 3\nadvert_int 1\nuse_vmac\nvirtual_ipaddress {\nfe80::66\n2001:db8::66\n}";
        config(priority, "use_vmac") + &instance("VI_6", 66, "eth0", priority, six)
    };
    let mut pair = Pair::new(lab, &text(150), &text(100))?;
    for (host, address) in pair.hosts.iter().zip(["2001:db8::1/64", "2001:db8::2/64"]) {
        host.use_ipv6("eth0", address)?;
        // Their questions for the client's address must not come from the shared one by the interface below.
        host.space.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
    }
    let client = Host::on(&pair.switch, "c", &["10.0.0.9/24"])?;
    client.use_ipv6("eth0", "2001:db8::9/64")?;
    pair.start_a(&[])?;
    pair.a.wait_log("(VI_1) Entering", secs(5.0))?;
    pair.start_b(&[])?;
    let vip = VIP.to_string();
    let macs = || -> Outcome<Vec<String>> {
        let shown = client.space.run("ip", &["neighbour", "show", "dev", "eth0"])?;
        let of = |address: &str| {
            let line = shown.lines().find(|line| line.starts_with(&format!("{address} ")))?;
            line.split("lladdr ").nth(1)?.split(' ').next().map(str::to_owned)
        };
        Ok([of(&vip), of("2001:db8::66")].into_iter().flatten().collect())
    };
    let reached = || [&vip[..], "2001:db8::66"].iter().all(|address| answers(&client, address));
    until(secs(8.0), "a to answer in both families", || reached().then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    ensure!(pair.has_vip(A), "somebody else answers");
    let wanted = ["00:00:5e:00:01:33", "00:00:5e:00:02:42"];
    ensure!(macs()? == wanted, "the client knows {:?}", macs()?);
    let (at, _) = pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    until(secs(2.0), "b to answer in both families", || reached().then_some(()))
        .map_err(|e| pair.b.explain(e))?;
    let took = crate::kit::wait::Stamp::now().since(at);
    ensure!(took < 3.5, "the client was alone for {took:.2} s");
    ensure!(macs()? == wanted, "the client knows {:?}", macs()?);
    Ok(())
}
