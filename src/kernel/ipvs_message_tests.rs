//! The bytes of spec/ipvs-behaviour.md §2 (little-endian hosts), and replies of any kind.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::config::model::SyncDaemon;

/// Everything after the netlink header.
fn body(request: &Request) -> Vec<u8> {
    request.bytes(1)[16..].to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn plain(scheduler: &'static str, family: Family) -> ServiceSettings {
    ServiceSettings {
        scheduler: Cow::Borrowed(scheduler),
        engine: None,
        flags: 0,
        timeout: 0,
        netmask: Netmask::full(family),
    }
}

fn tcp_8001() -> ServiceKey {
    ServiceKey::Address { protocol: 6, address: "10.9.0.1".parse().unwrap(), port: 8001 }
}

/// `sh`, sh-port, sh-fallback, flag-3, persistent 50, /24, engine sip.
fn persistent_sh() -> ServiceSettings {
    ServiceSettings {
        scheduler: Cow::Borrowed("sh"),
        engine: Some("sip".to_owned()),
        flags: 0x39,
        timeout: 50,
        netmask: Netmask::V4([255, 255, 255, 0]),
    }
}

fn destination(text: &str) -> DestinationKey {
    let socket: std::net::SocketAddr = text.parse().unwrap();
    DestinationKey { address: socket.ip(), port: socket.port() }
}

fn with(method: ForwardingMethod, weight: u32, thresholds: (u32, u32)) -> DestinationSettings {
    DestinationSettings {
        method: Some(method),
        weight,
        upper_threshold: thresholds.0,
        lower_threshold: thresholds.1,
    }
}

const TCP_8001_NEST: &str = "54000180 0600010002000000 0600020006000000 \
     140003000a090001000000000000000000000000 060004001f410000 0700060072720000 \
     0c00070000000000ffffffff 0800080000000000 08000900ffffffff";

#[test]
fn a_tcp_service_is_stocks_bytes() {
    let (service, settings) = (tcp_8001(), plain("rr", Family::V4));
    for (number, request) in [
        ("01", Command::AddService { service, settings: settings.clone() }),
        ("02", Command::EditService { service, settings: settings.clone() }),
        ("03", Command::DeleteService { service, settings }),
    ] {
        let expected = hex(&format!("{number}010000 {TCP_8001_NEST}"));
        assert_eq!(body(&command(29, &request)), expected);
    }
}

#[test]
fn a_nat_destination_is_stocks_bytes() {
    let (service, of) = (tcp_8001(), plain("rr", Family::V4));
    let destination = destination("127.0.0.1:8001");
    let settings = with(ForwardingMethod::Nat, 1, (0, 0));
    for (number, request) in [
        ("05", Command::AddDestination { service, of: of.clone(), destination, settings }),
        ("06", Command::EditDestination { service, of: of.clone(), destination, settings }),
        ("07", Command::DeleteDestination { service, of, destination, settings }),
    ] {
        let expected = hex(&format!(
            "{number}010000 {TCP_8001_NEST} 48000280 06000b0002000000 \
             140001007f000001000000000000000000000000 060002001f410000 0800030000000000 \
             0800040001000000 0800050000000000 0800060000000000"
        ));
        assert_eq!(body(&command(29, &request)), expected);
    }
}

#[test]
fn a_fwmark_service_is_stocks_bytes() {
    let service = ServiceKey::Fwmark { family: Family::V4, mark: 7 };
    let request = Command::AddService { service, settings: plain("rr", Family::V4) };
    let expected = hex("01010000 38000180 0600010002000000 0800050007000000 0700060072720000 \
         0c00070000000000ffffffff 0800080000000000 08000900ffffffff");
    assert_eq!(body(&command(29, &request)), expected);
}

#[test]
fn persistence_stands_in_the_service_and_not_in_its_destinations() {
    let request = Command::AddService { service: tcp_8001(), settings: persistent_sh() };
    let identity = "0600010002000000 0600020006000000 \
         140003000a090001000000000000000000000000 060004001f410000 0700060073680000";
    let expected = hex(&format!(
        "01010000 5c000180 {identity} 08000b0073697000 0c00070039000000ffffffff \
         0800080032000000 08000900ffffff00"
    ));
    assert_eq!(body(&command(29, &request)), expected);

    let tunnel = Tunnel::Gue { port: 5555, checksum: TunnelChecksum::Remote };
    let request = Command::AddDestination {
        service: tcp_8001(),
        of: persistent_sh(),
        destination: destination("127.0.0.1:8001"),
        settings: with(ForwardingMethod::Tun(tunnel), 3, (10, 5)),
    };
    let expected = hex(&format!(
        "05010000 54000180 {identity} 0c00070038000000ffffffff 0800080000000000 08000900ffffffff \
         60000280 06000b0002000000 140001007f000001000000000000000000000000 060002001f410000 \
         0800030002000000 0800040003000000 05000d0001000000 06000e0015b30000 06000f0002000000 \
         080005000a000000 0800060005000000"
    ));
    assert_eq!(body(&command(29, &request)), expected);
}

#[test]
fn an_ipv6_service_has_its_prefix_as_a_number() {
    let service = ServiceKey::Address { protocol: 17, address: "fd00::7".parse().unwrap(), port: 53 };
    let settings =
        ServiceSettings { flags: 0x05, timeout: 360, netmask: Netmask::V6(64), ..plain("rr", Family::V6) };
    let request = Command::AddService { service, settings: settings.clone() };
    let identity = "060001000a000000 0600020011000000 \
         14000300fd000000000000000000000000000007 0600040000350000 0700060072720000";
    let expected = hex(&format!(
        "01010000 54000180 {identity} 0c00070005000000ffffffff 0800080068010000 0800090040000000"
    ));
    assert_eq!(body(&command(29, &request)), expected);

    let request = Command::AddDestination {
        service,
        of: settings,
        destination: destination("[fd00::8]:53"),
        settings: with(ForwardingMethod::Dr, 1, (0, 0)),
    };
    let bytes = body(&command(29, &request));
    let nest =
        hex(&format!("54000180 {identity} 0c00070004000000ffffffff 0800080000000000 0800090080000000"));
    assert_eq!(bytes[4..4 + nest.len()], nest);
    let fwd = hex("0800030003000000");
    assert!(bytes.windows(fwd.len()).any(|window| window == fwd));
}

#[test]
fn gre_and_ipip_have_their_own_attributes_only() {
    let bytes = |tunnel| {
        body(&command(
            29,
            &Command::AddDestination {
                service: tcp_8001(),
                of: plain("rr", Family::V4),
                destination: destination("127.0.0.1:8001"),
                settings: with(ForwardingMethod::Tun(tunnel), 1, (0, 0)),
            },
        ))
    };
    let after_weight = |bytes: &[u8]| {
        let weight = hex("0800040001000000");
        let at = bytes.windows(8).position(|window| window == weight).unwrap();
        bytes[at + 8..bytes.len() - 16].to_vec()
    };
    let gre = bytes(Tunnel::Gre { checksum: TunnelChecksum::Csum });
    assert_eq!(after_weight(&gre), hex("05000d0002000000 06000f0001000000"));
    assert_eq!(after_weight(&bytes(Tunnel::Ipip)), hex("05000d0000000000"));
}

#[test]
fn flush_and_timeouts_are_stocks_bytes() {
    assert_eq!(body(&flush(29)), hex("11010000"));
    assert_eq!(body(&get_config(29)), hex("0d010000"));
    let timeouts = LvsTimeouts { tcp: 100, tcp_fin: 20, udp: 30 };
    let expected = hex("0c010000 0800040064000000 0800050014000000 080006001e000000");
    assert_eq!(body(&set_config(29, timeouts)), expected);
    assert_eq!(decode_timeouts(&expected), Some(timeouts));
    assert_eq!(decode_timeouts(&expected[..expected.len() - 1]), None);
}

#[test]
fn a_sync_daemon_is_stocks_bytes() {
    let settings = SyncDaemon {
        interface: "lo".to_owned(),
        instance: None,
        id: Some(7),
        max_length: Some(1400),
        port: Some(8848),
        ttl: Some(3),
        group: Some("224.0.0.82".parse().unwrap()),
    };
    let start = sync::Command::Start(SyncRole::Master, settings);
    let expected =
        hex("09010000 3c000380 0800010001000000 070002006c6f0000 0800030007000000 0600040078050000 \
         0600070090220000 0500080003000000 08000500e0000052");
    assert_eq!(body(&sync(29, &start)), expected);
    let running = decode_sync(&expected).unwrap();
    assert_eq!((running.role, running.id, running.max_length), (SyncRole::Master, 7, Some(1400)));
    assert_eq!((running.port, running.ttl), (Some(8848), Some(3)));
    assert_eq!((running.interface.as_str(), running.group), ("lo", Some("224.0.0.82".parse().unwrap())));
    assert_eq!(decode_sync(&expected[..12]), None);
    let stop = body(&sync(29, &sync::Command::Stop(SyncRole::Backup)));
    assert_eq!(stop, hex("0a010000 14000380 0800010002000000 0800030000000000"));
}

#[test]
fn the_kernels_own_flag_and_an_odd_method_do_not_confuse_a_reply() {
    let settings = ServiceSettings { flags: 0x02 | 0x10, ..plain("wlc", Family::V4) };
    let reply = body(&command(29, &Command::AddService { service: tcp_8001(), settings }));
    assert_eq!(decode_service(&reply).unwrap().1.flags, 0x10);

    let local = genl::request(29, CMD_NEW_DEST).nest(DEST, |nest| {
        let nest =
            destination_nest(nest, &destination("127.0.0.1:80"), &with(ForwardingMethod::Nat, 1, (0, 0)));
        nest.attribute(99, b"news")
    });
    let mut bytes = body(&local);
    let method = bytes.windows(4).position(|window| window == hex("08000300")).unwrap();
    bytes[method + 4] = 1;
    assert_eq!(decode_destination(Family::V4, &bytes).unwrap().1.method, None);
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::V6(octets.into())),
    ]
}

