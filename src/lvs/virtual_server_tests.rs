//! The health of one virtual server, seen through its actions.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::model::{
    CheckKind, CheckTiming, Checker, Command, Connection, ForwardingMethod, Identity, InheritedSettings,
    Protocol, Rare, RealServer, Scheduler, Service, SorryServer,
};

pub(crate) fn tcp_check(port: u16) -> Checker {
    Checker {
        kind: CheckKind::Tcp(Connection {
            destination: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), port),
            local: Rare::default(),
            timeout: Duration::from_secs(5),
        }),
        timing: Arc::new(CheckTiming {
            delay_loop: Duration::from_secs(5),
            retry: 1,
            delay_before_retry: Duration::from_secs(1),
            warmup: Duration::ZERO,
        }),
        alpha: false,
        log_all_failures: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of the model are optional")]
fn command(name: &str) -> Option<Command> {
    let path = format!("/x/{name}");
    Some(Command { argv: vec![path.clone()], path, identity: Identity::default() })
}

/// `10.9.0.1:80`, TCP, rr, NAT; real servers `10.1.0.1:8000` and so on, each with one TCP check and all notifiers.
pub(crate) fn virtual_server(real_servers: u8) -> VirtualServer {
    VirtualServer {
        service: Service::Address { address: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), port: 80 },
        family: Some(crate::config::model::Family::V4),
        protocol: Some(Protocol::Tcp),
        scheduler: Scheduler::Rr,
        flags: 0,
        persistence: None,
        method: ForwardingMethod::Nat,
        quorum: 1,
        hysteresis: 0,
        quorum_up: command("quorum_up"),
        quorum_down: command("quorum_down"),
        smtp_alert: false,
        omega: false,
        settings: InheritedSettings::default(),
        inhibit_on_failure: false,
        weight: 1,
        virtualhost: None,
        snmp_name: None,
        ha_suspend: false,
        slow_start: Duration::ZERO,
        min_in_service: 0,
        sorry_server: None,
        real_servers: (1..=real_servers)
            .map(|n| RealServer {
                address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, n)),
                port: 8000,
                weight: 1,
                method: ForwardingMethod::Nat,
                upper_threshold: 0,
                lower_threshold: 0,
                inhibit_on_failure: false,
                notify_up: command("up").map(Box::new),
                notify_down: command("down").map(Box::new),
                smtp_alert: true,
                own: None,
                checkers: vec![tcp_check(8000)],
            })
            .collect(),
    }
}

pub(crate) fn with_sorry(mut vs: VirtualServer, inhibit: bool) -> VirtualServer {
    vs.sorry_server = Some(SorryServer {
        address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, 250)),
        port: 9000,
        method: ForwardingMethod::Nat,
        inhibit,
    });
    vs
}

/// A core with a kernel that obeys, unless told otherwise.
pub(crate) struct Bench {
    pub(crate) health: VirtualServerHealth,
    /// The next answers: false refuses.
    pub(crate) answers: Vec<bool>,
    /// What came out since the last look: log lines, `apply: <pool>`, `run <script>`, `undo`.
    lines: Vec<String>,
}

