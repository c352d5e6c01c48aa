//! The signals a process of the daemon listens to, as requests. spec/daemon-behaviour.md §3.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ipc::Dump;
use crate::kernel::error::{Doing, Error};
use crate::kernel::process::{json_signal, stats_clear_signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// HUP.
    Reload,
    /// TERM, or INT without `--ignore-sigint`.
    Stop,
    /// USR1, USR2, 36, 63.
    Dump(Dump),
}

/// Listens from its creation on; signals that came before were ignored.
pub struct Requests {
    hup: Signal,
    term: Signal,
    int: Option<Signal>,
    data: Signal,
    stats: Signal,
    clear: Signal,
    json: Signal,
}

impl Requests {
    /// Must be called inside a tokio runtime.
    pub fn listen(ignore_sigint: bool) -> Result<Self, Error> {
        let on =
            |kind: SignalKind| signal(kind).doing(|| format!("listening to signal {}", kind.as_raw_value()));
        // Listening without looking is ignoring.
        let int = on(SignalKind::interrupt())?;
        Ok(Self {
            hup: on(SignalKind::hangup())?,
            term: on(SignalKind::terminate())?,
            int: (!ignore_sigint).then_some(int),
            data: on(SignalKind::user_defined1())?,
            stats: on(SignalKind::user_defined2())?,
            clear: on(SignalKind::from_raw(stats_clear_signal()))?,
            json: on(SignalKind::from_raw(json_signal()))?,
        })
    }

    /// The next request. Requests of one kind that come before they are looked at become one. Safe to cancel.
    pub async fn next(&mut self) -> Request {
        let int = async {
            match &mut self.int {
                Some(int) => int.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.term.recv() => Request::Stop,
            _ = int => Request::Stop,
            _ = self.hup.recv() => Request::Reload,
            _ = self.data.recv() => Request::Dump(Dump::Data),
            _ = self.stats.recv() => Request::Dump(Dump::Stats),
            _ = self.clear.recv() => Request::Dump(Dump::StatsClear),
            _ = self.json.recv() => Request::Dump(Dump::Json),
        }
    }
}
