//! The command line and the readers around a daemon, ours and Debian's stock 2.2.7 in one run: options with their exit
//! codes, and for each tool of spec/daemon-behaviour.md §16 its commands and the fields it takes.
//!
//! Without the packaged stock (`tests/lab/fetch`) these tests are skipped, aloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so aloud")]

mod namespaces;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use namespaces::{PROGRAM, folder, lab_with, text};

/// The packaged stock, as `tests/lab/fetch` unpacks it.
fn stock() -> Option<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let path: PathBuf = target.join("lab/keepalived/usr/sbin/keepalived");
    if !path.exists() {
        assert!(std::env::var_os("LAB_REQUIRED").is_none(), "no stock keepalived: run tests/lab/fetch");
        eprintln!("SKIPPED: no {}", path.display());
        return None;
    }
    path.to_str().map(str::to_owned)
}

/// What a command line ends with, and what it says on stdout.
fn outcome(program: &str, words: &str, at: &Path) -> (Option<i32>, String, bool) {
    let output = Command::new("timeout")
        .args(["10", program])
        .args(words.split(' ').filter(|word| !word.is_empty()))
        .current_dir(at)
        .output()
        .unwrap();
    let said = text(&output.stdout).trim_end().to_owned();
    (output.status.code(), said, !output.stderr.is_empty())
}

