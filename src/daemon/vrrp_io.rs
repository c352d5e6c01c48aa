//! The vrrp process' hold on the kernel: carries out what the core asks for and tells it what happened.
//!
//! Two speeds. What must not be late (adverts, sockets, log lines) happens at once. What takes the kernel long
//! (addresses, gratuitous ARP) waits in one queue, in the order asked for, and is done in slices of a millisecond,
//! between which the caller serves adverts that fall due. Notify scripts wait in the same queue, so that a script finds
//! the addresses it is told about. No decision about the protocol is taken here.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use neli::consts::socket::NlFamily;
use nix::errno::Errno;
use tracing::{debug, info};

use super::ipc::FromChild;
use super::vrrp_ears::Ears;
use super::vrrp_firewall::Firewall;
use super::vrrp_guard::Guards;
use super::vrrp_outlets::{Known, Outlets};
use super::vrrp_queue::{Next, Queue, Work};
use super::vrrp_sync::Sync;
use crate::config::model::{Family, SocketBuffers, VirtualLinkKind};
use crate::kernel::address::Address;
use crate::kernel::aside::drop_aside;
use crate::kernel::buffers::set_receive_buffer;
use crate::kernel::error::Error;
use crate::kernel::monitor::{self, Monitor};
use crate::kernel::netlink::{Answer, Connection, Refusal};
use crate::kernel::object::{self, Indices};
use crate::kernel::readiness::Watched;
use crate::kernel::ready_set::ReadySet;
use crate::kernel::sysctl::ReversePath;
use crate::kernel::vmac::{self, Below};
use crate::kernel::vrrp_sender::Route;
use crate::kernel::{link, process, sysctl, timer};
use crate::report::event::{Alert, ReporterEvent};
use crate::report::vrrp as report;
use crate::time::Time;
use crate::vrrp::{Action, Change, Detail, Envelope, Event, Link, Listener, Owned, Requester};

/// A slice of queued work takes this long or a little longer.
const SLICE: Duration = Duration::from_millis(1);
/// Address changes in one send; the clock is looked at in between.
const MESSAGES: usize = 32;
/// Announcements in one send.
const FRAMES: usize = 64;
/// Room for actions that is kept.
const OTHERS: usize = 256;
/// Notifications read in one wake-up, in datagrams.
const NEWS: usize = 64;
/// The monitor's number among the sockets.
const MONITOR: u64 = u64::MAX;
/// The guards' numbers begin here.
const GUARDS: u64 = u64::MAX - 2;
/// That of nftables' monitor.
const NFTABLES_MONITOR: u64 = u64::MAX - 16;

/// All sockets of the process and the queue of work.
pub(super) struct Edge {
    netlink: Connection,
    port: u32,
    monitor: Monitor,
    outlets: Outlets,
    /// What comes in that is no advert.
    sockets: Watched<ReadySet>,
    ears: Ears,
    links: HashMap<u32, Known>,
    /// Their indices by name.
    indices: Indices,
    /// And by the name before the last one: what was added under that name is removed under it. Notifications come in
    /// heaps, and the name may be another one before anybody has heard that the interface was down.
    former: Indices,
    /// IPv6 addresses that we removed and whose notification is still to come: it does not say who asked.
    removed: Vec<(u32, IpAddr)>,
    queue: Queue,
    /// Empty; its room is used again.
    others: Vec<Action>,
    guards: Guards,
    firewall: Firewall,
    /// `rp_filter` before VMACs needed it otherwise.
    reverse_path: Option<ReversePath>,
    pub(super) sync: Sync,
    /// The configuration has routes or rules.
    watches_routing: bool,
    datagram: Vec<u8>,
    /// `log_unknown_vrids`: the sockets let all VRIDs through.
    pub(super) admit_all: bool,
}

impl Edge {
    /// Opens what does not depend on the configuration. Needs a tokio runtime.
    pub(super) fn open() -> Result<Self, Error> {
        let netlink = Connection::open(NlFamily::Route)?;
        let (monitor, sockets) = (Monitor::open()?, ReadySet::new()?);
        sockets.add(&monitor, MONITOR)?;
        let port = netlink.port()?;
        // Without, some things are told twice.
        if let Err(error) = monitor.pass_over_additions_by(port) {
            debug!("{error}");
        }
        Ok(Self {
            port,
            netlink,
            monitor,
            outlets: Outlets::open()?,
            sockets: Watched::readable_only(sockets)?,
            ears: Ears::open()?,
            links: HashMap::new(),
            indices: Indices::new(),
            former: Indices::new(),
            removed: Vec::new(),
            queue: Queue::default(),
            others: Vec::new(),
            guards: Guards::default(),
            firewall: Firewall::default(),
            reverse_path: None,
            sync: Sync::default(),
            watches_routing: false,
            datagram: vec![0; Monitor::DATAGRAM],
            admit_all: false,
        })
    }

