//! Renderings of one snapshot of the state: the dump and statistics files. Pure. spec/dump-format.md.
