//! How long a large configuration takes from text to model. Run on purpose, in release:
//! `cargo test --release --test config_speed -- --ignored --nocapture`.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use keepalived_rs::config::diagnostic::Diagnostics;
use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::load;
use keepalived_rs::config::model::{HostFacts, Identity, Users};
use keepalived_rs::config::preprocess::{self, IncludeChecks, ReadOptions};
use keepalived_rs::config::value::Mode;

struct Nobody;

impl Users for Nobody {
    fn user(&self, _: &str) -> Option<Identity> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

fn virtual_servers(count: u32, real: u32) -> String {
    let mut text = String::new();
    for index in 0..count {
        let address = IpAddr::from((0x0a00_0000 + index).to_be_bytes());
        let _ = writeln!(
            text,
            "virtual_server {address} 80 {{\n    delay_loop 6\n    lvs_sched wlc\n    lvs_method NAT\n    protocol TCP"
        );
        for server in 0..real {
            let _ = writeln!(
                text,
                "    real_server 192.168.0.{server} 80 {{\n        weight 1\n        TCP_CHECK {{\n            connect_timeout 3\n            retry 3\n            delay_before_retry 3\n        }}\n    }}"
            );
        }
        text.push_str("}\n");
    }
    text
}

/// The median of several readings of so many virtual servers with four real servers each.
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
fn median(count: u32) -> Duration {
    let text = virtual_servers(count, 4);
    let files = MemoryFiles::new().file("big.conf", &text);
    let options = ReadOptions {
        main: "big.conf".to_owned(),
        config_id: "director".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let start = Instant::now();
            let loaded = load(&files, &options, Mode::Run, &HostFacts::default(), &Nobody);
            let time = start.elapsed();
            assert_eq!(loaded.config.expect("the file is good").virtual_servers.len(), count as usize);
            time
        })
        .collect();
    times.sort();
    let start = Instant::now();
    let read = preprocess::read(&files, &options, &mut Diagnostics::new());
    println!(
        "{count} virtual servers, {} bytes, {} logical lines: {:?}, of which the text takes {:?}",
        text.len(),
        read.lines.len(),
        times[3],
        start.elapsed()
    );
    times[3]
}

#[test]
#[ignore = "a measurement, meaningful in release only"]
fn reading_takes_time_in_proportion_to_the_text() {
    let (small, large) = (median(1_000), median(10_000));
    assert!(large < small * 20, "{small:?} for 1,000 and {large:?} for 10,000");
}
