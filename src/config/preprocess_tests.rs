//! Text -> logical lines, by the rows of spec/config-language.md §1, §2, §4–§8 and the observations behind them.

use super::diagnostic::{Class, Diagnostics};
use super::files::{MemoryFiles, ReadError};
use super::preprocess::{IncludeChecks, Lines, ReadOptions, read, read_text};
use super::syntax::{Line, LineKind, Word};

fn options(main: &str) -> ReadOptions {
    ReadOptions {
        main: main.to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 1,
    }
}

/// Each logical line as its words joined with `|`, or as the brace.
fn shape(lines: &Lines) -> Vec<String> {
    let one = |line: Line<'_>| match line.kind {
        LineKind::Words => line.words.iter().map(Word::as_str).collect::<Vec<_>>().join("|"),
        LineKind::Open => "{".to_owned(),
        LineKind::Close => "}".to_owned(),
    };
    lines.lines.iter().map(one).collect()
}

fn ids(diagnostics: &Diagnostics) -> Vec<&'static str> {
    diagnostics.iter().map(|report| report.id).collect()
}

/// Reads a text; gives lines, report ids and exit code.
fn outcome(text: impl AsRef<[u8]>) -> (Vec<String>, Vec<&'static str>, u8) {
    let (lines, diagnostics) = read_text(text);
    (shape(&lines), ids(&diagnostics), diagnostics.exit_code())
}

fn clean(text: &str) -> Vec<String> {
    let (lines, ids, exit) = outcome(text);
    assert_eq!((ids, exit), (vec![], 0), "{text}");
    lines
}

#[test]
fn lines_end_in_lf_or_crlf_and_the_last_needs_none() {
    assert_eq!(clean("a b\r\nc\n\n \t\nd"), ["a|b", "c", "d"]);
    assert_eq!(clean("a\rb"), ["a|b"]);
    assert_eq!(clean("a\x0bb\x0cc\td"), ["a|b|c|d"]);
    assert_eq!(clean(""), [""; 0]);
}

#[test]
fn a_comment_starts_anywhere_but_in_double_quotes() {
    assert_eq!(clean("priority 50!x\npriority 5#0\n# all\n! all"), ["priority|50", "priority|5"]);
    assert_eq!(clean("x \"a # b\""), ["x|a # b"]);
    assert_eq!(clean("x\\#y z\\!"), ["x#y|z!"]);
    assert_eq!(clean("dd\\\\#e"), ["dd\\\\"]);
    assert_eq!(clean("\"in \\# q\""), ["in \\# q"]);
    assert_eq!(clean("x '# say \"hi"), ["x|'"]);
}

#[test]
fn an_escaped_hash_survives_a_substitution_in_its_line() {
    assert_eq!(clean("$V=v\nauth_pass a\\#b${V}"), ["auth_pass|a#bv"]);
    assert_eq!(clean("$V=v\\#w\nauth_pass ${V}"), ["auth_pass|v#w"]);
}

#[test]
fn an_unclosed_quote_is_one_report_and_the_words_before_it_count() {
    assert_eq!(outcome("priority \"50 # c"), (vec!["priority".to_owned()], vec!["unclosed-quote"], 5));
    let (lines, ids, _) = outcome("a \"b\\\" c\" d");
    assert_eq!((lines, ids), (vec!["a|b\\|c".to_owned()], vec!["unclosed-quote"]));
}

#[test]
fn there_is_no_continuation_line() {
    assert_eq!(clean("nopreempt \\\npriority 50  \\ "), ["nopreempt\\", "priority|50\\"]);
}

#[test]
fn braces_split_lines_unless_in_double_quotes() {
    assert_eq!(clean("vrrp_instance V{"), ["vrrp_instance|V", "{"]);
    assert_eq!(clean("a { b c"), ["a", "{", "b|c"]);
    assert_eq!(clean("192.0.2.5 }}\n} }\n{}"), ["192.0.2.5", "}", "}", "}", "}", "{", "}"]);
    assert_eq!(clean("x \"{a}\""), ["x|{a}"]);
    assert_eq!(clean("x '{a}'"), ["x|'", "{", "a", "}", "'"]);
    assert_eq!(clean("\"vrrp_instance\" \"V {\" {"), ["vrrp_instance|V {", "{"]);
}

