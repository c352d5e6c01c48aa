//! Which scripts a state change runs, in which order, with which arguments (spec/daemon-behaviour.md §8.1).

use super::event::{Action, Actions, StateWord, Subject, Transition};
use super::snapshot::VrrpState;
use crate::config::model::{Command, Instance, NotifyScripts, SyncGroup};

/// The scripts of an instance: the specific one, then the generic one with four more arguments; then its entry for
/// FIFOs, mail and journal.
pub(super) fn instance(config: &Instance, word: StateWord, priority: u8, cause: &str, out: &mut Actions) {
    scripts(&config.notify, ["INSTANCE", &config.name], word, priority, out);
    let subject = Subject::Instance(config.name.clone());
    let alert = config.smtp_alert.then(|| subject.clone());
    out.push(Action::Transition(Transition { subject, state: word, priority, cause: cause.to_owned() }));
    out.extend(alert.map(|subject| Action::Alert { subject, state: word }));
}

/// A state that goes on over a reload.
pub(super) fn stands(subject: Subject, state: StateWord, priority: u8, out: &mut Actions) {
    let cause = "the configuration was reloaded".to_owned();
    out.push(Action::Stands(Transition { subject, state, priority, cause }));
}

/// The same for a sync group, whose priority is always 0.
pub(super) fn group(config: &SyncGroup, word: StateWord, cause: &str, out: &mut Actions) {
    scripts(&config.notify, ["GROUP", &config.name], word, 0, out);
    out.push(Action::Transition(Transition {
        subject: Subject::Group(config.name.clone()),
        state: word,
        priority: 0,
        cause: cause.to_owned(),
    }));
    if config.smtp_alert {
        out.push(Action::Alert { subject: Subject::Group(config.name.clone()), state: word });
    }
}

/// The word that a state is reported with; INIT is not reported.
pub(super) fn word(state: VrrpState) -> Option<StateWord> {
    match state {
        VrrpState::Init => None,
        VrrpState::Backup => Some(StateWord::Backup),
        VrrpState::Master => Some(StateWord::Master),
        VrrpState::Fault => Some(StateWord::Fault),
    }
}

fn scripts(scripts: &NotifyScripts, who: [&str; 2], word: StateWord, priority: u8, out: &mut Actions) {
    let specific = match word {
        // For FIFOs only.
        StateWord::MasterPriority | StateWord::BackupPriority => return,
        StateWord::Backup => &scripts.backup,
        StateWord::Master => &scripts.master,
        StateWord::Fault => &scripts.fault,
        StateWord::Stop => &scripts.stop,
        StateWord::Deleted => &scripts.deleted,
        StateWord::MasterRxLowerPri => &scripts.rx_lower_pri,
    };
    // Stock: the generic script does not hear of lower-priority adverts.
    let generic = scripts.generic.as_ref().filter(|_| word != StateWord::MasterRxLowerPri);
    let generic = generic.map(|command| with_arguments(command, who, word, priority));
    let commands: Vec<Command> = specific.iter().cloned().chain(generic).collect();
    if !commands.is_empty() {
        out.push(Action::Notify { receiver: format!("{} {}", who[0], who[1]), commands });
    }
}

fn with_arguments(command: &Command, who: [&str; 2], word: StateWord, priority: u8) -> Command {
    let mut command = command.clone();
    command.argv.extend([who[0].to_owned(), who[1].to_owned(), word.name().to_owned(), priority.to_string()]);
    command
}
