//! The traps of the configuration language, one by one: the exit code of `-t`, ours and Debian's stock 2.2.7 in one run
//! (where the lab has fetched it), and the value that a running daemon has. spec/config-language.md, Traps and §1–§9.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so aloud")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keepalived-rs");

/// What Debian's stock does with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stock {
    /// It ends with the same code.
    Same,
    /// It reads for ever.
    Hangs,
    /// 2.2.7 does not know it, or not yet so; the code is the one that spec/config-language.md gives for 2.4.3.
    Newer,
}

struct Trap {
    /// The number in the table of traps, or the section.
    name: &'static str,
    /// `conf`; `INST` stands for an instance's first lines, `VIPS` for its last.
    text: String,
    /// Other files beside it.
    files: &'static [(&'static str, &'static str)],
    options: &'static [&'static str],
    exit: i32,
    stock: Stock,
    /// A path of `explain --effective`, and what its last line begins with.
    holds: Option<(&'static str, &'static str)>,
}

fn trap(name: &'static str, text: &str, exit: i32) -> Trap {
    let text = text
        .replace("INST ", "vrrp_instance V {\n interface veth0\n virtual_router_id 5\n ")
        .replace("VIPS", "\n virtual_ipaddress { 192.0.2.5 }\n}\n");
    Trap { name, text, files: &[], options: &[], exit, stock: Stock::Same, holds: None }
}

impl Trap {
    fn holds(mut self, path: &'static str, value: &'static str) -> Self {
        self.holds = Some((path, value));
        self
    }

    fn files(mut self, files: &'static [(&'static str, &'static str)]) -> Self {
        self.files = files;
        self
    }

