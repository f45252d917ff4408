//! Every bound a caller or an operator can run into, each with its reason.

/// Results in one answer. More is an export, not a recommendation.
pub const MAX_COUNT: u32 = 1_000;
/// Results when a request does not say how many.
pub const DEFAULT_COUNT: u32 = 10;
/// Requests in one batch: with [`MAX_COUNT`] of 100 typical, an answer stays below
/// [`MAX_MESSAGE_BYTES`].
pub const MAX_BATCH: usize = 1_000;
/// Item ids to rank in one request.
pub const MAX_RANK_ITEMS: usize = 10_000;
/// Recent items in one request: more says nothing new about a taste.
pub const MAX_RECENT_ITEMS: usize = 1_000;
/// Events in one request: with ids of usual length some hundred kilobytes, and a share of one sync.
pub const MAX_EVENTS: usize = 1_000;
/// Recent items that routers tell each other in one message: what one records in 200 ms at the most.
pub const MAX_SHARED_ITEMS: usize = 10_000;
/// Bytes of a user or item id: room for URNs and hashes, none for documents.
pub const MAX_ID_BYTES: usize = 256;
/// Attributes of a user in one request: more is a database, not a profile.
pub const MAX_USER_ATTRIBUTES: usize = 32;
/// Bytes of the name of a user's attribute; with its value it makes the id of a term.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
/// Bytes of the value of a user's attribute.
pub const MAX_ATTRIBUTE_VALUE_BYTES: usize = 128;
/// Bytes of a text that items are searched by: a line, not a document.
pub const MAX_QUERY_TEXT_BYTES: usize = 1_024;
/// Different words of it that are looked up, the first: each is a row.
pub const MAX_QUERY_WORDS: usize = 64;
/// Bytes of a name that an operator gives: model, ensemble, surface, node.
pub const MAX_NAME_BYTES: usize = 128;
/// Entries in each list of a filter.
pub const MAX_FILTER_TERMS: usize = 1_000;
/// Items that one surface denies: they travel with every search, and each shard finds their rows anew.
/// More than that is a catalogue of its own, and wants a tag to exclude.
pub const MAX_DENIED_ITEMS: usize = 1_000;
/// Items of an answer, the first ones, of which it is said what carried them: nobody reads more.
pub const MAX_EXPLAINED_ITEMS: usize = 100;
/// Items that are named as having carried one: with more, each says little.
pub const MAX_CARRIERS: u32 = 3;
/// Rows of a sum that are looked at to say what carried an item, those that weigh most: all of theirs are
/// named once.
pub const MAX_CARRIER_ROWS: usize = 1_000;
/// Components of the rows that are read to say what a user's vector is the sum of, for each leaf and matrix: 1,000
/// items of up to 262 components. A message of some of these, twice over, is far from its bound.
pub const MAX_CARRIER_COMPONENTS: usize = 1 << 18;
/// With fewer like-minded users than this nothing is said of how alike they are: that would be about somebody.
pub const MIN_NEIGHBOURS_DESCRIBED: u32 = 3;
/// Levels of nesting in an ensemble, references followed.
pub const MAX_ENSEMBLE_DEPTH: usize = 4;
/// Members of one ensemble node, and leaves of a whole ensemble: each leaf is a search.
pub const MAX_ENSEMBLE_MEMBERS: usize = 8;
/// Bytes of one gRPC message, gRPC's own default for receivers, so that no client needs settings.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of one message between router and shard: a batch of [`MAX_BATCH`] users' vectors and
/// histories, or their results, fits without being cut.
pub const MAX_INTERNAL_MESSAGE_BYTES: usize = 64 << 20;
/// Shards of one bundle: each is a file set and a search per query.
pub const MAX_SHARDS: u32 = 1_024;
/// Items of one bundle, and users of one bundle: ordinals are 32 bits and one value is kept free.
pub const MAX_ORDINALS: usize = u32::MAX as usize - 1;
/// Components of a factor vector.
pub const MAX_RANK: usize = 4_096;
/// Steps of a rollout.
pub const MAX_ROLLOUT_STEPS: usize = 64;
/// Longest hold of one rollout step: 30 days, in seconds.
pub const MAX_HOLD_SECONDS: u64 = 30 * 24 * 3_600;
/// A full traffic share, in basis points.
pub const FULL_WEIGHT_BASIS_POINTS: u32 = 10_000;
/// Finished rollouts that a plan remembers; the oldest are forgotten first.
pub const MAX_FINISHED_ROLLOUTS: usize = 100;
/// Finished rollouts whose evidence is kept: some 20 kB each, in every snapshot.
pub const MAX_EVIDENCE_OF_FINISHED: usize = 20;
/// Experiments that a plan holds, stopped ones included; the oldest stopped ones are forgotten first.
pub const MAX_EXPERIMENTS: usize = 100;
/// Published versions that a plan holds.
pub const MAX_VERSIONS: usize = 1_000;
/// Nodes of one cluster.
pub const MAX_NODES: usize = 1_000;
/// Ensembles and surfaces that a plan holds, each.
pub const MAX_NAMED: usize = 1_000;
/// Request ids whose outcomes are remembered for idempotent retries; a retry comes within minutes.
pub const MAX_REMEMBERED_REQUESTS: usize = 4_096;
