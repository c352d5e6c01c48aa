//! Reading the configuration for the parent: from this host's files to the model, and what there is to say about it.

use std::io::IsTerminal;
use std::path::Path;

use super::exit::Exit;
use super::options::Options;
use crate::check::probe::tls::Context;
use crate::config::model::{Config, TlsTrial};
use crate::config::preprocess::{IncludeChecks, ReadOptions};
use crate::config::render::{self, Style};
use crate::config::schema::Readers;
use crate::config::source::decode;
use crate::config::value::Mode;
use crate::config::{self, Loaded};
use crate::kernel::error::Error;
use crate::kernel::files::HostFiles;
use crate::kernel::host::{self, HostUsers};
use crate::kernel::namespace;

/// Where the configuration is without `-f`.
pub const DEFAULT: &str = "/etc/keepalived/keepalived.conf";

/// Reports of damage: what stands behind it is not what its author meant. A pattern without a match is none of them, for
/// emptying a directory is a way to configure.
const DAMAGE: [&str; 7] = [
    "bad-block-name",
    "block-not-closed",
    "surplus-brace",
    "unexpected-brace",
    // It closes the block around it, whose other lines are lost.
    "unknown-block",
    "include-unreadable",
    "include-missing",
];

/// Reads configurations, the first and those of later reloads, always from the same place.
pub struct Source {
    options: ReadOptions,
    /// The processes that this daemon has (`-P`, `-C`).
    runs: Readers,
    /// `-s`, or what the first configuration says.
    namespace: Namespace,
    /// The command line, which goes before the configuration.
    given: Options,
}

/// The network namespace to run in; fixed with the first reading.
enum Namespace {
    /// Not known yet; `-s` goes before the configuration.
    Open(Option<String>),
    /// There, or nowhere in particular.
    Settled(Option<String>),
    /// It cannot be entered.
    Lost(String),
}

/// A configuration that was read.
pub struct Read {
    loaded: Loaded,
}

impl Source {
    /// Remembers where to read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let node_name = host::facts()?.node_name;
        let short_name = node_name.split('.').next().unwrap_or_default();
        let main = options.config.as_deref().unwrap_or(Path::new(DEFAULT));
        let include_checks = if options.include_check {
            IncludeChecks { read: true, plain: true, wildcard: true, brace: true }
        } else {
            IncludeChecks::default()
        };
        let only = |left_out: bool, process: Readers| if left_out { Readers::PARENT } else { process };
        let runs = Readers::PARENT
            .and(Readers::BFD)
            .and(only(options.subsystems.no_checkers, Readers::CHECKER))
            .and(only(options.subsystems.no_vrrp, Readers::VRRP));
        Ok(Self {
            runs,
            options: ReadOptions {
                main: decode(std::os::unix::ffi::OsStrExt::as_bytes(main.as_os_str()).to_vec()),
                config_id: options.config_id.clone().unwrap_or_else(|| short_name.to_owned()),
                include_checks,
                random_seed: 0,
            },
            namespace: Namespace::Open(options.namespace.clone()),
            given: options.clone(),
        })
    }

    /// The main file as the user named it.
    pub fn main(&self) -> &str {
        &self.options.main
    }

    /// The namespace that could not be entered, after a reading that failed for it.
    pub fn lost_namespace(&self) -> Option<&str> {
        match &self.namespace {
            Namespace::Lost(name) => Some(name),
            Namespace::Open(_) | Namespace::Settled(_) => None,
        }
    }

    /// Reads everything once; the first time this also moves the process into the network namespace, whose interfaces the
    /// configuration speaks of.
    pub fn read(&mut self, mode: Mode) -> Result<Read, Error> {
        let mut loaded = self.load(mode)?;
        if let Namespace::Open(option) = &self.namespace {
            let name = option.clone().or_else(|| loaded.net_namespace.clone());
            self.namespace = Namespace::Settled(name.clone());
            if let Some(name) = name {
                if let Err(error) = namespace::enter(&name) {
                    self.namespace = Namespace::Lost(name);
                    return Err(error);
                }
                if mode == Mode::Run {
                    namespace::separate_run_directory(&name)?;
                }
                loaded = self.load(mode)?;
            }
        }
        if let (Some(config), Namespace::Settled(Some(name))) = (&mut loaded.config, &self.namespace)
            && loaded.net_namespace.is_none()
        {
            // `-s` alone.
            config.global.net_namespace = Some(name.clone());
        }
        if let Some(config) = &mut loaded.config {
            self.given.overrule(&mut config.global);
        }
        Ok(Read { loaded })
    }

    fn load(&mut self, mode: Mode) -> Result<Loaded, Error> {
        let mut facts = host::facts()?;
        facts.tls = TlsTrial(Context::trial);
        // Each reading draws anew, as `${_RANDOM}` promises.
        self.options.random_seed = crate::kernel::timer::now().as_nanos();
        Ok(match mode {
            Mode::ConfigTest => config::verdict(&HostFiles, &self.options, &facts, &HostUsers),
            Mode::Run => config::load_for(&HostFiles, &self.options, self.runs, &facts, &HostUsers),
        })
    }
}

