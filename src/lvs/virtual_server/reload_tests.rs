//! What a reload and an end mean for the health of one virtual server, seen through its actions.

use super::tests::{Bench, tcp_check, virtual_server, with_sorry};
use crate::config::model::ForwardingMethod;

#[test]
fn a_reload_that_changes_nothing_says_nothing() {
    let mut bench = Bench::start(with_sorry(virtual_server(2), false));
    bench.down(0);
    let same = with_sorry(virtual_server(2), false);
    assert_eq!(bench.reconfigure(same.clone()), ["apply: 2*1"]);
    bench.down(1);
    assert_eq!(bench.reconfigure(same), ["apply: s*1"]);
}

#[test]
fn a_server_that_is_down_stays_down_when_its_checker_is_changed_or_replaced() {
    let mut bench = Bench::start(virtual_server(2));
    bench.down(0);
    let mut changed = virtual_server(2);
    changed.real_servers[0].checkers[0] = tcp_check(4321);
    bench.reconfigure(changed.clone());
    assert_eq!(bench.pool(), "2*1");
    changed.real_servers[0].checkers.clear();
    assert_eq!(
        bench.reconfigure(changed),
        ["Adding service [10.1.0.1]:tcp:8000 to VS [10.9.0.1]:tcp:80", "apply: 1*1 2*1", "run /x/up"],
        "without a checker nothing says that it is down, and that is told (stock 2.2.7 as well)"
    );
}

#[test]
fn a_reload_applies_weights_thresholds_and_methods_without_reviving_anybody() {
    let mut bench = Bench::start(virtual_server(2));
    bench.down(0);
    let mut vs = virtual_server(2);
    for rs in &mut vs.real_servers {
        rs.method = ForwardingMethod::Dr;
        rs.weight = 7;
        rs.upper_threshold = 10;
    }
    assert_eq!(
        bench.reconfigure(vs),
        [
            "Changing weight from 1 to 7 for inactive service [10.1.0.1]:tcp:8000 of VS [10.9.0.1]:tcp:80",
            "Changing weight from 1 to 7 for active service [10.1.0.2]:tcp:8000 of VS [10.9.0.1]:tcp:80",
            "apply: 2*7"
        ]
    );
    let settings = bench.health.pool([].into()).real_servers[1].settings.unwrap();
    assert_eq!(settings.upper_threshold, 10);
    assert_eq!(settings.method, Some(ForwardingMethod::Dr));
}

#[test]
fn a_removed_server_is_told_and_a_new_one_starts_as_at_start() {
    let mut bench = Bench::start(virtual_server(3));
    bench.down(0);
    let mut vs = virtual_server(4);
    vs.real_servers.drain(..2);
    vs.real_servers[1].checkers[0].alpha = true;
    assert_eq!(
        bench.reconfigure(vs),
        [
            "service [10.1.0.1]:tcp:8000 no longer exist",
            "service [10.1.0.2]:tcp:8000 no longer exist",
            "Removing service [10.1.0.2]:tcp:8000 from VS [10.9.0.1]:tcp:80",
            "apply: 3*1",
            "run /x/down"
        ],
        "the one that was down had been told already"
    );
}

#[test]
fn a_reload_can_lose_and_gain_the_quorum() {
    let mut bench = Bench::start(virtual_server(2));
    bench.taken();
    let mut vs = virtual_server(2);
    vs.quorum = 3;
    assert_eq!(
        bench.reconfigure(vs.clone()),
        [
            "Starting with quorum down 3-0=3 > 2 for VS [10.9.0.1]:tcp:80",
            "apply: 1*1 2*1",
            "run /x/quorum_down"
        ]
    );
    vs.quorum = 2;
    assert_eq!(
        bench.reconfigure(vs),
        ["Gained quorum 2+0=2 <= 2 for VS [10.9.0.1]:tcp:80", "apply: 1*1 2*1", "run /x/quorum_up"]
    );
}

#[test]
fn a_changed_sorry_server_is_replaced_while_active_and_a_removed_one_gives_way() {
    let mut vs = with_sorry(virtual_server(2), false);
    vs.quorum = 2;
    let mut bench = Bench::start(vs.clone());
    bench.down(0);
    assert_eq!(bench.pool(), "s*1");
    vs.sorry_server.as_mut().unwrap().port = 9001;
    assert_eq!(
        bench.reconfigure(vs.clone()),
        [
            "Removing sorry server [10.1.0.250]:tcp:9000 from VS [10.9.0.1]:tcp:80",
            "Starting with quorum down 2-0=2 > 1 for VS [10.9.0.1]:tcp:80",
            "Adding sorry server [10.1.0.250]:tcp:9001 to VS [10.9.0.1]:tcp:80",
            "apply: s*1",
            "run /x/quorum_down"
        ]
    );
    vs.sorry_server = None;
    assert_eq!(
        bench.reconfigure(vs),
        ["Removing sorry server [10.1.0.250]:tcp:9001 from VS [10.9.0.1]:tcp:80", "apply: 2*1"]
    );
}

#[test]
fn down_notifiers_run_at_removal_always_and_at_stop_only_with_omega() {
    let mut bench = Bench::start(virtual_server(2));
    bench.down(0);
    let mut out = Vec::new();
    bench.health.stop(&mut out);
    bench.carry_out(std::mem::take(&mut out));
    assert_eq!(
        bench.taken(),
        [
            "Shutting down service [10.1.0.1]:tcp:8000 from VS [10.9.0.1]:tcp:80",
            "Shutting down service [10.1.0.2]:tcp:8000 from VS [10.9.0.1]:tcp:80"
        ]
    );
    bench.health.remove(&mut out);
    bench.carry_out(std::mem::take(&mut out));
    assert_eq!(
        bench.taken(),
        [
            "Removing Virtual Server [10.9.0.1]:tcp:80",
            "Removing service [10.1.0.2]:tcp:8000 from VS [10.9.0.1]:tcp:80",
            "run /x/down",
            "run /x/quorum_down"
        ]
    );

    let mut vs = virtual_server(1);
    vs.omega = true;
    let mut bench = Bench::start(vs);
    bench.taken();
    bench.health.stop(&mut out);
    bench.carry_out(out);
    assert_eq!(bench.taken()[1..], ["run /x/down", "run /x/quorum_down"]);
}
