//! Marquee's side of `make bench`: builds a bundle of given vectors, and measures searches in it.
//!
//! ```text
//! measure build   --items F.npy --queries F.npy --out DIR [--index cells|hnsw|never] [--rows f32|int8]
//! measure search  --bundle DIR --queries F.npy --truth F.npy [--k 10,100] [--strategy auto|cells|exact|graph|scan]
//!                 [--threads 2] [--batch 1]
//! measure factors --bundle DIR --items F.npy --queries F.npy
//! ```
//!
//! `build` prints one JSON object: what it took. `search` prints one a line: a point of the curve,
//! with the processor time of one query on one thread and the queries a second on `--threads`. The
//! peers in tests/bench/peer.py print the same. `factors` writes the item and user factors of a
//! bundle that `marquee train` made. Items are numbered by their rows; `--truth` holds the exact
//! answers, best first, as uint32.

use marquee_bundle::*;
use marquee_core::model::recipe::Recipe;
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ITEMS: &str = "item_factors";
const USERS: &str = "user_factors";
/// The highest recall that is compared: a curve ends with its first point from there on.
const ENOUGH: f64 = 0.99;
/// A point is measured for at least this long, after a pass that warms up and gives the recall.
const MIN_MEASURED: Duration = Duration::from_millis(300);
/// Efforts in cells, from little to much: reach and pool.
const EFFORTS: [(f32, f32); 12] = [
    (0.75, 1.1),
    (1.0, 1.1),
    (1.0, 1.25),
    (1.25, 1.25),
    (1.25, 1.5),
    (1.5, 1.5),
    (1.5, 2.0),
    (1.75, 2.0),
    (2.0, 2.0),
    (2.25, 2.5),
    (2.5, 3.0),
    (3.0, 4.0),
];
/// Widths of a walk, as multiples of k.
const WIDTHS: [f64; 15] =
    [1.0, 1.28, 1.6, 2.0, 2.56, 3.2, 4.0, 5.12, 6.4, 8.0, 10.24, 12.8, 19.2, 38.4, 76.8];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let mut flags = Flags::parse(args)?;
    match task.as_str() {
        "build" => build(&mut flags),
        "search" => search(&mut flags),
        "factors" => factors(&mut flags),
        _ => Err("usage: measure build|search|factors --FLAG VALUE …".into()),
    }
}

fn build(flags: &mut Flags) -> Result<()> {
    let items = Array::<f32>::read(&flags.required("items")?)?;
    let queries = Array::<f32>::read(&flags.required("queries")?)?;
    let out = flags.required("out")?;
    let (mode, kind) = match flags.or("index", "cells").as_str() {
        "cells" => (IndexMode::Always, IndexKind::Cells),
        "hnsw" => (IndexMode::Always, IndexKind::Hnsw),
        "never" => (IndexMode::Never, IndexKind::Cells),
        other => {
            let known = "cells, hnsw and never are";
            return Err(format!("--index {other} is not known: {known}").into());
        }
    };
    let index = IndexOptions { mode, kind, ..IndexOptions::default() };
    let rows = match flags.or("rows", "f32").as_str() {
        "f32" => RowFormat::F32,
        "int8" => RowFormat::Int8,
        other => return Err(format!("--rows {other} is not known: f32 and int8 are").into()),
    };
    flags.end()?;
    let dense = |name: &str, entity, array: Array<f32>, index| DenseInput {
        name: name.into(),
        entity,
        rank: array.columns,
        data: array.values,
        index,
        rows,
    };
    let input = BundleInput {
        model: "measured".into(),
        recipe: Recipe::MatrixFactorisation {
            user_factors: USERS.into(),
            item_factors: ITEMS.into(),
            fold_in: None,
        },
        kind: "mf".into(),
        shards: 1,
        items: (0..items.rows())
            .map(|row| ItemRecord { id: row.to_string(), ..ItemRecord::default() })
            .collect(),
        users: (0..queries.rows()).map(|row| row.to_string()).collect(),
        terms: Vec::new(),
        dense: vec![
            dense(ITEMS, Entity::Item, items, Some(index)),
            dense(USERS, Entity::User, queries, None),
        ],
        history: None,
        popularity: vec![],
        sparse: vec![],
        quality: Quality::default(),
        parameters: Default::default(),
        forgotten: None,
        created_at_ms: 0,
    };
    let (wall, cpu) = (Instant::now(), cpu_time::ProcessTime::now());
    write_bundle(input, Path::new(&out), &|_| {})?;
    let (wall, cpu) = (wall.elapsed(), cpu.elapsed());

    // As a peer's file: the vectors and what is built over them.
    let mut index_bytes = 0;
    for entry in fs_err::read_dir(Path::new(&out).join(shard_directory(0)))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ITEMS) {
            index_bytes += entry.metadata()?.len();
        }
    }
    let built = json!({
        "build_cpu_s": cpu.as_secs_f64(),
        "build_wall_s": wall.as_secs_f64(),
        "peak_bytes": peak_bytes()?,
        "index_bytes": index_bytes,
    });
    println!("{built}");
    Ok(())
}

/// The most memory that this process ever had.
fn peak_bytes() -> Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

