//! The moment table of spec/checkers.md §3, and what stands around it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::check::Failure;
use crate::config::model::{BfdCheck, Command, DnsCheck, DnsType, FileCheck, Identity, SmtpCheck};
use crate::config::model::{CheckTiming, Connection, HttpProtocol, Protocol, Rare, Url};

const SERVER: RealServerName = RealServerName {
    protocol: Some(Protocol::Tcp),
    address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)),
    port: 80,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(second: u64) -> Time {
    Time::ZERO + seconds(second)
}

fn checker(kind: CheckKind, retry: u32) -> Checker {
    Checker {
        kind,
        timing: Arc::new(CheckTiming {
            delay_loop: seconds(5),
            retry,
            delay_before_retry: seconds(1),
            warmup: Duration::ZERO,
        }),
        alpha: false,
        log_all_failures: false,
    }
}

fn connection() -> Connection {
    Connection {
        destination: SocketAddr::from(([10, 1, 0, 1], 80)),
        local: Rare::default(),
        timeout: seconds(5),
    }
}

fn tcp(retry: u32) -> Checker {
    checker(CheckKind::Tcp(connection()), retry)
}

fn http(paths: &[&str], retry: u32) -> Checker {
    let url = |path: &&str| Url {
        path: (*path).to_owned(),
        virtualhost: None,
        host: None,
        sni: None,
        digest: None,
        status_codes: vec![(200, 299)],
        tls_compliant: false,
        regex: None,
        grpc_health: None,
    };
    let kind = CheckKind::Http(Box::new(HttpCheck {
        connection: connection(),
        tls: false,
        profile: 0,
        protocol: HttpProtocol::V1_0,
        urls: paths.iter().map(url).collect(),
        fast_recovery: false,
        tls_compliant: false,
        virtualhost: None,
        enable_sni: false,
        sni_name: None,
    }));
    checker(kind, retry)
}

fn change_http(checker: &mut Checker, change: impl FnOnce(&mut HttpCheck)) {
    let CheckKind::Http(http) = &mut checker.kind else { panic!("no HTTP check") };
    change(http);
}

fn refused() -> Outcome {
    Outcome::Failed(Failure::ConnectRefused { errno: 111, at_once: false })
}

/// Drives one schedule on a fake clock against a service; attempts take no time.
struct Drive {
    checker: Checker,
    schedule: Schedule,
    now: Time,
    /// Attempts and what followed: `F 0`, `*F 1` (went down), `*ok(b) 20` (came up), `!F 0` (alpha's first failure).
    attempts: Vec<String>,
    logs: Vec<String>,
    /// Shown instead of the number of the url.
    names: Vec<&'static str>,
    origin: Time,
}

impl Drive {
    fn new(checker: Checker, beginning: Beginning) -> Self {
        let schedule = Schedule::new(&checker, beginning, at(1));
        let (attempts, logs, names) = (Vec::new(), Vec::new(), Vec::new());
        Self { checker, schedule, now: Time::ZERO, attempts, logs, names, origin: at(0) }
    }

    /// One that has passed its first round before second 100.
    fn up(checker: Checker) -> Self {
        let mut drive = Self::new(checker, Beginning::Start);
        while !drive.schedule.has_run() {
            drive.attempt(|_| Outcome::Passed);
        }
        assert!(drive.schedule.is_up());
        drive.logs.clear();
        drive.attempts.clear();
        drive
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        let subject = Subject {
            checker: &self.checker,
            real_server: SERVER,
            virtual_server: "[10.9.0.1]:tcp:80",
            weight: 5,
            log_all_failures: false,
        };
        self.schedule.handle(subject, self.now, event, &mut out);
        for action in &out {
            if let Action::Log(line) = action {
                self.logs.push(line.clone());
            }
        }
        out
    }

    fn attempt(&mut self, service: impl Fn(usize) -> Outcome) {
        self.now = self.schedule.deadline().expect("an attempt is due");
        let asked = self.event(Event::Due);
        let [Action::Probe { url }] = asked[..] else { panic!("no probe: {asked:?}") };
        assert_eq!(self.schedule.deadline(), None);
        let outcome = service(url);
        let word = if outcome == Outcome::Passed { "ok" } else { "F" };
        let out = self.event(Event::Outcome(outcome, self.now));
        let mark = if out.contains(&Action::Up) || out.contains(&Action::Down) {
            "*"
        } else if out.contains(&Action::StillDown) {
            "!"
        } else {
            ""
        };
        let name = self.names.get(url).map_or(String::new(), |name| format!("({name})"));
        let second = self.now.since(self.origin).as_secs();
        self.attempts.push(format!("{mark}{word}{name} {second}"));
    }

