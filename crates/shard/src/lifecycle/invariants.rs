//! The invariants that no sequence of events may break.

use super::*;
use crate::replica_key::ReplicaKey;
use marquee_core::id::ModelVersion;
use marquee_core::plan::ReplicaState;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The driver and the loader, as the lifecycle makes them act.
#[derive(Default)]
struct World {
    inspecting: BTreeSet<(ModelVersion, String)>,
    loading: BTreeMap<ReplicaKey, u64>,
    loaded: BTreeMap<ReplicaKey, (u64, String)>,
    serving: BTreeSet<ReplicaKey>,
    freeing: BTreeMap<ReplicaKey, u64>,
    digests: BTreeMap<ReplicaKey, String>,
}

fn source(digest: &str) -> BundleSource {
    BundleSource { uri: "/bundles/films".into(), digest: digest.into() }
}

const BUDGET: u64 = 500;
const WORK: usize = 2;

/// Bytes of a shard: unlike ones, so that some fit and some don't.
fn bytes_of(key: &ReplicaKey) -> u64 {
    60 + 70 * u64::from(key.shard) + 50 * key.version.version
}

impl World {
    fn obey(
        &mut self,
        actions: Vec<LifecycleAction>,
        wanted: &WantedReplicas,
    ) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                LifecycleAction::Inspect { version, source } => {
                    prop_assert!(self.inspecting.insert((version, source.digest)), "twice");
                }
                LifecycleAction::Load { key, source } => {
                    prop_assert!(wanted.get(&key) == Some(&source), "loads what isn't wanted");
                    prop_assert!(!self.freeing.contains_key(&key), "loads before it is freed");
                    self.digests.insert(key.clone(), source.digest);
                    let bytes = bytes_of(&key);
                    prop_assert!(self.loading.insert(key, bytes).is_none(), "loads twice");
                }
                LifecycleAction::Serve { key } => {
                    prop_assert!(self.loaded.contains_key(&key), "serves what isn't loaded");
                    prop_assert!(self.serving.insert(key), "serves twice");
                }
                LifecycleAction::Unload { key } => {
                    let (bytes, _) = self.loaded.remove(&key).expect("unloads what is loaded");
                    self.serving.remove(&key);
                    self.freeing.insert(key, bytes);
                }
            }
        }
        let bytes = self.loading.values().sum::<u64>()
            + self.loaded.values().map(|(bytes, _)| bytes).sum::<u64>()
            + self.freeing.values().sum::<u64>();
        prop_assert!(bytes <= BUDGET, "{bytes} bytes");
        prop_assert!(self.inspecting.len() + self.loading.len() <= WORK, "too much work");
        for (key, source) in wanted {
            if let (true, Some((_, digest))) = (self.serving.contains(key), self.loaded.get(key)) {
                prop_assert_eq!(digest, &source.digest, "answers with another bundle");
            }
        }
        Ok(())
    }
}

/// What a case makes happen.
#[derive(Clone, Debug)]
enum Happening {
    /// By version: whether it is another bundle than usual, and the shards wanted.
    Plan(BTreeMap<u64, (bool, BTreeSet<u32>)>),
    Work {
        fails: bool,
    },
    Free,
    Time(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let shards = proptest::collection::btree_set(0u32..3, 1..3);
    let plan = proptest::collection::btree_map(1u64..4, (any::<bool>(), shards), 0..3);
    let happening = prop_oneof![
        2 => plan.prop_map(Happening::Plan),
        6 => any::<bool>().prop_map(|fails| Happening::Work { fails }),
        3 => Just(Happening::Free),
        3 => (1u64..20_000).prop_map(Happening::Time),
    ];
    proptest::collection::vec(happening, 1..80)
}

proptest! {
    /// Whatever happens: the budget and the number of threads hold, nothing is loaded, served or
    /// unloaded twice, what is wanted is never unloaded, and when everything works in the end
    /// each wanted replica answers or says that it doesn't fit.
    #[test]
    fn invariants_hold(happenings in happenings()) {
        let limits = ReplicaLimits { memory_budget_bytes: BUDGET, parallel_work: WORK };
        let mut lifecycle = Lifecycle::new(limits);
        let (mut world, mut wanted, mut now_ms) = (World::default(), WantedReplicas::new(), 0);
        let calm = (0..400).map(|turn| match turn % 4 {
            0 => Happening::Time(RETRY_MAX_MS),
            1 => Happening::Free,
            _ => Happening::Work { fails: false },
        });
        for happening in happenings.into_iter().chain(calm) {
            let event = match happening {
                Happening::Plan(versions) => {
                    wanted.clear();
                    for (version, (other, shards)) in versions {
                        for shard in shards {
                            let key = ReplicaKey::new(ModelVersion::new("films", version), shard);
                            wanted.insert(key, source(if other { "b" } else { "a" }));
                        }
                    }
                    LifecycleEvent::Planned(wanted.clone())
                }
                Happening::Work { fails } => {
                    if let Some((version, digest)) = world.inspecting.pop_first() {
                        let bytes = |shard| bytes_of(&ReplicaKey::new(version.clone(), shard));
                        let outcome = if fails {
                            Err("unreadable".to_owned())
                        } else {
                            Ok((0..3).map(bytes).collect())
                        };
                        LifecycleEvent::Inspected { version, digest, outcome }
                    } else if let Some((key, bytes)) = world.loading.pop_first() {
                        if !fails {
                            let digest = world.digests[&key].clone();
                            world.loaded.insert(key.clone(), (bytes, digest));
                        }
                        let outcome = if fails { Err("damaged".to_owned()) } else { Ok(()) };
                        LifecycleEvent::Loaded { key, outcome }
                    } else {
                        LifecycleEvent::Tick
                    }
                }
                Happening::Free => match world.freeing.pop_first() {
                    Some((key, _)) => LifecycleEvent::Freed { key },
                    None => LifecycleEvent::Tick,
                },
                Happening::Time(ms) => {
                    now_ms += ms;
                    LifecycleEvent::Tick
                }
            };
            let before: BTreeSet<_> = world.serving.clone();
            let actions = lifecycle.step(event, now_ms);
            for action in &actions {
                if let LifecycleAction::Unload { key } = action {
                    let same = wanted.get(key).is_some_and(|s| s.digest == world.digests[key]);
                    prop_assert!(!(before.contains(key) && same), "unloads {key}, which is wanted");
                }
            }
            world.obey(actions, &wanted)?;
        }
        for (key, report) in wanted.keys().zip(lifecycle.reports()) {
            prop_assert_eq!((&key.version, key.shard), (&report.version, report.shard));
            let refused = report.replica.reason.contains("memory budget");
            let answers = report.replica.state == ReplicaState::Available;
            prop_assert!(answers == world.serving.contains(key));
            prop_assert!(answers || refused, "{key}: {:?}", report.replica);
        }
        prop_assert_eq!(lifecycle.reports().len(), wanted.len());
    }
}
