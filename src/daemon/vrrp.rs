//! The vrrp process: drives the core of `crate::vrrp` with the clock, the sockets and the parent's messages.
//!
//! One loop, one thread. Each turn serves what is due by the clock, then one slice of slow kernel work, then whatever
//! came first: the alarm, the parent, adverts, notifications. Every part is bounded, so an advert is never later than
//! a slice. It decides nothing: what to do says the core, when to do it says its deadline.

use std::time::Duration;

use caps::Capability;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info};

use super::child::Parent;
use super::dump;
use super::exit::Exit;
use super::ipc::{Dump, FromChild, Order, Reading, ToChild};
use super::litter::Litter;
use super::options::Options;
use super::promptness::Promptness;
use super::vrrp_io::Edge;
use super::vrrp_scribe::Scribe;
use crate::config::model::VrrpPart;
use crate::kernel::calendar::WallTime;
use crate::kernel::error::Error;
use crate::kernel::process;
use crate::kernel::sysctl::{self, ReversePath};
use crate::kernel::timer::{Timer, now, wall_clock_at_zero};
use crate::report::clock::Clock;
use crate::report::json::json;
use crate::report::vrrp::{self as report, Socket, View};
use crate::time::Time;
use crate::vrrp::{Action, Actions, Detail, Event, Release, Router, State};

/// The parent is told the state at most this often, unless an instance changed its own.
const STATE_INTERVAL: Duration = Duration::from_millis(100);
/// And even then telling takes no more than this part of the time: the state of a thousand instances is a long text.
const STATE_SHARE: u32 = 20;

/// An advert counts from its arrival, not from when we got to it, if that was so long ago at most. Beyond, this process
/// was held up, and what waits in its socket may be all there was room for: then it counts from now.
const LATENCY: Duration = Duration::from_millis(30);
/// In a flood of adverts the event loop looks at signals and the parent after this many wake-ups.
const TURNS: u32 = 16;
/// Room for actions and messages that is kept; what a thousand instances do at once needs more for a moment.
const ROOM: usize = 256;
/// The parent is told so much in one turn of the loop.
const TELLS: usize = 64;
/// A removal of addresses that takes longer goes on while sockets are closed.
const CLOSING: Duration = Duration::from_millis(3);
/// Rounds of packets that are heard before something overdue is done.
const CATCH_UP: usize = 32;
/// Rounds of adverts that are sent before anything else is done.
const ROUNDS: usize = 128;

/// Lives until the parent says stop or is gone.
pub async fn run(options: &Options, parent: Parent<VrrpPart>) -> Exit {
    match Vrrp::new(options, parent) {
        Ok(vrrp) => Box::pin(vrrp.live()).await,
        Err(error) => {
            info!("{error}");
            if error.errno == nix::errno::Errno::EPERM { Exit::MissingPermission } else { Exit::Fatal }
        }
    }
}

struct Vrrp<'a> {
    options: &'a Options,
    parent: Parent<VrrpPart>,
    edge: Edge,
    timer: Timer,
    promptness: Promptness,
    running: Option<Router>,
    prepared: Option<Prepared>,
    /// What was told before there was a core.
    early: Vec<Event>,
    out: Actions,
    told: Vec<FromChild>,
    news: News,
    scribe: Scribe,
    /// The state is told again then, if there is something new.
    tell_at: Time,
    litter: Litter,
    clock: Forwards,
    /// The core's, as of the last turn of the loop: the alarm may ring earlier.
    deadline: Option<Time>,
}

/// Signed adverts carry the time of the day.
fn tell_wall_clock(router: &mut Router, at: Time, out: &mut Actions) {
    if router.needs_wall_clock() {
        let at_zero = wall_clock_at_zero();
        router.handle(at, Event::WallClock { at_zero }, out);
    }
}

/// For the core time never goes back, although an advert is told with the time of its arrival.
#[derive(Default)]
struct Forwards(Time);

impl Forwards {
    fn at(&mut self, moment: Time) -> Time {
        self.0 = self.0.max(moment);
        self.0
    }
}

struct Prepared {
    generation: u64,
    part: VrrpPart,
    state: Option<Vec<u8>>,
}

