//! `~SEQ`, `~SEQx` and `~LST`: the head of a loop and its values (spec/config-language.md §8).

use super::syntax::is_space;

/// The values that a loop gives to its variables, one round after the other.
#[derive(Debug, Clone)]
pub(super) enum Loop {
    /// Numbers from `next` to `end`.
    Sequence { name: String, next: Option<i64>, step: i64, end: i64, hexadecimal: bool },
    /// Rows of values, one for each name.
    List { names: Vec<String>, rows: std::vec::IntoIter<Vec<String>> },
}

impl Loop {
    /// The names and values of the next round.
    pub(super) fn round(&mut self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Sequence { name, next, step, end, hexadecimal } => {
                let now = (*next)?;
                let inside = |value: &i64| if *step > 0 { *value <= *end } else { *value >= *end };
                *next = now.checked_add(*step).filter(inside);
                let value = if *hexadecimal { format!("{now:x}") } else { now.to_string() };
                Some(vec![(name.clone(), value)])
            }
            Self::List { names, rows } => {
                let row = rows.next()?;
                let values = row.into_iter().chain(std::iter::repeat_with(String::new));
                Some(names.iter().cloned().zip(values).collect())
            }
        }
    }
}

/// Which loop word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopWord {
    Seq,
    SeqHex,
    Lst,
}

/// A loop line as written: ranges of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) word: LoopWord,
    /// Between the parentheses.
    pub(super) parameters: std::ops::Range<usize>,
    /// Where the repeated text starts.
    pub(super) text: usize,
}

/// Is this a loop line? `Some(Err)` when it begins like one and has no parentheses.
pub(super) fn head(line: &str) -> Option<Result<Head, &'static str>> {
    let words = [("~SEQx", LoopWord::SeqHex), ("~SEQ", LoopWord::Seq), ("~LST", LoopWord::Lst)];
    let (rest, word) = words.iter().find_map(|&(name, word)| Some((line.strip_prefix(name)?, word)))?;
    let open = rest.trim_start_matches(is_space);
    let Some(inside) = open.strip_prefix('(') else {
        let other = rest.starts_with(|c: char| !is_space(c));
        return (!other).then_some(Err("the parameters in parentheses are missing"));
    };
    let start = line.len() - inside.len();
    let Some(close) = inside.find(')') else { return Some(Err("the closing parenthesis is missing")) };
    Some(Ok(Head { word, parameters: start..start + close, text: start + close + 1 }))
}

/// Reads the parameters, variables already put in.
pub(super) fn parse(word: LoopWord, parameters: &str) -> Result<Loop, String> {
    match word {
        LoopWord::Lst => list(parameters),
        LoopWord::Seq | LoopWord::SeqHex => sequence(word, parameters),
    }
}

fn sequence(word: LoopWord, parameters: &str) -> Result<Loop, String> {
    let parts: Vec<&str> = parameters.split(',').map(|part| part.trim_matches(is_space)).collect();
    let [name, numbers @ ..] = parts.as_slice() else { return Err("nothing in the parentheses".to_owned()) };
    if name.is_empty() {
        return Err("the variable's name is missing".to_owned());
    }
    let numbers = numbers.iter().map(|text| number(text)).collect::<Result<Vec<i64>, _>>()?;
    let (start, step, end) = match *numbers.as_slice() {
        [end] => (if end < 0 { -1 } else { 1 }, None, end),
        [start, end] => (start, None, end),
        [start, step, end] => (start, Some(step), end),
        _ => return Err("it takes a name and one to three numbers".to_owned()),
    };
    let step = step.unwrap_or(if start <= end { 1 } else { -1 });
    if step == 0 || (step > 0 && start > end) || (step < 0 && start < end) {
        return Err(format!("steps of {step} never lead from {start} to {end}"));
    }
    let hexadecimal = word == LoopWord::SeqHex;
    if hexadecimal && (start < 0 || end < 0) {
        return Err("hexadecimal numbers cannot be negative".to_owned());
    }
    Ok(Loop::Sequence { name: (*name).to_owned(), next: Some(start), step, end, hexadecimal })
}

