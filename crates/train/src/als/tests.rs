//! ALS against the normal equations solved densely, and against itself under permutations.

use super::*;
use crate::random::{Random, shuffle};
use faer::Mat;
use faer::prelude::Solve;
use proptest::prelude::*;

/// A random matrix with confidences of `low` to `high`.
fn random_matrix(rows: usize, columns: usize, share: f32, low: f32, high: f32, seed: u64) -> Csr {
    let mut random = Random::new(seed);
    let mut matrix = Csr { columns, offsets: vec![0], ..Csr::default() };
    for _ in 0..rows {
        for column in 0..columns as u32 {
            if random.uniform() < share {
                matrix.indices.push(column);
                matrix.values.push(low + (high - low) * random.uniform());
            }
        }
        matrix.offsets.push(matrix.indices.len());
    }
    matrix
}

fn random_factors(rows: usize, rank: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..rows * rank).map(|_| random.uniform() - 0.3).collect()
}

/// Every row by the normal equations in f64.
fn dense_solution(
    matrix: &Csr,
    other: &[f32],
    rank: usize,
    lambda: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let y = Mat::from_fn(other.len() / rank, rank, |r, c| f64::from(other[r * rank + c]));
    let mut out = Vec::new();
    for row in 0..matrix.rows() {
        let (columns, confidences) = matrix.row(row);
        if columns.is_empty() {
            out.extend(vec![0.0; rank]);
            continue;
        }
        let mut system = y.transpose() * &y;
        let mut right = Mat::<f64>::zeros(rank, 1);
        for (&column, &confidence) in columns.iter().zip(confidences) {
            let confidence = f64::from(confidence);
            for a in 0..rank {
                right[(a, 0)] += confidence * y[(column as usize, a)];
                for b in 0..rank {
                    let product = y[(column as usize, a)] * y[(column as usize, b)];
                    system[(a, b)] += (confidence - 1.0) * product;
                }
            }
        }
        for a in 0..rank {
            system[(a, a)] += lambda(row);
        }
        let solution = system.partial_piv_lu().solve(&right);
        out.extend((0..rank).map(|a| solution[(a, 0)]));
    }
    out
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    let size = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
    let error = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>();
    assert!(error.sqrt() <= tolerance * size, "relative error {}", error.sqrt() / size);
}

/// Solves one side from zero until a few steps at a time have converged: sweeps of ALS need as many
/// only where, as here, the systems are far from well conditioned.
fn solved(matrix: &Csr, other: &[f32], rank: usize, regularization: &Regularization) -> Vec<f32> {
    let mut target = pad(&vec![0.0; matrix.rows() * rank], rank);
    let other = pad(other, rank);
    for _ in 0..400 {
        solve_side(matrix, &mut target, &other, rank, regularization).expect("not singular");
    }
    strip(target, rank)
}

#[test]
fn a_half_step_solves_the_normal_equations() {
    for (rank, low, high, tolerance) in [
        (1, 1.0, 1.0, 1e-5),
        (5, 1.0, 1.0, 1e-5),
        (5, 2.0, 2.0, 2e-3),
        (16, 0.2, 9.0, 2e-3),
        (40, 1.0, 40.0, 2e-3),
    ] {
        let matrix = random_matrix(50, 70, 0.15, low, high, 11);
        let other = random_factors(70, rank, 12);
        let expected = dense_solution(&matrix, &other, rank, |_| 0.5);
        let found = solved(&matrix, &other, rank, &Regularization::Same(0.5));
        assert_close(&found, &expected, tolerance);
    }
}

#[test]
fn a_half_step_with_a_lambda_of_each_row() {
    let matrix = random_matrix(50, 70, 0.15, 1.0, 5.0, 11);
    let other = random_factors(70, 8, 12);
    let lambdas: Vec<f32> = (0..50).map(|row| 0.1 + row as f32).collect();
    let expected = dense_solution(&matrix, &other, 8, |row| f64::from(lambdas[row]));
    let found = solved(&matrix, &other, 8, &Regularization::PerRow(lambdas));
    assert_close(&found, &expected, 1e-4);
}

/// Fewer rows than the rank and no regularization: many solutions, but none that isn't finite.
#[test]
fn a_singular_system_is_borne() {
    let matrix = random_matrix(6, 4, 0.5, 1.0, 3.0, 1);
    let options = AlsOptions { regularization: 0.0, ..options(16, 3) };
    let factors = fit(&matrix, &options, &|_| ()).expect("finite");
    assert!(factors.users.iter().all(|value| value.is_finite()));
}

fn options(factors: usize, iterations: usize) -> AlsOptions {
    AlsOptions {
        factors,
        regularization: 0.5,
        scaling: RegularizationScaling::None,
        iterations,
        seed: 3,
    }
}

