//! When gratuitous ARPs and unsolicited neighbour advertisements go out, packet by packet beside stock in the same run.

use std::net::IpAddr;

use crate::case::{Case, Lab};
use crate::kit::inject::{Forged, Injector};
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::instance;
use crate::twins::{Twin, twins};

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-behaviour.md §7.
    Case::single("announce_arps_and_neighbour_advertisements_keep_stocks_times", schedule),
    Case::single("announce_the_global_words_are_the_defaults_and_arps_are_paced", paced),
    Case::single("announce_an_advert_of_lower_priority_is_answered_as_stock_does", lower_priority),
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
        // ARPs and neighbour advertisements are paced apart; each family has its order.
        for family in ['.', ':'] {
            let of = |said: &[(f64, String)]| -> Vec<(f64, String)> {
                said.iter().filter(|(_, address)| address.contains(family)).cloned().collect()
            };
            if addresses.iter().any(|address| address.contains(family)) {
                alike(&format!("VRID {vrid}"), &of(&ours), &of(&stock))?;
            }
        }
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

fn lower_priority(lab: &Lab) -> Outcome {
    let words =
        "garp_master_delay 0\ngarp_master_repeat 1\ngarp_lower_prio_delay 1\ngarp_lower_prio_repeat 3";
    let text = block("A", 51, &["10.0.0.100"], words)
        + &block("B", 52, &["10.0.0.101"], "garp_master_delay 0\ngarp_lower_prio_repeat 0")
        + &block("C", 53, &["10.0.0.102"], "garp_master_delay 0\nlower_prio_no_advert");
    let mut pair = twins(lab, &text)?;
    let mut seen = Vec::new();
    for twin in &mut pair {
        let host = Host::on(&twin.switch, "c", &["10.0.0.9/24"])?;
        twin.start()?;
        for vrid in [51, 52, 53] {
            until(secs(6.0), "an advert", || first_advert(twin, vrid))?;
        }
        // The takeovers are over with their announcements: one, and five each.
        until(secs(6.0), "the announcements of the takeovers", || {
            (announced(twin, Stamp(0)).len() >= 11).then_some(())
        })?;
        let injector = Injector::on(&host)?;
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
            injector.send(&forged.version_3(20))?;
        }
        until(secs(3.0), "the end", || (Stamp::now().since(begin) > 2.0).then_some(()))?;
        let said: Vec<(f64, String)> = announced(twin, begin)
            .into_iter()
            .map(|(at, address, _)| (at.since(begin), address.to_string()))
            .collect();
        // An advert out of turn, at once.
        let answered: Vec<u8> = twin
            .wire
            .adverts_of("a", begin)
            .iter()
            .filter(|advert| advert.at.since(begin) < 0.05)
            .map(|advert| advert.vrid)
            .collect();
        // 53 has nothing to say out of turn; a regular one of it may fall into the moment.
        ensure!([51, 52].iter().all(|vrid| answered.contains(vrid)), "answered for {answered:?} only");
        seen.push(said);
    }
    alike("after a lower priority", &seen[0], &seen[1])
}
