//! Standard error for a process that must not wait: what a full pipe or a stopped terminal does not take at once is lost,
//! and counted.
//!
//! A pipe, a terminal or a socket is shared with other processes, which may wait, so the mode of what was inherited is
//! left alone. A file always takes what it gets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

/// The way to standard error that never waits.
#[derive(Debug)]
pub struct Console {
    way: Way,
    lost: u64,
    /// The last line was cut.
    is_torn: bool,
}

#[derive(Debug)]
enum Way {
    /// A description of our own, non-blocking.
    Own(File),
    /// The inherited socket.
    Socket(OwnedFd),
    /// The inherited file.
    File(File),
}

impl Console {
    /// Over standard error. `None` if it cannot be had without waiting.
    pub fn open() -> Option<Self> {
        Self::over(io::stderr().as_fd()).ok()
    }

    fn over(inherited: BorrowedFd<'_>) -> io::Result<Self> {
        let mode = SFlag::from_bits_truncate(fstat(inherited)?.st_mode) & SFlag::S_IFMT;
        let way = if mode == SFlag::S_IFSOCK {
            Way::Socket(inherited.try_clone_to_owned()?)
        } else if mode == SFlag::S_IFREG {
            Way::File(File::from(inherited.try_clone_to_owned()?))
        } else {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let path = format!("/proc/self/fd/{}", inherited.as_raw_fd());
            Way::Own(OpenOptions::new().write(true).custom_flags(flags).open(path)?)
        };
        Ok(Self { way, lost: 0, is_torn: false })
    }

    /// Writes one line behind its time, or counts it as lost.
    pub fn write(&mut self, stamp: &str, text: &str) {
        if self.lost > 0 {
            let told = format!("{stamp}: {} lines were lost: standard error did not take them\n", self.lost);
            if !self.send(&told) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.send(&format!("{stamp}: {text}\n")) {
            self.lost += 1;
        }
    }

    fn send(&mut self, line: &str) -> bool {
        // What was cut has no end yet.
        let line = if self.is_torn { format!("\n{line}") } else { line.to_owned() };
        let sent = match &mut self.way {
            Way::Own(file) | Way::File(file) => file.write(line.as_bytes()),
            Way::Socket(socket) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(socket.as_raw_fd(), line.as_bytes(), flags).map_err(io::Error::from)
            }
        };
        match sent {
            Ok(length) => {
                self.is_torn = length < line.len();
                true
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;

    fn flood(console: &mut Console) {
        let begun = Instant::now();
        for number in 0..100_000 {
            console.write("now", &format!("line {number}"));
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it waited");
    }

    #[test]
    fn a_full_pipe_delays_nothing_and_is_told_how_much_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::over(writer.as_fd()).unwrap();
        flood(&mut console);
        let lost = console.lost;
        assert!(lost > 0);
        let mut taken = vec![0; 60_000];
        reader.read_exact(&mut taken).unwrap();
        console.write("later", "again");
        drop((console, writer));
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let told = format!("later: {lost} lines were lost: standard error did not take them\nlater: again\n");
        assert!(rest.ends_with(&told), "{:?}", rest.get(rest.len().saturating_sub(200)..));
        let first = String::from_utf8(taken).unwrap();
        assert!(first.starts_with("now: line 0\nnow: line 1\n"));
    }

    #[test]
    fn a_socket_that_nobody_reads_delays_nothing() {
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut console = Console::over(near.as_fd()).unwrap();
        flood(&mut console);
        assert!(console.lost > 0);
    }

    #[test]
    fn a_file_gets_every_line_behind_those_of_others() {
        let mut file = tempfile::tempfile().unwrap();
        let mut console = Console::over(file.as_fd()).unwrap();
        file.write_all(b"another process\n").unwrap();
        console.write("now", "we");
        file.write_all(b"another again\n").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut all = String::new();
        file.read_to_string(&mut all).unwrap();
        assert_eq!(all, "another process\nnow: we\nanother again\n");
    }
}
