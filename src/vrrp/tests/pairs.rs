//! Clusters on one fake clock: who is master, who holds the address, after crashes, losses and returns.

use std::time::Duration;

use proptest::prelude::*;

use super::samples::*;
use crate::config::model::{InitialState, Instance, ScriptEnd, VrrpPart, VrrpVersion};
use crate::vrrp::sim::{Cluster, Network};
use crate::vrrp::{StateWord, VrrpState};

/// One node per priority, host numbers from 1, all with instance V.
fn cluster(seed: u64, network: Network, configs: &[Instance]) -> Cluster {
    let mut cluster = Cluster::new(seed, network);
    for (config, host) in configs.iter().zip(1_u8..) {
        let address = std::net::IpAddr::from([10, 0, 0, host]);
        cluster.add(part(std::slice::from_ref(config)), &[("eth0", address)]);
    }
    cluster
}

fn pair(a: Instance, b: Instance) -> Cluster {
    cluster(1, Network::QUIET, &[a, b])
}

fn settle(cluster: &mut Cluster) -> Vec<usize> {
    cluster.run_for(Duration::from_secs(12));
    let masters = cluster.masters(0);
    assert_eq!(cluster.holders(ip("10.0.0.101")), masters, "who is master holds the address");
    masters
}

/// start A, start B, kill A, restart A, kill B, restart B: who is master after each step.
fn walk(a: Instance, b: Instance) -> Vec<Vec<usize>> {
    let mut cluster = pair(a, b);
    let mut masters = Vec::new();
    cluster.start(0);
    masters.push(settle(&mut cluster));
    cluster.start(1);
    masters.push(settle(&mut cluster));
    cluster.crash(0);
    masters.push(settle(&mut cluster));
    cluster.start(0);
    masters.push(settle(&mut cluster));
    cluster.crash(1);
    masters.push(settle(&mut cluster));
    cluster.start(1);
    masters.push(settle(&mut cluster));
    masters
}

/// `nopreempt` as validation leaves it: cleared with `state MASTER` (spec/vrrp-config.md §4, 22).
fn nopreempt(priority: u8, initial: InitialState) -> Instance {
    Instance { initial, preempt: initial == InitialState::Master, ..instance("V", 1, priority) }
}

#[test]
fn walk_1_a_100_state_master_nopreempt_b_101_backup_nopreempt() {
    let steps = walk(nopreempt(100, InitialState::Master), nopreempt(101, InitialState::Backup));
    // B does not preempt; A's nopreempt is void, but A is the lower one.
    assert_eq!(steps, [[0], [0], [1], [1], [0], [0]]);
}

#[test]
fn walk_2_a_101_state_master_nopreempt_b_100_backup_nopreempt() {
    let steps = walk(nopreempt(101, InitialState::Master), nopreempt(100, InitialState::Backup));
    // A's nopreempt is void: it takes the address back when it returns.
    assert_eq!(steps, [[0], [0], [1], [0], [0], [0]]);
}

#[test]
fn walk_3_a_101_backup_nopreempt_b_100_backup_nopreempt() {
    let steps = walk(nopreempt(101, InitialState::Backup), nopreempt(100, InitialState::Backup));
    assert_eq!(steps, [[0], [0], [1], [1], [0], [0]]);
}

#[test]
fn a_crash_costs_the_master_down_time_and_a_stop_only_the_skew() {
    for (is_crash, least, most) in [(true, 2.6, 3.7), (false, 0.6, 0.62)] {
        let mut cluster = pair(instance("V", 1, 150), instance("V", 1, 100));
        cluster.start(0);
        cluster.start(1);
        cluster.run_for(secs(10.3));
        assert_eq!(cluster.masters(0), [0]);
        let then = cluster.now();
        if is_crash {
            cluster.crash(0);
        } else {
            cluster.stop(0);
        }
        cluster.run_for(secs(5.0));
        let (when, ..) = cluster.transitions().filter(|(_, node, _)| *node == 1).last().unwrap();
        let gap = when.since(then).as_secs_f64();
        assert!((least..most).contains(&gap), "crash {is_crash}: {gap}");
        assert_eq!(cluster.holders(ip("10.0.0.101")), [1]);
    }
}

