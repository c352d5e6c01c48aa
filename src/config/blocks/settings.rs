//! Settings of this program: lines `@keepalived-rs NAME …`, which stock takes for lines of another host and skips.
//!
//! One table, usable wherever its entry says; mistakes never count for `-t`, because stock would not see them. A new
//! setting is one entry here, and the field its action fills. docs/design.md, "Our own settings".

use super::http::TlsDraft;
use super::quoted;
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::lint::{LINTS, REPORTS, find as find_lint};
use crate::config::model::VipRepair;
use crate::config::preprocess::OUR_ID;
use crate::config::reader::{Reader, argument_hint, no_effect_yet};
use crate::config::schema::{
    Effect, Given, Keyword, Missing, Repeat, Shape, Table, Value, keyword, micros, strict,
};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::{Line, Word};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name, argument, default and action, as of stock's keywords.
    pub keyword: Keyword,
    /// Where it may stand.
    pub places: &'static [Place],
}

/// Where a setting may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In any block, and outside: it holds for what is around it.
    Anywhere,
    /// `global_defs`, or outside any block.
    Global,
    /// `vrrp_instance`.
    Instance,
    /// `virtual_server`.
    VirtualServer,
    /// `SSL_GET`, or `SSL`, where it holds for all of them.
    Tls,
    /// `HTTP_GET` or `SSL_GET`.
    Http,
    /// `url` of one of these.
    Url,
}

impl Place {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anywhere => "any block, and outside",
            Self::Global => "global_defs, or outside any block",
            Self::Instance => "vrrp_instance",
            Self::VirtualServer => "virtual_server",
            Self::Tls => "SSL_GET, or SSL for all of them",
            Self::Http => "HTTP_GET, SSL_GET",
            Self::Url => "url",
        }
    }

    /// Does a line in this block stand there? `None` is outside any block.
    pub fn holds(self, block: Option<&str>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Global => matches!(block, None | Some("global_defs")),
            Self::Instance => block == Some("vrrp_instance"),
            Self::VirtualServer => block == Some("virtual_server"),
            Self::Tls => matches!(block, Some("SSL_GET" | "SSL")),
            Self::Http => matches!(block, Some("HTTP_GET" | "SSL_GET")),
            Self::Url => block == Some("url"),
        }
    }
}

