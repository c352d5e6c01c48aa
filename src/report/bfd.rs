//! `keepalived_bfd.data`: the sessions of the BFD process, as text. spec/dump-format.md §5.

use std::fmt::{Arguments, Write as _};
use std::time::Duration;

use super::clock::{Clock, Moment};
use super::global::{Writer, global};
use crate::config::model::{BfdInstance, BfdSession, Global};
use crate::time::Time;

/// What the BFD process knows at this moment.
pub struct BfdData<'a> {
    /// Global values.
    pub global: &'a Global,
    /// Instances in file order, each with the state of its session. Those that cannot run are left out.
    pub instances: Vec<(&'a BfdInstance, Option<SessionState>)>,
    /// The listening sockets: whether it is that of multihop, and its descriptor.
    pub descriptors: &'a [(bool, i32)],
    /// This moment.
    pub clock: Clock,
}

/// The state of one session. The default is one that has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the line of its name")]
pub struct SessionState {
    pub fd_out: i32,
    /// When the next packet is sent.
    pub next_send: Option<Time>,
    /// When the session expires.
    pub expires: Option<Time>,
    /// When what the other end said is forgotten.
    pub resets: Option<Time>,
    pub send_error: bool,
    pub local: State,
    pub remote: State,
    pub local_discriminator: u32,
    pub remote_discriminator: u32,
    pub local_diagnostic: Diagnostic,
    pub remote_diagnostic: Diagnostic,
    pub remote_min_tx: Duration,
    pub remote_min_rx: Duration,
    pub local_demand: bool,
    pub remote_demand: bool,
    pub remote_multiplier: u8,
    pub poll: bool,
    pub is_final: bool,
    pub local_tx: Duration,
    pub remote_tx: Duration,
    pub local_detection: Duration,
    pub remote_detection: Duration,
    pub last_seen: Option<Time>,
}

impl SessionState {
    /// A session that has not begun.
    pub fn idle(session: &BfdSession) -> Self {
        Self {
            fd_out: -1,
            next_send: None,
            expires: None,
            resets: None,
            send_error: false,
            local: State::Down,
            remote: State::Down,
            local_discriminator: 0,
            remote_discriminator: 0,
            local_diagnostic: Diagnostic::None,
            remote_diagnostic: Diagnostic::None,
            remote_min_tx: Duration::ZERO,
            remote_min_rx: Duration::ZERO,
            local_demand: false,
            remote_demand: false,
            remote_multiplier: 0,
            poll: false,
            is_final: false,
            local_tx: session.idle_tx,
            remote_tx: Duration::ZERO,
            local_detection: Duration::ZERO,
            remote_detection: Duration::ZERO,
            last_seen: None,
        }
    }
}

/// States of a session (RFC 5880 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the state of its name")]
pub enum State {
    AdminDown,
    Down,
    Init,
    Up,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

/// Why a session is down (RFC 5880 §4.1), in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the diagnostic of its name")]
pub enum Diagnostic {
    None,
    DetectionTimeExpired,
    EchoFunctionFailed,
    NeighborSignaledDown,
    ForwardingPlaneReset,
    PathDown,
    ConcatenatedPathDown,
    AdministrativelyDown,
    ReverseConcatenatedPathDown,
}

impl Diagnostic {
    fn text(self) -> &'static str {
        match self {
            Self::None => "No Diagnostic",
            Self::DetectionTimeExpired => "Control Detection Time Expired",
            Self::EchoFunctionFailed => "Echo Function Failed",
            Self::NeighborSignaledDown => "Neighbor Signaled Session Down",
            Self::ForwardingPlaneReset => "Forwarding Plane Reset",
            Self::PathDown => "Path Down",
            Self::ConcatenatedPathDown => "Concatenated Path Down",
            Self::AdministrativelyDown => "Administratively Down",
            Self::ReverseConcatenatedPathDown => "Reverse Concatenated Path Down",
        }
    }
}

