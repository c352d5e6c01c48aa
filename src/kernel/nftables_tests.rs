use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::kernel::testing::{in_namespace, run};

fn ruleset() -> Ruleset {
    let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
    Ruleset {
        table: "keepalived".into(),
        priority: -1,
        counters: true,
        v4: TableV4 {
            vmacs: BTreeSet::from([(7, 2)]),
            vips: Some(BTreeSet::from([Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)])),
        },
        v6: TableV6 {
            vmacs: BTreeSet::from([(7, 2)]),
            shared: BTreeSet::from([(link_local, 7)]),
            vips: Some(BTreeSet::new()),
            link_local: Some(BTreeSet::from([(link_local, 2)])),
        },
    }
}

#[test]
fn a_ruleset_is_written_changed_put_back_and_removed() {
    in_namespace(|| {
        run("ip link add d0 type veth peer name d1");
        let monitor = NftablesMonitor::open().unwrap();
        let mut nftables = match Nftables::open() {
            Ok(nftables) => nftables,
            Err(error) => return eprintln!("SKIPPED: {error}"),
        };
        let (port, mut buffer) = (nftables.port().unwrap(), vec![0; 1 << 16]);
        let mut set = ruleset();
        if let Err(error) = nftables.apply(Some(&set), Trust::Applied) {
            return eprintln!("SKIPPED: {error}");
        }
        assert!(!nftables.is_smaller(Some(&set)));
        set.v4.vips.as_mut().unwrap().insert(Ipv4Addr::new(10, 0, 0, 3));
        assert!(!nftables.is_smaller(Some(&set)));
        nftables.apply(Some(&set), Trust::Applied).unwrap();
        set.v4.vips.as_mut().unwrap().clear();
        assert!(nftables.is_smaller(Some(&set)) && nftables.is_smaller(None));
        nftables.apply(Some(&set), Trust::Applied).unwrap();
        nftables.apply(Some(&set), Trust::Nothing).expect("it can be written over itself");
        assert_eq!(monitor.touched("keepalived", port, &mut buffer), None, "all of that was ours");
        let mut other = Nftables::open().unwrap();
        other.transact(&removal("keepalived"), "removing", "keepalived").unwrap();
        let touch = monitor.touched("keepalived", port, &mut buffer).expect("it was told");
        assert!(touch.by.is_some());
        set.v4.vips.as_mut().unwrap().insert(Ipv4Addr::new(10, 0, 0, 9));
        let refused = nftables.apply(Some(&set), Trust::Applied).unwrap_err();
        assert!(refused.to_string().starts_with("changing sets of nftables table keepalived: "), "{refused}");
        nftables.apply(Some(&set), Trust::Nothing).unwrap();
        nftables.apply(None, Trust::Applied).unwrap();
        nftables.apply(None, Trust::Applied).expect("nothing is left to remove");
    });
}

#[test]
fn two_thousand_addresses_fit() {
    in_namespace(|| {
        let mut nftables = Nftables::open().unwrap();
        let mut set = ruleset();
        set.v6.vips = Some((0..2000_u16).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)).collect());
        match nftables.apply(Some(&set), Trust::Applied) {
            Err(error) if error.errno == Errno::EPERM || error.errno == Errno::EOPNOTSUPP => {
                eprintln!("SKIPPED: {error}");
            }
            result => result.unwrap(),
        }
    });
}

#[test]
fn any_notification_decodes_without_panic() {
    proptest::proptest!(|(bytes: Vec<u8>, kind: u16)| {
        let _ = concerns(kind, &bytes, "keepalived");
    });
}
