//! What every child has in common: taking up the role it was executed for, and hearing its parent.
//!
//! A role is an `async fn` that is given the [`Options`] and its [`Parent`], and returns when it is done. It hears
//! signals as the messages they mean, so it has one thing to listen to.

use std::env;
use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::exit::Exit;
use super::ipc::{Channel, FromChild, ROLE_VARIABLE, Received, ToChild};
use super::log::{self, Console, Speaker};
use super::options::Options;
use super::roles;
use super::signals::{Request, Requests};
use crate::kernel::error::{Doing, Error};
use crate::kernel::pidfile::PidFile;
use crate::kernel::{fdpass, memory, process};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Instances, adverts, addresses.
    Vrrp,
    /// Schedules, health arithmetic, IPVS.
    Checkers,
    /// Probes that parse foreign bytes.
    Prober,
    /// BFD sessions.
    Bfd,
    /// Mail, SNMP, D-Bus.
    Reporter,
}

impl Role {
    /// As in stock's log lines: `Starting %s child process`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Vrrp => "VRRP",
            Self::Checkers => "Healthcheck",
            Self::Prober => "Prober",
            Self::Bfd => "BFD",
            Self::Reporter => "Reporter",
        }
    }

    /// Who it is in the log.
    pub fn speaker(self) -> Speaker {
        match self {
            Self::Vrrp => Speaker::Vrrp,
            Self::Checkers => Speaker::Checkers,
            Self::Prober => Speaker::Prober,
            Self::Bfd => Speaker::Bfd,
            Self::Reporter => Speaker::Reporter,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vrrp => "vrrp",
            Self::Checkers => "checkers",
            Self::Prober => "prober",
            Self::Bfd => "bfd",
            Self::Reporter => "reporter",
        })
    }
}

/// What a child is told by its environment, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What to be.
    pub role: Role,
    /// The channel: to the parent, for the prober to the checkers.
    pub descriptor: RawFd,
    /// Suffix of the syslog ident.
    pub instance: Option<String>,
    /// The pid file to write and hold; the prober and the reporter have none.
    pub pid_file: Option<PathBuf>,
    /// `comm`.
    pub name: String,
}

impl Assignment {
    /// This process', if it is a child.
    pub fn of_this_process() -> Option<Result<Self, NoAssignment>> {
        let value = env::var_os(ROLE_VARIABLE)?;
        Some(value.to_str().and_then(|value| serde_json::from_str(value).ok()).ok_or(NoAssignment))
    }

