//! The vrrp process' hold on the kernel's connection sync (`lvs_sync_daemon` with an instance).

use tracing::info;

use crate::config::model::{Global, SyncDaemon, SyncRole};
use crate::kernel::error::Error;
use crate::kernel::ipvs::Ipvs;

/// Open once a configuration wants it.
#[derive(Default)]
pub(super) struct Sync {
    ipvs: Option<Ipvs>,
    /// What runs because of us.
    running: Option<SyncDaemon>,
}

impl Sync {
    /// Opens what this configuration needs. The first time this process may still load the kernel's module and enter
    /// another namespace; so with `net_namespace_ipvs` it is opened in any case: a reload may want it.
    pub(super) fn prepare(&mut self, global: &Global) {
        let wanted = global.lvs_sync_daemon.as_ref().is_some_and(|daemon| daemon.instance.is_some());
        let elsewhere = global.net_namespace_ipvs != crate::config::model::IpvsNamespace::Same;
        if self.ipvs.is_some() || !(wanted || elsewhere) {
            return;
        }
        match Ipvs::open_in(&global.net_namespace_ipvs) {
            Ok(ipvs) => self.ipvs = Some(ipvs),
            Err(error) if wanted => info!("{error}"),
            Err(_) => {}
        }
    }

    /// Has the daemon of this role run, and no other.
    pub(super) fn run(&mut self, role: Option<SyncRole>, settings: &SyncDaemon) -> Result<(), Error> {
        let Some(ipvs) = &mut self.ipvs else {
            return Err(Error::new("IPVS: no sync daemon can run", nix::errno::Errno::ENOPROTOOPT));
        };
        // The kernel does not tell apart a packet size that was given from its own.
        if self.running.take().is_some_and(|running| running != *settings) {
            ipvs.sync(&[], settings)?;
        }
        ipvs.sync(role.as_slice(), settings)?;
        self.running = role.map(|_| settings.clone());
        Ok(())
    }
}
