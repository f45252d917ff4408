//! Data files in: interactions, items and users, from delimited text and Parquet.
//!
//! All files, whatever their form, become a stream of records of bytes with a row number
//! ([`table::Table`]); on top of it [`interactions`] knows users, items, values and times, and
//! [`items`] knows titles, tags and years, [`users`] attributes of users, [`lists`] what some
//! system recommended, [`feedback`] what was shown and what came of it, [`user_keys`]
//! how a cluster names users and whom it forgets. Which column is which is decided in [`columns`], from the
//! header, from flags, or, for files without a header, from the usual order, and every assumption is
//! said in the report's notes.
//!
//! Where the bytes come from, compressed or not, is [`source`]'s; [`delimited`] and [`json_lines`] make records of
//! [`lines`].
//!
//! Deliberately missing: nested Parquet columns, and guessing at rows that don't parse.

mod args;
mod columns;
mod delimited;
mod event_types;
mod feedback;
mod fields;
mod interactions;
mod intern;
mod items;
mod json_lines;
mod lines;
mod lists;
mod pages;
pub(crate) mod parquet;
mod parquet_cells;
mod quotes;
pub(crate) mod source;
mod table;
mod tags;
mod times;
mod user_keys;
mod users;

pub use args::{ColumnArgs, ItemColumnArgs, UserColumnArgs};
pub use columns::Format;
pub use feedback::{ExposedItem, RecordedEvent, read_events, read_exposures};
pub use interactions::{ReadReport, read_interactions};
pub use items::{ItemMetadata, ItemsFile, read_items};
pub use lists::read_lists;
pub use user_keys::{UserKeysFile, read_user_keys};
pub use users::{UsersFile, read_users};

pub(crate) use fields::{Problem, check_field_id, parse_id, quote};
pub(crate) use table::{BadRows, Table};
pub(crate) use user_keys::forgotten_up_to;
