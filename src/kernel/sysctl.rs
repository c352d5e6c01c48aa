//! Interface settings under `/proc/sys/net`, in the network namespace of the calling thread.

use std::fs;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::error::{Doing, Error};
use crate::config::model::Family;

const REVERSE_PATH: &str = "rp_filter";

/// Reads an IPv4 setting of an interface (`promote_secondaries`, `arp_ignore` …).
pub fn read_v4(interface: &str, setting: &str) -> Result<String, Error> {
    read(Family::V4, interface, setting)
}

/// Reads an IPv6 setting of an interface (`forwarding` …).
pub fn read_v6(interface: &str, setting: &str) -> Result<String, Error> {
    read(Family::V6, interface, setting)
}

/// The host's range of local ports, as the kernel writes it: two numbers.
pub fn local_port_range() -> Result<String, Error> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    fs::read_to_string(path).doing(|| format!("reading {path}"))
}

fn read(family: Family, interface: &str, setting: &str) -> Result<String, Error> {
    let path = path(family, interface, setting)?;
    fs::read_to_string(&path)
        .map(|text| text.trim_end().to_owned())
        .doing(|| format!("reading {}", path.display()))
}

/// Writes an IPv4 setting of an interface.
pub fn write_v4(interface: &str, setting: &str, value: &str) -> Result<(), Error> {
    write(Family::V4, interface, setting, value)
}

/// Writes a setting of an interface (or of `all`, `default`).
pub fn write(family: Family, interface: &str, setting: &str, value: &str) -> Result<(), Error> {
    let path = path(family, interface, setting)?;
    fs::write(&path, value).doing(|| format!("writing {value} to {}", path.display()))
}

/// `rp_filter` as it was before [`lower_reverse_path`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReversePath {
    all: u8,
    /// Interfaces that got the value of `all`, and what they had.
    raised: Vec<(String, u8)>,
}

/// Lets every interface follow its own `rp_filter` (spec/vrrp-behaviour.md §9): the kernel goes by the larger one of the
/// interface's and of `all`, so a VMAC could not have 0. Interfaces below `all`, and `default`, get its value first, so that
/// none is less strict than before. `None` if `all` is 0 already.
pub fn lower_reverse_path() -> Result<Option<ReversePath>, Error> {
    const DIRECTORY: &str = "/proc/sys/net/ipv4/conf";
    let value = |name: &str| read_v4(name, REVERSE_PATH).map(|text| text.parse().unwrap_or(0));
    let all: u8 = value("all")?;
    if all == 0 {
        return Ok(None);
    }
    let mut raised = Vec::new();
    let entries = fs::read_dir(DIRECTORY).doing(|| format!("reading {DIRECTORY}"))?;
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        // One that goes meanwhile needs nothing.
        let Ok(own) = value(&name) else { continue };
        if name != "all" && own < all && write_v4(&name, REVERSE_PATH, &all.to_string()).is_ok() {
            raised.push((name, own));
        }
    }
    write_v4("all", REVERSE_PATH, "0")?;
    Ok(Some(ReversePath { all, raised }))
}

impl ReversePath {
    /// Makes it as it was, where nobody has changed it since.
    pub fn restore(&self) -> Result<(), Error> {
        write_v4("all", REVERSE_PATH, &self.all.to_string())?;
        for (name, own) in &self.raised {
            if read_v4(name, REVERSE_PATH).is_ok_and(|now| now == self.all.to_string()) {
                // It may be gone.
                let _ = write_v4(name, REVERSE_PATH, &own.to_string());
            }
        }
        Ok(())
    }
}

/// No IGMP reports for groups of 224.0.0.0/24 (`igmp_link_local_mcast_reports`), in the whole namespace.
pub fn no_link_local_reports() -> Result<(), Error> {
    const PATH: &str = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
    fs::write(PATH, "0").doing(|| format!("writing 0 to {PATH}"))
}

fn path(family: Family, interface: &str, setting: &str) -> Result<PathBuf, Error> {
    // The kernel allows neither in an interface's name; a configuration might try.
    if interface.contains('/') || matches!(interface, "" | "." | "..") {
        return Err(Error::new(format!("setting {setting} of '{interface}'"), Errno::EINVAL));
    }
    let directory = match family {
        Family::V4 => "/proc/sys/net/ipv4/conf",
        Family::V6 => "/proc/sys/net/ipv6/conf",
    };
    Ok([directory, interface, setting].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{in_namespace, run};

    #[test]
    fn a_setting_is_written_and_read_back_in_the_namespace() {
        in_namespace(|| {
            run("ip link add a.b type veth peer name c");
            for value in ["1", "0"] {
                write_v4("a.b", "promote_secondaries", value).unwrap();
                assert_eq!(read_v4("a.b", "promote_secondaries").unwrap(), value);
            }
            assert_eq!(read_v6("a.b", "forwarding").unwrap(), "0");
            assert_eq!(read_v4("nosuch", "promote_secondaries").unwrap_err().errno, Errno::ENOENT);
        });
    }

    #[test]
    fn each_interface_follows_its_own_reverse_path_filter_and_gets_back_what_it_had() {
        in_namespace(|| {
            run("ip link add near type veth peer name far");
            let set = |name: &str, value: &str| write_v4(name, REVERSE_PATH, value).unwrap();
            let read = |name: &str| read_v4(name, REVERSE_PATH).unwrap();
            for (name, value) in [("all", "0"), ("default", "0"), ("near", "0"), ("far", "2")] {
                set(name, value);
            }
            assert_eq!(lower_reverse_path().unwrap(), None);
            set("all", "1");
            let saved = lower_reverse_path().unwrap().unwrap();
            assert_eq!(["all", "default", "near", "far"].map(read), ["0", "1", "1", "2"]);
            saved.restore().unwrap();
            assert_eq!(["all", "default", "near", "far"].map(read), ["1", "0", "0", "2"]);
        });
    }

    #[test]
    fn a_name_that_leaves_the_directory_is_refused() {
        for name in ["..", "../all", "", "."] {
            assert_eq!(write_v4(name, "forwarding", "1").unwrap_err().errno, Errno::EINVAL);
        }
    }
}
