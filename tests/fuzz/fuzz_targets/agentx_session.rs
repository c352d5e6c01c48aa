//! Any bytes as what an AgentX master says in a session with everything to be told: no panic, and every answer is one.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;

use keepalived_rs::config::model::Config;
use keepalived_rs::lvs::snapshot::CheckersSnapshot;
use keepalived_rs::snmp::agent::{Agent, Heard};
use keepalived_rs::snmp::packet::{Body, Packet};
use keepalived_rs::snmp::view::View;
use keepalived_rs::snmp::{subtrees, tree};
use keepalived_rs::time::Time;
use keepalived_rs::vrrp::Router;

const TEXT: &str = "\
global_defs {
enable_snmp_keepalived
enable_snmp_rfc
enable_traps
router_id fuzz
}
vrrp_script check {
script /usr/bin/true
}
vrrp_sync_group G {
group {
V1
V2
}
}
vrrp_instance V1 {
interface eth0
virtual_router_id 51
priority 100
virtual_ipaddress {
192.0.2.13
192.0.2.14/24 dev eth0
}
virtual_routes {
198.51.100.0/24 via 192.0.2.1 dev eth0
}
virtual_rules {
from 198.51.100.1 table 7
}
}
vrrp_instance V2 {
version 3
interface eth0
virtual_router_id 52
virtual_ipaddress {
fe80::52
}
track_script {
check
}
}
virtual_server 192.0.2.13 80 {
protocol TCP
lb_algo rr
lb_kind DR
sorry_server 192.0.2.99 80
real_server 192.0.2.20 80 {
TCP_CHECK {
}
}
real_server 192.0.2.21 80 {
}
}
";

static CONFIG: LazyLock<Config> = LazyLock::new(|| keepalived_rs_fuzz::config(TEXT));

keepalived_rs_fuzz::target!(run);

/// How many packets were answered.
fn run(mut bytes: &[u8]) -> usize {
    let part = CONFIG.reporter_part().expect("SNMP is on");
    let router = Router::new(&CONFIG.vrrp_part().expect("it has instances"));
    let vrrp = Some(router.snapshot(Time::ZERO));
    let checkers = Some(CheckersSnapshot { servers: Vec::new() });
    let view = View { part, version: "v0", vrrp, checkers, began: Time::ZERO, now: Time::ZERO };
    let tree = tree(&view);
    let mut agent = Agent::new(subtrees(&view.part.global.snmp));
    agent.open();
    let mut answered = 0;
    while let Some(header) = bytes.first_chunk() {
        let Ok(length) = Packet::length(header) else { break };
        let Ok(packet) = Packet::decode(bytes) else { break };
        bytes = &bytes[length..];
        let mut out = Vec::new();
        let heard = agent.hear(&packet, &tree, &view, &mut out);
        if let (Body::GetNext(ranges), Ok(answer)) = (&packet.body, Packet::decode(&out)) {
            let Body::Response { values, .. } = answer.body else { panic!("{answer:?}") };
            assert_eq!(values.len(), ranges.len());
        }
        let mut said = out.as_slice();
        while let Some(header) = said.first_chunk() {
            let length = Packet::length(header).expect("an answer has a length");
            Packet::decode(&said[..length]).expect("an answer can be read");
            said = &said[length..];
            answered += 1;
        }
        assert!(said.is_empty());
        if let Heard::Over(_) = heard {
            break;
        }
    }
    answered
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_answered() {
        let inputs = keepalived_rs_fuzz::corpus("agentx_session");
        let answered = inputs.iter().filter(|bytes| super::run(bytes) > 0);
        assert!(answered.count() >= 5, "all but the one that refuses the session");
        keepalived_rs_fuzz::cut("agentx_session", |bytes| {
            super::run(bytes);
        });
    }
}
