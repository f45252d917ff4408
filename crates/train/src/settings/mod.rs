//! What can be set of a model family, declared once.
//!
//! A family's file declares each of its settings as a constant [`Setting`]: name, help, bounds, default, and
//! where `marquee tune` searches it. Everything else is made from these constants: the flags of `marquee train`
//! (`flags`), the config file (`config`), what `tune` draws, and the checks. [`ModelSettings`] holds the values that
//! were given, by name; a family reads them with its constants, each in the constant's type.

mod search;
pub(crate) mod setting;
pub(crate) mod values;

pub(crate) use search::{even, log, one_of};
pub(crate) use setting::{
    Bounds, Setting, SettingInfo, check_settings, choice_name, choice_value, draw_settings,
};
pub(crate) use values::SettingKind;
pub use values::{ModelSettings, Value};
