//! One recording of everything that a daemon tells in a long life, ours beside stock's: scripts with their words and
//! surroundings, FIFOs, mails, in the order each receiver got them. What differs is a list, and each of its entries stands in
//! docs/differences.md or is a change of stock's own between 2.2.7 and the version the specification is of.
//! spec/daemon-behaviour.md §8, §9, §18.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::inject::{Forged, Injector};
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::pipe::PipeReader;
use crate::kit::relay::{Letter, Relay};
use crate::kit::told::{Runs, Told};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;
use crate::scripts_rules::nothing_inherited;

pub(crate) const CASES: &[Case] = &[Case::single("recording_of_a_long_life_equals_stocks", long_life)];

/// Everything that was told, by receiver.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) scripts: Runs,
    /// Lines of each FIFO by whom they are about, with what follows them (stock's NUL).
    pub(crate) lines: BTreeMap<String, Vec<String>>,
    /// Mails by whom they are about, the whole dialogue of each.
    pub(crate) letters: BTreeMap<String, Vec<String>>,
    /// Lines of the log that others wait for, by whom they are about.
    pub(crate) log: BTreeMap<String, Vec<String>>,
}

impl Recording {
    pub(crate) fn new(
        told: &Told,
        fifos: &[(&str, &PipeReader)],
        relay: &Relay,
        daemon: &Daemon,
    ) -> Outcome<Self> {
        let mut lines = BTreeMap::<String, Vec<String>>::new();
        for (name, reader) in fifos {
            let text = String::from_utf8_lossy(&reader.bytes()).into_owned();
            for line in text.split_inclusive('\n') {
                // The NUL stands before the line that follows it.
                let mut about = about(line.trim_start_matches('\0'));
                // A group and its members in one order.
                if ["INSTANCE \"V1\"", "INSTANCE \"V2\""].contains(&about.as_str()) {
                    "GROUP \"G1\"".clone_into(&mut about);
                }
                lines.entry(format!("{name}: {about}")).or_default().push(line.to_owned());
            }
        }
        let mut letters = BTreeMap::<String, Vec<String>>::new();
        for Letter { subject, said } in relay.letters() {
            let about = subject.split(" - ").next().unwrap_or_default().to_owned();
            letters.entry(about).or_default().push(said.join("\n"));
        }
        let mut log = BTreeMap::<String, Vec<String>>::new();
        for line in daemon.log() {
            // Behind the date.
            let text = line.text.split_once(": ").map_or("", |(_, text)| text);
            if let Some(about) = waited_for(text) {
                // Without the version.
                let text = text.split(" Keepalived v").next().unwrap_or_default();
                log.entry(about).or_default().push(text.to_owned());
            }
        }
        Ok(Self { scripts: told.runs()?, lines, letters, log })
    }

    /// Takes out the mails of the end: whether stock's get through before it ends is chance.
    fn lose_last_words(&mut self) {
        for letters in self.letters.values_mut() {
            letters.retain(|letter| {
                ![" - Stopping\n", "=> Shutting down <="].iter().any(|last| letter.contains(last))
            });
        }
    }

    /// The receivers and what each was told, one line per entry.
    fn shown(&self) -> BTreeMap<String, Vec<String>> {
        let mut shown = BTreeMap::new();
        for (kind, map) in [
            ("script", &self.scripts.words),
            ("FIFO", &self.lines),
            ("mail", &self.letters),
            ("log", &self.log),
        ] {
            for (receiver, told) in map {
                let mut told = told.clone();
                // Stock sends them side by side: their order is chance.
                if kind == "mail" {
                    told.sort();
                }
                shown.insert(format!("{kind} {receiver}"), told);
            }
        }
        for (number, around) in self.scripts.surroundings.iter().enumerate() {
            shown.insert(format!("surroundings {number}"), around.clone());
        }
        shown
    }

