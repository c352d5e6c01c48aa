//! The sentences of the core's contract, held against random stories.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::samples::*;
use crate::config::model::{Auth, Centis, Instance, ScriptEnd, VrrpPart, VrrpVersion};
use crate::vrrp::{
    Action, Actions, Awaited, Change, Envelope, Event, Owned, Owner, Requester, Router, State, VrrpState,
};

/// Two instances in a group, one of version 3 with a password-free life of its own, an owner, three scripts.
fn everything() -> VrrpPart {
    let a = Instance { track_scripts: vec![track_script("s", 0)].into(), ..instance("A", 1, 150) };
    let b = Instance {
        interface: Some("eth1".into()),
        vips: vec![vip("10.0.1.102", "eth1")],
        excluded: vec![vip("10.0.1.202", "eth1")].into(),
        ..instance("B", 2, 100)
    };
    let c = Instance {
        version: VrrpVersion::V3,
        advert_int: Centis(40),
        track_scripts: vec![track_script("weighted", -30), track_script("more", 20)].into(),
        track_interfaces: vec![track_interface("eth1", 10)].into(),
        preempt_delay: Duration::from_secs(2),
        ..instance("C", 3, 120)
    };
    let d = Instance {
        auth: Auth::Pass(*b"password"),
        preempt: false,
        higher_prio_send_advert: true,
        ..instance("D", 4, 100)
    };
    let mut part = part(&[a, b, c, d, instance("E", 5, 255)]);
    part.sync_groups = vec![group("G", &["A", "B"])];
    part.scripts = vec![script("s"), script("weighted"), script("more")];
    part.global.garp_interval = Duration::from_millis(20);
    part
}

/// One thing that may happen; numbers are folded into what makes sense at that moment.
#[derive(Debug, Clone)]
enum Blow {
    Wait(u16),
    Timer,
    Advert { instance: usize, host: u8, priority: u8, flip: Option<(usize, u8)> },
    Bytes(Vec<u8>),
    Carrier { index: u32, is_up: bool },
    Delete { index: u32 },
    Primary { index: u32, is_there: bool },
    LoseVip { instance: usize, by_us: bool },
    Script { id: u64, status: u8 },
    Refuse { instance: usize },
    Dump,
}

fn blow() -> impl Strategy<Value = Blow> {
    let flip = proptest::option::weighted(0.3, (0usize..40, any::<u8>()));
    prop_oneof![
        6 => (0u16..3000).prop_map(Blow::Wait),
        4 => Just(Blow::Timer),
        6 => (0usize..5, 0u8..4, prop_oneof![Just(0u8), Just(100), Just(255), any::<u8>()], flip)
            .prop_map(|(instance, host, priority, flip)| Blow::Advert { instance, host, priority, flip }),
        1 => proptest::collection::vec(any::<u8>(), 0..80).prop_map(Blow::Bytes),
        1 => (1u32..4, any::<bool>()).prop_map(|(index, is_up)| Blow::Carrier { index, is_up }),
        1 => (1u32..4).prop_map(|index| Blow::Delete { index }),
        1 => (1u32..3, any::<bool>()).prop_map(|(index, is_there)| Blow::Primary { index, is_there }),
        1 => (0usize..5, any::<bool>()).prop_map(|(instance, by_us)| Blow::LoseVip { instance, by_us }),
        4 => (0u64..6, 0u8..2).prop_map(|(id, status)| Blow::Script { id, status }),
        1 => (0usize..5).prop_map(|instance| Blow::Refuse { instance }),
        1 => Just(Blow::Dump),
    ]
}

/// A router that is told the story.
#[derive(Clone)]
struct Teller {
    router: Router,
    now: crate::time::Time,
    last_script: u64,
}

impl Teller {
    fn new() -> Self {
        let mut teller = Self { router: Router::new(&everything()), now: at(10.0), last_script: 0 };
        teller.give(Event::Interfaces(interfaces(2)));
        teller
    }

    fn give(&mut self, event: Event) -> Actions {
        let mut out = Vec::new();
        self.router.handle(self.now, event, &mut out);
        for action in &out {
            if let Action::RunScript { id, .. } = action {
                self.last_script = *id;
            }
        }
        out
    }

