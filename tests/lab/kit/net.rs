//! Hosts and switches: network namespaces without names, held by open descriptors.
//!
//! A namespace lives as long as this program holds it or a process is in it, so nothing is left when the program ends, however
//! it ends. A switch is a namespace with a bridge; every host hangs on it by a veth whose far end lies in the switch, so what
//! arrives on that port was sent by that host, whatever address it claims.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use super::place::{self, tool};
use super::wait::{Outcome, ensure, until};

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    fn new() -> Outcome<Self> {
        // A thread of its own, so that the caller stays where it is.
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| format!("a new network namespace: {e}"))?;
            let file = File::open("/proc/thread-self/ns/net").map_err(|e| format!("its descriptor: {e}"))?;
            Ok(Self { file })
        })
        .join()
        .map_err(|_| "the thread that makes a namespace panicked".to_owned())?
    }

    /// A path by which other programs can enter it, while this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Does `work` inside, on the caller's own thread; sockets opened and processes started there belong to it.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Back;
        impl Drop for Back {
            fn drop(&mut self) {
                setns(home(), CloneFlags::CLONE_NEWNET).expect("the way back to the first namespace is open");
            }
        }
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("an open namespace can be entered by root");
        let _back = Back;
        work()
    }

    /// Identity as /proc shows it, to find the processes inside.
    fn identity(&self) -> Option<PathBuf> {
        fs::read_link(self.path()).ok()
    }

    /// Processes whose first thread is inside.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let Some(identity) = self.identity() else { return Vec::new() };
        processes_where("net", &identity)
    }

    /// Runs a tool inside and gives its standard output; a failure is an error with what it said.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.output(program, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a tool inside; any end is fine.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Outcome<Output> {
        self.inside(|| tool(program).args(arguments).stdin(Stdio::null()).output())
            .map_err(|e| format!("starting {program}: {e}"))
    }

    /// A batch of `ip` commands, one per line.
    pub(crate) fn ip(&self, commands: &str) -> Outcome {
        let mut child = self
            .inside(|| {
                tool("ip")
                    .args(["-batch", "-"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .map_err(|e| format!("starting ip: {e}"))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(commands.as_bytes()).map_err(|e| format!("ip -batch: {e}"))?;
        }
        let output = child.wait_with_output().map_err(|e| format!("ip -batch: {e}"))?;
        ensure!(
            output.status.success(),
            "ip -batch: {}\n{commands}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Sets a sysctl that belongs to the namespace, e.g. `net.ipv4.ip_forward`.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> Outcome {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.inside(|| fs::write(&path, value)).map_err(|e| format!("{path}: {e}"))
    }
}

/// Where the program started.
fn home() -> &'static File {
    static HOME: OnceLock<File> = OnceLock::new();
    HOME.get_or_init(|| File::open("/proc/self/ns/net").expect("/proc is mounted"))
}

/// Opens the way home; call before the first namespace is made, from the first thread.
pub(crate) fn remember_home() {
    home();
}

/// Processes whose namespace of this kind has this identity.
pub(crate) fn processes_where(kind: &str, identity: &PathBuf) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|link| link == *identity))
        .collect()
}

/// A switch: frames between its ports, nothing learned from IGMP.
#[derive(Debug)]
pub(crate) struct Switch {
    /// The namespace; the port of host NAME is the interface NAME in it.
    pub(crate) space: Namespace,
}

impl Switch {
    pub(crate) fn new() -> Outcome<Self> {
        let space = Namespace::new()?;
        space.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        space.ip(
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\nlink set lo up",
        )?;
        Ok(Self { space })
    }

    /// Takes the host's cable out of the switch, puts it aside, or in again.
    pub(crate) fn cable(&self, host: &Host, cable: Cable) -> Outcome {
        let port = &host.name;
        self.space.ip(&match cable {
            Cable::In => format!("link set dev {port} master br0\nlink set dev {port} up"),
            Cable::Out => format!("link set dev {port} down"),
            Cable::Aside => format!("link set dev {port} nomaster"),
        })
    }

    /// Number of the port where the host hangs.
    pub(crate) fn port(&self, host: &str) -> Outcome<usize> {
        let text = self.space.run("ip", &["-o", "link", "show", "dev", host])?;
        let number = text.split(':').next().and_then(|n| n.trim().parse().ok());
        number.ok_or_else(|| format!("no port {host}: {text}"))
    }
}

/// Whether a cable is plugged, or hangs in the air beside the switch: with carrier, but nobody at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cable {
    In,
    Out,
    Aside,
}

/// A machine: a namespace with an address or more.
#[derive(Debug)]
pub(crate) struct Host {
    /// The host's name; also its port's name on a switch. At most 15 bytes.
    pub(crate) name: String,
    pub(crate) space: Namespace,
    interfaces: Mutex<u32>,
}

impl Host {
    /// A host without any cable yet.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let space = Namespace::new()?;
        // No router solicitations or duplicate address detection in the captures.
        space.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        space.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        space.ip("link set lo up")?;
        Ok(Self { name: name.to_owned(), space, interfaces: Mutex::new(0) })
    }

    /// A host with eth0 on `switch`, `addresses` as ADDRESS/PREFIX.
    pub(crate) fn on(switch: &Switch, name: &str, addresses: &[&str]) -> Outcome<Self> {
        let host = Self::new(name)?;
        host.plug(switch, addresses)?;
        Ok(host)
    }

    /// Another interface (eth0, eth1 …) on a switch.
    pub(crate) fn plug(&self, switch: &Switch, addresses: &[&str]) -> Outcome<String> {
        let interface = {
            let mut number = self.interfaces.lock().map_err(|_| "a panic in another thread")?;
            let interface = format!("eth{number}");
            *number += 1;
            interface
        };
        switch.space.ip(&format!(
            "link add name {port} type veth peer name {interface} netns {host}\n\
             link set dev {port} master br0\nlink set dev {port} up",
            port = self.name,
            host = self.space.path().display(),
        ))?;
        let mut commands = format!("link set {interface} up\n");
        for address in addresses {
            commands.extend(["address add ", address, " broadcast + dev ", &interface, "\n"]);
        }
        self.space.ip(&commands)?;
        Ok(interface)
    }

    /// Lets an interface have IPv6: this address and a link-local one, both usable at once.
    pub(crate) fn use_ipv6(&self, interface: &str, address: &str) -> Outcome {
        for name in
            [&format!("{interface}.accept_dad"), "all.disable_ipv6", &format!("{interface}.disable_ipv6")]
        {
            self.space.sysctl(&format!("net.ipv6.conf.{name}"), "0")?;
        }
        self.space.run("ip", &["address", "add", address, "dev", interface, "nodad"])?;
        until(Duration::from_secs(5), "a link-local address", || {
            let shown = self.space.run("ip", &["-o", "-6", "address", "show", "dev", interface]).ok()?;
            shown.contains("fe80::").then_some(())
        })
    }

    /// What `nft` says here; a failure is an error with what it said.
    pub(crate) fn nft(&self, arguments: &[&str]) -> Outcome<String> {
        // Where its library is not installed it lies beside it.
        let library = place::store().join("nftables/usr/lib/x86_64-linux-gnu");
        let output = self
            .space
            .inside(|| Command::new(place::nft()).args(arguments).env("LD_LIBRARY_PATH", library).output())
            .map_err(|e| format!("starting nft: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// IPv4 addresses now on any interface.
    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        let addresses = self.space.inside(nix::ifaddrs::getifaddrs);
        addresses
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.address?.as_sockaddr_in()?.ip()))
            .collect()
    }

    /// Whether the address is on the host now.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses().contains(&address)
    }
}