    /// The rows of the table: the service fails from the next attempt on and is repaired at `repaired` seconds after
    /// that; the list ends with the recovery.
    fn outage(mut self, repaired: u64) -> Vec<String> {
        self.origin = self.schedule.deadline().unwrap();
        while self.attempts.is_empty() || !self.schedule.is_up() || self.schedule.failures() > 0 {
            let due = self.schedule.deadline().unwrap();
            let up = due.since(self.origin) >= seconds(repaired);
            self.attempt(|_| if up { Outcome::Passed } else { refused() });
        }
        self.attempts
    }
}

#[test]
fn a_tcp_check_fails_and_recovers_at_the_moments_of_the_table() {
    let row = |retry, repaired| Drive::up(tcp(retry)).outage(repaired);
    assert_eq!(row(0, 13), ["*F 0", "F 5", "F 10", "*ok 15"]);
    assert_eq!(row(1, 13), ["F 0", "*F 1", "F 6", "F 11", "*ok 16"]);
    assert_eq!(row(3, 13), ["F 0", "F 1", "F 2", "*F 3", "F 8", "*ok 13"]);
}

#[test]
fn an_http_check_needs_the_failed_url_and_then_a_round() {
    let row = |checker, repaired| Drive::up(checker).outage(repaired);
    assert_eq!(row(http(&["/"], 0), 13), ["*F 0", "F 5", "F 10", "ok 15", "*ok 20"]);
    assert_eq!(row(http(&["/"], 1), 13), ["F 0", "*F 1", "F 6", "F 11", "ok 16", "*ok 21"]);
    assert_eq!(row(http(&["/"], 3), 16), ["F 0", "F 1", "F 2", "*F 3", "F 8", "F 13", "ok 18", "*ok 23"]);
    let mut slow = http(&["/"], 1);
    Arc::make_mut(&mut slow.timing).delay_before_retry = seconds(3);
    assert_eq!(row(slow.clone(), 16), ["F 0", "*F 3", "F 8", "F 13", "ok 18", "*ok 23"]);
    Arc::make_mut(&mut slow.timing).delay_before_retry = seconds(7);
    assert_eq!(row(slow, 16), ["F 0", "*F 7", "F 14", "ok 21", "*ok 26"]);
}

#[test]
fn fast_recovery_leaves_out_the_pauses_while_recovering() {
    let mut checker = http(&["/a", "/b"], 0);
    change_http(&mut checker, |http| http.fast_recovery = true);
    let mut drive = Drive::up(checker);
    drive.names = vec!["a", "b"];
    drive.attempt(|_| Outcome::Passed);
    drive.attempts.clear();
    drive.origin = drive.schedule.deadline().unwrap();
    while drive.attempts.len() < 7 {
        let up = drive.schedule.deadline().unwrap().since(drive.origin) >= seconds(16);
        drive.attempt(|url| if url == 0 || up { Outcome::Passed } else { refused() });
    }
    assert_eq!(
        drive.attempts,
        ["*F(b) 0", "F(b) 5", "F(b) 10", "F(b) 15", "ok(b) 20", "ok(a) 20", "*ok(b) 20"]
    );
}

#[test]
fn with_three_urls_the_failed_one_is_polled_and_then_all_are_visited() {
    let mut checker = http(&["/a", "/b", "/c"], 2);
    Arc::make_mut(&mut checker.timing).delay_loop = seconds(3);
    let mut drive = Drive::up(checker);
    drive.names = vec!["a", "b", "c"];
    drive.attempt(|_| Outcome::Passed);
    drive.attempts.clear();
    drive.origin = drive.schedule.deadline().unwrap();
    while drive.attempts.len() < 9 {
        let up = drive.schedule.deadline().unwrap().since(drive.origin) >= seconds(10);
        drive.attempt(|_| if up { Outcome::Passed } else { refused() });
    }
    assert_eq!(
        drive.attempts,
        ["F(b) 0", "F(b) 1", "*F(b) 2", "F(b) 5", "F(b) 8", "ok(b) 11", "ok(a) 14", "ok(b) 17", "*ok(c) 20"]
    );
    assert_eq!(
        drive.logs,
        [
            "HTTP_CHECK on service [10.1.0.1]:tcp:80 failed after 2 retries.",
            "HTTP status code success to [10.1.0.1]:tcp:80 url(/b)",
            "HTTP status code success to [10.1.0.1]:tcp:80 url(/a)",
            "HTTP status code success to [10.1.0.1]:tcp:80 url(/b)",
            "HTTP status code success to [10.1.0.1]:tcp:80 url(/c)",
            "Remote Web server [10.1.0.1]:tcp:80 succeed on service."
        ]
    );
}

