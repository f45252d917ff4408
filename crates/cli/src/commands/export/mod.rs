//! `marquee export`: the logs of routers as a table, for the next training and for analysis.
//!
//! Reads the files of the logs up to the last whole commit, even while a node writes them. In memory are one
//! row group and the hashes of the events' ids: an event that was sent to two routers, or again after a day,
//! is one row. [`Table`] writes CSV or Parquet, and a [`Cursor`] says where the next export continues.

mod cursor;
mod table;

use crate::output;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use cursor::Cursor;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_events::duplicates::hash_of;
use marquee_events::log::LogReader;
use marquee_events::{
    Contents, EXPOSURES_DIRECTORY, EventType, Exposure, QUARANTINE_DIRECTORY, Quarantined,
    StoredEvent,
};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use table::{Cell, CellKind, Column, Table};

/// An export shorter than this shows no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Columns of events, as `marquee train` recognises them; the quarantine has `reason` too.
const EVENT_COLUMNS: [Column; 8] = [
    Column { name: "user_id", kind: CellKind::Text },
    Column { name: "item_id", kind: CellKind::Text },
    Column { name: "type", kind: CellKind::Text },
    Column { name: "value", kind: CellKind::Number },
    Column { name: "time", kind: CellKind::Number },
    Column { name: "recommendation_id", kind: CellKind::Text },
    Column { name: "event_id", kind: CellKind::Text },
    Column { name: "reason", kind: CellKind::Text },
];

/// Columns of exposures, a row for each item of an answer.
const EXPOSURE_COLUMNS: [Column; 17] = [
    Column { name: "recommendation_id", kind: CellKind::Text },
    Column { name: "time", kind: CellKind::Number },
    Column { name: "user_hash", kind: CellKind::Text },
    Column { name: "surface", kind: CellKind::Text },
    Column { name: "ensemble", kind: CellKind::Text },
    Column { name: "rollout_id", kind: CellKind::Text },
    Column { name: "variant", kind: CellKind::Text },
    Column { name: "models", kind: CellKind::Text },
    Column { name: "plan_epoch", kind: CellKind::Integer },
    Column { name: "fallback_reason", kind: CellKind::Integer },
    Column { name: "asked_for", kind: CellKind::Text },
    Column { name: "filtered", kind: CellKind::Integer },
    Column { name: "drawn_share", kind: CellKind::Number },
    Column { name: "rank", kind: CellKind::Integer },
    Column { name: "item_id", kind: CellKind::Text },
    Column { name: "propensity", kind: CellKind::Number },
    Column { name: "drawn", kind: CellKind::Integer },
];

/// `marquee export …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee export --events /var/lib/marquee/events --out events.parquet
  marquee export --events data/events --types click,play,purchase,rating --out train.parquet
  marquee train --interactions train.parquet --name films --out bundles/v2
  marquee export --events router-1/events --events router-2/events --out events.parquet
  marquee export --events data/events --out monday.parquet
  marquee export --events data/events --after events:17320 --out tuesday.parquet
  marquee export --events data/events --exposures --out shown.csv

Events have the columns user_id, item_id, type, value, time (seconds since 1970), recommendation_id and
event_id. Exposures have a row for each item of an answer and join them by recommendation_id and item_id; with
its rank, its propensity to be shown there, and whether it was drawn there at random (0 or 1).
An export prints a cursor. The next one continues there (--after): no event is in both, and none is left out.
The nodes may be running. Each router has a log of its own: name all of them, so that an event that was sent
to two of them is one row.")]
pub struct ExportArgs {
    /// The directory of a router's events: `events` in its data_dir, unless its config says otherwise. Repeat
    /// it for more routers
    #[arg(long, value_name = "DIR", required = true)]
    events: Vec<PathBuf>,
    /// Write exposures (the items that were shown) instead of events
    #[arg(long)]
    exposures: bool,
    /// Write the quarantined events, those that were late or implausible, with the reason
    #[arg(long, conflicts_with = "exposures")]
    quarantine: bool,
    /// The file to write, CSV or Parquet by its name; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Continue where an earlier export of the same logs ended, by the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Only events received, or answers given, at or after this time, in milliseconds since 1970. To continue an export use
    /// --after: of two events the later one in the log may have the earlier time
    #[arg(long, value_name = "MS", default_value_t = 0)]
    since_ms: u64,
    /// Only events of these types; without it, all
    #[arg(long, value_delimiter = ',', conflicts_with = "exposures")]
    types: Vec<TypeName>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// A type of events, as flags write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TypeName {
    Impression,
    Click,
    Play,
    Purchase,
    Rating,
}

