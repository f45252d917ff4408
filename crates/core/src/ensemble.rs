//! Expressions over model versions: sequence, parallel, product, split.
//!
//! An ensemble is validated once, when it is put; after that it never changes, so that a rollout
//! compares what it said it would. References by name are followed at use.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ENSEMBLE_DEPTH, MAX_ENSEMBLE_MEMBERS};
use crate::id::{IdError, ModelVersion, check_name};
use std::collections::BTreeSet;

/// Largest weight of a parallel's member: more would be a way of writing "only this one".
pub const MAX_MEMBER_WEIGHT: f64 = 1_000.0;

/// One node of the expression.
#[derive(Clone, Debug, PartialEq)]
pub enum EnsembleNode {
    /// One model version.
    Model(ModelVersion),
    /// Another ensemble, by name.
    Reference(String),
    /// Members run at once; their lists are fused.
    Parallel {
        /// The members and their weights.
        members: Vec<WeightedNode>,
        /// How their lists become one.
        fusion: Fusion,
    },
    /// Sticky choice of one member by user.
    Split {
        /// Names the draw.
        salt: String,
        /// The members; their weights sum to 10,000.
        members: Vec<SplitMember>,
    },
    /// The first member proposes candidates, each later one re-ranks them.
    Sequence(Vec<EnsembleNode>),
    /// Scores scaled to 0..1 within each member's list, multiplied.
    Product(Vec<EnsembleNode>),
}

/// A member of a parallel.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedNode {
    /// What runs.
    pub node: EnsembleNode,
    /// In (0, [`MAX_MEMBER_WEIGHT`]].
    pub weight: f64,
}

/// A member of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitMember {
    /// What runs for its share of users.
    pub node: EnsembleNode,
    /// Its share, in 1/10,000.
    pub weight_basis_points: u32,
}

/// How the lists of a parallel's members become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// Sum of weight / (60 + rank): Cormack, Clarke and Büttcher 2009.
    ReciprocalRank,
    /// Sum of weight × score, scores scaled to 0..1 within each list.
    WeightedScore,
}

/// Why an ensemble is refused; `path` names the node, such as `root.members[1]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// Its own or a referenced name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A leaf that was never published.
    #[error("{path}: model version {version} is not published: publish it first")]
    UnknownVersion {
        /// The node.
        path: String,
        /// What it names.
        version: ModelVersion,
    },
    /// A reference to nothing.
    #[error("{path}: there is no ensemble {name:?}: put it first")]
    UnknownEnsemble {
        /// The node.
        path: String,
        /// What it names.
        name: String,
    },
    /// A reference that leads back to itself.
    #[error("{path}: ensemble {name:?} leads back to itself")]
    Cycle {
        /// The node.
        path: String,
        /// What it names.
        name: String,
    },
    /// Nested too deeply.
    #[error("{path}: nested more than {MAX_ENSEMBLE_DEPTH} levels deep, references followed")]
    Depth {
        /// The node.
        path: String,
    },
    /// No member, or too many.
    #[error("{path}: has {count} members: 1 to {MAX_ENSEMBLE_MEMBERS} are allowed")]
    Members {
        /// The node.
        path: String,
        /// How many it has.
        count: usize,
    },
    /// Too many leaves in all.
    #[error(
        "the ensemble has {count} leaves, references followed: at most {MAX_ENSEMBLE_MEMBERS} are allowed, \
         since each is a search"
    )]
    Leaves {
        /// How many it has.
        count: usize,
    },
    /// A weight that is not one.
    #[error("{path}: weight {weight} is not above 0 and at most {MAX_MEMBER_WEIGHT}")]
    Weight {
        /// The node.
        path: String,
        /// What it has.
        weight: f64,
    },
    /// Shares that are not the whole.
    #[error(
        "{path}: the weights of a split sum to {sum} basis points: they must sum to {FULL_WEIGHT_BASIS_POINTS}, \
         each at least 1"
    )]
    Shares {
        /// The node.
        path: String,
        /// Their sum.
        sum: u64,
    },
}

/// What validation needs to know of the plan.
pub trait Known {
    /// Whether the version is published.
    fn version(&self, version: &ModelVersion) -> bool;
    /// The ensemble of this name.
    fn ensemble(&self, name: &str) -> Option<&EnsembleNode>;
}

/// Checks the ensemble `name` = `root` against what is known; see [`EnsembleError`].
pub fn validate(name: &str, root: &EnsembleNode, known: &dyn Known) -> Result<(), EnsembleError> {
    check_name("ensemble.name", name)?;
    let mut walk = Walk { known, names: vec![name.to_owned()], leaves: 0 };
    walk.node(root, "root", 1)?;
    if walk.leaves > MAX_ENSEMBLE_MEMBERS {
        return Err(EnsembleError::Leaves { count: walk.leaves });
    }
    Ok(())
}

struct Walk<'a> {
    known: &'a dyn Known,
    /// The chain of references that leads here.
    names: Vec<String>,
    leaves: usize,
}

