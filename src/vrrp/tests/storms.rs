//! Random clusters in random weather, for as many steps as are asked for: what holds after every single step, and how it
//! ends when the network falls quiet.
//!
//! `VRRP_STEPS` is the number of steps (tests/run --long takes millions); a failure names the storm, and `VRRP_STORM=n`
//! repeats that one alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    AntiReplay, Auth, AuthHmac, Centis, Family, HmacKey, HmacMode, Instance, ScriptEnd, Transport,
    UnicastChecksum, UnicastPeer, VrrpPart, VrrpVersion,
};
use crate::time::Time;
use crate::vrrp::sim::{Cluster, Network};
use crate::vrrp::{Action, VrrpState};

/// Steps of one run of the tests.
const STEPS: u64 = 100_000;
const VIPS: [&str; 2] = ["10.0.0.101", "10.0.1.102"];
const VIPS_6: [&str; 2] = ["fe80::101", "fe80::102"];

/// Chance from a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    fn is(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }
}

/// A cluster of one configuration and its weather.
struct Storm {
    cluster: Cluster,
    dice: Dice,
    parts: Vec<VrrpPart>,
    priorities: Vec<u8>,
    vips: [&'static str; 2],
    interval: Duration,
    weather: Network,
    /// Signed adverts that come in another order are rejected, so that two masters may last longer.
    keeps_order: bool,
    startup_delay: Duration,
    preempt_delay: Duration,
    /// Each pair of masters of an instance, and since when.
    rivals: HashMap<(usize, usize, usize), Time>,
    deletions: u32,
    steps: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 2 + dice.index(4);
        let version = dice.one(&[VrrpVersion::V2, VrrpVersion::V3]);
        let interval = match version {
            VrrpVersion::V2 => dice.one(&[100, 100, 200]),
            VrrpVersion::V3 => dice.one(&[1, 10, 50, 50, 100, 100, 100, 300]),
        };
        let family = dice.one(&[Family::V4, Family::V4, Family::V6]);
        let vips = if family == Family::V4 { VIPS } else { VIPS_6 };
        let key = HmacKey { id: 7, value: vec![7; 32] };
        let window = Duration::from_secs(10);
        let anti_replay = dice.one(&[AntiReplay::Time { window }, AntiReplay::Monotonic]);
        let signed = AuthHmac { keys: vec![key], active: 7, anti_replay, mode: HmacMode::Enforce };
        let auth = match dice.below(4) {
            0 if version == VrrpVersion::V2 && family == Family::V4 => Auth::Pass(*b"password"),
            1 => Auth::Hmac(Box::new(signed)),
            _ => Auth::None,
        };
        let keeps_order = !matches!(auth, Auth::Hmac(_));
        let is_unicast = dice.is(25);
        let own = |link: u8, host: u8| match family {
            Family::V4 => IpAddr::from([10, 0, link, host]),
            Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, u16::from(link), u16::from(host)]),
        };
        let is_group = dice.is(40);
        let has_script = dice.is(40);
        let delays = [Duration::ZERO, Duration::ZERO, Duration::from_millis(1500)];
        let (startup_delay, preempt_delay) = (dice.one(&delays), dice.one(&delays));
        let down_timer_adverts = dice.one(&[3, 3, 2, 5]);
        let network = Network {
            delay: Duration::from_micros(dice.one(&[50, 100, 2000])),
            jitter: Duration::from_millis(dice.one(&[0, 1, 30, 300])),
            loss: dice.one(&[0, 0, 100, 400]),
            duplicates: dice.one(&[0, 0, 50, 500]),
        };
        let mut cluster = Cluster::new(seed, network);
        let (mut parts, mut priorities) = (Vec::new(), Vec::new());
        let owner = dice.is(15).then(|| dice.index(count));
        for (node, host) in (0..count).zip(1_u8..) {
            let priority = if owner == Some(node) { 255 } else { dice.one(&[1, 100, 100, 101, 200, 254]) };
            let multicast = ip(if family == Family::V4 { "224.0.0.18" } else { "ff02::12" });
            let to_all = |vrid: u8| {
                let others = (0..count).zip(1_u8..).filter(|(other, _)| *other != node);
                let peer = |(_, host)| {
                    let address = own(vrid - 1, host);
                    UnicastPeer { address, min_ttl: None, max_ttl: None }
                };
                let peers = others.map(peer).collect();
                Transport::Unicast { peers, ttl: None, checksum: UnicastChecksum::Auto }
            };
            let config = |name: &str, vrid: u8| {
                let eth = format!("eth{}", vrid - 1);
                Instance {
                    version,
                    auth: auth.clone(),
                    advert_int: Centis(interval),
                    interface: Some(eth.clone()),
                    vips: vec![vip(vips[usize::from(vrid) - 1], &eth)],
                    down_timer_adverts,
                    family,
                    transport: if is_unicast {
                        to_all(vrid)
                    } else {
                        Transport::Multicast { group: multicast }
                    },
                    ..instance(name, vrid, priority)
                }
            };
            let mut first = config("A", 1);
            first.preempt_delay = if priority == 255 { Duration::ZERO } else { preempt_delay };
            first.lower_prio_no_advert = dice.is(20);
            first.higher_prio_send_advert = dice.is(20);
            if has_script {
                let weight = if is_group || priority == 255 { 0 } else { dice.one(&[0, -60]) };
                first.track_scripts = vec![track_script("s", weight)].into();
            }
            let mut instances = vec![first];
            if is_group {
                instances.push(config("B", 2));
            }
            let mut part = part(&instances);
            part.global.vrrp_startup_delay = startup_delay;
            part.scripts.extend(has_script.then(|| script("s")));
            part.sync_groups.extend(is_group.then(|| group("G", &["A", "B"])));
            cluster.add(part.clone(), &[("eth0", own(0, host)), ("eth1", own(1, host))]);
            parts.push(part);
            priorities.push(priority);
        }
        Self {
            cluster,
            dice,
            parts,
            priorities,
            vips,
            interval: Duration::from_millis(u64::from(interval) * 10),
            weather: network,
            keeps_order,
            startup_delay,
            preempt_delay,
            rivals: HashMap::new(),
            deletions: 0,
            steps: 0,
        }
    }

    /// Something happens to a node.
    fn strike(&mut self) {
        let node = self.dice.index(self.parts.len());
        let eth = self.dice.one(&["eth0", "eth1"]);
        match self.dice.below(11) {
            0..=2 => self.start(node),
            3 => self.cluster.crash(node),
            4 => self.cluster.stop(node),
            5 => self.cluster.respawn(node),
            6 => self.cluster.set_carrier(node, eth, false),
            7 => self.cluster.set_carrier(node, eth, true),
            8 => {
                let status = self.dice.one(&[0, 1]);
                self.cluster.set_script(node, "s", ScriptEnd::Exited { status });
            }
            9 if self.deletions < 2 => {
                self.deletions += 1;
                self.cluster.delete_address(node, ip(self.vips[0]));
            }
            _ => {
                // A value that concerns no instance, so that the whole reload runs.
                self.parts[node].global.router_id.push('x');
                self.cluster.reload(node, self.parts[node].clone());
            }
        }
        self.check();
    }

    fn start(&mut self, node: usize) {
        if self.cluster.router(node).is_none() {
            self.cluster.start(node);
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.cluster.now() + duration;
        while self.cluster.next().is_some_and(|next| next <= end) {
            self.cluster.step();
            self.steps += 1;
            self.check();
        }
        self.cluster.run_for(end.since(self.cluster.now()));
    }

    /// What holds after every step.
    fn check(&mut self) {
        let now = self.cluster.now();
        for (node, part) in self.parts.iter().enumerate() {
            let Some(router) = self.cluster.router(node) else { continue };
            for (i, (config, run)) in part.instances.iter().zip(&router.runs).enumerate() {
                let who = format!("node {node} {} {:?}", config.name, run.state);
                let most = match run.state {
                    VrrpState::Init | VrrpState::Fault => {
                        assert_eq!(run.timer, None, "{who}");
                        assert_ne!(router.awaits(i), [], "{who}");
                        continue;
                    }
                    VrrpState::Backup => run.master_down(config) + self.startup_delay,
                    VrrpState::Master => config.advert_int.duration(),
                };
                let due = run.timer.unwrap_or_else(|| panic!("{who} has no timer"));
                assert!(due <= now + most, "{who} waits {:?}", due.since(now));
                assert!(router.deadline().is_some_and(|first| first <= due), "{who}");
            }
            let masters = router.runs.iter().filter(|run| run.state == VrrpState::Master).count();
            assert!(masters == 0 || masters == router.runs.len(), "node {node}: a group moves as one");
        }
        self.check_rivals(now);
    }

    /// Without loss, of two masters one ends when the other's next advert has crossed the network.
    fn check_rivals(&mut self, now: Time) {
        if self.weather.loss > 0 || !self.keeps_order {
            return;
        }
        let bound = self.interval + self.weather.delay + self.weather.jitter;
        for i in 0..self.parts[0].instances.len() {
            let is_master = |node: &usize| {
                let router = self.cluster.router(*node);
                router.is_some_and(|router| router.runs[i].state == VrrpState::Master)
            };
            let masters: Vec<usize> = (0..self.parts.len()).filter(is_master).collect();
            self.rivals
                .retain(|(instance, a, b), _| *instance != i || masters.contains(a) && masters.contains(b));
            for (at, a) in masters.iter().enumerate() {
                for b in &masters[at + 1..] {
                    let since = *self.rivals.entry((i, *a, *b)).or_insert(now);
                    assert!(now.since(since) <= bound, "{a} and {b} are masters of {i} since {since:?}");
                }
            }
        }
    }

    /// With preemption and equal version, interval and authentication a quiet network ends with the rightful master.
    fn end(&mut self) {
        self.weather = Network::QUIET;
        self.cluster.set_network(Network::QUIET);
        // Old adverts on their way are not the quiet network's.
        self.rivals.clear();
        for node in 0..self.parts.len() {
            self.cluster.set_script(node, "s", ScriptEnd::Exited { status: 0 });
            self.start(node);
            for eth in ["eth0", "eth1"] {
                self.cluster.set_carrier(node, eth, true);
            }
        }
        let longest = self.interval * 6 + Duration::from_secs(1);
        self.run_for(self.startup_delay + self.preempt_delay + longest * 3 + Duration::from_secs(2));
        let best = self.priorities.iter().max();
        for (i, vip) in self.vips.into_iter().enumerate().take(self.parts[0].instances.len()) {
            let masters = self.cluster.masters(i);
            assert_eq!(masters.len(), 1, "masters {masters:?} of {i}");
            // A backup accepts an equal priority whatever its address: of equal ones any may stay.
            assert_eq!(Some(&self.priorities[masters[0]]), best);
            assert_eq!(self.cluster.holders(ip(vip)), masters);
        }
    }
}

