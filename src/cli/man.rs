//! `completions man`: the manual page keepalived-rs(8), from the table of options and the list of subcommands.

use std::fmt::Write as _;

use super::getopt::{SWITCHES, Switch, Value};
use crate::tools::TOOLS;
use crate::tools::man::escaped;

/// The page in man's macros.
pub(super) fn page() -> String {
    let mut page = String::from(".TH KEEPALIVED\\-RS 8 \"\" keepalived\\-rs\n");
    // Writing to a string cannot fail, here and below.
    let mut put = |text: &str| {
        let _ = writeln!(page, "{text}");
    };
    put(".SH NAME\nkeepalived\\-rs \\- VRRP failover, health checks and IPVS load balancing\n.SH SYNOPSIS");
    put(".B keepalived\\-rs\n[OPTION]...");
    for usage in TOOLS.iter().map(|tool| tool.usage).chain([super::completions::USAGE]) {
        put(&format!(".br\n{}", escaped(&format!("keepalived-rs {usage}"))));
    }
    put(".SH DESCRIPTION");
    for (place, paragraph) in [
        "keepalived-rs is keepalived: it reads the same configuration, speaks the same VRRP, programs the same IPVS \
         table, writes the same files and answers the same signals. Without a subcommand it is the daemon.",
        "SIGHUP reads the configuration again; one that cannot run is refused, and the running one goes on. SIGUSR1 writes \
         what is known to /tmp/keepalived.data and files beside it, SIGUSR2 the statistics to /tmp/keepalived.stats; \
         --signum tells the numbers of others. SIGTERM ends it.",
    ]
    .into_iter()
    .enumerate()
    {
        // A heading begins a paragraph itself.
        if place > 0 {
            put(".PP");
        }
        put(&escaped(paragraph));
    }
    put(".SH OPTIONS");
    for Switch { short, long, value, name, help } in SWITCHES {
        let short = short.map(|letter| format!("\\-{}, ", char::from(letter))).unwrap_or_default();
        let value = match value {
            Value::No => String::new(),
            Value::Required => format!("={name}"),
            Value::Optional => format!("[={name}]"),
        };
        put(&format!(".TP\n.B {short}{}\n{}", escaped(&format!("--{long}{value}")), escaped(help)));
    }
    put(".SH EXIT STATUS");
    for (status, meaning) in [
        ("0", "A normal end; another daemon is running already; a test found nothing."),
        ("1", "The command line cannot be understood, or the host lacks what the configuration needs."),
        ("2", "The configuration is refused."),
        (
            "4, 5, 6",
            "What a test (-t) found: files that cannot be read, mistakes, scripts that others could change.",
        ),
        ("6", "There is no configuration."),
    ] {
        put(&format!(".TP\n.B {status}\n{}", escaped(meaning)));
    }
    put(".SH FILES");
    for (file, what) in [
        ("/etc/keepalived/keepalived.conf", "The configuration, see keepalived-rs.conf(5)."),
        ("/run/keepalived.pid, /run/vrrp.pid, /run/checkers.pid, /run/bfd.pid", "The processes."),
        ("/tmp/keepalived.data, /tmp/keepalived.stats, /tmp/keepalived.json", "What signals ask for."),
    ] {
        put(&format!(".TP\n.B {}\n{}", escaped(file), escaped(what)));
    }
    put(".SH SEE ALSO\n.BR keepalived\\-rs.conf (5),\n.BR ipvsadm (8)");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_and_subcommand() {
        let page = page();
        for switch in SWITCHES {
            assert!(page.contains(&escaped(&format!("--{}", switch.long))), "{}", switch.long);
        }
        for tool in TOOLS {
            assert!(page.contains(&escaped(tool.usage)), "{}", tool.usage);
        }
    }
}
