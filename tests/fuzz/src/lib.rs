//! What all fuzz targets share: their way in, the corpora as tests, one configuration as text.

use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::load;
use keepalived_rs::config::model::{Config, HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::value::Mode;

/// Makes `$run`, a function of bytes, the fuzz target; without a fuzzer the program replays the files it is given.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let _ = $run(bytes);
        });

        /// Replays files given on the command line.
        #[cfg(not(fuzzing))]
        fn main() {
            for path in std::env::args_os().skip(1) {
                let _ = $run(&std::fs::read(path).expect("a readable file"));
            }
        }
    };
}

/// The committed inputs of a target; there are some.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("an entry").path());
    let inputs: Vec<_> = entries.map(|path| std::fs::read(path).expect("a readable file")).collect();
    assert!(!inputs.is_empty(), "the corpus is empty");
    inputs
}

/// Every input of a target, whole and cut at every place.
pub fn cut(target: &str, mut run: impl FnMut(&[u8])) {
    for bytes in corpus(target) {
        for end in 0..=bytes.len() {
            run(&bytes[..end]);
        }
    }
}

/// Only root is known.
pub struct OnlyRoot;

impl Users for OnlyRoot {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

/// A host with one interface, `eth0`.
pub fn facts() -> HostFacts {
    let interface = InterfaceFacts {
        index: 2,
        mtu: 1500,
        multicast: true,
        addresses: vec![([192, 0, 2, 1].into(), 24)],
        ..InterfaceFacts::default()
    };
    HostFacts {
        node_name: "node".to_owned(),
        interfaces: [("eth0".to_owned(), interface)].into(),
        cpus: Some(2),
        ..HostFacts::default()
    }
}

/// How the file `main.conf` is read.
pub fn options() -> ReadOptions {
    ReadOptions {
        main: "main.conf".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 0,
    }
}

/// The model of a configuration.
pub fn config(text: &str) -> Config {
    let files = MemoryFiles::new().file("main.conf", text.as_bytes()).script("/usr/bin/true");
    let loaded = load(&files, &options(), Mode::Run, &facts(), &OnlyRoot);
    loaded.config.expect("a configuration without faults")
}
