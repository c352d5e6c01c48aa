//! The whole D-Bus interface beside stock: every object's introspection, every property, every answer to a call that there is
//! or is not; and who may do what by the policy files of both packages.

use std::fs;
use std::path::Path;

use crate::case::{Case, Lab};
use crate::dbus::{Bus, GENERAL, NAME};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::place;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("dbus_every_object_property_and_error_is_stocks", every_object),
    Case::single("dbus_the_policy_lets_root_call_and_all_look", policy),
];

/// Interfaces with marks in their names, IPv6, several instances on one.
fn config() -> String {
    let six = "advert_int 1\nvirtual_ipaddress {\n fe80::53\n 2001:db8::53/64\n}";
    let four = |last: u8| format!("advert_int 1\nvirtual_ipaddress {{\n 10.0.0.{last}\n}}");
    format!(
        "global_defs {{\n router_id lab\n enable_dbus\n dynamic_interfaces\n vrrp_garp_master_delay 0\n}}\n{}{}{}{}",
        instance("VI_1", 51, "eth0", 150, &four(101)),
        instance("VI_2", 52, "eth0", 150, &four(102)),
        instance("VI_3", 53, "eth0", 150, &format!("version 3\n{six}")),
        instance("VI_4", 54, "eth0.7-x", 150, &four(104)),
    )
}

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// One line for each member and argument of XML from an object, comments, order and layout left out.
fn members(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut interface, mut member) = (String::new(), String::new());
    for tag in xml.split('<').skip(1) {
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}="))?;
            let quote = rest.chars().next()?;
            rest[1..].split(quote).next().map(str::to_owned)
        };
        let name = attribute("name").unwrap_or_default();
        match tag.split([' ', '>', '/', '\n']).next().unwrap_or_default() {
            "interface" => interface = name,
            kind @ ("method" | "signal") => {
                member = name;
                found.push(format!("{interface} {kind} {member}"));
            }
            "property" => {
                let (kind, access) = (attribute("type"), attribute("access"));
                found.push(format!("{interface} property {name} {kind:?} {access:?}"));
            }
            "arg" => {
                // An argument of a signal goes out, of a method in, where nothing else is said; its name is nobody's concern.
                let (kind, way) = (attribute("type").unwrap_or_default(), attribute("direction"));
                found.push(format!("{interface} {member} {kind} {}", way.unwrap_or_default()));
            }
            _ => {}
        }
    }
    found.retain(|line| line.starts_with(NAME));
    found.sort();
    found
}

/// What a call is answered, or the name of the error.
fn answer(bus: &Bus, words: &[&str]) -> String {
    match bus.busctl(&[&["call", NAME], words].concat()) {
        Ok(text) => text.trim().to_owned(),
        // Behind the command: what busctl makes of the error's name and text.
        Err(text) => format!("error: {}", text.rsplit(": ").next().unwrap_or_default().trim()),
    }
}

fn observe(lab: &Lab, program: &Program, name: &str) -> Outcome<Vec<String>> {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    host.use_ipv6("eth0", "2001:db8::1/64")?;
    host.space.ip("link add link eth0 name eth0.7-x type macvlan mode bridge")?;
    host.space.ip("link set eth0.7-x up\naddress add 10.0.1.1/24 dev eth0.7-x")?;
    let mut daemon = Daemon::new(program, &host, &lab.directory.join(name), &config())?;
    let bus = Bus::new(&daemon.directory)?;
    let _daemon = bus.start()?;
    daemon.start(&host, &[])?;
    let instance = "org.keepalived.Vrrp1.Instance";
    let tree = || -> Option<Vec<String>> {
        let text = bus.busctl(&["tree", "--list", NAME]).ok()?;
        let paths: Vec<_> = text.lines().map(str::to_owned).collect();
        (paths.iter().filter(|path| path.contains("/Instance/") && path.contains("/IPv")).count() == 4)
            .then_some(paths)
    };
    let paths = until(secs(30.0), "four objects", tree).map_err(|e| daemon.explain(e))?;
    let objects: Vec<_> =
        paths.iter().filter(|path| path.ends_with("/Vrrp") || path.contains("/IPv")).collect();
    for path in objects.iter().filter(|path| path.contains("/IPv")) {
        until(secs(30.0), format!("{path} to be master"), || {
            answer(&bus, &[path, PROPERTIES, "Get", "ss", instance, "State"])
                .contains("\"Master\"")
                .then_some(())
        })
        .map_err(|e| daemon.explain(e))?;
    }
    let mut found = Vec::new();
    for path in &objects {
        let xml =
            answer(&bus, &[path, INTROSPECTABLE, "Introspect"]).replace("\\\"", "\"").replace("\\n", "\n");
        found.extend(members(&xml).into_iter().map(|line| format!("{path}: {line}")));
        for what in ["Name", "State", "Other"] {
            let words = [path.as_str(), PROPERTIES, "Get", "ss", instance, what];
            found.push(format!("{path} Get {what}: {}", answer(&bus, &words)));
        }
        let words = [path.as_str(), PROPERTIES, "Set", "ssv", instance, "Name", "s", "x"];
        found.push(format!("{path} Set Name: {}", kind(&answer(&bus, &words))));
        for interface in ["Vrrp", "Instance"] {
            for member in ["CreateInstance", "DestroyInstance", "Nothing"] {
                let of = format!("{NAME}.{interface}");
                let words: &[&str] = match member {
                    "CreateInstance" => &[path, &of, member, "ssus", "VI_9", "eth0", "59", "IPv4"],
                    "DestroyInstance" => &[path, &of, member, "s", "VI_1"],
                    _ => &[path, &of, member],
                };
                found.push(format!("{path} {interface}.{member}: {}", kind(&answer(&bus, words))));
            }
        }
    }
    let nowhere = format!("{NAME}.Vrrp");
    found
        .push(format!("nowhere: {}", kind(&answer(&bus, &["/org/keepalived/Other", &nowhere, "PrintData"]))));
    for member in ["PrintData", "PrintStats", "PrintStatsClear", "ReloadConfig"] {
        found.push(format!("{member}: {:?}", answer(&bus, &[GENERAL, &nowhere, member])));
    }
    // The instances and what is told of them are those of the new file.
    daemon.configure(
        &config().replace("VI_2", "VI_5").replace("virtual_router_id 51", "virtual_router_id 61"),
    )?;
    let _ = bus.call(GENERAL, "ReloadConfig")?;
    let moved = || tree().filter(|paths| paths.iter().any(|path| path.contains("/61/")));
    let after = until(secs(30.0), "the objects of the new file", moved).map_err(|e| daemon.explain(e))?;
    found.extend(after.into_iter().filter(|path| path.contains("/IPv")).map(|path| format!("after: {path}")));
    daemon.stop()?;
    Ok(found)
}

