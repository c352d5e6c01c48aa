//! May this script be run? Existence, execute bits, and who could change it (spec/vrrp-config.md §2.3).
//!
//! Stock 2.4.3 takes a symlinked directory in the path for insecure, which disables every script under `/bin` of a
//! merged-/usr system. We run such scripts, as 2.2.7 did, and say under `-t` what stock would do.

use crate::config::blocks::scripts::ScriptDraft;
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::files::{FileKind, Files, Status};
use crate::config::model::Command;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::value::Mode;

/// Symlinks that are followed for one path.
const MAX_LINKS: usize = 32;

/// What became of a script's path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// The absolute file, symlinks resolved unless `use_symlink_paths`; `None` when there is none.
    pub path: Option<String>,
    /// Where a bare name was found in `PATH`, symlinks not resolved.
    pub located: Option<String>,
    /// Who else could change it, in words.
    pub insecure: Option<String>,
    /// A directory of the path as written is a symlink.
    pub through_symlink: Option<String>,
    /// The user may execute it.
    pub executable: bool,
    /// Whoever runs it becomes root, or of root's group.
    pub becomes_root: bool,
}

/// What a script is for: stock counts trouble with one and only logs that with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `vrrp_script`.
    Tracked,
    /// `notify*` and the like.
    Notify,
    /// `misc_path`.
    Check,
}

/// Looks at a command's file, as `PATH` finds it when it has no slash.
pub fn inspect(files: &dyn Files, command: &str, identity: crate::config::model::Identity) -> Inspection {
    let nothing = Inspection::default();
    if command.starts_with('/') {
        return walk(files, command, identity);
    }
    if command.contains('/') {
        return nothing;
    }
    let path = files
        .variable("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
        // The directory is the system's choice, not the file's: its symlinks do not count.
        let place = format!("{directory}/{command}");
        let mut found = walk(files, &place, identity);
        found.through_symlink = None;
        if found.path.is_some() {
            found.located = Some(place);
            return found;
        }
    }
    nothing
}

fn walk(files: &dyn Files, path: &str, identity: crate::config::model::Identity) -> Inspection {
    let mut result = Inspection::default();
    let mut links = 0;
    let mut resolved = String::new();
    let mut rest: Vec<String> = components(path);
    rest.reverse();
    check_writable(&mut result, "/", files.status("/").as_ref());
    while let Some(name) = rest.pop() {
        if name == ".." {
            resolved.truncate(resolved.rfind('/').unwrap_or(0));
            continue;
        }
        let here = format!("{resolved}/{name}");
        let Some(status) = files.status(&here) else { return result };
        match &status.kind {
            FileKind::Symlink(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return result;
                }
                if !rest.is_empty() && result.through_symlink.is_none() {
                    result.through_symlink = Some(here);
                }
                if target.starts_with('/') {
                    resolved.clear();
                }
                rest.extend(components(target).into_iter().rev());
                continue;
            }
            FileKind::Directory if rest.is_empty() => return result,
            FileKind::Directory => {}
            FileKind::File if rest.is_empty() => {
                result.executable = may_execute(&status, identity);
                result.becomes_root = (status.mode & 0o4000 != 0 && status.uid == 0)
                    || (status.mode & 0o2000 != 0 && status.gid == 0);
            }
            FileKind::File | FileKind::Special => return result,
        }
        check_writable(&mut result, &here, Some(&status));
        resolved = here;
    }
    result.path = Some(resolved).filter(|path| !path.is_empty());
    result
}

fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

fn check_writable(result: &mut Inspection, path: &str, status: Option<&Status>) {
    let Some(status) = status else { return };
    let sticky_directory = status.kind == FileKind::Directory && status.mode & 0o1000 != 0;
    let why = if status.uid != 0 {
        format!("`{path}` belongs to user {}", status.uid)
    } else if status.mode & 0o020 != 0 && status.gid != 0 && !sticky_directory {
        format!("group {} can change `{path}`", status.gid)
    } else if status.mode & 0o002 != 0 && !sticky_directory {
        format!("everybody can change `{path}`")
    } else {
        return;
    };
    result.insecure.get_or_insert(why);
}

fn may_execute(status: &Status, identity: crate::config::model::Identity) -> bool {
    let bit = if identity.uid == 0 {
        0o111
    } else if identity.uid == status.uid {
        0o100
    } else if identity.gid == status.gid {
        0o010
    } else {
        0o001
    };
    status.mode & bit != 0
}

