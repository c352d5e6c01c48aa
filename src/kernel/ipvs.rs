//! The kernel's IPVS table: commands in batches with every answer read, dumps, timeouts, flush.
//!
//! What is wanted is decided in `lvs`; here is only what a single answer means: an entry that is already there is set
//! instead of added, one that is already gone is as good as deleted, and an answer that does not fit what we believed
//! makes the caller look at that service again. Messages are in [`super::ipvs_message`].

use std::collections::HashSet;
use std::process::{Command as Program, Stdio};

use neli::consts::socket::NlFamily;
use nix::errno::Errno;
use thiserror::Error;

use super::error::Error as KernelError;
use super::ipvs_statistics::{decode_destination_statistics, decode_service_statistics};
use super::netlink::{Answer, Connection, Refusal};
use super::{genl, ipvs_message as message};
use crate::config::model::{IpvsNamespace, LvsTimeouts, ReceiveBuffer, SyncDaemon, SyncRole};
use crate::lvs::difference::Command;
use crate::lvs::snapshot::Statistics;
use crate::lvs::sync;
use crate::lvs::table::{DestinationKey, KnownService, ServiceKey, ServiceSettings, Table};

/// Name of the generic netlink family.
const FAMILY: &str = "IPVS";
/// The kernel module behind it.
const MODULE: &str = "ip_vs";
/// How often the module is loaded and the family asked for again. Stock: twice.
const LOAD_ATTEMPTS: usize = 2;

/// Why IPVS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The kernel does not know IPVS, and its module could not be loaded.
    #[error(
        "IPVS: Can't initialize ipvs: the kernel has no IPVS ({reason}). Virtual servers need the kernel module {MODULE}: \
         load it (modprobe {MODULE}; in a container: on the host), or remove the virtual_server blocks"
    )]
    NoModule {
        /// What modprobe or the kernel said.
        reason: String,
    },
    /// The socket failed.
    #[error("IPVS: Can't initialize ipvs: {0}")]
    Kernel(#[from] KernelError),
}

/// What came of a list of commands.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Commands that were not carried out.
    pub failed: Vec<Command>,
    /// Lines for the log: one per refusal, in stock's form, also of those that were made good.
    pub lines: Vec<String>,
    /// Services that are not as they were believed to be: look, compare, try again.
    pub look_again: Vec<ServiceKey>,
}

/// A connection to the kernel's IPVS.
pub struct Ipvs {
    connection: Connection,
    family: u16,
}

impl Ipvs {
    /// The same in another network namespace.
    pub fn open_in(namespace: &IpvsNamespace) -> Result<Self, OpenError> {
        super::namespace::inside(namespace, Self::open)?
    }

    /// Connects, and loads the kernel's module if need be.
    pub fn open() -> Result<Self, OpenError> {
        let mut connection = Connection::open(NlFamily::Generic)?;
        let mut reason = String::new();
        for attempt in 0..=LOAD_ATTEMPTS {
            match genl::resolve(&mut connection, FAMILY) {
                Ok(family) => return Ok(Self { connection, family }),
                Err(refusal) if refusal.errno == Errno::ENOENT => {
                    if attempt < LOAD_ATTEMPTS {
                        reason = load_module().err().unwrap_or_default();
                    }
                }
                Err(refusal) => return Err(refusal.doing("asking for the IPVS family").into()),
            }
        }
        if reason.is_empty() {
            reason = format!("{MODULE} was loaded, but did not register itself");
        }
        Err(OpenError::NoModule { reason })
    }

