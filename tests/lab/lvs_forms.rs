//! Every form of a service, in the table of the subject and in that of stock: `ipvsadm -Sn` of both must be one text. And what
//! clients see while the daemon reloads and its processes die.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::farm::{Farm, SERVICE, TCP_CHECK, real, service};
use crate::kit::daemon::Daemon;
use crate::kit::http::{Server, answers, get};
use crate::kit::ipvs::brief;
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_every_form_of_a_service_is_stocks", forms),
    Case::guest("lvs_no_request_fails_while_others_change_and_processes_die_nat", undisturbed_nat),
    Case::guest("lvs_no_request_fails_while_others_change_and_processes_die_dr", undisturbed_dr),
    Case::guest("lvs_no_request_fails_while_others_change_and_processes_die_tun", undisturbed_tun),
    Case::guest("lvs_clients_see_weights_and_the_sorry_server_nat", clients_nat),
    Case::guest("lvs_clients_see_weights_and_the_sorry_server_dr", clients_dr),
    Case::guest("lvs_clients_see_weights_and_the_sorry_server_tun", clients_tun),
    Case::guest("lvs_lost_checkers_leave_an_active_sorry_server_alone", sorry_survives).ours_only(),
];

/// A virtual server at its own port with these words, and these real servers.
fn form(text: &mut String, head: &str, words: &str, reals: &[&str]) {
    let reals: Vec<String> = reals
        .iter()
        .map(|real| {
            let (head, words) = real.split_once(' ').unwrap_or((real, ""));
            let (port, words) = words.split_once(' ').unwrap_or((words, ""));
            format!("    real_server {head} {port} {{\n{}\n    }}", words.replace(';', "\n"))
        })
        .collect();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "virtual_server {head} {{\n{}\n{}\n}}", words.replace(';', "\n"), reals.join("\n"));
}