    fn with(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    fn stock(mut self, stock: Stock) -> Self {
        self.stock = stock;
        self
    }
}

const PRIORITY: &str = "vrrp_instance V priority";

fn traps() -> Vec<Trap> {
    const OTHER: &str =
        "vrrp_instance W {\n interface veth0\n virtual_router_id 6\n virtual_ipaddress { 192.0.2.6 }\n}\n";
    let long = "x".repeat(1100);
    vec![
        trap(
            "1: an unknown block is not skipped",
            "INST foobar {\n priority 33\n }\n priority 44\n virtual_ipaddress { 192.0.2.5 }\n}\n",
            5,
        )
        .holds(PRIORITY, "priority 33"),
        trap("3: a missing argument stops the reading", "INST virtual_router_id\n prioritty 3 VIPS", 2),
        trap("4: a unit stops the conversion", "INST preempt_delay 3m VIPS", 5)
            .holds("vrrp_instance V preempt_delay", "preempt_delay 3e-6"),
        trap("5: a lenient number", "INST garp_master_delay 7s VIPS", 5)
            .holds("vrrp_instance V garp_master_delay", "garp_master_delay 7"),
        trap("6: single quotes do not protect a #", "INST notify_master '/usr/bin/true #x' VIPS", 5)
            .holds("vrrp_instance V notify_master", "# notify_master"),
        trap("7: there is no continuation line", "INST nopreempt \\\n VIPS", 5)
            .holds("vrrp_instance V nopreempt", "# nopreempt: off"),
        trap("8: a long comment", &format!("# {long}\nINST priority 33 VIPS"), 5)
            .holds(PRIORITY, "priority 33"),
        trap("9: no substitution before a quote", "$A=BACKUP\nINST state \"$A\" VIPS", 5),
        trap("9: braces substitute anywhere", "$A=BACKUP\nINST state \"${A}\" VIPS", 0)
            .holds("vrrp_instance V state", "state BACKUP"),
        trap("10: no condition from a substitution", "$C=@foo\nINST $C priority 5\n priority 6 VIPS", 5)
            .holds(PRIORITY, "priority 6")
            .stock(Stock::Newer),
        trap("11: _HASH starts a comment", "global_defs {\n router_id x${_HASH}y\n}\nINST VIPS", 0)
            .holds("global_defs router_id", "router_id x "),
        trap("12: an undefined name with braces", "INST priority ${ A } VIPS", 5),
        trap("13: a definition of itself", "$A=$A\nINST priority $A VIPS", 5).stock(Stock::Hangs),
        trap("14: the host name is the config id", "INST @HOST priority 33 VIPS", 0)
            .holds(PRIORITY, "priority 33"),
        trap("14: unless -i names another", "INST @HOST priority 33\n @one priority 34 VIPS", 0)
            .with(&["-i", "one"])
            .holds(PRIORITY, "priority 34"),
        trap("15: one keyword a line", "INST authentication { auth_type PASS auth_pass x } VIPS", 5)
            .holds("vrrp_instance V authentication auth_pass", "# auth_pass: unset"),
        trap(
            "18: a reference before the definition",
            "global_defs {\n enable_script_security\n script_user root\n}\n\
             INST track_script {\n s\n } VIPS vrrp_script s {\n script /usr/bin/true\n}\n",
            5,
        ),
        trap(
            "19: a brace missing at the end",
            "INST VIPS vrrp_instance W {\n interface veth0\n virtual_router_id 6\n priority 7\n \
             virtual_ipaddress { 192.0.2.6 }\n",
            5,
        )
        .holds("vrrp_instance W priority", "priority 7"),
        trap("20: a missing interface", "INST VIPS", 5).files(&[("no-veth0", "")]),
        trap("21: a quote separates words", "INST priority\"50\" VIPS", 0).holds(PRIORITY, "priority 50"),
        trap("23: a condition before an include", "@^nobody include w.conf\nINST VIPS", 5)
            .files(&[("w.conf", OTHER)])
            .stock(Stock::Newer)
            .holds("vrrp_instance W virtual_router_id", "virtual_router_id 6"),
        trap("24: global_defs may stand last", "INST VIPS global_defs {\n vrrp_version 3\n}\n", 0)
            .holds("vrrp_instance V version", "version 3"),
        trap("§1: CRLF", "INST priority 33\r\n VIPS", 0).holds(PRIORITY, "priority 33"),
        trap("§1: a NUL costs its line", "INST priority 33\n priority 44\0\n VIPS", 5)
            .holds(PRIORITY, "priority 33")
            .stock(Stock::Newer),
        trap("§1: a byte order mark", "\u{feff}INST VIPS", 5),
        trap("§1: a full-width blank", "INST priority\u{3000}50 VIPS", 5).holds(PRIORITY, "priority 100"),
        trap("§2: comments are glued", "INST priority 50!x VIPS", 0).holds(PRIORITY, "priority 50"),
        trap("§2: a hash in double quotes", "global_defs {\n router_id \"a # b\"\n}\nINST VIPS", 0)
            .holds("global_defs router_id", "router_id \"a # b\""),
        trap("§2: an escaped hash", "global_defs {\n router_id x\\#y\n}\nINST VIPS", 0)
            .holds("global_defs router_id", "router_id \"x#y\""),
        trap("§2: an odd quote", "INST priority 50\n notify_master \"/usr/bin/true VIPS", 5),
        trap(
            "§3: keywords may be quoted",
            "\"vrrp_instance\" \"V {\" {\n interface veth0\n virtual_router_id 5\n priority 9 VIPS",
            0,
        )
        .holds("vrrp_instance priority", "priority 9"),
        trap("§3: keywords know their case", "INST Priority 3 VIPS", 5),
        trap("§3: values know their case", "INST state master VIPS", 5),
        trap("§3: surplus words", "INST priority 50 60\n nopreempt foo VIPS", 0)
            .holds(PRIORITY, "priority 50"),
        trap("§3: the last one wins", "INST priority 10\n priority 20 VIPS", 0)
            .holds(PRIORITY, "priority 20"),
        trap(
            "§3: escapes of script strings",
            "global_defs {\n enable_script_security\n script_user root\n}\n\
             INST notify_master \"/usr/bin/true '/a b' \\x41 \\102 \\\"q\\\"\" VIPS",
            0,
        )
        .holds("vrrp_instance V notify_master", "notify_master /usr/bin/true /a b A B \"q\""),
        trap(
            "§4: text behind a brace",
            "vrrp_instance V { interface veth0\n virtual_router_id 5\n priority 9 VIPS",
            0,
        )
        .holds(PRIORITY, "priority 9"),
        trap(
            "§4: the brace on a later line",
            "vrrp_instance V\n\n# comment\n{\n interface veth0\n virtual_router_id 5\n priority 9 VIPS",
            0,
        )
        .holds(PRIORITY, "priority 9"),
        trap("§4: a closing brace and more", "INST virtual_ipaddress {\n192.0.2.5 } priority 77\n}\n", 0)
            .holds(PRIORITY, "priority 77"),
        trap("§4: no brace at all", "INST authentication\n auth_type PASS\n auth_pass x\n } VIPS", 5),
        trap("§4: an unexpected brace", "{\nINST VIPS", 5),
        trap("§4: a brace too many", "INST VIPS }\n", 5),
        trap("§4: words before a list", "INST virtual_ipaddress_excluded x {\n192.0.2.9\n} VIPS", 5),
        trap("§4: a second block of a name", "INST priority 9 VIPS INST priority 8 VIPS", 5)
            .holds(PRIORITY, "priority 9"),
        trap("§4: lists add up", "INST virtual_ipaddress { 192.0.2.7 } VIPS", 0),
        trap("§5: a missing include", "include nowhere.conf\nINST VIPS", 0),
        trap("§5: quotes are part of the name", "include \"w.conf\"\nINST VIPS", 0)
            .files(&[("w.conf", "nonsense\n")]),
        trap("§5: inside a block", "INST include p.conf\n VIPS", 0)
            .files(&[("p.conf", "priority 9\n")])
            .holds(PRIORITY, "priority 9"),
        trap("§5: patterns", "include *.inc\nINST VIPS", 5).files(&[("a.inc", "nonsense\n"), ("b.inc", "")]),
        trap("§5: a pattern without match", "include *.nothing\nINST VIPS", 0),
        trap("§5: no word of include", "includex w.conf\nINST VIPS", 5),
        trap("§5: includer, missing", "includer nowhere.conf\nINST VIPS", 0).stock(Stock::Newer),
        trap("§5: includem, missing", "includem nowhere.conf\nINST VIPS", 6).stock(Stock::Newer),
        trap("§5: includem, no match", "includem *.nothing\nINST VIPS", 0).stock(Stock::Newer),
        trap("§5: includew, no match", "includew *.nothing\nINST VIPS", 6).stock(Stock::Newer),
        trap("§5: includeb, a part missing", "includeb {a,b}.inc\nINST VIPS", 6)
            .files(&[("a.inc", "")])
            .stock(Stock::Newer),
        trap("§5: includea", "includea *.nothing\nINST VIPS", 6).stock(Stock::Newer),
        trap("§5: -e", "include nowhere.conf\nINST VIPS", 6).with(&["-e"]).stock(Stock::Newer),
        trap("§5: -e, no match", "include *.nothing\nINST VIPS", 6).with(&["-e"]).stock(Stock::Newer),
        trap("§6: the other nodes", "INST @^HOST priority 33 VIPS", 0).holds(PRIORITY, "priority 100"),
        trap("§6: one prefix only", "INST @HOST @HOST priority 3 VIPS", 5),
        trap("§6: a prefix alone", "INST @HOST\n @ priority 3 VIPS", 0).holds(PRIORITY, "priority 100"),
        trap("§7: no blank before the equals sign", "$A = 5\nINST VIPS", 5),
        trap("§7: a blank behind it", "$A= 5\nINST priority $A VIPS", 0).holds(PRIORITY, "priority 5"),
        trap("§7: values of values", "$A=${B}\n$B=7\nINST priority ${A} VIPS", 0)
            .holds(PRIORITY, "priority 7"),
        trap("§7: several lines", "$M= \\\npriority 30 \\\nadvert_int 3\nINST $M\n VIPS", 0)
            .holds(PRIORITY, "priority 30"),
        trap("§7: several lines with arguments", "$P=8\n$M=priority $P \\\nadvert_int 3\nINST $M\n VIPS", 0)
            .holds(PRIORITY, "priority 8"),
        trap("§7: the environment", "INST priority ${_ENV TRAPS_PRIORITY} VIPS", 0)
            .holds(PRIORITY, "priority 17")
            .stock(Stock::Newer),
        trap("§7: the config id", "global_defs {\n router_id ${_INSTANCE}\n}\nINST VIPS", 0)
            .with(&["-i", "one"])
            .holds("global_defs router_id", "router_id one"),
        trap("§8: numbers", "INST virtual_ipaddress_excluded {\n~SEQ(A,2) 192.0.3.$A\n} VIPS", 0),
        trap("§8: start, step, end", "~SEQ(A,1,3,8) nonsense$A\nINST VIPS", 5),
        trap("§8: a step of 0", "~SEQ(A,1,0,8) priority 3\nINST VIPS", 5),
        trap("§8: lists", "INST ~LST(A, 5, 6) priority $A\n VIPS", 0).holds(PRIORITY, "priority 6"),
        trap("§8: lists of lists", "INST ~LST({A, B}, {prio, 5}, {prio, 6}) ${A}rity ${B}\n VIPS", 0)
            .holds(PRIORITY, "priority 6"),
        trap("§8: no such loop", "~FOR(A,2) x\nINST VIPS", 5),
        trap("§9: hexadecimal", "INST priority 0x10 VIPS", 5),
        trap("§9: leading zeros", "INST priority 010 VIPS", 0).holds(PRIORITY, "priority 10"),
        trap("§9: a plus sign", "INST priority +7 VIPS", 0).holds(PRIORITY, "priority 7"),
        trap("§9: booleans in capitals", "global_defs {\n vrrp_skip_check_adv_addr True\n}\nINST VIPS", 5)
            .stock(Stock::Newer),
        trap("§9: addresses with leading zeros", "INST virtual_ipaddress { 010.0.0.1 } VIPS", 5),
        trap("§9: a dotted mask", "INST virtual_ipaddress { 192.0.2.9/255.255.255.0 } VIPS", 5),
        trap("a namespace that does not exist", "net_namespace nowhere-at-all\nINST VIPS", 0),
        trap("an instance of the daemon", "instance one\nINST VIPS", 0).holds("instance", "instance one"),
        trap("an empty file", "", 0),
        trap("SSL", "SSL {\n password x\n ca /a\n}\nINST VIPS", 0),
    ]
}

fn stock() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab/keepalived/usr/sbin/keepalived");
    path.exists().then_some(path)
}

