//! What the reports show of a session: plain data.

use std::time::Duration;

use super::packet::{Diagnostic, Phase};
use crate::config::model::BfdSession;
use crate::time::Time;

/// One session at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the line of its name in the dump")]
pub struct Snapshot {
    /// When the next packet is sent.
    pub next_send: Option<Time>,
    /// When the session expires.
    pub expires: Option<Time>,
    /// When what the other end said is forgotten.
    pub resets: Option<Time>,
    pub send_error: bool,
    pub local: Phase,
    pub remote: Phase,
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

impl Snapshot {
    /// A session that has not begun.
    pub fn idle(session: &BfdSession) -> Self {
        Self {
            next_send: None,
            expires: None,
            resets: None,
            send_error: false,
            local: Phase::Down,
            remote: Phase::Down,
            local_discriminator: 0,
            remote_discriminator: 0,
            local_diagnostic: Diagnostic::NONE,
            remote_diagnostic: Diagnostic::NONE,
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
