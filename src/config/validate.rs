//! What only the whole file, or the host, can tell. spec/vrrp-config.md §4, spec/lvs-config.md §9.
