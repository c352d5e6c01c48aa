//! The checkers process: schedules, health arithmetic, IPVS. What it decides is in [`super::director`]; here are its
//! sockets, its clock, its start and its end. spec/ipvs-behaviour.md §3, §5, §6.
//!
//! It reads no file and no foreign bytes: probes are the prober's, scripts the parent's.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use caps::Capability;
use serde::{Deserialize, Serialize};
use tracing::info;

use self::probing::answer;
use super::checkers_hosted::{self, Hosted};
use super::checkers_table::IpvsTable;
use super::child::Parent;
use super::counts::Counts;
use super::director::{Director, Orders, Release, ScriptRequest, Settings, State};
use super::dump;
use super::exit::Exit;
use super::ipc::{Channel, Dump, FromChild, FromProber, Order, Reading, Received, ToChild, ToProber};
use super::options::Options;
use super::packed::PackedCheckers;
use super::promptness::Promptness;
use crate::config::model::{
    CheckersPart, FlushOnStop, Global, IpvsNamespace, LvsTimeouts, SocketBuffers, Ssl, TlsProfile, TrackFile,
    VirtualServerGroup,
};
use crate::kernel::error::Error;
use crate::kernel::ipvs::Ipvs;
use crate::kernel::memory;
use crate::kernel::process;
use crate::kernel::timer::{Timer, now};
use crate::lvs::arrangement::{Arranged, Arrangement, Marking, arrange, plan};
use crate::lvs::marks::{MarkTable, Marks, SavedMarks};
use crate::time::Time;

mod probing; // the prober: what is asked, what is heard
mod reporting; // dumps and snapshots

/// After a turn of starting checks the next one waits this long at least: where checks are many, they start by the dozen. None
/// is early, and none is later than this.
const REST: Duration = Duration::from_millis(2);

/// From a new configuration until memory is given back.
const TIDY_PAUSE: Duration = Duration::from_secs(4);

/// What IPVS and the probes' sockets need: the table, marks and interfaces of sockets, low local ports.
const RIGHTS: [Capability; 3] =
    [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_NET_BIND_SERVICE];

/// Plays the role until it is over.
pub async fn run(options: Options, channel: OwnedFd) -> Result<Exit, Error> {
    let mut checkers = Checkers {
        parent: Parent::new(channel, &options)?,
        prober: None,
        timer: Timer::new()?,
        promptness: Promptness::default(),
        director: Director::default(),
        table: IpvsTable::default(),
        options,
        prepared: None,
        running: None,
        counts: Counts::default(),
        random: Random::seeded(),
        presented: Vec::new(),
        state_due: None,
        state_rest: Time::ZERO,
        marks: Marks::new(),
        marks_due: None,
        sync_due: None,
        tidy_due: None,
        scripts: HashSet::new(),
        numbers: HashMap::new(),
        sessions: HashMap::new(),
        hosted: None,
    };
    checkers.director.numbering_from(u64::from(std::process::id()) << 32);
    let mut rested = Time::ZERO;
    loop {
        let checks = checkers.director.deadline().map(|deadline| deadline.max(rested));
        let others = [checkers.state_due, checkers.marks_due, checkers.sync_due, checkers.tidy_due];
        let deadline = others.into_iter().chain([checks]).flatten().min();
        checkers.timer.set(deadline)?;
        let mut orders = Orders::default();
        tokio::select! {
            biased;
            received = checkers.parent.next() => {
                if checkers.heard(received, &mut orders).await == Step::End {
                    return Ok(Exit::Success);
                }
            }
            ring = checkers.timer.ring() => {
                ring?;
                if let Some(due) = deadline {
                    checkers.promptness.served(due, now());
                }
                checkers.mark_again();
                checkers.tidy();
                let now = now();
                checkers.director.due(now, &mut checkers.table, &mut orders);
                rested = now + REST;
            }
            answer = answer(&mut checkers.prober) => checkers.probed(answer, &mut orders),
            changes = checkers_hosted::changes(&mut checkers.hosted) => {
                let random = &mut checkers.random;
                checkers.director.hosts(&changes, now(), &mut || random.next(), &mut orders);
            }
        }
        checkers.carry_out(orders);
        checkers.promptness.heed_warning();
    }
}

