//! Pieces that several reports print alike: address lines, commands, flags. spec/dump-format.md §1, §3.1.

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::model::{Command, Instance, VirtualAddress};

/// `IFA_F_NODAD` and its neighbours (`linux/if_addr.h`).
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;

/// Is it on its interface because of us?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installed {
    Yes,
    No,
}

/// The same, of an instance: with the interface below its VMAC, and whether the firewall shields it.
pub(super) fn address_of(config: &Instance, vip: &VirtualAddress, installed: Installed) -> String {
    let mut line = address_on(vip, config.links.base_of(&vip.interface), installed);
    if installed == Installed::Yes && config.is_shielded() {
        line.push_str(" nftable_set");
    }
    line
}

/// `10.9.0.100/24 brd 10.9.0.255 dev eth0 scope global label eth0:1 set`
pub(super) fn address_on(vip: &VirtualAddress, base: Option<&str>, installed: Installed) -> String {
    let mut line = vip.address.to_string();
    let whole = if vip.address.is_ipv4() { 32 } else { 128 };
    // Writing to a string cannot fail.
    if vip.prefix != whole {
        let _ = write!(line, "/{}", vip.prefix);
    }
    if let Some(broadcast) = vip.broadcast {
        let _ = write!(line, " brd {broadcast}");
    }
    let _ = write!(line, " dev {}", vip.interface);
    if let Some(base) = base {
        let _ = write!(line, "@{base}");
    }
    if vip.use_vmac {
        line.push_str(" use_vmac");
    }
    let _ = write!(line, " scope {}", scope(vip.scope));
    if let Some(label) = &vip.label {
        let _ = write!(line, " label {label}");
    }
    if let Some(peer) = vip.peer {
        let _ = write!(line, " peer {peer}/{}", vip.prefix);
    }
    for (is_shown, word) in [
        (vip.flags & IFA_F_HOMEADDRESS != 0, " home"),
        (vip.address.is_ipv6() && vip.flags & IFA_F_NODAD == 0, " -nodad"),
        (vip.flags & IFA_F_MANAGETEMPADDR != 0, " mngtmpaddr"),
        (vip.flags & IFA_F_NOPREFIXROUTE != 0, " noprefixroute"),
        (vip.flags & IFA_F_MCAUTOJOIN != 0, " autojoin"),
        (vip.no_track, " no_track"),
    ] {
        if is_shown {
            line.push_str(word);
        }
    }
    if let Some(group) = &vip.track_group {
        let _ = write!(line, " track_group {group}");
    }
    if vip.address.is_ipv6() {
        match vip.preferred_lifetime {
            Some(0) => line.push_str(" deprecated"),
            None | Some(u32::MAX) => line.push_str(" preferred_lft forever"),
            Some(seconds) => {
                let _ = write!(line, " preferred_lft {seconds}");
            }
        }
    }
    if installed == Installed::Yes {
        line.push_str(" set");
    }
    line
}

/// Names of rtnetlink(7); others are numbers.
fn scope(scope: u8) -> String {
    match scope {
        0 => "global".into(),
        200 => "site".into(),
        253 => "link".into(),
        254 => "host".into(),
        255 => "nowhere".into(),
        other => other.to_string(),
    }
}

/// Every word in single quotes; a bare name that was found in PATH as the path that was found.
pub(super) fn words(command: &Command) -> String {
    let name = shown_name(command);
    let words = std::iter::once(name).chain(command.argv.iter().skip(1).map(String::as_str));
    words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// Does the resolved path differ from what was written?
pub(super) fn has_other_path(command: &Command) -> bool {
    shown_name(command) != command.path
}

fn shown_name(command: &Command) -> &str {
    match command.argv.first() {
        Some(name) if name.contains('/') => name,
        _ => &command.path,
    }
}

/// A notify script: the words, the resolved path before them when it is another one, and the identity.
pub(super) fn script(command: &Command) -> String {
    let identity = command.identity;
    let words = words(command);
    let ids = format!("uid:gid {}:{}", identity.uid, identity.gid);
    if has_other_path(command) {
        format!("{}, params = {words}, {ids}", command.path)
    } else {
        format!("{words}, {ids}")
    }
}

/// `yes` or `no`.
pub(super) fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// `enabled` or `disabled`.
pub(super) fn enabled(value: bool) -> &'static str {
    if value { "enabled" } else { "disabled" }
}

/// Seconds in the shortest form that `%g` prints: 5, 0.5, 0.333333.
pub(super) fn shortest(duration: Duration) -> String {
    let mut text = format!("{:.6}", duration.as_secs_f64());
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Identity;

    fn vip(address: &str, prefix: u8) -> VirtualAddress {
        VirtualAddress {
            address: address.parse().unwrap(),
            prefix,
            interface: "eth0".into(),
            scope: 0,
            broadcast: None,
            label: None,
            peer: None,
            flags: IFA_F_NODAD,
            preferred_lifetime: None,
            no_track: false,
            track_group: None,
            use_vmac: false,
        }
    }

    #[test]
    fn address_lines_are_stocks() {
        assert_eq!(
            address_on(&vip("10.9.0.100", 32), None, Installed::No),
            "10.9.0.100 dev eth0 scope global"
        );
        let full = VirtualAddress {
            broadcast: Some([10, 9, 0, 255].into()),
            label: Some("eth0:1".into()),
            scope: 253,
            flags: IFA_F_NODAD | IFA_F_NOPREFIXROUTE,
            no_track: true,
            ..vip("10.9.0.100", 24)
        };
        assert_eq!(
            address_on(&full, None, Installed::Yes),
            "10.9.0.100/24 brd 10.9.0.255 dev eth0 scope link label eth0:1 noprefixroute no_track set"
        );
    }

    #[test]
    fn ipv6_lines_say_how_long_the_address_is_preferred() {
        let deprecated = VirtualAddress { preferred_lifetime: Some(0), ..vip("2001:db8::1", 128) };
        assert_eq!(
            address_on(&deprecated, None, Installed::No),
            "2001:db8::1 dev eth0 scope global deprecated"
        );
        assert_eq!(
            address_on(&vip("fe80::1", 64), None, Installed::No),
            "fe80::1/64 dev eth0 scope global preferred_lft forever"
        );
    }

    #[test]
    fn scripts_show_the_path_that_is_run_when_it_is_another_one() {
        let mut command = Command {
            argv: vec!["/bin/n".into(), "a b".into()],
            path: "/bin/n".into(),
            identity: Identity { uid: 1, gid: 2, ..Identity::default() },
        };
        assert_eq!(script(&command), "'/bin/n' 'a b', uid:gid 1:2");
        command.path = "/usr/bin/n".into();
        assert_eq!(script(&command), "/usr/bin/n, params = '/bin/n' 'a b', uid:gid 1:2");
    }

    #[test]
    fn durations_lose_their_trailing_zeros() {
        let texts = [5000, 500, 40_950, 10].map(|millis| shortest(Duration::from_millis(millis)));
        assert_eq!(texts, ["5", "0.5", "40.95", "0.01"]);
    }
}
