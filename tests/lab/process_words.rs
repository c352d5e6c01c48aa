//! What words and options make of the processes, beside stock and read back where the kernel shows it: names, scheduling,
//! limits, memory, masks, core dumps (spec/daemon-behaviour.md §1, §2; spec/global-defs.md).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{A, Pair, VIP, config as plain, instance};

pub(crate) const CASES: &[Case] = &[
    Case::guest("process_words_make_of_all_four_what_stock_makes", of_all_four),
    Case::guest("process_core_dumps_and_their_pattern_are_stocks", core_dumps),
    Case::single("process_after_the_loss_of_all_the_next_start_clears_up", after_the_loss_of_all),
];

const ROLES: [&str; 4] = ["parent", "vrrp", "checkers", "bfd"];
/// Looks that find everything as the look before did.
const STILL: u32 = 20;
/// The kernel's own place for the pattern of core files; the guest has one of its own.
const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// One of each: an instance, a virtual server, a session.
fn config(words: &str) -> String {
    format!(
        "global_defs {{\n router_id lab\n vrrp_garp_master_delay 0\n {words}\n}}\n\
         vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n priority 255\n virtual_ipaddress {{\n  10.0.0.9\n }}\n}}\n\
         virtual_server 10.0.0.20 80 {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n real_server 10.0.0.31 80 {{\n }}\n}}\n\
         bfd_instance B1 {{\n neighbor_ip 10.0.0.77\n source_ip 10.0.0.1\n}}\n"
    )
}

