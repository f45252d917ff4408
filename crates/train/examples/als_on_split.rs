//! Fits ALS to a train file and scores the full ranking against a test file, for comparisons with
//! other implementations at equal settings.
//!
//! ```text
//! cargo run --release -p marquee-train --example als_on_split -- train.csv test.csv FACTORS REG ALPHA [SEEDS]
//! ```

use marquee_train::als::{AlsOptions, RegularizationScaling, fit};
use marquee_train::eval::{evaluate_factors, evaluate_popularity, users_to_evaluate};
use marquee_train::read::read_interactions;
use marquee_train::{ColumnArgs, Duplicates, HoldOut, Weight, confidences};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, factors, regularization, alpha, rest @ ..] = args.as_slice() else {
        return Err("give TRAIN TEST FACTORS REG ALPHA [SEEDS] [frequency]".into());
    };
    let seeds: u64 = rest.first().map_or(Ok(1), |text| text.parse())?;
    let scaling = match rest.get(1).map(String::as_str) {
        Some("frequency") => RegularizationScaling::Frequency,
        _ => RegularizationScaling::None,
    };
    let alpha: f32 = alpha.parse()?;
    let start = cpu_time::ProcessTime::now();
    let read =
        |path| read_interactions(Path::new(path), &ColumnArgs::default(), Duplicates::Last, false);
    let (train, _) = read(train)?;
    let (test, _) = read(test)?;
    println!("read {:.3} CPU s, {} rows", start.elapsed().as_secs_f64(), train.len());
    let split = HoldOut::new(&train, &test);
    let users = users_to_evaluate(&split, 64, None, 1);
    println!("popularity {:?}", evaluate_popularity(&split, &users, 20));
    for seed in 1..=seeds {
        let options = AlsOptions {
            factors: factors.parse()?,
            regularization: regularization.parse()?,
            scaling,
            iterations: 15,
            seed,
        };
        let start = cpu_time::ProcessTime::now();
        let model = fit(&confidences(&split.train, Weight::None, alpha), &options, &|_| ())?;
        let fitted = start.elapsed().as_secs_f64();
        let metrics = evaluate_factors(&split, &model, &users, 20);
        println!(
            "seed {seed} fit {fitted:.3} evaluate {:.3} CPU s recall {:.4} ndcg {:.4} users {}",
            start.elapsed().as_secs_f64() - fitted,
            metrics.recall,
            metrics.ndcg,
            metrics.users
        );
    }
    Ok(())
}