/// The scripts of one process: resolves them, reports what is wrong, and remembers whether any exists.
#[derive(Debug, Default)]
pub struct Scripts {
    /// The first script that exists, for the report that script security is off.
    first_existing: Option<Span>,
}

impl Scripts {
    /// The command to run, or `None` when it is dropped.
    pub fn resolve(
        &mut self,
        reader: &mut Reader<'_>,
        script: &ScriptDraft,
        purpose: Purpose,
    ) -> Option<Command> {
        let file = script.argv.first()?;
        let keyword = script.keyword;
        if file.starts_with("</") {
            return Some(self.redirection(reader, script));
        }
        let mut identity = script.identity;
        let users = reader.world.users;
        let global = &mut reader.drafts.global.values;
        identity.supplementary |= global.supplementary_groups;
        global.script_groups.note(identity, || users.groups(identity));
        let found = inspect(reader.world.files, file, script.identity);
        let security = reader.drafts.global.values.script_security;
        let graded = |report: Diagnostic| match purpose {
            Purpose::Tracked => report.stock("disables the script: nothing is tracked by it"),
            // Not counted by -t, and the daemon goes on: no error.
            Purpose::Notify => report.only_warned().stock("logs it and drops the script"),
            Purpose::Check => report
                .only_warned()
                .stock("logs it and removes the check; the real server then has none and stays up"),
        };
        let Some(path) = found.path else {
            let mut report = Diagnostic::error(
                "script-not-found",
                script.span,
                format!("`{keyword}`: there is no file `{file}`"),
            );
            report = if file.starts_with('/') {
                report.help("create it, or mend the path")
            } else if file.contains('/') && !file.starts_with(['[', '<', '(', '$']) {
                report.help("write the whole path, from `/` on, and plain quotes around it")
            } else if file.starts_with(['[', '<', '(', '$'])
                || script.argv.iter().any(|word| word == "&&" || word == "|")
            {
                report.help("this is shell code: put it into a file, or write `/bin/sh -c '…'`")
            } else {
                report.help("write its whole path; a bare name is searched in PATH")
            };
            reader.push(graded(report));
            return None;
        };
        self.first_existing.get_or_insert(script.span);
        if !found.executable {
            reader.push(
                Diagnostic::new(
                    Severity::Error,
                    Class::None,
                    "script-not-executable",
                    Some(script.span),
                    format!("`{keyword}`: user {} may not execute `{path}`", script.identity.uid),
                )
                .help(format!("chmod +x {path}"))
                .stock("never runs it, without a word"),
            );
            return None;
        }
        // Who runs with root's rights must not be anybody's to write.
        if let Some(why) = found.insecure.filter(|_| script.identity.uid == 0 || found.becomes_root) {
            let report = Diagnostic::error("script-insecure", script.span, format!("`{keyword}`: {why}"))
                .help("give the file and every directory above it to root, writable by root only");
            if security {
                reader.push(graded(report));
                return None;
            }
            reader.push(report.class(Class::Security).stock("complains (exit 6 of `-t`) and runs it"));
        }
        if let Some(link) = found.through_symlink
            && reader.world.mode == Mode::ConfigTest
        {
            let counts = if purpose == Purpose::Tracked { Class::Other } else { Class::None };
            reader.push(
                Diagnostic::warning(
                    "script-behind-symlink",
                    script.span,
                    format!("`{keyword}`: `{link}` is a symlink"),
                )
                .class(counts)
                .help(format!("write `{path}`"))
                .stock(
                    "2.4.3 disables scripts behind a symlinked directory; 2.2.7 and this program run them",
                ),
            );
        }
        let path = if reader.drafts.global.values.symlink_paths && file.starts_with('/') {
            file.clone()
        } else {
            path
        };
        let mut argv = script.argv.clone();
        if let (Some(name), Some(place)) = (argv.first_mut(), found.located) {
            *name = place;
        }
        Some(Command { argv, path, identity })
    }

