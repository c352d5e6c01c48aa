//! The recording (see `recording.rs`) of a director's life: real servers, quorum and sorry server, a reload, a stop.
//! spec/daemon-behaviour.md §8.2, spec/lvs-config.md, spec/checkers.md §16.

use std::fs;
use std::path::Path;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::Program;
use crate::kit::http::Server;
use crate::kit::pipe::PipeReader;
use crate::kit::relay::Relay;
use crate::kit::told::Told;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::recording::{Difference, Reason, Recording, beside, farewell};

pub(crate) const CASES: &[Case] = &[Case::guest("recording_of_servers_equals_stocks", servers)];

// 2.2.7 writes no NUL behind the lines of checkers, as the specified version does and ours does not.
const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: Reason::NewerStock("spec/checkers.md §16: what a reload removes is mailed as such"),
        apply: |stock| {
            let letters = stock.letters.get_mut("[my router] Virtualserver [VG]:0");
            letters.and_then(|letters| letters.last_mut()).is_some_and(|last| {
                let before = last.clone();
                *last = last.replace("=> Lost quorum 1+0=1 <= 0 <=", "=> Removing <=");
                *last != before
            })
        },
    },
    Difference {
        reason: Reason::OnPurpose("a check that did not change goes on as it was, in stock all begin anew"),
        apply: |stock| {
            let mut found = false;
            for lines in stock.log.values_mut() {
                let mut before = std::collections::BTreeSet::new();
                lines.retain(|line| {
                    let again = line.starts_with("Activating") && !before.insert(line.clone());
                    found |= again;
                    !again
                });
            }
            found
        },
    },
    Difference {
        reason: Reason::OnPurpose("ends before those of its stop are delivered"),
        apply: |stock| {
            for who in ["Realserver [10.0.0.12]:none:80 of virtual server FWM 3", "Virtualserver FWM 3"] {
                let Some(letters) = stock.letters.get_mut(&format!("[my router] {who}")) else {
                    return false;
                };
                letters.push(farewell(letters, "DOWN", "Shutting down"));
            }
            true
        },
    },
];

fn servers(lab: &Lab) -> Outcome {
    let ours = beside(lab, live, DIFFERENCES)?;
    let counts = [&ours.scripts.words, &ours.lines, &ours.letters]
        .map(|map| map.values().map(Vec::len).sum::<usize>());
    ensure!(counts.iter().all(|count| *count > 10), "only {counts:?} scripts, lines, mails");
    Ok(())
}

