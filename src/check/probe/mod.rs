//! The probes: one file per check type. They do the I/O of one attempt, parse what comes back, and hold no right.
//!
//! They know nothing of services, retries or states: a [`Probe`] goes in, an [`Outcome`] and its [`Remark`]s come out.
//! Nothing here waits longer than a small multiple of the check's timeout, and nothing keeps what a server sends.

pub mod connect; // the socket of a check, connected or not
pub mod dns; // DNS_CHECK
pub mod grpc; // pure: the gRPC health protocol
pub mod http; // HTTP_GET and SSL_GET: the request, the reading, the verdict
pub mod http2; // the same exchange over HTTP/2
pub mod http_response; // pure: what is looked for in an answer
pub mod ping; // PING_CHECK
pub mod scan; // a pattern in an answer that comes in pieces
pub mod smtp; // SMTP_CHECK
pub mod tcp; // TCP_CHECK
pub mod tls; // the stream of SSL_GET
pub mod udp; // UDP_CHECK

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Outcome, Probe, Remark};
use crate::config::model::{Connection, HttpProtocol, Regex, TlsProfile, Url};
use crate::kernel::pcre::Pattern;
use http_response::Digesting;
use scan::Wanted;

/// What all probes of a process share. Must live where a tokio runtime with I/O and time does.
pub struct Probes {
    /// By the number of their profile.
    tls: Mutex<Arc<[tls::Context]>>,
    patterns: Mutex<HashMap<Regex, Arc<Pattern>>>,
}

/// Patterns that are kept compiled. With more, those of former configurations are among them: all are made anew.
const PATTERNS: usize = 4096;

/// One profile: nothing presented, nothing verified.
impl Default for Probes {
    fn default() -> Self {
        Self { tls: Mutex::new([tls::Context::default()].into()), patterns: Mutex::default() }
    }
}

impl Probes {
    /// Nothing is allocated before the first TLS probe.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on TLS probes present and ask for this; those under way go on as they began.
    pub fn present(&self, profiles: Vec<TlsProfile>) {
        let contexts = profiles.into_iter().map(tls::Context::new).collect();
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = contexts;
    }

    /// The pattern of a url, compiled at its first use.
    fn wanted(&self, regex: &Regex) -> Result<Wanted, Outcome> {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = patterns.get(regex) {
            return Ok(Wanted::new(regex, Arc::clone(pattern)));
        }
        // The configuration was refused if it did not compile; now only memory can be lacking.
        let pattern = Pattern::new(regex).map_err(|error| {
            let what = format!("compiling the pattern \"{}\": {error}", regex.pattern);
            Outcome::NotTried { errno: None, what }
        })?;
        let pattern = Arc::new(pattern);
        if patterns.len() >= PATTERNS {
            patterns.clear();
        }
        patterns.insert(regex.clone(), Arc::clone(&pattern));
        Ok(Wanted::new(regex, pattern))
    }

    /// Makes one attempt, on `socket` if one is given: not connected, with its options set and bound.
    pub async fn run(&self, probe: &Probe, socket: Option<OwnedFd>) -> (Outcome, Vec<Remark>) {
        // Some need room for what they read; plain connections, of which there may be thousands, are not to take it, too.
        let outcome = match probe {
            Probe::Tcp(connection) => tcp::run(connection, socket).await,
            Probe::Smtp(check) => Box::pin(smtp::run(check, socket)).await,
            Probe::Dns(check) => Box::pin(dns::run(check, socket)).await,
            Probe::Udp(check) => Box::pin(udp::run(check, socket)).await,
            Probe::Ping { connection, sequence } => Box::pin(ping::run(connection, *sequence, socket)).await,
            Probe::Http { connection, tls, protocol, url } => {
                return Box::pin(self.ask(connection, *tls, *protocol, url, socket)).await;
            }
        };
        (outcome, Vec::new())
    }

    async fn ask(
        &self,
        connection: &Connection,
        tls: Option<u16>,
        protocol: HttpProtocol,
        url: &Url,
        socket: Option<OwnedFd>,
    ) -> (Outcome, Vec<Remark>) {
        let wanted = match url.regex.as_deref().map(|regex| self.wanted(regex)).transpose() {
            Ok(wanted) => wanted,
            Err(outcome) => return (outcome, Vec::new()),
        };
        let contexts = Arc::clone(&self.tls.lock().unwrap_or_else(PoisonError::into_inner));
        let context = tls.map(|number| contexts.get(usize::from(number)));
        if let Some(None) = context {
            let what = "preparing TLS: nobody said with what".to_owned();
            return (Outcome::NotTried { errno: None, what }, Vec::new());
        }
        let exchange = http::Exchange {
            connection,
            tls: context.flatten(),
            protocol,
            url,
            digesting: if url.digest.is_some() { Digesting::Yes } else { Digesting::No },
            wanted,
        };
        match exchange.run(socket).await {
            Ok(answer) => (http::judge(url, &answer), answer.remarks()),
            Err(outcome) => (outcome, Vec::new()),
        }
    }
}

#[cfg(test)]
pub(crate) mod server; // servers of all tempers, for the tests