    /// Gives the netlink sockets the receive buffers that are configured for them.
    pub(super) fn size_buffers(&self, buffers: &SocketBuffers) {
        let results = [
            self.netlink.set_receive_buffer(buffers.vrrp_command, "the netlink request socket"),
            set_receive_buffer(&self.monitor, buffers.vrrp_monitor, "the netlink monitor"),
        ];
        for error in results.into_iter().filter_map(Result::err) {
            info!("{error}");
        }
    }

    /// Listens to changes of routes and rules from now on.
    pub(super) fn watch_routing(&mut self) {
        if !std::mem::replace(&mut self.watches_routing, true)
            && let Err(error) = self.monitor.watch_routing()
        {
            info!("{error}");
        }
    }

    /// Is there queued work?
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Does what cannot wait and queues the rest, in order. Adverts come first: nothing that is told or written down keeps
    /// them waiting. What the parent is to be told at once goes to `told`.
    pub(super) fn carry_out(&mut self, actions: impl Iterator<Item = Action>, told: &mut Vec<FromChild>) {
        let mut others = std::mem::take(&mut self.others);
        for action in actions {
            match action {
                Action::SendAdvert { index, source, destination, ttl, packet, .. } => {
                    self.outlets.advert(index, Route { source, destination, hop_limit: ttl }, packet);
                }
                // It changes where adverts go.
                Action::Listen(_) | Action::RaiseLink { .. } => {
                    self.carry_out_others(&mut others, told);
                    others.push(action);
                    self.carry_out_others(&mut others, told);
                }
                other => others.push(other),
            }
        }
        self.carry_out_others(&mut others, told);
        if others.capacity() <= OTHERS {
            self.others = others;
        }
    }

    fn carry_out_others(&mut self, actions: &mut Vec<Action>, told: &mut Vec<FromChild>) {
        self.outlets.flush();
        for action in actions.drain(..) {
            match action {
                Action::Listen(listeners) => {
                    self.guards.outdate();
                    self.listen(listeners);
                }
                // They have left.
                Action::SendAdvert { .. } => {}
                Action::Log { detail: Detail::Normal, text } => info!("{text}"),
                Action::Log { detail: Detail::Detail, text } => debug!("{text}"),
                Action::RunScript { id, command, timeout } => {
                    told.push(FromChild::RunScript { id, command, timeout });
                }
                Action::KillScript { id } => told.push(FromChild::KillScript { id }),
                Action::BadAdvert { instance, source, error } => {
                    told.push(FromChild::Report(ReporterEvent::Advert { instance, source, error }));
                }
                // As scripts: when it is told, the kernel has done what it says.
                Action::Transition(transition) => {
                    self.queue.push_message(FromChild::Report(ReporterEvent::Vrrp(transition)));
                }
                Action::Alert { subject, state } => {
                    let alert = Alert::Vrrp { subject, state };
                    self.queue.push_message(FromChild::Report(ReporterEvent::Mail(alert)));
                }
                Action::Stands(transition) => {
                    self.queue.push_message(FromChild::Report(ReporterEvent::Stands(transition)));
                }
                Action::Add { owner, objects } => {
                    self.guards.outdate();
                    self.queue.push_changes(owner, Change::Add, objects);
                }
                Action::Remove { owner, objects } => {
                    self.guards.outdate();
                    let indices = &self.indices;
                    self.queue.forget(&objects, |name| indices.get(name).copied());
                    self.queue.push_changes(owner, Change::Remove, objects);
                }
                Action::Announce { targets, copies } => {
                    self.queue.push_burst(targets, copies);
                }
                Action::PromoteSecondaries { interface, on } => {
                    self.queue.push(Work::PromoteSecondaries { interface, on });
                }
                Action::MakeLink { link, index, group, master } => {
                    self.queue.push(Work::MakeLink { link, below: Below { index, group, master } });
                }
                Action::RaiseLink { index } => {
                    if let Err(error) = vmac::raise(&mut self.netlink, index) {
                        info!("{error}");
                    }
                }
                Action::RemoveLink { name } => self.queue.push(Work::RemoveLink { name }),
                // It grows before the addresses that it shields come, and shrinks when they are gone.
                Action::Firewall(wanted) => {
                    if self.firewall.want(wanted) {
                        self.queue.push(Work::Firewall);
                    } else {
                        self.firewall.apply(&self.sockets, NFTABLES_MONITOR);
                    }
                }
                Action::Sync { role, settings } => self.queue.push(Work::Sync { role, settings }),
                Action::GuardArp { interface, arp_ignore, arp_filter } => {
                    self.queue.push(Work::GuardArp { interface, arp_ignore, arp_filter });
                }
                Action::Notify { receiver, commands } => {
                    self.queue.push_message(FromChild::Notify { receiver, commands });
                }
            }
        }
    }

