//! What is found in the kernel's table at start, and what is left of it at the end.

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::wait::{Outcome, ensure};

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_leftovers_of_our_services_are_made_right", leftovers).ours_only(),
    Case::guest("lvs_flush_empties_the_table_at_start", flush),
    Case::guest("lvs_flush_on_stop_of_own_services", flush_own),
    Case::guest("lvs_flush_on_stop_of_the_whole_table", flush_all),
    Case::guest("lvs_dont_release_ipvs_beats_flush_on_stop", keep),
    Case::guest("lvs_timeouts_are_set_and_put_back", timeouts),
    Case::guest("lvs_a_table_cleared_by_hand_is_repaired_at_the_next_change", cleared).ours_only(),
];

const OURS: &str = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1";
const FOREIGN: &str = "TCP 10.9.0.100:99 lc: 10.0.0.11:99 Masq 1";

/// Two real servers without checks; a foreign service is there before.
fn farm(lab: &Lab, globals: &str) -> Outcome<Farm> {
    let text = format!(
        "global_defs {{\n {globals}\n}}\n{}",
        service(
            "10.9.0.100 80",
            "lb_algo rr\nlb_kind NAT\nprotocol TCP",
            &[&real(1, 80, ""), &real(2, 80, "")]
        )
    );
    let farm = Farm::new(lab, 2, &text)?;
    ipvsadm(&farm, "-A -t 10.9.0.100:99 -s lc")?;
    ipvsadm(&farm, "-a -t 10.9.0.100:99 -r 10.0.0.11:99 -m")?;
    Ok(farm)
}

fn ipvsadm(farm: &Farm, words: &str) -> Outcome<String> {
    farm.director.space.run("ipvsadm", &words.split(' ').collect::<Vec<_>>())
}

fn leftovers(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "")?;
    ipvsadm(&farm, "-A -t 10.9.0.100:80 -s wlc -p 77")?;
    ipvsadm(&farm, "-a -t 10.9.0.100:80 -r 10.0.0.11:80 -g -w 9")?;
    ipvsadm(&farm, "-a -t 10.9.0.100:80 -r 10.0.0.99:80 -m")?;
    farm.start()?;
    farm.table(&[OURS, FOREIGN], 10.0)
}

fn flush(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "lvs_flush")?;
    farm.start()?;
    farm.table(&[OURS], 10.0)
}

fn flush_own(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "lvs_flush_on_stop VS")?;
    farm.start()?;
    farm.table(&[OURS, FOREIGN], 10.0)?;
    farm.daemon.stop()?;
    farm.table(&[FOREIGN], 1.0)
}

fn flush_all(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "lvs_flush_on_stop")?;
    farm.start()?;
    farm.table(&[OURS, FOREIGN], 10.0)?;
    farm.daemon.stop()?;
    farm.table(&[], 1.0)
}

fn keep(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "lvs_flush_on_stop")?;
    farm.daemon.start(&farm.director, &["-I"])?;
    farm.table(&[OURS, FOREIGN], 10.0)?;
    farm.daemon.stop()?;
    farm.table(&[OURS, FOREIGN], 1.0)
}

fn timeouts(lab: &Lab) -> Outcome {
    let mut farm = farm(lab, "lvs_timeouts tcp 100 udp 50")?;
    let shown = |farm: &Farm| ipvsadm(farm, "-L --timeout");
    let original = shown(&farm)?;
    ensure!(original.contains("900 120 300"), "at first {original}");
    farm.start()?;
    farm.table(&[OURS, FOREIGN], 10.0)?;
    let set = shown(&farm)?;
    ensure!(set.contains("100 120 50"), "set {set}");
    farm.daemon.stop()?;
    let after = shown(&farm)?;
    ensure!(after == original, "after the stop {after}");
    Ok(())
}

fn cleared(lab: &Lab) -> Outcome {
    let check = "TCP_CHECK {\n connect_timeout 1\n warmup 0\n}\n delay_loop 1";
    let words = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
    let text = service("10.9.0.100 80", words, &[&real(1, 80, check), &real(2, 80, check)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let mut servers = farm.servers()?;
    farm.start()?;
    farm.table(&[OURS], 10.0)?;
    farm.daemon.wait_log("TCP connection to [10.0.0.12]:tcp:80 success.", crate::kit::wait::secs(8.0))?;
    ipvsadm(&farm, "-C")?;
    servers.pop();
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], 10.0)
}