/// In microseconds: no ramp is longer.
const DAY: u64 = 86_400_000_000;

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    Setting {
        keyword: keyword(
            "vip_repair",
            Shape::Choice(&["repair", "stock"]),
            "What follows when somebody else removes an address, route or rule of a master: `repair` puts it back and \
             stays master; `stock` goes through BACKUP and sets up everything anew, as keepalived does.",
        )
        .default("repair; in vrrp_instance: what holds globally")
        .apply(|r, g| {
            let repair = if g.text() == "stock" { VipRepair::Stock } else { VipRepair::Repair };
            let here = if r.block_name() == Some("vrrp_instance") {
                &mut r.drafts.instance.vip_repair
            } else {
                &mut r.drafts.global.vip_repair
            };
            *here = Some(repair);
        }),
        places: &[Place::Global, Place::Instance],
    },
    Setting {
        keyword: keyword(
            "slow_start",
            micros(0, DAY),
            "Seconds in which the weight of a real server that comes back rises in ten steps to what it should be; 0 is \
             off. Weights must be large enough to be divided.",
        )
        .default("0; in virtual_server: what holds globally")
        .apply(|r, g| {
            let time = Some(g.time());
            if r.block_name() == Some("virtual_server") {
                r.drafts.virtual_server.slow_start = time;
            } else {
                r.drafts.global.pooling.slow_start = time;
            }
        }),
        places: &[Place::Global, Place::VirtualServer],
    },
    Setting {
        keyword: keyword(
            "min_in_service",
            strict(0, 100),
            "Percent of a virtual server's real servers that stay in service at least: more that fail are kept, those \
             first that failed last. With a sorry server the quorum decides before.",
        )
        .default("0; in virtual_server: what holds globally")
        .apply(|r, g| {
            let percent = u8::try_from(g.int()).ok();
            if r.block_name() == Some("virtual_server") {
                r.drafts.virtual_server.min_in_service = percent;
            } else {
                r.drafts.global.pooling.min_in_service = percent;
            }
        }),
        places: &[Place::Global, Place::VirtualServer],
    },
    Setting {
        keyword: keyword(
            "share_checks",
            Shape::Bool,
            "Checks that are equal in all their options (of one server behind several services) are made once, and the \
             outcome goes to all of them.",
        )
        .default("off")
        .apply(|r, g| r.drafts.global.values.share_checks = g.bool()),
        places: &[Place::Global],
    },
    Setting {
        keyword: keyword(
            "tls_verify",
            Shape::Words,
            "Who the server must prove to be: `system` asks the host's trust store, a file of PEM certificates those \
             authorities, `off` nobody. A second word is the name that its certificate must bear; without it, the server name \
             of the handshake, the Host header or the address.",
        )
        .default("off, as keepalived")
        .missing(Missing::Warns)
        .apply(|r, g| {
            let tls = tls_draft(r);
            tls.verify = g.argument(0).map(|word| word.as_str().to_owned());
            tls.name = g.argument(1).map(|word| word.as_str().to_owned());
            tls.span = Some(g.value_span());
        }),
        places: &[Place::Tls],
    },
    Setting {
        keyword: keyword(
            "tls_certificate",
            Shape::Words,
            "Files of the certificate that is shown to servers that ask, and of its key (PEM); without a second word the key is \
             in the same file.",
        )
        .default("that of SSL, if there is one")
        .missing(Missing::Warns)
        .apply(|r, g| {
            let tls = tls_draft(r);
            tls.certificate = g.argument(0).map(|word| word.as_str().to_owned());
            tls.key = g.argument(1).or(g.argument(0)).map(|word| word.as_str().to_owned());
            tls.span = Some(g.value_span());
        }),
        places: &[Place::Tls],
    },
    Setting {
        keyword: keyword(
            "http2",
            Shape::Bool,
            "The check speaks HTTP/2, whatever http_protocol says: in SSL_GET the server must agree to h2 in the handshake, in \
             HTTP_GET it must know (h2c with prior knowledge). An answer must be complete within connect_timeout.",
        )
        .default("off, as keepalived")
        .apply(|r, g| r.drafts.http.http2 = g.bool()),
        places: &[Place::Http],
    },
    Setting {
        keyword: keyword(
            "grpc_health",
            Shape::Words,
            "Asks over gRPC (grpc.health.v1.Health/Check) whether a service is SERVING; without a name, whether the server is. The \
             check speaks HTTP/2. A path of `/` stands for that of the protocol.",
        )
        .default("unset")
        .apply(|r, g| {
            let service = g.argument(0).map(|word| word.as_str().to_owned());
            r.drafts.http.url.grpc_health = Some(service.unwrap_or_default());
        }),
        places: &[Place::Url],
    },
    Setting {
        keyword: keyword(
            "mail_digest",
            strict(1, 86_400),
            "Mails that would follow another within so many seconds wait for their end and go as one.",
        )
        .default("unset: each change is a mail")
        .apply(|r, g| {
            let seconds = u64::try_from(g.int()).ok();
            r.drafts.global.values.mail_digest = seconds.map(std::time::Duration::from_secs);
        }),
        places: &[Place::Global],
    },
    Setting {
        keyword: keyword(
            "allow",
            Shape::Word,
            "Silences a lint of `check`: inside a block for this block, outside any block for the whole configuration.",
        )
        .repeat(Repeat::Accumulates)
        .apply(known_lint),
        places: &[Place::Anywhere],
    },
];

/// What the settings of TLS fill: the check's, or the `SSL` block's.
fn tls_draft<'r>(reader: &'r mut Reader<'_>) -> &'r mut TlsDraft {
    if reader.block_name() == Some("SSL") { &mut reader.drafts.ssl_tls } else { &mut reader.drafts.http.tls }
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.keyword.name == name)
}

/// How the line is written.
pub fn written(line: Line<'_>) -> String {
    format!("@{OUR_ID} {}", line.raw().as_str())
}

/// Takes a line over, or says what is wrong with it.
pub fn read<'a>(reader: &mut Reader<'a>, table: &'static Table, line: Line<'a>) {
    let Some(head) = line.words.first() else { return };
    let block = reader.block_name();
    let Some(setting) = find(head) else {
        reader.push(unknown(table, head));
        return;
    };
    if !setting.places.iter().any(|place| place.holds(block)) {
        let here = block.unwrap_or("the top level");
        reader.push(
            ours("misplaced-own-setting", head, format!("`{}` has no meaning in {here}", head.as_str()))
                .help(format!("move the line to: {}", places(setting))),
        );
        return;
    }
    if line.words.len() < 2 && setting.keyword.missing != Missing::Fine {
        let hint = argument_hint(&setting.keyword).replacen("write `", &format!("write `@{OUR_ID} "), 1);
        reader.push(
            ours("bad-own-setting", head, format!("`{}` needs a value", setting.keyword.name)).help(hint),
        );
        return;
    }
    if setting.keyword.effect == Effect::Later {
        reader.push(no_effect_yet(&setting.keyword, head.span()));
    }
    let (value, reports) = reader.captured(|reader| reader.value(&setting.keyword, line));
    for mut report in reports {
        (report.id, report.severity, report.class) = ("bad-own-setting", Severity::Warning, Class::None);
        report.stock = Some(UNSEEN.into());
        reader.push(report);
    }
    let given = value.map(|value| Given { keyword: &setting.keyword, line, value });
    reader.note(&setting.keyword, line, given);
    if let Some(given) = given {
        (setting.keyword.apply)(reader, given);
    }
}

