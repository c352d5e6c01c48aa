//! Who may speak to an instance: rows 12 and 13 of spec/vrrp-config.md §4.

use std::time::Duration;

use super::instance::Builder;
use crate::config::blocks::auth::{AuthType, HmacDraft};
use crate::config::model::{AntiReplay, Auth, AuthHmac, Centis, Family, HmacMode, InitialState, VrrpVersion};
use crate::config::source::encode;

impl Builder<'_, '_> {
    /// Rows 12 and 13. The window of a trailer is completed by [`window_of`].
    pub(super) fn auth(
        &mut self,
        strict: bool,
        version: VrrpVersion,
        family: Family,
        owner: bool,
        initial: &mut InitialState,
    ) -> Auth {
        let draft = self.draft;
        let legacy = self.legacy(strict, version, family, owner, initial);
        match &draft.auth_hmac {
            Some(hmac) => self.hmac(strict, hmac),
            None => legacy,
        }
    }

    /// Row 12.
    fn legacy(
        &mut self,
        strict: bool,
        version: VrrpVersion,
        family: Family,
        owner: bool,
        initial: &mut InitialState,
    ) -> Auth {
        let draft = self.draft;
        let Some((kind, span)) = draft.auth_type else { return Auth::None };
        let dropped = if draft.auth_hmac.is_some() {
            Some("`auth_hmac` replaces the legacy authentication")
        } else if strict {
            Some("there is no authentication in strict mode")
        } else if version == VrrpVersion::V3 {
            Some("there is no authentication in version 3")
        } else if draft.auth_pass.as_ref().is_none_or(|(password, _)| password.is_empty()) {
            Some("`auth_type` without `auth_pass`")
        } else if kind == AuthType::Ah && family == Family::V6 {
            Some("there is no AH with IPv6")
        } else {
            None
        };
        if let Some(why) = dropped {
            let (help, stock) = if draft.auth_hmac.is_some() {
                ("remove `authentication`", "ignores `authentication`")
            } else {
                ("remove `authentication`, on all nodes alike", "runs without authentication")
            };
            self.warn("auth-dropped", Some(span), why, help, stock);
            return Auth::None;
        }
        let mut secret = [0; 8];
        if let Some((text, _)) = &draft.auth_pass {
            for (slot, byte) in secret.iter_mut().zip(encode(text).iter()) {
                *slot = *byte;
            }
        }
        match kind {
            AuthType::Pass => Auth::Pass(secret),
            AuthType::Ah => {
                if *initial == InitialState::Master && !owner {
                    let help = "write `state BACKUP`";
                    self.warn(
                        "contradiction",
                        Some(span),
                        "`state MASTER` does not work with AH",
                        help,
                        "uses BACKUP",
                    );
                    *initial = InitialState::Backup;
                }
                Auth::Ah(secret)
            }
        }
    }

    /// Row 13.
    fn hmac(&mut self, strict: bool, draft: &HmacDraft) -> Auth {
        let active = draft.active_key.map(|(id, _)| id);
        let Some(active) = active.filter(|id| draft.keys.iter().any(|key| key.id == *id)) else {
            let (span, what) = match draft.active_key {
                Some((id, span)) => (span, format!("`active_key {id}`, but there is no key {id}")),
                None => (draft.span, "`auth_hmac` without `active_key`".to_owned()),
            };
            let help = "name the id of one of its keys";
            self.warn("no-active-key", Some(span), &what, help, "runs without authentication");
            return Auth::None;
        };
        let mut mode = draft.mode;
        if strict && mode != HmacMode::Enforce {
            let what = "in strict mode the mode of `auth_hmac` is enforce";
            self.warn("strict-mode", Some(draft.span), what, "remove `mode`", "uses enforce");
            mode = HmacMode::Enforce;
        }
        let anti_replay = if draft.monotonic {
            AntiReplay::Monotonic
        } else {
            AntiReplay::Time { window: draft.time_window.unwrap_or(Duration::ZERO) }
        };
        Auth::Hmac(Box::new(AuthHmac { keys: draft.keys.clone(), active, anti_replay, mode }))
    }
}

/// A window that was not given is three intervals, at least 5 s and at most 300 s.
pub(super) fn window_of(auth: &mut Auth, advert_int: Centis) {
    if let Auth::Hmac(hmac) = auth
        && let AntiReplay::Time { window } = &mut hmac.anti_replay
        && window.is_zero()
    {
        let seconds = (advert_int.duration() * 3).as_secs_f64().ceil();
        *window = Duration::from_secs_f64(seconds.clamp(5.0, 300.0));
    }
}
