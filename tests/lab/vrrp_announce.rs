//! When gratuitous ARPs and unsolicited neighbour advertisements go out, packet by packet beside stock in the same run.

use std::net::IpAddr;
use std::path::Path;

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::inject::{Forged, Injector};
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::kit::wire::Sniffer;
use crate::pair::instance;
use crate::twins::{Twin, twins};

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-behaviour.md §7.
    Case::single("announce_arps_and_neighbour_advertisements_keep_stocks_times", schedule),
    Case::single("announce_the_global_words_are_the_defaults_and_arps_are_paced", paced),
    Case::single("announce_an_advert_of_lower_priority_is_answered_as_stock_does", lower_priority),
    Case::single("announce_neighbour_advertisements_are_paced", paced_advertisements),
    // garp_extra_if.
    Case::single("announce_other_interfaces_are_refreshed_as_stock_does", extra_interfaces),
];

/// An announcement: when, which address, from which hardware address.
type Said = (Stamp, IpAddr, [u8; 6]);

/// Everything that a twin announced since then, in order.
fn announced(twin: &Twin, since: Stamp) -> Vec<Said> {
    let frames = twin.wire.frames().into_iter().filter(|frame| frame.at >= since && frame.from == "a");
    frames
        .filter_map(|frame| {
            let mac = frame.bytes.get(6..12)?.try_into().ok()?;
            if let Some(arp) = frame.announcement() {
                return Some((frame.at, arp.address.into(), mac));
            }
            let is_advertisement = frame.bytes.get(12..14)? == [0x86, 0xdd] && *frame.bytes.get(20)? == 58;
            let target: [u8; 16] = frame.bytes.get(62..78)?.try_into().ok()?;
            is_advertisement.then(|| (frame.at, target.into(), mac))
        })
        .collect()
}

/// The first advert of a VRID, of either family.
fn first_advert(twin: &Twin, vrid: u8) -> Option<Stamp> {
    twin.wire.frames().iter().find_map(|frame| {
        let pdu = match frame.bytes.get(12..14)? {
            [8, 0] if *frame.bytes.get(23)? == 112 => frame.bytes.get(34..)?,
            [0x86, 0xdd] if *frame.bytes.get(20)? == 112 => frame.bytes.get(54..)?,
            _ => return None,
        };
        (*pdu.get(1)? == vrid).then_some(frame.at)
    })
}

/// What a twin announces of some addresses in a span after the first advert of a VRID: seconds and address.
fn story(twin: &Twin, vrid: u8, addresses: &[&str], span: f64) -> Outcome<Vec<(f64, String)>> {
    let begin = until(secs(6.0), format!("an advert of VRID {vrid}"), || first_advert(twin, vrid))
        .map_err(|e| twin.daemon.explain(e))?;
    until(secs(span + 1.0), "the end of the span", || (Stamp::now().since(begin) > span).then_some(()))?;
    let said = announced(twin, begin).into_iter();
    let ours = said.map(|(at, address, _)| (at.since(begin), address.to_string()));
    Ok(ours.filter(|(at, address)| *at < span && addresses.contains(&address.as_str())).collect())
}

/// The same announcements in the same order at the same times.
fn alike(what: &str, ours: &[(f64, String)], stock: &[(f64, String)]) -> Outcome {
    let told = || format!("{what}:\n{ours:?}\nstock:\n{stock:?}");
    ensure!(ours.len() == stock.len() && !stock.is_empty(), "{}", told());
    for ((at, address), (wanted_at, wanted)) in ours.iter().zip(stock) {
        ensure!(address == wanted && (at - wanted_at).abs() < 0.2, "{}", told());
    }
    Ok(())
}

fn run(lab: &Lab, text: &str) -> Outcome<[Twin; 2]> {
    let mut pair = twins(lab, text)?;
    for twin in &mut pair {
        twin.start()?;
    }
    Ok(pair)
}

fn block(name: &str, vrid: u8, addresses: &[&str], more: &str) -> String {
    let addresses = addresses.join("\n");
    let more = format!("version 3\nadvert_int 0.2\nvirtual_ipaddress {{\n{addresses}\n}}\n{more}");
    instance(name, vrid, "eth0", 150, &more)
}

