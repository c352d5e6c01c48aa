//! All virtual servers and all their checks: what the checkers process does, apart from its sockets and its clock.
//!
//! It carries results from the schedules (`check::schedule`) to the virtual servers (`lvs::virtual_server`), turns
//! what those want into commands (`lvs::difference`), hands them to a [`Kernel`] in batches, and gives back [`Orders`].
//! Nothing here waits; `daemon::checkers` is the process around it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use self::alerts::Alerts;
use crate::check::schedule::{self, Schedule, Subject};
use crate::check::{Probe, ProbeReport, ProbeRequest, Remark};
use crate::config::model::{
    CheckKind, Checker, Command as Script, DnsCheck, ScriptEnd, SmtpCheck, UdpCheck, VirtualServerGroup,
};
use crate::config::schema::Hash;
use crate::kernel::error::Error as KernelError;
use crate::kernel::ipvs::{Ipvs, Report};
use crate::lvs::difference::{Command, Extent, difference};
use crate::lvs::label::RealServerName;
use crate::lvs::table::{ServiceKey, ServiceSettings, Table};
use crate::lvs::virtual_server::{self as core, Action, Event, Scope, VirtualServerHealth};
use crate::report::event::{Alert, ReporterEvent, ServerChange};
use crate::time::Time;

mod alerts; // mails that wait for what becomes of their server
mod cohorts; // equal checks that are made once
mod draining; // operators take real servers out of service
mod hosting; // checks that wait for an address of this host
mod mending; // what the kernel refused is tried again
mod reload; // a configuration becomes the running one: first, resumed, or changed
mod settling; // the table is made what the virtual servers want

pub use draining::{Answer, Target, Wish};
pub use reload::{Settings, State};

/// The kernel's IPVS table, or a stand-in.
pub trait Kernel {
    /// Carries commands out and notes in `table` what is there now.
    fn apply(&mut self, table: &mut Table, commands: &[Command]) -> Result<Report, KernelError>;
    /// Puts into `table` what is there of these services.
    fn read(&mut self, table: &mut Table, services: &[ServiceKey]) -> Result<(), KernelError>;
    /// All services that are there, foreign ones too.
    fn services(&mut self) -> Result<Vec<ServiceKey>, KernelError>;
}

impl Kernel for Ipvs {
    fn apply(&mut self, table: &mut Table, commands: &[Command]) -> Result<Report, KernelError> {
        Self::apply(self, table, commands)
    }

    fn read(&mut self, table: &mut Table, services: &[ServiceKey]) -> Result<(), KernelError> {
        self.read_into(table, services)
    }

    fn services(&mut self) -> Result<Vec<ServiceKey>, KernelError> {
        Ok(Self::services(self)?.into_iter().map(|(key, _)| key).collect())
    }
}

/// What the process has to do for the director.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Lines for the log, in order.
    pub log: Vec<String>,
    /// Scripts to run, in order: whose queue, and what.
    pub notify: Vec<(String, Script)>,
    /// What mail and SNMP are told, in order.
    pub events: Vec<ReporterEvent>,
    /// Attempts to make.
    pub probe: Vec<ProbeRequest>,
    /// Scripts of checks to run, whose end is wanted by [`Director::script_ended`].
    pub script: Vec<ScriptRequest>,
    /// Attempts and scripts whose answers are no longer wanted.
    pub cancel: Vec<u64>,
    /// Something that [`Director::state`] holds has changed.
    pub state_changed: bool,
}

/// A script of a `MISC_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRequest {
    /// Returned with its end.
    pub id: u64,
    /// What to run.
    pub command: Script,
    /// After this it is killed.
    pub timeout: Duration,
}

/// How the table is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Our services; the kernel drops their destinations.
    Services,
    /// Not at all (`-I`, or the whole table is flushed).
    Nothing,
}

/// One virtual server, for reports.
pub struct ServerReport<'a> {
    /// Its health and configuration.
    pub health: &'a VirtualServerHealth,
    /// Per real server and checker.
    pub checks: Vec<Vec<&'a Schedule>>,
    /// Per real server: was it there before the last reload? Empty if the virtual server was not.
    pub reloaded: &'a [bool],
    /// Its checks wait for an address of this host.
    pub suspended: bool,
}

