//! The rules of elections row by row: a table of stories, each with the row of spec/vrrp-behaviour.md that it holds.
//!
//! Rows with a story of their own stand elsewhere. `alone`: the order of a takeover (§4.2), leftovers (§4.1), waiting
//! scripts (§4.1), priority changes that shift the timer (§3), carrier loss (§8), the rival owner that is told twice
//! (§4.2), most of §5. `trackers`: `timer_expired_backup` (§4.2), delays of interfaces (§6.1). `owning`: loss of objects in both
//! manners (§8). `words`: start delays (§3). `src/config/load_strict_tests.rs`: strict mode (§4.3).

use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    Centis, GarpSettings, InitialState, Instance, ScriptEnd, Transport, UnicastChecksum, UnicastPeer,
    VipRepair, VrrpPart, VrrpVersion,
};
use crate::vrrp::{Action, Actions, Detail, Event, VrrpState};

/// What happens in a story.
#[derive(Debug, Clone, Copy)]
enum Do {
    /// An advert of this host (last byte of its address; ours is 10.0.0.1) and priority.
    Hear(u8, u8),
    /// Seconds pass.
    Wait(f64),
    /// The own link loses or gets its carrier.
    Carrier(bool),
}

/// What must be so after it.
#[derive(Debug, Clone, Copy)]
struct Then {
    state: VrrpState,
    /// Priorities of the adverts sent.
    adverts: &'static [u8],
    /// The end of a line that must be logged; empty for none.
    line: &'static str,
    /// Seconds until the instance's timer ends.
    timer: Option<f64>,
}

const fn then(state: VrrpState) -> Then {
    Then { state, adverts: &[], line: "", timer: None }
}

impl Then {
    const fn sends(self, adverts: &'static [u8]) -> Self {
        Self { adverts, ..self }
    }