impl Walk<'_> {
    fn node(&mut self, node: &EnsembleNode, path: &str, depth: usize) -> Result<(), EnsembleError> {
        if depth > MAX_ENSEMBLE_DEPTH {
            return Err(EnsembleError::Depth { path: path.into() });
        }
        match node {
            EnsembleNode::Model(version) => {
                self.leaves += 1;
                match self.known.version(version) {
                    true => Ok(()),
                    false => Err(EnsembleError::UnknownVersion {
                        path: path.into(),
                        version: version.clone(),
                    }),
                }
            }
            EnsembleNode::Reference(name) => self.reference(name, path, depth),
            EnsembleNode::Parallel { members, fusion: _ } => {
                for (n, member) in members.iter().enumerate() {
                    if !(member.weight > 0.0 && member.weight <= MAX_MEMBER_WEIGHT) {
                        let path = format!("{path}.members[{n}]");
                        return Err(EnsembleError::Weight { path, weight: member.weight });
                    }
                }
                self.members(members.iter().map(|member| &member.node), path, depth)
            }
            EnsembleNode::Split { salt, members } => {
                check_name(&format!("{path}.salt"), salt)?;
                let sum = members.iter().map(|m| u64::from(m.weight_basis_points)).sum();
                let empty = members.iter().any(|m| m.weight_basis_points == 0);
                if sum != u64::from(FULL_WEIGHT_BASIS_POINTS) || empty {
                    return Err(EnsembleError::Shares { path: path.into(), sum });
                }
                self.members(members.iter().map(|member| &member.node), path, depth)
            }
            EnsembleNode::Sequence(members) | EnsembleNode::Product(members) => {
                self.members(members.iter(), path, depth)
            }
        }
    }

    fn reference(&mut self, name: &str, path: &str, depth: usize) -> Result<(), EnsembleError> {
        check_name(path, name)?;
        if self.names.iter().any(|seen| seen == name) {
            return Err(EnsembleError::Cycle { path: path.into(), name: name.into() });
        }
        let known = self.known;
        let target = known.ensemble(name).ok_or_else(|| EnsembleError::UnknownEnsemble {
            path: path.into(),
            name: name.into(),
        })?;
        self.names.push(name.to_owned());
        self.node(target, &format!("{path} → {name}"), depth + 1)?;
        self.names.pop();
        Ok(())
    }

    fn members<'n>(
        &mut self,
        members: impl ExactSizeIterator<Item = &'n EnsembleNode>,
        path: &str,
        depth: usize,
    ) -> Result<(), EnsembleError> {
        let count = members.len();
        if count == 0 || count > MAX_ENSEMBLE_MEMBERS {
            return Err(EnsembleError::Members { path: path.into(), count });
        }
        for (n, member) in members.enumerate() {
            self.node(member, &format!("{path}.members[{n}]"), depth + 1)?;
        }
        Ok(())
    }
}

impl EnsembleNode {
    /// The model versions of all leaves, references not followed.
    pub fn versions(&self) -> BTreeSet<ModelVersion> {
        let mut versions = BTreeSet::new();
        self.visit(&mut |node| {
            if let Self::Model(version) = node {
                versions.insert(version.clone());
            }
        });
        versions
    }

    /// Calls `f` for this node and every node below it.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Model(_) | Self::Reference(_) => {}
            Self::Parallel { members, .. } => members.iter().for_each(|m| m.node.visit(f)),
            Self::Split { members, .. } => members.iter().for_each(|m| m.node.visit(f)),
            Self::Sequence(members) | Self::Product(members) => {
                members.iter().for_each(|member| member.visit(f));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct World(BTreeMap<String, EnsembleNode>);

    impl Known for World {
        fn version(&self, version: &ModelVersion) -> bool {
            version.version <= 2
        }
        fn ensemble(&self, name: &str) -> Option<&EnsembleNode> {
            self.0.get(name)
        }
    }

    fn model(version: u64) -> EnsembleNode {
        EnsembleNode::Model(ModelVersion::new("films", version))
    }

    fn check(root: EnsembleNode) -> String {
        let world = World(BTreeMap::from([
            ("one".to_owned(), model(1)),
            ("loop".to_owned(), EnsembleNode::Reference("new".into())),
        ]));
        validate("new", &root, &world).map_or_else(|e| e.to_string(), |()| "fine".into())
    }

    #[test]
    fn every_fault_names_its_node() {
        let split = |weights: [u32; 2]| EnsembleNode::Split {
            salt: "s".into(),
            members: weights.map(|w| SplitMember { node: model(1), weight_basis_points: w }).into(),
        };
        assert_eq!(check(EnsembleNode::Sequence(vec![model(1), model(2)])), "fine");
        assert_eq!(check(EnsembleNode::Reference("one".into())), "fine");
        assert_eq!(check(split([2_500, 7_500])), "fine");
        let deep = (0..4).fold(model(1), |node, _| EnsembleNode::Product(vec![node]));
        let weight = |weight| EnsembleNode::Parallel {
            members: vec![WeightedNode { node: model(1), weight }],
            fusion: Fusion::ReciprocalRank,
        };
        for (root, says) in [
            (
                EnsembleNode::Sequence(vec![model(1), model(3)]),
                "root.members[1]: model version films@3",
            ),
            (EnsembleNode::Reference("two".into()), "root: there is no ensemble \"two\""),
            (EnsembleNode::Reference("loop".into()), "root → loop: ensemble \"new\" leads back"),
            (EnsembleNode::Reference("new".into()), "root: ensemble \"new\" leads back"),
            (EnsembleNode::Sequence(vec![]), "root: has 0 members"),
            (EnsembleNode::Sequence(vec![model(1); 9]), "root: has 9 members"),
            (
                EnsembleNode::Sequence(vec![EnsembleNode::Product(vec![model(1); 5]); 2]),
                "10 leaves",
            ),
            (deep, "nested more than 4"),
            (weight(f64::NAN), "root.members[0]: weight NaN"),
            (weight(0.0), "root.members[0]: weight 0"),
            (split([2_500, 2_500]), "sum to 5000"),
            (split([10_000, 0]), "each at least 1"),
        ] {
            let said = check(root);
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }
}