struct Server {
    health: VirtualServerHealth,
    services: Arc<[(ServiceKey, ServiceSettings)]>,
    /// Per real server the index of its first check.
    checks: Vec<usize>,
    /// Per real server: was it there before the last reload? Empty if the virtual server was not.
    reloaded: Vec<bool>,
    /// Its checks wait for an address of this host.
    suspended: bool,
}

/// One check of one real server. There may be tens of thousands.
struct Check {
    server: Short,
    real_server: Short,
    checker: Short,
    /// The checks that are equal to it, if there are any and they share.
    cohort: Option<Short>,
    /// The attempt that is under way.
    asked: Option<NonZeroU64>,
    schedule: Schedule,
    /// What was logged about its answers.
    remarked: Box<[Remark]>,
}

/// An index in half the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short(u32);

impl Short {
    /// No list of ours is too long for it.
    fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

/// Different oddities of one check that are logged; a server that makes up new ones does not fill the memory.
const REMARKS: usize = 16;

/// Whose each service is: the place of its virtual server.
type Owners = HashMap<ServiceKey, usize, Hash>;

/// Everything the checkers process knows.
#[derive(Default)]
pub struct Director {
    servers: Vec<Server>,
    checks: Vec<Check>,
    /// Moments at which a check may be due; entries can be out of date.
    due: BinaryHeap<Reverse<(Time, usize)>>,
    asked: HashMap<u64, usize>,
    /// Groups of equal checks, of which one attempts for all (`@keepalived-rs share_checks`).
    cohorts: Vec<Vec<usize>>,
    last_id: u64,
    table: Table,
    /// Whose each service is.
    owners: Owners,
    groups: Vec<VirtualServerGroup>,
    log_all_failures: bool,
    /// `no_checker_emails`.
    mail_changes_only: bool,
    /// What it makes wait.
    alerts: Alerts,
    /// Virtual servers with a command that failed: the next time all of each is compared.
    dirty: BTreeSet<usize>,
    /// Virtual servers with something that time alone changes: a ramp, a drain.
    timed: BTreeSet<usize>,
    /// When they are tried again unless something happens before, and the pause until then.
    retry: Option<(Time, Duration)>,
    /// Virtual servers whose pool is to be made true.
    applies: Vec<(usize, Scope)>,
    /// The addresses that are on this host, as far as that matters.
    hosted: BTreeSet<IpAddr>,
    /// The connection to the kernel broke: what is known of the table is worth nothing.
    distrust: bool,
    started: bool,
}

impl Director {
    /// When [`Self::due`] is to be called next.
    pub fn deadline(&mut self) -> Option<Time> {
        let retry = self.retry.map(|(time, _)| time);
        let timed = self.timed.iter().filter_map(|server| self.servers[*server].health.deadline()).min();
        self.next_check().into_iter().chain(retry).chain(timed).min()
    }

    fn next_check(&mut self) -> Option<Time> {
        while let Some(Reverse((time, index))) = self.due.peek() {
            if self.checks.get(*index).and_then(|check| check.schedule.deadline()) == Some(*time) {
                return Some(*time);
            }
            self.due.pop();
        }
        None
    }

    /// Starts every attempt that is due, and tries again what the kernel refused.
    pub fn due(&mut self, now: Time, kernel: &mut dyn Kernel, out: &mut Orders) {
        if self.retry.is_some_and(|(time, _)| time <= now) {
            self.try_again(kernel, out);
        }
        for server in self.timed.clone() {
            if self.servers[server].health.deadline().is_some_and(|due| due <= now) {
                self.tick(server, now, out);
            }
        }
        while let Some(time) = self.next_check().filter(|time| *time <= now) {
            let Some(Reverse((_, index))) = self.due.pop() else { break };
            debug_assert!(time <= now);
            self.schedule(index, now, schedule::Event::Due, out);
        }
        self.settle(now, kernel, out);
    }

    /// Takes what the prober found.
    pub fn probed(
        &mut self,
        reports: Vec<ProbeReport>,
        now: Time,
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) {
        for report in reports {
            self.answered(report, now, out);
        }
        self.settle(now, kernel, out);
    }

    /// Numbers of attempts begin behind this one, so that answers to a predecessor of this process are not taken for
    /// ours.
    pub fn numbering_from(&mut self, id: u64) {
        self.last_id = id;
    }

