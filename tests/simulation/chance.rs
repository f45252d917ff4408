//! Draws from distributions, fast: a simulation draws some billion times.

use statrs::distribution::{ContinuousCDF, Normal};
use std::sync::OnceLock;

/// Normal deviates that draws choose from.
const DEVIATES: usize = 1 << 14;

/// A standard normal deviate.
pub(crate) fn normal(random: &mut fastrand::Rng) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let standard = Normal::standard();
        let at = |n| (n as f64 + 0.5) / DEVIATES as f64;
        (0..DEVIATES).map(|n| standard.inverse_cdf(at(n))).collect()
    });
    table[random.usize(..DEVIATES)]
}

/// An exponentially distributed number of mean 1.
pub(crate) fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}

/// How often something happens that happens this often on average (Poisson; for large means a normal).
pub(crate) fn poisson(mean: f64, random: &mut fastrand::Rng) -> usize {
    if mean > 20.0 {
        return (mean + mean.sqrt() * normal(random)).round().max(0.0) as usize;
    }
    let least = (-mean).exp();
    let (mut times, mut product) = (0, random.f64());
    while product > least {
        times += 1;
        product *= random.f64();
    }
    times
}

/// Draws indices by their weights in constant time (Walker 1977, as built by Vose 1991).
pub(crate) struct Alias(Vec<(f64, u32)>);

impl Alias {
    pub(crate) fn new(weights: &[f64]) -> Self {
        let scale = weights.len() as f64 / weights.iter().sum::<f64>();
        let mut table: Vec<(f64, u32)> =
            weights.iter().enumerate().map(|(n, weight)| (weight * scale, n as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..table.len()).partition(|&n| table[n].0 < 1.0);
        while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
            small.pop();
            table[less].1 = more as u32;
            table[more].0 -= 1.0 - table[less].0;
            if table[more].0 < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        // What is left is 1 but for rounding.
        small.into_iter().chain(large).for_each(|n| table[n].0 = 1.0);
        Self(table)
    }

    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let at = random.usize(..self.0.len());
        let (chance, other) = self.0[at];
        if random.f64() < chance { at } else { other as usize }
    }
}

#[test]
fn draws_are_as_they_should_be() {
    let mut random = fastrand::Rng::with_seed(1);
    let draws = 200_000;
    let alias = Alias::new(&[1.0, 0.0, 5.0, 2.0, 2.0]);
    let mut counts = [0; 5];
    (0..draws).for_each(|_| counts[alias.draw(&mut random)] += 1);
    for (count, share) in counts.into_iter().zip([0.1, 0.0, 0.5, 0.2, 0.2]) {
        assert!((f64::from(count) / f64::from(draws) - share).abs() < 0.005, "{counts:?}");
    }
    for mean in [0.3, 7.0, 90.0] {
        let all: Vec<f64> = (0..draws).map(|_| poisson(mean, &mut random) as f64).collect();
        let found = all.iter().sum::<f64>() / f64::from(draws);
        let variance = all.iter().map(|it| (it - found).powi(2)).sum::<f64>() / f64::from(draws);
        assert!((found / mean - 1.0).abs() < 0.02, "{mean}: {found}");
        assert!((variance / mean - 1.0).abs() < 0.03, "{mean}: {variance}");
    }
}