#[test]
fn a_failing_script_moves_the_address_and_its_recovery_brings_it_back() {
    let node = |priority| {
        let config =
            Instance { track_scripts: vec![track_script("s", -60)].into(), ..instance("V", 1, priority) };
        VrrpPart { scripts: vec![script("s")], ..part(&[config]) }
    };
    let mut cluster = Cluster::new(1, Network::QUIET);
    cluster.add(node(150), &[("eth0", ip("10.0.0.1"))]);
    cluster.add(node(100), &[("eth0", ip("10.0.0.2"))]);
    cluster.start(0);
    cluster.start(1);
    assert_eq!(settle(&mut cluster), [0]);
    cluster.set_script(0, "s", ScriptEnd::Exited { status: 1 });
    assert_eq!(settle(&mut cluster), [1]);
    cluster.set_script(0, "s", ScriptEnd::Exited { status: 0 });
    assert_eq!(settle(&mut cluster), [0]);
}

#[test]
fn a_sync_group_moves_as_one_when_one_cable_is_cut() {
    let node = |host: u8, priority| {
        let config = |name: &str, vrid, interface: &str, address| Instance {
            interface: Some(interface.into()),
            vips: vec![vip(address, interface)],
            ..instance(name, vrid, priority)
        };
        let instances = [config("A", 1, "eth0", "10.0.0.101"), config("B", 2, "eth1", "10.0.1.102")];
        let part = VrrpPart { sync_groups: vec![group("G", &["A", "B"])], ..part(&instances) };
        (part, std::net::IpAddr::from([10, 0, 0, host]), std::net::IpAddr::from([10, 0, 1, host]))
    };
    let mut cluster = Cluster::new(1, Network::QUIET);
    for (host, priority) in [(1, 150), (2, 100)] {
        let (part, first, second) = node(host, priority);
        cluster.add(part, &[("eth0", first), ("eth1", second)]);
    }
    cluster.start(0);
    cluster.start(1);
    settle(&mut cluster);
    assert_eq!((cluster.masters(0), cluster.masters(1)), (vec![0], vec![0]));
    cluster.set_carrier(0, "eth1", false);
    settle(&mut cluster);
    assert_eq!((cluster.masters(0), cluster.masters(1)), (vec![1], vec![1]));
    cluster.set_carrier(0, "eth1", true);
    settle(&mut cluster);
    assert_eq!((cluster.masters(0), cluster.masters(1)), (vec![0], vec![0]));
}

#[test]
fn a_respawned_master_goes_on_without_an_election() {
    let mut cluster = pair(instance("V", 1, 150), instance("V", 1, 100));
    cluster.start(0);
    cluster.start(1);
    settle(&mut cluster);
    let before = cluster.transitions().count();
    cluster.respawn(0);
    assert_eq!(settle(&mut cluster), [0]);
    assert_eq!(cluster.transitions().count(), before, "nobody noticed");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = || {
        let network = Network { loss: 200, jitter: Duration::from_millis(300), ..Network::QUIET };
        let mut cluster = cluster(7, network, &[instance("V", 1, 150), instance("V", 1, 100)]);
        cluster.start(0);
        cluster.start(1);
        cluster.run_for(secs(60.0));
        cluster.records().to_vec()
    };
    assert_eq!(tell(), tell());
}

/// What may happen to a node of a random cluster.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Start,
    Crash,
    Stop,
    Respawn,
    Cut,
    Mend,
    DeleteVip,
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        Just(Blow::Start),
        Just(Blow::Crash),
        Just(Blow::Stop),
        Just(Blow::Respawn),
        Just(Blow::Cut),
        Just(Blow::Mend),
        Just(Blow::DeleteVip),
    ]
}

fn strike(cluster: &mut Cluster, node: usize, blow: Blow) {
    match blow {
        Blow::Start if cluster.router(node).is_none() => cluster.start(node),
        Blow::Start => {}
        Blow::Crash => cluster.crash(node),
        Blow::Stop => cluster.stop(node),
        Blow::Respawn => cluster.respawn(node),
        Blow::Cut => cluster.set_carrier(node, "eth0", false),
        Blow::Mend => cluster.set_carrier(node, "eth0", true),
        Blow::DeleteVip => cluster.delete_address(node, ip("10.0.0.101")),
    }
}