    /// Takes how a script ended.
    pub fn script_ended(
        &mut self,
        id: u64,
        end: ScriptEnd,
        now: Time,
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) {
        let Some(index) = self.asked.remove(&id) else { return };
        self.checks[index].asked = None;
        self.schedule(index, now, schedule::Event::Script(end), out);
        self.settle(now, kernel, out);
    }

    /// Takes the state of a BFD session.
    pub fn session(&mut self, name: &str, up: bool, now: Time, kernel: &mut dyn Kernel, out: &mut Orders) {
        let concerned = |kind: &CheckKind| matches!(kind, CheckKind::Bfd(bfd) if bfd.name == name);
        for index in self.checks_with(concerned) {
            self.schedule(index, now, schedule::Event::Session { up }, out);
        }
        self.settle(now, kernel, out);
    }

    /// Takes the number that a tracked file holds.
    pub fn number(&mut self, name: &str, number: i32, now: Time, kernel: &mut dyn Kernel, out: &mut Orders) {
        let concerned = |kind: &CheckKind| matches!(kind, CheckKind::File(file) if file.track_file == name);
        for index in self.checks_with(concerned) {
            self.schedule(index, now, schedule::Event::Number(number), out);
        }
        self.settle(now, kernel, out);
    }

    fn checks_with(&self, wanted: impl Fn(&CheckKind) -> bool) -> Vec<usize> {
        (0..self.checks.len()).filter(|index| wanted(&self.configured(&self.checks[*index]).kind)).collect()
    }

    fn configured(&self, check: &Check) -> &Checker {
        let config = self.servers[check.server.at()].health.config();
        &config.real_servers[check.real_server.at()].checkers[check.checker.at()]
    }

    /// Does the prober have an attempt of this check?
    fn is_probed(&self, check: &Check) -> bool {
        check.asked.is_some() && !matches!(self.configured(check).kind, CheckKind::Misc(_))
    }

    /// There is a new prober: what the old one had under way is asked again.
    pub fn prober_lost(&mut self, now: Time, out: &mut Orders) {
        for index in 0..self.checks.len() {
            if !self.is_probed(&self.checks[index]) {
                continue;
            }
            if let Some(id) = self.checks[index].asked.take() {
                self.asked.remove(&id.get());
                self.schedule(index, now, schedule::Event::ProberLost, out);
            }
        }
    }

    /// The real servers whose attempts the prober has, as logs name them.
    pub fn under_way(&self) -> impl Iterator<Item = RealServerName> {
        self.checks
            .iter()
            .filter(|check| self.is_probed(check))
            .map(|check| self.servers[check.server.at()].health.real_server_name(check.real_server.at()))
    }

    /// Some time after a change of the configuration: gives back room that only that needed.
    pub fn rest(&mut self) {
        self.table.compact();
        self.asked.shrink_to_fit();
        self.due.shrink_to_fit();
        self.checks.shrink_to_fit();
    }

    /// The daemon stops: says so, and releases the table.
    pub fn stop(&mut self, release: Release, kernel: &mut dyn Kernel, out: &mut Orders) {
        // From now on nothing that is missing is put back.
        self.owners.clear();
        let mut commands = Vec::new();
        for index in 0..self.servers.len() {
            let mut actions = Vec::new();
            self.servers[index].health.stop(&mut actions);
            self.carry(index, actions, out);
            if release == Release::Services {
                let keys: Vec<ServiceKey> =
                    self.servers[index].services.iter().map(|(key, _)| *key).collect();
                let nothing = self.servers[index].health.pool([].into());
                difference(&self.table, &keys, &nothing, Extent::Whole, &mut commands);
            }
        }
        self.send(&commands, kernel, out);
    }

    /// Forgets what is known of the table: it was flushed.
    pub fn flushed(&mut self) {
        self.table.clear();
    }

    /// For reports, in file order.
    pub fn reports(&self) -> impl Iterator<Item = ServerReport<'_>> {
        self.servers.iter().map(|server| ServerReport {
            health: &server.health,
            checks: self.checks_of(server),
            reloaded: &server.reloaded,
            suspended: server.suspended,
        })
    }