    /// Watches for others who announce what `held` names, when there is nothing else to do.
    pub(super) fn guard(&mut self, held: impl FnOnce() -> Vec<(u32, IpAddr)>) {
        let now = timer::now();
        if !self.is_busy() && self.guards.has_to_do(now) {
            self.guards.refresh(now, held(), self.sockets.get(), GUARDS);
        }
    }

    /// At the end: what the kernel is told to do now it need not tell us of.
    pub(super) fn stop_listening(&self) {
        if let Err(error) = self.monitor.fall_silent() {
            debug!("{error}");
        }
    }

    /// At the end, when nothing is announced or watched any more: begins to close what takes the kernel long.
    pub(super) fn begin_to_close(&mut self) {
        if let Some(arp) = self.outlets.take_arp() {
            drop_aside(arp);
        }
        self.guards.take().for_each(drop_aside);
    }

    /// What others announce, if it came by one of these sockets.
    pub(super) fn claims(&mut self, numbers: &[u64]) -> Vec<Event> {
        let links = &self.links;
        let is_ours = |mac: &[u8]| links.values().any(|known| known.mac == mac);
        self.guards.claims(timer::now(), |number| numbers.contains(&number), GUARDS, is_ours)
    }

    /// Does queued work for about a millisecond, or until something else is due: a part of it in any case. What came of it
    /// goes to `events` (for the core) and `told`.
    pub(super) fn slice(&mut self, due: Option<Time>, events: &mut Vec<Event>, told: &mut Vec<FromChild>) {
        let end = timer::now() + SLICE;
        let end = due.map_or(end, |due| due.min(end));
        while let Some(next) = self.queue.next() {
            match next {
                Next::Changes => {
                    self.change_objects(events);
                    // What is there already is announced before the rest is.
                    let targets = self.queue.early(FRAMES);
                    self.announce(&targets);
                }
                Next::Announcements => {
                    let targets = self.queue.announcements(FRAMES);
                    self.announce(&targets);
                }
                Next::Message => told.extend(self.queue.pop_message()),
                Next::Work => self.queue.pop_work().into_iter().for_each(|work| self.work(work, events)),
            }
            if timer::now() >= end {
                return;
            }
        }
        self.queue.shrink();
    }

    /// Before the first IPv4 VMAC.
    fn lower_reverse_path(&mut self) {
        if self.reverse_path.is_some() {
            return;
        }
        match sysctl::lower_reverse_path() {
            Ok(changed) => self.reverse_path = changed,
            Err(error) => info!("{error}"),
        }
    }

    /// At the end of the process.
    pub(super) fn restore_reverse_path(&mut self) {
        if let Some(Err(error)) = self.reverse_path.take().map(|saved| saved.restore()) {
            info!("{error}");
        }
    }

    /// What a successor must know to restore it.
    pub(super) fn reverse_path(&self) -> Option<&ReversePath> {
        self.reverse_path.as_ref()
    }

    /// What a predecessor that died has changed and not restored.
    pub(super) fn inherit_reverse_path(&mut self, saved: Option<ReversePath>) {
        self.reverse_path = saved;
    }

