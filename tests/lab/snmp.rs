//! SNMP through Debian's snmpd: what snmpwalk, snmpset and snmptrapd see of the subject and of stock, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::place::{self, write};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::snmp_whole::{objects, unseen};

pub(crate) const CASES: &[Case] = &[
    Case::single("snmp_objects_settings_and_notifications_are_stocks", beside_stock),
    Case::guest("snmp_objects_and_notifications_of_checkers_are_stocks", checkers_beside_stock),
    Case::single("snmp_a_master_that_comes_late_and_goes_is_met_again", late_and_lost).ours_only(),
];

const KEEPALIVED: &str = ".1.3.6.1.4.1.9586.100.5";
const ROOTS: [&str; 3] = [KEEPALIVED, ".1.3.6.1.2.1.68", ".1.3.6.1.2.1.207"];

const CONFIG: &str = r#"
global_defs {
    router_id r1
    notification_email {
        a@b.c
        d@e.f
    }
    notification_email_from from@x.y
    smtp_server 10.0.0.250 2525
    smtp_connect_timeout 7
    enable_traps
    enable_snmp_vrrp
    enable_snmp_rfcv2
    enable_snmp_rfcv3
    snmp_socket unix:/run/agentx
    script_user root
    vrrp_garp_master_delay 1
}
track_file tf {
    file /tmp/tf
    weight 2
}
vrrp_script ok {
    script "/usr/bin/true x y"
    interval 2
    weight 3
    rise 1
    fall 4
}
vrrp_track_process tp {
    process no-such-process a b
    weight 5
    quorum 2
}
vrrp_sync_group G1 {
    group {
        V1
        V2
    }
    notify "/usr/bin/true g"
}
vrrp_instance V1 {
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    notify_master "/usr/bin/true m"
    virtual_ipaddress {
        10.0.0.9/24 label eth0:x
        10.0.0.10/32
    }
    virtual_ipaddress_excluded {
        10.0.0.11
    }
    virtual_routes {
        10.9.0.0/16 via 10.0.0.200 dev eth0 metric 7
    }
    virtual_rules {
        from 10.8.0.0/16 table 77 priority 100
    }
    authentication {
        auth_type PASS
        auth_pass abc
    }
}
vrrp_instance V2 {
    interface eth0
    virtual_router_id 52
    priority 40
    virtual_ipaddress {
        10.0.0.12
    }
}
vrrp_instance V3 {
    interface eth0
    version 3
    virtual_router_id 53
    priority 90
    advert_int 0.5
    nopreempt
    accept
    track_script {
        ok
    }
    track_file {
        tf weight 1
    }
    track_process {
        tp weight 5
    }
    virtual_ipaddress {
        10.0.0.13
    }
}
vrrp_instance V4 {
    interface eth0
    version 3
    virtual_router_id 54
    priority 100
    preempt_delay 3
    virtual_ipaddress {
        10.0.0.14
    }
}
"#;

