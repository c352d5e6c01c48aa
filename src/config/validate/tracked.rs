//! The lists `track_file`, `track_process` and `track_bfd` with the weights of their blocks filled in.

use crate::config::blocks::Drafts;
use crate::config::blocks::tracking::Tracked as Entry;
use crate::config::model::{
    Config, Instance, InterfaceDelays, PolledInterface, TrackBfd, TrackFile, Tracked,
};
use crate::config::reader::Reader;

/// What an instance or a group tracks beside interfaces and scripts.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) files: Vec<Tracked>,
    pub(super) processes: Vec<Tracked>,
    pub(super) bfds: Vec<Tracked>,
}

impl Others {
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tracked> {
        self.files.iter_mut().chain(&mut self.processes).chain(&mut self.bfds)
    }
}

/// A line of `track_file`; `None` without such a block.
pub(super) fn file(drafts: &Drafts<'_>, entry: &Entry<'_>) -> Option<Tracked> {
    let (_, file) = drafts.track_files.iter().find(|(name, _)| name.as_str() == entry.name.as_str())?;
    Some(filled(entry, file.weight, file.reverse))
}

/// A line of `track_process`; `None` without such a block.
pub(super) fn process(drafts: &Drafts<'_>, entry: &Entry<'_>) -> Option<Tracked> {
    let mut all = drafts.track_processes.iter();
    let (_, process) = all.find(|(name, _)| name.as_str() == entry.name.as_str())?;
    Some(filled(entry, process.weight, process.reverse))
}

/// A line of `track_bfd`; `None` without such a block.
pub(super) fn bfd(drafts: &Drafts<'_>, entry: &Entry<'_>) -> Option<Tracked> {
    let mut all = drafts.bfds.iter();
    let bfd = all.find(|bfd| bfd.name.is_some_and(|name| name.as_str() == entry.name.as_str()))?;
    Some(filled(entry, bfd.weight.unwrap_or(0), bfd.reverse))
}

/// The sessions that the vrrp process hears of.
pub(super) fn bfds(drafts: &Drafts<'_>) -> Vec<TrackBfd> {
    let heard = drafts.bfds.iter().filter(|bfd| bfd.vrrp || !bfd.checker);
    let build = |bfd: &crate::config::blocks::bfd_instance::Draft<'_>| {
        let name = bfd.name?.as_str().to_owned();
        Some(TrackBfd { name, weight: bfd.weight.unwrap_or(0), reverse: bfd.reverse })
    };
    heard.filter_map(build).collect()
}

/// Row 30: a change must count before the instances there have given their master up.
pub(super) fn delays(reader: &Reader<'_>, instances: &[Instance]) -> Vec<InterfaceDelays> {
    let mut all = reader.drafts.interface_delays.clone();
    // A running daemon skips interfaces that do not exist.
    all.retain(|delays| reader.world.facts.interfaces.contains_key(&delays.interface));
    for delays in &mut all {
        let on_it = instances.iter().filter(|i| i.interface.as_ref() == Some(&delays.interface));
        let longest = on_it.map(|instance| {
            let interval = instance.advert_int.duration();
            let patience = interval * (u32::from(instance.down_timer_adverts) - 1);
            patience.saturating_sub(if patience.is_zero() { patience } else { interval / 256 })
        });
        if let Some(longest) = longest.min() {
            delays.down = delays.down.min(longest);
            delays.up = delays.up.min(longest);
        }
    }
    all
}

/// Interfaces whose link is asked for: those of the list that exist, and those of instances that ask for it.
pub(super) fn polled(reader: &Reader<'_>) -> Vec<PolledInterface> {
    let drafts = &reader.drafts;
    let mut all: Vec<PolledInterface> = Vec::new();
    let listed = drafts.polled.iter().cloned();
    let of_instances = drafts
        .instances
        .iter()
        .filter(|draft| draft.linkbeat || drafts.global.values.linkbeat_use_polling)
        .filter_map(|draft| draft.interface)
        .map(|name| PolledInterface { interface: name.as_str().to_owned(), way: None });
    for polled in listed.chain(of_instances) {
        let exists = reader.world.facts.interfaces.contains_key(&polled.interface);
        if exists && !all.iter().any(|known| known.interface == polled.interface) {
            all.push(polled);
        }
    }
    all
}

fn filled(entry: &Entry<'_>, weight: i32, reverse: bool) -> Tracked {
    Tracked {
        name: entry.name.as_str().to_owned(),
        weight: entry.weight.unwrap_or(weight),
        reverse: entry.reverse.unwrap_or(reverse),
    }
}

/// The files that something tracks. Stock: the others are not even shown in the dump.
pub(super) fn used_files(reader: &Reader<'_>, config: &Config) -> Vec<TrackFile> {
    let is_used = |name: &str| {
        let of_instances = config.instances.iter().flat_map(|instance| &instance.track_files);
        let of_groups = config.sync_groups.iter().flat_map(|group| &group.track_files);
        of_instances.chain(of_groups).any(|tracked| tracked.name == name)
    };
    let files = reader.drafts.track_files.iter().map(|(_, file)| file);
    files.filter(|file| is_used(&file.name)).cloned().collect()
}
