//! Virtual servers after the whole file is read: defaults, inheritance, corrections, in stock's order
//! (spec/lvs-config.md §9; the numbers are its list).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use super::global::fifo_scripts;
use super::scripts::{Purpose, Scripts};
use super::vrrp::Refused;
use crate::config::blocks::quoted;
use crate::config::blocks::real_server::RealServerDraft;
use crate::config::blocks::scripts::ScriptDraft;
use crate::config::blocks::virtual_server::{Draft, Inherited, ServiceDraft};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{
    CheckKind, Command, Config, Family, ForwardingMethod, GroupEntry, InheritedSettings, Persistence,
    Protocol, RealServer, Scheduler, Service, TrackFile, VirtualServer, VirtualServerGroup,
};
use crate::config::reader::Reader;
use crate::config::schema::Hash;
use crate::config::source::Span;
use crate::config::syntax::Word;

/// Persistence that stock forces on services of all ports, in seconds.
const FORCED_PERSISTENCE: u32 = 360;

/// Checks the drafts of the checker process and fills in the LVS part of `config`.
pub fn validate(reader: &mut Reader<'_>, config: &mut Config) -> Result<(), Refused> {
    let groups = std::mem::take(&mut reader.drafts.groups);
    let drafts = std::mem::take(&mut reader.drafts.virtual_servers);
    config.groups = groups
        .into_iter()
        .filter_map(|draft| {
            let name = draft.name?;
            mixed_group(reader, name, &draft.entries)
                .then(|| VirtualServerGroup { name: name.as_str().to_owned(), entries: draft.entries })
        })
        .collect();
    let mut progress = reader.drafts.checked.take().unwrap_or_default();
    config.virtual_servers = std::mem::take(&mut reader.drafts.built);
    // Each draft goes when its model is there: a large file is not in memory twice.
    for draft in drafts {
        if let Some((head, built)) = one(reader, &draft, &config.groups, &mut progress) {
            reader.built(head, config.virtual_servers.len());
            config.virtual_servers.push(built);
        }
    }
    let Progress { mut scripts, any, .. } = *progress;
    if any {
        fifo_scripts(reader, config, &mut scripts);
        scripts.finish(reader);
    }
    config.check_files = used_files(reader, config);
    super::tls::profiles(reader, config)
}

/// What one virtual server leaves for the checks of the next.
#[derive(Default)]
pub struct Progress {
    scripts: Scripts,
    /// How many virtual servers a group has so far.
    ordinals: HashMap<String, u32>,
    seen: HashMap<(Service, Option<Protocol>, Option<Family>), Span, Hash>,
    /// The servers of one pool and where they stand; kept to be used again.
    pool: HashMap<(IpAddr, u16), Option<Span>, Hash>,
    any: bool,
}

/// Checks a virtual server as soon as it is read: tens of thousands of drafts are most of the memory that a large file
/// takes, and `-t` needs not even the model. One of a group must wait, since the group may stand behind it.
pub fn read<'a>(reader: &mut Reader<'a>, draft: Draft<'a>) {
    if matches!(draft.service, ServiceDraft::Group(_)) {
        reader.drafts.virtual_servers.push(draft);
        return;
    }
    let mut progress = reader.drafts.checked.take().unwrap_or_default();
    let built = one(reader, &draft, &[], &mut progress);
    reader.drafts.checked = Some(progress);
    if let Some((head, built)) = built.filter(|_| !reader.judges()) {
        reader.built(head, reader.drafts.built.len());
        reader.drafts.built.push(built);
    }
}