fn schedule(lab: &Lab) -> Outcome {
    let four = ["10.0.0.100", "10.0.0.101"];
    let six = ["fe80::66", "2001:db8::66"];
    let later = ["10.0.0.110"];
    let late_six = ["fe80::67"];
    let words = "garp_master_delay 2\ngarp_master_repeat 3";
    // The first refresh comes after delay and period; in 2.2.7 the delay does not count. Without it they agree.
    let refresh =
        "garp_master_delay 0\ngarp_master_repeat 2\ngarp_master_refresh 2\ngarp_master_refresh_repeat 4";
    let text = block(
        "V4",
        51,
        &four,
        &format!("virtual_ipaddress_excluded {{\n2001:db8::aa\n10.1.0.2\n}}\n{words}"),
    ) + &block("V6", 52, &six, words)
        + &block("R4", 53, &later, refresh)
        + &block("R6", 54, &late_six, refresh);
    let pair = run(lab, &text)?;
    for (vrid, addresses) in [
        (51, &["10.0.0.100", "10.0.0.101", "2001:db8::aa", "10.1.0.2"][..]),
        (52, &six),
        (53, &later),
        (54, &late_six),
    ] {
        let [ours, stock] = [&pair[0], &pair[1]].map(|twin| story(twin, vrid, addresses, 5.5));
        let (ours, stock) = (ours?, stock?);
        // ARPs and neighbour advertisements in one order, that of the list.
        alike(&format!("VRID {vrid}"), &ours, &stock)?;
    }
    Ok(())
}

fn paced(lab: &Lab) -> Outcome {
    let words = "vrrp_garp_master_delay 2\nvrrp_garp_master_repeat 2\nvrrp_garp_interval 0.1\nvrrp_garp_lower_prio_repeat 3";
    let text = format!("global_defs {{\n{words}\n}}\n")
        + &block("A", 51, &["10.0.0.100", "10.0.0.101"], "")
        + &block("B", 52, &["10.0.0.110"], "garp_master_repeat 1");
    let pair = run(lab, &text)?;
    let all = ["10.0.0.100", "10.0.0.101", "10.0.0.110"];
    let [ours, stock] = [&pair[0], &pair[1]].map(|twin| story(twin, 51, &all, 3.5));
    let (ours, stock) = (ours?, stock?);
    for said in [&ours, &stock] {
        for two in said.windows(2) {
            let gap = two[1].0 - two[0].0;
            ensure!(gap > 0.09, "{gap:.3} s apart: {said:?}");
        }
    }
    for address in all {
        let count = |said: &[(f64, String)]| said.iter().filter(|(_, a)| a == address).count();
        let wanted = if address == "10.0.0.110" { 2 } else { 4 };
        // 2.2.7 loses some of them.
        let is_right = count(&ours) == wanted
            || pair[0].daemon.program.is_stock() && (2..wanted).contains(&count(&ours));
        ensure!(is_right, "{address}: {ours:?}\nstock {stock:?}");
    }
    Ok(())
}

/// When adverts of a VRID of version 3 left.
fn adverts_of(twin: &Twin, vrid: u8, since: Stamp) -> Vec<Stamp> {
    let adverts = twin.wire.adverts_of("a", since).into_iter();
    adverts.filter(|advert| advert.vrid == vrid).map(|advert| advert.at).collect()
}