    /// Both are the same, or the receivers that were told something else, each from where the ways part.
    pub(crate) fn same(&self, stock: &Self) -> Outcome {
        let (ours, theirs) = (self.shown(), stock.shown());
        let mut different = Vec::new();
        let receivers: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for receiver in receivers {
            let [one, other] =
                [&ours, &theirs].map(|shown| shown.get(receiver).map(Vec::as_slice).unwrap_or_default());
            let equal = one.iter().zip(other).take_while(|(one, other)| one == other).count();
            let [one, other] = [one, other].map(|all| &all[equal..]);
            if !(one.is_empty() && other.is_empty()) {
                different.push(format!(
                    "{receiver}, after {equal} that are equal: the subject {one:#?}\nstock {other:#?}"
                ));
            }
        }
        ensure!(different.is_empty(), "{}", different.join("\n\n"));
        Ok(())
    }
}

/// Whom a line is about: its words but for the last, or the last two of instances and groups.
fn about(line: &str) -> String {
    let behind = if line.starts_with("INSTANCE") || line.starts_with("GROUP") { 2 } else { 1 };
    let words: Vec<&str> = line.split(' ').collect();
    words[..words.len().saturating_sub(behind)].join(" ")
}

/// Whom a line of the log is about that others look for (spec/daemon-behaviour.md §10).
fn waited_for(text: &str) -> Option<String> {
    let first = text.split(' ').next()?;
    let told = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if first.starts_with("(V") {
        let words = [
            " Entering ",
            " entering FAULT state",
            "Received advert from",
            "Master received advert",
            "received lower priority",
            "Changing effective priority",
        ];
        return told(&words).then(|| first.to_owned());
    }
    if let Some(rest) = text.strip_prefix("Script `").or(text.strip_prefix("VRRP_Script(")) {
        return rest.split(['`', ')', '\'']).next().map(|name| format!("script {name}"));
    }
    if first.starts_with("VRRP_Group(") {
        return Some(first.to_owned());
    }
    if text.starts_with("Netlink reports") {
        return text.split(' ').nth(2).map(|name| format!("interface {name}"));
    }
    let daemon = ["Startup complete", "Reloading", "Reload complete", "Stopping", "Stopped Keepalived"];
    if daemon.iter().any(|word| text.starts_with(word)) {
        return Some("daemon".to_owned());
    }
    let checks =
        ["success.", "succeed on service.", " service [", "Gained quorum", "Lost quorum", "sorry server"];
    // By address and service.
    told(&checks).then(|| text.split(' ').filter(|word| word.starts_with('[')).collect::<Vec<_>>().join(" "))
}

