//! What publishing requires of a bundle: a manifest that can be trusted, and a model that is good enough.

use marquee_bundle::{
    BundleError, BundleRoots, MatrixLayout, TrustedKeys, UriDefect, read_signed_manifest,
    remove_bundle, share_files,
};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Plan, PublishedVersion, Quality};
use std::path::PathBuf;

/// Characters of a URI that a message shows.
const MAX_SHOWN_URI: usize = 256;

/// A bundle as its manifest describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedBundle {
    /// The model's name.
    pub model: String,
    /// The rest, without what publishing adds.
    pub version: PublishedVersion,
    /// The least recall@100 of its indexes against exact searches, as measured at building; none where
    /// every search is exact.
    pub index_recall_at_100: Option<f64>,
    /// The list of forgotten users that `forgotten_up_to` is a number of; empty if its training had none.
    pub forgotten_list: String,
    /// When its trusted signature expires, in ms since the Unix epoch; 0: never, or nothing is signed.
    pub expires_at_ms: u64,
}

/// Where manifests are read. Blocking; called off the request path's threads.
pub trait ManifestSource: Send + Sync + 'static {
    /// Reads and verifies the manifest of the bundle at `uri`.
    fn read(&self, uri: &str) -> Result<DescribedBundle, PublishError>;
}

/// Why a bundle is not published. Every message says what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The URI is not one that can be read.
    #[error(
        "bundle_uri {uri:?} {defect}: give an absolute path, or file:// and an absolute path, that every shard \
         node can read"
    )]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        defect: UriDefect,
    },
    /// There is no bundle at the URI.
    #[error("bundle_uri {uri:?}: there is no bundle, as seen from this control node: {error}")]
    Absent {
        /// What was given.
        uri: String,
        /// What the system said.
        error: String,
    },
    /// It is not a valid bundle, or its signature is not trusted here.
    #[error("bundle_uri {uri:?}: {error}")]
    Bundle {
        /// What was given.
        uri: String,
        /// What is wrong.
        error: BundleError,
    },
    /// Its signature was good for a time.
    #[error("the bundle's signature expired {seconds} s ago: sign it anew if it is still wanted")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// Its index misses too many of the best rows.
    #[error(
        "the bundle's index finds {recall:.4} of the best 100, less than the {bar} of control.min_index_recall; \
         build it with a higher target or --index never, or publish with force"
    )]
    IndexRecall {
        /// What was measured at building.
        recall: f64,
        /// What is asked for.
        bar: f64,
    },
    /// It knows much less than the version that is live.
    #[error(
        "the bundle has {has} {what} where the live {live} has {live_has}: it would forget more than a fifth of \
         them; look what is missing in its input, or publish with force"
    )]
    Coverage {
        /// What there is less of: items or users.
        what: &'static str,
        /// How many the bundle has.
        has: u64,
        /// The live version.
        live: ModelVersion,
        /// How many that one has.
        live_has: u64,
    },
    /// It is not better than popular items.
    #[error(
        "the model did not beat popularity on its hold-out: {metric} {model:.4} against {popularity:.4}; train \
         it better, or publish with force"
    )]
    NotBetterThanPopularity {
        /// The metric that decides.
        metric: &'static str,
        /// The model's value.
        model: f64,
        /// The value of popular items.
        popularity: f64,
    },
}

