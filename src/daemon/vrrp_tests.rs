//! The vrrp process as a whole on a real kernel: one thread in a namespace of its own, a listener at the far end of
//! the wire, and the test in the parent's place.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};

use super::channel::Channel;
use super::child::Parent;
use super::exit::Exit;
use super::ipc::{FromChild, ToChild};
use super::options::Options;
use crate::config::model::{
    Auth, Centis, Command, Family, GarpSettings, Identity, InitialState, Instance, InstanceLinks,
    NotifyScripts, Priority, Rare, Transport, VipRepair, VirtualAddress, Vrid, VrrpPart, VrrpVersion,
};
use crate::kernel::readiness::Watched;
use crate::kernel::testing::{in_namespace, ip_json, run, wire};
use crate::kernel::vrrp_sender::{Outgoing, Route, Sender};

/// The parent's end of the channel and the far end of the wire.
struct Outside {
    channel: Channel<ToChild<VrrpPart>, FromChild>,
    wire: Watched<Socket>,
    /// The last state told.
    state: Option<Vec<u8>>,
}

/// A frame on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    Advert { vrid: u8, priority: u8 },
    Garp(IpAddr),
}

impl Outside {
    /// The next message but `State`, which is noted, and what is for the reporter.
    async fn hear(&mut self) -> FromChild {
        loop {
            match self.channel.next().await.unwrap().unwrap().message {
                FromChild::State(state) => self.state = Some(state),
                FromChild::Report(_) | FromChild::Reports(_) => {}
                message => return message,
            }
        }
    }

    /// The next frame that is an advert or a gratuitous ARP.
    async fn see(&self) -> Frame {
        loop {
            let frame = self
                .wire
                .read(|socket| {
                    let mut buffer = [0; 2048];
                    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
                    Ok(buffer[..length].to_vec())
                })
                .await
                .unwrap();
            if frame[12..14] == [8, 6] {
                return Frame::Garp(IpAddr::from(<[u8; 4]>::try_from(&frame[28..32]).unwrap()));
            }
            if frame[12..14] == [8, 0] && frame[14 + 9] == 112 {
                return Frame::Advert { vrid: frame[35], priority: frame[36] };
            }
        }
    }

    async fn start(&mut self, part: &VrrpPart, state: Option<Vec<u8>>) {
        let part = part.clone();
        self.channel.send(&ToChild::Prepare { generation: 1, part, state }).unwrap();
        assert!(matches!(self.hear().await, FromChild::Prepared { generation: 1, .. }));
        self.channel.send(&ToChild::Commit { generation: 1 }).unwrap();
    }

    /// Hears until this message comes.
    async fn until(&mut self, wanted: &FromChild) {
        while self.hear().await != *wanted {}
    }
}

/// Runs a vrrp process on `va` beside `test`, which holds the other end `vc`. Ten seconds at most.
fn beside<F>(options: Options, test: fn(Outside) -> F)
where
    F: Future<Output = ()> + 'static,
{
    in_namespace(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        wire("va", "vc");
        run("ip addr add 10.0.0.1/24 dev va");
        runtime.block_on(async {
            let (outside, process) = outside(&options);
            let both = async { tokio::join!(process, test(outside)) };
            let (exit, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
            assert_eq!(exit, Exit::Success);
        });
    });
}

fn outside(options: &Options) -> (Outside, impl Future<Output = Exit> + '_) {
    let (channel, far) = Channel::pair().unwrap();
    let parent = Parent::new(far, options).unwrap();
    let wire = tap("vc");
    (Outside { channel, wire, state: None }, super::vrrp::run(options, parent))
}

/// What arrives on an interface, and what leaves by it.
fn tap(interface: &str) -> Watched<Socket> {
    let all = Protocol::from(i32::from(0x0003_u16.to_be()));
    let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking(), None).unwrap();
    let roomy = nix::sys::socket::sockopt::RcvBufForce;
    nix::sys::socket::setsockopt(&socket, roomy, &(16 << 20)).unwrap();
    bind_packet(&socket, interface, all);
    Watched::readable_only(socket).unwrap()
}