    /// How many real servers there are.
    pub fn real_servers(&self) -> usize {
        self.servers.iter().map(|server| server.checks.len()).sum()
    }

    fn checks_of(&self, server: &Server) -> Vec<Vec<&Schedule>> {
        let real_servers = &server.health.config().real_servers;
        (server.checks.iter().zip(real_servers))
            .map(|(first, rs)| {
                self.checks[*first..first + rs.checkers.len()].iter().map(|check| &check.schedule).collect()
            })
            .collect()
    }

    fn answered(&mut self, report: ProbeReport, now: Time, out: &mut Orders) {
        let Some(index) = self.asked.remove(&report.id) else { return };
        let check = &mut self.checks[index];
        check.asked = None;
        for remark in report.remarks {
            if check.remarked.len() < REMARKS && !check.remarked.contains(&remark) {
                let rs = self.servers[check.server.at()].health.real_server_name(check.real_server.at());
                out.log.push(match &remark {
                    Remark::Length { announced, received } => format!(
                        "Web server {rs}: Content-Length says {announced} bytes, the body has {received}"
                    ),
                    Remark::UncleanEnd { reason } => {
                        format!("Web server {rs}: the TLS stream ended without close-notify: {reason}")
                    }
                });
                let mut remarked = std::mem::take(&mut check.remarked).into_vec();
                remarked.push(remark);
                check.remarked = remarked.into();
            }
        }
        // Whatever another process's clock says.
        let known = report.known.min(now);
        self.tell_cohort(index, &report.outcome, known, now, out);
        self.schedule(index, now, schedule::Event::Outcome(report.outcome, known), out);
    }

    fn push_due(&mut self, index: usize) {
        if let Some(time) = self.checks[index].schedule.deadline() {
            self.due.push(Reverse((time, index)));
        }
    }

    /// One event for one schedule, and what follows from it.
    fn schedule(&mut self, index: usize, now: Time, event: schedule::Event, out: &mut Orders) {
        let check = &mut self.checks[index];
        let (place, real_server, checker) = (check.server.at(), check.real_server.at(), check.checker.at());
        let server = &mut self.servers[place];
        let config = Arc::clone(server.health.config());
        let configured = &config.real_servers[real_server].checkers[checker];
        let subject = Subject {
            checker: configured,
            real_server: server.health.real_server_name(real_server),
            virtual_server: server.health.label(),
            weight: config.real_servers[real_server].weight,
            log_all_failures: self.log_all_failures,
        };
        let mut actions = Vec::new();
        check.schedule.handle(subject, now, event, &mut actions);
        if let Some(time) = check.schedule.deadline() {
            self.due.push(Reverse((time, index)));
        }
        let mut alert: Option<(bool, String)> = None;
        for action in actions {
            let event = match action {
                schedule::Action::Log(line) => {
                    out.log.push(line);
                    continue;
                }
                schedule::Action::Probe { url } => {
                    if self.is_asked_by_another(index, url) {
                        continue;
                    }
                    self.last_id += 1;
                    let id = self.last_id;
                    let sequence = self.checks[index].schedule.attempts();
                    self.checks[index].asked = NonZeroU64::new(id);
                    self.asked.insert(id, index);
                    out.probe
                        .extend(probe(configured, url, sequence).map(|probe| ProbeRequest { id, probe }));
                    if let CheckKind::Misc(misc) = &configured.kind {
                        let (command, timeout) = (misc.command.clone(), misc.timeout);
                        out.script.push(ScriptRequest { id, command, timeout });
                    }
                    continue;
                }
                schedule::Action::Alert { up, text } => {
                    alert = config.real_servers[real_server].smtp_alert.then_some((up, text));
                    continue;
                }
                schedule::Action::Up => Event::CheckerUp { real_server, checker },
                schedule::Action::Down => Event::CheckerDown { real_server, checker },
                schedule::Action::Contribution(weight) => {
                    Event::Contribution { real_server, checker, weight }
                }
                schedule::Action::StillDown => Event::StillDown { real_server },
            };
            let may_change = matches!(event, Event::CheckerUp { .. } | Event::CheckerDown { .. });
            if self.mail_changes_only
                && may_change
                && let Some((up, text)) = alert.take()
            {
                let rs = &config.real_servers[real_server];
                self.alerts.wait(place, (rs.address, rs.port), up, text);
            }
            self.tell(place, event, now, out);
        }
        if !self.mail_changes_only {
            self.mail(place, real_server, alert, out);
        }
    }