#[test]
fn while_up_each_url_has_its_turn_every_delay_loop() {
    let mut drive = Drive::up(http(&["/a", "/b"], 1));
    drive.names = vec!["a", "b"];
    drive.origin = drive.schedule.deadline().unwrap();
    for _ in 0..3 {
        drive.attempt(|_| Outcome::Passed);
    }
    assert_eq!(drive.attempts, ["ok(a) 0", "ok(b) 5", "ok(a) 10"]);
    assert_eq!(drive.logs, [""; 0]);
}

#[test]
fn the_first_failure_after_start_is_decisive_and_after_a_reload_it_is_not() {
    let mut drive = Drive::new(tcp(3), Beginning::Start);
    drive.attempt(|_| refused());
    assert_eq!(drive.attempts, ["*F 1"]);
    assert_eq!(drive.logs, ["TCP_CHECK on service [10.1.0.1]:tcp:80 failed."]);

    let mut drive = Drive::new(tcp(1), Beginning::Reload);
    drive.attempt(|_| refused());
    drive.attempt(|_| refused());
    assert_eq!(drive.attempts, ["F 1", "*F 2"]);
    assert_eq!(drive.logs, ["TCP_CHECK on service [10.1.0.1]:tcp:80 failed after 1 retries."]);

    let mut drive = Drive::new(http(&["/a", "/b"], 2), Beginning::Start);
    drive.attempt(|_| Outcome::Passed);
    drive.attempt(|_| refused());
    assert_eq!(drive.attempts, ["ok 1", "*F 6"], "the whole first round counts");
    assert_eq!(drive.logs, ["HTTP_CHECK on service [10.1.0.1]:tcp:80 failed after 2 retries."]);
}

#[test]
fn an_alpha_checker_comes_up_after_one_round_and_tells_its_first_failure() {
    let mut alpha = http(&["/a", "/b"], 1);
    alpha.alpha = true;
    let mut drive = Drive::new(alpha.clone(), Beginning::Start);
    drive.attempt(|_| Outcome::Passed);
    drive.attempt(|_| Outcome::Passed);
    assert_eq!(drive.attempts, ["ok 1", "*ok 6"]);

    let mut drive = Drive::new(alpha, Beginning::Start);
    drive.attempt(|_| refused());
    drive.attempt(|_| refused());
    assert_eq!(drive.attempts, ["!F 1", "F 6"]);
    assert_eq!(drive.logs, [""; 0]);
}

#[test]
fn a_success_between_failures_starts_the_count_again() {
    let mut drive = Drive::up(tcp(1));
    for passes in [false, true, false, false] {
        drive.attempt(|_| if passes { Outcome::Passed } else { refused() });
    }
    assert!(drive.attempts[3].starts_with('*'), "{:?}", drive.attempts);
    assert!(!drive.attempts[2].starts_with('*'), "{:?}", drive.attempts);
}

#[test]
fn what_could_not_be_tried_is_no_failure_and_waits_for_a_delay_loop() {
    let mut drive = Drive::up(tcp(0));
    drive.origin = drive.schedule.deadline().unwrap();
    let what = "binding to 10.0.0.9".to_owned();
    drive.attempt(|_| Outcome::NotTried { errno: Some(99), what: what.clone() });
    assert!(drive.schedule.is_up());
    assert_eq!(drive.schedule.deadline(), Some(drive.origin + seconds(5)));
    assert_eq!(
        drive.logs,
        ["TCP_CHECK on service [10.1.0.1]:tcp:80: binding to 10.0.0.9: Cannot assign requested \
          address (os error 99): bind failed. Rescheduling."]
    );
}

#[test]
fn an_attempt_that_died_with_the_prober_is_asked_again() {
    let mut drive = Drive::up(http(&["/a", "/b"], 0));
    drive.attempt(|_| Outcome::Passed);
    drive.now = drive.schedule.deadline().unwrap();
    assert_eq!(drive.event(Event::ProberLost), [], "nothing was under way");
    assert_eq!(drive.event(Event::Due), [Action::Probe { url: 1 }]);
    assert_eq!(drive.event(Event::ProberLost), [Action::Probe { url: 1 }]);
}

