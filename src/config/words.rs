//! The words inside lines: what may stand in an entry of a list, or behind a keyword that takes several words.
//!
//! For `explain`; who reads the lines is in [`super::blocks`], and a test holds the two against each other.
//! spec/vrrp-config.md §2, §3, spec/lvs-config.md §2, §6, spec/global-defs.md.

/// A kind of line.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The keywords whose lines it is: of the lists, or of the line itself.
    pub keywords: &'static [&'static str],
    /// The whole line.
    pub line: &'static str,
    /// Its words, in the order of the manual.
    pub words: &'static [LineWord],
}

/// One word of a line.
#[derive(Debug, Clone, Copy)]
pub struct LineWord {
    /// As written.
    pub name: &'static str,
    /// What follows it; empty when it stands alone.
    pub takes: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// What is odd about it, or what happens when it is wrong; may be empty.
    pub remark: &'static str,
}

const fn word(name: &'static str, takes: &'static str, help: &'static str) -> LineWord {
    LineWord { name, takes, help, remark: "" }
}

impl LineWord {
    const fn but(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}

/// Every form.
pub const FORMS: &[Form] = &[
    Form {
        keywords: &["virtual_ipaddress", "virtual_ipaddress_excluded", "static_ipaddress"],
        line: "ADDRESS[/LENGTH] [WORD ...]",
        words: ADDRESS,
    },
    Form {
        keywords: &["virtual_routes", "static_routes"],
        line: "[inet|inet6] [TYPE] [to] PREFIX|default [WORD ...]",
        words: ROUTE,
    },
    Form {
        keywords: &["virtual_rules", "static_rules"],
        line: "[inet|inet6] [not] [SELECTOR ...] ACTION [preference N]",
        words: RULE,
    },
    Form {
        keywords: &["track_interface"],
        line: "INTERFACE [weight N [reverse]]",
        words: &[
            word("weight", "-253..253", "Added to the priority while it is up; below 0: while it is down.")
                .but("0, the default, means FAULT while it is down."),
            word("reverse", "", "The weight counts the other way round."),
        ],
    },
    Form {
        keywords: &["track_script", "track_file", "track_process", "track_bfd"],
        line: "NAME [weight N [reverse|noreverse]]",
        words: &[
            word("weight", "N", "Instead of the weight of the block that defines it.")
                .but("0 means FAULT on failure. A bad one is reported and ignored."),
            word("reverse", "", "The weight counts the other way round."),
            word("noreverse", "", "It does not, whatever the block that defines it says."),
        ],
    },
    Form {
        keywords: &["unicast_peer"],
        line: "ADDRESS [min_ttl N] [max_ttl N]",
        words: &[
            word("min_ttl", "0..255", "Adverts with a smaller TTL are dropped."),
            word("max_ttl", "0..255", "Adverts with a larger TTL are dropped."),
        ],
    },
    Form {
        keywords: &["linkbeat_interfaces"],
        line: "INTERFACE [MII|ETHTOOL|IOCTL]",
        words: &[
            word("MII", "", "Ask for the link with the MII ioctl."),
            word("ETHTOOL", "", "Ask for the link with the ethtool ioctl."),
            word("IOCTL", "", "Ask for the flags of the interface."),
        ],
    },
    Form {
        keywords: &["virtual_server_group"],
        line: "ADDRESS[-LAST] PORT | fwmark N [inet|inet6]",
        words: &[
            word("fwmark", "1..4294967295", "Packets with this firewall mark."),
            word("inet", "", "The mark is set on IPv4 packets."),
            word("inet6", "", "The mark is set on IPv6 packets.")
                .but("A group with both families and a mark without one is removed."),
        ],
    },
    Form {
        keywords: &["virtual_server"],
        line: "virtual_server ADDRESS PORT | fwmark N | group NAME {",
        words: &[
            word("fwmark", "1..4294967295", "The service of packets with this firewall mark."),
            word("group", "NAME", "The services of a virtual_server_group, which may stand anywhere."),
        ],
    },
    Form {
        keywords: &["lvs_method", "lb_kind", "sorry_server_lvs_method"],
        line: "NAT | DR | TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum]",
        words: &[
            word("NAT", "", "The director rewrites addresses and ports."),
            word("DR", "", "The packet goes to the real server as it is, by its MAC address.")
                .but("Ports are kept: a real server with another port gets that of the service."),
            word("TUN", "", "The packet goes to the real server through a tunnel.").but("Ports are kept."),
            word("type", "ipip|gue|gre", "Encapsulation of TUN; ipip without it."),
            word("port", "1..65535", "UDP port of gue, which needs it."),
            word("nocsum", "", "No checksum outside; the default."),
            word("csum", "", "Checksum outside, with gue and gre."),
            word("remcsum", "", "Remote checksum offload, with gue."),
        ],
    },
    Form {
        keywords: &["lvs_sync_daemon"],
        line: "INTERFACE [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]",
        words: &[
            word("inst", "INSTANCE", "The instance that tells master from backup."),
            word("id", "0..255", "Number of the sync daemon; without it the instance's virtual router id."),
            word("maxlen", "1..65507", "Longest datagram."),
            word("port", "1..65535", "UDP port."),
            word("ttl", "1..255", "TTL of the datagrams."),
            word("group", "ADDRESS", "Multicast group."),
        ],
    },
    Form {
        keywords: &["lvs_timeouts"],
        line: "[tcp SECONDS] [tcpfin SECONDS] [udp SECONDS]",
        words: &[
            word("tcp", "SECONDS", "Timeout of an idle TCP connection."),
            word("tcpfin", "SECONDS", "Timeout of a TCP connection after a FIN."),
            word("udp", "SECONDS", "Timeout of an idle UDP flow."),
        ],
    },
];

const ADDRESS: &[LineWord] = &[
    word("dev", "INTERFACE", "Where it is set; without it on the instance's interface, or its VMAC.")
        .but("Twice: the address is dropped. A missing interface: the daemon does not start."),
    word("scope", "global|link|host|site|nowhere|0..255", "Scope of an IPv4 address.")
        .but("In lower case. A bad one, and one of an IPv6 address, is reported and ignored."),
    word("brd", "ADDRESS|+|-", "IPv4 broadcast address; + sets the host bits, - clears them.")
        .but("A bad one loses the address."),
    word("broadcast", "ADDRESS|+|-", "The same as brd."),
    word("label", "NAME", "IPv4 label, at most 15 characters.").but("A longer one loses the address."),
    word("peer", "ADDRESS", "The other end of a point-to-point link, without length.")
        .but("The length of the address becomes 32, or 128."),
    word("home", "", "IPv6 home address."),
    word("-nodad", "", "IPv6: with duplicate address detection."),
    word("mngtmpaddr", "", "IPv6: the kernel makes temporary addresses from it."),
    word("noprefixroute", "", "No route for its prefix."),
    word("autojoin", "", "Join multicast groups on the address."),
    word("preferred_lft", "SECONDS|forever", "IPv6 preferred lifetime.")
        .but("0 for a /128, forever for others."),
    word("no_track", "", "Its loss does not matter."),
    word("track_group", "NAME", "In static_ipaddress: instances that go to FAULT with it."),
    word("use_vmac", "", "In an instance: on a VMAC of the interface behind dev."),
];

const ROUTE: &[LineWord] = &[
    word("to", "PREFIX", "The destination; the word may be left out."),
    word("default", "", "The destination 0.0.0.0/0; IPv6 when an IPv6 address follows."),
    word("via", "[inet|inet6] ADDRESS", "The gateway."),
    word("gw", "ADDRESS", "Old spelling of via.").but("-t counts it as an error."),
    word("dev", "INTERFACE", "Where packets leave."),
    word("oif", "INTERFACE", "The same as dev."),
    word("onlink", "", "The gateway is on the link, whatever the addresses say."),
    word("src", "ADDRESS", "Preferred source address."),
    word("from", "PREFIX", "IPv6: only packets from there."),
    word(
        "nexthop",
        "via ADDRESS [dev IF] [weight 1..256]",
        "One of several gateways; the last part, repeated.",
    )
    .but("A bad one ends the list; the route keeps the hops before it."),
    word("or", "ADDRESS", "Old spelling of nexthop via.").but("-t counts it as an error."),
    word("table", "NUMBER|NAME", "Routing table; main without it."),
    word("vrf", "INTERFACE", "The table of this VRF."),
    word("metric", "N", "Preference among routes to the same destination; the lowest counts."),
    word("priority", "N", "The same as metric."),
    word("preference", "N", "The same as metric."),
    word("tos", "N", "Only packets with this type of service."),
    word("dsfield", "N", "The same as tos."),
    word("scope", "NAME|0..255", "Scope of the route."),
    word("protocol", "NAME|0..255", "Who set the route.")
        .but("A tracked route has keepalived's (18); another needs no_track."),
    word("mtu", "[lock] N", "Path MTU, bytes."),
    word("advmss", "[lock] N", "Advertised segment size of TCP, bytes."),
    word("rtt", "[lock] TIME", "Round trip time; without unit in 1/8 ms.").but("Kept within 0.2 s to 120 s."),
    word("rttvar", "[lock] TIME", "Its variance; without unit in 1/4 ms.").but("Kept within 0.2 s to 120 s."),
    word("reordering", "[lock] N", "Packets that may come out of order."),
    word("cwnd", "[lock] N", "Limit of the congestion window, packets."),
    word("ssthresh", "[lock] N", "Slow start threshold, packets."),
    word("rto_min", "[lock] TIME", "Least retransmission time; without unit in ms.")
        .but("Kept within 0.2 s to 120 s."),
    word("congctl", "[lock] NAME", "Congestion control."),
    word("hoplimit", "0..255", "TTL of packets."),
    word("window", "N", "Largest TCP window, bytes."),
    word("initcwnd", "N", "Congestion window at start, packets."),
    word("initrwnd", "N", "Receive window at start, packets."),
    word("features", "ecn", "Features to switch on."),
    word("quickack", "0|1", "Acknowledge at once."),
    word("fastopen_no_cookie", "0|1", "TCP fast open without cookie."),
    word("realms", "REALM[/REALM]", "IPv4 realms."),
    word("expires", "SECONDS", "IPv6: the route goes after this time."),
    word("pref", "low|medium|high|N", "IPv6 router preference."),
    word("ttl-propagate", "enabled|disabled", "MPLS: the TTL goes along."),
    word("prepend", "", "In front of equal routes; the default."),
    word("add", "", "Only if there is no such route."),
    word("append", "", "Behind equal routes."),
    word("no_track", "", "Its loss does not matter."),
    word("track_group", "NAME", "In static_routes: instances that go to FAULT with it."),
    word("unicast", "", "Type of route: to a gateway or link; the default."),
    word("local", "", "Type of route: to this host."),
    word("broadcast", "", "Type of route: as a broadcast on the link."),
    word("anycast", "", "Type of route: not used by the kernel for IPv4."),
    word("multicast", "", "Type of route: of multicast routing."),
    word("blackhole", "", "Type of route: packets vanish."),
    word("unreachable", "", "Type of route: packets are answered with ICMP unreachable."),
    word("prohibit", "", "Type of route: packets are answered with ICMP prohibited."),
    word("throw", "", "Type of route: the look-up goes on in the next table."),
];

const RULE: &[LineWord] = &[
    word("from", "PREFIX|all", "Packets from there."),
    word("to", "PREFIX|all", "Packets to there."),
    word("not", "", "Packets that the selectors do not fit."),
    word("tos", "N", "Packets with this type of service."),
    word("dsfield", "N", "The same as tos."),
    word("fwmark", "MARK[/MASK]", "Packets with this firewall mark."),
    word("iif", "INTERFACE", "Packets that come in there."),
    word("dev", "INTERFACE", "The same as iif."),
    word("oif", "INTERFACE", "Packets of sockets bound to it."),
    word("tunnel-id", "N", "Packets of this tunnel."),
    word("uidrange", "FIRST-LAST", "Packets of these users."),
    word("ipproto", "NAME|N", "Packets of this protocol.").but("ip_proto is not known."),
    word("sport", "FIRST-LAST", "Source ports.").but("Always a range: 10-10, not 10."),
    word("dport", "FIRST-LAST", "Destination ports.").but("Always a range: 10-10, not 10."),
    word("table", "NUMBER|NAME", "Action: look up this routing table.").but("0 is refused."),
    word("lookup", "NUMBER|NAME", "The same as table."),
    word("l3mdev", "", "Action: look up the table of the packet's VRF."),
    word("goto", "N", "Action: go on at the rule of that preference, which must be larger."),
    word("nop", "", "Action: nothing."),
    word("blackhole", "", "Action: the packet vanishes."),
    word("prohibit", "", "Action: it is answered with ICMP prohibited."),
    word("unreachable", "", "Action: it is answered with ICMP unreachable."),
    word("realms", "REALM[/REALM]", "With table, IPv4: realms."),
    word("suppress_prefixlength", "N", "With table: refuse routes of at most this prefix length."),
    word("sup_pl", "N", "The same as suppress_prefixlength."),
    word("suppress_ifgroup", "GROUP", "With table: refuse routes out of interfaces of this group."),
    word("sup_group", "GROUP", "The same as suppress_ifgroup."),
    word("preference", "N", "The place among the rules; the lowest comes first.")
        .but("Without it one is assigned, from 16384 downwards, and -t counts that as an error. pref is not known."),
    word("priority", "N", "The same as preference."),
    word("order", "N", "The same as preference."),
    word("protocol", "0..255", "Who set the rule.").but("A tracked rule has keepalived's (18)."),
    word("no_track", "", "Its loss does not matter."),
    word("track_group", "NAME", "In static_rules: instances that go to FAULT with it."),
];

/// The forms that a keyword's lines have.
pub fn of_keyword(keyword: &str) -> impl Iterator<Item = &'static Form> {
    FORMS.iter().filter(move |form| form.keywords.contains(&keyword))
}

