//! What the kernel refused is tried again by a timer. Stock tries a command once.

use std::time::Duration;

use super::{Director, Kernel, Orders};
use crate::lvs::table::ServiceKey;
use crate::lvs::virtual_server::Scope;
use crate::time::Time;

/// Pauses before the kernel is asked again for what it refused.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

impl Director {
    /// What the kernel refused is tried again after 1, 2, 4 … 60 s, if nothing makes it good before.
    pub(super) fn plan_retry(&mut self, now: Time) {
        self.retry = if self.dirty.is_empty() && !self.distrust {
            None
        } else {
            match self.retry {
                Some((time, pause)) if time <= now => {
                    let pause = (pause * 2).min(LAST_PAUSE);
                    Some((now + pause, pause))
                }
                waiting @ Some(_) => waiting,
                None => Some((now + FIRST_PAUSE, FIRST_PAUSE)),
            }
        };
    }

    pub(super) fn try_again(&mut self, kernel: &mut dyn Kernel, out: &mut Orders) {
        let mut commands = Vec::new();
        let servers: Vec<usize> = if self.distrust {
            let keys: Vec<ServiceKey> = self.owners.keys().copied().collect();
            self.distrust = false;
            if !self.look(&keys, kernel, out) {
                return;
            }
            (0..self.servers.len()).collect()
        } else {
            self.dirty.iter().copied().collect()
        };
        for server in servers {
            self.compare(server, Scope::Whole, &mut commands);
        }
        self.dirty.clear();
        self.send(&commands, kernel, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::director::tests::{World, checked};

    #[test]
    fn what_was_refused_at_start_is_there_once_the_kernel_takes_it() {
        let mut world = World::new();
        world.kernel.no_services = true;
        let mut vs = checked(2);
        vs.real_servers.iter_mut().for_each(|rs| rs.checkers.clear());
        world.run(&[vs], None);
        assert!(world.kernel.taken().is_empty());
        let second = Duration::from_secs(1);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let due = world.director.deadline().unwrap();
            assert_eq!(due.since(world.now), second * pause);
            world.now = due;
            world.director.due(due, &mut world.kernel, &mut world.out);
        }
        world.kernel.no_services = false;
        world.now = world.director.deadline().unwrap();
        world.director.due(world.now, &mut world.kernel, &mut world.out);
        assert_eq!(world.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.1:8000*1 10.1.0.2:8000*1"]);
        assert_eq!(world.director.deadline(), None);
    }
}
