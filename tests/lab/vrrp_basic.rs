//! Election, failover and take-back on the wire: who is master, when, and what the adverts look like.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::net::Cable;
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::pair::{A, B, Pair, VIP, config, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("vrrp_the_higher_priority_is_elected", election),
    Case::single("vrrp_state_master_waits_the_full_master_down_timer", state_master_waits),
    Case::pair("vrrp_a_crash_is_noticed_after_the_master_down_time", crash),
    Case::pair("vrrp_a_stop_hands_over_after_the_skew", stop),
    Case::pair("vrrp_the_returning_master_takes_back", take_back),
    Case::pair("vrrp_nopreempt_leaves_the_lower_one_master", nopreempt),
    Case::pair("vrrp_preempt_delay_holds_the_take_back", preempt_delay),
    Case::pair("vrrp_equal_priorities_are_decided_by_address", equal_priority),
    Case::pair("vrrp_different_passwords_make_two_masters", auth_mismatch),
    Case::pair("vrrp_equal_passwords_make_one_master", auth_match),
    Case::pair("vrrp_v3_learns_the_interval_of_the_master", learned_interval),
    Case::pair("vrrp_unicast_goes_to_the_peer_only", unicast),
    Case::pair("vrrp_a_backup_that_was_held_up_listens_before_it_takes_over", held_up),
];

fn election(lab: &Lab) -> Outcome {
    let pair = Pair::started(lab, &config(150, ""), &config(100, ""))?;
    let first = pair.wait_master(A, pair.born, secs(6.0))?;
    ensure!(first.version == 2 && first.vrid == 51 && first.priority == 150, "{first}");
    ensure!(first.ttl == 255 && first.tos == 0xc0, "ttl {} tos {:#x}", first.ttl, first.tos);
    ensure!(first.destination == Ipv4Addr::new(224, 0, 0, 18), "sent to {}", first.destination);
    ensure!(first.destination_mac == [1, 0, 0x5e, 0, 0, 0x12], "to {:x?}", first.destination_mac);
    ensure!(first.addresses == [VIP], "addresses {:?}", first.addresses);
    ensure!(first.password == [0; 8], "authentication bytes {:?}", first.password);
    ensure!(first.checksum_right, "wrong checksum");
    pair.wait_vip(A, secs(1.0))?;
    let adverts = until(secs(5.0), "four adverts of a", || {
        Some(pair.wire.adverts_of("a", pair.born)).filter(|adverts| adverts.len() >= 4)
    })?;
    for two in adverts.windows(2) {
        near("from advert to advert", two[1].at.since(two[0].at), 1.0, 0.15)
            .map_err(|e| pair.a.explain(format!("{e}\n{}", pair.wire.story())))?;
        ensure!(two[1].id == two[0].id + 1, "identification {} after {}", two[1].id, two[0].id);
    }
    ensure!(adverts[0].id == 1, "the first identification is {}", adverts[0].id);
    ensure!(pair.wire.adverts_of("b", pair.born).is_empty(), "b spoke\n{}", pair.wire.story());
    ensure!(!pair.has_vip(B), "both have the address");
    for daemon in [&pair.a, &pair.b] {
        ensure!(
            daemon.logged("(VI_1) Entering BACKUP STATE (init)"),
            "{}",
            daemon.explain("no init".to_owned())
        );
    }
    ensure!(pair.a.logged("(VI_1) Entering MASTER STATE"), "{}", pair.a.explain("no MASTER line".into()));
    Ok(())
}

fn state_master_waits(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, "state MASTER"))?;
    let backup = pair.a.wait_log("Entering BACKUP STATE (init)", secs(5.0))?;
    let first = pair.wait_master(A, pair.born, secs(6.0))?;
    near("BACKUP to first advert", first.at.since(backup.at), 3.0 + skew(150), 0.15)
}

fn crash(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let crashed = pair.a.crash()?;
    let last = pair.wire.last_advert_of("a", Stamp::now()).ok_or("a never spoke")?;
    let first = pair.wait_master(B, crashed, secs(5.0))?;
    near("last advert of a to first of b", first.at.since(last.at), 3.0 + skew(100), 0.1)?;
    pair.wait_vip(B, secs(1.0))
}

