//! What the braces of a file say by themselves: which block each line stands in, whatever the reading makes of it.
//!
//! Stock reads the lines of an unknown block as lines of the block around it, which its brace then closes. All that
//! follows from that has one cause; this tells a consequence from a mistake of its own. Only asked for when a file has an
//! unknown block.

use super::schema::{Shape, Table};
use super::syntax::{LineKind, LogicalLines, Word};

/// Where each line stands.
pub(super) struct Intended {
    places: Vec<Place>,
    /// Closing braces of blocks at the top level, ascending.
    ends: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Place {
    /// In a block with keywords.
    Block(&'static Table),
    /// In a list of values, or in a block that nobody knows.
    Foreign,
    /// A brace without a partner.
    Alone,
}

impl Intended {
    /// Follows the braces of all lines.
    pub(super) fn of(lines: &LogicalLines, top: &'static Table) -> Self {
        let mut places = Vec::with_capacity(lines.len());
        let mut ends = Vec::new();
        let mut open = vec![Place::Block(top)];
        let mut next = Place::Foreign;
        for line in lines.iter() {
            let here = open.last().copied().unwrap_or(Place::Block(top));
            match line.kind {
                LineKind::Open => {
                    places.push(here);
                    open.push(std::mem::replace(&mut next, Place::Foreign));
                }
                LineKind::Close => {
                    places.push(if open.len() > 1 { here } else { Place::Alone });
                    if open.len() > 1 {
                        open.pop();
                    }
                    if open.len() == 1 {
                        ends.push(places.len() - 1);
                    }
                }
                LineKind::Words => {
                    places.push(here);
                    next = match (here, line.words.first()) {
                        (Place::Block(table), Some(head)) => {
                            match table.find(head).map(|keyword| keyword.shape) {
                                Some(Shape::Block(block)) => Place::Block(block.table),
                                _ => Place::Foreign,
                            }
                        }
                        _ => Place::Foreign,
                    };
                }
            }
        }
        Self { places, ends }
    }

    /// Would this word be at home where its line stands, or is nobody at home there?
    pub(super) fn fits(&self, line: usize, head: &Word) -> bool {
        match self.places.get(line) {
            Some(Place::Block(table)) => table.find(head).is_some(),
            Some(Place::Foreign) => true,
            Some(Place::Alone) | None => false,
        }
    }

    /// The brace that closes the outermost block around a line.
    pub(super) fn end(&self, line: usize) -> Option<usize> {
        self.ends.get(self.ends.partition_point(|end| *end < line)).copied()
    }

    /// Has this brace a partner?
    pub(super) fn is_paired(&self, line: usize) -> bool {
        !matches!(self.places.get(line), Some(Place::Alone) | None)
    }
}
