//! The bfd process: the sockets, the clock and the start of the sessions, whose every decision is [`crate::bfd`]'s.
//! spec/bfd.md.
//!
//! It tells the parent what became of each session, and the parent those who track it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, AsRawFd};
use std::task::Poll;

use caps::Capability;
use tracing::{debug, info};

use super::child::Parent;
use super::dump;
use super::exit::Exit;
use super::ipc::{Dump, FromChild, ToChild};
use super::promptness::Promptness;
use crate::bfd::packet::Phase;
use crate::bfd::{Action, Actions, Event, Session, Sessions, State};
use crate::config::model::{BfdInstance, BfdPart, BfdSession, Family};
use crate::kernel::bfd_socket::{Datagram, Listener, MULTIHOP_PORT, PORT, Sender};
use crate::kernel::calendar::WallTime;
use crate::kernel::error::Error;
use crate::kernel::process;
use crate::kernel::readiness::Watched;
use crate::kernel::timer::{Timer, now};
use crate::report::bfd::{BfdData, Live, bfd_data};
use crate::report::clock::Clock;

/// Datagrams handled before the clock is looked at again.
const AT_ONCE: usize = 64;

/// Plays the role until it is over; `dump_config` is `-d`.
pub async fn run(parent: Parent<BfdPart>, dump_config: bool) -> Result<Exit, Error> {
    let mut bfd = Bfd {
        parent,
        dump_at_start: dump_config,
        timer: Timer::new()?,
        promptness: Promptness::default(),
        prepared: None,
        running: None,
        listeners: Vec::new(),
        senders: HashMap::new(),
        out: Actions::new(),
        seed: RandomState::new().build_hasher().finish(),
        changed: false,
    };
    loop {
        let deadline = bfd.running.as_ref().and_then(Sessions::deadline);
        bfd.timer.set(deadline)?;
        tokio::select! {
            biased;
            ring = bfd.timer.ring() => {
                ring?;
                if let Some(due) = deadline {
                    bfd.promptness.served(due, now());
                }
                bfd.handle(&Event::Timer);
            }
            (place, heard) = hear(&bfd.listeners) => {
                bfd.receive(place, heard);
            }
            received = bfd.parent.next() => match received.message {
                ToChild::Prepare { generation, part, state } => bfd.prepare(generation, part, state),
                ToChild::Commit { generation } => {
                    bfd.promptness.ease();
                    bfd.commit(generation)?;
                    bfd.promptness.resume();
                }
                ToChild::Abort { generation } => {
                    bfd.prepared.take_if(|prepared| prepared.generation == generation);
                }
                ToChild::Dump(Dump::Data) => bfd.dump(),
                ToChild::Stop => {
                    // Stock: no AdminDown is sent; the peers notice by themselves.
                    bfd.parent.tell(&FromChild::Stopped);
                    bfd.parent.flush().await;
                    return Ok(Exit::Success);
                }
                _ => {}
            },
        }
        bfd.report();
        bfd.promptness.heed_warning();
    }
}

/// A configuration that waits for its commit.
struct Prepared {
    generation: u64,
    part: BfdPart,
    state: Option<State>,
}

/// A listener and the port it hears.
struct Listening {
    port: u16,
    socket: Watched<Listener>,
}

struct Bfd {
    parent: Parent<BfdPart>,
    /// `-d`, until it is done.
    dump_at_start: bool,
    timer: Timer,
    promptness: Promptness,
    prepared: Option<Prepared>,
    running: Option<Sessions>,
    listeners: Vec<Listening>,
    /// By name of the instance, each with what it was opened for.
    senders: HashMap<String, (BfdSession, Sender)>,
    out: Actions,
    /// Of the numbers that discriminators and jitter need.
    seed: u64,
    /// The parent is to be told the state.
    changed: bool,
}

/// The next datagram of any listener.
async fn hear(listeners: &[Listening]) -> (usize, std::io::Result<Datagram>) {
    std::future::poll_fn(|context| {
        for (place, listening) in listeners.iter().enumerate() {
            if let Poll::Ready(heard) = listening.socket.poll_read(context, Listener::receive) {
                return Poll::Ready((place, heard));
            }
        }
        Poll::Pending
    })
    .await
}

