//! Notification FIFOs: lines, order, owners, modes, slow and late readers, programs that read.
//! spec/daemon-behaviour.md §8.1, §8.2.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::Server;
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::pipe::PipeReader;
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("fifo_lines_of_a_life_equal_stocks", life),
    Case::single("fifo_lines_wait_for_a_late_reader", late_reader).ours_only(),
    Case::single("fifo_program_reads_to_the_last_line_and_is_started_anew", program).ours_only(),
    Case::single("fifo_owner_and_mode", owner),
    Case::guest("fifo_lines_of_servers_and_quorum", servers),
];

/// What one FIFO held: lines of the group and its members, lines of the others. Between them the order is chance.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    grouped: Vec<String>,
    alone: Vec<String>,
}

impl Story {
    fn of(reader: &PipeReader) -> Self {
        let is_grouped =
            |line: &String| ["\"V1\"", "\"V2\"", "\"G1\""].iter().any(|name| line.contains(name));
        let (mut grouped, alone): (Vec<_>, _) = reader.lines().into_iter().partition(is_grouped);
        // At start 2.2.7 tells of the group before its members; after that, and 2.4.3 always, behind them.
        if let Some(first) = grouped.iter().position(|line| line == "GROUP \"G1\" BACKUP 0") {
            grouped.remove(first);
        }
        Self { grouped, alone }
    }
}

fn life(lab: &Lab) -> Outcome {
    let stock = Program::stock();
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| live(&stock, &lab.directory.join("stock")));
        let ours = live(&lab.subject, &lab.directory.join("subject"));
        (ours, theirs.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (ours, theirs) = (ours?, theirs.map_err(|e| format!("stock: {e}"))?);
    ensure!(ours == theirs, "the subject:\n{ours:#?}\nstock:\n{theirs:#?}");
    ensure!(ours.grouped.len() == 17, "{ours:#?}");
    Ok(())
}

/// A start, an election, priorities, a fault, a reload that deletes and adds, a stop.
fn live(program: &Program, directory: &Path) -> Outcome<Story> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let (all, vrrp) = (directory.join("all"), directory.join("vrrp"));
    let tracked = directory.join("tracked");
    fs::write(&tracked, "5\n").map_err(|e| e.to_string())?;
    let one = |name: &str, vrid: u8, more: &str| {
        let words = format!("advert_int 1\nvirtual_ipaddress {{\n 10.0.0.{vrid}\n}}\n{more}");
        instance(name, vrid, "eth0", vrid, &words)
    };
    let text = |last: &str| {
        format!(
            "global_defs {{\n script_user root\n notify_fifo {}\n vrrp_notify_fifo {}\n}}\n\
             track_file number {{\n file {}\n weight 1\n}}\n{}{}{last}\
             vrrp_sync_group G1 {{\n group {{\n V1\n V2\n }}\n}}\n",
            all.display(),
            vrrp.display(),
            tracked.display(),
            one("V1", 101, ""),
            one("V2", 102, ""),
        )
    };
    let tracks = "track_file {\n number weight 1\n}\nnotify_priority_changes";
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon =
        Daemon::new(program, &host, directory, &text(&one("V3", 103, &format!("{tracks}\nnotify_deleted"))))?;
    let (all, vrrp) = (PipeReader::on(&all), PipeReader::on(&vrrp));
    daemon.start(&host, &[])?;
    let wait = |daemon: &Daemon, line: &str, times: usize| {
        until(secs(9.0), format!("line {times} of {line}"), || {
            (all.lines().iter().filter(|it| *it == line).count() >= times).then_some(())
        })
        .map_err(|e| daemon.explain(format!("{e}\n{:#?}", all.lines())))
    };
    wait(&daemon, "GROUP \"G1\" MASTER 0", 1)?;
    wait(&daemon, "INSTANCE \"V3\" MASTER 108", 1)?;
    fs::write(&tracked, "20\n").map_err(|e| e.to_string())?;
    wait(&daemon, "INSTANCE \"V3\" MASTER_PRIORITY 123", 1)?;
    switch.cable(&host, Cable::Out)?;
    wait(&daemon, "GROUP \"G1\" FAULT 0", 1)?;
    wait(&daemon, "INSTANCE \"V3\" FAULT 123", 1)?;
    fs::write(&tracked, "30\n").map_err(|e| e.to_string())?;
    wait(&daemon, "INSTANCE \"V3\" BACKUP_PRIORITY 133", 1)?;
    switch.cable(&host, Cable::In)?;
    wait(&daemon, "GROUP \"G1\" MASTER 0", 2)?;
    wait(&daemon, "INSTANCE \"V3\" MASTER 133", 1)?;
    daemon.reload(&text(&one("V4", 104, "")))?;
    wait(&daemon, "INSTANCE \"V4\" MASTER 104", 1)?;
    daemon.stop()?;
    wait(&daemon, "GROUP \"G1\" STOP 0", 1)?;
    until(secs(2.0), "the second FIFO to say the same", || (vrrp.lines() == all.lines()).then_some(()))
        .map_err(|e| format!("{e}\n{:#?}\n{:#?}", all.lines(), vrrp.lines()))?;
    ensure!(!all.bytes().contains(&0), "a NUL in {:?}", String::from_utf8_lossy(&all.bytes()));
    Ok(Story::of(&all))
}

