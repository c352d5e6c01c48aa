//! One instance: what it remembers ([`Run`]), and what it does when an advert comes, a timer ends or its
//! standing changes ([`Machine`]). RFC 9568 §6.4; spec/vrrp-behaviour.md §3, §4.
//!
//! Not here: whether a packet is acceptable (`receive`), what the trackers say (`priority`), what a sync group
//! makes of a change (`router`). A machine changes only its own run and says what others must follow.

use std::fmt::Arguments;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ah;
use super::announce::Announce;
use super::awaits::Awaited;
use super::event::{Action, Actions, AdvertError, Detail, StateWord};
use super::facts::Facts;
use super::holdings::Holdings;
use super::ip::IdCounter;
use super::notify;
use super::owned::objects;
use super::pacer::Pacer;
use super::peers::Peers;
use super::rival::Rival;
use super::snapshot::{Faults, VrrpState};
use super::tally::Tally;
use super::timers;
use super::trailer::Marks;
use super::transition::{Entry, Zero};
use super::urgent::Starts;
use crate::config::model::{Centis, InitialState, Instance, Rare, VirtualAddress, VrrpVersion};
use crate::time::Time;

/// An advert that leaves so soon after it was due is on time.
const ON_TIME: Duration = Duration::from_micros(100);

/// What an instance remembers. Everything a successor needs to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) state: VrrpState,
    /// MASTER in a group that is not: the wish of a member whose timer ended.
    pub(super) wanted: VrrpState,
    /// MASTER: the next advert. BACKUP: the takeover.
    pub(super) timer: Option<Time>,
    /// The master last heard, and its priority.
    pub(super) master: Option<(IpAddr, u8)>,
    pub(super) master_advert_int: Centis,
    pub(super) effective: u8,
    pub(super) total: i32,
    pub(super) faults: Faults,
    pub(super) pending: usize,
    pub(super) source: Option<IpAddr>,
    pub(super) preempt: PreemptDelay,
    pub(super) rogue: Rogue,
    pub(super) ids: IdCounter,
    /// Its own link is not there yet, but will be in a moment.
    pub(super) awaits_link: bool,
    /// What it waits for in INIT or FAULT, as it was last told.
    pub(super) awaits: Vec<Awaited>,
    /// MASTER since then, but only its advert is out so far: the rest is due.
    pub(super) ascent: Option<Time>,
    /// What we have put on its links beside its addresses: the link-local address of the interface below.
    pub(super) shared: Vec<VirtualAddress>,
    /// What of its objects is in the kernel because of us.
    pub(super) held: Holdings,
    pub(super) announce: Announce,
    /// Error kinds already logged, one bit each.
    pub(super) logged: u32,
    pub(super) old_checksum: bool,
    pub(super) ah: ah::Sequence,
    pub(super) marks: Rare<Marks>,
    pub(super) peers: Peers,
    pub(super) rival: Option<Box<Rival>>,
    /// When a lower priority was last reacted to.
    pub(super) lower_heard: Option<Time>,
    pub(super) counters: Tally,
    pub(super) last_transition: Option<Time>,
    pub(super) last_advert: Option<Time>,
    pub(super) highest_other: u8,
}

/// `preempt_delay` of a BACKUP that hears a lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum PreemptDelay {
    /// No lower advert yet.
    #[default]
    Off,
    /// Lower adverts are accepted until then.
    Running(Time),
    /// Over: lower adverts are discarded, so that the timer ends.
    Over,
}

/// An address owner that meets another one with a lower address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Rogue {
    /// Never met, or gone.
    #[default]
    None,
    /// It gets this many more of our adverts to yield.
    Told { adverts: u8, interval: Centis },
    /// It must be silent until then.
    Watched { until: Time },
    /// It went on: our priority is 254 until we are MASTER again.
    Yielded,
}

