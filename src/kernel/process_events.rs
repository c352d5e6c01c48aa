//! Births, executions and deaths of processes, told by the kernel's process connector (`linux/cn_proc.h`), and what
//! `/proc` says of them.
//!
//! The connector speaks only to the first network namespace; elsewhere the kernel refuses it and the caller must look at
//! `/proc` again and again.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use super::buffers::set_receive_buffer;
use super::error::{Doing, Error};
use super::readiness::Watched;
use crate::config::model::ReceiveBuffer;

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const PROC: u32 = 1;
const LISTEN: u32 = 1;
/// `struct nlmsghdr`, `struct cn_msg`, `struct proc_event` up to its union.
const NLMSG: usize = 16;
const CN_MSG: usize = 20;
const EVENT: usize = 16;
/// Datagrams read in one wake-up.
const DATAGRAMS: usize = 256;
/// What is read of a command line at most.
const COMMAND_LINE: usize = 4096;

/// What happened to a process. Threads are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEvent {
    /// A process has a child, which is as its parent until it executes something.
    Forked {
        /// The parent.
        parent: u32,
        /// The child.
        child: u32,
    },
    /// A process executes another program, or has another name.
    Changed(u32),
    /// A process ended.
    Ended(u32),
    /// The kernel refuses to tell: its errno.
    Refused(i32),
}

/// The connector.
pub struct ProcessEvents(Watched<Socket>);

