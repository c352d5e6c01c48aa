//! The director with a kernel of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::check::{Failure, Outcome};
use crate::config::model::{
    BfdCheck, CheckersPart, FileCheck, GroupEntry, Identity, MiscCheck, Service, SorryServer, VirtualServer,
};
use crate::lvs::arrangement::{Arranged, Marking, arrange};
use crate::lvs::table::DestinationKey;
use crate::lvs::virtual_server::tests::virtual_server;

/// A kernel table that answers as IPVS does.
#[derive(Default)]
pub(super) struct FakeKernel {
    table: Table,
    keys: BTreeSet<ServiceKey>,
    /// Every command that was carried out, briefly.
    done: Vec<String>,
    /// Destinations whose commands are refused.
    pub(super) refuse: Vec<DestinationKey>,
    /// Refuse all services.
    pub(super) no_services: bool,
}

impl FakeKernel {
    pub(super) fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    /// `10.9.0.1:tcp:80 = 10.1.0.1:8000*1 …`, foreign ones too.
    pub(super) fn shown(&self) -> Vec<String> {
        self.keys
            .iter()
            .map(|key| {
                let known = self.table.get(key).unwrap();
                let parts: Vec<String> = known
                    .destinations
                    .iter()
                    .map(|(key, settings)| format!("{key}*{}", settings.weight))
                    .collect();
                format!("{key} = {}", parts.join(" "))
            })
            .collect()
    }
}

impl Kernel for FakeKernel {
    fn apply(&mut self, table: &mut Table, commands: &[Command]) -> Result<Report, KernelError> {
        let mut report = Report::default();
        for command in commands {
            let known = self.table.get(command.service());
            let refused = match command {
                Command::AddService { .. } if self.no_services => true,
                Command::AddService { .. } => {
                    if known.is_some() {
                        report.look_again.push(*command.service());
                    }
                    known.is_some()
                }
                Command::DeleteService { .. } => false,
                Command::EditService { .. } => known.is_none(),
                _ => {
                    if known.is_none() && !self.no_services {
                        report.look_again.push(*command.service());
                    }
                    known.is_none() || command.destination().is_some_and(|key| self.refuse.contains(key))
                }
            };
            if refused {
                report.failed.push(command.clone());
                report.lines.push(format!("refused {}", command.service()));
                continue;
            }
            self.table.apply(command);
            table.apply(command);
            let verb = match command {
                Command::AddService { service, .. } => {
                    self.keys.insert(*service);
                    "+"
                }
                Command::DeleteService { service, .. } => {
                    self.keys.remove(service);
                    "-"
                }
                Command::AddDestination { .. } => "+",
                Command::DeleteDestination { .. } => "-",
                Command::EditService { .. } | Command::EditDestination { .. } => "=",
            };
            let to = command.destination().map(|key| format!(" {key}")).unwrap_or_default();
            self.done.push(format!("{verb}{}{to}", command.service()));
        }
        report.look_again.dedup();
        Ok(report)
    }

    fn read(&mut self, table: &mut Table, services: &[ServiceKey]) -> Result<(), KernelError> {
        for key in services {
            match self.table.get(key) {
                Some(known) => table.insert(*key, known.clone()),
                None => table.forget(key),
            }
        }
        Ok(())
    }

    fn services(&mut self) -> Result<Vec<ServiceKey>, KernelError> {
        Ok(self.keys.iter().copied().collect())
    }
}

