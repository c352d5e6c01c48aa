//! The sockets that adverts come in by. While adverts are few each one wakes the process; while they are many it looks for
//! them every few milliseconds, because being woken costs more than what is then read.
//!
//! Nothing is decided later for that: the kernel notes when each packet came, the core counts from there, and it says
//! itself how long an advert may lie unread.

use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use tracing::{debug, info};

use super::vrrp_outlets::Outlets;
use crate::config::model::ReceiveBuffer;
use crate::kernel::buffers::set_receive_buffer;
use crate::kernel::error::Error;
use crate::kernel::readiness::Watched;
use crate::kernel::ready_set::ReadySet;
use crate::kernel::vrrp_inbox::Inbox;
use crate::kernel::vrrp_socket::{Admit, Local, Received, Receiver};
use crate::report::vrrp as report;
use crate::time::Time;
use crate::vrrp::{Envelope, Listener, ListenerKind};

/// Packets read in one look, so that a flood delays nothing by more than a fraction of a millisecond.
const PACKETS: usize = 64;

/// A receive socket and what it is for.
struct Listening {
    listener: Listener,
    number: u64,
    receiver: Receiver,
}

/// The receive sockets.
pub(super) struct Ears {
    set: Set,
    listening: Vec<Listening>,
    numbers: u64,
    inbox: Inbox,
    /// Some socket may hold more than was read of it.
    has_left: bool,
    rhythm: Rhythm,
}

/// Who looks whether something came.
enum Set {
    /// The event loop.
    Watched(Watched<ReadySet>),
    /// Nobody, until we do.
    Alone(ReadySet),
    /// While it changes from one to the other.
    Between,
}