fn search(flags: &mut Flags) -> Result<()> {
    let dir = flags.required("bundle")?;
    let queries = Array::<f32>::read(&flags.required("queries")?)?;
    let truth = Array::<u32>::read(&flags.required("truth")?)?;
    let counts: std::result::Result<Vec<usize>, _> =
        flags.or("k", "10,100").split(',').map(str::parse).collect();
    let strategy = flags.or("strategy", "auto");
    let threads: usize = flags.or("threads", "2").parse()?;
    let batch: usize = flags.or("batch", "1").parse()?;
    flags.end()?;
    if truth.rows() != queries.rows() || threads == 0 || batch == 0 {
        return Err("one row of truth for each query, at least one thread, and a batch".into());
    }
    let options = LoadOptions { populate: true, ..LoadOptions::default() };
    let bundle = Bundle::open(Path::new(&dir), &TrustedKeys::none(), &options)?;
    let [shard] = bundle.shards() else { return Err("one shard can be measured".into()) };
    let one = Run { shard, queries: &queries, batch };

    for count in counts? {
        if count == 0 || count > truth.columns {
            return Err(format!("--k is 1 to {}, the answers in --truth", truth.columns).into());
        }
        let strategies: Vec<Option<DenseStrategy>> = match strategy.as_str() {
            "auto" => vec![None],
            "scan" => vec![Some(DenseStrategy::Scan)],
            "exact" => vec![Some(DenseStrategy::ExactCells)],
            "cells" => {
                let effort = |(reach, pool)| Some(DenseStrategy::Cells(Effort { reach, pool }));
                EFFORTS.into_iter().map(effort).collect()
            }
            "graph" => {
                let width = |times| (count as f64 * times) as usize;
                let graph = |width| Some(DenseStrategy::Graph { width, thorough: false });
                WIDTHS.into_iter().map(width).map(graph).collect()
            }
            other => {
                let known = "auto, cells, exact, graph and scan are";
                return Err(format!("--strategy {other} is not known: {known}").into());
            }
        };
        for strategy in strategies {
            let recall = one.recall(count, strategy, &truth)?;
            let point = json!({
                "k": count,
                "strategy": one.strategy_used(count, strategy)?.map(DenseStrategy::name),
                "effort": match one.strategy_used(count, strategy)? {
                    Some(DenseStrategy::Graph { width, .. }) => width.to_string(),
                    Some(DenseStrategy::Cells(Effort { reach, pool })) => format!("{reach}/{pool}"),
                    Some(DenseStrategy::Scan | DenseStrategy::ExactCells) | None => String::new(),
                },
                "recall": recall,
                "cpu_us": one.cpu_us(count, strategy)?,
                "qps": one.queries_per_second(count, strategy, threads)?,
            });
            println!("{point}");
            if recall >= ENOUGH {
                break;
            }
        }
    }
    Ok(())
}

/// All queries to one shard.
struct Run<'a> {
    shard: &'a BundleShard,
    queries: &'a Array<f32>,
    /// How many of them are asked together.
    batch: usize,
}

impl Run<'_> {
    /// Answers the queries from the `first` on in steps of `step`.
    fn answer(
        &self,
        count: usize,
        strategy: Option<DenseStrategy>,
        (first, step): (usize, usize),
        scratch: &mut SearchScratch,
        mut on_answer: impl FnMut(usize, DenseHits),
    ) -> std::result::Result<(), SearchError> {
        let cancel = CancelFlag::new();
        let params = SearchParams { strategy, ..SearchParams::new(count, &cancel) };
        let measure = VectorMeasure::InnerProduct;
        let mine: Vec<usize> = (first..self.queries.rows()).step_by(step).collect();
        for batch in mine.chunks(self.batch) {
            let query = |&at: &usize| DenseQuery { vector: self.queries.row(at), params };
            let queries: Vec<_> = batch.iter().map(query).collect();
            let answers = dense_top_k_each(self.shard, ITEMS, measure, &queries, scratch);
            for (&at, answer) in batch.iter().zip(answers) {
                on_answer(at, answer?);
            }
        }
        Ok(())
    }

    /// How most queries are answered: as the first is.
    fn strategy_used(
        &self,
        count: usize,
        strategy: Option<DenseStrategy>,
    ) -> Result<Option<DenseStrategy>> {
        let mut scratch = SearchScratch::new();
        let mut taken = None;
        self.answer(count, strategy, (0, self.queries.rows()), &mut scratch, |_, answer| {
            taken = answer.strategy;
        })?;
        Ok(taken)
    }

    fn recall(
        &self,
        count: usize,
        strategy: Option<DenseStrategy>,
        truth: &Array<u32>,
    ) -> Result<f64> {
        let mut found = 0;
        self.answer(count, strategy, (0, 1), &mut SearchScratch::new(), |at, answer| {
            let wanted = &truth.row(at)[..count];
            found += answer.hits.iter().filter(|hit| wanted.contains(&hit.ordinal)).count();
        })?;
        Ok(found as f64 / (self.queries.rows() * count) as f64)
    }

    /// Processor time of a query on this thread, in microseconds.
    fn cpu_us(&self, count: usize, strategy: Option<DenseStrategy>) -> Result<f64> {
        let mut scratch = SearchScratch::new();
        let (start, mut passes) = (cpu_time::ThreadTime::now(), 0);
        while start.elapsed() < MIN_MEASURED {
            self.answer(count, strategy, (0, 1), &mut scratch, |_, _| {})?;
            passes += 1;
        }
        let queries = self.queries.rows() * passes;
        Ok(start.elapsed().as_secs_f64() * 1e6 / queries as f64)
    }

    fn queries_per_second(
        &self,
        count: usize,
        strategy: Option<DenseStrategy>,
        threads: usize,
    ) -> Result<f64> {
        let (start, mut passes) = (Instant::now(), 0);
        let mut scratches: Vec<_> = (0..threads).map(|_| SearchScratch::new()).collect();
        while start.elapsed() < MIN_MEASURED {
            std::thread::scope(|scope| {
                let parts = scratches.iter_mut().enumerate().map(|(first, scratch)| {
                    let part = (first, threads);
                    scope.spawn(move || self.answer(count, strategy, part, scratch, |_, _| {}))
                });
                let parts: Vec<_> = parts.collect();
                parts.into_iter().try_for_each(|part| part.join().expect("searched"))
            })?;
            passes += 1;
        }
        Ok((self.queries.rows() * passes) as f64 / start.elapsed().as_secs_f64())
    }
}

