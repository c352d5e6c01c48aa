//! Scripts on their way out: the ordered queue of notify scripts. Pure: `daemon::scripts` starts and reaps them.

pub mod queue; // one queue per receiver: scripts never overtake each other