/// A configuration that could be carried out.
struct Prepared {
    generation: u64,
    common: Common,
    arrangement: Arrangement,
    saved: Option<Saved>,
}

/// What runs.
struct Running {
    common: Common,
    virtual_servers: Vec<Arranged>,
    mark_table: Option<MarkTable>,
}

/// The part of a configuration that belongs to no virtual server.
struct Common {
    global: Global,
    groups: Vec<VirtualServerGroup>,
    ssl: Option<Ssl>,
    tls_profiles: Vec<TlsProfile>,
    bfd_instances: Vec<String>,
    track_files: Vec<TrackFile>,
}

/// What the parent keeps for a successor.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u8,
    original_timeouts: Option<LvsTimeouts>,
    marks: SavedMarks,
    director: State,
}

/// Does the process go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    GoOn,
    End,
}

struct Checkers {
    parent: Parent<PackedCheckers>,
    prober: Option<Channel<ToProber, FromProber>>,
    timer: Timer,
    promptness: Promptness,
    director: Director,
    table: IpvsTable,
    options: Options,
    prepared: Option<Prepared>,
    running: Option<Running>,
    /// What was last read of the kernel's statistics.
    counts: Counts,
    random: Random,
    /// What the prober was told of TLS; empty while it knows only what it is born with.
    presented: Vec<TlsProfile>,
    /// When the parent is told the state: at once after a rest, for who is lost next is gone without a word.
    state_due: Option<Time>,
    /// Until when it is not told again.
    state_rest: Time,
    /// The marks of virtual server groups (`nftables_ipvs`).
    marks: Marks,
    /// When nftables is asked again for what it refused.
    marks_due: Option<Time>,
    /// When the kernel is asked again for the sync daemons that it refused.
    sync_due: Option<Time>,
    /// When memory that a new configuration needed is given back.
    tidy_due: Option<Time>,
    /// The scripts that the parent runs for us.
    scripts: HashSet<u64>,
    /// The numbers in tracked files.
    numbers: HashMap<String, i32>,
    /// The BFD sessions that were told of: are they up?
    sessions: HashMap<String, bool>,
    /// The addresses on this host, while `ha_suspend` asks for them.
    hosted: Option<Hosted>,
}

impl Checkers {
    async fn heard(&mut self, received: Received<ToChild<PackedCheckers>>, orders: &mut Orders) -> Step {
        match received.message {
            ToChild::Prepare { generation, part, state } => self.prepare(generation, part, state),
            ToChild::Commit { generation } => {
                if let Some(prepared) = self.prepared.take_if(|it| it.generation == generation) {
                    self.promptness.ease();
                    self.commit(prepared, orders);
                    self.promptness.resume();
                    // What was done is logged before the parent says that it is complete.
                    self.carry_out(std::mem::take(orders));
                    self.parent.tell(&FromChild::Committed { generation });
                }
            }
            ToChild::Abort { generation } => {
                self.prepared.take_if(|it| it.generation == generation);
            }
            ToChild::Prober => self.meet_prober(received.descriptor, orders),
            ToChild::Dump(Dump::Data) => self.dump(),
            ToChild::Snapshot(extent) => self.snapshot(extent),
            ToChild::Order(order) => self.order(order, orders),
            ToChild::Dump(_) | ToChild::ScriptsRunning(_) => {}
            ToChild::Reading(reading) => self.read(reading, orders),
            ToChild::ScriptEnded { id, end } => {
                self.scripts.remove(&id);
                self.director.script_ended(id, end, now(), &mut self.table, orders);
            }
            ToChild::Stop => {
                self.stop(orders);
                self.carry_out(std::mem::take(orders));
                self.parent.tell(&FromChild::Stopped);
                self.parent.flush().await;
                return Step::End;
            }
        }
        Step::GoOn
    }