/// The whole of ALS, with dense solutions in f64 in place of ours, from the same start.
#[test]
fn a_fit_is_that_of_dense_solutions() {
    let matrix = random_matrix(30, 20, 0.2, 1.0, 6.0, 5);
    let (turned, rank) = (matrix.transpose(), 4);
    let start = random_start(30, 20, rank, 3);
    let single =
        |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    let mut items = start.items.clone();
    let mut users = Vec::new();
    for _ in 0..200 {
        users = dense_solution(&matrix, &items, rank, |_| 0.5);
        items = single(dense_solution(&turned, &single(users.clone()), rank, |_| 0.5));
    }
    let found = fit_from(&matrix, &options(rank, 200), start, &|_| ()).expect("finite");
    let mut scores = vec![0f32; 30 * 20];
    gram::scores(&found.users, &found.items, rank, &mut scores);
    let expected = (0..30 * 20).map(|cell| {
        let (user, item) = (cell / 20, cell % 20);
        (0..rank).map(|k| users[user * rank + k] * f64::from(items[item * rank + k])).sum::<f64>()
    });
    assert_close(&scores, &expected.collect::<Vec<f64>>(), 1e-2);
}

#[test]
fn threads_do_not_change_a_bit() {
    let matrix = random_matrix(300, 200, 0.1, 1.0, 3.0, 9);
    for scaling in [RegularizationScaling::None, RegularizationScaling::Frequency] {
        let options = AlsOptions { scaling, ..options(20, 3) };
        let run = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| fit(&matrix, &options, &|_| ()).expect("finite"))
        };
        let one = run(1);
        for threads in [2, 4, 7] {
            assert_eq!(one, run(threads), "{threads} threads");
        }
    }
}

#[test]
fn scaled_regularization_has_the_given_mean_and_grows_with_frequency() {
    let matrix =
        Csr { columns: 3, offsets: vec![0, 1, 4], indices: vec![0, 0, 1, 2], values: vec![5.0; 4] };
    let options = AlsOptions { scaling: RegularizationScaling::Frequency, ..options(2, 1) };
    let [Regularization::PerRow(users), Regularization::PerRow(items)] =
        regularization(&matrix, &matrix.transpose(), &options)
    else {
        panic!("scaled regularization is one λ a row");
    };
    // Masses: 3 columns + 4 of excess; 3 + 12; items 2 + 8, 2 + 4, 2 + 4. Their mean is 44 / 5.
    let expected = |mass: f32| mass * 0.5 / (44.0 / 5.0);
    let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
    assert!(users.iter().zip([7.0, 15.0]).all(|(&a, b)| close(a, expected(b))), "{users:?}");
    assert!(items.iter().zip([10.0, 6.0, 6.0]).all(|(&a, b)| close(a, expected(b))), "{items:?}");
}

#[test]
fn overflow_is_an_error() {
    let matrix = random_matrix(10, 10, 0.5, 1e38, 2e38, 1);
    let error = fit(&matrix, &options(4, 5), &|_| ()).expect_err("can't be finite");
    assert!(error.to_string().starts_with("training diverged: factors are not finite"), "{error}");
}

/// The matrix with its rows and columns renumbered.
fn permuted(matrix: &Csr, rows: &[usize], columns: &[usize]) -> Csr {
    let mut out = Csr { columns: matrix.columns, offsets: vec![0], ..Csr::default() };
    for &row in rows {
        let (indices, values) = matrix.row(row);
        let mut entries: Vec<(u32, f32)> =
            indices.iter().zip(values).map(|(&c, &v)| (columns[c as usize] as u32, v)).collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        out.indices.extend(entries.iter().map(|entry| entry.0));
        out.values.extend(entries.iter().map(|entry| entry.1));
        out.offsets.push(out.indices.len());
    }
    out
}

fn permuted_rows(data: &[f32], rank: usize, order: &[usize]) -> Vec<f32> {
    order.iter().flat_map(|&row| &data[row * rank..(row + 1) * rank]).copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn renumbering_users_and_items_renumbers_the_answer(seed in any::<u64>(), uniform in any::<bool>()) {
        let rank = 6;
        let high = if uniform { 1.0 } else { 4.0 };
        let matrix = random_matrix(25, 15, 0.3, 1.0, high, seed);
        let mut users: Vec<usize> = (0..25).collect();
        let mut items: Vec<usize> = (0..15).collect();
        shuffle(&mut users, seed ^ 1);
        shuffle(&mut items, seed ^ 2);
        let mut places = vec![0; 15];
        items.iter().enumerate().for_each(|(place, &item)| places[item] = place);
        let start = random_start(25, 15, rank, seed);
        let turned = Factors {
            rank,
            users: permuted_rows(&start.users, rank, &users),
            items: permuted_rows(&start.items, rank, &items),
        };
        let options = options(rank, 10);
        let plain = fit_from(&matrix, &options, start, &|_| ()).expect("finite");
        let other = fit_from(&permuted(&matrix, &users, &places), &options, turned, &|_| ()).expect("finite");
        // Sums in another order differ in their last bits, and the sweeps between amplify that.
        let expected: Vec<f64> =
            permuted_rows(&plain.users, rank, &users).into_iter().map(f64::from).collect();
        assert_close(&other.users, &expected, 5e-3);
        let expected: Vec<f64> =
            permuted_rows(&plain.items, rank, &items).into_iter().map(f64::from).collect();
        assert_close(&other.items, &expected, 5e-3);
    }
}
