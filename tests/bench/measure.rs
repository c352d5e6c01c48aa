//! CPU and memory of a daemon's processes as /proc tells them, and medians in a table.

use std::fmt::Write as _;
use std::fs;

use super::Figures;
use super::kit::daemon::Daemon;

/// Seconds of CPU that all processes of the daemon have used (`schedstat`, first field in nanoseconds).
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of some minutes")]
pub(crate) fn cpu(daemon: &Daemon) -> f64 {
    let of = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    daemon.processes().iter().filter_map(of).sum::<u64>() as f64 / 1e9
}

/// Memory of all processes, in MB: resident (shared pages count once per process), and dirty (what this daemon alone holds).
#[expect(clippy::cast_precision_loss, reason = "kilobytes of one machine")]
pub(crate) fn memory(daemon: &Daemon) -> (f64, f64) {
    let (mut resident, mut dirty) = (0_u64, 0_u64);
    for pid in daemon.processes() {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        resident += of("Rss:").unwrap_or_default();
        dirty += of("Pss_Dirty:").unwrap_or_default();
    }
    (resident as f64 / 1e3, dirty as f64 / 1e3)
}

/// CPU seconds of all children that have ended and been waited for.
#[expect(clippy::cast_precision_loss, reason = "microseconds of some minutes")]
pub(crate) fn children() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN);
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    usage.map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Medians of both, and their ratio.
pub(crate) fn table(ours: &[Figures], stock: &[Figures]) -> String {
    let mut text = format!("  {:44} {:>10} {:>10} {:>8}\n", "median", "ours", "stock", "ratio");
    for (place, (name, _)) in ours.first().into_iter().flatten().enumerate() {
        let (mine, theirs) = (median(ours, place), median(stock, place));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:44} {mine:>10.3} {theirs:>10.3} {:>8.2}", mine / theirs);
    }
    text
}

fn median(rounds: &[Figures], place: usize) -> f64 {
    let mut values: Vec<f64> =
        rounds.iter().filter_map(|figures| figures.get(place)).map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[half],
        values => f64::midpoint(values[half - 1], values[half]),
    }
}
