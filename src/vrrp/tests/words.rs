//! Words of the configuration that change little things: receive buffers, delays, the pace of announcements.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{Auth, Instance, PolledInterface, Polling, ReceivePolicy, VrrpPart, VrrpVersion};
use crate::vrrp::{Action, Actions, Event, VrrpState};

fn buffers(out: &Actions) -> Vec<u32> {
    let listeners = out.iter().find_map(|action| match action {
        Action::Listen(listeners) => Some(listeners),
        _ => None,
    });
    listeners.unwrap().iter().map(|listener| listener.receive_buffer).collect()
}

/// Measured with 2.2.7: of a 1500-byte interface, one instance with a size of its own and one without.
#[test]
fn the_instances_of_one_socket_add_up_what_they_want_for_its_receive_buffer() {
    let own = Instance { kernel_rx_buffer: Some(5000), ..instance("A", 1, 100) };
    let instances = [own, instance("B", 2, 100)];
    for (policy, sum) in [
        (ReceivePolicy::System, 5000),
        (ReceivePolicy::Bytes(3000), 8000),
        (ReceivePolicy::Mtu, 5000 + 3 * 1500),
        (ReceivePolicy::Advert, 5000 + 3 * 40),
    ] {
        let mut part = part(&instances);
        part.global.rx_bufs = policy;
        let mut router = crate::vrrp::Router::new(&part);
        let mut interfaces = interfaces(1);
        interfaces[0].link.mtu = 1500;
        let mut out = Vec::new();
        router.handle(at(1.0), Event::Interfaces(interfaces), &mut out);
        assert_eq!(buffers(&out), [sum], "{policy:?}");
    }
}

#[test]
fn the_size_of_an_advert_counts_all_its_parts() {
    let three = vec![vip("10.0.0.101", "eth0"), vip("10.0.0.102", "eth0"), vip("10.0.0.103", "eth0")];
    let plain = Instance { vips: three, version: VrrpVersion::V3, ..instance("A", 1, 100) };
    let ah = Instance { auth: Auth::Ah(*b"password"), version: VrrpVersion::V2, ..plain.clone() };
    for (config, bytes) in [(plain, 20 + 8 + 12), (ah, 20 + 24 + 8 + 12 + 8)] {
        let mut part = part(&[config]);
        part.global.rx_bufs = ReceivePolicy::Advert;
        part.global.rx_bufs_multiplier = 10;
        let (_, out) = Bench::start(&part);
        assert_eq!(buffers(&out)[0], 10 * bytes);
    }
}

/// The bench starts ten seconds after the boot of its host.
#[test]
fn the_longer_of_the_start_delay_and_what_is_left_of_the_delay_after_boot_counts() {
    for (startup, after_boot, seconds) in [(0, 14, 4), (3, 14, 4), (6, 14, 6), (3, 10, 3)] {
        let mut part: VrrpPart = part(&[instance("V", 1, 255)]);
        part.global.vrrp_startup_delay = Duration::from_secs(startup);
        part.global.vrrp_delay_after_boot = Duration::from_secs(after_boot);
        let (mut bench, out) = Bench::start(&part);
        assert_eq!(logs(&out), [format!("Delaying startup for {seconds} seconds")]);
        assert_eq!(bench.state(0), VrrpState::Init, "not even an owner comes up");
        bench.wait(f64::from(seconds) - 0.1);
        assert_eq!(bench.state(0), VrrpState::Init);
        assert_eq!(logs(&bench.wait(0.1)), ["Delayed start completed", "(V) Entering MASTER STATE"]);
    }
    let mut part: VrrpPart = part(&[instance("V", 1, 255)]);
    part.global.vrrp_delay_after_boot = Duration::from_secs(10);
    let (bench, _) = Bench::start(&part);
    assert_eq!(bench.state(0), VrrpState::Master, "the host is up for long enough");
}

/// spec/vrrp-config.md §1, `linkbeat_interfaces`: what the card says counts, not what the kernel believes.
#[test]
fn of_a_polled_card_the_kernels_word_on_its_carrier_does_not_count() {
    let way = Polling::Mii;
    let mut part = part(&[instance("V", 1, 150)]);
    part.polled = vec![PolledInterface { interface: "eth0".into(), way: None }];
    let says = |name: &str, up| Event::Polled { name: name.into(), way, up };
    let mut router = crate::vrrp::Router::new(&part);
    let mut out = Vec::new();
    router.handle(at(10.0), says("eth0", false), &mut out);
    router.handle(at(10.0), Event::Interfaces(interfaces(1)), &mut out);
    assert_eq!(router.snapshot(at(10.0)).instances[0].state, VrrpState::Fault, "told before the start");
    let mut bench = Bench { router, now: at(10.0) };
    let out = bench.event(Event::Link(link(1, "eth0", true)));
    assert_eq!((bench.state(0), logs(&out).len()), (VrrpState::Fault, 0), "the kernel knows nothing of it");
    let out = bench.event(says("eth0", true));
    assert_eq!(logs(&out), ["Netlink reports eth0 up", "(V) Entering BACKUP STATE"]);
    let out = bench.event(Event::Link(link(1, "eth0", false)));
    assert_eq!((bench.state(0), logs(&out).len()), (VrrpState::Backup, 0));
    bench.event(says("eth1", false));
    assert_eq!(bench.state(0), VrrpState::Backup, "nobody asked for eth1");
    bench.event(says("eth0", false));
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert_eq!(bench.router.snapshot(bench.now).polled, [("eth0".to_owned(), way)]);
}
