//! One BFD session: its state machine and its timers (RFC 5880 §6.8; spec/bfd.md §3).
//!
//! Pure. Which session a packet belongs to, and what is told to whom, is [`super::sessions`]' business. Stock differs
//! from the RFC in that Init does not refresh the detection timer, and that every interval is jittered by 10 to 25 %.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::packet::{Diagnostic, Packet, Phase};
use super::snapshot::Snapshot;
use crate::config::model::BfdSession;
use crate::time::Time;

/// Numbers in any order: discriminators and jitter.
pub(super) type Random<'a> = &'a mut dyn FnMut() -> u32;

/// How long a session without socket waits until it tries again (spec/bfd.md §3).
const RETRY: Duration = Duration::from_secs(60);

/// What a session asks for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this.
    Send(Packet),
    /// Open the socket again.
    Open,
    /// It is up now, or no longer.
    Changed,
    /// Log this, behind the session's name.
    Log(String),
    /// The same, only with detailed logging.
    Detail(String),
}

/// What is known of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Remote {
    phase: Phase,
    diagnostic: Diagnostic,
    discriminator: u32,
    demand: bool,
    /// Microseconds.
    min_tx: u32,
    /// Microseconds.
    min_rx: u32,
    multiplier: u8,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    phase: Phase,
    diagnostic: Diagnostic,
    discriminator: u32,
    remote: Remote,
    /// We have asked for an answer that has not come.
    polling: bool,
    /// The next periodic packet; `None` while none is sent.
    send_at: Option<Time>,
    /// The interval that `send_at` was made with, before jitter.
    interval: Duration,
    /// When the peer is lost, unless it is heard.
    expires_at: Option<Time>,
    /// Its span, for the log.
    detection: Duration,
    /// When what was learned of the peer is forgotten.
    forget_at: Option<Time>,
    /// When the socket is tried again.
    retry_at: Option<Time>,
    /// The last packet.
    heard: Option<Time>,
}

impl Session {
    /// A session that begins; its first packet is due at once unless it is passive.
    pub(super) fn new(config: &BfdSession, now: Time, random: Random<'_>) -> Self {
        Self {
            phase: Phase::Down,
            diagnostic: Diagnostic::NONE,
            discriminator: discriminator(random),
            remote: Remote::default(),
            polling: false,
            send_at: (!config.passive).then_some(now),
            interval: config.idle_tx,
            expires_at: None,
            detection: Duration::ZERO,
            forget_at: None,
            retry_at: None,
            heard: None,
        }
    }

    /// Our state.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Our number of it, not 0.
    pub fn discriminator(&self) -> u32 {
        self.discriminator
    }

    /// The peer's number, 0 while unknown.
    pub fn remote_discriminator(&self) -> u32 {
        self.remote.discriminator
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        [self.send_at, self.expires_at, self.forget_at, self.retry_at].into_iter().flatten().min()
    }

    /// Carries out what is due.
    pub(super) fn on_timer(
        &mut self,
        config: &BfdSession,
        now: Time,
        random: Random<'_>,
        out: &mut Vec<Step>,
    ) {
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if let Some(at) = self.expires_at.filter(|at| *at <= now) {
            let overdue = now.since(at);
            out.push(Step::Log(format!(
                "Expired after {} ms ({} usec overdue)",
                (self.detection + overdue).as_millis(),
                overdue.as_micros()
            )));
            self.down(Diagnostic::EXPIRED, config, now, random, out);
            self.remote.discriminator = 0;
        }
        if is_due(self.forget_at) {
            self.forget_at = None;
            self.remote = Remote::default();
            self.polling = false;
        }
        if is_due(self.retry_at) {
            self.retry_at = None;
            out.push(Step::Open);
        }
        if is_due(self.send_at) {
            out.push(Step::Send(self.packet(config)));
            self.schedule(now, random);
        }
    }

