//! What a master puts on its interfaces and announces: addresses with all their words, gratuitous ARP, and its absence after.

use std::net::Ipv4Addr;

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, until};
use crate::pair::{A, B, Pair, VIP, config, instance};

pub(crate) const CASES: &[Case] = &[
    Case::single("vrrp_addresses_carry_mask_label_scope_and_broadcast", address_words),
    Case::single("vrrp_gratuitous_arp_comes_five_times_and_again_after_five_seconds", gratuitous_arp),
    Case::single("vrrp_gratuitous_arp_follows_its_settings", gratuitous_arp_settings),
    Case::pair("vrrp_never_two_hosts_with_the_address_for_long", double_master),
    Case::pair("vrrp_over_ipv6_is_heard_by_the_peer_announced_to_neighbours_and_handed_over", over_ipv6),
];

fn address_words(lab: &Lab) -> Outcome {
    let text = config(
        150,
        "virtual_ipaddress {\n 10.0.3.101/24 brd 10.0.3.255 dev eth0 scope link label eth0:7\n 10.0.0.103/24\n 10.0.0.102/32 scope host\n}\n\
         virtual_ipaddress_excluded {\n 10.1.0.1/16 dev eth0\n 10.1.0.2\n}",
    );
    let mut pair = Pair::only_a(lab, &text)?;
    let excluded = Ipv4Addr::new(10, 1, 0, 2);
    until(secs(6.0), "the last address", || pair.hosts[A].has(excluded).then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    let shown = pair.hosts[A].space.run("ip", &["-o", "-4", "address", "show", "dev", "eth0"])?;
    let line = |address: &str| {
        shown.lines().find(|line| line.contains(&format!(" {address} "))).unwrap_or_default().to_owned()
    };
    for (address, words) in [
        ("10.0.0.100/32", &["scope global eth0"][..]),
        ("10.0.3.101/24", &["brd 10.0.3.255", "scope link", "eth0:7"]),
        ("10.0.0.103/24", &["scope global", "secondary"]),
        ("10.0.0.102/32", &["scope host"]),
        ("10.1.0.1/16", &["scope global"]),
        ("10.1.0.2/32", &["scope global"]),
    ] {
        let line = line(address);
        for word in words {
            ensure!(line.contains(word), "{address}: no '{word}' in\n{shown}");
        }
    }
    ensure!(!line("10.1.0.1/16").contains("brd"), "a broadcast nobody asked for:\n{shown}");
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    let wanted = [VIP, [10, 0, 3, 101].into(), [10, 0, 0, 103].into(), [10, 0, 0, 102].into()];
    ensure!(advert.addresses == wanted, "advertised {:?}", advert.addresses);
    pair.a.stop()?;
    let left = pair.hosts[A].space.run("ip", &["-o", "-4", "address", "show", "dev", "eth0"])?;
    ensure!(left.lines().count() == 1, "left behind:\n{left}");
    Ok(())
}

fn gratuitous_arp(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, "virtual_ipaddress_excluded {\n 10.1.0.2\n}"))?;
    let first = pair.wait_master(A, pair.born, secs(6.0))?;
    let announced = until(secs(7.0), "twenty announcements", || {
        Some(pair.wire.announcements_of("a", first.at)).filter(|all| all.len() >= 20)
    })
    .map_err(|e| format!("{e}\n{}", pair.wire.story()))?;
    let order: Vec<_> = announced.iter().map(|a| a.address).collect();
    let wanted: Vec<_> = [VIP, Ipv4Addr::new(10, 1, 0, 2)].into_iter().cycle().take(20).collect();
    ensure!(order == wanted, "the order of announcements {order:?}");
    near("advert to announcement", announced[0].at.since(first.at), 0.0, 0.05)?;
    near("all of the first burst", announced[9].at.since(announced[0].at), 0.0, 0.02)?;
    near("burst to burst", announced[10].at.since(announced[0].at), 5.0, 0.15)?;
    near("all of the second burst", announced[19].at.since(announced[10].at), 0.0, 0.02)?;
    let frame = &announced[0].bytes;
    let mac = &frame[6..12];
    let vip = VIP.octets();
    let wanted = [
        &[0xff; 6][..],
        mac,
        // ARP for IPv4 over Ethernet, a request.
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        mac,
        &vip,
        &[0xff; 6],
        &vip,
    ]
    .concat();
    ensure!(frame[..42] == wanted, "the frame {frame:02x?}");
    Ok(())
}

fn gratuitous_arp_settings(lab: &Lab) -> Outcome {
    let more =
        "garp_master_delay 2\ngarp_master_repeat 3\ngarp_master_refresh 2\ngarp_master_refresh_repeat 2";
    let pair = Pair::only_a(lab, &config(150, more))?;
    let first = pair.wait_master(A, pair.born, secs(6.0))?;
    let announced = until(secs(8.0), "ten announcements", || {
        Some(pair.wire.announcements_of("a", first.at)).filter(|all| all.len() >= 10)
    })
    .map_err(|e| format!("{e}\n{}", pair.wire.story()))?;
    // Three, after 2 s three more, then refreshes of two each: the first with the second burst (2.2.7) or after it.
    let offsets: Vec<f64> = announced.iter().map(|a| a.at.since(announced[0].at)).collect();
    for (offset, wanted) in offsets.iter().zip([0.0, 0.0, 0.0, 2.0, 2.0, 2.0]) {
        near("an announcement", *offset, wanted, 0.2).map_err(|e| format!("{e} of {offsets:?}"))?;
    }
    near("within a refresh", offsets[7] - offsets[6], 0.0, 0.02)?;
    near("refresh to refresh", offsets[8] - offsets[6], 2.0, 0.2)
}

