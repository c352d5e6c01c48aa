//! Headline figures against stock keepalived, alternating in one run: only the ratios mean anything on another machine.
//!
//! `tests/bench/run [NAME …] [--rounds N]`. Looks at nothing but the wire, the kernel and /proc. Each scenario gives
//! the same figures for both programs; the table shows medians. Nothing here is a test: no figure fails a run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

mod checks;
#[path = "../lab/kit/mod.rs"]
mod kit;
mod measure;
mod scale;
mod scenarios;
mod takeover;

use std::process::ExitCode;

use kit::daemon::Program;
use scenarios::{LONG, SCENARIOS, Scenario};

/// What one round of a scenario found: name with unit, and value.
type Figures = Vec<(&'static str, f64)>;

fn main() -> ExitCode {
    kit::net::remember_home();
    let (chosen, rounds) = match arguments() {
        Ok(said) => said,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let (ours, stock) = (Program::ours(), Program::stock());
    for program in [&ours, &stock] {
        if !program.path.exists() {
            eprintln!("{} is missing: use tests/bench/run", program.path.display());
            return ExitCode::from(2);
        }
    }
    let mut failed = false;
    for scenario in chosen {
        println!("\n{}", scenario.about);
        match alternate(scenario, &ours, &stock, rounds) {
            Ok(table) => print!("{table}"),
            Err(why) => {
                println!("  failed: {why}");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

fn arguments() -> Result<(Vec<&'static Scenario>, usize), String> {
    let (mut chosen, mut rounds) = (Vec::new(), 5);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // What cargo bench adds.
            "--bench" => {}
            "--rounds" => {
                let number = words.next().and_then(|n| n.parse().ok()).filter(|n| (1..=100).contains(n));
                rounds = number.ok_or("--rounds needs a number from 1 to 100")?;
            }
            name => chosen.push(SCENARIOS.iter().chain(LONG).find(|s| s.name == name).ok_or_else(|| {
                let names: Vec<_> = SCENARIOS.iter().chain(LONG).map(|s| s.name).collect();
                format!("no scenario {name}; there are {}", names.join(", "))
            })?),
        }
    }
    if chosen.is_empty() {
        chosen.extend(SCENARIOS);
    }
    Ok((chosen, rounds))
}

/// Ours, stock, stock, ours …: what the machine does in between meets both.
fn alternate(scenario: &Scenario, ours: &Program, stock: &Program, rounds: usize) -> Result<String, String> {
    let (mut of_ours, mut of_stock) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            let (program, figures) =
                if (round + turn) % 2 == 0 { (ours, &mut of_ours) } else { (stock, &mut of_stock) };
            let directory = kit::place::case_directory(&format!("bench-{}", scenario.name))?;
            let found =
                (scenario.run)(program, &directory).map_err(|why| format!("{}: {why}", program.label))?;
            // Logs of a thousand instances are large, and nobody reads those of a round that went well.
            let _ = std::fs::remove_dir_all(directory);
            figures.push(found);
        }
    }
    Ok(measure::table(&of_ours, &of_stock))
}
