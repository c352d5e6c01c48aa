//! What every child has in common: taking up the role it was executed for, and hearing its parent.
//!
//! A role is an `async fn` that is given the [`Options`] and its [`Parent`], and returns when it is done. It hears
//! signals as the messages they mean, so it has one thing to listen to.

use std::env;
use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::str::FromStr;

use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tracing::{debug, info};

use super::exit::Exit;
use super::ipc::{Channel, FromChild, ROLE_VARIABLE, Received, ToChild};
use super::log::{self, Console, Speaker};
use super::options::Options;
use super::signals::{Request, Requests};
use crate::kernel::error::Error;
use crate::kernel::{fdpass, process};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Instances, adverts, addresses.
    Vrrp,
    /// Schedules, health arithmetic, IPVS.
    Checkers,
    /// Probes that parse foreign bytes.
    Prober,
}

impl Role {
    /// As in stock's log lines: `Starting %s child process`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Vrrp => "VRRP",
            Self::Checkers => "Healthcheck",
            Self::Prober => "Prober",
        }
    }

    /// Who it is in the log.
    pub fn speaker(self) -> Speaker {
        match self {
            Self::Vrrp => Speaker::Vrrp,
            Self::Checkers => Speaker::Checkers,
            Self::Prober => Speaker::Prober,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vrrp => "vrrp",
            Self::Checkers => "checkers",
            Self::Prober => "prober",
        })
    }
}

/// What a child is told by its environment: `ROLE:FD:PARENT[:INSTANCE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What to be.
    pub role: Role,
    /// The channel: to the parent, for the prober to the checkers.
    pub descriptor: RawFd,
    /// The parent's process id.
    pub parent: i32,
    /// Suffix of the syslog ident.
    pub instance: Option<String>,
}

impl Assignment {
    /// This process', if it is a child.
    pub fn of_this_process() -> Option<Result<Self, NoAssignment>> {
        let value = env::var_os(ROLE_VARIABLE)?;
        Some(value.to_str().and_then(|value| value.parse().ok()).ok_or(NoAssignment))
    }
}

/// The environment variable is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {ROLE_VARIABLE} is set, but not by a parent process: unset it")]
pub struct NoAssignment;

impl FromStr for Assignment {
    type Err = NoAssignment;

    fn from_str(text: &str) -> Result<Self, NoAssignment> {
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().ok_or(NoAssignment);
        let role = match next()? {
            "vrrp" => Role::Vrrp,
            "checkers" => Role::Checkers,
            "prober" => Role::Prober,
            _ => return Err(NoAssignment),
        };
        let descriptor = next()?.parse().map_err(|_| NoAssignment)?;
        let parent = next()?.parse().map_err(|_| NoAssignment)?;
        Ok(Self { role, descriptor, parent, instance: parts.next().map(str::to_owned) })
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.role, self.descriptor, self.parent)?;
        match &self.instance {
            Some(instance) => write!(f, ":{instance}"),
            None => Ok(()),
        }
    }
}

/// What a child has when its role begins.
pub struct Birth {
    /// The channel.
    pub channel: OwnedFd,
    /// Where its event loop runs.
    pub runtime: tokio::runtime::Runtime,
}

/// Makes this process the child it was executed to be: name, death with the parent, log, event loop.
pub fn take_up(assignment: &Assignment, options: &Options) -> Result<Birth, Exit> {
    let console = if options.dont_fork && options.log.console { Console::Stamped } else { Console::Off };
    log::start(assignment.role.speaker(), assignment.instance.as_deref(), options.log, console);
    let begin = || -> Result<Birth, Error> {
        // The name is the parent's until the configuration says otherwise.
        process::set_name("keepalived")?;
        let channel = fdpass::inherited(assignment.descriptor)
            .map_err(|error| Error::new("taking over the channel to the parent", errno(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new("starting the event loop", errno(&error)))?;
        if !process::end_with_parent(Pid::from_raw(assignment.parent))? {
            return Err(Error::new("looking for the parent process", nix::errno::Errno::ESRCH));
        }
        Ok(Birth { channel, runtime })
    };
    begin().map_err(|error| {
        info!("{error}");
        Exit::Fatal
    })
}

fn errno(error: &std::io::Error) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The parent, as vrrp and checkers hear it. `P` is the part of the model they are given.
pub struct Parent<P> {
    channel: Channel<FromChild, ToChild<P>>,
    requests: Requests,
    gone: bool,
}

impl<P: serde::Serialize + DeserializeOwned> Parent<P> {
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
        if let Err(error) = self.channel.send(message) {
            debug!("telling the parent: {error}");
        }
    }

    /// Waits until the parent has been told everything; the last thing a role does. Never longer than a second.
    pub async fn flush(&mut self) {
        let limit = std::time::Duration::from_secs(1);
        // A parent that does not read, or is gone, is not waited for.
        let _ = tokio::time::timeout(limit, self.channel.flush()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::VrrpPart;

    #[test]
    fn an_assignment_is_written_and_read() {
        for instance in [None, Some("a:b".to_owned())] {
            let given = Assignment { role: Role::Checkers, descriptor: 5, parent: 42, instance };
            assert_eq!(given.to_string().parse(), Ok(given));
        }
        for wrong in ["", "vrrp", "vrrp:", "vrrp:5", "vrrp:x:1", "bfd:5:1", "vrrp:5:1x"] {
            assert_eq!(wrong.parse::<Assignment>(), Err(NoAssignment), "{wrong}");
        }
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
            let again = tokio::time::timeout(std::time::Duration::from_millis(20), parent.next()).await;
            assert!(again.is_err(), "a dead parent said {again:?}");
        });
    }
}