impl Bfd {
    fn prepare(&mut self, generation: u64, part: BfdPart, state: Option<Vec<u8>>) {
        let before = self.running.as_ref().map_or(&[][..], |sessions| &sessions.part().bfd_instances);
        let named = |instances: &[BfdInstance], name: &str| {
            instances.iter().find(|instance| instance.name == name).cloned()
        };
        let mut plan = Vec::new();
        for instance in &part.bfd_instances {
            match named(before, &instance.name) {
                None => plan.push(format!("bfd_instance {}: added", instance.name)),
                Some(known) if known != *instance => {
                    plan.push(format!("bfd_instance {}: changed", instance.name));
                }
                Some(_) => {}
            }
        }
        for gone in before.iter().filter(|known| named(&part.bfd_instances, &known.name).is_none()) {
            plan.push(format!("bfd_instance {}: removed", gone.name));
        }
        let state = state.and_then(|bytes| match postcard::from_bytes(&bytes) {
            Ok(state) => Some(state),
            Err(error) => {
                info!("the state of the predecessor cannot be read ({error}): starting afresh");
                None
            }
        });
        self.prepared = Some(Prepared { generation, part, state });
        self.parent.tell(&FromChild::Prepared { generation, plan });
    }

    fn commit(&mut self, generation: u64) -> Result<(), Error> {
        let Some(Prepared { part, state, .. }) = self.prepared.take_if(|it| it.generation == generation)
        else {
            return Ok(());
        };
        self.take_on(&part);
        self.listen(&part)?;
        self.senders.retain(|name, _| part.bfd_instances.iter().any(|instance| instance.name == *name));
        let (seed, out) = (&mut self.seed, &mut self.out);
        let mut random = || next(seed);
        match (&mut self.running, state) {
            (Some(sessions), _) => sessions.reconfigure(part, now(), &mut random, out),
            (running, Some(state)) => *running = Some(Sessions::resume(part, state, now(), &mut random, out)),
            (running, None) => *running = Some(Sessions::new(part, now(), &mut random, out)),
        }
        if std::mem::take(&mut self.dump_at_start)
            && let Some(text) = self.data()
        {
            dump::log_at_start(&text);
        }
        self.carry_out();
        self.changed = true;
        // Those who track the sessions are told all of them, after start and after every reload.
        let states: Vec<_> =
            self.running.iter().flat_map(Sessions::states).map(|(n, up)| (n.to_owned(), up)).collect();
        self.parent.tell(&FromChild::Committed { generation });
        for (name, up) in states {
            self.parent.tell(&FromChild::Session { name, up });
        }
        Ok(())
    }

    /// Name, priority and rights.
    fn take_on(&mut self, part: &BfdPart) {
        if let Err(error) = process::set_name(&part.global.process_names.bfd) {
            info!("{error}");
        }
        self.promptness.take_on(&part.global, &part.global.bfd_scheduling);
        if self.running.is_none()
            && let Err(why) = self.promptness.keep_rights(&[Capability::CAP_NET_RAW])
        {
            info!("cannot give up rights that are not needed: {why}");
        }
    }

