//! IPVS beside its table: connection sync, another network namespace, checks that wait for an address.

use std::os::unix::fs::symlink;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::ipvs::{brief, wait_table};
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_sync_daemons_without_an_instance", sync_alone),
    Case::guest("lvs_sync_daemon_follows_its_instance", sync_follows),
    Case::guest("lvs_sync_daemon_of_a_lost_vrrp_process_goes_on", sync_survives).ours_only(),
    Case::guest("lvs_net_namespace_ipvs", namespace),
    Case::guest("lvs_ha_suspend_checks_only_with_the_address", suspend),
    Case::guest("lvs_ha_suspend_finds_the_addresses_of_a_group", suspend_group).ours_only(),
];

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";

fn plain() -> String {
    service("10.9.0.100 80", WORDS, &[&real(1, 80, "")])
}

/// The daemons that run, each as `ipvsadm` shows it: `master eth0 7 1400 224.0.0.82 8849 3`.
fn daemons(host: &Host) -> Outcome<Vec<String>> {
    let text = host.space.run("ipvsadm", &["-l", "--daemon"])?;
    let mut found: Vec<String> = text
        .lines()
        .map(|line| {
            let role = line.split(' ').next().unwrap_or_default();
            let (_, inside) = line.split_once('(').unwrap_or_default();
            let values = inside.trim_end_matches(')').split(", ");
            let values: Vec<_> = values.map(|it| it.split_once('=').map_or(it, |(_, value)| value)).collect();
            format!("{role} {}", values.join(" "))
        })
        .collect();
    found.sort();
    Ok(found)
}

fn wait_daemons(farm: &Farm, wanted: &[&str]) -> Outcome {
    let mut found = Vec::new();
    until(secs(6.0), format!("the sync daemons {wanted:?}"), || {
        found = daemons(&farm.director).ok()?;
        (found == wanted).then_some(())
    })
    .map_err(|e| farm.daemon.explain(format!("{e}\nfound {found:?}")))
}

fn sync_alone(lab: &Lab) -> Outcome {
    let with = |words: &str| format!("global_defs {{\n lvs_sync_daemon {words}\n}}\n{}", plain());
    let mut farm = Farm::new(lab, 1, &with("eth0 id 7 maxlen 1400 port 8849 ttl 3 group 224.0.0.82"))?;
    farm.start()?;
    wait_daemons(&farm, &["backup eth0 7 1400 224.0.0.82 8849 3", "master eth0 7 1400 224.0.0.82 8849 3"])?;
    farm.daemon.reload(&with("eth1"))?;
    wait_daemons(&farm, &["backup eth1 0 1472 224.0.0.81 8848 1", "master eth1 0 1472 224.0.0.81 8848 1"])?;
    farm.daemon.stop()?;
    wait_daemons(&farm, &[])
}

/// A director that becomes master alone.
fn following(lab: &Lab, more: &str) -> Outcome<Farm> {
    let globals = format!("global_defs {{\n lvs_sync_daemon eth0 V {more}\n}}\n");
    let vrrp = instance("V", 51, "eth1", 100, "advert_int 1\nvirtual_ipaddress {\n 10.9.0.77\n}\n");
    let mut farm = Farm::new(lab, 1, &format!("{globals}{vrrp}{}", plain()))?;
    farm.start()?;
    Ok(farm)
}

const BACKUP: &str = "backup eth0 51 1472 224.0.0.81 8848 1";
const MASTER: &str = "master eth0 51 1472 224.0.0.81 8848 1";

fn sync_follows(lab: &Lab) -> Outcome {
    let mut farm = following(lab, "")?;
    wait_daemons(&farm, &[BACKUP])?;
    wait_daemons(&farm, &[MASTER])?;
    farm.director.space.ip("link set eth1 down")?;
    wait_daemons(&farm, &[BACKUP])?;
    farm.director.space.ip("link set eth1 up")?;
    wait_daemons(&farm, &[MASTER])?;
    let config = std::fs::read_to_string(farm.daemon.config_path()).map_err(|e| e.to_string())?;
    farm.daemon.reload(&config.replace("eth0 V", "eth0 V ttl 2"))?;
    wait_daemons(&farm, &["master eth0 51 1472 224.0.0.81 8848 2"])?;
    farm.daemon.stop()?;
    wait_daemons(&farm, &[])
}