fn one<'a>(
    reader: &mut Reader<'a>,
    draft: &Draft<'a>,
    groups: &[VirtualServerGroup],
    progress: &mut Progress,
) -> Option<(Span, VirtualServer)> {
    progress.any = true;
    let head = draft.head?;
    let index = match draft.service {
        ServiceDraft::Group(name) => {
            let next = progress.ordinals.entry(name.as_str().to_owned()).or_default();
            std::mem::replace(next, *next + 1)
        }
        _ => 0,
    };
    let mut builder = Builder {
        reader: &mut *reader,
        draft,
        head,
        groups,
        scripts: &mut progress.scripts,
        pool: &mut progress.pool,
    };
    let built = builder.build(index)?;
    let marked = matches!(built.service, Service::Fwmark(_));
    let identity =
        (built.service.clone(), built.protocol.filter(|_| !marked), built.family.filter(|_| marked));
    match progress.seen.entry(identity) {
        Entry::Vacant(place) => {
            place.insert(head);
        }
        Entry::Occupied(first) => reader.push(
            Diagnostic::warning("repeated-service", head, "this service has a virtual_server already")
                .class(Class::None)
                .related(*first.get(), "the first, whose settings are used")
                .help("put all its real servers into one block")
                .stock("deletes and adds the real servers of the second one at every reload"),
        ),
    }
    Some((head, built))
}

/// The files that some check looks at.
fn used_files(reader: &Reader<'_>, config: &Config) -> Vec<TrackFile> {
    let checkers = || {
        let servers = config.virtual_servers.iter().flat_map(|vs| &vs.real_servers);
        servers.flat_map(|rs| &rs.checkers)
    };
    let is_used = |name: &str| {
        checkers().any(|checker| matches!(&checker.kind, CheckKind::File(file) if file.track_file == name))
    };
    let files = reader.drafts.track_files.iter().map(|(_, file)| file);
    files.filter(|file| is_used(&file.name)).cloned().collect()
}

/// A group of both families cannot hold a mark without family; may it stay?
fn mixed_group(reader: &mut Reader<'_>, name: &Word, entries: &[GroupEntry]) -> bool {
    let of = |family: Family| {
        entries.iter().any(|entry| match entry {
            GroupEntry::Range { first, .. } => Family::of(*first) == family,
            GroupEntry::Fwmark { family: given, .. } => *given == Some(family),
        })
    };
    let bare_mark = entries.iter().any(|entry| matches!(entry, GroupEntry::Fwmark { family: None, .. }));
    if !(of(Family::V4) && of(Family::V6) && bare_mark) {
        return true;
    }
    let message = format!("virtual_server_group `{}` has both families and a mark without one", quoted(name));
    reader.push(
        Diagnostic::error("mixed-group", name.span(), message)
            .help("write `fwmark N inet` or `fwmark N inet6`")
            .stock("removes the group"),
    );
    false
}

pub(super) struct Builder<'b, 'a> {
    pub(super) reader: &'b mut Reader<'a>,
    pub(super) draft: &'b Draft<'a>,
    pub(super) head: Span,
    pub(super) groups: &'b [VirtualServerGroup],
    pub(super) scripts: &'b mut Scripts,
    /// The servers of one pool and where they stand; kept to be used again.
    pub(super) pool: &'b mut HashMap<(IpAddr, u16), Option<Span>, Hash>,
}

/// What a service is, as far as defaults depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Address,
    Fwmark,
    Group,
}

impl Builder<'_, '_> {
    pub(super) fn warn(
        &mut self,
        id: &'static str,
        span: Option<Span>,
        what: &str,
        help: &str,
        stock: &'static str,
    ) {
        let report = Diagnostic::warning(id, span.unwrap_or(self.head), what).stock(stock);
        self.reader.push(if help.is_empty() { report } else { report.help(help) });
    }

