//! The lists `track_interface`, `track_script`, `track_file`, `track_process`, `track_bfd` of instances and sync groups.

use super::bfd_instance;
use super::{NamedInterface, quoted};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::schema::{Item, List};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// One tracked thing as read.
#[derive(Debug, Clone, Copy)]
pub struct Tracked<'a> {
    /// Its name.
    pub name: &'a Word,
    /// `weight`; `None` takes the thing's own.
    pub weight: Option<i32>,
    /// `reverse` / `noreverse`; `None` takes the thing's own.
    pub reverse: Option<bool>,
}

/// What an instance or a sync group tracks.
#[derive(Debug, Clone, Default)]
pub struct Trackers<'a> {
    /// `track_interface`.
    pub interfaces: Vec<Tracked<'a>>,
    /// `track_script`.
    pub scripts: Vec<Tracked<'a>>,
    /// `track_file`.
    pub files: Vec<Tracked<'a>>,
    /// `track_process`.
    pub processes: Vec<Tracked<'a>>,
    /// `track_bfd`.
    pub bfds: Vec<Tracked<'a>>,
}

/// What is tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interface,
    Script,
    File,
    Process,
    Bfd,
}

impl Kind {
    fn keyword(self) -> &'static str {
        match self {
            Self::Interface => "track_interface",
            Self::Script => "track_script",
            Self::File => "track_file",
            Self::Process => "track_process",
            Self::Bfd => "track_bfd",
        }
    }

    fn block(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Script => "vrrp_script",
            Self::File => "track_file",
            Self::Process => "vrrp_track_process",
            Self::Bfd => "bfd_instance",
        }
    }

    fn largest_weight(self) -> i64 {
        match self {
            Self::File | Self::Process => 254,
            _ => 253,
        }
    }
}

/// Which block's trackers a list fills.
type Owner = for<'a, 'b> fn(&'b mut Reader<'a>) -> &'b mut Trackers<'a>;

const INSTANCE: Owner = |reader| &mut reader.drafts.instance.trackers;
const GROUP: Owner = |reader| &mut reader.drafts.sync_group.trackers;

const fn list(item: for<'a> fn(&mut Reader<'a>, Item<'a>)) -> List {
    super::list(item)
}

/// `track_interface` of an instance.
pub static INSTANCE_INTERFACES: List = list(|r, w| track(r, w, Kind::Interface, INSTANCE));
/// `track_script` of an instance.
pub static INSTANCE_SCRIPTS: List = list(|r, w| track(r, w, Kind::Script, INSTANCE));
/// `track_file` of an instance.
pub static INSTANCE_FILES: List = list(|r, w| track(r, w, Kind::File, INSTANCE));
/// `track_process` of an instance.
pub static INSTANCE_PROCESSES: List = list(|r, w| track(r, w, Kind::Process, INSTANCE));
/// `track_bfd` of an instance.
pub static INSTANCE_BFDS: List = list(|r, w| track(r, w, Kind::Bfd, INSTANCE));
/// `track_interface` of a sync group.
pub static GROUP_INTERFACES: List = list(|r, w| track(r, w, Kind::Interface, GROUP));
/// `track_script` of a sync group.
pub static GROUP_SCRIPTS: List = list(|r, w| track(r, w, Kind::Script, GROUP));
/// `track_file` of a sync group.
pub static GROUP_FILES: List = list(|r, w| track(r, w, Kind::File, GROUP));
/// `track_process` of a sync group.
pub static GROUP_PROCESSES: List = list(|r, w| track(r, w, Kind::Process, GROUP));
/// `track_bfd` of a sync group.
pub static GROUP_BFDS: List = list(|r, w| track(r, w, Kind::Bfd, GROUP));

fn track<'a>(reader: &mut Reader<'a>, words: Item<'a>, kind: Kind, owner: Owner) {
    let Some((name, rest)) = words.split_first() else { return };
    if kind == Kind::Interface {
        name_interface(reader, name, "track_interface");
    } else if !is_defined(reader, kind, name) {
        not_found(reader, kind, name);
        return;
    }
    let list = select(owner(reader), kind);
    if let Some(first) = list.iter().find(|tracked| tracked.name.as_str() == name.as_str()) {
        let span = first.name.span();
        reader.push(
            Diagnostic::error(
                "repeated-entry",
                name.span(),
                format!("`{}` is in the list {} already", quoted(name), kind.keyword()),
            )
            .related(span, "here")
            .stock("ignores this line"),
        );
        return;
    }
    if let Some(tracked) = options(reader, kind, name, rest) {
        select(owner(reader), kind).push(tracked);
    }
}

fn select<'a, 'b>(trackers: &'b mut Trackers<'a>, kind: Kind) -> &'b mut Vec<Tracked<'a>> {
    match kind {
        Kind::Interface => &mut trackers.interfaces,
        Kind::Script => &mut trackers.scripts,
        Kind::File => &mut trackers.files,
        Kind::Process => &mut trackers.processes,
        Kind::Bfd => &mut trackers.bfds,
    }
}

