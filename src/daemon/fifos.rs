//! The notification FIFOs and the programs that read them. The parent has them all: it hears of every event in order.
//!
//! A FIFO lives as long as the configuration names it, over reloads too, so that no reader loses anything by one; its
//! reading program is started anew with every configuration, as stock's. Nothing here waits for a reader.
//! spec/daemon-behaviour.md §8.2.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::ipc::ROLE_VARIABLE;
use super::options::Subsystems;
use super::scripts::terminate;
use crate::config::model::{Command, Config, Identity, Pipe};
use crate::kernel::error::reason;
use crate::kernel::fifo::Fifo;
use crate::kernel::spawn;
use crate::notify::event::{self, Origin};
use crate::notify::fifo::{Lines, Remark};
use crate::report::event::ReporterEvent;

/// Between two looks whether a reader has read everything, at the end.
const PAUSE: Duration = Duration::from_millis(5);

/// All FIFOs.
#[derive(Default)]
pub struct Fifos {
    open: Vec<Open>,
}

/// One that is open.
struct Open {
    pipe: Pipe,
    fifo: Fifo,
    lines: Lines,
    /// What the running configuration wants of it.
    now: Option<Use>,
    /// What the one under way wants of it.
    coming: Option<Use>,
    reader: Option<Reader>,
}

/// What a configuration wants of a FIFO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Use {
    owner: Identity,
    vrrp: bool,
    checkers: bool,
    script: Option<Command>,
    /// Does the file stay when the daemon ends?
    stays: bool,
}

