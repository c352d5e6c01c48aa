//! `global_defs` and the words outside any block (spec/global-defs.md).
//!
//! Stock's parent reads them before any other process starts, so their place in the file does not matter.

use std::time::Duration;

use super::global_values::{
    at_least_one, first, net_namespace, only_option, process_name, smtp_server, surplus, whole_seconds,
};
use super::scripts::{DefaultUser, ScriptDraft};
use super::{global_lvs, global_management, global_process, global_scripts, global_vrrp};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{Global, HostFacts, IpvsNamespace, LowerPrioGiven, Pipe};
use crate::config::schema::{
    Block, Item, Keyword, List, Mark, Missing, Opened, Readers, Repeat, Shape, Table, keyword, lenient,
    strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;

/// `@keepalived-rs slow_start` and `min_in_service` outside virtual servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolingDefaults {
    /// Length of the ramp.
    pub slow_start: Option<Duration>,
    /// Percent.
    pub min_in_service: Option<u8>,
}

/// `global_defs` as read.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    /// The values that go into the model as they are.
    pub values: Global,
    /// `script_user`.
    pub default_user: DefaultUser,
    /// `net_namespace`.
    pub net_namespace: Option<&'a Word>,
    /// `@keepalived-rs vip_repair`.
    pub vip_repair: Option<crate::config::model::VipRepair>,
    /// What virtual servers take that do not say it themselves.
    pub pooling: PoolingDefaults,
    /// `vrrp_garp_lower_prio_delay`.
    pub garp_lower_prio_delay: Option<Duration>,
    /// `vrrp_garp_lower_prio_repeat`.
    pub garp_lower_prio_repeat: Option<u32>,
    /// `snmp_rs_stats_update_interval`.
    pub snmp_rs_interval: Option<Duration>,
    /// Scripts, whose files are looked at when the whole file is read.
    pub scripts: Scripts,
    /// Keywords of which the first stays, with their place.
    pub(super) once: Vec<(&'static str, Span)>,
    /// The first `notification_email` entry of the block being read.
    addresses_before: usize,
}

/// The scripts that `global_defs` names.
#[derive(Debug, Default)]
pub struct Scripts {
    /// `startup_script`.
    pub startup: Option<ScriptDraft>,
    /// `shutdown_script`.
    pub shutdown: Option<ScriptDraft>,
    /// `notify_fifo_script`.
    pub all: Option<ScriptDraft>,
    /// `vrrp_notify_fifo_script`.
    pub vrrp: Option<ScriptDraft>,
    /// `lvs_notify_fifo_script`.
    pub lvs: Option<ScriptDraft>,
}

impl Draft<'_> {
    /// What nobody wrote, after spec/global-defs.md "Derived defaults".
    pub fn derive_defaults(&mut self, facts: &HostFacts) {
        let values = &mut self.values;
        values.garp_lower_prio_given = LowerPrioGiven {
            delay: self.garp_lower_prio_delay.is_some(),
            repeat: self.garp_lower_prio_repeat.is_some(),
        };
        let garp = &mut values.garp;
        garp.lower_prio_delay = self.garp_lower_prio_delay.unwrap_or(garp.delay);
        garp.lower_prio_repeat = self.garp_lower_prio_repeat.unwrap_or(garp.repeat);
        values.snmp.rs_interval = self.snmp_rs_interval.unwrap_or(values.snmp.vs_interval);
        let host = &facts.node_name;
        if values.router_id.is_empty() {
            values.router_id.clone_from(host);
        }
        if values.smtp_server.is_some() && !host.is_empty() {
            values.smtp_helo_name.get_or_insert_with(|| host.clone());
            values.email_from.get_or_insert_with(|| format!("{}@{host}", facts.own_user));
        }
        let fifos = &mut values.fifos;
        for own in [&mut fifos.vrrp, &mut fifos.lvs] {
            let same = |pipe: &Pipe| fifos.all.pipe.as_ref().is_some_and(|all| all.path == pipe.path);
            if own.pipe.as_ref().is_some_and(same) {
                own.pipe = None;
            }
        }
    }
}

/// The block `global_defs`.
pub static BLOCK: Block = Block { table: &TABLE, open: |_, _| Opened::Enter, close: |_| {} };