impl TypeName {
    fn is(self, event_type: EventType) -> bool {
        event_type
            == match self {
                Self::Impression => EventType::Impression,
                Self::Click => EventType::Click,
                Self::Play => EventType::Play,
                Self::Purchase => EventType::Purchase,
                Self::Rating => EventType::Rating,
            }
    }
}

/// The counts of an export.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ExportSummary {
    /// The file that was written.
    pub out: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Records of the logs that the rows are made of.
    pub records: u64,
    /// Records that the flags left out.
    pub left_out: u64,
    /// Events whose id an earlier record had.
    pub duplicates: u64,
    /// The time of the newest record, in milliseconds since 1970; 0 if there is none.
    pub newest_ms: u64,
    /// Records that an export which continues another one can no longer have: the log has deleted them for room.
    pub deleted: u64,
    /// The `--after` of the next export.
    cursor: Cursor,
}

/// Exports and prints how many rows were written.
pub fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let summary = export(args)?;
    if args.json {
        output::json(&summary)?;
    } else {
        output::line(format!(
            "{} of {}, {} left out, {}, written to {}; the next export continues with --after {}",
            output::count(summary.rows, "row"),
            output::count(summary.records, "record"),
            output::thousands(summary.left_out),
            output::count(summary.duplicates, "duplicate"),
            summary.out.display(),
            summary.cursor
        ))?;
    }
    if summary.deleted > 0 {
        tracing::warn!(
            deleted = summary.deleted,
            "records behind the cursor are no longer in the log, which deletes its oldest for room: export more often, or give it \
             more (router.events)"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the records of all logs into the file, which has its name only when it is complete.
fn export(args: &ExportArgs) -> anyhow::Result<ExportSummary> {
    if args.out.exists() {
        anyhow::bail!("--out: {} exists: name another file", args.out.display());
    }
    let (contents, below) = match (args.exposures, args.quarantine) {
        (true, _) => (Contents::Exposures, EXPOSURES_DIRECTORY),
        (_, true) => (Contents::Quarantine, QUARANTINE_DIRECTORY),
        _ => (Contents::Events, ""),
    };
    let directories: Vec<PathBuf> = args.events.iter().map(|events| events.join(below)).collect();
    if let Some(after) = &args.after {
        after.check(contents, directories.len())?;
    }
    let mut readers = Vec::with_capacity(directories.len());
    for (n, directory) in directories.iter().enumerate() {
        let reader = LogReader::open(directory, contents).context("--events")?;
        let begins_at = args.after.as_ref().map_or(0, |after| after.next[n]);
        readers.push(OpenLog { directory, reader, begins_at });
    }
    let part = with_suffix(&args.out, ".part");
    let mut table = Table::create(&args.out, &part, columns(contents))?;
    let mut export = Export {
        args,
        table: &mut table,
        summary: ExportSummary {
            out: args.out.clone(),
            rows: 0,
            records: 0,
            left_out: 0,
            duplicates: 0,
            newest_ms: 0,
            deleted: 0,
            cursor: Cursor::new(contents, Vec::new()),
        },
        seen: HashSet::new(),
    };
    if args.after.is_some() && contents != Contents::Exposures {
        // Of all logs first: what one has from now on may be in an earlier export from another.
        for log in &readers {
            export.remember_earlier(contents, log)?;
        }
    }
    let progress = ExportProgress::new();
    let all: u64 = readers.iter().map(|log| log.reader.position().bytes).sum();
    let mut before = 0;
    for log in &mut readers {
        let next = export.add_log(contents, log, |done| progress.set(before + done, all))?;
        export.summary.cursor.next.push(next);
        before += log.reader.position().bytes;
    }
    let summary = export.summary;
    table.finish()?;
    fs_err::rename(&part, &args.out)?;
    Ok(summary)
}

/// The columns of a table of these contents.
fn columns(contents: Contents) -> &'static [Column] {
    match contents {
        Contents::Events => &EVENT_COLUMNS[..EVENT_COLUMNS.len() - 1],
        Contents::Quarantine => &EVENT_COLUMNS,
        Contents::Exposures => &EXPOSURE_COLUMNS,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A log that is exported.
struct OpenLog<'a> {
    directory: &'a Path,
    reader: LogReader,
    /// The number of the first record that is exported; those before it are in an earlier export.
    begins_at: u64,
}

/// An export that is under way.
struct Export<'a> {
    args: &'a ExportArgs,
    table: &'a mut Table,
    summary: ExportSummary,
    /// Hashes of the ids of all events so far, some 40 bytes each.
    seen: HashSet<u128>,
}

impl Export<'_> {
    /// Notes the ids of the events that earlier exports have.
    fn remember_earlier(&mut self, contents: Contents, log: &OpenLog<'_>) -> anyhow::Result<()> {
        let mut reader = LogReader::open(log.directory, contents).context("--events")?;
        while reader.position().next < log.begins_at
            && reader.next_frame(|number, record| {
                if number < log.begins_at
                    && let Some(event_id) = event_id_of(contents, record)
                {
                    self.seen.insert(hash_of(&event_id));
                }
            })?
        {}
        Ok(())
    }

    /// Adds the records of a log from its first one on, and gives the number of the one that comes after them.
    fn add_log(
        &mut self,
        contents: Contents,
        log: &mut OpenLog<'_>,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<u64> {
        let OpenLog { directory, reader, begins_at } = log;
        let begins_at = *begins_at;
        let mut oldest = None;
        let mut failed = Ok(());
        while failed.is_ok()
            && reader.next_frame(|number, record| {
                oldest.get_or_insert(number);
                if failed.is_ok() && number >= begins_at {
                    failed = self
                        .add(contents, record)
                        .with_context(|| format!("{}: record {number}", directory.display()));
                }
            })?
        {
            progress(reader.position().done);
        }
        failed?;
        let next = reader.position().next;
        if next < begins_at {
            anyhow::bail!(
                "--after: {} ends before record {next} and the cursor is at {begins_at}: it is another log, or the order of \
                 --events has changed",
                directory.display()
            );
        }
        if begins_at > 0 {
            self.summary.deleted += oldest.unwrap_or(next).saturating_sub(begins_at);
        }
        Ok(next)
    }

    /// Adds a record of a log.
    fn add(&mut self, contents: Contents, record: &[u8]) -> anyhow::Result<()> {
        const UNKNOWN: &str =
            "has a format that this version does not know: export with the version that wrote it";
        match contents {
            Contents::Events => self.event(&StoredEvent::decode(record).context(UNKNOWN)?, None),
            Contents::Quarantine => {
                let Quarantined { reason, stored } =
                    Quarantined::decode(record).context(UNKNOWN)?;
                self.event(&stored, Some(reason.name()))
            }
            Contents::Exposures => self.exposure(&Exposure::decode(record).context(UNKNOWN)?),
        }
    }

    /// Whether the flags select a record of this time; counts it as selected or left out.
    fn select(&mut self, moment_ms: u64, of_type: bool) -> bool {
        let is_selected = of_type && moment_ms >= self.args.since_ms;
        if is_selected {
            self.summary.records += 1;
            self.summary.newest_ms = self.summary.newest_ms.max(moment_ms);
        } else {
            self.summary.left_out += 1;
        }
        is_selected
    }

    /// Adds an event, and the reason if it was quarantined.
    fn event(&mut self, stored: &StoredEvent, reason: Option<&str>) -> anyhow::Result<()> {
        let StoredEvent { event, received_ms } = stored;
        // Also the ids of events that are left out: an earlier export has them.
        if !self.seen.insert(hash_of(&event.event_id)) {
            self.summary.duplicates += 1;
            return Ok(());
        }
        let types = &self.args.types;
        let of_type = types.is_empty() || types.iter().any(|name| name.is(event.event_type));
        if !self.select(*received_ms, of_type) {
            return Ok(());
        }
        let cells = [
            Cell::Text(&event.user_id),
            Cell::Text(&event.item_id),
            Cell::Text(event.event_type.word()),
            Cell::Number(event.value),
            Cell::Number(seconds(event.time_ms)),
            Cell::Text(&event.recommendation_id),
            Cell::Text(&event.event_id),
        ];
        self.summary.rows += 1;
        self.table.row(cells.into_iter().chain(reason.map(Cell::Text)))
    }

    /// Adds an exposure, a row for each of its items.
    fn exposure(&mut self, exposure: &Exposure<String>) -> anyhow::Result<()> {
        if !self.select(exposure.time_ms, true) {
            return Ok(());
        }
        let models: Vec<String> =
            exposure.models.iter().map(|(model, version)| format!("{model}@{version}")).collect();
        let (models, user) = (models.join("+"), exposure.user_hash.to_string());
        // An answer with no items is a row without one.
        let none = String::new();
        let drawn_share =
            f64::from(exposure.draw.share_basis_points) / f64::from(FULL_WEIGHT_BASIS_POINTS);
        let items: Vec<(i64, &String)> = if exposure.item_ids.is_empty() {
            vec![(0, &none)]
        } else {
            (1..).zip(&exposure.item_ids).collect()
        };
        for (rank, item) in items {
            let cells = [
                Cell::Text(&exposure.recommendation_id),
                Cell::Number(seconds(exposure.time_ms)),
                Cell::Text(&user),
                Cell::Text(&exposure.surface),
                Cell::Text(&exposure.ensemble),
                Cell::Text(&exposure.rollout_id),
                Cell::Text(exposure.variant.word()),
                Cell::Text(&models),
                Cell::Integer(i64::try_from(exposure.plan_epoch).unwrap_or(i64::MAX)),
                Cell::Integer(exposure.fallback_reason.into()),
                Cell::Text(exposure.asked_for.word()),
                Cell::Integer(exposure.is_filtered.into()),
                Cell::Number(drawn_share),
                Cell::Integer(rank),
                Cell::Text(item),
                Cell::Number(exposure.draw.propensity(rank as usize)),
                Cell::Integer(exposure.draw.is_drawn(rank as usize).into()),
            ];
            self.summary.rows += 1;
            self.table.row(cells.into_iter())?;
        }
        Ok(())
    }
}

/// The id of the event of a record; none of one that cannot be read.
fn event_id_of(contents: Contents, record: &[u8]) -> Option<String> {
    match contents {
        Contents::Events => StoredEvent::decode(record).map(|stored| stored.event.event_id),
        Contents::Quarantine => Quarantined::decode(record).map(|it| it.stored.event.event_id),
        Contents::Exposures => None,
    }
}

/// Milliseconds as seconds, the unit of other data sets, so that training can compare both.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// A progress bar of a long export, hidden unless stderr is a terminal.
struct ExportProgress {
    started: Instant,
    bar: std::cell::OnceCell<indicatif::ProgressBar>,
}

impl ExportProgress {
    fn new() -> Self {
        Self { started: Instant::now(), bar: std::cell::OnceCell::new() }
    }

    fn set(&self, done: u64, bytes: u64) {
        if self.started.elapsed() < BAR_AFTER {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let target = indicatif::ProgressDrawTarget::stderr();
            let bar = indicatif::ProgressBar::with_draw_target(Some(bytes), target);
            let style = "{msg} {bar:40} {bytes}/{total_bytes} {eta}";
            if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.with_message("exporting")
        });
        bar.set_position(done);
    }
}

impl Drop for ExportProgress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