/// What the kernel shows of a process.
fn facts(pid: i32) -> Option<BTreeMap<&'static str, String>> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let stat = read("stat")?;
    // What follows the name begins with field 3 (proc_pid_stat(5)).
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).map(|word| (*word).to_owned());
    let status = read("status")?;
    let of_status = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let limits = read("limits")?;
    let limit = |key: &str| {
        let line = limits.lines().find(|line| line.starts_with(key))?;
        Some(line.strip_prefix(key)?.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let locked = of_status("VmLck")?.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(BTreeMap::from([
        ("name", read("comm")?.trim().to_owned()),
        ("nice", field(19)?),
        ("real-time priority", field(40)?),
        ("policy", field(41)?),
        ("processors", of_status("Cpus_allowed_list")?),
        ("mask", of_status("Umask")?),
        ("locked in memory", (locked > 0).to_string()),
        ("core", limit("Max core file size")?),
        ("out of memory", read("oom_score_adj")?.trim().to_owned()),
        ("folder", fs::read_link(format!("/proc/{pid}/cwd")).ok()?.display().to_string()),
    ]))
}

/// Limits on real-time use, which ours sets where a real-time priority makes it count.
fn rttime(pid: i32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap_or_default();
    line.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
}

/// The facts of every process of a daemon with these words and options, once they stand still.
fn observe(program: &Program, parent: &Path, words: &str, options: &[&str]) -> Outcome<Vec<String>> {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::new(program, &host, parent, &config(words))?;
    daemon.start(&host, options)?;
    until(secs(20.0), "the address", || host.has("10.0.0.9".parse().ok()?).then_some(()))
        .map_err(|e| daemon.explain(e))?;
    let pids = ROLES.map(|role| daemon.pid(role));
    let pids: Vec<i32> = pids.into_iter().collect::<Result<_, _>>()?;
    let (mut last, mut equal) = (Vec::new(), 0);
    let facts = until(secs(20.0), "all processes to stand still", || {
        let before = std::mem::replace(&mut last, pids.iter().map(|pid| facts(*pid)).collect::<Vec<_>>());
        equal = if before == last { equal + 1 } else { 0 };
        let all: Option<Vec<_>> = last.iter().cloned().collect();
        // Stock's set their priorities one after the other, when they come to it.
        all.filter(|_| equal >= STILL)
    })?;
    let mut found = Vec::new();
    for ((role, pid), facts) in ROLES.iter().zip(&pids).zip(facts) {
        let mut text = format!("{role}:");
        for (what, value) in &facts {
            let _ = write!(text, " {what} {value},");
        }
        if facts["policy"] == "2" {
            let _ = write!(text, " limit {}", rttime(*pid));
        }
        found.push(text);
    }
    found.push(modes(&daemon)?);
    // 2.2.7 writes it behind the old one, which kernels ignore.
    if let (Some(pattern), false) = (options.iter().find_map(|it| it.strip_prefix("-M")), program.is_stock())
    {
        let now = fs::read_to_string(PATTERN).map_err(|e| e.to_string())?;
        let wanted = if pattern.is_empty() { "core" } else { pattern };
        ensure!(now.trim() == wanted, "with -M{pattern} the pattern is {now:?}");
    }
    daemon.stop()?;
    Ok(found)
}

/// Modes of pid files and dumps.
fn modes(daemon: &Daemon) -> Outcome<String> {
    let mut found = String::from("modes:");
    let mut note = |path: &Path| -> Outcome {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mode = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.mode() & 0o7777;
        let _ = write!(found, " {name} {mode:o}");
        Ok(())
    };
    for role in ROLES {
        note(&daemon.pid_file(role))?;
    }
    daemon.signal(Signal::SIGUSR1)?;
    daemon.signal(Signal::SIGUSR2)?;
    for name in ["", "_parent", "_check", "_bfd"].map(|which| format!("tmp/keepalived{which}.data")) {
        let file = daemon.own_file(&name);
        until(secs(10.0), &name, || fs::metadata(&file).ok().filter(|it| it.len() > 0))
            .map_err(|e| daemon.explain(e))?;
        note(&file)?;
    }
    let file = daemon.own_file("tmp/keepalived.stats");
    until(secs(10.0), "keepalived.stats", || fs::metadata(&file).ok().filter(|it| it.len() > 0))?;
    note(&file)?;
    Ok(found)
}

/// Stock and the subject side by side, or one after the other where something is global to the kernel.
fn beside_stock(lab: &Lab, number: usize, words: &str, options: &[&str]) -> Outcome<Vec<String>> {
    let folder = |name: &str| lab.directory.join(format!("{name}{number}"));
    let first = || observe(&Program::stock(), &folder("stock"), words, options);
    let second = || observe(&lab.subject, &folder("subject"), words, options);
    let (stock, subject) = if options.iter().any(|option| option.starts_with("-M")) {
        (first()?, second()?)
    } else {
        std::thread::scope(|scope| -> Outcome<_> {
            let other = scope.spawn(first);
            let subject = second()?;
            Ok((other.join().map_err(|_| "panicked")??, subject))
        })?
    };
    let mut different = String::new();
    for (ours, theirs) in subject.iter().zip(&stock) {
        if ours != theirs {
            let _ = write!(different, "\n{ours}\n    stock {theirs}");
        }
    }
    ensure!(different.is_empty(), "with {words:?} {options:?}:{different}");
    Ok(subject)
}

fn of_all_four(lab: &Lab) -> Outcome {
    let found = beside_stock(lab, 0, "", &[])?;
    ensure!(found[..ROLES.len()].iter().all(|one| one.contains(" name keepalived,")), "{found:?}");
    let nice = "process_names\n vrrp_priority -5\n checker_priority -4\n bfd_priority 3\n vrrp_no_swap\n checker_no_swap\n \
                bfd_no_swap\n vrrp_cpu_affinity 0\n checker_cpu_affinity 0\n bfd_cpu_affinity 0\n umask 027";
    let found = beside_stock(lab, 1, nice, &[])?;
    let all = found.join("\n");
    for word in
        ["name keepalived_vrrp,", "name keepalived_lvs,", "name keepalived_bfd,", "nice -5,", "mask 0027,"]
    {
        ensure!(all.contains(word), "nowhere {word:?}:\n{all}");
    }
    ensure!(all.matches("locked in memory true").count() == 3, "{all}");
    let real_time = "process_name kp\n vrrp_process_name kv\n checker_process_name kc\n bfd_process_name kb\n \
                     vrrp_rt_priority 7\n checker_rt_priority 6\n bfd_rt_priority 5\n vrrp_rlimit_rttime 400000\n \
                     checker_rlimit_rttime 600000\n bfd_rlimit_rttime 800000";
    let found = beside_stock(lab, 2, real_time, &["-u", "0077"])?;
    let all = found.join("\n");
    for word in [
        "name kp,",
        "name kv,",
        "name kc,",
        "name kb,",
        "real-time priority 7,",
        "limit 300000 600000 us",
        "mask 0077,",
    ] {
        ensure!(all.contains(word), "nowhere {word:?}:\n{all}");
    }
    Ok(())
}

fn core_dumps(lab: &Lab) -> Outcome {
    let before = fs::read_to_string(PATTERN).map_err(|e| e.to_string())?;
    let found = beside_stock(lab, 0, "", &["-m"])?;
    let unlimited = |one: &String| one.contains("core unlimited unlimited bytes");
    ensure!(found[..ROLES.len()].iter().all(unlimited), "{found:?}");
    for (number, option) in ["-M", "-M/tmp/core.%e.%p"].into_iter().enumerate() {
        beside_stock(lab, number + 1, "", &[option])?;
        let after = fs::read_to_string(PATTERN).map_err(|e| e.to_string())?;
        ensure!(after == before, "{option} leaves the pattern {after:?}");
    }
    Ok(())
}

/// What is ours in the kernel: addresses, routes, rules, links, and tables of nftables.
fn holdings(pair: &Pair) -> Vec<String> {
    let host = &pair.hosts[A];
    let mut found = Vec::new();
    for (arguments, word) in [
        (["-o", "address"].as_slice(), "10.0.0.1"),
        (&["route", "show", "table", "all"], "10.7"),
        (&["rule"], "lookup 77"),
        (&["-o", "link"], "vrrp"),
    ] {
        let text = host.space.run("ip", arguments).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(word) && !line.contains("10.0.0.1/"));
        found.extend(lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    found.extend(host.nft(&["list", "tables"]).unwrap_or_default().lines().map(str::to_owned));
    found
}

/// Every process is killed at once, and nobody has written down what was there.
fn after_the_loss_of_all(lab: &Lab) -> Outcome {
    let more = "virtual_routes {\n 10.77.0.0/16 dev eth0 table 77\n 10.78.0.0/16 dev eth0\n}\n\
                virtual_rules {\n from 10.77.0.0/16 table 77 priority 50\n}";
    let vmac =
        instance("VI_2", 52, "eth0", 150, "advert_int 1\nuse_vmac\nvirtual_ipaddress {\n 10.0.0.112\n}");
    let mut pair = Pair::only_a(lab, &format!("{}{vmac}", plain(150, more)))?;
    pair.wait_vip(A, secs(15.0))?;
    let second = "10.0.0.112".parse().map_err(|_| "an address")?;
    until(secs(15.0), "the second address", || pair.hosts[A].has(second).then_some(()))?;
    pair.a.crash()?;
    let left = holdings(&pair);
    ensure!(left.len() >= 6, "a crash should leave everything: {left:?}");
    pair.start_a(&[])?;
    // It begins as a backup, without what a master has.
    until(secs(3.0), "the addresses to go", || {
        (!pair.hosts[A].has(VIP) && !pair.hosts[A].has(second)).then_some(())
    })
    .map_err(|e| pair.a.explain(e))?;
    pair.wait_vip(A, secs(15.0))?;
    until(secs(15.0), "the second address", || pair.hosts[A].has(second).then_some(()))?;
    let again = holdings(&pair).len();
    ensure!(again == left.len(), "{:?}, before the crash {left:?}", holdings(&pair));
    pair.a.stop()?;
    let left = holdings(&pair);
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}
