//! Objects in the order of their identifiers: scalars and tables over one view of the state. Pure.
//!
//! A table knows its rows by their index numbers and asks its columns for values only when somebody wants them: a walk
//! through a large configuration costs one search per step, and nothing is rendered that nobody reads.

use super::packet::{Oid, Range, Value, VarBind};

/// How a column (or a scalar) finds its value; `None` is an object that is not there.
pub type Getter<V, R> = fn(&V, &R) -> Option<Value>;

/// One part of a tree.
pub trait Branch<V>: Send {
    /// Where it begins.
    fn prefix(&self) -> &[u32];
    /// The value of this object.
    fn get(&self, view: &V, name: &[u32]) -> Option<Value>;
    /// The first object at or behind `name`.
    fn at_or_behind(&self, view: &V, name: &[u32]) -> Option<VarBind>;
}

/// A table, or the scalars of one node, which are a table of one row with the index 0.
pub struct Table<V: 'static, R: 'static> {
    prefix: Oid,
    columns: &'static [(u32, Getter<V, R>)],
    /// Index numbers and what they stand for, ascending.
    rows: Vec<(Oid, R)>,
}

impl<V, R> Table<V, R> {
    /// `prefix` is that of the entry; rows may come in any order, the first of two with one index counts.
    pub fn new(
        prefix: Oid,
        columns: &'static [(u32, Getter<V, R>)],
        rows: impl Iterator<Item = (Oid, R)>,
    ) -> Self {
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        rows.dedup_by(|(a, _), (b, _)| a == b);
        Self { prefix, columns, rows }
    }
}

impl<V, R: Send> Branch<V> for Table<V, R> {
    fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    fn get(&self, view: &V, name: &[u32]) -> Option<Value> {
        let [column, index @ ..] = name.strip_prefix(self.prefix.as_slice())? else { return None };
        let (_, getter) = self.columns.iter().find(|(number, _)| number == column)?;
        let place = self.rows.binary_search_by(|(it, _)| it.as_slice().cmp(index)).ok()?;
        getter(view, &self.rows[place].1)
    }

    fn at_or_behind(&self, view: &V, name: &[u32]) -> Option<VarBind> {
        let (from, index): (u32, &[u32]) = match name.strip_prefix(self.prefix.as_slice()) {
            Some([column, index @ ..]) => (*column, index),
            Some([]) => (0, &[]),
            None if name < self.prefix.as_slice() => (0, &[]),
            None => return None,
        };
        for (column, getter) in self.columns.iter().skip_while(|(column, _)| *column < from) {
            let first =
                if *column == from { self.rows.partition_point(|(it, _)| it.as_slice() < index) } else { 0 };
            for (row, what) in &self.rows[first..] {
                if let Some(value) = getter(view, what) {
                    let name = [self.prefix.as_slice(), &[*column], row].concat();
                    return Some(VarBind { name, value });
                }
            }
        }
        None
    }
}

/// All branches of a subagent.
pub struct Tree<V> {
    /// One may be within another, as long as no object is in both.
    branches: Vec<Box<dyn Branch<V>>>,
}

impl<V> Tree<V> {
    /// In any order.
    pub fn new(branches: Vec<Box<dyn Branch<V>>>) -> Self {
        Self { branches }
    }

    /// The value of an object, or that there is none.
    pub fn get(&self, view: &V, name: &[u32]) -> VarBind {
        let mut branches = self.branches.iter().filter(|branch| name.starts_with(branch.prefix())).peekable();
        let absent = if branches.peek().is_some() { Value::NoSuchInstance } else { Value::NoSuchObject };
        let value = branches.find_map(|branch| branch.get(view, name)).unwrap_or(absent);
        VarBind { name: name.to_vec(), value }
    }

    /// The first object in a range, or that there is none.
    pub fn next(&self, view: &V, range: &Range) -> VarBind {
        let mut start = range.start.clone();
        if !range.include {
            // The smallest identifier behind it.
            start.push(0);
        }
        self.branches
            .iter()
            .filter_map(|branch| branch.at_or_behind(view, &start))
            .min_by(|a, b| a.name.cmp(&b.name))
            .filter(|found| range.end.is_empty() || found.name < range.end)
            .unwrap_or_else(|| VarBind { name: range.start.clone(), value: Value::EndOfMibView })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tables around a scalar; the second column has no value in odd rows.
    fn tree() -> Tree<i32> {
        const COLUMNS: &[(u32, Getter<i32, i32>)] = &[
            (2, |view, row| Some(Value::Integer(view + row))),
            (4, |_, row| (row % 2 == 0).then_some(Value::Integer(*row))),
        ];
        let rows = |numbers: &[u32]| {
            numbers.iter().map(|n| (vec![*n], n.cast_signed())).collect::<Vec<_>>().into_iter()
        };
        Tree::new(vec![
            Box::new(Table::new(vec![1, 9, 1], COLUMNS, rows(&[4]))),
            Box::new(Table::new(vec![1, 3, 1], COLUMNS, rows(&[10, 2, 3]))),
            Box::new(Table::new(vec![1, 5], COLUMNS, rows(&[0]))),
        ])
    }

    fn walk(tree: &Tree<i32>, from: &[u32], end: &[u32]) -> Vec<(Oid, Value)> {
        let mut found = Vec::new();
        let mut range = Range { start: from.to_vec(), include: false, end: end.to_vec() };
        loop {
            let VarBind { name, value } = tree.next(&100, &range);
            if value == Value::EndOfMibView {
                return found;
            }
            range.start.clone_from(&name);
            found.push((name, value));
        }
    }

    #[test]
    fn a_walk_meets_every_object_once_in_order() {
        let names: Vec<Oid> = walk(&tree(), &[1], &[]).into_iter().map(|(name, _)| name).collect();
        let expected: Vec<Oid> = vec![
            vec![1, 3, 1, 2, 2],
            vec![1, 3, 1, 2, 3],
            vec![1, 3, 1, 2, 10],
            vec![1, 3, 1, 4, 2],
            vec![1, 3, 1, 4, 10],
            vec![1, 5, 2, 0],
            vec![1, 5, 4, 0],
            vec![1, 9, 1, 2, 4],
            vec![1, 9, 1, 4, 4],
        ];
        assert_eq!(names, expected);
        assert_eq!(walk(&tree(), &[1, 3, 1, 4], &[1, 5, 4]).len(), 3);
        assert_eq!(walk(&tree(), &[1, 9, 1, 5], &[]), []);
    }

    #[test]
    fn what_a_walk_finds_can_be_got_and_nothing_else() {
        let tree = tree();
        for (name, value) in walk(&tree, &[], &[]) {
            assert_eq!(tree.get(&100, &name), VarBind { name, value });
        }
        assert_eq!(tree.get(&0, &[1, 3, 1, 4, 3]).value, Value::NoSuchInstance);
        assert_eq!(tree.get(&0, &[1, 4]).value, Value::NoSuchObject);
        let here = Range { start: vec![1, 3, 1, 2, 3], include: true, end: vec![] };
        assert_eq!(tree.next(&0, &here).name, here.start);
    }
}
