//! Did-you-mean, and characters that look like others: what a report of an unknown word can say about it.

use std::fmt::Write as _;

/// The candidate that was probably meant: a small edit distance, or the same word but for case, `-` and `_`.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let folded = fold(&plain(word));
    let limit = match folded.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=9 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(folded.len()) <= limit && *candidate != word)
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// A character that looks like a plain one and is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookAlike {
    /// Where it stands in the word, in bytes.
    pub at: usize,
    /// The character.
    pub character: char,
    /// What it is called.
    pub name: &'static str,
    /// What to write instead; nothing for an invisible character.
    pub plain: &'static str,
}

impl LookAlike {
    /// What a report says about it.
    pub fn help(&self) -> String {
        let Self { character, name, plain, .. } = self;
        let code = u32::from(*character);
        match *plain {
            "" => format!("remove the {name} (U+{code:04X}), which cannot be seen"),
            " " => format!("write a plain blank instead of the {name} (U+{code:04X})"),
            _ => format!("write `{plain}` instead of the {name} `{character}` (U+{code:04X})"),
        }
    }

    /// The command that mends every such character of a file.
    pub fn mend_all(&self) -> String {
        let mut buffer = [0; 4];
        let mut bytes = String::new();
        for byte in self.character.encode_utf8(&mut buffer).bytes() {
            let _ = write!(bytes, "\\x{byte:02x}");
        }
        format!("sed -i 's/{bytes}/{}/g' FILE", self.plain)
    }
}

/// The characters of a word that look like plain ones, in order.
pub fn look_alikes(word: &str) -> Vec<LookAlike> {
    if word.is_ascii() {
        return Vec::new();
    }
    word.char_indices()
        .filter_map(|(at, character)| {
            let (name, plain) = look_alike(character)?;
            Some(LookAlike { at, character, name, plain })
        })
        .collect()
}

/// The word with plain characters for those that look like them. A blank may make two words of it.
pub fn plain(word: &str) -> String {
    word.chars().fold(String::with_capacity(word.len()), |mut text, character| {
        match look_alike(character) {
            Some((_, plain)) => text.push_str(plain),
            None => text.push(character),
        }
        text
    })
}

fn look_alike(character: char) -> Option<(&'static str, &'static str)> {
    Some(match character {
        '\u{feff}' => ("byte order mark", ""),
        '\u{200b}'..='\u{200d}' | '\u{2060}' => ("zero-width space", ""),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => ("text direction mark", ""),
        '\u{ad}' => ("soft hyphen", ""),
        '\u{a0}' => ("non-breaking space", " "),
        '\u{3000}' => ("ideographic (full-width) space", " "),
        '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => ("typographic space", " "),
        '“' | '”' | '„' | '‟' | '«' | '»' => ("typographic quote", "\""),
        '‘' | '’' | '‚' | '‛' => ("typographic quote", "'"),
        '‐' | '‑' | '‒' | '–' | '—' | '−' => ("typographic dash", "-"),
        '…' => ("ellipsis", "..."),
        '、' => ("ideographic comma", ","),
        '。' => ("ideographic full stop", "."),
        '！'..='～' => ("full-width character", full_width(character)?),
        _ => ("Cyrillic or Greek letter", homoglyph(character)?),
    })
}

/// U+FF01..=U+FF5E stand for U+0021..=U+007E.
fn full_width(character: char) -> Option<&'static str> {
    const ASCII: &str =
        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    let at = usize::try_from(u32::from(character).checked_sub(0xff01)?).ok()?;
    ASCII.get(at..=at)
}

/// Cyrillic and Greek letters that cannot be told from Latin ones in most fonts.
fn homoglyph(character: char) -> Option<&'static str> {
    const PAIRS: [(&str, &str); 27] = [
        ("аα", "a"),
        ("с", "c"),
        ("е", "e"),
        ("һ", "h"),
        ("іι", "i"),
        ("ј", "j"),
        ("оο", "o"),
        ("рρ", "p"),
        ("ѕ", "s"),
        ("υ", "u"),
        ("ν", "v"),
        ("х", "x"),
        ("у", "y"),
        ("АΑ", "A"),
        ("ВΒ", "B"),
        ("С", "C"),
        ("ЕΕ", "E"),
        ("НΗ", "H"),
        ("ІΙ", "I"),
        ("КΚ", "K"),
        ("МΜ", "M"),
        ("Ν", "N"),
        ("ОΟ", "O"),
        ("РΡ", "P"),
        ("ТΤ", "T"),
        ("ХΧ", "X"),
        ("Ѕ", "S"),
    ];
    PAIRS.iter().find(|(letters, _)| letters.contains(character)).map(|&(_, latin)| latin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_a_whole_file_names_the_bytes() {
        assert_eq!(look_alikes("\u{a0}x")[0].mend_all(), r"sed -i 's/\xc2\xa0/ /g' FILE");
    }

    #[test]
    fn a_slip_of_the_fingers_is_recognised() {
        let keywords = ["auth_pass", "auth_type", "preempt_delay", "priority", "nopreempt"];
        assert_eq!(did_you_mean("autp_pass", keywords), Some("auth_pass"));
        assert_eq!(did_you_mean("preemtp_delay", keywords), Some("preempt_delay"));
        assert_eq!(did_you_mean("PRIORITY", keywords), Some("priority"));
        assert_eq!(did_you_mean("рriоrity", keywords), Some("priority"));
        assert_eq!(did_you_mean("foobar", keywords), None);
        assert_eq!(did_you_mean("priority", ["priority"]), None);
    }

    #[test]
    fn characters_that_only_look_plain_are_named() {
        for (word, expected, help) in [
            ("priority\u{a0}50", " ", "write a plain blank instead of the non-breaking space (U+00A0)"),
            ("a\u{3000}b", " ", "write a plain blank instead of the ideographic (full-width) space (U+3000)"),
            ("＃x", "#", "write `#` instead of the full-width character `＃` (U+FF03)"),
            ("！", "!", "write `!` instead of the full-width character `！` (U+FF01)"),
            ("V｛", "{", "write `{` instead of the full-width character `｛` (U+FF5B)"),
            ("｝", "}", "write `}` instead of the full-width character `｝` (U+FF5D)"),
            ("a：", ":", "write `:` instead of the full-width character `：` (U+FF1A)"),
            ("“MASTER", "\"", "write `\"` instead of the typographic quote `“` (U+201C)"),
            ("stаte", "a", "write `a` instead of the Cyrillic or Greek letter `а` (U+0430)"),
            ("\u{feff}vrrp_instance", "", "remove the byte order mark (U+FEFF), which cannot be seen"),
        ] {
            let found = look_alikes(word);
            assert_eq!(found.len(), 1, "{word}");
            assert_eq!((found[0].plain, found[0].help().as_str()), (expected, help));
        }
        assert_eq!(look_alikes("東京-ä"), []);
        assert_eq!(plain("｛“а”"), "{\"a\"");
    }
}