pub(super) struct World {
    pub(super) director: Director,
    pub(super) kernel: FakeKernel,
    pub(super) now: Time,
    pub(super) out: Orders,
    pub(super) share: bool,
    /// `no_checker_emails`.
    pub(super) changes_only: bool,
    /// What runs.
    pub(super) known: Vec<Arranged>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            director: Director::default(),
            kernel: FakeKernel::default(),
            now: Time::ZERO,
            out: Orders::default(),
            share: false,
            changes_only: false,
            known: Vec::new(),
        }
    }

    pub(super) fn hosts(&mut self, address: &str, present: bool) {
        self.out = Orders::default();
        let address = address.parse().unwrap();
        self.director.hosts(&[(address, present)], self.now, &mut || 0, &mut self.out);
    }

    pub(super) fn run(&mut self, virtual_servers: &[VirtualServer], state: Option<State>) {
        self.run_part(
            &CheckersPart { virtual_servers: virtual_servers.to_vec(), ..CheckersPart::default() },
            state,
        );
    }

    pub(super) fn run_part(&mut self, part: &CheckersPart, state: Option<State>) {
        let arrangement =
            arrange(part.virtual_servers.clone(), &self.known, &part.groups, Marking::default()).unwrap();
        self.known.clone_from(&arrangement.virtual_servers);
        let settings = Settings {
            virtual_servers: arrangement.virtual_servers,
            groups: part.groups.clone(),
            init_notifies: false,
            log_all_failures: false,
            share_checks: self.share,
            mail_changes_only: self.changes_only,
        };
        self.out = Orders::default();
        self.director.run(settings, state, self.now, &mut || 0, &mut self.kernel, &mut self.out);
    }

    /// Goes to the next deadline and lets every attempt end like this: `fails` is given the real server's last octet.
    pub(super) fn round(&mut self, fails: impl Fn(u8) -> bool) {
        self.out = Orders::default();
        self.now = self.director.deadline().expect("a check is due");
        self.director.due(self.now, &mut self.kernel, &mut self.out);
        let reports = self.out.probe.iter().map(|request| ProbeReport {
            id: request.id,
            outcome: if fails(octet(&request.probe)) {
                Outcome::Failed(Failure::ConnectRefused { errno: 111, at_once: false })
            } else {
                Outcome::Passed
            },
            known: self.now,
            remarks: Vec::new(),
        });
        let reports = reports.collect();
        self.director.probed(reports, self.now, &mut self.kernel, &mut self.out);
    }
}