    fn mail(&self, server: usize, real_server: usize, alert: Option<(bool, String)>, out: &mut Orders) {
        let Some((up, text)) = alert else { return };
        let health = &self.servers[server].health;
        let (real_name, virtual_name) = (health.real_server_label(real_server), health.label().to_owned());
        out.events.push(ReporterEvent::Mail(Alert::RealServer { real_name, virtual_name, up, text }));
    }

    /// One event for one virtual server.
    fn tell(&mut self, server: usize, event: Event, now: Time, out: &mut Orders) {
        self.tick(server, now, out);
        let mut actions = Vec::new();
        self.servers[server].health.handle(event, &mut actions);
        self.carry(server, actions, out);
    }

    fn tick(&mut self, server: usize, now: Time, out: &mut Orders) {
        let mut actions = Vec::new();
        self.servers[server].health.tick(now, &mut actions);
        self.carry(server, actions, out);
    }

    /// Carries out what a virtual server wants; changes of the table wait for [`Self::settle`].
    fn carry(&mut self, server: usize, actions: Vec<Action>, out: &mut Orders) {
        for action in actions {
            match action {
                Action::Log(line) => out.log.push(line),
                Action::Apply(scope) => self.applies.push((server, scope)),
                Action::Notify { receiver, command } => out.notify.push((receiver, command)),
                // Names, not places: a reload tells of servers that have none any more.
                Action::Served { real_server, labels: (real_name, virtual_name), up } => {
                    let mail = self.alerts.changed(server, real_server, up).map(|text| {
                        let (real_name, virtual_name) = (real_name.clone(), virtual_name.clone());
                        ReporterEvent::Mail(Alert::RealServer { real_name, virtual_name, up, text })
                    });
                    let change = ServerChange { real_server, virtual_name, real_name, up };
                    out.events.push(ReporterEvent::RealServer(change));
                    out.events.extend(mail);
                }
                Action::Quorum { label: name, up } => {
                    out.events.push(ReporterEvent::Quorum { name, up });
                }
                Action::Alert(core::Alert { real_server, virtual_server, up, text }) => {
                    out.events.push(ReporterEvent::Mail(match real_server {
                        Some(real_name) => {
                            Alert::RealServer { real_name, virtual_name: virtual_server, up, text }
                        }
                        None => Alert::VirtualServer { name: virtual_server, up, text },
                    }));
                }
                Action::StateChanged => out.state_changed = true,
                Action::Undo { real_server, checker } => {
                    let index = self.servers[server].checks[real_server] + checker;
                    // Time does not matter: nothing is scheduled by it.
                    self.schedule(index, Time::ZERO, schedule::Event::Undo, out);
                }
            }
        }
        match self.servers.get(server).and_then(|server| server.health.deadline()) {
            Some(_) => self.timed.insert(server),
            None => self.timed.remove(&server),
        };
    }
}

/// What is to be attempted.
fn probe(checker: &Checker, url: usize, attempts: u32) -> Option<Probe> {
    Some(match &checker.kind {
        CheckKind::Tcp(connection) => Probe::Tcp(connection.clone()),
        CheckKind::Http(http) => Probe::Http {
            connection: http.connection.clone(),
            tls: http.tls.then_some(http.profile),
            protocol: http.protocol,
            url: http.urls[url].clone(),
        },
        CheckKind::Smtp(check) => Probe::Smtp(SmtpCheck::clone(check)),
        CheckKind::Dns(check) => Probe::Dns(DnsCheck::clone(check)),
        CheckKind::Udp(check) => Probe::Udp(UdpCheck::clone(check)),
        CheckKind::Ping(connection) => Probe::Ping {
            connection: connection.clone(),
            // The lower half: echoes have no more.
            sequence: u16::try_from(attempts & 0xffff).unwrap_or(0),
        },
        CheckKind::Misc(_) | CheckKind::File(_) | CheckKind::Bfd(_) => return None,
    })
}

#[cfg(test)]
mod adoption_tests;
#[cfg(test)]
mod tests;