    fn prepare(&mut self, generation: u64, part: PackedCheckers, state: Option<Vec<u8>>) {
        let PackedCheckers { common, virtual_servers } = part;
        let CheckersPart { global, groups, ssl, tls_profiles, bfd_instances, track_files, .. } = common;
        let common = Common { global, groups, ssl, tls_profiles, bfd_instances, track_files };
        let saved = state.and_then(|bytes| Saved::read(&bytes));
        let before = saved.as_ref().map_or_else(|| self.marks.clone(), |saved| saved.marks.clone().into());
        let marking = Marking {
            settings: common.global.nftables_ipvs.as_ref(),
            counters: common.global.nftables.counters,
            before: Some(&before),
        };
        let known = self.running.as_ref().map_or(&[][..], |running| &running.virtual_servers);
        let mut damage = None;
        let virtual_servers = virtual_servers
            .sharing()
            .map_while(|server| server.map_err(|error| damage = Some(error.to_string())).ok());
        let arrangement = arrange(virtual_servers, known, &common.groups, marking);
        let arrangement = damage.map_or(arrangement, |damage| Err(vec![damage])).and_then(|arrangement| {
            // A later configuration may need the table, but cannot enter another namespace any more.
            let elsewhere = common.global.net_namespace_ipvs != IpvsNamespace::Same;
            if arrangement.virtual_servers.is_empty() && !elsewhere {
                return Ok(arrangement);
            }
            match self.table.open(&common.global.net_namespace_ipvs) {
                Err(reason) if !arrangement.virtual_servers.is_empty() => Err(vec![reason]),
                _ => Ok(arrangement),
            }
        });
        let answer = match arrangement {
            Err(reasons) => FromChild::Refused { generation, reasons },
            Ok(arrangement) => {
                let known = self.running.as_ref().map_or(&[][..], |running| &running.virtual_servers);
                let plan = plan(known, &arrangement.virtual_servers);
                self.prepared = Some(Prepared { generation, common, arrangement, saved });
                FromChild::Prepared { generation, plan }
            }
        };
        self.parent.tell(&answer);
    }

    fn commit(&mut self, prepared: Prepared, orders: &mut Orders) {
        let Prepared { common, arrangement, saved, .. } = prepared;
        let global = &common.global;
        let before = self.running.as_ref().map(|running| running.common.global.clone());
        self.take_on(global, before.as_ref());
        orders.log.extend(arrangement.remarks);
        let first = before.is_none();
        if !first {
            info!("Reloading");
        }
        let adopting = saved.is_some();
        let state = saved.map(|saved| {
            self.table.original_timeouts = saved.original_timeouts;
            saved.director
        });
        self.table.size_buffer(global.buffers.lvs_command);
        self.table.set_timeouts(global.lvs_timeouts, before.as_ref().map(|global| global.lvs_timeouts));
        self.sync_due = self.table.set_sync(global, before.as_ref(), now());
        if first
            && global.lvs_flush
            && !adopting
            && let Some(Err(error)) = self.table.ipvs.as_mut().map(Ipvs::flush)
        {
            info!("{error}");
        }
        let settings = Settings {
            virtual_servers: arrangement.virtual_servers.clone(),
            groups: common.groups.clone(),
            init_notifies: global.rs_init_notifies,
            log_all_failures: global.checker_log_all_failures,
            share_checks: global.share_checks,
            mail_changes_only: global.no_checker_emails,
        };
        // Before the first check that needs it.
        self.present(&common.tls_profiles);
        self.watch_addresses(&arrangement.virtual_servers, &common.global.buffers, orders);
        let random = &mut self.random;
        self.director.run(settings, state, now(), &mut || random.next(), &mut self.table, orders);
        self.numbers.retain(|name, _| common.track_files.iter().any(|file| file.name == *name));
        for (name, number) in &self.numbers {
            self.director.number(name, *number, now(), &mut self.table, orders);
        }
        for (name, up) in self.sessions.iter().filter(|(name, _)| common.bfd_instances.contains(name)) {
            self.director.session(name, *up, now(), &mut self.table, orders);
        }
        // The services are there before packets are led to them.
        self.marks = arrangement.marks;
        let (virtual_servers, mark_table) = (arrangement.virtual_servers, arrangement.mark_table);
        self.marks_due = self.table.mark(mark_table.as_ref(), now());
        self.running = Some(Running { common, virtual_servers, mark_table });
        memory::trim();
        self.tidy_due = Some(now() + TIDY_PAUSE);
        if first
            && self.options.dump_config
            && let Some(text) = self.data()
        {
            dump::log_at_start(&text);
        }
        if first && let Err(problem) = self.promptness.keep_rights(&RIGHTS) {
            info!("Health checkers: keeping more rights than needed: {problem}");
        }
    }