#[test]
fn a_double_quote_separates_words() {
    assert_eq!(clean("priority\"50\"\nab\"cd\"ef\nx \"\""), ["priority|50", "ab|cd|ef", "x|"]);
}

#[test]
fn a_line_that_is_too_long_loses_its_first_1023_bytes() {
    let fits = "x".repeat(1022);
    assert_eq!(clean(&format!("{fits}\ny")), [fits.as_str(), "y"]);
    let (lines, ids, exit) = outcome(format!("{}\ny", "x".repeat(1100)));
    assert_eq!((lines, ids, exit), (vec!["x".repeat(77), "y".to_owned()], vec!["line-too-long"], 5));
    let (lines, ids, _) = outcome(format!("{}\ny", "x".repeat(1023)));
    assert_eq!((lines, ids), (vec!["y".to_owned()], vec!["line-too-long"]));
    let (lines, ids, _) = outcome(format!("{}\ny", "é".repeat(2000)));
    assert_eq!((ids.len(), lines.len()), (3, 2));
}

#[test]
fn the_limit_counts_bytes_that_are_no_utf_8_as_one() {
    let (lines, ids, _) = outcome([vec![0xe4; 1022], b"\ny".to_vec()].concat());
    assert_eq!((lines.len(), ids), (2, vec!["not-utf-8"]));
}

#[test]
fn a_comment_that_makes_the_line_too_long_is_not_read_as_configuration() {
    let (lines, ids, exit) = outcome(format!("priority 50 # {}\n# {0}\ny", "} ".repeat(900)));
    assert_eq!(lines, ["priority|50", "y"]);
    assert_eq!((ids, exit), (vec!["line-too-long", "line-too-long"], 5));
}

#[test]
fn a_nul_byte_costs_its_line_only() {
    assert_eq!(outcome("a\nb\0c\nd"), (vec!["a".to_owned(), "d".to_owned()], vec!["embedded-nul"], 5));
}

#[test]
fn a_byte_order_mark_stays_in_the_word_and_is_explained() {
    let (lines, ids, exit) = outcome("\u{feff}global_defs {\n}");
    assert_eq!((lines[0].as_str(), ids, exit), ("\u{feff}global_defs", vec!["byte-order-mark"], 5));
}

#[test]
fn bytes_that_are_no_utf_8_come_through() {
    let (lines, diagnostics) = read_text(b"auth_pass p\xe4ss\n");
    assert_eq!(super::source::encode(&lines.lines.get(0).unwrap().words[1]).as_ref(), b"p\xe4ss");
    assert_eq!(diagnostics.exit_code(), 0);
}

#[test]
fn a_condition_compares_with_the_config_id() {
    assert_eq!(clean("@node a\n@other b\n@^node c\n@^other d\n@node\n@ e\n@^ f"), ["a", "d"]);
    assert_eq!(clean("@node @node kw"), ["@node|kw"]);
    assert_eq!(clean("@node $A=1\n@other $A=2\nx $A"), ["x|1"]);
    assert_eq!(clean("$C=@other\n$C priority 5"), ["@other|priority|5"]);
}

#[test]
fn our_own_lines_are_marked() {
    let (lines, _) = read_text("@keepalived-rs foo bar\nbaz");
    let ours: Vec<_> = lines.lines.iter().map(|line| (line.words[0].as_str(), line.ours)).collect();
    assert_eq!(ours, [("foo", true), ("baz", false)]);
}

#[test]
fn a_definition_has_no_blank_before_the_equals_sign() {
    assert_eq!(clean("$A= 5 # c\n  $_b2=x\ny $A ${_b2}"), ["y|5|x"]);
    assert_eq!(clean("$A = 5\n$1A=5\n$A-B=5"), ["$A|=|5", "$1A=5", "$A-B=5"]);
    assert_eq!(clean("$A=\nx $A y"), ["x|y"]);
    assert_eq!(clean("$A=1\nx $A\n$A=2\nx $A"), ["x|1", "x|2"]);
}

#[test]
fn a_bare_use_needs_a_blank_a_comma_a_parenthesis_or_the_end_behind_it() {
    assert_eq!(
        clean("$A=1\n$A,x $A)x $A\nx$A.1 \"$A\" \"${A}\" \"$A \" x${A}y"),
        ["1,x|1)x|1", "x$A.1|$A|1|1 |x1y"]
    );
}

