//! Small bundles of a known catalogue, plans that want them, and a node that serves them.

#![allow(dead_code, unreachable_pub)] // each scenario uses its part

use marquee_bundle::{
    BundleInput, CsrInput, DenseInput, Entity, IndexMode, IndexOptions, ItemRecord, Manifest,
    Quality, RowFormat, SparseInput, SparseShape, TrustedKeys, read_manifest, write_bundle,
};
use marquee_core::command::ReplicaReport;
use marquee_core::ensemble::EnsembleNode;
use marquee_core::hash::shard_of;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{
    Node, Placement, Plan, PlannedReplica, PublishedVersion, ReplicaState, Role, Surface,
};
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    LookupRequest, LookupResponse, Query, QueryResult, SearchOp, SearchRequest, SearchResponse,
};
use marquee_proto::v1;
use marquee_shard::{Shard, ShardApi, ShardConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Request, Status};

pub const NODE: &str = "shard-1";
pub const USERS: usize = 40;
pub const ITEMS: usize = 300;
pub const RANK: usize = 12;

/// What the bundles hold: everything as a scenario needs it to compute answers itself.
pub struct Catalogue {
    pub items: Vec<String>,
    pub users: Vec<String>,
    pub item_factors: Vec<Vec<f32>>,
    pub user_factors: Vec<Vec<f32>>,
    pub popularity: Vec<f32>,
    /// By user: items and values.
    pub history: Vec<BTreeMap<u32, f32>>,
    /// By item: neighbours and weights.
    pub neighbours: Vec<BTreeMap<u32, f32>>,
}

impl Catalogue {
    /// Another one for each seed. Ids are numbers, so that an item's ordinal is its index.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let mut vectors = |rows: usize| -> Vec<Vec<f32>> {
            (0..rows).map(|_| (0..RANK).map(|_| random.next() - 0.5).collect()).collect()
        };
        let (item_factors, user_factors) = (vectors(ITEMS), vectors(USERS));
        let popularity = (0..ITEMS).map(|_| (random.next() * 50.0).floor()).collect();
        let mut rows = |rows: usize, entries: usize| -> Vec<BTreeMap<u32, f32>> {
            let mut entry = || ((random.next() * ITEMS as f32) as u32, random.next() + 0.1);
            (0..rows).map(|_| (0..entries).map(|_| entry()).collect()).collect()
        };
        let (history, neighbours) = (rows(USERS, 15), rows(ITEMS, 10));
        Self {
            items: (0..ITEMS).map(|item| item.to_string()).collect(),
            users: (0..USERS).map(|user| format!("user-{user}")).collect(),
            item_factors,
            user_factors,
            popularity,
            history,
            neighbours,
        }
    }

    pub fn input(&self, shards: u32) -> BundleInput {
        let dense = |name: &str, entity, rows: &[Vec<f32>]| DenseInput {
            name: name.into(),
            entity,
            rank: RANK,
            data: rows.concat(),
            index: None,
            rows: RowFormat::F32,
        };
        let mut item_factors = dense("item_factors", Entity::Item, &self.item_factors);
        item_factors.index =
            Some(IndexOptions { mode: IndexMode::Never, ..IndexOptions::default() });
        BundleInput {
            model: "films".into(),
            recipe: Recipe::MatrixFactorisation {
                user_factors: "user_factors".into(),
                item_factors: "item_factors".into(),
                fold_in: None,
            },
            kind: "mf".into(),
            shards,
            items: (0..ITEMS).map(|item| self.item(item)).collect(),
            users: self.users.clone(),
            terms: Vec::new(),
            dense: vec![dense("user_factors", Entity::User, &self.user_factors), item_factors],
            history: Some(csr(&self.history)),
            popularity: self.popularity.clone(),
            sparse: vec![SparseInput {
                name: "neighbours".into(),
                shape: SparseShape::ITEM_ROWS,
                matrix: csr(&self.neighbours),
            }],
            quality: Quality::default(),
            parameters: BTreeMap::new(),
            forgotten: None,
            created_at_ms: 1,
        }
    }

    /// Every third item has no title; tags and years go by the item's number.
    pub fn item(&self, item: usize) -> ItemRecord {
        let title = if item.is_multiple_of(3) { String::new() } else { format!("Film {item}") };
        let mut attributes = Vec::new();
        if !item.is_multiple_of(10) {
            attributes.push(("year".to_owned(), (1950 + item % 70) as f64));
        }
        let tags = vec![if item.is_multiple_of(2) { "even" } else { "odd" }.to_owned()];
        ItemRecord { id: self.items[item].clone(), title, tags, attributes }
    }

    /// Writes a bundle of so many shards.
    pub fn write(&self, dir: &Path, shards: u32) -> Manifest {
        write_bundle(self.input(shards), dir, &|_| {}).expect("a bundle")
    }

    /// The query of one user.
    pub fn query(&self, user: usize, count: u32) -> Query {
        Query { count, vector: bytes_of(&self.user_factors[user]).into(), ..Query::default() }
    }

    /// All items by falling score with a user, as a plain computation in double precision has them.
    pub fn ranking(&self, query: &[f32], cosine: bool) -> Vec<u32> {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
        };
        let score = |item: usize| {
            let vector = &self.item_factors[item];
            let length = if cosine { dot(vector, vector).sqrt() } else { 1.0 };
            dot(query, vector) / length
        };
        let mut items: Vec<(f64, u32)> =
            (0..ITEMS).map(|item| (score(item), item as u32)).collect();
        items.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        items.into_iter().map(|(_, item)| item).collect()
    }
}

