//! Any bytes as a main file and as an included one, all the way to the model and the lints: no panic, no endless work,
//! spans inside their sources, and the lints change no verdict.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::config::diagnostic::Diagnostics;
use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::lint::Lints;
use keepalived_rs::config::preprocess::{ReadOptions, read};
use keepalived_rs::config::render::{Style, log_lines, render};
use keepalived_rs::config::syntax::script_words;
use keepalived_rs::config::value::Mode;
use keepalived_rs::config::{load, load_linted};
use keepalived_rs_fuzz::{OnlyRoot, facts, options};

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let files =
        MemoryFiles::new().file("main.conf", bytes).file("d/part.conf", bytes).script("/usr/bin/true");
    let options = options();
    spans(&files, &options);
    let facts = facts();
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
        keepalived_rs_fuzz::corpus("config_text").iter().for_each(|bytes| super::run(bytes));
    }
}
