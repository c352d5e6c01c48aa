//! VMACs, the firewall objects of `no_accept` and VMACs, network namespaces, interfaces that vanish and come back.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::{A, B, Pair, VIP, config, instance};

pub(crate) const CASES: &[Case] = &[
    Case::pair("vrrp_a_vmac_pair_hands_the_address_over_and_all_that_leaves_has_the_virtual_mac", failover),
    Case::single("vrrp_a_vmac_is_stocks_link_with_stocks_settings_and_goes_with_the_daemon", link),
    Case::single("vrrp_a_vmac_that_somebody_removes_comes_back_without_an_election", removed)
        .unlike_stock("spec/vrrp-behaviour.md §8 \"Interface deleted\": FAULT"),
    Case::single("vrrp_no_accept_and_vmacs_have_stocks_firewall_objects", firewall),
    // spec/vrrp-behaviour.md §9 "all.rp_filter".
    Case::single("vrrp_the_reverse_path_filter_is_put_back_also_after_a_crash", reverse_path)
        .unlike_stock("fault, spec/vrrp-behaviour.md §9 \"all.rp_filter\": forgotten with the process"),
    Case::single("vrrp_an_interface_that_is_deleted_is_a_fault_until_it_is_made_again", recreated),
];

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

fn failover(lab: &Lab) -> Outcome {
    let text = |priority| config(priority, "use_vmac");
    let mut pair = Pair::elected(lab, &text(150), &text(100))?;
    let macs = |pair: &Pair, who: &str| -> Vec<Vec<u8>> {
        let frames = pair.wire.frames().into_iter().filter(|frame| frame.from == who);
        // Adverts and gratuitous ARPs of this router.
        let ours = frames.filter(|frame| {
            let is_advert = frame.bytes.get(23) == Some(&112) && frame.bytes.get(12..14) == Some(&[8, 0]);
            let is_arp =
                frame.bytes.get(12..14) == Some(&[8, 6]) && frame.bytes.get(28..32) == Some(&VIP.octets());
            is_advert || is_arp
        });
        ours.map(|frame| frame.bytes[6..12].to_vec()).collect()
    };
    until(secs(2.0), "adverts and announcements of a", || (macs(&pair, "a").len() > 5).then_some(()))?;
    pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    until(secs(2.0), "adverts and announcements of b", || (macs(&pair, "b").len() > 5).then_some(()))?;
    for who in ["a", "b"] {
        let wrong: Vec<_> = macs(&pair, who).into_iter().filter(|mac| *mac != MAC).collect();
        ensure!(wrong.is_empty(), "{who} sent from {wrong:02x?}\n{}", pair.wire.story());
    }
    ensure!(!pair.has_vip(A), "a keeps the address");
    // From the address of the interface below.
    let is_sent_by_b =
        |frame: &[u8]| frame.get(23) == Some(&112) && frame.get(26..30) == Some(&[10, 0, 0, 2]);
    let frames = pair.wire.frames();
    ensure!(frames.iter().any(|frame| frame.from == "b" && is_sent_by_b(&frame.bytes)), "b's source address");
    Ok(())
}

fn show(host: &Host, name: &str) -> Outcome<Value> {
    let text = host.space.run("ip", &["-d", "-j", "link", "show", "dev", name])?;
    serde_json::from_str::<Value>(&text).map(|all| all[0].clone()).map_err(|e| format!("{e}: {text}"))
}