impl Bench {
    pub(crate) fn start(vs: VirtualServer) -> Self {
        let mut out = Vec::new();
        let health = VirtualServerHealth::start(Arc::new(vs), false, &mut out);
        let mut bench = Self { health, answers: Vec::new(), lines: Vec::new() };
        bench.carry_out(out);
        bench
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<String> {
        let mut out = Vec::new();
        self.health.handle(event, &mut out);
        self.carry_out(out);
        self.taken()
    }

    /// Time goes on to this second.
    pub(crate) fn at(&mut self, seconds: u64) -> Vec<String> {
        let mut out = Vec::new();
        self.health.tick(Time::ZERO + Duration::from_secs(seconds), &mut out);
        self.carry_out(out);
        self.taken()
    }

    pub(crate) fn down(&mut self, real_server: usize) -> Vec<String> {
        self.event(Event::CheckerDown { real_server, checker: 0 })
    }

    pub(crate) fn up(&mut self, real_server: usize) -> Vec<String> {
        self.event(Event::CheckerUp { real_server, checker: 0 })
    }

    pub(crate) fn reconfigure(&mut self, vs: VirtualServer) -> Vec<String> {
        let mut out = Vec::new();
        self.health.reconfigure(Arc::new(vs), &mut out);
        self.carry_out(out);
        self.taken()
    }

    pub(crate) fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Log(line) => self.lines.push(line),
                Action::Notify { command, .. } => {
                    self.lines.push(format!("run {}", command.path));
                }
                Action::Undo { real_server, .. } => self.lines.push(format!("undo {real_server}")),
                Action::StateChanged | Action::Served { .. } | Action::Quorum { .. } | Action::Alert(_) => {}
                Action::Apply(_) => {
                    self.lines.push(format!("apply: {}", self.pool()));
                    let answer = if self.answers.is_empty() { true } else { self.answers.remove(0) };
                    let event = if answer { Event::Applied } else { Event::Refused };
                    let mut out = Vec::new();
                    self.health.handle(event, &mut out);
                    self.carry_out(out);
                }
            }
        }
    }

    /// `1*3 2*0` is real server 1 with weight 3 and 2 with weight 0; `s` is the sorry server.
    pub(crate) fn pool(&self) -> String {
        let pool = self.health.pool([].into());
        let part = |wanted: &Wanted| {
            let IpAddr::V4(address) = wanted.real_server.address else { unreachable!() };
            let name = match address.octets()[3] {
                250 => "s".to_owned(),
                n => n.to_string(),
            };
            wanted.settings.map(|settings| format!("{name}*{}", settings.weight))
        };
        let parts: Vec<String> =
            pool.real_servers.iter().chain(&pool.sorry_server).filter_map(part).collect();
        parts.join(" ")
    }
}

#[test]
fn at_start_real_servers_are_in_service_before_any_check_and_the_quorum_is_gained() {
    let mut bench = Bench::start(virtual_server(2));
    assert_eq!(
        bench.taken(),
        ["Gained quorum 1+0=1 <= 2 for VS [10.9.0.1]:tcp:80", "apply: 1*1 2*1", "run /x/quorum_up"]
    );
}

#[test]
fn with_rs_init_notifies_those_in_service_at_start_are_told() {
    let mut vs = virtual_server(2);
    vs.real_servers[1].checkers[0].alpha = true;
    let mut out = Vec::new();
    VirtualServerHealth::start(Arc::new(vs.clone()), true, &mut out);
    assert!(!out.iter().any(|action| matches!(action, Action::Notify { .. })), "not before it is done");
    let mut health = VirtualServerHealth::start(Arc::new(vs), true, &mut out);
    out.clear();
    health.handle(Event::Applied, &mut out);
    let paths = out.iter().filter_map(|action| match action {
        Action::Notify { command, .. } => Some(command.path.as_str()),
        _ => None,
    });
    assert_eq!(paths.collect::<Vec<_>>(), ["/x/up", "/x/quorum_up"]);
}

#[test]
fn a_real_server_goes_down_and_comes_back_in_stocks_words_and_order() {
    let mut bench = Bench::start(virtual_server(2));
    bench.taken();
    assert_eq!(
        bench.down(0),
        ["Removing service [10.1.0.1]:tcp:8000 from VS [10.9.0.1]:tcp:80", "apply: 2*1", "run /x/down"]
    );
    assert_eq!(
        bench.up(0),
        ["Adding service [10.1.0.1]:tcp:8000 to VS [10.9.0.1]:tcp:80", "apply: 1*1 2*1", "run /x/up"]
    );
    assert_eq!(bench.up(0), [""; 0], "a result that changes nothing does nothing");
}