#[test]
fn options_are_read_as_stock_reads_them() {
    let Some(stock) = stock() else { return };
    let folder = folder();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("bad"), "nonsense\n").unwrap();
    let mut different = Vec::new();
    for words in [
        "--signum=STOP",
        "--signum=RELOAD",
        "--signum=DATA",
        "--signum=STATS",
        "--signum=STATS_CLEAR",
        "--signum=JSON",
        "--signum=TDUMP",
        "--signum=stop",
        "--signum=SIGTERM",
        "--signum=",
        "--signum JSON",
        "--signum",
        "--sig STOP",
        "--sign=DATA",
        "-v",
        "--version",
        "--ver",
        "-vZ",
        "-v extra",
        "-Zv",
        "--nonsense -h",
        "-h",
        "-hZ",
        "-Z",
        "-W",
        "--nonsense",
        "--log",
        "--v",
        "--vrrp=1",
        "-f",
        "--pid",
        "-t -f",
        "-t -f empty",
        "-t -fempty",
        "-tf empty",
        "-t --use=empty",
        "-t --use-file=bad",
        "-t --use-file bad",
        "-t -f bad -f empty",
        "-t -f empty --use-file=/nonexistent",
        "-tout -f bad",
        "--config-test=out -f empty",
        "--config-test out -f empty",
        "-t -f empty one two",
        "one -t -f empty two",
        "-t -f empty -- -Z",
        "--log-c -t -fempty",
        "-nlDDGRXVIda -t -f empty",
        "-P -C -B -t -f empty",
        "-x -A unix:/x -t -f empty",
        "-A",
        "-m -t -f empty",
        "-i id -t -f empty",
        "-e -t -f empty",
        "-u 022 -t -f empty",
        "-u 0x1ff -t -f empty",
        "-u 01000 -t -f empty",
        "-u abc -t -f empty",
        "--umask= -t -f empty",
        "-s surely-not-there -t -f empty",
        "--config-fd=9 -t -f empty",
        "-p x -r x -c x -b x -t -f empty",
        "--vrrp_pid=x --checkers_pid=x --bfd_pid=x -t -f empty",
        "-T",
        "-t -T -s",
    ] {
        let (theirs, ours) = (outcome(&stock, words, folder.path()), outcome(PROGRAM, words, folder.path()));
        // Their exit status and stdout; and whether there is anything on stderr, but for what a test finds.
        if theirs.0 != ours.0 || theirs.1 != ours.1 || theirs.2 != ours.2 {
            different.push(format!("{words}: stock {theirs:?}, ours {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    // An option that the packaged build lacks, one that makes its -t end with 5, and one whose default is another.
    assert_eq!(outcome(PROGRAM, "-S local3 -t -f empty", folder.path()).0, Some(0));
    assert_eq!(outcome(PROGRAM, "-S mail -t -f empty", folder.path()).0, Some(0));
    assert_eq!(outcome(PROGRAM, "-g -t -f empty", folder.path()).0, Some(0));
}

/// Two instances, one of them with everything that readers look at.
const CONFIGURATION: &str = "global_defs {\n  router_id reader\n  script_user root\n}\n\
    vrrp_script chk {\n  script \"/usr/bin/true\"\n  interval 1\n}\n\
    vrrp_instance VI_1 {\n  interface veth0\n  state MASTER\n  virtual_router_id 51\n  priority 255\n  advert_int 1\n  \
    garp_master_delay 5\n  virtual_ipaddress {\n    10.9.0.100/24 dev veth0\n    10.9.0.101/32\n  }\n  \
    virtual_ipaddress_excluded {\n    10.9.0.102/32\n  }\n}\n\
    vrrp_instance VI_2 {\n  interface veth0\n  state BACKUP\n  virtual_router_id 52\n  priority 100\n  advert_int 200\n  \
    track_script {\n    chk\n  }\n  virtual_ipaddress {\n    10.9.0.110/24\n  }\n}\n";

/// Runs the script with ours and with stock; what each said.
fn both(configuration: &str, script: &str) -> Option<[(String, tempfile::TempDir); 2]> {
    let stock = stock()?;
    let run = |program: &str| {
        let folder = folder();
        let said = lab_with(configuration, script, &[("PROGRAM", program)], folder.path())?;
        Some((said, folder))
    };
    Some([run(PROGRAM)?, run(&stock)?])
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    text(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// mehdy/keepalived-exporter: version, signal numbers, pid file, signals, then the three files at their fixed places.
const EXPORTER: &str = r#"
    "$PROGRAM" -v 2>version >/dev/null
    "$PROGRAM" -n -l -G -f conf >>log 2>&1 & DAEMON=$!
    until_ok has_vip 10.9.0.102
    PID=$(cat /run/keepalived.pid); [ "$PID" = "$DAEMON" ] || exit 1
    complete() { [ -s "$1" ] && { [ "$(tail -c 1 "$1" | od -An -c | tr -d ' ')" = '\n' ]; }; }
    for word in JSON STATS DATA; do kill "-$("$PROGRAM" --signum="$word")" "$PID"; sleep 0.01; done
    until_ok complete /tmp/keepalived.json; until_ok complete /tmp/keepalived.stats
    until_ok grep -q "VRRP Script = chk" /tmp/keepalived.data
    sleep 0.2; stat -c '%a %n' /tmp/keepalived.json /tmp/keepalived.stats /tmp/keepalived.data
    cp /tmp/keepalived.* .; finish"#;

/// The fields the exporter's JSON decoder takes: integers as integers.
fn exporter_json(text: &str) -> Vec<BTreeMap<String, String>> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let entries = value.as_array().expect("version 1 is an array");
    let strings = ["iname", "ifp_ifname"];
    let integers = ["state", "wantstate", "garp_delay", "vrid"];
    let counters = [
        "advert_rcvd",
        "advert_sent",
        "become_master",
        "release_master",
        "packet_len_err",
        "advert_interval_err",
        "ip_ttl_err",
        "invalid_type_rcvd",
        "addr_list_err",
        "invalid_authtype",
        "authtype_mismatch",
        "auth_failure",
        "pri_zero_rcvd",
        "pri_zero_sent",
    ];
    let entry = |entry: &serde_json::Value| {
        let (data, stats) = (&entry["data"], &entry["stats"]);
        let mut fields = BTreeMap::new();
        for key in strings {
            fields.insert(key.to_owned(), data[key].as_str().unwrap_or_else(|| panic!("{key}")).to_owned());
        }
        for key in integers {
            let number = data[key].as_u64().unwrap_or_else(|| panic!("{key} is no integer: {}", data[key]));
            fields.insert(key.to_owned(), number.to_string());
        }
        for key in counters {
            let number = stats[key].as_u64().unwrap_or_else(|| panic!("{key} is no integer: {}", stats[key]));
            // How many adverts have left is a matter of the moment.
            let shown = if key == "advert_sent" { "some".to_owned() } else { number.to_string() };
            fields.insert(key.to_owned(), shown);
        }
        // The first word is the address, the third the device.
        let vip = |vip: &serde_json::Value| {
            let words: Vec<_> = vip.as_str().unwrap().split(' ').collect();
            format!("{} on {}", words[0], words[2])
        };
        let vips: Vec<_> = data["vips"].as_array().into_iter().flatten().map(vip).collect();
        fields.insert("vips".to_owned(), vips.join(", "));
        fields
    };
    entries.iter().map(entry).collect()
}

/// The fields the exporter's text parser takes, by instance and script.
fn exporter_data(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut list = false;
    let mut at = String::new();
    for line in text.lines() {
        if let Some(name) =
            line.strip_prefix(" VRRP Instance = ").or_else(|| line.strip_prefix(" VRRP Script = "))
        {
            name.clone_into(&mut at);
            list = false;
        } else if line.starts_with("------<") || (line.starts_with(' ') && !line.starts_with("   ")) {
            at.clear();
        } else if at.is_empty() {
        } else if let Some(entry) = line.strip_prefix("     ") {
            if list {
                let words: Vec<_> = entry.split(' ').collect();
                found.push(format!("{at}: {} on {}", words[0], words[2]));
            }
        } else if let Some(property) = line.strip_prefix("   ") {
            list = property.starts_with("Virtual IP (");
            let keys =
                ["State", "Wantstate", "Interface", "Gratuitous ARP delay", "Virtual Router ID", "Status"];
            if let Some((key, value)) = property.split_once(" = ")
                && keys.contains(&key)
            {
                found.push(format!("{at}: {key} is {value}"));
            }
        }
    }
    found
}

/// `VRRP Instance: NAME` and the 14 counters below it.
fn exporter_stats(text: &str) -> Vec<String> {
    let wanted = |line: &&str| !line.trim_start().starts_with("Sent:") && !is_new(line);
    text.lines().filter(wanted).map(str::to_owned).collect()
}

/// Lines that 2.2.7 does not have.
fn is_new(line: &str) -> bool {
    let label = line.trim().split(':').next().unwrap_or_default();
    [
        "Authentication Extension Errors",
        "Missing",
        "Malformed",
        "Unknown Key",
        "Invalid HMAC",
        "Stale",
        "Replay",
    ]
    .contains(&label)
}

#[test]
fn the_prometheus_exporter_reads_ours_as_it_reads_stock() {
    let Some([(ours, at_ours), (stock, at_stock)]) = both(CONFIGURATION, EXPORTER) else { return };
    for said in [&ours, &stock] {
        for name in ["json", "stats", "data"] {
            assert!(said.contains(&format!("600 /tmp/keepalived.{name}\n")), "{said}");
        }
    }
    // The first line, its second word without the first letter: a semantic version.
    for folder in [&at_ours, &at_stock] {
        let version = read(folder, "version");
        let word = version.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let numbers: Vec<_> = word.strip_prefix('v').unwrap_or("-").split('.').collect();
        assert!(numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok()), "{version}");
        assert!(version.contains("--enable-json"), "{version}");
    }
    let json = |folder| exporter_json(&read(folder, "keepalived.json"));
    assert_eq!(json(&at_ours), json(&at_stock));
    assert_eq!(
        json(&at_ours)[0]["vips"],
        "10.9.0.100/24 on veth0, 10.9.0.101/32 on veth0".replace("/32", "")
    );
    let data = |folder| exporter_data(&read(folder, "keepalived.data"));
    assert_eq!(data(&at_ours), data(&at_stock));
    for part in
        ["VI_1: State is MASTER", "VI_2: State is BACKUP", "chk: Status is GOOD", "VI_1: Interface is veth0"]
    {
        assert!(data(&at_ours).iter().any(|line| line == part), "no {part:?} in {:#?}", data(&at_ours));
    }
    let stats = |folder| exporter_stats(&read(folder, "keepalived.stats"));
    assert_eq!(stats(&at_ours), stats(&at_stock));
}

#[test]
fn vyos_finds_its_pid_file_and_three_files_that_it_takes_away() {
    let script = r#"
        mkdir /run/keepalived
        "$PROGRAM" --dont-fork --use-file conf --pid /run/keepalived/keepalived.pid --snmp >/dev/null 2>&1 & DAEMON=$!
        until_ok has_vip 10.9.0.102
        PID=$(cat /run/keepalived/keepalived.pid); [ "$PID" = "$DAEMON" ] && echo "pid"
        for round in 1 2; do
            for pair in "USR1 data" "USR2 stats" "RTMIN+2 json"; do
                set -- $pair; kill "-$1" "$PID"; until_ok test -s "/tmp/keepalived.$2"; sleep 0.1
                cp "/tmp/keepalived.$2" "./$2.$round"; rm "/tmp/keepalived.$2"
            done
        done
        kill -HUP "$PID"; sleep 0.5; kill -0 "$PID" && echo "reloaded"
        finish; ls /run/keepalived"#;
    let Some(runs) = both(CONFIGURATION, script) else { return };
    let [ours, stock] = runs.map(|(said, folder)| {
        assert!(said.contains("pid\nreloaded\nexit 0\n"), "{said}");
        let fields = ["iname", "ifp_ifname", "vrid", "state", "effective_priority", "last_transition"];
        [1, 2].map(|round| {
            let value: serde_json::Value =
                serde_json::from_str(&read(&folder, &format!("json.{round}"))).unwrap();
            let entries = value.as_array().unwrap().iter();
            entries
                .map(|entry| {
                    let take = |key: &str| match (key, &entry["data"][key]) {
                        ("last_transition", value) => value.as_f64().map(|_| "a number".to_owned()).unwrap(),
                        (_, value) => value.to_string(),
                    };
                    fields.map(take)
                })
                .collect::<Vec<_>>()
        })
    });
    assert_eq!(ours, stock);
}

#[test]
fn neutron_starts_reloads_and_stops_a_router() {
    // As its keepalived manager: no -n, its own pid files, a stale one in the way, HUP, then an orphan that it kills.
    let script = r#"
        pgone() { ! kill -0 "$1"; }
        echo 999999 >/tmp/r.pid; echo 999998 >/tmp/r.pid-vrrp
        "$PROGRAM" -P -f "$PWD/conf" -p /tmp/r.pid -r /tmp/r.pid-vrrp -D; echo "starter $?"
        until_ok has_vip 10.9.0.102
        PID=$(cat /tmp/r.pid); VRRP=$(cat /tmp/r.pid-vrrp); kill -0 "$PID" && kill -0 "$VRRP" && echo "both run"
        tr '\0' ' ' <"/proc/$VRRP/cmdline" | grep -q -- "-p /tmp/r.pid" && echo "the child has the parent's words"
        sed -i 's/10.9.0.101.32/10.9.0.103\/32/' conf; grep -q 10.9.0.103 conf || exit 1; kill -HUP "$PID"
        until_ok has_vip 10.9.0.103
        [ "$(cat /tmp/r.pid)" = "$PID" ] && [ "$(cat /tmp/r.pid-vrrp)" = "$VRRP" ] && echo "the same processes"
        kill -KILL "$PID"; until_ok pgone "$VRRP"; echo "the orphan is gone"
        ip -o address show dev veth0 | grep -c "10.9.0.10[0-9]"
        "$PROGRAM" -P -f "$PWD/conf" -p /tmp/r.pid -r /tmp/r.pid-vrrp -D; echo "starter $?"
        until_ok has_vip 10.9.0.102
        PID=$(cat /tmp/r.pid); kill -TERM "$PID"; until_ok pgone "$PID"; sleep 0.1
        ls /tmp/r.pid /tmp/r.pid-vrrp 2>/dev/null; echo "left: $?"; ip -o address show dev veth0 | grep -c "10.9.0.10[0-9]"; true"#;
    let Some([(ours, _a), (stock, _b)]) = both(CONFIGURATION, script) else { return };
    assert_eq!(ours, stock);
    let whole = "starter 0\nboth run\nthe child has the parent's words\nthe same processes\nthe orphan is gone\n0\n\
                 starter 0\nleft: 2\n0\n";
    assert_eq!(ours, whole);
}

#[test]
fn octavia_compares_pid_files_with_its_configuration() {
    // The unit forks; the agent reads the pid files and compares the age of one with the configuration's.
    let script = r#"
        "$PROGRAM" -D -d -f "$PWD/conf" -p /run/octavia.pid -r /run/octavia-vrrp.pid -c /run/octavia-check.pid; echo "starter $?"
        until_ok has_vip 10.9.0.102
        for file in octavia octavia-vrrp; do kill -0 "$(cat /run/$file.pid)" && echo "$file runs"; done
        [ /run/octavia-vrrp.pid -nt conf ] && echo "newer than the configuration"
        kill -HUP "$(cat /run/octavia.pid)"; sleep 0.5; kill -0 "$(cat /run/octavia-vrrp.pid)" && echo "still there"
        kill -TERM "$(cat /run/octavia.pid)"; gone_file() { [ ! -e "$1" ]; }; until_ok gone_file /run/octavia.pid
        ls /run/*.pid 2>/dev/null; echo "left: $?""#;
    let Some([(ours, _a), (stock, _b)]) = both(CONFIGURATION, script) else { return };
    assert_eq!(ours, stock);
    assert!(ours.ends_with("newer than the configuration\nstill there\nleft: 2\n"), "{ours}");
}

#[test]
fn status_scripts_find_processes_and_keys() {
    // `killall` reaches every process; the first `State` within six lines of the topology; keys with their values.
    let script = r#"
        start; until_ok has_vip 10.9.0.102; sleep 0.3
        [ "$(pgrep -o keepalived)" = "$DAEMON" ] && echo "the oldest is the parent"
        killall -USR1 keepalived 2>/dev/null || pkill -USR1 -x keepalived
        until_ok grep -q "VRRP Script = chk" /tmp/keepalived.data; sleep 0.2; cp /tmp/keepalived.data .
        grep -A 6 "VRRP Topology" keepalived.data | grep -m 1 "State = "
        alive "$DAEMON" && alive "$(cat /run/vrrp.pid)" && echo "nobody died"
        finish"#;
    let Some(runs) = both(CONFIGURATION, script) else { return };
    let [ours, stock] = runs.map(|(said, folder)| {
        for part in ["the oldest is the parent\n", "   State = MASTER\n", "nobody died\nexit 0\n"] {
            assert!(said.contains(part), "{said}");
        }
        let data = read(&folder, "keepalived.data");
        let keys = ["State", "Using src_ip", "Priority", "Effective priority", "Virtual Router ID"];
        let value = |line: &str| {
            let (key, value) = line.strip_prefix("   ")?.split_once(" = ")?;
            match key {
                // `EPOCH.MICROS (Sat Nov 21 07:33:03.039061 2026)`.
                "Last transition" => {
                    let (epoch, text) = value.split_once(' ')?;
                    assert!(epoch.parse::<f64>().is_ok(), "{line}");
                    assert!(
                        text.starts_with('(') && text.ends_with(')') && text.split(' ').count() == 5,
                        "{line}"
                    );
                    None
                }
                key if keys.contains(&key) => Some(format!("{key} = {value}")),
                _ => None,
            }
        };
        data.lines().filter_map(value).collect::<Vec<_>>()
    });
    assert_eq!(ours, stock);
}

#[test]
fn zabbix_reads_version_2_below_a_private_tmp() {
    // 2.2.7 has no json_version: ours alone, in a directory that systemd would have made.
    let configuration = CONFIGURATION.replace("router_id reader", "router_id reader\n  json_version 2");
    let folder = folder();
    let script = r#"
        mkdir -p /tmp/systemd-private-x/tmp; export TMPDIR=/tmp/systemd-private-x/tmp
        start; until_ok has_vip 10.9.0.102
        kill -36 "$(cat /run/keepalived.pid)"; until_ok test -s "$TMPDIR/keepalived.json"; cp "$TMPDIR/keepalived.json" .
        finish"#;
    let Some(_) = lab_with(&configuration, script, &[], folder.path()) else { return };
    let value: serde_json::Value = serde_json::from_str(&read(&folder, "keepalived.json")).unwrap();
    let names: Vec<_> = value["vrrp"].as_array().unwrap().iter().map(|e| &e["data"]["iname"]).collect();
    assert_eq!(names, ["VI_1", "VI_2"]);
}