    const fn says(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    const fn waits(self, seconds: f64) -> Self {
        Self { timer: Some(seconds), ..self }
    }
}

struct Row {
    rule: &'static str,
    config: fn() -> Instance,
    story: &'static [(Do, Then)],
}

use Do::{Carrier, Hear, Wait};
use VrrpState::{Backup, Fault, Master};

fn of(priority: u8) -> Instance {
    instance("V", 1, priority)
}

fn v3(priority: u8, centis: u16) -> Instance {
    Instance { version: VrrpVersion::V3, advert_int: Centis(centis), ..of(priority) }
}

fn owner_as_backup() -> Instance {
    Instance { initial: InitialState::Backup, ..of(255) }
}

fn delayed(seconds: u64) -> Instance {
    Instance { preempt_delay: Duration::from_secs(seconds), ..of(150) }
}

const NOTHING: Do = Wait(0.0);

/// The part of a second that a priority of 100 and of 150 waits longer.
const SKEW_100: f64 = 156.0 / 256.0;
const SKEW_150: f64 = 106.0 / 256.0;

const ROWS: &[Row] = &[
    Row {
        rule: "§3 master down timer, version 2: down_timer_adverts x interval + (256 - priority)/256 s",
        config: || Instance { advert_int: Centis(200), down_timer_adverts: 5, ..of(1) },
        story: &[(NOTHING, then(Backup).waits(10.0 + 255.0 / 256.0))],
    },
    Row {
        rule: "§3 the same with one advert and the highest priority",
        config: || Instance { down_timer_adverts: 1, ..of(254) },
        story: &[(NOTHING, then(Backup).waits(1.0 + 2.0 / 256.0))],
    },
    Row {
        rule: "§3 skew, version 3: (256 - priority)/256 of the master's interval",
        config: || v3(100, 50),
        story: &[(NOTHING, then(Backup).waits(1.5 + 0.5 * SKEW_100))],
    },
    Row {
        rule: "§3 master_adver_int, version 3: taken from an accepted advert, reset to the own when leaving FAULT",
        config: || v3(100, 200),
        story: &[
            (NOTHING, then(Backup).waits(6.0 + 2.0 * SKEW_100)),
            (Carrier(false), then(Fault)),
            (Carrier(true), then(Backup).waits(6.0 + 2.0 * SKEW_100)),
        ],
    },
    Row {
        rule: "§3 priority 0 received in BACKUP: the timer is the skew alone",
        config: || of(100),
        story: &[
            (Hear(2, 150), then(Backup).waits(3.0 + SKEW_100)),
            (Hear(2, 0), then(Backup).says("Backup received priority 0 advertisement").waits(SKEW_100)),
            (Wait(SKEW_100), then(Master).sends(&[100])),
        ],
    },
    Row {
        rule: "§3 a lower advert in BACKUP keeps the remaining time",
        config: || of(150),
        story: &[
            (Wait(1.0), then(Backup).waits(2.0 + SKEW_150)),
            (Hear(2, 100), then(Backup).says("received lower priority (100) advert from 10.0.0.2 - discarding").waits(2.0 + SKEW_150)),
            (Wait(1.0), then(Backup).waits(1.0 + SKEW_150)),
            (Hear(2, 149), then(Backup).waits(1.0 + SKEW_150)),
            (Wait(1.0 + SKEW_150), then(Master).sends(&[150])),
        ],
    },
    Row {
        rule: "§4.1 state MASTER below 255 has no fast path",
        config: || Instance { initial: InitialState::Master, ..of(150) },
        story: &[
            (NOTHING, then(Backup).waits(3.0 + SKEW_150)),
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150]).says("Receive advertisement timeout")),
        ],
    },
    Row {
        rule: "§4.1 priority 255 with an explicit state BACKUP waits the full timer and does not preempt another 255",
        config: owner_as_backup,
        story: &[
            (NOTHING, then(Backup).waits(3.0 + 1.0 / 256.0)),
            (Wait(2.0), then(Backup)),
            (Hear(2, 255), then(Backup).waits(3.0 + 1.0 / 256.0)),
            (Wait(3.0 + 1.0 / 256.0), then(Master).sends(&[255])),
        ],
    },
    Row {
        rule: "§4.2 BACKUP, priority equal to the own: the timer starts anew, whatever the address",
        config: || of(100),
        story: &[
            (Wait(2.0), then(Backup)),
            (Hear(0, 100), then(Backup).waits(3.0 + SKEW_100)),
            (Wait(1.0), then(Backup)),
            (Hear(9, 101), then(Backup).waits(3.0 + SKEW_100)),
        ],
    },
    Row {
        rule: "§4.2 BACKUP with nopreempt: a lower priority starts the timer anew, too",
        config: || Instance { preempt: false, ..of(150) },
        story: &[(Wait(2.0), then(Backup)), (Hear(2, 1), then(Backup).waits(3.0 + SKEW_150))],
    },
    Row {
        rule: "§4.2 preempt_delay without a master to preempt does not delay",
        config: || delayed(60),
        story: &[(Wait(3.0 + SKEW_150), then(Master).sends(&[150]))],
    },
    Row {
        rule: "§4.2 preempt_delay begins with the first lower advert and accepts such adverts until it ends",
        config: || delayed(4),
        story: &[
            (Hear(2, 100), then(Backup).says("start preempt delay (4.000000)").waits(3.0 + SKEW_150)),
            (Wait(2.0), then(Backup)),
            (Hear(2, 100), then(Backup).waits(3.0 + SKEW_150)),
            (Wait(2.5), then(Backup)),
            (Hear(2, 100), then(Backup).says("- discarding").waits(0.5 + SKEW_150)),
            (Wait(0.5 + SKEW_150), then(Master).sends(&[150])),
        ],
    },
    Row {
        rule: "§4.2 preempt_delay: a higher or equal advert cancels it, and the next lower one starts it again",
        config: || delayed(4),
        story: &[
            (Hear(2, 100), then(Backup).says("start preempt delay (4.000000)")),
            (Hear(3, 150), then(Backup).says("stop preempt delay").waits(3.0 + SKEW_150)),
            (Wait(3.0), then(Backup)),
            (Hear(2, 100), then(Backup).says("start preempt delay (4.000000)").waits(3.0 + SKEW_150)),
            (Wait(3.0), then(Backup)),
            (Hear(2, 100), then(Backup).waits(3.0 + SKEW_150)),
        ],
    },
    Row {
        rule: "§4.2 preempt_delay: a master that falls silent meanwhile is replaced after the normal timer",
        config: || delayed(600),
        story: &[
            (Hear(2, 100), then(Backup).waits(3.0 + SKEW_150)),
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150])),
        ],
    },
    Row {
        rule: "§4.2 preempt_delay: one that says goodbye is replaced after the skew",
        config: || delayed(600),
        story: &[(Hear(2, 100), then(Backup)), (Hear(2, 0), then(Backup).waits(SKEW_150))],
    },
    Row {
        rule: "§4.2 preempt_delay is forgotten with the state",
        config: || delayed(4),
        story: &[
            (Hear(2, 100), then(Backup).says("start preempt delay (4.000000)")),
            (Carrier(false), then(Fault)),
            (Carrier(true), then(Backup)),
            (Hear(2, 100), then(Backup).says("start preempt delay (4.000000)")),
        ],
    },
    Row {
        rule: "§4.2 MASTER, lower priority: an advert at once, and the rhythm starts with it",
        config: || of(150),
        story: &[
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150])),
            (Wait(0.7), then(Master).waits(0.3)),
            (Hear(2, 149), then(Master).sends(&[150]).says("Received advert from 10.0.0.2 with lower priority 149, ours 150, forcing new election").waits(1.0)),
        ],
    },
    Row {
        rule: "§4.2 MASTER, equal priority and lower address: the same",
        config: || of(150),
        story: &[
            (Wait(4.0), then(Master).sends(&[150])),
            (Hear(0, 150), then(Master).sends(&[150]).says("with lower priority 150, ours 150, forcing new election").waits(1.0)),
        ],
    },
    Row {
        rule: "§4.2 lower_prio_no_advert: no advert, and the rhythm goes on",
        config: || Instance { lower_prio_no_advert: true, ..of(150) },
        story: &[
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150])),
            (Wait(0.7), then(Master)),
            (Hear(2, 100), then(Master).says("forcing new election").waits(0.3)),
        ],
    },
    Row {
        rule: "§4.2 MASTER, equal priority and higher address: BACKUP without priority 0",
        config: || of(150),
        story: &[
            (Wait(4.0), then(Master).sends(&[150])),
            (Hear(2, 150), then(Backup).says("with same priority 150 but higher IP address than ours").waits(3.0 + SKEW_150)),
        ],
    },
    Row {
        rule: "§4.2 MASTER, higher priority: BACKUP without priority 0",
        config: || of(150),
        story: &[
            (Wait(4.0), then(Master).sends(&[150])),
            (Hear(0, 151), then(Backup).says("Master received advert from 10.0.0.0 with higher priority 151, ours 150").waits(3.0 + SKEW_150)),
        ],
    },
    Row {
        rule: "§4.2 higher_prio_send_advert: one own advert first",
        config: || Instance { higher_prio_send_advert: true, ..of(150) },
        story: &[
            (Wait(4.0), then(Master).sends(&[150])),
            (Hear(2, 200), then(Backup).sends(&[150])),
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150])),
            (Hear(2, 150), then(Backup)),
        ],
    },
    Row {
        rule: "§4.2 MASTER, equal priority from the own address: only a warning",
        config: || of(150),
        story: &[
            (Wait(3.0 + SKEW_150), then(Master).sends(&[150])),
            (Wait(0.7), then(Master)),
            (Hear(1, 150), then(Master).says("from our own address 10.0.0.1").waits(0.3)),
            (Hear(1, 150), then(Master).waits(0.3)),
        ],
    },
    Row {
        rule: "§4.2 MASTER, priority 0: answers with an advert and stays",
        config: || of(150),
        story: &[
            (Wait(4.0), then(Master).sends(&[150])),
            (Hear(2, 0), then(Master).sends(&[150]).says("Master received priority 0 message").waits(1.0)),
        ],
    },
    Row {
        rule: "§4.2 MASTER 255 and another 255 with a higher address: BACKUP",
        config: || of(255),
        story: &[
            (NOTHING, then(Master)),
            (Hear(2, 255), then(Backup).says("local instance and 10.0.0.2 are both configured as address owner, please resolve").waits(3.0 + 1.0 / 256.0)),
        ],
    },
    Row {
        rule: "§4.2 MASTER 255 and another 255 with a lower address that falls silent in time: stays",
        config: || of(255),
        story: &[
            (Hear(0, 255), then(Master).sends(&[255]).says("both configured as address owner, please resolve")),
            (Wait(1.0), then(Master).sends(&[255])),
            // 1.2 intervals after the second of our adverts it counts as gone.
            (Wait(1.3), then(Master).sends(&[255])),
            (Hear(0, 255), then(Master).sends(&[255])),
        ],
    },
    Row {
        rule: "§4.2 and §3: an owner that stepped back to 254 keeps the skew of 255, and its priority when it is master",
        config: || of(255),
        story: &[
            (Hear(0, 255), then(Master).sends(&[255])),
            (Wait(1.0), then(Master).sends(&[255])),
            (Wait(0.5), then(Master)),
            (Hear(0, 255), then(Backup).says("reducing our priority").waits(3.0 + 1.0 / 256.0)),
            (Hear(0, 255), then(Backup).waits(3.0 + 1.0 / 256.0)),
            (Wait(3.0 + 1.0 / 256.0), then(Master).sends(&[255]).says("Restoring our priority to 255")),
        ],
    },
    Row {
        rule: "§2 row 15, owner_ignore_adverts: an owner does not hear others",
        config: || Instance { owner_ignore_adverts: true, ..of(255) },
        story: &[
            (NOTHING, then(Master)),
            (Hear(2, 255), then(Master).says("Dropping packet(s) from 10.0.0.2 since we are address owner")),
            (Hear(2, 0), then(Master)),
        ],
    },
    Row {
        rule: "§4.2 FAULT ended: BACKUP with a fresh timer",
        config: || of(100),
        story: &[
            (Wait(3.0), then(Backup)),
            (Carrier(false), then(Fault).says("Entering FAULT STATE")),
            (Wait(100.0), then(Fault)),
            (Hear(2, 1), then(Fault)),
            (Carrier(true), then(Backup).waits(3.0 + SKEW_100)),
        ],
    },
    Row {
        rule: "§4.2 FAULT ended, owner: MASTER at once",
        config: || of(255),
        story: &[
            (Carrier(false), then(Fault).sends(&[0, 0])),
            (Carrier(true), then(Master).sends(&[255]).waits(1.0)),
        ],
    },
];