fn lower_priority(lab: &Lab) -> Outcome {
    let words =
        "garp_master_delay 0\ngarp_master_repeat 1\ngarp_lower_prio_delay 1\ngarp_lower_prio_repeat 3";
    // An interval in which an answer out of turn is told from an advert that was due.
    let text = (block("A", 51, &["10.0.0.100"], words)
        + &block("B", 52, &["10.0.0.101"], "garp_master_delay 0\ngarp_lower_prio_repeat 0")
        + &block("C", 53, &["10.0.0.102"], "garp_master_delay 0\nlower_prio_no_advert"))
        .replace("advert_int 0.2", "advert_int 1.5");
    let mut pair = twins(lab, &text)?;
    let seen = std::thread::scope(|scope| {
        let both = pair.each_mut().map(|twin| scope.spawn(|| answers(twin)));
        both.map(|one| one.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let [ours, stock] = seen;
    let (ours, stock) = (ours?, stock?);
    // Each address has its times; which of two instances is heard first is nobody's concern.
    for address in ["10.0.0.100", "10.0.0.101", "10.0.0.102"] {
        let of = |said: &[(f64, String)]| -> Vec<_> {
            said.iter().filter(|(_, one)| one == address).cloned().collect()
        };
        let (ours, stock) = (of(&ours), of(&stock));
        ensure!(stock.is_empty() == (address == "10.0.0.101"), "stock on {address}: {stock:?}");
        ensure!(ours.is_empty() == stock.is_empty(), "{address}: {ours:?}");
        if !stock.is_empty() {
            alike("after a lower priority", &ours, &stock)?;
        }
    }
    Ok(())
}

/// What a twin announces in answer to adverts of lower priority, in seconds since its first advert in answer.
fn answers(twin: &mut Twin) -> Outcome<Vec<(f64, String)>> {
    let host = Host::on(&twin.switch, "c", &["10.0.0.9/24"])?;
    twin.start()?;
    // The bursts of the takeovers are over: 1, 5 and 5.
    until(secs(10.0), "eleven ARPs", || (announced(twin, Stamp(0)).len() >= 11).then_some(()))
        .map_err(|e| twin.daemon.explain(e))?;
    let injector = Injector::on(&host)?;
    // All became masters together, so that there is time until the next adverts.
    let seen = Stamp::now();
    let due = until(secs(4.0), "an advert of each", || {
        [51, 52, 53].iter().map(|vrid| adverts_of(twin, *vrid, seen).pop()).collect::<Option<Vec<_>>>()
    })?;
    let begin = Stamp::now();
    for vrid in [51, 52, 53] {
        let last = vrid + 49;
        let forged = Forged {
            source: [10, 0, 0, 9].into(),
            ttl: 255,
            vrid,
            priority: 90,
            checksum_off: 0,
            address: [10, 0, 0, last].into(),
        };
        injector.send(&forged.version_3(150))?;
    }
    // Adverts out of turn, long before the next ones are due.
    let turn = due.iter().min().map_or(begin, |at| Stamp(at.0 + 1_400_000_000));
    let out_of_turn = |vrid| adverts_of(twin, vrid, begin).into_iter().find(|at| *at < turn);
    let first =
        until(secs(1.0), "answers for 51 and 52", || out_of_turn(51).filter(|_| out_of_turn(52).is_some()))
            .map_err(|e| twin.daemon.explain(e))?;
    until(secs(3.0), "the end", || (Stamp::now().since(first) > 1.8).then_some(()))?;
    ensure!(out_of_turn(53).is_none(), "53 has nothing to say out of turn\n{}", twin.wire.story());
    let said = announced(twin, begin).into_iter();
    Ok(said.map(|(at, address, _)| (at.since(first), address.to_string())).collect())
}

fn paced_advertisements(lab: &Lab) -> Outcome {
    let words = "vrrp_garp_master_delay 0\nvrrp_garp_master_repeat 3\nvrrp_gna_interval 0.15";
    let text = format!("global_defs {{\n{words}\n}}\n")
        + &block("A", 51, &["fe80::66", "2001:db8::66"], "")
        + &block("B", 52, &["fe80::67"], "garp_master_repeat 2")
        // Its ARPs have no distance.
        + &block("C", 53, &["10.0.0.100"], "");
    let pair = run(lab, &text)?;
    let all = ["fe80::66", "2001:db8::66", "fe80::67"];
    let [ours, stock] = [&pair[0], &pair[1]].map(|twin| story(twin, 51, &all, 2.5));
    let (ours, stock) = (ours?, stock?);
    for said in [&ours, &stock] {
        for two in said.windows(2) {
            let gap = two[1].0 - two[0].0;
            ensure!(gap > 0.14, "{gap:.3} s apart: {said:?}");
        }
    }
    for (address, wanted) in all.into_iter().zip([3, 3, 2]) {
        let count = |said: &[(f64, String)]| said.iter().filter(|(_, a)| a == address).count();
        // 2.2.7 loses some of them, as it does with ARPs.
        let is_right = count(&ours) == wanted
            || pair[0].daemon.program.is_stock() && (1..wanted).contains(&count(&ours));
        ensure!(is_right, "{address}: {ours:?}\nstock {stock:?}");
    }
    for twin in &pair {
        let arps = story(twin, 53, &["10.0.0.100"], 1.0)?;
        ensure!(arps.len() == 3 && arps[2].0 - arps[0].0 < 0.1, "{}: {arps:?}", twin.daemon.program.label);
    }
    Ok(())
}

/// eth0 and eth1 on switches of their own; what a daemon announces of these addresses on eth1 in a span that begins with the
/// first advert of their VRID.
fn on_eth1(
    program: &Program,
    folder: &Path,
    text: &str,
    (addresses, span): (&[(&str, u8)], f64),
) -> Outcome<Vec<(f64, String)>> {
    let (switch, other) = (Switch::new()?, Switch::new()?);
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    host.plug(&other, &["10.0.9.1/24"])?;
    let (wire, far) = (Sniffer::on(&switch, &[&host])?, Sniffer::on(&other, &[&host])?);
    let mut daemon = Daemon::start_on(&host, program, folder, text)?;
    let first = |vrid: u8| {
        wire.wait_advert("an advert", Stamp(0), secs(8.0), |advert| advert.vrid == vrid)
            .map(|advert| advert.at)
            .map_err(|e| daemon.explain(e))
    };
    let mut begins = Vec::new();
    for (address, vrid) in addresses {
        begins.push(((*address).to_owned(), first(*vrid)?));
    }
    let last = begins.iter().map(|(_, at)| *at).max().unwrap_or(Stamp(0));
    until(secs(span + 1.0), "the end of the span", || (Stamp::now().since(last) > span).then_some(()))?;
    daemon.stop()?;
    let mut said = Vec::new();
    for (address, begin) in begins {
        let all = far.announcements_of("a", begin).into_iter();
        let all = all.filter(|one| one.address.to_string() == address);
        said.extend(all.map(|one| (one.at.since(begin), address.clone())).filter(|(at, _)| *at < span));
    }
    Ok(said)
}

fn extra_interfaces(lab: &Lab) -> Outcome {
    let words = "garp_master_delay 0\ngarp_master_repeat 1\n";
    let text = [
        // One of two addresses on a VMAC of eth1 every second.
        block(
            "A",
            51,
            &["10.0.0.100", "10.0.9.100/24 dev eth1", "10.0.9.101/24 dev eth1"],
            &format!("{words}use_vmac\nuse_vmac_addr\ngarp_extra_if 1"),
        ),
        // eth1 itself: only if it is asked for.
        block("B", 52, &["10.0.0.110", "10.0.9.110/24 dev eth1"], &format!("{words}garp_extra_if all 1")),
        block("C", 53, &["10.0.0.120", "10.0.9.120/24 dev eth1"], &format!("{words}garp_extra_if 1")),
    ]
    .concat();
    let seen = std::thread::scope(|scope| {
        let all = [("subject", lab.subject.clone()), ("stock", Program::stock())];
        let all = all.map(|(folder, program)| {
            let (text, folder) = (&text, lab.directory.join(folder));
            let addresses = [("10.0.9.100", 51), ("10.0.9.101", 51), ("10.0.9.110", 52), ("10.0.9.120", 53)];
            scope.spawn(move || on_eth1(&program, &folder, text, (&addresses, 3.6)))
        });
        all.map(|one| one.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let [ours, stock] = seen;
    let (ours, stock) = (ours?, stock?);
    for (address, count) in [("10.0.9.100", 4), ("10.0.9.101", 1), ("10.0.9.110", 4), ("10.0.9.120", 1)] {
        let of = |said: &[(f64, String)]| -> Vec<_> {
            said.iter().filter(|(_, one)| one == address).cloned().collect()
        };
        ensure!(of(&ours).len() == count, "{address}: {ours:?}\nstock {stock:?}");
        alike(address, &of(&ours), &of(&stock))?;
    }
    Ok(())
}