impl ProcessEvents {
    /// Starts listening. Needs a tokio runtime and `CAP_NET_ADMIN`. A refusal may also come as an event.
    pub fn listen(buffer: ReceiveBuffer) -> Result<Self, Error> {
        let doing = || "asking for news of processes";
        let kind = Type::DGRAM.nonblocking().cloexec();
        let descriptor = Socket::new_raw(
            Domain::from(libc::AF_NETLINK),
            kind,
            Some(Protocol::from(libc::NETLINK_CONNECTOR)),
        )
        .doing(doing)?;
        set_receive_buffer(&descriptor, buffer, "the process connector")?;
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, PROC)).doing(doing)?;
        let mut message = Vec::with_capacity(NLMSG + CN_MSG + 4);
        let length = u32::try_from(NLMSG + CN_MSG + 4).unwrap_or(0);
        message.extend(length.to_ne_bytes());
        // NLMSG_DONE, no flags, sequence, our port.
        message.extend(3_u16.to_ne_bytes());
        message.extend(0_u16.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(PROC.to_ne_bytes());
        message.extend(PROC.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(4_u16.to_ne_bytes());
        message.extend(0_u16.to_ne_bytes());
        message.extend(LISTEN.to_ne_bytes());
        send(descriptor.as_raw_fd(), &message, MsgFlags::empty()).doing(doing)?;
        Watched::readable_only(descriptor).map(Self)
    }

    /// Waits for events. `None` when some were lost: `/proc` must be read. Safe to cancel.
    pub async fn next(&self) -> io::Result<Option<Vec<ProcessEvent>>> {
        self.0
            .read(|descriptor| {
                let mut events = Vec::new();
                let mut buffer = [0; 4096];
                for round in 0..DATAGRAMS {
                    match recv(descriptor.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                        Ok(length) => parse(&buffer[..length], &mut events),
                        Err(nix::errno::Errno::ENOBUFS) => return Ok(None),
                        Err(nix::errno::Errno::EAGAIN) if round > 0 => break,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(Some(events))
            })
            .await
    }
}

/// Reads the messages of one datagram; what is malformed or of no interest is left out.
fn parse(mut bytes: &[u8], events: &mut Vec<ProcessEvent>) {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    while let Some(length) = word(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= NLMSG) else { return };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let Some(event) = message.get(NLMSG + CN_MSG..) else { continue };
        let field = |index: usize| word(event, EVENT + 4 * index);
        let parsed = match word(event, 0) {
            // PROC_EVENT_NONE: the answer to our wish.
            Some(0) => field(0)
                .filter(|errno| *errno != 0)
                .and_then(|errno| Some(ProcessEvent::Refused(i32::try_from(errno).ok()?))),
            // FORK: parent_pid, parent_tgid, child_pid, child_tgid.
            Some(1) => match (field(1), field(2), field(3)) {
                (Some(parent), Some(thread), Some(child)) if thread == child => {
                    Some(ProcessEvent::Forked { parent, child })
                }
                _ => None,
            },
            // EXEC and COMM: process_pid, process_tgid.
            Some(2 | 0x200) => match (field(0), field(1)) {
                (Some(thread), Some(process)) if thread == process => Some(ProcessEvent::Changed(process)),
                _ => None,
            },
            // EXIT: process_pid, process_tgid.
            Some(0x8000_0000) => match (field(0), field(1)) {
                (Some(thread), Some(process)) if thread == process => Some(ProcessEvent::Ended(process)),
                _ => None,
            },
            _ => None,
        };
        events.extend(parsed);
    }
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// `comm`: at most 15 bytes.
    pub name: Vec<u8>,
    /// The words of its command line, 4096 bytes at most; empty for a kernel thread or a zombie.
    pub words: Vec<Vec<u8>>,
}

/// One process; `None` if it is gone.
pub fn process(pid: u32) -> Option<Process> {
    use std::io::Read as _;
    let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    let mut line = Vec::new();
    let limit = u64::try_from(COMMAND_LINE).unwrap_or(u64::MAX);
    fs::File::open(format!("/proc/{pid}/cmdline")).ok()?.take(limit).read_to_end(&mut line).ok()?;
    if line.last() == Some(&0) {
        line.pop();
    }
    let words = if line.is_empty() {
        Vec::new()
    } else {
        line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    };
    Some(Process { name, words })
}

/// The processes that run now.
pub fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(what: u32, fields: &[u32]) -> Vec<u8> {
        let length = u32::try_from(NLMSG + CN_MSG + EVENT + 4 * fields.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.resize(NLMSG + CN_MSG, 0);
        bytes.extend(what.to_ne_bytes());
        bytes.resize(NLMSG + CN_MSG + EVENT, 0);
        bytes.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
        bytes
    }

    fn parsed(what: u32, fields: &[u32]) -> Vec<ProcessEvent> {
        let mut events = Vec::new();
        parse(&datagram(what, fields), &mut events);
        events
    }

    #[test]
    fn processes_are_told_and_threads_are_not() {
        assert_eq!(parsed(1, &[10, 10, 11, 11]), [ProcessEvent::Forked { parent: 10, child: 11 }]);
        assert_eq!(parsed(1, &[10, 10, 12, 10]), []);
        assert_eq!(parsed(2, &[11, 11]), [ProcessEvent::Changed(11)]);
        assert_eq!(parsed(0x200, &[11, 11]), [ProcessEvent::Changed(11)]);
        assert_eq!(parsed(0x8000_0000, &[11, 11, 0, 17]), [ProcessEvent::Ended(11)]);
        assert_eq!(parsed(0x8000_0000, &[12, 10, 0, 17]), []);
        assert_eq!(parsed(0, &[0]), []);
        assert_eq!(parsed(0, &[111]), [ProcessEvent::Refused(111)]);
        assert_eq!(parsed(4, &[11, 11]), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_loop(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            length in 0_u32..80,
        ) {
            let mut events = Vec::new();
            parse(&bytes, &mut events);
            let mut framed = length.to_ne_bytes().to_vec();
            framed.extend(bytes);
            parse(&framed, &mut events);
        }
    }

    #[test]
    fn this_process_is_among_those_that_run() {
        let pid = std::process::id();
        assert!(processes().contains(&pid));
        let found = process(pid).unwrap();
        assert!(!found.name.is_empty() && !found.words.is_empty(), "{found:?}");
        assert_eq!(process(u32::MAX), None);
    }

    /// Skipped where the kernel refuses the connector.
    #[tokio::test]
    async fn a_child_is_told_from_birth_to_death() {
        let Ok(connector) = ProcessEvents::listen(ReceiveBuffer::default()) else {
            eprintln!("skipped: the kernel has no process connector here");
            return;
        };
        let mut child = tokio::process::Command::new("sleep").arg("0.01").spawn().unwrap();
        let pid = child.id().unwrap();
        child.wait().await.unwrap();
        let mut seen = Vec::new();
        let wait = async {
            while !seen.contains(&ProcessEvent::Ended(pid)) {
                match connector.next().await.unwrap() {
                    Some(events) => seen.extend(events),
                    None => return,
                }
                if seen.iter().any(|event| matches!(event, ProcessEvent::Refused(_))) {
                    return;
                }
            }
            assert!(seen.contains(&ProcessEvent::Changed(pid)), "{seen:?}");
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), wait).await.unwrap();
    }
}