#[test]
fn a_refused_change_is_reported_again_by_the_next_failure() {
    let mut drive = Drive::up(tcp(2));
    for _ in 0..3 {
        drive.attempt(|_| refused());
    }
    assert!(!drive.schedule.is_up());
    drive.event(Event::Undo);
    assert!(drive.schedule.is_up());
    drive.attempt(|_| refused());
    assert!(drive.attempts[3].starts_with('*'));
    drive.event(Event::Undo);
    drive.attempt(|_| Outcome::Passed);
    drive.attempt(|_| refused());
    assert!(drive.schedule.is_up(), "a success forgives as ever");
}

#[test]
fn every_attempt_is_told_when_that_is_wanted_and_the_checker_is_up() {
    let mut checker = tcp(1);
    checker.log_all_failures = true;
    let mut drive = Drive::up(checker);
    drive.attempt(|_| Outcome::Failed(Failure::ConnectTimeout));
    for _ in 0..2 {
        drive.attempt(|_| refused());
    }
    assert_eq!(
        drive.logs,
        [
            "TCP connection to [10.1.0.1]:tcp:80 timeout.",
            "TCP connection to [10.1.0.1]:tcp:80 failed.",
            "TCP_CHECK on service [10.1.0.1]:tcp:80 failed after 1 retries."
        ]
    );
}

#[test]
fn new_options_keep_the_result_and_begin_with_the_first_url() {
    let mut drive = Drive::up(http(&["/a", "/b"], 3));
    drive.attempt(|_| Outcome::Passed);
    for _ in 0..3 {
        drive.attempt(|_| refused());
    }
    Arc::make_mut(&mut drive.checker.timing).retry = 1;
    drive.schedule.carry_over(&drive.checker, at(1000));
    assert_eq!(drive.schedule.failures(), 1);
    assert!(drive.schedule.is_up());
    drive.attempt(|url| if url == 0 { refused() } else { Outcome::Passed });
    assert!(!drive.schedule.is_up());
    drive.schedule.carry_over(&drive.checker, at(2000));
    drive.attempt(|_| Outcome::Passed);
    drive.attempt(|_| Outcome::Passed);
    assert!(drive.schedule.is_up(), "after a reload one round is enough");
}

#[test]
fn the_first_delay_is_a_second_and_a_part_of_warmup() {
    let mut checker = tcp(0);
    Arc::make_mut(&mut checker.timing).warmup = seconds(10);
    assert_eq!(first_delay(&checker, 0), seconds(1));
    assert_eq!(first_delay(&checker, u32::MAX), seconds(11));
    Arc::make_mut(&mut checker.timing).warmup = Duration::MAX;
    let _ = first_delay(&checker, u32::MAX);
}

#[test]
fn a_pause_counts_from_when_the_outcome_was_known_but_not_from_before_it_was_asked_for() {
    for (known, begins) in [(50, 50), (200, 200), (-1000, 0)] {
        let mut drive = Drive::up(tcp(0));
        let asked = drive.schedule.deadline().expect("an attempt is due");
        drive.now = asked;
        drive.event(Event::Due);
        drive.now = asked + Duration::from_millis(200);
        let moment =
            |millis: i64| Time::from_nanos(asked.as_nanos().saturating_add_signed(millis * 1_000_000));
        drive.event(Event::Outcome(Outcome::Passed, moment(known)));
        let next = moment(begins) + drive.checker.timing.delay_loop;
        assert_eq!(drive.schedule.deadline(), Some(next), "known after {known} ms");
    }
}

fn any_event() -> impl Strategy<Value = (u64, Event)> {
    let outcome = prop_oneof![
        Just(Outcome::Passed),
        Just(refused()),
        Just(Outcome::NotTried { errno: None, what: "a socket".to_owned() }),
    ];
    let event = prop_oneof![
        3 => Just(Event::Due),
        5 => (outcome, 0..10_000_u64).prop_map(|(outcome, known)| {
            Event::Outcome(outcome, Time::ZERO + Duration::from_millis(known))
        }),
        1 => Just(Event::ProberLost),
        1 => Just(Event::Undo),
    ];
    (0u64..8, event)
}

