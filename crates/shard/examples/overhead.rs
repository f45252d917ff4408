//! What the service adds to a search: `cargo run --release -p marquee-shard --example overhead`.
//!
//! Answers the same queries by the bundle alone, through the service in this process one at a time,
//! and as one batch, and prints CPU and wall time a query of each. Arguments: items, rank, shards.

#![allow(clippy::print_stdout)]

use cpu_time::ProcessTime;
use marquee_bundle::{
    BundleInput, BundleShard, CancelFlag, DenseInput, Entity, IndexOptions, ItemRecord,
    LoadOptions, Quality, RowFormat, SearchParams, SearchScratch, TrustedKeys, VectorMeasure,
    dense_top_k, read_manifest, write_bundle,
};
use marquee_core::ensemble::EnsembleNode;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Placement, Plan, PublishedVersion, ReplicaState, Surface};
use marquee_proto::shard::v1::shard_service_server::ShardService as _;
use marquee_proto::shard::v1::{Operation, Query, SearchOp, SearchRequest};
use marquee_proto::v1;
use marquee_shard::{Shard, ShardConfig};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

const USERS: usize = 2_000;
const COUNT: u32 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (items, rank, shards) = (argument(50_000)?, argument(64)?, argument(1)? as u32);

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bundle");
    println!("building {items} items × {rank} in {shards} shards …");
    write_bundle(input(items, rank, shards), &path, &|_| {})?;
    let (manifest, digest) = read_manifest(&path, &TrustedKeys::none())?;
    let opened = (0..shards)
        .map(|shard| BundleShard::open(&path, &manifest, shard, &LoadOptions::default()))
        .collect::<Result<Vec<_>, _>>()?;
    let users = vectors(USERS, rank, 7);

    let mut scratch = SearchScratch::new();
    let mut alone = || -> Result<usize, Box<dyn Error>> {
        let cancel = CancelFlag::new();
        let params = SearchParams::new(COUNT as usize, &cancel);
        let mut found = 0;
        for user in users.chunks_exact(rank) {
            for shard in &opened {
                let measure = VectorMeasure::InnerProduct;
                found +=
                    dense_top_k(shard, "item_factors", user, measure, &params, &mut scratch)?.len();
            }
        }
        Ok(found)
    };
    alone()?;
    let measured = Measured::start();
    alone()?;
    measured.print("the bundle alone");

    let version = ModelVersion::new("films", 1);
    let published = PublishedVersion {
        bundle_uri: path.display().to_string(),
        manifest_digest: digest.to_string(),
        recipe: manifest.recipe.clone(),
        shards,
        users: 0,
        items: items as u64,
        bytes: 0,
        quality: Default::default(),
        forgotten_up_to: 0,
        signed_counter: 0,
        published_at_ms: 0,
        placements: vec![
            Placement { node_ids: vec!["here".into()], ..Placement::default() };
            shards as usize
        ],
    };
    let mut plan = Plan { epoch: 1, ..Plan::default() };
    plan.versions.insert(version.clone(), published);
    plan.ensembles.insert("films".into(), EnsembleNode::Model(version));
    let live = Surface { ensemble: Some("films".into()), ..Surface::default() };
    plan.surfaces.insert("default".into(), live);
    let (_keep, plans) = tokio::sync::watch::channel(Arc::new(plan));
    let loading = Instant::now();
    let shard = Shard::start(ShardConfig::default(), plans, "here".into())?;
    let ready = |reports: &Vec<marquee_core::command::ReplicaReport>| {
        reports.len() == shards as usize
            && reports.iter().all(|report| report.replica.state == ReplicaState::Available)
    };
    shard.reports().wait_for(ready).await?;
    println!("verified, mapped, warmed and AVAILABLE after {:?}", loading.elapsed());

    let api = shard.service();
    let query = |user: &[f32]| Query {
        count: COUNT,
        vector: user.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        ..Query::default()
    };
    let request = |queries| {
        let op = SearchOp {
            version: Some(v1::ModelVersion { model: "films".into(), version: 1 }),
            shards: (0..shards).collect(),
            matrix: "item_factors".into(),
            operation: Operation::DenseInnerProduct.into(),
            queries,
            filters: Vec::new(),
            deny_lists: Vec::new(),
        };
        tonic::Request::new(SearchRequest { plan_epoch: 1, ops: vec![op] })
    };
    for _ in 0..2 {
        let measured = Measured::start();
        for user in users.chunks_exact(rank) {
            api.search(request(vec![query(user)])).await?;
        }
        measured.print("through the service, one at a time");
        let measured = Measured::start();
        let answer = api.search(request(users.chunks_exact(rank).map(query).collect())).await?;
        measured.print("through the service, as one batch");
        assert_eq!(answer.into_inner().results[0].queries.len(), USERS);
    }
    shard.shutdown().await;
    Ok(())
}

struct Measured(ProcessTime, Instant);

impl Measured {
    fn start() -> Self {
        Self(ProcessTime::now(), Instant::now())
    }

    fn print(self, what: &str) {
        let (cpu, wall) = (self.0.elapsed(), self.1.elapsed());
        let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / USERS as f64;
        println!("{what:<36} CPU {:>8.1} µs a query, wall {:>8.1} µs", each(cpu), each(wall));
    }
}

/// Vectors of unlike lengths, as factors have.
fn vectors(rows: usize, rank: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut values = Vec::with_capacity(rows * rank);
    for _ in 0..rows {
        let length = (2.0 * random()).exp();
        values.extend((0..rank).map(|_| random() * length));
    }
    values
}

fn input(items: usize, rank: usize, shards: u32) -> BundleInput {
    BundleInput {
        model: "films".into(),
        recipe: Recipe::Popularity,
        kind: "random".into(),
        shards,
        items: (0..items)
            .map(|item| ItemRecord {
                id: item.to_string(),
                title: format!("The film of number {item}"),
                ..ItemRecord::default()
            })
            .collect(),
        users: Vec::new(),
        terms: Vec::new(),
        dense: vec![DenseInput {
            name: "item_factors".into(),
            entity: Entity::Item,
            rank,
            data: vectors(items, rank, 3),
            index: Some(IndexOptions::default()),
            rows: RowFormat::F32,
        }],
        history: None,
        popularity: Vec::new(),
        sparse: Vec::new(),
        quality: Quality::default(),
        parameters: Default::default(),
        forgotten: None,
        created_at_ms: 0,
    }
}
