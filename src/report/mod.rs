//! Renderings of one snapshot of the state: the dump and statistics files. Pure. spec/dump-format.md.

pub mod global; // the section that every data dump begins with