pub fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn csr(rows: &[BTreeMap<u32, f32>]) -> CsrInput {
    let mut matrix = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for row in rows {
        matrix.columns.extend(row.keys());
        matrix.values.extend(row.values());
        matrix.offsets.push(matrix.columns.len());
    }
    matrix
}

/// A small generator (xorshift), so that scenarios are the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number, in 0..1.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A cluster of one shard node, without control: the scenario says what the plan is.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    pub plan: watch::Sender<Arc<Plan>>,
    pub shard: Shard,
    pub api: Arc<ShardApi>,
}

impl Cluster {
    pub fn start(config: ShardConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (plan, plans) = watch::channel(Arc::new(Plan::default()));
        let shard = Shard::start(config, plans, NODE.into()).expect("a shard role");
        let api = shard.service();
        Self { dir, plan, shard, api }
    }

    /// One bundle, published and AVAILABLE.
    pub async fn with(catalogue: &Catalogue, shards: u32) -> Self {
        let mut cluster = Self::start(ShardConfig::default());
        cluster.publish(catalogue, 1, shards);
        cluster.want(&[1]).await;
        cluster
    }

    pub fn path(&self, version: u64) -> PathBuf {
        self.dir.path().join(format!("films-{version}"))
    }

    /// Writes a bundle and tells the plan of it, which doesn't want it yet.
    pub fn publish(&mut self, catalogue: &Catalogue, version: u64, shards: u32) -> Manifest {
        self.publish_input(catalogue.input(shards), version)
    }

    /// Writes this as a bundle and tells the plan of it, which doesn't want it yet.
    pub fn publish_input(&mut self, input: BundleInput, version: u64) -> Manifest {
        let shards = input.shards;
        let manifest = write_bundle(input, &self.path(version), &|_| {}).expect("a bundle");
        let (_, digest) =
            read_manifest(&self.path(version), &TrustedKeys::none()).expect("a manifest");
        self.change(|plan| {
            let published = PublishedVersion {
                bundle_uri: format!("file://{}", self.path(version).display()),
                manifest_digest: digest.to_string(),
                recipe: manifest.recipe.clone(),
                shards,
                users: manifest.counts.users,
                items: manifest.counts.items,
                bytes: manifest.files.iter().map(|file| file.bytes).sum(),
                quality: Default::default(),
                forgotten_up_to: 0,
                signed_counter: 0,
                published_at_ms: 0,
                placements: vec![Placement::default(); shards as usize],
            };
            plan.versions.insert(ModelVersion::new("films", version), published);
            let node = Node {
                address: "http://127.0.0.1:1".into(),
                roles: BTreeSet::from([Role::Shard]),
                draining: false,
                memory_budget_bytes: 0,
                alive: true,
            };
            plan.nodes.insert(NODE.into(), node);
        });
        manifest
    }

