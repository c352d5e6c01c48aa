//! `reload_time_file`: a file that says when to reload. Its directory is watched, the moment awaited on the wall clock.
//!
//! What the file may say, and stock's words about it: spec/daemon-behaviour.md §5.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use crate::config::model::Reload;
use crate::kernel::calendar::{Civil, WallTime, Zone};
use crate::kernel::files::host_path;
use crate::kernel::inotify::{Change, Directories};

/// The wall clock may be set while we wait for it.
const GLANCE: Duration = Duration::from_secs(5);
/// How often a directory that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);
/// More than the longest text that means a time.
const LONGEST: u64 = 64;

/// The file that is followed, and what it last said.
#[derive(Default)]
pub(super) struct ReloadTime {
    followed: Option<Followed>,
}

struct Followed {
    path: PathBuf,
    repeat: bool,
    /// `None` while the directory cannot be watched.
    directory: Option<Directories>,
    due: Option<Due>,
}

/// When to reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Seconds after 1970, UTC.
    epoch: i64,
    /// The file named a day, too.
    dated: bool,
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&at(self.epoch).date_and_time())
    }
}

impl ReloadTime {
    /// Follows what this configuration names, from now on; reads the file. Needs a tokio runtime.
    pub(super) fn follow(&mut self, reload: &Reload) {
        let before = self.followed.take();
        let Some(path) = reload.time_file.as_deref().map(host_path) else { return };
        let due = before.filter(|followed| followed.path == path).and_then(|followed| followed.due);
        let mut followed = Followed { path, repeat: reload.repeat, directory: None, due };
        followed.watch();
        followed.read();
        self.followed = Some(followed);
    }

    /// For the dump: when the next reload is due, as stock writes it.
    pub(super) fn scheduled(&self) -> Option<String> {
        let due = self.followed.as_ref()?.due?;
        // Stock never closes the bracket.
        Some(format!("{due}{}", if due.dated { " (date specified" } else { "" }))
    }

    /// Waits until a reload is due, then forgets it; a file that is not to be used again is removed. Safe to cancel.
    pub(super) async fn due(&mut self) {
        let Some(followed) = &mut self.followed else { return std::future::pending().await };
        loop {
            let now = WallTime::now().seconds();
            if let Some(due) = followed.due.filter(|due| due.epoch <= now) {
                followed.due = None;
                if (due.dated || !followed.repeat)
                    && let Err(error) = fs::remove_file(&followed.path)
                {
                    info!("removing {}: {error}", followed.path.display());
                }
                return;
            }
            let left = followed.due.map(|due| u64::try_from(due.epoch - now).unwrap_or(0));
            let nap = left.map_or(GLANCE, |seconds| until_second(seconds).min(GLANCE));
            let Some(directory) = &followed.directory else {
                sleep(nap.min(RETRY)).await;
                if followed.watch() {
                    followed.read();
                }
                continue;
            };
            let changes = tokio::select! {
                changes = directory.changes() => changes,
                () = sleep(nap), if left.is_some() => Ok(Vec::new()),
            };
            match changes {
                Ok(changes) => followed.changed(&changes),
                Err(error) => {
                    info!("watching {}: {error}", followed.path.display());
                    followed.directory = None;
                }
            }
        }
    }
}

/// How long until that many seconds have begun: the clock is somewhere within one.
fn until_second(seconds: u64) -> Duration {
    let into = Duration::from_nanos(u64::from(WallTime::now().epoch.subsec_nanos()));
    Duration::from_secs(seconds).saturating_sub(into) + Duration::from_millis(1)
}

impl Followed {
    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("/"))
    }

    /// Watches the directory; `false` when that cannot be done now.
    fn watch(&mut self) -> bool {
        self.directory = Directories::new()
            .and_then(|directories| directories.add(self.folder()).map(|_| directories))
            .ok();
        self.directory.is_some()
    }

    fn changed(&mut self, changes: &[Change]) {
        let mut read = false;
        for change in changes {
            match change {
                Change::Entry { name, .. } => read |= self.path.file_name() == Some(name.as_os_str()),
                Change::Gone(_) => {
                    self.directory = None;
                    read = true;
                }
                Change::Overflow => read = true,
            }
        }
        if read {
            self.read();
        }
    }

    /// Takes over what the file says now.
    fn read(&mut self) {
        let due =
            first_line(&self.path).and_then(|text| match understand(&text, WallTime::now().seconds()) {
                Ok(due) => Some(due),
                Err(complaint) => {
                    // Stock says each twice.
                    let also = match complaint {
                        Complaint::Form => {
                            info!("Reload time {text} format is incorrect - ignoring");
                            format!("Invalid reload time '{text}' specified - ignoring")
                        }
                        Complaint::Value => {
                            info!("Reload date/time {text} invalid - ignoring");
                            format!("Invalid reload time '{text}' specified - ignoring")
                        }
                        Complaint::Past => {
                            info!("Reload time {text} is in the past - ignoring");
                            "Reload date/time is in the past - ignoring".to_owned()
                        }
                    };
                    info!("{also}");
                    None
                }
            });
        match (self.due, due) {
            (Some(old), None) => info!("Cancelling reload scheduled for {old}"),
            (None, Some(new)) => info!("Scheduling reload for {new}"),
            (Some(old), Some(new)) if old != new => info!("Reload time updated from {old} to {new}"),
            _ => {}
        }
        self.due = due;
    }
}

