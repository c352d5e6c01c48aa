//! The checkers process and its prober: what is asked, and what is heard.

use std::os::fd::OwnedFd;

use tracing::info;

use super::Checkers;
use crate::check::probe::connect;
use crate::check::{ProbeReport, ProbeRequest};
use crate::config::model::TlsProfile;
use crate::daemon::director::Orders;
use crate::daemon::ipc::{Channel, FromProber, ToProber};
use crate::kernel::timer::now;

/// Requests in one message to the prober.
const PROBES_AT_ONCE: usize = 1000;

/// How many of the checks that a prober died with are named in the log: one of them may be what it died of.
const NAMED: usize = 8;

impl Checkers {
    pub(super) fn meet_prober(&mut self, descriptor: Option<OwnedFd>, orders: &mut Orders) {
        let Some(descriptor) = descriptor else { return };
        match Channel::new(descriptor) {
            Ok(channel) => {
                self.prober = Some(channel);
                self.presented.clear();
                let profiles = self.running.as_ref().map(|running| running.common.tls_profiles.clone());
                self.present(&profiles.unwrap_or_default());
                self.director.prober_lost(now(), orders);
            }
            Err(error) => info!("Health checkers: the channel to the prober: {error}"),
        }
    }

    /// Tells the prober what TLS checks present and ask for, when that is news.
    pub(super) fn present(&mut self, profiles: &[TlsProfile]) {
        // What a new prober knows by itself need not be said.
        let is_plain = matches!(profiles, [] | [_]) && profiles.iter().all(|it| *it == TlsProfile::default());
        if self.prober.is_none() || profiles == self.presented || is_plain && self.presented.is_empty() {
            return;
        }
        self.presented = profiles.to_vec();
        self.ask(&ToProber::Tls(profiles.to_vec()));
    }

    pub(super) fn probed(&mut self, answer: Option<FromProber>, orders: &mut Orders) {
        match answer {
            Some(FromProber::Done(reports)) => {
                self.director.probed(reports, now(), &mut self.table, orders);
            }
            None => self.lose_prober(),
        }
    }

    /// It died, or it is left because it could not be told something: it ends with its channel. The parent brings another one,
    /// which is asked again for all that is under way.
    fn lose_prober(&mut self) {
        self.prober = None;
        let count = self.director.under_way().count();
        let some: Vec<String> = self.director.under_way().take(NAMED).map(|name| name.to_string()).collect();
        let more = if count > NAMED { " …" } else { "" };
        info!("The prober is gone with {count} checks under way: {}{more}", some.join(" "));
    }

    pub(super) fn start_probes(&mut self, requests: Vec<ProbeRequest>) {
        let Some(prober) = &mut self.prober else { return };
        let (special, plain): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|request| connect::needs_rights(&request.probe));
        let mut sent = Ok(());
        let mut plain = plain.into_iter();
        loop {
            let some: Vec<_> = plain.by_ref().take(PROBES_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            sent = sent.and(prober.send(&ToProber::Probe(some)));
        }
        let mut reports = Vec::new();
        for request in special {
            match connect::open_for(&request.probe) {
                Ok(socket) => {
                    sent = sent.and(prober.send_with(&ToProber::ProbeOn(Box::new(request)), socket));
                }
                Err(outcome) => {
                    let (id, known, remarks) = (request.id, now(), Vec::new());
                    reports.push(ProbeReport { id, outcome, known, remarks });
                }
            }
        }
        if let Err(error) = sent {
            info!("Health checkers: asking the prober: {error}");
            self.lose_prober();
        }
        if !reports.is_empty() {
            // What could not be tried waits for its next turn: this asks for no new probe.
            let mut orders = Orders::default();
            self.director.probed(reports, now(), &mut self.table, &mut orders);
            self.carry_out(orders);
        }
    }

    pub(super) fn ask(&mut self, message: &ToProber) {
        if let Some(prober) = &mut self.prober
            && let Err(error) = prober.send(message)
        {
            info!("Health checkers: asking the prober: {error}");
            self.lose_prober();
        }
    }
}

/// The next answer of the prober; `None` when it is gone or talks nonsense. Never returns while there is none. Safe to cancel.
pub(super) async fn answer(prober: &mut Option<Channel<ToProber, FromProber>>) -> Option<FromProber> {
    let Some(channel) = prober else { return std::future::pending().await };
    match channel.next().await? {
        Ok(received) => Some(received.message),
        Err(error) => {
            // Whose outcomes these were nobody knows: they would be waited for without end.
            info!("Health checkers: the prober: {error}");
            None
        }
    }
}
