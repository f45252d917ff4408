use super::*;
use crate::planning::ensemble_tree::{EnsembleShape, Weights};
use marquee_core::ensemble::{EnsembleNode, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;

fn model(version: u64) -> EnsembleNode {
    EnsembleNode::Model(ModelVersion::new("films", version))
}

fn product(members: Vec<EnsembleNode>) -> EnsembleNode {
    EnsembleNode::Product { members, form: ProductForm::Elementwise }
}

/// The tree of an ensemble's shape.
fn shape(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Tree> {
    EnsembleShape::of(root, weights).map(|shape| shape.tree)
}

fn answered(ids: &[&str]) -> LeafState {
    let item = |(below, id): (u32, &&str)| Candidate {
        item_id: (*id).into(),
        score: -f64::from(below),
        ..Candidate::default()
    };
    LeafState::Answered((0..).zip(ids).map(item).collect())
}

fn done(step: Step) -> Vec<String> {
    match step {
        Step::Done(list) => list.into_iter().map(|item| item.item_id).collect(),
        Step::Search(queries) => panic!("still searches {queries:?}"),
    }
}

fn searches(step: Step) -> Vec<(usize, usize, Option<Vec<String>>)> {
    match step {
        Step::Done(list) => panic!("is done: {list:?}"),
        Step::Search(queries) => queries
            .into_iter()
            .map(|d| (d.leaf, d.scope.count, d.scope.only.map(|ids| ids.to_vec())))
            .collect(),
    }
}

fn scope(count: usize) -> Scope {
    Scope { count, only: None }
}

#[test]
fn leaves_are_numbered_from_left_to_right_and_asked_at_once() {
    let parallel = EnsembleNode::Parallel {
        members: vec![
            WeightedNode { node: model(3), weight: 1.0, timeout_ms: None },
            WeightedNode { node: product(vec![model(1), model(2)]), weight: 2.0, timeout_ms: None },
        ],
        fusion: Fusion::ReciprocalRank,
    };
    let mut versions = Vec::new();
    let tree = shape(&parallel, &mut |version| {
        versions.push(version.version);
        Some(vec![1.0])
    });
    let tree = tree.expect("no references");
    assert_eq!(versions, [3, 1, 2]);
    let mut open = vec![LeafState::Open; 3];
    assert_eq!(
        searches(tree.evaluate(&mut open, &scope(10))),
        [(0, 100, None), (1, 300, None), (2, 300, None)]
    );
    let mut one_failed = [answered(&["a", "b"]), LeafState::Absent, answered(&["c", "b"])];
    assert_eq!(done(tree.evaluate(&mut one_failed, &scope(2))), ["b", "c"]);
    let mut one_left = [answered(&["a", "b"]), LeafState::Absent, LeafState::Absent];
    assert_eq!(done(tree.evaluate(&mut one_left, &scope(2))), ["a", "b"]);
    assert!(done(tree.evaluate(&mut vec![LeafState::Absent; 3], &scope(2))).is_empty());
}

#[test]
fn a_sequence_asks_its_members_one_after_another() {
    let root = EnsembleNode::Sequence(vec![model(1), model(2), model(3)]);
    let tree = shape(&root, &mut |_| Some(vec![1.0])).expect("no references");
    let mut leaves = vec![LeafState::Open; 3];
    assert_eq!(searches(tree.evaluate(&mut leaves, &scope(2))), [(0, 100, None)]);
    leaves[0] = answered(&["a", "b", "c"]);
    let only = |ids: [&str; 3]| Some(ids.map(String::from).to_vec());
    assert_eq!(searches(tree.evaluate(&mut leaves, &scope(2))), [(1, 3, only(["a", "b", "c"]))]);
    leaves[1] = answered(&["c", "b"]);
    assert_eq!(searches(tree.evaluate(&mut leaves, &scope(2))), [(2, 3, only(["c", "b", "a"]))]);
    leaves[2] = LeafState::Absent;
    assert_eq!(done(tree.evaluate(&mut leaves, &scope(2))), ["c", "b"]);
}

#[test]
fn without_its_first_member_the_next_one_proposes() {
    let root = EnsembleNode::Sequence(vec![model(1), model(2)]);
    let tree = shape(&root, &mut |_| Some(vec![1.0])).expect("no references");
    let mut leaves = [LeafState::Absent, LeafState::Open];
    assert_eq!(searches(tree.evaluate(&mut leaves, &scope(7))), [(1, 7, None)]);
    let mut nothing = [answered(&[]), LeafState::Open];
    assert!(done(tree.evaluate(&mut nothing, &scope(7))).is_empty());
}

#[test]
fn given_items_are_the_scope_of_every_leaf() {
    let root = product(vec![model(1), model(2)]);
    let tree = shape(&root, &mut |_| Some(vec![1.0])).expect("no references");
    let only: Arc<[String]> = Arc::new(["a".into(), "b".into()]);
    let scope = Scope { count: 2, only: Some(Arc::clone(&only)) };
    let ids = Some(vec!["a".to_owned(), "b".to_owned()]);
    let mut open = vec![LeafState::Open; 2];
    assert_eq!(searches(tree.evaluate(&mut open, &scope)), [(0, 2, ids.clone()), (1, 2, ids)]);
}

#[test]
fn every_member_of_a_sequence_scores_the_given_items_that_it_knows() {
    let root = EnsembleNode::Sequence(vec![model(1), model(2)]);
    let tree = shape(&root, &mut |_| Some(vec![1.0])).expect("no references");
    let only: Arc<[String]> = ["a", "b", "c", "d"].map(String::from).into();
    let given = Scope { count: 4, only: Some(Arc::clone(&only)) };
    let ids = Some(only.to_vec());
    let mut leaves = vec![LeafState::Open; 2];
    assert_eq!(searches(tree.evaluate(&mut leaves, &given)), [(0, 4, ids.clone()), (1, 4, ids)]);
    // The last one's order, then what only the first one knows; d is unknown to both.
    leaves = vec![answered(&["a", "b"]), answered(&["c", "b"])];
    assert_eq!(done(tree.evaluate(&mut leaves, &given)), ["c", "b", "a"]);
    leaves = vec![answered(&["a", "b"]), LeafState::Absent];
    assert_eq!(done(tree.evaluate(&mut leaves, &given)), ["a", "b"]);
    leaves = vec![answered(&[]), answered(&["c"])];
    assert_eq!(done(tree.evaluate(&mut leaves, &given)), ["c"]);
}
