//! What the reporter process is given: what mails, SNMP and D-Bus show, without secrets.

use serde::{Deserialize, Serialize};

use super::{Auth, CheckersPart, Config, Global, Snmp, VrrpPart};

/// What the reporter process is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReporterPart {
    /// Global values.
    pub global: Global,
    /// What vrrp was given, without keys and passwords; empty if nobody is told of it.
    pub vrrp: VrrpPart,
    /// What checkers was given; empty if nobody is told of it.
    pub checkers: CheckersPart,
}

impl Snmp {
    /// Is a subagent needed?
    pub fn is_on(&self) -> bool {
        self.vrrp || self.checker || self.rfc_v2 || self.rfc_v3
    }
}

impl Config {
    /// Is anybody to get a mail of anything?
    fn mails(&self) -> bool {
        let servers = || self.virtual_servers.iter();
        self.global.sends_mail()
            && (self.instances.iter().any(|instance| instance.smtp_alert)
                || self.sync_groups.iter().any(|group| group.smtp_alert)
                || servers().any(|server| server.smtp_alert)
                || servers().any(|server| server.real_servers.iter().any(|real| real.smtp_alert)))
    }

    /// The reporter process' part, or `None` when nothing asks for it.
    pub fn reporter_part(&self) -> Option<ReporterPart> {
        let global = &self.global;
        let tells_vrrp = global.snmp.vrrp || global.snmp.rfc_v2 || global.snmp.rfc_v3 || global.dbus.enabled;
        let tells_checkers = global.snmp.checker;
        (tells_vrrp || tells_checkers || self.mails()).then(|| ReporterPart {
            global: global.clone(),
            vrrp: self.vrrp_part().filter(|_| tells_vrrp).map(without_secrets).unwrap_or_default(),
            checkers: CheckersPart {
                // Private keys are not for it.
                tls_profiles: Vec::new(),
                ..self.checkers_part().filter(|_| tells_checkers).unwrap_or_default()
            },
        })
    }
}

/// How adverts are authenticated stays to be seen, with what does not.
fn without_secrets(mut part: VrrpPart) -> VrrpPart {
    for instance in &mut part.instances {
        match &mut instance.auth {
            Auth::None => {}
            Auth::Pass(secret) | Auth::Ah(secret) => *secret = [0; 8],
            Auth::Hmac(hmac) => hmac.keys.iter_mut().for_each(|key| key.value.clear()),
        }
    }
    part
}
