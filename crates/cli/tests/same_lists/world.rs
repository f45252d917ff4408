//! Two models by hand, drawn from a seed: recipes, matrices, histories, attributes and ensembles.
//!
//! Users `u…` have histories, some of them empty, and not every model knows all of them; `d…` have attributes only.
//! Users `r…` ask with recent items; their twins `t…` have the history that training would have given them had it
//! seen these. What `f` is to one model, `g0` is to the second model only, and `g1` to the first one. Neither model
//! knows `unknown-user`.

use fastrand::Rng;
use marquee_bundle::{
    BundleInput, CsrInput, DenseInput, Entity, ItemRecord, Quality, RowFormat, RowSpace,
    SparseInput, SparseShape, write_bundle,
};
use marquee_core::model::recipe::{
    BlendMember, HISTORY_ORDER_MATRIX, HistoryWeights, NeighbourSearch, Profile, Recipe,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const ITEMS: usize = 16;
const RANK: usize = 3;
const USERS: usize = 5;
const ASKING: usize = 3;
/// A user whom both models know.
pub(crate) const KNOWN_TO_BOTH: &str = "f";
/// Values of an attribute of users.
pub(crate) const REGIONS: [&str; 2] = ["north", "south"];

/// Two models, and what is asked of them.
pub(crate) struct World {
    pub(crate) models: Vec<Model>,
    pub(crate) ensembles: Vec<Ensemble>,
    /// How many items are asked for.
    pub(crate) count: usize,
    /// For each user `r…`, the recent items of the request, the newest last.
    pub(crate) recents: Vec<Vec<String>>,
    /// Items that a filter leaves out.
    pub(crate) filtered: Vec<String>,
}

pub(crate) struct Ensemble {
    pub(crate) name: String,
    pub(crate) definition: String,
    /// The model whose lists it gives unchanged.
    pub(crate) only_model: Option<usize>,
    /// Whether it has a chain.
    pub(crate) is_chain: bool,
    /// Whether a filter takes items out of its list and changes nothing else.
    pub(crate) takes_filters: bool,
}

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) shards: u32,
    pub(crate) input: BundleInput,
}

/// What a user watched, oldest first: items by id, and whether each was liked.
pub(crate) type Watched = Vec<(usize, bool)>;

impl World {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let recipes = [recipe(&mut rng), recipe(&mut rng)];
        let has_topics = recipes.iter().any(|recipe| {
            recipe.parts().iter().any(|(part, _)| matches!(part, Recipe::Content { .. }))
        });
        let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
        for user in (0..USERS).map(|n| format!("u{n}")) {
            watched.insert(user, watch(&mut rng, 8));
        }
        let mut recents = Vec::new();
        for n in 0..ASKING {
            let before = watch(&mut rng, 6);
            let mut recent: Vec<usize> = (0..rng.usize(1..5)).map(|_| rng.usize(..ITEMS)).collect();
            if has_topics {
                // Topics of items in the middle of a history are known nearly only.
                recent.retain(|item| !before.iter().any(|(other, _)| other == item));
            }
            let mut after = before.clone();
            for &item in &recent {
                after.retain(|(other, _)| *other != item);
                after.push((item, true));
            }
            recents.push(recent.iter().map(ToString::to_string).collect());
            watched.insert(format!("r{n}"), before);
            watched.insert(format!("t{n}"), after);
        }
        let both = watch(&mut rng, 8);
        for user in [KNOWN_TO_BOTH.to_owned(), unknown_to(0), unknown_to(1)] {
            watched.insert(user, both.clone());
        }
        let [first, second] = recipes;
        let can_chain = matches!(second.parts()[..], [(Recipe::ItemRows { .. }, _)]);
        let is_single = [&first, &second].map(|recipe| recipe.parts().len() == 1);
        let models = vec![
            Model::draw("a", first, &known_to(0, &watched), &mut rng),
            Model::draw("b", second, &known_to(1, &watched), &mut rng),
        ];
        let count = if rng.bool() { ITEMS + 4 } else { rng.usize(2..8) };
        let mut filtered: BTreeSet<usize> = BTreeSet::new();
        filtered.extend((0..4).map(|_| rng.usize(..ITEMS)));
        Self {
            models,
            ensembles: ensembles(can_chain, is_single, count > ITEMS),
            count,
            recents,
            filtered: filtered.iter().map(ToString::to_string).collect(),
        }
    }

    /// Users for whom lists are made and who have no twin.
    pub(crate) fn asked(&self) -> Vec<String> {
        let users = (0..USERS).map(|n| format!("u{n}"));
        let described = (0..REGIONS.len()).map(|n| format!("d{n}"));
        users
            .chain(described)
            .chain([KNOWN_TO_BOTH.to_owned(), "unknown-user".to_owned()])
            .collect()
    }

    /// Users whose evaluated lists others are to get: by recent items, or where lookups fail.
    pub(crate) fn twins(&self) -> Vec<String> {
        let by_recents = (0..ASKING).map(|n| format!("t{n}"));
        by_recents.chain((0..self.models.len()).map(unknown_to)).collect()
    }

    pub(crate) fn bundle(&self, directory: &Path, model: usize) -> PathBuf {
        directory.join(self.models[model].name)
    }

    /// The bundles as `--bundle` names them.
    pub(crate) fn bundles(&self, directory: &Path) -> Vec<String> {
        let name =
            |model: &Model| format!("{}@1={}", model.name, directory.join(model.name).display());
        self.models.iter().map(name).collect()
    }

    /// Writes bundles and the files of ensembles.
    pub(crate) fn write(&self, directory: &Path) {
        for model in &self.models {
            let input = model.input.clone();
            write_bundle(input, &directory.join(model.name), &|_| ()).expect("a bundle");
        }
        for Ensemble { name, definition, .. } in &self.ensembles {
            let file = directory.join(format!("{name}.yaml"));
            std::fs::write(file, definition).expect("written");
        }
    }
}