/// spec/lvs-config.md, trap 8, for which stock 2.2.7 was asked: drained by weights, the sorry server serves.
#[test]
fn servers_that_all_weigh_nothing_never_make_a_quorum() {
    let mut vs = with_sorry(virtual_server(2), false);
    (vs.quorum, vs.hysteresis) = (0, 0);
    for rs in &mut vs.real_servers {
        rs.weight = 0;
    }
    let mut bench = Bench::start(vs);
    assert_eq!(bench.pool(), "s*1");
    assert!(!bench.health.snapshot().quorum_up);
    bench.down(1);
    assert_eq!(bench.pool(), "s*1");
    bench.up(1);
    assert_eq!(bench.pool(), "s*1", "a server without weight changes nothing");
}

#[test]
fn losing_the_quorum_brings_the_sorry_server_and_regaining_it_takes_it_away() {
    let mut vs = with_sorry(virtual_server(3), false);
    (vs.quorum, vs.hysteresis) = (2, 1);
    let mut bench = Bench::start(vs);
    bench.taken();
    assert_eq!(bench.pool(), "1*1 2*1 3*1");
    bench.down(0);
    bench.down(1);
    assert_eq!(bench.pool(), "3*1", "quorum 2 hysteresis 1 is lost only at 0");
    assert_eq!(
        bench.down(2),
        [
            "Removing service [10.1.0.3]:tcp:8000 from VS [10.9.0.1]:tcp:80",
            "apply: ",
            "run /x/down",
            "Lost quorum 2-1=1 > 0 for VS [10.9.0.1]:tcp:80",
            "Adding sorry server [10.1.0.250]:tcp:9000 to VS [10.9.0.1]:tcp:80",
            "Removing alive servers from the pool for VS [10.9.0.1]:tcp:80",
            "apply: s*1",
            "run /x/quorum_down"
        ]
    );
    bench.up(0);
    bench.up(1);
    assert_eq!(bench.pool(), "s*1", "regained only at 3");
    assert_eq!(
        bench.up(2),
        [
            "Adding service [10.1.0.3]:tcp:8000 to VS [10.9.0.1]:tcp:80",
            "apply: s*1",
            "run /x/up",
            "Gained quorum 2+1=3 <= 3 for VS [10.9.0.1]:tcp:80",
            "Removing sorry server [10.1.0.250]:tcp:9000 from VS [10.9.0.1]:tcp:80",
            "Adding alive servers to the pool for VS [10.9.0.1]:tcp:80",
            "apply: 1*1 2*1 3*1",
            "run /x/quorum_up"
        ]
    );
}

#[test]
fn inhibited_servers_stay_with_weight_zero() {
    let mut vs = with_sorry(virtual_server(2), true);
    vs.real_servers[0].inhibit_on_failure = true;
    let mut bench = Bench::start(vs);
    bench.taken();
    assert_eq!(bench.pool(), "1*1 2*1 s*0");
    assert_eq!(
        bench.down(0)[..2],
        ["Disabling service [10.1.0.1]:tcp:8000 of VS [10.9.0.1]:tcp:80", "apply: 1*0 2*1 s*0"]
    );
    let lines = bench.down(1);
    assert!(
        lines.contains(&"Enabling sorry server [10.1.0.250]:tcp:9000 to VS [10.9.0.1]:tcp:80".to_owned())
    );
    assert_eq!(bench.pool(), "1*0 s*1");
    let lines = bench.up(0);
    assert_eq!(lines[0], "Enabling service [10.1.0.1]:tcp:8000 of VS [10.9.0.1]:tcp:80");
    assert!(
        lines.contains(&"Disabling sorry server [10.1.0.250]:tcp:9000 from VS [10.9.0.1]:tcp:80".to_owned())
    );
    assert_eq!(bench.pool(), "1*1 s*0");
}

