//! What users of an age, a region, a language like: an answer for users without a history.
//!
//! A ridge regression (Hoerl and Kennard 1970) of what users like on their attributes, as in the linear
//! mappings from attributes of Gantner, Drumond, Freudenthaler, Rendle and Schmidt-Thieme 2010 ("Learning
//! attribute-to-feature mappings for cold-start recommendations"), but to items rather than to the factors of
//! one family: with A users × attributes of zeros and ones, its first column all ones, and R users × items of
//! what they like, `B = (AᵀA + Λ)⁻¹ AᵀR`. A row of B says how much more, or less, likely a user with the
//! attribute likes an item; the first row, which Λ leaves alone, is the share of all who do. So a user's
//! scores are the row-sum of a sparse matrix terms × items: any family can have it, it is one operation for
//! shards, and it comes down to popularity where attributes say nothing.
//!
//! Users who are described and have no interactions are in the bundle with their attributes.

use super::part::TrainedPart;
use super::sparse::{SparseEntry, SparseSums, assemble, greatest};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::read::UsersFile;
use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Mat, Side};
use marquee_bundle::{CsrInput, Entity, RowSpace, SparseInput, SparseShape};
use marquee_core::id::compare_ids;
use marquee_core::model::recipe::{Profile, Recipe};
use marquee_core::model::term::ALL_USERS_TERM;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// The matrix terms × items in a bundle.
const PROFILE: &str = "profile";
/// The matrix users × terms in a bundle.
const USER_TERMS: &str = "user_terms";
/// Λ of an attribute: one that so many users have is believed by half.
const RIDGE: f64 = 10.0;
/// Λ of what all users have: only so that there is an inverse.
const RIDGE_OF_ALL_USERS: f64 = 1e-6;
/// Users with interactions who must have an attribute: of one alone it would say what that one likes.
const MIN_USERS: usize = 2;
/// Attributes with their values that are kept, those that most users have: their Gram matrix is inverted.
const MAX_TERMS: usize = 2_000;
/// Items that are kept of an attribute, those it says most of.
const KEPT_ITEMS: usize = 1_000;
/// A coefficient below is rounding.
const MIN_COEFFICIENT: f64 = 1e-9;

/// A part that answers by attributes where a user has no history, and the interactions over all its users.
///
/// # Errors
/// No user with interactions has an attribute that another one has.
pub(crate) fn with_profile(
    part: TrainedPart,
    rows: Interactions,
    file: &UsersFile,
) -> Result<(TrainedPart, Interactions), TrainError> {
    let known: Vec<Option<&[String]>> =
        rows.users.iter().map(|id| file.users.get(id).map(Vec::as_slice)).collect();
    let terms = frequent_terms(&known);
    if terms.is_empty() {
        return Err(TrainError::Data(format!(
            "{}: no two users with interactions have an attribute in common: check that its ids are those of the \
             interactions",
            file.path.display()
        )));
    }
    let number: HashMap<&str, u32> = terms.iter().map(String::as_str).zip(1..).collect();
    let described: Vec<Vec<u32>> =
        known.iter().map(|known| numbers_of(known.unwrap_or_default(), &number)).collect();
    let coefficients = coefficients(&described, &rows, terms.len() + 1)?;

    // Users who are described and have no interactions are not trained on; in the bundle all are in order.
    let described_only = file.users.iter().filter(|(id, known)| {
        !numbers_of(known, &number).is_empty()
            && rows.users.binary_search_by(|a| compare_ids(a, id)).is_err()
    });
    let mut users: Vec<String> =
        rows.users.iter().chain(described_only.map(|(id, _)| id)).cloned().collect();
    users.sort_unstable_by(|a, b| compare_ids(a, b));
    let place: HashMap<&str, u32> = users.iter().map(String::as_str).zip(0..).collect();
    let place: Vec<u32> = rows.users.iter().map(|id| place[id.as_str()]).collect();
    let new_users = users.len() - rows.users.len();

    let mut part = part.over_users(&place, users.len());
    let first =
        part.add_terms(std::iter::once(ALL_USERS_TERM.to_owned()).chain(terms.iter().cloned()));
    let of_users = users.iter().map(|id| {
        let known = file.users.get(id).map(Vec::as_slice).unwrap_or_default();
        numbers_of(known, &number).into_iter().map(|n| (first + n, 1.0)).collect()
    });
    let mut by_term = vec![Vec::new(); first as usize];
    by_term.extend(coefficients);
    let sparse =
        |name: &str, shape, matrix: CsrInput| SparseInput { name: name.into(), shape, matrix };
    let sums = SparseShape::Sums { rows: RowSpace::Terms, columns: Entity::Item };
    part.sparse.push(sparse(PROFILE, sums, assemble(by_term)));
    part.sparse.push(sparse(USER_TERMS, SparseShape::TermsByUser, assemble(of_users.collect())));
    part.recipe = Recipe::Profiled {
        recipe: Box::new(part.recipe),
        profile: Profile { matrix: PROFILE.into(), users: USER_TERMS.into() },
    };
    part.notes.push(format!(
        "profile: {} attributes of {} users; {new_users} more are described and have no interactions yet",
        terms.len(),
        described.iter().filter(|terms| !terms.is_empty()).count(),
    ));
    let items = rows.items.clone();
    let part = part.parameter("attributes", file.attributes.join(", "));
    Ok((part, rows.over(&users, &items)))
}

