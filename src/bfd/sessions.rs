//! All sessions of a configuration: which packet belongs to which, what is told to whom, what a reload leaves alone.
//! spec/bfd.md §2 (receive checks), §4, §5.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::packet::{Authenticated, Packet, Phase, decode};
use super::rejects::Rejects;
use super::session::{Random, Session, Step};
use crate::config::model::{BfdInstance, BfdPart, BfdSession};
use crate::time::Time;

/// Something that happened outside the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The deadline is reached.
    Timer,
    /// A datagram on a listening socket.
    Packet {
        /// Its sender.
        source: IpAddr,
        /// Our address that it was sent to.
        destination: IpAddr,
        /// Did it come to the multihop port?
        multihop: bool,
        /// TTL or hop limit.
        ttl: u8,
        /// The payload.
        bytes: &'a [u8],
    },
    /// [`Action::Open`] succeeded.
    Opened {
        /// As in the action.
        session: usize,
    },
    /// [`Action::Open`] failed.
    Refused {
        /// As in the action.
        session: usize,
    },
}

/// What the driver does, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// See that the socket of a session is open (one that fits, from before a reload, may stay), and answer with
    /// [`Event::Opened`] or [`Event::Refused`].
    Open {
        /// Index of the instance in the configuration.
        session: usize,
    },
    /// Send from the socket of a session.
    Send {
        /// Index of the instance in the configuration.
        session: usize,
        /// The packet.
        packet: Packet,
    },
    /// Tell those who track the instance.
    Tell {
        /// Name of the instance.
        name: String,
        /// Is it up?
        up: bool,
    },
    /// Log a line.
    Log(String),
    /// Log a line, only with detailed logging.
    Detail(String),
}

/// What the driver must do, in order. The caller owns and reuses the vector.
pub type Actions = Vec<Action>;

/// What a successor needs to go on (version 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u8,
    sessions: Vec<(String, Session)>,
}

/// All sessions.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the sessions are what the whole is about")]
pub struct Sessions {
    part: BfdPart,
    /// One per instance; `None` for one that cannot be used.
    sessions: Vec<Option<Session>>,
    rejects: Rejects,
}

impl Sessions {
    /// Begins all sessions. Their sockets are asked for by [`Action::Open`].
    pub fn new(part: BfdPart, now: Time, random: Random<'_>, out: &mut Actions) -> Self {
        let mut new = Self { part: BfdPart::default(), sessions: Vec::new(), rejects: Rejects::default() };
        new.reconfigure(part, now, random, out);
        new
    }

    /// Goes on where a predecessor stopped: sessions are known by their names.
    pub fn resume(part: BfdPart, state: State, now: Time, random: Random<'_>, out: &mut Actions) -> Self {
        let mut resumed = Self::new(part, now, random, out);
        for (name, session) in state.sessions {
            let place = resumed.part.bfd_instances.iter().position(|instance| instance.name == name);
            if let Some(slot) = place.and_then(|place| resumed.sessions[place].as_mut()) {
                *slot = session;
            }
        }
        resumed
    }

    /// For a successor.
    pub fn state(&self) -> State {
        let named = self.part.bfd_instances.iter().zip(&self.sessions);
        let sessions =
            named.filter_map(|(instance, session)| Some((instance.name.clone(), session.clone()?)));
        State { version: 1, sessions: sessions.collect() }
    }

    /// The configuration that runs.
    pub fn part(&self) -> &BfdPart {
        &self.part
    }

    /// Each instance and its session, for reports.
    pub fn iter(&self) -> impl Iterator<Item = (&BfdInstance, Option<&Session>)> {
        self.part.bfd_instances.iter().zip(self.sessions.iter().map(Option::as_ref))
    }

    /// What those who track the instances are told after start and after every reload.
    pub fn states(&self) -> impl Iterator<Item = (&str, bool)> {
        self.iter().map(|(instance, session)| (instance.name.as_str(), session.is_some_and(is_up)))
    }