/// One virtual server loses a real server and its quorum; others show what there is to show.
const CHECKERS: &str = r#"
global_defs {
    router_id r1
    enable_traps
    enable_snmp_checker
    snmp_socket unix:/run/agentx
    lvs_timeouts tcp 7200 tcpfin 60 udp 300
    lvs_sync_daemon eth0 V1 id 3 maxlen 1400 port 8849 ttl 3 group 224.0.0.82
}
vrrp_instance V1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.0.0.9
    }
}
virtual_server_group VG {
    10.0.0.21 80
    10.0.0.22-24 81
    fwmark 7
}
virtual_server 10.0.0.20 80 {
    delay_loop 2
    lvs_sched wrr
    lvs_method NAT
    persistence_timeout 50
    protocol TCP
    quorum 5
    hysteresis 0
    quorum_down "/usr/bin/true d"
    real_server 10.0.0.31 80 {
        weight 3
        inhibit_on_failure
        notify_up "/usr/bin/true u"
        TCP_CHECK {
            connect_timeout 2
            retry 1
            delay_before_retry 1
        }
    }
    real_server 10.0.0.32 80 {
        weight 4
        lthreshold 5
        uthreshold 9
    }
}
virtual_server fwmark 3 {
    delay_loop 10
    lvs_sched rr
    lvs_method DR
    sorry_server 10.0.0.40 80
    real_server 10.0.0.33 80 {
        weight 1
    }
}
virtual_server group VG {
    delay_loop 10
    lvs_sched sh
    sh-port
    sh-fallback
    lvs_method TUN
    protocol UDP
    real_server 10.0.0.34 81 {
        weight 2
    }
}
virtual_server 10.0.0.25 80 {
    snmp_name named
    delay_loop 2.5
    lvs_sched mh
    mh-port
    mh-fallback
    lvs_method TUN type gue port 5555 csum
    protocol TCP
    weight 7
    alpha
    omega
    ops
    hashed
    inhibit_on_failure
    ha_suspend
    virtualhost v.example
    retry 4
    delay_before_retry 1.5
    warmup 3.5
    connect_timeout 2.5
    quorum 2
    hysteresis 1
    quorum_up "/usr/bin/true u"
    quorum_down "/usr/bin/true d"
    smtp_alert
    persistence_timeout 60
    persistence_granularity 255.255.255.0
    real_server 10.0.0.35 80 {
        snmp_name real
        virtualhost r.example
        alpha
        retry 2
        delay_before_retry 0.5
        warmup 1.5
        delay_loop 9
        uthreshold 8
        lthreshold 3
        notify_up "/usr/bin/true u"
        notify_down "/usr/bin/true d"
        lvs_method TUN type gue port 5556 remcsum
        smtp_alert
    }
    real_server 10.0.0.36 80 {
        lvs_method NAT
    }
}
virtual_server 2001:db8::20 80 {
    lvs_sched fo
    lvs_method NAT
    protocol SCTP
    persistence_timeout 70
    persistence_granularity 64
    sorry_server 2001:db8::40 80
    sorry_server_inhibit
    real_server 2001:db8::31 80 {
    }
}
"#;

fn observe_checkers(lab: &Lab, program: &Program, name: &str) -> Outcome<Seen> {
    let mut bench = Bench::new(lab, program, name, CHECKERS)?;
    let _snmpd = bench.snmpd()?;
    let _snmptrapd = bench.snmptrapd()?;
    bench.daemon.start(&bench.host, &[])?;
    // At the very start no virtual server has its quorum: what counts is the notification of its loss.
    let lost = format!(" {KEEPALIVED}.3.3.1.23 = INTEGER: 2 ");
    until(secs(30.0), "the notification of the lost quorum", || {
        bench.traps().iter().any(|trap| trap.contains(&lost)).then_some(())
    })
    .map_err(|e| bench.daemon.explain(e))?;
    until(secs(10.0), "the real server to be down and the quorum lost", || {
        (bench.get("3.3.1.23.1") == "INTEGER: 2" && bench.get("3.3.1.21.1") == "Gauge32: 1").then_some(())
    })
    .map_err(|e| bench.daemon.explain(e))?;
    let walk = bench.walk();
    let weight = format!("{KEEPALIVED}.3.4.1.7.1.2");
    let set = vec![bench.snmp("snmpset", &[&weight, "i", "6"])];
    until(secs(10.0), "the weight that was set", || {
        (bench.get("3.4.1.7.1.2") == "INTEGER: 6").then_some(())
    })?;
    // It gives the quorum back.
    let gained = |trap: &&String| {
        trap.contains(&format!(" {KEEPALIVED}.3.3.1.21 = Gauge32: 1 ")) && trap.contains(".3.5.0.2 ")
    };
    until(secs(10.0), "the notification of the quorum", || {
        (bench.traps().iter().filter(gained).filter(|trap| trap.contains(" = Gauge32: 5 ")).count() >= 2)
            .then_some(())
    })
    .map_err(|e| bench.daemon.explain(e))?;
    let traps = bench.traps();
    bench.daemon.stop()?;
    Ok(Seen { walk, set, traps })
}

