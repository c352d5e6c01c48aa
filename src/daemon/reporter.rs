//! The reporter: tells those around the daemon what happens (mail, SNMP, D-Bus), and carries back what they may ask
//! for. It has no rights, reads no file, and nobody waits for it: docs/design.md "Processes".
//!
//! Events come from vrrp and checkers through the parent, in order. Where things are hooked in: every event passes
//! `Reporter::happened` (mail, traps and signals start there); last words are said where the loop of [`play`] has ended;
//! another source of requests (a control socket) is one more arm of its `select!`, and what it asks for must be one of the
//! closed list [`FromReporter`], which the parent authorises.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use tracing::{debug, info};

use super::channel::{Channel, Received};
use super::exit::Exit;
use super::ipc::{FromReporter, ToReporter};
use super::options::Options;
use super::signals::Requests;
use crate::config::model::ReporterPart;
use crate::kernel::error::Error;
use crate::kernel::rights;
use crate::report::event::ReporterEvent;
use crate::vrrp::{StateWord, Subject};

/// Who the process becomes; else it is nobody.
const USERS: [&str; 1] = ["keepalived-rs"];

/// Plays the role until the parent says stop or is gone.
pub async fn play(options: &Options, channel: OwnedFd) -> Result<Exit, Error> {
    // Signals mean nothing here: the terminal's INT and the service manager's TERM come when there is still to be told.
    let mut signals = Requests::listen(options.ignore_sigint)?;
    let impossible = rights::keep_none(&USERS);
    if !impossible.is_empty() {
        info!("The reporter keeps rights it should not have: {}", impossible.join(", "));
    }
    let mut reporter =
        Reporter { parent: Channel::new(channel)?, part: ReporterPart::default(), states: BTreeMap::new() };
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
            _ = signals.next() => {}
        }
    }
    Ok(Exit::Success)
}

/// Says what it wants, hears what happens.
type Parent = Channel<FromReporter, ToReporter>;

struct Reporter {
    parent: Parent,
    part: ReporterPart,
    /// What was last told of each instance.
    states: BTreeMap<String, StateWord>,
}

impl Reporter {
    fn hear(&mut self, received: Received<ToReporter>) {
        match received.message {
            ToReporter::Configure(part) => {
                self.part = *part;
                let instances = &self.part.vrrp.instances;
                self.states.retain(|name, _| instances.iter().any(|instance| instance.name == *name));
            }
            ToReporter::Event(event) => self.happened(&event),
            ToReporter::Snapshot { .. } | ToReporter::Connected(_) | ToReporter::Stop => {}
        }
    }

    /// Something happened: everybody who is to know is told here.
    fn happened(&mut self, event: &ReporterEvent) {
        debug!("{event:?}");
        if let ReporterEvent::Vrrp(transition) = event
            && let Subject::Instance(name) = &transition.subject
        {
            self.states.insert(name.clone(), transition.state);
        }
    }
}
