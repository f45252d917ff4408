//! Who may do what: access roles, those who have them, and a table of RPCs.
//!
//! A [`Principal`] is who makes a call, as a certificate or a token has proved. [`decide`] looks the RPC up in
//! the [`TABLE`]: what is not in it is denied, and so is all that the principal's roles are not listed for.
//! [`Principal::speaks_for`] says whether a node reports as itself.
//!
//! Deliberately missing: certificates, tokens and their verification, which take clocks and files.

mod decision;
mod principal;
mod role;
mod table;
#[cfg(test)]
mod tests;

pub use decision::{AccessError, decide};
pub use principal::{IdentityError, Principal, Proof, SPIFFE_PATH, principal_of_uri};
pub use role::{AccessRole, UnknownAccessRole};
pub use table::{Access, TABLE, access_to};
