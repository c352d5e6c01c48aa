//! The subcommands as their users run them: `check`, `explain`. Nothing here starts a daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keepalived-rs");

/// Nothing to complain about, on any host.
const GOOD: &str = "global_defs {\n  dynamic_interfaces\n}\nvrrp_instance VI_1 {\n  interface eth7\n  virtual_router_id 51\n  \
                    priority 100\n  virtual_ipaddress {\n    192.0.2.10/24\n  }\n}\n";

/// A folder with these files, and the program run in it.
fn run(files: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    run_in(folder.path(), arguments)
}

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", out(output)))
}

#[test]
fn check_of_a_good_file_says_so_and_ends_with_0() {
    let output = run(&[("a.conf", GOOD)], &["check", "-f", "a.conf"]);
    assert_eq!((code(&output), out(&output).as_str()), (Some(0), "a.conf: nothing to complain about\n"));
}

#[test]
fn check_ends_as_the_test_of_the_daemon_does() {
    for (text, expected) in [
        (GOOD.to_owned(), 0),
        (GOOD.replace("priority", "prioritty"), 5),
        (GOOD.replace("priority 100", "priority"), 2),
        (GOOD.replace("  dynamic_interfaces\n", ""), 5),
    ] {
        let files = [("a.conf", text.as_str())];
        let tested = run(&files, &["-t", "-f", "a.conf"]);
        let checked = run(&files, &["check", "-f", "a.conf"]);
        assert_eq!(code(&tested), code(&checked), "{text}\n{}", out(&checked));
        assert_eq!(code(&checked), Some(expected), "{text}\n{}", out(&checked));
    }
}

#[test]
fn check_of_several_files_ends_with_the_gravest() {
    let broken = GOOD.replace("priority 100", "priority");
    let files = [("a.conf", GOOD), ("b.conf", &broken)];
    let output = run(&files, &["check", "b.conf", "a.conf"]);
    assert_eq!(code(&output), Some(2));
    assert!(out(&output).contains("a.conf: nothing"), "{}", out(&output));
    assert!(out(&output).contains("b.conf: 1 error"), "{}", out(&output));
}

#[test]
fn check_writes_json_with_places_in_characters() {
    let text = GOOD.replace("  priority 100", "  \"é\" prioritty 100\n  prioritty 100");
    let output = run(&[("a b.conf", &text)], &["check", "a b.conf", "--format", "json"]);
    let findings = json(&output);
    let found = findings.as_array().unwrap().iter().find(|finding| finding["line"] == 8).unwrap();
    assert_eq!(found["file"], "a b.conf");
    assert_eq!((&found["severity"], &found["id"]), (&"error".into(), &"unknown-keyword".into()));
    assert_eq!(
        (&found["column"], &found["end"]["line"], &found["end"]["column"]),
        (&3.into(), &8.into(), &12.into())
    );
    assert!(found["message"].as_str().unwrap().contains("`prioritty`"), "{found}");
    assert_eq!(found["help"], serde_json::json!(["did you mean `priority`?"]));
    assert_eq!(found["stock"], "skips the line");
    let empty = run(&[("a.conf", GOOD)], &["check", "a.conf", "--format=json"]);
    assert_eq!((json(&empty), code(&empty)), (serde_json::json!([]), Some(0)));
}

#[test]
fn check_writes_sarif_for_editors() {
    let text = GOOD.replace("priority", "prioritty");
    let output = run(&[("a b.conf", &text)], &["check", "a b.conf", "--format", "sarif"]);
    assert_eq!(code(&output), Some(5));
    let log = json(&output);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"unknown-keyword".into(), &"error".into()));
    let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], "unknown-keyword");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.conf");
    assert_eq!(
        place["region"],
        serde_json::json!({ "startLine": 7, "startColumn": 3, "endLine": 7, "endColumn": 12 })
    );
}

