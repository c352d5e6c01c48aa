//! Lints: what is allowed and hardly meant. Warnings of `check` only, so that no exit code of `-t` depends on them.
//!
//! They look at the drafts, which know their places in the files, after the configuration was read and reported on; what
//! a report of stock's class says already is not said again. Pure. Each lint has its entry in [`LINTS`].

mod addresses; // one VIP of two instances, peers that are this node, virtual servers elsewhere
mod election; // numbers used twice, weights that change nothing
mod keywords; // keywords of one value that stand twice
pub mod nodes; // files of one cluster, held against each other
mod scope; // `@keepalived-rs allow LINT`
mod scripts; // scripts that outlast their interval, scripts that nothing tracks
mod services; // virtual servers that can serve nobody
mod table; // what each lint is called and why it complains
#[cfg(test)]
mod tests;

use super::blocks::{Drafts, TOP, quoted, vrrp_instance};
use super::diagnostic::{Class, Diagnostic, Diagnostics};
use super::model::Config;
use super::reader::{Reader, Surroundings};
use super::schema::Readers;
use super::source::{SourceMap, Span};
use super::syntax::LogicalLines;

pub use scope::Allowed;
pub use table::{LINTS, Lint, REPORTS, find};

/// Are lints wanted?
#[derive(Debug, Clone, Copy)]
pub enum Lints<'a> {
    /// No: for `-t` and the daemon.
    Off,
    /// All but these.
    Except(&'a [String]),
}

/// What the lints have to say beside reports.
#[derive(Debug, Clone, Default)]
pub struct Linted {
    /// The virtual routers of the file, for [`nodes::compare`].
    pub routers: Vec<nodes::Router>,
    /// What is silenced, and where.
    pub allowed: Allowed,
}

/// Adds what the lints find in these lines, of which `config` was made, to the reports; takes away what is silenced.
pub fn lint(
    lines: &LogicalLines,
    sources: &SourceMap,
    config: &Config,
    world: Surroundings<'_>,
    silenced: &[String],
    diagnostics: &mut Diagnostics,
) -> Linted {
    // What this reading reports is reported already.
    let mut known = Diagnostics::new();
    let mut reader = Reader::new(lines, world, &mut known);
    for process in [Readers::PARENT, Readers::CHECKER, Readers::VRRP] {
        reader.walk(process, &TOP);
    }
    let drafts = std::mem::take(&mut reader.drafts);
    let mut found = Vec::new();
    keywords::duplicate_keywords(lines, diagnostics, &mut found);
    addresses::vips_in_two_instances(&drafts, &mut found);
    addresses::own_peers(&drafts, world.facts, &mut found);
    addresses::virtual_servers_elsewhere(&drafts, world.facts, &mut found);
    scripts::script_timeouts(&drafts, &mut found);
    scripts::unused(&drafts, diagnostics, &mut found);
    for draft in &drafts.virtual_servers {
        services::sorry_server_in_pool(draft, &mut found);
        services::weights(draft, &mut found);
    }
    election::same_segment(&drafts, config, world.facts, &mut found);
    let routers = nodes::routers(&drafts, config);
    election::at_the_end_of_the_range(&routers, &mut found);
    for report in found {
        diagnostics.push(report);
    }
    let allowed = Allowed::gather(lines, sources, silenced);
    diagnostics.retain(|report| !allowed.covers(report, sources));
    Linted { routers, allowed }
}

fn report(id: &'static str, span: Span, message: String) -> Diagnostic {
    Diagnostic::warning(id, span, message).class(Class::None)
}

fn instance<'d, 'a>(drafts: &'d Drafts<'a>, name: &str) -> Option<&'d vrrp_instance::Draft<'a>> {
    drafts.instances.iter().find(|draft| draft.name.is_some_and(|known| known.as_str() == name))
}

fn instance_name(draft: &vrrp_instance::Draft<'_>) -> String {
    draft.name.map(quoted).unwrap_or_default()
}
