//! include*, $VAR, ~SEQ/~LST and @conditions: physical lines -> logical lines. spec/config-language.md §1, §5–§8.
