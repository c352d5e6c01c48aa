//! Any packets and any time between them, to sessions of each kind: no panic, a deadline that lies ahead, and a successor
//! that resumes is the same. Each packet has four bytes before it: whose it is, its TTL, and two of milliseconds.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;
use std::time::Duration;

use keepalived_rs::bfd::{Action, Event, Sessions};
use keepalived_rs::config::model::BfdPart;
use keepalived_rs::time::Time;

const TEXT: &str = "\
bfd_instance one {
neighbor_ip 192.0.2.9
source_ip 192.0.2.1
min_rx 50
min_tx 50
}
bfd_instance two {
neighbor_ip 192.0.2.10
source_ip 192.0.2.1
passive
multiplier 1
max_hops 3
}
bfd_instance far {
neighbor_ip 2001:db8::9
source_ip 2001:db8::1
multihop
}
";

static PART: LazyLock<BfdPart> =
    LazyLock::new(|| keepalived_rs_fuzz::config(TEXT).bfd_part().expect("it has sessions"));

/// Of one packet, with the four bytes before it.
const TURN: usize = 28;

keepalived_rs_fuzz::target!(run);

/// How often a session changed its state.
fn run(bytes: &[u8]) -> usize {
    let mut number = 0_u32;
    let mut random = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        number
    };
    let (mut now, mut out) = (Time::ZERO + Duration::from_secs(1), Vec::new());
    let mut sessions = Sessions::new(PART.clone(), now, &mut random, &mut out);
    let (mut told, mut place) = (0, 0);
    for turn in bytes.chunks(TURN).take(200) {
        let [who, ttl, slow, fast, packet @ ..] = turn else { break };
        now = now + Duration::from_millis(u64::from(*slow) << 8 | u64::from(*fast));
        let mut rounds = 0;
        while let Some(due) = sessions.deadline().filter(|due| *due <= now) {
            sessions.handle(due, &Event::Timer, &mut random, &mut out);
            assert!(sessions.deadline().is_none_or(|next| next > due), "the same moment again");
            rounds += 1;
            assert!(rounds < 100_000);
        }
        let multihop = who & 4 != 0;
        let (source, destination) = match (who & 3, multihop) {
            (0, false) => ([192, 0, 2, 9].into(), [192, 0, 2, 1].into()),
            (_, false) => ([192, 0, 2, 10].into(), [192, 0, 2, 1].into()),
            _ => ("2001:db8::9".parse().expect("one"), "2001:db8::1".parse().expect("one")),
        };
        let event = Event::Packet { source, destination, multihop, ttl: *ttl, bytes: packet };
        sessions.handle(now, &event, &mut random, &mut out);
        while let Some(action) = out.get(place) {
            place += 1;
            match action {
                Action::Open { session } => {
                    let session = *session;
                    let event =
                        if who & 8 == 0 { Event::Opened { session } } else { Event::Refused { session } };
                    sessions.handle(now, &event, &mut random, &mut out);
                }
                Action::Tell { .. } => told += 1,
                Action::Send { .. } | Action::Log(_) | Action::Detail(_) => {}
            }
            assert!(place < 1_000_000, "no end of actions");
        }
        (place, _) = (0, out.clear());
    }
    let mut ignored = Vec::new();
    let state = sessions.state();
    let resumed = Sessions::resume(PART.clone(), state.clone(), now, &mut random, &mut ignored);
    assert_eq!(resumed.state(), state);
    told
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        for bytes in keepalived_rs_fuzz::corpus("bfd_session") {
            super::run(&bytes);
        }
        keepalived_rs_fuzz::cut("bfd_session", |bytes| {
            super::run(bytes);
        });
    }
}
