//! One file per block: its keyword table, and the draft that the table's actions fill.
//!
//! A draft holds what the file says, with spans; [`super::validate`] makes the model of it.

pub mod address; // lines of virtual_ipaddress and static_ipaddress
pub mod auth; // authentication and auth_hmac
pub mod bfd_instance;
pub mod check; // what checkers share, TCP_CHECK and PING_CHECK
pub mod dns_check;
pub mod global; // global_defs and the top-level words
mod global_lvs; // its words about IPVS and the checkers
mod global_management; // about SNMP, D-Bus, reload, files
mod global_process; // about single processes
mod global_scripts; // about scripts and FIFOs
mod global_values; // what several of its words do
mod global_vrrp; // about VRRP
pub mod http; // HTTP_GET and SSL_GET
pub mod misc_check;
pub mod real_server;
pub mod route; // lines of virtual_routes and static_routes
mod route_values; // their times, realms and tunnels
pub mod rule; // lines of virtual_rules and static_rules
pub mod scripts; // script strings and the users they run as
pub mod settings; // lines behind @keepalived-rs
pub mod smtp_check;
pub mod statics; // what holds without any instance: static addresses, groups, delays
pub mod top; // the top level
pub mod tracking; // track_* lists
pub mod udp_check;
pub mod virtual_server;
pub mod virtual_server_group;
pub mod vmac;
pub mod vrrp_instance;
mod vrrp_instance_draft; // what it says, as read
mod vrrp_instance_values; // what its keywords do
pub mod vrrp_script;
pub mod vrrp_sync_group;
pub mod watch_checks; // FILE_CHECK and BFD_CHECK
pub mod watched; // track_file, vrrp_track_process

use super::diagnostic::Diagnostic;
use super::iproute::Names;
use super::model::{
    GarpGroup, InterfaceDelays, PolledInterface, Route, Rule, TrackFile, TrackProcess, VirtualServer,
};
use super::schema::{Given, Item, List, Opened, Table};
use super::source::Span;
use super::suggest::{LookAlike, did_you_mean, look_alikes, plain};
use super::syntax::{Line, Word};

pub use top::TOP;

