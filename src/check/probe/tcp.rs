//! `TCP_CHECK`: a connection that is established and closed at once. spec/checkers.md §6.

use std::os::fd::OwnedFd;

use super::connect::connect;
use crate::check::Outcome;
use crate::config::model::Connection;

/// One attempt.
pub(super) async fn run(connection: &Connection, socket: Option<OwnedFd>) -> Outcome {
    match connect(connection, socket).await {
        Ok(_) => Outcome::Passed,
        Err(outcome) => outcome,
    }
}
