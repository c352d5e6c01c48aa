//! Files and spans: every token knows its file, line and column, also after substitution.
