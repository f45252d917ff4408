//! Whose budget a call counts against.

use crate::access::{Access, AccessRole, access_to};

/// Whose concurrent calls a call is counted with. Each has its own bound, so that none of them takes the places of
/// another: a flood of callers does not keep nodes from reporting, nor operators from rolling back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Budget {
    /// Calls of callers, and all that the table of access does not know.
    Callers,
    /// Calls of the cluster's nodes.
    Peers,
    /// Calls of those who operate the cluster.
    Operators,
}

impl Budget {
    /// The budgets, callers' first.
    pub const ALL: [Self; 3] = [Self::Callers, Self::Peers, Self::Operators];

    /// What its calls are called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callers => "callers'",
            Self::Peers => "nodes'",
            Self::Operators => "operators'",
        }
    }
}

/// Whose budget the RPC of this path counts against; none for health and reflection, which cost nothing.
pub fn budget_of(path: &str) -> Option<Budget> {
    match access_to(path) {
        None => Some(Budget::Callers),
        Some(Access::Public | Access::Identified) => None,
        Some(Access::Roles(roles)) => roles.iter().map(|role| of_role(*role)).min(),
    }
}

fn of_role(role: AccessRole) -> Budget {
    match role {
        AccessRole::Caller | AccessRole::Events => Budget::Callers,
        AccessRole::Control | AccessRole::Shard | AccessRole::Router => Budget::Peers,
        AccessRole::Operator | AccessRole::Publisher | AccessRole::Admin => Budget::Operators,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::TABLE;

    #[test]
    fn every_rpc_counts_against_the_budget_of_those_it_is_for() {
        let of = |method: &str| budget_of(&format!("/marquee.{method}"));
        assert_eq!(of("v1.RecommenderService/BatchRecommend"), Some(Budget::Callers));
        assert_eq!(of("v1.RecommenderService/RecordEvents"), Some(Budget::Callers));
        assert_eq!(of("control.v1.ControlService/ReportNode"), Some(Budget::Peers));
        assert_eq!(of("raft.v1.RaftService/Propose"), Some(Budget::Peers));
        assert_eq!(of("control.v1.ControlService/RollBackRollout"), Some(Budget::Operators));
        assert_eq!(of("unknown/Method"), Some(Budget::Callers));
        assert_eq!(budget_of("/grpc.health.v1.Health/Check"), None);
        for budget in Budget::ALL {
            assert!(TABLE.iter().any(|(path, _)| budget_of(path) == Some(budget)), "{budget:?}");
        }
    }
}
