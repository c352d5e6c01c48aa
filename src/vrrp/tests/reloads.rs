//! What a reload changes, and what it leaves alone (spec/daemon-behaviour.md §6).

use std::time::Duration;

use super::samples::*;
use crate::config::model::{Centis, Instance, NotifyScripts, Priority, VrrpPart};
use crate::vrrp::{Action, Actions, Owned, Subject, VrrpState};

fn reload(bench: &mut Bench, part: &VrrpPart) -> Actions {
    let mut out = Vec::new();
    bench.router.reconfigure(part, bench.now, &mut out);
    out
}

fn master(config: &Instance) -> Bench {
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(config)));
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    bench
}

/// The address, or what else tells it.
fn name(object: &Owned) -> String {
    match object {
        Owned::Address(vip) => vip.address.to_string(),
        other => other.to_string(),
    }
}

fn added(out: &[Action]) -> Vec<String> {
    out.iter()
        .filter_map(|action| match action {
            Action::Add { objects, .. } => Some(objects),
            _ => None,
        })
        .flatten()
        .map(name)
        .collect()
}

fn removed(out: &[Action]) -> Vec<String> {
    out.iter()
        .filter_map(|action| match action {
            Action::Remove { objects, .. } => Some(objects),
            _ => None,
        })
        .flatten()
        .map(name)
        .collect()
}

#[test]
fn a_renamed_instance_stays_master_and_nobody_is_told() {
    let mut bench = master(&instance("V", 1, 150));
    let due = bench.router.deadline();
    assert_eq!(reload(&mut bench, &part(&[instance("W", 1, 150)])), []);
    assert_eq!((bench.state(0), bench.router.deadline()), (VrrpState::Master, due));
}

#[test]
fn an_instance_keeps_its_state_when_others_come_before_it() {
    let mut bench = master(&instance("V", 1, 150));
    let out = reload(&mut bench, &part(&[instance("N", 2, 150), instance("V", 1, 150)]));
    assert_eq!((bench.state(0), bench.state(1)), (VrrpState::Backup, VrrpState::Master));
    assert_eq!(logs(&out), ["(N) Entering BACKUP STATE (init)"]);
    assert!(matches!(&out[0], Action::Listen(listeners) if listeners[0].vrids == [1, 2]));
    let out = bench.wait(1.0);
    assert_eq!(adverts(&out), [150]);
}

#[test]
fn an_added_address_is_there_at_once_and_all_are_announced() {
    let config = instance("V", 1, 150);
    let mut bench = master(&config);
    let mut more = config.clone();
    more.vips.push(vip("10.0.0.201", "eth0"));
    let out = reload(&mut bench, &part(&[more]));
    assert_eq!(added(&out), ["10.0.0.201"]);
    assert_eq!(adverts(&out), [150], "the advert names it");
    assert_eq!(announced(&out), 10, "five rounds of both");
}

#[test]
fn a_removed_address_is_gone_at_once() {
    let mut config = instance("V", 1, 150);
    config.vips.push(vip("10.0.0.201", "eth0"));
    let mut bench = master(&config);
    config.vips.remove(0);
    let out = reload(&mut bench, &part(&[config]));
    assert_eq!((removed(&out), added(&out)), (vec!["10.0.0.101".to_owned()], vec![]));
    assert!(logs(&out).contains(&"(V) ip address 10.0.0.101, no longer exist"));
}

#[test]
fn an_address_can_move_between_instances_in_one_reload() {
    let (mut from, mut to) = (instance("A", 1, 255), instance("B", 2, 255));
    from.vips.push(vip("10.0.0.201", "eth0"));
    let (mut bench, _) = Bench::start(&part(&[to.clone(), from.clone()]));
    to.vips.push(from.vips.remove(1));
    let out = reload(&mut bench, &part(&[to, from]));
    let at = |wanted: fn(&Action) -> bool| out.iter().position(wanted).unwrap();
    assert!(
        at(|action| matches!(action, Action::Remove { .. }))
            < at(|action| matches!(action, Action::Add { .. }))
    );
}

#[test]
fn a_lowered_priority_is_advertised_and_nothing_else_happens() {
    let config = instance("V", 1, 150);
    let mut bench = master(&config);
    let lower = Instance { priority: Priority::new(90).unwrap(), ..config };
    let out = reload(&mut bench, &part(&[lower]));
    assert_eq!(adverts(&out), [90]);
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(notified(&out), [""; 0]);
}

