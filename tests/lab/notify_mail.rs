//! Mail: dialogue, headers, subjects, texts; what is put off, what is the last word, what a storm becomes.
//! spec/daemon-behaviour.md §9, spec/checkers.md §16.

use std::fs;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::Server;
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::place::write_script;
use crate::kit::post::PostOffice;
use crate::kit::relay::{Letter, Relay};
use crate::kit::wait::{Outcome, ensure, secs};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("mail_of_a_life_equals_stocks", life),
    Case::single("mail_is_tried_again_delivered_at_the_end_and_gathered", put_off).ours_only(),
    Case::guest("mail_of_servers_and_quorum_equals_stocks", servers),
    Case::single("mail_arrives_in_the_boxes_of_a_packaged_server", boxes),
];

/// Words of `global_defs`.
pub(crate) fn global(relay: &Relay, more: &str) -> String {
    format!(
        "global_defs {{\n router_id \"my router\"\n script_user root\n {}\n smtp_helo_name helo.example.org\n \
         notification_email_from k@example.org\n notification_email {{\n a@example.org b@example.org\n c@example.org\n }}\n \
         smtp_alert\n {more}\n}}\n",
        relay.words()
    )
}

fn one(name: &str, vrid: u8, more: &str) -> String {
    let words = format!("advert_int 1\nvirtual_ipaddress {{\n 10.0.0.{vrid}\n}}\n{more}");
    instance(name, vrid, "eth0", vrid, &words)
}

/// Runs both side by side; what was delivered, without the last words, which stock does not deliver.
pub(crate) fn beside(lab: &Lab, live: fn(&Lab) -> Outcome<Vec<Letter>>) -> Outcome<Vec<Letter>> {
    let place = |name: &str, subject: Program| Lab {
        subject,
        peer: lab.peer.clone(),
        directory: lab.directory.join(name),
    };
    let (ours, theirs) = (place("subject", lab.subject.clone()), place("stock", Program::stock()));
    for lab in [&ours, &theirs] {
        fs::create_dir_all(&lab.directory).map_err(|e| e.to_string())?;
    }
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| live(&theirs));
        (live(&ours), theirs.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (all, theirs) = (ours?, theirs.map_err(|e| format!("stock: {e}"))?);
    let comparable = |letters: &[Letter]| {
        let mut letters: Vec<_> =
            letters.iter().filter(|letter| !letter.subject.ends_with("Stopping")).cloned().collect();
        letters.sort();
        letters
    };
    let (ours, theirs) = (comparable(&all), comparable(&theirs));
    let subjects = |letters: &[Letter]| {
        letters.iter().map(|it| (it.subject.clone(), it.said[it.said.len() - 4].clone())).collect::<Vec<_>>()
    };
    ensure!(
        ours == theirs,
        "the subject:\n{:#?}\nstock:\n{:#?}\n{:#?}\n{:#?}",
        subjects(&ours),
        subjects(&theirs),
        ours.first(),
        theirs.first()
    );
    Ok(all)
}

fn life(lab: &Lab) -> Outcome {
    let letters = beside(lab, live)?;
    let is_stock = lab.subject.is_stock();
    for last in ["VRRP Instance V1 - Stopping", "VRRP Instance V2 - Stopping", "VRRP Group G1 - Stopping"] {
        let delivered = letters.iter().any(|letter| letter.subject.ends_with(last));
        ensure!(is_stock || delivered, "not delivered: {last}");
    }
    Ok(())
}

/// A start, an election, a fault, a reload that deletes, a stop.
fn live(lab: &Lab) -> Outcome<Vec<Letter>> {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let relay = Relay::on(&host, 2525)?;
    let group = "vrrp_sync_group G1 {\n group {\n V1\n }\n}\n";
    let text = |more: &str| {
        format!("{}{}{}{more}{group}", global(&relay, ""), one("V1", 101, ""), one("V2", 102, "smtp_alert"))
    };
    let more =
        [one("V3", 103, "notify_deleted"), one("V4", 104, ""), one("V5", 105, "smtp_alert off")].concat();
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text(&more))?;
    let wait = |daemon: &Daemon, subject: &str, count: usize| {
        relay.wait(secs(9.0), subject, count).map_err(|e| daemon.explain(e))
    };
    let all = |daemon: &Daemon, state: &str, count: usize| {
        for who in ["Instance V1", "Instance V2", "Instance V3", "Instance V4", "Group G1"] {
            wait(daemon, &format!("VRRP {who} - Entering {state} state"), count)?;
        }
        Ok::<(), String>(())
    };
    all(&daemon, "BACKUP", 1)?;
    all(&daemon, "MASTER", 1)?;
    switch.cable(&host, Cable::Out)?;
    all(&daemon, "FAULT", 1)?;
    switch.cable(&host, Cable::In)?;
    all(&daemon, "MASTER", 2)?;
    daemon.reload(&text(""))?;
    wait(&daemon, "VRRP Instance V3 - Deleted", 1)?;
    wait(&daemon, "VRRP Instance V4 - Entering FAULT state", 2)?;
    daemon.stop()?;
    Ok(relay.letters())
}

