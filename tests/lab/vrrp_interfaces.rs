//! Interfaces that go down, flap, vanish, come back, are renamed, move to another namespace or lose their address: step by step
//! beside stock, which is at rest after each step before the next one.

use std::fmt::Write as _;
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::kit::net::Cable;
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::instance;
use crate::twins::{Twin, twins};

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-behaviour.md §8, the rows from "Primary address" to "Interface missing at start".
    Case::single("interfaces_go_and_come_in_every_way_and_the_end_is_stocks", ways),
    // spec/vrrp-config.md §2.1 dont_track_primary, promote_secondaries, track_src_ip; spec/global-defs.md dynamic_interfaces.
    Case::single("interfaces_words_about_them_do_what_they_do_with_stock", words),
    Case::single("interfaces_a_vmac_follows_the_interface_below", below_a_vmac),
    Case::single("interfaces_a_source_address_that_is_missing_is_a_fault_if_tracked", source)
        .unlike_stock("spec/vrrp-config.md §2.1 track_src_ip: 2.2.7 stays MASTER with multicast"),
    Case::single("interfaces_that_flap_leave_a_master_in_order", flaps),
];

/// What is done to a host.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Lines for `ip -batch`.
    Ip(&'static str),
    /// eth0 is deleted, with its cable.
    Delete,
    /// eth0 is made again, with another index.
    Make,
    /// eth0 moves to another namespace.
    Leave,
    /// And back, where it has no address and is down.
    Return,
    /// The cable is pulled.
    Unplug,
    Plug,
}

/// What is left when nothing moves any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// The state entered last.
    state: String,
    /// Which of the addresses are there.
    held: Vec<String>,
    /// Routes of the master.
    routes: usize,
    /// The source of the adverts of late.
    source: Option<String>,
}

fn act(twin: &Twin, step: Step) -> Outcome {
    let host = twin.host.space.path();
    let host = host.display();
    match step {
        Step::Ip(commands) => twin.host.space.ip(commands),
        Step::Delete => twin.host.space.ip("link del eth0"),
        Step::Make => {
            twin.switch.space.ip(&format!(
                "link add name a type veth peer name eth0 netns {host}\nlink set dev a master br0\nlink set dev a up"
            ))?;
            twin.host.space.ip("link set eth0 up\naddress add 10.0.0.1/24 broadcast + dev eth0")
        }
        Step::Leave => {
            twin.host.space.ip(&format!("link set eth0 netns {}", twin.switch.space.path().display()))
        }
        Step::Return => {
            twin.switch.space.ip(&format!("link set eth0 netns {host}"))?;
            twin.host.space.ip("link set eth0 up\naddress add 10.0.0.1/24 broadcast + dev eth0")
        }
        Step::Unplug => twin.switch.cable(&twin.host, Cable::Out),
        Step::Plug => twin.switch.cable(&twin.host, Cable::In),
    }
}

fn look(twin: &Twin) -> Seen {
    let lately = Stamp(Stamp::now().0 - 500_000_000);
    // A port that was made anew is nobody's for the sniffer.
    let adverts = twin.wire.adverts();
    let last = adverts.iter().rfind(|advert| advert.at > lately && advert.priority != 0);
    let mut held: Vec<_> = twin.host.addresses().iter().map(ToString::to_string).collect();
    held.retain(|address| address.ends_with(".100"));
    held.sort();
    // At the start stock says it in another way.
    let fault =
        twin.daemon.logged("entering FAULT state").then_some("(VI_1) Entering FAULT STATE".to_owned());
    let state = twin.states().pop().or(fault);
    let routes = twin.host.space.run("ip", &["route", "show", "proto", "keepalived"]).unwrap_or_default();
    Seen {
        state: state.map(|state| state.replace(" (init)", "")).unwrap_or_default(),
        held,
        routes: routes.lines().count(),
        source: last.map(|advert| advert.source.to_string()),
    }
}

/// What it looks like when it has not changed for longer than a takeover takes.
fn at_rest(twin: &Twin) -> Outcome<Seen> {
    const QUIET: Duration = Duration::from_millis(1100);
    let mut last = (look(twin), Stamp::now());
    until(secs(8.0), "everything to be at rest", || {
        let now = look(twin);
        if now != last.0 {
            last = (now, Stamp::now());
        }
        (Stamp::now().since(last.1) > QUIET.as_secs_f64()).then(|| last.0.clone())
    })
}

