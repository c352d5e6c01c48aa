//! `explain --effective`: every word of a file is accounted for, and its JSON is what the schema promises.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::{Command, Output};

use keepalived_rs::config::catalogue::{Entry, entries};
use keepalived_rs::config::effective::{as_json, effective};
use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::load_traced;
use keepalived_rs::config::model::{HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::schema::Shape;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keepalived-rs");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/effective.schema.json");

struct Root;

impl Users for Root {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    fn host(&self, _: &str) -> Option<std::net::IpAddr> {
        None
    }
}

fn facts() -> HostFacts {
    let interface = |index: u32| InterfaceFacts {
        index,
        mtu: 1500,
        multicast: true,
        ethernet: true,
        ..InterfaceFacts::default()
    };
    HostFacts {
        node_name: "node".to_owned(),
        interfaces: BTreeMap::from([("eth0".to_owned(), interface(1)), ("eth1".to_owned(), interface(2))]),
        cpus: Some(2),
        ..HostFacts::default()
    }
}

/// The effective configuration of a text, as JSON.
fn of(text: &str) -> Value {
    let files = MemoryFiles::new().file("f", text).script("/usr/bin/true");
    let options = ReadOptions {
        main: "f".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    let (loaded, trace) = load_traced(&files, &options, &facts(), &Root);
    as_json(&effective(&loaded, &trace))
}

/// The setting at a path of blocks; a block is `KEYWORD` or `KEYWORD NAME`.
fn setting<'v>(top: &'v Value, blocks: &[&str], keyword: &str) -> &'v Value {
    let mut section = top;
    for wanted in blocks {
        let sections = section["sections"].as_array().unwrap();
        let called = |section: &&Value| {
            let mut words = vec![section["block"].as_str().unwrap()];
            words.extend(section["names"].as_array().unwrap().iter().filter_map(Value::as_str));
            words.join(" ").starts_with(wanted)
        };
        section = sections.iter().find(called).unwrap_or_else(|| panic!("no {wanted} in {section:#}"));
    }
    section["settings"].get(keyword).unwrap_or_else(|| panic!("no {keyword} in {section:#}"))
}

#[test]
fn settings_of_ours_stand_behind_their_prefix() {
    let text = "@keepalived-rs min_in_service 40
virtual_server 192.0.2.10 80 {
  lb_algo rr
  lb_kind DR
  protocol TCP
  @keepalived-rs slow_start 4
  real_server 198.51.100.1 80 {
  }
}
global_defs {
  @keepalived-rs share_checks
}
";
    let top = of(text);
    let of = |blocks: &[&str], keyword: &str| {
        let setting = setting(&top, blocks, &format!("@keepalived-rs {keyword}"));
        let (value, origin) = (&setting["value"], setting["origin"].as_str().unwrap());
        format!("{value} {origin} {}", setting["place"]["line"])
    };
    assert_eq!(of(&["virtual_server"], "slow_start"), "4 file 6");
    assert_eq!(of(&["virtual_server"], "min_in_service"), "40 inherited 1");
    assert_eq!(of(&["global_defs"], "min_in_service"), "40 file 1");
    assert_eq!(of(&["global_defs"], "share_checks"), "true file 11");
    assert_eq!(of(&["global_defs"], "slow_start"), "null default null");
}

const INHERITANCE: &str = "global_defs {
  vrrp_version 3
  vrrp_garp_master_delay 7
  smtp_alert
  vrrp_down_timer_adverts 5
}
vrrp_script chk {
  script /usr/bin/true
  interval 3s
}
vrrp_sync_group G {
  group {
    VI_1
  }
  track_interface {
    eth1
  }
}
vrrp_instance VI_1 {
  state MASTER
  interface eth0
  virtual_router_id 51
  priority 100
  priority 150
  priority 999
  advert_int 1.255
  preempt_delay 5
  no_accept
  track_script {
    chk weight 3
    nobody
  }
  authentication {
    auth_pass secret
  }
  virtual_ipaddress {
    192.0.2.10/24
    192.0.2.300
  }
}
virtual_server 192.0.2.10 80 {
  lb_algo rr
  lb_kind DR
  protocol TCP
  retry 5
  quorum 9
  weight 3
  real_server 198.51.100.1 80 {
    delay_loop 9
    TCP_CHECK {
      connect_timeout 3
    }
  }
}
";

