//! Any bytes as a main file and as an included one, all the way to the model and the lints: no panic, no endless work,
//! spans inside their sources, and the lints change no verdict.
#![cfg_attr(fuzzing, no_main)]

use std::net::IpAddr;

use keepalived_rs::config::diagnostic::Diagnostics;
use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::lint::Lints;
use keepalived_rs::config::model::{HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions, read};
use keepalived_rs::config::render::{Style, log_lines, render};
use keepalived_rs::config::syntax::script_words;
use keepalived_rs::config::value::Mode;
use keepalived_rs::config::{load, load_linted};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

struct OnlyRoot;

impl Users for OnlyRoot {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

fn run(bytes: &[u8]) {
    let files =
        MemoryFiles::new().file("main.conf", bytes).file("d/part.conf", bytes).script("/usr/bin/true");
    let options = ReadOptions {
        main: "main.conf".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 0,
    };
    spans(&files, &options);
    let interface = InterfaceFacts {
        index: 2,
        mtu: 1500,
        multicast: true,
        addresses: vec![(IpAddr::from([192, 0, 2, 1]), 24)],
        ..InterfaceFacts::default()
    };
    let facts = HostFacts {
        node_name: "node".to_owned(),
        interfaces: [("eth0".to_owned(), interface)].into(),
        cpus: Some(2),
        ..HostFacts::default()
    };
    for mode in [Mode::ConfigTest, Mode::Run] {
        let plain = load(&files, &options, mode, &facts, &OnlyRoot);
        let linted = load_linted(&files, &options, mode, &facts, &OnlyRoot, Lints::Except(&[]));
        assert_eq!((plain.test_exit, plain.refusal), (linted.test_exit, linted.refusal));
        assert_eq!(plain.config, linted.config);
        assert_eq!(plain.config.is_some(), plain.refusal.is_none());
        assert!(linted.diagnostics.len() >= plain.diagnostics.len());
        let _ = render(&linted.diagnostics, &linted.sources, Style::Plain);
    }
}

fn spans(files: &MemoryFiles, options: &ReadOptions) {
    let mut diagnostics = Diagnostics::new();
    let lines = read(files, options, &mut diagnostics);
    for line in lines.lines.iter() {
        let spans = line.words.iter().map(|word| word.span()).chain([line.span()]);
        for span in spans {
            let source = lines.sources.get(span.source).expect("a span of this reading");
            assert!(span.start <= span.end && span.end as usize <= source.text().len());
            let place = lines.sources.resolve(span);
            let file = lines.sources.get(place.span.source).expect("a place in this reading");
            assert!(file.text().get(place.span.start as usize..place.span.end as usize).is_some());
            assert!(lines.sources.location(span).is_some());
        }
        let _ = script_words(&line.raw());
    }
    assert_eq!(log_lines(&diagnostics, &lines.sources).is_empty(), diagnostics.is_empty());
    let _ = render(&diagnostics, &lines.sources, Style::Plain);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/config_text");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            super::run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "the corpus is empty");
    }
}