    /// The first checks were made.
    fn tidy(&mut self) {
        if self.tidy_due.is_some_and(|due| due <= now()) {
            self.tidy_due = None;
            self.director.rest();
            memory::trim();
            memory::trim_stack();
            memory::let_go_of_code();
        }
    }

    /// Asks once more for marks and sync daemons that were refused.
    fn mark_again(&mut self) {
        let Some(running) = &self.running else { return };
        if self.marks_due.is_some_and(|due| due <= now()) {
            self.marks_due = self.table.mark(running.mark_table.as_ref(), now());
        }
        if self.sync_due.is_some_and(|due| due <= now()) {
            self.sync_due = self.table.set_sync(&running.common.global, None, now());
        }
    }

    /// Looks at the addresses of this host as long as some virtual server's checks depend on them.
    fn watch_addresses(
        &mut self,
        virtual_servers: &[Arranged],
        buffers: &SocketBuffers,
        orders: &mut Orders,
    ) {
        let wanted = virtual_servers.iter().any(|arranged| arranged.config.ha_suspend);
        if !wanted {
            self.hosted = None;
        } else if self.hosted.is_none() {
            match Hosted::open(buffers) {
                Ok((hosted, changes)) => {
                    self.hosted = Some(hosted);
                    self.director.forget_hosted();
                    let random = &mut self.random;
                    self.director.hosts(&changes, now(), &mut || random.next(), orders);
                }
                Err(error) => info!("{error}"),
            }
        }
    }

    /// What an operator wants.
    fn order(&mut self, order: Order, orders: &mut Orders) {
        let (id, answer) = match order {
            Order::SendGarp { .. } | Order::SetPriority { .. } | Order::SetPreempt { .. } => return,
            Order::SetWeight { virtual_server, real_server, weight } => {
                return self.set_weight(virtual_server, real_server, weight, orders);
            }
            Order::Drained { id } => (id, Ok(self.director.drained(now()))),
            Order::Drain { id, target, wish } => {
                (id, self.director.drain(&target, wish, now(), &mut self.table, orders))
            }
        };
        self.parent.tell(&FromChild::Answer { id, answer });
    }

    /// What the parent found out; it may be for a configuration that is still to come.
    fn read(&mut self, reading: Reading, orders: &mut Orders) {
        match reading {
            Reading::File { name, value } => {
                self.director.number(&name, value, now(), &mut self.table, orders);
                self.numbers.insert(name, value);
            }
            Reading::Bfd { name, up } => {
                let heard = |running: &Running| running.common.bfd_instances.contains(&name);
                if self.running.as_ref().is_some_and(heard) {
                    self.director.session(&name, up, now(), &mut self.table, orders);
                }
                self.sessions.insert(name, up);
            }
            Reading::Processes { .. } | Reading::Link { .. } => {}
        }
    }

    /// Name, priority and the like.
    fn take_on(&mut self, global: &Global, before: Option<&Global>) {
        if before.is_none_or(|before| before.process_names != global.process_names)
            && let Err(error) = process::set_name(&global.process_names.checkers)
        {
            info!("{error}");
        }
        self.promptness.take_on(global, &global.checker_scheduling);
    }

