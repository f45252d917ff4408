//! A generated catalogue, for machines that cannot fetch a real one. Every title says that it is generated.
//!
//! Each item belongs to one cluster, each user prefers a few clusters, and within a cluster some items are
//! far more popular than others: enough structure that more factors recommend better. Every run writes the
//! same files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Name of the file of interactions.
pub(super) const INTERACTIONS: &str = "interactions.csv";
/// Name of the file of items.
pub(super) const ITEMS: &str = "items.csv";
/// Name of the file of users' attributes.
pub(super) const ATTRIBUTES: &str = "users.csv";
/// Names of all files that [`write`](fn@write) makes.
pub(super) const FILES: [&str; 3] = [INTERACTIONS, ITEMS, ATTRIBUTES];
/// The first word of every title.
pub(super) const LABEL: &str = "[generated]";

const USERS: usize = 1_500;
const FILMS: usize = 1_200;
/// More than v1's factors and fewer than v2's, so that v2 can model more of them.
const CLUSTERS: usize = 24;
const CLUSTERS_PER_USER: usize = 3;
const MIN_HISTORY: usize = 20;
const MAX_HISTORY: usize = 80;
/// Share of interactions outside the clusters that the user prefers.
const RANDOM_SHARE: f64 = 0.1;
/// Seconds between one interaction of a user and the next.
const DAY: usize = 86_400;
/// Regions of users, one for each four clusters.
const REGIONS: [&str; 6] = ["north", "south", "east", "west", "coast", "islands"];

const FIRST: [&str; 20] = [
    "Quiet", "Crimson", "Last", "Hidden", "Broken", "Golden", "Midnight", "Frozen", "Paper",
    "Distant", "Silver", "Burning", "Secret", "Hollow", "Wild", "Second", "Northern", "Electric",
    "Velvet", "Stolen",
];
const SECOND: [&str; 20] = [
    "Harbour", "Orchard", "Signal", "Station", "Mirror", "River", "Letters", "Garden", "Machine",
    "Summer", "Witness", "Empire", "Lantern", "Border", "Waltz", "Island", "Archive", "Comet",
    "Winter", "Parade",
];
const GENRES: [&str; 12] = [
    "Drama",
    "Comedy",
    "Thriller",
    "Romance",
    "Adventure",
    "Mystery",
    "Western",
    "Musical",
    "War",
    "Crime",
    "Fantasy",
    "Documentary",
];

/// Writes the catalogue into a new directory.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    fs_err::create_dir_all(directory)?;
    let (interactions, users) = interactions_and_users();
    fs_err::write(directory.join(ITEMS), items())?;
    fs_err::write(directory.join(INTERACTIONS), interactions)?;
    fs_err::write(directory.join(ATTRIBUTES), users)
}

fn cluster_of(film: usize) -> usize {
    film % CLUSTERS
}

fn items() -> String {
    let mut csv = String::from("item_id,title,genres,year\n");
    for film in 0..FILMS {
        let first = FIRST[film % FIRST.len()];
        let second = SECOND[film / FIRST.len() % SECOND.len()];
        let part = match film / (FIRST.len() * SECOND.len()) {
            0 => String::new(),
            n => format!(" {}", n + 1),
        };
        let genre = GENRES[cluster_of(film) % GENRES.len()];
        let other = GENRES[cluster_of(film) / 2 % GENRES.len()];
        let genres = if genre == other { genre.to_owned() } else { format!("{genre}|{other}") };
        let year = 1960 + film * 37 % 65;
        // Writing to a String cannot fail.
        let _ =
            writeln!(csv, "f{film},{LABEL} The {first} {second}{part} ({year}),{genres},{year}");
    }
    csv
}

/// Interactions, and users' attributes: age and region follow from the first cluster that a user prefers.
fn interactions_and_users() -> (String, String) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut csv = String::from("user_id,item_id,rating,timestamp\n");
    let mut users = String::from("user_id,age,region\n");
    for user in 0..USERS {
        let preferred: Vec<usize> =
            (0..CLUSTERS_PER_USER).map(|_| random.usize(..CLUSTERS)).collect();
        let age = 15 + preferred[0] % 4 * 15 + user % 10;
        let region = REGIONS[preferred[0] / 4];
        let _ = writeln!(users, "u{user},{age},{region}");
        let mut seen = BTreeSet::new();
        let length = random.usize(MIN_HISTORY..=MAX_HISTORY);
        while seen.len() < length {
            let cluster = if random.f64() < RANDOM_SHARE {
                random.usize(..CLUSTERS)
            } else {
                preferred[random.usize(..preferred.len())]
            };
            // The square of a uniform draw: the first films of a cluster are the popular ones.
            let rank = (random.f64().powi(2) * (FILMS / CLUSTERS) as f64) as usize;
            let film = rank * CLUSTERS + cluster;
            if seen.insert(film) {
                let rating = 3 + random.u32(..3);
                let time = 1_600_000_000 + user * 37 + seen.len() * DAY;
                let _ = writeln!(csv, "u{user},f{film},{rating},{time}");
            }
        }
    }
    (csv, users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_says_that_it_is_generated() {
        let items = items();
        assert_eq!(items.lines().count(), FILMS + 1);
        assert!(items.lines().skip(1).all(|line| line.contains(LABEL)));
        let titles: BTreeSet<&str> =
            items.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
        assert_eq!(titles.len(), FILMS, "titles are distinct");
    }

    #[test]
    fn the_same_catalogue_at_every_run() {
        let written = interactions_and_users();
        assert_eq!(written, interactions_and_users());
        let (interactions, users) = written;
        assert_eq!(users.lines().count(), USERS + 1);
        let films = interactions
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').nth(1).map(str::to_owned))
            .collect::<BTreeSet<_>>();
        let known: BTreeSet<String> = (0..FILMS).map(|film| format!("f{film}")).collect();
        assert!(films.is_subset(&known));
    }
}
