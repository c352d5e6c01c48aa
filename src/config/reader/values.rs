//! The value of a keyword, read by the shape that its table gives, and the report when it cannot be used.
//! spec/config-language.md §9.

use std::time::Duration;

use super::Reader;
use crate::config::diagnostic::Diagnostic;
use crate::config::schema::{Invalid, Keyword, Shape, Value};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::{Line, Word};
use crate::config::value::{self, Reading, Trouble};

impl<'a> Reader<'a> {
    /// Reads the value by the keyword's shape, and reports what is wrong with it.
    pub fn value(&mut self, keyword: &'static Keyword, line: Line<'a>) -> Option<Value<'a>> {
        let word = line.words.get(1);
        match (keyword.shape, word) {
            (Shape::Bool, None) => Some(Value::Bool(true)),
            (Shape::Bool, Some(word)) => {
                if let Some(value) = value::boolean(word) {
                    Some(Value::Bool(value))
                } else {
                    self.push(
                        bad_value(keyword, word, "is neither true nor false")
                            .help("write one of true, on, yes, false, off, no (lower case)")
                            .stock("the line is ignored"),
                    );
                    None
                }
            }
            (Shape::Int { min, max, strictness }, Some(word)) => {
                let reading = value::integer(word, min, max, strictness, self.world.mode);
                self.number(keyword, word, reading, (min, max)).map(Value::Int)
            }
            (Shape::Seconds { places, min, max }, Some(word)) => {
                let unit = 10u64.pow(places);
                let reading = value::seconds(word, places, min, max);
                let number = self.time(keyword, word, reading, (min, max), unit)?;
                let micros = number.saturating_mul(1_000_000 / unit);
                Some(Value::Time(Duration::from_micros(micros)))
            }
            (Shape::Choice(choices), Some(word)) => {
                if choices.iter().any(|choice| word == *choice) {
                    return Some(Value::Word(word));
                }
                let mut report = bad_value(keyword, word, "is not known");
                report = report.stock("the line is ignored");
                if let Some(meant) = did_you_mean(word, choices.iter().copied()) {
                    report = report.help(format!("did you mean `{meant}`?"));
                }
                self.push(report.help(format!("write one of {}", choices.join(", "))));
                None
            }
            (Shape::Address, Some(word)) => {
                if let Some(address) = value::address_before_suffix(word) {
                    Some(Value::Address(address))
                } else {
                    self.push(bad_value(keyword, word, "is not an address").stock("the line is ignored"));
                    None
                }
            }
            (Shape::Word, Some(word)) => Some(Value::Word(word)),
            _ => Some(Value::None),
        }
    }

    fn number(
        &mut self,
        keyword: &'static Keyword,
        word: &Word,
        reading: Reading<i64>,
        (min, max): (i64, i64),
    ) -> Option<i64> {
        let (number, trouble) = match reading {
            Reading::Good(number) => return Some(number),
            Reading::Used(number, trouble) => (Some(number), trouble),
            Reading::Bad(trouble) => (None, trouble),
        };
        let what = match trouble {
            Trouble::Range => format!("is outside {min}..{max}"),
            Trouble::Negative => "must not be negative".to_owned(),
            _ => "is not a whole number".to_owned(),
        };
        let (number, stock) = match (number, keyword.invalid) {
            (Some(number), _) => {
                (Some(number), format!("a running daemon uses {number}; `-t` counts it as an error"))
            }
            (None, Invalid::Ignored) => (None, ignored(keyword)),
            (None, Invalid::Sets(number)) => (Some(number), format!("{} becomes {number}", keyword.name)),
        };
        let mut report = bad_value(keyword, word, &what).stock(stock);
        if trouble == Trouble::Range {
            report = report.help(format!("use a number from {min} to {max}"));
        } else {
            let digits: String = word.chars().filter(char::is_ascii_digit).collect();
            if !digits.is_empty() && digits.len() < 10 && word.starts_with(|c: char| c.is_ascii_digit()) {
                let hex = word.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let leading = match hex {
                    Some(number) => number.to_string(),
                    None => word.chars().take_while(char::is_ascii_digit).collect(),
                };
                report = report.help(format!("write `{} {leading}`", keyword.name));
            }
        }
        self.push(report);
        number
    }

    fn time(
        &mut self,
        keyword: &'static Keyword,
        word: &Word,
        reading: Reading<u64>,
        (min, max): (u64, u64),
        unit: u64,
    ) -> Option<u64> {
        let (number, trouble) = match reading {
            Reading::Good(number) => return Some(number),
            Reading::Used(number, trouble) => (Some(number), trouble),
            Reading::Bad(trouble) => (None, trouble),
        };
        let (min, max) = (decimal(min, unit), decimal(max, unit));
        let what = match trouble {
            Trouble::Range => format!("is outside {min}..{max} seconds"),
            Trouble::Negative => "must not be negative".to_owned(),
            Trouble::Places => "has more decimal places than are kept".to_owned(),
            Trouble::Unit | Trouble::Syntax => "is not a number of seconds".to_owned(),
        };
        let stock = match number {
            Some(number) => format!("reads it as {} s and uses that", decimal(number, unit)),
            None => ignored(keyword),
        };
        let mut report = bad_value(keyword, word, &what).stock(stock);
        let leading: String = word.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        report = match trouble {
            Trouble::Unit if !leading.is_empty() => {
                let seconds = in_seconds(&leading, &word[leading.len()..]);
                report.help(format!("the unit is always seconds: write `{} {seconds}`", keyword.name))
            }
            Trouble::Range => report.help(format!("use a number of seconds from {min} to {max}")),
            _ => report,
        };
        self.push(report);
        number
    }
}

/// The report for a value that cannot be used.
pub fn bad_value(keyword: &Keyword, word: &Word, what: &str) -> Diagnostic {
    let shown = crate::config::source::display(word).into_owned();
    Diagnostic::error("bad-value", word.span(), format!("`{}`: `{shown}` {what}", keyword.name))
}

/// What stock does with most bad values.
fn ignored(keyword: &Keyword) -> String {
    if keyword.default.is_empty() {
        "the line is ignored".to_owned()
    } else {
        format!("the line is ignored; without another one it is {}", keyword.default)
    }
}

/// What a line with this keyword looks like.
pub fn argument_hint(keyword: &Keyword) -> String {
    let name = keyword.name;
    match keyword.shape {
        Shape::Int { min, max, .. } => format!("write `{name} N` with N from {min} to {max}"),
        Shape::Seconds { .. } => format!("write `{name} SECONDS`"),
        Shape::Choice(choices) => format!("write `{name} {}`", choices.join("|")),
        Shape::Address => format!("write `{name} ADDRESS`"),
        Shape::Script => format!("write `{name} \"/path/to/script argument\"`"),
        _ => format!("write `{name} VALUE`, or remove the line"),
    }
}

/// What `500ms` or `3m` was meant to be.
fn in_seconds(number: &str, unit: &str) -> String {
    let scaled = |thousandths: u64| {
        let number: u64 = number.parse().ok()?;
        Some(decimal(number.checked_mul(thousandths)?, 1000))
    };
    match unit {
        "ms" => scaled(1),
        "m" | "min" => scaled(60_000),
        "h" => scaled(3_600_000),
        _ => None,
    }
    .unwrap_or_else(|| number.to_owned())
}

/// `n / unit` as a decimal without trailing zeros.
pub fn decimal(n: u64, unit: u64) -> String {
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let places = unit.ilog10() as usize;
    format!("{whole}.{rest:0places$}").trim_end_matches('0').to_owned()
}