    /// When [`Event::Timer`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.sessions.iter().flatten().filter_map(Session::deadline).min()
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Time, event: &Event<'_>, random: Random<'_>, out: &mut Actions) {
        match *event {
            Event::Timer => {
                for place in 0..self.sessions.len() {
                    self.step(place, out, |session, config, steps| {
                        session.on_timer(config, now, random, steps);
                    });
                }
            }
            Event::Packet { source, destination, multihop, ttl, bytes } => {
                let packet = match decode(bytes) {
                    Ok((packet, authenticated)) => {
                        match self.receiver(&packet, (source, destination), multihop, ttl, authenticated) {
                            Ok(place) => (place, packet),
                            Err(why) => {
                                return out.extend(self.rejects.line(now, source, why).map(Action::Detail));
                            }
                        }
                    }
                    Err(error) => {
                        return out.extend(self.rejects.line(now, source, error).map(Action::Detail));
                    }
                };
                let (place, packet) = packet;
                self.step(place, out, |session, config, steps| {
                    session.on_packet(config, &packet, now, random, steps);
                });
            }
            Event::Opened { session } => {
                self.step(session, out, |session, config, _| session.on_opened(config, now));
            }
            Event::Refused { session } => {
                self.step(session, out, |session, _, steps| session.on_refused(now, random, steps));
            }
        }
    }

    /// Takes another configuration: sessions of the same name go on, and only what changed is touched.
    pub fn reconfigure(&mut self, part: BfdPart, now: Time, random: Random<'_>, out: &mut Actions) {
        let before = std::mem::replace(&mut self.part, part);
        let mut old = std::mem::take(&mut self.sessions);
        for place in 0..self.part.bfd_instances.len() {
            let instance = &self.part.bfd_instances[place];
            let Some(config) = &instance.session else {
                self.sessions.push(None);
                continue;
            };
            let known = before.bfd_instances.iter().position(|other| other.name == instance.name);
            let known = known
                .and_then(|known| Some((before.bfd_instances[known].session.as_ref()?, old[known].take()?)));
            let mut steps = Vec::new();
            let session = match known {
                Some((was, mut session)) => {
                    session.reconfigure(was, config, now, random, &mut steps);
                    session
                }
                None => Session::new(config, now, random),
            };
            out.push(Action::Open { session: place });
            carry(instance, is_up(&session), place, steps, out);
            self.sessions.push(Some(session));
        }
    }

    /// Whose packet is it? (spec/bfd.md §2)
    fn receiver(
        &self,
        packet: &Packet,
        (source, destination): (IpAddr, IpAddr),
        multihop: bool,
        ttl: u8,
        authenticated: Authenticated,
    ) -> Result<usize, String> {
        let place = self.iter().position(|(instance, session)| {
            let (Some(config), Some(session)) = (&instance.session, session) else { return false };
            if packet.yours != 0 {
                return session.discriminator() == packet.yours;
            }
            config.neighbor == source
                && config.source.is_none_or(|own| own == destination)
                && config.multihop == multihop
        });
        let place = place.ok_or("session is not found")?;
        let instance = &self.part.bfd_instances[place];
        if let Some(config) = &instance.session
            && config.max_hops != u8::MAX
            && ttl < config.ttl.saturating_sub(config.max_hops)
        {
            return Err(format!("({}) TTL {ttl} is too low", instance.name));
        }
        if authenticated == Authenticated::Yes {
            return Err(format!("({}) authentication is not supported", instance.name));
        }
        Ok(place)
    }

    fn step(
        &mut self,
        place: usize,
        out: &mut Actions,
        work: impl FnOnce(&mut Session, &BfdSession, &mut Vec<Step>),
    ) {
        let (Some(instance), Some(Some(session))) =
            (self.part.bfd_instances.get(place), self.sessions.get_mut(place))
        else {
            return;
        };
        let Some(config) = &instance.session else { return };
        let mut steps = Vec::new();
        work(session, config, &mut steps);
        carry(instance, is_up(session), place, steps, out);
    }
}

fn is_up(session: &Session) -> bool {
    session.phase() == Phase::Up
}

