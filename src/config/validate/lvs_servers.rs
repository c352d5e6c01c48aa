//! The real servers of a virtual server, and its sorry server: defaults, families, the ports that the kernel is given
//! (spec/lvs-config.md §9; the numbers are its list).

use super::checks::Checks;
use super::lvs::{Builder, Form, resolve, text};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Family, ForwardingMethod, OwnSettings, RealServer, SorryServer};
use crate::config::source::Span;

impl Builder<'_, '_> {
    /// 7 and 11.
    pub(super) fn real_servers(
        &mut self,
        form: Form,
        port: u16,
        family: Option<Family>,
        method: ForwardingMethod,
        alert: Option<bool>,
    ) -> Vec<RealServer> {
        let draft = self.draft;
        let common = &resolve(draft.inherited);
        let mut servers: Vec<RealServer> = Vec::with_capacity(draft.real_servers.len());
        self.pool.clear();
        for server in &draft.real_servers {
            let method = server.method.unwrap_or(method);
            let tunnelled = matches!(method, ForwardingMethod::Tun(_));
            if family.is_some_and(|family| family != Family::of(server.address)) && !tunnelled {
                let what = format!("the real server {} is of the other address family", server.address);
                self.warn(
                    "wrong-family",
                    server.span,
                    &what,
                    "use TUN, or an address of the same family",
                    "skips it",
                );
                continue;
            }
            if let Some(first) = self.pool.insert((server.address, server.port), server.span) {
                let what = format!("a second real server {} {}", server.address, server.port);
                let mut report =
                    Diagnostic::warning("repeated-entry", server.span.unwrap_or(self.head), what)
                        .help("remove one of them")
                        .stock("removes the second");
                if let Some(first) = first {
                    report = report.related(first, "the first");
                }
                self.reader.push(report);
                continue;
            }
            let server_port = self.port(form, port, server.port, method, server.span, "real server");
            let inherited = resolve(server.inherited.or(draft.inherited));
            let mut checkers = Vec::with_capacity(server.checkers.len());
            for checker in &server.checkers {
                let next = checkers.len();
                let mut building = Checks {
                    reader: &mut *self.reader,
                    scripts: &mut *self.scripts,
                    service: draft,
                    head: self.head,
                    server,
                    server_port,
                    inherited: &inherited,
                };
                building.build(checker, &mut checkers);
                if let Some(head) = checker.head.filter(|_| checkers.len() > next) {
                    self.reader.built(head, next);
                }
            }
            let own = OwnSettings {
                settings: (inherited != *common).then_some(inherited),
                virtualhost: text(server.virtualhost),
                snmp_name: text(server.snmp_name),
            };
            let notify_up = self.command(server.notify_up.as_deref()).map(Box::new);
            let notify_down = self.command(server.notify_down.as_deref()).map(Box::new);
            if let Some(head) = server.span {
                self.reader.built(head, servers.len());
            }
            servers.push(RealServer {
                address: server.address,
                port: server_port,
                weight: server.weight.or(draft.weight).unwrap_or(1),
                method,
                upper_threshold: server.uthreshold,
                lower_threshold: server.lthreshold,
                inhibit_on_failure: server.inhibit_on_failure.unwrap_or(draft.inhibit_on_failure),
                notify_up,
                notify_down,
                smtp_alert: server.smtp_alert.or(alert).unwrap_or(true),
                own: (own != OwnSettings::default()).then(|| Box::new(own)),
                checkers,
            });
        }
        servers
    }

    /// 11: the port that is programmed into the kernel.
    fn port(
        &mut self,
        form: Form,
        virtual_port: u16,
        port: u16,
        method: ForwardingMethod,
        span: Option<Span>,
        whose: &str,
    ) -> u16 {
        let forwards_unchanged = !matches!(method, ForwardingMethod::Nat);
        match form {
            Form::Fwmark if forwards_unchanged && port != 0 => {
                let what =
                    format!("the {whose} of a fwmark service has a port, but {} keeps ports", name(method));
                self.warn("port-ignored", span, &what, "remove the port", "clears it");
                0
            }
            Form::Group => {
                if forwards_unchanged && port != 0 && virtual_port == 0 {
                    let what = format!("the {whose} has a port, but {} keeps ports", name(method));
                    let report = Diagnostic::warning("port-ignored", span.unwrap_or(self.head), what)
                        .class(Class::None);
                    self.reader.push(report.stock("uses the port of the service"));
                }
                port
            }
            Form::Address if port == 0 => virtual_port,
            Form::Address if forwards_unchanged && port != virtual_port => {
                let what = format!(
                    "the {whose} has port {port}, but {} keeps the port {virtual_port}",
                    name(method)
                );
                let help = format!(
                    "write port {virtual_port}; for checks of another port use `connect_port {port}`"
                );
                self.warn(
                    "port-mismatch",
                    span,
                    &what,
                    &help,
                    "sends to the virtual port, and checks the other one",
                );
                virtual_port
            }
            Form::Fwmark | Form::Address => port,
        }
    }

    /// 8 and §7.
    pub(super) fn sorry_server(
        &mut self,
        form: Form,
        port: u16,
        family: Option<Family>,
        method: ForwardingMethod,
        servers: &[RealServer],
    ) -> Option<SorryServer> {
        let sorry = self.draft.sorry_server?;
        let method = sorry.method.unwrap_or(method);
        if family.is_some_and(|family| family != Family::of(sorry.address))
            && !matches!(method, ForwardingMethod::Tun(_))
        {
            let help = "use an address of the same family";
            self.warn(
                "wrong-family",
                Some(sorry.span),
                "the sorry server is of the other family",
                help,
                "skips it",
            );
            return None;
        }
        let nat = matches!(method, ForwardingMethod::Nat);
        let sorry_port = if nat {
            sorry.port
        } else {
            self.port(form, port, sorry.port, method, Some(sorry.span), "sorry server")
        };
        let mut inhibit = sorry.inhibit;
        if let Some(same) =
            servers.iter().find(|server| server.address == sorry.address && server.port == sorry_port)
            && same.inhibit_on_failure != inhibit
        {
            let what = "the sorry server is also a real server with another inhibit setting";
            self.warn(
                "contradiction",
                Some(sorry.span),
                what,
                "give both the same",
                "uses the real server's",
            );
            inhibit = same.inhibit_on_failure;
        }
        Some(SorryServer { address: sorry.address, port: sorry_port, method, inhibit })
    }
}

fn name(method: ForwardingMethod) -> &'static str {
    match method {
        ForwardingMethod::Nat => "NAT",
        ForwardingMethod::Dr => "DR",
        ForwardingMethod::Tun(_) => "TUN",
    }
}