fn every_form() -> String {
    let mut text = String::from(
        "virtual_server_group RANGES {\n 10.9.1.1-5 80\n 10.9.2.250-254 81\n 10.9.5.5 83\n}\n\
         virtual_server_group MIXED {\n 10.9.6.1 80\n fd00:9::1-4 80\n fwmark 70 inet\n fwmark 70 inet6\n}\n\
         virtual_server_group MARKS {\n fwmark 71\n fwmark 72\n 10.9.7.1 80\n}\n",
    );
    let all: &[(&str, &str, &[&str])] = &[
        // Ports and protocols.
        (
            "10.9.0.1 80",
            "lvs_sched rr;lvs_method NAT;protocol TCP",
            &["10.0.0.1 8080 weight 3", "10.0.0.2 80"],
        ),
        (
            "10.9.0.1 53",
            "lvs_sched wrr;lvs_method NAT;protocol UDP",
            &["10.0.0.1 5353", "10.0.0.2 53 weight 0"],
        ),
        ("10.9.0.1 2905", "lvs_sched lc;lvs_method DR;protocol SCTP", &["10.0.0.1 2905"]),
        ("10.9.0.2 0", "lvs_sched rr;lvs_method DR;protocol TCP", &["10.0.0.1 0", "10.0.0.2 0 weight 9"]),
        ("10.9.0.3", "lvs_sched rr;lvs_method NAT;protocol TCP;persistence_timeout 77", &["10.0.0.1 0"]),
        ("10.9.0.4 69", "lvs_sched rr;lvs_method NAT;protocol UDP;ops", &["10.0.0.1 69"]),
        // Persistence.
        ("10.9.0.5 80", "lvs_sched rr;lvs_method NAT;protocol TCP;persistence_timeout", &["10.0.0.1 80"]),
        (
            "10.9.0.5 81",
            "lvs_sched rr;lvs_method NAT;protocol TCP;persistence_granularity 255.255.0.0",
            &["10.0.0.1 80"],
        ),
        (
            "10.9.0.5 5060",
            "lvs_sched rr;lvs_method NAT;protocol UDP;ops;persistence_timeout 60;persistence_engine sip",
            &["10.0.0.1 5060"],
        ),
        // Marks.
        ("fwmark 7", "lvs_sched wlc;lvs_method DR", &["10.0.0.1 0", "10.0.0.2 0 weight 4"]),
        ("fwmark 8", "lvs_sched rr;lvs_method NAT;persistence_timeout 5", &["10.0.0.1 8080"]),
        ("fwmark 9", "ip_family inet6;lvs_sched rr;lvs_method TUN", &["10.0.0.1 0", "fd00::1 0"]),
        ("fwmark 10", "lvs_sched rr;lvs_method NAT", &["fd00::1 80", "fd00::2 81"]),
        // IPv6, and both families.
        (
            "fd00:9::10 80",
            "lvs_sched rr;lvs_method NAT;protocol TCP",
            &["fd00::1 8080", "fd00::2 80 weight 5"],
        ),
        (
            "fd00:9::10 53",
            "lvs_sched rr;lvs_method DR;protocol UDP;persistence_granularity 64",
            &["fd00::1 53"],
        ),
        ("fd00:9::11 80", "lvs_sched rr;lvs_method TUN;protocol TCP", &["10.0.0.1 80", "fd00::1 80"]),
        ("10.9.0.12 80", "lvs_sched rr;lvs_method TUN;protocol TCP", &["fd00::1 80", "10.0.0.1 80"]),
        // Schedulers' flags.
        ("10.9.0.20 1", "lvs_sched sh;sh-port;sh-fallback;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
        ("10.9.0.20 2", "lvs_sched mh;mh-port;mh-fallback;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
        ("10.9.0.20 3", "lvs_sched mh;flag-2;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
        ("10.9.0.20 4", "lvs_sched rr;flag-1;flag-2;flag-3;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
        ("10.9.0.20 5", "lvs_sched sh;flag-3;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
        ("10.9.0.20 6", "lb_algo twos;lb_kind NAT;protocol TCP", &["10.0.0.1 80"]),
        // Tunnels.
        (
            "10.9.0.30 80",
            "lvs_sched rr;lvs_method TUN type ipip;protocol TCP",
            &["10.0.0.1 80", "10.0.0.2 80 lvs_method NAT", "10.0.0.3 80 lvs_method DR"],
        ),
        (
            "10.9.0.31 80",
            "lvs_sched rr;lvs_method TUN type gue port 6080;protocol TCP",
            &[
                "10.0.0.1 80",
                "10.0.0.2 80 lvs_method TUN type gue port 6081 csum",
                "10.0.0.3 80 lvs_method TUN type gue port 6082 remcsum",
                "10.0.0.4 80 lvs_method TUN type gre csum",
                "10.0.0.5 80 lvs_method TUN type gre nocsum",
            ],
        ),
        // Thresholds, weights.
        (
            "10.9.0.40 80",
            "lvs_sched wrr;lvs_method NAT;protocol TCP;weight 6",
            &["10.0.0.1 80 uthreshold 10;lthreshold 5", "10.0.0.2 80 weight 65535", "10.0.0.3 80 weight 0"],
        ),
        // The sorry server: waiting, waiting in the table, in service.
        (
            "10.9.0.50 80",
            "lvs_sched rr;lvs_method NAT;protocol TCP;sorry_server 10.0.0.9 99",
            &["10.0.0.1 80"],
        ),
        (
            "10.9.0.50 81",
            "lvs_sched rr;lvs_method NAT;protocol TCP;sorry_server 10.0.0.9 99;sorry_server_inhibit;\
             sorry_server_lvs_method TUN",
            &["10.0.0.1 80"],
        ),
        (
            "10.9.0.50 82",
            "lvs_sched rr;lvs_method NAT;protocol TCP;alpha;inhibit_on_failure;sorry_server 10.0.0.9 99",
            &[
                "10.0.0.1 80 TCP_CHECK {;warmup 60;}",
                "10.0.0.2 80 inhibit_on_failure no;TCP_CHECK {;warmup 60;}",
            ],
        ),
        // Groups.
        (
            "group RANGES",
            "lvs_sched rr;lvs_method NAT;protocol TCP",
            &["10.0.0.1 80", "10.0.0.2 80 weight 2"],
        ),
        ("group RANGES", "lvs_sched rr;lvs_method DR;protocol UDP", &["10.0.0.1 80"]),
        ("group MIXED", "lvs_sched rr;lvs_method TUN;protocol TCP", &["10.0.0.1 80", "fd00::1 80"]),
        ("group MARKS", "lvs_sched rr;lvs_method NAT;protocol TCP", &["10.0.0.1 80"]),
    ];
    for (head, words, reals) in all {
        form(&mut text, head, words, reals);
    }
    text
}

/// The table as text that would make it again, sorted: the kernel lists by its hashes.
fn saved(host: &Host) -> Outcome<Vec<String>> {
    let text = host.space.run("ipvsadm", &["-Sn"])?;
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    Ok(lines)
}

fn forms(lab: &Lab) -> Outcome {
    let text = every_form();
    let tables: Vec<Vec<String>> = [("a", &lab.subject), ("b", &lab.peer)]
        .into_iter()
        .map(|(name, program)| {
            let host = Host::new(name)?;
            let daemon = Daemon::start_on(&host, program, &lab.directory, &text)?;
            daemon.wait_log("Startup complete", secs(10.0))?;
            // Complete when it has stopped growing.
            let mut last = Vec::new();
            until(secs(10.0), "the whole table", || {
                let now = saved(&host).ok()?;
                let done = now.len() > 60 && now == last;
                last = now;
                std::thread::sleep(Duration::from_millis(300));
                done.then_some(())
            })
            .map_err(|e| daemon.explain(format!("{e}\n{}", last.join("\n"))))?;
            Ok(last)
        })
        .collect::<Outcome<_>>()?;
    let (ours, stock) = (&tables[0], &tables[1]);
    let missing: Vec<_> = stock.iter().filter(|line| !ours.contains(line)).collect();
    let surplus: Vec<_> = ours.iter().filter(|line| !stock.contains(line)).collect();
    ensure!(ours == stock, "stock has {missing:#?}\nthe subject has {surplus:#?}");
    Ok(())
}

/// A client that asks again and again; how often it was answered, and how often not.
struct Asking {
    ending: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Asking {
    fn start(farm: Farm) -> (Self, Arc<Farm>) {
        let farm = Arc::new(farm);
        let (ending, answered): (Arc<AtomicBool>, Arc<AtomicU32>) = Default::default();
        let thread = std::thread::spawn({
            let (farm, ending, answered) = (Arc::clone(&farm), Arc::clone(&ending), Arc::clone(&answered));
            move || {
                let mut failures = Vec::new();
                while !ending.load(Ordering::Relaxed) {
                    match get(&farm.client.space, SERVICE, 80, Duration::from_secs(5)) {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(e) => failures.push(e),
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                failures
            }
        });
        (Self { ending, answered, thread }, farm)
    }

    /// At least so many more answers have come.
    fn wait_more(&self, count: u32) -> Outcome {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        until(secs(10.0), format!("{count} more answers"), || {
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        })
    }

    fn end(self) -> Outcome {
        self.ending.store(true, Ordering::Relaxed);
        let failures = self.thread.join().map_err(|_| "the client panicked".to_owned())?;
        ensure!(failures.is_empty(), "requests failed: {failures:?}");
        Ok(())
    }
}

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";

fn undisturbed_nat(lab: &Lab) -> Outcome {
    undisturbed(lab, "NAT", "Masq", |_| Ok(()))
}

fn undisturbed_dr(lab: &Lab) -> Outcome {
    undisturbed(lab, "DR", "Route", |farm| farm.take_in("lo"))
}

fn undisturbed_tun(lab: &Lab) -> Outcome {
    undisturbed(lab, "TUN", "Tunnel", |farm| farm.take_in("tunl0"))
}

fn undisturbed(lab: &Lab, kind: &str, forward: &str, prepare: impl FnOnce(&Farm) -> Outcome) -> Outcome {
    let words = WORDS.replace("NAT", kind);
    let own = service(&format!("{SERVICE} 80"), &words, &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK)]);
    let mut farm = Farm::new(lab, 2, &own)?;
    prepare(&farm)?;
    let _servers = farm.servers()?;
    farm.start()?;
    let table = format!("TCP 10.9.0.100:80 rr: 10.0.0.11:80 {forward} 1, 10.0.0.12:80 {forward} 1");
    farm.table(&[&table], 10.0)?;
    farm.daemon.wait_log("TCP connection to [10.0.0.12]:tcp:80 success.", secs(8.0))?;
    let (asking, farm) = Asking::start(farm);
    asking.wait_more(5)?;
    let other = |weight: u8| {
        service("10.9.0.100 99", WORDS, &[&real(1, 80, &format!("weight {weight}")), &real(2, 99, TCP_CHECK)])
    };
    for text in [own.clone() + &other(1), own.clone() + &other(5), own] {
        farm.daemon.reload(&text)?;
        asking.wait_more(5)?;
    }
    let checkers = farm.daemon.pid("checkers")?;
    if !lab.subject.is_stock() {
        let known = [farm.daemon.pid("parent")?, checkers];
        for pid in farm.daemon.processes().into_iter().filter(|pid| !known.contains(pid)) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(|e| e.to_string())?;
        }
        asking.wait_more(20)?;
    }
    kill(Pid::from_raw(checkers), Signal::SIGKILL).map_err(|e| e.to_string())?;
    asking.wait_more(40)?;
    until(secs(8.0), "another checkers process", || {
        farm.daemon.pid("checkers").ok().filter(|new| *new != checkers)
    })?;
    asking.wait_more(10)?;
    asking.end().map_err(|e| farm.daemon.explain(e))
}

fn clients_nat(lab: &Lab) -> Outcome {
    clients(lab, "NAT", "Masq", |_| Ok(()))
}

fn clients_dr(lab: &Lab) -> Outcome {
    clients(lab, "DR", "Route", |farm| farm.take_in("lo"))
}

fn clients_tun(lab: &Lab) -> Outcome {
    clients(lab, "TUN", "Tunnel", |farm| farm.take_in("tunl0"))
}

/// Weights, a sorry server and its end, and beside it a service that knows its clients again.
fn clients(lab: &Lab, kind: &str, forward: &str, prepare: impl FnOnce(&Farm) -> Outcome) -> Outcome {
    let words = WORDS.replace("NAT", kind);
    let weighted = format!("{}\nsorry_server 10.0.0.13 80", words.replace("rr", "wrr"));
    let reals = [real(1, 80, &format!("weight 3\n{TCP_CHECK}")), real(2, 80, TCP_CHECK)];
    let text = service(&format!("{SERVICE} 80"), &weighted, &[&reals[0], &reals[1]])
        + &service(
            &format!("{SERVICE} 81"),
            &format!("{words}\npersistence_timeout 50"),
            &[&real(1, 81, ""), &real(2, 81, "")],
        );
    let mut farm = Farm::new(lab, 3, &text)?;
    prepare(&farm)?;
    let mut servers = farm.servers()?;
    let _steady = [Server::named(&farm.reals[0], 81)?, Server::named(&farm.reals[1], 81)?];
    farm.start()?;
    let steady =
        format!("TCP 10.9.0.100:81 rr persistent 50: 10.0.0.11:81 {forward} 1, 10.0.0.12:81 {forward} 1");
    let wait = |farm: &Farm, rest: &str| {
        let rest = rest.replace("FORWARD", forward);
        farm.table(&[&format!("TCP 10.9.0.100:80 wrr: {rest}"), &steady], 10.0)
    };
    let ask = |farm: &Farm, port: u16, count: u32| answers(&farm.client.space, SERVICE, port, count);
    wait(&farm, "10.0.0.11:80 FORWARD 3, 10.0.0.12:80 FORWARD 1")?;
    let counts = ask(&farm, 80, 8);
    let wanted = BTreeMap::from([("r1".to_owned(), 6), ("r2".to_owned(), 2)]);
    ensure!(counts == wanted, "answers {counts:?}");
    let known = ask(&farm, 81, 5);
    ensure!(known.len() == 1 && known.values().sum::<u32>() == 5, "answers {known:?}");
    servers.drain(..2);
    wait(&farm, "10.0.0.13:80 FORWARD 1")?;
    let counts = ask(&farm, 80, 3);
    ensure!(counts == BTreeMap::from([("r3".to_owned(), 3)]), "answers {counts:?}");
    servers.push(Server::named(&farm.reals[1], 80)?);
    wait(&farm, "10.0.0.12:80 FORWARD 1")?;
    let counts = ask(&farm, 80, 3);
    ensure!(counts == BTreeMap::from([("r2".to_owned(), 3)]), "answers {counts:?}");
    let again = ask(&farm, 81, 5);
    ensure!(again == known, "answers {known:?}, later {again:?}");
    Ok(())
}

fn sorry_survives(lab: &Lab) -> Outcome {
    let words = format!("{WORDS}\nsorry_server 10.0.0.12 80");
    let mut farm = Farm::new(lab, 2, &service(&format!("{SERVICE} 80"), &words, &[&real(1, 80, TCP_CHECK)]))?;
    let _sorry = Server::named(&farm.reals[1], 80)?;
    farm.start()?;
    let sorry = "TCP 10.9.0.100:80 rr: 10.0.0.12:80 Masq 1";
    farm.table(&[sorry], 10.0)?;
    let old = farm.daemon.pid("checkers")?;
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    until(secs(8.0), "another checkers process", || {
        farm.daemon.pid("checkers").ok().filter(|new| *new != old)
    })?;
    // Stock's successor puts the dead server in service beside it, until its first check.
    throughout(secs(3.0), "the sorry server stays alone", || {
        brief(&farm.director).is_ok_and(|found| found == [sorry])
    })
    .map_err(|e| farm.daemon.explain(e))?;
    let _server = Server::named(&farm.reals[0], 80)?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], 8.0)
}