fn link(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, "use_vmac"))?;
    pair.wait_vip(A, secs(6.0))?;
    let host = &pair.hosts[A];
    let seen = show(host, "vrrp.51")?;
    ensure!(seen["address"] == "00:00:5e:00:01:33", "{seen}");
    ensure!(seen["link"] == "eth0" && seen["linkinfo"]["info_kind"] == "macvlan", "{seen}");
    ensure!(seen["linkinfo"]["info_data"]["mode"] == "private", "{seen}");
    ensure!(seen["inet6_addr_gen_mode"] == "none", "{seen}");
    let read = |name: &str| -> Outcome<String> {
        let path = format!("/proc/sys/net/{name}");
        host.space
            .inside(|| std::fs::read_to_string(&path))
            .map(|t| t.trim().to_owned())
            .map_err(|e| e.to_string())
    };
    for (name, wanted) in [
        ("ipv4/conf/vrrp.51/arp_ignore", "1"),
        ("ipv4/conf/vrrp.51/accept_local", "1"),
        ("ipv4/conf/vrrp.51/rp_filter", "0"),
        ("ipv4/conf/vrrp.51/promote_secondaries", "1"),
        ("ipv6/conf/vrrp.51/disable_ipv6", "1"),
        ("ipv4/conf/eth0/arp_ignore", "1"),
        ("ipv4/conf/eth0/arp_filter", "1"),
    ] {
        let value = read(name)?;
        ensure!(value == wanted, "{name} is {value}, wanted {wanted}");
    }
    let own = host.space.run("ip", &["-o", "-4", "address", "show", "dev", "vrrp.51"])?;
    ensure!(own.contains(" 10.0.0.100/32 "), "the address is not on the VMAC:\n{own}");
    pair.a.stop()?;
    ensure!(show(&pair.hosts[A], "vrrp.51").is_err(), "left behind");
    Ok(())
}

fn removed(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, "use_vmac"), &config(100, "use_vmac"))?;
    let seen = pair.b.log_length();
    let at = Stamp::now();
    pair.hosts[A].space.run("ip", &["link", "del", "vrrp.51"])?;
    until(secs(2.0), "the VMAC with its address", || {
        let shown = pair.hosts[A].space.run("ip", &["-o", "-4", "address", "show", "dev", "vrrp.51"]).ok()?;
        shown.contains(" 10.0.0.100/32 ").then_some(())
    })
    .map_err(|e| pair.a.explain(e))?;
    ensure!(!pair.a.logged("FAULT"), "it left MASTER\n{}", pair.a.explain(String::new()));
    // b may still be telling of its start.
    let told = pair.b.log().split_off(seen).into_iter().find(|line| line.text.contains("(VI_1)"));
    ensure!(told.is_none(), "b noticed: {}", pair.b.explain(String::new()));
    let adverts = pair.wire.adverts_of("a", at);
    ensure!(adverts.iter().all(|advert| advert.priority == 150), "{}", pair.wire.story());
    pair.a.stop()?;
    Ok(())
}

fn reverse_path(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, &config(150, "version 3\nadvert_int 0.2\nuse_vmac"), "")?;
    let read = |pair: &Pair, name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        let text = pair.hosts[A].space.inside(|| std::fs::read_to_string(&path));
        text.map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let all = |pair: &Pair| ["all", "eth0", "default"].map(|name| read(pair, name));
    for (name, value) in [("all", "2"), ("eth0", "1"), ("default", "0")] {
        pair.hosts[A].space.sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), value)?;
    }
    let before = all(&pair);
    for is_killed in [false, true] {
        pair.start_a(&[])?;
        pair.wait_vip(A, secs(6.0))?;
        ensure!(all(&pair) == ["0", "2", "2"], "lowered to {:?}", all(&pair));
        ensure!(read(&pair, "vrrp.51") == "0", "the VMAC has {}", read(&pair, "vrrp.51"));
        if is_killed {
            // By its next advert but one it has told its parent how things are.
            let settled = Stamp::now();
            until(secs(3.0), "three adverts more", || {
                (pair.wire.adverts_of("a", settled).len() >= 3).then_some(())
            })?;
            let old = pair.a.pid("vrrp")?;
            kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
            let at = Stamp::now();
            until(secs(6.0), "adverts of a successor", || {
                let is_new = pair.a.pid("vrrp").is_ok_and(|new| new != old);
                (is_new && pair.wire.adverts_of("a", at).len() >= 3).then_some(())
            })
            .map_err(|e| pair.a.explain(e))?;
        }
        pair.a.stop()?;
        ensure!(all(&pair) == before, "killed: {is_killed}: {:?} is left of {before:?}", all(&pair));
    }
    Ok(())
}

