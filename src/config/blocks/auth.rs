//! `authentication { … }` and `auth_hmac { … }` of an instance (spec/vrrp-config.md §2.1).

use std::time::Duration;

use super::vrrp_instance::Placed;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::files::FileKind;
use crate::config::model::{HmacKey, HmacMode};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Block, Given, Keyword, Mark, Opened, Repeat, Shape, Table, keyword, strict};
use crate::config::source::{Span, encode};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// Bytes of a key.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 32..=64;

/// `auth_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// A password in clear.
    Pass,
    /// `IPsec` AH.
    Ah,
}

/// `auth_hmac` as read; a second block adds to the first.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct HmacDraft {
    /// The first block's keyword.
    pub span: Span,
    pub keys: Vec<HmacKey>,
    pub active_key: Placed<u8>,
    pub time_window: Option<Duration>,
    pub monotonic: bool,
    pub mode: HmacMode,
}

/// The block.
pub(super) static AUTHENTICATION: Block =
    Block { table: &AUTHENTICATION_TABLE, open: |_, _| Opened::Enter, close: |_| {} };

static AUTHENTICATION_TABLE: Table = Table::new(
    "authentication",
    &[&[
        keyword("auth_type", Shape::Word, "PASS or AH.").mark(Mark::A).apply(auth_type),
        keyword("auth_pass", Shape::Word, "The password, at most 8 bytes.")
            .mark(Mark::A)
            .since("≤1.1.5")
            .apply(auth_pass),
    ]],
);

/// The block.
pub(super) static AUTH_HMAC: Block = Block {
    table: &AUTH_HMAC_TABLE,
    open: |reader, given| {
        reader.drafts.instance.auth_hmac.get_or_insert_with(|| HmacDraft {
            span: given.head(),
            keys: Vec::new(),
            active_key: None,
            time_window: None,
            monotonic: false,
            mode: HmacMode::Enforce,
        });
        Opened::Enter
    },
    close: |_| {},
};

static AUTH_HMAC_TABLE: Table = Table::new("auth_hmac", &[HMAC]);

const HMAC: &[Keyword] = &[
    keyword("key", Shape::Words, "A key of 32 to 64 bytes: ID text, ID hex:DIGITS, or ID file:PATH.")
        .since(">2.2.7")
        .repeat(Repeat::Accumulates)
        .apply(key),
    keyword("active_key", strict(1, 255), "The key used for sending.").since(">2.2.7").apply(|r, g| {
        let active = (g.u8(), g.value_span());
        with(r, |draft| draft.active_key = Some(active));
    }),
    keyword("time_window", strict(1, 300), "Freshness window, seconds.")
        .default("3 x advert_int, 5 to 300")
        .since(">2.2.7")
        .apply(|r, g| {
            let window = Duration::from_secs(g.u32().into());
            with(r, |draft| draft.time_window = Some(window));
        }),
    keyword("anti_replay", Shape::Choice(&["time", "monotonic"]), "Replay protection.")
        .default("time")
        .since(">2.2.7")
        .apply(|r, g| {
            let is_monotonic = g.text() == "monotonic";
            with(r, |draft| draft.monotonic = is_monotonic);
        }),
    keyword(
        "mode",
        Shape::Choice(&["enforce", "permissive", "receive-only"]),
        "What happens to unsigned adverts; receive-only does not sign, either.",
    )
    .default("enforce")
    .since(">2.2.7")
    .apply(|r, g| {
        let mode = match g.text() {
            "permissive" => HmacMode::Permissive,
            "receive-only" => HmacMode::ReceiveOnly,
            _ => HmacMode::Enforce,
        };
        with(r, |draft| draft.mode = mode);
    }),
];

fn with(reader: &mut Reader<'_>, set: impl FnOnce(&mut HmacDraft)) {
    if let Some(draft) = &mut reader.drafts.instance.auth_hmac {
        set(draft);
    }
}

/// `key ID VALUE`. No report ever shows the value.
fn key<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let (Some(id), Some(word)) = (given.argument(0), given.argument(1)) else {
        reader.push(
            Diagnostic::error("missing-argument", given.head(), "`key` needs an id and a value")
                .help("write `key 1 file:/etc/keepalived/vrrp.key`")
                .stock("ignores it"),
        );
        return;
    };
    let Reading::Good(number) = value::integer(id, 1, 255, Strictness::Strict, reader.world.mode) else {
        reader.push(bad_value(given.keyword, id, "is no key id from 1 to 255").stock("ignores the line"));
        return;
    };
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    let refuse = |why: String| {
        Diagnostic::error("bad-key", word.span(), format!("key {number}: {why}")).stock("ignores the line")
    };
    let draft = reader.drafts.instance.auth_hmac.as_ref();
    if draft.is_some_and(|draft| draft.keys.iter().any(|key| key.id == number)) {
        reader.push(refuse("the id is taken".to_owned()).help("give each key its own id"));
        return;
    }
    let bytes = match word.as_str().strip_prefix("file:") {
        Some(path) => match key_file(reader, word, path) {
            Ok(bytes) => bytes,
            Err(why) => return reader.push(refuse(format!("{path}: {why}"))),
        },
        None => encode(word).into_owned(),
    };
    let value = match bytes.strip_prefix(b"hex:") {
        Some(digits) => match from_hex(digits) {
            Some(value) => value,
            None => return reader.push(refuse("behind `hex:` stand pairs of hex digits".to_owned())),
        },
        None => bytes,
    };
    if !KEY_LENGTH.contains(&value.len()) {
        let help = "make one with `openssl rand -hex 32`, and write `hex:` before it";
        reader.push(refuse(format!("it has {} bytes; a key has 32 to 64", value.len())).help(help));
        return;
    }
    with(reader, |draft| draft.keys.push(HmacKey { id: number, value }));
}

/// What a key file holds, without the newlines at its end.
fn key_file(reader: &mut Reader<'_>, word: &Word, path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = reader.world.files.read(path).map_err(|error| error.to_string())?;
    let status = reader.world.files.status(path);
    if status.is_some_and(|status| status.kind == FileKind::File && status.mode & 0o077 != 0) {
        reader.push(
            Diagnostic::warning("key-exposed", word.span(), format!("others may read the key in `{path}`"))
                .class(Class::Security)
                .help(format!("chmod 600 {path}"))
                .stock("complains (exit 6 of `-t`) and uses it"),
        );
    }
    while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn auth_type<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let kind = match word.as_str() {
        "PASS" => AuthType::Pass,
        "AH" => AuthType::Ah,
        _ => {
            let mut report = bad_value(given.keyword, word, "is neither PASS nor AH")
                .stock("ignores the line, and the instance runs without authentication");
            if let Some(meant) = did_you_mean(word, ["PASS", "AH"]) {
                report = report.help(format!("write `auth_type {meant}`"));
            } else {
                report = report.help("write `auth_type PASS`");
            }
            reader.push(report);
            return;
        }
    };
    reader.drafts.instance.auth_type = Some((kind, word.span()));
}

fn auth_pass<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let bytes = encode(word).len();
    if bytes > 8 {
        reader.push(
            Diagnostic::warning(
                "long-password",
                word.span(),
                format!("the password has {bytes} bytes; only 8 fit"),
            )
            .help("shorten it to 8 bytes, on all nodes alike")
            .stock("uses the first 8 bytes"),
        );
    }
    reader.drafts.instance.auth_pass = Some((word.as_str().to_owned(), word.span()));
}