#[test]
fn a_sorry_server_that_is_a_real_server_shares_its_entry() {
    let mut vs = with_sorry(virtual_server(2), false);
    let shared = vs.sorry_server.as_mut().unwrap();
    (shared.address, shared.port) = (vs.real_servers[0].address, 8000);
    vs.real_servers[0].weight = 5;
    let mut bench = Bench::start(vs);
    assert_eq!(bench.pool(), "1*5 2*1");
    bench.down(0);
    assert_eq!(bench.pool(), "2*1");
    bench.down(1);
    assert_eq!(bench.pool(), "1*1", "in service as the sorry server, with its weight");
    bench.up(1);
    assert_eq!(bench.pool(), "2*1");
}

#[test]
fn alpha_servers_begin_outside_and_their_first_failure_is_told_once() {
    let mut vs = with_sorry(virtual_server(2), false);
    vs.quorum_down = None;
    for rs in &mut vs.real_servers {
        rs.checkers[0].alpha = true;
    }
    vs.real_servers[1].inhibit_on_failure = true;
    let mut bench = Bench::start(vs);
    assert_eq!(
        bench.taken(),
        [
            "Starting with quorum down 1-0=1 > 0 for VS [10.9.0.1]:tcp:80",
            "Adding sorry server [10.1.0.250]:tcp:9000 to VS [10.9.0.1]:tcp:80",
            "apply: 2*0 s*1"
        ]
    );
    assert_eq!(bench.event(Event::StillDown { real_server: 0 }), ["run /x/down"]);
    assert_eq!(bench.event(Event::StillDown { real_server: 0 }), [""; 0]);
    bench.up(0);
    assert_eq!(bench.pool(), "1*1 2*0");
    bench.down(0);
    assert_eq!(bench.event(Event::StillDown { real_server: 0 }), [""; 0]);
}

#[test]
fn without_a_sorry_server_a_missing_quorum_at_start_is_not_told() {
    let mut vs = virtual_server(1);
    vs.real_servers[0].checkers[0].alpha = true;
    let mut bench = Bench::start(vs);
    assert_eq!(bench.taken(), ["apply: "]);
}

#[test]
fn a_refused_command_leaves_the_state_as_it_was_and_tells_nobody() {
    let mut bench = Bench::start(virtual_server(1));
    bench.taken();
    bench.answers = vec![false];
    assert_eq!(
        bench.down(0),
        ["Removing service [10.1.0.1]:tcp:8000 from VS [10.9.0.1]:tcp:80", "apply: ", "undo 0"]
    );
    assert_eq!(bench.pool(), "1*1");
    assert_eq!(bench.down(0)[2], "run /x/down", "the next report counts");
}

#[test]
fn a_server_is_up_only_when_all_its_checkers_are() {
    let mut vs = virtual_server(2);
    vs.real_servers[0].checkers.push(tcp_check(1));
    let mut bench = Bench::start(vs);
    bench.taken();
    bench.down(0);
    assert_eq!(bench.event(Event::CheckerDown { real_server: 0, checker: 1 }), [""; 0]);
    assert_eq!(bench.up(0), [""; 0]);
    assert_eq!(bench.event(Event::CheckerUp { real_server: 0, checker: 1 })[2], "run /x/up");
}

#[test]
fn weights_add_up_and_zero_is_alive_but_does_not_count() {
    let mut vs = with_sorry(virtual_server(1), false);
    vs.real_servers[0].weight = 5;
    vs.real_servers[0].checkers.push(tcp_check(1));
    let mut bench = Bench::start(vs);
    bench.taken();
    let event = |checker, weight| Event::Contribution { real_server: 0, checker, weight };
    assert_eq!(
        bench.event(event(0, 15)),
        [
            "Changing weight from 5 to 20 for active service [10.1.0.1]:tcp:8000 of VS [10.9.0.1]:tcp:80",
            "apply: 1*20"
        ]
    );
    bench.event(event(1, 25));
    assert_eq!(bench.pool(), "1*45");
    bench.event(event(1, -20));
    assert_eq!(bench.pool(), "s*1", "weight 0 loses the quorum although the server is alive");
    bench.event(event(1, i64::MAX));
    assert_eq!(bench.pool(), "1*2147483647");
}