/// Whether something was refused, without the words for it.
fn kind(answer: &str) -> &str {
    if answer.starts_with("error") { "refused" } else { answer }
}

fn every_object(lab: &Lab) -> Outcome {
    let stock = observe(lab, &Program::stock(), "stock")?;
    let subject = observe(lab, &lab.subject, "subject")?;
    let plain = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            // Stock says `s` of Name, and gives a structure.
            .map(|line| line.replace("property Name Some(\"(s)\")", "property Name Some(\"s\")"))
            .map(|line| {
                if line.contains("error: ") {
                    line.split("error: ").next().unwrap_or_default().to_owned()
                } else {
                    line
                }
            })
            .collect()
    };
    let (ours, theirs) = (plain(&subject), plain(&stock));
    let missing: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).collect();
    let surplus: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    ensure!(stock.len() > 60, "stock shows {} facts", stock.len());
    Ok(())
}

/// A bus that is as strict as a system's, with the policy file of the subject's package: what root and nobody may do.
fn policy(lab: &Lab) -> Outcome {
    let file = if lab.subject.is_stock() {
        place::store().join("keepalived/etc/dbus-1/system.d/org.keepalived.Vrrp1.conf")
    } else {
        place::target()
            .parent()
            .unwrap_or(Path::new("."))
            .join("etc/dbus-1/system.d/org.keepalived.Vrrp1.conf")
    };
    let strict = "<allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/><allow send_type=\"signal\"/>\
        <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\
        <allow send_requested_reply=\"true\" send_type=\"error\"/>\
        <allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\
        <allow receive_type=\"signal\"/><allow send_destination=\"org.freedesktop.DBus\"/>";
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let four = "advert_int 1\nvirtual_ipaddress {\n 10.0.0.101\n}";
    let text = format!("global_defs {{\n enable_dbus\n}}\n{}", instance("VI_1", 51, "eth0", 150, four));
    let mut daemon = Daemon::new(&lab.subject, &host, &lab.directory, &text)?;
    let own = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let bus = Bus::with_policy(&daemon.directory, strict, &own)?;
    let _daemon = bus.start()?;
    daemon.start(&host, &[])?;
    until(secs(20.0), "the name on the bus", || bus.call(GENERAL, "PrintData").ok())
        .map_err(|e| daemon.explain(e))?;
    let general = format!("{NAME}.Vrrp");
    for (words, allowed) in [
        ([GENERAL, INTROSPECTABLE, "Introspect"], true),
        ([GENERAL, "org.freedesktop.DBus.Peer", "Ping"], true),
        ([GENERAL, &general, "PrintData"], false),
        ([GENERAL, &general, "ReloadConfig"], false),
    ] {
        let said = bus.busctl_as_nobody(&[&["call", NAME], &words[..]].concat());
        ensure!(said.is_ok() == allowed, "{words:?} by nobody: {said:?}");
    }
    let own =
        ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName"];
    let said = bus.busctl_as_nobody(&[&own[..], &["su", "org.keepalived.Vrrp1", "0"]].concat());
    ensure!(said.is_err(), "nobody may have the name: {said:?}");
    ensure!(!daemon.logged("Reloading"), "a reload by nobody");
    Ok(())
}