#[test]
fn substitution_goes_on_until_nothing_changes() {
    assert_eq!(clean("$A=${B}c\n$B=b\nx $A"), ["x|bc"]);
    assert_eq!(clean("$V=val\n$C=$\n${C}{V}"), ["val"]);
    assert_eq!(clean("$D=a \"q b\" c\n\"${D}\""), ["a |q|b| c"]);
}

#[test]
fn a_definition_that_leads_back_to_itself_is_reported_not_followed() {
    for text in [
        "$A=$A\npriority $A",
        "$A=x$B\n$B=${A}\npriority $A\nz",
        "$C=$\n$V=${C}{V}\nx ${V}",
        "$M=a \\\n$M\n$M",
    ] {
        let (_, ids, exit) = outcome(text);
        assert_eq!((ids, exit), (vec!["recursive-definition"], 5), "{text}");
    }
}

#[test]
fn exponential_definitions_stop_at_the_line_length() {
    let doubled = |n: u32| format!("$A{n}=${{A{}}}${{A{0}}}\n", n - 1);
    let definitions: String = (1..30).map(doubled).collect();
    let (_, ids, exit) = outcome(format!("$A0=xxxxxxxxxx\n{definitions}y ${{A29}}"));
    assert!(ids.contains(&"expansion-too-long"), "{ids:?}");
    assert_eq!(exit, 0);
}

#[test]
fn an_undefined_variable_is_named_and_tears_no_block() {
    let (lines, diagnostics) = read_text("$VIP=1\na {\n  b ${VIPP} x\n}");
    assert_eq!(shape(&lines), ["a", "{", "b|${VIPP}|x", "}"]);
    let report = diagnostics.iter().next().expect("a report");
    assert_eq!((report.id, report.help[0].as_str()), ("undefined-variable", "did you mean `${VIP}`?"));
    assert_eq!(diagnostics.exit_code(), 5);
    assert_eq!(outcome("priority ${ A }").1, ["undefined-variable"]);
    assert_eq!(clean("x \"${HOME}\" $HOME $1"), ["x|${HOME}|$HOME|$1"]);
}

#[test]
fn a_multi_line_definition_puts_its_lines_in() {
    let text = "$M= \\\n first \\\n second\npre $M\n${M}\n$M z";
    assert_eq!(clean(text), ["pre|first", "second", "first", "second", "$M|z"]);
    assert_eq!(clean("$M=priority 30 \\\n\nafter\n$M"), ["after", "priority|30"]);
    assert_eq!(clean("$M=a # c \\\nb\nx $M"), ["b", "x|a"]);
    assert_eq!(clean("$M= \\\n@other a \\\n@node b \\\nv $V\n$V=1\n$M"), ["b", "v|1"]);
    assert_eq!(clean("$N= \\\nn1 \\\nn2\n$M= \\\nm1 \\\n$N \\\nm2\n$M"), ["m1", "n1", "n2", "m2"]);
    assert_eq!(clean("$M= \\\n$V=1 \\\nx $V\n$M\ny $V"), ["x|1", "y|1"]);
}

#[test]
fn loops_expand() {
    assert_eq!(clean("~SEQ(A,3) x$A"), ["x1", "x2", "x3"]);
    assert_eq!(clean("@node ~SEQx(A, 9, 11)x${A}."), ["x9.", "xa.", "xb."]);
    assert_eq!(clean("~SEQ(A,2)~SEQ(B,2) n${A}${B}\n$A $B"), ["n11", "n12", "n21", "n22", "2|2"]);
    assert_eq!(clean("~LST({P,Q},{a,b},{c}) l${P}-${Q}."), ["la-b.", "lc-."]);
    assert_eq!(clean("$E=2\n~SEQ(A,${E}) c$A"), ["c1", "c2"]);
    assert_eq!(clean("~SEQ(A,2) $B=w$A\n${B}"), ["w2"]);
    assert_eq!(clean("$M= \\\nvrrp_instance V$N { \\\n}\n~SEQ(N,2) $M").len(), 6);
    assert_eq!(clean("x ~SEQ(A,3) y"), ["x|~SEQ(A,3)|y"]);
    assert_eq!(clean("~seq(A,3) y"), ["~seq(A,3)|y"]);
}