fn octet(probe: &Probe) -> u8 {
    match probe.connection().destination.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

/// As `virtual_server`, with checks that go to the real server itself.
pub(super) fn checked(real_servers: u8) -> VirtualServer {
    let mut vs = virtual_server(real_servers);
    for rs in &mut vs.real_servers {
        for checker in &mut rs.checkers {
            let CheckKind::Tcp(connection) = &mut checker.kind else { continue };
            connection.destination.set_ip(rs.address);
        }
    }
    vs
}

pub(super) fn with_sorry(mut vs: VirtualServer) -> VirtualServer {
    let address = "10.1.0.250".parse().unwrap();
    let method = crate::config::model::ForwardingMethod::Nat;
    vs.sorry_server = Some(SorryServer { address, port: 9000, method, inhibit: false });
    vs
}

pub(super) fn at_port(mut vs: VirtualServer, port: u16) -> VirtualServer {
    vs.service = Service::Address { address: "10.9.0.1".parse().unwrap(), port };
    vs
}

#[test]
fn the_table_holds_everything_at_start_and_the_first_failure_removes() {
    let mut world = World::new();
    world.run(&[checked(2)], None);
    assert_eq!(
        world.kernel.taken(),
        ["+10.9.0.1:tcp:80", "+10.9.0.1:tcp:80 10.1.0.1:8000", "+10.9.0.1:tcp:80 10.1.0.2:8000"]
    );
    assert_eq!(
        world.out.log,
        [
            "Gained quorum 1+0=1 <= 2 for VS [10.9.0.1]:tcp:80",
            "Activating healthchecker for service [10.1.0.1]:tcp:8000 for VS [10.9.0.1]:tcp:80",
            "Activating healthchecker for service [10.1.0.2]:tcp:8000 for VS [10.9.0.1]:tcp:80"
        ]
    );
    assert_eq!(world.director.deadline(), Some(Time::ZERO + Duration::from_secs(1)));
    world.round(|server| server == 1);
    assert_eq!(world.kernel.taken(), ["-10.9.0.1:tcp:80 10.1.0.1:8000"]);
    assert_eq!(
        world.out.log,
        [
            "TCP_CHECK on service [10.1.0.1]:tcp:8000 failed.",
            "Removing service [10.1.0.1]:tcp:8000 from VS [10.9.0.1]:tcp:80",
            "TCP connection to [10.1.0.2]:tcp:8000 success."
        ]
    );
    assert_eq!(world.out.notify.len(), 1);
    assert!(world.out.state_changed);
}

#[test]
fn leftovers_of_our_services_are_made_right_and_foreign_ones_stay() {
    let mut first = World::new();
    first.run(&[at_port(checked(3), 80), at_port(checked(1), 99)], None);
    let mut world = World::new();
    world.kernel = first.kernel;
    world.kernel.taken();
    let mut vs = checked(2);
    vs.scheduler = crate::config::model::Scheduler::Wlc;
    vs.real_servers[0].weight = 7;
    world.run(&[vs], None);
    assert_eq!(
        world.kernel.taken(),
        ["=10.9.0.1:tcp:80", "-10.9.0.1:tcp:80 10.1.0.3:8000", "=10.9.0.1:tcp:80 10.1.0.1:8000"]
    );
    assert_eq!(world.kernel.shown()[1], "10.9.0.1:tcp:99 = 10.1.0.1:8000*1");
}

#[test]
fn a_reload_that_changes_nothing_touches_nothing_not_even_an_attempt_under_way() {
    let mut world = World::new();
    world.run(&[checked(1)], None);
    world.kernel.taken();
    world.now = world.director.deadline().unwrap();
    world.director.due(world.now, &mut world.kernel, &mut world.out);
    let id = world.out.probe[0].id;
    world.run(&[checked(1)], None);
    assert_eq!(world.kernel.taken(), [""; 0]);
    assert_eq!((&world.out.log[..], &world.out.cancel[..]), (&[][..], &[][..]));
    let report = ProbeReport { id, outcome: Outcome::Passed, known: world.now, remarks: Vec::new() };
    world.director.probed(vec![report], world.now, &mut world.kernel, &mut world.out);
    assert_eq!(world.director.deadline(), Some(world.now + Duration::from_secs(5)));
}

#[test]
fn a_reload_adds_removes_and_keeps_and_forgets_attempts_of_changed_checks() {
    let mut world = World::new();
    world.run(&[at_port(checked(2), 80), at_port(checked(1), 81)], None);
    world.kernel.taken();
    world.now = world.director.deadline().unwrap();
    world.out = Orders::default();
    world.director.due(world.now, &mut world.kernel, &mut world.out);
    let ids: Vec<u64> = world.out.probe.iter().map(|request| request.id).collect();

    let mut changed = checked(2);
    Arc::make_mut(&mut changed.real_servers[1].checkers[0].timing).delay_loop = Duration::from_secs(9);
    world.run(&[at_port(checked(1), 82), at_port(changed, 80)], None);
    assert_eq!(
        world.kernel.taken(),
        ["-10.9.0.1:tcp:81", "+10.9.0.1:tcp:82", "+10.9.0.1:tcp:82 10.1.0.1:8000"]
    );
    assert_eq!(world.out.cancel, [ids[1], ids[2]]);
    assert_eq!(
        world.out.log[..2],
        [
            "Removing Virtual Server [10.9.0.1]:tcp:81",
            "Removing service [10.1.0.1]:tcp:8000 from VS [10.9.0.1]:tcp:81"
        ]
    );
}

#[test]
fn a_changed_group_keeps_the_addresses_it_still_has() {
    let part = |entries: &[(&str, &str)]| {
        let mut vs = checked(1);
        vs.service = Service::Group { name: "G".to_owned(), index: 0 };
        let range = |(first, last): &(&str, &str)| GroupEntry::Range {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            port: 80,
        };
        let entries = entries.iter().map(range).collect();
        let groups = vec![VirtualServerGroup { name: "G".to_owned(), entries }];
        CheckersPart { virtual_servers: vec![vs], groups, ..CheckersPart::default() }
    };
    let mut world = World::new();
    world.run_part(&part(&[("10.9.0.1", "10.9.0.3")]), None);
    world.kernel.taken();
    world.run_part(&part(&[("10.9.0.2", "10.9.0.4")]), None);
    assert_eq!(
        world.kernel.taken(),
        ["-10.9.0.1:tcp:80", "+10.9.0.4:tcp:80", "+10.9.0.4:tcp:80 10.1.0.1:8000"]
    );
    assert_eq!(
        world.out.log,
        [
            "VS [[10.9.0.1]:tcp:80-10.9.0.3] in group G no longer exists",
            "VS [[10.9.0.2]:tcp:80-10.9.0.4] added into group G"
        ]
    );
}

#[test]
fn a_service_that_changes_its_owner_is_not_interrupted() {
    let mut world = World::new();
    world.run(&[checked(2)], None);
    world.kernel.taken();
    let mut vs = checked(2);
    vs.service = Service::Group { name: "G".to_owned(), index: 0 };
    let address = "10.9.0.1".parse().unwrap();
    let entries = vec![GroupEntry::Range { first: address, last: address, port: 80 }];
    let groups = vec![VirtualServerGroup { name: "G".to_owned(), entries }];
    world.run_part(&CheckersPart { virtual_servers: vec![vs], groups, ..CheckersPart::default() }, None);
    assert_eq!(world.kernel.taken(), [""; 0]);
}

#[test]
fn a_refused_removal_is_tried_again_by_the_next_failure() {
    let mut world = World::new();
    world.run(&[checked(2)], None);
    world.round(|_| false);
    world.kernel.taken();
    world.kernel.refuse = vec![DestinationKey { address: "10.1.0.1".parse().unwrap(), port: 8000 }];
    let fails = |server| server == 1;
    for _ in 0..3 {
        world.round(fails);
    }
    assert_eq!(world.kernel.taken(), [""; 0]);
    assert_eq!(world.out.notify, []);
    world.kernel.refuse.clear();
    let mut rounds = 0;
    while world.kernel.done.is_empty() {
        world.round(fails);
        rounds += 1;
        assert!(rounds < 4, "never tried again");
    }
    assert_eq!(world.kernel.taken(), ["-10.9.0.1:tcp:80 10.1.0.1:8000"]);
}

#[test]
fn a_table_that_somebody_cleared_is_filled_again_at_the_next_change() {
    let mut world = World::new();
    world.run(&[checked(3)], None);
    world.round(|_| false);
    world.kernel.table.clear();
    world.kernel.keys.clear();
    world.kernel.taken();
    world.round(|_| true);
    world.round(|server| server == 1);
    assert_eq!(world.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.2:8000*1 10.1.0.3:8000*1"]);
}

#[test]
fn a_service_that_could_not_be_added_is_added_later() {
    let mut world = World::new();
    world.kernel.no_services = true;
    world.run(&[checked(2)], None);
    assert_eq!(world.kernel.shown(), [""; 0]);
    world.kernel.no_services = false;
    world.round(|server| server == 1);
    assert_eq!(world.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.2:8000*1"]);
}

#[test]
fn what_died_with_the_prober_is_asked_again_under_new_numbers() {
    let mut world = World::new();
    world.run(&[checked(2)], None);
    world.now = world.director.deadline().unwrap();
    world.director.due(world.now, &mut world.kernel, &mut world.out);
    let old: Vec<u64> = world.out.probe.drain(..).map(|request| request.id).collect();
    world.director.prober_lost(world.now, &mut world.out);
    let new: Vec<u64> = world.out.probe.iter().map(|request| request.id).collect();
    assert_eq!(new.len(), 2);
    assert!(new.iter().all(|id| !old.contains(id)));
}

#[test]
fn a_stop_releases_service_by_service_or_nothing() {
    let release = |how| {
        let mut world = World::new();
        world.run(&[with_sorry(checked(2))], None);
        world.kernel.taken();
        world.director.stop(how, &mut world.kernel, &mut world.out);
        world.kernel.taken()
    };
    assert_eq!(release(Release::Services), ["-10.9.0.1:tcp:80"]);
    assert_eq!(release(Release::Nothing), [""; 0]);
}

#[test]
fn forty_thousand_checks_are_cheap() {
    let servers: Vec<VirtualServer> = (0..400).map(|port| at_port(checked(100), port + 1)).collect();
    let mut world = World::new();
    world.run(&servers, None);
    let started = std::time::Instant::now();
    world.round(|_| false);
    let took = started.elapsed();
    assert_eq!(world.out.log.len(), 40_000);
    // Unoptimised, and on a busy machine; a quadratic algorithm would need minutes.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A checker of that kind in place of the real server's own.
fn with_kind(mut vs: VirtualServer, kind: CheckKind) -> VirtualServer {
    vs.real_servers[0].checkers[0].kind = kind;
    vs
}

#[test]
fn scripts_of_checks_set_weights_and_outlive_the_prober() {
    let command = Script { argv: vec!["/x".into()], path: "/x".into(), identity: Identity::default() };
    let misc = MiscCheck {
        command: command.clone(),
        own_timeout: 3,
        timeout: Duration::from_secs(3),
        dynamic: true,
    };
    let mut world = World::new();
    world.director.numbering_from(7 << 32);
    world.run(&[with_kind(checked(1), CheckKind::Misc(Box::new(misc)))], None);
    world.kernel.taken();
    world.out = Orders::default();
    world.now = world.director.deadline().expect("it is due");
    world.director.due(world.now, &mut world.kernel, &mut world.out);
    let id = (7 << 32) + 1;
    assert_eq!(world.out.script, [ScriptRequest { id, command, timeout: Duration::from_secs(3) }]);
    assert_eq!(world.out.probe, []);
    assert_eq!(world.director.under_way().count(), 0, "the prober has nothing");
    world.director.prober_lost(world.now, &mut world.out);
    assert_eq!(world.out.script.len(), 1, "it is not asked again");
    let exited = |status| ScriptEnd::Exited { status };
    world.director.script_ended(99, exited(1), world.now, &mut world.kernel, &mut world.out);
    assert_eq!(world.kernel.taken(), [""; 0], "a predecessor's");
    world.director.script_ended(id, exited(22), world.now, &mut world.kernel, &mut world.out);
    assert_eq!(world.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.1:8000*20"]);
}

#[test]
fn files_and_sessions_reach_the_checks_that_name_them() {
    let file = CheckKind::File(FileCheck { track_file: "f".into(), weight: 2, reverse: false });
    let mut world = World::new();
    world.run(&[with_kind(checked(2), file)], None);
    let shown = |world: &mut World, name: &str, number| {
        world.director.number(name, number, world.now, &mut world.kernel, &mut world.out);
        world.kernel.shown().join("")
    };
    assert_eq!(shown(&mut world, "f", 3), "10.9.0.1:tcp:80 = 10.1.0.1:8000*7 10.1.0.2:8000*1");
    assert_eq!(shown(&mut world, "other", 9), "10.9.0.1:tcp:80 = 10.1.0.1:8000*7 10.1.0.2:8000*1");
    assert_eq!(shown(&mut world, "f", i32::MIN), "10.9.0.1:tcp:80 = 10.1.0.2:8000*1");

    let mut world = World::new();
    world.run(&[with_kind(checked(2), CheckKind::Bfd(BfdCheck { name: "b".into() }))], None);
    for (up, table) in [(false, "10.1.0.2:8000*1"), (true, "10.1.0.1:8000*1 10.1.0.2:8000*1")] {
        world.director.session("b", up, world.now, &mut world.kernel, &mut world.out);
        assert_eq!(world.kernel.shown(), [format!("10.9.0.1:tcp:80 = {table}")]);
    }
}

#[test]
fn servers_that_change_together_are_mailed_of_each_whether_or_not_every_check_is() {
    for changes_only in [false, true] {
        let mut world = World::new();
        world.changes_only = changes_only;
        let mut vs = checked(3);
        for rs in &mut vs.real_servers {
            rs.smtp_alert = true;
        }
        world.run(&[vs], None);
        let mailed = |world: &World| {
            let events = world.out.events.iter();
            let mails = events.filter_map(|event| match event {
                ReporterEvent::Mail(Alert::RealServer { real_name, up, .. }) => {
                    Some(format!("{real_name} {up}"))
                }
                _ => None,
            });
            mails.collect::<Vec<_>>()
        };
        world.round(|_| false);
        assert_eq!(mailed(&world), [""; 0]);
        for up in [false, true] {
            let mut found = Vec::new();
            // A retry is allowed for, and one round more.
            for _ in 0..3 {
                world.round(|_| !up);
                found.extend(mailed(&world));
            }
            let wanted = [1, 2, 3].map(|number| format!("[10.1.0.{number}]:tcp:8000 {up}"));
            assert_eq!(found, wanted, "changes only: {changes_only}");
        }
    }
}
