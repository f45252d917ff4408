//! What is held out for evaluation, and how: interactions cut into what is trained on and what is
//! to be found.
//!
//! Each rule gives every row its [`SplitPart`] ([`split`]); [`hold_out`](fn@hold_out) is the rule that
//! training itself uses, and [`write_split`] is `marquee split`, which writes files.
//!
//! | [`SplitBy`] | what is held out | source |
//! |---|---|---|
//! | `time` | each user's last share | Meng et al. 2020, "temporal user split" |
//! | `global-time` | the last share of all rows: after one moment, of all users | the same, "temporal global split": nothing is trained on the future |
//! | `leave-last` | each user's last row; the last but one to validate on | the same, "leave one last item" |
//! | `user` | all rows of some users, each user's last share to find and the others as input | Marlin 2004, "strong generalisation"; Liang et al. 2018 |
//! | `rows` | every row once, in one of K folds at random | K-fold cross-validation, Stone 1974 |
//!
//! "Last" is by (time, canonical order of the item's id); where there are no times, `time`,
//! `leave-last` and `user` take rows at random by the seed, and say so.
//!
//! Deliberately missing: negatives (rankings are over all items), and folding or dropping of new
//! users and items: what is new in the test part is counted, and stays, as it does in life.

mod args;
pub(crate) mod hold_out;
mod options;
mod parts;
mod write;

pub use args::{SPLIT_EXAMPLES, SplitArgs};
pub use hold_out::{HoldOut, hold_out};
pub use options::{SplitBy, SplitOptions};
pub use parts::{Parts, SplitPart, split};
pub use write::{FoldSummary, PartSummary, SplitSummary, write_split};
