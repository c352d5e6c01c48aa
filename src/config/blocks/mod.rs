//! One file per configuration block: its keyword table -> model.