proptest! {
    /// With preemption and equal version, interval and authentication: after any storm, a quiet network ends with
    /// the one node that has the highest priority, or of equal ones the highest address.
    #[test]
    fn a_quiet_network_ends_with_the_rightful_master(
        seed: u64,
        priorities in proptest::collection::vec(prop_oneof![Just(100u8), Just(101), Just(200), Just(254)], 2..=5),
        is_version_3: bool,
        loss in 0u32..400,
        jitter in 0u64..300,
        blows in proptest::collection::vec((0usize..5, blow(), 0u64..4000), 0..20),
    ) {
        let version = if is_version_3 { VrrpVersion::V3 } else { VrrpVersion::V2 };
        let configs: Vec<_> =
            priorities.iter().map(|priority| Instance { version, ..instance("V", 1, *priority) }).collect();
        let network = Network { loss, jitter: Duration::from_millis(jitter), ..Network::QUIET };
        let mut cluster = cluster(seed, network, &configs);
        for node in 0..configs.len() {
            cluster.start(node);
        }
        for (node, blow, pause) in blows {
            strike(&mut cluster, node % configs.len(), blow);
            cluster.run_for(Duration::from_millis(pause));
        }
        cluster.set_network(Network::QUIET);
        for node in 0..configs.len() {
            strike(&mut cluster, node, Blow::Start);
            strike(&mut cluster, node, Blow::Mend);
        }
        cluster.run_for(secs(12.0));
        // The rightful one by priority. A backup accepts an equal priority whatever its address, so of
        // equal ones any may stay.
        let best = priorities.iter().max().copied();
        let masters = cluster.masters(0);
        prop_assert_eq!(masters.len(), 1);
        prop_assert_eq!(Some(priorities[masters[0]]), best);
        prop_assert_eq!(cluster.holders(ip("10.0.0.101")), masters);
    }

    /// Without loss, two masters end when the better one's next advert has crossed the network.
    #[test]
    fn no_two_masters_outlive_an_interval_and_the_delay(
        seed: u64,
        priorities in proptest::collection::vec(1u8..=254, 2..=5),
        jitter in 0u64..200,
        blows in proptest::collection::vec((0usize..5, blow(), 0u64..4000), 0..20),
    ) {
        let configs: Vec<_> = priorities.iter().map(|priority| instance("V", 1, *priority)).collect();
        let network = Network { jitter: Duration::from_millis(jitter), ..Network::QUIET };
        let mut cluster = cluster(seed, network, &configs);
        for node in 0..configs.len() {
            cluster.start(node);
        }
        let bound = Duration::from_secs(1) + network.delay + network.jitter;
        let mut several_since = None;
        for (node, blow, pause) in blows {
            // A cut cable makes two masters by right; it is another story.
            if !matches!(blow, Blow::Cut) {
                strike(&mut cluster, node % configs.len(), blow);
            }
            let end = cluster.now() + Duration::from_millis(pause);
            while cluster.next().is_some_and(|next| next <= end) {
                cluster.step();
                if cluster.masters(0).len() < 2 {
                    several_since = None;
                    continue;
                }
                let since = *several_since.get_or_insert(cluster.now());
                prop_assert!(cluster.now().since(since) <= bound, "masters {:?}", cluster.masters(0));
            }
            cluster.run_for(Duration::ZERO);
        }
    }
}

#[test]
fn every_transition_names_its_cause() {
    let mut cluster = pair(instance("V", 1, 150), instance("V", 1, 100));
    cluster.start(1);
    cluster.run_for(secs(5.0));
    cluster.start(0);
    settle(&mut cluster);
    let causes: Vec<_> = cluster
        .transitions()
        .map(|(_, node, transition)| (node, transition.state, transition.cause.as_str()))
        .collect();
    assert_eq!(
        causes,
        [
            (1, StateWord::Backup, "start"),
            (1, StateWord::Master, "the master is silent"),
            (0, StateWord::Backup, "start"),
            (0, StateWord::Master, "the master is silent"),
            (1, StateWord::Backup, "advert of priority 150 from 10.0.0.1"),
        ]
    );
    assert_eq!(cluster.state(0, 0), Some(VrrpState::Master));
}