    fn build(&mut self, index: u32) -> Option<VirtualServer> {
        let draft = self.draft;
        let (form, service, port) = match draft.service {
            ServiceDraft::Address(address, port) => (Form::Address, Service::Address { address, port }, port),
            // Mark 0 is no mark (spec/lvs-config.md, trap 13): what stock makes of it serves nobody.
            ServiceDraft::Fwmark(0) | ServiceDraft::Unset => {
                self.warn(
                    "fwmark-zero",
                    None,
                    "`fwmark 0` is no mark",
                    "use a mark from 1 on",
                    "serves nothing with it",
                );
                return None;
            }
            ServiceDraft::Fwmark(mark) => (Form::Fwmark, Service::Fwmark(mark), 0),
            ServiceDraft::Group(name) => {
                let Some(group) = self.groups.iter().find(|group| group.name == name.as_str()) else {
                    let message = format!("there is no virtual_server_group `{}`", quoted(name));
                    self.reader.push(
                        Diagnostic::error("unknown-name", name.span(), message)
                            .only_warned()
                            .help("define the group, or mend the name")
                            .stock("logs it and drops the virtual server"),
                    );
                    return None;
                };
                let any_port =
                    group.entries.iter().any(|entry| matches!(entry, GroupEntry::Range { port: 0, .. }));
                let port = u16::from(!any_port);
                (Form::Group, Service::Group { name: name.as_str().to_owned(), index }, port)
            }
        };
        let group_has_marks = matches!(draft.service, ServiceDraft::Group(name)
            if self.groups.iter().any(|group| group.name == name.as_str()
                && group.entries.iter().any(|entry| matches!(entry, GroupEntry::Fwmark { .. }))));
        if draft.real_servers.is_empty() {
            self.warn(
                "no-real-servers",
                None,
                "the virtual server has no real servers",
                "add `real_server ADDR PORT { … }`",
                "ignores the whole virtual server, sorry server included",
            );
            return None;
        }
        // 1.
        let marked = form == Form::Fwmark || group_has_marks;
        if let Some(span) = draft.ha_suspend.filter(|_| marked) {
            self.warn(
                "contradiction",
                Some(span),
                "`ha_suspend` does not work with marks",
                "remove it",
                "ignores it",
            );
        }
        let protocol = self.protocol(form);
        let persistence = self.persistence(form, port);
        let mut flags = draft.flags;
        if let Some(span) = draft.ops {
            if matches!(protocol, Some(Protocol::Udp)) || form == Form::Fwmark {
                flags |= 0x04;
            } else {
                self.warn("contradiction", Some(span), "`ops` is for UDP", "remove it", "ignores it");
            }
        }
        // 5.
        let scheduler = draft.scheduler.unwrap_or_else(|| {
            self.warn("no-scheduler", None, "no `lvs_sched` is set", "add `lvs_sched wlc`", "uses wlc");
            Scheduler::Wlc
        });
        let global = &self.reader.drafts.global;
        let alert = global.values.smtp_alert_checker.or(global.values.smtp_alert);
        let method = draft.method.unwrap_or_else(|| {
            if draft.real_servers.iter().any(|server| server.method.is_none()) {
                self.warn(
                    "no-forwarding-method",
                    None,
                    "no `lvs_method` is set",
                    "add `lvs_method NAT`, or DR, or TUN",
                    "uses NAT",
                );
            }
            ForwardingMethod::Nat
        });
        let family = self.family(method);
        let real_servers = self.real_servers(form, port, family, method, alert);
        if real_servers.is_empty() {
            self.warn(
                "no-real-servers",
                None,
                "no real server is left",
                "mend its real servers",
                "ignores the virtual server",
            );
            return None;
        }
        let sorry_server = self.sorry_server(form, port, family, method, &real_servers);
        let defaults = self.reader.drafts.global.pooling;
        let (quorum, hysteresis) = self.quorum(&real_servers);
        let quorum_up = self.command(draft.quorum_up.as_deref());
        let quorum_down = self.command(draft.quorum_down.as_deref());
        Some(VirtualServer {
            settings: resolve(draft.inherited),
            inhibit_on_failure: draft.inhibit_on_failure,
            weight: draft.weight.unwrap_or(1),
            virtualhost: text(draft.virtualhost),
            snmp_name: text(draft.snmp_name),
            ha_suspend: draft.ha_suspend.is_some() && !marked,
            slow_start: draft.slow_start.or(defaults.slow_start).unwrap_or_default(),
            min_in_service: draft.min_in_service.or(defaults.min_in_service).unwrap_or(0),
            service,
            family,
            protocol,
            scheduler,
            flags,
            persistence,
            method,
            quorum,
            hysteresis,
            quorum_up,
            quorum_down,
            smtp_alert: draft.smtp_alert.or(alert).unwrap_or(false),
            omega: draft.omega,
            sorry_server,
            real_servers,
        })
    }

    pub(super) fn command(&mut self, script: Option<&ScriptDraft>) -> Option<Command> {
        self.scripts.resolve(self.reader, script?, Purpose::Notify)
    }

