//! Which rate holds for whom, and what each caller has left.

use super::peer::Peer;
use super::rate::{Allowance, Rate, Wait};
use crate::access::{AccessRole, Principal};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Whose calls are counted one by one, at most: identities of a config, and addresses without one. Beyond it, those who
/// are new share one allowance.
const MAX_COUNTED: usize = 10_000;
/// How often those whose allowance is full again are forgotten, in nanoseconds, while there are too many.
const FORGET_EVERY_NS: u64 = 1_000_000_000;

/// Which rate holds for whom. Without any, nobody is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    /// By the name of a principal.
    pub identities: BTreeMap<String, Rate>,
    /// By access role, for principals without a rate of their own.
    pub roles: BTreeMap<AccessRole, Rate>,
    /// For each address of those who have not proved who they are.
    pub anonymous: Option<Rate>,
}

impl QuotaRules {
    /// Whether nobody is limited.
    pub fn is_empty(&self) -> bool {
        let Self { identities, roles, anonymous } = self;
        identities.is_empty() && roles.is_empty() && anonymous.is_none()
    }

    /// The rate of a principal: its own, or the highest of its roles; without a principal that of unknown callers.
    fn rate_of(&self, principal: Option<&Principal>) -> Option<Rate> {
        let Some(principal) = principal else { return self.anonymous };
        let own = self.identities.get(&principal.name).copied();
        own.or_else(|| {
            let of_roles = principal.roles.iter().filter_map(|role| self.roles.get(role).copied());
            of_roles.max_by_key(|rate| (rate.calls_per_second(), rate.burst()))
        })
    }
}

/// A call beyond its caller's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the quota is {calls} calls a second, {burst} at once: call again in {ms} ms, or ask the operator of this node for \
     more ([[server.quotas]])",
    calls = rate.calls_per_second(),
    burst = rate.burst(),
    ms = wait.0.div_ceil(1_000_000),
)]
pub struct OverQuota {
    /// The rate that holds for the caller.
    pub rate: Rate,
    /// How long until the next call is allowed.
    pub wait: Wait,
}

/// What each caller has left.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    rules: QuotaRules,
    allowances: BTreeMap<Peer, Allowance>,
    forgotten_ns: u64,
}

impl Quotas {
    /// All callers have all that the rules allow.
    pub fn new(rules: QuotaRules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Whether nobody is limited.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Counts a call at `now_ns`, in nanoseconds after any fixed moment.
    ///
    /// # Errors
    /// The call is beyond the quota, and not counted.
    pub fn take(
        &mut self,
        principal: Option<&Principal>,
        address: Option<IpAddr>,
        now_ns: u64,
    ) -> Result<(), OverQuota> {
        let Some(rate) = self.rules.rate_of(principal) else { return Ok(()) };
        let mut peer = Peer::of(principal, address);
        if self.allowances.len() >= MAX_COUNTED && !self.allowances.contains_key(&peer) {
            self.forget_full(now_ns);
            if self.allowances.len() >= MAX_COUNTED {
                peer = Peer::Unknown;
            }
        }
        let allowance = self.allowances.entry(peer).or_default();
        allowance.take(&rate, now_ns).map_err(|wait| OverQuota { rate, wait })
    }

    /// Forgets those who have all they may have, which is as good as never having called.
    fn forget_full(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.forgotten_ns) >= FORGET_EVERY_NS {
            self.forgotten_ns = now_ns;
            self.allowances.retain(|_, allowance| !allowance.is_full(now_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Proof;

    const SECOND: u64 = 1_000_000_000;

    fn principal(name: &str, roles: &[AccessRole]) -> Principal {
        let roles = roles.iter().copied().collect();
        Principal { name: name.into(), roles, proof: Proof::Token }
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    /// How many of many calls pass at once.
    fn passed(quotas: &mut Quotas, principal: Option<&Principal>, from: Option<IpAddr>) -> usize {
        (0..100).filter(|_| quotas.take(principal, from, SECOND).is_ok()).count()
    }

    #[test]
    fn each_caller_has_a_quota_of_its_own() {
        let rules = QuotaRules {
            identities: [("batch".into(), Rate::new(1, 2))].into(),
            roles: [(AccessRole::Caller, Rate::new(1, 5)), (AccessRole::Events, Rate::new(1, 9))]
                .into(),
            anonymous: Some(Rate::new(1, 3)),
        };
        let mut quotas = Quotas::new(rules);
        let (web, app) =
            (principal("web", &[AccessRole::Caller]), principal("app", &[AccessRole::Caller]));
        let batch = principal("batch", &[AccessRole::Caller, AccessRole::Events]);
        let both = principal("both", &[AccessRole::Caller, AccessRole::Events, AccessRole::Admin]);
        let admin = principal("root", &[AccessRole::Admin]);
        assert_eq!(passed(&mut quotas, Some(&web), address(1)), 5);
        assert_eq!(passed(&mut quotas, Some(&app), address(1)), 5, "not that of web");
        assert_eq!(passed(&mut quotas, Some(&web), address(2)), 0, "an address is no identity");
        assert_eq!(passed(&mut quotas, Some(&batch), None), 2, "its own before its roles'");
        assert_eq!(passed(&mut quotas, Some(&both), None), 9, "the highest of its roles");
        assert_eq!(passed(&mut quotas, Some(&admin), None), 100, "no rule");
        assert_eq!(passed(&mut quotas, None, address(1)), 3);
        assert_eq!(passed(&mut quotas, None, address(2)), 3);
        assert!(
            quotas.take(Some(&web), None, 2 * SECOND).is_ok(),
            "a second later there is one more"
        );
        let over = quotas.take(Some(&web), None, 2 * SECOND).expect_err("only one");
        assert_eq!(over.wait, Wait(SECOND));
        assert!(
            over.to_string().contains("1 calls a second, 5 at once: call again in 1000 ms"),
            "{over}"
        );
    }

    #[test]
    fn callers_beyond_counting_share_what_one_has() {
        let rules = QuotaRules { anonymous: Some(Rate::new(1, 2)), ..QuotaRules::default() };
        let mut quotas = Quotas::new(rules);
        for n in 0..MAX_COUNTED as u32 {
            assert!(quotas.take(None, address(n), SECOND).is_ok());
        }
        assert_eq!(passed(&mut quotas, None, address(1 << 30)), 2);
        assert_eq!(passed(&mut quotas, None, address(1 << 31)), 0, "shared");
        assert!(quotas.allowances.len() <= MAX_COUNTED + 1);
        // Later all are full again, and forgotten.
        assert!(quotas.take(None, address(1 << 30), 10 * SECOND).is_ok());
        assert_eq!(quotas.allowances.len(), 1);
    }
}