    /// Takes a packet that passed all checks.
    pub(super) fn on_packet(
        &mut self,
        config: &BfdSession,
        packet: &Packet,
        now: Time,
        random: Random<'_>,
        out: &mut Vec<Step>,
    ) {
        if self.phase == Phase::AdminDown {
            // Somebody is there: perhaps the socket can be opened now.
            self.retry_at = None;
            out.push(Step::Open);
            return;
        }
        self.remote = Remote {
            phase: packet.phase,
            diagnostic: packet.diagnostic,
            discriminator: packet.mine,
            demand: packet.demand,
            min_tx: packet.min_tx,
            min_rx: packet.min_rx,
            multiplier: packet.multiplier,
        };
        self.forget_at = None;
        self.heard = Some(now);
        if packet.is_final {
            self.polling = false;
        }
        let before = self.phase;
        match (self.phase, packet.phase) {
            (Phase::Down, Phase::Down) => self.enter_init(config, now, out),
            (Phase::Down | Phase::Init, Phase::Init) | (Phase::Init, Phase::Up) => self.enter_up(config, out),
            (Phase::Up, Phase::Down) | (Phase::Init | Phase::Up, Phase::AdminDown) => {
                self.down(Diagnostic::NEIGHBOR_DOWN, config, now, random, out);
            }
            (Phase::AdminDown | Phase::Down | Phase::Init | Phase::Up, _) => {}
        }
        if self.phase == Phase::Up && (before != Phase::Up || packet.poll || packet.is_final) {
            self.measure(config, out);
        }
        if self.phase == Phase::Up {
            self.expires_at = Some(now + self.detection);
        }
        if self.phase != Phase::Up || before != Phase::Up || packet.poll || packet.is_final {
            self.pace(config, now, random);
        }
        // Demand mode: the peer wants silence while all is well.
        if self.phase == Phase::Up && self.remote.phase == Phase::Up && self.remote.demand && !self.polling {
            self.send_at = None;
        } else if self.send_at.is_none() {
            // A passive end speaks once it is spoken to.
            self.schedule(now, random);
        }
        if packet.poll {
            let mut answer = self.packet(config);
            answer.poll = false;
            answer.is_final = true;
            out.push(Step::Send(answer));
        }
    }

    /// The socket could not be opened: the session rests, and tries again.
    pub(super) fn on_refused(&mut self, now: Time, random: Random<'_>, out: &mut Vec<Step>) {
        let was_up = self.phase == Phase::Up;
        if self.phase != Phase::AdminDown {
            out.push(Step::Log("Unable to open output socket, disabling instance".to_owned()));
        }
        if was_up {
            self.discriminator = discriminator(random);
        }
        self.phase = Phase::AdminDown;
        self.diagnostic = Diagnostic::ADMIN_DOWN;
        self.remote = Remote::default();
        self.polling = false;
        (self.send_at, self.expires_at, self.forget_at) = (None, None, None);
        self.retry_at = Some(now + RETRY);
        if was_up {
            out.push(Step::Changed);
        }
    }

    /// The socket is open again.
    pub(super) fn on_opened(&mut self, config: &BfdSession, now: Time) {
        if self.phase == Phase::AdminDown {
            self.phase = Phase::Down;
            self.diagnostic = Diagnostic::NONE;
            self.retry_at = None;
            self.interval = config.idle_tx;
            self.send_at = (!config.passive).then_some(now);
        }
    }

    /// Goes on under another configuration. New intervals are told to a peer by a poll (RFC 5880 §6.8.3).
    pub(super) fn reconfigure(
        &mut self,
        before: &BfdSession,
        config: &BfdSession,
        now: Time,
        random: Random<'_>,
        out: &mut Vec<Step>,
    ) {
        if (before.min_tx, before.min_rx) != (config.min_tx, config.min_rx) && self.phase == Phase::Up {
            self.polling = true;
        }
        if before.min_rx != config.min_rx && self.phase == Phase::Up {
            self.measure(config, out);
            self.expires_at = Some(now + self.detection);
        }
        if !config.passive && self.send_at.is_none() && self.phase != Phase::AdminDown {
            self.send_at = Some(now);
        }
        if before.idle_tx != config.idle_tx && self.phase != Phase::Up {
            self.pace(config, now, random);
        }
    }