/// The numbers of a user's terms, and 0 before them, the number of what all users have; none of a user without
/// a term that has a number.
fn numbers_of(terms: &[String], number: &HashMap<&str, u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        terms.iter().filter_map(|term| number.get(term.as_str()).copied()).collect();
    if !numbers.is_empty() {
        numbers.insert(0, 0);
    }
    numbers
}

/// The terms that several users have, the most frequent if they are too many, in alphabetical order.
fn frequent_terms(known: &[Option<&[String]>]) -> Vec<String> {
    let mut having: BTreeMap<&str, usize> = BTreeMap::new();
    for term in known.iter().flatten().copied().flatten() {
        *having.entry(term).or_insert(0) += 1;
    }
    let mut terms: Vec<(&str, usize)> =
        having.into_iter().filter(|(_, users)| *users >= MIN_USERS).collect();
    // Stable: of equally frequent ones the first by name.
    terms.sort_by_key(|(_, users)| std::cmp::Reverse(*users));
    terms.truncate(MAX_TERMS);
    let mut terms: Vec<String> = terms.into_iter().map(|(term, _)| term.to_owned()).collect();
    terms.sort_unstable();
    terms
}

/// B, by term: of each user the ascending numbers of terms, none for who takes no part.
fn coefficients(
    described: &[Vec<u32>],
    rows: &Interactions,
    terms: usize,
) -> Result<Vec<Vec<SparseEntry>>, TrainError> {
    let mut gram = Mat::<f64>::zeros(terms, terms);
    let mut users_of: Vec<Vec<usize>> = vec![Vec::new(); terms];
    for (user, numbers) in described.iter().enumerate() {
        for &a in numbers {
            users_of[a as usize].push(user);
            numbers.iter().for_each(|&b| gram[(a as usize, b as usize)] += 1.0);
        }
    }
    for n in 0..terms {
        gram[(n, n)] += if n == 0 { RIDGE_OF_ALL_USERS } else { RIDGE };
    }
    let factor = gram.llt(Side::Lower).map_err(|_| {
        TrainError::Diverged("the attributes' Gram matrix has no inverse: leave some out".into())
    })?;
    let inverse = factor.inverse();
    let liked: Vec<Vec<(u32, f64)>> = users_of
        .par_iter()
        .map_init(SparseSums::default, |sums, users| {
            for &user in users {
                let items = rows.items_of(user);
                sums.add(items, &vec![1.0; items.len()], 1.0);
            }
            sums.take()
        })
        .collect();
    let items = rows.items.len();
    Ok((0..terms).into_par_iter().map(|term| row_of(term, &inverse, &liked, items)).collect())
}

