//! A reader of a notification FIFO: opens it whenever it appears, keeps all bytes, goes on when it is made anew.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::wait::{Outcome, until};

/// Reads until it is dropped.
pub(crate) struct PipeReader {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Arc<AtomicBool>,
}

impl PipeReader {
    /// Begins to wait for the FIFO.
    pub(crate) fn on(path: &Path) -> Self {
        let (bytes, end) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let reader = Self { bytes: Arc::clone(&bytes), end: Arc::clone(&end) };
        let path = path.to_owned();
        std::thread::spawn(move || {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(libc::O_NONBLOCK);
            while !end.load(Ordering::Relaxed) {
                if let Ok(mut file) = options.open(&path) {
                    let mut buffer = [0; 4096];
                    while !end.load(Ordering::Relaxed) {
                        match file.read(&mut buffer) {
                            // Its writer is gone, or not there yet.
                            Ok(0) => break,
                            Ok(count) => bytes
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .extend_from_slice(&buffer[..count]),
                            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                                std::thread::sleep(Duration::from_millis(2));
                            }
                            Err(_) => break,
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        reader
    }

    /// Everything read so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines, without the NUL that stock writes behind those of checkers.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes()).replace('\0', "");
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the last lines are these.
    pub(crate) fn wait_end(&self, limit: Duration, last: &[&str]) -> Outcome {
        until(limit, format!("the last lines to be {last:?}"), || {
            let lines = self.lines();
            let from = lines.len().checked_sub(last.len())?;
            (lines[from..] == *last).then_some(())
        })
        .map_err(|e| format!("{e}\nfound {:#?}", self.lines()))
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}