/// Where a word can stand.
pub fn find(name: &str) -> impl Iterator<Item = (&'static Form, &'static LineWord)> {
    FORMS.iter().flat_map(move |form| {
        form.words.iter().filter(move |word| word.name == name).map(move |word| (form, word))
    })
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::entries;
    use super::super::files::MemoryFiles;
    use super::super::model::{HostFacts, Identity, Users};
    use super::super::preprocess::{IncludeChecks, ReadOptions};
    use super::super::value::Mode;
    use super::*;

    struct Nobody;

    impl Users for Nobody {
        fn user(&self, _: &str) -> Option<Identity> {
            None
        }

        fn group(&self, _: &str) -> Option<u32> {
            None
        }
    }

    fn complaints(text: &str) -> Vec<String> {
        let files = MemoryFiles::new().file("f", text);
        let options = ReadOptions {
            main: "f".to_owned(),
            config_id: String::new(),
            include_checks: IncludeChecks::default(),
            random_seed: 0,
        };
        let loaded = super::super::load(&files, &options, Mode::ConfigTest, &HostFacts::default(), &Nobody);
        loaded.diagnostics.iter().map(|report| report.message.clone()).collect()
    }

    #[test]
    fn the_readers_know_every_word_of_addresses_routes_and_rules() {
        for (list, form, before) in [
            ("virtual_ipaddress", ADDRESS, "192.0.2.1/24"),
            ("virtual_routes", ROUTE, "192.0.2.0/24"),
            ("virtual_rules", RULE, ""),
        ] {
            for word in form.iter().filter(|word| word.name != "track_group") {
                let value = word.takes.split(['|', ' ']).next().unwrap_or_default();
                let line = format!("{before} {} {value}", word.name);
                let text = format!("vrrp_instance V {{\n{list} {{\n{line}\n}}\n}}\n");
                let unknown = |message: &String| {
                    message.contains(&format!("`{}` is no option", word.name))
                        || message.contains(&format!("`{}` is no word", word.name))
                };
                let said = complaints(&text);
                assert!(!said.iter().any(unknown), "{line}: {said:?}");
            }
        }
    }

    #[test]
    fn every_form_belongs_to_keywords_and_has_each_word_once() {
        let all = entries();
        for form in FORMS {
            for keyword in form.keywords {
                assert!(all.iter().any(|entry| entry.keyword.name == *keyword), "{keyword}");
            }
            for (at, word) in form.words.iter().enumerate() {
                assert!(form.words[..at].iter().all(|other| other.name != word.name), "{}", word.name);
            }
        }
    }
}