fn do_it(bench: &mut Bench, what: Do) -> Actions {
    match what {
        Hear(host, priority) => bench.hear(&format!("10.0.0.{host}"), priority),
        Wait(seconds) => bench.wait(seconds),
        Carrier(is_there) => bench.event(Event::Link(link(1, "eth0", is_there))),
    }
}

fn all_lines(out: &Actions) -> Vec<&str> {
    out.iter()
        .filter_map(|action| match action {
            Action::Log { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn every_row() {
    for Row { rule, config, story } in ROWS {
        let (mut bench, start) = Bench::start(&part(&[config()]));
        assert!(all_lines(&start).iter().any(|line| line.contains("Entering ")), "{rule}");
        for (number, (what, then)) in story.iter().enumerate() {
            let at = format!("{rule}: {number} {what:?}");
            let out = do_it(&mut bench, *what);
            assert_eq!(bench.state(0), then.state, "{at}: {out:?}");
            assert_eq!(adverts(&out), then.adverts, "{at}");
            let lines = all_lines(&out);
            assert!(then.line.is_empty() || lines.iter().any(|l| l.ends_with(then.line)), "{at}: {lines:?}");
            if let Some(seconds) = then.timer {
                let timer = bench.router.runs[0].timer.unwrap_or_else(|| panic!("{at}: no timer"));
                let waits = timer.since(bench.now).as_secs_f64();
                assert!((waits - seconds).abs() < 0.000_001, "{at}: waits {waits}");
            }
            if then.state == Fault {
                assert_eq!(bench.router.runs[0].timer, None, "{at}");
            }
        }
    }
}

/// §3: version 3 takes the interval of the higher advert that ends MASTER, and has its own again as MASTER.
#[test]
fn the_interval_of_a_better_master_is_learned_and_forgotten() {
    let ours = v3(100, 200);
    let theirs = Instance { advert_int: Centis(50), ..ours.clone() };
    let (mut bench, _) = Bench::start(&part(&[ours]));
    bench.wait(8.0);
    assert_eq!(bench.state(0), Master);
    let out = bench.hear_as(&theirs, "10.0.0.2", 150);
    let learned = "(V) advertisement interval updated from 2000ms to 500ms by master";
    assert!(logs(&out).contains(&learned), "{out:?}");
    let takeover = 1.5 + 0.5 * SKEW_100;
    assert_eq!(bench.router.deadline(), Some(bench.now + secs(takeover)));
    let out = bench.wait(takeover);
    assert_eq!(bench.state(0), Master);
    let own = "(V) advertisement interval restored from 500ms to 2000ms";
    let is_it =
        |action: &Action| matches!(action, Action::Log { detail: Detail::Detail, text } if text == own);
    assert!(out.iter().any(is_it), "{out:?}");
    assert_eq!(bench.router.deadline(), Some(bench.now + secs(2.0)));
}

/// §4.2 and §7: the burst that answers a lower advert is that of `garp_lower_prio_*`, with its second one later.
#[test]
fn a_lower_advert_is_answered_with_the_burst_that_is_configured_for_it() {
    let garp = GarpSettings {
        repeat: 5,
        delay: Duration::ZERO,
        lower_prio_repeat: 2,
        lower_prio_delay: Duration::from_secs(3),
        ..GarpSettings::default()
    };
    let none = GarpSettings { lower_prio_repeat: 0, ..garp.clone() };
    let (mut bench, _) = Bench::start(&part(&[Instance { garp: garp.into(), ..of(150) }]));
    assert_eq!(announced(&bench.wait(4.0)), 5);
    assert_eq!(announced(&bench.hear("10.0.0.2", 100)), 2);
    assert_eq!(announced(&bench.wait(2.9)), 0);
    assert_eq!(announced(&bench.wait(0.2)), 2);
    let (mut bench, _) = Bench::start(&part(&[Instance { garp: none.into(), ..of(150) }]));
    bench.wait(4.0);
    assert_eq!(announced(&bench.hear("10.0.0.2", 100)), 0);
}

/// §4.2, FAULT: after it a unicast instance tells the master where it is.
#[test]
fn a_unicast_instance_that_recovers_announces_its_source_address_once() {
    let peers = vec![UnicastPeer { address: ip("10.0.0.2"), min_ttl: None, max_ttl: None }];
    let transport = Transport::Unicast { peers, ttl: None, checksum: UnicastChecksum::Auto };
    let (mut bench, _) = Bench::start(&part(&[Instance { transport, ..of(100) }]));
    bench.event(Event::Link(link(1, "eth0", false)));
    let out = bench.event(Event::Link(link(1, "eth0", true)));
    let wanted = Action::Announce { targets: vec![(1, ip("10.0.0.1"))], copies: 1 };
    assert!(out.contains(&wanted), "{out:?}");
}

/// A on eth0 and B on eth1, in a sync group; the priorities are A's and B's.
fn pair(a: u8, b: u8) -> VrrpPart {
    let other = Instance {
        interface: Some("eth1".into()),
        vips: vec![vip("10.0.1.102", "eth1")],
        ..instance("B", 2, b)
    };
    VrrpPart { sync_groups: vec![group("G", &["A", "B"])], ..part(&[instance("A", 1, a), other]) }
}

fn states(bench: &Bench) -> [VrrpState; 2] {
    [bench.state(0), bench.state(1)]
}

/// §5: "records the wish and re-arms its timer".
#[test]
fn a_member_whose_timer_ends_wishes_and_waits_and_an_advert_takes_the_wish_back() {
    let (mut bench, _) = Bench::start(&pair(150, 100));
    bench.wait(3.0 + SKEW_150);
    assert_eq!(states(&bench), [Backup, Backup]);
    let snapshot = bench.router.snapshot(bench.now);
    assert_eq!(snapshot.instances[0].wanted, Master);
    assert_eq!(snapshot.instances[0].timer, Some(bench.now + secs(3.0 + SKEW_150)));
    bench.hear("10.0.0.2", 200);
    assert_eq!(bench.router.snapshot(bench.now).instances[0].wanted, Backup);
    bench.wait(SKEW_100 - SKEW_150);
    assert_eq!(states(&bench), [Backup, Backup], "B wishes, A does not any more");
    bench.wait(3.0 + SKEW_150);
    assert_eq!(states(&bench), [Master, Master]);
}

/// §4.1: measured for a group whose members are all `state MASTER`.
#[test]
fn a_group_of_state_master_members_has_no_fast_path_either() {
    let mut part = pair(150, 150);
    for config in &mut part.instances {
        config.initial = InitialState::Master;
    }
    let (mut bench, _) = Bench::start(&part);
    bench.wait(3.4);
    assert_eq!(states(&bench), [Backup, Backup]);
    bench.wait(0.1);
    assert_eq!(states(&bench), [Master, Master]);
}

/// §5: "Group with owner and non-owner members: start state BACKUP".
#[test]
fn an_owner_in_a_group_with_others_starts_as_backup() {
    let (mut bench, _) = Bench::start(&pair(255, 100));
    assert_eq!(states(&bench), [Backup, Backup]);
    bench.wait(4.0);
    assert_eq!(states(&bench), [Master, Master]);
    let (bench, _) = Bench::start(&pair(255, 255));
    assert_eq!(states(&bench), [Master, Master]);
}

/// §5: "Leaving FAULT: only when the last faulty/initialising member recovers".
#[test]
fn a_group_leaves_fault_with_its_last_broken_member() {
    let (mut bench, _) = Bench::start(&pair(150, 100));
    bench.event(Event::Link(link(1, "eth0", false)));
    let out = bench.event(Event::Link(link(2, "eth1", false)));
    assert_eq!(notified(&out), [""; 0], "both were in FAULT already");
    let out = bench.event(Event::Link(link(1, "eth0", true)));
    assert_eq!((states(&bench), notified(&out).len()), ([Fault, Fault], 0));
    bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(states(&bench), [Backup, Backup]);
}

/// §5: "VIP of a member deleted: every MASTER member sends priority 0, goes BACKUP and comes back after its skew".
#[test]
fn a_group_that_loses_an_address_in_stocks_way_goes_down_and_comes_back_as_one() {
    let mut part = pair(150, 100);
    for config in &mut part.instances {
        config.vip_repair = VipRepair::Stock;
    }
    let (mut bench, _) = Bench::start(&part);
    bench.wait(4.0);
    assert_eq!(states(&bench), [Master, Master]);
    let by = crate::vrrp::Requester::Other;
    let out = bench.event(Event::AddressDeleted { index: 1, address: ip("10.0.0.101"), prefix: 32, by });
    assert_eq!((states(&bench), adverts(&out)), ([Backup, Backup], vec![0, 0]));
    bench.wait(SKEW_150);
    assert_eq!(states(&bench), [Backup, Backup]);
    bench.wait(SKEW_100 - SKEW_150);
    assert_eq!(states(&bench), [Master, Master]);
}

/// §4.2: "same burst for other members of the sync group".
#[test]
fn a_lower_advert_to_one_member_makes_all_members_announce() {
    let (mut bench, _) = Bench::start(&pair(150, 150));
    bench.wait(4.0);
    let out = bench.hear("10.0.0.2", 100);
    assert_eq!((adverts(&out), announced(&out)), (vec![150], 10));
}

/// §5: "group-level track_* apply to all members"; weights count where `sync_group_tracking_weight` allows them.
#[test]
fn what_a_group_tracks_counts_for_every_member() {
    let mut part = pair(150, 100);
    part.sync_groups[0].track_scripts = vec![track_script("weight", -30), track_script("fault", 0)];
    part.scripts = vec![script("weight"), script("fault")];
    let (mut bench, _) = Bench::start(&part);
    let mut end = |id, status| bench.event(Event::ScriptEnded { id, end: ScriptEnd::Exited { status } });
    end(2, 0);
    let out = end(1, 1);
    let changes: Vec<_> = logs(&out).into_iter().filter(|line| line.contains("effective")).collect();
    assert_eq!(
        changes,
        ["(A) Changing effective priority from 150 to 120", "(B) Changing effective priority from 100 to 70"]
    );
    bench.wait(1.0);
    let id = bench.router.scripts[1].running().unwrap();
    bench.event(Event::ScriptEnded { id, end: ScriptEnd::Exited { status: 1 } });
    assert_eq!(states(&bench), [Fault, Fault]);
}

/// §5: "a member does not notify again when its state already equals the group state".
#[test]
fn a_pulled_member_notifies_once() {
    let (mut bench, _) = Bench::start(&pair(150, 100));
    let out = bench.event(Event::Link(link(2, "eth1", false)));
    let told = out.iter().filter(|action| matches!(action, Action::Transition(_))).count();
    assert_eq!(told, 3, "A, B and the group, each once: {out:?}");
    let out = bench.event(Event::Link(link(1, "eth0", false)));
    assert!(!out.iter().any(|action| matches!(action, Action::Transition(_))), "{out:?}");
}
