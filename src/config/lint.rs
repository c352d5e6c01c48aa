//! Lints: what is allowed and hardly meant. Warnings of `check` only, so that no exit code of `-t` depends on them.
//!
//! They look at the drafts, which know their places in the files, after the configuration was read and reported on; what
//! a report of stock's class says already is not said again. Pure. Each lint has its entry in [`LINTS`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::blocks::check::Special;
use super::blocks::virtual_server::{self, ServiceDraft};
use super::blocks::{Drafts, TOP, quoted, vrrp_instance};
use super::diagnostic::{Class, Diagnostic, Diagnostics};
use super::model::{GroupEntry, HostFacts};
use super::reader::{Reader, Surroundings};
use super::schema::{Effect, Keyword, Readers, Repeat, Shape, Table};
use super::source::Span;
use super::syntax::{LineKind, LogicalLines, Word};
use super::value::is_link_local;

/// A lint, for people.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    /// Stable name.
    pub id: &'static str,
    /// What it finds.
    pub summary: &'static str,
    /// Why that is hardly meant, and what to do.
    pub why: &'static str,
}

/// Every lint.
pub const LINTS: &[Lint] = &[
    Lint {
        id: "duplicate-keyword",
        summary: "A keyword with one value stands twice in a block.",
        why: "Stock takes the last one without a word, so the first line has no effect, and whoever changes it wonders \
              why nothing happens. Remove one of them.",
    },
    Lint {
        id: "vip-in-two-instances",
        summary: "Two instances have the same virtual address.",
        why: "Each adds the address when it becomes master and removes it when it stops being one, so the address \
              disappears while one of them is still master. Give the address to one instance; instances that \
              belong together go into a vrrp_sync_group.",
    },
    Lint {
        id: "own-unicast-peer",
        summary: "A unicast peer is this node itself.",
        why: "Adverts sent to an own address reach nobody, and the peer that was meant is missing or listed besides. \
              The list holds the other nodes only, so it differs from node to node.",
    },
    Lint {
        id: "sorry-server-in-pool",
        summary: "The sorry server is one of the real servers.",
        why: "The sorry server takes over when too few real servers are alive; one that is checked and found dead \
              with them cannot. Name a server that is not in the pool.",
    },
    Lint {
        id: "quorum-out-of-reach",
        summary: "Quorum and hysteresis together are more than all real servers weigh.",
        why: "A lost quorum is gained again when the living weight reaches quorum plus hysteresis. When that is more \
              than all real servers weigh together it stays lost for ever, and the sorry server in use. \
              Lower one of them, or raise the weights.",
    },
    Lint {
        id: "all-weights-zero",
        summary: "Every real server has weight 0.",
        why: "The kernel sends no new connection to a server of weight 0, so the service refuses everybody however \
              healthy its servers are. Weight 0 is for draining one server of several.",
    },
    Lint {
        id: "timeout-not-below-interval",
        summary: "A script may run as long as its interval, or longer.",
        why: "A script that still runs when the next run is due delays that run, so failures are noticed later than \
              interval and fall promise. Make the timeout shorter than the interval.",
    },
    Lint {
        id: "virtual-server-not-local",
        summary: "The address of a virtual server is no address of this host nor of this file.",
        why: "IPVS serves packets that reach the host as its own. An address that is no VIP of an instance, no static \
              address and on no interface gets none, unless a route or a firewall brings them. Check the \
              address for typing mistakes, or add it to a virtual_ipaddress list.",
    },
];

/// The lint of that name.
pub fn find(id: &str) -> Option<&'static Lint> {
    LINTS.iter().find(|lint| lint.id == id)
}

/// Are lints wanted?
#[derive(Debug, Clone, Copy)]
pub enum Lints<'a> {
    /// No: for `-t` and the daemon.
    Off,
    /// All but these.
    Except(&'a [String]),
}

