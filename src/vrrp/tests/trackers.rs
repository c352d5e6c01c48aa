//! Tracked files, processes and BFD sessions, and scripts over a respawn. spec/vrrp-behaviour.md §6.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    Instance, InterfaceDelays, ParametersMatch, Priority, ScriptEnd, SyncGroup, TrackFile, TrackProcess,
    Tracked, VrrpPart,
};
use crate::vrrp::{Action, Event, Router, VrrpState};

fn tracked(name: &str, weight: i32) -> Tracked {
    Tracked { name: name.into(), weight, reverse: false }
}

fn file(name: &str) -> TrackFile {
    TrackFile { name: name.into(), path: format!("/{name}"), weight: 1, reverse: false, init: None }
}

fn process(name: &str, terminate: f64, fork: f64) -> TrackProcess {
    TrackProcess {
        name: name.into(),
        command: name.into(),
        parameters: Vec::new(),
        parameters_match: ParametersMatch::Any,
        full_command: false,
        quorum: 2,
        quorum_max: Some(3),
        terminate_delay: secs(terminate),
        fork_delay: secs(fork),
        weight: 0,
        reverse: false,
    }
}

fn holds(name: &str, value: i32) -> Event {
    Event::File { name: name.into(), value }
}

fn run(name: &str, count: u32) -> Event {
    Event::Processes { name: name.into(), count }
}

fn with_file(weight: i32) -> VrrpPart {
    let a = Instance { track_files: vec![tracked("f", weight)].into(), ..instance("A", 1, 100) };
    VrrpPart { track_files: vec![file("f")], ..part(&[a]) }
}

fn with_process(process: TrackProcess) -> VrrpPart {
    let a = Instance { track_processes: vec![tracked(&process.name, 0)].into(), ..instance("A", 1, 100) };
    VrrpPart { track_processes: vec![process], ..part(&[a]) }
}

#[test]
fn a_change_of_priority_is_told_to_the_fifos_only_if_asked_for_and_not_to_scripts() {
    let told = |out: &[Action]| {
        let words = out.iter().filter_map(|action| match action {
            Action::Transition(it) => Some((it.state.name(), it.priority)),
            _ => None,
        });
        words.collect::<Vec<_>>()
    };
    let mut part = with_file(1);
    let (mut bench, _) = Bench::start(&part);
    assert_eq!(told(&bench.event(holds("f", 10))), []);
    part.instances[0].notify_priority_changes = true;
    part.instances[0].notify.generic = Some(command("/notify"));
    let (mut bench, _) = Bench::start(&part);
    let out = bench.event(holds("f", 10));
    assert_eq!(told(&out), [("BACKUP_PRIORITY", 110)]);
    assert_eq!(notified(&out), [""; 0]);
    bench.wait(5.0);
    assert_eq!(told(&bench.event(holds("f", 20))), [("MASTER_PRIORITY", 120)]);
}

