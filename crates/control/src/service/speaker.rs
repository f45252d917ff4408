//! Who makes a call, and whether it speaks for the node that it names.

use marquee_core::access::Principal;
use marquee_core::audit::Actor;
use marquee_core::plan::Role;
use marquee_net::tls::PeerInfo;
use std::sync::Arc;
use tonic::{Request, Status};

/// Who makes a call; none where access is not controlled, and for calls within the process.
pub(super) fn speaker<T>(request: &Request<T>) -> Option<Arc<Principal>> {
    request.extensions().get().cloned()
}

/// Who makes a call, and from where, for the log of changes.
pub(super) fn actor<T>(request: &Request<T>) -> Actor {
    let address = request.extensions().get::<PeerInfo>().and_then(|peer| peer.address);
    let from =
        address.map_or_else(|| "this process".to_owned(), |address| address.ip().to_string());
    match speaker(request) {
        None => Actor { from, ..Actor::default() },
        Some(principal) => Actor {
            name: principal.name.clone(),
            roles: principal.role_names(),
            proof: principal.proof.to_string(),
            from,
        },
    }
}

/// Refuses a principal that is another node than it says, or lacks one of these roles.
pub(super) fn check_node<'a>(
    speaker: Option<&Principal>,
    node_id: &str,
    roles: impl IntoIterator<Item = &'a Role>,
) -> Result<(), Status> {
    let Some(speaker) = speaker else { return Ok(()) };
    let checked = speaker.speaks_for(node_id, roles);
    checked.map_err(|error| Status::permission_denied(format!("node_id {node_id:?}: {error}")))
}