    fn stop(&mut self, orders: &mut Orders) {
        let Some(Running { common: Common { global, .. }, .. }) = self.running.take() else { return };
        for id in self.scripts.drain() {
            self.parent.tell(&FromChild::KillScript { id });
        }
        let (release, flush) = match global.lvs_flush_on_stop {
            _ if self.options.keep_ipvs => (Release::Nothing, false),
            FlushOnStop::No | FlushOnStop::OwnServices => (Release::Services, false),
            FlushOnStop::WholeTable => (Release::Nothing, true),
        };
        if !self.options.keep_ipvs {
            self.table.mark(None, now());
        }
        self.director.stop(release, &mut self.table, orders);
        orders.log.extend(self.table.release(&global, flush).into_iter().map(|error| error.to_string()));
    }

    fn carry_out(&mut self, orders: Orders) {
        for line in orders.log {
            info!("{line}");
        }
        for (receiver, command) in orders.notify {
            self.parent.tell(&FromChild::Notify { receiver, commands: vec![command] });
        }
        for event in orders.events {
            self.parent.tell(&FromChild::Report(event));
        }
        let (scripts, probes): (Vec<u64>, Vec<u64>) =
            orders.cancel.into_iter().partition(|id| self.scripts.contains(id));
        for id in scripts {
            self.parent.tell(&FromChild::KillScript { id });
        }
        if !probes.is_empty() {
            self.ask(&ToProber::Cancel(probes));
        }
        for ScriptRequest { id, command, timeout } in orders.script {
            self.scripts.insert(id);
            self.parent.tell(&FromChild::RunScript { id, command, timeout });
        }
        self.start_probes(orders.probe);
        if orders.state_changed && self.state_due.is_none() {
            self.state_due = Some(now().max(self.state_rest));
        }
        if self.state_due.is_some_and(|due| due <= now()) {
            self.tell_state();
        }
    }

    /// Changes come in crowds when a rack fails; a large state is told less often.
    fn state_pause(&self) -> Duration {
        let servers = u64::try_from(self.director.real_servers()).unwrap_or(u64::MAX);
        Duration::from_millis(20 + (servers / 20).min(2000))
    }

    fn tell_state(&mut self) {
        self.state_due = None;
        self.state_rest = now() + self.state_pause();
        let saved = Saved {
            version: SAVED_VERSION,
            original_timeouts: self.table.original_timeouts,
            marks: SavedMarks::from(&self.marks),
            director: self.director.state(),
        };
        match postcard::to_stdvec(&saved) {
            Ok(bytes) => self.parent.tell(&FromChild::State(bytes)),
            Err(error) => info!("Health checkers: writing the state down: {error}"),
        }
    }

    /// Another weight of a real server, until the next reload.
    fn set_weight(&mut self, virtual_server: usize, real_server: usize, weight: u32, orders: &mut Orders) {
        let Some(running) = &mut self.running else { return };
        let Some(arranged) = running.virtual_servers.get_mut(virtual_server) else { return };
        let Some(real) = Arc::make_mut(&mut arranged.config).real_servers.get_mut(real_server) else {
            return;
        };
        real.weight = weight;
        let settings = Settings {
            virtual_servers: running.virtual_servers.clone(),
            groups: running.common.groups.clone(),
            init_notifies: running.common.global.rs_init_notifies,
            log_all_failures: running.common.global.checker_log_all_failures,
            share_checks: running.common.global.share_checks,
            mail_changes_only: running.common.global.no_checker_emails,
        };
        let random = &mut self.random;
        self.director.run(settings, None, now(), &mut || random.next(), &mut self.table, orders);
    }
}

const SAVED_VERSION: u8 = 2;

impl Saved {
    /// `None`, and a line in the log, for what another version wrote.
    fn read(bytes: &[u8]) -> Option<Self> {
        let saved: Option<Self> = postcard::from_bytes(bytes).ok();
        let saved = saved.filter(|saved| saved.version == SAVED_VERSION);
        if saved.is_none() {
            info!("Health checkers: the predecessor's state cannot be read, beginning afresh");
        }
        saved
    }
}

/// The random part of first delays (splitmix64): spreads checks, keeps no secret.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "checkers_tests.rs"]
mod tests;
