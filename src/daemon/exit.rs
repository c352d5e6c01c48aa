//! The exit codes of the program, listed once. spec/daemon-behaviour.md §4.

use std::process::ExitCode;

/// How a process of ours ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A normal stop; already running; a test without complaint; a namespace that cannot be entered.
    Success,
    /// The command line cannot be understood.
    Usage,
    /// A child cannot work on this host (no IPVS, no sockets): permanent.
    Fatal,
    /// The configuration is refused by the process that would carry it out: permanent.
    Config,
    /// A child lacks a right it cannot work without: permanent.
    MissingPermission,
    /// There is no usable configuration file, or an include check failed.
    NoConfig,
    /// What `-t` found: the code of the gravest class (`config::diagnostic::Class`).
    Test(u8),
    /// A bug.
    Internal,
}

impl Exit {
    /// The status the parent process of ours sees, 0..=255.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage | Self::Fatal => 1,
            Self::Config => 2,
            Self::MissingPermission => 4,
            Self::NoConfig => 6,
            Self::Test(code) => code,
            Self::Internal => 70,
        }
    }

    /// The permanent error that a child's status tells of: a new child would end in the same way.
    pub fn permanent(status: u8) -> Option<Self> {
        [Self::Fatal, Self::Config, Self::MissingPermission].into_iter().find(|exit| exit.code() == status)
    }

    /// Stock's word for a permanent error, as in `exited with permanent error CONFIG`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fatal | Self::Usage | Self::Internal => "FATAL",
            Self::MissingPermission => "missing permission",
            _ => "CONFIG",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_status_names_its_permanent_error() {
        assert_eq!(Exit::permanent(1), Some(Exit::Fatal));
        assert_eq!(Exit::permanent(2), Some(Exit::Config));
        assert_eq!(Exit::permanent(4), Some(Exit::MissingPermission));
        assert_eq!(Exit::permanent(0), None);
        assert_eq!(Exit::permanent(70), None);
    }
}
