//! What stands in the packets: authentication header and trailer, versions and families, each beside stock where it has them.

use std::net::IpAddr;

use crate::case::{Case, Lab};
use crate::kit::place::tool;
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::pair::{A, B, Pair, config, instance, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("wire_ah_is_sealed_numbered_and_handed_over", ah),
    Case::pair("wire_ah_with_other_passwords_makes_two_masters", ah_mismatch),
    Case::pair("wire_every_form_is_understood_by_the_other_and_by_tshark", forms),
    // spec/vrrp-behaviour.md §1.2 "Which addresses".
    Case::pair("wire_addresses_beyond_an_advert_are_held_and_not_advertised", too_many),
    // spec/vrrp-behaviour.md §1.2 "Old unicast checksum".
    Case::pair("wire_the_old_unicast_checksum_is_spoken_and_learned", old_checksum),
    // The word is new in 2.4; the receiver may be anybody who does not look at checksums.
    Case::single("wire_version_3_without_pseudo_header_is_spoken_and_believed", as_v2)
        .unlike_stock("the word is new in 2.4 (spec/vrrp-config.md §2.1)"),
    // New in 2.4: the peer is ours, too.
    Case::single("wire_hmac_trailers_are_demanded_checked_and_rotated", hmac)
        .unlike_stock("new in 2.4 (spec/vrrp-behaviour.md §1.4)"),
];