/// More lines than the pipe holds before anybody reads: 120 instances whose priority changes 20 times.
fn late_reader(lab: &Lab) -> Outcome {
    const INSTANCES: usize = 120;
    const CHANGES: usize = 20;
    // In the way of the other FIFO. Stock writes into it.
    let file = lab.directory.join("file");
    fs::write(&file, "precious").map_err(|e| e.to_string())?;
    let (fifo, tracked) = (lab.directory.join("fifo"), lab.directory.join("tracked"));
    fs::write(&tracked, "0\n").map_err(|e| e.to_string())?;
    let mut text = format!(
        "global_defs {{\n notify_fifo {}\n vrrp_notify_fifo {}\n vrrp_notify_priority_changes\n}}\n\
         track_file number {{\n file {}\n weight 1\n}}\n",
        fifo.display(),
        file.display(),
        tracked.display()
    );
    for number in 1..=INSTANCES {
        text.push_str(&instance(
            &format!("with_a_long_name_{number}"),
            u8::try_from(number).unwrap_or(0),
            "eth0",
            100,
            &format!("advert_int 10\nvirtual_ipaddress {{\n 10.0.1.{number}\n}}\ntrack_file {{\n number weight 1\n}}"),
        ));
    }
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text)?;
    daemon.wait_log("it exists and is no FIFO", secs(8.0))?;
    let name = format!("(with_a_long_name_{INSTANCES})");
    daemon.wait_log(&format!("{name} Entering BACKUP STATE"), secs(8.0))?;
    for change in 1..=CHANGES {
        fs::write(&tracked, format!("{change}\n")).map_err(|e| e.to_string())?;
        let last = format!("{name} Changing effective priority from {} to {}", 99 + change, 100 + change);
        daemon.wait_log(&last, secs(8.0))?;
    }
    let reader = PipeReader::on(&fifo);
    let last = format!("INSTANCE \"with_a_long_name_{INSTANCES}\" BACKUP_PRIORITY {}", 100 + CHANGES);
    reader.wait_end(secs(5.0), &[&last]).map_err(|e| e.lines().next().unwrap_or_default().to_owned())?;
    let lines = reader.lines();
    ensure!(reader.bytes().len() > 100_000, "only {} bytes: nothing was tried", reader.bytes().len());
    let wanted = INSTANCES * (1 + CHANGES);
    ensure!(lines.len() == wanted, "{} of {wanted} lines", lines.len());
    ensure!(fs::read(&file).is_ok_and(|text| text == b"precious"), "the file in the way was changed");
    ensure!(!daemon.logged("dropping"), "{}", daemon.explain("lines were dropped".to_owned()));
    daemon.stop()?;
    Ok(())
}

/// Stock ends the program before it has read the last lines, and a reload loses what it had not read.
fn program(lab: &Lab) -> Outcome {
    let (fifo, record, script) =
        (lab.directory.join("fifo"), lab.directory.join("record"), lab.directory.join("reader.sh"));
    write_script(
        &script,
        &format!(
            "#!/bin/bash\nexec >>{record}\necho \"START $#: $*\"\ntrap 'echo END; exit' TERM\n\
             while :; do read -r -t 1 line <>\"${{@: -1}}\" && echo \"$line\"; done\n",
            record = record.display()
        ),
    )?;
    let text = |more: &str| {
        let words = format!("advert_int 1\nvirtual_ipaddress {{\n 10.0.0.100\n}}\n{more}");
        format!(
            "global_defs {{\n script_user root\n vrrp_notify_fifo {}\n vrrp_notify_fifo_script \"{} 'two words' 2\"\n}}\n{}",
            fifo.display(),
            script.display(),
            instance("V1", 51, "eth0", 100, &words)
        )
    };
    let told =
        || fs::read_to_string(&record).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let wait = |daemon: &Daemon, wanted: &[&str]| {
        until(secs(8.0), "the program's record", || (told() == *wanted).then_some(()))
            .map_err(|e| daemon.explain(format!("{e}\nwanted {wanted:#?}\nfound {:#?}", told())))
    };
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text(""))?;
    let start = format!("START 3: two words 2 {}", fifo.display());
    let mut wanted = vec![&*start, "INSTANCE \"V1\" BACKUP 100", "INSTANCE \"V1\" MASTER 100"];
    wait(&daemon, &wanted)?;
    let inode = fs::metadata(&fifo).map_err(|e| e.to_string())?.ino();
    daemon.reload(&text("nopreempt"))?;
    wanted.extend(["END", &start]);
    wait(&daemon, &wanted)?;
    ensure!(fs::metadata(&fifo).map_err(|e| e.to_string())?.ino() == inode, "the FIFO was made anew");
    daemon.stop()?;
    wanted.extend(["INSTANCE \"V1\" STOP 100", "END"]);
    wait(&daemon, &wanted)?;
    ensure!(!fifo.exists(), "the FIFO is left behind");
    ensure!(daemon.processes().is_empty(), "processes are left: {:?}", daemon.processes());
    Ok(())
}

