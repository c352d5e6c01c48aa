//! The words of `global_defs` about scripts and notification FIFOs (spec/global-defs.md).

use super::global::Scripts as GlobalScripts;
use super::global_values::{first, whole_seconds};
use super::scripts::{self, DefaultUser, ScriptDraft};
use crate::config::diagnostic::{Class, Severity};
use crate::config::model::{Fifo, Fifos, Identity, Pipe};
use crate::config::reader::Reader;
use crate::config::schema::{Apply, Given, Keyword, Mark, Missing, Repeat, Shape, keyword, lenient};
use crate::config::syntax::{ScriptWord, Word};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("script_user", Shape::Words, "Default user of scripts: USER [:][GROUP].")
        .default("keepalived_script if it exists, else the daemon's")
        .mark(Mark::A)
        .missing(Missing::Warns)
        .apply(script_user),
    keyword("enable_script_security", Shape::Flag, "Refuse scripts of root that others can change.")
        .default("off")
        .mark(Mark::A)
        .since("≤1.3.0")
        .apply(|r, _| r.drafts.global.values.script_security = true),
    keyword("set_supplementary_groups", Shape::Bool, "Give scripts the supplementary groups of their user.")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.values.supplementary_groups = g.bool()),
    keyword("startup_script", Shape::Script, "Run once before the children start: SCRIPT [USER [:][GROUP]].")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| global_script(r, g, |scripts| &mut scripts.startup)),
    keyword("startup_script_timeout", lenient(1, 1000), "Seconds until it is killed.")
        .default("10")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.startup_script_timeout = whole_seconds(g)),
    keyword("shutdown_script", Shape::Script, "Run once after the children ended: SCRIPT [USER [:][GROUP]].")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| global_script(r, g, |scripts| &mut scripts.shutdown)),
    keyword("shutdown_script_timeout", lenient(1, 1000), "Seconds until it is killed.")
        .default("10")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.shutdown_script_timeout = whole_seconds(g)),
    fifo("notify_fifo", "FIFO for all events: PATH [USER [GROUP]].", |r, g| {
        pipe(r, g, |fifos| &mut fifos.all);
    }),
    fifo_script("notify_fifo_script", "Program that reads the FIFO.", |r, g| {
        global_script(r, g, |scripts| &mut scripts.all);
    }),
    fifo("vrrp_notify_fifo", "FIFO for VRRP events: PATH [USER [GROUP]].", |r, g| {
        pipe(r, g, |fifos| &mut fifos.vrrp);
    }),
    fifo_script("vrrp_notify_fifo_script", "Program that reads the VRRP FIFO.", |r, g| {
        global_script(r, g, |scripts| &mut scripts.vrrp);
    }),
    fifo("lvs_notify_fifo", "FIFO for checker events: PATH [USER [GROUP]].", |r, g| {
        pipe(r, g, |fifos| &mut fifos.lvs);
    }),
    fifo_script("lvs_notify_fifo_script", "Program that reads the checker FIFO.", |r, g| {
        global_script(r, g, |scripts| &mut scripts.lvs);
    }),
    keyword("vrrp_notify_priority_changes", Shape::Bool, "Priority changes to the FIFOs.")
        .default("false")
        .apply(|r, g| r.drafts.global.values.notify_priority_changes = g.bool()),
    keyword("fifo_write_vrrp_states_on_reload", Shape::Flag, "All states to the FIFOs again after a reload.")
        .apply(|r, _| r.drafts.global.values.fifos.states_on_reload = true),
];

const fn fifo(name: &'static str, help: &'static str, apply: Apply) -> Keyword {
    keyword(name, Shape::Words, help)
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(apply)
}

const fn fifo_script(name: &'static str, help: &'static str, apply: Apply) -> Keyword {
    keyword(name, Shape::Script, help)
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(apply)
}

fn script_user<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let words: Vec<ScriptWord> = given.arguments().iter().map(as_script_word).collect();
    let Some((user, rest)) = words.split_first() else { return };
    reader.drafts.global.default_user = match scripts::identity(reader, user, rest) {
        Ok(identity) => {
            reader.drafts.global.values.script_users.parent = Some(identity);
            DefaultUser::Set(identity)
        }
        Err(mut report) => {
            report.severity = Severity::Error;
            // Stock: it shows root then, and runs nothing as root.
            reader.drafts.global.values.script_users.parent = Some(Identity::default());
            report.help = vec!["create the user, or name one that exists".to_owned()];
            reader.push(report.stock("drops every script that names no user of its own"));
            DefaultUser::Failed
        }
    };
}

fn global_script<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: fn(&mut GlobalScripts) -> &mut Option<ScriptDraft>,
) {
    if first(reader, given)
        && let Some(script) = scripts::read(reader, given)
    {
        *slot(&mut reader.drafts.global.scripts) = Some(script);
    }
}

/// `PATH [USER [GROUP]]`
fn pipe<'a>(reader: &mut Reader<'a>, given: Given<'a>, slot: fn(&mut Fifos) -> &mut Fifo) {
    let Some(path) = given.argument(0) else { return };
    if !first(reader, given) {
        return;
    }
    let words: Vec<ScriptWord> = given.arguments().iter().skip(1).map(as_script_word).collect();
    let owner = match words.split_first() {
        None => Ok(scripts::usual_identity(reader)),
        Some((user, rest)) => scripts::identity(reader, user, rest),
    };
    match owner {
        Ok(owner) => {
            let pipe = Pipe { path: path.as_str().to_owned(), owner };
            slot(&mut reader.drafts.global.values.fifos).pipe = Some(pipe);
        }
        Err(report) => reader.push(report.class(Class::None).stock("logs it and uses no FIFO")),
    }
}

fn as_script_word(word: &Word) -> ScriptWord {
    ScriptWord { text: word.as_str().to_owned(), span: word.span() }
}
