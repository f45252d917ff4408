//! Where the voters of the group are: from the config as long as the group says nothing else, from the replicated members
//! after that.

use crate::consensus::driver::Consensus;
use crate::consensus::event::GroupView;
use crate::consensus::members::Membership;
use crate::consensus::transport::{Peers, VoterAddress};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where voters are and what their certificates say, by the config and by the group.
#[derive(Clone)]
pub(crate) struct RollCall {
    me: u64,
    /// Addresses of voters as the config has them.
    addresses: Arc<BTreeMap<u64, String>>,
    /// Node ids of voters as the config has them.
    node_ids: Arc<BTreeMap<u64, String>>,
    consensus: Consensus,
}

impl RollCall {
    pub(crate) fn new(
        me: u64,
        addresses: &[(u64, String)],
        node_ids: &BTreeMap<u64, String>,
        consensus: &Consensus,
    ) -> Self {
        let addresses = Arc::new(addresses.iter().cloned().collect());
        Self { me, addresses, node_ids: Arc::new(node_ids.clone()), consensus: consensus.clone() }
    }

    /// What this node's voter knows of the group.
    pub(crate) fn view(&self) -> Arc<GroupView> {
        self.consensus.view().borrow().clone()
    }

    /// The address of a member; empty if neither the group nor the config has one.
    pub(crate) fn address(&self, members: &Membership, id: u64) -> String {
        let named = members.members.get(&id).map(|member| &member.address);
        let named = named.filter(|address| !address.is_empty());
        named.or_else(|| self.addresses.get(&id)).cloned().unwrap_or_default()
    }

    fn node_id_in(&self, members: &Membership, id: u64) -> Option<String> {
        let named = members.members.get(&id).map(|member| &member.node_id);
        named.filter(|node_id| !node_id.is_empty()).or_else(|| self.node_ids.get(&id)).cloned()
    }

    /// The node id that a voter's certificate must have, as far as it is known.
    pub(crate) fn node_id(&self, id: u64) -> Option<String> {
        let view = self.view();
        self.node_id_in(&view.members, id).or_else(|| self.node_id_in(&view.contacts, id))
    }

    /// Whether any voter is known by its certificate.
    pub(crate) fn knows_node_ids(&self) -> bool {
        let view = self.view();
        let named =
            |members: &Membership| members.members.values().any(|it| !it.node_id.is_empty());
        !self.node_ids.is_empty() || named(&view.members) || named(&view.contacts)
    }

    /// Whether a certificate's node id is that of a voter.
    pub(crate) fn is_node_id(&self, name: &str) -> bool {
        let view = self.view();
        let named = |members: &Membership| members.members.values().any(|it| it.node_id == name);
        self.node_ids.values().any(|id| id == name) || named(&view.members) || named(&view.contacts)
    }

    /// The other voters and where they are: members, those of the config, and those that others have named.
    fn others(&self, view: &GroupView) -> BTreeMap<u64, VoterAddress> {
        let members = &view.members;
        // Who was removed is still told so.
        let named = members.members.keys().chain(view.contacts.members.keys());
        let named = named.chain(self.addresses.keys());
        let mut others = BTreeMap::new();
        for id in named.filter(|id| **id != self.me) {
            let newest = if view.contacts.index > members.index { &view.contacts } else { members };
            let known = if newest.members.contains_key(id) { newest } else { members };
            let (address, node_id) = (self.address(known, *id), self.node_id_in(known, *id));
            if !address.is_empty() {
                others.insert(*id, VoterAddress { address, node_id });
            }
        }
        others
    }

    /// Keeps the places that messages are sent to as the members have them, for as long as the voter runs.
    pub(crate) async fn keep(self, peers: Arc<Peers>) {
        let mut view = self.consensus.view();
        loop {
            let others = self.others(&view.borrow_and_update());
            peers.send_to(&others);
            if view.changed().await.is_err() {
                return;
            }
        }
    }
}
