//! Our own configurations with the dumps that they must give.
