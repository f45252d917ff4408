//! The inner parts of searches that no caller reaches alone: cancelling in the middle.

use super::beam::{Beam, Reach, Stop};
use super::rescore::RescoreTarget;
use super::*;
use crate::error::SearchError;
use crate::matrix::dense::DenseView;
use crate::matrix::graph::{GraphParts, GraphShape, NONE};
use marquee_core::model::interpreter::VectorMeasure;

fn of_rank_1(values: &[f32]) -> DenseView<'_> {
    DenseView { name: "one", values, rank: 1, inverse_norms: &[], coarse: None }
}

#[test]
fn a_walk_looks_at_the_flag() {
    // A ring: every row leads to the next.
    let rows = 500u32;
    let graph = GraphParts {
        shape: GraphShape {
            rows: rows as usize,
            entry: 0,
            width: 1,
            upper_width: 1,
            extra_width: 0,
        },
        links: (0..rows).map(|row| (row + 1) % rows).collect(),
        extra: vec![],
        starts: vec![0],
        upper_rows: vec![],
        upper_down: vec![],
        upper_links: vec![],
    };
    let values: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let vectors = of_rank_1(&values);
    let (mut beam, cancel) = (Beam::default(), CancelFlag::new());
    let walk = |beam: &mut Beam, query: &[f32]| {
        beam.walk(graph.view(), vectors, query, (10, Reach::Common), &cancel)
    };
    assert_eq!(walk(&mut beam, &[1.0]), Ok(()));
    assert_eq!(beam.rows().collect::<Vec<_>>(), (490..500).rev().collect::<Vec<_>>());
    assert_eq!(walk(&mut beam, &[f32::MAX]), Err(Stop::NotFinite));
    assert_eq!(walk(&mut beam, &[1.0]), Ok(()), "what a failed walk left behind does no harm");
    assert_eq!(beam.rows().next(), Some(499));
    cancel.cancel();
    assert_eq!(walk(&mut beam, &[1.0]), Err(Stop::Cancelled));
}

#[test]
fn links_end_at_the_first_gap() {
    let graph = GraphParts {
        shape: GraphShape { rows: 4, entry: 0, width: 2, upper_width: 1, extra_width: 2 },
        links: vec![1, NONE, 0, NONE, NONE, 3, NONE, NONE],
        extra: vec![NONE, NONE, 2, NONE, NONE, NONE, NONE, NONE],
        starts: vec![0],
        upper_rows: vec![],
        upper_down: vec![],
        upper_links: vec![],
    };
    let vectors = of_rank_1(&[1.0, 2.0, 3.0, 4.0]);
    let (mut beam, cancel) = (Beam::default(), CancelFlag::new());
    beam.walk(graph.view(), vectors, &[1.0], (4, Reach::Common), &cancel).expect("walked");
    assert_eq!(beam.rows().collect::<Vec<_>>(), [1, 0]);
    beam.walk(graph.view(), vectors, &[1.0], (4, Reach::Thorough), &cancel).expect("walked");
    assert_eq!(beam.rows().collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn a_scan_looks_at_every_flag_and_one_that_is_raised_stops_no_other() {
    let values: Vec<f32> = (0..300).map(|row| row as f32).collect();
    let ordinals: Vec<u32> = (0..300).collect();
    let (never, raised) = (CancelFlag::new(), CancelFlag::new());
    raised.cancel();
    let params = [&raised, &never].map(|cancel| SearchParams::new(1, cancel));
    let inverse_norms: Vec<f32> = values.iter().map(|value| 1.0 / value).collect();
    let dense = DenseView { inverse_norms: &inverse_norms, ..of_rank_1(&values) };
    let measure = VectorMeasure::InnerProduct;
    let target = RescoreTarget { dense, ordinals: &ordinals, query: &[1.0], measure };
    let mut lanes = Vec::new();
    let lanes = scan::Lane::some(&mut lanes, params.len());
    let pass = |(params, lane)| scan::Pass::new(target, params, lane);
    let mut passes: Vec<scan::Pass<'_>> = params.iter().zip(lanes).map(pass).collect();
    scan::scan(&mut passes, &[127.0, 255.0, 299.0]);
    let best = |pass: scan::Pass<'_>| pass.finish().map(|answered| answered.hits[0].row);
    let outcomes: Vec<_> = passes.into_iter().map(best).collect();
    assert_eq!(outcomes, [Err(SearchError::Cancelled), Ok(299)]);
}