fn carry(instance: &BfdInstance, up: bool, place: usize, steps: Vec<Step>, out: &mut Actions) {
    out.extend(steps.into_iter().map(|step| match step {
        Step::Send(packet) => Action::Send { session: place, packet },
        Step::Open => Action::Open { session: place },
        Step::Changed => Action::Tell { name: instance.name.clone(), up },
        Step::Log(text) => Action::Log(format!("({}) {text}", instance.name)),
        Step::Detail(text) => Action::Detail(format!("({}) {text}", instance.name)),
    }));
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::config::model::Global;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn session(neighbor: u8) -> BfdSession {
        BfdSession {
            neighbor: address(neighbor),
            source: None,
            min_rx: ms(100),
            min_tx: ms(50),
            idle_tx: ms(1000),
            multiplier: 5,
            passive: false,
            ttl: 255,
            max_hops: 0,
            multihop: false,
        }
    }

    fn part(session: BfdSession) -> BfdPart {
        let instance = BfdInstance {
            name: "B".into(),
            weight: 0,
            reverse: false,
            tells_vrrp: true,
            tells_checkers: true,
            session: Some(session),
        };
        BfdPart { global: Global::default(), bfd_instances: vec![instance] }
    }

    /// One end of a wire and what it did.
    struct End {
        address: IpAddr,
        sessions: Sessions,
        told: Vec<(Time, bool)>,
        log: Vec<String>,
        sent: Vec<(Time, Packet)>,
        seed: u32,
    }

    /// Two ends and one clock. A packet takes no time.
    struct Wire {
        ends: [End; 2],
        now: Time,
        /// Does it carry anything?
        whole: bool,
    }

    impl End {
        fn random(seed: &mut u32) -> impl FnMut() -> u32 + '_ {
            || {
                *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *seed >> 3
            }
        }

        fn event(&mut self, now: Time, event: &Event<'_>) -> Vec<[u8; super::super::packet::LENGTH]> {
            let mut out = Vec::new();
            self.sessions.handle(now, event, &mut Self::random(&mut self.seed), &mut out);
            self.take(now, out)
        }

        fn take(&mut self, now: Time, out: Actions) -> Vec<[u8; super::super::packet::LENGTH]> {
            let mut packets = Vec::new();
            for action in out {
                match action {
                    Action::Open { session } => packets.extend(self.event(now, &Event::Opened { session })),
                    Action::Send { packet, .. } => {
                        self.sent.push((now, packet));
                        packets.push(packet.encode());
                    }
                    Action::Tell { up, .. } => self.told.push((now, up)),
                    Action::Log(line) => self.log.push(line),
                    Action::Detail(_) => {}
                }
            }
            packets
        }
    }

    impl Wire {
        fn new(left: BfdSession, right: BfdSession) -> Self {
            let end = |number: u8, config| {
                let mut seed = u32::from(number) * 77;
                let mut out = Vec::new();
                let sessions = Sessions::new(part(config), Time::ZERO, &mut End::random(&mut seed), &mut out);
                let mut end =
                    End { address: address(number), sessions, told: vec![], log: vec![], sent: vec![], seed };
                assert!(end.take(Time::ZERO, out).is_empty());
                end
            };
            Self { ends: [end(1, left), end(2, right)], now: Time::ZERO, whole: true }
        }

        /// Lets time pass.
        fn run(&mut self, span: Duration) {
            let end = self.now + span;
            loop {
                let next = self.ends.iter().filter_map(|end| end.sessions.deadline()).min();
                let Some(next) = next.filter(|next| *next <= end) else { break };
                self.now = self.now.max(next);
                for number in 0..2 {
                    let packets = self.ends[number].event(self.now, &Event::Timer);
                    self.carry(number, packets);
                }
            }
            self.now = end;
        }

        fn carry(&mut self, from: usize, packets: Vec<[u8; super::super::packet::LENGTH]>) {
            let whole = self.whole;
            for bytes in packets.into_iter().filter(|_| whole) {
                let (source, destination) = (self.ends[from].address, self.ends[1 - from].address);
                let event = Event::Packet { source, destination, multihop: false, ttl: 255, bytes: &bytes };
                let answers = self.ends[1 - from].event(self.now, &event);
                self.carry(1 - from, answers);
            }
        }

        fn phases(&self) -> [Phase; 2] {
            [0, 1].map(|end: usize| self.ends[end].sessions.iter().next().unwrap().1.unwrap().phase())
        }
    }

    #[test]
    fn two_ends_come_up_and_speed_up() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(3000));
        assert_eq!(wire.phases(), [Phase::Up, Phase::Up]);
        for end in &wire.ends {
            assert_eq!(end.told.iter().map(|(_, up)| *up).collect::<Vec<_>>(), [true]);
            assert!(end.sent.iter().any(|(_, packet)| packet.poll), "the faster interval is told by a poll");
            assert!(!end.sent.last().unwrap().1.poll, "which has ended");
        }
        let since = wire.now;
        wire.run(ms(2000));
        // max(min_tx 50, the peer's min_rx 100) less 10 to 25 %.
        let count = wire.ends[0].sent.iter().filter(|(at, _)| *at >= since).count();
        assert!((22..=27).contains(&count), "{count} packets in 2 s");
    }

    #[test]
    fn silence_is_noticed_after_the_detection_time_and_told_once() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(4000));
        let number = wire.ends[0].sessions.iter().next().unwrap().1.unwrap().discriminator();
        wire.whole = false;
        let cut = wire.now;
        wire.run(ms(3000));
        let (at, up) = *wire.ends[0].told.last().unwrap();
        assert!(!up);
        // 5 × max(100, 50), counted from the last packet, at most 100 ms before the cut.
        assert!((400..=500).contains(&at.since(cut).as_millis()), "{:?}", at.since(cut));
        assert!(
            wire.ends[0].log.iter().any(|line| line == "(B) Expired after 500 ms (0 usec overdue)"),
            "{:?}",
            wire.ends[0].log
        );
        let after = wire.ends[0].sessions.iter().next().unwrap().1.unwrap();
        assert_ne!(after.discriminator(), number, "a new one is drawn");
        assert_eq!(after.remote_discriminator(), 0);
        wire.whole = true;
        wire.run(ms(4000));
        assert_eq!(wire.phases(), [Phase::Up, Phase::Up]);
    }

    #[test]
    fn administrative_down_is_told_as_down() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(4000));
        let (mine, yours) = {
            let end = wire.ends[1].sessions.iter().next().unwrap().1.unwrap();
            (end.discriminator(), end.remote_discriminator())
        };
        let packet = Packet {
            diagnostic: super::super::packet::Diagnostic::ADMIN_DOWN,
            phase: Phase::AdminDown,
            poll: false,
            is_final: false,
            demand: false,
            multiplier: 5,
            mine,
            yours,
            min_tx: 1_000_000,
            min_rx: 100_000,
        };
        let now = wire.now;
        let event = Event::Packet {
            source: address(2),
            destination: address(1),
            multihop: false,
            ttl: 255,
            bytes: &packet.encode(),
        };
        wire.ends[0].event(now, &event);
        assert_eq!(wire.ends[0].told.last(), Some(&(now, false)));
    }

    #[test]
    fn a_passive_end_waits_to_be_spoken_to() {
        let mut wire =
            Wire::new(BfdSession { passive: true, ..session(2) }, BfdSession { passive: true, ..session(1) });
        wire.run(ms(5000));
        assert!(wire.ends.iter().all(|end| end.sent.is_empty()));
        let mut wire = Wire::new(BfdSession { passive: true, ..session(2) }, session(1));
        wire.run(ms(5000));
        assert_eq!(wire.phases(), [Phase::Up, Phase::Up]);
    }

    #[test]
    fn packets_of_too_low_a_ttl_or_from_elsewhere_change_nothing() {
        let mut wire = Wire::new(BfdSession { max_hops: 2, ..session(2) }, session(1));
        wire.ends[1].event(Time::ZERO, &Event::Timer);
        let bytes = wire.ends[1].sent[0].1.encode();
        let mut hear = |source, ttl, multihop| {
            let event = Event::Packet { source, destination: address(1), multihop, ttl, bytes: &bytes };
            wire.ends[0].event(Time::ZERO, &event);
            wire.phases()[0]
        };
        assert_eq!(hear(address(2), 252, false), Phase::Down);
        assert_eq!(hear(address(3), 255, false), Phase::Down);
        assert_eq!(hear(address(2), 255, true), Phase::Down);
        assert_eq!(hear(address(2), 253, false), Phase::Init);
    }

    #[test]
    fn a_reload_keeps_the_session_and_tells_new_intervals_by_a_poll() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(4000));
        let now = wire.now;
        let end = &mut wire.ends[0];
        let before = end.sessions.state();
        let mut out = Vec::new();
        end.sessions.reconfigure(part(session(2)), now, &mut End::random(&mut end.seed), &mut out);
        assert_eq!(out, [Action::Open { session: 0 }]);
        assert_eq!(end.sessions.state(), before, "nothing else");
        out.clear();
        let faster = BfdSession { min_tx: ms(20), min_rx: ms(20), ..session(2) };
        end.sessions.reconfigure(part(faster), now, &mut End::random(&mut end.seed), &mut out);
        end.take(now, out);
        wire.run(ms(1000));
        assert_eq!(wire.phases(), [Phase::Up, Phase::Up]);
        assert!(
            wire.ends[0].sent.iter().any(|(at, packet)| *at >= now && packet.poll && packet.min_tx == 20_000)
        );
    }

    #[test]
    fn a_session_without_socket_rests_and_comes_back() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(4000));
        let now = wire.now;
        wire.ends[0].event(now, &Event::Refused { session: 0 });
        assert_eq!(wire.ends[0].told.last(), Some(&(now, false)));
        wire.whole = false;
        wire.run(ms(59_000));
        assert_eq!(wire.phases()[0], Phase::AdminDown);
        wire.run(ms(1500));
        wire.whole = true;
        wire.run(ms(4000));
        assert_eq!(wire.phases(), [Phase::Up, Phase::Up]);
    }

    #[test]
    fn a_successor_goes_on_as_the_original() {
        let mut wire = Wire::new(session(2), session(1));
        wire.run(ms(4000));
        let state = wire.ends[0].sessions.state();
        let bytes = postcard::to_stdvec(&state).unwrap();
        let mut out = Vec::new();
        let mut seed = 9;
        let resumed = Sessions::resume(
            part(session(2)),
            postcard::from_bytes(&bytes).unwrap(),
            wire.now,
            &mut End::random(&mut seed),
            &mut out,
        );
        assert_eq!(resumed.state(), state);
        wire.ends[0].sessions = resumed;
        wire.run(ms(5000));
        assert_eq!(wire.ends[0].told.len(), 1, "it never went down");
        assert_eq!(wire.ends[1].told.len(), 1);
    }
}
