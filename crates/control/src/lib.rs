//! placeholder
#![forbid(unsafe_code)]

pub mod consensus;
pub mod machine;