/// The settings that `explain --effective` shows in a block; those that hold globally in `global_defs`.
pub fn shown_in(block: &str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| {
        let is_here = |place: &Place| *place != Place::Anywhere && place.holds(Some(block));
        !block.is_empty() && setting.places.iter().any(is_here)
    })
}

const UNSEEN: &str = "does not see the line";

fn ours(id: &'static str, word: &Word, message: String) -> Diagnostic {
    Diagnostic::warning(id, word.span(), message).class(Class::None).stock(UNSEEN)
}

fn unknown(table: &'static Table, head: &Word) -> Diagnostic {
    let id = "unknown-own-setting";
    if matches!(head.as_str(), "{" | "}") {
        return ours(id, head, format!("behind `@{OUR_ID}` there are no blocks"))
            .help("write one setting a line, each behind the prefix");
    }
    let report = ours(id, head, format!("there is no setting `{}` of keepalived-rs", quoted(head)));
    if table.find(head).is_some() || super::TOP.find(head).is_some() {
        return report
            .help(format!("`{}` is a keyword of keepalived: write it without `@{OUR_ID}`", head.as_str()));
    }
    match did_you_mean(head, SETTINGS.iter().map(|setting| setting.keyword.name)) {
        Some(meant) => report.help(format!("did you mean `{meant}`?")),
        None => report.help("`keepalived-rs explain --settings` lists them"),
    }
}

/// The lints look for the line themselves; here only its name is checked.
fn known_lint<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Value::Word(word) = given.value else { return };
    if find_lint(word).is_some() {
        return;
    }
    let report = ours("bad-own-setting", word, format!("there is no lint `{}`", quoted(word)));
    let known = LINTS.iter().chain(REPORTS).map(|lint| lint.id);
    reader.push(match did_you_mean(word, known) {
        Some(meant) => report.help(format!("did you mean `{meant}`?")),
        None => report.help("`keepalived-rs explain --lints` lists them"),
    });
}