fn owner(lab: &Lab) -> Outcome {
    let path = |name: &str| lab.directory.join(name);
    let text = format!(
        "global_defs {{\n notify_fifo {} nobody\n}}\n{}",
        path("all").display(),
        instance("V1", 51, "eth0", 100, "virtual_ipaddress {\n 10.0.0.100\n}")
    );
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text)?;
    daemon.wait_log("(V1) Entering BACKUP STATE", secs(5.0))?;
    let status = fs::metadata(path("all")).map_err(|e| e.to_string())?;
    ensure!(status.file_type().is_fifo(), "no FIFO: {status:?}");
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten().ok_or("no user nobody")?;
    ensure!(
        status.uid() == nobody.uid.as_raw() && status.gid() == nobody.gid.as_raw(),
        "owner {}:{}",
        status.uid(),
        status.gid()
    );
    ensure!(status.mode() & 0o7777 == 0o600, "mode {:o}", status.mode());
    daemon.stop()?;
    Ok(())
}

fn servers(lab: &Lab) -> Outcome {
    let (all, lvs) = (lab.directory.join("all"), lab.directory.join("lvs"));
    let head = "10.9.0.100 80";
    let words = "delay_loop 1\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nquorum 2";
    let text = format!(
        "global_defs {{\n notify_fifo {}\n lvs_notify_fifo {}\n}}\n{}{}",
        all.display(),
        lvs.display(),
        service(head, words, &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK)]),
        service(
            "fwmark 3",
            "delay_loop 1\nlb_algo rr\nlb_kind NAT\nalpha\nomega",
            &[&real(2, 80, TCP_CHECK)]
        )
    );
    let mut farm = Farm::new(lab, 2, &text)?;
    let mut servers = farm.servers()?;
    let (all, lvs) = (PipeReader::on(&all), PipeReader::on(&lvs));
    farm.start()?;
    let wait = |farm: &Farm, wanted: &[&str]| {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        until(secs(8.0), format!("{wanted:#?}"), || {
            let mut lines = all.lines();
            lines.sort_unstable();
            (lines == wanted).then_some(())
        })
        .map_err(|e| farm.daemon.explain(format!("{e}\nfound {:#?}", all.lines())))
    };
    let (one, two, marked) = (
        "RS [10.0.0.11]:tcp:80 [10.9.0.100]:tcp:80 DOWN",
        "RS [10.0.0.12]:tcp:80 [10.9.0.100]:tcp:80 DOWN",
        "RS [10.0.0.12]:none:80 FWM 3 DOWN",
    );
    let mut wanted = vec!["VS [10.9.0.100]:tcp:80 UP", "RS [10.0.0.12]:none:80 FWM 3 UP", "VS FWM 3 UP"];
    wait(&farm, &wanted)?;
    servers.remove(0);
    wanted.extend([one, "VS [10.9.0.100]:tcp:80 DOWN"]);
    wait(&farm, &wanted)?;
    let _again = Server::named(&farm.reals[0], 80)?;
    wanted.extend(["RS [10.0.0.11]:tcp:80 [10.9.0.100]:tcp:80 UP", "VS [10.9.0.100]:tcp:80 UP"]);
    wait(&farm, &wanted)?;
    farm.daemon.stop()?;
    // Only the one with `omega` says goodbye.
    wanted.extend([marked, "VS FWM 3 DOWN"]);
    wait(&farm, &wanted)?;
    ensure!(!all.lines().iter().any(|line| line == two), "{:#?}", all.lines());
    ensure!(lvs.lines() == all.lines(), "{:#?}\n{:#?}", lvs.lines(), all.lines());
    Ok(())
}