/// How long both had the address, in seconds, over a take-back.
fn overlap(pair: &mut Pair) -> Outcome<f64> {
    pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    let again = pair.start_a(&[])?;
    pair.wait_vip(A, secs(8.0))?;
    until(secs(2.0), "b to drop the address", || (!pair.has_vip(B)).then_some(()))?;
    let (came, left) = until(secs(2.0), "both changes", || {
        let came = pair.monitors[A].of(VIP, again).into_iter().rfind(|change| change.came)?;
        let left = pair.monitors[B].of(VIP, again).into_iter().rfind(|change| !change.came)?;
        Some((came.at, left.at))
    })?;
    Ok(left.since(came))
}

fn double_master(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let both = overlap(&mut pair)?;
    // The advert goes first, so the other one has left within a blink; stock shows about 1 ms.
    ensure!(both < 0.05, "both had it for {both:.3} s\n{}", pair.wire.story());
    // And at no time did both advertise: after a's first there is at most the one that was under way.
    let turn = pair.wire.adverts_of("a", Stamp(0)).last().cloned().ok_or("a never spoke")?;
    ensure!(pair.wire.adverts_of("b", turn.at).len() <= 1, "two masters\n{}", pair.wire.story());
    Ok(())
}

/// Payloads of IPv6 packets with this next header that a host sent, with the whole frame.
fn ipv6_of(pair: &Pair, host: &str, next_header: u8) -> Vec<(Stamp, Vec<u8>)> {
    let is_wanted = |frame: &[u8]| {
        frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&next_header) && frame.len() > 54
    };
    let frames = pair.wire.frames().into_iter();
    frames.filter(|f| f.from == host && is_wanted(&f.bytes)).map(|f| (f.at, f.bytes)).collect()
}

fn over_ipv6(lab: &Lab) -> Outcome {
    let text = |priority| {
        let more = "version 3\nadvert_int 1\nvirtual_ipaddress {\n fe80::66\n 2001:db8::66\n}";
        instance("VI_6", 66, "eth0", priority, more)
    };
    let mut pair = Pair::new(lab, &text(150), &text(100))?;
    let shown = |pair: &Pair, who: usize| {
        pair.hosts[who].space.run("ip", &["-o", "-6", "address", "show", "dev", "eth0"]).unwrap_or_default()
    };
    for (who, host) in pair.hosts.iter().enumerate() {
        // Without duplicate address detection the link-local address can be used at once.
        for (name, value) in [("eth0.accept_dad", "0"), ("all.disable_ipv6", "0"), ("eth0.disable_ipv6", "0")]
        {
            host.space.sysctl(&format!("net.ipv6.conf.{name}"), value)?;
        }
        until(secs(5.0), "a link-local address", || shown(&pair, who).contains("fe80::").then_some(()))?;
    }
    let has = |pair: &Pair, who: usize| {
        let shown = shown(pair, who);
        shown.contains(" fe80::66/128 ") && shown.contains(" 2001:db8::66/128 ")
    };
    pair.start_a(&[])?;
    pair.start_b(&[])?;
    until(secs(7.0), "a to have the addresses", || has(&pair, A).then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    let adverts = ipv6_of(&pair, "a", 112);
    let (at, advert) = adverts.first().cloned().ok_or("a never spoke")?;
    ensure!(advert[..6] == [0x33, 0x33, 0, 0, 0, 0x12], "sent to {:02x?}", &advert[..6]);
    // Version 6, class c0, then the flow label.
    ensure!(advert[14] == 0x6c && advert[15] >> 4 == 0, "class in {:02x?}", &advert[14..18]);
    ensure!(advert[21] == 255, "hop limit {}", advert[21]);
    ensure!(advert[54..60] == [0x31, 66, 150, 2, 0, 100], "the advert {:02x?}", &advert[54..]);
    let neighbours = until(secs(2.0), "ten neighbour advertisements", || {
        let all = ipv6_of(&pair, "a", 58);
        let ours = all.into_iter().filter(|(then, frame)| frame[54] == 136 && then.since(at) >= 0.0);
        Some(ours.collect::<Vec<_>>()).filter(|all| all.len() >= 10)
    })?;
    for (_, frame) in &neighbours {
        ensure!(frame[58] & 0x60 == 0x20, "flags {:02x}", frame[58]);
        ensure!(frame[22..38] == frame[62..78], "the source is not what is announced: {frame:02x?}");
        ensure!(frame[78..80] == [2, 1] && frame[80..86] == frame[6..12], "the link address: {frame:02x?}");
    }
    near("advert to announcement", neighbours[0].0.since(at), 0.0, 0.05)?;
    ensure!(!has(&pair, B), "b has them too");
    ensure!(ipv6_of(&pair, "b", 112).is_empty(), "b spoke: it did not hear a\n{}", pair.wire.story());
    pair.a.stop()?;
    until(secs(3.0), "b to take over", || has(&pair, B).then_some(())).map_err(|e| pair.b.explain(e))?;
    ensure!(!has(&pair, A), "a still has them");
    Ok(())
}