    /// Gives the socket of the requests the buffer that is configured for it, if any.
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer) -> Result<(), super::error::Error> {
        self.connection.set_receive_buffer(wanted, "the IPVS request socket")
    }

    /// Carries out the commands in order and notes in `table` what the kernel now holds. An error is one of the
    /// socket; then `table` can no longer be trusted.
    pub fn apply(&mut self, table: &mut Table, commands: &[Command]) -> Result<Report, KernelError> {
        let mut report = Report::default();
        let mut first: Vec<(Command, Answer)> =
            commands.iter().cloned().zip(self.execute(commands)?).collect();
        if first.iter().any(|(_, answer)| is(answer, Errno::ENOENT)) && self.resolve_again() {
            // The module was unloaded and loaded since: it never saw these.
            for (command, answer) in &mut first {
                if is(answer, Errno::ENOENT) {
                    *answer = self.execute(std::slice::from_ref(command))?.remove(0);
                }
            }
        }
        let mut instead = Vec::new();
        let mut missing: HashSet<ServiceKey> = HashSet::new();
        for (command, answer) in first {
            match answer {
                Answer::Done => table.apply(&command),
                Answer::Lost => look_again(&mut report, &command),
                Answer::Refused(refusal) => {
                    let follows = command.destination().is_some() && missing.contains(command.service());
                    if !follows {
                        report.lines.push(line(&command, &refusal));
                    }
                    match remedy(&command, refusal.errno) {
                        Remedy::Nothing => table.apply(&command),
                        Remedy::Instead(other) => instead.push(other),
                        Remedy::LookAgain if follows => report.failed.push(command),
                        Remedy::LookAgain => {
                            look_again(&mut report, &command);
                            report.failed.push(command);
                        }
                        Remedy::None => {
                            if matches!(command, Command::AddService { .. }) {
                                missing.insert(*command.service());
                            }
                            report.failed.push(command);
                        }
                    }
                }
            }
        }
        for (command, answer) in instead.clone().into_iter().zip(self.execute(&instead)?) {
            match answer {
                Answer::Done => table.apply(&command),
                Answer::Lost => look_again(&mut report, &command),
                Answer::Refused(refusal) => {
                    report.lines.push(line(&command, &refusal));
                    report.failed.push(command);
                }
            }
        }
        Ok(report)
    }

    /// Every service in the kernel, foreign ones too, without destinations.
    pub fn services(&mut self) -> Result<Vec<(ServiceKey, ServiceSettings)>, KernelError> {
        self.connection
            .dump(&message::get_services(self.family), |_, body| message::decode_service(body))
            .map_err(|refusal| refusal.doing("reading the IPVS services"))
    }

    /// Puts into `table` what the kernel holds of these services, destinations included.
    pub fn read_into(&mut self, table: &mut Table, services: &[ServiceKey]) -> Result<(), KernelError> {
        for key in services {
            let request = message::get_service(self.family, key);
            let found = self.connection.query(&request, |_, body| message::decode_service(body));
            match found {
                Ok(found) => match found.into_iter().find(|(there, _)| there == key) {
                    Some((_, settings)) => self.read_destinations(table, *key, settings)?,
                    None => table.forget(key),
                },
                Err(refusal) if matches!(refusal.errno, Errno::ESRCH | Errno::ENOENT) => table.forget(key),
                Err(refusal) => return Err(refusal.doing(format!("reading the IPVS service {key}"))),
            }
        }
        Ok(())
    }

    /// Puts a service that was found in the kernel into `table`, with its destinations.
    pub fn read_destinations(
        &mut self,
        table: &mut Table,
        key: ServiceKey,
        settings: ServiceSettings,
    ) -> Result<(), KernelError> {
        let request = message::get_destinations(self.family, &key);
        let family = key.family();
        let destinations = self
            .connection
            .dump(&request, |_, body| message::decode_destination(family, body))
            .map_err(|refusal| refusal.doing(format!("reading the destinations of IPVS service {key}")))?;
        let destinations = destinations.into_iter().collect();
        table.insert(key, KnownService { settings, destinations });
        Ok(())
    }

    /// What the kernel has counted of every service.
    pub fn service_statistics(&mut self) -> Result<Vec<(ServiceKey, Statistics)>, KernelError> {
        self.connection
            .dump(&message::get_services(self.family), |_, body| decode_service_statistics(body))
            .map_err(|refusal| refusal.doing("reading the statistics of the IPVS services"))
    }

    /// What it has counted of the destinations of one.
    pub fn destination_statistics(
        &mut self,
        key: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Statistics)>, KernelError> {
        let (request, family) = (message::get_destinations(self.family, key), key.family());
        self.connection
            .dump(&request, |_, body| decode_destination_statistics(family, body))
            .map_err(|refusal| refusal.doing(format!("reading the statistics of IPVS service {key}")))
    }

    /// Removes every service, foreign ones included.
    pub fn flush(&mut self) -> Result<(), KernelError> {
        let answers = self.connection.execute(&[message::flush(self.family)])?;
        match answers.into_iter().next() {
            Some(Answer::Refused(refusal)) => Err(refusal
                .clone()
                .doing(format!("IPVS cmd IP_VS_SO_SET_FLUSH(1157) error: {}", text(&refusal)))),
            _ => Ok(()),
        }
    }

    /// The connection timeouts, in seconds.
    pub fn timeouts(&mut self) -> Result<LvsTimeouts, KernelError> {
        const DOING: &str = "reading the IPVS timeouts";
        self.connection
            .query(&message::get_config(self.family), |_, body| message::decode_timeouts(body))
            .map_err(|refusal| refusal.doing(DOING))?
            .pop()
            .ok_or_else(|| KernelError::new(DOING, Errno::EPROTO))
    }

    /// Sets all three connection timeouts.
    pub fn set_timeouts(&mut self, timeouts: LvsTimeouts) -> Result<(), KernelError> {
        let LvsTimeouts { tcp, tcp_fin, udp } = timeouts;
        let answers = self.connection.execute(&[message::set_config(self.family, timeouts)])?;
        match answers.into_iter().next() {
            Some(Answer::Refused(refusal)) => {
                Err(refusal
                    .doing(format!("setting the IPVS timeouts to tcp {tcp} tcpfin {tcp_fin} udp {udp}")))
            }
            _ => Ok(()),
        }
    }

    /// Has exactly these sync daemons run, with these settings. What runs so already feels nothing.
    pub fn sync(&mut self, wanted: &[SyncRole], settings: &SyncDaemon) -> Result<(), KernelError> {
        let running = self
            .connection
            .dump(&message::get_sync(self.family), |_, body| message::decode_sync(body))
            .map_err(|refusal| refusal.doing("reading the IPVS sync daemons"))?;
        let commands = sync::difference(&running, wanted, settings);
        let requests: Vec<_> = commands.iter().map(|it| message::sync(self.family, it)).collect();
        let answers = self.connection.execute(&requests)?;
        for (command, answer) in commands.iter().zip(answers) {
            if let Answer::Refused(refusal) = answer {
                // One that is gone needs no stop.
                if matches!((command, refusal.errno), (sync::Command::Stop(_), Errno::ESRCH)) {
                    continue;
                }
                return Err(sync_error(command, refusal));
            }
        }
        Ok(())
    }

    fn execute(&mut self, commands: &[Command]) -> Result<Vec<Answer>, KernelError> {
        let requests: Vec<_> = commands.iter().map(|it| message::command(self.family, it)).collect();
        self.connection.execute(&requests)
    }

    /// Asks for the family's number again; true if it is another one now.
    fn resolve_again(&mut self) -> bool {
        let mut found = genl::resolve(&mut self.connection, FAMILY);
        if found.is_err() && load_module().is_ok() {
            found = genl::resolve(&mut self.connection, FAMILY);
        }
        found.is_ok_and(|family| std::mem::replace(&mut self.family, family) != family)
    }
}

