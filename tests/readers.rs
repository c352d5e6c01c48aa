//! Readers that no stock is needed for, or that need a system log or a container around the daemon: what log watchers see, and
//! the images that run keepalived as process 1. spec/daemon-behaviour.md §10, §16.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so aloud")]

mod namespaces;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use namespaces::{PROGRAM, folder, lab_with, text};

/// Ours, and the packaged stock where `tests/lab/fetch` has unpacked it.
fn programs() -> Vec<(&'static str, PathBuf)> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let stock = target.join("lab/keepalived/usr/sbin/keepalived");
    let mut programs = vec![("ours", PathBuf::from(PROGRAM))];
    if stock.exists() {
        programs.push(("stock", stock));
    } else {
        assert!(std::env::var_os("LAB_REQUIRED").is_none(), "no stock keepalived: run tests/lab/fetch");
        eprintln!("SKIPPED beside stock: no {}", stock.display());
    }
    programs
}

const ONE: &str = "global_defs {\n  router_id reader\n  script_user root\n  enable_script_security\n}\n\
    vrrp_instance VI_1 {\n  interface veth0\n  state MASTER\n  virtual_router_id 51\n  priority 255\n  advert_int 1\n  \
    notify NOTIFY\n  virtual_ipaddress {\n    10.9.0.100/24 dev veth0\n  }\n}\n";

/// A message as a log watcher takes it apart: facility and severity, identifier, and text; the date and the pid are checked and
/// left out.
fn taken_apart(message: &str) -> (u32, String, String) {
    let (number, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once('>')).unwrap();
    // `Nov 21 06:00:00 `.
    let (date, rest) = rest.split_at(16);
    assert!(date.ends_with(' ') && date.as_bytes()[3] == b' ' && date.as_bytes()[9] == b':', "{message}");
    let (ident, said) = rest.split_once(": ").unwrap_or_else(|| panic!("{message}"));
    let (name, pid) = ident.split_once('[').unwrap_or_else(|| panic!("no pid: {message}"));
    assert!(pid.strip_suffix(']').is_some_and(|pid| pid.parse::<u32>().is_ok()), "{message}");
    (number.parse().unwrap(), name.to_owned(), said.trim_end_matches(['\n', '\0']).to_owned())
}

#[test]
fn log_watchers_find_identifiers_and_states_in_the_system_log() {
    // A /dev of its own, whose log is this socket.
    let script = r#"
        mkdir /tmp/dev; mount -t tmpfs none /tmp/dev
        for node in null zero random urandom; do touch /tmp/dev/$node; mount --bind /dev/$node /tmp/dev/$node; done
        mount --rbind /tmp/dev /dev; ln -s "$PWD/syslog" /dev/log
        "$PROGRAM" -D -f "$PWD/conf"; echo "starter $?"
        until_ok has_vip 10.9.0.100; sleep 0.3
        ip link set veth1 down; sleep 0.5; ip link set veth1 up
        until_ok has_vip 10.9.0.100; sleep 0.3
        kill -TERM "$(cat /run/keepalived.pid)"; gone_file() { [ ! -e /run/keepalived.pid ]; }; until_ok gone_file; sleep 0.2"#;
    let mut found = Vec::new();
    for (name, program) in programs() {
        let folder = folder();
        let log = UnixDatagram::bind(folder.path().join("syslog")).unwrap();
        log.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn({
            let log = log.try_clone().unwrap();
            let end = folder.path().join("end");
            move || {
                let (mut lines, mut bytes) = (Vec::new(), [0; 4096]);
                loop {
                    match log.recv(&mut bytes) {
                        Ok(length) => lines.push(text(&bytes[..length])),
                        Err(_) if end.exists() => return lines,
                        Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
                    }
                }
            }
        });
        let configuration = ONE.replace("notify NOTIFY", "").replace("priority 255", "priority 254");
        let environment = [("PROGRAM", program.to_str().unwrap())];
        let said = lab_with(&configuration, script, &environment, folder.path());
        std::fs::write(folder.path().join("end"), "").unwrap();
        let lines = reader.join().unwrap();
        let Some(said) = said else { return };
        assert!(said.starts_with("starter 0\n"), "{said}");
        let messages: Vec<_> = lines.iter().map(|line| taken_apart(line)).collect();
        for ident in ["Keepalived", "Keepalived_vrrp"] {
            assert!(messages.iter().any(|it| it.1 == ident), "{name}: nobody is {ident}: {messages:#?}");
        }
        // What they look for, in order; facility daemon, severity info.
        let states: Vec<_> = messages.into_iter().filter(|it| it.2.contains("Entering ")).collect();
        found.push(states);
    }
    let wanted = ["BACKUP STATE (init)", "MASTER STATE", "FAULT STATE", "BACKUP STATE", "MASTER STATE"]
        .map(|state| (30, "Keepalived_vrrp".to_owned(), format!("(VI_1) Entering {state}")));
    for states in found {
        assert_eq!(states, wanted);
    }
}

#[test]
fn container_images_run_it_as_process_1() {
    // The long options of such images, the log on standard error, a notify script that leaves orphans; HUP and TERM from outside.
    let script = r#"
        printf '#!/bin/sh\necho "$1 $2 $3 $4" >>/tmp/states\nsleep 0.3 &\n' >/tmp/notify.sh; chmod 755 /tmp/notify.sh
        unshare --pid --fork --mount-proc --kill-child "$PROGRAM" --dont-fork --log-console --log-detail --release-vips --vrrp \
            --use-file "$PWD/conf" --pid /run/container.pid --vrrp_pid /run/container-vrrp.pid >>log 2>&1 & OUTER=$!
        until_ok has_vip 10.9.0.100
        [ "$(cat /run/container.pid)" = 1 ] && echo "it is process 1"
        DAEMON=$(pgrep -P "$OUTER"); until_ok logged "Entering MASTER STATE"
        kill -HUP "$DAEMON"; until_ok logged "Reload complete"
        until_ok grep -q "INSTANCE VI_1 MASTER 255" /tmp/states
        no_zombies() { ! ps -eo stat= | grep -q Z; }
        until_ok no_zombies; echo "no zombies"
        kill -TERM "$DAEMON"; wait "$OUTER"; echo "exit $?"
        has_vip 10.9.0.100 || echo "the address is gone"
        cat /tmp/states; ls /run/container*.pid 2>/dev/null; true"#;
    for (name, program) in programs() {
        let folder = folder();
        let configuration = ONE.replace("NOTIFY", "\"/tmp/notify.sh\"");
        let environment = [("PROGRAM", program.to_str().unwrap())];
        let Some(said) = lab_with(&configuration, script, &environment, folder.path()) else { return };
        let (out, log) = said.split_at(said.find("Starting Keepalived").unwrap_or(0));
        let out = &out[..out.rfind('\n').map_or(0, |end| end + 1)];
        assert_eq!(
            out.lines().filter(|line| !line.contains(": ")).collect::<Vec<_>>().join("\n"),
            "it is process 1\nno zombies\nexit 0\nthe address is gone\n\
             INSTANCE VI_1 MASTER 255\nINSTANCE VI_1 STOP 255",
            "{name}: {log}"
        );
        // Its console: a date and the text, no identifier.
        let line = log.lines().find(|line| line.contains("Entering MASTER STATE")).unwrap_or_default();
        assert_eq!(line.split(": ").nth(1), Some("(VI_1) Entering MASTER STATE"), "{name}: {line}");
    }
}
