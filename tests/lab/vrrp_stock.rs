//! Cases whose measure is stock itself, in the same run: the three walks, the time with two masters, and how late a takeover is.

use std::net::Ipv4Addr;

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::{A, B, Pair, VIP, config, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("walk_1_a_100_master_nopreempt_b_101_backup_nopreempt", |lab| walks(lab, WALKS[0])),
    Case::pair("walk_2_a_101_master_nopreempt_b_100_backup_nopreempt", |lab| walks(lab, WALKS[1])),
    Case::pair("walk_3_a_101_backup_nopreempt_b_100_backup_nopreempt", |lab| walks(lab, WALKS[2])),
    Case::pair("vrrp_a_takeover_is_a_few_milliseconds_late_at_most", lateness).alone(),
    Case::pair("vrrp_two_masters_no_longer_than_with_stock", double_master).alone(),
];

/// Priority and state of a, then of b.
type Walk = [(u8, &'static str); 2];

const WALKS: [Walk; 3] = [
    [(100, "MASTER"), (101, "BACKUP")],
    [(101, "MASTER"), (100, "BACKUP")],
    [(101, "BACKUP"), (100, "BACKUP")],
];

/// How a daemon is ended in a walk.
#[derive(Clone, Copy, Debug)]
enum End {
    Stop,
    Crash,
}

/// What can be seen at rest after a step: each daemon's last state in the log, who has the address, who advertises what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    step: &'static str,
    states: [Vec<String>; 2],
    holders: [bool; 2],
    speakers: Vec<(String, u8)>,
}

/// Both kinds of the walk with the case's players and with stock alone, and the two compared step by step.
fn walks(lab: &Lab, walk: Walk) -> Outcome {
    std::thread::scope(|scope| {
        let crash = scope.spawn(|| compare(lab, walk, End::Crash));
        compare(lab, walk, End::Stop)?;
        crash.join().map_err(|_| "the walk with crashes panicked".to_owned())?
    })
}

fn compare(lab: &Lab, walk: Walk, end: End) -> Outcome {
    let stock = Lab {
        subject: Program::stock(),
        peer: Program::stock(),
        directory: lab.directory.join(format!("stock-{end:?}")),
    };
    let ours = Lab {
        subject: lab.subject.clone(),
        peer: lab.peer.clone(),
        directory: lab.directory.join(format!("{end:?}")),
    };
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| steps(&stock, walk, end));
        (steps(&ours, walk, end), stock.join().map_err(|_| "the walk with stock panicked".to_owned()))
    });
    let (ours, stock) = (ours?, stock??);
    for (ours, stock) in ours.iter().zip(&stock) {
        ensure!(ours == stock, "{end:?}, after '{}':\n  {ours:?}\nstock does\n  {stock:?}", ours.step);
    }
    Ok(())
}

fn steps(lab: &Lab, walk: Walk, end: End) -> Outcome<Vec<Seen>> {
    let text = |(priority, state): (u8, &str)| config(priority, &format!("state {state}\nnopreempt"));
    let mut pair = Pair::new(lab, &text(walk[A]), &text(walk[B]))?;
    let mut all = Vec::new();
    let mut marks = [0, 0];
    let mut step = |pair: &Pair, name| -> Outcome {
        let seen = at_rest(pair, name, &mut marks)?;
        all.push(seen);
        Ok(())
    };
    pair.start_a(&[])?;
    step(&pair, "start a")?;
    pair.start_b(&[])?;
    step(&pair, "start b")?;
    finish(&mut pair.a, end)?;
    step(&pair, "end a")?;
    pair.start_a(&[])?;
    step(&pair, "start a again")?;
    finish(&mut pair.b, end)?;
    step(&pair, "end b")?;
    pair.start_b(&[])?;
    step(&pair, "start b again")?;
    Ok(all)
}

fn finish(daemon: &mut Daemon, end: End) -> Outcome {
    match end {
        End::Stop => daemon.stop().map(drop),
        End::Crash => daemon.crash().map(drop),
    }
}

