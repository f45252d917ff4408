//! Who may have how much: calls a second, and places that are held for as long as their holder wants.
//!
//! - [`budget`]: whose budget of concurrent calls a call counts against.
//! - [`places`]: places for connections' streams, shared out so that no peer keeps all of them.
//! - [`rate`]: calls a second, as a token bucket.
//! - [`quota`]: which rate holds for whom, and what each caller has left.
//! - [`peer`]: by what callers are told apart.
//! - [`pacer`]: when to speak of what happens again and again.
//!
//! Time is an argument. Deliberately missing: sockets, and the bounds themselves, which stand where they are used.

pub mod budget;
pub mod pacer;
pub mod peer;
pub mod places;
pub mod quota;
pub mod rate;