/// The places of a setting, for people.
pub fn places(setting: &Setting) -> String {
    let places: Vec<&str> = setting.places.iter().map(|place| place.name()).collect();
    places.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::MemoryFiles;
    use crate::config::model::{CheckKind, HostFacts, HttpProtocol, Identity, InterfaceFacts, Users};
    use crate::config::preprocess::{IncludeChecks, ReadOptions};
    use crate::config::value::Mode;
    use crate::config::{Loaded, load};

    struct Nobody;

    impl Users for Nobody {
        fn user(&self, _: &str) -> Option<Identity> {
            None
        }

        fn group(&self, _: &str) -> Option<u32> {
            None
        }
    }

    fn loaded(text: &str) -> Loaded {
        let mut facts = HostFacts::default();
        let interface = InterfaceFacts { multicast: true, ..InterfaceFacts::default() };
        facts.interfaces.insert("eth0".to_owned(), interface);
        let options = ReadOptions {
            main: "k.conf".to_owned(),
            config_id: "node".to_owned(),
            include_checks: IncludeChecks::NONE,
            random_seed: 0,
        };
        let files = MemoryFiles::new().file("k.conf", text).file("ours.conf", "vip_repair stock\n{\n}\n");
        load(&files, &options, Mode::ConfigTest, &facts, &Nobody)
    }

    fn instance(lines: &str) -> String {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\n{lines}\nvirtual_ipaddress {{\n192.0.2.1\n}}\n}}\n"
        )
    }

    fn repair(text: &str) -> VipRepair {
        let loaded = loaded(text);
        assert_eq!(loaded.test_exit, 0, "{:?}", loaded.diagnostics);
        loaded.config.expect("runs").instances[0].vip_repair
    }

    /// Reports but the note that there is no effect yet: identifier and help.
    fn reports(text: &str) -> Vec<(&'static str, String)> {
        let loaded = loaded(text);
        let told = loaded.diagnostics.iter().filter(|report| report.id != "no-effect-yet");
        told.map(|report| (report.id, report.help.join("; "))).collect()
    }

    #[test]
    fn a_setting_holds_for_its_block_or_for_all() {
        assert_eq!(repair(&instance("")), VipRepair::Repair);
        assert_eq!(repair(&instance("@keepalived-rs vip_repair stock")), VipRepair::Stock);
        assert_eq!(repair(&(instance("") + "@keepalived-rs vip_repair stock\n")), VipRepair::Stock);
        let global = "global_defs {\n@keepalived-rs vip_repair stock\n}\n".to_owned();
        assert_eq!(repair(&(global.clone() + &instance(""))), VipRepair::Stock);
        assert_eq!(repair(&(global + &instance("@keepalived-rs vip_repair repair"))), VipRepair::Repair);
        assert_eq!(repair(&instance("$S=stock\n@keepalived-rs vip_repair $S")), VipRepair::Stock);
    }

    #[test]
    fn a_setting_inside_a_list_is_no_entry_of_it() {
        let text = instance("").replace("192.0.2.1\n", "192.0.2.1\n@keepalived-rs allow own-unicast-peer\n");
        assert_eq!(reports(&text), []);
        assert_eq!(repair(&text), VipRepair::Repair);
    }

    fn http_checks(block: &str) -> Vec<(HttpProtocol, Option<String>)> {
        let text = format!(
            "virtual_server 192.0.2.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 192.0.2.2 80 {{\n{block}\n}}\n}}\n"
        );
        let loaded = loaded(&text);
        assert_eq!(loaded.diagnostics.iter().map(|report| report.id).collect::<Vec<_>>(), [""; 0]);
        let checkers = loaded.config.expect("runs").virtual_servers[0].real_servers[0].checkers.clone();
        let protocols = checkers.iter().flat_map(|checker| match &checker.kind {
            CheckKind::Http(http) => {
                http.urls.iter().map(|url| (http.protocol, url.grpc_health.clone())).collect()
            }
            _ => vec![],
        });
        protocols.collect()
    }

    #[test]
    fn a_check_speaks_http2_when_it_is_told_or_asks_over_grpc() {
        use HttpProtocol::{V1_1, V2};
        let url = "url {\npath /\n}";
        let check = |words: &str| http_checks(&format!("HTTP_GET {{\nhttp_protocol 1.1\n{words}\n}}"));
        assert_eq!(check(url), [(V1_1, None)]);
        assert_eq!(check(&format!("@keepalived-rs http2\n{url}")), [(V2, None)]);
        assert_eq!(check(&format!("@keepalived-rs http2 off\n{url}")), [(V1_1, None)]);
        let grpc = "url {\npath /\n@keepalived-rs grpc_health\n}";
        assert_eq!(check(&format!("{url}\n{grpc}")), [(V2, None), (V2, Some(String::new()))]);
        let named = http_checks("SSL_GET {\nurl {\npath /\n@keepalived-rs grpc_health a.B\n}\n}");
        assert_eq!(named, [(V2, Some("a.B".to_owned()))]);
    }

    #[test]
    fn a_mistake_in_a_setting_never_counts_and_names_its_remedy() {
        for (line, id, help) in [
            ("vip_repiar stock", "unknown-own-setting", "did you mean `vip_repair`?"),
            (
                "priority 50",
                "unknown-own-setting",
                "`priority` is a keyword of keepalived: write it without `@keepalived-rs`",
            ),
            ("vip_repair stok", "bad-own-setting", "did you mean `stock`?; write one of repair, stock"),
            ("vip_repair", "bad-own-setting", "write `@keepalived-rs vip_repair repair|stock`"),
            ("allow own-unicast-pear", "bad-own-setting", "did you mean `own-unicast-peer`?"),
        ] {
            let text = instance(&format!("@keepalived-rs {line}"));
            assert_eq!(reports(&text), [(id, help.to_owned())], "{line}");
            assert_eq!(loaded(&text).test_exit, 0, "{line}");
        }
        let text = "vrrp_script s {\n@keepalived-rs vip_repair stock\nscript /bin/true\n}\n";
        assert!(reports(text).iter().any(|(id, _)| *id == "misplaced-own-setting"), "{:?}", reports(text));
    }

    #[test]
    fn braces_of_a_setting_are_no_braces_of_a_block() {
        let text = instance("@keepalived-rs vip_repair {\n");
        let ids: Vec<_> = reports(&text).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["bad-own-setting", "unknown-own-setting"]);
        assert_eq!(loaded(&text).test_exit, 0);
        let text = instance("@keepalived-rs include ours.conf");
        assert_eq!(loaded(&text).config.expect("runs").instances[0].vip_repair, VipRepair::Stock);
    }

    #[test]
    fn a_setting_without_its_prefix_is_named_with_it() {
        let text = instance("vip_repair stock");
        let help = "it is a setting of keepalived-rs: write `@keepalived-rs vip_repair stock`, which keepalived skips";
        assert_eq!(reports(&text), [("unknown-keyword", help.to_owned())]);
        assert_eq!(loaded(&text).test_exit, 5);
    }

    #[test]
    fn no_setting_has_the_name_of_a_keyword() {
        for setting in SETTINGS {
            let all = crate::config::catalogue::entries();
            assert!(all.iter().all(|entry| entry.keyword.name != setting.keyword.name));
        }
    }
}
