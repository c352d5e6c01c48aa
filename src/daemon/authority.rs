//! Which commands the parent runs for its children: those of the configuration, and no others.
//!
//! Children that parse packets hold few rights; one that was taken over must not get root's by asking for a script.

use std::collections::HashSet;

use crate::config::model::{CheckKind, Command, Config, Identity, NotifyScripts};

/// The commands of one configuration.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// Path, words as configured, identity. A child may add words at the end: what happened to whom.
    commands: HashSet<(String, Vec<String>, Identity)>,
    /// Lengths of configured commands, in words.
    lengths: HashSet<usize>,
}

impl Authority {
    /// What this configuration allows.
    pub fn of(config: &Config) -> Self {
        let mut authority = Self::default();
        for script in &config.scripts {
            authority.add(Some(&script.command));
        }
        let notifies =
            config.instances.iter().map(|i| &*i.notify).chain(config.sync_groups.iter().map(|g| &*g.notify));
        for notify in notifies {
            let NotifyScripts { backup, master, fault, stop, deleted, generic, rx_lower_pri } = notify;
            for command in [backup, master, fault, stop, deleted, generic, rx_lower_pri] {
                authority.add(command.as_ref());
            }
        }
        for server in &config.virtual_servers {
            authority.add(server.quorum_up.as_ref());
            authority.add(server.quorum_down.as_ref());
            for real in &server.real_servers {
                authority.add(real.notify_up.as_deref());
                authority.add(real.notify_down.as_deref());
                for checker in &real.checkers {
                    if let CheckKind::Misc(misc) = &checker.kind {
                        authority.add(Some(&misc.command));
                    }
                }
            }
        }
        authority
    }

    fn add(&mut self, command: Option<&Command>) {
        if let Some(Command { argv, path, identity }) = command {
            self.lengths.insert(argv.len());
            self.commands.insert((path.clone(), argv.clone(), *identity));
        }
    }

    /// Is this a command of the configuration, perhaps with words added?
    pub fn allows(&self, command: &Command) -> bool {
        let Command { argv, path, identity } = command;
        self.lengths
            .iter()
            .filter(|length| **length <= argv.len())
            .any(|length| self.commands.contains(&(path.clone(), argv[..*length].to_vec(), *identity)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::VrrpScript;

    fn command(words: &[&str], uid: u32) -> Command {
        let argv = words.iter().map(ToString::to_string).collect();
        Command {
            argv,
            path: format!("/usr/bin/{}", words[0]),
            identity: Identity { uid, gid: uid, ..Identity::default() },
        }
    }

    fn script(command: Command) -> VrrpScript {
        VrrpScript {
            name: "s".into(),
            command,
            interval: std::time::Duration::from_secs(1),
            timeout: None,
            weight: 0,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
        }
    }

    #[test]
    fn only_configured_commands_run_with_words_added_at_their_end() {
        let config = Config { scripts: vec![script(command(&["check", "a"], 5))], ..Config::default() };
        let authority = Authority::of(&config);
        assert!(authority.allows(&command(&["check", "a"], 5)));
        assert!(authority.allows(&command(&["check", "a", "INSTANCE", "V"], 5)));
        assert!(!authority.allows(&command(&["check", "b"], 5)));
        assert!(!authority.allows(&command(&["check"], 5)));
        assert!(!authority.allows(&command(&["check", "a"], 0)));
        assert!(!authority.allows(&Command { path: "/bin/sh".into(), ..command(&["check", "a"], 5) }));
    }
}
