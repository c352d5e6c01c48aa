//! Script strings and the users they run as: shared by every keyword that names a script.
//!
//! Who runs a script is decided where the keyword stands (the users exist or do not); whether the file may be run is
//! decided after the whole file is read, in [`crate::config::validate`]. spec/vrrp-config.md §2.3.

use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::Identity;
use crate::config::reader::Reader;
use crate::config::schema::{Given, Keyword, Readers};
use crate::config::source::Span;
use crate::config::syntax::{ScriptError, ScriptWord, script_words};

/// A script as written, with the identity it will run under.
#[derive(Debug, Clone)]
pub struct ScriptDraft {
    /// Command and arguments, never empty.
    pub argv: Vec<String>,
    /// The command as written.
    pub command: String,
    /// Where it stands.
    pub span: Span,
    /// The keyword that named it.
    pub keyword: &'static str,
    /// Who runs it.
    pub identity: Identity,
}

/// The default user of scripts, as far as `global_defs` has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultUser {
    /// No `script_user`.
    #[default]
    Unset,
    /// `script_user` names this one.
    Set(Identity),
    /// `script_user` names nobody that exists: no script without a user of its own can run.
    Failed,
}

/// Does a second script of this kind replace the first?
pub fn set_once<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'b> fn(&'b mut Reader<'a>) -> &'b mut Option<Box<ScriptDraft>>,
) {
    if let Some(first) = slot(reader).as_ref().map(|script| script.span) {
        reader.push(repeated(given, first));
        return;
    }
    let script = read(reader, given);
    *slot(reader) = script.map(Box::new);
}

/// The report of a second value where the first stays.
pub fn repeated(given: Given<'_>, first: Span) -> Diagnostic {
    Diagnostic::error("repeated-keyword", given.head(), format!("a second `{}`", given.keyword.name))
        .related(first, "this one stays")
        .help("remove one of them")
        .stock("keeps the first and ignores this line")
}

/// Reads script, user and group of a line.
pub fn read<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Option<ScriptDraft> {
    let (argv, command, span, rest) = words(reader, given)?;
    // A user, and a group, perhaps with a colon before it.
    let own = if rest.get(1).is_some_and(|word| word.text == ":") { 3 } else { 2 };
    surplus(reader, given, rest.get(own..).unwrap_or_default());
    let identity = match rest.split_first() {
        None => default_identity(reader, given.keyword, span)?,
        Some((user, rest)) => match identity(reader, user, rest) {
            Ok(identity) => identity,
            Err(report) => {
                reader.push(report.class(Class::None).stock("logs it and drops the script"));
                return None;
            }
        },
    };
    Some(ScriptDraft { argv, command, span, keyword: given.keyword.name, identity })
}

/// The words of a script line: arguments, command as written, its span, and what follows.
fn words<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
) -> Option<(Vec<String>, String, Span, Vec<ScriptWord>)> {
    let name = given.keyword.name;
    let report = match script_words(&given.line.raw()) {
        Ok(script) => return Some((script.argv, script.command, script.span, script.rest)),
        Err(ScriptError::Missing) => {
            Diagnostic::error("bad-script", given.head(), format!("`{name}` needs a script"))
        }
        Err(ScriptError::Empty { span }) => {
            Diagnostic::error("bad-script", span, format!("`{name}`: the script is empty"))
        }
        Err(error @ ScriptError::Unclosed { quote, span }) => {
            Diagnostic::error("bad-script", span, format!("`{name}`: {error}"))
                .help(format!("add the missing {quote}, or write \\{quote} for the character itself"))
        }
    };
    reader.push(report.stock("no script is set"));
    None
}

/// Reads the script of a line that names no user.
pub fn alone<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Option<ScriptDraft> {
    let (argv, command, span, rest) = words(reader, given)?;
    surplus(reader, given, &rest);
    Some(ScriptDraft { argv, command, span, keyword: given.keyword.name, identity: Identity::default() })
}