/// The picture once it cannot change any more: a full take-over time and two adverts have passed.
fn at_rest(pair: &Pair, step: &'static str, marks: &mut [usize; 2]) -> Outcome<Seen> {
    // The longest way to mastership is an election from scratch.
    let begin = Stamp::now();
    until(secs(15.0), format!("anybody to be master after '{step}'"), || {
        let lately = Stamp(Stamp::now().0 - 1_200_000_000);
        let speaks = pair.wire.adverts().iter().any(|advert| advert.at > lately && advert.priority != 0);
        let log = [pair.a.log(), pair.b.log()].concat();
        let mut moves = log.iter().filter(|line| line.at >= begin && line.text.contains(") Entering "));
        let settled = moves.all(|line| Stamp::now().since(line.at) > 2.0);
        let passed = Stamp::now().since(begin) > 3.0 + skew(100) + 1.5;
        (speaks && settled && passed).then_some(())
    })?;
    let speaking = Stamp(Stamp::now().0 - 1_500_000_000);
    let mut speakers: Vec<(String, u8)> = ["a", "b"]
        .into_iter()
        .flat_map(|who| pair.wire.adverts_of(who, speaking))
        .map(|advert| (advert.from, advert.priority))
        .collect();
    speakers.sort();
    speakers.dedup();
    let mut states = [Vec::new(), Vec::new()];
    for (who, daemon) in [&pair.a, &pair.b].into_iter().enumerate() {
        let log = daemon.log();
        states[who] = log[marks[who]..]
            .iter()
            .filter_map(|line| line.text.split_once("(VI_1) Entering ").map(|(_, state)| state.to_owned()))
            .collect();
        marks[who] = log.len();
    }
    Ok(Seen { step, states, holders: [pair.has_vip(A), pair.has_vip(B)], speakers })
}

/// Lateness of b's first advert against theory after each of some crashes of a, in seconds, sorted.
fn takeovers(lab: &Lab, name: &str) -> Outcome<Vec<f64>> {
    const ROUNDS: usize = 5;
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.peer.clone(), directory: lab.directory.join(name) };
    let fast = |priority| config(priority, "version 3\nadvert_int 0.1");
    let mut pair = Pair::new(&lab, &fast(100), &fast(200))?;
    // The subject is the one that takes over.
    pair.start_a(&[])?;
    let mut late = Vec::new();
    for _ in 0..ROUNDS {
        let at = pair.start_b(&[])?;
        pair.wait_master(B, at, secs(4.0))?;
        until(secs(3.0), "a to be quiet", || {
            let quiet = Stamp(Stamp::now().0 - 300_000_000);
            (pair.wire.adverts_of("a", quiet).is_empty() && pair.has_vip(B) && !pair.has_vip(A)).then_some(())
        })?;
        pair.b.crash()?;
        let last = pair.wire.last_advert_of("b", Stamp::now()).ok_or("b never spoke")?;
        let first = pair.wait_master(A, last.at, secs(3.0))?;
        late.push(first.at.since(last.at) - (3.0 + skew(100)) * 0.1);
        until(secs(1.0), "a to have the address", || pair.has_vip(A).then_some(()))?;
        pair.hosts[B].space.output("ip", &["address", "del", "10.0.0.100/32", "dev", "eth0"])?;
    }
    late.sort_by(f64::total_cmp);
    Ok(late)
}

fn lateness(lab: &Lab) -> Outcome {
    let late = takeovers(lab, "takeovers")?;
    let median = late[late.len() / 2];
    // Never early, and a few milliseconds late on a busy machine (stock: 0.2 ms on an idle one).
    ensure!(median > -0.002 && median < 0.006, "lateness in s: {late:?}");
    Ok(())
}

/// Seconds during which both hosts had the address when a took it back; sorted.
fn overlaps(lab: &Lab, name: &str, subject: &Program) -> Outcome<Vec<f64>> {
    const ROUNDS: usize = 5;
    let lab = Lab { subject: subject.clone(), peer: lab.peer.clone(), directory: lab.directory.join(name) };
    let fast = |priority| config(priority, "version 3\nadvert_int 0.1");
    let mut pair = Pair::new(&lab, &fast(200), &fast(100))?;
    pair.start_b(&[])?;
    pair.wait_vip(B, secs(4.0))?;
    let mut overlaps = Vec::new();
    for _ in 0..ROUNDS {
        let at = pair.start_a(&[])?;
        pair.wait_vip(A, secs(4.0))?;
        let (came, left) = until(secs(2.0), "the change of hands", || {
            let vip: Ipv4Addr = VIP;
            let came = pair.monitors[A].of(vip, at).into_iter().rfind(|change| change.came)?;
            let left = pair.monitors[B].of(vip, at).into_iter().rfind(|change| !change.came)?;
            Some((came.at, left.at))
        })?;
        overlaps.push(left.since(came));
        pair.a.stop()?;
        pair.wait_vip(B, secs(3.0))?;
    }
    overlaps.sort_by(f64::total_cmp);
    Ok(overlaps)
}

fn double_master(lab: &Lab) -> Outcome {
    let stock = overlaps(lab, "stock", &Program::stock())?;
    let ours = overlaps(lab, "subject", &lab.subject)?;
    let (a, b) = (ours[ours.len() / 2], stock[stock.len() / 2]);
    // Both are about a millisecond; the slack is what the monitors may read late on a busy machine.
    ensure!(a <= b + 0.003, "two masters for {ours:?} s, with stock {stock:?} s");
    Ok(())
}
