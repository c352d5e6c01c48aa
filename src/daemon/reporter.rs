//! The reporter: tells those around the daemon what happens (mail, SNMP, D-Bus), and carries back what they may ask
//! for. It has no rights, reads no file, and nobody waits for it: docs/design.md "Processes".
//!
//! Events come from vrrp and checkers through the parent, in order. Where things are hooked in: every event passes
//! `Reporter::happened` (mail, traps and signals start there); last words are said where the loop of [`play`] has ended;
//! another source of requests (a control socket) is one more arm of its `select!`, and what it asks for must be one of the
//! closed list [`FromReporter`], which the parent authorises.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, trace};

use super::agentx::{Subagent, ToAgent};
use super::channel::{Channel, Received};
use super::dbus::{Bus, Layout, ToBus};
use super::exit::Exit;
use super::ipc::{Extent, FromReporter, Reported, Service, ToReporter};
use super::mailer::Mailer;
use super::options::Options;
use super::signals::Requests;
use crate::config::model::ReporterPart;
use crate::kernel::error::Error;
use crate::kernel::rights;
use crate::report::event::ReporterEvent;
use crate::vrrp::{Snapshot, StateWord, Subject, Transition};

/// Who the process becomes; else it is nobody.
const USERS: [&str; 1] = ["keepalived-rs"];

/// Wishes that wait for the parent.
const WISHES: usize = 64;

/// Events that wait for the bus: every instance of a large configuration may change at once.
const EVENTS: usize = 4096;

/// How long last words may take.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// Plays the role until the parent says stop or is gone.
pub async fn play(options: &Options, channel: OwnedFd) -> Result<Exit, Error> {
    // Signals mean nothing here: the terminal's INT and the service manager's TERM come when there is still to be told.
    let mut signals = Requests::listen(options.ignore_sigint)?;
    let user = geteuid().as_raw();
    let (asks, mut wanted) = mpsc::channel(WISHES);
    let impossible = rights::keep_none(&USERS);
    if !impossible.is_empty() {
        info!("The reporter keeps rights it should not have: {}", impossible.join(", "));
    }
    let part = ReporterPart::default();
    let mut reporter =
        Reporter { parent: Channel::new(channel)?, part, asks, user, bus: None, agent: None, mailer: None };
    loop {
        tokio::select! {
            biased;
            received = reporter.parent.next() => match received {
                Some(Ok(Received { message: ToReporter::Stop, .. })) | None => break,
                Some(Ok(received)) => reporter.hear(received),
                Some(Err(error)) if reporter.parent.is_closed() => {
                    debug!("{error}");
                    break;
                }
                Some(Err(error)) => info!("The reporter was told something odd: {error}"),
            },
            Some(wish) = wanted.recv() => {
                // The parent's end is noticed by the silence that follows.
                let _ = reporter.parent.send(&wish);
            }
            _ = signals.next() => {}
        }
    }
    // They end when nobody tells them anything any more.
    let Reporter { bus, agent, mailer, .. } = reporter;
    let tasks = [bus.map(Task::end), agent.map(Task::end)];
    let others = async {
        for task in tasks.into_iter().flatten() {
            let _ = timeout(LAST_WORDS, task).await;
        }
    };
    let mails = async {
        if let Some(mailer) = mailer {
            mailer.finish().await;
        }
    };
    tokio::join!(others, mails);
    Ok(Exit::Success)
}

/// One of those outside, with the queue that leads to it.
struct Task<T> {
    name: &'static str,
    tell: mpsc::Sender<T>,
    life: JoinHandle<()>,
    /// What it missed since it last kept up.
    missed: u64,
}

impl<T> Task<T> {
    fn begin(name: &'static str, live: impl FnOnce(mpsc::Receiver<T>) -> JoinHandle<()>) -> Self {
        let (tell, told) = mpsc::channel(EVENTS);
        Self { name, tell, life: live(told), missed: 0 }
    }

    /// Tells it something. One that does not keep up misses it, which is said once.
    fn tell(&mut self, message: T) {
        match self.tell.try_send(message) {
            Ok(()) if self.missed > 0 => {
                info!("The {} keeps up again, it missed {} messages", self.name, self.missed);
                self.missed = 0;
            }
            Ok(()) => {}
            Err(_) => {
                if self.missed == 0 {
                    info!("The {} does not keep up", self.name);
                }
                self.missed += 1;
            }
        }
    }

    /// Nobody tells it anything any more.
    fn end(self) -> JoinHandle<()> {
        self.life
    }
}

/// Says what it wants, hears what happens.
type Parent = Channel<FromReporter, ToReporter>;

struct Reporter {
    parent: Parent,
    part: ReporterPart,
    /// What those outside want; the parent is asked in the order it comes.
    asks: mpsc::Sender<FromReporter>,
    /// Who this process was.
    user: u32,
    /// The task of the D-Bus interface.
    bus: Option<Task<ToBus>>,
    /// The task of the SNMP subagent.
    agent: Option<Task<ToAgent>>,
    /// The way out for mails, once there was a relay.
    mailer: Option<Mailer>,
}