/// The program that reads one.
struct Reader {
    /// Using or dropping it ends the program.
    end: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Fifos {
    /// Opens what a configuration names: its first events come before it is agreed upon.
    pub fn prepare(&mut self, config: &Config, subsystems: Subsystems) {
        for (pipe, wanted) in wanted(config, subsystems) {
            // One that is ours only gets another owner: made anew, it would lose its readers.
            let is_it = |open: &Open| open.pipe == pipe || open.pipe.path == pipe.path && open.fifo.is_ours();
            let known = self.open.iter_mut().find(|open| is_it(open) && open.fifo.is_in_place());
            if let Some(open) = known {
                open.coming = Some(wanted);
                continue;
            }
            match Fifo::open(&pipe) {
                Ok(fifo) => {
                    let (lines, coming) = (Lines::default(), Some(wanted));
                    self.open.push(Open { pipe, fifo, lines, now: None, coming, reader: None });
                }
                Err(error) => info!("{error}: it is not used"),
            }
        }
    }

    /// The configuration prepared last is running: FIFOs it does not name go, and its programs start.
    pub fn commit(&mut self) {
        for mut open in std::mem::take(&mut self.open) {
            open.now = open.coming.take();
            let before = open.reader.take();
            if let Some(wanted) = open.now.as_ref().filter(|wanted| wanted.owner != open.pipe.owner) {
                open.pipe.owner = wanted.owner;
                if let Err(error) = open.fifo.give(wanted.owner) {
                    info!("{error}");
                }
            }
            match &open.now {
                Some(Use { script: Some(script), .. }) => {
                    open.reader = Some(Reader::start(script, &open.pipe.path, before));
                    self.open.push(open);
                }
                Some(_) => self.open.push(open),
                None => open.fifo.remove(),
            }
        }
    }

    /// The configuration prepared last will not run.
    pub fn abort(&mut self) {
        for mut open in std::mem::take(&mut self.open) {
            open.coming = None;
            if open.now.is_some() {
                self.open.push(open);
            } else {
                open.fifo.remove();
            }
        }
    }

    /// Writes the event's line to all whom it concerns.
    pub fn tell(&mut self, event: &ReporterEvent) {
        let line = event::line(event);
        if line.is_empty() {
            return;
        }
        let origin = event::origin(event);
        for open in self.open.iter_mut().filter(|open| open.hears(origin)) {
            let Open { fifo, lines, .. } = open;
            let remark = lines.push(&line, |bytes| fifo.write(bytes));
            open.remark(remark);
        }
    }

    /// Writes what waits as soon as readers make room; never ends. Safe to cancel.
    pub async fn serve(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for open in &mut self.open {
            while open.lines.is_waiting() {
                let Open { fifo, lines, .. } = open;
                let flushed = fifo.poll_write(context, |fifo| {
                    let mut full = false;
                    let remark = lines.flush(|bytes| {
                        let result = fifo.write(bytes);
                        full = matches!(&result, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
                        result
                    });
                    if full { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(remark) }
                });
                match flushed {
                    Poll::Ready(Ok(remark)) => open.remark(remark),
                    Poll::Ready(Err(error)) => {
                        debug!("waiting for the reader of {}: {error}", open.pipe.path);
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }

    /// The daemon ends: reading programs may read what is left, at most `limit`, and are ended.
    pub async fn finish(&mut self, limit: Duration) {
        let read = async {
            while self.open.iter().any(Open::is_being_read) {
                let _ = timeout(PAUSE, self.serve()).await;
            }
            // What was read last is being worked on.
            if self.open.iter().any(|open| open.reader.is_some()) {
                sleep(PAUSE).await;
            }
        };
        let _ = timeout(limit, read).await;
        let readers: Vec<Reader> = self.open.iter_mut().filter_map(|open| open.reader.take()).collect();
        let mut endings = Vec::new();
        for Reader { end, ended } in readers {
            let _ = end.send(());
            endings.push(ended);
        }
        for ended in endings {
            let _ = ended.await;
        }
        for Open { fifo, now, .. } in self.open.drain(..) {
            if now.is_none_or(|now| !now.stays) {
                fifo.remove();
            }
        }
    }
}

impl Open {
    fn hears(&self, origin: Origin) -> bool {
        let wants = |wanted: &Use| match origin {
            Origin::Vrrp => wanted.vrrp,
            Origin::Checkers => wanted.checkers,
            Origin::None => false,
        };
        [&self.now, &self.coming].into_iter().flatten().any(wants)
    }

    fn is_being_read(&self) -> bool {
        let runs = self.reader.as_ref().is_some_and(|reader| !reader.ended.is_finished());
        runs && (self.lines.is_waiting() || self.fifo.unread() > 0)
    }

    fn remark(&self, remark: Option<Remark>) {
        let path = &self.pipe.path;
        match remark {
            None => {}
            Some(Remark::Dropping) => {
                info!("notify FIFO {path}: it is full and not read, dropping old lines");
            }
            Some(Remark::Recovered { lost }) => {
                info!("notify FIFO {path}: it is being read again, {lost} lines were dropped");
            }
            Some(Remark::Broken { errno }) => {
                let reason = reason(nix::errno::Errno::from_raw(errno));
                info!("notify FIFO {path}: a line was lost: {reason}");
            }
        }
    }
}

impl Reader {
    /// Starts the program, with the path of the FIFO behind its words, as soon as its predecessor has ended.
    fn start(script: &Command, path: &str, before: Option<Self>) -> Self {
        let mut command = script.clone();
        command.argv.push(path.to_owned());
        let (end, mut asked) = oneshot::channel();
        let ended = tokio::spawn(async move {
            if let Some(Reader { end, ended }) = before {
                let _ = end.send(());
                let _ = ended.await;
            }
            let mut child = match spawn::script(&command, ROLE_VARIABLE) {
                Ok(child) => child,
                Err(error) => {
                    info!("Couldn't start notify FIFO script {}: {error}", command.path);
                    return;
                }
            };
            let leader = child.id().unwrap_or(0);
            tokio::select! {
                status = child.wait() => match status {
                    Ok(status) => info!("notify FIFO script {} ended: {status}", command.path),
                    Err(error) => info!("waiting for notify FIFO script {}: {error}", command.path),
                },
                _ = &mut asked => terminate(leader, &mut child).await,
            }
        });
        Self { end, ended }
    }
}

/// The FIFOs of a configuration; two with one path are one.
fn wanted(config: &Config, subsystems: Subsystems) -> Vec<(Pipe, Use)> {
    let vrrp = !subsystems.no_vrrp && (subsystems.all || config.vrrp_part().is_some());
    let checkers = !subsystems.no_checkers && (subsystems.all || !config.virtual_servers.is_empty());
    let fifos = &config.global.fifos;
    // Stock: a FIFO for all events that stands alone is left behind.
    let stays = fifos.vrrp.pipe.is_none() && fifos.lvs.pipe.is_none();
    let uses = [
        (&fifos.all, Use { vrrp, checkers, stays, ..Use::default() }),
        (&fifos.vrrp, Use { vrrp, ..Use::default() }),
        (&fifos.lvs, Use { checkers, ..Use::default() }),
    ];
    let mut wanted: Vec<(Pipe, Use)> = Vec::new();
    for (fifo, usage) in uses {
        let Some(pipe) = &fifo.pipe else { continue };
        if !usage.vrrp && !usage.checkers {
            continue;
        }
        let usage = Use { script: fifo.script.clone(), owner: pipe.owner, ..usage };
        match wanted.iter_mut().find(|(known, _)| known.path == pipe.path) {
            Some((_, known)) => {
                known.vrrp |= usage.vrrp;
                known.checkers |= usage.checkers;
                known.script = known.script.take().or(usage.script);
            }
            None => wanted.push((pipe.clone(), usage)),
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::vrrp::tests::samples::instance;

    #[tokio::test]
    async fn a_fifo_that_gets_another_owner_at_a_reload_stays_where_it_is() {
        if !nix::unistd::geteuid().is_root() {
            return eprintln!("SKIPPED: only root gives files away");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let config = |uid| {
            let owner = Identity { uid, gid: uid, ..Identity::default() };
            let mut config = Config { instances: vec![instance("V", 51, 100)], ..Config::default() };
            config.global.fifos.all.pipe = Some(Pipe { path: path.to_str().unwrap().to_owned(), owner });
            config
        };
        let owner = || std::fs::metadata(&path).map(|found| (found.ino(), found.uid(), found.gid())).unwrap();
        let mut fifos = Fifos::default();
        fifos.prepare(&config(0), Subsystems::default());
        fifos.commit();
        let (inode, ..) = owner();
        fifos.prepare(&config(65_534), Subsystems::default());
        fifos.abort();
        assert_eq!(owner(), (inode, 0, 0), "refused: nothing has changed");
        for uid in [65_534, 0] {
            fifos.prepare(&config(uid), Subsystems::default());
            fifos.commit();
            assert_eq!(owner(), (inode, uid, uid));
        }
        fifos.prepare(
            &Config { instances: vec![instance("V", 51, 100)], ..Config::default() },
            Subsystems::default(),
        );
        fifos.commit();
        assert!(!path.exists());
    }
}
