//! The probes: one file per check type. They do the I/O of one attempt, parse what comes back, and hold no right.
//!
//! They know nothing of services, retries or states: a [`Probe`] goes in, an [`Outcome`] and its [`Remark`]s come out.
//! Nothing here waits longer than a small multiple of the check's timeout, and nothing keeps what a server sends.

pub mod connect; // the socket of a check, connected or not
pub mod dns; // DNS_CHECK
pub mod http; // HTTP_GET and SSL_GET: the request, the reading, the verdict
pub mod http_response; // pure: what is looked for in an answer
pub mod ping; // PING_CHECK
pub mod smtp; // SMTP_CHECK
pub mod tcp; // TCP_CHECK
pub mod tls; // the stream of SSL_GET
pub mod udp; // UDP_CHECK

use std::os::fd::OwnedFd;

use super::{Outcome, Probe, Remark};
use http_response::Digesting;

/// What all probes of a process share. Must live where a tokio runtime with I/O and time does.
#[derive(Default)]
pub struct Probes {
    tls: tls::Context,
}

impl Probes {
    /// Nothing is allocated before the first TLS probe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes one attempt, on `socket` if one is given: not connected, with its options set and bound.
    pub async fn run(&self, probe: &Probe, socket: Option<OwnedFd>) -> (Outcome, Vec<Remark>) {
        match probe {
            Probe::Tcp(connection) => (tcp::run(connection, socket).await, Vec::new()),
            Probe::Smtp(check) => (smtp::run(check, socket).await, Vec::new()),
            Probe::Dns(check) => (dns::run(check, socket).await, Vec::new()),
            Probe::Udp(check) => (udp::run(check, socket).await, Vec::new()),
            Probe::Ping { connection, sequence } => {
                (ping::run(connection, *sequence, socket).await, Vec::new())
            }
            Probe::Http { connection, tls, protocol, url } => {
                let exchange = http::Exchange {
                    connection,
                    tls: tls.then_some(&self.tls),
                    protocol: *protocol,
                    url,
                    digesting: if url.digest.is_some() { Digesting::Yes } else { Digesting::No },
                };
                match exchange.run(socket).await {
                    Ok(answer) => (http::judge(url, &answer.response), answer.remarks()),
                    Err(outcome) => (outcome, Vec::new()),
                }
            }
        }
    }
}

#[cfg(test)]
mod server; // servers of all tempers, for the tests
