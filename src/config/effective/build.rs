//! From the trace and the model to the sections.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::kinds::{is_checker, is_modelled, is_section};
use super::made::Of;
use super::sources::{Ancestor, canonical, inherited_from};
use super::{Entry, Origin, Place, Section, Setting, Unused, model};
use crate::config::Loaded;
use crate::config::blocks::TOP;
use crate::config::blocks::settings::{self, Setting as Own};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::model::{CheckKind, Checker, Config, Instance};
use crate::config::render::clean;
use crate::config::schema::{Keyword, Repeat, Shape, Table};
use crate::config::source::{SourceMap, Span, display};
use crate::config::trace::{Node, Trace};
use crate::config::value::address_before_suffix;

/// Words whose value nobody else should read.
const SECRETS: [&str; 3] = ["auth_pass", "password", "key"];
const HIDDEN: &str = "********";

/// Everything that holds, as one section: the top level.
pub fn effective(loaded: &Loaded, trace: &Trace) -> Section {
    let mut reports: HashMap<usize, Vec<&Diagnostic>> = HashMap::new();
    let mut item_reports: HashMap<Span, Vec<&Diagnostic>> = HashMap::new();
    let spans = Spans::new(trace);
    let mut homeless = Vec::new();
    for report in loaded.diagnostics.iter().filter(|report| report.severity > Severity::Note) {
        let Some(span) = report.span else { continue };
        match spans.find(span) {
            Some(Found::Node(index)) => reports.entry(index).or_default().push(report),
            Some(Found::Item(span)) => item_reports.entry(span).or_default().push(report),
            None => homeless.push(report),
        }
    }
    let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, node) in trace.nodes.iter().enumerate() {
        children.entry(node.parent).or_default().push(index);
    }
    for inside in children.values_mut() {
        inside.sort_by_key(|&index| trace.nodes[index].line);
    }
    let config = &trace.config;
    let is_global = |index: &&usize| trace.nodes[**index].keyword.name == "global_defs";
    let tops = children.get(&None).into_iter().flatten();
    let globals = tops.filter(is_global).map(|&index| Some(index)).collect();
    let sources = &loaded.sources;
    let builder = Builder { trace, config, sources, reports, item_reports, children, globals };
    let mut top = builder.top();
    for report in homeless {
        let Some(place) = report.span.and_then(|span| builder.place(span, "")) else { continue };
        top.notes.push(format!("{}:{}: {}", place.file, place.line, why(report)));
    }
    top
}

/// What a report says, and what becomes of the line.
fn why(report: &Diagnostic) -> String {
    match &report.stock {
        Some(stock) => format!("{}; stock: {stock}", report.message),
        None => report.message.clone(),
    }
}

/// Lines by their place, to find the one that a report is about.
struct Spans {
    ordered: Vec<(Span, Found)>,
}

#[derive(Clone, Copy)]
enum Found {
    Node(usize),
    Item(Span),
}

impl Spans {
    fn new(trace: &Trace) -> Self {
        let nodes = trace.nodes.iter().enumerate().map(|(index, node)| (node.span, Found::Node(index)));
        let items =
            trace.nodes.iter().flat_map(|node| &node.items).map(|item| (item.span, Found::Item(item.span)));
        let mut ordered: Vec<_> = nodes.chain(items).collect();
        ordered.sort_by_key(|(span, _)| *span);
        Self { ordered }
    }

    fn find(&self, span: Span) -> Option<Found> {
        let after =
            self.ordered.partition_point(|(line, _)| (line.source, line.start) <= (span.source, span.start));
        let (line, found) = self.ordered.get(after.checked_sub(1)?)?;
        (line.source == span.source && span.start <= line.end).then_some(*found)
    }
}

struct Builder<'a> {
    trace: &'a Trace,
    config: &'a Config,
    sources: &'a SourceMap,
    reports: HashMap<usize, Vec<&'a Diagnostic>>,
    item_reports: HashMap<Span, Vec<&'a Diagnostic>>,
    children: BTreeMap<Option<usize>, Vec<usize>>,
    globals: Vec<Option<usize>>,
}

/// A section being built: its blocks (several when they add up) and those around it, innermost first.
struct Scope<'s> {
    block: &'static str,
    nodes: Vec<Option<usize>>,
    outer: Option<&'s Scope<'s>>,
}

/// A line that gives a value.
#[derive(Clone)]
struct Candidate {
    index: usize,
    value: Value,
    refused: bool,
}

