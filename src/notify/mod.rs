//! What goes out: events as lines of FIFOs, mails, and the ordered queue of notify scripts. Pure: the processes of `daemon` send.

pub mod event; // events as lines of FIFOs
pub mod fifo; // lines that wait for a slow reader of a FIFO
pub mod mail; // a mail: subject, text, headers, envelope
pub mod queue; // one queue per receiver: scripts never overtake each other
pub mod smtp; // the dialogue with a mail relay, without the connection
