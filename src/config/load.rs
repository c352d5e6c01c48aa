//! The whole way: files -> logical lines -> drafts -> model, and whether the daemon may run with it.

use super::blocks::TOP;
use super::diagnostic::Diagnostics;
use super::files::Files;
use super::model::{Config, HostFacts, Users};
use super::preprocess::ReadOptions;
use super::reader::{Reader, Surroundings};
use super::schema::Readers;
use super::source::SourceMap;
use super::value::Mode;
use super::{preprocess, validate};

/// What became of the files.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; `None` when the daemon must not start with it.
    pub config: Option<Config>,
    /// Everything there is to say; [`Diagnostics::exit_code`] is that of `-t`.
    pub diagnostics: Diagnostics,
    /// The texts that the reports point into.
    pub sources: SourceMap,
    /// With which code a daemon that starts with these files ends at once: 6 when nothing could be read or an include
    /// check failed, 2 when the configuration is refused. `None` when it runs.
    pub refusal: Option<u8>,
}

/// Reads, checks and resolves a configuration. Touches no file itself: `files`, `facts` and `users` know the host.
pub fn load(
    files: &dyn Files,
    options: &ReadOptions,
    mode: Mode,
    facts: &HostFacts,
    users: &dyn Users,
) -> Loaded {
    let mut diagnostics = Diagnostics::new();
    let read = preprocess::read(files, options, &mut diagnostics);
    let world = Surroundings { mode, facts, users, files };
    let mut reader = Reader::new(&read.lines, world, &mut diagnostics);
    let mut config = Config::default();
    reader.walk(Readers::PARENT, &TOP);
    reader.drafts.global.derive_defaults();
    config.global.clone_from(&reader.drafts.global.values);
    if config.global.router_id.is_empty() {
        config.global.router_id.clone_from(&facts.node_name);
    }
    reader.walk(Readers::CHECKER, &TOP);
    reader.walk(Readers::VRRP, &TOP);
    let vrrp = validate::vrrp::validate(&mut reader, &mut config);
    reader.walk(Readers::BFD, &TOP);
    reader.finish();
    let refusal = if !read.configured {
        Some(6)
    } else if reader.has_stopped() || vrrp.is_err() {
        Some(2)
    } else {
        None
    };
    Loaded { config: refusal.is_none().then_some(config), diagnostics, sources: read.sources, refusal }
}