/// Why the recordings differ in one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// Words that stand in docs/differences.md.
    OnPurpose(&'static str),
    /// The version the specification is of does as we do; where it says so.
    NewerStock(&'static str),
}

/// One thing in which they differ: makes of stock's recording what ours must be, and tells whether there was anything to do.
pub(crate) struct Difference {
    pub(crate) reason: Reason,
    pub(crate) apply: fn(&mut Recording) -> bool,
}

/// Plays the scenario with both and compares. With stock as the subject nothing may differ.
pub(crate) fn beside(
    lab: &Lab,
    live: fn(&Program, &Path) -> Outcome<Recording>,
    differences: &[Difference],
) -> Outcome<Recording> {
    let stock = Program::stock();
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| live(&stock, &lab.directory.join("stock")));
        let ours = live(&lab.subject, &lab.directory.join("subject"));
        (ours, theirs.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (mut ours, mut theirs) = (ours?, theirs.map_err(|e| format!("stock: {e}"))?);
    theirs.lose_last_words();
    if lab.subject.is_stock() {
        ours.lose_last_words();
    }
    if !lab.subject.is_stock() {
        let listed =
            include_str!("../../docs/differences.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for Difference { reason, apply } in differences {
            ensure!(apply(&mut theirs), "stock does as we do now, take it off the list: {reason:?}");
            match reason {
                Reason::OnPurpose(words) => {
                    ensure!(listed.contains(words), "docs/differences.md does not say {words:?}");
                }
                Reason::NewerStock(place) => {
                    ensure!(place.starts_with("spec/"), "where? {place}");
                }
            }
        }
    }
    ours.same(&theirs)?;
    Ok(ours)
}

fn long_life(lab: &Lab) -> Outcome {
    let ours = beside(lab, live, DIFFERENCES)?;
    ensure!(
        lab.subject.is_stock() || ours.scripts.inherited == nothing_inherited(),
        "scripts find {:?}",
        ours.scripts.inherited
    );
    if !lab.subject.is_stock() {
        in_order(&ours)?;
    }
    // Not two silent daemons.
    let counts = [&ours.scripts.words, &ours.lines, &ours.letters]
        .map(|map| map.values().map(Vec::len).sum::<usize>());
    ensure!(counts.iter().all(|count| *count > 60), "only {counts:?} scripts, lines, mails");
    ensure!(!ours.scripts.surroundings.is_empty(), "no script looked around");
    Ok(())
}

/// The mails about an instance are in the order of the lines about it.
fn in_order(ours: &Recording) -> Outcome {
    for number in 3..=10 {
        let state = |line: &String| line.split(' ').nth(2).map(str::to_owned).unwrap_or_default();
        let lines = ours.lines.get(&format!("all: INSTANCE \"V{number}\"")).ok_or("no lines")?;
        let lines: Vec<_> = lines.iter().map(state).filter(|state| !state.contains("PRI")).collect();
        let word = |letter: &String| {
            let subject = letter.lines().find(|line| line.starts_with("Subject: ")).unwrap_or_default();
            match subject.rsplit(" - ").next().unwrap_or_default() {
                "Stopping" => "STOP".to_owned(),
                "Deleted" => "DELETED".to_owned(),
                other => other.split(' ').nth(1).unwrap_or_default().to_owned(),
            }
        };
        let letters = ours.letters.get(&format!("[my router] VRRP Instance V{number}")).ok_or("no mails")?;
        let letters: Vec<_> = letters.iter().map(word).collect();
        ensure!(letters == lines, "V{number}: mails {letters:?}, lines {lines:?}");
    }
    Ok(())
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: Reason::NewerStock("spec/vrrp-behaviour.md §5: members first, then the group"),
        apply: |stock| {
            let told = |lines: &mut Vec<String>| {
                let is_first = lines.first().is_some_and(|line| line.starts_with("GROUP"));
                if is_first {
                    lines[..3].rotate_left(1);
                }
                is_first
            };
            fifos(stock, "GROUP \"G1\"", told)
        },
    },
    Difference {
        reason: Reason::NewerStock("spec/vrrp-behaviour.md §4.2: an owner leaves FAULT for MASTER"),
        apply: |stock| {
            let is_backup = |told: &String| told.contains("BACKUP") || told.starts_with("backup");
            let without = |told: &mut Vec<String>| {
                let before = told.len();
                told.retain(|one| !is_backup(one));
                before > told.len()
            };
            fifos(stock, "INSTANCE \"V9\"", without)
                & stock.log.get_mut("(V9)").is_some_and(without)
                & stock.scripts.words.get_mut("V9").is_some_and(without)
                & stock.letters.get_mut("[my router] VRRP Instance V9").is_some_and(without)
        },
    },
    Difference {
        reason: Reason::NewerStock("spec/daemon-behaviour.md §10: both lines of a fault at the start"),
        apply: |stock| {
            let words = "entering FAULT state";
            let reason = stock.log.remove("(V10):").and_then(|lines| lines.into_iter().next());
            let is_known = reason.as_deref() == Some("(V10): entering FAULT state (interface eth1 down)");
            stock.log.get_mut("(V10)").is_some_and(|lines| {
                let is_other = *lines == [format!("(V10) {words}")];
                *lines = vec![
                    format!("(V10) {words} (interface eth1 down)"),
                    "(V10) Entering FAULT STATE".to_owned(),
                ];
                is_other && is_known
            })
        },
    },
    Difference {
        reason: Reason::NewerStock("spec/daemon-behaviour.md §8.1: deleted, else handled as FAULT"),
        apply: |stock| {
            let Some(words) = stock.scripts.words.get_mut("V6") else { return false };
            let place = words.len() - 1;
            let is_alone = words[place - 1] != "fault|two words";
            words.insert(place, "fault|two words".to_owned());
            is_alone
        },
    },
    Difference {
        reason: Reason::OnPurpose(
            "stock writes the priority of every instance that is not at its base again",
        ),
        apply: |stock| {
            fifos(stock, "INSTANCE \"V3\"", |lines| {
                let place = lines.len() - 2;
                lines.remove(place) == "INSTANCE \"V3\" BACKUP_PRIORITY 133\n"
            }) & stock.log.get_mut("(V3)").is_some_and(|lines| {
                lines.pop().is_some_and(|line| line == "(V3) Changing effective priority from 103 to 133")
            })
        },
    },
    Difference {
        reason: Reason::OnPurpose("ends before those of its stop are delivered"),
        apply: |stock| {
            for (who, letters) in &mut stock.letters {
                if ["V5", "V6"].iter().any(|gone| who.ends_with(gone)) {
                    continue;
                }
                let is_group = who.contains("Group");
                let text = if is_group {
                    "All VRRP group instances are now stopping"
                } else {
                    "VRRP Instance stopping"
                };
                letters.push(farewell(letters, "Stopping", text));
            }
            true
        },
    },
];