fn follow(twin: &mut Twin, before: &[Step], steps: &[Step]) -> Outcome<Vec<Seen>> {
    for step in before {
        act(twin, *step)?;
    }
    twin.start()?;
    twin.daemon.wait_log("Startup complete", secs(5.0))?;
    let mut seen = vec![at_rest(twin)?];
    for step in steps {
        act(twin, *step).map_err(|e| twin.daemon.explain(e))?;
        seen.push(at_rest(twin)?);
    }
    twin.daemon.stop()?;
    Ok(seen)
}

/// The steps with the subject and with stock at the same time, compared.
fn compare(lab: &Lab, name: &str, text: &str, before: &[Step], steps: &[Step]) -> Outcome {
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.peer.clone(), directory: lab.directory.join(name) };
    let mut pair = twins(&lab, text)?;
    let [ours, stock] = &mut pair;
    let (seen, wanted) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| follow(stock, before, steps));
        (follow(ours, before, steps), stock.join().map_err(|_| "panicked".to_owned()))
    });
    let (seen, wanted) = (seen?, wanted??);
    let mut wrong = String::new();
    for (number, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
        if seen != wanted {
            let step = number.checked_sub(1).map(|number| steps[number]);
            let _ = writeln!(wrong, "{name}, after {step:?}:\n  {seen:?}\nstock\n  {wanted:?}");
        }
    }
    ensure!(wrong.is_empty(), "{}", pair[0].daemon.explain(wrong));
    Ok(())
}

fn quick(more: &str) -> String {
    let lines = "version 3\nadvert_int 0.2\nvirtual_ipaddress {\n10.0.0.100/24\n10.0.1.100\n}\n\
                 virtual_routes {\n10.1.0.0/24 via 10.0.0.2 dev eth0\n}";
    instance("VI_1", 51, "eth0", 150, &format!("{lines}\n{more}"))
}

fn ways(lab: &Lab) -> Outcome {
    let first = [
        Step::Ip("link set eth0 down"),
        Step::Ip("link set eth0 up"),
        Step::Ip("link set eth0 mtu 1400"),
        Step::Unplug,
        Step::Plug,
        Step::Ip("link set eth0 down\nlink set eth0 name ethx\nlink set ethx up"),
        Step::Ip("link set ethx down\nlink set ethx name eth0\nlink set eth0 up"),
    ];
    let second = [
        Step::Delete,
        Step::Make,
        Step::Leave,
        Step::Return,
        Step::Ip("address del 10.0.0.1/24 dev eth0"),
        Step::Ip("address add 10.0.0.1/24 dev eth0"),
        Step::Ip("address add 10.9.0.1/24 dev eth0"),
        Step::Ip("address del 10.0.0.1/24 dev eth0"),
        Step::Ip("address add 10.0.0.1/24 dev eth0\naddress del 10.9.0.1/24 dev eth0"),
    ];
    std::thread::scope(|scope| {
        let other = scope.spawn(|| compare(lab, "second", &quick(""), &[], &second));
        compare(lab, "first", &quick(""), &[], &first)?;
        other.join().map_err(|_| "panicked".to_owned())?
    })
}

fn words(lab: &Lab) -> Outcome {
    let dynamic = format!("global_defs {{\ndynamic_interfaces\n}}\n{}", quick(""));
    std::thread::scope(|scope| {
        let all = [
            scope.spawn(|| {
                let steps = [
                    Step::Ip("address add 10.0.0.7/24 dev eth0"),
                    Step::Ip("address del 10.0.0.1/24 dev eth0"),
                    Step::Ip("address add 10.0.0.1/24 dev eth0"),
                ];
                compare(lab, "promote", &quick("promote_secondaries"), &[], &steps)
            }),
            scope.spawn(|| {
                let steps =
                    [Step::Unplug, Step::Plug, Step::Ip("link set eth0 down"), Step::Ip("link set eth0 up")];
                // A tracked route by the interface would still be a reason.
                let free = quick("dont_track_primary").replace("dev eth0\n}", "dev eth0 no_track\n}");
                compare(lab, "untracked", &free, &[], &steps)
            }),
            scope.spawn(|| {
                let steps = [Step::Unplug, Step::Plug];
                compare(lab, "route", &quick("dont_track_primary"), &[], &steps)
            }),
            scope.spawn(|| {
                compare(lab, "dynamic", &dynamic, &[Step::Delete], &[Step::Make, Step::Delete, Step::Make])
            }),
        ];
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "panicked".to_owned())?)
    })
}