fn checkers_beside_stock(lab: &Lab) -> Outcome {
    let stock = observe_checkers(lab, &Program::stock(), "stock")?;
    let subject = observe_checkers(lab, &lab.subject, "subject")?;
    let mut differences = Vec::new();
    let names: BTreeSet<_> = stock.walk.keys().chain(subject.walk.keys()).collect();
    for name in names.into_iter().filter(|name| !is_other(name)) {
        let (ours, theirs) = (subject.walk.get(name), stock.walk.get(name));
        if ours != theirs {
            differences.push(format!("{name} = {ours:?}, stock {theirs:?}"));
        }
    }
    if subject.set != stock.set {
        differences.push(format!("{:?}, stock {:?}", subject.set, stock.set));
    }
    // Stock says `udp` in notifications of marks, which have no protocol.
    let marks = format!(" {KEEPALIVED}.3.3.1.2 = INTEGER: 1 ");
    let protocol = format!(" {KEEPALIVED}.3.3.1.8 = INTEGER: 2");
    // The same of SCTP.
    let sctp = format!(" {KEEPALIVED}.3.3.1.8 = INTEGER: 3");
    let plain = |trap: &String| {
        if trap.contains(&marks) { trap.replace(&protocol, "") } else { trap.replace(&sctp, &protocol) }
    };
    let traps = |seen: &Seen| seen.traps.iter().map(plain).collect::<BTreeSet<_>>();
    if traps(&subject) != traps(&stock) {
        differences.push(format!("{:#?}\nstock {:#?}", subject.traps, stock.traps));
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let mut expected = objects("KEEPALIVED-MIB.txt", "keepalived", KEEPALIVED)?;
    expected.retain(|number, _| number.starts_with(&format!("{KEEPALIVED}.3.")));
    let unseen = unseen(&expected, &subject.walk);
    ensure!(expected.len() > 120 && unseen.is_empty(), "of {}, without a value: {unseen:?}", expected.len());
    Ok(())
}

/// A program of the case's own; dropped, it ends.
pub(crate) struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host with snmpd, snmptrapd and a daemon.
pub(crate) struct Bench {
    pub(crate) daemon: Daemon,
    directory: PathBuf,
    pub(crate) host: Host,
    pub(crate) switch: Switch,
}

impl Bench {
    pub(crate) fn new(lab: &Lab, program: &Program, name: &str, config: &str) -> Outcome<Self> {
        let switch = Switch::new()?;
        let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
        host.space.ip("link set lo up")?;
        let daemon = Daemon::new(program, &host, &lab.directory.join(name), config)?;
        let directory = daemon.directory.clone();
        write(&directory.join("tmp/tf"), "3\n")?;
        write(
            &directory.join("snmpd.conf"),
            "rwcommunity public\nagentAddress udp:127.0.0.1:1161\nmaster agentx\n\
             agentXSocket /proc/self/cwd/run/agentx\ntrap2sink 127.0.0.1:1162 public\n",
        )?;
        write(&directory.join("snmptrapd.conf"), "disableAuthorization yes\n")?;
        Ok(Self { daemon, directory, host, switch })
    }

    /// One of Debian's programs.
    fn tool(&self, package: &str, program: &str) -> Command {
        let mut command = Command::new(place::store().join(package).join(program));
        command.current_dir(&self.directory).stdin(Stdio::null()).stderr(Stdio::null());
        command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", self.directory.join("tmp/snmp"));
        command.env("LC_ALL", "C");
        command
    }

    fn spawn(&self, mut command: Command) -> Outcome<Helper> {
        self.host.space.inside(|| command.spawn()).map(Helper).map_err(|e| format!("{command:?}: {e}"))
    }

    pub(crate) fn snmpd(&self) -> Outcome<Helper> {
        let mut command = self.tool("snmpd", "usr/sbin/snmpd");
        let modules = "agentx,vacm_conf,snmpv3,usmUser,usmConf,vacm_vars,target,notification";
        command.args(["-f", "-Lf", "snmpd.log", "-C", "-c", "snmpd.conf", "-I", modules, "-p", "snmpd.pid"]);
        let _ = fs::remove_file(self.directory.join("run/agentx"));
        let helper = self.spawn(command)?;
        until(secs(10.0), "snmpd", || self.directory.join("run/agentx").exists().then_some(()))?;
        Ok(helper)
    }

    pub(crate) fn snmptrapd(&self) -> Outcome<Helper> {
        let mut command = self.tool("snmptrapd", "usr/sbin/snmptrapd");
        command.args(["-f", "-Lf", "traps", "-C", "-c", "snmptrapd.conf", "-On", "-p", "snmptrapd.pid"]);
        let helper = self.spawn({
            command.arg("udp:127.0.0.1:1162");
            command
        })?;
        until(secs(10.0), "snmptrapd", || self.traps_text().contains("NET-SNMP version").then_some(()))?;
        Ok(helper)
    }

    fn traps_text(&self) -> String {
        fs::read_to_string(self.directory.join("traps")).unwrap_or_default()
    }

    /// Standard output of snmpget, snmpset, snmpwalk.
    fn snmp(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.tool("snmp", &format!("usr/bin/{program}"));
        command.args(["-v2c", "-c", "public", "-On", "-t", "5", "-r", "0", "127.0.0.1:1161"]).args(arguments);
        let output = self.host.space.inside(|| command.output());
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn get(&self, object: &str) -> String {
        let text = self.snmp("snmpget", &[&format!("{KEEPALIVED}.{object}")]);
        text.split_once(" = ").map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    }

    /// All objects and their values.
    pub(crate) fn walk(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for root in ROOTS {
            for line in self.snmp("snmpwalk", &[root]).lines() {
                if let Some((name, value)) = line.split_once(" = ") {
                    found.insert(name.to_owned(), value.trim().to_owned());
                }
            }
        }
        found
    }

    /// Every notification but its time, in order.
    pub(crate) fn traps(&self) -> Vec<String> {
        let text = self.traps_text();
        let traps =
            text.lines().filter_map(|line| Some(line.split_once(".1.3.6.1.6.3.1.1.4.1.0 = OID: ")?.1));
        // Those of snmpd itself left out.
        traps
            .filter(|trap| ROOTS.iter().any(|root| trap.starts_with(root)))
            .map(|trap| trap.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }
}

/// What was seen of one program.
struct Seen {
    walk: BTreeMap<String, String>,
    set: Vec<String>,
    traps: Vec<String>,
}

/// The whole of it as soon as it stands still: what a master adds to the kernel is told a moment after its state.
pub(crate) fn settled(
    bench: &Bench,
    instances: std::ops::RangeInclusive<u32>,
) -> Outcome<BTreeMap<String, String>> {
    for instance in instances {
        // Master, and its addresses are there.
        for (column, wanted) in [(4, "INTEGER: 2"), (9, "INTEGER: 1")] {
            until(secs(30.0), format!("column {column} of instance {instance}"), || {
                (bench.get(&format!("2.3.1.{column}.{instance}")) == wanted).then_some(())
            })
            .map_err(|e| bench.daemon.explain(e))?;
        }
    }
    let mut last = bench.walk();
    until(secs(30.0), "two walks that are equal", || {
        let before = std::mem::replace(&mut last, bench.walk());
        let same = |(name, value): (&String, &String)| is_moving(name) || before.get(name) == Some(value);
        (before.len() == last.len() && last.iter().all(same)).then_some(())
    })?;
    Ok(last)
}

/// Times, and what is counted of adverts.
fn is_moving(name: &str) -> bool {
    [".2.1.68.1.3.1.13.", ".2.1.207.1.1.1.1.12."].iter().any(|moving| name.contains(moving))
}

fn observe(lab: &Lab, program: &Program, name: &str) -> Outcome<Seen> {
    let mut bench = Bench::new(lab, program, name, CONFIG)?;
    let _snmpd = bench.snmpd()?;
    let _snmptrapd = bench.snmptrapd()?;
    bench.daemon.start(&bench.host, &[])?;
    let walk = settled(&bench, 1..=4)?;
    let priority = |value: &str| bench.snmp("snmpset", &[&format!("{KEEPALIVED}.2.3.1.7.3"), "i", value]);
    let mut set = vec![priority("120")];
    until(secs(15.0), "the priority that was set", || {
        (bench.get("2.3.1.7.3") == "INTEGER: 120" && bench.get("2.3.1.8.3") != walk_value(&walk, "2.3.1.8.3"))
            .then_some(())
    })?;
    set.push(bench.snmp("snmpset", &[&format!("{KEEPALIVED}.2.3.1.13.3"), "i", "1"]));
    set.push(bench.snmp("snmpset", &[&format!("{KEEPALIVED}.2.3.1.3.3"), "u", "7"]));
    bench.daemon.stop()?;
    until(secs(20.0), "the notifications of the stop", || {
        (bench.traps().iter().filter(|trap| trap.contains(".4 = INTEGER: 5 ")).count() == 4).then_some(())
    })?;
    Ok(Seen { walk, set, traps: bench.traps() })
}

fn walk_value(walk: &BTreeMap<String, String>, object: &str) -> String {
    walk.get(&format!("{KEEPALIVED}.{object}")).cloned().unwrap_or_default()
}

/// Objects whose values differ for a reason: other versions, clocks and hardware addresses, and where stock is wrong.
fn is_other(name: &str) -> bool {
    const OTHER: [&str; 22] = [
        // Where mail goes that goes nowhere: stock says IPv6 and four zeros.
        ".9586.100.5.1.3.1.0",
        ".9586.100.5.1.3.2.0",
        // The release.
        ".9586.100.5.1.1.0",
        // Whether the interface of an instance is tracked: stock says whether it tracks others.
        ".9586.100.5.2.3.1.11.",
        // Whether packets to the addresses are accepted: stock says 0, which is no value of it, for no.
        ".9586.100.5.2.3.1.27.",
        // Whether an address is advertised: stock says so of the first instance alone.
        ".9586.100.5.2.6.1.11.",
        // The weight of a tracked file: stock says that of its block, not of the line.
        ".9586.100.5.2.12.1.3.",
        // The master of version 2: stock says 0.0.0.0 where it is itself, but not in its notification.
        ".2.1.68.1.3.1.7.",
        // The kind of encapsulation: stock counts from 2, the MIB file from 1.
        ".9586.100.5.2.7.1.46.",
        // Labels and locators: stock says them with their bytes turned.
        ".9586.100.5.2.7.1.47.",
        ".9586.100.5.2.7.1.54.",
        // Protocols and ports of rules: stock says nothing of them.
        ".9586.100.5.2.8.1.33.",
        ".9586.100.5.2.8.1.34.",
        ".9586.100.5.2.8.1.35.",
        ".9586.100.5.2.8.1.36.",
        ".9586.100.5.2.8.1.37.",
        ".9586.100.5.2.8.1.38.",
        // Hardware addresses and times.
        ".2.1.68.1.3.1.2.",
        ".2.1.68.1.3.1.13.",
        ".2.1.207.1.1.1.1.5.",
        ".2.1.207.1.1.1.1.12.",
        // The statistics of version 2, of which stock shows the first instance alone.
        ".2.1.68.2.4.1.",
    ];
    OTHER.iter().any(|other| name.contains(other))
}

/// Objects of VRRP that are other than stock's; stock walks through one row of version 2 alone.
pub(crate) fn differences(
    subject: &BTreeMap<String, String>,
    stock: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: BTreeSet<_> = stock.keys().chain(subject.keys()).collect();
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| !is_other(name)) {
        let (ours, theirs) = (subject.get(name), stock.get(name));
        if ours != theirs && !(theirs.is_none() && name.contains(".2.1.68.1.3.1.")) {
            found.push(format!("{name} = {ours:?}, stock {theirs:?}"));
        }
    }
    found
}

fn beside_stock(lab: &Lab) -> Outcome {
    let stock = Program::stock();
    let (subject, stock) = std::thread::scope(|scope| {
        let other = scope.spawn(|| observe(lab, &stock, "stock"));
        let subject = observe(lab, &lab.subject, "subject");
        (subject, other.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (subject, stock) = (subject?, stock?);
    let differences = differences(&subject.walk, &stock.walk);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    ensure!(stock.walk.len() > 250, "stock shows {} objects", stock.walk.len());
    if !lab.subject.is_stock() {
        let rows = subject.walk.keys().filter(|name| name.contains(".2.1.68.1.3.1.3.")).count();
        ensure!(rows == 2, "{rows} instances of version 2");
    }
    ensure!(subject.set == stock.set, "{:?}, stock {:?}", subject.set, stock.set);
    let traps = |seen: &Seen| seen.traps.iter().cloned().collect::<BTreeSet<_>>();
    let (ours, theirs) = (traps(&subject), traps(&stock));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let surplus: Vec<_> = ours.difference(&theirs).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    Ok(())
}

fn late_and_lost(lab: &Lab) -> Outcome {
    let mut bench = Bench::new(lab, &lab.subject, "subject", CONFIG)?;
    bench.daemon.start(&bench.host, &[])?;
    bench.daemon.wait_log("The AgentX master is not available", secs(5.0))?;
    let snmpd = bench.snmpd()?;
    let name = |bench: &Bench| (bench.get("2.3.1.2.1") == "STRING: \"V1\"").then_some(());
    until(secs(20.0), "the name of an instance", || name(&bench)).map_err(|e| bench.daemon.explain(e))?;
    let seen = bench.daemon.log_length();
    drop(snmpd);
    bench.daemon.wait_log_after(seen, "The AgentX master is not available", secs(5.0))?;
    let _snmpd = bench.snmpd()?;
    until(secs(20.0), "the name of an instance", || name(&bench)).map_err(|e| bench.daemon.explain(e))?;
    ensure!(!bench.daemon.logged("died"), "a process was lost");
    Ok(())
}
