//! Peers that are configured otherwise, second masters, and hosts that send rubbish.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::case::{Case, Lab};
use crate::kit::daemon::Program;
use crate::kit::inject::{Forged, Injector, arp};
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::pair::{A, B, Pair, VIP, config, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("others_a_peer_that_differs_is_named_and_its_end_is_announced", differs)
        .unlike_stock("spec/vrrp-behaviour.md trap 3: two masters, and it names neither peer nor end"),
    // Version, authentication and address list; the interval is above.
    Case::pair("others_every_field_that_differs_is_named_once_with_both_values", fields)
        .unlike_stock("spec/vrrp-behaviour.md §2: it logs what fails, not both values"),
    // spec/vrrp-behaviour.md §2 "A dropped advert never restarts the master-down timer of a BACKUP".
    Case::single("others_rejected_packets_delay_no_takeover", delayed),
    Case::pair("others_a_host_that_takes_the_address_is_noticed_by_its_arp", taken)
        .unlike_stock("spec/vrrp-behaviour.md §8: it does not listen to ARP"),
    Case::single("others_rejected_packets_silence_no_master", silenced)
        .unlike_stock("fault, spec/vrrp-behaviour.md §2 \"MASTER side defect\""),
    Case::single("others_a_full_pipe_of_log_lines_delays_no_advert", full_pipe).unlike_stock(
        "fault: it waits until somebody reads its standard error (spec/daemon-behaviour.md §2 -l)",
    ),
    Case::single("others_a_flood_of_rubbish_delays_no_advert", flood)
        .unlike_stock("fault, spec/vrrp-behaviour.md §2 \"MASTER side defect\"")
        .alone(),
];

const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

fn count(pair: &Pair, text: &str) -> usize {
    pair.a.log().iter().filter(|line| line.text.contains(text)).count()
}

fn differs(lab: &Lab) -> Outcome {
    let mut pair = Pair::started(lab, &config(150, ""), &config(100, "advert_int 2"))?;
    pair.wait_vip(A, secs(6.0))?;
    pair.wait_vip(B, secs(9.0))?;
    let named = "(VI_1) 10.0.0.2 differs in its advertisement interval: ours 1 s, theirs 2 s";
    pair.a.wait_log(named, secs(4.0))?;
    pair.a.wait_log("two masters: ", secs(6.0))?;
    throughout(secs(2.5), "a and b are masters", || pair.has_vip(A) && pair.has_vip(B))?;
    ensure!(count(&pair, " differs ") == 1, "{}", pair.a.explain("told more than once".to_owned()));
    ensure!(count(&pair, "two masters") == 1, "{}", pair.a.explain("told more than once".to_owned()));
    let (at, _) = pair.b.stop()?;
    pair.a.wait_log("no sign of another master any more", secs(14.0))?;
    until(secs(1.0), "five gratuitous ARPs of a", || {
        (pair.wire.announcements_of("a", at).len() >= 5).then_some(())
    })
}

fn fields(lab: &Lab) -> Outcome {
    let pass = "authentication {\nauth_type PASS\nauth_pass lab\n}";
    let other = config(100, "").replace(&VIP.to_string(), "10.0.0.101");
    let all = [
        ("version", config(100, "version 3"), "version: ours 2, theirs 3"),
        ("authentication", config(100, pass), "authentication: ours none, theirs PASS"),
        ("addresses", other, "address list: ours 10.0.0.100, theirs 10.0.0.101"),
    ];
    std::thread::scope(|scope| {
        let all = all.map(|(name, text, named)| {
            scope.spawn(move || {
                let directory = lab.directory.join(name);
                let lab = Lab { subject: lab.subject.clone(), peer: lab.peer.clone(), directory };
                // b first, alone: an advert of lower priority is heard by a, whatever b makes of those of a.
                let mut pair = Pair::new(&lab, &config(150, ""), &text)?;
                pair.start_b(&[])?;
                pair.wait_master(B, pair.born, secs(8.0))?;
                pair.start_a(&[])?;
                let line = pair.a.wait_log(" differs in its ", secs(5.0))?;
                ensure!(
                    line.text.ends_with(&format!("(VI_1) 10.0.0.2 differs in its {named}")),
                    "{}",
                    line.text
                );
                pair.wait_vip(A, secs(6.0))?;
                std::thread::sleep(Duration::from_millis(2500));
                ensure!(
                    count(&pair, " differs ") == 1,
                    "{}",
                    pair.a.explain("told more than once".to_owned())
                );
                // And when it is over that is said, too.
                if name == "addresses" {
                    return Ok(());
                }
                let at = pair.b.reload(&config(200, ""))?;
                pair.wire.wait_advert("b with the same", at, secs(6.0), |advert| advert.priority == 200)?;
                pair.a.wait_log("(VI_1) 10.0.0.2 differs no longer in its ", secs(5.0)).map(drop)
            })
        });
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "panicked".to_owned())?)
    })
}

