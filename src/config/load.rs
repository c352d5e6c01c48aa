//! The whole way: files -> logical lines -> drafts -> model, and whether the daemon may run with it.

use super::blocks::TOP;
use super::diagnostic::{Class, Diagnostic, Diagnostics};
use super::files::Files;
use super::lint::{self, Lints};
use super::model::{Config, HostFacts, Users};
use super::preprocess::ReadOptions;
use super::reader::{Reader, Surroundings};
use super::schema::Readers;
use super::source::SourceMap;
use super::trace::Trace;
use super::value::Mode;
use super::{preprocess, validate};

/// What became of the files.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; `None` when the daemon must not start with it.
    pub config: Option<Config>,
    /// Everything there is to say.
    pub diagnostics: Diagnostics,
    /// The texts that the reports point into.
    pub sources: SourceMap,
    /// With which code a daemon that starts with these files ends at once: 6 when nothing could be read or an include
    /// check failed, 2 when the configuration is refused. `None` when it runs.
    pub refusal: Option<u8>,
    /// The exit code of `-t`.
    pub test_exit: u8,
    /// `net_namespace`, also of a configuration that is refused: its interfaces may be only there.
    pub net_namespace: Option<String>,
    /// What the lints know of the file, when they were asked for.
    pub linted: lint::Linted,
}

/// Reads, checks and resolves a configuration. Touches no file itself: `files`, `facts` and `users` know the host.
pub fn load(
    files: &dyn Files,
    options: &ReadOptions,
    mode: Mode,
    facts: &HostFacts,
    users: &dyn Users,
) -> Loaded {
    load_linted(files, options, mode, facts, users, Lints::Off)
}

/// What `-t` says, without the model's virtual servers: the memory of a large file is little more than its text.
pub fn verdict(files: &dyn Files, options: &ReadOptions, facts: &HostFacts, users: &dyn Users) -> Loaded {
    let wish = Wish { mode: Mode::ConfigTest, keep: Keep::Reports, runs: Readers::ALL };
    load_whole(files, options, wish, facts, users, Lints::Off, None)
}

/// The same for a daemon of which only the processes in `runs` read the files (`-P`, `-C`): what is wrong in the blocks
/// of another one neither keeps it from starting nor is told.
pub fn load_for(
    files: &dyn Files,
    options: &ReadOptions,
    runs: Readers,
    facts: &HostFacts,
    users: &dyn Users,
) -> Loaded {
    let wish = Wish { mode: Mode::Run, keep: Keep::Model, runs };
    load_whole(files, options, wish, facts, users, Lints::Off, None)
}

/// Who reads, and for what.
#[derive(Debug, Clone, Copy)]
struct Wish {
    mode: Mode,
    keep: Keep,
    /// The processes that read. The parent always does.
    runs: Readers,
}

/// What is wanted of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// All.
    Model,
    /// The reports; the model has no virtual servers.
    Reports,
}

/// The same for a daemon that runs, with where every value comes from.
pub fn load_traced(
    files: &dyn Files,
    options: &ReadOptions,
    facts: &HostFacts,
    users: &dyn Users,
) -> (Loaded, Trace) {
    let mut trace = Trace::default();
    let wish = Wish { mode: Mode::Run, keep: Keep::Model, runs: Readers::ALL };
    let loaded = load_whole(files, options, wish, facts, users, Lints::Off, Some(&mut trace));
    (loaded, trace)
}

/// The same with lints among the reports. They change nothing else.
pub fn load_linted(
    files: &dyn Files,
    options: &ReadOptions,
    mode: Mode,
    facts: &HostFacts,
    users: &dyn Users,
    lints: Lints<'_>,
) -> Loaded {
    let wish = Wish { mode, keep: Keep::Model, runs: Readers::ALL };
    load_whole(files, options, wish, facts, users, lints, None)
}

fn load_whole(
    files: &dyn Files,
    options: &ReadOptions,
    Wish { mode, keep, runs }: Wish,
    facts: &HostFacts,
    users: &dyn Users,
    lints: Lints<'_>,
    mut trace: Option<&mut Trace>,
) -> Loaded {
    let mut diagnostics = Diagnostics::new();
    let read = preprocess::read(files, options, &mut diagnostics);
    let world = Surroundings { mode, facts, users, files };
    let mut reader = Reader::new(&read.lines, world, &mut diagnostics)
        .traced(trace.as_deref_mut())
        .judging(keep == Keep::Reports)
        .building(keep == Keep::Model);
    let mut config = Config::default();
    reader.walk(Readers::PARENT, &TOP);
    reader.drafts.global.derive_defaults(facts);
    config.global.clone_from(&reader.drafts.global.values);
    validate::global::parent_scripts(&mut reader, &mut config);
    let mut lvs = Ok(());
    if runs.meets(Readers::CHECKER) {
        reader.walk(Readers::CHECKER, &TOP);
        lvs = validate::lvs::validate(&mut reader, &mut config);
    }
    let mut vrrp = Ok(());
    if runs.meets(Readers::VRRP) {
        reader.walk(Readers::VRRP, &TOP);
        vrrp = validate::vrrp::validate(&mut reader, &mut config);
    }
    reader.walk(Readers::BFD, &TOP);
    validate::bfd::validate(&mut reader, &mut config);
    reader.finish();
    let found = &mut reader.drafts.global.values;
    for user in found.script_users.all_mut() {
        user.supplementary |= found.supplementary_groups;
        found.script_groups.note(*user, || users.groups(*user));
    }
    config.global.script_users = found.script_users;
    config.global.script_groups.clone_from(&found.script_groups);
    let namespace = reader.drafts.global.net_namespace;
    let refusal = if !read.configured {
        Some(6)
    } else if reader.has_stopped() || vrrp.is_err() || lvs.is_err() {
        Some(2)
    } else {
        None
    };
    let stopped = reader.has_stopped();
    report_missing_namespace(&mut reader);
    // Stock enters the namespace before it reads on, and ends with 0 when it does not exist.
    let lost = namespace.is_some_and(|name| !namespace_exists(files, name));
    let net_namespace = namespace.map(|name| name.as_str().to_owned());
    config.global.net_namespace.clone_from(&net_namespace);
    let test_exit = if lost && read.configured { 0 } else { diagnostics.exit_code() };
    let linted = match lints {
        Lints::Except(silenced) if read.configured && !stopped => {
            lint::lint(&read.lines, &read.sources, &config, world, silenced, &mut diagnostics)
        }
        _ => lint::Linted::default(),
    };
    if let Some(trace) = trace {
        trace.config.clone_from(&config);
    }
    Loaded {
        net_namespace,
        config: refusal.is_none().then_some(config),
        diagnostics,
        sources: read.sources,
        refusal,
        test_exit,
        linted,
    }
}

fn namespace_exists(files: &dyn Files, name: &str) -> bool {
    ["/run/netns", "/var/run/netns"].iter().any(|folder| files.status(&format!("{folder}/{name}")).is_some())
}

/// The daemon ends when it cannot enter it.
fn report_missing_namespace(reader: &mut Reader<'_>) {
    let Some(name) = reader.drafts.global.net_namespace else { return };
    if namespace_exists(reader.world.files, name) {
        return;
    }
    let message = format!("there is no network namespace `{}`", name.as_str());
    reader.push(
        Diagnostic::error("net-namespace", name.span(), message)
            .class(Class::None)
            .help(format!("make it first: `ip netns add {}`", name.as_str()))
            .stock("ends with exit 0"),
    );
}
