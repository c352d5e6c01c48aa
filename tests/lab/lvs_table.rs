//! What a configuration makes of the kernel's table, and what clients get through it.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::farm::{Farm, SERVICE, TCP_CHECK, real, service};
use crate::kit::http::{answers, get};
use crate::kit::ipvs::{brief, connections};
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_services_by_address_mark_and_group", kinds_of_service),
    Case::guest("lvs_every_scheduler", schedulers),
    Case::guest("lvs_forwarding_weights_and_persistence", forwarding),
    Case::guest("lvs_nat_spreads_the_clients", nat),
    Case::guest("lvs_dr_spreads_the_clients", dr),
    Case::guest("lvs_tun_spreads_the_clients", tun),
    Case::guest("lvs_persistence_keeps_a_client_where_it_was", persistence),
    Case::guest("lvs_a_reload_keeps_the_counters_of_what_it_leaves", reload_keeps_counters),
    Case::guest("lvs_a_reload_changes_only_what_changed", reload_changes),
    Case::guest("lvs_a_broken_reload_leaves_the_table", reload_broken),
    Case::guest("lvs_stop_leaves_an_empty_table", stop),
    Case::guest("lvs_foreign_services_stay", foreign),
    Case::guest("lvs_lost_checkers_are_replaced_and_the_table_stays", checkers_killed),
    Case::guest("lvs_lost_checkers_do_not_bring_dead_servers_back", checkers_killed_with_dead_server)
        .ours_only(),
    Case::guest("lvs_a_lost_prober_is_replaced_and_nobody_notices", prober_killed).ours_only(),
];

fn kinds_of_service(lab: &Lab) -> Outcome {
    let words = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
    let text = [
        service("10.9.0.100 80", words, &[&real(1, 80, ""), &real(2, 80, "weight 5")]),
        service("10.9.0.100 53", "lvs_sched wlc\nlvs_method DR\nprotocol UDP", &[&real(1, 53, "")]),
        service("fwmark 7", "lvs_sched rr\nlvs_method DR", &[&real(2, 0, "")]),
        "virtual_server_group G {\n 10.9.0.101-103 8080\n 10.9.0.110 81\n fwmark 9\n}\n".to_owned(),
        service("group G", words, &[&real(1, 8080, "weight 2")]),
    ]
    .concat();
    let mut farm = Farm::new(lab, 2, &text)?;
    farm.start()?;
    farm.table(
        &[
            "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 5",
            "UDP 10.9.0.100:53 wlc: 10.0.0.11:53 Route 1",
            "FWM 7 rr: 10.0.0.12:0 Route 1",
            "TCP 10.9.0.101:8080 rr: 10.0.0.11:8080 Masq 2",
            "TCP 10.9.0.102:8080 rr: 10.0.0.11:8080 Masq 2",
            "TCP 10.9.0.103:8080 rr: 10.0.0.11:8080 Masq 2",
            "TCP 10.9.0.110:81 rr: 10.0.0.11:8080 Masq 2",
            "FWM 9 rr: 10.0.0.11:8080 Masq 2",
        ],
        10.0,
    )
}

fn schedulers(lab: &Lab) -> Outcome {
    let names = ["rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq"];
    let mut text = String::new();
    let mut wanted = Vec::new();
    for (port, name) in (1001_u16..).zip(names) {
        let words = format!("lvs_sched {name}\nlvs_method NAT\nprotocol TCP");
        text += &service(&format!("10.9.0.100 {port}"), &words, &[&real(1, 80, "")]);
        wanted.push(format!("TCP 10.9.0.100:{port} {name}: 10.0.0.11:80 Masq 1"));
    }
    let mut farm = Farm::new(lab, 1, &text)?;
    farm.start()?;
    farm.table(&wanted.iter().map(String::as_str).collect::<Vec<_>>(), 15.0)
}

fn forwarding(lab: &Lab) -> Outcome {
    let text = [
        service("10.9.0.100 80", "lb_algo wrr\nlb_kind NAT\nprotocol TCP\npersistence_timeout 50", &[
            &real(1, 80, "weight 3"),
            &real(2, 80, "weight 0"),
        ]),
        service(
            "10.9.0.100 81",
            "lb_algo rr\nlb_kind TUN\nprotocol TCP\npersistence_timeout 30\npersistence_granularity 255.255.255.0",
            &[&real(1, 81, "")],
        ),
        service("10.9.0.100 82", "lb_algo rr\nlb_kind DR\nprotocol UDP\nops", &[&real(1, 82, "lvs_method NAT\nweight 65535")]),
        service("10.9.0.100 83", "lb_algo sh\nsh-port\nsh-fallback\nlb_kind DR\nprotocol TCP", &[&real(1, 83, "")]),
    ]
    .concat();
    let mut farm = Farm::new(lab, 2, &text)?;
    farm.start()?;
    farm.table(
        &[
            "TCP 10.9.0.100:80 wrr persistent 50: 10.0.0.11:80 Masq 3, 10.0.0.12:80 Masq 0",
            "TCP 10.9.0.100:81 rr persistent 30 mask 255.255.255.0: 10.0.0.11:81 Tunnel 1",
            "UDP 10.9.0.100:82 rr ops: 10.0.0.11:82 Masq 65535",
            "TCP 10.9.0.100:83 sh (sh-fallback,sh-port): 10.0.0.11:83 Route 1",
        ],
        10.0,
    )
}