static TABLE: Table = Table::new(
    "global_defs",
    &[
        IDENTITY,
        MAIL,
        global_vrrp::KEYWORDS,
        global_process::KEYWORDS,
        global_lvs::KEYWORDS,
        global_scripts::KEYWORDS,
        global_management::MANAGEMENT,
        global_management::RELOAD_AND_DUMPS,
    ],
);

const IDENTITY: &[Keyword] = &[
    keyword("router_id", Shape::Word, "Name of this node in mail subjects, SNMP and dumps.")
        .default("the host name")
        .mark(Mark::A)
        .since("≤1.1.8")
        .missing(Missing::Warns)
        .apply(|r, g| g.text().clone_into(&mut r.drafts.global.values.router_id)),
    keyword(
        "process_names",
        Shape::Flag,
        "Names the children keepalived_vrrp, keepalived_lvs and keepalived_bfd.",
    )
    .apply(|r, _| {
        let names = &mut r.drafts.global.values.process_names;
        "keepalived_vrrp".clone_into(&mut names.vrrp);
        "keepalived_lvs".clone_into(&mut names.checkers);
        "keepalived_bfd".clone_into(&mut names.bfd);
    }),
    keyword("process_name", Shape::Word, "Name of the parent process, at most 15 characters.")
        .default("keepalived")
        .since("≤2.0.16")
        .apply(|r, g| r.drafts.global.values.process_names.parent = process_name(r, g)),
    keyword("vrrp_process_name", Shape::Word, "Name of the VRRP process, at most 15 characters.")
        .apply(|r, g| r.drafts.global.values.process_names.vrrp = process_name(r, g)),
    keyword("checker_process_name", Shape::Word, "Name of the checker process, at most 15 characters.")
        .apply(|r, g| r.drafts.global.values.process_names.checkers = process_name(r, g)),
    keyword("lvs_process_name", Shape::Word, "Old spelling of checker_process_name.")
        .old_for("checker_process_name")
        .apply(|r, g| r.drafts.global.values.process_names.checkers = process_name(r, g)),
    keyword("bfd_process_name", Shape::Word, "Name of the BFD process, at most 15 characters.")
        .apply(|r, g| r.drafts.global.values.process_names.bfd = process_name(r, g)),
    keyword("use_symlink_paths", Shape::Bool, "Do not resolve symlinks in the paths of scripts.")
        .default("false")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.values.symlink_paths = g.bool()),
    keyword(
        "dynamic_interfaces",
        Shape::Words,
        "Interfaces may be missing at start, come and go [allow_if_changes].",
    )
    .default("off")
    .mark(Mark::B)
    .since("≤2.0.8")
    .apply(|r, g| {
        let values = &mut r.drafts.global.values;
        values.dynamic_interfaces = true;
        values.allow_interface_changes |= g.arguments().iter().any(|word| word == "allow_if_changes");
        only_option(r, g, "allow_if_changes", "turns the feature on nevertheless");
    }),
    keyword("default_interface", Shape::Word, "Interface of static addresses without `dev`.")
        .default("eth0")
        .since("≤1.2.24")
        .missing(Missing::Warns)
        .apply(|r, g| g.text().clone_into(&mut r.drafts.global.values.default_interface)),
    keyword("disable_local_igmp", Shape::Flag, "No IGMP reports for link-local groups.")
        .apply(|r, _| r.drafts.global.values.disable_local_igmp = true),
];

