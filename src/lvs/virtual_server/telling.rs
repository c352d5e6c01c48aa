//! What a virtual server tells of what happens: lines of the log, notify scripts, mails, in stock's words.

use super::{Action, Alert, VirtualServerHealth};
use crate::config::model::Command;
use crate::lvs::label;

/// Into or out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl VirtualServerHealth {
    pub(super) fn sorry_label(&self) -> String {
        self.config.sorry_server.as_ref().map_or_else(String::new, |sorry| {
            label::real_server(self.config.protocol, sorry.address, sorry.port)
        })
    }

    pub(super) fn log_transition(&self, index: usize, direction: Direction, out: &mut Vec<Action>) {
        let (rs, vs) = (self.real_server_label(index), &self.label);
        let inhibit = self.config.real_servers[index].inhibit_on_failure;
        out.push(Action::Log(match (direction, inhibit) {
            (Direction::Up, false) => format!("Adding service {rs} to VS {vs}"),
            (Direction::Down, false) => format!("Removing service {rs} from VS {vs}"),
            (Direction::Up, true) => format!("Enabling service {rs} of VS {vs}"),
            (Direction::Down, true) => format!("Disabling service {rs} of VS {vs}"),
        }));
    }

    /// Stock: only of a server that is in the table.
    pub(super) fn log_removal(&self, index: usize, out: &mut Vec<Action>) {
        if self.wanted(index).settings.is_some() {
            let rs = self.real_server_label(index);
            out.push(Action::Log(format!("Removing service {rs} from VS {}", self.label)));
        }
    }

    pub(super) fn log_sorry(&self, direction: Direction, out: &mut Vec<Action>) {
        let inhibit = self.config.sorry_server.as_ref().is_some_and(|sorry| sorry.inhibit);
        let (verb, joint) = match (direction, inhibit) {
            (Direction::Up, false) => ("Adding", "to"),
            (Direction::Up, true) => ("Enabling", "to"),
            (Direction::Down, false) => ("Removing", "from"),
            (Direction::Down, true) => ("Disabling", "from"),
        };
        let (sorry, vs) = (self.sorry_label(), &self.label);
        out.push(Action::Log(format!("{verb} sorry server {sorry} {joint} VS {vs}")));
    }

    pub(super) fn log_weight(&self, index: usize, from: i64, to: i64, out: &mut Vec<Action>) {
        let active = if self.state.real_servers[index].alive() { "active" } else { "inactive" };
        let (rs, vs) = (self.real_server_label(index), &self.label);
        out.push(Action::Log(format!(
            "Changing weight from {from} to {to} for {active} service {rs} of VS {vs}"
        )));
    }

    pub(super) fn notify_real_server(&self, index: usize, direction: Direction, out: &mut Vec<Action>) {
        let rs = &self.config.real_servers[index];
        out.push(Action::Served {
            real_server: (rs.address, rs.port),
            labels: (self.real_server_label(index), self.label.clone()),
            up: direction == Direction::Up,
        });
        let command = match direction {
            Direction::Up => &rs.notify_up,
            Direction::Down => &rs.notify_down,
        };
        if let Some(command) = command {
            out.push(Action::Notify {
                receiver: format!("RS {} {}", self.real_server_label(index), self.label),
                command: Command::clone(command),
            });
        }
    }

    pub(super) fn notify_quorum(&self, direction: Direction, out: &mut Vec<Action>) {
        out.push(Action::Quorum { label: self.label.clone(), up: direction == Direction::Up });
        let command = match direction {
            Direction::Up => &self.config.quorum_up,
            Direction::Down => &self.config.quorum_down,
        };
        if let Some(command) = command {
            out.push(Action::Notify { receiver: format!("VS {}", self.label), command: command.clone() });
        }
    }

    /// `notify_down` of everyone alive, `quorum_down` if there was a quorum; mails say `why`.
    pub(super) fn notify_end(&self, why: &str, out: &mut Vec<Action>) {
        for index in 0..self.config.real_servers.len() {
            if self.state.real_servers[index].alive() {
                self.notify_real_server(index, Direction::Down, out);
                self.mail_real_server(index, Direction::Down, why, out);
            }
        }
        if self.state.quorum_up {
            self.notify_quorum(Direction::Down, out);
            self.mail_quorum(Direction::Down, why.to_owned(), out);
        }
    }

    pub(super) fn mail_real_server(
        &self,
        index: usize,
        direction: Direction,
        text: &str,
        out: &mut Vec<Action>,
    ) {
        if self.config.real_servers[index].smtp_alert {
            out.push(Action::Alert(Alert {
                real_server: Some(self.real_server_label(index)),
                virtual_server: self.label.clone(),
                up: direction == Direction::Up,
                text: text.to_owned(),
            }));
        }
    }

    pub(super) fn mail_quorum(&self, direction: Direction, text: String, out: &mut Vec<Action>) {
        if self.config.smtp_alert {
            let (virtual_server, up) = (self.label.clone(), direction == Direction::Up);
            out.push(Action::Alert(Alert { real_server: None, virtual_server, up, text }));
        }
    }
}