#[test]
fn a_wrong_loop_is_one_report_and_no_line() {
    for line in ["~SEQ(A) x", "~SEQ(A,1,0,3) x", "~LST(P, a b) x", "~LST({P,Q},{a,b,c}) x", "~SEQ(A,2"] {
        assert_eq!(outcome(line), (vec![], vec!["invalid-loop"], 5), "{line}");
    }
}

#[test]
fn an_endless_loop_ends() {
    let (_, ids, exit) = outcome("~SEQ(A,4000000000) ~SEQ(B,4000000000) @other x");
    assert_eq!((ids, exit), (vec!["too-much-text"], 5));
}

#[test]
fn predefined_names_have_their_values() {
    let files = MemoryFiles::new()
        .file(
            "/etc/k/k.conf",
            "a ${_PWD} ${_INSTANCE} x${_ENV HOME}y x${_ENV NO}y \"${_HASH}${_BANG}\" x${_HASH}y",
        )
        .with_variable("HOME", "/root");
    let lines = read(&files, &options("/etc/k/k.conf"), &mut Diagnostics::new());
    assert_eq!(shape(&lines), ["a|/etc/k|node|x/rooty|xy|#!|x"]);
}

#[test]
fn a_random_number_stays_in_its_range() {
    for _ in 0..50 {
        let number: u32 = clean("${_RANDOM 5 7}")[0].parse().expect("a number");
        assert!((5..=7).contains(&number));
    }
    assert_eq!(clean("${_RANDOM 5 5}x"), ["5x"]);
    assert_eq!(outcome("${_RANDOM 5 2}x"), (vec!["5x".to_owned()], vec!["invalid-random"], 5));
    assert_eq!(outcome("${_RANDOM a}x"), (vec!["${_RANDOM|a}x".to_owned()], vec!["invalid-random"], 5));
}

// Include

fn tree() -> MemoryFiles {
    MemoryFiles::new()
        .file("d/a.conf", "a")
        .file("d/b.conf", "b\ninclude sub/c.conf")
        .file("d/sub/c.conf", "c ${_PWD}")
        .refused("d/exec.conf", ReadError::Executable)
}

fn included(text: &str) -> (Vec<String>, Vec<&'static str>, u8, bool) {
    let mut diagnostics = Diagnostics::new();
    let files = tree().file("k.conf", text);
    let lines = read(&files, &options("k.conf"), &mut diagnostics);
    (shape(&lines), ids(&diagnostics), diagnostics.exit_code(), lines.configured)
}

#[test]
fn an_include_is_relative_to_its_file_and_stands_anywhere() {
    let (lines, ids, exit, configured) = included("x { include d/[ab].conf # c\n}");
    assert_eq!(lines, ["x", "{", "include|d/[ab].conf", "}"]);
    assert_eq!((ids.len(), exit, configured), (0, 0, true));
    let (lines, ids, ..) = included("x {\ninclude d/[ab].conf # c\n}");
    assert_eq!(lines, ["x", "{", "a", "b", "c|/d/sub", "}"]);
    assert!(ids.is_empty());
    assert_eq!(included("include d/{b,a}.conf").0, ["b", "c|/d/sub", "a"]);
    assert_eq!(included("include").0, ["include"]);
}

#[test]
fn what_a_failed_include_does_depends_on_its_word() {
    // Rows of the table in spec §5: missing, wildcard without match, executable, a part of braces missing.
    for (word, missing, wildcard, unreadable, brace) in [
        ("include", 0, 0, 0, 0),
        ("includer", 0, 0, 6, 0),
        ("includem", 6, 0, 6, 0),
        ("includew", 6, 6, 6, 0),
        ("includeb", 0, 0, 6, 6),
        ("includea", 6, 6, 6, 6),
    ] {
        for (pattern, expected) in [
            ("nope", missing),
            ("no*", wildcard),
            ("d/exec.conf", unreadable),
            ("d", unreadable),
            ("d/{a,nope}.conf", brace),
        ] {
            let (_, ids, exit, configured) = included(&format!("{word} {pattern}"));
            assert_eq!((exit, configured), (expected, expected == 0), "{word} {pattern}");
            assert_eq!(ids.len(), usize::from(pattern != "no*" || expected != 0), "{word} {pattern}");
        }
    }
    assert_eq!(included("include d/{a,nope}.conf").0, ["a"]);
    assert_eq!(included("includeb d/{a,nope}.conf").0, [""; 0]);
}

