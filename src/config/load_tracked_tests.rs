//! `track_file` and `vrrp_track_process` from text to model (spec/vrrp-config.md §2.4, §2.7, §4 rows 36 and 41).

use std::time::Duration;

use super::load_kit::{config, instance, reports};
use super::model::*;

fn tracked(name: &str, weight: i32, reverse: bool) -> Tracked {
    Tracked { name: name.to_owned(), weight, reverse }
}

#[test]
fn a_tracked_file_takes_its_weight_from_the_block_or_from_the_list() {
    let text = format!(
        "track_file a {{\n file /x/a\n weight -3 reverse\n init_file 7 overwrite\n}}\ntrack_file b {{\n file /x/b\n}}\n\
         track_file unused {{\n file /x/c\n}}\n{}",
        instance("track_file {\n a\n b weight 4 reverse\n}")
    );
    let config = config(&text);
    assert_eq!(config.instances[0].track_files[..], [tracked("a", -3, true), tracked("b", 4, true)]);
    let init = Some(InitFile { value: 7, overwrite: true });
    let a = TrackFile { name: "a".into(), path: "/x/a".into(), weight: -3, reverse: true, init };
    assert_eq!(config.track_files[0], a);
    // Stock does not keep those that nothing tracks.
    assert_eq!(config.track_files.len(), 2);
}

#[test]
fn a_tracked_process_has_its_words_its_quorum_and_its_delays() {
    let text = format!(
        "vrrp_track_process p {{\n process /usr/bin/x 1 2\n param_match partial\n quorum 2\n quorum_max 3\n delay 1\n \
         fork_delay 0.5\n weight 9\n}}\nvrrp_track_process none {{\n process y\n quorum_max 0\n}}\n\
         vrrp_track_process bare {{\n process z\n param_match\n}}\n{}",
        instance("track_process {\n p weight -5\n none\n}")
    );
    let config = config(&text);
    assert_eq!(config.instances[0].track_processes[..], [tracked("p", -5, false), tracked("none", 0, false)]);
    let p = TrackProcess {
        name: "p".into(),
        command: "/usr/bin/x".into(),
        parameters: vec!["1".into(), "2".into()],
        parameters_match: ParametersMatch::Partial,
        full_command: true,
        quorum: 2,
        quorum_max: Some(3),
        terminate_delay: Duration::from_secs(1),
        fork_delay: Duration::from_millis(500),
        weight: 9,
        reverse: false,
    };
    assert_eq!(config.track_processes[0], p);
    let none = &config.track_processes[1];
    assert_eq!((none.quorum, none.quorum_max, none.parameters_match), (0, Some(0), ParametersMatch::Any));
    assert_eq!(config.track_processes[2].parameters_match, ParametersMatch::Exact);
}

#[test]
fn members_of_a_group_and_owners_do_not_track_files_with_a_weight() {
    let files = "track_file one {\n file /x/a\n}\ntrack_file two {\n file /x/b\n weight 2\n}\n";
    let grouped = format!(
        "{files}vrrp_sync_group G {{\n group {{\n V\n }}\n track_file {{\n two\n }}\n}}\n{}",
        instance("track_file {\n one\n two\n}").replace("vrrp_instance V1", "vrrp_instance V")
    );
    let config = config(&grouped);
    assert_eq!(config.instances[0].track_files[..], [tracked("one", 0, false)]);
    assert_eq!(config.sync_groups[0].track_files, [tracked("two", 2, false)]);
    assert!(reports(&grouped).iter().filter(|report| report.ends_with(":weight-dropped")).count() == 2);
}