/// The whole file.
pub fn bfd_data(data: &BfdData<'_>) -> String {
    let mut out = String::new();
    global(&mut out, data.global, Writer::Bfd);
    let mut line = |indent: usize, text: Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:indent$}{text}", "");
    };
    line(0, format_args!("------< BFD Data >------"));
    for (multihop, descriptor) in data.descriptors {
        let which = if *multihop { "multihop fd_in" } else { "fd_in" };
        line(1, format_args!("{which} = {descriptor}"));
    }
    line(1, format_args!("thread_in = 0x(nil)"));
    let running = data.instances.iter().filter_map(|(it, state)| Some((*it, it.session.as_ref()?, *state)));
    for (index, (instance, session, state)) in running.enumerate() {
        if index == 0 {
            line(0, format_args!("------< BFD Topology >------"));
        }
        line(1, format_args!("BFD Instance = {}", instance.name));
        write_session(&mut |text| line(3, text), instance, session);
        let state = state.unwrap_or_else(|| SessionState::idle(session));
        write_state(&mut |text| line(3, text), &state, data.clock);
    }
    out
}

fn write_session(line: &mut dyn FnMut(Arguments<'_>), instance: &BfdInstance, session: &BfdSession) {
    let yes = |value: bool| if value { "Yes" } else { "No" };
    line(format_args!("Neighbor IP = {}", session.neighbor));
    if let Some(source) = session.source {
        line(format_args!("Source IP = {source}"));
    }
    line(format_args!("Required min RX interval = {} us", session.min_rx.as_micros()));
    line(format_args!("Desired min TX interval = {} us", session.min_tx.as_micros()));
    line(format_args!("Desired idle TX interval = {} us", session.idle_tx.as_micros()));
    line(format_args!("Detection multiplier = {}", session.multiplier));
    let ttl = if session.neighbor.is_ipv4() { "TTL" } else { "hoplimit" };
    line(format_args!("{ttl} = {}", session.ttl));
    line(format_args!("max_hops = {}", session.max_hops));
    line(format_args!("passive = {}", session.passive));
    line(format_args!("send event to VRRP process = {}", yes(instance.tells_vrrp)));
    line(format_args!("send event to checker process = {}", yes(instance.tells_checkers)));
}

/// Addresses of stock's timers mean nothing here: they are all null.
fn write_state(line: &mut dyn FnMut(Arguments<'_>), state: &SessionState, clock: Clock) {
    let bit = |value: bool| if value { "" } else { "!" };
    let due = |time: Option<Time>| {
        time.map_or("[disabled]".to_owned(), |time| {
            let moment: Moment = clock.epoch_of(Some(time));
            format!("{moment} ({})", moment.short())
        })
    };
    line(format_args!("fd_out {}", state.fd_out));
    line(format_args!("thread_open_fd_out 0x(nil)"));
    for (name, time) in [("out", state.next_send), ("exp", state.expires), ("rst", state.resets)] {
        line(format_args!("thread_{name} 0x(nil)"));
        line(format_args!("sands_{name} = {}", due(time)));
    }
    line(format_args!("send error = {}", state.send_error));
    line(format_args!("local state = {}", state.local.name()));
    line(format_args!("remote state = {}", state.remote.name()));
    line(format_args!("local discriminator = 0x{:x}", state.local_discriminator));
    line(format_args!("remote discriminator = 0x{:x}", state.remote_discriminator));
    line(format_args!("local diag = {}", state.local_diagnostic.text()));
    line(format_args!("remote diag = {}", state.remote_diagnostic.text()));
    line(format_args!("remote min tx intv = {} us", state.remote_min_tx.as_micros()));
    line(format_args!("remote min rx intv = {} us", state.remote_min_rx.as_micros()));
    line(format_args!("local demand = {}", u8::from(state.local_demand)));
    line(format_args!("remote demand = {}", u8::from(state.remote_demand)));
    line(format_args!("remote detect multiplier = {}", state.remote_multiplier));
    line(format_args!("{}poll, {}final", bit(state.poll), bit(state.is_final)));
    line(format_args!("local tx intv = {} us", state.local_tx.as_micros()));
    line(format_args!("remote tx intv = {} us", state.remote_tx.as_micros()));
    line(format_args!("local detection time = {} us", state.local_detection.as_micros()));
    line(format_args!("remote detection time = {} us", state.remote_detection.as_micros()));
    match state.last_seen {
        None => line(format_args!("last_seen = [never]")),
        Some(time) => {
            let moment = clock.epoch_of(Some(time));
            line(format_args!("last seen = {moment} ({})", moment.odd()));
        }
    }
}
