//! Timers, ranges, addresses, booleans: parsed once, used by every keyword. spec/config-language.md §9.