fn put_off(lab: &Lab) -> Outcome {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let relay = Relay::on(&host, 2525)?;
    relay.refuse(1);
    let text = |more: &str| format!("{}{}{}", global(&relay, more), one("V1", 101, ""), one("V2", 102, ""));
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text(""))?;
    relay.wait(secs(9.0), "VRRP Instance V1 - Entering BACKUP state", 1).map_err(|e| daemon.explain(e))?;
    relay.wait(secs(9.0), "VRRP Instance V2 - Entering MASTER state", 1).map_err(|e| daemon.explain(e))?;
    daemon.stop()?;
    for last in ["VRRP Instance V1 - Stopping", "VRRP Instance V2 - Stopping"] {
        relay.wait(secs(0.1), last, 1).map_err(|e| daemon.explain(e))?;
    }
    // The first is a mail, what follows it within the time is another.
    let before = relay.letters().len();
    let mut daemon = Daemon::start_on(
        &host,
        &lab.subject,
        &lab.directory.join("again"),
        &text("@keepalived-rs mail_digest 6"),
    )?;
    let digest = relay.wait(secs(12.0), "[my router] 3 changes", 1).map_err(|e| daemon.explain(e))?;
    ensure!(relay.letters().len() == before + 2, "{:#?}", relay.letters());
    let lines = digest.said.join("\n");
    for what in ["V2 - Entering BACKUP state", "V1 - Entering MASTER state", "V2 - Entering MASTER state"] {
        ensure!(lines.contains(what), "{lines}");
    }
    daemon.stop()?;
    Ok(())
}

fn servers(lab: &Lab) -> Outcome {
    beside(lab, live_servers).map(drop)
}

/// Four real servers with checks of four kinds go down and come up again; the quorum with them.
fn live_servers(lab: &Lab) -> Outcome<Vec<Letter>> {
    let flag = lab.directory.join("flag");
    let script = lab.directory.join("check.sh");
    write_script(&script, &format!("#!/bin/sh\ntest ! -e {}\n", flag.display()))?;
    let http = "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 2\ndelay_loop 1\nretry 0\nwarmup 0\n}";
    let misc = format!("MISC_CHECK {{\nmisc_path \"{}\"\nmisc_timeout 2\nwarmup 0\n}}", script.display());
    let words = "delay_loop 1\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nquorum 3\nsmtp_alert";
    let reals = [
        real(1, 80, TCP_CHECK),
        real(2, 80, http),
        real(3, 80, &misc),
        real(4, 80, &format!("smtp_alert off\n{TCP_CHECK}")),
    ];
    let text = |global: &str| {
        let reals: Vec<&str> = reals.iter().map(String::as_str).collect();
        format!("{global}{}", service("10.9.0.100 80", words, &reals))
    };
    let mut farm = Farm::new(lab, 4, "")?;
    let relay = Relay::on(&farm.director, 2525)?;
    farm.daemon.configure(&text(&global(&relay, "")))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let wait = |farm: &Farm, number: u8, word: &str, count: usize| {
        let subject = format!(
            "Realserver [10.0.0.{}]:tcp:80 of virtual server [10.9.0.100]:tcp:80 - {word}",
            10 + number
        );
        relay.wait(secs(9.0), &subject, count).map_err(|e| farm.daemon.explain(e))
    };
    relay.wait(secs(9.0), "Virtualserver [10.9.0.100]:tcp:80 - UP", 1).map_err(|e| farm.daemon.explain(e))?;
    // A script is told of when it passes for the first time.
    wait(&farm, 3, "UP", 1)?;
    servers.drain(..2);
    wait(&farm, 1, "DOWN", 1)?;
    wait(&farm, 2, "DOWN", 1)?;
    fs::write(&flag, "").map_err(|e| e.to_string())?;
    wait(&farm, 3, "DOWN", 1)?;
    relay
        .wait(secs(9.0), "Virtualserver [10.9.0.100]:tcp:80 - DOWN", 1)
        .map_err(|e| farm.daemon.explain(e))?;
    fs::remove_file(&flag).map_err(|e| e.to_string())?;
    let _again = (Server::named(&farm.reals[0], 80)?, Server::named(&farm.reals[1], 80)?);
    wait(&farm, 1, "UP", 1)?;
    wait(&farm, 2, "UP", 1)?;
    wait(&farm, 3, "UP", 2)?;
    relay.wait(secs(9.0), "Virtualserver [10.9.0.100]:tcp:80 - UP", 2).map_err(|e| farm.daemon.explain(e))?;
    farm.daemon.stop()?;
    Ok(relay.letters())
}