proptest! {
    #[test]
    fn a_schedule_always_waits_for_a_moment_or_an_answer_and_never_names_a_missing_url(
        urls in 0usize..4, retry in 0u32..3, alpha: bool, fast: bool,
        events in proptest::collection::vec(any_event(), 0..60),
    ) {
        let mut checker = if urls == 0 { tcp(retry) } else { http(&["/a", "/b", "/c"][..urls], retry) };
        checker.alpha = alpha;
        if urls > 0 {
            change_http(&mut checker, |http| http.fast_recovery = fast);
        }
        let mut drive = Drive::new(checker, Beginning::Start);
        let mut up = !alpha;
        for (pause, event) in events {
            drive.now = drive.now + seconds(pause);
            let undone = event == Event::Undo;
            for action in drive.event(event) {
                match action {
                    Action::Probe { url } => {
                        prop_assert!(url < urls.max(1));
                        prop_assert_eq!(drive.schedule.deadline(), None);
                    }
                    Action::Up => prop_assert!(!std::mem::replace(&mut up, true)),
                    Action::Down => prop_assert!(std::mem::replace(&mut up, false)),
                    Action::StillDown => prop_assert!(!up),
                    Action::Log(_) | Action::Alert { .. } | Action::Contribution(_) => {}
                }
            }
            if undone {
                up = !up;
            }
            prop_assert_eq!(drive.schedule.is_up(), up);
        }
    }
}

fn smtp(retry: u32) -> Checker {
    checker(CheckKind::Smtp(Box::new(SmtpCheck { connection: connection(), helo: "me".into() })), retry)
}

#[test]
fn a_smtp_check_takes_its_retries_in_every_cycle_and_from_the_first_on() {
    let row = |retry, repaired| Drive::up(smtp(retry)).outage(repaired);
    assert_eq!(row(0, 13), ["*F 0", "F 5", "F 10", "*ok 15"]);
    assert_eq!(row(1, 16), ["F 0", "*F 1", "F 6", "F 7", "F 12", "F 13", "*ok 18"]);
    assert_eq!(row(3, 13), ["F 0", "F 1", "F 2", "*F 3", "F 8", "F 9", "F 10", "F 11", "*ok 16"]);

    let mut drive = Drive::new(smtp(2), Beginning::Start);
    (0..3).for_each(|_| drive.attempt(|_| refused()));
    assert_eq!(drive.attempts, ["F 1", "F 2", "*F 3"]);
    assert_eq!(drive.logs, ["SMTP_CHECK Could not connect to server [10.1.0.1]:80"]);

    let mut alpha = smtp(1);
    alpha.alpha = true;
    let mut drive = Drive::new(alpha, Beginning::Start);
    (0..3).for_each(|_| drive.attempt(|_| refused()));
    assert_eq!(drive.attempts, ["F 1", "!F 2", "F 7"]);
}

#[test]
fn a_dns_check_says_nothing_when_it_recovers() {
    let dns = DnsCheck { connection: connection(), record: DnsType::Soa, name: String::new() };
    let mut checker = checker(CheckKind::Dns(Box::new(dns)), 3);
    Arc::make_mut(&mut checker.timing).delay_before_retry = seconds(5);
    // The default, retry 3 and delay_loop between: three failures in 15 s are forgiven.
    assert_eq!(Drive::up(checker.clone()).outage(15), ["F 0", "F 5", "F 10", "ok 15"]);
    let mut row = checker.clone();
    let timing = Arc::make_mut(&mut row.timing);
    (timing.retry, timing.delay_before_retry) = (1, seconds(1));
    assert_eq!(Drive::up(row).outage(17), ["F 0", "*F 1", "F 6", "F 11", "F 16", "*ok 21"]);

    Arc::make_mut(&mut checker.timing).retry = 0;
    let mut drive = Drive::up(checker);
    drive.attempt(|_| Outcome::Failed(Failure::Rcode { rcode: 3 }));
    drive.attempt(|_| Outcome::Passed);
    assert_eq!(
        drive.logs,
        ["DNS_CHECK ([10.1.0.1]:tcp:80) read error occurred. (rcode = 3) after 0 retries"]
    );
}

