//! BFD sessions and the instances that track them (spec/bfd.md).

use std::fmt::Write as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::{B, Pair, config};

pub(crate) const CASES: &[Case] = &[
    Case::pair("bfd_a_session_comes_up_moves_the_priority_and_expires", session),
    Case::pair("bfd_an_instance_without_weight_fails_with_its_session", fault),
    Case::single("bfd_a_killed_bfd_process_has_a_successor_whose_sessions_come_up", killed),
];

/// `bfd_instance B` towards the other host, 100 ms × 5, and an instance that tracks it.
fn with_session(own: u8, priority: u8, track: &str, more: &str) -> String {
    let other = 3 - own;
    let mut text = format!(
        "bfd_instance B {{\n    neighbor_ip 10.0.0.{other}\n    source_ip 10.0.0.{own}\n    min_rx 100\n    min_tx 50\n    \
         multiplier 5\n    {more}\n}}\n"
    );
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", config(priority, &format!("track_bfd {{\n    B {track}\n}}")));
    text
}

fn session(lab: &Lab) -> Outcome {
    let (a, b) = (with_session(1, 100, "weight 20", ""), with_session(2, 50, "weight 20", ""));
    let mut pair = Pair::started(lab, &a, &b)?;
    pair.a.wait_log("(B) Entering Up state", secs(8.0))?;
    pair.b.wait_log("(B) Entering Up state", secs(8.0))?;
    pair.a.wait_log("Tracked BFD instance B is UP", secs(3.0))?;
    pair.wire.wait_advert("a is master with its session's weight", Stamp(0), secs(15.0), |advert| {
        advert.from == "a" && advert.priority == 120
    })?;
    let text = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived_bfd.data")?;
    for line in
        ["BFD Instance = B", "local state = Up", "remote state = Up", "local detection time = 500000 us"]
    {
        ensure!(text.contains(line), "no '{line}' in\n{text}");
    }
    let gone = pair.b.crash()?;
    let told = pair.a.wait_log("(B) Expired after 5", secs(3.0))?;
    let late = told.at.since(gone);
    ensure!((0.35..0.75).contains(&late), "expired {late:.3} s after the last packet");
    pair.wire.wait_advert("the weight is gone", gone, secs(4.0), |advert| {
        advert.from == "a" && advert.priority == 100
    })?;
    pair.a.wait_log("Tracked BFD instance B is DOWN", secs(2.0))?;
    // The other end comes back.
    let host = &pair.hosts[B];
    pair.b.start(host, &[])?;
    let again = Stamp::now();
    pair.wire.wait_advert("the weight is back", again, secs(15.0), |advert| {
        advert.from == "a" && advert.priority == 120
    })?;
    Ok(())
}

fn fault(lab: &Lab) -> Outcome {
    let (a, b) = (with_session(1, 200, "", ""), with_session(2, 100, "weight 0", "passive"));
    let mut pair = Pair::only_a(lab, &a)?;
    let seen = pair.a.log_length();
    ensure!(!pair.a.logged("Entering MASTER"), "master without its session");
    pair.b.configure(&b)?;
    pair.b.start(&pair.hosts[B], &[])?;
    pair.a.wait_log_after(seen, "Entering BACKUP STATE", secs(10.0))?;
    pair.a.wait_log("Entering MASTER STATE", secs(8.0))?;
    pair.b.crash()?;
    pair.a.wait_log("Entering FAULT STATE", secs(4.0))?;
    Ok(())
}

fn killed(lab: &Lab) -> Outcome {
    let (a, b) = (with_session(1, 100, "weight 20", ""), with_session(2, 50, "weight 20", ""));
    let pair = Pair::started(lab, &a, &b)?;
    pair.wire.wait_advert("a is master with its session's weight", Stamp(0), secs(15.0), |advert| {
        advert.from == "a" && advert.priority == 120
    })?;
    let old = pair.a.pid("bfd")?;
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    until(secs(6.0), "a successor", || pair.a.pid("bfd").ok().filter(|pid| *pid != old))?;
    pair.a.wait_log("Respawning", secs(2.0))?;
    let now = Stamp::now();
    pair.wire.wait_advert("the weight is there", now, secs(10.0), |advert| {
        advert.from == "a" && advert.priority == 120
    })?;
    Ok(())
}
