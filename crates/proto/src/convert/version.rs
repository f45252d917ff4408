//! Model versions ↔ `marquee.v1.ModelVersion`.

use super::error::{Result, required};
use crate::generated::v1;
use marquee_core::id::ModelVersion;

/// The wire form of a model version.
pub fn version_to_pb(version: &ModelVersion) -> v1::ModelVersion {
    let ModelVersion { model, version } = version;
    v1::ModelVersion { model: model.clone(), version: *version }
}

/// Reads a model version from its wire form; `field` names it in errors.
pub fn version_from_pb(version: Option<v1::ModelVersion>, field: &str) -> Result<ModelVersion> {
    let v1::ModelVersion { model, version } = required(version, field)?;
    Ok(ModelVersion { model, version })
}