/// Adds what the lints find in these lines to the reports.
pub fn lint(
    lines: &LogicalLines,
    world: Surroundings<'_>,
    silenced: &[String],
    diagnostics: &mut Diagnostics,
) {
    // What this reading reports is reported already.
    let mut known = Diagnostics::new();
    let mut reader = Reader::new(lines, world, &mut known);
    for process in [Readers::PARENT, Readers::CHECKER, Readers::VRRP] {
        reader.walk(process, &TOP);
    }
    let drafts = std::mem::take(&mut reader.drafts);
    let mut found = Vec::new();
    duplicate_keywords(lines, diagnostics, &mut found);
    vips_in_two_instances(&drafts, &mut found);
    own_peers(&drafts, world.facts, &mut found);
    script_timeouts(&drafts, &mut found);
    for draft in &drafts.virtual_servers {
        sorry_server_in_pool(draft, &mut found);
        weights(draft, &mut found);
    }
    virtual_servers_elsewhere(&drafts, world.facts, &mut found);
    for report in found.into_iter().filter(|report| silenced.iter().all(|id| id != report.id)) {
        diagnostics.push(report);
    }
}

fn report(id: &'static str, span: Span, message: String) -> Diagnostic {
    Diagnostic::warning(id, span, message).class(Class::None)
}

/// A block that is open while duplicates are looked for. Lists and unknown blocks have no table.
struct OpenBlock {
    table: Option<&'static Table>,
    seen: HashMap<&'static str, Span>,
}

fn duplicate_keywords(lines: &LogicalLines, known: &Diagnostics, found: &mut Vec<Diagnostic>) {
    let block = |table| OpenBlock { table, seen: HashMap::new() };
    let mut open = vec![block(Some(&TOP))];
    let mut next = None;
    for line in lines.iter() {
        match line.kind {
            LineKind::Open => open.push(block(next.take())),
            LineKind::Close if open.len() > 1 => {
                open.pop();
            }
            LineKind::Close => {}
            LineKind::Words => {
                next = None;
                let (Some(inner), Some(head)) = (open.last_mut(), line.words.first()) else { continue };
                let keyword = inner.table.filter(|_| !line.ours).and_then(|table| table.find(head));
                let Some(keyword) = keyword else { continue };
                if let Shape::Block(block) = keyword.shape {
                    next = Some(block.table);
                }
                if !has_one_value(keyword) || line.words.len() < 2 {
                    continue;
                }
                let Some(first) = inner.seen.insert(keyword.name, head.span()) else { continue };
                let span = line.span();
                let told = known.iter().filter_map(|report| report.span).any(|place| {
                    place.source == span.source && (span.start..=span.end).contains(&place.start)
                });
                if !told {
                    found.push(
                        report("duplicate-keyword", head.span(), format!("a second `{}`", keyword.name))
                            .related(first, "this one has no effect")
                            .help("remove one of them")
                            .stock("uses the last, without a word"),
                    );
                }
            }
        }
    }
}

fn has_one_value(keyword: &Keyword) -> bool {
    keyword.repeat == Repeat::LastWins
        && keyword.effect != Effect::Nothing
        && !matches!(keyword.shape, Shape::Flag | Shape::Block(_) | Shape::List(_))
}

fn instance_name(draft: &vrrp_instance::Draft<'_>) -> String {
    draft.name.map(quoted).unwrap_or_default()
}

fn vips_in_two_instances(drafts: &Drafts<'_>, found: &mut Vec<Diagnostic>) {
    let mut owners: HashMap<(IpAddr, Option<&str>), (usize, Span)> = HashMap::new();
    for (index, draft) in drafts.instances.iter().enumerate() {
        for vip in draft.vips.iter().chain(&draft.excluded) {
            // The same link-local address on two interfaces is two addresses.
            let interface = vip.dev.or(draft.interface).map(Word::as_str);
            let key = (
                vip.address,
                interface.filter(|_| matches!(vip.address, IpAddr::V6(v6) if is_link_local(v6))),
            );
            let &mut (owner, first) = owners.entry(key).or_insert((index, vip.span));
            if owner == index {
                continue;
            }
            let other = drafts.instances.get(owner).map(instance_name).unwrap_or_default();
            found.push(
                report(
                    "vip-in-two-instances",
                    vip.span,
                    format!("`{}` and `{other}` both have the address {}", instance_name(draft), vip.address),
                )
                .related(first, "the other one")
                .help("remove it from one of them")
                .stock("adds it twice, and removes it when the first of the two stops being master"),
            );
        }
    }
}