impl<'a> Builder<'a> {
    fn node(&self, index: usize) -> &'a Node {
        &self.trace.nodes[index]
    }

    fn place(&self, span: Span, text: &str) -> Option<Place> {
        let at = self.sources.location(span)?;
        Some(Place { file: clean(&display(at.file)), line: at.line, text: text.to_owned() })
    }

    fn place_of(&self, node: &Node) -> Place {
        let hidden = SECRETS.contains(&node.keyword.name);
        let text = if hidden { format!("{} {HIDDEN}", node.keyword.name) } else { node.text.clone() };
        let nowhere = || Place { file: String::new(), line: 0, text: text.clone() };
        self.place(node.span, &text).unwrap_or_else(nowhere)
    }

    fn complaints(&self, index: usize) -> Vec<String> {
        self.reports.get(&index).into_iter().flatten().map(|report| why(report)).collect()
    }

    fn top(&self) -> Section {
        let scope = Scope { block: "", nodes: vec![None], outer: None };
        let mut top = self.section(&TOP, &scope, Of::Global);
        // Its defaults hold without a block.
        if top.sections.iter().all(|section| section.name() != "global_defs")
            && let Some(keyword) = TOP.find("global_defs")
        {
            top.sections.insert(0, self.block(keyword, &[], &scope));
        }
        top
    }

    /// The settings and blocks of a table.
    fn section(&self, table: &'static Table, scope: &Scope<'_>, of: Of<'a>) -> Section {
        let mut section = Section {
            keyword: None,
            names: Vec::new(),
            places: Vec::new(),
            ignored: None,
            notes: Vec::new(),
            settings: Vec::new(),
            sections: Vec::new(),
        };
        for keyword in table.keywords() {
            let hidden = canonical(scope.block, keyword).0 != keyword.name;
            if hidden || is_section(keyword) {
                continue;
            }
            let mut setting = self.setting(keyword, scope, of);
            if let Of::Instance(instance) = of {
                self.add_of_groups(&mut setting, instance);
            }
            section.settings.push(setting);
        }
        for Own { keyword, .. } in settings::shown_in(scope.block) {
            let mut nodes = scope.nodes.clone();
            if scope.block == "global_defs" {
                // They hold outside any block, too.
                nodes.push(None);
            }
            let scope = Scope { block: scope.block, nodes, outer: scope.outer };
            section.settings.push(self.setting(keyword, &scope, of));
        }
        let blocks = self.inside(scope).filter(|&index| is_section(self.node(index).keyword));
        let mut merged: Vec<(&'static Keyword, Vec<usize>)> = Vec::new();
        for index in blocks {
            let node = self.node(index);
            let keyword = table.find(canonical(scope.block, node.keyword).0).unwrap_or(node.keyword);
            let adds_up = matches!(keyword.name, "global_defs" | "authentication" | "auth_hmac");
            let known =
                if adds_up { merged.iter_mut().find(|(known, _)| known.name == keyword.name) } else { None };
            match known {
                Some((_, nodes)) => nodes.push(index),
                None => merged.push((keyword, vec![index])),
            }
        }
        let mut urls = 0;
        for (keyword, nodes) in merged {
            let mut built = self.block(keyword, &nodes, scope);
            if keyword.name == "url" && built.ignored.is_none() {
                built = self.url_block(keyword, &nodes, scope, of, urls);
                urls += 1;
            }
            section.sections.push(built);
        }
        section
    }

    fn inside(&self, scope: &Scope<'_>) -> impl Iterator<Item = usize> {
        let inside = scope.nodes.iter().filter_map(|node| self.children.get(node)).flatten();
        inside.copied()
    }

    fn block(&self, keyword: &'static Keyword, nodes: &[usize], outer: &Scope<'_>) -> Section {
        self.block_of(keyword, nodes, outer, self.model_of(keyword, nodes, outer))
    }

    fn url_block(
        &self,
        keyword: &'static Keyword,
        nodes: &[usize],
        outer: &Scope<'_>,
        of: Of<'a>,
        position: usize,
    ) -> Section {
        let url = match of {
            Of::Checker(Checker { kind: CheckKind::Http(http), .. }) => http.urls.get(position),
            _ => None,
        };
        self.block_of(keyword, nodes, outer, url.map_or(Of::Nothing, Of::Url))
    }

    fn block_of(&self, keyword: &'static Keyword, nodes: &[usize], outer: &Scope<'_>, of: Of<'a>) -> Section {
        let table = match keyword.shape {
            Shape::Block(block) => block.table,
            _ => &NO_KEYWORDS,
        };
        let scope = Scope {
            block: keyword.name,
            nodes: nodes.iter().map(|&index| Some(index)).collect(),
            outer: Some(outer),
        };
        let complaints: Vec<String> = nodes.iter().flat_map(|&index| self.complaints(index)).collect();
        let skipped = nodes.iter().any(|&index| self.node(index).skipped);
        let mut section = self.section(table, &scope, of);
        section.keyword = Some(keyword);
        section.places = nodes.iter().map(|&index| self.place_of(self.node(index))).collect();
        if let Some(&first) = nodes.first() {
            section.names.clone_from(&self.node(first).arguments);
        }
        let lost = matches!(of, Of::Nothing) && is_modelled(keyword.name);
        if skipped || lost {
            let reason = complaints.join("; ");
            let unused = "nothing in the model comes of it".to_owned();
            section.ignored = Some(if reason.is_empty() { unused } else { reason });
        } else {
            section.notes = complaints;
        }
        if let Shape::List(_) = keyword.shape {
            section.settings = nodes.iter().map(|&index| self.list_as_setting(index)).collect();
        }
        section
    }

    /// The lines of a list with a name, which is a section of its own.
    fn list_as_setting(&self, index: usize) -> Setting {
        let node = self.node(index);
        let mut setting = blank(node.keyword);
        setting.origin = Origin::File(self.place_of(node));
        setting.entries = self.entries(node);
        setting
    }

    fn model_of(&self, keyword: &Keyword, nodes: &[usize], outer: &Scope<'_>) -> Of<'a> {
        let first = nodes.first().map(|&index| self.node(index));
        let name = first.and_then(|node| node.arguments.first()).map_or("", String::as_str);
        let skipped = first.is_some_and(|node| node.skipped);
        let config = self.config;
        let found = match keyword.name {
            "global_defs" => return Of::Global,
            _ if skipped => None,
            "vrrp_instance" => config.instances.iter().find(|it| display(&it.name) == name).map(Of::Instance),
            "vrrp_sync_group" => {
                config.sync_groups.iter().find(|it| display(&it.name) == name).map(Of::Group)
            }
            "vrrp_script" => {
                let is_first = self.inside(outer).find(|&index| {
                    let node = self.node(index);
                    node.keyword.name == "vrrp_script" && node.arguments.first().is_some_and(|it| it == name)
                });
                let counts = is_first == nodes.first().copied();
                let mut scripts = config.scripts.iter();
                scripts.find(|it| counts && display(&it.name) == name).map(Of::Script)
            }
            "virtual_server" => self.built(nodes, &config.virtual_servers).map(Of::VirtualServer),
            "real_server" => {
                let Some(Of::VirtualServer(server)) = self.around(outer) else { return Of::Nothing };
                self.built(nodes, &server.real_servers).map(Of::RealServer)
            }
            name if is_checker(name) => {
                let Some(Of::RealServer(server)) = self.around(outer) else { return Of::Nothing };
                self.built(nodes, &server.checkers).map(Of::Checker)
            }
            _ => None,
        };
        found.unwrap_or(Of::Nothing)
    }

    /// What the model made of the block around.
    fn around(&self, scope: &Scope<'_>) -> Option<Of<'a>> {
        let &index = scope.nodes.first()?;
        Some(self.model_of(self.node(index?).keyword, &[index?], scope.outer?))
    }

    /// The item of the model that a block became.
    fn built<T>(&self, nodes: &[usize], items: &'a [T]) -> Option<&'a T> {
        let node = self.node(*nodes.first()?);
        let mut spans = self.trace.heads(node);
        items.get(spans.find_map(|span| self.trace.built(span))?)
    }

    fn setting(&self, keyword: &'static Keyword, scope: &Scope<'_>, of: Of<'a>) -> Setting {
        let mut setting = blank(keyword);
        let lines = self.candidates(keyword.name, scope);
        if matches!(keyword.shape, Shape::List(_)) || keyword.repeat == Repeat::Accumulates {
            return self.adding_up(setting, &lines, of);
        }
        let shown = of.value(keyword.name, self.config);
        let comparable = !matches!(keyword.shape, Shape::Words | Shape::Script);
        let agrees = |value: &Value| match &shown {
            Some(shown) if comparable => same(shown, value),
            Some(Value::Null) => false,
            _ => true,
        };
        let mut order = lines.clone();
        if keyword.repeat != Repeat::FirstWins {
            order.reverse();
        }
        let winner = order.iter().find(|line| !line.refused && !line.value.is_null());
        for line in &lines {
            let node = self.node(line.index);
            if winner.is_some_and(|winner| winner.index == line.index) {
                continue;
            }
            let complaints = self.complaints(line.index);
            let why = match winner {
                _ if line.refused || line.value.is_null() => complaints.join("; "),
                Some(winner) => format!("line {} counts", self.place_of(self.node(winner.index)).line),
                None => complaints.join("; "),
            };
            let why = if why.is_empty() { "it has no value".to_owned() } else { why };
            setting.unused.push(Unused { place: self.place_of(node), why });
        }
        if let Some(winner) = winner {
            let mut complaints = self.complaints(winner.index);
            let unit_only = comparable || shown.as_ref().is_some_and(Value::is_null);
            if unit_only && !agrees(&winner.value) {
                if complaints.is_empty() {
                    complaints = self.mentions(keyword.name, scope);
                }
                let why = complaints.join("; ");
                let known = if why.is_empty() { "other settings rule it out".to_owned() } else { why };
                setting.corrected = Some(known);
            } else {
                setting.notes = complaints;
            }
            setting.origin = Origin::File(self.place_of(self.node(winner.index)));
            setting.value = shown.unwrap_or_else(|| winner.value.clone());
        } else if let Some((block, from, line)) = self.inherited(keyword.name, scope, &agrees) {
            let place = self.place_of(self.node(line.index));
            setting.origin = Origin::Inherited { block, keyword: from, place };
            setting.value = shown.unwrap_or(line.value);
        } else {
            let overruled = !inherited_from(scope.block, keyword.name).is_empty();
            let mentions = self.mentions(keyword.name, scope);
            setting.corrected = Some(mentions.join("; ")).filter(|why| overruled && !why.is_empty());
            setting.value = shown.unwrap_or(Value::Null);
        }
        if SECRETS.contains(&keyword.name) && !setting.value.is_null() {
            setting.value = Value::from(HIDDEN);
        }
        setting
    }

    /// What the validation says of a keyword at the head of its block.
    fn mentions(&self, keyword: &str, scope: &Scope<'_>) -> Vec<String> {
        let quoted = format!("`{keyword}`");
        let heads = scope.nodes.iter().flatten().filter_map(|index| self.reports.get(index)).flatten();
        heads.filter(|report| report.message.contains(&quoted)).map(|report| why(report)).collect()
    }

    /// The lines of this keyword in the section, under whatever spelling, in the order of the file.
    fn candidates(&self, name: &str, scope: &Scope<'_>) -> Vec<Candidate> {
        let mut found = Vec::new();
        for index in self.inside(scope) {
            let node = self.node(index);
            let (canonical, opposite) = canonical(scope.block, node.keyword);
            if canonical != name {
                continue;
            }
            let value = match &node.value {
                Some(Value::Bool(value)) if opposite => Value::Bool(!value),
                Some(value) => value.clone(),
                None => Value::Null,
            };
            found.push(Candidate { index, value, refused: node.refused });
        }
        found
    }

    /// The line that an outer block gives, whose value is the effective one.
    fn inherited(
        &self,
        keyword: &str,
        scope: &Scope<'_>,
        agrees: &dyn Fn(&Value) -> bool,
    ) -> Option<(&'static str, &'static str, Candidate)> {
        for &source in inherited_from(scope.block, keyword) {
            let (block, name, nodes) = match source {
                Ancestor::Global(name) => {
                    let ours = settings::find(name).map(|_| None);
                    ("global_defs", name, self.globals.iter().copied().chain(ours).collect())
                }
                Ancestor::Outer(block, name) => {
                    let mut outer = scope.outer;
                    while let Some(scope) = outer.filter(|scope| scope.block != block) {
                        outer = scope.outer;
                    }
                    let Some(scope) = outer else { continue };
                    (block, name, scope.nodes.clone())
                }
            };
            let lines = self.candidates(name, &Scope { block, nodes, outer: None });
            let counts = lines.into_iter().rev().find(|line| !line.refused && !line.value.is_null());
            // Words that set several values at once have none to compare.
            let several = matches!(name, "vrrp_min_garp" | "process_names");
            let held =
                || if block == "global_defs" { model::global(name, &self.config.global) } else { None };
            let counts = counts
                .filter(|line| several || agrees(&line.value) || held().is_some_and(|value| agrees(&value)));
            if let Some(line) = counts {
                return Some((block, name, line));
            }
        }
        None
    }

    /// A list, or a keyword of which every line counts.
    fn adding_up(&self, mut setting: Setting, lines: &[Candidate], of: Of<'a>) -> Setting {
        let is_list = matches!(setting.keyword.shape, Shape::List(_));
        for line in lines {
            let node = self.node(line.index);
            let place = self.place_of(node);
            if setting.origin == Origin::Default {
                setting.origin = Origin::File(place.clone());
            } else if is_list && !node.skipped {
                setting.more.push(place.clone());
            }
            let complaints = self.complaints(line.index);
            if is_list {
                if node.skipped {
                    setting.unused.push(Unused { place, why: complaints.join("; ") });
                } else {
                    setting.notes.extend(complaints);
                    setting.entries.extend(self.entries(node));
                }
                continue;
            }
            let refused = line.refused || line.value.is_null();
            let value = match &line.value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let hidden = SECRETS.contains(&setting.keyword.name);
            setting.entries.push(Entry {
                value: if hidden { HIDDEN.to_owned() } else { value },
                place,
                group: None,
                ignored: refused.then(|| complaints.join("; ")),
                notes: if refused { Vec::new() } else { complaints },
            });
        }
        if let Of::Instance(instance) = of {
            let held = match setting.keyword.name {
                "virtual_ipaddress" => Some(&instance.vips),
                "virtual_ipaddress_excluded" => Some(&*instance.excluded),
                _ => None,
            };
            if let Some(held) = held {
                addresses(&mut setting.entries, held);
            }
        }
        setting
    }

    fn entries(&self, node: &Node) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(node.items.len());
        for item in &node.items {
            let Some(place) = self.place(item.span, &item.text) else { continue };
            let reports = self.item_reports.get(&item.span).into_iter().flatten();
            let (errors, others): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
                reports.copied().partition(|report| loses_the_line(report));
            let texts = |reports: &[&Diagnostic]| reports.iter().map(|it| why(it)).collect::<Vec<_>>();
            entries.push(Entry {
                value: item.text.clone(),
                place,
                group: None,
                ignored: (!errors.is_empty()).then(|| texts(&errors).join("; ")),
                notes: texts(&others),
            });
        }
        entries
    }

    /// What the sync group of an instance adds to its lists.
    fn add_of_groups(&self, setting: &mut Setting, instance: &Instance) {
        if !setting.keyword.name.starts_with("track_") {
            return;
        }
        let group = self.config.sync_groups.iter().find(|group| group.members.contains(&instance.name));
        let Some(group) = group else { return };
        let tops = self.children.get(&None).into_iter().flatten();
        let named = |node: &Node| {
            node.keyword.name == "vrrp_sync_group"
                && node.arguments.first().is_some_and(|name| *name == display(&group.name))
        };
        let Some(&block) = tops.into_iter().find(|&&index| named(self.node(index))) else { return };
        let scope = Scope { block: "vrrp_sync_group", nodes: vec![Some(block)], outer: None };
        for line in self.candidates(setting.keyword.name, &scope) {
            let entries = self.entries(self.node(line.index)).into_iter();
            setting.entries.extend(
                entries.map(|entry| Entry { group: Some(display(&group.name).into_owned()), ..entry }),
            );
        }
    }
}

static NO_KEYWORDS: Table = Table::new("", &[]);

fn blank(keyword: &'static Keyword) -> Setting {
    Setting {
        keyword,
        value: Value::Null,
        origin: Origin::Default,
        corrected: None,
        notes: Vec::new(),
        more: Vec::new(),
        entries: Vec::new(),
        unused: Vec::new(),
    }
}

/// Does a report about a line of a list mean that the whole line does not count?
fn loses_the_line(report: &Diagnostic) -> bool {
    let stock = report.stock.as_deref().unwrap_or_default();
    report.severity == Severity::Error && !stock.contains("keeps") && !stock.starts_with("uses")
        || stock.starts_with("ignores the line")
        || stock.starts_with("removes")
        || stock.starts_with("does not track")
}

/// Replaces the lines of addresses by what became of them.
fn addresses(entries: &mut [Entry], held: &[crate::config::model::VirtualAddress]) {
    let mut held = held.iter().peekable();
    for entry in entries.iter_mut().filter(|entry| entry.ignored.is_none()) {
        let Some(written) = entry.value.split(' ').next().and_then(address_before_suffix) else { continue };
        if let Some(address) = held.next_if(|address| address.address == written) {
            entry.value = model::address(address);
        }
    }
}

/// Equal as values: 3 and 3.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        _ => a == b,
    }
}