/// What all walks have gathered, block by block. The singular fields are the blocks being read.
#[derive(Default)]
pub struct Drafts<'a> {
    /// `global_defs`.
    pub global: global::Draft<'a>,
    /// `vrrp_script` being read.
    pub script: vrrp_script::Draft<'a>,
    /// `vrrp_script` blocks with a script.
    pub scripts: Vec<vrrp_script::Draft<'a>>,
    /// `vrrp_script` blocks that were dropped while they were read, and why.
    pub dropped_scripts: Vec<(&'a Word, &'static str)>,
    /// `vrrp_instance` being read.
    pub instance: vrrp_instance::Draft<'a>,
    /// `vrrp_instance` blocks.
    pub instances: Vec<vrrp_instance::Draft<'a>>,
    /// `vrrp_sync_group` being read.
    pub sync_group: vrrp_sync_group::Draft<'a>,
    /// `vrrp_sync_group` blocks.
    pub sync_groups: Vec<vrrp_sync_group::Draft<'a>>,
    /// `virtual_server_group` being read.
    pub group: virtual_server_group::Draft<'a>,
    /// `virtual_server_group` blocks with entries.
    pub groups: Vec<virtual_server_group::Draft<'a>>,
    /// `virtual_server` being read.
    pub virtual_server: virtual_server::Draft<'a>,
    /// What was checked of `virtual_server` blocks that are gone already.
    pub checked: Option<Box<super::validate::lvs::Progress>>,
    /// What became of them, unless only reports are wanted.
    pub built: Vec<VirtualServer>,
    /// `virtual_server` blocks.
    pub virtual_servers: Vec<virtual_server::Draft<'a>>,
    /// `real_server` being read.
    pub real_server: real_server::RealServerDraft<'a>,
    /// Checker block being read.
    pub checker: check::CheckerDraft<'a>,
    /// What `HTTP_GET` and `SSL_GET` add to it.
    pub http: http::HttpDraft<'a>,
    /// What `MISC_CHECK` adds to it.
    pub misc: misc_check::Draft,
    /// What `SMTP_CHECK` adds to it.
    pub smtp: smtp_check::Draft<'a>,
    /// What `DNS_CHECK` adds to it.
    pub dns: dns_check::Draft<'a>,
    /// What `UDP_CHECK` adds to it.
    pub udp: udp_check::Draft,
    /// What `FILE_CHECK` adds to it.
    pub file_check: watch_checks::FileDraft<'a>,
    /// What `BFD_CHECK` adds to it.
    pub bfd_check: watch_checks::BfdDraft<'a>,
    /// `track_file` or `vrrp_track_process` being read.
    pub watched: watched::Draft<'a>,
    /// `track_group` or `garp_group` being read.
    pub statics: statics::Draft<'a>,
    /// `static_ipaddress`.
    pub static_addresses: Vec<address::AddressDraft<'a>>,
    /// `static_routes`.
    pub static_routes: Vec<Route>,
    /// `static_rules`.
    pub static_rules: Vec<Rule>,
    /// `track_group` blocks.
    pub track_groups: Vec<statics::Group<'a>>,
    /// iproute2's names, as far as they were asked for.
    pub names: Names,
    /// What rules without preference get next.
    pub preferences: rule::Preferences,
    /// The last `SSL` block, and where it stands.
    pub ssl: Option<(Span, super::model::Ssl)>,
    /// Our own settings inside it.
    pub ssl_tls: http::TlsDraft,
    /// What TLS checks have of their own; the number of each is its index and one.
    pub tls_profiles: Vec<http::TlsDraft>,
    /// There is a TLS check.
    pub tls_used: bool,
    /// `track_file` blocks, with their names.
    pub track_files: Vec<(&'a Word, TrackFile)>,
    /// `vrrp_track_process` blocks, with their names.
    pub track_processes: Vec<(&'a Word, TrackProcess)>,
    /// `bfd_instance` being read.
    pub bfd: bfd_instance::Draft<'a>,
    /// `bfd_instance` blocks.
    pub bfds: Vec<bfd_instance::Draft<'a>>,
    /// `garp_group` blocks with an interval.
    pub garp_groups: Vec<GarpGroup>,
    /// Lines of `linkbeat_interfaces`.
    pub polled: Vec<PolledInterface>,
    /// Lines of `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelays>,
    /// Interfaces named in places where stock insists on them (spec/vrrp-config.md §4, check 1).
    pub interfaces: Vec<NamedInterface<'a>>,
}

impl Drafts<'_> {
    /// The `track_file` of that name.
    pub fn track_file(&self, name: &str) -> Option<&TrackFile> {
        self.track_files.iter().find(|(known, _)| known.as_str() == name).map(|(_, file)| file)
    }
}

/// The number of one of iproute2's names, or of a number in C notation up to `max`.
fn iproute_number(
    reader: &mut super::reader::Reader<'_>,
    kind: super::iproute::Kind,
    word: &str,
    max: u32,
) -> Option<u32> {
    let files = &reader.drafts.global.values.files;
    let directories = [files.iproute_usr_dir.as_str(), files.iproute_etc_dir.as_str()];
    reader.drafts.names.number((reader.world.files, directories), kind, word, max)
}

/// An interface that the file names.
#[derive(Clone, Copy)]
pub struct NamedInterface<'a> {
    /// Where.
    pub name: &'a Word,
    /// For whom, as in `vrrp_instance VI_1`.
    pub user: &'static str,
}

/// The rest of the line as people would quote it.
pub fn quoted(word: &Word) -> String {
    super::source::display(word).into_owned()
}

/// Opens a list of plain entries; words before its `{` are reported.
pub fn open_list<'a>(reader: &mut super::reader::Reader<'a>, given: Given<'a>) -> Opened {
    if let Some(extra) = given.argument(0) {
        let name = given.keyword.name;
        reader.push(
            Diagnostic::error(
                "surplus-words",
                extra.span(),
                format!("`{name}` takes no words before its list"),
            )
            .help(format!("write `{name} {{`, and the entries on lines of their own"))
            .stock("ignores them and reads the list"),
        );
    }
    Opened::Enter
}

/// A list whose lines go to `item`.
pub const fn list(item: for<'a> fn(&mut super::reader::Reader<'a>, Item<'a>)) -> List {
    List { open: open_list, item, close: |_| {} }
}

/// The span of a line of a list.
pub fn item_span(item: Item<'_>) -> Span {
    match (item.first(), item.last()) {
        (Some(first), Some(last)) => first.span().to(last.span()),
        _ => unreachable!("a list line has words"),
    }
}

