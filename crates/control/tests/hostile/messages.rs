//! Messages that a broken or hostile voter may send.

use bytes::Bytes;
use marquee_control::consensus::members::DiskId;
use marquee_proto::raft::v1::{ChainPoint, Entry, Greeting, Membership, Message, Snapshot};
use proptest::prelude::*;

/// A number as it is given: near to one that the receiver has, or anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Near(i64),
    Exactly(u64),
}

impl Number {
    fn at(self, own: u64) -> u64 {
        match self {
            Self::Near(distance) => own.saturating_add_signed(distance),
            Self::Exactly(value) => value,
        }
    }
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        6 => (-3..4_i64).prop_map(Number::Near),
        1 => Just(Number::Near(1 << 36)),
        1 => Just(Number::Near(99_000)),
        1 => Just(Number::Exactly(0)),
        1 => Just(Number::Exactly(u64::MAX)),
        1 => Just(Number::Exactly(1 << 62)),
        1 => any::<u64>().prop_map(Number::Exactly),
    ]
}

/// A message before it is known where its receiver stands.
#[derive(Clone, Debug)]
pub(crate) struct Hostile {
    message: Message,
    term: Number,
    log_term: Number,
    index: Number,
    commit: Number,
    reject_hint: Number,
    entries: Vec<(Number, Number, Vec<u8>)>,
    contiguous: bool,
    snapshot: Option<(Number, Number, Vec<u8>)>,
}

impl Hostile {
    /// The message to a voter of this term and last index.
    pub(crate) fn at(self, term: u64, last: u64) -> Message {
        let index = self.index.at(last);
        let entries = (1..).zip(self.entries).map(|(n, (at, of_term, data))| Entry {
            index: if self.contiguous { index.saturating_add(n) } else { at.at(last) },
            term: of_term.at(term),
            data: data.into(),
            ..Default::default()
        });
        let snapshot = self.snapshot.map(|(at, of_term, data)| Snapshot {
            index: at.at(last),
            term: of_term.at(term),
            voters: vec![1, 2, 3],
            data: data.into(),
            ..Default::default()
        });
        Message {
            term: self.term.at(term),
            log_term: self.log_term.at(term),
            index,
            commit: self.commit.at(last),
            reject_hint: self.reject_hint.at(last),
            entries: entries.collect(),
            snapshot,
            ..self.message
        }
    }
}

/// The disk of a voter of the group.
fn disk(id: u64) -> Bytes {
    Bytes::copy_from_slice(DiskId::of_number(id).bytes())
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"forged".to_vec()),
        Just(Vec::new()),
        Just(b"2 forged\n".to_vec()),
        Just(vec![0xff, 0xfe]),
        prop::collection::vec(any::<u8>(), 24),
    ]
}

/// Any message, with a bias to those that raft would take.
pub(crate) fn hostile() -> impl Strategy<Value = Hostile> {
    let envelope = (
        0..20_u32,
        prop_oneof![8 => 2..4_u64, 1 => 0..10_u64],
        prop_oneof![8 => Just(false), 1 => Just(true)],
        prop_oneof![
            6 => Just(Vec::new()),
            1 => Just(b"CampaignTransfer".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 24),
            1 => prop::collection::vec(any::<u8>(), 0..80)
        ],
        prop_oneof![9 => Just(0), 1 => any::<u64>()],
        prop_oneof![9 => Just(0), 1 => any::<u64>()],
        prop_oneof![9 => Just(0), 1 => any::<i64>()],
    );
    let message = envelope.prop_map(
        |(r#type, from, reject, context, request_snapshot, commit_term, priority)| Message {
            r#type,
            to: crate::TARGET,
            from,
            reject,
            context: context.into(),
            request_snapshot,
            commit_term,
            priority,
            // Its disks are those of the group, so that it is judged by the rest.
            from_disk: disk(from),
            to_disk: disk(crate::TARGET),
            members_at: 1,
            ..Default::default()
        },
    );
    let entry = || (number(), number(), data());
    (
        message,
        (number(), number(), number(), number(), number()),
        prop::collection::vec(entry(), 0..3),
        any::<bool>(),
        prop::option::of(entry()),
    )
        .prop_map(|(message, numbers, entries, contiguous, snapshot)| {
            let (term, log_term, index, commit, reject_hint) = numbers;
            Hostile {
                message,
                term,
                log_term,
                index,
                commit,
                reject_hint,
                entries,
                contiguous,
                snapshot,
            }
        })
}

/// A change of one field of a message that was really sent.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    /// Which of the messages overheard, modulo their number.
    pub(crate) chosen: usize,
    field: u8,
    by: i64,
    value: u64,
    exactly: bool,
}

impl Arbitrary for Mutation {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        (any::<usize>(), 0..20_u8, -2..3_i64, any::<u64>(), any::<bool>())
            .prop_map(|(chosen, field, by, value, exactly)| Self {
                chosen,
                field,
                by,
                value,
                exactly,
            })
            .boxed()
    }
}

impl Mutation {
    /// The changed message, sent to the target.
    pub(crate) fn of(&self, message: Message) -> Message {
        let mut changed = Message { to: crate::TARGET, ..message };
        if changed.from == changed.to {
            changed.from = 3;
        }
        let number = |own: u64| {
            if self.exactly { self.value } else { own.saturating_add_signed(self.by) }
        };
        match self.field {
            0 => changed.term = number(changed.term),
            1 => changed.log_term = number(changed.log_term),
            2 => changed.index = number(changed.index),
            3 => changed.commit = number(changed.commit),
            4 => changed.reject_hint = number(changed.reject_hint),
            5 => changed.reject = !changed.reject,
            6 => changed.r#type = (self.value % 20) as u32,
            7 => changed.from = 2 + self.value % 2,
            8 => {
                if let Some(entry) = changed.entries.last_mut() {
                    entry.data = self.value.to_le_bytes().to_vec().into();
                }
            }
            9 => {
                if let Some(entry) = changed.entries.first_mut() {
                    entry.term = number(entry.term);
                }
            }
            10 => {
                if let Some(snapshot) = &mut changed.snapshot {
                    snapshot.index = number(snapshot.index);
                }
            }
            11 => changed.members_at = number(changed.members_at),
            12 => changed.from_disk = disk(1 + self.value % 4),
            13 => changed.to_disk = disk(1 + self.value % 4),
            14 => changed.from_disk = Bytes::new(),
            15 => {
                let hash = vec![self.value as u8; 32].into();
                changed.chain = Some(ChainPoint { index: number(changed.index), hash });
                changed.diverged = self.exactly;
            }
            16 => changed.diverged = true,
            17 => {
                let members = Some(Membership { index: self.value, members: Vec::new() });
                let (founded, asks) = (self.exactly, true);
                changed.greeting = Some(Greeting { members, founded, asks });
            }
            18 => {
                if let Some(entry) = changed.entries.first_mut() {
                    entry.r#type = 2;
                    entry.context = self.value.to_le_bytes().to_vec().into();
                }
            }
            _ => changed.context = self.value.to_le_bytes().repeat(3).into(),
        }
        changed
    }
}
