//! `static_ipaddress`, `static_routes`, `static_rules`, `track_group`, `garp_group`, `linkbeat_interfaces`,
//! `interface_up_down_delays` (spec/vrrp-config.md §1, §2.5, §2.6).

use std::time::Duration;

use super::address::{self, Place};
use super::{list, quoted, tracking};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Gaps, GarpGroup, InterfaceDelays, PolledInterface, Polling, Ssl};
use crate::config::reader::Reader;
use crate::config::schema::{
    Block, Given, Item, Keyword, List, Mark, Opened, Repeat, Shape, Table, keyword, micros,
};
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading};

/// A `track_group` or `garp_group` being read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    name: Option<&'a Word>,
    head: Option<Span>,
    group: Option<Span>,
    members: Vec<&'a Word>,
    gaps: Option<Gaps>,
    interfaces: Vec<&'a Word>,
}

/// A `track_group` with members.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a Word,
    /// The instances it names.
    pub members: Vec<&'a Word>,
}

/// The group that a static object names; an unknown one is reported.
pub(super) fn known_group(reader: &mut Reader<'_>, word: &Word) -> Option<String> {
    let groups = &reader.drafts.track_groups;
    if groups.iter().any(|group| group.name.as_str() == word.as_str()) {
        return Some(word.as_str().to_owned());
    }
    let mut report = Diagnostic::error(
        "unknown-name",
        word.span(),
        format!("there is no track_group `{}` above this line", quoted(word)),
    )
    .stock("ignores the group");
    if let Some(meant) = did_you_mean(word, groups.iter().map(|group| group.name.as_str())) {
        report = report.help(format!("did you mean `{meant}`?"));
    }
    reader.push(report);
    None
}

/// `static_ipaddress`.
pub static ADDRESSES: List = list(|reader: &mut Reader<'_>, words: Item<'_>| {
    let Some(draft) = address::read(reader, words, Place::Static) else { return };
    let (address, span, has_dev) = (draft.address, draft.span, draft.dev.is_some());
    reader.drafts.static_addresses.push(draft);
    if has_dev {
        return;
    }
    let default = reader.drafts.global.values.default_interface.clone();
    if !reader.world.facts.interfaces.contains_key(&default)
        && !reader.drafts.global.values.dynamic_interfaces
    {
        let message = format!("the address {address} has no `dev`, and there is no {default}");
        reader.push(
            Diagnostic::error("no-such-interface", span, message)
                .class(Class::Interface)
                .help("add `dev INTERFACE`, or `default_interface` to global_defs")
                .stock("refuses to start (exit 2)"),
        );
    }
});

/// `track_group`.
pub static TRACK_GROUP: Block =
    Block { table: &TRACK_GROUP_TABLE, open: open_track_group, close: close_track_group };
static TRACK_GROUP_TABLE: Table = Table::new(
    "track_group",
    &[&[keyword(
        "group",
        Shape::List(&TRACK_GROUP_MEMBERS),
        "Instances that go to FAULT with a static item.",
    )]],
);
static TRACK_GROUP_MEMBERS: List = List {
    open: |reader, given| {
        if let Some(first) = reader.drafts.statics.group {
            reader.push(
                Diagnostic::error("repeated-block", given.head(), "a second `group` in one track_group")
                    .related(first, "the first")
                    .help("put all names into one `group { … }`")
                    .stock("loses the whole group; the rest of its block is read at the top level"),
            );
            return Opened::SkipAndLeave;
        }
        reader.drafts.statics.group = Some(given.head());
        super::open_list(reader, given)
    },
    ..list(|reader: &mut Reader<'_>, words: Item<'_>| reader.drafts.statics.members.extend(words))
};

/// `garp_group`.
pub static GARP_GROUP: Block =
    Block { table: &GARP_GROUP_TABLE, open: open_garp_group, close: close_garp_group };
static GARP_GROUP_TABLE: Table = Table::new("garp_group", &[GARP_KEYWORDS]);
const GARP_KEYWORDS: &[Keyword] = &[
    keyword("garp_interval", micros(0, 4_294_967_295), "Seconds between two gratuitous ARPs.")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.statics.gaps.get_or_insert_default().garp_interval = g.time()),
    keyword("gna_interval", micros(0, 4_294_967_295), "Seconds between two neighbour advertisements.")
        .apply(|r, g| r.drafts.statics.gaps.get_or_insert_default().gna_interval = g.time()),
    keyword("interface", Shape::Word, "One interface.").mark(Mark::B).repeat(Repeat::Accumulates).apply(
        |r, g| {
            if let Some(word) = g.argument(0) {
                share_pace(r, word);
            }
        },
    ),
    keyword("interfaces", Shape::List(&GARP_INTERFACES), "Interfaces that share one pacing."),
];
static GARP_INTERFACES: List = list(|reader: &mut Reader<'_>, words: Item<'_>| {
    for word in words {
        share_pace(reader, word);
    }
});

fn share_pace<'a>(reader: &mut Reader<'a>, name: &'a Word) {
    tracking::name_interface(reader, name, "garp_group");
    reader.drafts.statics.interfaces.push(name);
}

