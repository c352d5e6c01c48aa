//! Checkers after the whole file is read: what they inherit, and where they connect to (spec/lvs-config.md §9,
//! spec/checkers.md §2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::scripts::{Purpose, Scripts};
use crate::config::blocks::check::{CheckerDraft, ConnectionDraft, Kind, Special};
use crate::config::blocks::http::{HttpDraft, UrlDraft};
use crate::config::blocks::real_server::RealServerDraft;
use crate::config::blocks::virtual_server::Draft;
use crate::config::blocks::{misc_check, udp_check, watch_checks};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{
    BfdCheck, CheckKind, CheckTiming, Checker, Connection, DnsCheck, FileCheck, HttpCheck, HttpProtocol,
    InheritedSettings, LocalEnd, MiscCheck, Rare, SmtpCheck, UdpCheck, UdpReply, Url,
};
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Word;

/// Stock's `helo_name`.
const HELO: &str = "smtpchecker.keepalived.org";

/// The checkers of one real server in the making.
pub(super) struct Checks<'b, 'a> {
    pub(super) reader: &'b mut Reader<'a>,
    pub(super) scripts: &'b mut Scripts,
    pub(super) service: &'b Draft<'a>,
    /// The virtual server's keyword.
    pub(super) head: Span,
    pub(super) server: &'b RealServerDraft<'a>,
    /// As programmed into the kernel.
    pub(super) server_port: u16,
    /// The real server's settings.
    pub(super) inherited: &'b InheritedSettings,
}

impl Checks<'_, '_> {
    /// The checkers that a block makes: one, or one for each `host` of `SMTP_CHECK`, or none.
    pub(super) fn build(&mut self, draft: &CheckerDraft<'_>, out: &mut Vec<Checker>) {
        let kind = match &draft.special {
            Special::None if draft.kind == Kind::Ping => CheckKind::Ping(self.connection(draft)),
            Special::None => CheckKind::Tcp(self.connection(draft)),
            Special::Http(http) => CheckKind::Http(Box::new(self.http(http, draft))),
            Special::Smtp(smtp) => {
                let helo = smtp.helo.map_or(HELO, Word::as_str);
                if !smtp.hosts.is_empty() {
                    for host in &smtp.hosts {
                        let connection = self.connection_of(host, draft.head);
                        let kind = CheckKind::Smtp(Box::new(SmtpCheck { connection, helo: helo.to_owned() }));
                        out.push(self.checker(draft, kind));
                    }
                    return;
                }
                CheckKind::Smtp(Box::new(SmtpCheck {
                    connection: self.connection(draft),
                    helo: helo.to_owned(),
                }))
            }
            Special::Dns(record, name) => CheckKind::Dns(Box::new(DnsCheck {
                connection: self.connection(draft),
                record: *record,
                name: name.map_or(String::new(), |name| name.as_str().to_owned()),
            })),
            Special::Udp(udp) => CheckKind::Udp(Box::new(self.udp(udp, draft))),
            Special::Misc(misc) => match self.misc(misc) {
                Some(misc) => CheckKind::Misc(Box::new(misc)),
                None => return,
            },
            Special::File(file) => match self.file(*file) {
                Some(file) => CheckKind::File(file),
                None => return,
            },
            Special::Bfd(name) => CheckKind::Bfd(BfdCheck { name: name.as_str().to_owned() }),
        };
        out.push(self.checker(draft, kind));
    }

    fn checker(&self, draft: &CheckerDraft<'_>, kind: CheckKind) -> Checker {
        let (own, inherited) = (draft.own, self.inherited);
        let delay_loop = own.delay_loop.unwrap_or(inherited.delay_loop);
        let default_retry_delay = draft.kind.default_retry_delay().unwrap_or(delay_loop);
        Checker {
            // A check that is not run must not keep its server down.
            alpha: own.alpha.unwrap_or(inherited.alpha) && draft.kind != Kind::File,
            kind,
            timing: Arc::new(CheckTiming {
                delay_loop,
                retry: own.retry.or(inherited.retry).unwrap_or(draft.kind.default_retry()),
                delay_before_retry: own
                    .delay_before_retry
                    .or(inherited.delay_before_retry)
                    .unwrap_or(default_retry_delay),
                warmup: own.warmup.or(inherited.warmup).unwrap_or(delay_loop),
            }),
            log_all_failures: draft.log_all_failures
                || self.reader.drafts.global.values.checker_log_all_failures,
        }
    }

    fn connection(&mut self, draft: &CheckerDraft<'_>) -> Connection {
        let needs_port = draft.kind != Kind::Ping;
        if needs_port && self.server.port == 0 && draft.connection.connect_port.is_none() {
            self.no_port(draft.head);
        }
        self.connection_to(&draft.connection)
    }

    fn connection_of(&mut self, host: &ConnectionDraft, head: Option<Span>) -> Connection {
        if self.server.port == 0 && host.connect_port.is_none() {
            self.no_port(head);
        }
        self.connection_to(host)
    }