/// What every form of advert needs: VRID, lines of a, lines of b, and what the IP header of a's adverts must say.
struct Form {
    vrid: u8,
    lines: &'static str,
    /// Instead of `@` in the lines.
    hosts: [&'static str; 2],
    destination: &'static str,
    hops: u8,
    /// The first byte of the advert and the length of what is authenticated and not.
    first: u8,
    length: usize,
}

const FORMS: &[Form] = &[
    Form {
        vrid: 61,
        lines: "authentication {\nauth_type PASS\nauth_pass lab\n}\nvirtual_ipaddress {\n10.0.0.161\n10.0.0.171\n}",
        hosts: ["", ""],
        destination: "224.0.0.18",
        hops: 255,
        first: 0x21,
        length: 24,
    },
    Form {
        vrid: 62,
        lines: "version 3\nmcast_dst_ip 224.0.0.77\nmcast_src_ip 10.0.0.@\nvirtual_ipaddress {\n10.0.0.162\n}",
        hosts: ["1", "2"],
        destination: "224.0.0.77",
        hops: 255,
        first: 0x31,
        length: 12,
    },
    Form {
        vrid: 63,
        lines: "version 3\nunicast_ttl 77\nunicast_src_ip 10.0.0.@\nvirtual_ipaddress {\n10.0.0.163\n}",
        hosts: [
            "1\nunicast_peer {\n10.0.0.2 min_ttl 70 max_ttl 80\n}",
            "2\nunicast_peer {\n10.0.0.1 min_ttl 70 max_ttl 80\n}",
        ],
        destination: "10.0.0.2",
        hops: 77,
        first: 0x31,
        length: 12,
    },
    Form {
        vrid: 64,
        lines: "version 3\nvirtual_ipaddress {\nfe80::64\n2001:db8::64\n}",
        hosts: ["", ""],
        destination: "ff02::12",
        hops: 255,
        first: 0x31,
        length: 40,
    },
    Form {
        vrid: 65,
        lines: "version 2\nvirtual_ipaddress {\nfe80::65\n}",
        hosts: ["", ""],
        destination: "ff02::12",
        hops: 255,
        first: 0x21,
        length: 24,
    },
    Form {
        vrid: 66,
        lines: "unicast_src_ip fd00::@\nvirtual_ipaddress {\n2001:db8::66\n}",
        hosts: ["1\nunicast_peer {\nfd00::2\n}", "2\nunicast_peer {\nfd00::1\n}"],
        destination: "fd00::2",
        hops: 64,
        first: 0x31,
        length: 24,
    },
    Form {
        vrid: 67,
        lines: "unicast_ttl 90\nunicast_src_ip fd00::@\nvirtual_ipaddress {\n2001:db8::67\n}",
        hosts: ["1\nunicast_peer {\nfd00::2 min_ttl 90\n}", "2\nunicast_peer {\nfd00::1 min_ttl 90\n}"],
        destination: "fd00::2",
        hops: 90,
        first: 0x31,
        length: 24,
    },
    Form {
        vrid: 68,
        lines: "authentication {\nauth_type AH\nauth_pass lab\n}\nunicast_src_ip 10.0.0.@\nvirtual_ipaddress {\n10.0.0.168\n}",
        hosts: ["1\nunicast_peer {\n10.0.0.2\n}", "2\nunicast_peer {\n10.0.0.1\n}"],
        destination: "10.0.0.2",
        hops: 255,
        first: 0x21,
        length: 24 + 20,
    },
    Form {
        vrid: 70,
        lines: "mcast_dst_ip ff02::77\nvirtual_ipaddress {\nfe80::70\n}",
        hosts: ["", ""],
        destination: "ff02::77",
        hops: 255,
        first: 0x31,
        length: 24,
    },
];

/// What a's TTL is too small for: b does not believe it.
const TOO_FAR: u8 = 69;

/// Destination, hop limit and payload of an advert of either family.
fn either(frame: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    match (frame.get(12..14)?, frame.get(14..)?) {
        ([8, 0], ip) if matches!(ip.get(9)?, 112 | 51) => {
            let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            let to: [u8; 4] = ip.get(16..20)?.try_into().ok()?;
            Some((to.into(), ip[8], ip.get(20..length)?))
        }
        ([0x86, 0xdd], ip) if *ip.get(6)? == 112 => {
            let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            let to: [u8; 16] = ip.get(24..40)?.try_into().ok()?;
            Some((to.into(), ip[7], ip.get(40..40 + length)?))
        }
        _ => None,
    }
}

/// Adverts of a host for a VRID since then.
fn adverts_of(pair: &Pair, host: &str, vrid: u8, since: Stamp) -> Vec<(IpAddr, u8, Vec<u8>)> {
    let frames = pair.wire.frames().into_iter().filter(|frame| frame.from == host && frame.at >= since);
    let adverts = frames.filter_map(|frame| {
        let (to, hops, payload) = either(&frame.bytes)?;
        let pdu = if payload.first() == Some(&112) { payload.get(24..)? } else { payload };
        (pdu.get(1) == Some(&vrid)).then(|| (to, hops, payload.to_vec()))
    });
    adverts.collect()
}

fn forms(lab: &Lab) -> Outcome {
    let text = |priority: u8, who: usize| {
        let mut text = "global_defs {\n router_id lab\n}\n".to_owned();
        for form in FORMS {
            let name = format!("VI_{}", form.vrid);
            let lines = match form.hosts[who] {
                "" => form.lines.to_owned(),
                host => form.lines.replacen('@', host, 1),
            };
            text += &instance(&name, form.vrid, "eth0", priority, &lines);
        }
        let (me, peer) = if who == A { ("1", "2") } else { ("2", "1 min_ttl 70") };
        let lines = format!(
            "unicast_ttl 60\nunicast_src_ip 10.0.0.{me}\nunicast_peer {{\n10.0.0.{peer}\n}}\nvirtual_ipaddress {{\n10.0.0.169\n}}"
        );
        text + &instance("VI_69", TOO_FAR, "eth0", priority, &lines)
    };
    let mut pair = Pair::new(lab, &text(150, A), &text(100, B))?;
    for (host, address) in pair.hosts.iter().zip(["fd00::1/64", "fd00::2/64"]) {
        for name in ["eth0.accept_dad", "all.disable_ipv6", "eth0.disable_ipv6"] {
            host.space.sysctl(&format!("net.ipv6.conf.{name}"), "0")?;
        }
        host.space.run("ip", &["address", "add", address, "dev", "eth0", "nodad"])?;
        until(secs(5.0), "a link-local address", || {
            let shown = host.space.run("ip", &["-o", "-6", "address", "show", "dev", "eth0"]).ok()?;
            shown.contains("fe80::").then_some(())
        })?;
    }
    pair.start_a(&[])?;
    pair.a.wait_log("Entering BACKUP STATE", secs(5.0))?;
    pair.start_b(&[])?;
    for form in FORMS {
        let what = format!("two adverts of VRID {}", form.vrid);
        let adverts = until(secs(8.0), what, || {
            Some(adverts_of(&pair, "a", form.vrid, pair.born)).filter(|adverts| adverts.len() >= 2)
        })
        .map_err(|e| pair.a.explain(e))?;
        let (to, hops, payload) = &adverts[0];
        ensure!(to.to_string() == form.destination, "VRID {} goes to {to}", form.vrid);
        ensure!(*hops == form.hops, "VRID {} has a hop limit of {hops}", form.vrid);
        let pdu = if payload[0] == 112 { &payload[24..] } else { payload };
        ensure!(pdu[0] == form.first, "VRID {} begins {:#x}", form.vrid, pdu[0]);
        ensure!(
            payload.len() == form.length,
            "VRID {} has {} bytes: {payload:02x?}",
            form.vrid,
            payload.len()
        );
    }
    // By now b has had its time, and speaks where it does not believe a.
    until(secs(6.0), "b to be master of VRID 69", || {
        (adverts_of(&pair, "b", TOO_FAR, pair.born).len() >= 2).then_some(())
    })
    .map_err(|e| pair.b.explain(e))?;
    for form in FORMS {
        let spoke = adverts_of(&pair, "b", form.vrid, pair.born);
        ensure!(spoke.is_empty(), "b speaks for VRID {}: {}", form.vrid, pair.b.explain(String::new()));
    }
    let (at, _) = pair.a.stop()?;
    for form in FORMS {
        until(secs(3.0), format!("b to be master of VRID {}", form.vrid), || {
            (!adverts_of(&pair, "b", form.vrid, at).is_empty()).then_some(())
        })
        .map_err(|e| pair.b.explain(e))?;
    }
    decoded(lab, &pair)
}

/// What a third decoder says of everything that passed.
fn decoded(lab: &Lab, pair: &Pair) -> Outcome {
    let capture = lab.directory.join("forms.pcap");
    pair.wire.save(&capture)?;
    let tshark = |arguments: &[&str]| -> Outcome<String> {
        let mut command = tool("tshark");
        command.arg("-r").arg(&capture).args(["-o", "ip.check_checksum:TRUE"]).args(arguments);
        let output = command.output().map_err(|e| format!("tshark: {e}"))?;
        ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // It knows no version 2 over IPv6, whose checksum the kernel makes with a pseudo header.
    let wrong = "(vrrp.checksum.status == 0 && !(ipv6 && vrrp.version == 2)) || ip.checksum.status == 0";
    let bad = tshark(&["-Y", &format!("_ws.malformed || {wrong}")])?;
    ensure!(bad.is_empty(), "tshark objects to:\n{bad}");
    let fields =
        ["-Y", "vrrp", "-T", "fields", "-e", "vrrp.virt_rtr_id", "-e", "vrrp.version", "-e", "vrrp.prio"];
    let seen = tshark(&fields)?;
    for form in FORMS {
        for priority in [150, 0, 100] {
            let wanted = format!("{}\t{}\t{priority}", form.vrid, form.first >> 4);
            ensure!(seen.lines().any(|line| line == wanted), "tshark reads no '{wanted}' in\n{seen}");
        }
    }
    Ok(())
}

fn too_many(lab: &Lab) -> Outcome {
    // 255 is what the count can say; 89 of IPv6 are what stock lets 1,500 bytes hold, with an Ethernet header.
    const FOUR: usize = 260;
    const SIX: usize = 95;
    let four: Vec<String> = (0..FOUR).map(|n| format!("10.1.{}.{}", n / 250, 1 + n % 250)).collect();
    let six: Vec<String> = (0..SIX).map(|n| format!("fe80::6:{n:x}")).collect();
    let text = |priority| {
        let block = |name: &str, vrid, addresses: &[String]| {
            let addresses = addresses.join("\n");
            let lines = format!("version 3\nadvert_int 0.5\nvirtual_ipaddress {{\n{addresses}\n}}");
            instance(name, vrid, "eth0", priority, &lines)
        };
        format!("global_defs {{\n router_id lab\n}}\n{}{}", block("VI_4", 61, &four), block("VI_6", 64, &six))
    };
    let mut pair = Pair::new(lab, &text(150), &text(100))?;
    for (host, address) in pair.hosts.iter().zip(["fd00::1/64", "fd00::2/64"]) {
        host.use_ipv6("eth0", address)?;
    }
    let held = |pair: &Pair, who: usize| {
        let shown = pair.hosts[who].space.run("ip", &["-o", "address", "show", "dev", "eth0"]);
        let shown = shown.unwrap_or_default();
        [" 10.1.", " fe80::6:"].map(|begin| shown.lines().filter(|line| line.contains(begin)).count())
    };
    pair.start_a(&[])?;
    pair.a.wait_log("(VI_4) Entering", secs(5.0))?;
    pair.start_b(&[])?;
    until(secs(8.0), "all addresses on a", || (held(&pair, A) == [FOUR, SIX]).then_some(()))
        .map_err(|e| pair.a.explain(format!("{e}: {:?}", held(&pair, A))))?;
    for (vrid, count, length) in [(61, 255, 8 + 4 * 255), (64, 89, 8 + 16 * 89)] {
        let adverts = until(secs(3.0), "two adverts", || {
            Some(adverts_of(&pair, "a", vrid, pair.born)).filter(|adverts| adverts.len() >= 2)
        })?;
        let (_, _, payload) = &adverts[0];
        let seen = (usize::from(payload[3]), payload.len());
        ensure!(seen == (count, length), "VRID {vrid}: {seen:?} addresses and bytes");
        ensure!(adverts_of(&pair, "b", vrid, pair.born).is_empty(), "b speaks for {vrid}");
    }
    for what in ["VIPs but received", "not present in advert"] {
        ensure!(!pair.b.logged(what), "{}", pair.b.explain(what.to_owned()));
    }
    pair.a.stop()?;
    ensure!(held(&pair, A) == [0, 0], "left behind: {:?}", held(&pair, A));
    until(secs(4.0), "all addresses on b", || (held(&pair, B) == [FOUR, SIX]).then_some(()))
        .map_err(|e| pair.b.explain(format!("{e}: {:?}", held(&pair, B))))
}

fn with_ah(priority: u8, password: &str) -> String {
    config(priority, &format!("authentication {{\n auth_type AH\n auth_pass {password}\n}}"))
}

fn ah(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &with_ah(150, "secret"), &with_ah(100, "secret"))?;
    let adverts = until(secs(4.0), "three adverts of a", || {
        Some(pair.wire.adverts_of("a", pair.born)).filter(|adverts| adverts.len() >= 3)
    })?;
    for (advert, number) in adverts.iter().zip(1..) {
        let header = advert.header.as_ref().ok_or("no authentication header")?;
        ensure!(header[..4] == [112, 4, 0, 0], "the header begins {:02x?}", &header[..4]);
        ensure!(header[4..8] == [10, 0, 0, 1], "SPI {:02x?}", &header[4..8]);
        ensure!(header[8..12] == u32::to_be_bytes(number), "sequence {:02x?}", &header[8..12]);
        ensure!(advert.password == [0; 8] && advert.checksum_right, "{advert}");
    }
    ensure!(adverts.len() < 8 && !pair.has_vip(B), "b has the address, too");
    let (at, _) = pair.a.stop()?;
    let last = pair.wire.last_advert_of("a", Stamp::now()).ok_or("a never spoke")?;
    let first = pair.wait_master(B, at, secs(3.0))?;
    near("priority 0 to the first advert of b", first.at.since(last.at), skew(100), 0.1)?;
    let number = |advert: &crate::kit::wire::Advert| advert.header.as_ref().map(|h| h[8..12].to_vec());
    ensure!(number(&first) > number(&last), "b counts {:?} after {:?}", number(&first), number(&last));
    // The one that comes back has heard where the numbers are.
    let again = pair.start_a(&[])?;
    pair.wait_master(A, again, secs(7.0))?;
    until(secs(2.0), "b to drop the address", || (!pair.has_vip(B)).then_some(()))
        .map_err(|e| pair.b.explain(e))
}

fn ah_mismatch(lab: &Lab) -> Outcome {
    let pair = Pair::started(lab, &with_ah(150, "secret"), &with_ah(100, "other"))?;
    pair.wait_master(A, pair.born, secs(6.0))?;
    pair.wait_master(B, pair.born, secs(6.0))?;
    for daemon in [&pair.a, &pair.b] {
        daemon.wait_log("IPSEC-AH : invalid IPSEC HMAC-MD5 value", secs(3.0))?;
    }
    Ok(())
}

fn unicast(priority: u8, who: usize, more: &str) -> String {
    let (me, peer) = if who == A { (1, 2) } else { (2, 1) };
    let lines = format!("unicast_src_ip 10.0.0.{me}\nunicast_peer {{\n10.0.0.{peer}\n}}\n{more}");
    config(priority, &format!("version 3\nadvert_int 0.5\n{lines}"))
}

fn old_checksum(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &unicast(150, A, "old_unicast_checksum"), &unicast(100, B, ""))?;
    pair.b.wait_log("(VI_1) Setting unicast VRRPv3 checksum to old version", secs(3.0))?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(!advert.checksum_right, "a speaks as others do");
    throughout(secs(2.0), "b believes a", || !pair.has_vip(B)).map_err(|e| pair.b.explain(e))?;
    // And b, once it is master, speaks in the same way; 2.2.7 learns to hear it only.
    let (at, _) = pair.a.stop()?;
    let first = pair.wait_master(B, at, secs(4.0))?;
    ensure!(first.checksum_right == lab.peer.is_stock(), "b speaks in the other way");
    pair.start_a(&[])?;
    pair.wait_vip(A, secs(5.0))?;
    until(secs(2.0), "b to leave", || (!pair.has_vip(B)).then_some(())).map_err(|e| pair.b.explain(e))
}

