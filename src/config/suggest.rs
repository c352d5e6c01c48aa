//! Did-you-mean, and characters that look like others.

/// The candidate that was probably meant: a small edit distance, or the same word but for case, `-` and `_`.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let folded = fold(word);
    let limit = match word.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=9 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= limit && candidate != word)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised() {
        let keywords = ["auth_pass", "auth_type", "preempt_delay", "priority", "nopreempt"];
        assert_eq!(did_you_mean("autp_pass", keywords), Some("auth_pass"));
        assert_eq!(did_you_mean("preemtp_delay", keywords), Some("preempt_delay"));
        assert_eq!(did_you_mean("PRIORITY", keywords), Some("priority"));
        assert_eq!(did_you_mean("foobar", keywords), None);
    }
}
