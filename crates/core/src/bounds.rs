//! Bounds that several crates share, each with its reason. Others stand beside their check.

/// The most items in one answer. More is an export, not a recommendation.
pub const MAX_COUNT: u32 = 1_000;
/// How many items an answer has if the request does not say.
pub const DEFAULT_COUNT: u32 = 10;
/// The most requests in one batch: with 100 items each, as is typical, an answer stays below
/// [`MAX_MESSAGE_BYTES`].
pub const MAX_BATCH_REQUESTS: usize = 1_000;
/// The most item ids to rank in one request.
pub const MAX_RANK_ITEMS: usize = 10_000;
/// The most recent items in one request: more say nothing new about the user.
pub const MAX_RECENT_ITEMS: usize = 1_000;
/// The most events in one request: with ids of usual length some hundred kilobytes, and a share of one sync.
pub const MAX_EVENTS: usize = 1_000;
/// The most recent items that routers tell each other in one message: what one records within 200 ms at most.
pub const MAX_SHARED_ITEMS: usize = 10_000;
/// Bytes of a user or item id: room for URNs and hashes, none for documents.
pub const MAX_ID_BYTES: usize = 256;
/// The most attributes of a user in one request: more is a database, not a profile.
pub const MAX_USER_ATTRIBUTES: usize = 32;
/// Bytes of the name of a user's attribute. With its value it makes the id of a term.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
/// Bytes of the value of a user's attribute.
pub const MAX_ATTRIBUTE_VALUE_BYTES: usize = 128;
/// Bytes of a text that items are searched by: a line, not a document.
pub const MAX_QUERY_TEXT_BYTES: usize = 1_024;
/// How many different words of a text are looked up, the first ones: each is a row.
pub const MAX_QUERY_WORDS: usize = 64;
/// Bytes of a name that an operator gives: model, ensemble, surface, node.
pub const MAX_NAME_BYTES: usize = 128;
/// The most entries in each list of a filter.
pub const MAX_FILTER_TERMS: usize = 1_000;
/// The most items that one surface denies: they travel with every search, and each shard looks their rows up
/// each time. A longer list is better expressed by a tag that callers exclude.
pub const MAX_DENIED_ITEMS: usize = 1_000;
/// The most segments of a surface, with those of other values: each has sums of its own in every window.
pub const MAX_SEGMENTS: usize = 16;
/// For how many items of an answer, the first ones, it is explained which items contributed: the rest is
/// hardly read.
pub const MAX_EXPLAINED_ITEMS: usize = 100;
/// The most items that are named as having contributed to one: with more, each says little.
pub const MAX_ATTRIBUTIONS: u32 = 3;
/// How many rows of a sum, those that weigh most, are examined for their contributions: each of them is named
/// once.
pub const MAX_ATTRIBUTED_ROWS: usize = 1_000;
/// How many components of rows are read to say what a user's vector is the sum of, for each leaf and matrix:
/// 1,000 items of up to 262 components. A message with twice as many is far from its bound.
pub const MAX_ATTRIBUTED_COMPONENTS: usize = 1 << 18;
/// The least number of similar users whose mean similarity is shown: with fewer it would describe
/// individuals.
pub const MIN_NEIGHBOURS_DESCRIBED: u32 = 3;
/// The most levels of nesting in an ensemble, references followed.
pub const MAX_ENSEMBLE_DEPTH: usize = 4;
/// The most members of one ensemble node, and leaves of a whole ensemble: each leaf is a search.
pub const MAX_ENSEMBLE_MEMBERS: usize = 8;
/// Bytes of one gRPC message. It is gRPC's own default for receivers, so clients need no settings.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of one message between router and shard: a batch of [`MAX_BATCH_REQUESTS`] users' vectors and
/// histories, or their results, fits without being cut.
pub const MAX_INTERNAL_MESSAGE_BYTES: usize = 64 << 20;
/// The most shards of one bundle: each is a set of files and a search for each query.
pub const MAX_SHARDS: u32 = 1_024;
/// The most items of one bundle, and the most users: ordinals have 32 bits, and one value is kept free.
pub const MAX_ORDINALS: usize = u32::MAX as usize - 1;
/// The most components of a factor vector.
pub const MAX_RANK: usize = 4_096;
/// The most steps of a rollout.
pub const MAX_ROLLOUT_STEPS: usize = 64;
/// The longest hold of one rollout step, in seconds: 30 days.
pub const MAX_HOLD_SECONDS: u64 = 30 * 24 * 3_600;
/// The most users that a rollout lists as always having its candidate, and as never having it: testers and exceptions.
/// Their hashes travel with every plan while it runs.
pub const MAX_LISTED_USERS: usize = 1_000;
/// A full traffic share, in basis points.
pub const FULL_WEIGHT_BASIS_POINTS: u32 = 10_000;
/// How many voters a control group may have. An even group survives no more failures than the odd one below
/// it, and a larger one makes every commit wait for more disks.
pub const VOTER_COUNTS: [usize; 3] = [1, 3, 5];
/// How many finished rollouts a plan remembers; the oldest are forgotten first.
pub const MAX_FINISHED_ROLLOUTS: usize = 100;
/// How many finished rollouts keep their evidence: some 20 kB each, in every snapshot.
pub const MAX_EVIDENCE_OF_FINISHED: usize = 20;
/// How many finished rollouts keep the windows by which gates can be tried: some hundred kB each, in every snapshot.
pub const MAX_RECORDED_OF_FINISHED: usize = 3;
/// The most experiments that a plan holds, stopped ones included; the oldest stopped ones are forgotten
/// first.
pub const MAX_EXPERIMENTS: usize = 100;
/// The most published versions that a plan holds.
pub const MAX_VERSIONS: usize = 1_000;
/// The most models that a cluster ever had: the number of each one's next version is kept when its versions are deleted.
pub const MAX_MODELS: usize = 10_000;
/// The most nodes of one cluster.
pub const MAX_NODES: usize = 1_000;
/// The most ensembles that a plan holds, and the most surfaces.
pub const MAX_NAMED: usize = 1_000;
/// How many request ids are remembered with their outcomes, for retries; a retry comes within minutes.
pub const MAX_REMEMBERED_REQUESTS: usize = 4_096;
