//! Linux, and the only home of netlink, raw sockets, sysctl, timerfd, spawn, syslog and of `unsafe`.
//!
//! Wrappers are small and safe, return owned descriptors (close-on-exec and non-blocking from birth) and keep errno
//! in their errors. No protocol decision is taken here.