fn is(answer: &Answer, errno: Errno) -> bool {
    matches!(answer, Answer::Refused(refusal) if refusal.errno == errno)
}

fn look_again(report: &mut Report, command: &Command) {
    if !report.look_again.contains(command.service()) {
        report.look_again.push(*command.service());
    }
}

/// What follows from a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    /// The kernel is as it should be.
    Nothing,
    /// This does what was wanted.
    Instead(Command),
    /// The service is not as it was believed to be.
    LookAgain,
    /// It failed.
    None,
}

/// Stock takes EEXIST on additions and ENOENT on deletions for success, and leaves the old weight, method and
/// scheduler. Here what exists is set to what is wanted.
fn remedy(command: &Command, errno: Errno) -> Remedy {
    match (command, errno) {
        (Command::AddDestination { service, of, destination, settings }, Errno::EEXIST) => {
            let (service, of, destination, settings) = (*service, of.clone(), *destination, *settings);
            Remedy::Instead(Command::EditDestination { service, of, destination, settings })
        }
        (Command::EditDestination { service, of, destination, settings }, Errno::ENOENT) => {
            let (service, of, destination, settings) = (*service, of.clone(), *destination, *settings);
            Remedy::Instead(Command::AddDestination { service, of, destination, settings })
        }
        (Command::DeleteDestination { .. } | Command::DeleteService { .. }, Errno::ENOENT)
        | (Command::DeleteService { .. }, Errno::ESRCH) => Remedy::Nothing,
        (Command::AddService { .. }, Errno::EEXIST)
        | (
            Command::EditService { .. }
            | Command::AddDestination { .. }
            | Command::EditDestination { .. }
            | Command::DeleteDestination { .. },
            Errno::ESRCH,
        ) => Remedy::LookAgain,
        _ => Remedy::None,
    }
}

