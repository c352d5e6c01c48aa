//! A real mail server: Debian's `OpenSMTPD`, unpacked, with its files in a mount namespace of its own; a mailbox per recipient.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use super::net::Host;
use super::place::{store, tool, write};
use super::relay::date;
use super::wait::{Outcome, ensure, until};

/// Where it listens, on the host itself.
const PORT: u16 = 2525;

/// Its users, its programs and its queue, seen by it alone. Arguments: directory, unpacked package.
const ENTER: &str = r#"
set -e
directory=$1 package=$2 nowhere=/var/lib/opensmtpd/empty
mount -n -t overlay overlay -o "lowerdir=$package/usr:/usr" /usr
mount -n -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p -m 755 "$nowhere"
mount -n -t tmpfs -o mode=711 tmpfs /var/spool
mount -n -t tmpfs -o mode=755 tmpfs /run
for file in passwd group; do cp "/etc/$file" "$directory/$file"; done
printf 'opensmtpd:x:990:990::%s:/bin/false\nopensmtpq:x:991:991::%s:/bin/false\n' "$nowhere" "$nowhere" >>"$directory/passwd"
printf 'opensmtpd:x:990:\nopensmtpq:x:991:\n' >>"$directory/group"
for file in passwd group; do mount -n --bind "$directory/$file" "/etc/$file"; done
exec /usr/sbin/smtpd -d -f "$directory/smtpd.conf"
"#;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct PostOffice {
    child: Child,
    mailboxes: PathBuf,
}

impl PostOffice {
    /// Starts it, and waits until it takes connections.
    pub(crate) fn on(host: &Host, directory: &Path) -> Outcome<Self> {
        let package = store().join("opensmtpd");
        ensure!(package.join("usr/sbin/smtpd").exists(), "no OpenSMTPD: run tests/lab/fetch");
        let mailboxes = directory.join("mail");
        fs::create_dir_all(&mailboxes).map_err(|e| format!("{}: {e}", mailboxes.display()))?;
        let nobody = nix::unistd::User::from_name("nobody").ok().flatten().ok_or("no user nobody")?;
        nix::unistd::chown(&mailboxes, Some(nobody.uid), Some(nobody.gid)).map_err(|e| e.to_string())?;
        write(
            &directory.join("smtpd.conf"),
            format!(
                "listen on 127.0.0.1 port {PORT}\n\
                 action \"box\" maildir \"{}/%{{rcpt.user}}\" virtual {{ \"@\" = nobody }}\n\
                 match from any for any action \"box\"\n",
                mailboxes.display()
            ),
        )?;
        let log = fs::File::create(directory.join("smtpd.log")).map_err(|e| e.to_string())?;
        let mut command = tool("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", ENTER, "sh"])
            .args([directory, &package])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = host.space.inside(|| command.spawn()).map_err(|e| format!("starting smtpd: {e}"))?;
        let office = Self { child, mailboxes };
        until(Duration::from_secs(10), "the mail server to listen", || {
            host.space.inside(|| TcpStream::connect(("127.0.0.1", PORT))).ok().map(drop)
        })
        .map_err(|e| {
            format!("{e}\n{}", fs::read_to_string(directory.join("smtpd.log")).unwrap_or_default())
        })?;
        Ok(office)
    }

    /// `smtp_server` and its words.
    pub(crate) fn words() -> String {
        format!("smtp_server 127.0.0.1 {PORT}")
    }

    /// The mails in this recipient's box as the daemon wrote them, in order of arrival: without what the server adds,
    /// with the form of each date.
    pub(crate) fn mails(&self, who: &str) -> Vec<String> {
        let entries = fs::read_dir(self.mailboxes.join(who).join("new")).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let text = fs::read(entry.path()).ok()?;
                let text = String::from_utf8_lossy(&text).into_owned();
                let from = text.find("\nDate: ")? + 1;
                let mut lines = text[from..].lines();
                let first = date(lines.next()?);
                let own = lines.filter(|line| !line.starts_with("Message-ID: "));
                let rest = own.flat_map(|line| ["\n", line]).collect::<String>();
                Some((entry.metadata().ok()?.modified().ok()?, first + &rest))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// Waits for a mail whose subject ends so.
    pub(crate) fn wait(&self, limit: Duration, who: &str, subject: &str) -> Outcome<String> {
        let has =
            |text: &String| text.lines().any(|line| line.starts_with("Subject: ") && line.ends_with(subject));
        until(limit, format!("a mail for {who} about {subject}"), || self.mails(who).into_iter().find(has))
            .map_err(|e| format!("{e}\nin the box: {:#?}", self.mails(who)))
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
