//! Lines of `virtual_rules` and `static_rules` (spec/vrrp-config.md §3.3). Whatever is wrong with one drops it.

use super::address::Place;
use super::route_values::realms;
use super::{iproute_number, item_span, list, quoted, tracking};
use crate::config::diagnostic::Diagnostic;
use crate::config::iproute::{self, Kind};
use crate::config::model::{Family, PROTOCOL_KEEPALIVED, Prefix, Rule, RuleAction};
use crate::config::reader::Reader;
use crate::config::schema::{Item, List};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading};

/// `virtual_rules`.
pub static VIRTUAL: List = list(|reader, words| {
    if let Some(rule) = read(reader, words, Place::Virtual) {
        reader.drafts.instance.rules.push(rule);
    }
});
/// `static_rules`.
pub static STATIC: List = list(|reader, words| {
    if let Some(rule) = read(reader, words, Place::Static) {
        reader.drafts.static_rules.push(rule);
    }
});

/// What the last rule without preference got, one count for each family: from 16384 downwards.
#[derive(Debug, Clone, Copy)]
pub struct Preferences {
    v4: u32,
    v6: u32,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { v4: 16_384, v6: 16_384 }
    }
}

impl Preferences {
    fn next(&mut self, family: Family) -> u32 {
        let count = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        let next = *count;
        *count = count.saturating_sub(1);
        next
    }
}

/// For suggestions.
const WORDS: [&str; 36] = [
    "from",
    "to",
    "tos",
    "dsfield",
    "fwmark",
    "iif",
    "dev",
    "oif",
    "tunnel-id",
    "uidrange",
    "ipproto",
    "sport",
    "dport",
    "table",
    "lookup",
    "goto",
    "realms",
    "suppress_prefixlength",
    "sup_pl",
    "suppress_ifgroup",
    "sup_group",
    "preference",
    "priority",
    "order",
    "protocol",
    "track_group",
    "not",
    "no_track",
    "type",
    "l3mdev",
    "nop",
    "blackhole",
    "prohibit",
    "unreachable",
    "inet",
    "inet6",
];

/// The line is dropped; the report is made.
struct Dropped;

struct Line<'r, 'a> {
    reader: &'r mut Reader<'a>,
    words: Item<'a>,
    rest: &'a [Word],
    place: Place,
    rule: Rule,
    family: Option<Family>,
    preference: Option<u32>,
    action: Option<RuleAction>,
    /// The first word that only a lookup can have.
    lookup_only: Option<&'a Word>,
    protocol: Option<&'a Word>,
    track_group: Option<&'a Word>,
}

fn read<'a>(reader: &mut Reader<'a>, words: Item<'a>, place: Place) -> Option<Rule> {
    let rule = Rule {
        family: Family::V4,
        invert: false,
        from: None,
        to: None,
        priority: 0,
        tos: 0,
        fwmark: None,
        iif: None,
        oif: None,
        suppress_prefixlength: None,
        suppress_ifgroup: None,
        tunnel_id: None,
        uid_range: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        realms: None,
        protocol: None,
        action: RuleAction::Nop,
        no_track: false,
        track_group: None,
    };
    let mut line = Line {
        reader,
        words,
        rest: words,
        place,
        rule,
        family: None,
        preference: None,
        action: None,
        lookup_only: None,
        protocol: None,
        track_group: None,
    };
    line.read().ok()?;
    line.finish().ok()
}