/// What the parent does not know of our state yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    None,
    /// Can wait a little.
    Some,
    /// An instance changed its state.
    Important,
}

impl<'a> Vrrp<'a> {
    fn new(options: &'a Options, parent: Parent<VrrpPart>) -> Result<Self, Error> {
        Ok(Self {
            options,
            parent,
            edge: Edge::open()?,
            timer: Timer::new()?,
            promptness: Promptness::default(),
            running: None,
            prepared: None,
            early: Vec::new(),
            out: Vec::new(),
            told: Vec::new(),
            news: News::None,
            scribe: Scribe::default(),
            tell_at: Time::ZERO,
            litter: Litter::default(),
            clock: Forwards::default(),
            deadline: None,
        })
    }

    async fn live(mut self) -> Exit {
        let mut turns = 0_u32;
        loop {
            if let Some(adverts) = self.edge.look(now()) {
                self.receive(&adverts);
            }
            self.listen_before_acting();
            self.serve();
            self.report();
            self.promptness.heed_warning();
            if let Some(router) = &self.running {
                self.edge.choose(now(), || router.slack());
            }
            self.deadline = self.running.as_ref().and_then(Router::deadline);
            let tidying = self.litter.due(now());
            let alarm =
                [self.deadline, self.report_due(), self.edge.look_at(), tidying].into_iter().flatten().min();
            if let Err(error) = self.timer.set_by(alarm) {
                info!("{error}");
                return Exit::Fatal;
            }
            tokio::select! {
                biased;
                rang = self.timer.ring() => if let Err(error) = rang {
                    info!("{error}");
                    return Exit::Fatal;
                },
                received = self.parent.next() => {
                    if received.message == ToChild::Stop {
                        return self.stop().await;
                    }
                    self.hear(received.message);
                }
                numbers = self.edge.ready() => {
                    self.receive(&numbers);
                    turns = (turns + 1) % TURNS;
                    // A large change brings a notification with every slice. The event loop must see in between whether
                    // an advert came: it may end the whole.
                    if turns == 0 || self.edge.is_busy() {
                        tokio::task::yield_now().await;
                    }
                }
                () = tokio::task::yield_now(), if self.edge.is_busy() || !self.told.is_empty() => {}
            }
        }
    }

    /// When something is due, hears first what has come meanwhile. A process that got no processor for longer than the
    /// master-down time would otherwise take over from a master whose adverts wait in its own socket.
    fn listen_before_acting(&mut self) {
        for _ in 0..CATCH_UP {
            if !self.is_due() {
                return;
            }
            // What is heard may put the deadline off; that is seen when the timer finds nothing to do.
            let numbers = self.edge.waiting();
            if numbers.is_empty() {
                return;
            }
            self.receive(&numbers);
        }
    }