#[test]
fn strict_makes_errors_of_warnings_that_the_test_does_not_count() {
    let script = "vrrp_script s {\n  script /usr/bin/true\n  user root\n}\n";
    let text = format!("global_defs {{\n  enable_script_security\n}}\n{GOOD}{script}{script}");
    let files = [("a.conf", text.as_str())];
    let lax = run(&files, &["check", "a.conf"]);
    let strict = run(&files, &["check", "--strict", "a.conf"]);
    assert!(out(&lax).contains("warning[repeated-block]"), "{}", out(&lax));
    assert!(out(&strict).contains("error[repeated-block]"), "{}", out(&strict));
    assert_eq!((code(&lax), code(&strict)), (Some(0), Some(5)));
}

#[test]
fn only_the_first_word_is_a_subcommand() {
    // The daemon reads its options, finds a surplus word, and tests the configuration.
    let output = run(&[("a.conf", GOOD)], &["-t", "-f", "a.conf", "check"]);
    assert_eq!(code(&output), Some(0));
    assert!(out(&output).contains("Unexpected argument(s): check"), "{}", out(&output));
}

#[test]
fn a_wrong_option_of_a_tool_is_named() {
    let output = run(&[], &["check", "--strickt"]);
    assert_eq!(code(&output), Some(1));
    assert!(err(&output).contains("--strickt"), "{}", err(&output));
    let output = run(&[], &["check", "--help"]);
    assert_eq!(code(&output), Some(0));
    assert!(out(&output).contains("--format <FORMAT>"), "{}", out(&output));
}

#[test]
fn explain_shows_a_keyword_in_each_of_its_blocks() {
    let output = run(&[], &["explain", "retry"]);
    let text = out(&output);
    assert_eq!(code(&output), Some(0));
    for part in [
        "in virtual_server\n",
        "in virtual_server > real_server > TCP_CHECK",
        "a whole number from 0 to 4294967295",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn explain_names_range_unit_default_and_reactions() {
    let text = out(&run(&[], &["explain", "preempt_delay"]));
    for part in [
        "in vrrp_instance",
        "argument   seconds from 0",
        "missing    ",
        "bad value  ",
        "since      keepalived ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(out(&run(&[], &["explain", "authentication"])).contains("inside     auth_type, auth_pass"));
}

#[test]
fn explain_of_an_unknown_word_suggests_the_nearest() {
    let output = run(&[], &["explain", "prioritty"]);
    assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""));
    assert!(err(&output).contains("did you mean 'priority'?"), "{}", err(&output));
    assert!(err(&run(&[], &["explain", "lvs_id"])).contains("write `router_id NAME`"));
}

#[test]
fn explain_lists_what_has_no_effect_yet() {
    let output = run(&[], &["explain", "--unsupported"]);
    let text = out(&output);
    assert_eq!(code(&output), Some(0));
    // Nothing, or words of which the daemon says the same when it meets them.
    for line in text.lines().filter(|line| line.starts_with("  ")) {
        let word = line.split_whitespace().next().unwrap();
        assert!(out(&run(&[], &["explain", word])).contains("effect     none yet"), "{word}");
    }
    assert!(!text.contains("\n  priority "), "{text}");
}

/// Two values of one keyword, which stock takes without a word.
fn repeated() -> String {
    GOOD.replace("  priority 100", "  priority 100\n  priority 90")
}

#[test]
fn lints_are_warnings_of_check_alone() {
    let text = repeated();
    let files = [("a.conf", text.as_str())];
    let tested = run(&files, &["-t", "-f", "a.conf"]);
    assert_eq!((code(&tested), err(&tested).as_str()), (Some(0), ""));
    let checked = run(&files, &["check", "a.conf"]);
    assert!(out(&checked).contains("warning[duplicate-keyword]: a second `priority`"), "{}", out(&checked));
    assert_eq!(code(&checked), Some(0));
    let strict = run(&files, &["check", "a.conf", "--strict"]);
    assert!(out(&strict).contains("error[duplicate-keyword]"), "{}", out(&strict));
    assert_eq!(code(&strict), Some(5));
}

#[test]
fn a_lint_can_be_silenced_and_explained() {
    let text = repeated();
    let output = run(&[("a.conf", &text)], &["check", "a.conf", "--strict", "--allow", "duplicate-keyword"]);
    assert_eq!((code(&output), out(&output).as_str()), (Some(0), "a.conf: nothing to complain about\n"));
    let text = out(&run(&[], &["explain", "duplicate-keyword"]));
    assert!(
        text.contains("Stock takes the last one") && text.contains("--allow duplicate-keyword"),
        "{text}"
    );
    assert!(out(&run(&[], &["explain", "--lints"])).contains("\n  all-weights-zero "));
}

#[test]
fn the_committed_manual_page_is_the_one_of_the_tables() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keepalived-rs.conf.5");
    let output = run(&[], &["explain", "--man"]);
    assert_eq!(code(&output), Some(0));
    let same = std::fs::read_to_string(committed).unwrap() == out(&output);
    assert!(same, "the tables have changed: keepalived-rs explain --man > docs/keepalived-rs.conf.5");
}