/// Only frames of this interface.
fn bind_packet(socket: &Socket, interface: &str, protocol: Protocol) {
    let index = nix::net::if_::if_nametoindex(interface).unwrap();
    crate::kernel::testing::bind_packet(socket, index, protocol);
}

fn part(priority: u8, vips: &[&str]) -> VrrpPart {
    let vip = |address: &&str| VirtualAddress {
        address: address.parse().unwrap(),
        prefix: 32,
        interface: "va".into(),
        scope: 0,
        broadcast: None,
        label: None,
        peer: None,
        flags: 0,
        preferred_lifetime: None,
        no_track: false,
        track_group: None,
        use_vmac: false,
    };
    let script =
        |path: &str| Command { argv: vec![path.into()], path: path.into(), identity: Identity::default() };
    let instance = Instance {
        name: "V1".into(),
        family: Family::V4,
        version: VrrpVersion::V3,
        vrid: Vrid::new(7).unwrap(),
        interface: Some("va".into()),
        links: InstanceLinks::default().into(),
        initial: if priority == 255 { InitialState::Master } else { InitialState::Backup },
        priority: Priority::new(priority).unwrap(),
        advert_int: Centis(5),
        transport: Transport::Multicast { group: "224.0.0.18".parse().unwrap() },
        source: None,
        track_source: false,
        auth: Auth::None,
        vips: vips.iter().map(vip).collect(),
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
        garp: GarpSettings { repeat: 2, ..GarpSettings::default() }.into(),
        accept: true,
        strict: false,
        skip_check_adv_addr: false,
        lower_prio_no_advert: false,
        higher_prio_send_advert: false,
        owner_ignore_adverts: false,
        check_unicast_src: false,
        v3_checksum_as_v2: false,
        promote_secondaries: false,
        notify: NotifyScripts { master: Some(script("/m")), ..NotifyScripts::default() }.into(),
        notify_deleted: false,
        smtp_alert: false,
        notify_priority_changes: false,
        unicast_without_peers: false,
        unicast_fault_no_peer: false,
        kernel_rx_buffer: None,
        debug: 0,
        vip_repair: VipRepair::default(),
        config_fault: None,
    };
    VrrpPart { instances: vec![instance], ..VrrpPart::default() }
}

fn addresses() -> Vec<String> {
    let seen = ip_json("ip -j -4 addr show dev va");
    let list = seen[0]["addr_info"].as_array().unwrap().iter();
    list.map(|address| address["local"].as_str().unwrap().to_owned()).collect()
}

fn garp(address: &str) -> Frame {
    Frame::Garp(address.parse().unwrap())
}

#[test]
fn a_takeover_sends_the_advert_then_adds_then_announces_and_a_stop_releases() {
    beside(Options::default(), |mut outside| async move {
        outside.start(&part(100, &["10.0.0.10", "10.0.0.11"]), None).await;
        assert_eq!(outside.hear().await, FromChild::Committed { generation: 1 });
        assert_eq!(outside.see().await, Frame::Advert { vrid: 7, priority: 100 });
        for _ in 0..2 {
            assert_eq!(outside.see().await, garp("10.0.0.10"));
            assert_eq!(outside.see().await, garp("10.0.0.11"));
        }
        assert_eq!(addresses(), ["10.0.0.1", "10.0.0.10", "10.0.0.11"]);
        let FromChild::Notify { receiver, commands } = outside.hear().await else { panic!() };
        assert_eq!((receiver.as_str(), commands[0].path.as_str()), ("INSTANCE V1", "/m"));
        assert_eq!(outside.see().await, Frame::Advert { vrid: 7, priority: 100 });
        outside.channel.send(&ToChild::Stop).unwrap();
        while outside.see().await != (Frame::Advert { vrid: 7, priority: 0 }) {}
        outside.until(&FromChild::Stopped).await;
        assert_eq!(addresses(), ["10.0.0.1"]);
    });
}

