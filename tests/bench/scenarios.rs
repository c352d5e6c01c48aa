//! What is measured: one function a scenario, the same for every program.

use std::fmt::Write as _;
use std::path::Path;

use super::Figures;
use super::kit::daemon::Program;
use super::kit::place::{tool, write};
use super::kit::wait::{Outcome, ensure};
use super::measure::children;
use super::{checks, scale, takeover};

/// One thing to measure.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Program, &Path) -> Outcome<Figures>,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "parse", about: "-t of 10,000 virtual servers with four real servers each", run: parse },
    Scenario {
        name: "failover",
        about: "the master crashes (v3): behind what theory says",
        run: takeover::failover,
    },
    Scenario {
        name: "addresses",
        about: "the same with many addresses, in ms after theory; then SIGTERM",
        run: takeover::addresses,
    },
    Scenario {
        name: "together",
        about: "a master resigns all its instances at once; then SIGTERM to who took over",
        run: takeover::together,
    },
    Scenario {
        name: "crash",
        about: "SIGKILL to the vrrp process of a master beside a backup (adverts every second)",
        run: takeover::crash_of_one,
    },
    Scenario { name: "rest", about: "one instance at rest, and its end", run: scale::rest },
    Scenario { name: "masters", about: "1,000 masters, one advert a second each", run: scale::masters },
    Scenario {
        name: "backups",
        about: "1,000 backups that hear one advert a second each, one by one",
        run: scale::backups,
    },
    Scenario { name: "reload", about: "SIGHUP to 255 masters, nothing changed", run: scale::reload },
    Scenario {
        name: "reload-big",
        about: "SIGHUP to a master with adverts every 10 ms and 10,000 services in its file (-P)",
        run: scale::reload_big,
    },
    Scenario { name: "checks-tcp", about: "4,000 servers, a TCP_CHECK a second each", run: checks::tcp },
    Scenario { name: "checks-http", about: "4,000 servers, an HTTP_GET a second each", run: checks::http },
    Scenario { name: "checks-tls", about: "500 servers, an SSL_GET a second each", run: checks::tls },
    Scenario {
        name: "reload-servers",
        about: "SIGHUP with one weight changed, IPVS pretended",
        run: checks::reload,
    },
];

/// What takes minutes a round, and so is measured only where its name is given.
pub(crate) const LONG: &[Scenario] = &[Scenario {
    name: "reload-40000",
    about: "SIGHUP with one weight changed, 40,000 checked servers, IPVS pretended",
    run: checks::reload_large,
}];

/// `-t`, whose wall time on a shared machine says little.
fn parse(program: &Program, directory: &Path) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for (check, cpu, memory) in [
        ("", "CPU, ms", "peak memory, MB"),
        (
            "        TCP_CHECK {\n            connect_timeout 3\n        }\n",
            "with TCP_CHECK: CPU, ms",
            "with TCP_CHECK: peak memory, MB",
        ),
    ] {
        let file = directory.join("large.conf");
        write(&file, services(10_000, check))?;
        let before = children();
        // In a namespace: some keywords make even a test look at the host.
        let output = tool("unshare")
            .args(["--net", "--mount", "time", "-f", "%M"])
            .arg(&program.path)
            .args(["-t", "-f"])
            .arg(&file)
            .output()
            .map_err(|e| format!("unshare: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        let peak = said.lines().last().and_then(|line| line.trim().parse::<f64>().ok());
        figures.push((cpu, (children() - before) * 1e3));
        figures.push((memory, peak.ok_or_else(|| format!("no memory in {said:?}"))? / 1e3));
    }
    Ok(figures)
}

/// Virtual servers with four real servers each.
pub(crate) fn services(count: u32, check: &str) -> String {
    let mut text = String::new();
    for number in 0..count {
        let [_, a, b, c] = (number + 1).to_be_bytes();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "virtual_server 10.{}.{b}.{c} 80 {{\n    delay_loop 6\n    lvs_sched rr\n    lvs_method NAT\n    protocol TCP",
            128 + a
        );
        for server in 0..4 {
            let _ = writeln!(
                text,
                "    real_server 10.20{server}.{b}.{c} 8080 {{\n        weight 1\n{check}    }}"
            );
        }
        text.push_str("}\n");
    }
    text
}