    fn tell(&mut self, blow: &Blow) -> Actions {
        let part = everything();
        let event = match blow.clone() {
            Blow::Wait(millis) => {
                let end = self.now + Duration::from_millis(millis.into());
                let mut out = Vec::new();
                while let Some(due) = self.router.deadline().filter(|due| *due <= end) {
                    self.now = self.now.max(due);
                    out.extend(self.give(Event::Timer));
                }
                self.now = end;
                return out;
            }
            Blow::Timer => Event::Timer,
            Blow::Advert { instance, host, priority, flip } => {
                let config = &part.instances[instance];
                let mut packet = advert_of(config, &format!("10.0.0.{host}"), priority);
                if let Some((at, value)) = flip {
                    let at = at % packet.len();
                    packet[at] = value;
                }
                let index = if config.interface.as_deref() == Some("eth0") { 1 } else { 2 };
                Event::Advert { index, envelope: Envelope::V4, packet }
            }
            Blow::Bytes(packet) => Event::Advert { index: 1, envelope: Envelope::V4, packet },
            Blow::Carrier { index, is_up } => Event::Link(link(index, &format!("eth{}", index - 1), is_up)),
            Blow::Delete { index } => Event::LinkDeleted { index },
            Blow::Primary { index, is_there } => {
                let address = IpAddr::from([10, 0, u8::try_from(index - 1).unwrap(), 2]);
                if is_there {
                    Event::AddressAdded { index, address, prefix: 24 }
                } else {
                    Event::AddressDeleted { index, address, prefix: 24, by: Requester::Other }
                }
            }
            Blow::LoseVip { instance, by_us } => {
                let vip = &part.instances[instance].vips[0];
                let index = if vip.interface == "eth0" { 1 } else { 2 };
                let (address, prefix) = (vip.address, vip.prefix);
                self.give(Event::AddressAdded { index, address, prefix });
                let by = if by_us { Requester::Us } else { Requester::Other };
                Event::AddressDeleted { index, address, prefix, by }
            }
            Blow::Script { id, status } => {
                let id = self.last_script.saturating_sub(id);
                Event::ScriptEnded { id, end: ScriptEnd::Exited { status } }
            }
            Blow::Refuse { instance } => {
                let vip = &part.instances[instance].vips[0];
                let (owner, object) = (Owner::Instance(instance), Owned::Address(vip.clone()));
                Event::Refused { owner, object, change: Change::Add, errno: 13, note: None }
            }
            Blow::Dump => Event::Interfaces(interfaces(2)),
        };
        self.give(event)
    }
}

impl Teller {
    /// Lets happen what is waited for.
    fn grant(&mut self, awaited: &Awaited) {
        let number = |name: &str| name.trim_start_matches("eth").parse::<u32>().unwrap() + 1;
        let event = match awaited {
            Awaited::Interface { name, up } => Event::Link(link(number(name), name, *up)),
            Awaited::Source { interface: Some(name), .. } => {
                let address = IpAddr::from([10, 0, u8::try_from(number(name) - 1).unwrap(), 2]);
                Event::AddressAdded { index: number(name), address, prefix: 24 }
            }
            Awaited::FirstResult { script } | Awaited::Script { script, success: true } => {
                let position = self.router.part.scripts.iter().position(|s| s.name == *script).unwrap();
                while self.router.scripts[position].running().is_none() {
                    self.now = self.router.deadline().unwrap().max(self.now);
                    self.give(Event::Timer);
                }
                let id = self.router.scripts[position].running().unwrap();
                Event::ScriptEnded { id, end: ScriptEnd::Exited { status: 0 } }
            }
            Awaited::Member { name } => {
                let i = self.router.part.instances.iter().position(|i| i.name == *name).unwrap();
                let theirs = self.router.awaits(i);
                assert!(
                    !theirs.iter().any(|awaited| matches!(awaited, Awaited::Member { .. })),
                    "{theirs:?}"
                );
                for awaited in &theirs {
                    self.grant(awaited);
                }
                return;
            }
            other => panic!("nothing here needs {other:?}"),
        };
        self.give(event);
    }

    fn state(&self, i: usize) -> VrrpState {
        self.router.runs[i].state
    }
}