/// What is remembered of a reading when its configuration runs: the kinds of its damage, one for each place.
#[derive(Debug, Clone, Default)]
pub struct Past {
    damage: Vec<&'static str>,
}

impl Past {
    /// Of what was loaded.
    pub fn of(loaded: &Loaded) -> Self {
        let ids = loaded.diagnostics.iter().map(|report| report.id);
        Self { damage: ids.filter(|id| DAMAGE.contains(id)).collect() }
    }

    fn count(&self, id: &str) -> usize {
        self.damage.iter().filter(|damage| **damage == id).count()
    }
}

impl Read {
    /// The configuration, or how a daemon that starts with it ends.
    pub fn config(&self) -> Result<&Config, Exit> {
        match (&self.loaded.config, self.loaded.refusal) {
            (Some(config), None) => Ok(config),
            (_, Some(2)) => Err(Exit::Config),
            _ => Err(Exit::NoConfig),
        }
    }

    /// What `-t` ends with.
    pub fn test_exit(&self) -> Exit {
        match self.loaded.test_exit {
            0 => Exit::Success,
            code => Exit::Test(code),
        }
    }

    /// The name and the text of every file, in the order of reading.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.loaded.sources.files().map(|source| (source.name(), source.text()))
    }

    /// Everything there is to say, as text for people, with marks under the lines.
    pub fn rendered(&self, style: Style) -> String {
        render::render(&self.loaded.diagnostics, &self.loaded.sources, style)
    }

    /// Everything there is to say, a line each, for the log.
    pub fn lines(&self) -> Vec<String> {
        render::log_lines(&self.loaded.diagnostics, &self.loaded.sources)
    }

    /// What [`damage`] says of a reload from `running` to this.
    pub fn damage(&self, running: &Past) -> Vec<String> {
        damage(&self.loaded, running)
    }

    /// What is to be remembered of it.
    pub fn past(&self) -> Past {
        Past::of(&self.loaded)
    }

    /// As [`Self::config`], and from then on the reading has none: the model of a large configuration is held once.
    pub fn take_config(&mut self) -> Result<Config, Exit> {
        self.config()?;
        self.loaded.config.take().ok_or(Exit::NoConfig)
    }
}

/// Why a running daemon should rather keep what it has (docs/design.md): damage and missing files that `running` did
/// not have. What is refused at start is told by [`Read::config`].
pub fn damage(proposed: &Loaded, running: &Past) -> Vec<String> {
    let now = Past::of(proposed);
    proposed
        .diagnostics
        .iter()
        .filter(|report| DAMAGE.contains(&report.id))
        .filter(|report| now.count(report.id) > running.count(report.id))
        .map(|report| render::log_line(report, &proposed.sources))
        .collect()
}

/// How reports look on stderr: in colour on a terminal.
pub fn style_of_stderr() -> Style {
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if coloured { Style::Coloured } else { Style::Plain }
}