    fn is_due(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now())
    }

    /// What is due by the clock, then a slice of queued work, which ends when something else is due.
    fn serve(&mut self) {
        self.advertise();
        if self.is_due()
            && let Some(router) = &mut self.running
        {
            let now = self.clock.at(now());
            tell_wall_clock(router, now, &mut self.out);
            router.handle(now, Event::Timer, &mut self.out);
            self.carry_out();
            self.deadline = self.running.as_ref().and_then(Router::deadline);
        }
        if self.edge.is_busy() {
            let mut events = Vec::new();
            let had_changed = self.edge.reverse_path().is_some();
            self.edge.slice(self.deadline, &mut events, &mut self.told);
            if self.edge.reverse_path().is_some() != had_changed {
                self.news = News::Important;
            }
            self.handle(events);
        }
        if let Some(router) = &self.running {
            self.edge.guard(|| router.guarded());
        }
    }

    /// Sends the adverts that are due, the earliest ones first, each with the time at which it is made: so those of many
    /// instances that came up together keep the distance that they had then.
    fn advertise(&mut self) {
        for _ in 0..ROUNDS {
            if !self.is_due() {
                return;
            }
            let Some(router) = &mut self.running else { return };
            let now = self.clock.at(now());
            if let Some(due) = self.deadline {
                self.promptness.served(due, now);
            }
            tell_wall_clock(router, now, &mut self.out);
            let urged = router.urge(now, &mut self.out);
            self.deadline = router.deadline();
            if urged > 0 {
                self.carry_out();
            }
            if urged < Router::TOGETHER {
                return;
            }
            let numbers = self.edge.waiting();
            if !numbers.is_empty() {
                self.receive(&numbers);
                self.deadline = self.running.as_ref().and_then(Router::deadline);
            }
        }
    }

    fn receive(&mut self, numbers: &[u64]) {
        if let Some(router) = &mut self.running {
            let (out, clock) = (&mut self.out, &mut self.clock);
            tell_wall_clock(router, clock.0, out);
            self.edge.receive(numbers, |index, envelope, packet, age| {
                let at = clock.at(if age <= LATENCY { now() - age } else { now() });
                router.advert(at, index, envelope, packet, out);
            });
            self.carry_out();
        }
        let news = self.edge.news(numbers);
        self.handle(news);
        let claims = self.edge.claims(numbers);
        self.handle(claims);
    }

    fn handle(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let Some(router) = &mut self.running else { return };
            let now = self.clock.at(now());
            tell_wall_clock(router, now, &mut self.out);
            router.handle(now, event, &mut self.out);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        let news = |action: &Action| match action {
            Action::SendAdvert { .. }
            | Action::Announce { .. }
            | Action::BadAdvert { .. }
            | Action::Log { .. } => News::None,
            Action::Transition(_) => News::Important,
            _ => News::Some,
        };
        let news = self.out.iter().map(news).max().unwrap_or(News::None);
        if news == News::Important {
            self.litter.leave(now());
        }
        self.news = self.news.max(news);
        self.edge.carry_out(self.out.drain(..), &mut self.told);
        self.litter.shrink(&mut self.out, ROOM);
    }

    /// Tells the parent what there is to tell.
    fn report(&mut self) {
        let some = self.told.len().min(TELLS);
        self.parent.tell_all(self.told.drain(..some));
        self.litter.shrink(&mut self.told, ROOM);
        let Some(router) = &self.running else { return };
        let is_writing = self.scribe.is_writing();
        if !is_writing && self.news == News::None {
            return self.tidy();
        }
        if self.edge.is_busy() || self.deadline.is_some_and(|deadline| deadline <= now()) {
            return;
        }
        if self.news > News::None {
            let wait = if self.news == News::Important { Duration::ZERO } else { STATE_INTERVAL };
            if !is_writing && now() < self.tell_at + wait {
                return;
            }
            self.scribe.begin();
            self.news = News::None;
        }
        match self.scribe.write(router, self.deadline) {
            Ok(Some((state, spent))) => {
                let begin = now();
                match postcard::to_extend(&self.edge.reverse_path(), state) {
                    Ok(state) => self.parent.tell(&FromChild::State(state)),
                    Err(error) => info!("writing down the settings of the host: {error}"),
                }
                let end = now();
                self.tell_at = end + (spent + end.since(begin)) * STATE_SHARE;
            }
            Ok(None) => {}
            Err(error) => info!("writing down the state of the instances: {error}"),
        }
    }

    /// When the state is to be told although nothing else happens.
    fn report_due(&self) -> Option<Time> {
        let is_waiting = self.running.is_some() && !self.edge.is_busy();
        let at = match self.news {
            _ if self.scribe.is_writing() => Some(Time::ZERO),
            News::Important => Some(self.tell_at),
            News::Some | News::None => None,
        };
        at.filter(|_| is_waiting)
    }

    /// Some time after a change of the configuration or of many instances, when there is nothing else to do.
    fn tidy(&mut self) {
        if !self.edge.is_busy() && self.litter.is_due(now(), self.deadline) {
            self.running.iter_mut().for_each(Router::rest);
            self.litter.clear();
        }
    }

    fn hear(&mut self, message: ToChild<VrrpPart>) {
        match message {
            ToChild::Prepare { generation, part, state } => {
                let plan = super::vrrp_plan::plan(self.running.as_ref().map(Router::part), &part);
                self.prepared = Some(Prepared { generation, part, state });
                self.told.push(FromChild::Prepared { generation, plan });
            }
            ToChild::Commit { generation } => {
                if let Some(prepared) = self.prepared.take_if(|prepared| prepared.generation == generation) {
                    self.promptness.ease();
                    self.commit(prepared);
                    self.promptness.resume();
                    self.told.push(FromChild::Committed { generation });
                } else {
                    debug!("configuration {generation} was never prepared");
                }
            }
            ToChild::Abort { .. } => self.prepared = None,
            ToChild::ScriptEnded { id, end } => self.tell(Event::ScriptEnded { id, end }),
            ToChild::ScriptsRunning(runs) => self.tell(Event::ScriptsRunning(runs)),
            ToChild::Reading(reading) => self.tell(match reading {
                Reading::File { name, value } => Event::File { name, value },
                Reading::Processes { name, count } => Event::Processes { name, count },
                Reading::Link { name, way, up } => Event::Polled { name, way, up },
                Reading::Bfd { name, up } => Event::Bfd { name, up },
            }),
            ToChild::Dump(dump) => self.dump(dump),
            ToChild::Snapshot(_) => self.snapshot(),
            ToChild::Order(order) => self.order(&order),
            // The loop ends on the one and the checkers alone hear the other.
            ToChild::Stop | ToChild::Prober => {}
        }
    }

    /// Gives the core an event of the parent's, also one that comes before the first configuration.
    fn tell(&mut self, event: Event) {
        self.news = self.news.max(News::Some);
        if self.running.is_some() {
            self.handle([event]);
        } else {
            self.early.push(event);
        }
    }

    /// Makes a prepared configuration the running one.
    fn commit(&mut self, Prepared { part, state, .. }: Prepared) {
        self.litter.leave(now());
        // What is half written of the state is worth nothing now.
        self.news = self.news.max(News::Some);
        self.edge.admit_all = part.global.log_unknown_vrids;
        self.edge.sync.prepare(&part.global);
        self.adapt_process(&part);
        let before = self.running.as_ref().map(|router| router.part().global.buffers);
        if before.is_none_or(|before| before != part.global.buffers) {
            self.edge.size_buffers(&part.global.buffers);
        }
        if part.has_routing() {
            self.edge.watch_routing();
        }
        if let Some(router) = &mut self.running {
            info!("Reloading");
            tell_wall_clock(router, self.clock.0, &mut self.out);
            router.reconfigure(&part, self.clock.at(now()), &mut self.out);
            self.carry_out();
            return;
        }
        let predecessor = state.and_then(|bytes| match postcard::take_from_bytes::<State>(&bytes) {
            Ok((state, rest)) => {
                // What was changed on the host stands behind the core.
                if let Ok(saved) = postcard::from_bytes::<Option<ReversePath>>(rest) {
                    self.edge.inherit_reverse_path(saved);
                }
                Some(state)
            }
            Err(error) => {
                info!("the state of the predecessor cannot be read ({error}): starting afresh");
                None
            }
        });
        let mut router = match predecessor {
            Some(state) => Router::resume(&part, state, &mut self.out),
            None => Router::owning(part),
        };
        if LevelFilter::current() < LevelFilter::DEBUG {
            router.set_detail(Detail::Normal);
        }
        self.running = Some(router);
        let early = std::mem::take(&mut self.early);
        self.handle(early);
        let interfaces = self.edge.interfaces();
        self.carry_out();
        self.handle(interfaces);
        // Stock has no sockets yet when it tells.
        if self.options.dump_config
            && let Some(text) = self.data(&[])
        {
            dump::log_at_start(&text);
        }
    }

    /// Name and scheduling as configured; after the first configuration the rights that are not needed go.
    fn adapt_process(&mut self, part: &VrrpPart) {
        if let Err(error) = process::set_name(&part.global.process_names.vrrp) {
            info!("{error}");
        }
        self.promptness.take_on(&part.global, &part.global.vrrp_scheduling);
        if self.running.is_none() {
            if part.global.disable_local_igmp
                && let Err(error) = sysctl::no_link_local_reports()
            {
                info!("kernel does not support disabling of IGMP reports for link-local groups: {error}");
            }
            let needed = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
            if let Err(why) = self.promptness.keep_rights(&needed) {
                info!("cannot give up rights that are not needed: {why}");
            }
        }
    }

    /// What `keepalived.data` holds now.
    fn data(&self, sockets: &[Socket]) -> Option<String> {
        let router = self.running.as_ref()?;
        let now = now();
        let wall = WallTime::now();
        let clock = Clock { now, epoch: wall.epoch, utc_offset: wall.utc_offset };
        let snapshot = router.snapshot(now);
        Some(report::data(View { part: router.part(), snapshot: &snapshot, clock, sockets }))
    }

    /// Does what somebody who may asks for. What it changes holds until the next reload.
    fn order(&mut self, order: &Order) {
        let Some(router) = &mut self.running else { return };
        let Some(name) = order.instance().map(str::to_owned) else { return };
        self.news = self.news.max(News::Some);
        let mut part = router.part().clone();
        let Some(instance) = part.instances.iter_mut().find(|it| it.name == name) else { return };
        tell_wall_clock(router, self.clock.0, &mut self.out);
        let now = self.clock.at(now());
        match *order {
            Order::SendGarp { .. } => router.announce(&name, now, &mut self.out),
            Order::SetPriority { priority, .. } => {
                info!("({name}) priority set to {} by SNMP", priority.get());
                instance.priority = priority;
                router.reconfigure(&part, now, &mut self.out);
            }
            Order::SetPreempt { preempt, .. } => {
                info!("({name}) preemption set {} by SNMP", if preempt { "on" } else { "off" });
                instance.preempt = preempt;
                router.reconfigure(&part, now, &mut self.out);
            }
            // The checkers'.
            Order::SetWeight { .. } | Order::Drain { .. } | Order::Drained { .. } => {}
        }
        self.carry_out();
    }

    /// Tells the reporter how things are.
    fn snapshot(&mut self) {
        let Some(router) = &self.running else { return };
        match postcard::to_stdvec(&router.snapshot(now())) {
            Ok(bytes) => self.told.push(FromChild::Snapshot(bytes)),
            Err(error) => info!("writing down how the instances are: {error}"),
        }
    }

    fn dump(&mut self, what: Dump) {
        if matches!(what, Dump::Data | Dump::Saved { .. }) {
            let text = self.data(&self.edge.sockets());
            self.told.extend(text.map(|text| FromChild::Dumped { dump: what, text }));
            return;
        }
        let Some(router) = &mut self.running else { return };
        let part = router.part();
        let now = now();
        let snapshot = router.snapshot(now);
        let wall = WallTime::now();
        let clock = Clock { now, epoch: wall.epoch, utc_offset: wall.utc_offset };
        match what {
            Dump::Data | Dump::Saved { .. } => {}
            Dump::Stats | Dump::StatsClear => {
                self.told.push(FromChild::Dumped { dump: what, text: report::stats(part, &snapshot) });
                if what == Dump::StatsClear {
                    router.clear_counters();
                }
            }
            Dump::Json => {
                if let Some(text) = json(part, &snapshot, clock) {
                    self.told.push(FromChild::Dumped { dump: what, text });
                }
            }
        }
    }

    /// Releases everything, as the command line says, and takes leave of the parent.
    async fn stop(mut self) -> Exit {
        let release = match (self.options.keep_vrrp, self.options.release_vips) {
            (true, _) => Release::Nothing,
            (false, true) => Release::All,
            (false, false) => Release::Ours,
        };
        if let Some(mut router) = self.running.take() {
            let now = self.clock.at(now());
            tell_wall_clock(&mut router, now, &mut self.out);
            router.resign(now, release, &mut self.out);
            self.carry_out();
            router.leave(now, release, &mut self.out);
        }
        self.carry_out();
        self.edge.stop_listening();
        let (mut ignored, begin) = (Vec::new(), now());
        while self.edge.is_busy() {
            self.edge.slice(None, &mut ignored, &mut self.told);
            // Many addresses: the kernel closes meanwhile. A few would wait for that.
            if release != Release::Nothing && now().since(begin) > CLOSING {
                self.edge.begin_to_close();
            }
        }
        self.edge.begin_to_close();
        if release != Release::Nothing {
            self.edge.restore_reverse_path();
        }
        self.parent.tell_all(self.told.drain(..));
        self.parent.tell(&FromChild::Stopped);
        self.parent.flush().await;
        Exit::Success
    }
}
