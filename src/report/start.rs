//! What of a dump goes to the log at start (`-d`): the configuration, without the lines that say how things go.
//! spec/dump-format.md §1 "(live)". Pure.

/// Properties of an instance that only a running one has (spec/dump-format.md §3.1).
const OF_INSTANCES: [&str; 15] = [
    "State = ",
    "Master router = ",
    "Master priority = ",
    "Master advert interval = ",
    "Rogue master counter = ",
    "Roger timer thread = ",
    "Roger adver interval = ",
    "Number of tracker faults = ",
    "Duplicate VRID",
    "Number of track scripts init = ",
    "Last transition = ",
    "Read timeout = ",
    "Master down timer = ",
    "Effective priority = ",
    "Total priority = ",
];

/// Timers of a tracked process (§3.2).
const OF_PROCESSES: [&str; 2] = ["Fork delay timer ", "Terminate delay timer "];

/// The last configured property of a BFD session (§5).
const LAST_OF_SESSIONS: &str = "send event to checker process = ";

/// The lines of a dump that are known before anything runs.
pub fn at_start(dump: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut section = "";
    let (mut in_faults, mut is_live) = (false, false);
    for line in dump.lines() {
        if line.starts_with("------<") {
            section = line.trim_matches(['-', '<', '>', ' ']);
            (in_faults, is_live) = (false, false);
        }
        let Some(property) = line.strip_prefix("   ") else {
            is_live = false;
            lines.push(line);
            continue;
        };
        // The kinds of fault are a list below their head.
        if in_faults && property.starts_with("  ") {
            continue;
        }
        in_faults = section == "VRRP Topology" && property.starts_with("Flags of interface faults");
        let starts = |labels: &[&str]| labels.iter().any(|label| property.starts_with(label));
        let skipped = match section {
            "VRRP Topology" => in_faults || starts(&OF_INSTANCES),
            "VRRP Track processes" => starts(&OF_PROCESSES),
            "BFD Topology" => is_live,
            _ => false,
        };
        if !skipped {
            lines.push(line);
        }
        is_live |= property.starts_with(LAST_OF_SESSIONS);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_running_instance_has_is_left_out() {
        let dump = "------< VRRP Topology >------\n VRRP Instance = V\n   State = BACKUP\n   Flags:\n     Using unicast\n   \
                    Flags of interface faults:\n     i/f down\n   Last transition = 0\n   Interface = eth0\n";
        let shown = at_start(dump).join("\n");
        let expected = "------< VRRP Topology >------\n VRRP Instance = V\n   Flags:\n     Using unicast\n   Interface = eth0";
        assert_eq!(shown, expected);
    }

    #[test]
    fn states_of_interfaces_and_scripts_stay() {
        let dump = "------< Interfaces >------\n Name = lo\n   State = UP, RUNNING\n------< VRRP Scripts >------\n VRRP Script = s\n   State = idle";
        assert_eq!(at_start(dump).join("\n"), dump);
    }

    #[test]
    fn a_session_ends_with_its_last_setting() {
        let dump = "------< BFD Topology >------\n BFD Instance = a\n   TTL = 255\n   send event to checker process = Yes\n   fd_out 3\n BFD Instance = b\n   TTL = 1";
        let shown = at_start(dump);
        assert!(!shown.contains(&"   fd_out 3"));
        assert_eq!(shown.last(), Some(&"   TTL = 1"));
    }
}
