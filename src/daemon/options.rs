//! What the command line asked for, as every process of the daemon sees it. `cli` makes it from the arguments.

use std::path::PathBuf;

use crate::config::model::Global;

/// The options of one daemon. Children are executed with the parent's arguments and read the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `-f`: the configuration file; `None` is stock's default place.
    pub config: Option<PathBuf>,
    /// Which children may run.
    pub subsystems: Subsystems,
    /// `-s`: the network namespace to run in.
    pub namespace: Option<String>,
    /// `-i`: the id that `@id` lines are compared with; `None` is the node name up to its first dot.
    pub config_id: Option<String>,
    /// `-e`: every include must match a file.
    pub include_check: bool,
    /// `-t`: test the configuration and end.
    pub config_test: Option<ConfigTest>,
    /// How log lines are written.
    pub log: LogOptions,
    /// `-d`: write the dump to the log at start.
    pub dump_config: bool,
    /// `-u`: umask; beats the `umask` keyword.
    pub umask: Option<u32>,
    /// `-X`: at stop remove also addresses that are not marked as set.
    pub release_vips: bool,
    /// `-V`: at stop send no priority 0 and keep addresses.
    pub keep_vrrp: bool,
    /// `-I`: at stop keep the IPVS table.
    pub keep_ipvs: bool,
    /// `-R`: end when a child dies.
    pub dont_respawn: bool,
    /// `-n`: stay in the foreground.
    pub dont_fork: bool,
    /// `-m`: allow core dumps.
    pub core_dump: bool,
    /// `-M`: the pattern of their names, until the daemon ends.
    pub core_pattern: Option<PathBuf>,
    /// `-g`: the parent's log file; children write beside it.
    pub log_file: Option<PathBuf>,
    /// `-x`: everything of SNMP but traps.
    pub snmp: bool,
    /// `-A`: the `AgentX` socket; beats the keyword.
    pub snmp_socket: Option<String>,
    /// `-a`: log every change of addresses.
    pub address_monitoring: bool,
    /// `--ignore-sigint`.
    pub ignore_sigint: bool,
    /// `-p`, `-r`, `-c`, `-b`.
    pub pid_files: PidFiles,
}

impl Options {
    /// What the command line says goes before what the configuration says.
    pub fn overrule(&self, global: &mut Global) {
        if self.snmp {
            let snmp = &mut global.snmp;
            (snmp.vrrp, snmp.checker, snmp.rfc_v2, snmp.rfc_v3) = (true, true, true, true);
        }
        if let Some(socket) = &self.snmp_socket {
            global.snmp.socket = Some(socket.clone());
        }
    }
}

/// `-P`, `-C`, `-B`, `--all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subsystems {
    /// `-P`: no health checks.
    pub no_checkers: bool,
    /// `-C`: no VRRP.
    pub no_vrrp: bool,
    /// `-B`: no BFD.
    pub no_bfd: bool,
    /// `--all`: start children even if the configuration has nothing for them.
    pub all: bool,
}

/// Where the findings of `-t` go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigTest {
    /// To stderr.
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

/// Places of the pid files; `None` is stock's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PidFiles {
    /// `-p`.
    pub parent: Option<PathBuf>,
    /// `-r`.
    pub vrrp: Option<PathBuf>,
    /// `-c`.
    pub checkers: Option<PathBuf>,
    /// `-b`.
    pub bfd: Option<PathBuf>,
}

/// `-D`, `-l`, `-S`, `-G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// How often `-D` was given: 1 shows detail (`debug!`), 2 extra detail (`trace!`).
    pub detail: u8,
    /// `-l`.
    pub console: bool,
    /// `-G`.
    pub no_syslog: bool,
    /// `-S`.
    pub facility: Facility,
}

/// A syslog facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Facility {
    /// The default.
    #[default]
    Daemon,
    /// `user`.
    User,
    /// `local0` to `local7`.
    Local(u8),
}

impl Facility {
    /// Reads `-S`: `0`..`7`, `local0`..`local7`, `daemon`, `user`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "daemon" => Some(Self::Daemon),
            "user" => Some(Self::User),
            _ => match word.strip_prefix("local").unwrap_or(word).as_bytes() {
                [digit @ b'0'..=b'7'] => Some(Self::Local(digit - b'0')),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_read_as_digits_and_names() {
        assert_eq!(Facility::parse("3"), Some(Facility::Local(3)));
        assert_eq!(Facility::parse("local7"), Some(Facility::Local(7)));
        assert_eq!(Facility::parse("daemon"), Some(Facility::Daemon));
        for wrong in ["8", "local8", "local", "", "mail", "12"] {
            assert_eq!(Facility::parse(wrong), None, "{wrong}");
        }
    }
}