    fn connection_to(&self, draft: &ConnectionDraft) -> Connection {
        // The port as written in the block, whatever was made of it since. Without one stock connects to port 0, so
        // that the server never comes up; we connect to where its traffic goes.
        let written = if self.server.port == 0 { self.server_port } else { self.server.port };
        let rare = draft.rare.as_deref();
        Connection {
            destination: SocketAddr::new(
                rare.and_then(|rare| rare.connect_ip).map_or(self.server.address, |(address, _)| address),
                draft.connect_port.unwrap_or(written),
            ),
            local: rare.map_or_else(Rare::default, |rare| {
                let bind_interface = rare.bind_if.clone();
                LocalEnd { bind: rare.bindto, bind_port: rare.bind_port, bind_interface, fwmark: rare.fwmark }
                    .into()
            }),
            timeout: draft.connect_timeout.unwrap_or(self.inherited.connect_timeout),
        }
    }

    fn no_port(&mut self, span: Option<Span>) {
        let what = "neither the real server nor the check names a port".to_owned();
        self.reader.push(
            Diagnostic::warning("check-without-port", span.unwrap_or(self.head), what)
                .class(Class::None)
                .help("write the port behind the real server's address, or `connect_port N`")
                .stock("connects to port 0, so the check always fails; this program uses the virtual port"),
        );
    }

    fn http(&mut self, http: &HttpDraft<'_>, draft: &CheckerDraft<'_>) -> HttpCheck {
        let connection = self.connection(draft);
        let tls = draft.kind == Kind::Ssl;
        let profile = if tls { self.profile(http) } else { 0 };
        HttpCheck {
            profile,
            urls: http.urls.iter().map(|url| self.url(url, http, tls)).collect(),
            connection,
            tls,
            protocol: if http.http2 || http.urls.iter().any(|url| url.grpc_health.is_some()) {
                HttpProtocol::V2
            } else {
                http.http_protocol
            },
            fast_recovery: http.fast_recovery,
            tls_compliant: http.tls_compliant,
            virtualhost: text(http.virtualhost),
            enable_sni: http.enable_sni,
            sni_name: text(http.sni_name),
        }
    }

    /// The number of its TLS profile; those that say the same share one.
    fn profile(&mut self, http: &HttpDraft<'_>) -> u16 {
        let drafts = &mut self.reader.drafts;
        drafts.tls_used = true;
        if http.tls.span.is_none() {
            return 0;
        }
        let known = drafts.tls_profiles.iter().position(|other| other.says_as(&http.tls));
        let place = known.unwrap_or_else(|| {
            drafts.tls_profiles.push(http.tls.clone());
            drafts.tls_profiles.len() - 1
        });
        // More than 65,535 kinds of TLS in one file are not worth a wider number; the last ones verify as `SSL` says.
        u16::try_from(place + 1).unwrap_or(0)
    }

    fn url(&self, url: &UrlDraft<'_>, http: &HttpDraft<'_>, tls: bool) -> Url {
        let own_host = url.virtualhost.or(http.virtualhost);
        let host = own_host.or(self.server.virtualhost).or(self.service.virtualhost);
        // The real server's virtualhost is not consulted for SNI (spec/checkers.md §7).
        let sni = http.sni_name.or(own_host).or(self.service.virtualhost);
        Url {
            path: text(url.path).unwrap_or_default(),
            virtualhost: text(url.virtualhost),
            host: text(host),
            sni: text(sni.filter(|_| http.enable_sni && tls)),
            digest: url.digest,
            status_codes: if url.status_codes.is_empty() {
                vec![(200, 299)]
            } else {
                url.status_codes.clone()
            },
            tls_compliant: url.tls_compliant,
            regex: url.regex.clone(),
            grpc_health: url.grpc_health.clone(),
        }
    }

    fn udp(&mut self, udp: &udp_check::Draft, draft: &CheckerDraft<'_>) -> UdpCheck {
        let reply = udp.require_reply.as_ref().map(|pattern| UdpReply {
            min_length: udp.min_reply_length.map_or(0, |(length, _)| length),
            max_length: udp.max_reply_length.map_or(udp_check::Draft::MAX_REPLY, |(length, _)| length),
            pattern: pattern.clone(),
        });
        UdpCheck { connection: self.connection(draft), payload: udp.payload.clone(), reply }
    }

    fn misc(&mut self, misc: &misc_check::Draft) -> Option<MiscCheck> {
        let command = self.scripts.resolve(self.reader, misc.script.as_ref()?, Purpose::Check)?;
        // The virtual server's own, not what the real server or the check made of it (spec/checkers.md trap 13).
        let delay_loop = self.service.inherited.delay_loop.unwrap_or(Duration::from_secs(60));
        let timeout = match misc.timeout {
            0 => delay_loop,
            seconds => Duration::from_secs(seconds.into()),
        };
        Some(MiscCheck { command, own_timeout: misc.timeout, timeout, dynamic: misc.dynamic })
    }

    fn file(&self, draft: watch_checks::FileDraft<'_>) -> Option<FileCheck> {
        let file = self.reader.drafts.track_file(draft.track_file?)?;
        Some(FileCheck {
            track_file: file.name.clone(),
            weight: draft.weight.unwrap_or(file.weight),
            reverse: draft.reverse.unwrap_or(draft.weight.is_none() && file.reverse),
        })
    }
}

fn text(word: Option<&Word>) -> Option<String> {
    word.map(|word| word.as_str().to_owned())
}