/// The user who is as [`KNOWN_TO_BOTH`], but unknown to one model.
pub(crate) fn unknown_to(model: usize) -> String {
    format!("g{model}")
}

/// The histories without the user who is unknown to a model.
fn known_to(model: usize, watched: &BTreeMap<String, Watched>) -> BTreeMap<String, Watched> {
    let mut known = watched.clone();
    known.remove(&unknown_to(model));
    known
}

/// Up to so many items, each once; one in three is not liked.
fn watch(rng: &mut Rng, most: usize) -> Watched {
    let mut items: Vec<usize> = (0..ITEMS).collect();
    rng.shuffle(&mut items);
    items.truncate(rng.usize(..=most));
    items.into_iter().map(|item| (item, rng.usize(..3) > 0)).collect()
}

fn weights(rng: &mut Rng) -> HistoryWeights {
    let decay = if rng.bool() { 0.5 } else { 1.0 };
    let newest = rng.bool().then(|| rng.u32(1..4));
    HistoryWeights { by_value: false, decay, newest }
}

fn part(rng: &mut Rng) -> Recipe {
    match rng.usize(..9) {
        0 => Recipe::MatrixFactorisation {
            user_factors: "user_factors".into(),
            item_factors: "item_factors".into(),
            fold_in: None,
        },
        1 => Recipe::Content {
            user_topics: "user_topics".into(),
            item_topics: "item_topics".into(),
            term_topics: None,
            history: Some(HistoryWeights { decay: 0.5, ..HistoryWeights::default() }),
        },
        2..=4 => Recipe::ItemRows { matrix: "rules".into(), history: weights(rng) },
        5 => Recipe::UserNeighbours {
            by: NeighbourSearch::Histories {
                matrix: "users_by_item".into(),
                history: weights(rng),
            },
            histories: "histories".into(),
            neighbours: 3,
        },
        6 => Recipe::UserNeighbours {
            by: NeighbourSearch::Vectors { user_factors: "user_factors".into() },
            histories: "histories".into(),
            neighbours: 3,
        },
        7 => Recipe::Trending { matrix: "trending".into() },
        _ => Recipe::Popularity,
    }
}

/// A recipe of one to three parts, with a profile or without.
fn recipe(rng: &mut Rng) -> Recipe {
    let recipe = if rng.usize(..3) == 0 {
        let count = rng.usize(2..4);
        let members = (0..count).map(|n| BlendMember {
            recipe: part(rng),
            weight: 1.0 / (n + 1) as f64 + rng.f64() / 8.0,
        });
        Recipe::Blend { members: members.collect() }
    } else {
        part(rng)
    };
    let profile = Profile { matrix: "profile".into(), users: "user_terms".into() };
    if recipe.is_personal() && rng.usize(..3) > 0 {
        Recipe::Profiled { recipe: Box::new(recipe), profile }
    } else {
        recipe
    }
}

