//! Mails that wait for what becomes of their server (`no_checker_emails`): a check has changed, but its server perhaps not, and
//! while the table changes for another one of the same virtual server nobody can tell. Pure. spec/checkers.md §16.

use std::net::IpAddr;

/// What checks have said of servers, until it makes a difference.
#[derive(Debug, Default)]
pub(super) struct Alerts(Vec<Awaited>);

#[derive(Debug)]
struct Awaited {
    /// Place of the virtual server.
    server: usize,
    real_server: (IpAddr, u16),
    up: bool,
    text: String,
}

impl Alerts {
    /// A check of this real server has changed. It is down by the first that fails, and up by the last that passes.
    pub(super) fn wait(&mut self, server: usize, real_server: (IpAddr, u16), up: bool, text: String) {
        let known =
            self.0.iter_mut().find(|it| (it.server, it.real_server, it.up) == (server, real_server, up));
        match known {
            Some(known) if up => known.text = text,
            Some(_) => {}
            None => self.0.push(Awaited { server, real_server, up, text }),
        }
    }

    /// The real server itself has changed: what the mail about it says, if there is to be one.
    pub(super) fn changed(&mut self, server: usize, real_server: (IpAddr, u16), up: bool) -> Option<String> {
        let about = |it: &Awaited| (it.server, it.real_server) == (server, real_server);
        let place = self.0.iter().position(|it| about(it) && it.up == up);
        let text = place.map(|place| self.0.swap_remove(place).text);
        self.0.retain(|it| !about(it));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_down_by_its_first_check_and_up_by_its_last() {
        let (one, other) = (("10.0.0.1".parse().unwrap(), 80), ("10.0.0.2".parse().unwrap(), 80));
        let mut alerts = Alerts::default();
        alerts.wait(0, one, false, "script".into());
        alerts.wait(0, other, false, "other".into());
        alerts.wait(1, one, false, "elsewhere".into());
        alerts.wait(0, one, false, "port".into());
        assert_eq!(alerts.changed(0, one, false).as_deref(), Some("script"));
        assert_eq!(alerts.changed(0, one, false), None);
        alerts.wait(0, one, true, "script".into());
        alerts.wait(0, one, true, "port".into());
        assert_eq!(alerts.changed(0, one, true).as_deref(), Some("port"));
        assert_eq!(alerts.changed(0, other, false).as_deref(), Some("other"));
        assert_eq!(alerts.changed(1, one, false).as_deref(), Some("elsewhere"));
    }
}
