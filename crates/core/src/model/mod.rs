//! Models: how one answers a request ([`recipe`]), what its words and attributes are called ([`term`]), how new
//! interactions change a user's vector ([`fold_in`]), and which items an answer is due to ([`attribution`]).

pub mod attribution;
pub mod fold_in;
pub mod recipe;
pub mod term;
