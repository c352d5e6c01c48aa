//! The keyword table machinery: one table per block parses, suggests and explains.
