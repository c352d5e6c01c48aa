//! LVS as pure cores: a virtual server's health arithmetic -> the desired IPVS table -> the difference. spec/ipvs-behaviour.md, spec/checkers.md.
