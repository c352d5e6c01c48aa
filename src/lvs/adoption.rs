//! What a predecessor took out of the table in its last moment and could not tell any more.
//!
//! It changed the table and was killed before it told its state. The table is right then: a real server that is not there had
//! failed, and comes back by its next success, not because nobody knows. spec/ipvs-behaviour.md §6.

use super::table::{ServiceKey, ServiceSettings, Table, Wanted};
use super::virtual_server::VirtualServerHealth;

impl VirtualServerHealth {
    /// After [`Self::resume`]: real servers that should be in these services and of which the kernel has nothing count as
    /// failed. Says which. Of services that are not there nothing is concluded, nor of servers without a checker, which
    /// nothing would bring back.
    pub fn believe(&mut self, services: &[(ServiceKey, ServiceSettings)], table: &Table) -> Vec<usize> {
        let absent: Vec<usize> = (0..self.config.real_servers.len())
            .filter(|index| self.is_absent(*index, services, table))
            .collect();
        for &index in &absent {
            let checkers = self.config.real_servers[index].checkers.len();
            self.state.real_servers[index].failed = vec![true; checkers];
        }
        if !absent.is_empty() && self.is_quorum_lost() {
            self.state.quorum_up = false;
        }
        absent
    }

    fn is_absent(&self, index: usize, services: &[(ServiceKey, ServiceSettings)], table: &Table) -> bool {
        let rs = &self.config.real_servers[index];
        let wanted = self.wanted(index);
        let Some(settings) = wanted.settings.filter(|settings| settings.weight > 0) else { return false };
        let mut known = services.iter().filter_map(|(key, _)| Some((key, table.get(key)?))).peekable();
        let is_out = |(key, service): (&ServiceKey, &super::table::KnownService)| {
            match service.destinations.get(&Wanted::key(&wanted, key)) {
                None => true,
                // `inhibit_on_failure`: it stays, with the weight 0.
                Some(there) => rs.inhibit_on_failure && there.weight == 0 && settings.weight > 0,
            }
        };
        let has_failed = self.state.real_servers[index].failed.contains(&true);
        !rs.checkers.is_empty() && !has_failed && known.peek().is_some() && known.all(is_out)
    }
}
