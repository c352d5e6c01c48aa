//! What the model made of a section: its values are asked of that, not of the text.

use serde_json::Value;

use super::model;
use crate::config::model::{
    Checker, Config, Instance, RealServer, SyncGroup, Url, VirtualServer, VrrpScript,
};

/// What the model made of a section.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    Global,
    Instance(&'a Instance),
    Group(&'a SyncGroup),
    Script(&'a VrrpScript),
    VirtualServer(&'a VirtualServer),
    RealServer(&'a RealServer),
    Checker(&'a Checker),
    Url(&'a Url),
    Nothing,
}

impl Of<'_> {
    pub(super) fn value(self, keyword: &str, config: &Config) -> Option<Value> {
        match self {
            Self::Global => model::global(keyword, &config.global),
            Self::Instance(instance) => model::instance(keyword, instance),
            Self::Group(group) => model::sync_group(keyword, group),
            Self::Script(script) => model::script(keyword, script),
            Self::VirtualServer(server) => model::virtual_server(keyword, server),
            Self::RealServer(server) => model::real_server(keyword, server),
            Self::Checker(checker) => model::checker(keyword, checker),
            Self::Url(url) => model::url(keyword, url),
            Self::Nothing => None,
        }
    }
}
