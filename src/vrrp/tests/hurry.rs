//! Adverts before everything else: the halves of a takeover and of a stop, and the rhythm of many.

use std::time::Duration;

use super::samples::*;
use crate::config::model::Instance;
use crate::vrrp::{Action, Detail, Event, Release, Router, VrrpState};

/// Masters that came up together, all due in a second, and when.
fn masters(count: u8) -> (Router, crate::time::Time) {
    let instances: Vec<Instance> = (1..=count).map(|vrid| instance(&format!("V{vrid}"), vrid, 100)).collect();
    let (mut bench, _) = Bench::start(&part(&instances));
    bench.wait(3.61);
    let due = bench.router.deadline().unwrap();
    (bench.router, due)
}

fn sent(out: &[Action]) -> Vec<usize> {
    let instance = |action: &Action| match action {
        Action::SendAdvert { instance, .. } => Some(*instance),
        _ => None,
    };
    out.iter().filter_map(instance).collect()
}

#[test]
fn who_is_on_time_keeps_the_rhythm_and_who_is_late_begins_a_new_one() {
    let (second, micros) = (Duration::from_secs(1), Duration::from_micros);
    let (mut router, due) = masters(1);
    let mut out = Vec::new();
    router.handle(due + micros(100), Event::Timer, &mut out);
    assert_eq!(router.deadline(), Some(due + second));
    router.handle(due + second + micros(150), Event::Timer, &mut out);
    assert_eq!(router.deadline(), Some(due + second * 2 + micros(150)));
}

#[test]
fn many_that_are_due_together_are_sent_in_parts_which_stay_apart() {
    let (mut router, due) = masters(20);
    // Held up, until all are due.
    let (mut now, mut out, mut parts) = (due + Duration::from_millis(5), Vec::new(), Vec::new());
    let late = now;
    loop {
        let urged = router.urge(now, &mut out);
        parts.push(sent(&out));
        out.clear();
        if urged < Router::TOGETHER {
            break;
        }
        // What a part takes.
        now = now + Duration::from_micros(200);
    }
    assert_eq!(parts.concat(), (0..20).collect::<Vec<_>>());
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4]);
    // A second later they come one part after the other.
    for (part, delay) in parts.iter().zip([0, 200, 400]) {
        let at = late + Duration::from_secs(1) + Duration::from_micros(delay);
        assert_eq!(router.deadline(), Some(at));
        router.urge(at, &mut out);
        assert_eq!(sent(&out), *part);
        out.clear();
    }
}

#[test]
fn a_takeover_begins_with_its_advert_and_whatever_comes_next_ends_it() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 100)]));
    let due = bench.router.deadline().unwrap();
    let mut out = Vec::new();
    assert_eq!(bench.router.urge(due, &mut out), 1);
    assert_eq!((adverts(&out), bench.state(0)), (vec![100], VrrpState::Master));
    assert!(!out.iter().any(|action| matches!(action, Action::Add { .. } | Action::Announce { .. })));
    assert_eq!(bench.router.deadline(), Some(due), "the rest is due at once");
    out.clear();
    // A stronger one speaks up in between: the addresses come, and go.
    bench.now = due;
    let out = bench.hear("10.0.0.9", 200);
    let change = |action: &Action| match action {
        Action::Add { .. } => Some("add"),
        Action::Remove { .. } => Some("remove"),
        _ => None,
    };
    assert_eq!(out.iter().filter_map(change).collect::<Vec<_>>(), ["add", "remove"]);
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn a_stop_says_so_first_and_then_lets_go() {
    let (mut router, due) = masters(2);
    let mut out = Vec::new();
    router.resign(due, Release::Ours, &mut out);
    assert_eq!(adverts(&out), [0, 0]);
    assert!(!out.iter().any(|action| matches!(action, Action::Remove { .. })));
    out.clear();
    router.leave(due, Release::Ours, &mut out);
    assert!(adverts(&out).is_empty());
    assert_eq!(out.iter().filter(|action| matches!(action, Action::Remove { .. })).count(), 2);
    assert_eq!(router.deadline(), None);
}

#[test]
fn lines_that_nobody_reads_are_not_made_and_all_else_stays() {
    let life = |detail| {
        let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 100), instance("W", 2, 100)]));
        bench.router.set_detail(detail);
        let mut out = bench.wait(5.0);
        out.extend(bench.hear("10.0.0.2", 200));
        out
    };
    let (all, most) = (life(Detail::Detail), life(Detail::Normal));
    let is_detail = |action: &Action| matches!(action, Action::Log { detail: Detail::Detail, .. });
    assert!(all.iter().any(is_detail) && all.iter().any(|action| matches!(action, Action::Remove { .. })));
    assert_eq!(most, all.into_iter().filter(|action| !is_detail(action)).collect::<Vec<_>>());
}
