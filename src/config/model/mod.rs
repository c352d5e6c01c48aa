//! The configuration as the rest of the program sees it: typed, validated, immutable, without spans.
//!
//! Nothing is optional that has a default, no string could be an enum, every number has its range in the type or
//! in its doc line. Each child process gets only its own part ([`VrrpPart`], [`CheckersPart`]).

mod auth;
mod bfd;
mod check;
mod global;
mod host;
mod links;
mod lvs;
mod management;
mod process;
mod rare;
mod reporter;
mod route;
mod script;
mod tls;
mod tracker;
mod units;
mod vrrp;

pub use auth::*;
pub use bfd::*;
pub use check::*;
pub use global::*;
pub use host::*;
pub use links::*;
pub use lvs::*;
pub use management::*;
pub use process::*;
pub use rare::*;
pub use reporter::*;
pub use route::*;
pub use script::*;
pub use tls::*;
pub use tracker::*;
pub use units::*;
pub use vrrp::*;

use serde::{Deserialize, Serialize};

/// One whole, validated configuration: the parent's view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    /// `global_defs` and the top-level words.
    pub global: Global,
    /// The sync daemon that the vrrp process turns: with an id, and with an instance that exists.
    pub vrrp_sync_daemon: Option<SyncDaemon>,
    /// The `vrrp_script` blocks that some instance or group uses, in file order.
    pub scripts: Vec<VrrpScript>,
    /// The `track_file` blocks that some instance or group uses, in file order.
    pub track_files: Vec<TrackFile>,
    /// `vrrp_track_process` blocks, in file order.
    pub track_processes: Vec<TrackProcess>,
    /// `bfd_instance` blocks that the vrrp process is told of, in file order.
    pub track_bfds: Vec<TrackBfd>,
    /// `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelays>,
    /// `garp_group` blocks, in file order.
    pub garp_groups: Vec<GarpGroup>,
    /// `linkbeat_interfaces` and `linkbeat_use_polling`.
    pub polled: Vec<PolledInterface>,
    /// `vrrp_sync_group` blocks with at least one member, in file order.
    pub sync_groups: Vec<SyncGroup>,
    /// `vrrp_instance` blocks, in file order.
    pub instances: Vec<Instance>,
    /// Static addresses, routes and rules.
    pub statics: Statics,
    /// `virtual_server_group` blocks, in file order.
    pub groups: Vec<VirtualServerGroup>,
    /// `virtual_server` blocks with at least one real server, in file order.
    pub virtual_servers: Vec<VirtualServer>,
    /// The `track_file` blocks that some check looks at, in file order.
    pub check_files: Vec<TrackFile>,
    /// The `SSL` block.
    pub ssl: Option<Ssl>,
    /// What TLS checks present and ask for; the first is that of the `SSL` block, or of none.
    pub tls_profiles: Vec<TlsProfile>,
    /// `bfd_instance` blocks, in file order.
    pub bfd_instances: Vec<BfdInstance>,
}

/// What the vrrp process is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VrrpPart {
    /// Global values.
    pub global: Global,
    /// Tracked scripts.
    pub scripts: Vec<VrrpScript>,
    /// Tracked files.
    pub track_files: Vec<TrackFile>,
    /// Tracked processes.
    pub track_processes: Vec<TrackProcess>,
    /// Tracked BFD sessions.
    pub track_bfds: Vec<TrackBfd>,
    /// `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelays>,
    /// `garp_group` blocks.
    pub garp_groups: Vec<GarpGroup>,
    /// Interfaces whose link is asked for.
    pub polled: Vec<PolledInterface>,
    /// Sync groups.
    pub sync_groups: Vec<SyncGroup>,
    /// Instances.
    pub instances: Vec<Instance>,
    /// Static addresses, routes and rules.
    pub statics: Statics,
}

/// What the checkers process is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckersPart {
    /// Global values.
    pub global: Global,
    /// Virtual server groups.
    pub groups: Vec<VirtualServerGroup>,
    /// Virtual servers.
    pub virtual_servers: Vec<VirtualServer>,
    /// The `SSL` block.
    pub ssl: Option<Ssl>,
    /// What TLS checks present and ask for.
    pub tls_profiles: Vec<TlsProfile>,
    /// Names of the BFD sessions that tell the checkers, in file order.
    pub bfd_instances: Vec<String>,
    /// Tracked files.
    pub track_files: Vec<TrackFile>,
}

/// What the bfd process is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BfdPart {
    /// Global values.
    pub global: Global,
    /// `bfd_instance` blocks.
    pub bfd_instances: Vec<BfdInstance>,
}

impl VrrpPart {
    /// Are there any routes or rules?
    pub fn has_routing(&self) -> bool {
        let is_any = |routes: &[Route], rules: &[Rule]| !routes.is_empty() || !rules.is_empty();
        is_any(&self.statics.routes, &self.statics.rules)
            || self.instances.iter().any(|instance| is_any(&instance.routes, &instance.rules))
    }
}

impl Config {
    /// The bfd process' part, or `None` when there is no `bfd_instance`.
    pub fn bfd_part(&self) -> Option<BfdPart> {
        (!self.bfd_instances.is_empty())
            .then(|| BfdPart { global: self.global.clone(), bfd_instances: self.bfd_instances.clone() })
    }

    /// The vrrp process' part, or `None` when there is nothing for it to do.
    pub fn vrrp_part(&self) -> Option<VrrpPart> {
        (!self.instances.is_empty() || !self.statics.is_empty()).then(|| VrrpPart {
            global: self.vrrp_global(),
            scripts: self.scripts.clone(),
            track_files: self.track_files.clone(),
            track_processes: self.track_processes.clone(),
            track_bfds: self.track_bfds.clone(),
            interface_delays: self.interface_delays.clone(),
            garp_groups: self.garp_groups.clone(),
            polled: self.polled.clone(),
            sync_groups: self.sync_groups.clone(),
            instances: self.instances.clone(),
            statics: self.statics.clone(),
        })
    }

    /// What the vrrp process knows better than the others: the sync daemon, and whether a filter is needed.
    fn vrrp_global(&self) -> Global {
        let mut global = Global { lvs_sync_daemon: self.vrrp_sync_daemon.clone(), ..self.global.clone() };
        let is_vmac = |link: &VirtualLink| matches!(link.kind, VirtualLinkKind::Vmac { .. });
        let needs_filter = |instance: &Instance| instance.is_shielded() || instance.links.iter().any(is_vmac);
        if self.instances.iter().any(needs_filter) {
            global.nftables.table.get_or_insert_with(|| "keepalived".to_owned());
        }
        global
    }

    /// The checkers process' part, or `None` when there is no virtual server.
    pub fn checkers_part(&self) -> Option<CheckersPart> {
        (!self.virtual_servers.is_empty())
            .then(|| CheckersPart { virtual_servers: self.virtual_servers.clone(), ..self.checkers_common() })
    }

    /// The same without the virtual servers.
    pub fn checkers_common(&self) -> CheckersPart {
        CheckersPart {
            global: self.global.clone(),
            groups: self.groups.clone(),
            virtual_servers: Vec::new(),
            ssl: self.ssl.clone(),
            tls_profiles: self.tls_profiles.clone(),
            track_files: self.check_files.clone(),
            bfd_instances: self
                .bfd_instances
                .iter()
                .filter(|bfd| bfd.tells_checkers)
                .map(|bfd| bfd.name.clone())
                .collect(),
        }
    }
}