#[test]
fn include_check_raises_the_level_until_the_file_ends() {
    assert_eq!(included("global_defs {\ninclude_check\n}\ninclude nope").2, 6);
    assert_eq!(included("include_check\ninclude nope").2, 0);
    assert_eq!(included("global_defs {\n}\ninclude_check\ninclude nope").2, 0);
    let files = MemoryFiles::new()
        .file("k", "include l\ninclude nope")
        .file("l", "global_defs {\ninclude_check match\n}");
    let mut diagnostics = Diagnostics::new();
    read(&files, &options("k"), &mut diagnostics);
    assert_eq!(diagnostics.exit_code(), 0);
}

#[test]
fn a_file_that_includes_itself_is_read_once() {
    let files = MemoryFiles::new().file("k", "a\ninclude k\nb");
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options("k"), &mut diagnostics);
    assert_eq!((shape(&lines), ids(&diagnostics)), (vec!["a".into(), "b".into()], vec!["include-recursive"]));
    assert_eq!(diagnostics.exit_code(), 5);
}

#[test]
fn siblings_of_one_pattern_may_include_each_other() {
    let files = MemoryFiles::new().file("k", "include x*").file("x1", "include x2").file("x2", "b");
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options("k"), &mut diagnostics);
    assert_eq!((shape(&lines), diagnostics.len()), (vec!["b".to_owned(), "b".to_owned()], 0));
}

#[test]
fn an_include_that_stock_reads_twice_is_read_once() {
    let (lines, ids, exit, _) = included("@node include d/a.conf");
    assert_eq!((lines, ids, exit), (vec!["a".to_owned()], vec!["include-read-twice"], 0));
    assert_eq!(included("$F=include d/a.conf\n$F").1, ["include-read-twice"]);
    assert_eq!(included("~LST(N,a) include d/${N}.conf").1, ["include-read-twice"]);
    assert_eq!(included("$F=d/a.conf\ninclude $F").1, [""; 0]);
    let files = MemoryFiles::new().file("k", "@node include v").file("v", "vrrp_instance V {\n}");
    let mut diagnostics = Diagnostics::new();
    read(&files, &options("k"), &mut diagnostics);
    assert_eq!(diagnostics.class(), Class::Other);
}

#[test]
fn a_main_file_that_cannot_be_used_leaves_nothing_configured() {
    let files = MemoryFiles::new().refused("x", ReadError::Executable).refused("d", ReadError::Denied);
    for (main, exit) in [("nope", 0), ("x", 0), ("d", 4)] {
        let mut diagnostics = Diagnostics::new();
        let lines = read(&files, &options(main), &mut diagnostics);
        assert_eq!(
            (lines.configured, diagnostics.len(), diagnostics.exit_code()),
            (false, 1, exit),
            "{main}"
        );
    }
}

#[test]
fn several_main_files_are_all_read() {
    let files = MemoryFiles::new().file("k1", "a").file("k2", "b");
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options("k*"), &mut diagnostics);
    assert_eq!(shape(&lines), ["a", "b"]);
    assert_eq!((ids(&diagnostics), diagnostics.exit_code()), (vec!["several-configuration-files"], 5));
}

// Spans

#[test]
fn a_substituted_word_points_at_its_use_and_names_its_origin() {
    let (lines, _) = read_text("$P=50 60\npriority $P # c\n");
    let word = &lines.lines.get(0).unwrap().words[2];
    let place = lines.sources.resolve(word.span());
    assert_eq!(lines.sources.text(place.span), "$P");
    assert_eq!(lines.sources.text(place.from.expect("an origin")), "60");
    let location = lines.sources.location(word.span()).expect("a location");
    assert_eq!((location.line, location.column), (2, 10));
    assert_eq!(
        lines.sources.text(lines.sources.resolve(lines.lines.get(0).unwrap().words[0].span()).span),
        "priority"
    );
}

#[test]
fn a_word_of_a_multi_line_definition_points_at_the_use() {
    let (lines, _) = read_text("$M= \\\n  a bb\n\nx {\n  $M\n}");
    let place = lines.sources.resolve(lines.lines.get(2).unwrap().words[1].span());
    assert_eq!(lines.sources.text(place.span), "$M");
    assert_eq!(lines.sources.text(place.from.expect("an origin")), "bb");
}

#[test]
fn a_column_counts_characters() {
    let (lines, _) = read_text("router_id 東京 x");
    let location = lines.sources.location(lines.lines.get(0).unwrap().words[2].span()).expect("a location");
    assert_eq!((location.file, location.line, location.column), ("keepalived.conf", 1, 14));
}