/// Does it to what both FIFOs were told of one.
fn fifos(recording: &mut Recording, about: &str, change: impl Fn(&mut Vec<String>) -> bool) -> bool {
    let all =
        ["all", "vrrp"].map(|name| recording.lines.get_mut(&format!("{name}: {about}")).is_some_and(&change));
    all == [true; 2]
}

/// The last word that a mail of this kind would be, made of an earlier one.
pub(crate) fn farewell(letters: &[String], what: &str, text: &str) -> String {
    let lines = letters.first().map(String::as_str).unwrap_or_default().lines();
    let changed = lines.map(|line| match line.split_once(" - ") {
        Some((about, _)) if line.starts_with("Subject: ") => format!("{about} - {what}"),
        _ if line.starts_with("=> ") => format!("=> {text} <="),
        _ => line.to_owned(),
    });
    changed.collect::<Vec<_>>().join("\n")
}

/// An instance's priority: its VRID; the second of the group is far from the first, who thus always moves them.
const fn priority(number: u8) -> u8 {
    match number {
        2 => 202,
        9 => 255,
        number => 100 + number,
    }
}

/// What one daemon is told to tell; the VRID of an instance is its number and 100.
struct Script<'a> {
    told: &'a Told,
    directory: &'a Path,
    relay: &'a Relay,
}

impl Script<'_> {
    /// Every `notify_…` word of an instance or group.
    fn words(&self, name: &str) -> String {
        let mut text = String::new();
        for what in ["master", "backup", "fault", "stop", "deleted", "master_rx_lower_pri"] {
            let group = name.starts_with('G') && ["deleted", "master_rx_lower_pri"].contains(&what);
            if !group {
                let label = if name == "V9" && what == "master" { "whole" } else { what };
                text.extend(["notify_", what, " ", &self.told.command(name, label), "\n"]);
            }
        }
        text + &format!("notify {}\n", self.told.command(name, "any"))
    }

    fn instance(&self, number: u8, more: &str) -> String {
        let name = format!("V{}", number - 100);
        let priority = priority(number - 100);
        let interface = if name == "V10" { "eth1" } else { "eth0" };
        let vrid = if more.contains("another VRID") { number + 50 } else { number };
        // 2.2.7 takes `notify_deleted` for the wish to be told of deletions, with a script or without.
        let mut words = self.words(&name);
        if name == "V6" {
            words = words.lines().filter(|line| !line.contains("deleted")).collect::<Vec<_>>().join("\n");
        }
        let more = format!("advert_int 0.2\nvirtual_ipaddress {{\n 10.0.0.{number}\n}}\n{words}\n{more}");
        instance(&name, vrid, interface, priority, &more)
    }

    /// The file before the reload and after it.
    fn text(&self, reloaded: bool) -> String {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut text = format!(
            "global_defs {{\n router_id \"my router\"\n script_user root\n enable_script_security\n vrrp_version 3\n \
             notify_fifo {}\n notify_fifo_script {}\n vrrp_notify_fifo {}\n vrrp_notify_fifo_script {}\n {}\n \
             smtp_helo_name helo.example.org\n notification_email_from k@example.org\n \
             notification_email {{\n a@example.org\n b@example.org\n }}\n smtp_alert\n}}\n",
            at("all"),
            self.told.command("FIFO", "all"),
            at("vrrp"),
            self.told.command("FIFO", "vrrp"),
            self.relay.words(),
        );
        text.extend(["track_file number {\n file ", &at("number"), "\n weight 1\n}\n"]);
        for (name, weight) in [("weighted", "weight 10"), ("vital", "")] {
            let file = at(name);
            text.extend([
                "vrrp_script ",
                name,
                " {\n script \"/usr/bin/test ! -e ",
                &file,
                "\"\n interval 1\n fall 1\n",
            ]);
            text.extend([" rise 1\n ", weight, "\n}\n"]);
        }
        let tracks = |what: &str| format!("track_script {{\n {what}\n}}");
        text += &self.instance(101, "");
        text += &self.instance(102, "");
        text += &self.instance(
            103,
            &format!("track_file {{\n number weight 1\n}}\nnotify_priority_changes\n{}", tracks("weighted")),
        );
        text += &self.instance(104, &tracks("vital"));
        if !reloaded {
            text += &self.instance(105, "");
            text += &self.instance(106, "");
        }
        text += &self.instance(107, if reloaded { "# another VRID" } else { "" });
        text += &self.instance(108, if reloaded { "nopreempt" } else { "" });
        text += &self.instance(109, "");
        text += &self.instance(110, "");
        text + &format!("vrrp_sync_group G1 {{\n group {{\n V1\n V2\n }}\n{}\n}}\n", self.words("G1"))
    }
}

