//! BFD with FRR's bfdd at the other end, and `BFD_CHECK` (RFC 5880, spec/bfd.md, spec/checkers.md §14).

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::daemon::Daemon;
use crate::kit::frr::Bfdd;
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, secs};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("bfd_frr_comes_up_expires_and_comes_again", active),
    Case::single("bfd_frr_as_the_passive_side", frr_passive),
    Case::single("bfd_frr_as_the_active_side", frr_active),
    Case::single("bfd_frr_that_says_admin_down_is_heard", admin_down).ours_only(),
    Case::guest("check_bfd_takes_a_server_out_and_puts_it_in", check),
];

/// Both hosts, the daemon's and FRR's.
struct Meeting {
    daemon: Daemon,
    frr: Bfdd,
    hosts: [Host; 2],
    _switch: Switch,
}

const PEER: &str =
    "peer 10.0.0.1 interface eth0\n transmit-interval 50\n receive-interval 100\n detect-multiplier 5";

impl Meeting {
    fn new(lab: &Lab, own: &str, peer: &str) -> Outcome<Self> {
        let switch = Switch::new()?;
        let hosts = [Host::on(&switch, "a", &["10.0.0.1/24"])?, Host::on(&switch, "b", &["10.0.0.2/24"])?];
        let text = format!(
            "bfd_instance B {{\n neighbor_ip 10.0.0.2\n source_ip 10.0.0.1\n min_rx 100\n min_tx 50\n multiplier 5\n {own}\n}}\n{}",
            instance(
                "VI_1",
                51,
                "eth0",
                100,
                "advert_int 1\nvirtual_ipaddress {\n 10.0.0.100\n}\ntrack_bfd {\n B weight 20\n}"
            )
        );
        let frr = Bfdd::start_on(&hosts[1], &lab.directory, &format!("{PEER}\n {peer}\n exit"))?;
        let daemon = Daemon::start_on(&hosts[0], &lab.subject, &lab.directory, &text)?;
        Ok(Self { daemon, frr, hosts, _switch: switch })
    }

    fn wait_up(&self) -> Outcome {
        self.daemon.wait_log("Tracked BFD instance B is UP", secs(12.0))?;
        self.frr.wait_status("up", secs(5.0)).map_err(|e| self.daemon.explain(e))
    }
}

fn active(lab: &Lab) -> Outcome {
    let mut meeting = Meeting::new(lab, "", "")?;
    meeting.wait_up()?;
    let seen = meeting.daemon.log_length();
    // FRR is gone, and comes again with other numbers.
    meeting.frr = {
        let again =
            |meeting: &Meeting| Bfdd::start_on(&meeting.hosts[1], &lab.directory, &format!("{PEER}\n exit"));
        let gone = meeting.frr.ask(&["configure terminal", "bfd", "no peer 10.0.0.1 interface eth0"]);
        gone.map_err(|e| format!("removing the peer: {e}"))?;
        meeting.daemon.wait_log_after(seen, "Entering Down state", secs(4.0))?;
        again(&meeting)?
    };
    meeting.daemon.wait_log_after(seen, "(B) Entering Up state", secs(12.0))?;
    meeting.frr.wait_status("up", secs(5.0))?;
    // The daemon is gone without a word.
    meeting.daemon.crash()?;
    meeting.frr.wait_status("down", secs(4.0))?;
    meeting.daemon.start(&meeting.hosts[0], &[])?;
    meeting.frr.wait_status("up", secs(12.0)).map_err(|e| meeting.daemon.explain(e))
}

fn frr_passive(lab: &Lab) -> Outcome {
    Meeting::new(lab, "", "passive-mode")?.wait_up()
}

fn frr_active(lab: &Lab) -> Outcome {
    Meeting::new(lab, "passive", "")?.wait_up()
}

fn admin_down(lab: &Lab) -> Outcome {
    let meeting = Meeting::new(lab, "", "")?;
    meeting.wait_up()?;
    let here = ["configure terminal", "bfd", "peer 10.0.0.1 interface eth0"];
    let seen = meeting.daemon.log_length();
    meeting.frr.ask(&[&here[..], &["shutdown"]].concat())?;
    meeting.daemon.wait_log_after(seen, "Tracked BFD instance B is DOWN", secs(4.0))?;
    meeting.frr.ask(&[&here[..], &["no shutdown"]].concat())?;
    meeting.daemon.wait_log_after(seen, "Tracked BFD instance B is UP", secs(12.0))?;
    meeting.frr.wait_status("up", secs(5.0))
}

/// The first real server speaks BFD by the same program.
fn check(lab: &Lab) -> Outcome {
    let session = |own: &str, other: &str| {
        format!(
            "bfd_instance B {{\n neighbor_ip {other}\n source_ip {own}\n min_rx 100\n min_tx 100\n multiplier 5\n}}\n"
        )
    };
    let text = session("10.0.0.1", "10.0.0.11")
        + &service(
            "10.9.0.100 80",
            "lb_algo rr\nlb_kind NAT\nprotocol TCP",
            &[&real(1, 80, "BFD_CHECK {\n name B\n alpha\n}"), &real(2, 80, "")],
        );
    let mut farm = Farm::new(lab, 2, &text)?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.12:80 Masq 1"], 10.0)?;
    let mut other =
        Daemon::start_on(&farm.reals[0], &lab.subject, &lab.directory, &session("10.0.0.11", "10.0.0.1"))?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 12.0)?;
    other.crash()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.12:80 Masq 1"], 6.0)?;
    other.start(&farm.reals[0], &[])?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1, 10.0.0.12:80 Masq 1"], 12.0)
}