/// What `nft -j list ruleset` shows, without handles and in no order.
fn ruleset(host: &Host) -> Outcome<Vec<String>> {
    let said = host.nft(&["-j", "list", "ruleset"])?;
    let all: Value = serde_json::from_str(&said).map_err(|e| e.to_string())?;
    let objects = all["nftables"].as_array().ok_or("no nftables")?.iter();
    let mut lines: Vec<String> = objects
        .filter(|object| object.get("metainfo").is_none())
        .map(|object| {
            let mut object = object.clone();
            for inner in object.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
                if let Some(inner) = inner.as_object_mut() {
                    inner.remove("handle");
                    if let Some(Value::Array(elements)) = inner.get_mut("elem") {
                        elements.sort_by_key(ToString::to_string);
                    }
                }
            }
            object.to_string()
        })
        // 2.2.7 lets the VMAC advertise the link-local address of the interface below; spec/vrrp-behaviour.md §10.
        .filter(|line| !line.contains("vmac_link_local"))
        .collect();
    lines.sort();
    Ok(lines)
}

fn firewall(lab: &Lab) -> Outcome {
    let text = [
        instance("V4", 51, "eth0", 150, "use_vmac\nvirtual_ipaddress {\n 10.0.0.100\n}"),
        instance("N4", 53, "eth0", 150, "no_accept\nvirtual_ipaddress {\n 10.0.0.101\n 10.0.0.102/24\n}"),
        instance(
            "S6",
            54,
            "eth0",
            150,
            "strict_mode\nversion 3\nvirtual_ipaddress {\n fe80::101\n 2001:db8::101/64\n}",
        ),
        instance("V6", 55, "eth0", 150, "use_vmac\nno_accept\nvirtual_ipaddress {\n fe80::103\n}"),
    ]
    .concat();
    let mut seen: Vec<Vec<String>> = Vec::new();
    let switch = Switch::new()?;
    for (name, program) in [("a", lab.subject.clone()), ("b", Program::stock())] {
        let host = Host::on(&switch, name, &["10.0.0.1/24"])?;
        for setting in [
            "eth0.accept_dad",
            "all.accept_dad",
            "default.disable_ipv6",
            "all.disable_ipv6",
            "eth0.disable_ipv6",
        ] {
            host.space.sysctl(&format!("net.ipv6.conf.{setting}"), "0")?;
        }
        let mut daemon = Daemon::start_on(&host, &program, &lab.directory, &text)?;
        for instance in ["V4", "N4", "S6", "V6"] {
            daemon.wait_log(&format!("({instance}) Entering MASTER STATE"), secs(8.0))?;
        }
        until(secs(2.0), "elements of all masters", || {
            let text = ruleset(&host).ok()?.concat();
            ["10.0.0.102", "2001:db8::101", "fe80::103"].iter().all(|vip| text.contains(vip)).then_some(())
        })
        .map_err(|e| daemon.explain(e))?;
        seen.push(ruleset(&host)?);
        daemon.stop()?;
        ensure!(ruleset(&host)?.is_empty(), "left behind: {:?}", ruleset(&host)?);
    }
    let missing: Vec<_> = seen[1].iter().filter(|line| !seen[0].contains(line)).collect();
    let surplus: Vec<_> = seen[0].iter().filter(|line| !seen[1].contains(line)).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}\nsurplus {surplus:#?}");
    ensure!(seen[0].len() > 15, "{}", json!(seen[0]));
    Ok(())
}

fn recreated(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, "use_vmac"))?;
    pair.wait_vip(A, secs(6.0))?;
    // The far end goes with it.
    pair.hosts[A].space.run("ip", &["link", "del", "eth0"])?;
    pair.a.wait_log("Entering FAULT STATE", secs(3.0))?;
    let seen = pair.a.log_length();
    let path = pair.hosts[A].space.path();
    pair.switch.space.ip(&format!(
        "link add name a type veth peer name eth0 netns {}\nlink set dev a master br0\nlink set dev a up",
        path.display()
    ))?;
    pair.hosts[A].space.ip("link set eth0 up\naddress add 10.0.0.1/24 broadcast + dev eth0")?;
    pair.a.wait_log_after(seen, "Entering BACKUP STATE", secs(3.0))?;
    pair.wait_vip(A, secs(6.0))?;
    let own = pair.hosts[A].space.run("ip", &["-o", "-4", "address", "show", "dev", "vrrp.51"])?;
    ensure!(own.contains(" 10.0.0.100/32 "), "the address is not on the VMAC:\n{own}");
    pair.a.stop()?;
    Ok(())
}