/// C notation: `0x…`, `0…` octal, decimal; nothing at all is 0.
fn number(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if text.is_empty() {
        Ok(0)
    } else if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u32::from_str_radix(digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u32::from_str_radix(&digits[1..], 8)
    } else {
        digits.parse()
    };
    let wrong = |_| format!("`{text}` is not a number");
    let value = i64::from(value.map_err(wrong)?);
    let sign_twice = digits.starts_with(['+', '-']);
    if sign_twice {
        Err(format!("`{text}` is not a number"))
    } else {
        Ok(if negative { -value } else { value })
    }
}

fn list(parameters: &str) -> Result<Loop, String> {
    let mut groups = groups(parameters)?.into_iter();
    let names = groups.next().unwrap_or_default();
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err("the variable's name is missing".to_owned());
    }
    let rows: Vec<Vec<String>> = groups.collect();
    if rows.is_empty() {
        return Err("the values are missing".to_owned());
    }
    if let Some(row) = rows.iter().find(|row| row.len() > names.len()) {
        return Err(format!("{} values for {}: too many values", row.len(), count(names.len(), "name")));
    }
    if let Some(value) = rows.iter().flatten().find(|value| value.contains(|c| is_space(c) || c == '"')) {
        return Err(format!("the value `{value}` contains a blank or a quote"));
    }
    Ok(Loop::List { names, rows: rows.into_iter() })
}

/// Comma-separated parts; each a value or `{…}` of values.
fn groups(parameters: &str) -> Result<Vec<Vec<String>>, String> {
    let mut groups = Vec::new();
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches(is_space);
        let (group, after) = if let Some(inside) = rest.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').ok_or("a closing brace is missing")?;
            let after = after.trim_start_matches(is_space);
            let values = inside.split(',').map(|value| value.trim_matches(is_space).to_owned());
            (values.collect(), after)
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (vec![rest[..end].trim_matches(is_space).to_owned()], &rest[end..])
        };
        groups.push(group);
        if after.is_empty() {
            return Ok(groups);
        }
        rest = after.strip_prefix(',').ok_or("a comma is missing")?;
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Result<Vec<String>, String> {
        let head = head(line).expect("a loop").map_err(str::to_owned)?;
        let mut values = Vec::new();
        let mut rounds = parse(head.word, &line[head.parameters])?;
        while let Some(round) = rounds.round() {
            values.push(round.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("/"));
        }
        Ok(values)
    }

    #[test]
    fn a_sequence_counts_as_stock_does() {
        for (line, expected) in [
            ("~SEQ(A,3)", vec!["1", "2", "3"]),
            ("~SEQ(A,-2)", vec!["-1", "-2"]),
            ("~SEQ(A,0)", vec!["1", "0"]),
            ("~SEQ(A,)", vec!["1", "0"]),
            ("~SEQ(A,5,3)", vec!["5", "4", "3"]),
            ("~SEQ(A,1,3,8)", vec!["1", "4", "7"]),
            ("~SEQ (A, 0x10 , 021)", vec!["16", "17"]),
            ("~SEQx(A,9,11)", vec!["9", "a", "b"]),
            ("~LST(P,a,,c)", vec!["a", "", "c"]),
            ("~LST({P, Q}, {a, b}, {c})", vec!["a/b", "c/"]),
            ("~LST({P,Q},a)", vec!["a/"]),
            ("~LST(P,)", vec![""]),
        ] {
            assert_eq!(values(line).as_deref(), Ok(expected.map_to_strings().as_slice()), "{line}");
        }
    }

    #[test]
    fn a_wrong_loop_is_refused() {
        for line in [
            "~SEQ(A)",
            "~SEQ(A,x)",
            "~SEQ(A,1,-1,3)",
            "~SEQ(A,1,0,3)",
            "~SEQ(A,1,2,3,4)",
            "~SEQ(A,2",
            "~SEQ(,2)",
            "~SEQ(A,--2)",
            "~SEQ",
            "~SEQx(A,-2)",
            "~LST(P)",
            "~LST({P,Q},{a,b,c})",
            "~LST(P, a b, c)",
            "~LST({P,Q},{a,b)",
        ] {
            assert!(values(line).is_err(), "{line}");
        }
        assert!(head("~seq(A,3)").is_none());
        assert!(head("~SEQy(A,3)").is_none());
    }

    trait Strings {
        fn map_to_strings(self) -> Vec<String>;
    }

    impl Strings for Vec<&str> {
        fn map_to_strings(self) -> Vec<String> {
            self.into_iter().map(str::to_owned).collect()
        }
    }
}
