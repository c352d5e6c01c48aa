//! Several routers on one fake clock and one imaginary network: tests and the `simulate` subcommand run the real core
//! here, without sockets, sleep or privilege.
//!
//! A network segment is all interfaces of one name. Packets may be lost or delayed by chance, which comes from the
//! seed: the same seed gives the same story. A script ends at once with the result it is given here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use super::event::{Action, Actions, Envelope, Event, Requester, Transition};
use super::interface::{IFF_RUNNING, IFF_UP, Interface, Link};
use super::owned::Owned;
use super::router::Router;
use super::snapshot::VrrpState;
use super::urgent::Release;
use crate::config::model::{ScriptEnd, VrrpPart};
use crate::time::Time;

/// The wall clock of every node at the beginning: all clocks are right.
const TODAY: Duration = Duration::from_secs(1_795_000_000);

/// How the network treats packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Every packet takes at least this long …
    pub delay: Duration,
    /// … and up to this much longer, by chance.
    pub jitter: Duration,
    /// Packets lost out of 1000, by chance.
    pub loss: u32,
    /// Packets that come twice out of 1000, by chance, each copy with a delay of its own.
    pub duplicates: u32,
}

impl Network {
    /// A quiet switch: 100 µs, nothing lost.
    pub const QUIET: Self =
        Self { delay: Duration::from_micros(100), jitter: Duration::ZERO, loss: 0, duplicates: 0 };
}

/// One host.
#[derive(Debug)]
struct Node {
    part: VrrpPart,
    /// What the host has before the daemon starts.
    interfaces: Vec<Interface>,
    router: Option<Router>,
    /// Addresses on the host now, with the index of their interface.
    addresses: BTreeSet<(u32, IpAddr)>,
    scripts: BTreeMap<String, ScriptEnd>,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Time,
    /// On which node.
    pub node: usize,
    /// What its core asked for.
    pub action: Action,
}

/// A set of nodes on one network.
#[derive(Debug)]
pub struct Cluster {
    now: Time,
    network: Network,
    random: u64,
    nodes: Vec<Node>,
    /// Packets and other events under way: time, order of sending, node, event.
    under_way: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, (usize, Event)>,
    sent: u64,
    records: Vec<Record>,
}