/// What is in each box of a real server equals what stock leaves there, but for its last words, which do not arrive.
fn boxes(lab: &Lab) -> Outcome {
    let is_stock = lab.subject.is_stock();
    let in_boxes = |program: &Program, name: &str| {
        let directory = lab.directory.join(name);
        fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
        posted(program, &directory)
    };
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| in_boxes(&Program::stock(), "stock"));
        (in_boxes(&lab.subject, "subject"), theirs.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (ours, theirs) = (ours?, theirs.map_err(|e| format!("stock: {e}"))?);
    let last = |mail: &&String| mail.contains(" - Stopping\n");
    let lasting = |mails: &[String]| mails.iter().filter(|mail| !last(mail)).cloned().collect::<Vec<_>>();
    for (who, (ours, theirs)) in ["a", "b", "c"].into_iter().zip(ours.iter().zip(&theirs)) {
        let (mut one, mut other) = (lasting(ours), lasting(theirs));
        one.sort();
        other.sort();
        ensure!(one == other && one.len() == 9, "{who} got {one:#?}\nof stock {other:#?}");
        let ends = ours.iter().filter(last).count();
        ensure!(is_stock || ends == 3, "{ends} last words for {who}: {ours:#?}");
        if !is_stock {
            // Each in its order; stock's mails race.
            let place = |what: &str| ours.iter().position(|mail| mail.contains(what));
            let order =
                ["V1 - Entering BACKUP", "V1 - Entering MASTER", "V1 - Entering FAULT", "V1 - Stopping"];
            ensure!(order.map(place).is_sorted(), "{ours:#?}");
        }
    }
    if is_stock {
        return Ok(());
    }
    let digest = gathered(lab)?;
    ensure!(digest.lines().filter(|line| line.contains("VRRP Instance V")).count() >= 2, "{digest}");
    Ok(())
}

/// The configuration of a mail case with a real server: two instances, a group, short intervals.
fn quick(more: &str) -> String {
    let global = "global_defs {\n router_id \"my router\"\n script_user root\n vrrp_version 3\n smtp_helo_name helo.example.org\n \
                  notification_email_from k@example.org\n notification_email {\n a@example.org\n \
                  b@example.org\n c@example.org\n }\n smtp_alert\n";
    let group = "vrrp_sync_group G1 {\n group {\n V1\n }\n}\n";
    let instances = [101, 102].map(|vrid: u8| {
        let words = format!("advert_int 0.2\nvirtual_ipaddress {{\n 10.0.0.{vrid}\n}}");
        instance(&format!("V{}", vrid - 100), vrid, "eth0", vrid, &words)
    });
    format!("{global} {}\n {more}\n}}\n{}{group}", PostOffice::words(), instances.concat())
}

/// A start, an election, a fault, a stop; the boxes of the three recipients.
fn posted(program: &Program, directory: &std::path::Path) -> Outcome<[Vec<String>; 3]> {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let office = PostOffice::on(&host, directory)?;
    let mut daemon = Daemon::start_on(&host, program, directory, &quick(""))?;
    let all = |daemon: &Daemon, state: &str| {
        for who in ["Instance V1", "Instance V2", "Group G1"] {
            for recipient in ["a", "b", "c"] {
                office
                    .wait(secs(9.0), recipient, &format!("VRRP {who} - Entering {state} state"))
                    .map_err(|e| daemon.explain(e))?;
            }
        }
        Ok::<(), String>(())
    };
    all(&daemon, "MASTER")?;
    switch.cable(&host, Cable::Out)?;
    all(&daemon, "FAULT")?;
    daemon.stop()?;
    // The server takes them before the daemon ends, and puts them into the boxes when it comes to it.
    for recipient in ["a", "b", "c"].into_iter().filter(|_| !program.is_stock()) {
        for who in ["Instance V1", "Instance V2", "Group G1"] {
            office.wait(secs(9.0), recipient, &format!("VRRP {who} - Stopping"))?;
        }
    }
    Ok(["a", "b", "c"].map(|who| office.mails(who)))
}

/// What a storm becomes: the one mail behind the first.
fn gathered(lab: &Lab) -> Outcome<String> {
    let directory = lab.directory.join("digest");
    fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let office = PostOffice::on(&host, &directory)?;
    // Names beside the addresses: 2.2.7 hands them to the server as they are, which wants none.
    let text = quick("@keepalived-rs mail_digest 3")
        .replace("email_from k@example.org", "email_from \"Kee Pal <k@example.org>\"")
        .replace("\n c@example.org", "\n \"Some One <c@example.org>\"");
    let mut daemon = Daemon::start_on(&host, &lab.subject, &directory, &text)?;
    let digest = office.wait(secs(9.0), "c", " changes").map_err(|e| daemon.explain(e))?;
    daemon.stop()?;
    Ok(digest)
}
