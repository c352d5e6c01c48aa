//! Any bytes as a main file and as an included one: no panic, no endless work, spans inside their sources.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::config::diagnostic::Diagnostics;
use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions, read};
use keepalived_rs::config::render::{Style, log_lines, render};
use keepalived_rs::config::syntax::script_words;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

fn run(bytes: &[u8]) {
    let files = MemoryFiles::new().file("main.conf", bytes).file("d/part.conf", bytes);
    let options = ReadOptions {
        main: "main.conf".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 0,
    };
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options, &mut diagnostics);
    for line in &lines.lines {
        let spans = line.words.iter().map(|word| word.span()).chain([line.span()]);
        for span in spans {
            let source = lines.sources.get(span.source).expect("a span of this reading");
            assert!(span.start <= span.end && span.end as usize <= source.text().len());
            let place = lines.sources.resolve(span);
            let file = lines.sources.get(place.span.source).expect("a place in this reading");
            assert!(file.text().get(place.span.start as usize..place.span.end as usize).is_some());
            assert!(lines.sources.location(span).is_some());
        }
        let _ = script_words(&line.raw);
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
