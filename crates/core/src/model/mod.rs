//! Models: how one turns a request into scores ([`recipe`]), which searches that comes to for a user, an item or a
//! text ([`interpreter`]), what its words and attributes are called ([`term`]), how new interactions change a user's
//! vector ([`fold_in`]), and which items an answer is due to ([`attribution`]).

pub mod attribution;
pub mod fold_in;
pub mod interpreter;
pub mod recipe;
pub mod term;