impl<'a> Line<'_, 'a> {
    fn read(&mut self) -> Result<(), Dropped> {
        if let [family, after @ ..] = self.rest
            && (family == "inet" || family == "inet6")
        {
            // Stock swallows the word behind the family (spec/vrrp-config.md, trap 3).
            self.rest = after.get(1..).unwrap_or(&[]);
        }
        while let Some((option, after)) = self.rest.split_first() {
            self.rest = after;
            match option.as_str() {
                "not" => self.rule.invert = true,
                "no_track" => self.rule.no_track = true,
                "l3mdev" => self.act(option, RuleAction::L3mdev)?,
                "nop" => self.act(option, RuleAction::Nop)?,
                "type" => {
                    let word = self.value(option)?;
                    let Some(action) = refusal(word) else { return Err(self.invalid(option, word)) };
                    self.act(word, action)?;
                }
                name => match refusal(name) {
                    Some(action) => self.act(option, action)?,
                    None => self.option(option)?,
                },
            }
        }
        Ok(())
    }

    fn option(&mut self, option: &'a Word) -> Result<(), Dropped> {
        let name = option.as_str();
        if !WORDS.contains(&name) || name == "track_group" && self.place == Place::Virtual {
            return Err(self.unknown(option));
        }
        let word = self.value(option)?;
        match name {
            "from" => self.rule.from = Some(self.prefix(option, word)?),
            "to" => self.rule.to = Some(self.prefix(option, word)?),
            "tos" | "dsfield" => self.rule.tos = self.small_name(option, word, Kind::Field)?,
            "fwmark" => self.rule.fwmark = Some(self.checked(option, word, fwmark(word))?),
            "iif" | "dev" => self.rule.iif = Some(self.interface(word)),
            "oif" => self.rule.oif = Some(self.interface(word)),
            "tunnel-id" => self.rule.tunnel_id = Some(self.checked(option, word, word.parse().ok())?),
            "uidrange" => self.rule.uid_range = Some(self.checked(option, word, range(word))?),
            "ipproto" => self.rule.ip_protocol = Some(self.checked(option, word, ip_protocol(word))?),
            "sport" => self.rule.source_ports = Some(self.ports(option, word)?),
            "dport" => self.rule.destination_ports = Some(self.ports(option, word)?),
            "table" | "lookup" => {
                let table = self.name(option, word, Kind::Table, u32::MAX)?;
                if table == 0 {
                    return Err(self.invalid(option, word));
                }
                self.act(option, RuleAction::Lookup(table))?;
            }
            "goto" => {
                let target = self.checked(option, word, word.parse().ok())?;
                self.act(option, RuleAction::Goto(target))?;
            }
            "realms" => {
                self.lookup_only.get_or_insert(option);
                let realms = realms(self.reader, word);
                self.rule.realms = Some(self.checked(option, word, realms)?);
            }
            "suppress_prefixlength" | "sup_pl" => {
                self.lookup_only.get_or_insert(option);
                let length = word.parse().ok().filter(|length| *length <= 128);
                self.rule.suppress_prefixlength = Some(self.checked(option, word, length)?);
            }
            "suppress_ifgroup" | "sup_group" => {
                self.lookup_only.get_or_insert(option);
                let group = self.name(option, word, Kind::Group, u32::MAX)?;
                self.rule.suppress_ifgroup = Some(group);
            }
            "preference" | "priority" | "order" => {
                let preference = hex_or_decimal(word);
                self.preference = Some(self.checked(option, word, preference)?);
            }
            "protocol" => {
                self.protocol = Some(word);
                self.rule.protocol = Some(self.checked(option, word, word.parse().ok())?);
            }
            _ => self.track_group = Some(word),
        }
        Ok(())
    }

    fn act(&mut self, word: &Word, action: RuleAction) -> Result<(), Dropped> {
        if self.action.replace(action).is_none() {
            return Ok(());
        }
        let message = format!("`{}`: a rule has one action only", quoted(word));
        self.reader.push(dropped(word, message));
        Err(Dropped)
    }

    fn finish(mut self) -> Result<Rule, Dropped> {
        let Some(action) = self.action else {
            self.reader.push(
                Diagnostic::error("bad-rule", item_span(self.words), "a rule needs exactly one action")
                    .help("add `table T`, `goto N`, `nop`, `blackhole`, `prohibit` or `unreachable`")
                    .stock("drops the rule"),
            );
            return Err(Dropped);
        };
        self.rule.action = action;
        self.rule.family = self.family.unwrap_or(Family::V4);
        // `from all` has the family that the rest gives it.
        let any = |address: bool| Prefix {
            address: if address { [0; 4].into() } else { [0; 16].into() },
            length: 0,
        };
        for prefix in [&mut self.rule.from, &mut self.rule.to].into_iter().flatten() {
            if prefix.length == 0 {
                *prefix = any(self.rule.family == Family::V4);
            }
        }
        let is_lookup = matches!(action, RuleAction::Lookup(_));
        if let Some(word) = self.lookup_only.filter(|_| !is_lookup) {
            let message = format!("`{}` needs `table`", word.as_str());
            self.reader.push(dropped(word, message));
            return Err(Dropped);
        }
        if self.rule.realms.is_some() && self.rule.family == Family::V6 {
            return Err(self.whole("`realms` are for IPv4 rules", "remove them"));
        }
        if let RuleAction::Goto(target) = action
            && self.preference.is_none_or(|preference| preference >= target)
        {
            return Err(self.whole("`goto` needs a preference below its target", "add `preference N`"));
        }
        if self.preference.is_none() {
            self.reader.push(
                Diagnostic::warning("bad-rule", item_span(self.words), "the rule has no preference")
                    .help("add `preference N`")
                    .stock("assigns one, from 16384 downwards"),
            );
        }
        let family = self.rule.family;
        let next = || self.reader.drafts.preferences.next(family);
        self.rule.priority = self.preference.unwrap_or_else(next);
        self.protocol();
        if let Some(word) = self.track_group {
            self.rule.track_group = self.group(word);
        }
        Ok(self.rule)
    }

    fn protocol(&mut self) {
        if self.rule.no_track {
            return;
        }
        let own = Some(PROTOCOL_KEEPALIVED);
        if let Some(word) = self.protocol.filter(|_| self.rule.protocol != own) {
            self.reader.push(
                Diagnostic::warning("bad-rule", word.span(), "a tracked rule cannot have another protocol")
                    .help("add `no_track`, or remove `protocol`")
                    .stock("sets the protocol to keepalived (18)"),
            );
        }
        self.rule.protocol = own;
    }

    fn group(&mut self, word: &Word) -> Option<String> {
        if self.rule.iif.is_none() {
            self.reader.push(
                dropped(word, "a rule with `track_group` needs `iif`".to_owned()).stock("ignores the group"),
            );
            return None;
        }
        super::statics::known_group(self.reader, word)
    }

    fn prefix(&mut self, option: &Word, word: &Word) -> Result<Prefix, Dropped> {
        if matches!(word.as_str(), "all" | "any" | "default") {
            return Ok(Prefix { address: [0; 4].into(), length: 0 });
        }
        let Some((address, prefix)) = value::address_with_prefix(word, self.reader.world.mode) else {
            return Err(self.invalid(option, word));
        };
        let family = Family::of(address);
        if self.family.is_some_and(|known| known != family) {
            self.reader.push(dropped(word, "a rule cannot mix IPv4 and IPv6".to_owned()));
            return Err(Dropped);
        }
        self.family = Some(family);
        let whole = value::full_prefix(family);
        let length = match prefix {
            Some(Reading::Good(length) | Reading::Used(length, _)) => length,
            Some(Reading::Bad(_)) | None => whole,
        };
        if !matches!(prefix, None | Some(Reading::Good(_))) {
            let message = format!("`{}` has no valid prefix length", quoted(word));
            self.reader.push(
                Diagnostic::error("bad-prefix", word.span(), message)
                    .help(format!("write `{address}/N` with N up to {whole}"))
                    .stock(format!("uses /{length}")),
            );
        }
        Ok(Prefix { address, length })
    }

    fn interface(&mut self, word: &'a Word) -> String {
        tracking::name_interface(self.reader, word, "a rule");
        word.as_str().to_owned()
    }

    fn ports(&mut self, option: &Word, word: &Word) -> Result<(u16, u16), Dropped> {
        let ports = range(word);
        if let Some(ports) = ports {
            return Ok(ports);
        }
        let message = format!("`{}`: `{}` is no valid value", option.as_str(), quoted(word));
        let help = format!("write a range: `{} {1}-{1}`", option.as_str(), quoted(word));
        self.reader.push(dropped(word, message).help(help));
        Err(Dropped)
    }

    fn name(&mut self, option: &Word, word: &Word, kind: Kind, max: u32) -> Result<u32, Dropped> {
        let number = iproute_number(self.reader, kind, word, max);
        self.checked(option, word, number)
    }

    fn small_name(&mut self, option: &Word, word: &Word, kind: Kind) -> Result<u8, Dropped> {
        self.name(option, word, kind, 255).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
    }

    fn value(&mut self, option: &Word) -> Result<&'a Word, Dropped> {
        let Some((word, after)) = self.rest.split_first() else {
            self.reader.push(dropped(option, format!("`{}` needs a value", option.as_str())));
            return Err(Dropped);
        };
        self.rest = after;
        Ok(word)
    }

    fn checked<T>(&mut self, option: &Word, word: &Word, value: Option<T>) -> Result<T, Dropped> {
        value.ok_or_else(|| self.invalid(option, word))
    }

    fn invalid(&mut self, option: &Word, word: &Word) -> Dropped {
        let message = format!("`{}`: `{}` is no valid value", option.as_str(), quoted(word));
        self.reader.push(dropped(word, message));
        Dropped
    }

    fn whole(&mut self, message: &str, help: &str) -> Dropped {
        let report = Diagnostic::error("bad-rule", item_span(self.words), message);
        self.reader.push(report.help(help).stock("drops the rule"));
        Dropped
    }

    fn unknown(&mut self, option: &Word) -> Dropped {
        let mut report = dropped(option, format!("`{}` is no word of a rule", quoted(option)));
        if option == "pref" {
            report = report.help("write `preference`");
        } else if option == "ip_proto" {
            report = report.help("write `ipproto`");
        } else if let Some(meant) = did_you_mean(option, WORDS) {
            report = report.help(format!("did you mean `{meant}`?"));
        }
        self.reader.push(report);
        Dropped
    }
}

