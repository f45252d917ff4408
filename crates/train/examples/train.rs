//! `marquee train` without the rest of the binary, for measuring its CPU time.
//!
//! ```text
//! cargo run --release -p marquee-train --example train -- --interactions ratings.csv --out /tmp/bundle
//! ```

use clap::Parser;
use marquee_train::TrainArgs;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: TrainArgs,
}

fn main() {
    match marquee_train::train(&Cli::parse().args, 0) {
        Ok(summary) => println!("{summary}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