/// One storm from its first gust to the calm; how many steps it took.
fn weather(seed: u64) -> u64 {
    let mut storm = Storm::new(seed);
    for node in 0..storm.parts.len() {
        if storm.dice.is(80) {
            storm.cluster.start(node);
        }
        let pause = storm.dice.below(2000);
        storm.run_for(Duration::from_millis(pause));
    }
    for _ in 0..storm.dice.below(25) {
        storm.strike();
        let pause = storm.dice.below(40) * storm.dice.below(100);
        storm.run_for(Duration::from_millis(pause));
    }
    storm.end();
    storm.steps
}

/// Storms until `steps` are made, or the one that is asked for.
fn season(first: u64, steps: u64, mut storm: impl FnMut(u64) -> u64) {
    if let Ok(seed) = std::env::var("VRRP_STORM") {
        storm(seed.parse().expect("VRRP_STORM is a number"));
        return;
    }
    let (mut made, mut seed) = (0, first);
    while made < steps {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm(seed)));
        made += told.unwrap_or_else(|_| panic!("storm {seed}: repeat it with VRRP_STORM={seed}"));
        seed += 1;
    }
    println!("{} storms, {made} steps", seed - first);
}

fn steps() -> u64 {
    std::env::var("VRRP_STEPS").map_or(STEPS, |steps| steps.parse().expect("VRRP_STEPS is a number"))
}

