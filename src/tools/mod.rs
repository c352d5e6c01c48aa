//! Subcommands beside the daemon.