/// A service with quorum and sorry server, one that starts down and says goodbye, one of a group that a reload takes away.
fn live(program: &Program, directory: &Path) -> Outcome<Recording> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let lab = Lab { subject: program.clone(), peer: program.clone(), directory: directory.to_owned() };
    let told = Told::new(directory)?;
    let mut farm = Farm::new(&lab, 3, "")?;
    let relay = Relay::on(&farm.director, 2525)?;
    let file = |name: &str| directory.join(name);
    let notified = |who: &str, number: u8| {
        let name = format!("{who}R{number}");
        let words = format!(
            "notify_up {}\nnotify_down {}\n{TCP_CHECK}",
            told.command(&name, "up"),
            told.command(&name, "down")
        );
        real(number, 80, &words)
    };
    let quorum = |who: &str, up: &str| {
        format!(
            "quorum_up {}\nquorum_down {}\ndelay_loop 1\nlb_algo rr\nlb_kind NAT\nsmtp_alert",
            told.command(who, up),
            told.command(who, "down")
        )
    };
    let text = |reloaded: bool| {
        let mut text = format!(
            "global_defs {{\n router_id \"my router\"\n script_user root\n enable_script_security\n notify_fifo {}\n \
             lvs_notify_fifo {}\n lvs_notify_fifo_script {}\n {}\n smtp_helo_name helo.example.org\n \
             notification_email_from k@example.org\n notification_email {{\n a@example.org\n }}\n smtp_alert\n}}\n",
            file("all").display(),
            file("lvs").display(),
            told.command("FIFO", "lvs"),
            relay.words(),
        );
        let first = [notified("A", 1), notified("A", 2), notified("A", 3)];
        let first: Vec<&str> = first.iter().map(String::as_str).take(if reloaded { 2 } else { 3 }).collect();
        let words = format!("protocol TCP\nquorum 2\nsorry_server 10.0.0.19 80\n{}", quorum("A", "whole"));
        text += &service("10.9.0.100 80", &words, &first);
        let words = format!("alpha\nomega\n{}", quorum("B", "up"));
        text += &service("fwmark 3", &words, &[&notified("B", 2)]);
        if !reloaded {
            text += "virtual_server_group VG {\n 10.9.0.100 82\n}\n";
            text +=
                &service("group VG", &format!("protocol TCP\n{}", quorum("C", "up")), &[&notified("C", 3)]);
        }
        text
    };
    farm.daemon.configure(&text(false))?;
    let mut up = farm.servers()?;
    let (all, lvs) = (PipeReader::on(&file("all")), PipeReader::on(&file("lvs")));
    farm.daemon.start(&farm.director, &[])?;
    let wait = |farm: &Farm, line: &str, times: usize| {
        until(secs(9.0), format!("line {times} of {line}"), || {
            (all.lines().iter().filter(|it| *it == line).count() >= times).then_some(())
        })
        .map_err(|e| farm.daemon.explain(format!("{e}\n{:#?}", all.lines())))
    };
    let mailed = |farm: &Farm, what: &str, times: usize| {
        relay.wait(secs(9.0), what, times).map_err(|e| farm.daemon.explain(e))
    };
    let of =
        |number: u8, service: &str, state: &str| format!("RS [10.0.0.1{number}]:tcp:80 {service} {state}");
    let first = "[10.9.0.100]:tcp:80";
    wait(&farm, &format!("VS {first} UP"), 1)?;
    wait(&farm, "VS FWM 3 UP", 1)?;
    farm.daemon.wait_log("TCP connection to [10.0.0.11]:tcp:80 success", secs(9.0))?;
    farm.daemon.wait_log("TCP connection to [10.0.0.13]:tcp:80 success", secs(9.0))?;
    // The third and then the second go: the quorum is lost, the sorry server comes.
    drop(up.pop());
    wait(&farm, &of(3, first, "DOWN"), 1)?;
    drop(up.pop());
    wait(&farm, &of(2, first, "DOWN"), 1)?;
    wait(&farm, &format!("VS {first} DOWN"), 1)?;
    wait(&farm, "VS FWM 3 DOWN", 1)?;
    mailed(&farm, "Virtualserver [10.9.0.100]:tcp:80 - DOWN", 1)?;
    let _again = (Server::named(&farm.reals[1], 80)?, Server::named(&farm.reals[2], 80)?);
    wait(&farm, &of(3, first, "UP"), 1)?;
    wait(&farm, &of(2, first, "UP"), 1)?;
    wait(&farm, &format!("VS {first} UP"), 2)?;
    wait(&farm, "VS FWM 3 UP", 2)?;
    wait(&farm, "VS [VG]:0 UP", 2)?;
    mailed(&farm, "Realserver [10.0.0.13]:tcp:80 of virtual server [VG]:0 - UP", 1)?;
    mailed(&farm, "Virtualserver [VG]:0 - UP", 2)?;
    mailed(&farm, "Realserver [10.0.0.12]:none:80 of virtual server FWM 3 - UP", 2)?;
    mailed(&farm, "Virtualserver FWM 3 - UP", 2)?;
    for server in [2, 3] {
        let subject = format!("Realserver [10.0.0.1{server}]:tcp:80 of virtual server {first} - UP");
        mailed(&farm, &subject, 1)?;
    }
    mailed(&farm, "Virtualserver [10.9.0.100]:tcp:80 - UP", 2)?;
    // The third goes for good, with the group's service.
    farm.daemon.reload(&text(true))?;
    until(secs(9.0), "the second service alone", || {
        let found = crate::kit::ipvs::brief(&farm.director).ok()?;
        (found.len() == 2 && found.iter().all(|line| !line.contains("10.0.0.13"))).then_some(())
    })
    .map_err(|e| farm.daemon.explain(e))?;
    farm.daemon.stop()?;
    farm.daemon.wait_log("Stopped Keepalived", secs(5.0))?;
    wait(&farm, "VS FWM 3 DOWN", 2)?;
    until(secs(5.0), "the scripts to end", || farm.daemon.processes().is_empty().then_some(()))?;
    until(secs(2.0), "the second FIFO to say the same", || (lvs.lines() == all.lines()).then_some(()))
        .map_err(|e| format!("{e}\n{:#?}\n{:#?}", all.lines(), lvs.lines()))?;
    let mut recording = Recording::new(&told, &[("all", &all), ("lvs", &lvs)], &relay, &farm.daemon)?;
    // Whether the one that a reload starts gets to its first line is chance with stock.
    recording.scripts.words.entry("FIFO".to_owned()).or_default().dedup();
    if program.is_stock() {
        // Its checkers process ends at once, and the scripts that it has just started with it: by chance before they run.
        for who in ["B", "BR2"] {
            let words = recording.scripts.words.entry(who.to_owned()).or_default();
            words.extend((words.len() == 3).then(|| "down|two words".to_owned()));
        }
    }
    Ok(recording)
}