/// Words that stock once knew, or that other forks know, and what to do about them.
const RETIRED: &[(&str, &str)] = &[
    ("nat_mask", "remove the line: it has had no effect for many releases"),
    ("net_mask", "remove the line: masks belong to the addresses, as in 192.0.2.1/24"),
    ("lvs_id", "write `router_id NAME`"),
    ("nb_get_retry", "write `retry N`"),
    ("nb_sock_retry", "write `retry N`"),
    ("vrrp_unicast_bind", "write `unicast_src_ip ADDRESS`"),
    ("vrrp_unicast_peer", "write `unicast_peer { ADDRESS }`"),
    ("no_promote_secondaries", "remove the line: it is the default"),
    ("lvs_sync_daemon_inteface", "write `lvs_sync_daemon INTERFACE INSTANCE` in global_defs"),
    ("HTTP_CHECK", "write `HTTP_GET {`"),
    ("SSL_CHECK", "write `SSL_GET {`"),
    ("state_file_location", "write `state_dump_file PATH`"),
    ("stats_file_location", "write `stats_dump_file PATH`"),
    ("json_file_location", "write `json_dump_file PATH`"),
    ("vrrp_nftables", "write `nftables`"),
    ("script_security", "write `enable_script_security`"),
    ("local_address_group", "remove the block: it is of another program (DPVS)"),
    ("laddr_group_name", "remove the line: it is of another program (DPVS)"),
    ("syn_proxy", "remove the line: it is of another program (DPVS, LVS fullnat)"),
];

/// What to do about a word that stock once knew, or that other forks know.
pub fn retired(word: &str) -> Option<&'static str> {
    RETIRED.iter().find(|(name, _)| word == *name).map(|&(_, advice)| advice)
}

/// The word that a block has for another block's.
pub fn instead(table: &Table, word: &str) -> Option<&'static str> {
    match (table.name, word) {
        ("real_server", "lb_kind") => Some("lvs_method"),
        _ => None,
    }
}

/// A keyword that was there all along, behind a character that looks like a plain one.
fn look_alike(
    table: &'static Table,
    line: Line<'_>,
    head: &Word,
    report: Diagnostic,
    first: &LookAlike,
) -> Diagnostic {
    let report = report.help(first.help());
    let written = plain(head);
    let mut words = written.split_whitespace().chain(line.words.iter().skip(1).map(Word::as_str));
    let Some(keyword) = words.next().and_then(|word| table.find(word)) else { return report };
    let rest: Vec<&str> = words.collect();
    let line = format!("{} {}", keyword.name, rest.join(" "));
    report.help(format!("that is `{}`", line.trim_end()))
}

/// What to write instead of an unknown keyword.
pub fn remedy(table: &'static Table, line: Line<'_>, head: &Word, report: Diagnostic) -> Diagnostic {
    let second = line.words.get(1);
    if let Some(advice) = retired(head) {
        return report.help(advice);
    }
    if settings::find(head).is_some() {
        return report.help(format!(
            "it is a setting of keepalived-rs: write `{}`, which keepalived skips",
            settings::written(line)
        ));
    }
    if second.is_some_and(|second| second == "=") || (head.starts_with('$') && head.contains('=')) {
        return report.help(
            "a definition is `$NAME=VALUE`: letters, digits and `_`, no digit first, no blank before `=`",
        );
    }
    let glued = second.map(|second| format!("{}_{}", head.as_str(), second.as_str()));
    if let Some(keyword) = glued.and_then(|glued| table.find(&glued)) {
        return report.help(format!("write it as one word: `{}`", keyword.name));
    }
    if let Some(first) = look_alikes(head).first() {
        return look_alike(table, line, head, report, first);
    }
    if let Some(keyword) = table.keywords().find(|keyword| {
        keyword.name.len() > 3
            && head.starts_with(keyword.name)
            && !head[keyword.name.len()..].starts_with('_')
    }) {
        let rest = &head[keyword.name.len()..];
        if rest.starts_with(|c: char| c.is_ascii_digit() || c == '\\') {
            return report.help(format!("put a blank behind `{}`", keyword.name));
        }
    }
    if let Some(meant) = did_you_mean(head, table.keywords().map(|keyword| keyword.name)) {
        return report.help(format!("did you mean `{meant}`?"));
    }
    if head.starts_with(|c: char| matches!(c, '<' | '[' | '（' | '＃' | '！') || !c.is_ascii()) {
        return report.help("if this is meant as a comment, start it with `#`");
    }
    match top::home_of(head) {
        Some(home) => report.help(format!("it belongs into {home}")),
        None => report,
    }
}
