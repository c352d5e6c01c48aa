//! The D-Bus interface on a bus of the case's own: what busctl sees, calls and hears.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::case::{Case, Lab};
use crate::kit::place::{self, tool, write};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{A, Pair, config};

pub(crate) const CASES: &[Case] = &[
    Case::single("dbus_objects_properties_methods_and_signals_are_stocks", interface),
    Case::single("dbus_a_bus_that_comes_late_and_goes_is_met_again", late_and_lost).ours_only(),
];

pub(crate) const NAME: &str = "org.keepalived.Vrrp1";
/// As the programs see it that run in the daemon's directory: a socket's path has little room.
const ADDRESS: &str = "unix:path=/proc/self/cwd/run/dbus/system_bus_socket";
pub(crate) const GENERAL: &str = "/org/keepalived/Vrrp1/Vrrp";
const INSTANCE: &str = "/org/keepalived/Vrrp1/Instance/eth0/51/IPv4";

/// A program of the case's own; dropped, it ends.
pub(crate) struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The system bus of a daemon, which sees its socket under /run.
pub(crate) struct Bus {
    directory: PathBuf,
}

impl Bus {
    pub(crate) fn new(directory: &Path) -> Outcome<Self> {
        let policy = "<allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\
            <allow send_type=\"signal\"/><allow receive_type=\"signal\"/><allow receive_type=\"method_call\"/>\
            <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\
            <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\
            <allow send_requested_reply=\"true\" send_type=\"error\"/>";
        Self::with_policy(directory, policy, "")
    }

    /// With what all may do, and a policy file of a package.
    pub(crate) fn with_policy(directory: &Path, policy: &str, file: &str) -> Outcome<Self> {
        let bus = Self { directory: directory.to_owned() };
        fs::create_dir_all(directory.join("run/dbus")).map_err(|e| e.to_string())?;
        // Stock reads them at start, where Debian's package installs them.
        let interfaces = directory.join("dbus-interfaces");
        fs::create_dir_all(&interfaces).map_err(|e| e.to_string())?;
        let from = place::store().join("keepalived/usr/share/dbus-1/interfaces");
        for file in fs::read_dir(&from).map_err(|e| format!("{}: {e}", from.display()))?.flatten() {
            fs::copy(file.path(), interfaces.join(file.file_name())).map_err(|e| e.to_string())?;
        }
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><listen>{ADDRESS}</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\">{policy}</policy>\
             <include>{}</include></busconfig>\n",
            directory.join("policy.conf").display()
        );
        let empty = "<busconfig></busconfig>";
        write(&directory.join("policy.conf"), if file.is_empty() { empty } else { file })?;
        write(&directory.join("bus.conf"), text)?;
        Ok(bus)
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = tool(name);
        command.current_dir(&self.directory);
        command
    }

    pub(crate) fn start(&self) -> Outcome<Helper> {
        let socket = self.directory.join("run/dbus/system_bus_socket");
        let _ = fs::remove_file(&socket);
        let child = self
            .tool("dbus-daemon")
            .arg(format!("--config-file={}", self.directory.join("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("dbus-daemon: {e}"))?;
        let helper = Helper(child);
        until(secs(5.0), "the bus", || socket.exists().then_some(()))?;
        Ok(helper)
    }

    /// Standard output of a busctl command.
    pub(crate) fn busctl(&self, arguments: &[&str]) -> Outcome<String> {
        self.busctl_by(&[], arguments)
    }

    /// The same by a user who is not root.
    pub(crate) fn busctl_as_nobody(&self, arguments: &[&str]) -> Outcome<String> {
        self.busctl_by(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], arguments)
    }

    fn busctl_by(&self, by: &[&str], arguments: &[&str]) -> Outcome<String> {
        let output = self
            .tool("timeout")
            .arg("10")
            .args(by)
            .args(["busctl", &format!("--address={ADDRESS}"), "--no-pager"])
            .args(arguments)
            .output()
            .map_err(|e| format!("busctl: {e}"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "busctl {}: {error}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn call(&self, path: &str, member: &str) -> Outcome<String> {
        let interface = if path == GENERAL { "Vrrp" } else { "Instance" };
        self.busctl(&["call", NAME, path, &format!("{NAME}.{interface}"), member])
    }

    fn property(&self, name: &str) -> Outcome<String> {
        let properties = "org.freedesktop.DBus.Properties";
        let of = format!("{NAME}.Instance");
        let text = self.busctl(&["call", NAME, INSTANCE, properties, "Get", "ss", &of, name])?;
        Ok(text.trim().to_owned())
    }

    /// Signals of ours, as they come, in a file.
    fn listen(&self) -> Outcome<(Helper, PathBuf)> {
        let path = self.directory.join("signals");
        let file = fs::File::create(&path).map_err(|e| e.to_string())?;
        let child = self
            .tool("dbus-monitor")
            .args(["--address", ADDRESS])
            .arg("type='signal',path_namespace='/org/keepalived/Vrrp1'")
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("dbus-monitor: {e}"))?;
        let helper = Helper(child);
        // It says of itself that it has begun.
        until(secs(5.0), "dbus-monitor", || {
            fs::read_to_string(&path).ok().filter(|text| text.contains("NameLost")).map(|_| ())
        })?;
        Ok((helper, path))
    }
}

/// Member and argument of each signal.
fn signals(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some((_, member)) = line.split_once("member=") {
            found.push(member.to_owned());
        } else if let (Some(last), Some(argument)) = (found.last_mut(), line.trim().strip_prefix("uint32 ")) {
            last.push(' ');
            last.push_str(argument);
        }
    }
    found.retain(|signal| signal.starts_with("Vrrp"));
    found
}

/// The members of the interfaces of ours: name, type, signature.
fn members(text: &str) -> Vec<String> {
    let mut ours = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, "interface", ..] => ours = name.starts_with(NAME),
            // Stock says `s` of Name, and gives a structure.
            [".Name", "property", ..] if ours => found.push(".Name property".to_owned()),
            [name, kind, signature, ..] if ours => found.push(format!("{name} {kind} {signature}")),
            _ => {}
        }
    }
    found.sort();
    found
}

