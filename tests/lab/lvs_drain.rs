//! Slow start, drain, the least that stay in service (ours: stock has none of them).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::farm::{Farm, SERVICE, TCP_CHECK, real, service};
use crate::kit::http::{Server, answers, get};
use crate::kit::ipvs::{brief, table};
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_a_drained_server_keeps_its_connections_and_gets_no_new_ones", drain).ours_only(),
    Case::guest("lvs_a_server_that_comes_back_starts_slowly", slow_start).ours_only(),
    Case::guest("lvs_min_in_service_keeps_failed_servers", min_in_service).ours_only(),
];

fn two_servers(settings: &str) -> String {
    service(
        &format!("{SERVICE} 80"),
        &format!("lb_algo wrr\nlb_kind NAT\nprotocol TCP\n{settings}"),
        &[&real(1, 80, &format!("weight 50\n{TCP_CHECK}")), &real(2, 80, &format!("weight 50\n{TCP_CHECK}"))],
    )
}

/// The program's own command line, where the daemon's files are; what it said, and whether it was content.
fn command(farm: &Farm, words: &str) -> Outcome<(bool, String)> {
    let parent = farm.daemon.pid("parent")?.to_string();
    let program = farm.daemon.program.path.display().to_string();
    let mut all = vec!["-t", &parent, "-m", "--", &program];
    all.extend(words.split(' '));
    let output = farm.director.space.output("nsenter", &all)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

const BOTH: &str = "TCP 10.9.0.100:80 wrr: 10.0.0.11:80 Masq 50, 10.0.0.12:80 Masq 50";
const DRAINED: &str = "TCP 10.9.0.100:80 wrr: 10.0.0.11:80 Masq 0, 10.0.0.12:80 Masq 50";

/// A request to the first server that is never quite finished: a line of its header a second.
struct Lasting {
    stream: TcpStream,
    ending: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Lasting {
    fn begin(farm: &Farm) -> Outcome<Self> {
        let mut stream = connection(farm)?;
        let mut other = stream.try_clone().map_err(|e| e.to_string())?;
        stream.write_all(b"GET / HTTP/1.0\r\n").map_err(|e| e.to_string())?;
        let ending: Arc<AtomicBool> = Arc::default();
        let thread = std::thread::spawn({
            let ending = Arc::clone(&ending);
            move || {
                while !ending.load(Ordering::Relaxed) && other.write_all(b"A: b\r\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        });
        Ok(Self { stream, ending, thread })
    }

    /// Finishes it; the answer.
    fn finish(mut self) -> Outcome<String> {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the client panicked".to_owned())?;
        let mut answer = String::new();
        let limit = Some(Duration::from_secs(10));
        (self.stream.set_read_timeout(limit))
            .and_then(|()| self.stream.write_all(b"\r\n"))
            .and_then(|()| self.stream.read_to_string(&mut answer))
            .map_err(|e| format!("the open connection: {e}"))?;
        Ok(answer)
    }
}

/// A connection to the first server.
fn connection(farm: &Farm) -> Outcome<TcpStream> {
    until(secs(8.0), "a connection to r1", || {
        let address = SocketAddr::from((SERVICE, 80));
        let mut stream =
            farm.client.space.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(2))).ok()?;
        let peer = table(&farm.director).ok()?;
        let first = peer.first()?.destinations.first()?;
        if first.active > 0 {
            return Some(stream);
        }
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        None
    })
}

fn drain(lab: &Lab) -> Outcome {
    let text = two_servers("");
    let mut farm = Farm::new(lab, 2, &text)?;
    let _servers = farm.servers()?;
    farm.start()?;
    farm.table(&[BOTH], 10.0)?;
    let open = Lasting::begin(&farm)?;
    let (done, said) = command(&farm, "drain 10.0.0.11:80")?;
    ensure!(done && said.contains("[10.0.0.11]:tcp:80 of [10.9.0.100]:tcp:80: drained until"), "{said}");
    farm.table(&[DRAINED], 3.0)?;
    let counts = answers(&farm.client.space, SERVICE, 80, 4);
    ensure!(counts.get("r2") == Some(&4), "answers {counts:?}");
    // It lives through a reload and the loss of the checkers.
    farm.daemon.reload(
        &(text + &service("10.9.0.100 99", "lb_algo rr\nlb_kind NAT\nprotocol TCP", &[&real(2, 80, "")])),
    )?;
    let old = farm.daemon.pid("checkers")?;
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    throughout(secs(2.0), "it stays drained", || {
        brief(&farm.director).is_ok_and(|found| found.contains(&DRAINED.to_owned()))
    })
    .map_err(|e| farm.daemon.explain(e))?;
    until(secs(8.0), "another checkers process", || {
        farm.daemon.pid("checkers").ok().filter(|new| *new != old)
    })?;
    let shown = until(secs(5.0), "an answer", || {
        command(&farm, "drain").ok().filter(|(done, _)| *done).map(|(_, said)| said)
    })?;
    ensure!(shown.contains("drained until it is undone"), "{shown}");
    let data = farm.daemon.dump(Signal::SIGUSR1, "tmp/keepalived_check.data")?;
    ensure!(data.contains("Drained until it is undone"), "{data}");
    // The connection that was there is still served.
    let answer = open.finish()?;
    ensure!(answer.trim_end().ends_with("r1"), "answer {answer}");
    let (done, said) = command(&farm, "drain 10.0.0.11 --undo")?;
    ensure!(done && said.contains("in service again"), "{said}");
    until(secs(3.0), "it is back", || {
        brief(&farm.director).ok().filter(|found| found.contains(&BOTH.to_owned()))
    })?;
    let (_, said) = command(&farm, "drain 10.0.0.11:80 --for 2s")?;
    ensure!(said.contains("drained for 2 s"), "{said}");
    farm.daemon
        .wait_log("Drain of service [10.0.0.11]:tcp:80 of VS [10.9.0.100]:tcp:80 is over", secs(5.0))?;
    let (done, said) = command(&farm, "drain 10.0.0.77")?;
    ensure!(!done && said.contains("no virtual server has such a real server"), "{said}");
    Ok(())
}

fn slow_start(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("@keepalived-rs slow_start 4"))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    farm.table(&[BOTH], 10.0)?;
    servers.remove(0);
    farm.table(&["TCP 10.9.0.100:80 wrr: 10.0.0.12:80 Masq 50"], 8.0)?;
    servers.push(Server::named(&farm.reals[0], 80)?);
    let mut weights = Vec::new();
    until(secs(12.0), "the whole weight", || {
        let services = table(&farm.director).ok()?;
        let first = services.first()?.destinations.iter().find(|it| it.address == "10.0.0.11:80")?;
        if weights.last() != Some(&first.weight) {
            weights.push(first.weight);
        }
        (first.weight == 50).then_some(())
    })
    .map_err(|e| farm.daemon.explain(format!("{e}\nweights {weights:?}")))?;
    ensure!(weights.len() >= 4 && weights.is_sorted(), "weights {weights:?}");
    ensure!(weights[0] <= 15, "weights {weights:?}");
    Ok(())
}

fn min_in_service(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, &two_servers("@keepalived-rs min_in_service 50"))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    farm.table(&[BOTH], 10.0)?;
    let (done, said) = command(&farm, "drain 10.0.0.11")?;
    ensure!(done, "{said}");
    let (done, said) = command(&farm, "drain 10.0.0.12")?;
    ensure!(!done && said.contains("min_in_service"), "{said}");
    command(&farm, "drain 10.0.0.11 --undo")?;
    servers.remove(0);
    let one = "TCP 10.9.0.100:80 wrr: 10.0.0.12:80 Masq 50";
    farm.table(&[one], 8.0)?;
    servers.clear();
    farm.daemon.wait_log("Keeping failed service [10.0.0.12]:tcp:80 in VS", secs(8.0))?;
    farm.table(&[one], 1.0)?;
    servers.push(Server::named(&farm.reals[0], 80)?);
    farm.table(&["TCP 10.9.0.100:80 wrr: 10.0.0.11:80 Masq 50"], 8.0)?;
    ensure!(get(&farm.client.space, SERVICE, 80, secs(2.0)).is_ok_and(|who| who == "r1"), "no answer");
    Ok(())
}
