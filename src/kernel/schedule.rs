//! How the kernel schedules this process: nice value, round-robin real time, CPUs, locked memory
//! (spec/vrrp-behaviour.md §11).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::Pid;

use super::error::{Doing, Error};
use crate::config::model::Scheduling;

/// Raises the limits that let this process follow a later [`apply`] after it gave up its capabilities.
pub fn keep_open() -> Result<(), Error> {
    const ANY_NICE: u64 = 40;
    const ANY_REALTIME: u64 = 99;
    let limits = [
        (Resource::RLIMIT_NICE, ANY_NICE),
        (Resource::RLIMIT_RTPRIO, ANY_REALTIME),
        (Resource::RLIMIT_MEMLOCK, libc::RLIM_INFINITY),
    ];
    for (limit, value) in limits {
        setrlimit(limit, value, value).doing(|| format!("raising {limit:?}"))?;
    }
    Ok(())
}

/// Goes from `before` to `wanted`; what did not change is left alone. All that can be done is done; the errors tell the
/// rest.
pub fn apply(wanted: &Scheduling, before: &Scheduling) -> Vec<Error> {
    let mut errors = Vec::new();
    if wanted.nice != before.nice {
        errors.extend(set_nice(wanted.nice.unwrap_or(0)).err());
    }
    let has_other_limit = wanted.realtime.is_some() && wanted.rlimit_rttime != before.rlimit_rttime;
    if wanted.realtime != before.realtime || has_other_limit {
        errors.extend(set_realtime(wanted.realtime, wanted.rlimit_rttime).err());
    }
    if wanted.cpu_affinity != before.cpu_affinity {
        errors.extend(set_cpus(&wanted.cpu_affinity).err());
    }
    if wanted.no_swap != before.no_swap {
        let result = if wanted.no_swap {
            mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
        } else {
            munlockall()
        };
        errors.extend(result.doing(|| "locking memory").err());
    }
    errors
}

fn set_nice(nice: i8) -> Result<(), Error> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(nice)) };
    Errno::result(result).map(drop).doing(|| format!("setting the nice value to {nice}"))
}

/// Gives this process a real-time priority with the limit on what it may use without a pause, or (`None`) the normal
/// policy, for which the limit means nothing. Stock: the first warning (SIGXCPU) comes at half the limit.
pub fn set_realtime(priority: Option<u8>, limit: Duration) -> Result<(), Error> {
    if priority.is_some() {
        warn_of_limit();
        set_limit(limit)?;
    }
    let (policy, level) = match priority {
        Some(level) => (libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, i32::from(level)),
        None => (libc::SCHED_OTHER, 0),
    };
    let parameter = libc::sched_param { sched_priority: level };
    // SAFETY: the parameter lives for the call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
    Errno::result(result).map(drop).doing(|| format!("setting real-time priority {level}"))
}

/// `RLIMIT_RTTIME`; zero is no limit.
fn set_limit(limit: Duration) -> Result<(), Error> {
    let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    let (soft, hard) =
        if micros == 0 { (libc::RLIM_INFINITY, libc::RLIM_INFINITY) } else { (micros / 2, micros) };
    setrlimit(Resource::RLIMIT_RTTIME, soft, hard)
        .doing(|| format!("limiting the real-time CPU time to {micros} us"))
}

/// SIGXCPU has come.
static WARNED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_warning(_: libc::c_int) {
    WARNED.store(true, Ordering::Relaxed);
}

/// Lets SIGXCPU be noted instead of ending the process.
fn warn_of_limit() {
    let action = SigAction::new(SigHandler::Handler(note_warning), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler only stores into an atomic.
    let set = unsafe { sigaction(Signal::SIGXCPU, &action) };
    debug_assert!(set.is_ok(), "SIGXCPU can be handled");
}

/// Has this process used half of its real-time limit without a pause since this was asked last? The kernel then has
/// raised the lower limit by a second; it is set again.
pub fn has_been_warned(limit: Duration) -> bool {
    if !WARNED.swap(false, Ordering::Relaxed) {
        return false;
    }
    // It was set before, so there is nothing new to tell if it fails.
    let _ = set_limit(limit);
    true
}

/// No CPU listed is all CPUs.
fn set_cpus(cpus: &[u32]) -> Result<(), Error> {
    let doing = || format!("binding to CPUs {cpus:?}");
    let mut set = CpuSet::new();
    if cpus.is_empty() {
        for cpu in 0..CpuSet::count() {
            set.set(cpu).doing(doing)?;
        }
    }
    for cpu in cpus {
        set.set(usize::try_from(*cpu).unwrap_or(usize::MAX)).doing(doing)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).doing(doing)
}

#[cfg(test)]
mod tests {
    use nix::sched::sched_getaffinity;

    use super::*;

    /// All of these are properties of a thread, so a thread of its own is enough.
    fn on_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn only_what_changed_is_touched() {
        on_a_thread(|| {
            let same = Scheduling { nice: Some(-20), realtime: Some(99), ..Scheduling::default() };
            assert_eq!(apply(&same, &same), []);
            // SAFETY: plain numbers.
            assert_eq!(unsafe { libc::sched_getscheduler(0) }, libc::SCHED_OTHER);
        });
    }

    /// The limit is the process'; it means nothing to threads of the normal policy.
    #[test]
    fn half_of_the_real_time_limit_is_worth_a_warning_which_is_told_once() {
        on_a_thread(|| {
            use nix::sys::resource::getrlimit;
            warn_of_limit();
            let before = getrlimit(Resource::RLIMIT_RTTIME).unwrap();
            set_limit(Duration::from_secs(5000)).unwrap();
            assert_eq!(getrlimit(Resource::RLIMIT_RTTIME).unwrap(), (2_500_000_000, 5_000_000_000));
            // Where it was unlimited it can be so again only with a right that tests need not have.
            let _ = setrlimit(Resource::RLIMIT_RTTIME, before.0, before.1);
            assert!(!has_been_warned(Duration::from_secs(5000)));
            nix::sys::signal::raise(Signal::SIGXCPU).unwrap();
            assert!(has_been_warned(Duration::from_secs(5000)));
            assert!(!has_been_warned(Duration::from_secs(5000)));
        });
    }

    #[test]
    fn cpus_and_nice_are_set_and_an_impossible_cpu_is_told() {
        on_a_thread(|| {
            let before = Scheduling::default();
            let wanted = Scheduling { nice: Some(3), cpu_affinity: vec![0], ..Scheduling::default() };
            assert_eq!(apply(&wanted, &before), []);
            let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
            assert_eq!((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap()).count(), 1);
            // SAFETY: plain numbers.
            assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 3);
            let far = Scheduling { cpu_affinity: vec![100_000], ..wanted.clone() };
            let errors = apply(&far, &wanted);
            assert!(errors[0].to_string().starts_with("binding to CPUs [100000]: "), "{errors:?}");
        });
    }
}