#[test]
fn with_dont_release_a_stop_says_nothing_and_leaves_the_addresses() {
    let options = Options { keep_vrrp: true, ..Options::default() };
    beside(options, |mut outside| async move {
        outside.start(&part(255, &["10.0.0.10"]), None).await;
        while outside.see().await != garp("10.0.0.10") {}
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
        assert_eq!(addresses(), ["10.0.0.1", "10.0.0.10"]);
        let frame = tokio::time::timeout(Duration::from_millis(20), async {
            while outside.see().await != (Frame::Advert { vrid: 7, priority: 0 }) {}
        });
        assert!(frame.await.is_err(), "a priority 0 was sent");
    });
}

#[test]
fn a_parent_that_is_gone_is_as_good_as_a_stop() {
    beside(Options::default(), |mut outside| async move {
        outside.start(&part(255, &["10.0.0.10"]), None).await;
        while outside.see().await != garp("10.0.0.10") {}
        let Outside { channel, wire, .. } = outside;
        drop(channel);
        let rest = Outside { channel: Channel::pair().unwrap().0, wire, state: None };
        while rest.see().await != (Frame::Advert { vrid: 7, priority: 0 }) {}
    });
}

#[test]
fn a_leftover_address_is_removed_before_the_start() {
    beside(Options::default(), |mut outside| async move {
        run("ip addr add 10.0.0.10/32 dev va");
        let mut slow = part(100, &["10.0.0.10"]);
        slow.instances[0].advert_int = Centis::SECOND;
        outside.start(&slow, None).await;
        assert_eq!(outside.hear().await, FromChild::Committed { generation: 1 });
        while addresses() != ["10.0.0.1"] {
            tokio::task::yield_now().await;
        }
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
    });
}

#[test]
fn addresses_leave_an_interface_that_has_another_name_before_its_end_is_heard_of() {
    beside(Options::default(), |mut outside| async move {
        outside.start(&part(100, &["10.0.0.10"]), None).await;
        while outside.see().await != garp("10.0.0.10") {}
        // All three are notified before the process has heard of the first.
        run("ip link set va down");
        run("ip link set va name vx");
        run("ip link set vx up");
        let left = || {
            let seen = ip_json("ip -j -4 addr show dev vx");
            seen[0]["addr_info"].as_array().unwrap().len()
        };
        while left() != 1 {
            tokio::task::yield_now().await;
        }
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
    });
}

#[test]
fn a_successor_goes_on_where_a_crash_interrupted_and_touches_no_address() {
    beside(Options { keep_vrrp: true, ..Options::default() }, |mut outside| async move {
        let part = part(100, &["10.0.0.10"]);
        outside.start(&part, None).await;
        while outside.see().await != garp("10.0.0.10") {}
        while !matches!(outside.hear().await, FromChild::Notify { .. }) {}
        // The state told after that says MASTER; -V makes the stop look like a crash.
        outside.state = None;
        let _ = tokio::time::timeout(Duration::from_millis(200), outside.hear()).await;
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
        assert_eq!(addresses(), ["10.0.0.1", "10.0.0.10"]);
        let state = outside.state.take();

        let options = Options::default();
        let (mut successor, process) = self::outside(&options);
        let script = async {
            let mut monitor = Vec::new();
            let notices = crate::kernel::monitor::Monitor::open().unwrap();
            successor.start(&part, state).await;
            assert_eq!(successor.hear().await, FromChild::Committed { generation: 1 });
            assert_eq!(successor.see().await, Frame::Advert { vrid: 7, priority: 100 });
            successor.see().await;
            let _ = notices.read(&mut vec![0; 65536], &mut monitor);
            assert_eq!(monitor, [], "an address was touched");
            assert_eq!(addresses(), ["10.0.0.1", "10.0.0.10"]);
            successor.channel.send(&ToChild::Stop).unwrap();
            successor.until(&FromChild::Stopped).await;
            assert_eq!(addresses(), ["10.0.0.1"]);
        };
        let (exit, ()) = tokio::join!(process, script);
        assert_eq!(exit, Exit::Success);
    });
}

