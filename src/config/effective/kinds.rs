//! Which keywords are shown as what.

use crate::config::schema::{Keyword, Shape};

/// Is a keyword shown as a section, not as a setting?
pub(super) fn is_section(keyword: &Keyword) -> bool {
    matches!(keyword.shape, Shape::Block(_)) || keyword.name == "virtual_server_group"
}

pub(super) fn is_checker(name: &str) -> bool {
    name.ends_with("_CHECK") || name.ends_with("_GET")
}

/// Blocks that would be in the model if they counted.
pub(super) fn is_modelled(name: &str) -> bool {
    matches!(name, "vrrp_instance" | "vrrp_sync_group" | "vrrp_script" | "virtual_server" | "real_server")
        || is_checker(name)
}
