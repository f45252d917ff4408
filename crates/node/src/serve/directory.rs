//! What an address serves, and where the rest of the cluster's services are.
//!
//! A call of a service that is not here would be UNIMPLEMENTED without a word, though the caller has only taken the wrong port. This
//! layer is inside the guard: only those who are let in are told of other addresses.

use marquee_core::access::access_to;
use marquee_core::plan::{Plan, Role};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Addresses that an answer names at most: one is enough to go on.
const MAX_NAMED_ADDRESSES: usize = 5;
/// Characters of a path that an answer repeats at most.
const MAX_PATH_CHARACTERS: usize = 200;

/// What one address serves. Clones share it.
#[derive(Clone)]
pub(super) struct Directory(Arc<Known>);

struct Known {
    /// The names of the services, as in paths of calls.
    served: Vec<&'static str>,
    plan: watch::Receiver<Arc<Plan>>,
    /// The addresses of control nodes in the config.
    control_addresses: Vec<String>,
}

impl Directory {
    /// An address with these services, of a node that follows this plan.
    pub(super) fn new(
        served: &[&'static str],
        plan: watch::Receiver<Arc<Plan>>,
        control_addresses: Vec<String>,
    ) -> Self {
        Self(Arc::new(Known { served: served.to_vec(), plan, control_addresses }))
    }

    /// Why a path cannot be called here; none if it can.
    fn refusal(&self, path: &str) -> Option<String> {
        let Known { served, plan, control_addresses } = &*self.0;
        let service = path.split('/').nth(1).unwrap_or_default();
        if access_to(path).is_none() {
            let shown: String = path.chars().take(MAX_PATH_CHARACTERS).collect();
            return Some(format!(
                "there is no RPC {shown:?}; this address serves {}: reflection lists their RPCs",
                served.join(", ")
            ));
        }
        if service.starts_with("grpc.") || served.contains(&service) {
            return None;
        }
        let role = role_of(service);
        let (who, addresses) = match role {
            Some(Role::Control) => ("control nodes", control_addresses.clone()),
            Some(Role::Shard) => ("shard nodes", addresses_of(&plan.borrow(), Role::Shard)),
            Some(Role::Router) => ("routers", addresses_of(&plan.borrow(), Role::Router)),
            None => ("nodes", Vec::new()),
        };
        let named: Vec<&str> =
            addresses.iter().take(MAX_NAMED_ADDRESSES).map(String::as_str).collect();
        let there =
            if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
        Some(format!(
            "{service} is not served at this address, which serves {}; it is a service of {who}{there}",
            served.join(", ")
        ))
    }
}

/// The role that serves a service.
fn role_of(service: &str) -> Option<Role> {
    let package = service.rsplit_once('.').map_or("", |(package, _)| package);
    match package {
        "marquee.v1" => Some(Role::Router),
        "marquee.control.v1" | "marquee.raft.v1" => Some(Role::Control),
        "marquee.shard.v1" => Some(Role::Shard),
        _ if service == "marquee.node.v1.RecentItemsService" => Some(Role::Router),
        _ => None,
    }
}

/// The addresses of the nodes of a plan with a role, those that are alive first.
fn addresses_of(plan: &Plan, role: Role) -> Vec<String> {
    let mut nodes: Vec<_> = plan.nodes.values().filter(|node| node.roles.contains(&role)).collect();
    nodes.sort_by_key(|node| !node.alive);
    nodes.into_iter().map(|node| node.address.clone()).collect()
}

impl<S> Layer<S> for Directory {
    type Service = Listed<S>;

    fn layer(&self, inner: S) -> Listed<S> {
        Listed { directory: self.clone(), inner }
    }
}

/// A service behind a [`Directory`].
#[derive(Clone)]
pub(super) struct Listed<S> {
    directory: Directory,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Listed<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match self.directory.refusal(request.uri().path()) {
            Some(says) => Box::pin(std::future::ready(Ok(Status::unimplemented(says).into_http()))),
            None => Box::pin(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::access::TABLE;
    use marquee_core::plan::Node;

    fn directory(served: &[&'static str]) -> Directory {
        let mut plan = Plan::default();
        for (id, alive) in [("r1", false), ("r2", true)] {
            let node = Node {
                address: format!("http://{id}:50051"),
                roles: [Role::Router].into(),
                draining: false,
                memory_budget_bytes: 0,
                alive,
            };
            plan.nodes.insert(id.into(), node);
        }
        let control = vec!["http://c1:7001".into(), "http://c2:7001".into()];
        Directory::new(served, watch::channel(Arc::new(plan)).1, control)
    }

    #[test]
    fn a_service_that_is_elsewhere_is_named_with_its_addresses() {
        let shard = directory(&["marquee.shard.v1.ShardService"]);
        let says = |path: &str| shard.refusal(path).unwrap_or_default();
        assert_eq!(
            says("/marquee.v1.RecommenderService/Recommend"),
            "marquee.v1.RecommenderService is not served at this address, which serves \
             marquee.shard.v1.ShardService; it is a service of routers: http://r2:50051, http://r1:50051"
        );
        let control = says("/marquee.control.v1.ControlService/GetPlan");
        assert!(control.ends_with("control nodes: http://c1:7001, http://c2:7001"), "{control}");
        assert_eq!(says("/marquee.shard.v1.ShardService/Search"), "");
        assert_eq!(says("/grpc.health.v1.Health/Check"), "");
        let unknown = says("/marquee.shard.v1.ShardService/Serch");
        assert!(unknown.contains("no RPC \"/marquee.shard.v1.ShardService/Serch\""), "{unknown}");
        let long = says(&"/é".repeat(9_000));
        assert!(long.chars().count() < 2 * MAX_PATH_CHARACTERS, "{long}");
    }

    #[test]
    fn every_service_of_marquee_but_the_nodes_own_has_a_role() {
        for (path, _) in TABLE {
            let service = path.split('/').nth(1).unwrap_or_default();
            let is_of_all =
                service.starts_with("grpc.") || service == "marquee.node.v1.NodeService";
            assert_eq!(role_of(service).is_none(), is_of_all, "{service}");
        }
    }
}
