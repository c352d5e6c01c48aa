//! Where the log goes: `-l -D -G -S` beside stock, read from a system log of the daemon's own and from its standard error
//! (spec/daemon-behaviour.md §2, §10).

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::config;

pub(crate) const CASES: &[Case] = &[Case::single("log_options_send_it_where_stock_does", options)];

/// What is tried, each in a run of its own.
const TRIED: [&[&str]; 9] = [
    &[],
    &["-D"],
    &["-D", "-D"],
    &["-l"],
    &["-G"],
    &["-G", "-l"],
    &["-S", "5", "-D"],
    &["-S", "local3"],
    &["-S", "user", "-l"],
];

/// Lines that every run has, if they are to be seen at all.
const LINES: [&str; 5] = [
    "Startup complete",
    "(VI_1) Entering MASTER STATE",
    "Stopping",
    "(VI_1) setting VIPs.",
    "Starting VRRP child process",
];

/// Dropped, it tells the reader of the log that nobody writes any more.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What was seen: of each of the lines who said it with which facility and severity, and whether standard error had it.
fn observe(program: &Program, parent: &Path, options: &[&str]) -> Outcome<BTreeSet<String>> {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::new(program, &host, parent, &config(255, ""))?;
    // The path of a socket has little room.
    let short = tempfile::tempdir().map_err(|e| e.to_string())?;
    let socket = short.path().join("log");
    let log = UnixDatagram::bind(&socket).map_err(|e| e.to_string())?;
    log.set_read_timeout(Some(secs(0.1))).map_err(|e| e.to_string())?;
    // The socket holds ten messages; stock waits for its reader.
    let over = Arc::new(AtomicBool::new(false));
    let end = End(Arc::clone(&over));
    let shared: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&shared);
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            match log.recv(&mut bytes) {
                Ok(length) => {
                    let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
                Err(_) if over.load(Ordering::Relaxed) => return,
                Err(_) => {}
            }
        }
    });
    std::os::unix::fs::symlink(&socket, daemon.directory.join("syslog")).map_err(|e| e.to_string())?;
    let files = ["parent", "vrrp"].map(|role| daemon.pid_file(role).display().to_string());
    let conf = daemon.config_path().display().to_string();
    daemon.execute(&host, &[&["-n", "-f", &conf, "-p", &files[0], "-r", &files[1]], options].concat())?;
    let address = crate::pair::VIP;
    until(secs(20.0), address, || host.has(address).then_some(())).map_err(|e| daemon.explain(e))?;
    let said = || shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !options.contains(&"-G") {
        let complete = |lines: &[String]| lines.iter().any(|line| line.contains("Startup complete"));
        until(secs(20.0), "the end of the start", || complete(&said()).then_some(()))
            .map_err(|e| daemon.explain(e))?;
    } else if options.contains(&"-l") {
        daemon.wait_log("Startup complete", secs(20.0))?;
    }
    daemon.stop()?;
    drop(end);
    reader.join().map_err(|_| "panicked")?;
    let said = said();
    let mut found = BTreeSet::new();
    for message in &said {
        let (number, rest) =
            message.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or(message.clone())?;
        let number: u32 = number.parse().map_err(|_| message.clone())?;
        let ident = rest.get(16..).and_then(|rest| rest.split('[').next()).unwrap_or_default();
        for line in LINES.iter().filter(|line| message.contains(**line)) {
            found.insert(format!("{line}: {ident}, facility {}, severity {}", number >> 3, number & 7));
        }
    }
    for line in daemon.log() {
        // `Sat Nov 21 06:00:00 2026: text`.
        let dated = line.text.get(24..26) == Some(": ");
        for known in LINES.iter().filter(|known| line.text.contains(**known)) {
            found.insert(format!("{known}: standard error, dated {dated}"));
        }
    }
    Ok(found)
}

fn options(lab: &Lab) -> Outcome {
    let stock = Program::stock();
    let mut different = Vec::new();
    // All at once: most of the time is stock's second at its end.
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (TRIED.iter().enumerate())
            .map(|(number, options)| {
                let run = |program, name: &str| {
                    let folder = lab.directory.join(format!("{name}{number}"));
                    scope.spawn(move || observe(program, &folder, options))
                };
                (options, run(&stock, "stock"), run(&lab.subject, "subject"))
            })
            .collect();
        let end = |run: std::thread::ScopedJoinHandle<'_, Outcome<_>>| {
            run.join().unwrap_or_else(|_| Err("panicked".to_owned()))
        };
        runs.into_iter().map(|(options, stock, subject)| (options, end(stock), end(subject))).collect()
    });
    for (options, stock, subject) in outcomes {
        let (stock, subject) = (stock?, subject?);
        let missing: Vec<_> = stock.difference(&subject).collect();
        let surplus: Vec<_> = subject.difference(&stock).collect();
        if !(missing.is_empty() && surplus.is_empty()) {
            different.push(format!("with {options:?}: missing {missing:#?}, surplus {surplus:#?}"));
        }
        let seen = |word: &str| stock.iter().any(|fact| fact.contains(word));
        ensure!(seen("Keepalived_vrrp") != options.contains(&"-G"), "{options:?}: {stock:?}");
        ensure!(seen("standard error") == options.contains(&"-l"), "{options:?}: {stock:?}");
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}
