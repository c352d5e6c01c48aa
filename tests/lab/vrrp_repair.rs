//! What another program takes away from a master: put back alone and at once, or answered as stock does if that is asked for.

use std::net::Ipv4Addr;

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::pair::{A, Pair, VIP, config, skew};

pub(crate) const CASES: &[Case] = &[
    Case::single("repair_what_somebody_takes_is_put_back_alone_and_at_once", alone)
        .unlike_stock("spec/vrrp-behaviour.md §8 \"VIP deleted by someone else\": it holds an election"),
    Case::single("repair_backs_off_when_somebody_goes_on_and_says_who", backs_off)
        .unlike_stock("spec/vrrp-behaviour.md §8 \"VIP deleted by someone else\": an election each time"),
    // spec/vrrp-behaviour.md §8 "VIP deleted by someone else", "Route or rule deleted".
    Case::pair("repair_by_stocks_way_is_an_election_without_a_rival", stocks_way),
    // And what stock does not notice at all.
    Case::single("repair_by_stocks_way_leaves_a_lost_firewall_alone", lost_firewall),
    Case::single("repair_what_is_not_tracked_stays_away", not_tracked),
];

const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 101);

/// Two addresses, a third and a fourth without tracking, routes and rules with and without.
fn text(priority: u8, more: &str) -> String {
    let more = format!(
        "virtual_ipaddress {{\n{SECOND}/24\n}}\n\
         virtual_ipaddress_excluded {{\n10.0.0.102 no_track\n}}\n\
         virtual_routes {{\n10.1.0.0/24 via 10.0.0.2 dev eth0 src {SECOND}\n10.3.0.0/24 via 10.0.0.2 dev eth0\n10.2.0.0/24 via 10.0.0.2 dev eth0 no_track\n}}\n\
         virtual_rules {{\nfrom 10.1.0.0/24 table 100 preference 500\nfrom 10.2.0.0/24 table 100 preference 501 no_track\n}}\n{more}"
    );
    config(priority, &more)
}

/// What a shows of one of its objects; empty when it is gone.
fn shown(pair: &Pair, command: &str) -> String {
    let arguments: Vec<_> = command.split(' ').collect();
    pair.hosts[A].space.run("ip", &arguments).unwrap_or_default()
}

fn ip(pair: &Pair, command: &str) -> Outcome {
    pair.hosts[A].space.run("ip", &command.split(' ').collect::<Vec<_>>()).map(drop)
}

/// Nothing but these addresses moved on a since then, and nobody heard of it.
fn undisturbed(pair: &Pair, since: Stamp, b_heard: usize, moved: &[Ipv4Addr]) -> Outcome {
    for address in [VIP, SECOND, [10, 0, 0, 102].into()] {
        let left = pair.monitors[A].of(address, since).iter().any(|change| !change.came);
        ensure!(
            left == moved.contains(&address),
            "{address} left: {left}\n{}",
            pair.a.explain(String::new())
        );
    }
    ensure!(pair.b.log_length() == b_heard, "b noticed: {}", pair.b.explain(String::new()));
    let adverts = pair.wire.adverts_of("a", since);
    ensure!(adverts.iter().all(|advert| advert.priority == 150), "{}", pair.wire.story());
    ensure!(pair.a.log().iter().filter(|line| line.text.contains(") Entering ")).count() == 2, "a moved");
    Ok(())
}

