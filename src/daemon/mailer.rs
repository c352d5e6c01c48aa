//! Mails on their way to the relay: one after the other, in order, apart from everything else the reporter does.
//!
//! Stock opens a connection per mail, all at once, tries once, and ends before the last ones are through. Here a mail that the
//! relay puts off is tried again, the queue is bounded, and the end waits a moment for the last words. With
//! `mail_digest` what comes soon after a mail waits and goes as one. spec/daemon-behaviour.md §9.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info};

use crate::config::model::{Global, MailRelay};
use crate::kernel::calendar::WallTime;
use crate::notify::mail::{self, Letter, Mail, Mailed};
use crate::notify::smtp::{Dialogue, Failure, Output};
use crate::report::event::Alert;

/// Mails that may wait; a relay that is slower than what happens loses the newest.
const QUEUE: usize = 256;
/// Pauses before a mail is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// A mail in whole, however slowly the relay speaks, in multiples of `smtp_connect_timeout`.
const PATIENCE: u32 = 10;
/// At the end of the daemon the last mails have this long.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// The way out for mails.
pub struct Mailer {
    global: Arc<Global>,
    mailed: Mailed,
    queue: Option<Sender<Job>>,
    task: JoinHandle<()>,
    /// Mails that found the queue full since one did not.
    lost: u64,
}

/// A mail and when it was written.
struct Job {
    mail: Mail,
    date: String,
    global: Arc<Global>,
}

impl Mailer {
    /// Begins; needs a tokio runtime.
    pub fn new(global: &Global) -> Self {
        let (queue, jobs) = channel(QUEUE);
        let task = tokio::spawn(deliver_all(jobs));
        let global = Arc::new(global.clone());
        Self { global, mailed: Mailed::default(), queue: Some(queue), task, lost: 0 }
    }

    /// Goes on with another configuration.
    pub fn configure(&mut self, global: &Global) {
        self.global = Arc::new(global.clone());
    }

    /// Writes the mail for an alert, if there is to be one.
    pub fn tell(&mut self, alert: &Alert) {
        if !self.global.sends_mail() {
            return;
        }
        let Some(mail) = self.mailed.mail(alert, &self.global) else { return };
        let job = Job { mail, date: WallTime::now().rfc5322(), global: Arc::clone(&self.global) };
        match self.queue.as_ref().map(|queue| queue.try_send(job)) {
            Some(Ok(())) if self.lost > 0 => {
                info!("{} mails were not sent, too many waited for the relay", self.lost);
                self.lost = 0;
            }
            Some(Ok(())) => {}
            Some(Err(_)) | None => {
                if self.lost == 0 {
                    info!("{QUEUE} mails wait for the relay: further ones are not sent");
                }
                self.lost += 1;
            }
        }
    }

    /// The daemon ends: what waits goes out, if that is a matter of a moment.
    pub async fn finish(mut self) {
        self.queue = None;
        if timeout(LAST_WORDS, &mut self.task).await.is_err() {
            info!("mails were not delivered before the end");
            self.task.abort();
        }
    }
}

async fn deliver_all(mut jobs: Receiver<Job>) {
    let mut quiet_until = Instant::now();
    let mut complained = false;
    while let Some(mut job) = jobs.recv().await {
        if let Some(window) = job.global.mail_digest {
            if let Some(gathered) = gather(&mut jobs, job, quiet_until).await {
                job = gathered;
            } else {
                return;
            }
            quiet_until = Instant::now() + window;
        }
        let Some(letter) = mail::letter(&job.mail, &job.date, &job.global) else { continue };
        match deliver(&letter, &job.global, &jobs).await {
            Ok(()) => complained = false,
            Err(error) => {
                let relay = job.global.smtp_server.as_ref().map_or_else(String::new, ToString::to_string);
                // Once for a relay that is down, not for every mail.
                if std::mem::replace(&mut complained, true) {
                    debug!("SMTP server {relay}: {error}: \"{}\" is lost", job.mail.subject);
                } else {
                    info!("SMTP server {relay}: {error}: \"{}\" is lost", job.mail.subject);
                }
            }
        }
    }
}

