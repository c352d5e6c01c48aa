//! How a process stays prompt: its configured scheduling, a real-time priority that rises step by step while its timers
//! ring late (`max_auto_priority`), and the kernel's limit on real-time use. spec/vrrp-behaviour.md §11.

use std::time::Duration;

use caps::Capability;
use tracing::info;

use crate::config::model::{Global, Scheduling};
use crate::kernel::{rights, schedule};
use crate::time::Time;

/// The scheduling of this process as it stands.
#[derive(Default)]
pub(super) struct Promptness {
    configured: Scheduling,
    /// The real-time priority now; `None` is the normal policy.
    level: Option<u8>,
    /// `max_auto_priority`; 0 is off.
    limit: u8,
    /// `min_auto_priority_delay`.
    delay: Duration,
    /// A configuration is being put into force, at normal priority.
    is_eased: bool,
}

impl Promptness {
    /// Follows a configuration. A priority that has risen by itself stays.
    pub(super) fn take_on(&mut self, global: &Global, wanted: &Scheduling) {
        let in_force = |level: Option<u8>| level.filter(|_| !self.is_eased);
        let before = Scheduling { realtime: in_force(self.level), ..self.configured.clone() };
        let floor = self.configured.realtime;
        let risen = self.level.filter(|level| Some(*level) > floor);
        let level = wanted.realtime.max(risen);
        let now = Scheduling { realtime: in_force(level), ..wanted.clone() };
        for error in schedule::apply(&now, &before) {
            info!("{error}");
        }
        self.configured = wanted.clone();
        self.level = level;
        self.limit = u8::try_from(global.max_auto_priority).unwrap_or(0);
        self.delay = global.min_auto_priority_delay;
    }

    /// Gives up all rights but these and what a change of priority needs: raised limits are enough, but where they cannot
    /// be raised (a container) a process that has or may get real-time priority keeps the right to it.
    pub(super) fn keep_rights(&self, wanted: &[Capability]) -> Result<(), String> {
        let mut wanted = wanted.to_vec();
        if schedule::keep_open().is_err() && (self.level.is_some() || self.limit > 0) {
            wanted.push(Capability::CAP_SYS_NICE);
        }
        rights::keep(&wanted)
    }

    /// A timer that was due then is served now.
    pub(super) fn served(&mut self, due: Time, now: Time) {
        let late = now.since(due);
        if late < self.delay || self.limit == 0 {
            return;
        }
        info!("A thread timer expired {:.6} seconds ago", late.as_secs_f64());
        let Some(level) = next_level(self.level, self.limit) else { return };
        match schedule::set_realtime(Some(level), self.configured.rlimit_rttime) {
            Ok(()) => {
                info!("Set realtime priority {level}");
                self.level = Some(level);
            }
            Err(error) => {
                info!("{error}");
                // It will not be allowed the next time either.
                self.limit = 0;
            }
        }
    }

    /// Tells of it when the kernel has warned that the limit on real-time use is near.
    pub(super) fn heed_warning(&mut self) {
        if self.level.is_some() && schedule::has_been_warned(self.configured.rlimit_rttime) {
            let limit = self.configured.rlimit_rttime.as_micros();
            info!("half of the real-time limit of {limit} us was used without a pause (SIGXCPU)");
        }
    }

    /// Stock: a new configuration is put into force with normal priority, so that the limit on real-time use does not end
    /// the process.
    pub(super) fn ease(&mut self) {
        self.is_eased = true;
        if self.level.is_some()
            && let Err(error) = schedule::set_realtime(None, Duration::ZERO)
        {
            info!("{error}");
        }
    }

    /// The new configuration is in force.
    pub(super) fn resume(&mut self) {
        self.is_eased = false;
        if let Some(Err(error)) =
            self.level.map(|level| schedule::set_realtime(Some(level), self.configured.rlimit_rttime))
        {
            info!("{error}");
        }
    }
}

/// One step up, if there is one.
fn next_level(level: Option<u8>, limit: u8) -> Option<u8> {
    Some(level.map_or(1, |level| level.saturating_add(1))).filter(|next| *next <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_rises_by_one_up_to_the_limit() {
        assert_eq!(next_level(None, 3), Some(1));
        assert_eq!(next_level(Some(2), 3), Some(3));
        assert_eq!(next_level(Some(3), 3), None);
        assert_eq!(next_level(Some(50), 3), None);
        assert_eq!(next_level(None, 0), None);
    }
}