    /// The value of [`ROLE_VARIABLE`] that gives a child this assignment. Fails for a pid file that is not UTF-8.
    pub fn variable(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// The environment variable is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {ROLE_VARIABLE} is set, but not by a parent process: unset it")]
pub struct NoAssignment;

/// Plays the assigned role until it ends.
pub fn run(assignment: &Assignment, options: Options) -> Exit {
    let console = if options.dont_fork && options.log.console { Console::Stamped } else { Console::Off };
    let file = options.log_file.as_deref();
    log::start(assignment.role.speaker(), assignment.instance.as_deref(), options.log, console, file);
    match play(assignment, options) {
        Ok(exit) => exit,
        Err(error) => {
            info!("{error}");
            Exit::Fatal
        }
    }
}

fn play(assignment: &Assignment, options: Options) -> Result<Exit, Error> {
    let channel =
        fdpass::inherited(assignment.descriptor).doing(|| "taking over the channel to the parent")?;
    memory::be_frugal();
    process::set_name(&assignment.name)?;
    // Held, and with it the lock, until the role ends.
    let pid_file = match &assignment.pid_file {
        Some(path) => {
            let mut file = PidFile::claim_within(path, PREDECESSOR_LIMIT)?;
            file.write()?;
            Some(file)
        }
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the event loop")?;
    memory::trim_stack();
    let exit = runtime.block_on(roles::play(assignment.role, options, channel))?;
    if let Some(file) = pid_file {
        file.remove();
    }
    Ok(exit)
}

/// How long a process may still hold the pid file that this one takes over: it releases addresses meanwhile.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(3);

/// Reports in one message: so many fit a packet mostly.
const REPORTS: usize = 64;

/// The parent, as vrrp and checkers hear it. `P` is the part of the model they are given.
pub struct Parent<P> {
    channel: Channel<FromChild, ToChild<P>>,
    requests: Requests,
    gone: bool,
}

impl<P: Serialize + DeserializeOwned> Parent<P> {
    /// Needs a tokio runtime.
    pub fn new(channel: OwnedFd, options: &Options) -> Result<Self, Error> {
        let requests = Requests::listen(options.ignore_sigint)?;
        Ok(Self { channel: Channel::new(channel)?, requests, gone: false })
    }

    /// What to do next. Signals come as the message they mean: USR1, USR2, 36 and 63 are `Dump`, TERM and INT are
    /// `Stop`, and so is the death of the parent; HUP means nothing here, only the parent reads files. Safe to cancel.
    pub async fn next(&mut self) -> Received<ToChild<P>> {
        loop {
            let message = tokio::select! {
                biased;
                request = self.requests.next() => match request {
                    Request::Reload => {
                        info!("SIGHUP to this process alone reloads nothing: send it to the parent");
                        continue;
                    }
                    Request::Stop => ToChild::Stop,
                    Request::Dump(dump) => ToChild::Dump(dump),
                },
                received = self.channel.next(), if !self.gone => match received {
                    Some(Ok(received)) => return received,
                    Some(Err(error)) => {
                        info!("{error}");
                        self.gone = self.channel.is_closed();
                        if self.gone { ToChild::Stop } else { continue }
                    }
                    None => {
                        debug!("the parent process is gone");
                        self.gone = true;
                        ToChild::Stop
                    }
                },
            };
            return Received { message, descriptor: None };
        }
    }

    /// Says something to the parent. Never waits; a parent that is gone hears nothing, and [`Self::next`] says so.
    pub fn tell(&mut self, message: &FromChild) {
        // There may be many reports, and a newer state replaces an older one; but for an answer the parent waits.
        let is_answer = matches!(
            message,
            FromChild::Prepared { .. }
                | FromChild::Refused { .. }
                | FromChild::Committed { .. }
                | FromChild::Stopped
        );
        let sent = if is_answer { self.channel.send_surely(message) } else { self.channel.send(message) };
        if let Err(error) = sent {
            debug!("telling the parent: {error}");
        }
    }

    /// Says all of these, in order; reports that follow one another go together.
    pub fn tell_all(&mut self, messages: impl IntoIterator<Item = FromChild>) {
        let mut messages = messages.into_iter().peekable();
        while let Some(message) = messages.next() {
            let FromChild::Report(first) = message else {
                self.tell(&message);
                continue;
            };
            let mut reports = vec![first];
            while reports.len() < REPORTS
                && let Some(FromChild::Report(next)) =
                    messages.next_if(|message| matches!(message, FromChild::Report(_)))
            {
                reports.push(next);
            }
            self.tell(&match <[_; 1]>::try_from(reports) {
                Ok([only]) => FromChild::Report(only),
                Err(several) => FromChild::Reports(several),
            });
        }
    }

    /// Waits until the parent has been told everything; the last thing a role does. Never longer than a second.
    pub async fn flush(&mut self) {
        let limit = Duration::from_secs(1);
        // A parent that does not read, or is gone, is not waited for.
        let _ = tokio::time::timeout(limit, self.channel.flush()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::VrrpPart;
    use crate::report::event::ReporterEvent;
    use crate::vrrp::{StateWord, Subject, Transition};

    #[test]
    fn a_part_of_an_assignment_is_none() {
        let given = Assignment {
            role: Role::Checkers,
            descriptor: 5,
            instance: Some("a:b".into()),
            pid_file: Some("/run/checkers.pid".into()),
            name: "keepalived".into(),
        };
        let text = given.variable().unwrap();
        assert_eq!(serde_json::from_str::<Assignment>(&text).unwrap(), given);
        for end in 0..text.len() {
            assert!(serde_json::from_str::<Assignment>(&text[..end]).is_err());
        }
    }

    #[test]
    fn reports_that_follow_one_another_go_together_and_everything_stays_in_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut near, far) = Channel::<ToChild<VrrpPart>, FromChild>::pair().unwrap();
            let mut parent = Parent::<VrrpPart>::new(far, &Options::default()).unwrap();
            let report = |priority: usize| {
                FromChild::Report(ReporterEvent::Vrrp(Transition {
                    subject: Subject::Instance("A".into()),
                    state: StateWord::Master,
                    priority: u8::try_from(priority).unwrap(),
                    cause: String::new(),
                }))
            };
            let said: Vec<FromChild> = (0..REPORTS + 2)
                .map(report)
                .chain([FromChild::KillScript { id: 7 }, report(200), FromChild::KillScript { id: 8 }])
                .collect();
            parent.tell_all(said.clone());
            let (mut heard, mut sizes) = (Vec::new(), Vec::new());
            while heard.len() < said.len() {
                let message = near.next().await.unwrap().unwrap().message;
                let before = heard.len();
                match message {
                    FromChild::Reports(events) => heard.extend(events.into_iter().map(FromChild::Report)),
                    other => heard.push(other),
                }
                sizes.push(heard.len() - before);
            }
            assert_eq!(heard, said);
            assert_eq!(sizes, [REPORTS, 2, 1, 1, 1]);
        });
    }

    #[test]
    fn the_death_of_the_parent_is_heard_as_stop_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut near, far) = Channel::<ToChild<VrrpPart>, FromChild>::pair().unwrap();
            let mut parent = Parent::<VrrpPart>::new(far, &Options::default()).unwrap();
            near.send(&ToChild::Commit { generation: 3 }).unwrap();
            drop(near);
            assert_eq!(parent.next().await.message, ToChild::Commit { generation: 3 });
            assert_eq!(parent.next().await.message, ToChild::Stop);
            let again = tokio::time::timeout(Duration::from_millis(20), parent.next()).await;
            assert!(again.is_err(), "a dead parent said {again:?}");
        });
    }
}