    /// Makes exactly these versions live, and waits until each replica is AVAILABLE or FAILED.
    pub async fn want(&self, versions: &[u64]) -> Vec<ReplicaReport> {
        self.make_live(versions);
        self.all_decided(versions).await
    }

    /// Makes exactly these versions live.
    pub fn make_live(&self, versions: &[u64]) {
        self.change(|plan| {
            plan.surfaces.clear();
            plan.ensembles.clear();
            for (&ModelVersion { version, .. }, published) in &mut plan.versions {
                let wanted = versions.contains(&version);
                for placement in &mut published.placements {
                    placement.node_ids = if wanted { vec![NODE.into()] } else { Vec::new() };
                }
                if wanted {
                    let name = format!("v{version}");
                    let model = ModelVersion::new("films", version);
                    plan.ensembles.insert(name.clone(), EnsembleNode::Model(model));
                    let surface = Surface { ensemble: Some(name.clone()), ..Surface::default() };
                    plan.surfaces.insert(name, surface);
                }
            }
        });
    }

    /// The reports, once every wanted replica is AVAILABLE or FAILED.
    pub async fn all_decided(&self, versions: &[u64]) -> Vec<ReplicaReport> {
        let shards: u32 = versions
            .iter()
            .map(|&v| self.plan.borrow().versions[&ModelVersion::new("films", v)].shards)
            .sum();
        self.reports(|reports| {
            let decided = reports.iter().filter(|report| {
                let state = report.replica.state;
                versions.contains(&report.version.version)
                    && matches!(state, ReplicaState::Available | ReplicaState::Failed)
            });
            decided.count() == shards as usize
        })
        .await
    }

    /// The reports, once they satisfy the condition.
    pub async fn reports(
        &self,
        wanted: impl FnMut(&Vec<ReplicaReport>) -> bool,
    ) -> Vec<ReplicaReport> {
        let mut reports = self.shard.reports();
        reports.wait_for(wanted).await.expect("the node lives").clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Plan)) {
        self.plan.send_modify(|plan| {
            let plan = Arc::make_mut(plan);
            plan.epoch += 1;
            change(plan);
        });
    }

    pub async fn search(&self, op: SearchOp) -> Result<Vec<QueryResult>, Status> {
        let mut response = self.search_all(vec![op]).await?;
        assert_eq!(response.results.len(), 1);
        Ok(response.results.remove(0).queries)
    }

    pub async fn search_all(&self, ops: Vec<SearchOp>) -> Result<SearchResponse, Status> {
        let request = Request::new(SearchRequest { plan_epoch: 1, ops });
        Ok(self.api.search(request).await?.into_inner())
    }

    pub async fn look_up(&self, request: LookupRequest) -> Result<LookupResponse, Status> {
        Ok(self.api.lookup(Request::new(request)).await?.into_inner())
    }
}

pub fn version(version: u64) -> Option<v1::ModelVersion> {
    Some(v1::ModelVersion { model: "films".into(), version })
}

/// The shard of so many that holds a user or an item.
pub fn home(id: &str, shards: u32) -> u32 {
    shard_of(id, shards)
}

/// The reason of a failed replica.
pub fn reason_of(reports: &[ReplicaReport], version: u64, shard: u32) -> String {
    let found = reports.iter().find(|r| r.version.version == version && r.shard == shard);
    let PlannedReplica { state, reason } = &found.expect("a replica").replica;
    assert_eq!(*state, ReplicaState::Failed);
    reason.clone()
}

/// Whether all replicas of a version are AVAILABLE.
pub fn available(reports: &[ReplicaReport], version: u64) -> bool {
    let mut of_version = reports.iter().filter(|r| r.version.version == version).peekable();
    of_version.peek().is_some()
        && of_version.all(|report| report.replica.state == ReplicaState::Available)
}
