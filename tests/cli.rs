//! The program as its users start it: options, exit codes, pid files, signals, reload, respawn.
//!
//! Daemons run in network, mount and process namespaces made for each test, with their own /run and /tmp. Without the
//! right to make them such a test is skipped, aloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so aloud")]

mod namespaces;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Duration;

use namespaces::{PROGRAM, folder, lab_with, text};

/// One instance that can run in a namespace.
const GOOD: &str = "vrrp_instance VI_1 {\n  interface veth0\n  virtual_router_id 51\n  priority 100\n  \
                    virtual_ipaddress {\n    10.9.0.100/24\n  }\n}\n";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn code(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

/// The same in a folder that nobody looks into.
fn lab(configuration: &str, script: &str) -> Option<String> {
    let folder = folder();
    lab_with(configuration, script, &[], folder.path())
}

fn has(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn the_version_is_on_stderr_where_parsers_look() {
    let output = run(&["-v"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.starts_with("Keepalived v2.4.3 ("), "{said}");
    has(&said, &["keepalived-rs", "--enable-json"]);
}

#[test]
fn the_help_lists_options_on_stderr() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    has(&text(&output.stderr), &["--use-file=FILE", "-t, --config-test[=FILE]"]);
}

#[test]
fn signal_numbers_are_on_stdout() {
    for (name, number) in
        [("STOP", "15"), ("RELOAD", "1"), ("DATA", "10"), ("STATS_CLEAR", "63"), ("JSON", "36")]
    {
        let output = run(&[&format!("--signum={name}")]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("{number}\n")));
    }
    let output = run(&["--signum", "TDUMP"]);
    assert_eq!(output.status.code(), Some(1));
    has(&text(&output.stderr), &["Unknown sigfunc TDUMP"]);
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_1() {
    for words in
        [&["-Z"][..], &["--nonsense"], &["-f"], &["--pid"], &["--log"], &["--signum="], &["--vrrp=1"]]
    {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn a_test_of_the_configuration_has_stocks_codes() {
    let folder = folder();
    let file = folder.path().join("conf");
    let path = file.to_str().unwrap();
    let unknown = "vrrp_instance V {\n  preemtp_delay 3\n}\n";
    for (configuration, expected) in
        [("", 0), ("! nothing\n", 0), (unknown, 5), ("vrrp_instance V {\n  virtual_router_id\n}\n", 2)]
    {
        fs::write(&file, configuration).unwrap();
        assert_eq!(code(&["-t", "-f", path]), Some(expected), "{configuration}");
    }
    let output = run(&["-t", "-f", "/nonexistent/keepalived.conf"]);
    assert_eq!(output.status.code(), Some(0));
    has(&text(&output.stderr), &["/nonexistent/keepalived.conf"]);
}

#[test]
fn findings_stand_at_their_place_without_colour_codes_in_a_pipe() {
    let folder = folder();
    let file = folder.path().join("conf");
    fs::write(&file, "vrrp_instance V {\n  preemtp_delay 3\n}\n").unwrap();
    let said = text(&run(&["-t", "-f", file.to_str().unwrap()]).stderr);
    has(&said, &[":2:3", "preempt_delay"]);
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn findings_are_appended_to_the_file_attached_to_the_option() {
    let folder = folder();
    let (file, log) = (folder.path().join("conf"), folder.path().join("log"));
    fs::write(&file, "nonsense\n").unwrap();
    fs::write(&log, "before\n").unwrap();
    let path = file.to_str().unwrap();
    for option in [format!("-t{}", log.display()), format!("--config-test={}", log.display())] {
        let output = run(&[&option, "-f", path]);
        assert_eq!(output.status.code(), Some(5));
        assert!(output.stderr.is_empty());
    }
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.starts_with("before\n"), "{said}");
    assert!(said.matches("nonsense").count() >= 2, "{said}");
}

#[test]
fn every_process_writes_a_log_file_of_its_own_if_asked() {
    let Some(said) = lab(
        GOOD,
        r#""$PROGRAM" -G -D -g/tmp/k.log -f conf; echo "starter $?"
           until_ok grep -q "Startup complete" /tmp/k.log; until_ok grep -q "BACKUP STATE" /tmp/k_vrrp.log
           kill -TERM "$(cat /run/keepalived.pid)"; until_ok grep -q "Stopped" /tmp/k.log
           cut -c 25-27,28-45 /tmp/k.log | head -n 1; stat -c '%a' /tmp/k.log"#,
    ) else {
        return;
    };
    has(&said, &["starter 0\n", ": Starting Keepalived"]);
}

#[test]
fn surplus_words_are_named_and_ignored() {
    let folder = folder();
    let file = folder.path().join("conf");
    fs::write(&file, "").unwrap();
    let output = run(&["start", "-t", "-f", file.to_str().unwrap(), "now"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "Unexpected argument(s): start now\n");
    assert!(output.stderr.is_empty());
}

#[test]
fn a_start_without_a_usable_configuration_ends_with_6_or_2() {
    let Some(said) = lab(
        "vrrp_instance V {\n interface nope0\n virtual_router_id 5\n}\n",
        r#""$PROGRAM" -n -l -G -f nothing 2>>log; echo "missing $?"
           "$PROGRAM" -n -l -G -f conf 2>>log; echo "refused $?"
           "$PROGRAM" -G -f conf; echo "in the background $?"
           ls /run/*.pid 2>/dev/null; echo "left: $?""#,
    ) else {
        return;
    };
    has(&said, &["missing 6", "refused 2", "in the background 2"]);
    has(&said, &["exited with permanent error CONFIG. Terminating"]);
    has(&said, &["left: 2"]);
}

#[test]
fn pid_files_are_held_read_and_removed() {
    let Some(said) = lab(
        GOOD,
        r#"echo 1 >/run/keepalived.pid; echo 1 >/run/checkers.pid
           start; until_ok logged "Startup complete"
           [ "$(cat /run/keepalived.pid)" = "$DAEMON" ] && echo "own pid"
           stat -c '%a %n' /run/keepalived.pid /run/vrrp.pid
           [ -e /run/checkers.pid ] || echo "no leftover of unused children"
           ps -o comm= -p "$(cat /run/vrrp.pid)"
           "$PROGRAM" -n -l -G -f conf 2>>log; echo "second $?"
           alive "$DAEMON" && echo "first is alive"
           finish; ls /run/*.pid 2>/dev/null; echo "left: $?""#,
    ) else {
        return;
    };
    has(&said, &["own pid\n", "644 /run/keepalived.pid\n644 /run/vrrp.pid\n", "no leftover", "keepalived\n"]);
    has(&said, &["second 0\n", "Another process has pid file /run/keepalived.pid locked", "first is alive"]);
    has(&said, &["daemon is already running", "exit 0\n", "left: 2"]);
    has(&said, &["Starting Keepalived v2.4.3", "Stopped Keepalived v2.4.3"]);
}

#[test]
fn an_older_stock_that_holds_no_lock_is_seen() {
    let Some(said) = lab(
        GOOD,
        r#"cp "$(command -v sleep)" /tmp/keepalived; /tmp/keepalived 60 & OTHER=$!
           until_ok grep -qx keepalived "/proc/$OTHER/comm"; echo "$OTHER" >/run/keepalived.pid
           "$PROGRAM" -n -l -G -f conf 2>>log; echo "beside it $?"; cat /run/keepalived.pid
           kill "$OTHER"; wait "$OTHER"
           start; until_ok logged "Startup complete"; echo "after it"; finish"#,
    ) else {
        return;
    };
    has(&said, &["beside it 0\n", "daemon is already running", "after it\nexit 0\n"]);
}

#[test]
fn the_starter_ends_while_the_daemon_goes_to_the_background() {
    let Some(said) = lab(
        GOOD,
        r#""$PROGRAM" -G -D -f conf; echo "starter $?"
           until_ok test -s /run/vrrp.pid
           PARENT=$(cat /run/keepalived.pid); alive "$PARENT" && echo "in the background"
           [ "$(ps -o sid= -p "$PARENT" | tr -d ' ')" = "$PARENT" ] && echo "leads its session"
           readlink "/proc/$PARENT/cwd" "/proc/$PARENT/fd/0" "/proc/$PARENT/fd/2"
           kill -TERM "$PARENT"; until_ok gone "$PARENT"; ls /run/*.pid 2>/dev/null; echo "left: $?""#,
    ) else {
        return;
    };
    has(
        &said,
        &[
            "starter 0\n",
            "in the background\n",
            "leads its session\n",
            "/\n/dev/null\n/dev/null\n",
            "left: 2",
        ],
    );
}

#[test]
fn a_lost_child_is_started_again_and_without_respawn_the_daemon_ends() {
    let Some(said) = lab(
        GOOD,
        r#"start; until_ok logged "Startup complete"; until_ok test -s /run/vrrp.pid
           FIRST=$(cat /run/vrrp.pid); kill -KILL "$FIRST"
           until_ok logged "Starting VRRP child process" 2
           changed() { [ "$(cat /run/vrrp.pid)" != "$FIRST" ] && alive "$(cat /run/vrrp.pid)"; }
           until_ok changed; alive "$DAEMON" && echo "still there"
           finish
           start -R; until_ok logged "Startup complete" 2; until_ok test -s /run/vrrp.pid
           kill -KILL "$(cat /run/vrrp.pid)"; wait "$DAEMON"; echo "without respawn $?""#,
    ) else {
        return;
    };
    has(
        &said,
        &["exited due to signal 9 (SIGKILL)", "died: Respawning", "delayed 0 seconds to limit respawn rate"],
    );
    has(&said, &["still there\n", "exit 0\n", "died: Exiting", "without respawn 0\n"]);
}

#[test]
fn a_reload_of_a_broken_file_changes_nothing_until_it_is_mended() {
    let Some(said) = lab(
        GOOD,
        r#"start; until_ok logged "Startup complete"; CHILD=$(cat /run/vrrp.pid); cp conf good
           sed 's/veth0/nope0/' good >conf; kill -HUP "$DAEMON"; until_ok logged "Reload refused" 1
           sed '$d' good >conf; kill -HUP "$DAEMON"; until_ok logged "Reload refused" 2
           { cat good; echo "instance other"; } >conf; kill -HUP "$DAEMON"; until_ok logged "Reload refused" 3
           rm conf; kill -HUP "$DAEMON"; until_ok logged "Reload refused" 4
           alive "$CHILD" && echo "the same child"
           { cat good; echo "nonsense"; } >conf; kill -HUP "$DAEMON"; until_ok logged "Reload complete"
           alive "$CHILD" && echo "the same child after"
           finish"#,
    ) else {
        return;
    };
    has(
        &said,
        &["nope0", "block-not-closed", "Cannot change instance name at a reload - please restart keepalived"],
    );
    has(&said, &["the same child\n", "the same child after\n", "exit 0\n"]);
    assert!(!said.contains("died"), "{said}");
}

#[test]
fn a_reload_starts_the_child_that_an_empty_start_did_not_need() {
    let Some(said) = lab(
        "",
        &format!(
            r#"start; until_ok logged "keepalived has no configuration to run"
               printf '%s' '{GOOD}' >conf; kill -HUP "$DAEMON"; until_ok logged "Startup complete"
               CHILD=$(cat /run/vrrp.pid)
               : >conf; kill -HUP "$DAEMON"; until_ok logged "Reload complete"
               alive "$CHILD" && echo "goes on empty"
               finish"#
        ),
    ) else {
        return;
    };
    has(&said, &["Starting VRRP child process", "goes on empty\n", "exit 0\n"]);
}

#[test]
fn requests_sent_to_every_process_kill_none() {
    let Some(said) = lab(
        GOOD,
        r#"start; until_ok logged "Startup complete"; CHILD=$(cat /run/vrrp.pid)
           for signal in USR1 USR2 36 63 HUP; do killall -"$signal" keepalived 2>/dev/null || kill -"$signal" "$DAEMON" "$CHILD"; done
           until_ok logged "Reload complete"; until_ok test -s /tmp/keepalived_parent.data
           head -1 /tmp/keepalived_parent.data; stat -c %a /tmp/keepalived_parent.data
           alive "$DAEMON" && alive "$CHILD" && echo "both alive"; finish"#,
    ) else {
        return;
    };
    has(&said, &["------< Global definitions >------\n600\n", "both alive\n", "exit 0\n"]);
}

#[test]
fn a_host_without_ipvs_ends_a_start_with_1_and_a_reload_with_a_refusal() {
    let server = "virtual_server 10.9.0.100 80 {\n real_server 10.9.0.1 80 {\n  weight 1\n }\n}\n";
    let Some(said) = lab(
        server,
        &format!(
            r#"if [ -e /proc/net/ip_vs ] || modprobe -qn ip_vs; then echo "has IPVS"; exit 0; fi
               "$PROGRAM" -n -l -G -f conf 2>>log; echo "start $?"
               mv conf server; printf '%s' '{GOOD}' >conf
               start; until_ok logged "Startup complete"; CHILD=$(cat /run/vrrp.pid)
               cat server >>conf; kill -HUP "$DAEMON"; until_ok logged "Reload refused"
               alive "$CHILD" && echo "VRRP goes on"; finish"#
        ),
    ) else {
        return;
    };
    if said.contains("has IPVS") {
        eprintln!("SKIPPED: this host has IPVS");
        return;
    }
    has(
        &said,
        &["start 1\n", "healthcheckers exited with permanent error FATAL", "VRRP goes on\n", "exit 0\n"],
    );
}

#[test]
fn an_interrupt_from_the_terminal_stops_and_respawns_nothing() {
    let Some(said) = lab(
        GOOD,
        r#"setsid "$PROGRAM" -n -l -G -D -f conf >>log 2>&1 & DAEMON=$!
           until_ok logged "Startup complete"; kill -INT -- "-$DAEMON"; wait "$DAEMON"; echo "exit $?"
           setsid "$PROGRAM" -n -l -G -D -f conf --ignore-sigint >>log 2>&1 & DAEMON=$!
           until_ok logged "Startup complete" 2; kill -INT "$DAEMON"; kill -USR1 "$DAEMON"
           until_ok test -s /tmp/keepalived_parent.data; alive "$DAEMON" && echo "ignored"; finish"#,
    ) else {
        return;
    };
    has(&said, &["exit 0\n", "ignored\nexit 0\n"]);
    assert!(!said.contains("died"), "{said}");
}

#[test]
fn a_child_stopped_by_itself_comes_again() {
    let Some(said) = lab(
        GOOD,
        r#"start; until_ok logged "Startup complete"; until_ok test -s /run/vrrp.pid
           kill -TERM "$(cat /run/vrrp.pid)"; until_ok logged "died: Respawning"
           until_ok logged "Starting VRRP child process" 2; finish"#,
    ) else {
        return;
    };
    has(&said, &["exit 0\n"]);
}

#[test]
fn children_of_a_killed_parent_end_and_the_next_start_waits_for_them() {
    let Some(said) = lab(
        GOOD,
        r#"start; until_ok logged "Startup complete"; CHILD=$(cat /run/vrrp.pid)
           kill -KILL "$DAEMON"; wait "$DAEMON"
           start; until_ok logged "Startup complete" 2
           gone "$CHILD" && echo "the orphan is gone"
           [ "$(cat /run/vrrp.pid)" != "$CHILD" ] && echo "a new child"; finish"#,
    ) else {
        return;
    };
    has(&said, &["the orphan is gone\n", "a new child\n", "exit 0\n"]);
}

#[test]
fn the_service_manager_hears_of_start_reload_and_stop() {
    let folder = folder();
    let address = folder.path().join("notify");
    let manager = UnixDatagram::bind(&address).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let script = r#"start; until_ok logged "no configuration to run"; kill -HUP "$DAEMON"
                    until_ok logged "no configuration to run" 2; finish"#;
    let environment = [("NOTIFY_SOCKET", address.to_str().unwrap())];
    if lab_with("", script, &environment, folder.path()).is_none() {
        return;
    }
    let hear = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        text(&bytes[..length])
    };
    has(&hear(), &["READY=1\n", "MAINPID="]);
    has(&hear(), &["RELOADING=1\n", "MONOTONIC_USEC="]);
    has(&hear(), &["READY=1\n"]);
    has(&hear(), &["STOPPING=1\n"]);
}

/// Linked, it would cost every process half a megabyte.
#[test]
fn openssl_is_loaded_by_the_process_that_needs_it_and_linked_by_none() {
    let program = fs::read(env!("CARGO_BIN_EXE_keepalived-rs")).unwrap();
    let names = |name: &[u8]| program.windows(name.len()).any(|window| window == name);
    assert!(names(b"libpcre2-8.so"), "what is linked is named in the program");
    assert!(!names(b"libcrypto.so"));
}
