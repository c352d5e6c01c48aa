//! Elections as far as one file can tell: numbers of virtual routers used twice, weights at the end of their range.

use std::net::IpAddr;

use super::nodes::Router;
use super::{instance, report};
use crate::config::blocks::Drafts;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{Config, HostFacts, InterfaceFacts};

/// Two instances of one number on interfaces that are in one network. On one interface it is stock's to complain.
pub(super) fn same_segment(
    drafts: &Drafts<'_>,
    config: &Config,
    facts: &HostFacts,
    found: &mut Vec<Diagnostic>,
) {
    let on = |interface: &Option<String>| facts.interfaces.get(interface.as_ref()?.as_str());
    for (index, second) in config.instances.iter().enumerate() {
        let earlier = config.instances.get(..index).unwrap_or_default();
        let clash = earlier.iter().find(|first| {
            first.vrid == second.vrid
                && first.family == second.family
                && first.interface != second.interface
                && on(&first.interface).zip(on(&second.interface)).is_some_and(|(a, b)| share_a_network(a, b))
        });
        let Some((first, draft)) = clash.zip(instance(drafts, &second.name)) else { continue };
        let Some((_, span)) = draft.virtual_router_id else { continue };
        let message = format!(
            "`{}` and `{}` have the same number, and their interfaces are in one network",
            first.name, second.name
        );
        let mut told = report("vrid-twice", span, message)
            .help("give one of them another `virtual_router_id`, on all its nodes")
            .stock("runs both: each takes the other's adverts for its own");
        if let Some((_, span)) = instance(drafts, &first.name).and_then(|draft| draft.virtual_router_id) {
            told = told.related(span, "the other one");
        }
        found.push(told);
    }
}

fn share_a_network(first: &InterfaceFacts, second: &InterfaceFacts) -> bool {
    let networks = |facts: &InterfaceFacts| -> Vec<(u128, u8)> {
        facts.addresses.iter().filter_map(|&(address, prefix)| network(address, prefix)).collect()
    };
    let second = networks(second);
    networks(first).iter().any(|network| second.contains(network))
}

/// The network of an address; none of link-local ones, which every link has.
pub(super) fn network(address: IpAddr, prefix: u8) -> Option<(u128, u8)> {
    let (bits, length) = match address {
        IpAddr::V4(v4) if v4.is_link_local() || v4.is_loopback() => return None,
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_loopback() => return None,
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host = u32::from(length - prefix.min(length));
    Some((bits.checked_shr(host)?, prefix))
}

/// Weights that push a priority beyond the end of its range only.
pub(super) fn at_the_end_of_the_range(routers: &[Router], found: &mut Vec<Diagnostic>) {
    for router in routers {
        for weight in &router.weights {
            let stuck = (router.priority == 254 && weight.value > 0 && router.lowest == 254)
                || (router.priority == 1 && weight.value < 0 && router.highest == 1);
            if stuck {
                found.push(
                    report(
                        "weight-without-effect",
                        weight.place,
                        format!(
                            "the priority is {} already: the weight {} of `{}` changes nothing",
                            router.priority, weight.value, weight.name
                        ),
                    )
                    .help("leave room for the weight between the priority and 1 or 254")
                    .stock("keeps the priority within 1..254"),
                );
            }
        }
    }
}
