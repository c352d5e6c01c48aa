//! An event as a line of the notification FIFOs, and which of them it goes to. spec/daemon-behaviour.md §8.1, §8.2.

use crate::report::event::ReporterEvent;
use crate::vrrp::{Subject, Transition};

/// Which part of the daemon an event comes from, and so which FIFOs it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is for no FIFO.
    None,
    /// Instances and sync groups.
    Vrrp,
    /// Real and virtual servers.
    Checkers,
}

/// Who tells of it.
pub fn origin(event: &ReporterEvent) -> Origin {
    match event {
        ReporterEvent::Vrrp(_) | ReporterEvent::Stands(_) => Origin::Vrrp,
        ReporterEvent::RealServer(_) | ReporterEvent::Quorum { .. } => Origin::Checkers,
        ReporterEvent::Mail(_) | ReporterEvent::Advert { .. } => Origin::None,
    }
}

/// Its line, with the line feed. Stock: a name stands between quotes as it is; behind the line of a checker follows a NUL,
/// which is not written here. Empty for what no FIFO is told.
pub fn line(event: &ReporterEvent) -> String {
    let word = |up: bool| if up { "UP" } else { "DOWN" };
    match event {
        ReporterEvent::Vrrp(Transition { subject, state, priority, .. })
        | ReporterEvent::Stands(Transition { subject, state, priority, .. }) => {
            let (kind, name) = match subject {
                Subject::Instance(name) => ("INSTANCE", name),
                Subject::Group(name) => ("GROUP", name),
            };
            format!("{kind} \"{name}\" {} {priority}\n", state.name())
        }
        ReporterEvent::RealServer(change) => {
            format!("RS {} {} {}\n", change.real_name, change.virtual_name, word(change.up))
        }
        ReporterEvent::Quorum { name, up, .. } => format!("VS {name} {}\n", word(*up)),
        ReporterEvent::Mail(_) | ReporterEvent::Advert { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::ServerChange;
    use crate::vrrp::StateWord;

    fn of_vrrp(subject: Subject, state: StateWord, priority: u8) -> String {
        line(&ReporterEvent::Vrrp(Transition { subject, state, priority, cause: String::new() }))
    }

    #[test]
    fn lines_are_those_of_stock() {
        let instance = || Subject::Instance("V1".into());
        assert_eq!(of_vrrp(instance(), StateWord::Backup, 161), "INSTANCE \"V1\" BACKUP 161\n");
        let lower = of_vrrp(instance(), StateWord::MasterRxLowerPri, 150);
        assert_eq!(lower, "INSTANCE \"V1\" MASTER_RX_LOWER_PRI 150\n");
        assert_eq!(of_vrrp(instance(), StateWord::MasterPriority, 9), "INSTANCE \"V1\" MASTER_PRIORITY 9\n");
        assert_eq!(of_vrrp(Subject::Group("G1".into()), StateWord::Stop, 0), "GROUP \"G1\" STOP 0\n");
        let server = ServerChange {
            real_server: ([10, 1, 0, 1].into(), 80),
            virtual_name: "[10.9.0.1]:tcp:80".into(),
            real_name: "[10.1.0.1]:tcp:80".into(),
            up: false,
        };
        let text = line(&ReporterEvent::RealServer(server));
        assert_eq!(text, "RS [10.1.0.1]:tcp:80 [10.9.0.1]:tcp:80 DOWN\n");
        let quorum = ReporterEvent::Quorum { name: "FWM 3".into(), up: true };
        assert_eq!(line(&quorum), "VS FWM 3 UP\n");
    }
}
