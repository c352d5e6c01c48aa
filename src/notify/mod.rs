//! Scripts on their way out: the ordered queue of notify scripts.