fn as_v2(lab: &Lab) -> Outcome {
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.subject.clone(), directory: lab.directory.clone() };
    let text = |priority| config(priority, "version 3\nadvert_int 0.5\nv3_checksum_as_v2");
    let pair = Pair::elected(&lab, &text(150), &text(100))?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(!advert.checksum_right, "there is a pseudo header in it");
    throughout(secs(2.0), "b believes a", || !pair.has_vip(B)).map_err(|e| pair.b.explain(e))?;
    // With the word a wrong checksum is no reason; without it, it is.
    let plain = pair.b.reload(&config(100, "version 3\nadvert_int 0.5"))?;
    pair.wait_master(B, plain, secs(4.0))?;
    pair.b.wait_log("Invalid VRRPv3 checksum from 10.0.0.1", secs(2.0)).map(drop)
}

fn with_hmac(priority: u8, lines: &str) -> String {
    config(priority, &format!("auth_hmac {{\n {lines}\n}}"))
}

fn hmac(lab: &Lab) -> Outcome {
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.subject.clone(), directory: lab.directory.clone() };
    let one = "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let two = "key 2 0123456789abcdef0123456789abcdef";
    let old = format!("{one}\n active_key 1");
    let mut pair = Pair::elected(&lab, &with_hmac(150, &old), &with_hmac(100, &old))?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(advert.trailer.len() == 28, "a trailer of {} bytes", advert.trailer.len());
    ensure!(advert.trailer[..4] == [1, 1, 0, 0] && advert.checksum_right, "{:02x?}", advert.trailer);
    let seconds = u32::from_be_bytes([4, 5, 6, 7].map(|at| advert.trailer[at]));
    let age = advert.at.0 / 1_000_000_000 - i128::from(seconds);
    ensure!((0..=1).contains(&age), "the clock in the trailer is {age} s old");
    // The new key is made known everywhere, then used, then the old one is forgotten.
    let both = format!("{one}\n {two}\n active_key 1");
    let new = format!("{one}\n {two}\n active_key 2");
    let only = format!("{two}\n active_key 2");
    pair.b.reload(&with_hmac(100, &both))?;
    pair.a.reload(&with_hmac(150, &new))?;
    pair.b.reload(&with_hmac(100, &new))?;
    pair.b.reload(&with_hmac(100, &only))?;
    let rotated = Stamp::now();
    let signed = |advert: &crate::kit::wire::Advert| advert.trailer.get(1) == Some(&2);
    pair.wire.wait_advert("one with key 2", rotated, secs(3.0), signed)?;
    throughout(secs(4.0), "a alone is master", || pair.has_vip(A) && !pair.has_vip(B))
        .map_err(|e| pair.b.explain(e))?;
    // A peer that does not sign is not believed.
    pair.a.stop()?;
    pair.wait_master(B, rotated, secs(3.0))?;
    pair.a.configure(&config(150, ""))?;
    let plain = pair.start_a(&[])?;
    pair.wait_master(A, plain, secs(7.0))?;
    pair.b.wait_log("advert from 10.0.0.1 is not signed", secs(3.0))?;
    pair.a.wait_log("vrrp packet from 10.0.0.2 too long", secs(3.0))?;
    let stats = pair.b.dump(nix::sys::signal::Signal::SIGUSR2, "tmp/keepalived.stats")?;
    let missing = stats.lines().find_map(|line| line.strip_prefix("    Missing: "));
    ensure!(missing.is_some_and(|count| count != "0"), "{stats}");
    let data = pair.b.dump(nix::sys::signal::Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in [
        "   Authentication extension = HMAC-SHA256-128",
        "     Keys = 1, active key id = 2",
        "     Mode = enforce",
        "     Anti replay = time, window = 5 sec",
    ] {
        ensure!(data.lines().any(|found| found == line), "no line '{line}' in\n{data}");
    }
    Ok(())
}
