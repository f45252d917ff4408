//! The list of all families.

use super::definition::Family;
use super::{
    bpr, content, ease, hybrid, item_knn, mf, mf_sgd, popularity, rp3beta, rules, transitions,
    trending, user_knn,
};
use crate::interactions::Interactions;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use marquee_bundle::ItemRecord;
use serde::{Serialize, Serializer};

/// Makes the enum of families, and what leads from each to its [`Family`].
macro_rules! registry {
    ($($family:ident in $module:ident),+ $(,)?) => {
        /// A family of recommenders, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ModelKind {
            $(
                #[doc = concat!("The family of `family/", stringify!($module), ".rs`.")]
                $family,
            )+
        }

        impl ModelKind {
            /// All families, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$family),+];

            /// What the family is and does.
            pub(crate) fn family(self) -> &'static dyn Family {
                match self {
                    $(Self::$family => &$module::$family),+
                }
            }
        }
    };
}

registry! {
    Mf in mf,
    MfSgd in mf_sgd,
    Bpr in bpr,
    ItemKnn in item_knn,
    UserKnn in user_knn,
    Ease in ease,
    Rp3beta in rp3beta,
    Transitions in transitions,
    Rules in rules,
    Content in content,
    Popularity in popularity,
    Trending in trending,
    Hybrid in hybrid,
}

impl ModelKind {
    /// As on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        self.family().name()
    }

    /// The families that a hybrid can have as members.
    pub(crate) fn members() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|kind| kind.family().can_be_member())
    }

    /// The members that such data allow.
    pub(crate) fn members_for(rows: &Interactions, items: &[ItemRecord]) -> Vec<Self> {
        Self::members().filter(|kind| kind.family().unsuited(rows, items).is_none()).collect()
    }

    /// The members that such data do not allow, each with why.
    pub(crate) fn not_members_for(
        rows: &Interactions,
        items: &[ItemRecord],
    ) -> Vec<(Self, String)> {
        let why = |kind: Self| Some((kind, kind.family().unsuited(rows, items)?));
        Self::members().filter_map(why).collect()
    }
}

impl Default for ModelKind {
    /// What is trained unless told otherwise.
    fn default() -> Self {
        Self::Mf
    }
}

impl ValueEnum for ModelKind {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.family().summary()))
    }
}

impl Serialize for ModelKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
