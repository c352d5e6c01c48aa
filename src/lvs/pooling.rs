//! How real servers come and go beside their health (ours, not stock's): `slow_start`, `min_in_service`, drains.
//!
//! Pure, part of [`VirtualServerHealth`]: the weight that the pool sees, and who stays in it although it failed. The quorum
//! goes by health alone, except that what is drained serves nobody new and does not count.

use serde::{Deserialize, Serialize};

use super::virtual_server::{Action, Scope, VirtualServerHealth, Waiting, clamped};
use crate::config::model::Blank;
use crate::time::Time;

/// A ramp has this many steps, the first at its beginning.
const STEPS: u32 = 10;

/// What a real server's place in the pool depends on beside its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pooling {
    /// Its weight ramps up since then.
    pub ramp: Option<Time>,
    /// It gets no new connections.
    pub drain: Option<Drain>,
    /// It failed, but too few are left: the lower the number, the longer ago.
    pub held: Option<u64>,
}

impl Blank for Pooling {
    fn blank() -> &'static Self {
        static BLANK: Pooling = Pooling { ramp: None, drain: None, held: None };
        &BLANK
    }
}

/// A drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Ends by itself then.
    pub until: Option<Time>,
}

impl VirtualServerHealth {
    /// Time has come here: the next event happens now. Ends drains, goes on with ramps.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.waiting.is_some() {
            return;
        }
        // What was due by the last look; the next step is counted from this one.
        let due = self.deadline();
        self.now = self.now.max(now);
        if due.is_none_or(|due| due > self.now) {
            return;
        }
        let (slow_start, now) = (self.config.slow_start, self.now);
        let mut over = Vec::new();
        for (index, rs) in self.state.real_servers.iter_mut().enumerate() {
            let pooling = &mut rs.pooling;
            if pooling.drain.is_some_and(|drain| drain.until.is_some_and(|until| until <= now)) {
                over.push(index);
            }
            if pooling.ramp.is_some_and(|begun| begun + slow_start <= now) {
                pooling.ramp = None;
            }
        }
        out.push(Action::StateChanged);
        for index in over {
            self.end_drain(index, out);
        }
        if !self.evaluate_and_apply(out) {
            self.apply(Scope::Whole, Waiting::Rest(Vec::new()), out);
        }
    }

    /// When [`Self::tick`] has something to do by itself.
    pub fn deadline(&self) -> Option<Time> {
        let real_servers = self.state.real_servers.iter().map(|rs| &rs.pooling);
        real_servers
            .flat_map(|pooling| [self.next_step(pooling), pooling.drain.and_then(|drain| drain.until)])
            .flatten()
            .min()
    }

    /// What speaks against draining these real servers together, if anything does.
    pub fn obstacle_to_drain(&self, indices: &[usize]) -> Option<String> {
        let is_meant = |index: usize| indices.contains(&index);
        let left = (0..self.state.real_servers.len())
            .filter(|index| !is_meant(*index) && self.serves(*index))
            .count();
        let least = self.least();
        (left < least).then(|| {
            let all = self.state.real_servers.len();
            format!(
                "only {left} of {all} would be left in service, and at least {least} must be (min_in_service)"
            )
        })
    }

    /// Begins a drain, or changes how long it lasts.
    pub(super) fn drain(&mut self, index: usize, until: Option<Time>, out: &mut Vec<Action>) {
        let Some(rs) = self.state.real_servers.get_mut(index) else { return };
        let before = rs.pooling.drain.replace(Drain { until });
        rs.pooling.ramp = None;
        out.push(Action::StateChanged);
        if before.is_none() {
            let (label, vs) = (self.real_server_label(index), self.label());
            out.push(Action::Log(format!("Draining service {label} of VS {vs}")));
            self.apply(Scope::RealServer(index), Waiting::Weight, out);
        }
    }

    /// Ends a drain: it gets new connections again, with a ramp.
    pub(super) fn undrain(&mut self, index: usize, out: &mut Vec<Action>) {
        if self.state.real_servers.get(index).is_some_and(|rs| rs.pooling.drain.is_some()) {
            self.end_drain(index, out);
            out.push(Action::StateChanged);
            self.apply(Scope::RealServer(index), Waiting::Weight, out);
        }
    }

    fn end_drain(&mut self, index: usize, out: &mut Vec<Action>) {
        self.state.real_servers[index].pooling.drain = None;
        self.begin_ramp(index);
        let (label, vs) = (self.real_server_label(index), self.label());
        out.push(Action::Log(format!("Drain of service {label} of VS {vs} is over")));
    }

    /// A real server that failed stays if too few would be left. Says whether it does.
    pub(super) fn hold(&mut self, index: usize, out: &mut Vec<Action>) -> bool {
        let left = (0..self.state.real_servers.len()).filter(|index| self.serves(*index)).count();
        let least = self.least();
        if left >= least || self.state.real_servers[index].pooling.drain.is_some() {
            return false;
        }
        let last = self.state.real_servers.iter().filter_map(|rs| rs.pooling.held).max();
        self.state.real_servers[index].pooling.held = Some(last.map_or(0, |last| last + 1));
        let (label, vs) = (self.real_server_label(index), self.label());
        out.push(Action::Log(format!(
            "Keeping failed service {label} in VS {vs}: {left} would be left, and at least {least} must be \
             (min_in_service)"
        )));
        true
    }

    /// A real server is up again.
    pub(super) fn came_back(&mut self, index: usize) {
        // One that was held never left.
        if self.state.real_servers[index].pooling.held.is_some() {
            self.state.real_servers[index].pooling.held = None;
        } else {
            self.begin_ramp(index);
        }
    }

    /// Those that failed leave as soon as enough others serve, the longest failed first. Says whether any does.
    pub(super) fn release_held(&mut self, out: &mut Vec<Action>) -> bool {
        let mut any = false;
        while let Some(index) = self.longest_held() {
            let serving = (0..self.state.real_servers.len()).filter(|index| self.serves(*index)).count();
            if serving <= self.least() {
                break;
            }
            self.state.real_servers[index].pooling.held = None;
            let (label, vs) = (self.real_server_label(index), self.label());
            out.push(Action::Log(format!("Removing service {label} from VS {vs}")));
            any = true;
        }
        any
    }

    fn longest_held(&self) -> Option<usize> {
        let held = |index: &usize| self.state.real_servers[*index].pooling.held;
        (0..self.state.real_servers.len()).filter(|index| held(index).is_some()).min_by_key(held)
    }

    fn begin_ramp(&mut self, index: usize) {
        let pooling = &mut self.state.real_servers[index].pooling;
        if !self.config.slow_start.is_zero() && pooling.drain.is_none() {
            pooling.ramp = Some(self.now);
        }
    }

    /// Does it get new connections, as far as the quorum lets it?
    fn serves(&self, index: usize) -> bool {
        let rs = &self.state.real_servers[index];
        (rs.alive() || rs.pooling.held.is_some()) && rs.pooling.drain.is_none()
    }

    /// How many must serve.
    fn least(&self) -> usize {
        let all = self.state.real_servers.len();
        (all * usize::from(self.config.min_in_service)).div_ceil(100)
    }

    /// Is it in the pool, as far as the quorum lets it?
    pub(super) fn is_pooled(&self, index: usize) -> bool {
        let rs = &self.state.real_servers[index];
        rs.alive() || rs.pooling.held.is_some()
    }

    /// Its weight in the pool.
    pub(super) fn pool_weight(&self, index: usize) -> u32 {
        let pooling = &self.state.real_servers[index].pooling;
        let weight = clamped(self.effective_weight(index));
        if pooling.drain.is_some() {
            return 0;
        }
        let Some(step) = self.step(pooling).filter(|_| weight > 0) else { return weight };
        let part = u64::from(weight) * u64::from(step + 1) / u64::from(STEPS);
        u32::try_from(part).unwrap_or(weight).max(1)
    }

    /// How far a ramp is, as of the last time it was looked at: 0 to `STEPS - 1`.
    fn step(&self, pooling: &Pooling) -> Option<u32> {
        let begun = pooling.ramp?;
        let whole = self.config.slow_start.as_nanos();
        if whole == 0 {
            return None;
        }
        let steps = self.now.since(begun).as_nanos() * u128::from(STEPS) / whole;
        u32::try_from(steps).ok().filter(|step| *step < STEPS)
    }

    fn next_step(&self, pooling: &Pooling) -> Option<Time> {
        let begun = pooling.ramp?;
        let next = self.step(pooling).map_or(STEPS, |step| step + 1);
        Some(begun + self.config.slow_start * next / STEPS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::VirtualServer;
    use crate::lvs::virtual_server::Event;
    use crate::lvs::virtual_server::tests::{Bench, virtual_server, with_sorry};

    fn weighing(real_servers: u8, weight: u32) -> VirtualServer {
        let mut vs = virtual_server(real_servers);
        for rs in &mut vs.real_servers {
            rs.weight = weight;
            (rs.notify_up, rs.notify_down) = (None, None);
        }
        (vs.quorum_up, vs.quorum_down) = (None, None);
        vs
    }

    fn started(vs: VirtualServer) -> Bench {
        let mut bench = Bench::start(vs);
        bench.at(1);
        bench.taken();
        bench
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn drain(bench: &mut Bench, real_server: usize, until: Option<u64>) -> Vec<String> {
        bench.event(Event::Drain { real_server, until: until.map(at) })
    }

    #[test]
    fn a_server_that_comes_back_gets_its_weight_in_ten_steps_and_one_at_start_at_once() {
        let slow_start = Duration::from_secs(100);
        let mut bench = started(VirtualServer { slow_start, ..weighing(2, 50) });
        assert_eq!(bench.pool(), "1*50 2*50");
        assert_eq!(bench.health.deadline(), None);
        bench.at(1000);
        bench.down(0);
        bench.up(0);
        assert_eq!(bench.pool(), "1*5 2*50");
        assert_eq!(bench.health.deadline(), Some(at(1010)));
        assert_eq!(bench.at(1009), [""; 0]);
        assert_eq!(bench.at(1010), ["apply: 1*10 2*50"]);
        assert_eq!(bench.at(1055), ["apply: 1*30 2*50"]);
        assert_eq!(bench.health.deadline(), Some(at(1060)));
        // Neither a reload nor a successor begins it anew, and it ends.
        bench.reconfigure(VirtualServer { slow_start, quorum: 2, ..weighing(2, 50) });
        assert_eq!(bench.pool(), "1*30 2*50");
        let state = bench.health.state().clone();
        let mut next = VirtualServerHealth::resume(bench.health.config().clone(), state);
        next.tick(at(1071), &mut Vec::new());
        assert_eq!(next.snapshot().real_servers[0].pool_weight, 40);
        assert_eq!(bench.at(1100), ["apply: 1*50 2*50"]);
        assert_eq!(bench.health.deadline(), None);
    }

    #[test]
    fn a_light_server_never_has_less_than_one() {
        let mut bench = started(VirtualServer { slow_start: Duration::from_secs(10), ..weighing(2, 1) });
        bench.down(0);
        bench.up(0);
        assert_eq!(bench.pool(), "1*1 2*1");
    }

    #[test]
    fn a_drained_server_has_weight_0_until_its_time_is_over_or_it_is_undone() {
        let mut bench = started(VirtualServer { slow_start: Duration::from_secs(10), ..weighing(2, 50) });
        let rs = "[10.1.0.1]:tcp:8000 of VS [10.9.0.1]:tcp:80";
        assert_eq!(
            drain(&mut bench, 0, Some(60)),
            [format!("Draining service {rs}"), "apply: 1*0 2*50".to_owned()]
        );
        // Its health goes on, and a reload does not forget it.
        assert_eq!(bench.down(0).last().unwrap(), "apply: 2*50");
        assert_eq!(bench.up(0).last().unwrap(), "apply: 1*0 2*50");
        bench.reconfigure(VirtualServer { slow_start: Duration::from_secs(10), ..weighing(3, 50) });
        assert_eq!(bench.pool(), "1*0 2*50 3*50");
        assert_eq!(bench.at(59), [""; 0]);
        let over = format!("Drain of service {rs} is over");
        assert_eq!(bench.at(60), [over.clone(), "apply: 1*5 2*50 3*50".to_owned()]);
        bench.at(70);
        drain(&mut bench, 0, None);
        assert_eq!(bench.at(1_000_000), [""; 0]);
        let undone = bench.event(Event::Undrain { real_server: 0 });
        assert_eq!(undone, [over, "apply: 1*5 2*50 3*50".to_owned()]);
        assert_eq!(bench.event(Event::Undrain { real_server: 0 }), [""; 0]);
    }

    #[test]
    fn what_is_drained_does_not_count_for_the_quorum() {
        let mut bench = started(with_sorry(weighing(2, 1), false));
        drain(&mut bench, 0, None);
        let lines = drain(&mut bench, 1, None);
        assert_eq!(lines.last().unwrap(), "apply: s*1", "{lines:?}");
    }

    #[test]
    fn no_more_leave_than_may_and_those_that_failed_first_leave_first() {
        let mut bench = started(VirtualServer { min_in_service: 50, ..weighing(4, 1) });
        bench.down(0);
        assert_eq!(bench.down(1).last().unwrap(), "apply: 3*1 4*1");
        let kept = bench.down(2);
        assert!(kept[0].starts_with("Keeping failed service [10.1.0.3]:tcp:8000 in VS"), "{kept:?}");
        bench.down(3);
        assert_eq!(bench.pool(), "3*1 4*1");
        assert_eq!(bench.health.snapshot().real_servers[2].failed_checkers, 1, "its health is told as it is");
        bench.up(0);
        assert_eq!(bench.pool(), "1*1 4*1", "3 failed before 4");
        bench.up(1);
        assert_eq!(bench.pool(), "1*1 2*1");
        // One that was kept and recovers was never away.
        bench.down(0);
        assert_eq!(bench.pool(), "1*1 2*1");
        bench.up(0);
        assert_eq!(bench.pool(), "1*1 2*1");
        assert_eq!(bench.health.obstacle_to_drain(&[3]), None);
        assert!(bench.health.obstacle_to_drain(&[0]).unwrap().contains("only 1 of 4 would be left"));
        // Less is demanded.
        bench.down(0);
        bench.reconfigure(weighing(4, 1));
        assert_eq!(bench.pool(), "2*1");
    }
}