#[test]
fn events_during_an_open_apply_wait_for_its_answer() {
    let mut out = Vec::new();
    let mut health = VirtualServerHealth::start(Arc::new(virtual_server(2)), false, &mut out);
    out.clear();
    health.handle(Event::CheckerDown { real_server: 0, checker: 0 }, &mut out);
    assert_eq!(out, [], "the start is not yet applied");
    health.handle(Event::Applied, &mut out);
    assert!(out.contains(&Action::Apply(Scope::RealServer(0))));
}

fn any_event() -> impl Strategy<Value = Event> {
    let rs = 0usize..4;
    let checker = 0usize..3;
    prop_oneof![
        (rs.clone(), checker.clone())
            .prop_map(|(real_server, checker)| Event::CheckerDown { real_server, checker }),
        (rs.clone(), checker.clone())
            .prop_map(|(real_server, checker)| Event::CheckerUp { real_server, checker }),
        rs.clone().prop_map(|real_server| Event::StillDown { real_server }),
        (rs, checker, -3i64..4).prop_map(|(real_server, checker, weight)| Event::Contribution {
            real_server,
            checker,
            weight
        }),
    ]
}

fn any_server() -> impl Strategy<Value = VirtualServer> {
    let rs = (0u32..3, any::<bool>(), any::<bool>(), 0usize..3);
    (proptest::collection::vec(rs, 1..4), 1u32..5, 0u32..3, 0u8..4).prop_map(
        |(servers, quorum, hysteresis, sorry)| {
            let mut vs = virtual_server(u8::try_from(servers.len()).unwrap());
            (vs.quorum, vs.hysteresis) = (quorum, hysteresis);
            for (rs, (weight, inhibit, alpha, checkers)) in vs.real_servers.iter_mut().zip(servers) {
                (rs.weight, rs.inhibit_on_failure) = (weight, inhibit);
                let mut checker = tcp_check(1);
                checker.alpha = alpha;
                rs.checkers = vec![checker; checkers];
            }
            if sorry > 0 { with_sorry(vs, sorry > 1) } else { vs }
        },
    )
}

proptest! {
    #[test]
    fn the_quorum_never_disagrees_with_the_weight_that_is_alive(
        vs in any_server(),
        events in proptest::collection::vec((any_event(), any::<bool>()), 0..40),
    ) {
        let (quorum, hysteresis) = (i64::from(vs.quorum), i64::from(vs.hysteresis));
        let mut bench = Bench::start(vs);
        for (event, answer) in events {
            bench.answers = vec![answer];
            bench.event(event);
            bench.answers.clear();
            let snapshot = bench.health.snapshot();
            let sum: i64 = snapshot.real_servers.iter().filter(|rs| rs.alive)
                .map(|rs| rs.effective_weight.clamp(0, MAX_WEIGHT)).sum();
            if snapshot.quorum_up {
                prop_assert!(sum > 0 && sum >= quorum - hysteresis);
            } else {
                prop_assert!(sum == 0 || sum < quorum + hysteresis);
            }
        }
    }

    #[test]
    fn a_core_resumed_from_its_state_behaves_as_the_original(
        vs in any_server(),
        before in proptest::collection::vec(any_event(), 0..20),
        after in proptest::collection::vec(any_event(), 0..20),
    ) {
        let mut original = Bench::start(vs.clone());
        for event in before {
            original.event(event);
        }
        original.taken();
        let state = original.health.state().clone();
        let health = VirtualServerHealth::resume(Arc::new(vs), state);
        let mut resumed = Bench { health, answers: Vec::new(), lines: Vec::new() };
        prop_assert_eq!(resumed.pool(), original.pool());
        for event in after {
            prop_assert_eq!(resumed.event(event), original.event(event));
        }
    }
}