fn ensembles(can_chain: bool, is_single: [bool; 2], lists_all: bool) -> Vec<Ensemble> {
    let (a, b) = ("{ model: { model: a, version: 1 } }", "{ model: { model: b, version: 1 } }");
    let parallel = |fusion: &str| {
        format!(
            "{{ parallel: {{ fusion: {fusion}, members: [{{ weight: 1.0, node: {a} }}, {{ weight: 0.6, node: {b} }}] }} }}"
        )
    };
    let product = |form: &str| format!("{{ product: {{ {form} members: [{a}, {b}] }} }}");
    let mut roots = vec![
        ("only-a", a.to_owned(), Some(0)),
        ("only-b", b.to_owned(), Some(1)),
        ("ranks", parallel("FUSION_RECIPROCAL_RANK"), None),
        ("scores", parallel("FUSION_WEIGHTED_SCORE"), None),
        ("product", product(""), None),
        ("sequence", format!("{{ sequence: {{ members: [{a}, {b}] }} }}"), None),
    ];
    if can_chain {
        roots.push(("chain", product("form: PRODUCT_FORM_CHAIN,"), None));
    }
    let ensemble = |(name, root, only_model): (&str, String, Option<usize>)| Ensemble {
        name: name.into(),
        definition: format!("name: {name}\nroot: {root}\n"),
        only_model,
        is_chain: name == "chain",
        takes_filters: lists_all && only_model.is_some_and(|model| is_single[model]),
    };
    roots.into_iter().map(ensemble).collect()
}