    /// For reports.
    pub fn snapshot(&self, config: &BfdSession) -> Snapshot {
        let remote = &self.remote;
        let remote_tx = config.min_rx.max(Duration::from_micros(u64::from(remote.min_tx)));
        Snapshot {
            next_send: self.send_at,
            expires: self.expires_at,
            resets: self.forget_at,
            send_error: self.phase == Phase::AdminDown,
            local: self.phase,
            remote: remote.phase,
            local_discriminator: self.discriminator,
            remote_discriminator: remote.discriminator,
            local_diagnostic: self.diagnostic,
            remote_diagnostic: remote.diagnostic,
            remote_min_tx: Duration::from_micros(u64::from(remote.min_tx)),
            remote_min_rx: Duration::from_micros(u64::from(remote.min_rx)),
            local_demand: false,
            remote_demand: remote.demand,
            remote_multiplier: remote.multiplier,
            poll: self.polling,
            is_final: false,
            local_tx: self.interval,
            remote_tx: if remote.multiplier == 0 { Duration::ZERO } else { remote_tx },
            local_detection: self.detection,
            remote_detection: self.interval * u32::from(config.multiplier),
            last_seen: self.heard,
        }
    }

    fn enter_init(&mut self, config: &BfdSession, now: Time, out: &mut Vec<Step>) {
        self.phase = Phase::Init;
        out.push(Step::Detail("Entering Init state".to_owned()));
        self.measure(config, out);
        // Stock: nothing heard in Init puts this off.
        self.expires_at = Some(now + self.detection);
    }

    fn enter_up(&mut self, config: &BfdSession, out: &mut Vec<Step>) {
        self.phase = Phase::Up;
        self.diagnostic = Diagnostic::NONE;
        out.push(Step::Log("Entering Up state".to_owned()));
        // The peer must learn the faster interval.
        self.polling |= config.idle_tx != config.min_tx;
        out.push(Step::Changed);
    }

    fn down(
        &mut self,
        why: Diagnostic,
        config: &BfdSession,
        now: Time,
        random: Random<'_>,
        out: &mut Vec<Step>,
    ) {
        let was_up = self.phase == Phase::Up;
        self.phase = Phase::Down;
        self.diagnostic = why;
        out.push(Step::Log(format!(
            "Entering Down state (Local diagnostic - {}, Remote diagnostic - {})",
            why.name(),
            self.remote.diagnostic.name()
        )));
        self.expires_at = None;
        self.forget_at = Some(now + self.detection);
        self.polling = false;
        if was_up {
            self.discriminator = discriminator(random);
            out.push(Step::Changed);
        }
        self.pace(config, now, random);
        if self.send_at.is_none() && !config.passive {
            self.schedule(now, random);
        }
    }

    /// The detection time: how long the peer may be silent.
    fn measure(&mut self, config: &BfdSession, out: &mut Vec<Step>) {
        let slowest = config.min_rx.max(Duration::from_micros(u64::from(self.remote.min_tx)));
        let detection = slowest * u32::from(self.remote.multiplier);
        if detection != self.detection {
            out.push(Step::Detail(format!(
                "Detection time is {} us (was {} us)",
                detection.as_micros(),
                self.detection.as_micros()
            )));
            self.detection = detection;
        }
    }

    /// The interval between our packets; a shorter one brings the next packet forward.
    fn pace(&mut self, config: &BfdSession, now: Time, random: Random<'_>) {
        let own = if self.phase == Phase::Up && self.remote.phase == Phase::Up {
            config.min_tx
        } else {
            config.idle_tx
        };
        let interval = own.max(Duration::from_micros(u64::from(self.remote.min_rx)));
        let is_shorter = interval < self.interval;
        self.interval = interval;
        if is_shorter && self.send_at.is_some() {
            let at = now + jittered(interval, random);
            self.send_at = self.send_at.map(|planned| planned.min(at));
        }
    }

    fn schedule(&mut self, now: Time, random: Random<'_>) {
        self.send_at = Some(now + jittered(self.interval, random));
    }

    fn packet(&self, config: &BfdSession) -> Packet {
        let min_tx = if self.phase == Phase::Up { config.min_tx } else { config.idle_tx };
        Packet {
            diagnostic: self.diagnostic,
            phase: self.phase,
            poll: self.polling,
            is_final: false,
            demand: false,
            multiplier: config.multiplier,
            mine: self.discriminator,
            yours: self.remote.discriminator,
            min_tx: micros(min_tx),
            min_rx: micros(config.min_rx),
        }
    }
}

/// Microseconds; the ranges of the keywords fit.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Not 0.
fn discriminator(random: Random<'_>) -> u32 {
    random().max(1)
}

/// 75 to 90 % of an interval (RFC 5880 §6.8.7 for a multiplier of 1; stock: always).
fn jittered(interval: Duration, random: Random<'_>) -> Duration {
    let shortened = 750 + random() % 151;
    interval * shortened / 1000
}