impl Ears {
    /// Needs a tokio runtime.
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self {
            set: Set::Watched(Watched::readable_only(ReadySet::new()?)?),
            listening: Vec::new(),
            numbers: 0,
            inbox: Inbox::new(),
            has_left: false,
            rhythm: Rhythm::default(),
        })
    }

    /// Opens and closes sockets until exactly these are open.
    pub(super) fn listen(&mut self, wanted: Vec<Listener>, admit_all: bool) {
        let same = |a: &Listener, b: &Listener| {
            (a.index, a.family, a.kind, a.carrier) == (b.index, b.family, b.kind, b.carrier)
                && a.interface == b.interface
                && a.receive_buffer == b.receive_buffer
        };
        self.listening.retain(|open| wanted.iter().any(|listener| same(listener, &open.listener)));
        for listener in wanted {
            let admit = if admit_all { Admit::All } else { Admit::Vrids(&listener.vrids) };
            if let Some(open) = self.listening.iter_mut().find(|open| same(&listener, &open.listener)) {
                if let Err(error) = open.receiver.admit(admit) {
                    info!("{error}");
                }
                open.listener = listener;
                continue;
            }
            let local = match listener.kind {
                ListenerKind::Multicast { group } => Local::Group(group),
                ListenerKind::Unicast { source } => Local::Source(source),
            };
            let number = self.numbers;
            let opened = Receiver::open(NonZeroU32::new(listener.index), local, listener.carrier, admit)
                .and_then(|receiver| match self.set() {
                    Some(set) => set.add(&receiver, number).map(|()| receiver),
                    None => Ok(receiver),
                });
            match opened {
                Ok(receiver) => {
                    size_buffer(&receiver, &listener);
                    self.numbers += 1;
                    self.listening.push(Listening { listener, number, receiver });
                }
                Err(error) => info!("{error}"),
            }
        }
    }

    fn set(&self) -> Option<&ReadySet> {
        match &self.set {
            Set::Watched(set) => Some(set.get()),
            Set::Alone(set) => Some(set),
            Set::Between => None,
        }
    }

    /// The open sockets, for the dump.
    pub(super) fn sockets(&self, outlets: &Outlets) -> Vec<report::Socket> {
        let socket = |open: &Listening| report::Socket {
            listener: open.listener.clone(),
            fd_in: open.receiver.as_fd().as_raw_fd(),
            fd_out: outlets.descriptor((open.listener.index, open.listener.family)),
        };
        self.listening.iter().map(socket).collect()
    }

    /// Waits until something came; never returns while we look ourselves. The numbers of the sockets, which must be
    /// read. Safe to cancel.
    pub(super) async fn ready(&self) -> Vec<u64> {
        let Set::Watched(set) = &self.set else { return std::future::pending().await };
        if self.has_left {
            return self.waiting();
        }
        match set.read_all(ReadySet::ready).await {
            Ok(numbers) => numbers,
            Err(error) => {
                info!("waiting for adverts: {error}");
                std::future::pending().await
            }
        }
    }

    /// The same without waiting: what came already.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.set().and_then(|set| set.ready().ok()).unwrap_or_default()
    }

    /// When to look with [`Self::waiting`], whatever else happens.
    pub(super) fn look_at(&self) -> Option<Time> {
        if self.has_left { Some(Time::ZERO) } else { self.rhythm.next }
    }

    /// Hands packets of these sockets to `take`, a bounded number, each with the time since it arrived.
    pub(super) fn receive(&mut self, numbers: &[u64], mut take: impl FnMut(u32, Envelope, &[u8], Duration)) {
        let share = PACKETS / numbers.len().max(1);
        let (mut found, mut is_ours) = (0, false);
        self.has_left = numbers.len() >= ReadySet::MOST;
        for number in numbers {
            let Some(open) = self.listening.iter().find(|open| open.number == *number) else { continue };
            is_ours = true;
            let index = open.listener.index;
            let read = open.receiver.receive(&mut self.inbox, share, |Received { packet, age, header }| {
                found += 1;
                let envelope = header.map_or(Envelope::V4, |header| Envelope::V6 {
                    source: header.source.into(),
                    destination: header.destination.into(),
                    hop_limit: header.hop_limit,
                });
                take(index, envelope, packet, age);
            });
            match read {
                Ok(is_empty) => self.has_left |= !is_empty,
                Err(error) => {
                    // The interface went down under the socket; the monitor tells the rest.
                    debug!("receiving adverts: {error}");
                    self.has_left = true;
                }
            }
        }
        // The notifications of a large takeover wake as well, and are no reason to look for adverts less often.
        if is_ours {
            self.rhythm.looked(found);
        }
    }

    /// Chooses between being woken and looking, now and then; `slack` is how long an advert may lie unread.
    pub(super) fn choose(&mut self, now: Time, slack: impl FnOnce() -> Duration) {
        let before = self.rhythm.pause;
        self.rhythm.choose(now, slack);
        let set = std::mem::replace(&mut self.set, Set::Between);
        self.set = match (set, self.rhythm.pause, before) {
            (Set::Watched(set), Some(pause), _) => {
                debug!("Looking for adverts every {} us instead of being woken", pause.as_micros());
                for open in &self.listening {
                    open.receiver.widen();
                }
                Set::Alone(set.into_inner())
            }
            (Set::Alone(set), None, _) => match Watched::readable_only(set) {
                Ok(set) => {
                    // What came before the event loop watched.
                    self.has_left = true;
                    Set::Watched(set)
                }
                Err(error) => {
                    info!("{error}");
                    Set::Between
                }
            },
            (set, ..) => set,
        };
    }
}

fn size_buffer(receiver: &Receiver, listener: &Listener) {
    let wanted = ReceiveBuffer { bytes: listener.receive_buffer, force: false };
    if let Err(error) = set_receive_buffer(receiver, wanted, "a VRRP socket") {
        info!("{error}");
    }
}

/// How often the choice is looked over.
const WINDOW: Duration = Duration::from_millis(250);
/// Being woken so often in a window is too much.
const MANY: u32 = 100;
/// So few packets in a window are worth being woken for.
const FEW: u32 = 40;
/// Between two looks, at most and at least.
const LONGEST: Duration = Duration::from_millis(15);
const SHORTEST: Duration = Duration::from_millis(1);