fn alone(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &text(150, "no_accept"), &text(100, ""))?;
    let rule = "rule show preference 500";
    until(secs(2.0), "the last rule", || shown(&pair, rule).contains("10.1.0.0/24").then_some(()))?;
    let heard = pair.b.log_length();
    for (take, look, wanted, moved) in [
        (
            format!("address del {VIP}/32 dev eth0"),
            "-4 address show dev eth0",
            "inet 10.0.0.100/32",
            vec![VIP],
        ),
        // Its route goes with it, and comes back with it.
        (
            format!("address del {SECOND}/24 dev eth0"),
            "route show 10.1.0.0/24",
            "src 10.0.0.101",
            vec![SECOND],
        ),
        ("route del 10.3.0.0/24".to_owned(), "route show 10.3.0.0/24", "via 10.0.0.2", vec![]),
        (
            "route replace 10.3.0.0/24 via 10.0.0.3".to_owned(),
            "route show 10.3.0.0/24",
            "via 10.0.0.2",
            vec![],
        ),
        ("rule del preference 500".to_owned(), rule, "10.1.0.0/24", vec![]),
    ] {
        let (at, seen) = (Stamp::now(), pair.a.log_length());
        ip(&pair, &take)?;
        let gone = Stamp::now();
        until(secs(1.0), format!("what `{take}` took"), || shown(&pair, look).contains(wanted).then_some(()))
            .map_err(|e| pair.a.explain(e))?;
        let took = Stamp::now().since(gone);
        ensure!(took < 0.3, "`{take}` was mended after {took:.3} s");
        let told = pair.a.wait_log_after(seen, "was removed", secs(1.0))?;
        ensure!(
            told.text.contains(" by ") && told.text.contains("process "),
            "nobody is named: {}",
            told.text
        );
        if let Some(address) = moved.first() {
            until(secs(1.0), "five gratuitous ARPs", || {
                let announced = pair.wire.announcements_of("a", at);
                (announced.iter().filter(|one| one.address == *address).count() >= 5).then_some(())
            })?;
            let others = pair.wire.announcements_of("a", at);
            ensure!(others.iter().all(|one| one.address == *address), "others are announced, too");
        }
        undisturbed(&pair, at, heard, &moved)?;
    }
    let (at, seen) = (Stamp::now(), pair.a.log_length());
    pair.hosts[A].nft(&["delete", "table", "ip", "keepalived"])?;
    until(secs(1.0), "the table", || {
        pair.hosts[A].nft(&["list", "ruleset"]).ok()?.contains("10.0.0.100").then_some(())
    })
    .map_err(|e| pair.a.explain(e))?;
    let told = pair.a.wait_log_after(seen, "nft", secs(1.0))?;
    ensure!(told.text.contains("by `nft`"), "nobody is named: {}", told.text);
    undisturbed(&pair, at, heard, &[])
}

fn backs_off(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &text(150, ""), &text(100, ""))?;
    let take = format!("address del {VIP}/32 dev eth0");
    let seen = pair.a.log_length();
    for _ in 0..2 {
        ip(&pair, &take)?;
        pair.wait_vip(A, secs(1.0))?;
    }
    let third = Stamp::now();
    ip(&pair, &take)?;
    let told = pair.a.wait_log_after(seen, "was removed three times in 10 s", secs(1.0))?;
    for part in ["10.0.0.100", "process ", "trying again in 10 s"] {
        ensure!(told.text.contains(part), "no '{part}' in {}", told.text);
    }
    throughout(secs(3.0), "it stays away", || !pair.has_vip(A))?;
    // Its other objects and its mastership are untouched.
    ensure!(pair.hosts[A].has(SECOND), "the other address went");
    until(secs(9.0), "another attempt", || pair.has_vip(A).then_some(())).map_err(|e| pair.a.explain(e))?;
    near("the pause", Stamp::now().since(third), 10.0, 0.5)?;
    let adverts = pair.wire.adverts_of("a", third);
    ensure!(adverts.len() >= 9 && adverts.iter().all(|a| a.priority == 150), "{}", pair.wire.story());
    ensure!(pair.wire.adverts_of("b", third).is_empty(), "b took over");
    // The next fight is longer.
    let seen = pair.a.log_length();
    for _ in 0..3 {
        ip(&pair, &take)?;
        until(secs(1.0), "an answer", || {
            (pair.has_vip(A) || pair.a.log().iter().skip(seen).any(|l| l.text.contains("again in 20 s")))
                .then_some(())
        })
        .map_err(|e| pair.a.explain(e))?;
    }
    pair.a.wait_log_after(seen, "trying again in 20 s", secs(1.0)).map(drop)
}