/// A start, an election, trackers, adverts of others, a fault of the interface, a reload, a stop.
fn live(program: &Program, directory: &Path) -> Outcome<Recording> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let file = |name: &str| directory.join(name);
    let write = |name: &str, text: &str| fs::write(file(name), text).map_err(|e| e.to_string());
    let remove = |name: &str| fs::remove_file(file(name)).map_err(|e| e.to_string());
    let told = Told::new(directory)?;
    let (switch, other) = (Switch::new()?, Switch::new()?);
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    host.plug(&other, &["10.0.9.1/24"])?;
    other.cable(&host, Cable::Out)?;
    until(secs(5.0), "the carrier to go", || {
        host.space.run("ip", &["-o", "link", "show", "eth1"]).ok()?.contains("NO-CARRIER").then_some(())
    })?;
    let neighbour = Host::on(&switch, "n", &["10.0.0.9/24"])?;
    let relay = Relay::on(&host, 2525)?;
    write("number", "5\n")?;
    let script = Script { told: &told, directory, relay: &relay };
    let mut daemon = Daemon::new(program, &host, directory, &script.text(false))?;
    let (all, vrrp) = (PipeReader::on(&file("all")), PipeReader::on(&file("vrrp")));
    daemon.start(&host, &[])?;

    let wait = |daemon: &Daemon, line: &str, times: usize| {
        until(secs(9.0), format!("line {times} of {line}"), || {
            (all.lines().iter().filter(|it| *it == line).count() >= times).then_some(())
        })
        .map_err(|e| daemon.explain(format!("{e}\n{:#?}", all.lines())))
    };
    let instance = |daemon: &Daemon, number: u8, state: &str, priority: u8, times: usize| {
        wait(daemon, &format!("INSTANCE \"V{number}\" {state} {priority}"), times)
    };
    let mailed = |daemon: &Daemon, who: &str, what: &str, times: usize| {
        relay.wait(secs(9.0), &format!("{who} - {what}"), times).map_err(|e| daemon.explain(e))
    };
    let everybody = |daemon: &Daemon, state: &str, third: u8, times: usize| {
        for number in [1, 2, 4, 5, 6, 7, 8] {
            instance(daemon, number, state, priority(number), times)?;
            mailed(daemon, &format!("Instance V{number}"), &format!("Entering {state} state"), times)?;
        }
        instance(daemon, 3, state, third, 1)?;
        instance(daemon, 9, state, 255, times)?;
        wait(daemon, &format!("GROUP \"G1\" {state} 0"), times)?;
        mailed(daemon, "Group G1", &format!("Entering {state} state"), times)
    };

    // The third has the number and, once its script has passed, ten more.
    instance(&daemon, 10, "FAULT", 110, 1)?;
    everybody(&daemon, "MASTER", 118, 1)?;
    // Priorities.
    write("number", "20\n")?;
    instance(&daemon, 3, "MASTER_PRIORITY", 133, 1)?;
    write("weighted", "")?;
    instance(&daemon, 3, "MASTER_PRIORITY", 123, 1)?;
    // A script that is vital.
    write("vital", "")?;
    instance(&daemon, 4, "FAULT", 104, 1)?;
    mailed(&daemon, "Instance V4", "Entering FAULT state", 1)?;
    remove("vital")?;
    instance(&daemon, 4, "MASTER", 104, 2)?;
    mailed(&daemon, "Instance V4", "Entering MASTER state", 2)?;
    // Adverts of a neighbour: lower, then higher.
    let injector = Injector::on(&neighbour)?;
    let advert = |number: u8, priority: u8| {
        let (source, address) = ([10, 0, 0, 9].into(), [10, 0, 0, number].into());
        let forged = Forged { source, ttl: 255, vrid: number, priority, checksum_off: 0, address };
        injector.send(&forged.version_3(20))
    };
    advert(103, 1)?;
    instance(&daemon, 3, "MASTER_RX_LOWER_PRI", 123, 1)?;
    advert(101, 200)?;
    wait(&daemon, "GROUP \"G1\" BACKUP 0", 2)?;
    wait(&daemon, "GROUP \"G1\" MASTER 0", 2)?;
    mailed(&daemon, "Group G1", "Entering MASTER state", 2)?;
    // The interface.
    switch.cable(&host, Cable::Out)?;
    wait(&daemon, "GROUP \"G1\" FAULT 0", 1)?;
    for number in [1, 2, 4, 5, 6, 7, 8] {
        let times = if number == 4 { 2 } else { 1 };
        instance(&daemon, number, "FAULT", priority(number), times)?;
        mailed(&daemon, &format!("Instance V{number}"), "Entering FAULT state", times)?;
    }
    instance(&daemon, 3, "FAULT", 123, 1)?;
    instance(&daemon, 9, "FAULT", 255, 1)?;
    remove("weighted")?;
    instance(&daemon, 3, "BACKUP_PRIORITY", 133, 1)?;
    switch.cable(&host, Cable::In)?;
    for number in [1, 2, 4, 5, 6, 7, 8] {
        let times = if [1, 2, 4].contains(&number) { 3 } else { 2 };
        instance(&daemon, number, "MASTER", priority(number), times)?;
        mailed(&daemon, &format!("Instance V{number}"), "Entering MASTER state", times)?;
    }
    instance(&daemon, 3, "MASTER", 133, 1)?;
    instance(&daemon, 9, "MASTER", 255, 2)?;
    wait(&daemon, "GROUP \"G1\" MASTER 0", 3)?;
    mailed(&daemon, "Group G1", "Entering MASTER state", 3)?;
    // A reload: the fifth and sixth go, the seventh becomes another.
    daemon.reload(&script.text(true))?;
    instance(&daemon, 5, "DELETED", 105, 1)?;
    mailed(&daemon, "Instance V5", "Deleted", 1)?;
    instance(&daemon, 6, "FAULT", 106, 2)?;
    instance(&daemon, 7, "MASTER", 107, 3)?;
    mailed(&daemon, "Instance V7", "Entering MASTER state", 3)?;
    daemon.stop()?;
    daemon.wait_log("Stopped Keepalived", secs(5.0))?;
    wait(&daemon, "GROUP \"G1\" STOP 0", 1)?;
    until(secs(5.0), "the scripts to end", || daemon.processes().is_empty().then_some(()))?;
    until(secs(2.0), "the second FIFO to say the same", || (vrrp.lines() == all.lines()).then_some(()))
        .map_err(|e| format!("{e}\n{:#?}\n{:#?}", all.lines(), vrrp.lines()))?;
    Recording::new(&told, &[("all", &all), ("vrrp", &vrrp)], &relay, &daemon)
}