#[test]
fn each_value_knows_where_it_comes_from() {
    let top = of(INHERITANCE);
    let instance = |keyword| setting(&top, &["vrrp_instance VI_1"], keyword);
    let server = |keyword| setting(&top, &["virtual_server 192.0.2.10 80"], keyword);
    let real = |keyword| setting(&top, &["virtual_server", "real_server 198.51.100.1"], keyword);
    let check = |keyword| setting(&top, &["virtual_server", "real_server", "TCP_CHECK"], keyword);
    let origin = |setting: &Value| {
        let line = setting["place"]["line"].as_u64().unwrap_or(0);
        let from = setting["from"]["keyword"].as_str().unwrap_or("").to_owned();
        (setting["value"].clone(), setting["origin"].as_str().unwrap().to_owned(), line, from)
    };
    let is = |value: Value, origin: &str, line, from: &str| (value, origin.to_owned(), line, from.to_owned());
    // An unusable value: stock sets 100 (spec/vrrp-config.md §2.1), and the last line counts.
    assert_eq!(origin(instance("priority")), is(100.into(), "file", 25, ""));
    assert_eq!(instance("priority")["unused"].as_array().unwrap().len(), 2);
    assert_eq!(origin(instance("version")), is(3.into(), "inherited", 2, "vrrp_version"));
    assert_eq!(origin(instance("garp_master_delay")), is(7.into(), "inherited", 3, "vrrp_garp_master_delay"));
    assert_eq!(
        origin(instance("garp_lower_prio_delay")),
        is(7.into(), "inherited", 3, "vrrp_garp_master_delay")
    );
    assert_eq!(
        origin(instance("down_timer_adverts")),
        is(5.into(), "inherited", 5, "vrrp_down_timer_adverts")
    );
    assert_eq!(origin(instance("smtp_alert")), is(true.into(), "inherited", 4, "smtp_alert"));
    assert_eq!(origin(instance("garp_master_repeat")), is(5.into(), "default", 0, ""));
    assert_eq!(origin(instance("accept")), is(false.into(), "file", 28, ""));
    assert_eq!(origin(instance("advert_int")), is(1.26.into(), "file", 26, ""));
    assert!(instance("advert_int")["corrected"].as_str().unwrap().contains("rounds it"));
    assert_eq!(origin(instance("preempt_delay")), is(0.into(), "file", 27, ""));
    assert!(instance("preempt_delay")["corrected"].as_str().unwrap().contains("`state MASTER`"));
    assert_eq!(origin(setting(&top, &["vrrp_script"], "interval")), is(0.003.into(), "file", 9, ""));
    let password = setting(&top, &["vrrp_instance", "authentication"], "auth_pass");
    assert!(password["value"] == "********" && !top.to_string().contains("secret"), "{password}");
    assert_eq!(origin(server("lvs_sched")), is("rr".into(), "file", 42, ""));
    assert_eq!(origin(server("quorum")), is(3.into(), "file", 46, ""));
    assert!(server("quorum")["corrected"].as_str().unwrap().contains("weigh together"));
    assert_eq!(origin(real("weight")), is(3.into(), "inherited", 47, "weight"));
    assert_eq!(origin(real("lvs_method")), is("DR".into(), "inherited", 43, "lvs_method"));
    assert_eq!(origin(check("retry")), is(5.into(), "inherited", 45, "retry"));
    assert_eq!(origin(check("delay_loop")), is(9.into(), "inherited", 49, "delay_loop"));
    assert_eq!(origin(check("connect_timeout")), is(3.into(), "file", 51, ""));
    assert_eq!(origin(check("warmup")), is(9.into(), "default", 0, ""));
}