#[test]
fn words_inside_lines_are_explained_in_every_line_that_has_them() {
    let output = run(&[], &["explain", "via"]);
    let text = out(&output);
    assert_eq!(code(&output), Some(0));
    assert!(text.contains("a line of virtual_routes") && text.contains("The gateway"), "{text}");
    // A word of lines and a keyword: both.
    let text = out(&run(&[], &["explain", "weight"]));
    for place in ["a line of track_script", "a line of track_interface", "real_server", "vrrp_script"] {
        assert!(text.contains(place), "{place}: {text}");
    }
    // The list names its words.
    let text = out(&run(&[], &["explain", "virtual_ipaddress"]));
    assert!(text.contains("preferred_lft SECONDS|forever IPv6 preferred lifetime."), "{text}");
    let output = run(&[], &["explain", "prefered_lft"]);
    assert!(err(&output).contains("did you mean 'preferred_lft'?"), "{}", err(&output));
    assert_eq!(code(&output), Some(1));
}

#[test]
fn completions_come_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&[], &["completions", shell]);
        assert_eq!(code(&output), Some(0));
        assert!(out(&output).contains("use-file"), "{shell}");
    }
    let output = run(&[], &["completions", "tcsh"]);
    assert_eq!(code(&output), Some(1));
}

/// What a command says, if there is such a program.
fn said(words: &[&str], folder: &Path) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program).args(arguments).current_dir(folder).env("LC_ALL", "C.UTF-8").output();
    let output = output.ok()?;
    assert!(output.status.success(), "{words:?}: {}", err(&output));
    Some(out(&output) + &err(&output))
}

#[test]
fn each_shell_loads_its_completions_and_finds_a_subcommand_by_them() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (shell, name) in [("bash", "b"), ("zsh", "_keepalived-rs"), ("fish", "f")] {
        std::fs::write(folder.path().join(name), out(&run(&[], &["completions", shell]))).unwrap();
    }
    let bash = "source ./b; w=(keepalived-rs expl); COMP_WORDS=(\"${w[@]}\") COMP_CWORD=1; \
                $(complete -p keepalived-rs | sed 's/.* -F \\([^ ]*\\) .*/\\1/') keepalived-rs expl keepalived-rs; \
                echo ${COMPREPLY[@]}";
    let zsh = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; autoload +X $_comps[keepalived-rs]; \
               functions $_comps[keepalived-rs]";
    let fish = "source ./f; complete -C 'keepalived-rs expl'";
    for words in [["bash", "-c", bash].as_slice(), &["zsh", "-fc", zsh], &["fish", "-c", fish]] {
        match said(words, folder.path()) {
            Some(text) => assert!(text.contains("explain"), "{words:?}: {text}"),
            None => println!("SKIPPED: no {}", words[0]),
        }
    }
}