#[test]
fn whatever_the_weather_the_rightful_master_remains_and_two_end_soon() {
    season(0, steps(), weather);
}

/// The same storm twice; in one of them every core is replaced by its successor at random moments.
fn twins(seed: u64) -> u64 {
    let (mut original, mut replaced) = (Storm::new(seed), Storm::new(seed));
    let mut moments = Dice(!seed);
    for node in 0..original.parts.len() {
        original.cluster.start(node);
        replaced.cluster.start(node);
    }
    for _ in 0..12 {
        original.strike();
        replaced.strike();
        let end = original.cluster.now() + Duration::from_millis(original.dice.below(2000));
        replaced.dice.below(2000);
        while original.cluster.next().is_some_and(|next| next <= end) {
            original.cluster.step();
            original.steps += 1;
            replaced.cluster.step();
            if moments.is(10) {
                let node = moments.index(replaced.parts.len());
                let out = replaced.cluster.replace(node);
                assert!(out.iter().all(|action| matches!(action, Action::Listen(_))), "{out:?}");
            }
        }
        let rest = end.since(original.cluster.now());
        original.cluster.run_for(rest);
        replaced.cluster.run_for(rest);
        assert_eq!(original.cluster.records().len(), replaced.cluster.records().len());
    }
    for (a, b) in original.cluster.records().iter().zip(replaced.cluster.records()) {
        assert_eq!(a, b);
    }
    original.steps
}

#[test]
fn a_core_that_goes_on_from_the_state_of_another_behaves_as_that_one() {
    season(1_000_000, steps() / 4, twins);
}