fn any_service() -> impl Strategy<Value = (ServiceKey, ServiceSettings)> {
    let key = prop_oneof![
        (any::<u8>(), any_address(), any::<u16>())
            .prop_map(|(protocol, address, port)| { ServiceKey::Address { protocol, address, port } }),
        (any::<bool>(), any::<u32>()).prop_map(|(v4, mark)| ServiceKey::Fwmark {
            family: if v4 { Family::V4 } else { Family::V6 },
            mark
        }),
    ];
    (key, any::<u32>(), any::<u32>(), any::<[u8; 4]>(), proptest::option::of("[a-z]{1,15}")).prop_map(
        |(key, flags, timeout, mask, engine)| {
            let netmask = match key.family() {
                Family::V4 => Netmask::V4(mask),
                Family::V6 => Netmask::V6(u32::from_ne_bytes(mask)),
            };
            let settings = ServiceSettings {
                scheduler: Cow::Borrowed("wlc"),
                engine,
                flags: flags & !HASHED,
                timeout,
                netmask,
            };
            (key, settings)
        },
    )
}

fn any_destination() -> impl Strategy<Value = (DestinationKey, DestinationSettings)> {
    let checksum =
        prop_oneof![Just(TunnelChecksum::None), Just(TunnelChecksum::Csum), Just(TunnelChecksum::Remote)];
    let method = prop_oneof![
        Just(ForwardingMethod::Nat),
        Just(ForwardingMethod::Dr),
        Just(ForwardingMethod::Tun(Tunnel::Ipip)),
        (any::<u16>(), checksum.clone())
            .prop_map(|(port, checksum)| ForwardingMethod::Tun(Tunnel::Gue { port, checksum })),
        checksum.prop_map(|checksum| ForwardingMethod::Tun(Tunnel::Gre { checksum })),
    ];
    (any_address(), any::<u16>(), method, any::<u32>(), any::<(u32, u32)>()).prop_map(
        |(address, port, method, weight, thresholds)| {
            (DestinationKey { address, port }, with(method, weight, thresholds))
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(
        (service, of) in any_service(),
        (destination, settings) in any_destination(),
    ) {
        let add = Command::AddService { service, settings: of.clone() };
        prop_assert_eq!(decode_service(&body(&command(29, &add))), Some((service, of.clone())));
        let add = Command::AddDestination { service, of, destination, settings };
        let bytes = body(&command(29, &add));
        let expected = Some((destination, settings));
        prop_assert_eq!(decode_destination(service.family(), &bytes), expected);
    }

    #[test]
    fn replies_of_any_bytes_do_not_panic(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        (service, settings) in any_service(),
        cut in 0usize..120,
        at in 0usize..120,
        byte: u8,
    ) {
        let mut reply = body(&command(29, &Command::AddService { service, settings }));
        if let Some(place) = reply.get_mut(at) {
            *place = byte;
        }
        reply.truncate(cut);
        for bytes in [&garbage, &reply] {
            let _ = decode_service(bytes);
            let _ = decode_destination(Family::V4, bytes);
            let _ = decode_destination(Family::V6, bytes);
            let _ = decode_timeouts(bytes);
            let _ = decode_sync(bytes);
        }
    }
}