/// Stock's form, which log parsers match: `IPVS cmd IP_VS_SO_SET_ADD(1154) error: … (10.0.0.1:tcp:80)`.
fn line(command: &Command, refusal: &Refusal) -> String {
    let name = match command {
        Command::AddService { .. } => "ADD(1154)",
        Command::EditService { .. } => "EDIT(1155)",
        Command::DeleteService { .. } => "DEL(1156)",
        Command::AddDestination { .. } => "ADDDEST(1159)",
        Command::DeleteDestination { .. } => "DELDEST(1160)",
        Command::EditDestination { .. } => "EDITDEST(1161)",
    };
    let reason = match (command.destination(), refusal.errno) {
        (None, Errno::EEXIST) => "Service already exists",
        (Some(_), Errno::EEXIST) => "Destination already exists",
        (Some(_), Errno::ENOENT) => "No such destination",
        (_, Errno::ESRCH) => "No such service",
        (None, Errno::ENOENT) => "Scheduler or persistence engine not found",
        (_, errno) => errno.desc(),
    };
    let number = refusal.errno as i32;
    let note = refusal.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let service = command.service();
    let to = command.destination().map(|key| format!(" -> {key}")).unwrap_or_default();
    format!("IPVS cmd IP_VS_SO_SET_{name} error: {reason}({number}){note} ({service}{to})")
}

/// Stock's form, with what it was about.
fn sync_error(command: &sync::Command, refusal: Refusal) -> KernelError {
    let (name, role, on) = match command {
        sync::Command::Start(role, settings) => {
            ("STARTDAEMON(1163)", role, format!(" on {}", settings.interface))
        }
        sync::Command::Stop(role) => ("STOPDAEMON(1164)", role, String::new()),
    };
    let role = match role {
        SyncRole::Master => "master",
        SyncRole::Backup => "backup",
    };
    let text = text(&refusal);
    refusal.doing(format!("IPVS cmd IP_VS_SO_SET_{name} error: {text} (sync daemon {role}{on})"))
}

fn text(refusal: &Refusal) -> String {
    format!("{}({})", refusal.errno.desc(), refusal.errno as i32)
}

/// Loads the IPVS module with the host's modprobe; an error is what it said.
fn load_module() -> Result<(), String> {
    let path = std::fs::read_to_string("/proc/sys/kernel/modprobe")
        .ok()
        .map(|path| path.trim().to_owned())
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/sbin/modprobe".to_owned());
    let output = Program::new(&path)
        .args(["--", MODULE])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{path}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(match said.lines().next() {
        Some(line) => line.to_owned(),
        None => format!("{path} failed: {}", output.status),
    })
}

#[cfg(test)]
#[path = "ipvs_tests.rs"]
mod tests;
