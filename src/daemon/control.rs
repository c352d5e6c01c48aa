//! The control socket: what root may ask of a running daemon, a closed list. The parent listens, because the orders
//! change what runs; `tools` speak the other side.
//!
//! One connection is one command: a line of JSON, answered by another. Nobody waits for a slow client: each connection has
//! its own task, and there are few at a time.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info};

use super::director::{Answer, Target, Wish};

/// Only root enters.
const DIRECTORY: &str = "/run/keepalived-rs";
/// Connections at a time; others wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// Bytes of a command.
const LONGEST: u64 = 4096;
/// How long a client may take, and how long an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Drain or undrain real servers.
    Drain {
        /// Which.
        target: Target,
        /// What.
        wish: Wish,
    },
    /// Say which are drained.
    Drained,
}

impl Command {
    /// Reads a line; the error is what to tell who sent it.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("not understood: {error}"))
    }

    /// The line that says it, with its end.
    pub fn line(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// The socket of the daemon with this suffix of its name: network namespace and instance.
pub fn path(suffix: Option<&str>) -> PathBuf {
    let name = suffix.map_or_else(|| "control".to_owned(), |suffix| format!("control_{suffix}"));
    Path::new(DIRECTORY).join(name)
}

struct Incoming {
    command: Command,
    answer: oneshot::Sender<Answer>,
}

/// The listening socket, and who waits for an answer.
pub struct Control {
    path: PathBuf,
    incoming: mpsc::Receiver<Incoming>,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    last_id: u64,
    listening: JoinHandle<()>,
}

impl Control {
    /// Listens; `None`, and a line in the log, where that is impossible: a daemon does without. Needs a tokio runtime.
    pub fn open(path: &Path) -> Option<Self> {
        match listen(path) {
            Ok(listener) => {
                let (sender, incoming) = mpsc::channel(CONNECTIONS);
                let listening = tokio::spawn(serve(listener, sender));
                let path = path.to_owned();
                Some(Self { path, incoming, waiting: HashMap::new(), last_id: 0, listening })
            }
            Err(error) => {
                info!("No control socket at {}: {error}", path.display());
                None
            }
        }
    }

    /// Answers a command.
    pub fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who has gone needs no answer.
            let _ = waiting.send(answer);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.listening.abort();
        let _ = fs::remove_file(&self.path);
        if let Some(directory) = self.path.parent() {
            // Not empty while another instance is there.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The next command, with the number of its answer. Never returns where nobody listens. Safe to cancel.
pub async fn next(control: &mut Option<Control>) -> (u64, Command) {
    let Some(control) = control else { return std::future::pending().await };
    let Some(Incoming { command, answer }) = control.incoming.recv().await else {
        return std::future::pending().await;
    };
    control.waiting.retain(|_, waiting| !waiting.is_closed());
    control.last_id += 1;
    control.waiting.insert(control.last_id, answer);
    (control.last_id, command)
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        match fs::create_dir(directory) {
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    // What an earlier life has left refuses connections; who is alive keeps its socket.
    if std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(listener: UnixListener, sender: mpsc::Sender<Incoming>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, sender).await {
                        debug!("control socket: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!("control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, sender: mpsc::Sender<Incoming>) -> io::Result<()> {
    // The modes of directory and socket keep others out; this holds where they were changed.
    if stream.peer_cred()?.uid() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut line = Vec::new();
    let (read, mut write) = stream.split();
    timeout(PATIENCE, read_line(&mut read.take(LONGEST), &mut line)).await??;
    let answer = match Command::read(&line) {
        Err(complaint) => Err(complaint),
        Ok(command) => {
            let (answer, wait) = oneshot::channel();
            let sent = sender.send(Incoming { command, answer }).await;
            match timeout(PATIENCE, wait).await {
                Ok(Ok(answer)) if sent.is_ok() => answer,
                _ => Err("the daemon does not answer".to_owned()),
            }
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

async fn read_line(from: &mut (impl AsyncReadExt + Unpin), line: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 512];
    while !line.contains(&b'\n') {
        match from.read(&mut part).await? {
            0 => break,
            length => line.extend_from_slice(&part[..length]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;

    fn ask(path: &Path, text: &str) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        writeln!(stream, "{text}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    #[tokio::test]
    async fn a_command_is_answered_and_anything_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control");
        let mut control = Control::open(&path);
        assert!(Control::open(&path).is_none(), "one daemon has it");
        let client = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || (ask(&path, "\"Drained\""), ask(&path, "{\"Stop\":1}")))
        };
        let (id, command) = next(&mut control).await;
        assert_eq!(command, Command::Drained);
        control.as_mut().unwrap().answer(id, Ok(vec!["one".to_owned()]));
        let (first, second) = client.await.unwrap();
        assert_eq!(first, "{\"Ok\":[\"one\"]}\n");
        assert!(second.starts_with("{\"Err\":\"not understood: "), "{second}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(control);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_an_earlier_life_has_left_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && Control::open(&path).is_some());
    }
}