/// Counts, and says when to look.
#[derive(Debug, Default)]
struct Rhythm {
    /// Between two looks; `None`: each packet wakes.
    pause: Option<Duration>,
    /// The next look, if it is ours.
    next: Option<Time>,
    /// The end of this window.
    end: Time,
    packets: u32,
    looks: u32,
}

impl Rhythm {
    /// There were so many packets.
    fn looked(&mut self, packets: u32) {
        self.packets = self.packets.saturating_add(packets);
        self.looks += 1;
    }

    fn choose(&mut self, now: Time, slack: impl FnOnce() -> Duration) {
        if now >= self.end {
            let is_late = now.since(self.end) > WINDOW;
            let is_much = match self.pause {
                None => self.looks >= MANY && !is_late,
                Some(_) => self.packets >= FEW,
            };
            self.pause = is_much.then(|| slack().min(LONGEST)).filter(|pause| *pause >= SHORTEST);
            (self.packets, self.looks) = (0, 0);
            self.end = now + WINDOW;
        }
        self.next = match (self.pause, self.next) {
            (None, _) => None,
            (Some(_), Some(next)) if next > now => Some(next),
            (Some(pause), _) => Some(now + pause),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(10_000 + millis)
    }

    /// So many packets a second, evenly, from here on for a second.
    fn second(rhythm: &mut Rhythm, from: u64, packets: u64, slack: u64) {
        let gap = 1000 / packets;
        for number in 0..packets {
            rhythm.looked(1);
            rhythm.choose(at(from + number * gap), || Duration::from_millis(slack));
        }
    }

    #[test]
    fn few_packets_wake_each_and_many_are_looked_for() {
        let mut rhythm = Rhythm::default();
        second(&mut rhythm, 0, 100, 100);
        assert_eq!((rhythm.pause, rhythm.next), (None, None));
        second(&mut rhythm, 1000, 1000, 100);
        assert_eq!(rhythm.pause, Some(LONGEST));
        let next = rhythm.next.unwrap();
        assert!(next > at(1999) && next <= at(1999) + LONGEST);
        second(&mut rhythm, 2000, 500, 100);
        assert_eq!(rhythm.pause, Some(LONGEST), "still many");
        second(&mut rhythm, 3000, 50, 100);
        assert_eq!((rhythm.pause, rhythm.next), (None, None));
    }

    #[tokio::test]
    async fn notifications_of_a_large_takeover_are_no_reason_to_look() {
        let mut ears = Ears::open().unwrap();
        for (is_advert, expected) in [(false, None), (true, Some(LONGEST))] {
            ears.choose(at(0), || LONGEST);
            for _ in 0..1000 {
                if is_advert {
                    ears.rhythm.looked(1);
                } else {
                    ears.receive(&[u64::MAX], |_, _, _, _| {});
                }
            }
            ears.choose(at(251), || LONGEST);
            assert_eq!(ears.rhythm.pause, expected);
            ears.rhythm = Rhythm::default();
        }
    }

    #[test]
    fn no_advert_lies_longer_than_the_core_allows() {
        let mut rhythm = Rhythm::default();
        second(&mut rhythm, 0, 1000, 2);
        assert_eq!(rhythm.pause, Some(Duration::from_millis(2)));
        second(&mut rhythm, 1000, 1000, 0);
        assert_eq!(rhythm.pause, None);
    }

    #[test]
    fn a_burst_once_a_second_is_worth_being_woken_for() {
        let mut rhythm = Rhythm::default();
        for second in 0..10 {
            for packet in 0..90 {
                rhythm.looked(3);
                rhythm.choose(at(second * 1000 + packet / 10), || LONGEST);
            }
            assert_eq!(rhythm.pause, None);
        }
    }
}