fn own_peers(drafts: &Drafts<'_>, facts: &HostFacts, found: &mut Vec<Diagnostic>) {
    for draft in &drafts.instances {
        let source = draft.source.map(|(address, _)| address);
        for (peer, span) in draft.peers.iter().zip(&draft.peer_places) {
            let what = if source == Some(peer.address) {
                "is the own source address".to_owned()
            } else if let Some(interface) = home(facts, peer.address) {
                format!("is this node's own, on {interface}")
            } else {
                continue;
            };
            found.push(
                report("own-unicast-peer", *span, format!("the unicast peer {} {what}", peer.address))
                    .help("list the other nodes only")
                    .stock("sends its adverts to itself, too"),
            );
        }
    }
}

/// The interface that has the address.
fn home(facts: &HostFacts, address: IpAddr) -> Option<&str> {
    let has = |addresses: &[(IpAddr, u8)]| addresses.iter().any(|(own, _)| *own == address);
    facts.interfaces.iter().find(|(_, interface)| has(&interface.addresses)).map(|(name, _)| name.as_str())
}

fn script_timeouts(drafts: &Drafts<'_>, found: &mut Vec<Diagnostic>) {
    for draft in &drafts.scripts {
        let interval = draft.interval.unwrap_or(Duration::from_secs(1));
        let (Some(timeout), Some(span)) = (draft.timeout, draft.timeout_place) else { continue };
        if timeout < interval {
            continue;
        }
        let (timeout, interval) = (timeout.as_secs_f64(), interval.as_secs_f64());
        found.push(
            report(
                "timeout-not-below-interval",
                span,
                format!("the script may run {timeout} s, and is due every {interval} s"),
            )
            .help("make the timeout shorter than the interval")
            .stock("starts no second run while one is going on"),
        );
    }
}

fn sorry_server_in_pool(draft: &virtual_server::Draft<'_>, found: &mut Vec<Diagnostic>) {
    let Some(sorry) = draft.sorry_server else { return };
    let virtual_port = if let ServiceDraft::Address(_, port) = draft.service { port } else { 0 };
    let effective = |port: u16| if port == 0 { virtual_port } else { port };
    let same = draft
        .real_servers
        .iter()
        .find(|server| server.address == sorry.address && effective(server.port) == effective(sorry.port));
    let Some(same) = same else { return };
    let message = format!("the sorry server {} is one of the real servers", sorry.address);
    let mut report = report("sorry-server-in-pool", sorry.span, message)
        .help("name a server outside the pool")
        .stock("uses it for both");
    if let Some(span) = same.span {
        report = report.related(span, "the real server");
    }
    found.push(report);
}

fn weights(draft: &virtual_server::Draft<'_>, found: &mut Vec<Diagnostic>) {
    let Some(head) = draft.head else { return };
    let dynamic =
        draft.real_servers.iter().flat_map(|server| &server.checkers).any(|checker| match &checker.special {
            Special::Misc(misc) => misc.dynamic,
            Special::File(_) => true,
            _ => false,
        });
    if draft.real_servers.is_empty() || dynamic {
        return;
    }
    let weight = |server: Option<u32>| u64::from(server.or(draft.weight).unwrap_or(1));
    let sum: u64 = draft.real_servers.iter().map(|server| weight(server.weight)).sum();
    if sum == 0 {
        found.push(
            report("all-weights-zero", head, "every real server has weight 0".to_owned())
                .help("give at least one a weight from 1 on")
                .stock("serves nobody"),
        );
        return;
    }
    let (quorum, quorum_span) = draft.quorum.unwrap_or((1, head));
    let Some((hysteresis, span)) = draft.hysteresis else { return };
    // What stock lowers it to; a quorum above the sum is reported and lowered, too.
    let hysteresis = hysteresis.min(quorum.saturating_sub(1));
    let needed = u64::from(quorum) + u64::from(hysteresis);
    if u64::from(quorum) <= sum && needed > sum {
        found.push(
            report(
                "quorum-out-of-reach",
                span,
                format!("once lost, the quorum needs {needed}, and the real servers weigh {sum} together"),
            )
            .related(quorum_span, "the quorum")
            .help("lower the quorum or the hysteresis")
            .stock("never gains the quorum again"),
        );
    }
}