// Properties

use proptest::prelude::*;

/// Text that is likely to mean something.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "$A",
        "${A}",
        "$B",
        "${B}",
        "=",
        "$A=",
        "$M= \\\n",
        " \\\n",
        "\n",
        "\n",
        " ",
        "\t",
        "#",
        "!",
        "\\#",
        "\\",
        "\"",
        "'",
        "{",
        "}",
        "@node ",
        "@^x ",
        "@x ",
        "~SEQ(A,3)",
        "~LST(B,a,b) ",
        "~SEQ(",
        "include k",
        "include x*\n",
        "x",
        "é",
        "東",
        "${_HASH}",
        "${_PWD}",
        "${_RANDOM 1 2}",
        "\r\n",
        "\0",
        "\u{feff}",
        "word",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_spans(bytes: &[u8]) -> Result<(), TestCaseError> {
    let files = MemoryFiles::new().file("k", bytes).file("x1", bytes);
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options("k"), &mut diagnostics);
    for line in lines.lines.iter() {
        for span in line.words.iter().map(Word::span).chain([line.span()]) {
            let source = lines.sources.get(span.source).expect("a source of this reading");
            let inside = source.text().get(span.start as usize..span.end as usize);
            prop_assert!(inside.is_some());
            let place = lines.sources.resolve(span).span;
            let file = lines.sources.get(place.source).expect("a file of this reading");
            prop_assert!(file.text().get(place.start as usize..place.end as usize).is_some());
            prop_assert!(lines.sources.location(span).is_some());
        }
    }
    super::render::render(&diagnostics, &lines.sources, super::render::Style::Plain);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_every_span_lies_in_its_source(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_spans(&bytes)?;
    }

    #[test]
    fn any_likely_text_is_read_and_every_span_lies_in_its_source(text in texts()) {
        check_spans(text.as_bytes())?;
    }

    #[test]
    fn plain_words_come_out_as_they_went_in(words in prop::collection::vec("[a-zA-Z0-9_./:%é東-]{1,12}", 1..8)) {
        let (lines, diagnostics) = read_text(words.join(" \t"));
        prop_assert!(diagnostics.is_empty());
        prop_assert_eq!(lines.lines.len(), 1);
        let read: Vec<&str> = lines.lines.get(0).unwrap().words.iter().map(Word::as_str).collect();
        prop_assert_eq!(read, words);
    }

    #[test]
    fn any_bytes_survive_decoding_and_encoding(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let text = super::source::decode(bytes.clone());
        prop_assert_eq!(super::source::encode(&text).into_owned(), bytes);
    }
}

#[test]
fn many_undefined_names_are_reported_up_to_the_limit_and_then_counted() {
    let text = (0..5_000).map(|n| format!("$V{n}=1\nx ${{W{n}}}")).collect::<Vec<_>>().join("\n");
    let (lines, diagnostics) = read_text(text);
    assert_eq!((lines.lines.len(), diagnostics.dropped() > 0), (5_000, true));
}

/// A quote sends a line the slow way: what is read must be the same but for the quoted word.
fn check_plain(rows: &[String]) -> Result<(), TestCaseError> {
    let (plain, quoted) = (rows.join("\n"), format!("\"q\" {}", rows.join("\n\"q\" ")));
    let ((plain, _), (quoted, _)) = (read_text(&plain), read_text(&quoted));
    let words = |line: Line<'_>| {
        line.words
            .iter()
            .filter(|word| !word.quoted())
            .map(|word| word.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let shape = |lines: &Lines| -> Vec<(LineKind, Vec<String>)> {
        let all = lines.lines.iter().map(|line| (line.kind, words(line)));
        all.filter(|(kind, words)| *kind != LineKind::Words || !words.is_empty()).collect()
    };
    prop_assert_eq!(shape(&plain), shape(&quoted));
    for line in plain.lines.iter() {
        let text = plain.sources.text(line.span());
        prop_assert!(!text.is_empty() && text.trim_matches(super::syntax::is_space) == text, "{text:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn plain_lines_are_read_as_all_others(rows in prop::collection::vec("[ab{}é#! \t\r\x0b\x0c]{0,12}", 0..8)) {
        check_plain(&rows)?;
    }
}
