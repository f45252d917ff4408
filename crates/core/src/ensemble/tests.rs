use super::*;
use crate::id::ModelVersion;
use crate::model::recipe::{HistoryWeights, Profile, Recipe};
use crate::ranking::diversify::Diversity;
use std::collections::BTreeMap;

struct World {
    ensembles: BTreeMap<String, EnsembleNode>,
    recipes: BTreeMap<ModelVersion, Recipe>,
}

impl KnownNames for World {
    fn recipe(&self, version: &ModelVersion) -> Option<&Recipe> {
        self.recipes.get(version)
    }
    fn ensemble(&self, name: &str) -> Option<&EnsembleNode> {
        self.ensembles.get(name)
    }
}

fn model(version: u64) -> EnsembleNode {
    EnsembleNode::Model(ModelVersion::new("films", version))
}

fn neighbours() -> EnsembleNode {
    EnsembleNode::Model(ModelVersion::new("alike", 1))
}

fn elementwise(members: Vec<EnsembleNode>) -> EnsembleNode {
    EnsembleNode::Product { members, form: ProductForm::Elementwise }
}

fn chain(members: Vec<EnsembleNode>) -> EnsembleNode {
    EnsembleNode::Product { members, form: ProductForm::Chain }
}

fn parallel(weight: f64, timeout_ms: Option<u32>) -> EnsembleNode {
    EnsembleNode::Parallel {
        members: vec![WeightedNode { node: model(1), weight, timeout_ms }],
        fusion: Fusion::ReciprocalRank,
    }
}

fn check(root: EnsembleNode) -> String {
    let factors = Recipe::MatrixFactorisation {
        user_factors: "users".into(),
        item_factors: "items".into(),
        fold_in: None,
    };
    let rows = Recipe::ItemRows { matrix: "item_knn".into(), history: HistoryWeights::default() };
    let profiled = |recipe: &Recipe| Recipe::Profiled {
        recipe: Box::new(recipe.clone()),
        profile: Profile { matrix: "terms".into(), users: "attributes".into() },
    };
    let world = World {
        ensembles: BTreeMap::from([
            ("one".to_owned(), model(1)),
            ("rows".to_owned(), neighbours()),
            ("loop".to_owned(), EnsembleNode::Reference("new".into())),
        ]),
        recipes: BTreeMap::from([
            (ModelVersion::new("films", 1), factors.clone()),
            (ModelVersion::new("films", 2), factors.clone()),
            (ModelVersion::new("films", 9), profiled(&factors)),
            (ModelVersion::new("alike", 1), rows.clone()),
            (ModelVersion::new("alike", 2), profiled(&rows)),
        ]),
    };
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
    let deep = (0..4).fold(model(1), |node, _| elementwise(vec![node]));
    let weight = |weight| parallel(weight, None);
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
        (EnsembleNode::Sequence(vec![elementwise(vec![model(1); 5]); 2]), "10 leaves"),
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

#[test]
fn what_follows_in_a_chain_has_rows_of_items() {
    let split = |node: EnsembleNode| EnsembleNode::Split {
        salt: "s".into(),
        members: vec![
            SplitMember { node: neighbours(), weight_basis_points: 1 },
            SplitMember { node, weight_basis_points: 9_999 },
        ],
    };
    for fine in [
        chain(vec![model(1)]),
        chain(vec![model(1), neighbours(), neighbours()]),
        chain(vec![elementwise(vec![model(1), model(2)]), neighbours()]),
        chain(vec![model(1), EnsembleNode::Reference("rows".into())]),
        chain(vec![model(1), split(neighbours())]),
        chain(vec![model(9), EnsembleNode::Model(ModelVersion::new("alike", 2))]),
        elementwise(vec![neighbours(), model(1)]),
    ] {
        assert_eq!(check(fine), "fine");
    }
    for (root, says) in [
        (
            chain(vec![neighbours(), model(2)]),
            "root.members[1]: model version films@2 (matrix_factorisation) cannot follow in a chain",
        ),
        (chain(vec![model(1), model(9)]), "films@9 (matrix_factorisation) cannot follow"),
        (
            chain(vec![model(1), EnsembleNode::Reference("one".into())]),
            "root.members[1] → one: model version films@1",
        ),
        (
            chain(vec![model(1), split(model(1))]),
            "root.members[1].members[1]: model version films@1",
        ),
        (
            EnsembleNode::Sequence(vec![
                model(1),
                chain(vec![model(1), neighbours(), parallel(1.0, None)]),
            ]),
            "root.members[1].members[2]: a parallel cannot follow in a chain",
        ),
        (chain(vec![model(1), EnsembleNode::Sequence(vec![neighbours()])]), "a sequence cannot"),
        (chain(vec![model(1), chain(vec![neighbours()])]), "a product cannot"),
    ] {
        let said = check(root);
        assert!(said.contains(says), "{said:?} does not say {says:?}");
        assert!(said.contains("item-knn, ease, rp3beta, transitions"), "{said:?}: what to do?");
    }
}

#[test]
fn a_timeout_has_bounds() {
    assert_eq!(check(parallel(1.0, Some(1))), "fine");
    assert_eq!(check(parallel(1.0, Some(30_000))), "fine");
    for wrong in [0, 30_001] {
        let said = check(parallel(1.0, Some(wrong)));
        let says = format!("root.members[0]: timeout_ms {wrong} is not 1 to 30000");
        assert!(said.contains(&says), "{said:?}");
    }
}

#[test]
fn diversification_is_the_final_stage_and_has_what_it_needs() {
    let spread = |node: EnsembleNode, mmr_lambda| EnsembleNode::Diversify {
        node: Box::new(node),
        how: Diversity { mmr_lambda, max_per_tag: Some(3), ..Diversity::default() },
    };
    let split = |nodes: [EnsembleNode; 2]| EnsembleNode::Split {
        salt: "s".into(),
        members: nodes.map(|node| SplitMember { node, weight_basis_points: 5_000 }).into(),
    };
    for fine in [
        spread(model(1), Some(0.7)),
        spread(model(9), Some(0.7)),
        spread(neighbours(), None),
        spread(EnsembleNode::Sequence(vec![neighbours(), model(2)]), Some(0.7)),
        spread(EnsembleNode::Reference("one".into()), Some(0.7)),
        split([spread(model(1), Some(0.2)), model(1)]),
        spread(split([model(1), neighbours()]), Some(0.7)),
    ] {
        assert_eq!(check(fine), "fine");
    }
    for (root, says) in [
        (
            EnsembleNode::Sequence(vec![model(1), spread(model(1), None)]),
            "root.members[1]: diversify is the final stage",
        ),
        (spread(spread(model(1), None), None), "root.node: diversify is the final stage"),
        (
            spread(split([spread(model(1), None), model(1)]), None),
            "root.node.members[0]: diversify",
        ),
        (
            chain(vec![model(1), spread(neighbours(), None)]),
            "root.members[1]: diversify is the final",
        ),
        (
            spread(neighbours(), Some(0.7)),
            "root: mmr_lambda compares vectors of items, and no model",
        ),
        (
            split([model(1), spread(neighbours(), Some(0.7))]),
            "root.members[1]: mmr_lambda compares vectors",
        ),
        (spread(model(1), Some(7.0)), "root: mmr_lambda is 7"),
        (spread(model(3), None), "root.node: model version films@3 is not published"),
    ] {
        let said = check(root);
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
}