fn virtual_servers_elsewhere(drafts: &Drafts<'_>, facts: &HostFacts, found: &mut Vec<Diagnostic>) {
    let vips = drafts.instances.iter().flat_map(|draft| draft.vips.iter().chain(&draft.excluded));
    let ours: Vec<IpAddr> =
        vips.map(|vip| vip.address).chain(drafts.static_addresses.iter().copied()).collect();
    let elsewhere = |address: IpAddr| {
        !address.is_loopback() && !ours.contains(&address) && home(facts, address).is_none()
    };
    let mut groups: Vec<&str> = Vec::new();
    for draft in &drafts.virtual_servers {
        match (draft.service, draft.head) {
            (ServiceDraft::Address(address, _), Some(head)) if elsewhere(address) => {
                found.push(not_local(head, address));
            }
            (ServiceDraft::Group(name), _) if !groups.contains(&name.as_str()) => {
                groups.push(name.as_str());
                let named = |group: &Word| group.as_str() == name.as_str();
                let Some(group) = drafts.groups.iter().find(|group| group.name.is_some_and(named)) else {
                    continue;
                };
                // Of ranges nobody expects every address to be set.
                let first = group.entries.iter().find_map(|entry| match entry {
                    GroupEntry::Range { first, last, .. } if first == last && elsewhere(*first) => {
                        Some(*first)
                    }
                    _ => None,
                });
                found.extend(group.name.zip(first).map(|(name, address)| not_local(name.span(), address)));
            }
            _ => {}
        }
    }
}