/// The first line of a file; `None` if it cannot be read.
fn first_line(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = crate::kernel::files::open_plain(path).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(String::from_utf8_lossy(line).into_owned())
}

/// Why a text means no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complaint {
    /// It looks like none.
    Form,
    /// It looks like one, but there is none such.
    Value,
    /// It is over.
    Past,
}

/// `HH:MM:SS`, `YY-MM-DD HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, each with `Z` behind it for UTC. A time of day is the next
/// one after `now`.
fn understand(text: &str, now: i64) -> Result<Due, Complaint> {
    let shapes = ["00:00:00", "00-00-00 00:00:00", "0000-00-00 00:00:00"];
    let shape = shapes.into_iter().find(|shape| has_shape(text, shape)).ok_or(Complaint::Form)?;
    let zone = match &text[shape.len()..] {
        "" => Zone::Local,
        "Z" => Zone::Utc,
        _ => return Err(Complaint::Value),
    };
    let numbers: Vec<i32> = text[..shape.len()]
        .split([':', '-', ' '])
        .map(|digits| digits.parse().map_err(|_| Complaint::Form))
        .collect::<Result<_, _>>()?;
    let dated = numbers.len() == 6;
    let civil = match numbers[..] {
        [hour, minute, second] => Civil { hour, minute, second, ..at(now).civil(zone) },
        [year, month, day, hour, minute, second] => {
            let year = if year < 100 { 2000 + year } else { year };
            Civil { year, month, day, hour, minute, second }
        }
        _ => return Err(Complaint::Form),
    };
    let epoch = civil.epoch(zone).ok_or(Complaint::Value)?;
    match (dated, epoch > now) {
        (_, true) => Ok(Due { epoch, dated }),
        (true, false) => Err(Complaint::Past),
        (false, false) => {
            let epoch = civil.tomorrow(zone).ok_or(Complaint::Value)?;
            Ok(Due { epoch, dated })
        }
    }
}

/// Does the text begin with digits where the shape has them, and the same signs between?
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
}

fn at(epoch: i64) -> WallTime {
    WallTime::at(Duration::from_secs(u64::try_from(epoch).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 16:37:15 UTC.
    const NOW: i64 = 1_795_279_035;

    fn utc(text: &str) -> Result<i64, Complaint> {
        understand(&format!("{text}Z"), NOW).map(|due| due.epoch - NOW)
    }

    #[test]
    fn times_are_the_next_of_the_day_and_dates_are_dates() {
        assert_eq!(utc("16:37:16"), Ok(1));
        assert_eq!(utc("16:37:15"), Ok(86_400));
        assert_eq!(utc("00:00:00"), Ok(26_565));
        assert_eq!(utc("2026-11-21 16:38:15"), Ok(60));
        assert_eq!(utc("26-11-22 16:37:15"), Ok(86_400));
        assert_eq!(understand("26-11-22 16:37:15Z", NOW).map(|due| due.dated), Ok(true));
        assert_eq!(understand("16:37:15Z", NOW).map(|due| due.dated), Ok(false));
        let local = understand("16:37:16", NOW).unwrap().epoch - NOW;
        assert!((1..=86_400).contains(&local), "{local}");
    }

    #[test]
    fn what_means_no_time_is_refused_as_stock_does() {
        for (text, complaint) in [
            ("hello", Complaint::Form),
            ("1:2:3", Complaint::Form),
            ("", Complaint::Form),
            ("  23:59:58", Complaint::Form),
            ("2026/11/21 10:00:00", Complaint::Form),
            ("25:00:00", Complaint::Value),
            ("00:00:60", Complaint::Value),
            ("2036-13-01 00:00:00", Complaint::Value),
            ("2035-02-29 00:00:00", Complaint::Value),
            ("00:00:00 trailing", Complaint::Value),
            ("2020-01-01 00:00:00", Complaint::Past),
        ] {
            assert_eq!(understand(text, NOW), Err(complaint), "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_file_is_followed_and_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("when");
        let reload = |repeat| Reload {
            time_file: Some(path.to_str().unwrap().to_owned()),
            repeat,
            ..Reload::default()
        };
        let mut time = ReloadTime::default();
        time.follow(&reload(false));
        assert_eq!(time.scheduled(), None);
        let soon = |seconds: i64| at(WallTime::now().seconds() + seconds).date_and_time();
        // Read at once, and again when it is written.
        let write = async {
            sleep(Duration::from_millis(20)).await;
            fs::write(&path, "nonsense\n").unwrap();
            fs::write(&path, format!("{}\n", soon(1))).unwrap();
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(time.due(), write) });
        assert!(ended.await.is_ok(), "the moment never came");
        assert!(!path.exists(), "a date is used once");
        // A time of day with `reload_repeat` stays, and means tomorrow then.
        fs::write(&path, soon(1).split_once(' ').unwrap().1).unwrap();
        time.follow(&reload(true));
        assert!(time.scheduled().is_some_and(|text| !text.contains("date specified")));
        assert!(tokio::time::timeout(Duration::from_secs(20), time.due()).await.is_ok());
        assert!(path.exists());
        time.follow(&reload(true));
        assert!(time.scheduled().is_some());
        time.follow(&Reload::default());
        assert_eq!(time.scheduled(), None);
    }
}