fn refusal(word: &str) -> Option<RuleAction> {
    match word {
        "blackhole" => Some(RuleAction::Blackhole),
        "prohibit" => Some(RuleAction::Prohibit),
        "unreachable" => Some(RuleAction::Unreachable),
        _ => None,
    }
}

/// `MARK` or `MARK/MASK` in C notation; an empty mask is 0.
fn fwmark(word: &str) -> Option<(u32, Option<u32>)> {
    match word.split_once('/') {
        Some((mark, "")) => Some((iproute::number(mark)?, Some(0))),
        Some((mark, mask)) => Some((iproute::number(mark)?, Some(iproute::number(mask)?))),
        None => Some((iproute::number(word)?, None)),
    }
}

/// `FIRST-LAST`.
fn range<T: std::str::FromStr>(word: &str) -> Option<(T, T)> {
    let (first, last) = word.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn hex_or_decimal(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

/// A number, or the name of a protocol with ports or of routing's own (the kernel's `rule` knows few others).
fn ip_protocol(word: &str) -> Option<u8> {
    match word {
        "icmp" => Some(1),
        "igmp" => Some(2),
        "tcp" => Some(6),
        "udp" => Some(17),
        "dccp" => Some(33),
        "gre" => Some(47),
        "esp" => Some(50),
        "ah" => Some(51),
        "ipv6-icmp" | "icmpv6" => Some(58),
        "ospf" => Some(89),
        "vrrp" => Some(112),
        "sctp" => Some(132),
        "udplite" => Some(136),
        number => number.parse().ok(),
    }
}

fn dropped(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("bad-rule", word.span(), message).stock("drops the rule")
}