/// The mail, with all that come until `until`, as one.
async fn gather(jobs: &mut Receiver<Job>, first: Job, until: Instant) -> Option<Job> {
    // A mail that follows none goes at once, and alone.
    if until <= Instant::now() {
        return Some(first);
    }
    let mut gathered = vec![first];
    while let Ok(Some(job)) = timeout_at(until, jobs.recv()).await {
        gathered.push(job);
    }
    if gathered.len() == 1 {
        return gathered.pop();
    }
    let global = Arc::clone(&gathered.last()?.global);
    let mails: Vec<(String, Mail)> = gathered.into_iter().map(|job| (job.date, job.mail)).collect();
    Some(Job { mail: mail::digest(&mails), date: WallTime::now().rfc5322(), global })
}

/// Why a mail did not arrive.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("its name does not resolve: {0}")]
    Name(io::Error),
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the connection broke while it answered {0}: {1}")]
    Broken(&'static str, io::Error),
    #[error("no answer in time to {0}")]
    Late(&'static str),
    #[error("{0}")]
    Failed(#[from] Failure),
}

impl Undelivered {
    fn is_transient(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.is_transient(),
            _ => true,
        }
    }
}

/// Tries, and tries again if that can help and the daemon does not end.
async fn deliver(letter: &Letter, global: &Global, jobs: &Receiver<Job>) -> Result<(), Undelivered> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let Err(error) = once(letter, global).await else { return Ok(()) };
        let Some(pause) = pauses.next().filter(|_| error.is_transient() && !jobs.is_closed()) else {
            return Err(error);
        };
        debug!("a mail is put off: {error}");
        sleep(pause).await;
    }
}

async fn once(letter: &Letter, global: &Global) -> Result<(), Undelivered> {
    let limit = global.smtp_connect_timeout;
    let mut stream = connect(global, limit).await?;
    let mut dialogue = Dialogue::new(letter);
    let end = Instant::now() + limit * PATIENCE;
    let (mut buffer, mut out) = ([0; 1024], Vec::new());
    loop {
        let step = dialogue.waits_for();
        let until = end.min(Instant::now() + limit);
        let count = match timeout_at(until, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Err(Undelivered::Broken(step, io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return Err(Undelivered::Broken(step, error)),
            Err(_) => return Err(Undelivered::Late(step)),
        };
        dialogue.hear(&buffer[..count], &mut out);
        let mut outcome = None;
        for output in out.drain(..) {
            match output {
                Output::Send(bytes) => {
                    let until = end.min(Instant::now() + limit);
                    match timeout_at(until, stream.write_all(&bytes)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(Undelivered::Broken(step, error)),
                        Err(_) => return Err(Undelivered::Late(step)),
                    }
                }
                Output::Delivered => outcome = Some(Ok(())),
                Output::Failed(failure) => outcome = Some(Err(failure.into())),
            }
        }
        if let Some(outcome) = outcome {
            // Polite, but its answer to QUIT changes nothing.
            let _ = stream.shutdown().await;
            let farewell = async { while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
            let _ = timeout(Duration::from_millis(200), farewell).await;
            return outcome;
        }
    }
}

async fn connect(global: &Global, limit: Duration) -> Result<TcpStream, Undelivered> {
    let addresses: Vec<SocketAddr> = match &global.smtp_server {
        None => Vec::new(),
        Some(MailRelay::Address(address)) => vec![*address],
        Some(MailRelay::Name { host, port }) => {
            let late = || Undelivered::Name(io::ErrorKind::TimedOut.into());
            let found = timeout(limit, lookup_host((host.as_str(), *port))).await.map_err(|_| late())?;
            found.map_err(Undelivered::Name)?.take(4).collect()
        }
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A command is one packet, and its answer is waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Undelivered::Connect(last))
}
