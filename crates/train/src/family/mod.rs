//! The families of recommenders: what each is called, which settings it has, and how it is trained.
//!
//! A [`Family`](definition::Family) makes of a [`TrainingInput`](definition::TrainingInput) a
//! [`TrainedPart`]: matrices by input index, and the recipe that turns them into scores. Its file has
//! everything that is particular to it: name, help, settings with their bounds, defaults and search, and the
//! trainer. The [`registry`] lists all families; the flags of `marquee train`, the config file, `marquee tune`
//! and the members of a hybrid are made from it.
//!
//! Nothing else in the cluster knows of families; [`score`] executes the same
//! recipes in memory, for the evaluation inside training and to fit the weights of a [`hybrid`].
//!
//! | kind | what is searched or summed | after |
//! |---|---|---|
//! | mf | dense, items × rank, and its fold-in matrix | Hu, Koren and Volinsky 2008 |
//! | mf-sgd | dense, items × (rank + 2), biases as columns | Koren, Bell and Volinsky 2009 |
//! | bpr | dense, items × (rank + 1), the bias as a column | Rendle et al. 2009 |
//! | item-knn | `item_neighbours`, items × items | Sarwar et al. 2001 |
//! | user-knn | `users_by_item`, items × users, or users × rank; then `user_histories` | Herlocker et al. 1999 |
//! | ease | `ease`, items × items | Steck 2019 |
//! | rp3beta | `rp3beta`, items × items | Paudel et al. 2017 |
//! | rules | `rules`, items × items | Agrawal, Imieliński and Swami 1993 |
//! | transitions | `transitions`, items × items | Shani, Heckerman and Brafman 2005 |
//! | content | dense, items × topics | Deerwester et al. 1990 |
//! | trending | `trending`, one row | |
//! | hybrid | all of the above | |
//!
//! Every sum has an order that does not depend on threads: rows are computed alone, each in the order of
//! its entries. Users and items in another order, with other ids, get the same scores up to rounding from all
//! families but those that draw starts or pairs at random by place: mf, mf-sgd, bpr, user-knn by vectors, and a
//! hybrid by its mf. To them another order is another seed.
//!
//! Beside a family stand [`profile`], which answers by attributes whatever the family, and `cold_items`, which
//! gives mf vectors for items without interactions.

mod bpr;
mod cold_items;
mod config;
mod content;
mod definition;
mod ease;
mod frequent_sets;
pub(crate) mod grid;
mod hybrid;
mod item_knn;
mod lsa;
mod mf;
mod mf_sgd;
mod part;
mod popularity;
pub(crate) mod profile;
mod registry;
mod rp3beta;
mod rules;
pub(crate) mod score;
mod shared_settings;
mod sparse;
#[cfg(test)]
mod tests;
mod training_users;
mod transitions;
mod trending;
mod user_knn;
mod widen;

pub use config::ModelConfig;
pub(crate) use content::TERM_RARITY;
pub(crate) use definition::TrainingOptions;
pub(crate) use frequent_sets::frequent_sets;
pub(crate) use hybrid::{BlendLists, fit_weights};
pub(crate) use lsa::top_terms;
pub use mf::{ITEM_FACTORS, USER_FACTORS};
pub(crate) use mf::{mf_matrices, mf_recipe};
pub(crate) use part::TrainedPart;
pub use registry::ModelKind;
pub(crate) use rules::{RuleCounts, RuleMeasure};