    /// Does work that is neither a change of objects nor an announcement.
    fn work(&mut self, work: Work, events: &mut Vec<Event>) {
        if let Work::MakeLink { link, .. } = &work
            && link.family == Family::V4
            && matches!(link.kind, VirtualLinkKind::Vmac { .. })
        {
            self.lower_reverse_path();
        }
        let outcome = match work {
            Work::MakeLink { link, below } => match vmac::create(&mut self.netlink, &link, below) {
                Ok(index) => {
                    // What is queued behind may be for it; the notification may come later.
                    let mac = match link.kind {
                        VirtualLinkKind::Vmac { mac, .. } => mac.to_vec(),
                        VirtualLinkKind::Ipvlan { .. } => Vec::new(),
                    };
                    self.links.entry(index).or_insert(Known::new(link.name, mac));
                    return;
                }
                Err(error) => {
                    let (errno, note) = (error.errno as i32, error.to_string());
                    events.push(Event::LinkRefused { name: link.name, errno, note });
                    return;
                }
            },
            Work::RemoveLink { name } => vmac::remove(&mut self.netlink, &name),
            Work::GuardArp { interface, arp_ignore, arp_filter } => {
                let write = |setting, value: u8| sysctl::write_v4(&interface, setting, &value.to_string());
                match write("arp_ignore", arp_ignore).and_then(|()| write("arp_filter", arp_filter)) {
                    // The interface went, and its settings with it.
                    Err(error) if error.errno == Errno::ENOENT => Ok(()),
                    other => other,
                }
            }
            Work::PromoteSecondaries { interface, on } => {
                sysctl::write_v4(&interface, "promote_secondaries", if on { "1" } else { "0" })
            }
            Work::Firewall => {
                self.firewall.apply(&self.sockets, NFTABLES_MONITOR);
                Ok(())
            }
            Work::Sync { role, settings } => {
                let refused = self.sync.run(role, &settings).err();
                events.extend(refused.map(|error| Event::SyncRefused { note: error.to_string() }));
                Ok(())
            }
        };
        if let Err(error) = outcome {
            info!("{error}");
        }
    }

    /// Sends the next few changes at the head of the queue.
    fn change_objects(&mut self, events: &mut Vec<Event>) {
        let asked = self.queue.changes(MESSAGES);
        let changes = asked.iter().map(|(_, change, object)| (*change, object));
        let answers =
            object::apply(&mut self.netlink, &self.indices, &self.former, changes).unwrap_or_else(|error| {
                info!("{error}");
                vec![Answer::Lost; asked.len()]
            });
        let mut lost = false;
        for (answer, (owner, change, object)) in answers.into_iter().zip(asked) {
            match (answer, &object) {
                (Answer::Done, Owned::Address(vip)) if change == Change::Remove && vip.address.is_ipv6() => {
                    let former = || self.former.get(&vip.interface).copied();
                    if let Some(index) = self.index(&vip.interface).or_else(former) {
                        self.removed.push((index, vip.address));
                    }
                }
                // The monitor passes over what we add ourselves.
                (Answer::Done, Owned::Address(vip)) if change == Change::Add && vip.address.is_ipv4() => {
                    let (address, prefix) = (vip.address, vip.prefix);
                    let added = |index| Event::AddressAdded { index, address, prefix };
                    events.extend(self.index(&vip.interface).map(added));
                }
                (Answer::Done, _) => {}
                (Answer::Lost, _) => lost = true,
                (Answer::Refused(Refusal { errno, note }), _) => {
                    // An errno is a small number.
                    events.push(Event::Refused { owner, object, change, errno: errno as i32, note });
                }
            }
        }
        if lost {
            events.extend(self.interfaces());
        }
    }

    fn announce(&mut self, targets: &[(u32, IpAddr)]) {
        let left = self.outlets.announce(&mut self.links, targets);
        self.queue.put_back(left);
    }

    /// Opens and closes sockets until exactly these are open.
    fn listen(&mut self, wanted: Vec<Listener>) {
        self.outlets.retain(|place| wanted.iter().any(|l| (l.index, l.family) == *place));
        for listener in &wanted {
            self.outlets.prepare((listener.index, listener.family));
        }
        self.ears.listen(wanted, self.admit_all);
    }

    /// The open sockets, for the dump.
    pub(super) fn sockets(&self) -> Vec<report::Socket> {
        self.ears.sockets(&self.outlets)
    }

    /// Waits until adverts or notifications came; the numbers of their sockets. Safe to cancel.
    pub(super) async fn ready(&self) -> Vec<u64> {
        tokio::select! {
            biased;
            numbers = self.ears.ready() => numbers,
            read = self.sockets.read(ReadySet::ready) => match read {
                Ok(numbers) => numbers,
                Err(error) => {
                    info!("waiting for notifications: {error}");
                    std::future::pending().await
                }
            }
        }
    }

    /// The same without waiting: what came already.
    pub(super) fn waiting(&self) -> Vec<u64> {
        let mut numbers = self.ears.waiting();
        numbers.extend(self.sockets.get().ready().unwrap_or_default());
        numbers
    }

    /// Adverts that came, if it is time to look for them: then nobody else tells.
    pub(super) fn look(&self, now: Time) -> Option<Vec<u64>> {
        self.ears.look_at().filter(|at| *at <= now).map(|_| self.ears.waiting())
    }

