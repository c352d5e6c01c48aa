//! The kernel's table of virtual services, as `ipvsadm -ln` shows it.

use std::time::Duration;

use super::net::Host;
use super::wait::{Outcome, until};

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Protocol, address and port, scheduler and flags: `TCP 10.0.0.100:80 rr persistent 50`.
    pub(crate) head: String,
    /// In the order of their addresses.
    pub(crate) destinations: Vec<Destination>,
}

/// One real server of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) address: String,
    /// `Masq`, `Route` or `Tunnel`.
    pub(crate) forward: String,
    pub(crate) weight: i64,
    pub(crate) active: u64,
    pub(crate) inactive: u64,
}

/// The table of a host, services in the order of their heads.
pub(crate) fn table(host: &Host) -> Outcome<Vec<Service>> {
    Ok(parse(&host.space.run("ipvsadm", &["-ln"])?))
}

fn parse(text: &str) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    // Three lines of heading.
    for line in text.lines().skip(3) {
        let words: Vec<_> = line.split_whitespace().collect();
        if let (Some(&"->"), Some(service)) = (words.first(), services.last_mut()) {
            let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or_default();
            service.destinations.push(Destination {
                address: words.get(1).copied().unwrap_or_default().to_owned(),
                forward: words.get(2).copied().unwrap_or_default().to_owned(),
                weight: words.get(3).and_then(|word| word.parse().ok()).unwrap_or(-1),
                active: number(4),
                inactive: number(5),
            });
        } else {
            services.push(Service { head: words.join(" "), destinations: Vec::new() });
        }
    }
    for service in &mut services {
        service.destinations.sort();
    }
    services.sort_by(|a, b| a.head.cmp(&b.head));
    services
}

/// The table in short: one line per service, `HEAD: ADDRESS FORWARD WEIGHT, …`.
pub(crate) fn brief(host: &Host) -> Outcome<Vec<String>> {
    Ok(table(host)?
        .into_iter()
        .map(|service| {
            let destinations: Vec<_> = service
                .destinations
                .iter()
                .map(|one| format!("{} {} {}", one.address, one.forward, one.weight))
                .collect();
            format!("{}: {}", service.head, destinations.join(", "))
        })
        .collect())
}

/// Waits until the table in short is just this; the lines may stand in any order.
pub(crate) fn wait_table(host: &Host, wanted: &[&str], limit: Duration) -> Outcome {
    let mut wanted: Vec<_> = wanted.iter().map(|line| line.trim_end().to_owned()).collect();
    wanted.sort();
    let mut found = Vec::new();
    until(limit, "the IPVS table", || {
        // Not the processor's whole time for looking.
        std::thread::sleep(Duration::from_millis(100));
        found = brief(host).ok()?.into_iter().map(|line| line.trim_end().to_owned()).collect();
        found.sort();
        (found == wanted).then_some(())
    })
    .map_err(|e| format!("{e}\nwanted {wanted:#?}\nfound {found:#?}"))
}

/// Connections a service has counted since it was made.
pub(crate) fn connections(host: &Host, service: &str) -> Outcome<u64> {
    let text = host.space.run("ipvsadm", &["-ln", "--stats", "--exact"])?;
    let line = text.lines().find(|line| line.contains(service)).ok_or(format!("no {service} in\n{text}"))?;
    let count = line.split_whitespace().nth(2).and_then(|word| word.parse().ok());
    count.ok_or_else(|| format!("no count in '{line}'"))
}