/// What follows from the configuration of one instance; computed once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fixed {
    /// The advertised addresses.
    pub(super) addresses: Box<[IpAddr]>,
    /// Index of the sync group.
    pub(super) group: Option<usize>,
    /// Interfaces it depends on for the sake of static objects.
    pub(super) static_interfaces: Rare<Vec<String>>,
    /// The group that the old form of the unicast checksum is made with.
    pub(super) old_group: Option<Ipv4Addr>,
}

/// What comes of a timer beyond the instance itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rang {
    /// Nothing.
    Nothing,
    /// The master-down timer ended: the router decides what comes of it.
    MasterSilent,
    /// It left MASTER, which it had not been for others for some time: its sync group does the same.
    Superseded {
        /// Why.
        cause: String,
    },
}

/// An advert that passed all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) source: IpAddr,
    pub(super) priority: u8,
    /// Version 3: the sender's; version 2: ours.
    pub(super) interval: Centis,
    /// The sequence number of its authentication header.
    pub(super) ah: Option<u32>,
}

/// What others must do after an instance took an advert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Follow {
    /// Nothing.
    Nothing,
    /// It left MASTER: its sync group does the same.
    Backup {
        /// Why.
        cause: String,
    },
    /// It saw a lower priority as MASTER: the other members announce their addresses too.
    Announce,
}

impl Run {
    pub(super) fn new(config: &Instance) -> Self {
        Self {
            state: VrrpState::Init,
            wanted: VrrpState::Init,
            timer: None,
            master: None,
            master_advert_int: config.advert_int,
            effective: config.priority.get(),
            total: i32::from(config.priority.get()),
            faults: Faults::default(),
            pending: 0,
            source: None,
            preempt: PreemptDelay::Off,
            rogue: Rogue::None,
            ids: IdCounter::default(),
            awaits_link: false,
            awaits: Vec::new(),
            ascent: None,
            shared: Vec::new(),
            held: Holdings::none(objects(config).count()),
            announce: Announce::default(),
            logged: 0,
            old_checksum: false,
            ah: ah::Sequence::default(),
            marks: Rare::default(),
            peers: Peers::default(),
            rival: None,
            lower_heard: None,
            counters: Tally::default(),
            last_transition: None,
            last_advert: None,
            highest_other: 0,
        }
    }

    /// The earliest moment at which something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        [self.timer, self.ascent, self.announce.deadline(), self.held.deadline()].into_iter().flatten().min()
    }

    /// Is something missing that will be there in a moment?
    pub(super) fn is_pending(&self) -> bool {
        self.pending > 0 || self.awaits_link
    }

    /// How long this instance waits in BACKUP.
    pub(super) fn master_down(&self, config: &Instance) -> Duration {
        let priority = skew_priority(config, self.effective);
        timers::master_down(config.version, priority, self.master_advert_int, config.down_timer_adverts)
    }

    pub(super) fn skew(&self, config: &Instance) -> Duration {
        timers::skew(config.version, skew_priority(config, self.effective), self.master_advert_int)
    }
}

/// Stock: an owner's skew is an owner's, even while it has stepped back to 254.
fn skew_priority(config: &Instance, effective: u8) -> u8 {
    if config.priority.is_owner() { config.priority.get() } else { effective }
}

/// Does it come up as MASTER without waiting? (spec/vrrp-behaviour.md §4.1)
pub(super) fn is_owner_from_start(config: &Instance) -> bool {
    config.priority.is_owner() && config.initial == InitialState::Master
}

/// One instance at work: its configuration, its run, the world it sees, and where its actions go.
pub(super) struct Machine<'a> {
    pub(super) index: usize,
    pub(super) config: &'a Instance,
    pub(super) fixed: &'a Fixed,
    pub(super) run: &'a mut Run,
    pub(super) facts: &'a Facts,
    pub(super) pacer: &'a mut Pacer,
    pub(super) starts: &'a mut Starts,
    /// Of how much detail lines are made.
    pub(super) detail: Detail,
    pub(super) now: Time,
    /// What the wall clock would have shown at [`Time::ZERO`], since 1970.
    pub(super) wall: Duration,
    pub(super) out: &'a mut Actions,
}