#[test]
fn a_files_number_is_added_to_the_priority_as_it_changes() {
    let (mut bench, _) = Bench::start(&with_file(2));
    assert_eq!(logs(&bench.event(holds("f", 10))), ["(A) Changing effective priority from 100 to 120"]);
    assert_eq!(logs(&bench.event(holds("f", 10))), [""; 0]);
    assert_eq!(logs(&bench.event(holds("f", 200))), ["(A) Changing effective priority from 120 to 254"]);
    let out = bench.event(holds("f", -127));
    assert!(logs(&out).contains(&"(A): tracked file f now FAULT state"), "{out:?}");
    assert_eq!(bench.state(0), VrrpState::Fault);
    let out = bench.event(holds("f", 0));
    assert!(logs(&out).contains(&"(A): tracked file f leaving FAULT state"), "{out:?}");
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn what_is_known_of_a_file_before_the_start_counts_from_the_start() {
    let mut bench = Bench { router: Router::new(&with_file(0)), now: at(10.0) };
    assert_eq!(bench.event(holds("f", 5)), []);
    let out = bench.event(Event::Interfaces(interfaces(1)));
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert_eq!(logs(&out)[0], "(A): entering FAULT state (tracked file f has status -254)");
}

#[test]
fn a_reload_finds_the_number_that_was_told_before_it() {
    let (mut bench, _) = Bench::start(&part(&[instance("A", 1, 100)]));
    assert_eq!(bench.event(holds("f", 5)), []);
    let mut out = Vec::new();
    bench.router.reconfigure(&with_file(0), bench.now, &mut out);
    assert_eq!(bench.state(0), VrrpState::Fault);
}

#[test]
fn a_quorum_is_lost_and_gained_after_its_delay_and_not_at_all_if_it_comes_back_before() {
    let part = with_process(process("p", 1.0, 0.5));
    let mut bench = Bench { router: Router::new(&part), now: at(10.0) };
    bench.event(run("p", 2));
    bench.event(Event::Interfaces(interfaces(1)));
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.event(run("p", 1));
    bench.wait(0.9);
    bench.event(run("p", 2));
    bench.wait(1.0);
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.event(run("p", 4));
    assert!(bench.router.snapshot(bench.now).processes[0].terminate_timer);
    bench.event(run("p", 0));
    let out = bench.wait(1.0);
    assert_eq!(logs(&out)[0], "Quorum lost for tracked process p");
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(run("p", 3));
    bench.wait(0.4);
    assert_eq!(bench.state(0), VrrpState::Fault);
    let out = bench.wait(0.1);
    assert_eq!(logs(&out)[0], "Quorum gained for tracked process p");
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn a_process_that_nobody_has_counted_yet_is_no_fault() {
    let (mut bench, _) = Bench::start(&with_process(process("p", 0.0, 0.0)));
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.event(run("p", 0));
    assert_eq!(bench.state(0), VrrpState::Fault);
}

#[test]
fn a_bfd_session_that_goes_down_is_a_fault_for_all_members_of_the_group_that_tracks_it() {
    let mut part = part(&[instance("A", 1, 100), instance("B", 2, 100)]);
    part.sync_groups = vec![group("G", &["A", "B"])];
    part.sync_groups[0].track_bfds = vec![tracked("b", 0)];
    let (mut bench, _) = Bench::start(&part);
    bench.event(Event::Bfd { name: "b".into(), up: true });
    assert_eq!(bench.state(0), VrrpState::Backup);
    let out = bench.event(Event::Bfd { name: "b".into(), up: false });
    assert_eq!(logs(&out)[0], "VRRP_Instance(A) Tracked BFD instance b is DOWN");
    assert_eq!((bench.state(0), bench.state(1)), (VrrpState::Fault, VrrpState::Fault));
    bench.event(Event::Bfd { name: "b".into(), up: true });
    assert_eq!((bench.state(0), bench.state(1)), (VrrpState::Backup, VrrpState::Backup));
}

#[test]
fn a_successor_learns_the_end_of_its_predecessors_script_or_runs_it_again() {
    let a = Instance { track_scripts: vec![track_script("s", 0)].into(), ..instance("A", 1, 100) };
    let part = VrrpPart { scripts: vec![script("s")], ..part(&[a]) };
    let (bench, out) = Bench::start(&part);
    let id = out.iter().find_map(|action| match action {
        Action::RunScript { id, .. } => Some(*id),
        _ => None,
    });
    let id = id.unwrap();
    let successor = |running: Vec<u64>| {
        let mut out = Vec::new();
        let router = Router::resume(&part, bench.router.state(), &mut out);
        let mut bench = Bench { router, now: bench.now + Duration::from_millis(100) };
        bench.event(Event::ScriptsRunning(running));
        bench.event(Event::Interfaces(interfaces(1)));
        bench
    };
    let mut bench = successor(vec![id]);
    bench.event(Event::ScriptEnded { id, end: ScriptEnd::Exited { status: 0 } });
    assert_eq!(bench.state(0), VrrpState::Backup);
    let mut bench = successor(Vec::new());
    let out = bench.wait(0.0);
    assert!(out.iter().any(|action| matches!(action, Action::RunScript { .. })), "{out:?}");
}

fn held_up(seconds: f64) -> (Bench, Vec<Action>) {
    let a = Instance { preempt: false, timer_expired_backup: Priority::new(254), ..instance("A", 1, 100) };
    let (mut bench, _) = Bench::start(&part(&[a]));
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    bench.now = bench.now + secs(seconds);
    let out = bench.event(Event::Timer);
    (bench, out)
}

#[test]
fn a_master_that_was_held_up_beyond_the_others_patience_listens_again_without_a_word() {
    let (bench, out) = held_up(2.0);
    assert_eq!((bench.state(0), adverts(&out)), (VrrpState::Master, vec![100]));
    assert_eq!(bench.router.snapshot(bench.now).lateness.adverts, 1);
    let (mut bench, out) = held_up(3.1);
    assert_eq!((bench.state(0), adverts(&out)), (VrrpState::Backup, vec![]));
    bench.wait(3.0 + 156.0 / 256.0);
    assert_eq!(bench.state(0), VrrpState::Master);
}

fn delayed(down: f64, up: f64) -> Bench {
    let a = Instance { track_interfaces: vec![track_interface("eth1", 0)].into(), ..instance("A", 1, 100) };
    let delays = InterfaceDelays { interface: "eth1".into(), down: secs(down), up: secs(up) };
    Bench::start(&VrrpPart { interface_delays: vec![delays], ..part(&[a]) }).0
}

#[test]
fn a_short_loss_of_carrier_is_not_felt_and_a_long_one_counts_after_its_delay() {
    let mut bench = delayed(1.0, 0.5);
    let out = bench.event(Event::Link(link(2, "eth1", false)));
    assert_eq!(logs(&out), ["eth1: Adding flags change from 0x41 to 0x1 delay by 1000000"]);
    bench.wait(0.9);
    assert_eq!(bench.event(Event::Link(link(2, "eth1", true))), []);
    bench.wait(1.2);
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.event(Event::Link(link(2, "eth1", false)));
    let out = bench.wait(1.0);
    assert_eq!(logs(&out)[0], "Netlink reports eth1 down");
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(Event::Link(link(2, "eth1", true)));
    bench.wait(0.4);
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.wait(0.1);
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn without_a_delay_in_one_direction_that_change_counts_at_once() {
    let mut bench = delayed(1.0, 0.0);
    bench.event(Event::Link(link(2, "eth1", false)));
    bench.wait(1.0);
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn a_groups_weight_of_the_own_interface_does_not_count() {
    let mut all = part(&[instance("A", 1, 100), instance("B", 2, 90)]);
    let tracked = vec![track_interface("eth0", 7), track_interface("eth1", 3)];
    all.sync_groups = vec![SyncGroup { track_interfaces: tracked, ..group("G", &["A", "B"]) }];
    let (bench, _) = Bench::start(&all);
    let snapshot = bench.router.snapshot(bench.now);
    let priorities: Vec<u8> = snapshot.instances.iter().map(|it| it.effective_priority).collect();
    assert_eq!(priorities, [103, 93]);
}