fn options<'a>(
    reader: &mut Reader<'a>,
    kind: Kind,
    name: &'a Word,
    mut rest: Item<'a>,
) -> Option<Tracked<'a>> {
    let mut tracked = Tracked { name, weight: None, reverse: None };
    let keyword = kind.keyword();
    let ignored = |word: &Word, message: String| {
        Diagnostic::error("bad-tracking-option", word.span(), message).stock("ignores it")
    };
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        match option.as_str() {
            "weight" => {
                let Some((word, after)) = rest.split_first() else {
                    reader.push(ignored(option, format!("`weight` of `{}` needs a number", quoted(name))));
                    break;
                };
                rest = after;
                let max = kind.largest_weight() + i64::from(kind == Kind::Interface);
                match value::integer(word, -max, max, Strictness::Lenient, reader.world.mode) {
                    Reading::Good(number) => tracked.weight = i32::try_from(number.clamp(-254, 254)).ok(),
                    Reading::Used(number, _) => {
                        reader.push(ignored(word, format!("`{}` is not a whole number", quoted(word))));
                        tracked.weight = i32::try_from(number).ok();
                    }
                    Reading::Bad(_) => {
                        let max = kind.largest_weight();
                        reader.push(
                            ignored(word, format!("`{}` is no weight from -{max} to {max}", quoted(word)))
                                .help(format!("write `{} weight N`", quoted(name))),
                        );
                    }
                }
                if kind == Kind::Interface
                    && let Some(weight) = tracked.weight.as_mut()
                {
                    *weight = (*weight).clamp(-253, 253);
                }
            }
            "reverse" => tracked.reverse = Some(true),
            "noreverse" if kind != Kind::Interface => tracked.reverse = Some(false),
            other => {
                let known = ["weight", "reverse", "noreverse"];
                let mut report = ignored(
                    option,
                    format!("`{}` is no option of {keyword} `{}`", quoted(option), quoted(name)),
                );
                if other.parse::<i32>().is_ok() {
                    report = report.help(format!("write `{} weight {other}`", quoted(name)));
                } else if let Some(meant) = did_you_mean(other, known) {
                    report = report.help(format!("did you mean `{meant}`?"));
                }
                reader.push(report.stock("drops the entry"));
                return None;
            }
        }
    }
    Some(tracked)
}

fn is_defined(reader: &Reader<'_>, kind: Kind, name: &Word) -> bool {
    defined(reader, kind).any(|known| known == name.as_str())
}

fn defined<'r>(reader: &'r Reader<'_>, kind: Kind) -> Box<dyn Iterator<Item = &'r str> + 'r> {
    let drafts = &reader.drafts;
    match kind {
        Kind::Interface => Box::new(reader.world.facts.interfaces.keys().map(String::as_str)),
        Kind::Script => Box::new(drafts.scripts.iter().filter_map(|script| script.name).map(Word::as_str)),
        Kind::File => Box::new(drafts.track_files.iter().map(|(name, _)| name.as_str())),
        Kind::Process => Box::new(drafts.track_processes.iter().map(|(name, _)| name.as_str())),
        Kind::Bfd => Box::new(bfd_instance::names(reader)),
    }
}

fn not_found(reader: &mut Reader<'_>, kind: Kind, name: &Word) {
    let dropped = &reader.drafts.dropped_scripts;
    let dropped =
        dropped.iter().find(|(dropped, _)| kind == Kind::Script && dropped.as_str() == name.as_str());
    if let Some((first, why)) = dropped {
        let message = format!("{}: {} `{}` was dropped: {why}", kind.keyword(), kind.block(), quoted(name));
        let report = Diagnostic::error("unknown-name", name.span(), message)
            .related(first.span(), "defined here")
            .help("mend that block; until then nothing is tracked here")
            .stock("ignores the entry");
        reader.push(report);
        return;
    }
    let mut report = Diagnostic::error(
        "unknown-name",
        name.span(),
        format!("{}: there is no {} `{}` before this line", kind.keyword(), kind.block(), quoted(name)),
    )
    .stock("ignores the entry");
    if let Some(meant) = did_you_mean(name, defined(reader, kind)) {
        report = report.help(format!("did you mean `{meant}`?"));
    } else if let Some(span) = reader.defined_later(kind.block(), name) {
        report = report.related(span, "defined here, too late").help("move the definition before this block");
    } else {
        report = report.help(format!("define `{} {} {{ … }}` before this block", kind.block(), quoted(name)));
    }
    reader.push(report);
}

/// Takes note of an interface that must exist (checked once the whole file is read).
pub fn name_interface<'a>(reader: &mut Reader<'a>, name: &'a Word, user: &'static str) {
    reader.drafts.interfaces.push(NamedInterface { name, user });
}