#[test]
fn a_takeover_of_two_thousand_addresses_delays_no_other_instances_advert() {
    beside(Options::default(), |mut outside| async move {
        let vips: Vec<String> =
            (0..2000).map(|n| format!("10.{}.{}.{}", 1 + n / 62500, n / 250 % 250, 1 + n % 250)).collect();
        let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
        let mut two = part(255, &["10.0.0.10"]);
        two.instances[0].advert_int = Centis(1);
        let mut large = part(100, &vips).instances.remove(0);
        large.name = "V2".into();
        large.vrid = Vrid::new(8).unwrap();
        large.advert_int = Centis(10);
        large.vips.truncate(1);
        large.excluded = part(100, &vips[1..]).instances.remove(0).vips.into();
        two.instances.push(large);
        outside.start(&two, None).await;
        // From the takeover of V2 until its last address is announced V1 goes on every 10 ms.
        while outside.see().await != (Frame::Advert { vrid: 8, priority: 100 }) {}
        let (mut adverts_among, mut garps) = (0, 0);
        while garps < 4000 {
            match outside.see().await {
                Frame::Advert { vrid: 7, .. } => adverts_among += 1,
                Frame::Advert { .. } => {}
                Frame::Garp(_) => garps += 1,
            }
        }
        // All of it takes 50 ms and more; done in one go, no advert would be among it.
        assert!(adverts_among >= 3, "{adverts_among} adverts while the addresses were added");
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
        assert_eq!(addresses(), ["10.0.0.1"]);
    });
}

#[test]
fn a_router_that_yields_in_the_middle_of_a_takeover_announces_no_more_and_leaves_nothing() {
    beside(Options::default(), |mut outside| async move {
        let vips: Vec<String> = (0..2000).map(|n| format!("10.1.{}.{}", n / 250, 1 + n % 250)).collect();
        let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
        let mut part = part(100, &vips[..1]);
        part.instances[0].excluded = super::vrrp_tests::part(100, &vips[1..]).instances.remove(0).vips.into();
        part.instances[0].v3_checksum_as_v2 = true;
        part.instances[0].advert_int = Centis(20);
        // Where the router sends and hears: on the way to the other end a busy kernel may let frames wait.
        outside.wire = tap("va");
        outside.start(&part, None).await;
        while outside.see().await != (Frame::Advert { vrid: 7, priority: 100 }) {}
        let index = nix::net::if_::if_nametoindex("vc").unwrap();
        let better = Sender::open(Family::V4, NonZeroU32::new(index)).unwrap();
        let source = [10, 0, 0, 2].into();
        let group = Route { source, destination: [224, 0, 0, 18].into(), hop_limit: None };
        let mut advert = vec![0x45, 0xc0, 0, 32, 0, 1, 0, 0, 255, 112, 0, 0, 10, 0, 0, 2, 224, 0, 0, 18];
        advert.extend([0x31, 7, 200, 1, 0, 20, 0, 0, 10, 1, 0, 1]);
        better.send(&[Outgoing { index, route: group, bytes: advert.clone() }]).unwrap();
        // Enough of them for the removal of 2000 addresses, and no takeover in between. What was there before the
        // better advert came has been announced; what leaves behind it belongs to the slice that was begun.
        let (mut before, mut behind, mut is_told) = (0, 0, false);
        for _ in 0..15 {
            let ours_only = async {
                loop {
                    let frame = outside.see().await;
                    match frame {
                        Frame::Garp(_) if is_told => behind += 1,
                        Frame::Garp(_) => before += 1,
                        Frame::Advert { vrid: 7, priority: 200 } => is_told = true,
                        other @ Frame::Advert { .. } => return other,
                    }
                }
            };
            let seen = tokio::time::timeout(Duration::from_millis(40), ours_only).await;
            assert!(seen.is_err(), "{seen:?}");
            better.send(&[Outgoing { index, route: group, bytes: advert.clone() }]).unwrap();
        }
        assert!(behind < 300, "{behind} announcements behind the better advert, {before} before it");
        assert_eq!(addresses(), ["10.0.0.1"]);
        outside.channel.send(&ToChild::Stop).unwrap();
        outside.until(&FromChild::Stopped).await;
    });
}