/// Ten requests over two servers in turn.
fn in_turn(farm: &Farm) -> Outcome {
    let counts = answers(&farm.client.space, SERVICE, 80, 10);
    let wanted = BTreeMap::from([("r1".to_owned(), 5), ("r2".to_owned(), 5)]);
    ensure!(counts == wanted, "answers {counts:?}\ntable {:?}", brief(&farm.director));
    Ok(())
}

fn two_servers(kind: &str, words: &str) -> String {
    service(
        &format!("{SERVICE} 80"),
        &format!("lb_algo rr\nlb_kind {kind}\nprotocol TCP\n{words}"),
        &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK)],
    )
}

fn traffic(lab: &Lab, kind: &str, forward: &str, prepare: impl FnOnce(&Farm) -> Outcome) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers(kind, ""))?;
    prepare(&farm)?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let both = format!("TCP 10.9.0.100:80 rr: 10.0.0.11:80 {forward} 1, 10.0.0.12:80 {forward} 1");
    let one = format!("TCP 10.9.0.100:80 rr: 10.0.0.11:80 {forward} 1");
    farm.table(&[&both], 10.0)?;
    in_turn(&farm)?;
    servers.pop();
    farm.table(&[&one], 8.0)?;
    let counts = answers(&farm.client.space, SERVICE, 80, 4);
    ensure!(counts == BTreeMap::from([("r1".to_owned(), 4)]), "answers {counts:?}");
    let servers = (servers, crate::kit::http::Server::named(&farm.reals[1], 80)?);
    farm.table(&[&both], 8.0)?;
    in_turn(&farm)?;
    drop(servers);
    Ok(())
}

fn nat(lab: &Lab) -> Outcome {
    traffic(lab, "NAT", "Masq", |_| Ok(()))
}

fn dr(lab: &Lab) -> Outcome {
    // The answers do not come back through the director's service: the real servers own the address.
    traffic(lab, "DR", "Route", |farm| farm.take_in("lo"))
}

fn tun(lab: &Lab) -> Outcome {
    traffic(lab, "TUN", "Tunnel", |farm| farm.take_in("tunl0"))
}

fn persistence(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", "persistence_timeout 50"))?;
    let _servers = farm.servers()?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr persistent 50: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 10.0)?;
    let counts = answers(&farm.client.space, SERVICE, 80, 6);
    ensure!(counts.len() == 1 && counts.values().sum::<u32>() == 6, "answers {counts:?}");
    Ok(())
}

/// The kernel sums its counters every two seconds.
fn wait_connections(farm: &Farm, service: &str, wanted: u64) -> Outcome {
    let mut found = 0;
    until(secs(5.0), format!("{service} to count {wanted} connections"), || {
        found = connections(&farm.director, service).ok()?;
        (found == wanted).then_some(())
    })
    .map_err(|e| format!("{e}; it counts {found}"))
}

fn reload_keeps_counters(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 3, &two_servers("NAT", ""))?;
    let _servers = farm.servers()?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 10.0)?;
    in_turn(&farm)?;
    wait_connections(&farm, "10.9.0.100:80", 10)?;
    let more =
        service(
            &format!("{SERVICE} 80"),
            "lb_algo rr\nlb_kind NAT\nprotocol TCP",
            &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK), &real(3, 80, TCP_CHECK)],
        ) + &service("10.9.0.100 81", "lb_algo rr\nlb_kind NAT\nprotocol TCP", &[&real(1, 80, TCP_CHECK)]);
    farm.daemon.reload(&more)?;
    farm.table(
        &[
            "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1, 10.0.0.13:80 Masq 1",
            "TCP 10.9.0.100:81 rr: 10.0.0.11:80 Masq 1",
        ],
        5.0,
    )?;
    wait_connections(&farm, "10.9.0.100:80", 10)?;
    wait_connections(&farm, "10.0.0.11:80", 5)
}

fn reload_changes(lab: &Lab) -> Outcome {
    let words = "lb_kind NAT\nprotocol TCP";
    let text = |algo: &str, weight: u8, second: bool| {
        let second = if second { real(2, 80, "") } else { String::new() };
        let words = format!("lb_algo {algo}\n{words}");
        service("10.9.0.100 80", &words, &[&real(1, 80, &format!("weight {weight}")), &second])
    };
    let mut farm = Farm::new(lab, 2, &text("rr", 1, true))?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 10.0)?;
    farm.daemon.reload(&text("rr", 7, true))?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 7, 10.0.0.12:80 Masq 1"], 5.0)?;
    farm.daemon.reload(&text("wlc", 7, false))?;
    farm.table(&["TCP 10.9.0.100:80 wlc: 10.0.0.11:80 Masq 7"], 5.0)?;
    farm.daemon.reload(&service("10.9.0.100 90", &format!("lb_algo rr\n{words}"), &[&real(2, 90, "")]))?;
    farm.table(&["TCP 10.9.0.100:90 rr: 10.0.0.12:90 Masq 1"], 5.0)
}

