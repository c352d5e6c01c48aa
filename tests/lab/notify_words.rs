//! What single words change of scripts, FIFOs and mails, beside stock's. spec/global-defs.md §5–§7, spec/daemon-behaviour.md
//! §8.2, spec/lvs-config.md §10, spec/checkers.md §16.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown, mkfifo};

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::Server;
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::pipe::PipeReader;
use crate::kit::place::write_script;
use crate::kit::relay::Relay;
use crate::kit::told::Told;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;
use crate::recording::{Difference, Reason, Recording, beside, farewell};

pub(crate) const CASES: &[Case] = &[
    Case::single("notify_words_of_instances_do_what_they_do_with_stock", instances),
    Case::guest("notify_words_of_servers_do_what_they_do_with_stock", servers),
];

const OF_INSTANCES: &[Difference] = &[
    Difference {
        reason: Reason::OnPurpose("stock leaves out those that stay MASTER"),
        apply: |stock| {
            ["W1", "W2"].iter().all(|name| {
                let lines = stock.lines.get_mut(&format!("all: INSTANCE \"{name}\""));
                lines.is_some_and(|lines| {
                    let place = lines.len() - 1;
                    let again = lines[place - 1].clone();
                    lines.insert(place, again);
                    true
                })
            })
        },
    },
    Difference {
        reason: Reason::OnPurpose("ends before those of its stop are delivered"),
        apply: |stock| {
            let mut last = String::new();
            for letters in stock.letters.values_mut() {
                last = farewell(letters, "Stopping", "VRRP Instance stopping");
                letters.push(last.clone());
            }
            // That one was in FAULT all the time, of which there is no mail.
            let third = last.replace("Instance W1", "Instance W3");
            stock.letters.insert("[my router] VRRP Instance W3".to_owned(), vec![third]).is_none()
        },
    },
];

fn instances(lab: &Lab) -> Outcome {
    beside(lab, live_instances, OF_INSTANCES).map(drop)
}