impl Cluster {
    /// An empty network. Chance follows from `seed`.
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            now: Time::ZERO + Duration::from_secs(1),
            network,
            random: seed | 1,
            nodes: Vec::new(),
            under_way: BinaryHeap::new(),
            events: BTreeMap::new(),
            sent: 0,
            records: Vec::new(),
        }
    }

    /// Adds a host with these interfaces (name, address); it is switched off. Returns its number.
    pub fn add(&mut self, part: VrrpPart, interfaces: &[(&str, IpAddr)]) -> usize {
        let interfaces = interfaces
            .iter()
            .zip(1..)
            .map(|((name, address), index)| Interface {
                link: Link {
                    index,
                    name: (*name).to_owned(),
                    flags: IFF_UP | IFF_RUNNING,
                    ..Link::default()
                },
                addresses: vec![(*address, 24)],
            })
            .collect();
        self.nodes.push(Node {
            part,
            interfaces,
            router: None,
            addresses: BTreeSet::new(),
            scripts: BTreeMap::new(),
        });
        self.nodes.len() - 1
    }

    /// Changes how packets sent from now on are treated.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// The moment on the fake clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What happened so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The transitions among it.
    pub fn transitions(&self) -> impl Iterator<Item = (Time, usize, &Transition)> {
        self.records.iter().filter_map(|record| match &record.action {
            Action::Transition(transition) => Some((record.at, record.node, transition)),
            _ => None,
        })
    }

    /// Starts the daemon of a host.
    pub fn start(&mut self, node: usize) {
        let interfaces = self.nodes[node].interfaces.clone();
        self.nodes[node].addresses =
            interfaces.iter().flat_map(|i| i.addresses.iter().map(|(a, _)| (i.link.index, *a))).collect();
        let mut router = Router::new(&self.nodes[node].part);
        let mut out = Vec::new();
        router.handle(self.now, Event::WallClock { at_zero: TODAY }, &mut out);
        router.handle(self.now, Event::Interfaces(interfaces), &mut out);
        self.nodes[node].router = Some(router);
        self.carry_out(node, out);
    }

    /// Pulls the plug: no farewell, nothing left.
    pub fn crash(&mut self, node: usize) {
        self.nodes[node].router = None;
        self.nodes[node].addresses.clear();
    }

    /// Kills the vrrp process and lets a successor go on from its last state.
    pub fn respawn(&mut self, node: usize) {
        let Some(router) = self.nodes[node].router.take() else { return };
        let mut out = Vec::new();
        let part = self.nodes[node].part.clone();
        let mut router = Router::resume(&part, router.state(), &mut out);
        router.handle(self.now, Event::WallClock { at_zero: TODAY }, &mut out);
        self.nodes[node].router = Some(router);
        self.carry_out(node, out);
        let interfaces = self.interfaces(node);
        self.give(node, Event::Interfaces(interfaces));
    }

    /// Puts another core into the place of a running one, made from its state and told nothing else. The actions that
    /// its making asks for are not carried out but returned.
    pub fn replace(&mut self, node: usize) -> Actions {
        let mut out = Vec::new();
        let Some(router) = self.nodes[node].router.take() else { return out };
        let mut successor = Router::resume(&self.nodes[node].part, router.state(), &mut out);
        successor.handle(self.now, Event::WallClock { at_zero: TODAY }, &mut out);
        self.nodes[node].router = Some(successor);
        out
    }

    /// Stops the daemon in good order.
    pub fn stop(&mut self, node: usize) {
        let Some(mut router) = self.nodes[node].router.take() else { return };
        let mut out = Vec::new();
        router.stop(self.now, Release::Ours, &mut out);
        self.carry_out(node, out);
    }

    /// Reloads with another configuration.
    pub fn reload(&mut self, node: usize, part: VrrpPart) {
        let mut out = Vec::new();
        if let Some(router) = &mut self.nodes[node].router {
            router.reconfigure(&part, self.now, &mut out);
        }
        self.nodes[node].part = part;
        self.carry_out(node, out);
    }

    /// Sets what a script returns from its next run on; without it scripts succeed.
    pub fn set_script(&mut self, node: usize, name: &str, end: ScriptEnd) {
        let script = self.nodes[node].part.scripts.iter().find(|script| script.name == name);
        if let Some(path) = script.map(|script| script.command.path.clone()) {
            self.nodes[node].scripts.insert(path, end);
        }
    }

    /// Cuts or mends the cable of an interface.
    pub fn set_carrier(&mut self, node: usize, interface: &str, is_there: bool) {
        let Some(found) = self.nodes[node].interfaces.iter_mut().find(|i| i.link.name == interface) else {
            return;
        };
        found.link.flags = if is_there { IFF_UP | IFF_RUNNING } else { IFF_UP };
        let link = found.link.clone();
        self.give(node, Event::Link(link));
    }

    /// Somebody deletes an address.
    pub fn delete_address(&mut self, node: usize, address: IpAddr) {
        let held = self.nodes[node].addresses.iter().find(|(_, held)| *held == address).copied();
        if let Some((index, address)) = held {
            self.nodes[node].addresses.remove(&(index, address));
            let by = Requester::Other;
            self.give(node, Event::AddressDeleted { index, address, prefix: 32, by });
        }
    }

    /// Gives a node an event of any kind.
    pub fn give(&mut self, node: usize, event: Event) {
        let mut out = Vec::new();
        if let Some(router) = &mut self.nodes[node].router {
            router.handle(self.now, event, &mut out);
        }
        self.carry_out(node, out);
    }

    /// The core of a running node.
    pub fn router(&self, node: usize) -> Option<&Router> {
        self.nodes[node].router.as_ref()
    }

    /// The state of the `instance`th instance of a node; `None` while it is off.
    pub fn state(&self, node: usize, instance: usize) -> Option<VrrpState> {
        let snapshot = self.nodes[node].router.as_ref()?.snapshot(self.now);
        snapshot.instances.get(instance).map(|instance| instance.state)
    }

    /// The nodes whose `instance`th instance is MASTER.
    pub fn masters(&self, instance: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.state(*node, instance) == Some(VrrpState::Master)).collect()
    }

    /// The nodes that have an address.
    pub fn holders(&self, address: IpAddr) -> Vec<usize> {
        let has = |node: &Node| node.addresses.iter().any(|(_, held)| *held == address);
        (0..self.nodes.len()).filter(|node| has(&self.nodes[*node])).collect()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Goes to the next thing that happens. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next() else { return false };
        self.now = self.now.max(next);
        if let Some(Reverse((at, number))) = self.under_way.peek().copied()
            && at <= self.now
        {
            self.under_way.pop();
            if let Some((node, event)) = self.events.remove(&number) {
                self.give(node, event);
            }
            return true;
        }
        let is_due =
            |node: &Node| node.router.as_ref().and_then(Router::deadline).is_some_and(|due| due <= self.now);
        if let Some(node) = self.nodes.iter().position(is_due) {
            self.give(node, Event::Timer);
        }
        true
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<Time> {
        let timers = self.nodes.iter().filter_map(|node| node.router.as_ref()?.deadline());
        let under_way = self.under_way.peek().map(|Reverse((at, _))| *at);
        timers.chain(under_way).min()
    }

    fn carry_out(&mut self, node: usize, out: Actions) {
        for action in out {
            match &action {
                Action::SendAdvert { index, source, destination, ttl, packet, .. } => {
                    self.send(node, *index, (*source, *destination), ttl.unwrap_or(64), packet);
                }
                Action::Add { objects, .. } => {
                    for vip in objects {
                        let Owned::Address(vip) = vip else { continue };
                        let Some(index) = self.interface(node, &vip.interface) else { continue };
                        if self.nodes[node].addresses.insert((index, vip.address)) {
                            let (address, prefix) = (vip.address, vip.prefix);
                            self.post(Duration::ZERO, node, Event::AddressAdded { index, address, prefix });
                        }
                    }
                }
                Action::Remove { objects, .. } => {
                    for vip in objects {
                        let Owned::Address(vip) = vip else { continue };
                        let Some(index) = self.interface(node, &vip.interface) else { continue };
                        if self.nodes[node].addresses.remove(&(index, vip.address)) {
                            let (address, prefix, by) = (vip.address, vip.prefix, Requester::Us);
                            let event = Event::AddressDeleted { index, address, prefix, by };
                            self.post(Duration::ZERO, node, event);
                        }
                    }
                }
                Action::RunScript { id, command, .. } => {
                    let end = self.nodes[node].scripts.get(&command.path).copied();
                    let end = end.unwrap_or(ScriptEnd::Exited { status: 0 });
                    self.post(Duration::from_millis(1), node, Event::ScriptEnded { id: *id, end });
                }
                _ => {}
            }
            self.records.push(Record { at: self.now, node, action });
        }
    }

    /// A multicast packet reaches every other host of the segment, a unicast one the host that has the address.
    fn send(
        &mut self,
        from: usize,
        index: u32,
        (source, destination): (IpAddr, IpAddr),
        ttl: u8,
        packet: &[u8],
    ) {
        let is_cut =
            |node: &Node, name: &str| !node.interfaces.iter().any(|i| i.link.name == name && i.link.is_up());
        let sender = &self.nodes[from];
        let Some(segment) =
            sender.interfaces.iter().find(|i| i.link.index == index).map(|i| i.link.name.clone())
        else {
            return;
        };
        if is_cut(sender, &segment) {
            return;
        }
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let node = &self.nodes[to];
            let Some(index) = self.interface(to, &segment) else { continue };
            let is_addressed = destination.is_multicast() || node.addresses.contains(&(index, destination));
            if is_cut(node, &segment) || !is_addressed || self.chance(1000) < u64::from(self.network.loss) {
                continue;
            }
            let envelope = match source {
                IpAddr::V4(_) => Envelope::V4,
                IpAddr::V6(_) => Envelope::V6 { source, destination, hop_limit: ttl },
            };
            let copies = if self.chance(1000) < u64::from(self.network.duplicates) { 2 } else { 1 };
            for _ in 0..copies {
                let jitter = self.chance(u64::try_from(self.network.jitter.as_nanos()).unwrap_or(u64::MAX));
                let after = self.network.delay + Duration::from_nanos(jitter);
                self.post(after, to, Event::Advert { index, envelope, packet: packet.to_vec() });
            }
        }
    }

    fn post(&mut self, after: Duration, node: usize, event: Event) {
        self.sent += 1;
        self.events.insert(self.sent, (node, event));
        self.under_way.push(Reverse((self.now + after, self.sent)));
    }

    fn interface(&self, node: usize, name: &str) -> Option<u32> {
        self.nodes[node].interfaces.iter().find(|i| i.link.name == name).map(|i| i.link.index)
    }

    fn interfaces(&self, node: usize) -> Vec<Interface> {
        let mut interfaces = self.nodes[node].interfaces.clone();
        for interface in &mut interfaces {
            let own = interface.addresses.clone();
            let index = interface.link.index;
            let held = self.nodes[node].addresses.iter().filter(|(on, _)| *on == index);
            let held = held.map(|(_, address)| *address);
            interface.addresses.extend(
                held.filter(|address| own.iter().all(|(a, _)| a != address)).map(|address| (address, 32)),
            );
        }
        interfaces
    }

    /// A number below `limit` (0 if that is 0): xorshift, good enough for a network.
    fn chance(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if limit == 0 { 0 } else { self.random % limit }
    }
}