/// Says that words behind a script are lost: keywords, or arguments that stand outside its quotes.
fn surplus(reader: &mut Reader<'_>, given: Given<'_>, words: &[ScriptWord]) {
    let Some(first) = words.first() else { return };
    let name = given.keyword.name;
    if !reader.passed_over(given.keyword, words.iter().map(|word| (word.text.as_str(), word.span))) {
        let message = format!("`{}` behind the script of `{name}` is passed over", first.text);
        reader.push(
            Diagnostic::warning("words-behind-script", first.span, message)
                .class(Class::None)
                .help("arguments of a script belong inside its quotes: \"/path/to/script argument\"")
                .stock("passes over the rest of the line without a word"),
        );
    }
}

/// `USER [:][GROUP]`, given as words.
pub fn identity(
    reader: &Reader<'_>,
    user: &ScriptWord,
    rest: &[ScriptWord],
) -> Result<Identity, Box<Diagnostic>> {
    let users = reader.world.users;
    let Some(mut identity) = users.user(&user.text) else {
        return Err(Box::new(
            Diagnostic::warning("unknown-user", user.span, format!("there is no user `{}`", user.text))
                .help("arguments of a script belong inside its quotes: \"/path/to/script argument\""),
        ));
    };
    let group = match rest {
        [colon, group, ..] if colon.text == ":" => Some((group.text.as_str(), group.span)),
        [group, ..] if group.text != ":" => Some((group.text.trim_start_matches(':'), group.span)),
        _ => None,
    };
    // `:` stands for the user's own groups besides.
    identity.supplementary = rest.first().is_some_and(|word| word.text.starts_with(':'));
    if let Some((name, span)) = group.filter(|(name, _)| !name.is_empty()) {
        if let Some(gid) = users.group(name) {
            identity.gid = gid;
        } else {
            let message = format!("there is no group `{name}`");
            return Err(Box::new(Diagnostic::warning("unknown-group", span, message)));
        }
    }
    Ok(identity)
}

/// Who owns what names no user: `script_user`, else `keepalived_script`, else the daemon's own user.
pub(super) fn usual_identity(reader: &mut Reader<'_>) -> Identity {
    match reader.drafts.global.default_user {
        DefaultUser::Set(identity) => identity,
        DefaultUser::Unset | DefaultUser::Failed => {
            let identity = reader.world.users.user("keepalived_script");
            needed(reader, identity.unwrap_or(reader.world.facts.own_identity))
        }
    }
}

/// Notes that this process has use for a default user.
fn needed(reader: &mut Reader<'_>, identity: Identity) -> Identity {
    let process = reader.process();
    let users = &mut reader.drafts.global.values.script_users;
    for (readers, slot) in [
        (Readers::PARENT, &mut users.parent),
        (Readers::VRRP, &mut users.vrrp),
        (Readers::CHECKER, &mut users.checkers),
    ] {
        if process.meets(readers) {
            *slot = Some(identity);
        }
    }
    identity
}

/// Who runs a script that names no user.
pub fn default_identity(reader: &mut Reader<'_>, keyword: &Keyword, span: Span) -> Option<Identity> {
    let default = reader.drafts.global.default_user;
    let security = reader.drafts.global.values.script_security;
    match default {
        DefaultUser::Set(identity) => return Some(identity),
        DefaultUser::Unset => {
            if let Some(identity) = reader.world.users.user("keepalived_script") {
                return Some(needed(reader, identity));
            }
            if !security {
                return Some(needed(reader, reader.world.facts.own_identity));
            }
        }
        DefaultUser::Failed => {}
    }
    // Stock: such a process shows root as its default user, though it runs nothing as root.
    needed(reader, Identity::default());
    let report = Diagnostic::error(
        "no-script-user",
        span,
        format!("`{}`: no user to run the script as", keyword.name),
    )
    .stock("drops the script");
    reader.push(match default {
        DefaultUser::Failed => report.help("mend `script_user` in global_defs: it names nobody"),
        _ => report.help(
            "with `enable_script_security` there must be a user `keepalived_script`, or `script_user NAME` in global_defs",
        ),
    });
    None
}
