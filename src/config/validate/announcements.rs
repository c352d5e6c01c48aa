//! When and how one instance announces itself: gratuitous ARP, answers to others' adverts, the interval of its own
//! (spec/vrrp-config.md §4 rows 27 to 29).

use std::time::Duration;

use super::instance::Builder;
use crate::config::model::{Centis, GarpSettings, VrrpVersion};
use crate::config::reader::decimal;

impl Builder<'_, '_> {
    /// Row 27, first half.
    pub(super) fn garp(&mut self, strict: bool, global: &GarpSettings) -> GarpSettings {
        let draft = self.draft;
        let extra = self.reader.drafts.global.values.garp_extra_if;
        let mut garp = GarpSettings {
            delay: draft.garp_master_delay.unwrap_or(global.delay),
            repeat: draft.garp_master_repeat.unwrap_or(global.repeat),
            refresh: draft.garp_master_refresh.unwrap_or(global.refresh),
            refresh_repeat: draft.garp_master_refresh_repeat.unwrap_or(global.refresh_repeat),
            lower_prio_delay: draft.garp_lower_prio_delay.map_or(global.lower_prio_delay, |(delay, _)| delay),
            lower_prio_repeat: draft
                .garp_lower_prio_repeat
                .map_or(global.lower_prio_repeat, |(repeat, _)| repeat),
            extra: draft.garp_extra.unwrap_or(extra),
        };
        if strict {
            if let Some((_, span)) = draft.garp_lower_prio_repeat.filter(|(repeat, _)| *repeat > 0) {
                let what = "in strict mode `garp_lower_prio_repeat` is 0";
                self.warn("strict-mode", Some(span), what, "remove the line", "uses 0");
            }
            if let Some((_, span)) = draft.garp_lower_prio_delay.filter(|(delay, _)| !delay.is_zero()) {
                let what = "in strict mode `garp_lower_prio_delay` is 0";
                self.warn("strict-mode", Some(span), what, "remove the line", "uses 0");
            }
            garp.lower_prio_delay = Duration::ZERO;
            garp.lower_prio_repeat = 0;
        }
        garp
    }

    /// Row 27, second half: `lower_prio_no_advert`, `higher_prio_send_advert`.
    pub(super) fn advert_rules(&mut self, strict: bool) -> (bool, bool) {
        let draft = self.draft;
        let global = &self.reader.drafts.global.values;
        let (lower, higher) = (global.lower_prio_no_advert, global.higher_prio_send_advert);
        if !strict {
            let lower = draft.lower_prio_no_advert.map(|(value, _)| value).or(lower).unwrap_or(false);
            return (lower, draft.higher_prio_send_advert.map_or(higher, |(value, _)| value));
        }
        if let Some((false, span)) = draft.lower_prio_no_advert {
            let what = "in strict mode `lower_prio_no_advert` is true";
            self.warn("strict-mode", Some(span), what, "remove the line", "uses true");
        }
        if let Some((true, span)) = draft.higher_prio_send_advert {
            let what = "in strict mode `higher_prio_send_advert` is false";
            self.warn("strict-mode", Some(span), what, "remove the line", "uses false");
        }
        (true, false)
    }

    /// Row 28.
    pub(super) fn owner_rule(&mut self, strict: bool, owner: bool) -> bool {
        let global = self.reader.drafts.global.values.owner_ignore_adverts;
        match self.draft.owner_ignore_adverts {
            Some((true, span)) if !owner => {
                let what = "`owner_ignore_adverts` is for priority 255";
                self.warn("contradiction", Some(span), what, "remove the line", "ignores it");
                false
            }
            Some((false, span)) if owner => {
                let what = "`owner_ignore_adverts no` with priority 255";
                self.warn("contradiction", Some(span), what, "remove the line", "uses yes");
                true
            }
            Some((value, _)) => value && owner,
            None => owner && (global || strict),
        }
    }

    /// Row 29.
    pub(super) fn advert_int(&mut self, version: VrrpVersion) -> Centis {
        let Some((interval, span)) = self.draft.advert_int else { return Centis::SECOND };
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        let (unit, most) = match version {
            VrrpVersion::V2 => (1_000_000, 255_000_000),
            VrrpVersion::V3 => (10_000, 40_950_000),
        };
        let rounded = (micros.saturating_add(unit / 2) / unit * unit).clamp(unit, most);
        if rounded != micros {
            let seconds = decimal(rounded, 1_000_000);
            let what = match version {
                VrrpVersion::V2 => "version 2 adverts have whole seconds",
                VrrpVersion::V3 => "version 3 adverts have steps of 0.01 s, up to 40.95 s",
            };
            let help = match version {
                VrrpVersion::V2 => format!("write `advert_int {seconds}`, or use `version 3`"),
                VrrpVersion::V3 => format!("write `advert_int {seconds}`"),
            };
            self.warn("rounded", Some(span), &format!("{what}: it is {seconds} s"), &help, "rounds it");
        }
        Centis(u16::try_from(rounded / 10_000).unwrap_or(u16::MAX))
    }
}