impl Machine<'_> {
    /// Carries out what is due.
    pub(super) fn on_timer(&mut self) -> Rang {
        let copies = self.run.announce.due(&self.config.garp, self.now);
        if copies > 0 {
            self.announce(copies);
        }
        if self.run.announce.is_extra_due(&self.config.garp, self.now) {
            self.announce_extra();
        }
        if self.run.held.resume(self.now) {
            self.mend();
        }
        if self.run.ascent.is_some() {
            self.settle_in();
        }
        let Some(due) = self.run.timer.filter(|due| *due <= self.now) else { return Rang::Nothing };
        match self.run.state {
            VrrpState::Master => {
                if let Some(cause) = self.was_superseded() {
                    self.enter_backup(Entry::Normal, Zero::Unsent, None, &cause);
                    return Rang::Superseded { cause };
                }
                self.beat(due);
                Rang::Nothing
            }
            VrrpState::Backup => {
                self.log(Detail::Detail, format_args!("Receive advertisement timeout"));
                self.rearm_master_down();
                Rang::MasterSilent
            }
            VrrpState::Init | VrrpState::Fault => {
                self.run.timer = None;
                Rang::Nothing
            }
        }
    }

    /// The advert that was due then.
    fn beat(&mut self, due: Time) {
        self.advertise();
        self.watch_rival();
        // Keep the rhythm. Who is late begins a new one: the next distance is right at once, and of many instances that are
        // due together, which keep each other waiting, each finds a moment of its own.
        let from = if self.now.since(due) <= ON_TIME { due } else { self.now };
        self.run.timer = Some(from + self.config.advert_int.duration());
    }

    /// Of what is due only the advert: that of a MASTER, or the first one of who becomes it and is in no sync group.
    /// Says whether there was one.
    pub(super) fn urge(&mut self) -> bool {
        let Some(due) = self.run.timer.filter(|due| *due <= self.now) else { return false };
        match self.run.state {
            VrrpState::Master if !self.is_superseded() => self.beat(due),
            VrrpState::Backup if self.fixed.group.is_none() => {
                self.log(Detail::Detail, format_args!("Receive advertisement timeout"));
                self.ascend();
            }
            _ => return false,
        }
        true
    }

    /// `timer_expired_backup`: was this process held up for so long that another router has become MASTER?
    fn was_superseded(&mut self) -> Option<String> {
        if !self.is_superseded() {
            return None;
        }
        let silent = self.now.since(self.run.last_advert?);
        let cause = format!("no advert for {:.3} s, a backup must have taken over", silent.as_secs_f64());
        self.log(Detail::Normal, format_args!("{cause}"));
        Some(cause)
    }

    fn is_superseded(&self) -> bool {
        let (Some(highest), Some(last)) = (self.config.timer_expired_backup, self.run.last_advert) else {
            return false;
        };
        let (version, interval) = (self.config.version, self.config.advert_int);
        let patience = timers::master_down(version, highest.get(), interval, self.config.down_timer_adverts);
        self.now.since(last) >= patience
    }

    /// Takes an advert that passed the checks.
    pub(super) fn on_advert(&mut self, advert: Accepted) -> Follow {
        self.run.highest_other = self.run.highest_other.max(advert.priority);
        match self.run.state {
            VrrpState::Backup => {
                self.advert_as_backup(advert);
                Follow::Nothing
            }
            VrrpState::Master => self.advert_as_master(advert),
            VrrpState::Init | VrrpState::Fault => Follow::Nothing,
        }
    }

    fn advert_as_backup(&mut self, advert: Accepted) {
        if advert.priority == 0 {
            self.log(Detail::Detail, format_args!("Backup received priority 0 advertisement"));
            self.run.timer = Some(self.now + self.run.skew(self.config));
            return;
        }
        let is_lower = advert.priority < self.run.effective;
        if is_lower && self.config.preempt && !self.may_wait(advert) {
            if self.is_flooded() {
                return;
            }
            self.log(
                Detail::Normal,
                format_args!(
                    "received lower priority ({}) advert from {} - discarding",
                    advert.priority, advert.source
                ),
            );
            return;
        }
        if !is_lower {
            if matches!(self.run.preempt, PreemptDelay::Running(_)) {
                self.log(Detail::Normal, format_args!("stop preempt delay"));
            }
            self.run.preempt = PreemptDelay::Off;
        }
        self.accept_master(advert);
        self.run.wanted = VrrpState::Backup;
        self.rearm_master_down();
    }

    /// Does `preempt_delay` let a lower master live on?
    fn may_wait(&mut self, _advert: Accepted) -> bool {
        let delay = self.config.preempt_delay;
        match self.run.preempt {
            _ if delay.is_zero() => false,
            PreemptDelay::Off => {
                let (seconds, micros) = (delay.as_secs(), delay.subsec_micros());
                self.log(Detail::Normal, format_args!("start preempt delay ({seconds}.{micros:06})"));
                self.run.preempt = PreemptDelay::Running(self.now + delay);
                true
            }
            PreemptDelay::Running(until) if self.now < until => true,
            PreemptDelay::Running(_) | PreemptDelay::Over => {
                self.run.preempt = PreemptDelay::Over;
                false
            }
        }
    }

    fn advert_as_master(&mut self, advert: Accepted) -> Follow {
        let (theirs, ours) = (advert.priority, self.run.effective);
        let is_above = theirs > ours || theirs == ours && Some(advert.source) > self.run.source;
        if !is_above && self.is_flooded() {
            return Follow::Nothing;
        }
        if theirs == 0 {
            self.log(Detail::Detail, format_args!("Master received priority 0 message"));
            self.advertise_now();
            return Follow::Nothing;
        }
        if theirs == ours && Some(advert.source) == self.run.source {
            self.log_once(
                Mark::OwnAddress,
                format_args!("received an advert of our own priority from our own address {}", advert.source),
            );
            return Follow::Nothing;
        }
        if theirs == u8::MAX && ours == u8::MAX {
            self.log(
                Detail::Normal,
                format_args!(
                    "CONFIGURATION ERROR: local instance and {} are both configured as address owner, please resolve",
                    advert.source
                ),
            );
            if !is_above && !self.watch_rogue(advert) {
                self.advertise_now();
                return Follow::Nothing;
            }
            return self.yield_to(advert);
        }
        if !is_above {
            self.log(
                Detail::Normal,
                format_args!(
                    "Received advert from {} with lower priority {theirs}, ours {ours}, forcing new election",
                    advert.source
                ),
            );
            if let Some(number) = advert.ah {
                self.run.ah.skip(number);
            }
            if !self.config.lower_prio_no_advert {
                self.advertise_now();
            }
            self.rival_advert(advert.source, theirs, "it does not hear our adverts");
            self.announce_lower_priority();
            self.notify(StateWord::MasterRxLowerPri, "lower priority advert");
            return Follow::Announce;
        }
        if theirs > ours {
            self.log(
                Detail::Normal,
                format_args!(
                    "Master received advert from {} with higher priority {theirs}, ours {ours}",
                    advert.source
                ),
            );
        } else {
            self.log(
                Detail::Normal,
                format_args!(
                    "Master received advert from {} with same priority {theirs} but higher IP address than ours",
                    advert.source
                ),
            );
        }
        self.yield_to(advert)
    }

    /// Adverts that are answered or logged each: no router sends them ten times an interval.
    fn is_flooded(&mut self) -> bool {
        let pause = self.config.advert_int.duration() / 10;
        let is_flooded = self.run.lower_heard.is_some_and(|at| self.now.since(at) < pause);
        if !is_flooded {
            self.run.lower_heard = Some(self.now);
        }
        is_flooded
    }

    /// Leaves MASTER to the sender, without a priority-0 advert.
    fn yield_to(&mut self, advert: Accepted) -> Follow {
        if self.config.higher_prio_send_advert && advert.priority > self.run.effective {
            self.advertise();
        }
        let cause = format!("advert of priority {} from {}", advert.priority, advert.source);
        self.accept_master(advert);
        self.enter_backup(Entry::Normal, Zero::Unsent, None, &cause);
        Follow::Backup { cause }
    }

    /// A second owner with a lower address: true if it went on after it was told, so that we step back.
    fn watch_rogue(&mut self, advert: Accepted) -> bool {
        let interval = advert.interval.max(self.config.advert_int);
        match self.run.rogue {
            Rogue::None => self.run.rogue = Rogue::Told { adverts: 2, interval },
            Rogue::Told { .. } | Rogue::Yielded => {}
            Rogue::Watched { until } if self.now >= until => {
                self.run.rogue = Rogue::Told { adverts: 2, interval };
            }
            Rogue::Watched { .. } => {
                let source = advert.source;
                self.log(
                    Detail::Normal,
                    format_args!(
                        "{source} is still advertising as address owner, please resolve - reducing our priority"
                    ),
                );
                self.run.rogue = Rogue::Yielded;
                self.run.effective = u8::MAX - 1;
                return true;
            }
        }
        false
    }

    /// Remembers who is master, and in version 3 learns its interval.
    fn accept_master(&mut self, advert: Accepted) {
        let before = self.run.master.map(|(address, _)| address);
        if before != Some(advert.source) {
            match before {
                Some(before) => self
                    .log(Detail::Detail, format_args!("master changed from {before} to {}", advert.source)),
                None => self.log(Detail::Detail, format_args!("master set to {}", advert.source)),
            }
            self.run.logged = 0;
        }
        self.run.master = Some((advert.source, advert.priority));
        if self.config.version == VrrpVersion::V3 && advert.interval != self.run.master_advert_int {
            let (old, new) = (self.run.master_advert_int, advert.interval);
            self.log(
                Detail::Normal,
                format_args!(
                    "advertisement interval updated from {}ms to {}ms by master",
                    u32::from(old.0) * 10,
                    u32::from(new.0) * 10
                ),
            );
            self.run.master_advert_int = new;
        }
    }

    /// Tells scripts and journal.
    pub(super) fn notify(&mut self, word: StateWord, cause: &str) {
        let priority = self.run.effective;
        notify::instance(self.config, word, priority, cause, self.out);
    }

    /// One log line, with the instance's name in front.
    pub(super) fn log(&mut self, detail: Detail, text: Arguments<'_>) {
        if detail > self.detail {
            return;
        }
        self.out.push(Action::Log { detail, text: format!("({}) {text}", self.config.name) });
    }

    /// The same, once per kind until the state or the master changes.
    /// Tells of an advert that is refused, if it is the first of its kind: one notification for each would let a neighbour
    /// flood the manager.
    pub(super) fn bad_advert(&mut self, mark: Mark, source: IpAddr, error: AdvertError) {
        if self.run.logged & 1 << mark as u32 == 0 {
            self.out.push(Action::BadAdvert { instance: self.config.name.clone(), source, error });
        }
    }

    pub(super) fn log_once(&mut self, mark: Mark, text: Arguments<'_>) {
        let bit = 1 << mark as u32;
        if self.run.logged & bit == 0 {
            self.run.logged |= bit;
            self.log(Detail::Normal, text);
        }
    }
}

/// The kinds of error that are logged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Length,
    Ttl,
    Version,
    AuthTypeInvalid,
    AuthTypeOther,
    Password,
    IntervalV2,
    Type,
    TotalLength,
    IntervalV3,
    Checksum,
    Destination,
    Owner,
    VipCount,
    VipList,
    UnknownPeer,
    PeerTtl,
    OwnAddress,
    Carrier,
    AhValue,
    AhSpi,
    AhSequence,
    Unsigned,
    Malformed,
    Stale,
    UnknownKey,
    Signature,
    Replay,
}