#[test]
fn another_vrid_is_another_instance() {
    let notify = NotifyScripts { generic: Some(command("/n")), ..NotifyScripts::default() };
    let mut bench = master(&Instance { notify: notify.clone().into(), ..instance("V", 1, 150) });
    let out = reload(&mut bench, &part(&[Instance { notify: notify.into(), ..instance("V", 2, 140) }]));
    assert_eq!(adverts(&out), [0]);
    assert_eq!(removed(&out), ["10.0.0.101"]);
    assert_eq!(notified(&out), ["/n INSTANCE V FAULT 150", "/n INSTANCE V BACKUP 140"]);
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn a_deletion_is_told_as_such_only_if_it_is_asked_for() {
    let notify = NotifyScripts {
        generic: Some(command("/n")),
        deleted: Some(command("/gone")),
        ..NotifyScripts::default()
    };
    let mut bench =
        master(&Instance { notify: notify.into(), notify_deleted: true, ..instance("V", 1, 150) });
    let out = reload(&mut bench, &part(&[]));
    assert_eq!(notified(&out), ["/gone", "/n INSTANCE V DELETED 150"]);
    assert_eq!(bench.router.deadline(), None);
}

#[test]
fn states_are_told_again_after_a_reload_if_asked_for_and_not_to_scripts() {
    let told = |out: &[Action]| {
        let stands = out.iter().filter_map(|action| match action {
            Action::Stands(it) => Some((it.subject.clone(), it.state.name(), it.priority)),
            _ => None,
        });
        stands.collect::<Vec<_>>()
    };
    let mut part = part(&[instance("V", 1, 150), instance("W", 2, 100)]);
    part.sync_groups = vec![group("G", &["W"])];
    let (mut bench, _) = Bench::start(&part);
    bench.wait(5.0);
    assert_eq!(told(&reload(&mut bench, &part)), []);
    part.global.fifos.states_on_reload = true;
    part.instances[0].notify.generic = Some(command("/notify"));
    let out = reload(&mut bench, &part);
    let (v, w, g) =
        (Subject::Instance("V".into()), Subject::Instance("W".into()), Subject::Group("G".into()));
    let all = [(v, "MASTER", 150), (w, "MASTER", 100), (g, "MASTER", 0)];
    assert_eq!(told(&out), all);
    assert_eq!(notified(&out), [""; 0]);
    // Also if nothing else has changed: a reader begins anew with every reload.
    assert_eq!(told(&reload(&mut bench, &part)), all);
}

#[test]
fn a_script_of_the_same_name_and_command_keeps_its_verdict() {
    let config = Instance { track_scripts: vec![track_script("s", 20)].into(), ..instance("V", 1, 150) };
    let mut part = part(&[config]);
    part.scripts = vec![script("s")];
    let (mut bench, _) = Bench::start(&part);
    let good = crate::config::model::ScriptEnd::Exited { status: 0 };
    bench.event(crate::vrrp::Event::ScriptEnded { id: 1, end: good });
    part.scripts[0].interval = Duration::from_secs(30);
    let out = reload(&mut bench, &part);
    assert_eq!(logs(&out), ["VRRP_Script(s) considered successful on reload"]);
    assert_eq!(bench.router.snapshot(bench.now).instances[0].effective_priority, 170);
    part.scripts[0].command = command("/other");
    let out = reload(&mut bench, &part);
    assert_eq!(logs(&out), ["(V) Changing effective priority from 170 to 150"]);
    assert!(out.iter().any(|action| matches!(action, Action::RunScript { .. })));
}

#[test]
fn another_interval_starts_the_timers_anew() {
    let config = instance("V", 1, 150);
    let mut bench = master(&config);
    let slow = Instance { advert_int: Centis(300), ..config.clone() };
    assert_eq!(adverts(&reload(&mut bench, &part(std::slice::from_ref(&slow)))), [150]);
    assert_eq!(bench.router.deadline(), Some(bench.now + Duration::from_secs(3)));
    let (mut bench, _) = Bench::start(&part(&[config]));
    reload(&mut bench, &part(&[slow]));
    assert_eq!(bench.router.deadline(), Some(bench.now + Duration::from_secs(9) + secs(106.0 / 256.0)));
}