#[test]
fn lists_show_what_became_of_their_lines_and_what_the_group_adds() {
    let top = of(INHERITANCE);
    let list =
        |keyword| setting(&top, &["vrrp_instance VI_1"], keyword)["entries"].as_array().unwrap().clone();
    let addresses = list("virtual_ipaddress");
    assert_eq!(addresses[0]["value"], "192.0.2.10/24 dev eth0");
    assert!(addresses[1]["ignored"].as_str().unwrap().contains("not an address"), "{addresses:?}");
    let scripts = list("track_script");
    assert!(scripts[0]["ignored"].as_str().unwrap().contains("weight"), "{scripts:?}");
    assert!(scripts[1]["ignored"].is_string(), "{scripts:?}");
    let interfaces = list("track_interface");
    assert_eq!((&interfaces[0]["value"], &interfaces[0]["group"]), (&"eth1".into(), &"G".into()));
}

/// A configuration with every keyword of the tables once.
fn everything() -> String {
    let mut text = String::new();
    write_block(&mut text, &[], &entries());
    text
}

fn write_block(text: &mut String, path: &[&'static str], all: &[Entry]) {
    for keyword in all.iter().filter(|entry| entry.path == path).map(|entry| entry.keyword) {
        let name = keyword.name;
        let unnamed =
            ["global_defs", "SSL", "garp_group", "static_ipaddress", "static_routes", "static_rules"];
        let title = match name {
            "virtual_server" | "real_server" => "192.0.2.1 80",
            _ if path.is_empty() && !unnamed.contains(&name) && !name.contains("interface") => "NAME",
            _ => "",
        };
        let value = match keyword.shape {
            Shape::Block(_) => {
                let _ = writeln!(text, "{name} {title} {{");
                write_block(text, &[path, &[name]].concat(), all);
                text.push_str("}\n");
                continue;
            }
            Shape::List(_) => {
                let _ = writeln!(text, "{name} {title} {{\n192.0.2.77\n}}");
                continue;
            }
            Shape::Flag => String::new(),
            Shape::Bool => "true".to_owned(),
            Shape::Int { min, .. } => min.to_string(),
            Shape::Seconds { .. } => "3".to_owned(),
            Shape::Choice(choices) => choices[0].to_owned(),
            Shape::Address => "192.0.2.7".to_owned(),
            Shape::Script => "/usr/bin/true".to_owned(),
            Shape::Word | Shape::Words => "1".to_owned(),
        };
        let _ = writeln!(text, "{name} {value}");
    }
}

#[test]
fn every_keyword_of_every_block_has_its_line() {
    let text = everything();
    let top = of(&text);
    let mut found = BTreeSet::new();
    schema::lines(&top, &mut found);
    let lost: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(at, line)| !line.starts_with('}') && !found.contains(&(*at as u64 + 1)))
        .map(|(_, line)| line)
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    let schema = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let violations = schema::violations(&schema, &top);
    assert!(violations.is_empty(), "{violations:#?}");
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn the_committed_schema_is_the_one_of_the_tables() {
    let output = run(&["explain", "--schema"]);
    let same = std::fs::read(SCHEMA).unwrap() == output.stdout;
    assert!(same, "the tables have changed: keepalived-rs explain --schema > docs/effective.schema.json");
}

#[test]
fn a_path_selects_blocks_and_settings() {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(file.path(), INHERITANCE).unwrap();
    let name = file.path().to_str().unwrap();
    let show = |path: &[&str]| {
        let output = run(&[&["explain", "--effective", "-f", name], path].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(name, "F");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, text, _) = show(&["virtual_server", "192.0.2.10", "80", "real_server", "weight"]);
    let expected = "virtual_server 192.0.2.10 80 {              # F:41\n    real_server 198.51.100.1 80 {           # F:48\n        \
                    weight 3                            # from virtual_server, F:47\n    }\n}\n";
    assert_eq!((code, text.as_str()), (Some(0), expected));
    let (_, text, _) = show(&["vrrp_instance", "VI_1", "vrf"]);
    assert!(text.contains("# vrf: unset"), "{text}");
    for (path, complaint) in [
        (&["vrrp_instance", "VI_2"][..], "there is no `vrrp_instance VI_2`: did you mean `VI_1`?"),
        (&["vrrp_instance", "VI_1", "prioritty"], "did you mean `priority`?"),
        (&["vrrp_instance", "VI_1", "priority", "x"], "`priority` is no block"),
    ] {
        let (code, _, said) = show(path);
        assert!(code == Some(1) && said.contains(complaint), "{path:?}: {code:?} {said}");
    }
}