/// Why a bundle is not deleted. Messages continue a sentence about the bundle.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The URI is not one that can be read.
    #[error("its uri {0}")]
    Uri(#[from] UriDefect),
    /// A version that stays is in the same place, under whatever name, or within it, or around it.
    #[error("it shares files with the bundle at {0}, which is still needed")]
    Shared(String),
    /// There is no bundle, or another one, or a file cannot be deleted.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Refuses a bundle whose signature is good no more. Nodes load it all the same where it was published before.
pub fn check_expiry(expires_at_ms: u64, now_ms: u64) -> Result<(), PublishError> {
    if expires_at_ms == 0 || now_ms < expires_at_ms {
        return Ok(());
    }
    Err(PublishError::Expired { seconds: (now_ms - expires_at_ms) / 1_000 })
}

/// Refuses a model that was measured and is not better than popularity. The first metric that was measured
/// for both decides; a model that was not measured (factors trained elsewhere) passes, and so does a model of texts alone, which
/// is for searches and for items that nobody has had.
pub fn check_quality(recipe: &Recipe, quality: &Quality) -> Result<(), PublishError> {
    let parts = recipe.parts();
    if parts.iter().all(|(part, _)| matches!(part, Recipe::Content { .. })) {
        return Ok(());
    }
    let measured = [
        ("recall@20", quality.recall_at_20, quality.popularity_recall_at_20),
        ("nDCG@20", quality.ndcg_at_20, quality.popularity_ndcg_at_20),
    ];
    for (metric, model, popularity) in measured {
        if let (Some(model), Some(popularity)) = (model, popularity) {
            // Not "model <= popularity": a model measured as NaN is not better either.
            if model > popularity {
                return Ok(());
            }
            return Err(PublishError::NotBetterThanPopularity { metric, model, popularity });
        }
    }
    Ok(())
}

/// The part of a live version's items and of its users that a new version must have.
const MIN_COVERAGE: f64 = 0.8;

/// Refuses a version that knows much fewer items or users than the newest live version of its model: half of a
/// catalogue is easily lost on the way to training, and its answers look well all the same.
pub fn check_coverage(
    plan: &Plan,
    model: &str,
    version: &PublishedVersion,
) -> Result<(), PublishError> {
    let is_of_model = |live: &ModelVersion| live.model == model;
    let Some(live) = plan.live_versions().into_iter().filter(is_of_model).max() else {
        return Ok(());
    };
    let Some(known) = plan.versions.get(&live) else { return Ok(()) };
    for (what, has, live_has) in
        [("items", version.items, known.items), ("users", version.users, known.users)]
    {
        if (has as f64) < MIN_COVERAGE * live_has as f64 {
            return Err(PublishError::Coverage { what, has, live, live_has });
        }
    }
    Ok(())
}

/// Refuses a bundle whose index misses too many of the best rows.
pub fn check_index(recall_at_100: Option<f64>, bar: f64) -> Result<(), PublishError> {
    match recall_at_100 {
        None => Ok(()),
        // Asked this way round, one measured as NaN isn't enough either.
        Some(recall) if recall >= bar => Ok(()),
        Some(recall) => Err(PublishError::IndexRecall { recall, bar }),
    }
}

/// The directory that a URI means, below one of the roots.
fn directory(roots: &BundleRoots, uri: &str) -> Result<PathBuf, PublishError> {
    roots.resolve(uri).map_err(|defect| PublishError::Uri {
        uri: uri.chars().take(MAX_SHOWN_URI).collect(),
        defect,
    })
}

/// Deletes the bundle at `uri` if its manifest has this digest, and none of the bundles at `kept`, which are those of
/// all versions that stay, of whatever model, is the same place: paths are compared where they lead, and files by
/// what they are. Blocking.
///
/// # Errors
/// A URI that leads nowhere, a bundle that is needed, another bundle, or a file that cannot be deleted.
pub fn delete_bundle(
    roots: &BundleRoots,
    uri: &str,
    manifest_digest: &str,
    kept: &[String],
) -> Result<(), DeleteError> {
    let doomed = roots.resolve(uri)?;
    for kept_uri in kept {
        // A bundle that can't be reached from here may be anywhere, but not in a directory of another name.
        let Ok(needed) = BundleRoots::anywhere().resolve(kept_uri) else { continue };
        let is_nested = needed.starts_with(&doomed) || doomed.starts_with(&needed);
        if is_nested || share_files(&doomed, &needed) {
            return Err(DeleteError::Shared(kept_uri.clone()));
        }
    }
    Ok(remove_bundle(&doomed, manifest_digest)?)
}

/// Bundles in directories that this node can read.
pub struct Directories {
    trusted: TrustedKeys,
    roots: BundleRoots,
}

impl Directories {
    /// Bundles below these roots that are signed by one of these keys, or any where there are none.
    pub fn new(trusted: TrustedKeys, roots: BundleRoots) -> Self {
        Self { trusted, roots }
    }
}

impl ManifestSource for Directories {
    fn read(&self, uri: &str) -> Result<DescribedBundle, PublishError> {
        let directory = directory(&self.roots, uri)?;
        let read = read_signed_manifest(&directory, &self.trusted);
        let (manifest, digest, terms) = read.map_err(|error| match error {
            BundleError::Io(io) if io.kind() == std::io::ErrorKind::NotFound => {
                PublishError::Absent { uri: uri.into(), error: io.to_string() }
            }
            BundleError::Missing { .. } if !directory.exists() => {
                PublishError::Absent { uri: uri.into(), error: error.to_string() }
            }
            error => PublishError::Bundle { uri: uri.into(), error },
        })?;
        let quality = Quality {
            recall_at_20: manifest.quality.recall_at_20,
            ndcg_at_20: manifest.quality.ndcg_at_20,
            popularity_recall_at_20: manifest.quality.popularity_recall_at_20,
            popularity_ndcg_at_20: manifest.quality.popularity_ndcg_at_20,
        };
        let version = PublishedVersion {
            bundle_uri: uri.into(),
            manifest_digest: digest.to_string(),
            recipe: manifest.recipe,
            shards: manifest.shards,
            users: manifest.counts.users,
            items: manifest.counts.items,
            bytes: manifest.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
            quality,
            forgotten_up_to: manifest.forgotten.as_ref().map_or(0, |it| it.number),
            signed_counter: terms.counter,
            published_at_ms: 0,
            placements: Vec::new(),
        };
        let recalls = manifest.matrices.iter().filter_map(|matrix| match &matrix.layout {
            MatrixLayout::Dense { index: Some(index), .. } => Some(index.recall?.at_100),
            _ => None,
        });
        let index_recall_at_100 = recalls.reduce(f64::min);
        let forgotten_list = manifest.forgotten.map(|it| it.list_id).unwrap_or_default();
        Ok(DescribedBundle {
            model: manifest.model,
            version,
            index_recall_at_100,
            forgotten_list,
            expires_at_ms: terms.expires_at_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::model::recipe::BlendMember;
    use marquee_core::plan::Surface;

    #[test]
    fn a_refused_uri_is_named_and_cut_to_what_can_be_read() {
        let refused =
            directory(&BundleRoots::anywhere(), "bundles/films").expect_err("refused").to_string();
        assert!(
            refused.starts_with("bundle_uri \"bundles/films\" is not absolute: give"),
            "{refused}"
        );
        let long = directory(&BundleRoots::anywhere(), &"/".repeat(5_000))
            .expect_err("refused")
            .to_string();
        assert!(long.contains("is longer than 4096 bytes") && long.len() < 600, "{long}");
    }

    #[test]
    fn a_signature_is_good_until_it_expires() {
        for (expires_at_ms, now_ms, is_good) in
            [(0, u64::MAX, true), (10, 9, true), (10, 10, false), (1, 5_001, false)]
        {
            assert_eq!(check_expiry(expires_at_ms, now_ms).is_ok(), is_good, "{expires_at_ms}");
        }
        let refused = check_expiry(1, 5_001).expect_err("expired").to_string();
        assert!(refused.contains("expired 5 s ago"), "{refused}");
    }

    #[test]
    fn a_version_must_know_what_the_live_one_knows() {
        let version = |users, items| PublishedVersion {
            bundle_uri: "file:///bundle".into(),
            manifest_digest: String::new(),
            recipe: marquee_core::model::recipe::Recipe::Popularity,
            shards: 1,
            users,
            items,
            bytes: 1,
            quality: Quality::default(),
            forgotten_up_to: 0,
            signed_counter: 0,
            published_at_ms: 0,
            placements: Vec::new(),
        };
        let mut plan = Plan::default();
        assert!(check_coverage(&plan, "films", &version(1, 1)).is_ok(), "nothing is live");
        let live = ModelVersion { model: "films".into(), version: 3 };
        plan.versions.insert(live, version(100, 1_000));
        let surface = Surface { ensemble: Some("films@3".into()), ..Surface::default() };
        plan.surfaces.insert("home".into(), surface);
        assert!(check_coverage(&plan, "films", &version(80, 800)).is_ok());
        assert!(check_coverage(&plan, "songs", &version(1, 1)).is_ok(), "another model");
        for (users, items, what) in [(79, 1_000, "79 users"), (100, 500, "500 items")] {
            let refused = check_coverage(&plan, "films", &version(users, items));
            let refused = refused.expect_err("refused").to_string();
            assert!(refused.contains(what) && refused.contains("films@3"), "{refused}");
        }
    }

    #[test]
    fn an_index_must_find_what_the_config_asks_for() {
        assert!(check_index(None, 0.95).is_ok(), "every search is exact");
        assert!(check_index(Some(0.95), 0.95).is_ok());
        for recall in [0.9499, f64::NAN] {
            let refused = check_index(Some(recall), 0.95).expect_err("refused").to_string();
            assert!(refused.contains("min_index_recall") && refused.contains("force"), "{refused}");
        }
    }

    #[test]
    fn a_model_must_beat_popularity_where_it_was_measured() {
        let quality = |recall: Option<(f64, f64)>, ndcg: Option<(f64, f64)>| Quality {
            recall_at_20: recall.map(|(model, _)| model),
            popularity_recall_at_20: recall.map(|(_, popularity)| popularity),
            ndcg_at_20: ndcg.map(|(model, _)| model),
            popularity_ndcg_at_20: ndcg.map(|(_, popularity)| popularity),
        };
        let films = Recipe::MatrixFactorisation {
            user_factors: "users".into(),
            item_factors: "items".into(),
            fold_in: None,
        };
        let texts = Recipe::Content {
            user_topics: "users".into(),
            item_topics: "items".into(),
            term_topics: None,
            history: None,
        };
        assert!(check_quality(&films, &quality(None, None)).is_ok());
        assert!(check_quality(&films, &quality(Some((0.3, 0.2)), Some((0.1, 0.2)))).is_ok());
        assert!(check_quality(&films, &quality(None, Some((0.3, 0.2)))).is_ok());
        for worse in [
            quality(Some((0.2, 0.2)), None),
            quality(Some((0.1, 0.2)), Some((0.3, 0.2))),
            quality(None, Some((0.1, 0.2))),
            quality(Some((f64::NAN, 0.2)), None),
        ] {
            let refused = check_quality(&films, &worse).expect_err("refused").to_string();
            assert!(refused.contains("force"), "{refused}");
            assert!(check_quality(&texts, &worse).is_ok(), "searches have no popularity to beat");
            let both = Recipe::Blend {
                members: [&films, &texts]
                    .map(|recipe| BlendMember { recipe: recipe.clone(), weight: 0.5 })
                    .into(),
            };
            assert!(check_quality(&both, &worse).is_err(), "it is for recommendations too");
        }
    }
}
