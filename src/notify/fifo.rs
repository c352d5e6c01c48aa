//! Lines that wait for a slow reader of a notification FIFO, beyond what the pipe itself holds.
//!
//! Stock drops a line that does not fit into the pipe, and says nothing. Here lines wait, up to a bound; then the oldest
//! go, so that the last thing a reader hears of an instance is true, and the loss is told once. Pure: who writes is a
//! closure. spec/daemon-behaviour.md §8.2.

use std::collections::VecDeque;
use std::io;

/// Bytes that may wait: as many again as a pipe usually holds.
pub const LIMIT: usize = 64 * 1024;

/// What the log should say of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// The first line was dropped.
    Dropping,
    /// The reader caught up; this many lines were lost meanwhile.
    Recovered {
        /// How many.
        lost: u64,
    },
    /// The FIFO cannot be written to.
    Broken {
        /// errno.
        errno: i32,
    },
}

/// The lines of one FIFO.
#[derive(Debug, Default)]
pub struct Lines {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes in `waiting`.
    bytes: usize,
    /// How much of the first line is written.
    written: usize,
    lost: u64,
}

impl Lines {
    /// Writes a line behind those that wait, or lets it wait. `write` is a write that does not block.
    pub fn push(&mut self, line: &str, write: impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Remark> {
        if line.is_empty() {
            return None;
        }
        self.waiting.push_back(line.as_bytes().to_vec());
        self.bytes += line.len();
        let told = self.flush(write);
        let mut first = false;
        while self.bytes > LIMIT {
            // A line of which the reader has a part must be ended.
            let place = usize::from(self.written > 0);
            let Some(line) = self.waiting.remove(place) else { break };
            self.bytes -= line.len();
            first |= self.lost == 0;
            self.lost += 1;
        }
        told.or(first.then_some(Remark::Dropping))
    }

    /// Writes what waits, as much as there is room for.
    pub fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Remark> {
        while let Some(line) = self.waiting.front() {
            match write(&line[self.written..]) {
                Ok(0) => return None,
                Ok(count) if self.written + count < line.len() => self.written += count,
                Ok(_) => self.forget_first(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    self.forget_first();
                    return Some(Remark::Broken { errno: error.raw_os_error().unwrap_or(0) });
                }
            }
        }
        let lost = std::mem::take(&mut self.lost);
        (lost > 0).then_some(Remark::Recovered { lost })
    }

    /// Does anything wait?
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn forget_first(&mut self) {
        if let Some(line) = self.waiting.pop_front() {
            self.bytes -= line.len();
        }
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pipe with room for so many bytes.
    struct Pipe {
        room: usize,
        held: Vec<u8>,
    }

    impl Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room.saturating_sub(self.held.len()));
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.held.extend(&bytes[..count]);
            Ok(count)
        }

        fn read(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.held)).unwrap()
        }
    }

    #[test]
    fn a_line_goes_straight_through_while_there_is_room() {
        let (mut lines, mut pipe) = (Lines::default(), Pipe { room: 100, held: Vec::new() });
        assert_eq!(lines.push("one\n", |bytes| pipe.write(bytes)), None);
        assert!(!lines.is_waiting());
        assert_eq!(pipe.read(), "one\n");
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_of_what_waits_and_that_is_told_once() {
        let (mut lines, mut pipe) = (Lines::default(), Pipe { room: 10, held: Vec::new() });
        let mut remarks = Vec::new();
        let count = LIMIT / 6 + 5;
        for number in 0..count {
            remarks.extend(lines.push(&format!("{number:05}\n"), |bytes| pipe.write(bytes)));
        }
        assert_eq!(remarks, [Remark::Dropping]);
        let mut heard = String::new();
        let recovered = loop {
            heard.push_str(&pipe.read());
            if let Some(remark) = lines.flush(|bytes| pipe.write(bytes)) {
                break remark;
            }
        };
        heard.push_str(&pipe.read());
        let heard: Vec<&str> = heard.lines().collect();
        let Remark::Recovered { lost } = recovered else { panic!("{recovered:?}") };
        assert_eq!(heard.len() + usize::try_from(lost).unwrap(), count);
        assert_eq!(heard[..2], ["00000", "00001"], "what was in the pipe is not lost");
        assert_eq!(heard.last(), Some(&format!("{:05}", count - 1).as_str()));
    }

    #[test]
    fn a_broken_fifo_is_told_and_its_line_forgotten() {
        let mut lines = Lines::default();
        let broken = |_: &[u8]| Err(io::Error::from_raw_os_error(libc::EIO));
        assert_eq!(lines.push("x\n", broken), Some(Remark::Broken { errno: libc::EIO }));
        assert!(!lines.is_waiting());
    }

    proptest! {
        #[test]
        fn a_reader_gets_whole_lines_in_order(rooms in prop::collection::vec(1_usize..40, 1..200)) {
            let (mut lines, mut pipe) = (Lines::default(), Pipe { room: 1, held: Vec::new() });
            let mut heard = String::new();
            for (number, room) in rooms.iter().enumerate() {
                pipe.room = *room;
                lines.push(&format!("line {number}\n"), |bytes| pipe.write(bytes));
                if number % 3 == 0 {
                    heard.push_str(&pipe.read());
                }
                pipe.room = pipe.room.max(pipe.held.len());
            }
            while lines.is_waiting() {
                heard.push_str(&pipe.read());
                pipe.room = 40;
                lines.flush(|bytes| pipe.write(bytes));
            }
            heard.push_str(&pipe.read());
            let lines: Vec<String> = (0..rooms.len()).map(|number| format!("line {number}\n")).collect();
            let expected = lines.concat();
            prop_assert_eq!(heard, expected);
        }
    }
}