fn reload_broken(lab: &Lab) -> Outcome {
    let text = two_servers("NAT", "");
    let mut farm = Farm::new(lab, 2, &text)?;
    let _servers = farm.servers()?;
    farm.start()?;
    let table = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1";
    farm.table(&[table], 10.0)?;
    farm.daemon.reload(&text.replace("lb_algo rr", "lb_algo rr\n nonsense_word 5"))?;
    throughout(secs(3.0), "the table stays", || brief(&farm.director).is_ok_and(|found| found == [table]))
        .map_err(|e| farm.daemon.explain(e))
}

fn stop(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", ""))?;
    let _servers = farm.servers()?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 10.0)?;
    farm.daemon.wait_log("TCP connection to [10.0.0.11]:tcp:80 success.", secs(5.0))?;
    let (_, status) = farm.daemon.stop()?;
    ensure!(status.success(), "exit {status}");
    farm.table(&[], 1.0)?;
    let left = farm.director.space.processes();
    ensure!(left.is_empty(), "processes left: {left:?}");
    ensure!(!farm.daemon.pid_file("checkers").exists(), "the checkers' pid file is left");
    Ok(())
}

fn foreign(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", ""))?;
    farm.director.space.run("ipvsadm", &["-A", "-t", "10.9.0.100:99", "-s", "lc"])?;
    farm.director.space.run("ipvsadm", &["-a", "-t", "10.9.0.100:99", "-r", "10.0.0.11:99", "-m"])?;
    let _servers = farm.servers()?;
    farm.start()?;
    let (own, other) = (
        "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1",
        "TCP 10.9.0.100:99 lc: 10.0.0.11:99 Masq 1",
    );
    farm.table(&[own, other], 10.0)?;
    farm.daemon.stop()?;
    farm.table(&[other], 1.0)
}

fn kill_checkers(farm: &Farm) -> Outcome {
    let old = farm.daemon.pid("checkers")?;
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    until(secs(8.0), "another checkers process", || {
        farm.daemon.pid("checkers").ok().filter(|new| *new != old)
    })
    .map(drop)
    .map_err(|e| farm.daemon.explain(e))
}

fn checkers_killed(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", ""))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let both = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1";
    farm.table(&[both], 10.0)?;
    in_turn(&farm)?;
    kill_checkers(&farm)?;
    throughout(secs(2.0), "the table stays", || brief(&farm.director).is_ok_and(|found| found == [both]))
        .map_err(|e| farm.daemon.explain(e))?;
    wait_connections(&farm, "10.9.0.100:80", 10)?;
    // The new process checks as the old one did.
    servers.pop();
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], 10.0)?;
    farm.daemon.stop()?;
    farm.table(&[], 1.0)
}

fn checkers_killed_with_dead_server(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", ""))?;
    let mut servers = farm.servers()?;
    servers.pop();
    farm.start()?;
    let one = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1";
    farm.table(&[one], 10.0)?;
    kill_checkers(&farm)?;
    throughout(secs(4.0), "the dead server stays out", || {
        brief(&farm.director).is_ok_and(|found| found == [one])
    })
    .map_err(|e| farm.daemon.explain(e))?;
    ensure!(get(&farm.client.space, SERVICE, 80, secs(1.0)).is_ok_and(|who| who == "r1"), "no answer");
    Ok(())
}

fn prober_killed(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("NAT", ""))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let both = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1";
    farm.table(&[both], 10.0)?;
    farm.daemon.wait_log("TCP connection to [10.0.0.12]:tcp:80 success.", secs(8.0))?;
    let known = [farm.daemon.pid("parent")?, farm.daemon.pid("checkers")?];
    let others = |farm: &Farm| {
        farm.daemon.processes().into_iter().filter(|pid| !known.contains(pid)).collect::<Vec<_>>()
    };
    let old = others(&farm);
    ensure!(!old.is_empty(), "no process beside the parent and the checkers");
    for pid in &old {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).map_err(|e| e.to_string())?;
    }
    throughout(secs(3.0), "the table stays", || brief(&farm.director).is_ok_and(|found| found == [both]))
        .map_err(|e| farm.daemon.explain(e))?;
    ensure!(farm.daemon.pid("checkers")? == known[1], "the checkers went with it");
    ensure!(others(&farm).iter().all(|pid| !old.contains(pid)), "the killed process is still there");
    servers.pop();
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], 10.0)
}
