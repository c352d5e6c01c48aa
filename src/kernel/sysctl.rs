//! Interface settings under `/proc/sys/net`, in the network namespace of the calling thread.

use std::fs;
use std::path::PathBuf;

use nix::errno::Errno;

use super::error::{Doing, Error};
use crate::config::model::Family;

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
    fn a_name_that_leaves_the_directory_is_refused() {
        for name in ["..", "../all", "", "."] {
            assert_eq!(write_v4(name, "forwarding", "1").unwrap_err().errno, Errno::EINVAL);
        }
    }
}