fn stop(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let (at, status) = pair.a.stop()?;
    ensure!(status.success(), "exit {status}");
    let zero = pair
        .wire
        .wait_advert("priority 0 of a", at, secs(1.0), |advert| advert.from == "a" && advert.priority == 0)?;
    near("signal to priority 0", zero.at.since(at), 0.0, 0.3)?;
    let first = pair.wait_master(B, at, secs(3.0))?;
    near("priority 0 to the first advert of b", first.at.since(zero.at), skew(100), 0.1)?;
    ensure!(!pair.has_vip(A), "a keeps the address");
    ensure!(pair.a.processes().is_empty(), "processes are left: {:?}", pair.a.processes());
    Ok(())
}

fn take_back(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    let again = pair.start_a(&[])?;
    let first = pair.wait_master(A, again, secs(7.0))?;
    ensure!(first.at.since(again) > 3.0, "took over after {:.3} s", first.at.since(again));
    pair.wait_vip(A, secs(1.0))?;
    until(secs(1.0), "b to drop the address", || (!pair.has_vip(B)).then_some(()))?;
    throughout(secs(2.2), "only a is master", || !pair.has_vip(B) && pair.has_vip(A))?;
    let after: Vec<_> = pair.wire.adverts_of("b", first.at);
    // One of b's may be on its way already; it must not say priority 0.
    ensure!(after.len() <= 1, "b went on\n{}", pair.wire.story());
    ensure!(after.iter().all(|a| a.priority != 0), "b resigned with priority 0 although it was preempted");
    ensure!(
        pair.b.logged("(VI_1) Master received advert from 10.0.0.1 with higher priority 150, ours 100"),
        "{}",
        pair.b.explain("no line about the higher priority".into())
    );
    Ok(())
}

fn nopreempt(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, "nopreempt"), &config(100, "nopreempt"))?;
    pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    let again = pair.start_a(&[])?;
    pair.a.wait_log_after(0, "Entering BACKUP STATE (init)", secs(5.0))?;
    throughout(secs(6.0), "b stays master", || pair.has_vip(B) && !pair.has_vip(A))?;
    ensure!(pair.wire.adverts_of("a", again).is_empty(), "a spoke\n{}", pair.wire.story());
    Ok(())
}

fn preempt_delay(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &config(150, "preempt_delay 4"), &config(100, ""))?;
    pair.a.stop()?;
    pair.wait_vip(B, secs(3.0))?;
    let again = pair.start_a(&[])?;
    let started = pair.a.wait_log("start preempt delay", secs(4.0))?;
    let first = pair.wait_master(A, again, secs(12.0))?;
    let held = first.at.since(started.at);
    ensure!((4.0..8.5).contains(&held), "{held:.3} s after the delay began\n{}", pair.wire.story());
    Ok(())
}

fn equal_priority(lab: &Lab) -> Outcome {
    // Both become master where they cannot hear each other; then they meet, and b has the higher address.
    let mut pair = Pair::new(lab, &config(100, ""), &config(100, ""))?;
    pair.switch.cable(&pair.hosts[B], Cable::Aside)?;
    pair.start_a(&[])?;
    pair.start_b(&[])?;
    pair.wait_vip(A, secs(6.0))?;
    pair.wait_vip(B, secs(6.0))?;
    pair.switch.cable(&pair.hosts[B], Cable::In)?;
    until(secs(3.0), "b alone to have the address", || (pair.has_vip(B) && !pair.has_vip(A)).then_some(()))?;
    let settled = Stamp::now();
    throughout(secs(3.0), "b stays master", || pair.has_vip(B) && !pair.has_vip(A))?;
    ensure!(pair.wire.adverts_of("a", settled).is_empty(), "a goes on\n{}", pair.wire.story());
    ensure!(
        pair.wire.adverts().iter().all(|advert| advert.priority != 0),
        "priority 0\n{}",
        pair.wire.story()
    );
    Ok(())
}

fn with_password(priority: u8, password: &str) -> String {
    config(priority, &format!("authentication {{\n auth_type PASS\n auth_pass {password}\n}}"))
}