/// B's row of a term, given the inverse of the Gram matrix and the items that users of each term like, with how many
/// do. Of all rows but the first, which is of all users, only the largest coefficients are kept.
fn row_of(
    row: usize,
    inverse: &Mat<f64>,
    liked: &[Vec<(u32, f64)>],
    items: usize,
) -> Vec<SparseEntry> {
    let mut sum = vec![0f64; items];
    for (term, liked) in liked.iter().enumerate() {
        let weight = inverse[(row, term)];
        liked.iter().for_each(|&(item, count)| sum[item as usize] += weight * count);
    }
    let mut entries: Vec<SparseEntry> = Vec::new();
    for (item, coefficient) in (0..).zip(sum) {
        if coefficient.abs() > MIN_COEFFICIENT {
            entries.push((item, coefficient as f32));
        }
    }
    if row == 0 || entries.len() <= KEPT_ITEMS {
        return entries;
    }
    let sizes: Vec<SparseEntry> = entries.iter().zip(0..).map(|(e, at)| (at, e.1.abs())).collect();
    greatest(sizes, KEPT_ITEMS).into_iter().map(|(at, _)| entries[at as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::score::{KnownUser, Ranker};
    use crate::interactions::{Duplicates, RawRow};

    /// Users 1 and 2 are of the north and like x, 4 and 5 of the south and like y; 3 and 6 are described only.
    fn world() -> (Interactions, UsersFile) {
        let raw = |user, item| RawRow { user, item, value: 1.0, time: 0.0 };
        let rows = [raw(0, 0), raw(1, 0), raw(2, 1), raw(3, 1)];
        let rows = Interactions::from_rows(
            &["1", "2", "4", "5"],
            &["x", "y"],
            &rows,
            false,
            false,
            Duplicates::Last,
        );
        let of = |id: &str, terms: &[&str]| {
            (id.to_owned(), terms.iter().map(|term| format!("user:{term}")).collect())
        };
        let users = [
            of("1", &["region=north", "zip=1"]),
            of("2", &["region=north"]),
            of("3", &["region=south"]),
            of("4", &["region=south"]),
            of("5", &["region=south"]),
            of("6", &["region=east"]),
        ];
        let users = UsersFile { users: users.into(), ..UsersFile::default() };
        (rows.0, users)
    }

    /// A part with something of everything that is widened.
    fn part() -> TrainedPart {
        let mut part = TrainedPart::new(Recipe::ItemRows {
            matrix: "rules".into(),
            history: marquee_core::model::recipe::HistoryWeights::default(),
        });
        let dense = |name: &str, entity, data| marquee_bundle::DenseInput {
            name: name.into(),
            entity,
            rank: 1,
            data,
            index: None,
            rows: marquee_bundle::RowFormat::F32,
        };
        part.dense.push(dense("of_users", Entity::User, vec![1.0, 2.0, 4.0, 5.0]));
        part.dense.push(dense("of_terms", Entity::Term, vec![7.0]));
        part.terms.push("word:x".into());
        let by_item = vec![vec![(0, 1.0), (1, 2.0)], vec![(2, 4.0), (3, 5.0)]];
        let shape = SparseShape::Sums { rows: RowSpace::Items, columns: Entity::User };
        part.sparse.push(SparseInput { name: "users".into(), shape, matrix: assemble(by_item) });
        let by_user = vec![vec![(0, 1.0)], vec![(0, 2.0)], vec![(1, 4.0)], vec![(1, 5.0)]];
        let shape = SparseShape::Sums { rows: RowSpace::Users, columns: Entity::Item };
        part.sparse.push(SparseInput { name: "items".into(), shape, matrix: assemble(by_user) });
        let shape = SparseShape::ITEM_ROWS;
        let none = assemble(vec![vec![], vec![]]);
        part.sparse.push(SparseInput { name: "rules".into(), shape, matrix: none });
        part
    }

    fn sparse<'a>(part: &'a TrainedPart, name: &str) -> &'a CsrInput {
        &part.sparse.iter().find(|matrix| matrix.name == name).expect("there").matrix
    }

    #[test]
    fn coefficients_are_those_by_hand() {
        let (rows, file) = world();
        let (part, rows) = with_profile(part(), rows, &file).expect("a profile");
        // 6 alone has its region, and 1 its zip: they say nothing, and 6 is left out.
        assert_eq!(rows.users, ["1", "2", "3", "4", "5"]);
        let terms = ["word:x", "user:", "user:region=north", "user:region=south"];
        assert_eq!(part.terms, terms);
        assert_eq!(sparse(&part, "user_terms").columns, [1, 2, 1, 2, 1, 3, 1, 3, 1, 3]);
        // Half of all like x. Of the north, with e more: 2 (1/2 - e)² of either region + 2 · 10 e² is least at
        // e = 1 / (2 + 10).
        let profile = sparse(&part, "profile");
        assert_eq!(profile.offsets, [0, 0, 2, 4, 6]);
        let e = 1.0 / 12.0;
        for (found, expected) in profile.values.iter().zip([0.5, 0.5, e, -e, -e, e]) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        // 3, of whom only the region is known, gets y first; of whom nothing is known, what is popular.
        let list = |terms: &[u32]| {
            let user = KnownUser { terms: terms.to_vec(), ..KnownUser::default() };
            Ranker::new(&part, &[2.0, 1.0]).lists(&[user], 2).remove(0)
        };
        assert_eq!(list(&[1, 3]), [1, 0]);
        assert_eq!(list(&[]), [0, 1]);
    }

    #[test]
    fn matrices_have_room_for_those_who_were_never_seen() {
        let (rows, file) = world();
        let (part, rows) = with_profile(part(), rows, &file).expect("a profile");
        assert_eq!(rows.offsets, [0, 1, 2, 2, 3, 4]);
        assert_eq!(part.dense[0].data, [1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(part.dense[1].data, [7.0, 0.0, 0.0, 0.0]);
        assert_eq!(sparse(&part, "users").columns, [0, 1, 3, 4]);
        let by_user = sparse(&part, "items");
        assert_eq!(
            (&by_user.offsets[..], &by_user.values[..]),
            (&[0, 1, 2, 2, 3, 4][..], &[1.0, 2.0, 4.0, 5.0][..])
        );
        let (rows, _) = world();
        let without_users =
            UsersFile { users: [("9".into(), vec!["user:a=b".into()])].into(), ..file };
        let said = with_profile(super::tests::part(), rows, &without_users)
            .expect_err("no users")
            .to_string();
        assert!(said.contains("no two users with interactions"), "{said}");
    }
}
