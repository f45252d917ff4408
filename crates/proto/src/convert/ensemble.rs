//! Ensembles ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, map_of_unique_keys};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, SplitMember, WeightedNode};
use marquee_core::ranking::diversify::Diversity;

/// Nesting of an ensemble on the wire beyond which it is not read: the bound that validation names
/// is lower, so this only guards the recursion here.
const MAX_WIRE_DEPTH: usize = 32;

/// The wire form of an ensemble.
pub fn ensemble_to_pb(name: &str, root: &EnsembleNode) -> pb::Ensemble {
    pb::Ensemble { name: name.into(), root: Some(ensemble_node_to_pb(root)) }
}

/// Reads an ensemble from its wire form: its name and definition.
pub fn ensemble_from_pb(ensemble: pb::Ensemble) -> Result<(String, EnsembleNode)> {
    let pb::Ensemble { name, root } = ensemble;
    Ok((name, ensemble_node_from_pb(root, "ensemble.root", 1)?))
}

fn ensemble_node_to_pb(node: &EnsembleNode) -> pb::EnsembleNode {
    use pb::ensemble_node::Kind;
    let all = |members: &[EnsembleNode]| members.iter().map(ensemble_node_to_pb).collect();
    let kind = match node {
        EnsembleNode::Model(version) => Kind::Model(version_to_pb(version)),
        EnsembleNode::Reference(name) => Kind::Ensemble(name.clone()),
        EnsembleNode::Parallel { members, fusion } => Kind::Parallel(pb::Parallel {
            members: members
                .iter()
                .map(|WeightedNode { node, weight, timeout_ms }| pb::WeightedNode {
                    node: Some(ensemble_node_to_pb(node)),
                    weight: *weight,
                    timeout_ms: *timeout_ms,
                })
                .collect(),
            fusion: match fusion {
                Fusion::ReciprocalRank => pb::Fusion::ReciprocalRank,
                Fusion::WeightedScore => pb::Fusion::WeightedScore,
            } as i32,
        }),
        EnsembleNode::Split { salt, members } => Kind::Split(pb::Split {
            salt: salt.clone(),
            members: members
                .iter()
                .map(|SplitMember { node, weight_basis_points }| pb::SplitMember {
                    node: Some(ensemble_node_to_pb(node)),
                    weight_basis_points: *weight_basis_points,
                })
                .collect(),
        }),
        EnsembleNode::Sequence(members) => Kind::Sequence(pb::Sequence { members: all(members) }),
        EnsembleNode::Diversify { node, how } => {
            let Diversity { mmr_lambda, max_per_tag, tag_caps } = how;
            let mut caps = Vec::with_capacity(tag_caps.len());
            for (tag, max_items) in tag_caps {
                caps.push(pb::TagCap { tag: tag.clone(), max_items: *max_items });
            }
            Kind::Diversify(Box::new(pb::Diversify {
                node: Some(Box::new(ensemble_node_to_pb(node))),
                mmr_lambda: *mmr_lambda,
                max_per_tag: max_per_tag.unwrap_or(0),
                tag_caps: caps,
            }))
        }
        EnsembleNode::Product { members, form } => Kind::Product(pb::Product {
            members: all(members),
            form: match form {
                ProductForm::Elementwise => pb::ProductForm::Elementwise,
                ProductForm::Chain => pb::ProductForm::Chain,
            } as i32,
        }),
    };
    pb::EnsembleNode { kind: Some(kind) }
}

fn ensemble_node_from_pb(
    node: Option<pb::EnsembleNode>,
    path: &str,
    depth: usize,
) -> Result<EnsembleNode> {
    use pb::ensemble_node::Kind;
    if depth > MAX_WIRE_DEPTH {
        let what = format!("nested more than {MAX_WIRE_DEPTH} levels deep");
        return Err(ConvertError::InvalidValue { field: path.into(), what });
    }
    let member =
        |n: usize, node| ensemble_node_from_pb(node, &format!("{path}.members[{n}]"), depth + 1);
    let all = |members: Vec<pb::EnsembleNode>| {
        let members = members.into_iter().enumerate();
        members.map(|(n, node)| member(n, Some(node))).collect::<Result<Vec<_>>>()
    };
    Ok(match node.and_then(|node| node.kind).ok_or_else(|| ConvertError::Missing(path.into()))? {
        Kind::Model(version) => EnsembleNode::Model(version_from_pb(Some(version), path)?),
        Kind::Ensemble(name) => EnsembleNode::Reference(name),
        Kind::Parallel(pb::Parallel { members, fusion }) => EnsembleNode::Parallel {
            members: (0..)
                .zip(members)
                .map(|(n, pb::WeightedNode { node, weight, timeout_ms })| {
                    // Proto3 does not tell 0 from absent.
                    let weight = if weight == 0.0 { 1.0 } else { weight };
                    Ok(WeightedNode { node: member(n, node)?, weight, timeout_ms })
                })
                .collect::<Result<_>>()?,
            fusion: match pb::Fusion::try_from(fusion) {
                Ok(pb::Fusion::ReciprocalRank) => Fusion::ReciprocalRank,
                Ok(pb::Fusion::WeightedScore) => Fusion::WeightedScore,
                Ok(pb::Fusion::Unspecified) | Err(_) => {
                    let field = format!("{path}.parallel.fusion");
                    return Err(ConvertError::UnknownEnumValue { field, value: fusion });
                }
            },
        },
        Kind::Split(pb::Split { salt, members }) => EnsembleNode::Split {
            salt,
            members: (0..)
                .zip(members)
                .map(|(n, pb::SplitMember { node, weight_basis_points })| {
                    Ok(SplitMember { node: member(n, node)?, weight_basis_points })
                })
                .collect::<Result<_>>()?,
        },
        Kind::Sequence(pb::Sequence { members }) => EnsembleNode::Sequence(all(members)?),
        Kind::Diversify(spread) => {
            let pb::Diversify { node, mmr_lambda, max_per_tag, tag_caps } = *spread;
            let caps =
                tag_caps.into_iter().map(|pb::TagCap { tag, max_items }| Ok((tag, max_items)));
            let path = format!("{path}.node");
            EnsembleNode::Diversify {
                node: Box::new(ensemble_node_from_pb(node.map(|node| *node), &path, depth + 1)?),
                how: Diversity {
                    mmr_lambda,
                    max_per_tag: Some(max_per_tag).filter(|&max| max > 0),
                    tag_caps: map_of_unique_keys("diversify.tag_caps", caps)?,
                },
            }
        }
        Kind::Product(pb::Product { members, form }) => EnsembleNode::Product {
            members: all(members)?,
            form: match pb::ProductForm::try_from(form) {
                // What was put before there were two forms.
                Ok(pb::ProductForm::Unspecified | pb::ProductForm::Elementwise) => {
                    ProductForm::Elementwise
                }
                Ok(pb::ProductForm::Chain) => ProductForm::Chain,
                Err(_) => {
                    let field = format!("{path}.product.form");
                    return Err(ConvertError::UnknownEnumValue { field, value: form });
                }
            },
        },
    })
}
