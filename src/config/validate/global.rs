//! What of `global_defs` waits for the rest of the file: scripts, and whom the sync daemon follows.
//! spec/global-defs.md "Derived defaults".

use super::scripts::{Purpose, Scripts};
use crate::config::blocks::vrrp_instance::Draft;
use crate::config::model::{Config, SyncDaemon};
use crate::config::reader::Reader;

/// The scripts of the parent.
pub fn parent_scripts(reader: &mut Reader<'_>, config: &mut Config) {
    let mut scripts = Scripts::default();
    let drafts = &mut reader.drafts.global.scripts;
    let (startup, shutdown) = (drafts.startup.take(), drafts.shutdown.take());
    let mut resolve = |script| scripts.resolve(reader, &script, Purpose::Notify);
    config.global.startup_script = startup.and_then(&mut resolve);
    config.global.shutdown_script = shutdown.and_then(&mut resolve);
    scripts.finish(reader);
}

/// The programs that read the FIFOs, for the process whose scripts these are.
pub(super) fn fifo_scripts(reader: &mut Reader<'_>, config: &mut Config, scripts: &mut Scripts) {
    let is_vrrp = reader.process().meets(crate::config::schema::Readers::VRRP);
    let fifos = &mut config.global.fifos;
    let drafts = &reader.drafts.global.scripts;
    let own = if is_vrrp { drafts.vrrp.clone() } else { drafts.lvs.clone() };
    let all = drafts.all.clone();
    let mut resolve = |script| scripts.resolve(reader, &script, Purpose::Notify);
    fifos.all.script = all.and_then(&mut resolve);
    let slot = if is_vrrp { &mut fifos.vrrp } else { &mut fifos.lvs };
    slot.script = own.and_then(&mut resolve);
    let path = |fifo: &crate::config::model::Fifo| fifo.pipe.as_ref().map(|pipe| pipe.path.clone());
    if fifos.vrrp.script.is_some() && path(&fifos.vrrp) == path(&fifos.lvs) {
        fifos.lvs.script = None;
    }
}

/// The sync daemon as the vrrp process sees it: it follows an instance that exists, and has an id.
pub(super) fn sync_daemon(config: &Config, drafts: &[Draft<'_>]) -> Option<SyncDaemon> {
    if let Some(daemon) = &config.global.lvs_sync_daemon {
        let mut daemon = daemon.clone();
        let vrid = match &daemon.instance {
            Some(name) => config.instances.iter().find(|instance| instance.name == *name)?.vrid.get(),
            None => 0,
        };
        daemon.id.get_or_insert(vrid);
        return Some(daemon);
    }
    drafts.iter().find_map(|draft| {
        Some(SyncDaemon {
            interface: draft.lvs_sync_interface?.as_str().to_owned(),
            instance: Some(draft.name?.as_str().to_owned()),
            id: Some(0),
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        })
    })
}