fn delayed(lab: &Lab) -> Outcome {
    // The subject is the backup.
    let lab = Lab { subject: Program::stock(), peer: lab.subject.clone(), directory: lab.directory.clone() };
    let mut pair = Pair::new(&lab, &config(150, ""), &config(100, ""))?;
    let host = Host::on(&pair.switch, "c", &["10.0.0.9/24"])?;
    let injector = Injector::on(&host)?;
    pair.start_a(&[])?;
    pair.a.wait_log("(VI_1) Entering", secs(5.0))?;
    pair.start_b(&[])?;
    pair.wait_vip(A, secs(6.0))?;
    pair.b.wait_log("Entering BACKUP STATE", secs(5.0))?;
    let rubbish =
        [far(), Forged { ttl: 255, checksum_off: 1, ..far() }, Forged { ttl: 255, priority: 90, ..far() }];
    for round in 0..6 {
        injector.send(&rubbish[round % 3].frame())?;
        std::thread::sleep(Duration::from_millis(400));
    }
    let crashed = pair.a.crash()?;
    let last = pair.wire.last_advert_of("a", Stamp::now()).ok_or("a never spoke")?;
    let first = until(secs(6.0), "b to speak", || {
        for one in rubbish {
            let _ = injector.send(&one.frame());
        }
        std::thread::sleep(Duration::from_millis(400));
        pair.wire.adverts_of("b", crashed).into_iter().next()
    })
    .map_err(|e| pair.b.explain(e))?;
    near("last advert of a to first of b", first.at.since(last.at), 3.0 + skew(100), 0.1)
}

fn taken(lab: &Lab) -> Outcome {
    // Another VRID: the two do not hear each other, but share the address.
    let other = config(100, "").replace("virtual_router_id 51", "virtual_router_id 52");
    let mut pair = Pair::new(lab, &config(150, ""), &other)?;
    pair.start_a(&[])?;
    pair.wait_vip(A, secs(6.0))?;
    pair.start_b(&[])?;
    pair.wait_vip(B, secs(6.0))?;
    let line = pair.a.wait_log("two masters: ", secs(3.0))?;
    let announces = format!("announces {VIP} on eth0, too");
    ensure!(line.text.contains(&announces), "{}", line.text);
    let announced = pair.wire.announcements_of("b", pair.born);
    let mac = announced.first().map(|frame| frame.bytes[22..28].to_vec()).ok_or("b announces nothing")?;
    let mac = mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    ensure!(line.text.contains(&mac), "{} does not name {mac}", line.text);
    let (at, _) = pair.b.stop()?;
    pair.a.wait_log("no sign of another master any more", secs(17.0))?;
    until(secs(1.0), "five gratuitous ARPs of a", || {
        (pair.wire.announcements_of("a", at).len() >= 5).then_some(())
    })?;
    ensure!(count(&pair, "two masters") == 1, "{}", pair.a.explain("told more than once".to_owned()));
    Ok(())
}

/// The same configuration, and a third host that can send anything.
fn with_stranger(lab: &Lab, text: &str) -> Outcome<(Pair, Injector, Host)> {
    let mut pair = Pair::new(lab, text, "")?;
    let host = Host::on(&pair.switch, "c", &["10.0.0.9/24"])?;
    let injector = Injector::on(&host)?;
    pair.start_a(&[])?;
    pair.wait_vip(A, secs(6.0))?;
    Ok((pair, injector, host))
}

/// A good advert of priority 200, but for its TTL.
fn far() -> Forged {
    Forged { source: STRANGER, ttl: 64, vrid: 51, priority: 200, checksum_off: 0, address: VIP }
}

fn silenced(lab: &Lab) -> Outcome {
    let (pair, injector, _host) = with_stranger(lab, &config(150, ""))?;
    let begin = Stamp::now();
    for _ in 0..13 {
        injector.send(&far().frame())?;
        std::thread::sleep(Duration::from_millis(400));
    }
    let adverts = pair.wire.adverts_of("a", begin);
    ensure!(adverts.len() >= 5, "{} adverts in 5.2 s\n{}", adverts.len(), pair.wire.story());
    for two in adverts.windows(2) {
        let gap = two[1].at.since(two[0].at);
        ensure!((0.9..1.1).contains(&gap), "{gap:.3} s between two adverts");
    }
    Ok(())
}