/// A script that takes half a second, and its dynamic weight; the configured one is 5.
#[test]
fn a_script_is_timed_from_its_start_and_its_status_is_the_weight() {
    let command = Command { argv: vec!["/x".into()], path: "/x".into(), identity: Identity::default() };
    let misc = MiscCheck { command, own_timeout: 0, timeout: seconds(5), dynamic: true };
    let mut drive = Drive::up(checker(CheckKind::Tcp(connection()), 0));
    drive.checker = checker(CheckKind::Misc(Box::new(misc)), 0);
    let mut run = |end: ScriptEnd| {
        drive.now = drive.schedule.deadline().expect("it is due");
        assert_eq!(drive.event(Event::Due), [Action::Probe { url: 0 }]);
        let start = drive.now;
        drive.now = drive.now + Duration::from_millis(500);
        let out = drive.event(Event::Script(end));
        assert_eq!(drive.schedule.deadline(), Some(start + seconds(5)), "{end:?}");
        let told = |action: &Action| matches!(action, Action::Log(_) | Action::Alert { .. });
        out.into_iter().filter(|action| !told(action)).collect::<Vec<_>>()
    };
    let exited = |status| ScriptEnd::Exited { status };
    assert_eq!(run(exited(0)), []);
    assert_eq!(run(exited(22)), [Action::Contribution(15)]);
    assert_eq!(run(exited(22)), []);
    // Stock: the next contribution would be added to this one.
    assert_eq!(run(ScriptEnd::Signalled { signal: 9 }), [Action::Down, Action::Contribution(0)]);
    assert_eq!(run(exited(32)), [Action::Contribution(25), Action::Up]);
    assert_eq!(run(exited(2)), [Action::Contribution(-5)]);
    assert_eq!(run(exited(1)), [Action::Down, Action::Contribution(0)]);
    assert_eq!(run(ScriptEnd::TimedOut), []);
    assert_eq!(run(exited(255)), [Action::Contribution(248), Action::Up]);
    assert_eq!(
        drive.logs,
        [
            "failed with retry disabled (due to signal 9).",
            "succeeded.",
            "failed with retry disabled (exited with status 1).",
            "succeeded."
        ]
        .map(|end| format!("Misc check for [[10.1.0.1]:tcp:80 VS [10.9.0.1]:tcp:80] by [/x] {end}"))
    );
}

#[test]
fn without_misc_dynamic_only_0_is_success() {
    let command = Command { argv: vec!["/x".into()], path: "/x".into(), identity: Identity::default() };
    let misc = MiscCheck { command, own_timeout: 0, timeout: seconds(5), dynamic: false };
    let checker = checker(CheckKind::Misc(Box::new(misc)), 1);
    for (status, up) in [(0, true), (1, false), (2, false), (200, false)] {
        let mut drive = Drive::new(checker.clone(), Beginning::Start);
        drive.now = drive.schedule.deadline().expect("it is due");
        drive.event(Event::Due);
        let out = drive.event(Event::Script(ScriptEnd::Exited { status }));
        assert_eq!(drive.schedule.is_up(), up, "{status}: {out:?}");
    }
}

#[test]
fn numbers_in_files_shift_the_weight_until_they_say_down() {
    let file = |weight, reverse| {
        let file = FileCheck { track_file: "f".into(), weight, reverse };
        Drive::new(checker(CheckKind::File(file), 1), Beginning::Start)
    };
    let mut plain = file(1, false);
    assert_eq!(plain.schedule.deadline(), None, "it never asks");
    assert!(plain.schedule.is_up() && plain.schedule.has_run());
    assert_eq!(plain.event(Event::Number(5)), [Action::Contribution(5)]);
    assert_eq!(plain.event(Event::Number(-3)), [Action::Contribution(-3)]);
    assert_eq!(plain.event(Event::Number(i32::MIN)), [Action::Contribution(0), Action::Down]);
    assert_eq!(plain.event(Event::Number(0)), [Action::Up]);
    assert_eq!(file(3, true).event(Event::Number(7)), [Action::Contribution(-21)]);
    let mut fault = file(0, false);
    assert_eq!(fault.event(Event::Number(1)), [Action::Down]);
    assert_eq!(fault.event(Event::Number(0)), [Action::Up]);
}

#[test]
fn a_session_is_up_or_down_at_once() {
    let mut checker = checker(CheckKind::Bfd(BfdCheck { name: "b".into() }), 3);
    let mut drive = Drive::new(checker.clone(), Beginning::Start);
    drive.event(Event::Session { up: true });
    assert_eq!(drive.logs, [""; 0]);
    assert_eq!(drive.event(Event::Session { up: false }).last(), Some(&Action::Down));
    assert_eq!(drive.event(Event::Session { up: true }).last(), Some(&Action::Up));
    assert_eq!(
        drive.logs,
        ["DOWN", "UP"].map(|it| format!("BFD check of [b] RS([10.1.0.1]:tcp:80) is {it}"))
    );
    checker.alpha = true;
    let mut alpha = Drive::new(checker, Beginning::Start);
    assert_eq!(alpha.event(Event::Session { up: false }), []);
    assert_eq!(alpha.event(Event::Session { up: true }).last(), Some(&Action::Up));
}