/// Mails of instances only and not of faults, one instance without; priorities told of all; states told by a reload; a FIFO that is
/// there already, and one that is somebody else's.
fn live_instances(program: &Program, directory: &Path) -> Outcome<Recording> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let file = |name: &str| directory.join(name);
    let told = Told::new(directory)?;
    let (switch, other) = (Switch::new()?, Switch::new()?);
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    host.plug(&other, &["10.0.9.1/24"])?;
    other.cable(&host, Cable::Out)?;
    until(secs(5.0), "the carrier to go", || {
        host.space.run("ip", &["-o", "link", "show", "eth1"]).ok()?.contains("NO-CARRIER").then_some(())
    })?;
    let relay = Relay::on(&host, 2525)?;
    fs::write(file("number"), "5\n").map_err(|e| e.to_string())?;
    for (name, owner) in [("all", 0), ("strange", 65534)] {
        mkfifo(&file(name), Mode::from_bits_truncate(0o620)).map_err(|e| e.to_string())?;
        chown(&file(name), Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))
            .map_err(|e| e.to_string())?;
    }
    let before = fs::metadata(file("all")).map_err(|e| e.to_string())?;
    let one = |number: u8, interface: &str, more: &str| {
        let words = format!(
            "advert_int 0.2\nvirtual_ipaddress {{\n 10.0.0.10{number}\n}}\nnotify {}\n{more}",
            told.command(&format!("W{number}"), "any")
        );
        instance(&format!("W{number}"), number, interface, 100 + number, &words)
    };
    let text = format!(
        "global_defs {{\n router_id \"my router\"\n script_user root\n enable_script_security\n vrrp_version 3\n \
         notify_fifo {}\n vrrp_notify_fifo {}\n vrrp_notify_priority_changes\n fifo_write_vrrp_states_on_reload\n {}\n \
         smtp_helo_name helo.example.org\n notification_email_from k@example.org\n \
         notification_email {{\n a@example.org\n }}\n smtp_alert_vrrp\n no_email_faults\n}}\n\
         track_file number {{\n file {}\n weight 1\n}}\n{}{}{}",
        file("all").display(),
        file("strange").display(),
        relay.words(),
        file("number").display(),
        one(1, "eth0", "track_file {\n number weight 1\n}"),
        one(2, "eth0", "smtp_alert off"),
        one(3, "eth1", ""),
    );
    let mut daemon = Daemon::new(program, &host, directory, &text)?;
    let (all, strange) = (PipeReader::on(&file("all")), PipeReader::on(&file("strange")));
    daemon.start(&host, &[])?;
    let wait = |daemon: &Daemon, line: &str, times: usize| {
        until(secs(9.0), format!("line {times} of {line}"), || {
            (all.lines().iter().filter(|it| *it == line).count() >= times).then_some(())
        })
        .map_err(|e| daemon.explain(format!("{e}\n{:#?}", all.lines())))
    };
    wait(&daemon, "INSTANCE \"W1\" MASTER 106", 1)?;
    wait(&daemon, "INSTANCE \"W2\" MASTER 102", 1)?;
    wait(&daemon, "INSTANCE \"W3\" FAULT 103", 1)?;
    fs::write(file("number"), "0\n").map_err(|e| e.to_string())?;
    wait(&daemon, "INSTANCE \"W1\" MASTER_PRIORITY 101", 1)?;
    switch.cable(&host, Cable::Out)?;
    wait(&daemon, "INSTANCE \"W1\" FAULT 101", 1)?;
    wait(&daemon, "INSTANCE \"W2\" FAULT 102", 1)?;
    switch.cable(&host, Cable::In)?;
    wait(&daemon, "INSTANCE \"W1\" MASTER 101", 1)?;
    wait(&daemon, "INSTANCE \"W2\" MASTER 102", 2)?;
    relay.wait(secs(9.0), "Instance W1 - Entering MASTER state", 2).map_err(|e| daemon.explain(e))?;
    daemon.reload(&text)?;
    wait(&daemon, "INSTANCE \"W3\" FAULT 103", 2)?;
    daemon.stop()?;
    daemon.wait_log("Stopped Keepalived", secs(5.0))?;
    wait(&daemon, "INSTANCE \"W2\" STOP 102", 1)?;
    until(secs(5.0), "the scripts to end", || daemon.processes().is_empty().then_some(()))?;
    // 2.2.7 takes any.
    ensure!(
        program.is_stock() || strange.bytes().is_empty(),
        "somebody else's FIFO was written to: {:?}",
        strange.lines()
    );
    let after = fs::metadata(file("all")).map_err(|e| format!("the FIFO that was there: {e}"))?;
    ensure!(
        (after.ino(), after.mode(), after.uid()) == (before.ino(), before.mode(), before.uid()),
        "the FIFO that was there is another one: {after:?}"
    );
    Recording::new(&told, &[("all", &all)], &relay, &daemon)
}

const OF_SERVERS: &[Difference] = &[];

fn servers(lab: &Lab) -> Outcome {
    beside(lab, live_servers, OF_SERVERS).map(drop)
}