impl Reporter {
    fn hear(&mut self, received: Received<ToReporter>) {
        match received.message {
            ToReporter::Configure(part) => self.configure(*part),
            ToReporter::Event(event) => self.happened(&event),
            ToReporter::Snapshot { of: Reported::Vrrp, bytes } => match postcard::from_bytes(&bytes) {
                Ok(snapshot) => self.vrrp_is(snapshot),
                Err(error) => info!("The reporter was told something odd: {error}"),
            },
            ToReporter::Connected(Service::Bus) => self.tell_bus(ToBus::Connected(received.descriptor)),
            ToReporter::Connected(Service::AgentX) => {
                self.tell_agent(ToAgent::Connected(received.descriptor));
            }
            ToReporter::Snapshot { of: Reported::Checkers, bytes } => match postcard::from_bytes(&bytes) {
                Ok(snapshot) => self.tell_agent(ToAgent::Checkers(Box::new(snapshot))),
                Err(error) => info!("The reporter was told something odd: {error}"),
            },
            ToReporter::Stop => {}
        }
    }

    fn configure(&mut self, part: ReporterPart) {
        self.part = part;
        match &mut self.mailer {
            Some(mailer) => mailer.configure(&self.part.global),
            None if self.part.global.sends_mail() => self.mailer = Some(Mailer::new(&self.part.global)),
            None => {}
        }
        if self.part.global.dbus.enabled {
            let (asks, user) = (&self.asks, self.user);
            self.bus.get_or_insert_with(|| {
                Task::begin("D-Bus interface", |told| tokio::spawn(Bus::new(asks.clone(), user).live(told)))
            });
            let layout = Layout::of(&self.part.global, &self.part.vrrp.instances);
            self.tell_bus(ToBus::Configure(layout));
            // What happened before this process began.
            let _ = self.parent.send(&FromReporter::Snapshot(Reported::Vrrp, Extent::Usual));
        } else {
            self.bus = None;
        }
        if self.part.global.snmp.is_on() {
            let asks = &self.asks;
            self.agent.get_or_insert_with(|| {
                Task::begin("SNMP subagent", |told| tokio::spawn(Subagent::new(asks.clone()).live(told)))
            });
            self.tell_agent(ToAgent::Configure(Box::new(self.part.clone())));
        } else {
            self.agent = None;
        }
    }

    fn vrrp_is(&mut self, snapshot: Snapshot) {
        // Of the configuration before, perhaps.
        if snapshot.instances.len() != self.part.vrrp.instances.len() {
            return;
        }
        let states: Vec<_> = (self.part.vrrp.instances.iter())
            .zip(&snapshot.instances)
            .map(|(config, now)| (config.name.clone(), u32::from(now.state.code())))
            .collect();
        for (instance, code) in states {
            self.tell_bus(ToBus::Known { instance, code });
        }
        self.tell_agent(ToAgent::Vrrp(Box::new(snapshot)));
    }

    /// Something happened: everybody who is to know is told here.
    fn happened(&mut self, event: &ReporterEvent) {
        trace!("{event:?}");
        self.tell_agent(ToAgent::Event(event.clone()));
        if let (ReporterEvent::Mail(alert), Some(mailer)) = (event, &mut self.mailer) {
            mailer.tell(alert);
        }
        if let ReporterEvent::Vrrp(Transition { subject: Subject::Instance(name), state, .. }) = event
            && let Some(code) = code(*state)
        {
            self.tell_bus(ToBus::State { instance: name.clone(), code });
        }
    }

    fn tell_agent(&mut self, message: ToAgent) {
        if let Some(agent) = &mut self.agent {
            agent.tell(message);
        }
    }

    fn tell_bus(&mut self, message: ToBus) {
        if let Some(bus) = &mut self.bus {
            bus.tell(message);
        }
    }
}

/// The number of a state on D-Bus; what is no state has none.
fn code(state: StateWord) -> Option<u32> {
    match state {
        StateWord::Backup => Some(1),
        StateWord::Master => Some(2),
        StateWord::Fault => Some(3),
        StateWord::Deleted => Some(97),
        StateWord::Stop => Some(98),
        StateWord::MasterRxLowerPri | StateWord::MasterPriority | StateWord::BackupPriority => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_does_not_keep_up_misses_something_and_catches_up() {
        let mut kept = None;
        let mut task = Task::begin("test", |told| {
            kept = Some(told);
            tokio::spawn(async {})
        });
        for number in 0..EVENTS + 5 {
            task.tell(number);
        }
        assert_eq!(task.missed, 5);
        let mut told = kept.unwrap();
        assert_eq!(told.recv().await, Some(0));
        task.tell(7);
        assert_eq!(task.missed, 0);
    }
}