fn sync_survives(lab: &Lab) -> Outcome {
    let farm = following(lab, "")?;
    wait_daemons(&farm, &[MASTER])?;
    // The process tells its parent how things are when it has nothing else to do, after what the kernel shows already.
    throughout(secs(1.0), "the sync daemon runs", || {
        daemons(&farm.director).is_ok_and(|found| found == [MASTER])
    })?;
    let old = farm.daemon.pid("vrrp")?;
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    throughout(secs(3.0), "the sync daemon runs on", || {
        daemons(&farm.director).is_ok_and(|found| found == [MASTER])
    })
    .map_err(|e| farm.daemon.explain(e))?;
    ensure!(farm.daemon.pid("vrrp")? != old, "no other vrrp process");
    Ok(())
}

fn namespace(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 1, &format!("net_namespace_ipvs there\n{}", plain()))?;
    let other = Host::new("there")?;
    let names = farm.daemon.own_file("run/netns");
    std::fs::create_dir_all(&names).map_err(|e| e.to_string())?;
    symlink(other.space.path(), names.join("there")).map_err(|e| e.to_string())?;
    farm.start()?;
    wait_table(&other, &["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], secs(10.0))
        .map_err(|e| farm.daemon.explain(e))?;
    ensure!(brief(&farm.director)?.is_empty(), "a table where the daemon runs");
    farm.daemon.stop()?;
    wait_table(&other, &[], secs(1.0))
}

const FULL: &str = "TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1";
const EMPTY: &str = "TCP 10.9.0.100:80 rr:";

/// Nobody answers on the real server: its check fails at once when it runs.
fn suspend(lab: &Lab) -> Outcome {
    let text = service("10.9.0.100 80", &format!("ha_suspend\n{WORDS}"), &[&real(1, 80, TCP_CHECK)]);
    let mut farm = Farm::new(lab, 1, &text)?;
    farm.director.space.ip("address del 10.9.0.100/32 dev eth1")?;
    farm.start()?;
    farm.daemon.wait_log("Deactivating healthchecker for service [10.0.0.11]:tcp:80", secs(8.0))?;
    farm.table(&[FULL], 5.0)?;
    throughout(secs(3.0), "no check runs", || brief(&farm.director).is_ok_and(|found| found == [FULL]))?;
    farm.director.space.ip("address add 10.9.0.100/32 dev eth1")?;
    farm.daemon.wait_log("Activating healthchecker for service [10.0.0.11]:tcp:80", secs(5.0))?;
    farm.table(&[EMPTY], 8.0)?;
    farm.director.space.ip("address del 10.9.0.100/32 dev eth1")?;
    farm.daemon.wait_log("Suspending healthchecker for service [10.0.0.11]:tcp:80", secs(5.0))?;
    let _servers = farm.servers()?;
    throughout(secs(2.5), "its result stays", || {
        brief(&farm.director).is_ok_and(|found| found.first().is_some_and(|line| line.trim_end() == EMPTY))
    })?;
    let text = farm.daemon.dump(Signal::SIGUSR1, "tmp/keepalived_check.data")?;
    ensure!(text.contains("Using HA suspend") && text.contains("Enabled = no"), "{text}");
    farm.director.space.ip("address add 10.9.0.100/32 dev eth1")?;
    farm.table(&[FULL], 8.0)
}

fn suspend_group(lab: &Lab) -> Outcome {
    let text = format!(
        "virtual_server_group G {{\n 10.9.0.100-102 80\n}}\n{}",
        service("group G", &format!("ha_suspend\n{WORDS}"), &[&real(1, 80, TCP_CHECK)])
    );
    let mut farm = Farm::new(lab, 1, &text)?;
    farm.start()?;
    farm.table(&[EMPTY, "TCP 10.9.0.101:80 rr:", "TCP 10.9.0.102:80 rr:"], 10.0)
}
