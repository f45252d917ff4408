//! `marquee serve` (being written).
mod admission;
mod health;
mod server;
pub use health::Readiness;
pub use server::*;
