//! Listing and changing the voters, and a copy of everything that control keeps.

use super::api::ControlApi;
use super::status::IntoStatus;
use super::watch::BoxStream;
use crate::backup::Backup;
use crate::clock::wall_ms;
use crate::consensus::members::change::VoterChange;
use crate::consensus::members::{DiskId, MemberRole, Membership};
use marquee_proto::control::v1 as pb;
use tonic::Status;

/// Bytes of a backup in one message: well below what a message may have.
const PART_BYTES: usize = 1 << 20;

impl ControlApi {
    /// The voters as this node knows them, with what is wrong with them.
    pub(super) fn voters(&self) -> Vec<pb::Voter> {
        self.list(&self.parts().roll_call.view().members)
    }

    fn list(&self, members: &Membership) -> Vec<pb::Voter> {
        let roll_call = &self.parts().roll_call;
        let view = roll_call.view();
        let mut voters = Vec::new();
        for (id, member) in &members.members {
            let state = match member.role {
                MemberRole::Joining => pb::VoterState::Joining,
                MemberRole::Learner => pb::VoterState::Learner,
                MemberRole::Voter | MemberRole::Entering => pb::VoterState::Voter,
                MemberRole::Leaving => pb::VoterState::Leaving,
            };
            voters.push(pb::Voter {
                id: *id,
                address: roll_call.address(members, *id),
                state: state as i32,
                trouble: view.troubles.get(id).cloned().unwrap_or_default(),
                disk: member.disk.as_ref().map(DiskId::to_string).unwrap_or_default(),
            });
        }
        // A node that is none of them is the one who knows best why.
        let id = self.parts().id;
        if let Some(trouble) = view.troubles.get(&id).filter(|_| !members.members.contains_key(&id))
        {
            voters.push(pb::Voter { id, trouble: trouble.clone(), ..pb::Voter::default() });
        }
        voters
    }

    /// Has the leader change the voters: the voters after it.
    pub(super) async fn change_voters(
        &self,
        change: VoterChange,
    ) -> Result<Vec<pb::Voter>, Status> {
        let changed = self.parts().submitter.change_voters(&change).await;
        let members = changed.map_err(IntoStatus::into_status)?;
        let (actor, index) = (self.actor(), members.index);
        tracing::info!(index, ?change, ?actor, "an operator changed the voters");
        Ok(self.list(&members))
    }

    /// Everything that was committed before the call, in the format of a backup file, in parts.
    pub(super) async fn backup(&self) -> Result<BoxStream<pb::BackUpResponse>, Status> {
        let consensus = &self.parts().consensus;
        consensus.catch_up().await.map_err(IntoStatus::into_status)?;
        let copy = consensus.copy().await.map_err(IntoStatus::into_status)?;
        let backup = Backup { cluster: self.parts().cluster, taken_at_ms: wall_ms(), copy };
        let file = bytes::Bytes::from(backup.encode());
        let parts: Vec<_> = (0..file.len())
            .step_by(PART_BYTES)
            .map(|at| {
                let part = file.slice(at..file.len().min(at + PART_BYTES));
                Ok(pb::BackUpResponse { part: part.to_vec() })
            })
            .collect();
        Ok(Box::pin(tokio_stream::iter(parts)))
    }
}