fn not_local(span: Span, address: IpAddr) -> Diagnostic {
    report(
        "virtual-server-not-local",
        span,
        format!("{address} is no virtual address of this file and on no interface"),
    )
    .help("check the address, or add it to a `virtual_ipaddress`")
    .stock("programs it; packets must find their way here by other means")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::MemoryFiles;
    use crate::config::model::{Identity, InterfaceFacts, Users};
    use crate::config::preprocess::{IncludeChecks, ReadOptions};
    use crate::config::value::Mode;

    struct Nobody;

    impl Users for Nobody {
        fn user(&self, _: &str) -> Option<Identity> {
            Some(Identity::default())
        }

        fn group(&self, _: &str) -> Option<u32> {
            None
        }
    }

    /// The lints of a text, each as `line id`. The host has 192.0.2.1 on eth0.
    fn lints(text: &str) -> Vec<String> {
        let files = MemoryFiles::new().file("keepalived.conf", text);
        let options = ReadOptions {
            main: "keepalived.conf".to_owned(),
            config_id: "node".to_owned(),
            include_checks: IncludeChecks::default(),
            random_seed: 0,
        };
        let mut facts = HostFacts::default();
        let addresses = vec![(IpAddr::from([192, 0, 2, 1]), 24)];
        facts
            .interfaces
            .insert("eth0".into(), InterfaceFacts { index: 2, addresses, ..InterfaceFacts::default() });
        let loaded = crate::config::load_linted(
            &files,
            &options,
            Mode::ConfigTest,
            &facts,
            &Nobody,
            Lints::Except(&[]),
        );
        let plain = crate::config::load(&files, &options, Mode::ConfigTest, &facts, &Nobody);
        assert_eq!(loaded.test_exit, plain.test_exit, "lints do not count");
        let found = loaded.diagnostics.iter().filter(|report| find(report.id).is_some());
        found
            .map(|report| {
                let line = report.span.and_then(|span| loaded.sources.location(span)).map_or(0, |at| at.line);
                format!("{line} {}", report.id)
            })
            .collect()
    }

    fn instance(name: &str, vrid: u8, inside: &str) -> String {
        format!("vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{inside}\n}}\n")
    }

    fn server(inside: &str, first: &str, second: &str) -> String {
        format!(
            "virtual_server 192.0.2.1 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n{inside}\n\
             real_server 10.0.0.1 80 {{\n{first}\n}}\nreal_server 10.0.0.2 80 {{\n{second}\n}}\n}}\n"
        )
    }

    #[test]
    fn a_second_value_of_a_keyword_in_one_block_is_told() {
        assert_eq!(lints(&instance("a", 1, "priority 50\npriority 60")), ["5 duplicate-keyword"]);
        let both = instance("a", 1, "priority 50") + &instance("b", 2, "priority 60");
        assert_eq!(lints(&both), [""; 0]);
    }

    #[test]
    fn what_is_reported_as_repeated_already_is_not_told_twice() {
        let text = instance("a", 1, "notify_master /x root\nnotify_master /y root");
        assert_eq!(lints(&text), [""; 0]);
    }

    #[test]
    fn lines_that_add_up_are_no_duplicates() {
        let check = "HTTP_GET {\nurl {\npath /\nstatus_code 200\nstatus_code 301\n}\n}";
        assert_eq!(lints(&server("", check, "")), [""; 0]);
    }

    #[test]
    fn an_address_of_two_instances_is_told_once() {
        let vip = "virtual_ipaddress {\n192.0.2.9\n}";
        let text = instance("a", 1, vip) + &instance("b", 2, vip);
        assert_eq!(lints(&text), ["12 vip-in-two-instances"]);
        let local = "virtual_ipaddress {\nfe80::9 dev eth0\n}";
        let other = "virtual_ipaddress {\nfe80::9 dev eth1\n}";
        assert_eq!(lints(&(instance("a", 1, local) + &instance("b", 2, other))), [""; 0]);
    }

    #[test]
    fn a_peer_that_is_this_node_is_told() {
        let text = instance("a", 1, "unicast_peer {\n192.0.2.2\n192.0.2.1\n}");
        assert_eq!(lints(&text), ["6 own-unicast-peer"]);
        let text = instance("a", 1, "unicast_src_ip 10.0.0.9\nunicast_peer {\n10.0.0.9\n}");
        assert_eq!(lints(&text), ["6 own-unicast-peer"]);
    }

    #[test]
    fn a_script_that_may_outlast_its_interval_is_told() {
        let script = |inside: &str| format!("vrrp_script s {{\nscript /x\nuser root\n{inside}\n}}\n");
        assert_eq!(lints(&script("interval 2\ntimeout 2")), ["5 timeout-not-below-interval"]);
        assert_eq!(lints(&script("timeout 3")), ["4 timeout-not-below-interval"]);
        assert_eq!(lints(&script("interval 3\ntimeout 2")), [""; 0]);
    }

    #[test]
    fn a_sorry_server_out_of_the_pool_is_told() {
        assert_eq!(lints(&server("sorry_server 10.0.0.2 80", "", "")), ["5 sorry-server-in-pool"]);
        assert_eq!(lints(&server("sorry_server 10.0.0.2 81", "", "")), [""; 0]);
    }

    #[test]
    fn weights_that_serve_nobody_are_told() {
        assert_eq!(lints(&server("", "weight 0", "weight 0")), ["1 all-weights-zero"]);
        assert_eq!(lints(&server("", "weight 0", "")), [""; 0]);
    }

    #[test]
    fn a_quorum_that_can_never_come_back_is_told() {
        assert_eq!(lints(&server("quorum 2\nhysteresis 1", "", "")), ["6 quorum-out-of-reach"]);
        assert_eq!(lints(&server("quorum 2\nhysteresis 1", "weight 2", "")), [""; 0]);
        // Stock lowers the hysteresis to one below the quorum.
        assert_eq!(lints(&server("quorum 1\nhysteresis 5", "", "")), [""; 0]);
    }

    #[test]
    fn a_virtual_server_of_nobodys_address_is_told() {
        let elsewhere = server("", "", "").replace("192.0.2.1", "192.0.2.77");
        assert_eq!(lints(&elsewhere), ["1 virtual-server-not-local"]);
        let vip = instance("a", 1, "virtual_ipaddress {\n192.0.2.77\n}");
        assert_eq!(lints(&(elsewhere.clone() + &vip)), [""; 0]);
        assert_eq!(lints(&format!("static_ipaddress {{\n192.0.2.77/24 dev eth0\n}}\n{elsewhere}")), [""; 0]);
        let group = "virtual_server_group g {\n192.0.2.1 80\n192.0.2.78 80\n}\n".to_owned();
        let grouped = server("", "", "").replace("192.0.2.1 80", "group g");
        assert_eq!(lints(&(group + &grouped)), ["1 virtual-server-not-local"]);
    }
}