    /// Opens the listeners that are needed and closes the others. Without any the process is of no use.
    fn listen(&mut self, part: &BfdPart) -> Result<(), Error> {
        let mut wanted = Vec::new();
        for session in part.bfd_instances.iter().filter_map(|instance| instance.session.as_ref()) {
            let place = (Family::of(session.neighbor), if session.multihop { MULTIHOP_PORT } else { PORT });
            if !wanted.contains(&place) {
                wanted.push(place);
            }
        }
        let is_open = |listeners: &[Listening], (family, port)| {
            listeners.iter().any(|l| l.port == port && l.socket.get().family() == family)
        };
        self.listeners.retain(|l| wanted.contains(&(l.socket.get().family(), l.port)));
        let mut last = None;
        for place @ (family, port) in wanted.iter().copied() {
            if is_open(&self.listeners, place) {
                continue;
            }
            match Listener::open(family, port).and_then(Watched::readable_only) {
                Ok(socket) => self.listeners.push(Listening { port, socket }),
                Err(error) => {
                    info!("{error}");
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if self.listeners.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, place: usize, heard: std::io::Result<Datagram>) {
        let mut heard = Some(heard);
        for _ in 0..AT_ONCE {
            let Some(listening) = self.listeners.get(place) else { return };
            let multihop = listening.port == MULTIHOP_PORT;
            let next = heard.take().unwrap_or_else(|| listening.socket.get().receive());
            let Ok(Datagram { source, destination, ttl, bytes }) = next else { return };
            self.handle(&Event::Packet { source, destination, multihop, ttl, bytes: &bytes });
        }
    }

    fn handle(&mut self, event: &Event<'_>) {
        let seed = &mut self.seed;
        if let Some(sessions) = &mut self.running {
            sessions.handle(now(), event, &mut || next(seed), &mut self.out);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        while !self.out.is_empty() {
            for action in std::mem::take(&mut self.out) {
                match action {
                    Action::Open { session } => self.open(session),
                    Action::Send { session, packet } => self.send(session, &packet.encode()),
                    Action::Tell { name, up } => {
                        self.changed = true;
                        self.parent.tell(&FromChild::Session { name, up });
                    }
                    Action::Log(line) => info!("{line}"),
                    Action::Detail(line) => debug!("{line}"),
                }
            }
        }
    }

    fn open(&mut self, place: usize) {
        let Some(sessions) = &mut self.running else { return };
        let Some((name, config)) = sessions
            .part()
            .bfd_instances
            .get(place)
            .and_then(|instance| Some((instance.name.clone(), instance.session.clone()?)))
        else {
            return;
        };
        let way = |session: &BfdSession| (session.neighbor, session.source, session.ttl, session.multihop);
        let fits = self.senders.get(&name).is_some_and(|(known, _)| way(known) == way(&config));
        let opened = if fits {
            true
        } else {
            match Sender::open(&config, next(&mut self.seed)) {
                Ok(sender) => {
                    self.senders.insert(name, (config, sender));
                    true
                }
                Err(error) => {
                    // Every packet of the peer is a reason to try again: told once, until it has been open.
                    let rests = sessions.iter().nth(place).and_then(|(_, session)| session);
                    if rests.is_some_and(|session| session.phase() == Phase::AdminDown) {
                        debug!("({name}) {error}");
                    } else {
                        info!("({name}) {error}");
                    }
                    self.senders.remove(&name);
                    false
                }
            }
        };
        let event = if opened { Event::Opened { session: place } } else { Event::Refused { session: place } };
        let seed = &mut self.seed;
        sessions.handle(now(), &event, &mut || next(seed), &mut self.out);
    }

    fn send(&mut self, place: usize, bytes: &[u8]) {
        let Some(sessions) = &self.running else { return };
        let Some(instance) = sessions.part().bfd_instances.get(place) else { return };
        if let Some((_, sender)) = self.senders.get(&instance.name)
            && let Err(error) = sender.send(bytes)
        {
            // The peer's silence is what counts; a network that is gone would fill the log.
            debug!("({}) sending a BFD packet: {error}", instance.name);
        }
    }

    /// Tells the parent the state, for a successor.
    fn report(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let Some(sessions) = &self.running else { return };
        match postcard::to_stdvec(&sessions.state()) {
            Ok(state) => self.parent.tell(&FromChild::State(state)),
            Err(error) => info!("writing down the state of the sessions: {error}"),
        }
    }

    fn dump(&mut self) {
        if let Some(text) = self.data() {
            self.parent.tell(&FromChild::Dumped { dump: Dump::Data, text });
        }
    }

    /// What `keepalived_bfd.data` holds now.
    fn data(&self) -> Option<String> {
        let sessions = self.running.as_ref()?;
        let wall = WallTime::now();
        let clock = Clock { now: now(), epoch: wall.epoch, utc_offset: wall.utc_offset };
        let live = |(instance, session): (_, Option<&Session>)| {
            let instance: &BfdInstance = instance;
            let descriptor =
                self.senders.get(&instance.name).map_or(-1, |(_, sender)| sender.as_fd().as_raw_fd());
            let state =
                session.zip(instance.session.as_ref()).map(|(session, config)| session.snapshot(config));
            (instance, state.map(|state| Live { state, descriptor }))
        };
        let descriptors: Vec<_> = self
            .listeners
            .iter()
            .map(|l| (l.port == MULTIHOP_PORT, l.socket.get().as_fd().as_raw_fd()))
            .collect();
        let data = BfdData {
            global: &sessions.part().global,
            instances: sessions.iter().map(live).collect(),
            descriptors: &descriptors,
            clock,
        };
        Some(bfd_data(&data))
    }
}

/// xorshift: good enough for jitter and numbers that need only differ.
fn next(seed: &mut u64) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    u32::try_from(*seed >> 32).unwrap_or(1)
}
