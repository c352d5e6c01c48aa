//! The configuration that runs, as the parent keeps it: a large one is written down in a memory file, from which
//! successors of lost children are served, and only an outline of it stays at hand.

use std::sync::Arc;

use crate::config::model::Config;
use crate::kernel::memfd::Stash;

/// Encoded configurations up to this size stay as they are, in bytes.
const SMALL: usize = 4 << 10;

/// A configuration, and how to come by the whole of it.
pub(super) struct Kept {
    /// Small or under way: all of it. Otherwise without what is many.
    outline: Arc<Config>,
    /// All of it, written down.
    file: Option<Stash>,
    counts: Counts,
}

/// What a configuration has, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// `vrrp_instance` blocks.
    pub instances: usize,
    /// `virtual_server` blocks.
    pub virtual_servers: usize,
    /// Real servers with a check.
    pub checked: usize,
}

impl Kept {
    /// As it is.
    pub(super) fn whole_of(config: Arc<Config>) -> Self {
        let servers = config.virtual_servers.iter().flat_map(|server| &server.real_servers);
        let counts = Counts {
            instances: config.instances.len(),
            virtual_servers: config.virtual_servers.len(),
            checked: servers.filter(|real| !real.checkers.is_empty()).count(),
        };
        Self { outline: config, file: None, counts }
    }

    /// Writes a large one down. Where that fails it stays as it is.
    pub(super) fn file(&mut self) {
        if self.file.is_some() {
            return;
        }
        let Ok(bytes) = postcard::to_stdvec(&*self.outline) else { return };
        if bytes.len() <= SMALL {
            return;
        }
        let Ok(file) = Stash::in_file(&bytes) else { return };
        self.file = Some(file);
        let mut outline = Arc::unwrap_or_clone(std::mem::take(&mut self.outline));
        outline.instances = Vec::new();
        outline.virtual_servers = Vec::new();
        outline.groups = Vec::new();
        outline.sync_groups = Vec::new();
        outline.scripts = Vec::new();
        outline.statics = crate::config::model::Statics::default();
        self.outline = Arc::new(outline);
    }

    /// `global_defs` and the BFD sessions; the rest may be missing.
    pub(super) fn outline(&self) -> &Config {
        &self.outline
    }

    /// How many there are of what may be missing there.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// All of it.
    pub(super) fn whole(&self) -> Arc<Config> {
        let Some(file) = &self.file else { return Arc::clone(&self.outline) };
        let read = file.contents().map_err(|error| error.to_string()).and_then(|bytes| {
            postcard::from_bytes(&bytes).map_err(|error: postcard::Error| error.to_string())
        });
        match read {
            Ok(config) => Arc::new(config),
            Err(error) => {
                tracing::info!("reading the running configuration from memory: {error}");
                Arc::clone(&self.outline)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::tests::samples::instance;

    #[test]
    fn a_large_configuration_is_written_down_and_read_back_whole() {
        for (count, is_large) in [(1, false), (150, true)] {
            let config = Config {
                instances: (1..=count).map(|vrid| instance(&format!("V{vrid}"), vrid, 100)).collect(),
                ..Config::default()
            };
            let mut kept = Kept::whole_of(Arc::new(config.clone()));
            assert_eq!(kept.outline(), &config);
            kept.file();
            kept.file();
            assert_eq!(*kept.whole(), config);
            assert_eq!(kept.outline().instances.is_empty(), is_large, "{count}");
            assert_eq!(kept.outline().global, config.global);
            assert_eq!(kept.counts().instances, usize::from(count));
        }
    }
}
