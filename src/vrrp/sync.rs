//! The kernel's connection sync, as far as it follows an instance: a MASTER sends its connections, everybody else takes
//! them in (`lvs_sync_daemon IF INSTANCE`; spec/ipvs-behaviour.md §8).

use std::time::Duration;

use super::event::{Action, Actions, Detail};
use super::router::Router;
use super::snapshot::VrrpState;
use crate::config::model::{SyncDaemon, SyncRole, VrrpPart};
use crate::time::Time;

/// First pause after a refusal; it doubles up to the [`LAST`]. Stock does not try again.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LAST: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Sync {
    /// Index of the instance whose state decides.
    instance: Option<usize>,
    told: Option<SyncRole>,
    /// The kernel refused: when it is asked again.
    again: Option<Time>,
    /// The pause before that, zero as long as nothing was refused.
    pause: Duration,
}

impl Sync {
    pub(super) fn new(part: &VrrpPart) -> Self {
        let name = settings(part).and_then(|settings| settings.instance.as_deref());
        let instance = part.instances.iter().position(|instance| Some(instance.name.as_str()) == name);
        Self { instance, ..Self::default() }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.again
    }
}

fn settings(part: &VrrpPart) -> Option<&SyncDaemon> {
    part.global.lvs_sync_daemon.as_ref()
}

impl Router {
    /// Tells the driver which sync daemon should run, if that changed.
    pub(super) fn follow_sync(&mut self, out: &mut Actions) {
        let Some(run) = self.sync.instance.and_then(|i| self.runs.get(i)) else { return };
        if !self.is_started() {
            return;
        }
        let role = if run.state == VrrpState::Master { SyncRole::Master } else { SyncRole::Backup };
        if self.sync.told != Some(role) {
            self.sync.pause = Duration::ZERO;
            self.tell_sync(Some(role), out);
        }
    }

    fn tell_sync(&mut self, role: Option<SyncRole>, out: &mut Actions) {
        let Some(settings) = settings(&self.part) else { return };
        (self.sync.told, self.sync.again) = (role, None);
        out.push(Action::Sync { role, settings: Box::new(settings.clone()) });
    }

    /// The kernel could not do what was asked for.
    pub(super) fn sync_refused(&mut self, note: &str, now: Time, out: &mut Actions) {
        if self.sync.told.is_none() {
            return;
        }
        let pause = (self.sync.pause * 2).clamp(FIRST, LAST);
        (self.sync.again, self.sync.pause) = (Some(now + pause), pause);
        let text = format!("{note} - trying again in {} s", pause.as_secs());
        out.push(Action::Log { detail: Detail::Normal, text });
    }

    /// Asks again for what was refused.
    pub(super) fn tend_sync(&mut self, now: Time, out: &mut Actions) {
        if self.sync.again.is_some_and(|due| due <= now) {
            self.tell_sync(self.sync.told, out);
        }
    }

    /// A reload: what the configuration before asked for and this one does not is stopped.
    pub(super) fn adopt_sync(&mut self, old: &VrrpPart, before: &Sync, out: &mut Actions) {
        if let (Some(old), None) = (settings(old), self.sync.instance)
            && before.told.is_some()
        {
            out.push(Action::Sync { role: None, settings: Box::new(old.clone()) });
        }
    }

    /// At a stop.
    pub(super) fn stop_sync(&mut self, out: &mut Actions) {
        if self.sync.told.is_some() {
            self.tell_sync(None, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::tests::samples::*;
    use crate::vrrp::{Event, Release};

    fn following(name: &str) -> VrrpPart {
        let mut part = part(&[instance("V", 1, 150)]);
        part.global.lvs_sync_daemon = Some(SyncDaemon {
            interface: "eth0".to_owned(),
            instance: Some(name.to_owned()),
            id: Some(1),
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        });
        part
    }

    fn roles(out: &[Action]) -> Vec<Option<SyncRole>> {
        out.iter()
            .filter_map(|action| match action {
                Action::Sync { role, .. } => Some(*role),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_backup_takes_in_a_master_sends_and_at_the_end_nobody_does() {
        let (mut bench, out) = Bench::start(&following("V"));
        assert_eq!(roles(&out), [Some(SyncRole::Backup)]);
        assert_eq!(roles(&bench.wait(4.0)), [Some(SyncRole::Master)]);
        assert_eq!(roles(&bench.wait(3.0)), []);
        assert_eq!(roles(&bench.hear("10.0.0.2", 200)), [Some(SyncRole::Backup)]);
        let mut out = Vec::new();
        bench.router.stop(bench.now, Release::Ours, &mut out);
        assert_eq!(roles(&out), [None]);
    }

    #[test]
    fn what_the_kernel_refuses_is_asked_again_after_1_2_4_seconds() {
        let (mut bench, _) = Bench::start(&following("V"));
        let refuse = |bench: &mut Bench| bench.event(Event::SyncRefused { note: "no eth0".to_owned() });
        assert_eq!(logs(&refuse(&mut bench)), ["no eth0 - trying again in 1 s"]);
        assert_eq!(roles(&bench.wait(1.1)), [Some(SyncRole::Backup)]);
        assert_eq!(logs(&refuse(&mut bench)), ["no eth0 - trying again in 2 s"]);
        assert_eq!(roles(&bench.wait(1.1)), []);
        // Another role is asked for at once.
        assert_eq!(roles(&bench.wait(4.0)).last(), Some(&Some(SyncRole::Master)));
    }

    #[test]
    fn a_reload_tells_the_settings_again_and_one_without_the_daemon_ends_it() {
        let (mut bench, _) = Bench::start(&following("V"));
        bench.wait(4.0);
        let mut changed = following("V");
        changed.global.lvs_sync_daemon.as_mut().unwrap().ttl = Some(3);
        let mut out = Vec::new();
        bench.router.reconfigure(&changed, bench.now, &mut out);
        assert_eq!(roles(&out), [Some(SyncRole::Master)]);
        let mut out = Vec::new();
        bench.router.reconfigure(&part(&[instance("V", 1, 150)]), bench.now, &mut out);
        assert_eq!(roles(&out), [None]);
    }
}