/// Runs a program in namespaces of its own, in the trap's folder; `None` when there may be none.
fn run(program: &Path, arguments: &[&str], folder: &Path, with_interface: bool) -> Option<(i32, String)> {
    let interface = if with_interface { "ip link add veth0 type veth peer name veth1" } else { ":" };
    let script = format!(
        "mount -t tmpfs none /run && ip link set lo up && {interface} || exit 99\nexec timeout 3 \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script, "sh"]).arg(program).args(arguments);
    command.current_dir(folder).env("TRAPS_PRIORITY", "17");
    let output = command.output().unwrap();
    let code = output.status.code().unwrap_or(-1);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (code != 99 && !text.starts_with("unshare: ")).then_some((code, text))
}

#[test]
fn every_trap_ends_as_stock_ends_and_holds_what_it_should() {
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let host = host.split('.').next().unwrap();
    let all = traps();
    let wrong: String = std::thread::scope(|scope| {
        let hands = (0..4).map(|hand| {
            let mine = all.iter().skip(hand).step_by(4);
            scope.spawn(move || mine.map(|trap| judged(trap, host)).collect::<String>())
        });
        let hands: Vec<_> = hands.collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is wrong with our answer to a trap, or with what is said of stock's.
fn judged(trap: &Trap, host: &str) -> String {
    let mut wrong = String::new();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(folder.path().join("conf"), trap.text.replace("HOST", host)).unwrap();
    for (name, text) in trap.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let interface = trap.files.iter().all(|(name, _)| *name != "no-veth0");
    let arguments = [&["-t", "-f", "conf"], trap.options].concat();
    let Some((ours, said)) = run(Path::new(PROGRAM), &arguments, folder.path(), interface) else {
        eprintln!("skipped: no right to make namespaces");
        return wrong;
    };
    if ours != trap.exit {
        let _ = writeln!(wrong, "{}: ends with {ours}, not {}:\n{said}", trap.name, trap.exit);
    }
    if let Some((path, value)) = trap.holds {
        let mut arguments = vec!["explain", "--effective", "-f", "conf"];
        if let [option @ "-i", id] = trap.options {
            arguments.extend([*option, *id]);
        }
        arguments.extend(path.split(' '));
        let (_, text) = run(Path::new(PROGRAM), &arguments, folder.path(), interface).unwrap();
        if !text.lines().any(|line| line.trim_start().starts_with(value)) {
            let _ = writeln!(wrong, "{}: no `{value}` in\n{text}", trap.name);
        }
    }
    let Some(stock) = stock().filter(|_| trap.stock != Stock::Newer) else { return wrong };
    let (code, said) = run(&stock, &arguments, folder.path(), interface).unwrap();
    let expected = match trap.stock {
        Stock::Same | Stock::Newer => trap.exit,
        Stock::Hangs => 124,
    };
    if code != expected {
        let _ = writeln!(wrong, "{}: stock ends with {code}, not {expected}:\n{said}", trap.name);
    }
    wrong
}

#[test]
fn main_files_that_cannot_be_read_end_the_test_with_0() {
    // Traps 2 and 16.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let executable = folder.path().join("executable");
    fs::write(&executable, "nonsense\n").unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    for file in ["missing", "executable", "."] {
        for program in stock().into_iter().chain([PathBuf::from(PROGRAM)]) {
            let Some((code, said)) = run(&program, &["-t", "-f", file], folder.path(), true) else {
                eprintln!("skipped: no right to make namespaces");
                return;
            };
            assert_eq!(code, 0, "{file}, {}: {said}", program.display());
        }
    }
}