fn full_pipe(lab: &Lab) -> Outcome {
    // The strictest place for a line: each advert of the other one is answered with one.
    let (pair, injector, _host) = with_stranger(lab, &config(150, "version 3\nadvert_int 0.2"))?;
    let lower = Forged { ttl: 255, priority: 90, ..far() }.version_3(20);
    pair.a.stop_reading()?;
    let begin = Stamp::now();
    for _ in 0..10 {
        injector.send(&lower)?;
        std::thread::sleep(Duration::from_millis(150));
    }
    let adverts = pair.wire.adverts_of("a", begin);
    let seen = pair.a.log_length();
    pair.a.go_on_reading();
    ensure!(adverts.len() >= 10, "{} adverts in 1.5 s, ten of them answers", adverts.len());
    for two in adverts.windows(2) {
        let gap = two[1].at.since(two[0].at);
        ensure!(gap < 0.35, "{gap:.3} s between two adverts");
    }
    // Whoever reads again is told that something is missing, and hears the rest.
    let told = |text: &str| {
        let _ = injector.send(&lower);
        std::thread::sleep(Duration::from_millis(100));
        pair.a.log().iter().skip(seen).any(|line| line.text.contains(text)).then_some(())
    };
    until(secs(3.0), "to be told of lost lines", || {
        told("lines were lost: standard error did not take them")
    })
    .map_err(|e| pair.a.explain(e))?;
    let forcing = "with lower priority 90, ours 150, forcing new election";
    until(secs(3.0), "the next lines", || told(forcing)).map_err(|e| pair.a.explain(e))
}

/// Seconds from advert to advert of a, sorted.
fn gaps(pair: &Pair, since: Stamp) -> Vec<f64> {
    let adverts = pair.wire.adverts_of("a", since);
    let mut gaps: Vec<f64> = adverts.windows(2).map(|two| two[1].at.since(two[0].at)).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
}

/// Memory of the vrrp process that is its own, KiB.
fn memory(pair: &Pair) -> Outcome<u64> {
    let path = format!("/proc/{}/status", pair.a.pid("vrrp")?);
    let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| format!("{path}: {status}"))
}

fn flood(lab: &Lab) -> Outcome {
    /// Frames a second, for so many milliseconds.
    const RATE: u64 = 10_000;
    const MILLIS: u64 = 3000;
    let text = config(150, "version 3\nadvert_int 0.1").replace("router_id lab", "log_unknown_vrids");
    let (pair, injector, _host) = with_stranger(lab, &text)?;
    let before = memory(&pair)?;
    let forged = far();
    let mut long = forged.frame();
    long.extend([0xaa; 700]);
    let rubbish = [
        forged.frame(),
        Forged { ttl: 255, ..forged }.frame(),
        Forged { ttl: 255, checksum_off: 1, ..forged }.frame(),
        Forged { vrid: 52, ..forged }.frame(),
        forged.frame()[..40].to_vec(),
        long,
        arp(VIP),
        arp(STRANGER),
    ];
    let begin = Stamp::now();
    let start = Instant::now();
    let mut sent = 0;
    for milli in 0..MILLIS {
        for _ in 0..RATE / 1000 {
            injector.send(&rubbish[sent % rubbish.len()])?;
            sent += 1;
        }
        std::thread::sleep(
            (start + Duration::from_millis(milli + 1)).saturating_duration_since(Instant::now()),
        );
    }
    let gaps = gaps(&pair, begin);
    let took = start.elapsed().as_secs_f64();
    ensure!(took < 4.0, "this machine took {took:.1} s to send {sent} frames");
    let wanted = usize::try_from(start.elapsed().as_millis() / 100).unwrap_or_default() - 2;
    ensure!(gaps.len() >= wanted, "{} adverts in {took:.2} s", gaps.len());
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    ensure!(
        (0.099..0.101).contains(&median) && longest < 0.12,
        "median {median:.4} s, longest {longest:.4} s"
    );
    let grown = memory(&pair)?.saturating_sub(before);
    ensure!(grown < 512, "{grown} KiB more after {sent} frames");
    let lines = pair.a.log_length();
    ensure!(lines < 250, "{lines} lines in the log");
    ensure!(pair.a.logged("announces 10.0.0.100 on eth0, too"), "{}", pair.a.explain("silent".to_owned()));
    let stats = pair.a.dump(Signal::SIGUSR2, "tmp/keepalived.stats")?;
    // Two of the eight come from too far away.
    let far = stats.lines().find_map(|line| line.strip_prefix("    TTL: "));
    let heard = far.and_then(|count| count.parse::<u64>().ok());
    ensure!(heard.is_some_and(|heard| heard > 5_000), "{stats}");
    Ok(())
}