fn below_a_vmac(lab: &Lab) -> Outcome {
    let text = quick("use_vmac").replace(" dev eth0", "");
    let steps = [
        Step::Ip("link set eth0 down"),
        Step::Ip("link set eth0 up"),
        Step::Unplug,
        Step::Plug,
        Step::Delete,
        Step::Make,
        Step::Ip("link set vrrp.51 down"),
        Step::Ip("link set vrrp.51 up"),
    ];
    compare(lab, "vmac", &text, &[], &steps)
}

fn source(lab: &Lab) -> Outcome {
    let [mut twin, _] = twins(lab, &quick("mcast_src_ip 10.0.0.7\ntrack_src_ip"))?;
    let (add, delete) =
        (Step::Ip("address add 10.0.0.7/24 dev eth0"), Step::Ip("address del 10.0.0.7/24 dev eth0"));
    let seen = follow(&mut twin, &[], &[add, delete, add])?;
    for (number, seen) in seen.iter().enumerate() {
        let is_there = number % 2 == 1;
        let wanted = if is_there { "MASTER" } else { "FAULT" };
        ensure!(seen.state.contains(wanted), "step {number}: {}", twin.daemon.explain(format!("{seen:?}")));
        let source = is_there.then(|| "10.0.0.7".to_owned());
        ensure!(seen.source == source, "step {number}: {seen:?}");
    }
    Ok(())
}

fn flaps(lab: &Lab) -> Outcome {
    const TIMES: usize = 20;
    let text = |more: &str| quick(more).replace("advert_int 0.2", "advert_int 0.2\npromote_secondaries");
    std::thread::scope(|scope| {
        let all = ["plain", "vmac"].map(|name| {
            scope.spawn(move || {
                let more = if name == "vmac" { "use_vmac" } else { "" };
                let text = if name == "vmac" { quick(more) } else { text(more) };
                let directory = lab.directory.join(name);
                let lab = Lab { subject: lab.subject.clone(), peer: lab.peer.clone(), directory };
                let [mut twin, _] = twins(&lab, &text)?;
                let before = twin.links()?;
                twin.start()?;
                let calm = at_rest(&twin)?;
                ensure!(
                    calm.held.len() == 2 && calm.routes == 1,
                    "{}",
                    twin.daemon.explain(format!("{calm:?}"))
                );
                let vrrp = twin.daemon.pid("vrrp")?;
                // A batch of its own, as fast as it goes, then with pauses in which something can be begun.
                twin.host.space.ip(&"link set eth0 down\nlink set eth0 up\n".repeat(TIMES))?;
                for _ in 0..TIMES {
                    act(&twin, Step::Ip("link set eth0 down"))?;
                    std::thread::sleep(Duration::from_millis(40));
                    act(&twin, Step::Ip("link set eth0 up"))?;
                    std::thread::sleep(Duration::from_millis(60));
                }
                let after = at_rest(&twin)?;
                ensure!(after == calm, "{}", twin.daemon.explain(format!("{after:?}, before {calm:?}")));
                ensure!(twin.daemon.pid("vrrp")? == vrrp, "the vrrp process died");
                let begin = Stamp::now();
                let adverts = until(secs(4.0), "ten adverts", || {
                    Some(twin.wire.adverts_of("a", begin)).filter(|adverts| adverts.len() >= 10)
                })?;
                for two in adverts.windows(2) {
                    let gap = two[1].at.since(two[0].at);
                    ensure!((0.1..0.35).contains(&gap), "{gap:.3} s between two adverts");
                }
                twin.daemon.stop()?;
                let mut left = twin.links()?;
                // An IPv6 address that is not link-local goes with the first fall.
                left.retain(|line| before.contains(line) || !line.contains("/arp_"));
                let surplus: Vec<_> = left.iter().filter(|line| !before.contains(line)).collect();
                ensure!(surplus.is_empty(), "left behind: {surplus:#?}");
                Ok(())
            })
        });
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "panicked".to_owned())?)
    })
}