/// As the parent keeps it: bytes.
fn through_bytes(state: &State) -> State {
    postcard::from_bytes(&postcard::to_stdvec(state).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn backup_and_master_always_have_a_deadline(story in proptest::collection::vec(blow(), 0..60)) {
        let mut teller = Teller::new();
        for blow in &story {
            teller.tell(blow);
            let snapshot = teller.router.snapshot(teller.now);
            for instance in &snapshot.instances {
                if matches!(instance.state, VrrpState::Backup | VrrpState::Master) {
                    prop_assert!(instance.timer.is_some());
                    prop_assert!(teller.router.deadline() <= instance.timer);
                } else {
                    prop_assert_eq!(instance.timer, None);
                }
            }
        }
    }

    #[test]
    fn init_and_fault_name_what_they_wait_for_and_end_with_it_and_not_with_time(
        story in proptest::collection::vec(blow(), 0..60),
    ) {
        let mut teller = Teller::new();
        for blow in &story {
            teller.tell(blow);
        }
        for i in 0..teller.router.runs.len() {
            let waits = matches!(teller.state(i), VrrpState::Init | VrrpState::Fault);
            prop_assert_eq!(teller.router.awaits(i).is_empty(), !waits);
            let mut patient = teller.clone();
            patient.tell(&Blow::Wait(20_000));
            let still_waits = matches!(patient.state(i), VrrpState::Init | VrrpState::Fault);
            prop_assert_eq!(still_waits, waits, "instance {}", i);
            let mut granted = teller.clone();
            // Its members' wishes come one after the other.
            for _ in 0..4 {
                for awaited in granted.router.awaits(i) {
                    granted.grant(&awaited);
                }
            }
            prop_assert_eq!(granted.router.awaits(i), []);
            prop_assert!(matches!(granted.state(i), VrrpState::Backup | VrrpState::Master));
        }
    }

    #[test]
    fn a_timer_call_before_the_deadline_changes_nothing(story in proptest::collection::vec(blow(), 0..60)) {
        let mut teller = Teller::new();
        for blow in &story {
            teller.tell(blow);
            while teller.router.deadline().is_some_and(|due| due <= teller.now) {
                teller.give(Event::Timer);
            }
            let before = teller.router.state();
            prop_assert_eq!(teller.give(Event::Timer), []);
            prop_assert_eq!(teller.router.state(), before);
        }
    }

    #[test]
    fn a_resumed_core_behaves_as_the_original(
        before in proptest::collection::vec(blow(), 0..40),
        after in proptest::collection::vec(blow(), 0..40),
    ) {
        let mut original = Teller::new();
        for blow in &before {
            original.tell(blow);
        }
        let mut out = Vec::new();
        let state = through_bytes(&original.router.state());
        let pieces = (0..=original.router.state_pieces()).map(|number| original.router.state_piece(number));
        let written: Vec<u8> = pieces.flat_map(|piece| postcard::to_stdvec(&piece).unwrap()).collect();
        prop_assert_eq!(&written, &postcard::to_stdvec(&original.router.state()).unwrap());
        let mut router = Router::resume(&everything(), state, &mut out);
        // Fractions of a millisecond between masters that come up together: a successor begins anew.
        router.starts = original.router.starts;
        prop_assert!(out.iter().all(|action| matches!(action, Action::Listen(_))), "{:?}", out);
        let mut successor = Teller { router, ..original };
        prop_assert_eq!(successor.router.state(), original.router.state());
        for blow in &after {
            prop_assert_eq!(successor.tell(blow), original.tell(blow));
        }
        prop_assert_eq!(successor.router.state(), original.router.state());
    }

    #[test]
    fn only_masters_hold_addresses_and_hold_them_all(story in proptest::collection::vec(blow(), 0..60)) {
        let mut teller = Teller::new();
        // Nor after a fight: then one may be missing for a while.
        let is_harmless = |blow: &&Blow| {
            !matches!(blow, Blow::Refuse { .. } | Blow::Delete { .. } | Blow::LoseVip { by_us: false, .. })
        };
        for blow in story.iter().filter(is_harmless) {
            teller.tell(blow);
            for instance in teller.router.snapshot(teller.now).instances {
                let is_master = instance.state == VrrpState::Master;
                let held = instance.vips_set.iter().chain(&instance.excluded_set);
                for set in held {
                    prop_assert_eq!(*set, is_master);
                }
            }
        }
    }

    #[test]
    fn who_sends_the_adverts_first_does_the_same_as_who_does_not(
        story in proptest::collection::vec((blow(), any::<bool>()), 0..60),
    ) {
        let (mut patient, mut hurried) = (Teller::new(), Teller::new());
        let in_any_order = |out: Actions| {
            let mut out: Vec<String> = out.iter().map(|action| format!("{action:?}")).collect();
            out.sort_unstable();
            out
        };
        for (blow, is_late) in &story {
            if let (Some(due), true) = (patient.router.deadline(), *is_late) {
                let now = patient.now.max(due);
                (patient.now, hurried.now) = (now, now);
                let mut out = Vec::new();
                while hurried.router.urge(now, &mut out) > 0 {}
                // Announcements when another master has gone.
                let is_quick = |action: &Action| {
                    matches!(action, Action::SendAdvert { .. } | Action::Log { .. } | Action::Announce { .. })
                };
                prop_assert!(out.iter().all(is_quick), "{:?}", out);
                // What else happens may come between the two halves of a takeover.
                let mut torn = hurried.clone();
                torn.give(Event::Interfaces(interfaces(2)));
                prop_assert!(torn.router.runs.iter().all(|run| run.ascent.is_none()));
                out.extend(hurried.give(Event::Timer));
                prop_assert_eq!(in_any_order(out), in_any_order(patient.give(Event::Timer)));
            }
            prop_assert_eq!(hurried.tell(blow), patient.tell(blow));
            prop_assert_eq!(hurried.router.state(), patient.router.state());
        }
    }

    #[test]
    fn a_reload_of_the_same_configuration_is_not_felt(story in proptest::collection::vec(blow(), 0..40)) {
        let mut teller = Teller::new();
        for blow in &story {
            teller.tell(blow);
        }
        // Another value that concerns no instance, so that the whole reload runs.
        let mut part = everything();
        part.global.router_id = "renamed".into();
        let before = teller.router.state();
        let mut out = Vec::new();
        while teller.router.deadline().is_some_and(|due| due <= teller.now) {
            teller.give(Event::Timer);
        }
        let settled = teller.router.state();
        teller.router.reconfigure(&part, teller.now, &mut out);
        out.retain(|action| !matches!(action, Action::Log { .. }));
        // A refused address is tried again.
        if !story.iter().any(|blow| matches!(blow, Blow::Refuse { .. } | Blow::Delete { .. })) {
            prop_assert_eq!(out, []);
            prop_assert_eq!(teller.router.state(), settled);
        }
        drop(before);
    }
}
