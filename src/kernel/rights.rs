//! Giving up what a process does not need.

use caps::{CapSet, Capability, CapsHashSet};

/// Keeps these capabilities and gives up all others for good. The message says which step was impossible (some
/// containers refuse); what could be given up is given up.
pub fn keep(wanted: &[Capability]) -> Result<(), String> {
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    let held = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let keep: CapsHashSet = held.intersection(&wanted).copied().collect();
    let mut failed = Vec::new();
    // The bounding set first: it takes a right that is about to go.
    for capability in held.difference(&wanted) {
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false)
            && let Err(error) = caps::drop(None, CapSet::Bounding, *capability)
        {
            failed.push(format!("{capability}: {error}"));
        }
    }
    let none = CapsHashSet::new();
    for (set, value) in [(CapSet::Effective, &keep), (CapSet::Permitted, &keep), (CapSet::Inheritable, &none)]
    {
        if let Err(error) = caps::set(None, set, value) {
            failed.push(error.to_string());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_gone_and_cannot_be_had_back() {
        std::thread::spawn(|| {
            if !caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_RAW).unwrap() {
                eprintln!("SKIPPED: no CAP_NET_RAW to keep");
                return;
            }
            keep(&[Capability::CAP_NET_RAW]).unwrap();
            let left = caps::read(None, CapSet::Permitted).unwrap();
            assert_eq!(left, std::iter::once(Capability::CAP_NET_RAW).collect());
            assert!(caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).is_err());
        })
        .join()
        .unwrap();
    }
}