    /// `</dev/tcp/ADDR/PORT`: stock leaves it unexamined to the shell.
    fn redirection(&mut self, reader: &mut Reader<'_>, script: &ScriptDraft) -> Command {
        self.first_existing.get_or_insert(script.span);
        let message =
            format!("`{}`: a redirection is no script; /dev/tcp works in bash only", script.keyword);
        reader.push(
            Diagnostic::warning("redirection-as-script", script.span, message)
                .class(Class::None)
                .help(format!("write `/bin/bash -c '{}'`, or check with a program", script.command))
                .stock("has /bin/sh run it"),
        );
        let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.command.clone()];
        Command { argv, path: "/bin/sh".to_owned(), identity: script.identity }
    }

    /// Reports, once, that scripts run without script security.
    pub fn finish(self, reader: &mut Reader<'_>) {
        let Some(span) = self.first_existing else { return };
        if reader.drafts.global.values.script_security {
            return;
        }
        reader.push(
            Diagnostic::warning(
                "no-script-security",
                span,
                "scripts are run, but `enable_script_security` is not set",
            )
            .class(Class::Security)
            .help("add `enable_script_security` and `script_user USER` to global_defs")
            .stock("exit 6 of `-t`; a running daemon runs them"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::MemoryFiles;
    use crate::config::model::Identity;

    const ROOT: Identity = Identity { uid: 0, gid: 0, supplementary: false };

    fn status(kind: FileKind, uid: u32, gid: u32, mode: u32) -> Status {
        Status { kind, uid, gid, mode }
    }

    #[test]
    fn a_script_of_root_in_directories_of_root_is_fine() {
        let files = MemoryFiles::new().script("/etc/keepalived/x.sh");
        let found = inspect(&files, "/etc/keepalived/x.sh", ROOT);
        assert_eq!(found.path.as_deref(), Some("/etc/keepalived/x.sh"));
        assert_eq!((found.insecure, found.through_symlink, found.executable), (None, None, true));
    }

    #[test]
    fn who_can_write_a_directory_above_can_change_the_script() {
        let files =
            MemoryFiles::new().script("/a/b/x.sh").entry("/a", status(FileKind::Directory, 0, 0, 0o777));
        assert_eq!(inspect(&files, "/a/b/x.sh", ROOT).insecure.as_deref(), Some("everybody can change `/a`"));
        let files = MemoryFiles::new().entry("/a/x.sh", status(FileKind::File, 0, 7, 0o775));
        assert_eq!(
            inspect(&files, "/a/x.sh", ROOT).insecure.as_deref(),
            Some("group 7 can change `/a/x.sh`")
        );
        let files = MemoryFiles::new().entry("/a/x.sh", status(FileKind::File, 5, 0, 0o755));
        assert!(inspect(&files, "/a/x.sh", ROOT).insecure.is_some());
    }

    #[test]
    fn a_symlinked_directory_is_followed_and_told() {
        let link = status(FileKind::Symlink("usr/bin".into()), 0, 0, 0o777);
        let files = MemoryFiles::new().script("/usr/bin/true").entry("/bin", link);
        let found = inspect(&files, "/bin/true", ROOT);
        assert_eq!(found.path.as_deref(), Some("/usr/bin/true"));
        assert_eq!(found.through_symlink.as_deref(), Some("/bin"));
        assert_eq!(inspect(&files, "true", ROOT).through_symlink, None);
    }

    #[test]
    fn symlinks_in_a_circle_end() {
        let files = MemoryFiles::new().entry("/a", status(FileKind::Symlink("/a".into()), 0, 0, 0o777));
        assert_eq!(inspect(&files, "/a", ROOT).path, None);
    }

    #[test]
    fn who_runs_a_file_of_root_with_its_bits_becomes_root() {
        for (mode, uid, gid, wanted) in [
            (0o4755, 0, 5, true),
            (0o2755, 5, 0, true),
            (0o4755, 5, 0, false),
            (0o2755, 0, 5, false),
            (0o755, 0, 0, false),
        ] {
            let files = MemoryFiles::new().entry("/x", status(FileKind::File, uid, gid, mode));
            let nobody = Identity { uid: 5, gid: 5, supplementary: false };
            assert_eq!(inspect(&files, "/x", nobody).becomes_root, wanted, "{mode:o} {uid}:{gid}");
        }
    }

    #[test]
    fn execute_bits_are_those_of_the_user() {
        let files = MemoryFiles::new().entry("/x", status(FileKind::File, 0, 0, 0o744));
        assert!(inspect(&files, "/x", ROOT).executable);
        assert!(!inspect(&files, "/x", Identity { uid: 5, gid: 5, supplementary: false }).executable);
        assert_eq!(inspect(&files, "nosuch", ROOT).path, None);
        assert_eq!(inspect(&files, "./x", ROOT).path, None);
    }
}
