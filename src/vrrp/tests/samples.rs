//! Configurations and small tools that the stories share.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::{
    Auth, Centis, Command, Family, GarpSettings, Identity, InitialState, Instance, InstanceLinks,
    NotifyScripts, Priority, Rare, SyncGroup, TrackedInterface, TrackedScript, Transport, VipRepair,
    VirtualAddress, Vrid, VrrpPart, VrrpScript, VrrpVersion,
};
use crate::time::Time;
use crate::vrrp::ip as wire;
use crate::vrrp::packet;
use crate::vrrp::{
    Action, Actions, Counters, Detail, Envelope, Event, IFF_RUNNING, IFF_UP, Interface, Link, Owned,
    Requester, Router, VrrpState,
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn at(seconds: f64) -> Time {
    Time::ZERO + secs(seconds)
}

pub(crate) fn vip(address: &str, interface: &str) -> VirtualAddress {
    VirtualAddress {
        address: ip(address),
        prefix: 32,
        interface: interface.into(),
        scope: 0,
        broadcast: None,
        label: None,
        peer: None,
        flags: 0,
        preferred_lifetime: None,
        no_track: false,
        track_group: None,
        use_vmac: false,
    }
}

/// VRID and priority on eth0, version 2, one second; the VIP is 10.0.0.`100 + vrid`.
pub(crate) fn instance(name: &str, vrid: u8, priority: u8) -> Instance {
    Instance {
        name: name.into(),
        family: Family::V4,
        version: VrrpVersion::V2,
        vrid: Vrid::new(vrid).unwrap(),
        interface: Some("eth0".into()),
        links: InstanceLinks::default().into(),
        initial: if priority == 255 { InitialState::Master } else { InitialState::Backup },
        priority: Priority::new(priority).unwrap(),
        advert_int: Centis::SECOND,
        transport: Transport::Multicast { group: ip("224.0.0.18") },
        source: None,
        track_source: false,
        auth: Auth::None,
        vips: vec![vip(&format!("10.0.0.{}", 100 + vrid), "eth0")],
        excluded: Rare::default(),
        routes: Rare::default(),
        rules: Rare::default(),
        preempt: true,
        preempt_delay: Duration::ZERO,
        down_timer_adverts: 3,
        timer_expired_backup: None,
        dont_track_primary: false,
        track_interfaces: Rare::default(),
        track_scripts: Rare::default(),
        track_files: Rare::default(),
        track_processes: Rare::default(),
        track_bfds: Rare::default(),
        garp: GarpSettings::default().into(),
        accept: true,
        strict: false,
        skip_check_adv_addr: false,
        lower_prio_no_advert: false,
        higher_prio_send_advert: false,
        owner_ignore_adverts: false,
        check_unicast_src: false,
        v3_checksum_as_v2: false,
        promote_secondaries: false,
        notify: NotifyScripts::default().into(),
        notify_deleted: false,
        smtp_alert: false,
        notify_priority_changes: false,
        unicast_without_peers: false,
        unicast_fault_no_peer: false,
        kernel_rx_buffer: None,
        debug: 0,
        vip_repair: VipRepair::default(),
        config_fault: None,
    }
}

/// How many packets announce addresses.
pub(crate) fn announced(out: &[Action]) -> usize {
    let packets = |action: &Action| match action {
        Action::Announce { targets, copies } => targets.len() * usize::try_from(*copies).unwrap(),
        _ => 0,
    };
    out.iter().map(packets).sum()
}

pub(crate) fn part(instances: &[Instance]) -> VrrpPart {
    VrrpPart { instances: instances.to_vec(), ..VrrpPart::default() }
}

pub(crate) fn group(name: &str, members: &[&str]) -> SyncGroup {
    SyncGroup {
        name: name.into(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        track_bfds: Vec::new(),
        tracking_weight: false,
        notify: NotifyScripts { generic: Some(command("/g")), ..NotifyScripts::default() }.into(),
        smtp_alert: false,
        notify_priority_changes: None,
    }
}

pub(crate) fn command(path: &str) -> Command {
    Command { argv: vec![path.into()], path: path.into(), identity: Identity::default() }
}

pub(crate) fn script(name: &str) -> VrrpScript {
    VrrpScript {
        name: name.into(),
        command: command(&format!("/{name}")),
        interval: Duration::from_secs(1),
        timeout: None,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
    }
}

pub(crate) fn track_script(name: &str, weight: i32) -> TrackedScript {
    TrackedScript { script: name.into(), weight, reverse: false }
}

pub(crate) fn track_interface(name: &str, weight: i32) -> TrackedInterface {
    TrackedInterface { interface: name.into(), weight, reverse: false }
}

pub(crate) fn link(index: u32, name: &str, is_up: bool) -> Link {
    let flags = if is_up { IFF_UP | IFF_RUNNING } else { IFF_UP };
    Link { index, name: name.into(), flags, ..Link::default() }
}

/// eth0 and eth1 (indices 1 and 2), up, with 10.0.0.`host` and 10.0.1.`host`.
pub(crate) fn interfaces(host: u8) -> Vec<Interface> {
    [(1, "eth0"), (2, "eth1")]
        .map(|(index, name)| Interface {
            link: link(index, name, true),
            addresses: vec![(IpAddr::from([10, 0, u8::try_from(index - 1).unwrap(), host]), 24)],
        })
        .to_vec()
}

/// The log lines that are written without `-D`.
pub(crate) fn logs(out: &[Action]) -> Vec<&str> {
    out.iter()
        .filter_map(|action| match action {
            Action::Log { detail: Detail::Normal, text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// The arguments that notify scripts get, in order.
pub(crate) fn notified(out: &[Action]) -> Vec<String> {
    out.iter()
        .filter_map(|action| match action {
            Action::Notify { commands, .. } => Some(commands),
            _ => None,
        })
        .flatten()
        .map(|command| command.argv.join(" "))
        .collect()
}

/// The priorities of the adverts sent.
pub(crate) fn adverts(out: &[Action]) -> Vec<u8> {
    out.iter()
        .filter_map(|action| match action {
            Action::SendAdvert { packet, .. } => Some(packet[22]),
            _ => None,
        })
        .collect()
}

/// One router with a clock: events in, actions out.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) now: Time,
}

impl Bench {
    /// Starts at 10 s with [`interfaces`] of host 1.
    pub(crate) fn start(part: &VrrpPart) -> (Self, Actions) {
        let mut bench = Self { router: Router::new(part), now: at(10.0) };
        let out = bench.event(Event::Interfaces(interfaces(1)));
        (bench, out)
    }

    pub(crate) fn event(&mut self, event: Event) -> Actions {
        let mut out = Vec::new();
        self.router.handle(self.now, event, &mut out);
        self.echo(&out);
        out
    }

    /// Lets the timers of the next `duration` fire.
    pub(crate) fn wait(&mut self, duration: f64) -> Actions {
        let (end, mut out) = (self.now + secs(duration), Vec::new());
        while let Some(due) = self.router.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            out.extend(self.event(Event::Timer));
        }
        self.now = end;
        out
    }

    /// An advert of the given sender and priority, with the VIPs of the first instance.
    pub(crate) fn hear(&mut self, from: &str, priority: u8) -> Actions {
        let config = self.router.part.instances[0].clone();
        self.hear_as(&config, from, priority)
    }

    pub(crate) fn hear_as(&mut self, config: &Instance, from: &str, priority: u8) -> Actions {
        let packet = advert_of(config, from, priority);
        self.event(Event::Advert { index: 1, envelope: Envelope::V4, packet })
    }

    pub(crate) fn state(&self, i: usize) -> VrrpState {
        self.router.snapshot(self.now).instances[i].state
    }

    pub(crate) fn counters(&self) -> Counters {
        self.router.snapshot(self.now).instances[0].counters
    }

    /// The kernel does what was asked and says so.
    fn echo(&mut self, out: &[Action]) {
        for action in out {
            let (objects, is_added) = match action {
                Action::Add { objects, .. } => (objects, true),
                Action::Remove { objects, .. } => (objects, false),
                _ => continue,
            };
            for object in objects {
                let Owned::Address(vip) = object else { continue };
                let index = if vip.interface == "eth0" { 1 } else { 2 };
                let (address, prefix, by) = (vip.address, vip.prefix, Requester::Us);
                let event = if is_added {
                    Event::AddressAdded { index, address, prefix }
                } else {
                    Event::AddressDeleted { index, address, prefix, by }
                };
                let mut more = Vec::new();
                self.router.handle(self.now, event, &mut more);
                // A static address is one of the host's then.
                more.retain(|action| !matches!(action, Action::Log { detail: Detail::Detail, .. }));
                assert_eq!(more, [], "an echo is no news");
            }
        }
    }
}

/// The packet that a router of this configuration would send.
pub(crate) fn advert_of(config: &Instance, from: &str, priority: u8) -> Vec<u8> {
    let (IpAddr::V4(source), Transport::Multicast { group: IpAddr::V4(group) }) =
        (ip(from), &config.transport)
    else {
        panic!("IPv4 multicast only")
    };
    let addresses: Vec<IpAddr> = config.vips.iter().map(|vip| vip.address).collect();
    let advert = packet::Advert {
        version: config.version,
        vrid: config.vrid.get(),
        priority,
        interval: config.advert_int,
        auth: &config.auth,
        addresses: &addresses,
        family: Family::V4,
    };
    let checksum = match config.version {
        VrrpVersion::V2 => packet::Checksum::Plain,
        VrrpVersion::V3 => packet::Checksum::Pseudo { source, destination: *group },
    };
    let mut pdu = Vec::new();
    advert.encode(checksum, &mut pdu);
    let mut bytes = wire::header(112, pdu.len(), 1, 255, (source, *group)).to_vec();
    bytes.extend(pdu);
    bytes
}