fn with_dbus() -> String {
    format!("global_defs {{\n enable_dbus\n}}\n{}", config(150, ""))
}

fn interface(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, &with_dbus(), "")?;
    let bus = Bus::new(&pair.a.directory)?;
    let _daemon = bus.start()?;
    let (_monitor, heard) = bus.listen()?;
    pair.start_a(&[])?;
    until(secs(15.0), "the object of the instance", || bus.property("Name").ok())
        .map_err(|e| pair.a.explain(e))?;

    ensure!(bus.property("Name")? == "v (s) \"VI_1\"", "{}", bus.property("Name")?);
    pair.wait_vip(A, secs(10.0))?;
    until(secs(5.0), "State to be Master", || {
        bus.property("State").ok().filter(|state| state == "v (us) 2 \"Master\"")
    })?;
    let tree = bus.busctl(&["tree", "--list", NAME])?;
    ensure!(tree.lines().any(|line| line == GENERAL) && tree.lines().any(|line| line == INSTANCE), "{tree}");
    let general = members(&bus.busctl(&["introspect", NAME, GENERAL])?);
    let expected = [
        ".PrintData method -",
        ".PrintStats method -",
        ".PrintStatsClear method -",
        ".ReloadConfig method -",
        ".VrrpReloaded signal -",
        ".VrrpStarted signal -",
        ".VrrpStopped signal -",
    ];
    ensure!(general == expected, "{general:?}");
    let instance = members(&bus.busctl(&["introspect", NAME, INSTANCE])?);
    let expected =
        [".Name property", ".SendGarp method -", ".State property (us)", ".VrrpStatusChange signal u"];
    ensure!(instance == expected, "{instance:?}");

    bus.call(GENERAL, "PrintData")?;
    bus.call(GENERAL, "PrintStats")?;
    for file in ["tmp/keepalived.data", "tmp/keepalived.stats"] {
        until(secs(5.0), file, || {
            fs::metadata(pair.a.own_file(file)).ok().filter(|it| it.len() > 0).map(|_| ())
        })?;
    }
    let seen = pair.a.log_length();
    bus.call(INSTANCE, "SendGarp")?;
    pair.a.wait_log_after(seen, "Sending garps on VI_1 on DBus request", secs(5.0))?;
    pair.a.wait_log_after(seen, "(VI_1) Sending/queueing gratuitous ARPs on eth0", secs(5.0))?;
    let seen = pair.a.log_length();
    bus.call(GENERAL, "ReloadConfig")?;
    pair.a.wait_log_after(seen, "Reload complete", secs(10.0))?;
    until(secs(5.0), "VrrpReloaded", || signals(&heard).contains(&"VrrpReloaded".to_owned()).then_some(()))?;

    pair.a.stop()?;
    until(secs(5.0), "VrrpStopped", || signals(&heard).contains(&"VrrpStopped".to_owned()).then_some(()))?;
    let heard = signals(&heard);
    let order = ["VrrpStarted", "VrrpStatusChange 2", "VrrpReloaded", "VrrpStatusChange 98", "VrrpStopped"];
    // The first BACKUP is told if the bus is there early enough.
    let rest: Vec<_> = heard.iter().filter(|signal| *signal != "VrrpStatusChange 1").collect();
    ensure!(rest == order, "{heard:?}");
    Ok(())
}

fn late_and_lost(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, &with_dbus(), "")?;
    let bus = Bus::new(&pair.a.directory)?;
    pair.start_a(&[])?;
    pair.wait_vip(A, secs(10.0))?;
    pair.a.wait_log("D-Bus is not available", secs(5.0))?;
    let daemon = bus.start()?;
    until(secs(20.0), "State", || bus.property("State").ok().filter(|state| state.ends_with("\"Master\"")))
        .map_err(|e| pair.a.explain(e))?;
    let seen = pair.a.log_length();
    drop(daemon);
    pair.a.wait_log_after(seen, "D-Bus is not available", secs(5.0))?;
    let _daemon = bus.start()?;
    until(secs(20.0), "State", || bus.property("State").ok().filter(|state| state.ends_with("\"Master\"")))
        .map_err(|e| pair.a.explain(e))?;
    ensure!(!pair.a.logged("died"), "a process was lost");
    Ok(())
}
