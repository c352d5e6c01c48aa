//! What differs between two dumps, as lines that only one of them has.

use super::agrees;

/// A line that only one side has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    Stock(String),
    Ours(String),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stock(line) => write!(f, "stock `{line}`"),
            Self::Ours(line) => write!(f, "ours  `{line}`"),
        }
    }
}

/// The fewest lines that make one of the other, and how many agree.
pub(super) fn differences(stock: &[&str], ours: &[&str]) -> (usize, Vec<Difference>) {
    // Longest common subsequence: dumps have some hundred lines.
    let width = ours.len() + 1;
    let mut longest = vec![0_u32; (stock.len() + 1) * width];
    for i in (0..stock.len()).rev() {
        for j in (0..ours.len()).rev() {
            longest[i * width + j] = if agrees(stock[i], ours[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut same, mut found) = (0, 0, 0, Vec::new());
    while i < stock.len() || j < ours.len() {
        if i < stock.len() && j < ours.len() && agrees(stock[i], ours[j]) {
            (i, j, same) = (i + 1, j + 1, same + 1);
        } else if j == ours.len()
            || (i < stock.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            found.push(Difference::Stock(stock[i].to_owned()));
            i += 1;
        } else {
            found.push(Difference::Ours(ours[j].to_owned()));
            j += 1;
        }
    }
    (same, found)
}

#[test]
fn lines_of_one_side_are_found() {
    let stock = ["a = 1", "b = *", "c = 3", "d"];
    let (same, found) = differences(&stock, &["a = 1", "b = 17", "x", "d"]);
    assert_eq!(same, 3);
    assert_eq!(found, [Difference::Stock("c = 3".into()), Difference::Ours("x".into())]);
}
