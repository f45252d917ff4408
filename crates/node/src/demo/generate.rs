//! A catalogue that is made up, for a machine without real data: films of a few genres, and people
//! who mostly watch one or two of them, the known films more than the others.

use super::data::DemoData;
use std::fmt::Write as _;
use std::path::Path;

/// What every line that shows made-up data says.
pub const LABEL: &str = "[generated]";

const USERS: usize = 1_000;
const ITEMS: usize = 1_200;
const HISTORY: usize = 60;
/// Tries to find a film that a person has not seen yet: they have seen few of them.
const MAX_TRIES: usize = 100;
const GENRES: [&str; 8] =
    ["Comedy", "Drama", "Crime", "Horror", "Animation", "Western", "Documentary", "Musical"];
const SEED: u64 = 20_261;

/// Writes `interactions.csv` and `items.csv` into the directory.
///
/// # Errors
/// Where they can't be written.
pub fn write(directory: &Path) -> std::io::Result<DemoData> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let genres: Vec<usize> = (0..ITEMS).map(|_| random.usize(..GENRES.len())).collect();
    let by_genre: Vec<Vec<usize>> = (0..GENRES.len())
        .map(|genre| (0..ITEMS).filter(|&item| genres[item] == genre).collect())
        .collect();
    let mut items = String::from("item_id,title,genres\n");
    for (item, &genre) in genres.iter().enumerate() {
        let year = 1940 + random.u32(..85);
        writeln!(items, "{},{LABEL} Film {} ({year}),{}", item + 1, item + 1, GENRES[genre])
            .expect("memory");
    }
    let mut interactions = String::from("user_id,item_id,timestamp\n");
    for user in 1..=USERS {
        let taste = [random.usize(..GENRES.len()), random.usize(..GENRES.len())];
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..HISTORY {
            for _ in 0..MAX_TRIES {
                // Cubed, so that the first films of a genre are the known ones.
                let draw = random.f64().powi(3);
                let item = match random.u32(..10) {
                    0..5 => pick(&by_genre[taste[0]], draw),
                    5..8 => pick(&by_genre[taste[1]], draw),
                    _ => (draw * ITEMS as f64) as usize,
                };
                if seen.insert(item) {
                    let time = 1_500_000_000 + n * 86_400 + user;
                    writeln!(interactions, "{user},{},{time}", item + 1).expect("memory");
                    break;
                }
            }
        }
    }
    let data = DemoData {
        interactions: directory.join("interactions.csv"),
        items: Some(directory.join("items.csv")),
        positive_at: None,
        source: format!("{LABEL} {ITEMS} films and {USERS} people who do not exist"),
        generated: true,
    };
    fs_err::write(&data.interactions, interactions)?;
    fs_err::write(directory.join("items.csv"), items)?;
    Ok(data)
}

/// The film at `share` (0..1) of the list; the lists have no gaps worth a case, but an empty one
/// must not end the demo.
fn pick(films: &[usize], share: f64) -> usize {
    let at = (share * films.len() as f64) as usize;
    films.get(at).copied().unwrap_or_default()
}