#[test]
fn roff_has_nothing_to_warn_of_in_the_manual_pages() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, words) in [("k.8", ["completions", "man"]), ("k.5", ["explain", "--man"])] {
        std::fs::write(folder.path().join(name), out(&run(&[], &words))).unwrap();
        let groff = ["groff", "-man", "-Tutf8", "-ww", "-z", "-rLL=78n", name];
        match said(&groff, folder.path()) {
            Some(warnings) => assert_eq!(warnings, "", "{name}"),
            None => println!("SKIPPED: no groff"),
        }
        let mandoc = ["mandoc", "-Tlint", "-Wwarning", name];
        if let Ok(warnings) = Command::new(mandoc[0]).args(&mandoc[1..]).current_dir(folder.path()).output() {
            let text = out(&warnings);
            let mut others = text.lines().filter(|line| !line.contains("missing date"));
            assert_eq!(others.next(), None, "{name}");
        }
    }
}

#[test]
fn files_given_together_are_the_nodes_of_a_cluster() {
    let other = GOOD.replace("priority 100", "priority 90\n  advert_int 3");
    let files = [("a.conf", GOOD), ("b.conf", other.as_str())];
    let output = run(&files, &["check", "--format=json", "a.conf", "b.conf"]);
    let found = json(&output);
    assert_eq!((code(&output), found.as_array().unwrap().len()), (Some(0), 1), "{found}");
    assert_eq!((&found[0]["id"], &found[0]["line"]), (&"advert-interval-differs".into(), &8.into()));
    assert!(found[0]["message"].as_str().unwrap().contains("a.conf:4"), "{found}");
    assert_eq!(code(&run(&files, &["check", "--strict", "a.conf", "b.conf"])), Some(5));
    let apart = run(&files, &["check", "--each", "--strict", "a.conf", "b.conf"]);
    assert_eq!(code(&apart), Some(0), "{}", out(&apart));
    let allowed = other.clone() + "@keepalived-rs allow advert-interval-differs\n";
    let files = [("a.conf", GOOD), ("b.conf", allowed.as_str())];
    assert_eq!(code(&run(&files, &["check", "--strict", "a.conf", "b.conf"])), Some(0));
}

#[test]
fn a_reload_that_would_be_refused_is_told_beforehand() {
    let unclosed = GOOD.strip_suffix("}\n").unwrap();
    let no_number = GOOD.replace("virtual_router_id 51", "");
    for (new, running, refused) in [
        (GOOD, GOOD, false),
        (GOOD, unclosed, false),
        (unclosed, unclosed, false),
        (unclosed, GOOD, true),
        (no_number.as_str(), GOOD, true),
    ] {
        let files = [("new.conf", new), ("running.conf", running)];
        let output = run(&files, &["check", "--running", "running.conf", "new.conf"]);
        assert_eq!(out(&output).contains("[reload-refused]"), refused, "{}", out(&output));
    }
}

#[test]
fn the_chinese_quick_start_has_a_clean_configuration_and_commands_that_exist() {
    let guide =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/README.zh-CN.md")).unwrap();
    let lines = guide.lines().skip_while(|line| *line != "    global_defs {");
    let config: Vec<_> = lines.take_while(|line| line.is_empty() || line.starts_with("    ")).collect();
    // This host need not have its interface.
    let config = config.join("\n").replace("global_defs {", "global_defs {\ndynamic_interfaces");
    let files = [("a.conf", config.as_str())];
    let tested = run(&files, &["-t", "-f", "a.conf"]);
    assert_eq!((code(&tested), err(&tested)), (Some(0), String::new()));
    let checked = run(&files, &["check", "--strict", "a.conf"]);
    assert_eq!(code(&checked), Some(0), "{}", out(&checked));
    // Every command of ours in it, without what it works on.
    let mut commands: Vec<&str> =
        guide.split(['`', '\n']).flat_map(|text| text.split("$(")).map(str::trim).collect();
    commands
        .retain(|text| text.strip_prefix("keepalived-rs ").is_some_and(|rest| rest.as_bytes()[0].is_ascii()));
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(')').next().unwrap().split_whitespace().collect();
        let known = match words[1] {
            "-t" | "check" | "genhash" => true,
            "explain" => code(&run(&[], &words[1..3])) == Some(0),
            option => option.starts_with("--signum=") && code(&run(&[], &[option])) == Some(0),
        };
        assert!(known, "{command}");
    }
}