const MAIL: &[Keyword] = &[
    keyword(
        "notification_email",
        Shape::List(&NOTIFICATION_EMAIL),
        "Recipients of mail, any number per line.",
    )
    .default("none")
    .mark(Mark::A)
    .since("≤1.2.20"),
    keyword(
        "notification_email_from",
        Shape::Word,
        "The From header; a display name belongs into double quotes.",
    )
    .default("USER@HOST of the daemon")
    .mark(Mark::A)
    .missing(Missing::Warns)
    .apply(|r, g| {
        surplus(r, g, 1);
        r.drafts.global.values.email_from = Some(g.text().to_owned());
    }),
    keyword("smtp_server", Shape::Words, "The mail relay: an address or a name, and a port.")
        .default("no mail; port 25")
        .mark(Mark::A)
        .since("≤1.1.2")
        .missing(Missing::Stops)
        .apply(smtp_server),
    keyword("smtp_helo_name", Shape::Word, "The name given in HELO.")
        .default("the host name")
        .mark(Mark::B)
        .since("≤2.0.11")
        .missing(Missing::Silent)
        .apply(|r, g| r.drafts.global.values.smtp_helo_name = Some(g.text().to_owned())),
    keyword(
        "smtp_connect_timeout",
        lenient(0, 4294),
        "Seconds until a connection to the mail relay is given up.",
    )
    .default("30")
    .mark(Mark::A)
    .apply(|r, g| {
        let seconds = at_least_one(r, g);
        r.drafts.global.values.smtp_connect_timeout = Duration::from_secs(seconds);
        r.drafts.global.values.smtp_connect_timeout_given = true;
    }),
    keyword("smtp_alert", Shape::Bool, "Mail by default for every instance, group and checker.")
        .mark(Mark::B)
        .since("≤1.0.2")
        .apply(|r, g| r.drafts.global.values.smtp_alert = Some(g.bool())),
    keyword(
        "smtp_alert_vrrp",
        Shape::Bool,
        "Mail by default for instances and sync groups; wins over smtp_alert.",
    )
    .mark(Mark::B)
    .apply(|r, g| r.drafts.global.values.smtp_alert_vrrp = Some(g.bool())),
    keyword("smtp_alert_checker", Shape::Bool, "Mail by default for checkers; wins over smtp_alert.")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.values.smtp_alert_checker = Some(g.bool())),
    keyword("no_email_faults", Shape::Flag, "No mail for FAULT.")
        .apply(|r, _| r.drafts.global.values.no_email_faults = true),
    keyword("no_checker_emails", Shape::Bool, "Mail only when a real server is added or removed.")
        .default("false")
        .since("≤2.0.0")
        .apply(|r, g| r.drafts.global.values.no_checker_emails = g.bool()),
];

/// The words that stand outside any block (spec/global-defs.md, "Top-level words").
pub const TOP_LEVEL: &[Keyword] = &[
    keyword("linkbeat_use_polling", Shape::Flag, "Poll every interface for its link state.")
        .since("≤1.1.18")
        .readers(Readers::PARENT)
        .apply(|r, _| r.drafts.global.values.linkbeat_use_polling = true),
    keyword("net_namespace", Shape::Word, "Network namespace to run in; fixed at start.")
        .default("the host's")
        .mark(Mark::B)
        .since("≤1.2.24")
        .readers(Readers::PARENT)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(net_namespace),
    keyword("net_namespace_ipvs", Shape::Words, "Network namespace of the IPVS table [NAME].")
        .mark(Mark::B)
        .readers(Readers::PARENT)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                let name = g.argument(0).map(|word| word.as_str().to_owned());
                r.drafts.global.values.net_namespace_ipvs =
                    name.map_or(IpvsNamespace::Host, IpvsNamespace::Named);
            }
        }),
    keyword(
        "namespace_with_ipsets",
        Shape::Flag,
        "Allow ipsets with net_namespace; nftables needs no permission.",
    )
    .readers(Readers::PARENT)
    .apply(|r, _| r.drafts.global.values.namespace_with_ipsets = true),
    keyword("use_pid_dir", Shape::Flag, "Pid files in the keepalived directory.")
        .readers(Readers::PARENT)
        .apply(|r, _| r.drafts.global.values.use_pid_dir = true),
    keyword("instance", Shape::Word, "Name of this keepalived among several on the host.")
        .mark(Mark::B)
        .readers(Readers::PARENT)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                r.drafts.global.values.instance = Some(g.text().to_owned());
            }
        }),
    keyword(
        "child_wait_time",
        strict(0, 4_294_967_295),
        "Seconds that the parent waits for its children at stop.",
    )
    .default("5")
    .readers(Readers::PARENT)
    .apply(|r, g| r.drafts.global.values.child_wait_time = whole_seconds(g)),
];

static NOTIFICATION_EMAIL: List = List {
    open: |r, g| {
        r.drafts.global.addresses_before = r.drafts.global.values.email_to.len();
        super::open_list(r, g)
    },
    item: |r, words: Item<'_>| {
        r.drafts.global.values.email_to.extend(words.iter().map(|word| word.as_str().to_owned()));
    },
    close: |r| {
        let draft = &r.drafts.global;
        if draft.values.email_to.len() == draft.addresses_before
            && let Some(span) = r.list_span()
        {
            r.push(
                Diagnostic::warning("empty-list", span, "`notification_email` is empty")
                    .help("add an address, or remove the block")
                    .stock("accepts it; no mail is sent"),
            );
        }
    },
};