/// Servers told of at the start; mails only when a server comes or goes, not for each of its checks; a server that stays in the
/// table with weight 0; one whose service tells nothing.
fn live_servers(program: &Program, directory: &Path) -> Outcome<Recording> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let file = |name: &str| directory.join(name);
    let lab = Lab { subject: program.clone(), peer: program.clone(), directory: directory.to_owned() };
    let told = Told::new(directory)?;
    let mut farm = Farm::new(&lab, 3, "")?;
    let relay = Relay::on(&farm.director, 2525)?;
    write_script(&file("check.sh"), &format!("#!/bin/sh\ntest ! -e {}\n", file("broken").display()))?;
    let misc = format!(
        "MISC_CHECK {{\nmisc_path \"{}\"\nmisc_timeout 5\ndelay_loop 1\nwarmup 0\n}}",
        file("check.sh").display()
    );
    let notified = |number: u8, more: &str| {
        let name = format!("R{number}");
        let words = format!(
            "notify_up {}\nnotify_down {}\n{more}\n{TCP_CHECK}",
            told.command(&name, "up"),
            told.command(&name, "down")
        );
        real(number, 80, &words)
    };
    let words = "delay_loop 1\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nquorum 1";
    farm.daemon.configure(&format!(
        "global_defs {{\n router_id \"my router\"\n script_user root\n enable_script_security\n rs_init_notifies\n \
         no_checker_emails\n lvs_notify_fifo {}\n {}\n smtp_helo_name helo.example.org\n \
         notification_email_from k@example.org\n notification_email {{\n a@example.org\n }}\n smtp_alert_checker\n}}\n{}{}",
        file("lvs").display(),
        relay.words(),
        service("10.9.0.100 80", words, &[&notified(1, &misc), &notified(2, "inhibit_on_failure")]),
        service("10.9.0.100 81", &format!("{words}\nsmtp_alert off"), &[&notified(3, "smtp_alert off")]),
    ))?;
    let mut up = farm.servers()?;
    let lvs = PipeReader::on(&file("lvs"));
    farm.daemon.start(&farm.director, &[])?;
    let wait = |farm: &Farm, line: &str, times: usize| {
        until(secs(9.0), format!("line {times} of {line}"), || {
            (lvs.lines().iter().filter(|it| *it == line).count() >= times).then_some(())
        })
        .map_err(|e| farm.daemon.explain(format!("{e}\n{:#?}", lvs.lines())))
    };
    let of = |number: u8, port: u16, state: &str| {
        format!("RS [10.0.0.1{number}]:tcp:80 [10.9.0.100]:tcp:{port} {state}")
    };
    for (number, port) in [(1, 80), (2, 80), (3, 81)] {
        wait(&farm, &of(number, port, "UP"), 1)?;
        farm.daemon.wait_log(&format!("TCP connection to [10.0.0.1{number}]:tcp:80 success"), secs(9.0))?;
    }
    farm.daemon.wait_log("] succeeded.", secs(9.0))?;
    // The script first, then the port; they come back in this order.
    let seen = farm.daemon.log_length();
    fs::write(file("broken"), "").map_err(|e| e.to_string())?;
    wait(&farm, &of(1, 80, "DOWN"), 1)?;
    up.clear();
    wait(&farm, &of(2, 80, "DOWN"), 1)?;
    wait(&farm, &of(3, 81, "DOWN"), 1)?;
    farm.daemon.wait_log_after(seen, "TCP_CHECK on service [10.0.0.11]:tcp:80 failed", secs(9.0))?;
    wait(&farm, "VS [10.9.0.100]:tcp:80 DOWN", 1)?;
    let seen = farm.daemon.log_length();
    fs::remove_file(file("broken")).map_err(|e| e.to_string())?;
    farm.daemon.wait_log_after(seen, "] succeeded.", secs(9.0))?;
    for real in &farm.reals {
        up.push(Server::named(real, 80)?);
    }
    wait(&farm, &of(1, 80, "UP"), 2)?;
    wait(&farm, &of(2, 80, "UP"), 2)?;
    wait(&farm, &of(3, 81, "UP"), 2)?;
    for number in [1, 2] {
        let subject =
            format!("Realserver [10.0.0.1{number}]:tcp:80 of virtual server [10.9.0.100]:tcp:80 - UP");
        relay.wait(secs(9.0), &subject, 1).map_err(|e| farm.daemon.explain(e))?;
    }
    relay.wait(secs(9.0), "Virtualserver [10.9.0.100]:tcp:80 - UP", 2).map_err(|e| farm.daemon.explain(e))?;
    // Stock ends those that have just begun.
    until(secs(5.0), "three scripts of each server", || (told.count() >= 9).then_some(()))
        .map_err(|e| farm.daemon.explain(e))?;
    farm.daemon.stop()?;
    farm.daemon.wait_log("Stopped Keepalived", secs(5.0))?;
    until(secs(5.0), "the scripts to end", || farm.daemon.processes().is_empty().then_some(()))?;
    Recording::new(&told, &[("lvs", &lvs)], &relay, &farm.daemon)
}