fn factors(flags: &mut Flags) -> Result<()> {
    let dir = flags.required("bundle")?;
    let files = [(ITEMS, flags.required("items")?), (USERS, flags.required("queries")?)];
    flags.end()?;
    let bundle = Bundle::open(Path::new(&dir), &TrustedKeys::none(), &LoadOptions::default())?;
    for (name, file) in files {
        let (mut values, mut columns) = (Vec::new(), 0);
        for shard in bundle.shards() {
            let matrix = shard.dense(name)?;
            values.extend_from_slice(matrix.values());
            columns = matrix.rank();
        }
        Array { columns, values }.write(&file)?;
    }
    Ok(())
}

/// The command line's `--name value` pairs.
struct Flags(HashMap<String, String>);

impl Flags {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut flags = HashMap::new();
        while let Some(flag) = args.next() {
            let name = flag.strip_prefix("--").ok_or_else(|| format!("{flag} is no --flag"))?;
            let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    fn required(&mut self, name: &str) -> Result<String> {
        self.0.remove(name).ok_or_else(|| format!("--{name} is needed").into())
    }

    fn or(&mut self, name: &str, otherwise: &str) -> String {
        self.0.remove(name).unwrap_or_else(|| otherwise.into())
    }

    /// All that were given are known.
    fn end(&self) -> Result<()> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("--{name} is not known").into()))
    }
}

/// A number of four bytes, little-endian in a file.
trait Number: Sized {
    /// NumPy's name of it.
    const DESCR: &str;
    fn read(bytes: [u8; 4]) -> Self;
}

impl Number for f32 {
    const DESCR: &str = "<f4";
    fn read(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl Number for u32 {
    const DESCR: &str = "<u4";
    fn read(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// A matrix, row after row.
struct Array<T> {
    columns: usize,
    values: Vec<T>,
}

impl<T: Number> Array<T> {
    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn row(&self, row: usize) -> &[T] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// Reads a `.npy` of version 1 as `numpy.save` writes it: ten bytes, a header of text, numbers.
    fn read(path: &str) -> Result<Self> {
        let wrong = || format!("{path}: not a .npy of rows × columns of type {}", T::DESCR);
        let mut file = BufReader::new(fs_err::File::open(path)?);
        let mut start = [0; 10];
        file.read_exact(&mut start)?;
        let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
        file.read_exact(&mut header)?;
        let header = std::str::from_utf8(&header)?;
        let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
        let shape: std::result::Result<Vec<usize>, _> =
            shape.ok_or_else(wrong)?.0.split(',').map(|size| size.trim().parse()).collect();
        let plain = start.starts_with(b"\x93NUMPY\x01")
            && header.contains(&format!("'{}'", T::DESCR))
            && header.contains("'fortran_order': False");
        let [rows, columns] = shape?[..] else { return Err(wrong().into()) };
        let bytes = file.get_ref().metadata()?.len() - (start.len() + header.len()) as u64;
        if !plain || columns == 0 || bytes != (rows * columns * size_of::<T>()) as u64 {
            return Err(wrong().into());
        }
        let mut values = Vec::with_capacity(rows * columns);
        let mut number = [0; 4];
        for _ in 0..rows * columns {
            file.read_exact(&mut number)?;
            values.push(T::read(number));
        }
        Ok(Self { columns, values })
    }
}

impl Array<f32> {
    fn write(&self, path: &str) -> Result<()> {
        let shape = (self.rows(), self.columns);
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}");
        // NumPy aligns the numbers to 64 bytes and ends the header with a line feed.
        let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((length as u16).to_le_bytes());
        bytes.extend(format!("{header:<width$}\n", width = length - 1).into_bytes());
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        Ok(fs_err::write(path, bytes)?)
    }
}