    /// When to call [`Self::look`].
    pub(super) fn look_at(&self) -> Option<Time> {
        self.ears.look_at()
    }

    /// Chooses how adverts are noticed; `slack` is how long one may lie unread.
    pub(super) fn choose(&mut self, now: Time, slack: impl FnOnce() -> Duration) {
        self.ears.choose(now, slack);
    }

    /// Hands packets of these sockets to `take`, a bounded number, each with the time since it arrived.
    pub(super) fn receive(&mut self, numbers: &[u64], take: impl FnMut(u32, Envelope, &[u8], Duration)) {
        self.ears.receive(numbers, take);
    }

    /// What the kernel told, if the monitor is among these sockets; a bounded part of it.
    pub(super) fn news(&mut self, numbers: &[u64]) -> Vec<Event> {
        let mut told = Vec::new();
        if numbers.contains(&MONITOR) {
            for _ in 0..NEWS {
                match self.monitor.read(&mut self.datagram, &mut told) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        info!("reading interface notifications: {error}");
                        break;
                    }
                }
            }
        }
        let mut news: Vec<Event> = told.into_iter().filter_map(|event| self.translate(event)).collect();
        if numbers.contains(&NFTABLES_MONITOR) {
            news.extend(self.firewall.news(&mut self.datagram));
        }
        news
    }

    fn translate(&mut self, event: monitor::Event) -> Option<Event> {
        match event {
            monitor::Event::Link(link) => {
                self.know(&link);
                Some(Event::Link(link))
            }
            monitor::Event::LinkGone(link) => {
                if let Some(known) = self.links.remove(&link.index) {
                    self.indices.remove(&known.name);
                }
                self.removed.retain(|(index, _)| *index != link.index);
                self.former.retain(|_, index| *index != link.index);
                Some(Event::LinkDeleted { index: link.index })
            }
            // It is told again when duplicate address detection is over.
            monitor::Event::Address(address) if !address.is_usable() => None,
            monitor::Event::Address(Address { index, address, prefix, .. }) => {
                Some(Event::AddressAdded { index, address, prefix })
            }
            monitor::Event::AddressGone { address: Address { index, address, prefix, .. }, port } => {
                let recorded = self.removed.iter().position(|gone| *gone == (index, address));
                let by = match recorded {
                    Some(place) => {
                        self.removed.swap_remove(place);
                        Requester::Us
                    }
                    None => self.requester(port),
                };
                Some(Event::AddressDeleted { index, address, prefix, by })
            }
            monitor::Event::RouteGone { route, port } => {
                Some(Event::RouteDeleted { route, by: self.requester(port) })
            }
            monitor::Event::RouteReplaced { route, port } => {
                Some(Event::RouteReplaced { by_route: route, by: self.requester(port) })
            }
            monitor::Event::RuleGone { rule, port } => {
                Some(Event::RuleDeleted { rule, by: self.requester(port) })
            }
            monitor::Event::Resync => self.interfaces(),
        }
    }

    /// A program's first netlink socket has the program's number for its port; further ones have numbers that are
    /// nobody's, and 0 is the kernel.
    fn requester(&self, port: u32) -> Requester {
        if port == self.port {
            return Requester::Us;
        }
        match i32::try_from(port) {
            Ok(0) | Err(_) => Requester::Other,
            Ok(id) => Requester::Program(match process::name(id) {
                Some(name) => format!("{name} (process {id})"),
                None => format!("process {id}, which has ended"),
            }),
        }
    }

    /// Everything the kernel knows now. `None` if it does not tell (which is logged).
    pub(super) fn interfaces(&mut self) -> Option<Event> {
        match link::interfaces(&mut self.netlink) {
            Ok(interfaces) => {
                self.links.clear();
                self.indices.clear();
                self.removed.clear();
                for interface in &interfaces {
                    self.know(&interface.link);
                }
                let links = &self.links;
                self.former.retain(|_, index| links.contains_key(index));
                Some(Event::Interfaces(interfaces))
            }
            Err(error) => {
                info!("{error}");
                None
            }
        }
    }

    fn know(&mut self, link: &Link) {
        let known = Known::new(link.name.clone(), link.mac.clone());
        self.indices.insert(link.name.clone(), link.index);
        self.former.remove(&link.name);
        if let Some(before) = self.links.insert(link.index, known).filter(|before| before.name != link.name) {
            self.indices.remove(&before.name);
            self.former.retain(|_, index| *index != link.index);
            self.former.insert(before.name, link.index);
        }
    }

    fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }
}