/// `linkbeat_interfaces`.
pub static LINKBEAT: List = list(|reader: &mut Reader<'_>, words: Item<'_>| {
    let Some((name, rest)) = words.split_first() else { return };
    known_interface(reader, name, "linkbeat_interfaces");
    if let Some(word) = rest.first().filter(|word| !matches!(word.as_str(), "MII" | "ETHTOOL" | "IOCTL")) {
        let message = format!("linkbeat_interfaces: `{}` is none of MII, ETHTOOL, IOCTL", quoted(word));
        reader.push(Diagnostic::error("bad-value", word.span(), message).stock("ignores it"));
    }
    let way = rest.first().and_then(|word| match word.as_str() {
        "MII" => Some(Polling::Mii),
        "ETHTOOL" => Some(Polling::Ethtool),
        "IOCTL" => Some(Polling::Ioctl),
        _ => None,
    });
    reader.drafts.polled.push(PolledInterface { interface: name.as_str().to_owned(), way });
});

/// `interface_up_down_delays`.
pub static DELAYS: List = list(|reader: &mut Reader<'_>, words: Item<'_>| {
    let Some((name, rest)) = words.split_first() else { return };
    known_interface(reader, name, "interface_up_down_delays");
    if rest.is_empty() {
        let message = format!("interface_up_down_delays: `{}` has no delay", quoted(name));
        reader.push(Diagnostic::error("missing-argument", name.span(), message).stock("ignores the line"));
    }
    let mut delays = Vec::new();
    for word in rest.iter().take(2) {
        if let Reading::Good(micros) = value::seconds(word, 6, 0, 255_000_000) {
            delays.push(micros);
        } else {
            let message = format!("interface_up_down_delays: `{}` is no delay from 0 to 255 s", quoted(word));
            reader.push(Diagnostic::error("bad-value", word.span(), message).stock("ignores the line"));
            return;
        }
    }
    if let Some((down, up)) = delays.split_first() {
        // Stock: without the second number interfaces come up at once.
        let [down, up] = [*down, up.first().copied().unwrap_or(0)].map(Duration::from_micros);
        let interface = name.as_str().to_owned();
        reader.drafts.interface_delays.push(InterfaceDelays { interface, down, up });
    }
});

fn known_interface(reader: &mut Reader<'_>, name: &Word, what: &str) {
    if !reader.world.facts.interfaces.contains_key(name.as_str()) {
        let message = format!("{what}: there is no interface `{}`", quoted(name));
        reader.push(
            Diagnostic::error("no-such-interface", name.span(), message)
                .class(Class::Interface)
                .stock("exit 4 of `-t`; a running daemon skips the line"),
        );
    }
}

fn open_track_group<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let [name] = given.arguments() else {
        reader.one_name(given);
        return Opened::Skip;
    };
    if let Some(first) = reader.drafts.track_groups.iter().find(|known| known.name.as_str() == name.as_str())
    {
        let first = first.name.span();
        reader.repeated_block(given, name, first);
        return Opened::Skip;
    }
    reader.drafts.statics = Draft { name: Some(name), head: Some(given.head()), ..Draft::default() };
    Opened::Enter
}

fn close_track_group(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.statics);
    let Some(name) = draft.name else { return };
    if draft.members.is_empty() {
        reader.push(
            Diagnostic::error(
                "empty-group",
                name.span(),
                format!("track_group `{}` has no members", quoted(name)),
            )
            .help("add `group { NAME … }`")
            .stock("removes the group"),
        );
        return;
    }
    reader.drafts.track_groups.push(Group { name, members: draft.members });
}

fn open_garp_group<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.statics = Draft { head: Some(given.head()), ..Draft::default() };
    Opened::Enter
}

fn close_garp_group(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.statics);
    let Some(gaps) = draft.gaps else {
        if let Some(head) = draft.head {
            reader.push(
                Diagnostic::error("incomplete-block", head, "the garp_group has no interval")
                    .help("add `garp_interval SECONDS`")
                    .stock("removes the block"),
            );
        }
        return;
    };
    let mut interfaces: Vec<String> = Vec::new();
    for word in draft.interfaces {
        let name = word.as_str();
        let groups = &reader.drafts.garp_groups;
        if groups.iter().flat_map(|group| &group.interfaces).chain(&interfaces).any(|known| known == name) {
            let message = format!("interface `{}` is in a garp_group already", quoted(word));
            reader.push(Diagnostic::error("repeated-entry", word.span(), message).stock("ignores it"));
        } else {
            interfaces.push(name.to_owned());
        }
    }
    reader.drafts.garp_groups.push(GarpGroup { gaps, interfaces });
}

/// `SSL` of the top level (spec/lvs-config.md §11).
pub static SSL: Block = Block { table: &SSL_TABLE, open: open_ssl, close: |_| {} };
static SSL_TABLE: Table = Table::new(
    "SSL",
    &[&[
        keyword("password", Shape::Word, "PEM password.")
            .apply(|r, g| ssl(r, |it| it.password = Some(g.text().to_owned()))),
        keyword("ca", Shape::Word, "CA file; nothing is verified with it.")
            .apply(|r, g| ssl(r, |it| it.ca = Some(g.text().to_owned()))),
        keyword("certificate", Shape::Word, "Client certificate chain.")
            .apply(|r, g| ssl(r, |it| it.certificate = Some(g.text().to_owned()))),
        keyword("key", Shape::Word, "Client private key.")
            .apply(|r, g| ssl(r, |it| it.key = Some(g.text().to_owned()))),
    ]],
);

fn open_ssl<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    if let Some((first, _)) = reader.drafts.ssl.replace((given.head(), Ssl::default())) {
        reader.push(
            Diagnostic::error("repeated-block", given.head(), "a second `SSL` block")
                .related(first, "the first")
                .stock("uses the second"),
        );
    }
    Opened::Enter
}

fn ssl(reader: &mut Reader<'_>, set: impl FnOnce(&mut Ssl)) {
    if let Some((_, ssl)) = reader.drafts.ssl.as_mut() {
        set(ssl);
    }
}