fn stocks_way(lab: &Lab) -> Outcome {
    let stocks = "@keepalived-rs vip_repair stock";
    let pair = Pair::elected(lab, &text(150, stocks), &text(100, ""))?;
    let rule = "rule show preference 500";
    until(secs(2.0), "the last rule", || shown(&pair, rule).contains("10.1.0.0/24").then_some(()))?;
    for take in [
        format!("address del {VIP}/32 dev eth0"),
        "route del 10.1.0.0/24".to_owned(),
        "rule del preference 500".to_owned(),
    ] {
        let (at, seen) = (Stamp::now(), pair.a.log_length());
        ip(&pair, &take)?;
        let zero =
            pair.wire.wait_advert("priority 0", at, secs(1.0), |a| a.from == "a" && a.priority == 0)?;
        near("the loss to priority 0", zero.at.since(at), 0.0, 0.3)?;
        pair.a.wait_log_after(seen, "(VI_1) Entering BACKUP STATE", secs(1.0))?;
        let first = pair.wait_master(A, zero.at, secs(2.0))?;
        near("priority 0 to the next advert", first.at.since(zero.at), skew(150), 0.1)?;
        pair.a.wait_log_after(seen, "(VI_1) Entering MASTER STATE", secs(1.0))?;
        // Everything went, and everything is back.
        for address in [VIP, SECOND, [10, 0, 0, 102].into()] {
            let left = pair.monitors[A].of(address, at).iter().any(|change| !change.came);
            ensure!(left, "`{take}`: {address} stayed");
            until(secs(1.0), address, || pair.hosts[A].has(address).then_some(()))?;
        }
        until(secs(1.0), "the rule", || shown(&pair, rule).contains("10.1.0.0/24").then_some(()))?;
        ensure!(pair.wire.adverts_of("b", at).is_empty(), "b took over\n{}", pair.wire.story());
    }
    Ok(())
}

fn lost_firewall(lab: &Lab) -> Outcome {
    let quick = "version 3\nadvert_int 0.2\nno_accept\n@keepalived-rs vip_repair stock";
    let mut pair = Pair::only_a(lab, &text(150, quick))?;
    let ruleset = |pair: &Pair| pair.hosts[A].nft(&["list", "ruleset"]);
    until(secs(6.0), "the addresses in the firewall", || {
        ruleset(&pair).ok()?.contains("10.0.0.102").then_some(())
    })
    .map_err(|e| pair.a.explain(e))?;
    let (at, seen) = (Stamp::now(), pair.a.log_length());
    pair.hosts[A].nft(&["delete", "table", "ip", "keepalived"])?;
    throughout(secs(1.5), "the table stays away", || ruleset(&pair).is_ok_and(|text| text.trim().is_empty()))
        .map_err(|e| pair.a.explain(e))?;
    let told = pair.a.log().split_off(seen).into_iter().find(|line| line.text.contains("irewall"));
    ensure!(told.is_none(), "it noticed: {told:?}");
    // The addresses are there, and the adverts go on.
    for address in [VIP, SECOND, [10, 0, 0, 102].into()] {
        ensure!(pair.hosts[A].has(address), "{address} went");
    }
    let adverts = pair.wire.adverts_of("a", at);
    ensure!(adverts.len() >= 5 && adverts.iter().all(|a| a.priority == 150), "{}", pair.wire.story());
    let (_, status) = pair.a.stop()?;
    ensure!(status.code() == Some(0) && !pair.has_vip(A), "exit {status}");
    Ok(())
}

fn not_tracked(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &text(150, ""))?;
    let rule = "rule show preference 501";
    until(secs(7.0), "the last rule", || shown(&pair, rule).contains("10.2.0.0/24").then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    let at = Stamp::now();
    ip(&pair, "address del 10.0.0.102/32 dev eth0")?;
    ip(&pair, "route del 10.2.0.0/24")?;
    ip(&pair, "rule del preference 501")?;
    let away = |pair: &Pair| {
        !pair.hosts[A].has([10, 0, 0, 102].into())
            && shown(pair, "route show 10.2.0.0/24").is_empty()
            && shown(pair, rule).is_empty()
    };
    throughout(secs(2.0), "they stay away", || away(&pair)).map_err(|e| pair.a.explain(e))?;
    let adverts = pair.wire.adverts_of("a", at);
    ensure!(adverts.iter().all(|advert| advert.priority == 150), "{}", pair.wire.story());
    // With the next entry to MASTER they are there again.
    pair.hosts[A].space.ip("link set eth0 down\nlink set eth0 up")?;
    until(secs(7.0), "the next takeover", || {
        (pair.hosts[A].has([10, 0, 0, 102].into())
            && shown(&pair, "route show 10.2.0.0/24").contains("via")
            && shown(&pair, rule).contains("100"))
        .then_some(())
    })
    .map_err(|e| pair.a.explain(e))?;
    pair.a.stop()?;
    for command in ["rule show preference 500", rule, "route show 10.1.0.0/24"] {
        ensure!(shown(&pair, command).is_empty(), "left behind: {}", shown(&pair, command));
    }
    Ok(())
}
