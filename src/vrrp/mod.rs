//! VRRP as pure cores (sans-IO): packets, instance, sync groups, priorities, announcements. RFC 9568, RFC 3768; spec/vrrp-behaviour.md.