fn auth_mismatch(lab: &Lab) -> Outcome {
    let pair = Pair::started(lab, &with_password(150, "secret"), &with_password(100, "other"))?;
    pair.wait_master(A, pair.born, secs(6.0))?;
    pair.wait_master(B, pair.born, secs(6.0))?;
    throughout(secs(3.0), "both are master", || {
        !pair.wire.adverts().is_empty() && (pair.has_vip(A) || pair.has_vip(B))
    })?;
    pair.wait_vip(A, secs(1.0))?;
    pair.wait_vip(B, secs(1.0))?;
    pair.b.wait_log("received an invalid passwd", secs(2.0))?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(advert.password == *b"secret\0\0", "authentication bytes {:?}", advert.password);
    Ok(())
}

fn auth_match(lab: &Lab) -> Outcome {
    // The ninth character and all after it do not count.
    let pair = Pair::started(lab, &with_password(150, "12345678a"), &with_password(100, "12345678b"))?;
    pair.wait_master(A, pair.born, secs(6.0))?;
    throughout(secs(5.0), "b stays quiet", || !pair.has_vip(B))?;
    ensure!(pair.wire.adverts_of("b", pair.born).is_empty(), "b spoke\n{}", pair.wire.story());
    Ok(())
}

fn learned_interval(lab: &Lab) -> Outcome {
    let fast = config(150, "version 3\nadvert_int 0.5");
    let slow = config(100, "version 3\nadvert_int 2");
    let mut pair = Pair::elected(lab, &fast, &slow)?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(advert.version == 3 && advert.checksum_right, "{advert}, checksum {}", advert.checksum_right);
    near("the interval in the advert", advert.interval, 0.5, 0.001)?;
    pair.b.wait_log("advertisement interval updated from 2000ms to 500ms", secs(3.0))?;
    // A second one, so that the timer runs by the learned interval.
    let seen = Stamp::now();
    pair.wire.wait_advert("one more of a", seen, secs(2.0), |advert| advert.from == "a")?;
    pair.a.crash()?;
    let last = pair.wire.last_advert_of("a", Stamp::now()).ok_or("a never spoke")?;
    let first = pair.wait_master(B, last.at, secs(5.0))?;
    near("last advert of a to first of b", first.at.since(last.at), 3.0 * 0.5 + skew(100) * 0.5, 0.1)?;
    near("the interval b announces", first.interval, 2.0, 0.001)
}

fn unicast(lab: &Lab) -> Outcome {
    let a = config(150, "unicast_src_ip 10.0.0.1\nunicast_peer {\n 10.0.0.2\n}");
    let b = config(100, "unicast_src_ip 10.0.0.2\nunicast_peer {\n 10.0.0.1\n}");
    let mut pair = Pair::elected(lab, &a, &b)?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(advert.destination == Ipv4Addr::new(10, 0, 0, 2), "sent to {}", advert.destination);
    ensure!(advert.ttl == 255 && advert.checksum_right, "ttl {}", advert.ttl);
    ensure!(
        pair.wire.adverts().iter().all(|advert| !advert.destination.is_multicast()),
        "multicast\n{}",
        pair.wire.story()
    );
    let (at, _) = pair.a.stop()?;
    let first = pair.wait_master(B, at, Duration::from_secs(3))?;
    near("stop to the first advert of b", first.at.since(at), skew(100), 0.3)
}

fn held_up(lab: &Lab) -> Outcome {
    // b, the peer: it gets no processor for longer than the master-down time, while adverts pile up in its socket.
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let vrrp = Pid::from_raw(pair.b.pid("vrrp")?);
    let held = Stamp::now();
    kill(vrrp, Signal::SIGSTOP).map_err(|e| e.to_string())?;
    let heard = until(secs(8.0), "five adverts of a", || {
        Some(pair.wire.adverts_of("a", held)).filter(|adverts| adverts.len() >= 5)
    });
    kill(vrrp, Signal::SIGCONT).map_err(|e| e.to_string())?;
    heard?;
    throughout(secs(3.0), "b stays quiet", || !pair.has_vip(B) && pair.wire.adverts_of("b", held).is_empty())
        .map_err(|e| pair.b.explain(format!("{e}\n{}", pair.wire.story())))
}
