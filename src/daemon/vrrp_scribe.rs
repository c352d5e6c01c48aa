//! Writes down the state of all instances for a successor, some of them at a time: what falls due meanwhile does not wait for
//! the rest.

use std::time::Duration;

use crate::kernel::timer::now;
use crate::time::Time;
use crate::vrrp::Router;

/// One go takes so long or a little longer.
const GO: Duration = Duration::from_micros(150);
/// Pieces that are written before the clock is looked at.
const PIECES: usize = 4;
/// What changes under the pen is begun anew so often; then all is written in one go.
const PATIENCE: u32 = 8;

/// A state half written, or none.
#[derive(Default)]
pub(super) struct Scribe {
    bytes: Vec<u8>,
    /// The next piece, while it writes.
    next: Option<usize>,
    /// Beginnings without an end.
    begun: u32,
    /// Since the first of them, writing alone.
    spent: Duration,
}

impl Scribe {
    /// Is there a rest to be written?
    pub(super) fn is_writing(&self) -> bool {
        self.next.is_some()
    }

    /// Begins, with a clean sheet.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.next = Some(0);
        self.begun += 1;
    }

    /// Writes on, until something else is due; when it is done, gives the whole and how long that took.
    pub(super) fn write(
        &mut self,
        router: &Router,
        due: Option<Time>,
    ) -> Result<Option<(Vec<u8>, Duration)>, postcard::Error> {
        let Some(first) = self.next else { return Ok(None) };
        let (begin, count) = (now(), router.state_pieces());
        let end = due.map_or(begin + GO, |due| due.min(begin + GO));
        let is_patient = self.begun <= PATIENCE;
        for number in first..count {
            if is_patient && number > first && number % PIECES == 0 && now() >= end {
                self.next = Some(number);
                self.spent += now().since(begin);
                return Ok(None);
            }
            let bytes = std::mem::take(&mut self.bytes);
            self.bytes = postcard::to_extend(&router.state_piece(number), bytes).inspect_err(|_| {
                *self = Self::default();
            })?;
        }
        let Self { bytes, spent, .. } = std::mem::take(self);
        Ok(Some((bytes, spent + now().since(begin))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::VrrpPart;
    use crate::vrrp::State;
    use crate::vrrp::tests::samples::instance;

    #[test]
    fn a_state_written_in_many_goes_reads_back_and_one_that_changes_again_and_again_is_written_in_one() {
        let instances = (1..=150).map(|vrid| instance(&format!("V{vrid}"), vrid, 100)).collect();
        let router = Router::new(&VrrpPart { instances, ..VrrpPart::default() });
        let mut scribe = Scribe::default();
        scribe.begin();
        let mut goes = 1;
        let written = loop {
            // Always overdue.
            match scribe.write(&router, Some(Time::ZERO)).unwrap() {
                Some((bytes, _)) => break bytes,
                None => goes += 1,
            }
        };
        assert!(goes > 30 && !scribe.is_writing(), "{goes}");
        assert_eq!(postcard::from_bytes::<State>(&written).unwrap(), router.state());
        for _ in 0..PATIENCE {
            scribe.begin();
            assert!(scribe.write(&router, Some(Time::ZERO)).unwrap().is_none());
        }
        scribe.begin();
        let (again, _) = scribe.write(&router, Some(Time::ZERO)).unwrap().unwrap();
        assert_eq!(again, written);
    }
}
