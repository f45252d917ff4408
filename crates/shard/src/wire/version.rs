//! What all operations of a request have in common.

use crate::error::RequestError;
use marquee_core::bounds::MAX_NAME_BYTES;
use marquee_core::id::ModelVersion;
use marquee_proto::v1;

/// Operations of one request: for each leaf of an ensemble, of each of a batch's surfaces, a few.
const MAX_OPERATIONS: usize = 1_000;

/// Checks the number of a request's operations.
pub(super) fn check_operations(operations: usize) -> Result<(), RequestError> {
    if operations > MAX_OPERATIONS {
        let reason = format!("{operations}: at most {MAX_OPERATIONS} are allowed");
        return Err(RequestError::invalid("ops", reason));
    }
    Ok(())
}

/// The version that the operation at `field` names.
pub(super) fn parse_version(
    field: &str,
    version: Option<v1::ModelVersion>,
) -> Result<ModelVersion, RequestError> {
    let Some(v1::ModelVersion { model, version: number }) = version else {
        return Err(RequestError::at(field, "version", "it is missing"));
    };
    if model.len() > MAX_NAME_BYTES {
        let reason = format!("{} bytes: at most {MAX_NAME_BYTES} are allowed", model.len());
        return Err(RequestError::at(field, "version.model", reason));
    }
    Ok(ModelVersion { model, version: number })
}