impl Model {
    fn draw(
        name: &'static str,
        recipe: Recipe,
        watched: &BTreeMap<String, Watched>,
        rng: &mut Rng,
    ) -> Self {
        // Some items are in one model only, so the same item has other numbers in the other.
        let items: Vec<usize> = (0..ITEMS).filter(|_| rng.usize(..8) > 0).collect();
        let place: BTreeMap<usize, usize> = items.iter().copied().zip(0..).collect();
        let mut users: Vec<String> = Vec::new();
        for user in watched.keys() {
            // All users with twins are known where their twins are known.
            if !user.starts_with('u') || rng.usize(..5) > 0 {
                users.push(user.clone());
            }
        }
        users.extend((0..REGIONS.len()).map(|n| format!("d{n}")));
        let known = |user: &String| -> Watched {
            let all = watched.get(user).into_iter().flatten();
            all.filter_map(|(item, liked)| Some((*place.get(item)?, *liked))).collect()
        };
        let histories: Vec<Watched> = users.iter().map(known).collect();
        let topics: Vec<f32> = (0..items.len() * RANK).map(|_| rng.f32() - 0.3).collect();
        let dense = |name: &str, entity, data| DenseInput {
            name: name.into(),
            entity,
            rank: RANK,
            data,
            index: None,
            rows: RowFormat::F32,
        };
        let sparse = |name: &str, shape, matrix| SparseInput { name: name.into(), shape, matrix };
        let sums = |rows, columns| SparseShape::Sums { rows, columns };
        let mut vectors: Vec<f32> = (0..users.len() * RANK).map(|_| rng.f32() - 0.5).collect();
        for (user, id) in users.iter().enumerate() {
            let row = user * RANK..(user + 1) * RANK;
            if id.starts_with('d') || histories[user].is_empty() {
                vectors[row].fill(0.0);
            } else if let Some(twin) = twin_of(id) {
                // Factors do not change with recent items here: twins have the same ones.
                let twin = users.iter().position(|other| *other == twin).expect("known") * RANK;
                vectors.copy_within(twin..twin + RANK, row.start);
            }
        }
        let user_topics =
            histories.iter().flat_map(|history| topics_of(history, &topics)).collect();
        let is_base = |user: usize| users[user].starts_with('u');
        let liked = |user: usize, item: usize| {
            is_base(user) && histories[user].iter().any(|&(seen, liked)| seen == item && liked)
        };
        let rules = csr(items.len(), items.len(), |row, column| {
            (row != column && rng.usize(..4) == 0).then(|| rng.f32() + 0.1)
        });
        let trending = csr(1, items.len(), |_, _| (rng.usize(..4) == 0).then(|| rng.f32()));
        let similarity =
            csr(items.len(), users.len(), |item, user| liked(user, item).then(|| rng.f32() + 0.1));
        let summed =
            csr(users.len(), items.len(), |user, item| liked(user, item).then(|| rng.f32() + 0.1));
        let profile = csr(1 + REGIONS.len(), items.len(), |_, _| {
            (rng.usize(..3) > 0).then(|| rng.f32() - 0.4)
        });
        // One in two of those with a history has a region.
        let of_both = rng.bool().then(|| rng.usize(..REGIONS.len()));
        let mut region: Vec<Option<usize>> = Vec::new();
        for user in &users {
            region.push(match user.split_at(1) {
                ("d", n) => n.parse().ok(),
                ("r" | "t", _) => None,
                ("f" | "g", _) => of_both,
                _ => rng.bool().then(|| rng.usize(..REGIONS.len())),
            });
        }
        let terms = csr(users.len(), 1 + REGIONS.len(), |user, term| {
            let of = region[user]?;
            (term == 0 || term == of + 1).then_some(1.0)
        });
        let shards = rng.u32(1..4);
        let input = BundleInput {
            model: name.into(),
            recipe,
            kind: "by hand".into(),
            shards,
            items: items
                .iter()
                .map(|item| ItemRecord { id: item.to_string(), ..ItemRecord::default() })
                .collect(),
            terms: std::iter::once("user:".to_owned())
                .chain(REGIONS.iter().map(|region| format!("user:region={region}")))
                .collect(),
            dense: vec![
                dense("user_factors", Entity::User, vectors),
                dense(
                    "item_factors",
                    Entity::Item,
                    (0..topics.len()).map(|_| rng.f32() - 0.4).collect(),
                ),
                dense("user_topics", Entity::User, user_topics),
                dense("item_topics", Entity::Item, topics),
            ],
            history: Some(csr(users.len(), items.len(), |user, item| {
                let seen = histories[user].iter().find(|(seen, _)| *seen == item);
                seen.map(|(_, liked)| f32::from(u8::from(*liked)))
            })),
            popularity: (0..items.len()).map(|_| rng.f32() * 9.0).collect(),
            sparse: vec![
                sparse("rules", SparseShape::ITEM_ROWS, rules),
                sparse(
                    HISTORY_ORDER_MATRIX,
                    SparseShape::ByUser,
                    csr(users.len(), items.len(), |user, item| {
                        let newer = histories[user].iter().rev();
                        let age = newer.take_while(|(seen, _)| *seen != item).count();
                        (age < histories[user].len()).then_some(age as f32)
                    }),
                ),
                sparse("users_by_item", sums(RowSpace::Items, Entity::User), similarity),
                sparse("histories", sums(RowSpace::Users, Entity::Item), summed),
                sparse("trending", sums(RowSpace::Single, Entity::Item), trending),
                sparse("profile", sums(RowSpace::Terms, Entity::Item), profile),
                sparse("user_terms", SparseShape::TermsByUser, terms),
            ],
            users,
            quality: Quality::default(),
            parameters: BTreeMap::new(),
            forgotten: None,
            created_at_ms: 0,
        };
        Self { name, shards, input }
    }
}

/// The user whose vectors a twin has.
fn twin_of(user: &str) -> Option<String> {
    match user.split_at(1) {
        ("t", n) => Some(format!("r{n}")),
        ("g", _) => Some(KNOWN_TO_BOTH.into()),
        _ => None,
    }
}

/// The sum of the topics of what was liked, where each weighs half of the next newer one.
fn topics_of(history: &Watched, topics: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; RANK];
    let liked = history.iter().rev().filter(|(_, liked)| *liked);
    for (age, (item, _)) in liked.enumerate() {
        let row = &topics[item * RANK..(item + 1) * RANK];
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += 0.5f64.powi(age as i32) * f64::from(*x);
        }
    }
    sum.into_iter().map(|x| x as f32).collect()
}

/// A sparse matrix of what `of` gives for each row and column.
pub(crate) fn csr(
    rows: usize,
    columns: usize,
    mut of: impl FnMut(usize, usize) -> Option<f32>,
) -> CsrInput {
    let mut csr = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for row in 0..rows {
        for column in 0..columns {
            if let Some(value) = of(row, column) {
                csr.columns.push(column as u32);
                csr.values.push(value);
            }
        }
        csr.offsets.push(csr.columns.len());
    }
    csr
}