    /// 2 and 4.
    fn protocol(&mut self, form: Form) -> Option<Protocol> {
        match (form, self.draft.protocol) {
            (Form::Fwmark, None) => None,
            (Form::Fwmark, Some((_, span))) => {
                let help = "remove the line: the firewall decides what gets the mark";
                self.warn("contradiction", Some(span), "`protocol` with a firewall mark", help, "ignores it");
                None
            }
            (_, Some((protocol, _))) => Some(protocol),
            (_, None) => {
                let help = "add `protocol TCP`, or UDP";
                self.warn("no-protocol", None, "no `protocol` is set", help, "uses UDP");
                Some(Protocol::Udp)
            }
        }
    }

    /// 2 and 3.
    fn persistence(&mut self, form: Form, port: u16) -> Option<Persistence> {
        let draft = self.draft;
        let mut timeout = draft.persistence_timeout;
        if port == 0 && form != Form::Fwmark && timeout.is_none() {
            let help = "give a port, or add `persistence_timeout 360`";
            self.warn("forced-persistence", None, "without port it must be persistent", help, "sets 360 s");
            timeout = Some(FORCED_PERSISTENCE);
        }
        Some(Persistence { timeout: timeout?, granularity: draft.granularity, engine: draft.engine.clone() })
    }

    fn family(&self, method: ForwardingMethod) -> Option<Family> {
        if let Some(family) = self.draft.family() {
            return Some(family);
        }
        let tunnelled = |server: &RealServerDraft<'_>| {
            matches!(server.method.unwrap_or(method), ForwardingMethod::Tun(_))
        };
        let of_servers = self
            .draft
            .real_servers
            .iter()
            .find(|server| !tunnelled(server))
            .map(|server| Family::of(server.address));
        let mixed = matches!(self.draft.service, ServiceDraft::Group(name)
            if self.groups.iter().any(|group| group.name == name.as_str() && has_both(&group.entries)));
        if mixed { of_servers } else { of_servers.or(Some(Family::V4)) }
    }

    /// 9 and 10.
    fn quorum(&mut self, servers: &[RealServer]) -> (u32, u32) {
        let draft = self.draft;
        let sum: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
        let mut quorum = draft.quorum.map_or(1, |(quorum, _)| quorum);
        if u64::from(quorum) > sum {
            let what = format!("quorum {quorum} is more than the real servers weigh together ({sum})");
            let span = draft.quorum.map(|(_, span)| span);
            let help = match sum {
                0 => "give a real server a weight above 0; until then only a sorry server serves".to_owned(),
                _ => format!("write `quorum {sum}` or less"),
            };
            self.warn("quorum-too-high", span, &what, &help, "lowers it");
            quorum = u32::try_from(sum).unwrap_or(u32::MAX);
        }
        let mut hysteresis = draft.hysteresis.map_or(0, |(hysteresis, _)| hysteresis);
        // Without weights (told above) there is never a quorum. Stock: its hysteresis wraps around to the same effect.
        if hysteresis >= quorum && hysteresis > 0 {
            let what = format!("hysteresis {hysteresis} is not below the quorum {quorum}");
            let span = draft.hysteresis.map(|(_, span)| span);
            self.warn("hysteresis-too-high", span, &what, "", "lowers it to one below");
            hysteresis = quorum.saturating_sub(1);
        }
        (quorum, hysteresis)
    }
}

pub(super) fn text(word: Option<&Word>) -> Option<String> {
    word.map(|word| word.as_str().to_owned())
}

/// What stock has where no block gives a value.
pub(super) fn resolve(given: Inherited) -> InheritedSettings {
    InheritedSettings {
        delay_loop: given.delay_loop.unwrap_or(Duration::from_secs(60)),
        connect_timeout: given.connect_timeout.unwrap_or(Duration::from_secs(5)),
        retry: given.retry,
        delay_before_retry: given.delay_before_retry,
        warmup: given.warmup,
        alpha: given.alpha.unwrap_or(false),
    }
}

fn has_both(entries: &[GroupEntry]) -> bool {
    let of = |family| {
        entries
            .iter()
            .any(|entry| matches!(entry, GroupEntry::Range { first, .. } if Family::of(*first) == family))
    };
    of(Family::V4) && of(Family::V6)
}
