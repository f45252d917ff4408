//! Every user's scores, in memory and in a file: what two evaluations are compared by.
//!
//! The file is CSV, or Parquet where its name ends in `.parquet`: a row a user and cut-off, with the
//! columns `user`, `cutoff`, `held_out` (items to find) and one a [`Measure`], by its name. The
//! novelty of a user without a list is empty, or null.

use super::metrics::{MAX_CUTOFF, Measure, UserScores};
use crate::error::TrainError;
use crate::read::{BadRows, Problem, Table, parse_id};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// The columns before those of the measures.
const KEYS: [&str; 3] = ["user", "cutoff", "held_out"];
/// Rows of one group of a Parquet file: some MiB.
const ROWS_PER_GROUP: usize = 1 << 18;

/// Every user's scores at some cut-offs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerUser {
    /// The cut-offs, ascending.
    pub cutoffs: Vec<usize>,
    /// A row a user, each user once.
    pub rows: Vec<UserRow>,
}

/// One user's scores, at each cut-off.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    /// The user's id.
    pub user: String,
    /// How many items there were to find.
    pub held_out: usize,
    /// The scores at each cut-off.
    pub scores: Vec<UserScores>,
}

impl PerUser {
    /// Writes the file anew.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        if is_parquet(path) { self.write_parquet(path) } else { self.write_csv(path) }
    }

    fn write_csv(&self, path: &Path) -> Result<(), TrainError> {
        let file = fs_err::File::create(path).map_err(TrainError::write(path))?;
        let mut out = csv::Writer::from_writer(file);
        let failed = |error: csv::Error| TrainError::write(path)(error.into());
        out.write_record(KEYS.into_iter().chain(Measure::ALL.map(Measure::name)))
            .map_err(failed)?;
        let mut record = csv::StringRecord::new();
        for (row, cutoff, scores) in self.each() {
            record.clear();
            record.push_field(&row.user);
            record.push_field(&cutoff.to_string());
            record.push_field(&row.held_out.to_string());
            for measure in Measure::ALL {
                // The shortest digits that read back as the same number.
                let value = scores.get(measure).map(|value| value.to_string());
                record.push_field(&value.unwrap_or_default());
            }
            out.write_record(&record).map_err(failed)?;
        }
        let file = out.into_inner().map_err(|error| TrainError::write(path)(error.into_error()));
        file?.flush().map_err(TrainError::write(path))
    }

    fn write_parquet(&self, path: &Path) -> Result<(), TrainError> {
        let file = std::fs::File::create(path).map_err(TrainError::write(path))?;
        let failed =
            |error: ParquetError| TrainError::write(path)(std::io::Error::other(error.to_string()));
        let measures: String =
            Measure::ALL.map(|measure| format!("optional double {}; ", measure.name())).concat();
        let schema = format!(
            "message scores {{ required binary user (UTF8); required int32 cutoff; \
             required int32 held_out; {measures} }}"
        );
        let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
        let properties = Arc::new(
            WriterProperties::builder()
                .set_compression(parquet::basic::Compression::SNAPPY)
                .build(),
        );
        let mut out = SerializedFileWriter::new(file, schema, properties).map_err(failed)?;
        let all: Vec<_> = self.each().collect();
        for rows in all.chunks(ROWS_PER_GROUP) {
            write_group(&mut out, rows).map_err(failed)?;
        }
        out.close().map_err(failed)?;
        Ok(())
    }

    fn each(&self) -> impl Iterator<Item = (&UserRow, usize, &UserScores)> {
        self.rows.iter().flat_map(|row| {
            self.cutoffs.iter().zip(&row.scores).map(move |(&cutoff, scores)| (row, cutoff, scores))
        })
    }

    /// Reads a file that [`write`](Self::write) wrote, or another of these columns. Users come in the
    /// order of their first rows.
    ///
    /// # Errors
    /// A column that is missing; a value that is none; a user who lacks a cut-off that another has,
    /// or has it twice.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let table = Table::open(path, None)?;
        let column = |name: &str| {
            table.first.iter().position(|cell| cell == name).ok_or_else(|| {
                let problem = format!(
                    "no column {name:?}: give a file that marquee eval --per-user wrote, a bundle or a URL"
                );
                TrainError::columns(path, problem)
            })
        };
        let [user, cutoff, held_out] = KEYS.map(column);
        let (user, cutoff, held_out) = (user?, cutoff?, held_out?);
        let mut measures = Vec::new();
        for measure in Measure::ALL {
            measures.push((measure, column(measure.name())?));
        }
        let mut wanted = vec![user, cutoff, held_out];
        wanted.extend(measures.iter().map(|&(_, column)| column));
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut users: Vec<ReadUser> = Vec::new();
        table.visit(true, &wanted, &mut BadRows::new(false), |record| {
            let id = parse_id("user", user, &record[user])?;
            let at = whole(cutoff, &record[cutoff], 1, MAX_CUTOFF)?;
            let to_find = whole(held_out, &record[held_out], 1, usize::MAX)?;
            let mut scores = UserScores::default();
            for &(measure, column) in &measures {
                scores.set(measure, score(measure, column, &record[column])?);
            }
            let next = users.len();
            let number = *numbers.entry(id.into()).or_insert(next);
            if number == next {
                users.push((id.into(), to_find, Vec::new()));
            }
            let (_, first, mine) = &mut users[number];
            if *first != to_find {
                let text =
                    format!("user {id:?} has {to_find} items to find here and {first} above");
                return Err(Problem::at(held_out, text));
            }
            mine.push((at, scores));
            Ok(())
        })?;
        Self::from_rows(path, users)
    }

    fn from_rows(path: &Path, users: Vec<ReadUser>) -> Result<Self, TrainError> {
        let mut out = Self::default();
        for (user, held_out, mut mine) in users {
            mine.sort_by_key(|&(cutoff, _)| cutoff);
            let cutoffs: Vec<usize> = mine.iter().map(|&(cutoff, _)| cutoff).collect();
            if out.rows.is_empty() {
                out.cutoffs.clone_from(&cutoffs);
            }
            if out.cutoffs != cutoffs || cutoffs.windows(2).any(|pair| pair[0] == pair[1]) {
                let problem = format!(
                    "user {user:?} has rows at cut-offs {cutoffs:?}, and the first user at {:?}: each needs one row a cut-off",
                    out.cutoffs
                );
                return Err(TrainError::format(path, problem));
            }
            let scores = mine.into_iter().map(|(_, scores)| scores).collect();
            out.rows.push(UserRow { user, held_out, scores });
        }
        if out.rows.is_empty() { Err(TrainError::Empty { path: path.into() }) } else { Ok(out) }
    }
}

/// A user as read: the id, how many items there are to find, and the scores at each cut-off.
type ReadUser = (String, usize, Vec<(usize, UserScores)>);

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn write_group(
    out: &mut SerializedFileWriter<std::fs::File>,
    rows: &[(&UserRow, usize, &UserScores)],
) -> Result<(), ParquetError> {
    // The schema has these columns; their absence would be a mistake above.
    let absent = || ParquetError::General("the schema lacks a column".into());
    let mut group = out.next_row_group()?;
    let users: Vec<ByteArray> =
        rows.iter().map(|(row, _, _)| ByteArray::from(row.user.as_str())).collect();
    let mut column = group.next_column()?.ok_or_else(absent)?;
    column.typed::<ByteArrayType>().write_batch(&users, None, None)?;
    column.close()?;
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let cutoffs: Vec<i32> = rows.iter().map(|&(_, cutoff, _)| number(cutoff)).collect();
    let held_out: Vec<i32> = rows.iter().map(|(row, _, _)| number(row.held_out)).collect();
    for numbers in [cutoffs, held_out] {
        let mut column = group.next_column()?.ok_or_else(absent)?;
        column.typed::<Int32Type>().write_batch(&numbers, None, None)?;
        column.close()?;
    }
    for measure in Measure::ALL {
        let cells: Vec<Option<f64>> = rows.iter().map(|row| row.2.get(measure)).collect();
        let defined: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let values: Vec<f64> = cells.into_iter().flatten().collect();
        let mut column = group.next_column()?.ok_or_else(absent)?;
        column.typed::<DoubleType>().write_batch(&values, Some(&defined), None)?;
        column.close()?;
    }
    group.close()?;
    Ok(())
}

fn whole(column: usize, field: &[u8], least: usize, most: usize) -> Result<usize, Problem> {
    let number = std::str::from_utf8(field).ok().and_then(|text| text.trim().parse().ok());
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let text = String::from_utf8_lossy(field);
        Problem::at(
            column,
            format!("{text:?} is not a whole number of at least {least} and at most {most}"),
        )
    })
}

fn score(measure: Measure, column: usize, field: &[u8]) -> Result<Option<f64>, Problem> {
    let text = std::str::from_utf8(field).unwrap_or("?").trim();
    if text.is_empty() && measure == Measure::Novelty {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(Problem::at(column, format!("{text:?} is not a finite number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(recall: f64, novelty: Option<f64>) -> UserScores {
        let mut out = UserScores::default();
        Measure::ALL.iter().for_each(|&measure| out.set(measure, Some(1.0 / 3.0)));
        out.set(Measure::Recall, Some(recall));
        out.set(Measure::Novelty, novelty);
        out
    }

    fn table() -> PerUser {
        let row = |user: &str, novelty| UserRow {
            user: user.into(),
            held_out: 3,
            scores: vec![scores(0.1, novelty), scores(0.2, Some(7.0))],
        };
        PerUser {
            cutoffs: vec![5, 10],
            rows: vec![row("a, \"b\"", Some(0.1 + 0.2)), row("é", None)],
        }
    }

    #[test]
    fn what_is_written_reads_back_to_the_bit() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["scores.csv", "scores.parquet"] {
            let path = dir.path().join(name);
            table().write(&path).expect("written");
            assert_eq!(PerUser::read(&path).expect("read"), table(), "{name}");
        }
    }

    #[test]
    fn bad_files_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("scores.csv");
        let header =
            "user,cutoff,held_out,recall,precision,ndcg,map,mrr,hit_rate,recall_all,novelty\n";
        let rest = "0,0,0,0,0,0,\n";
        for (text, part) in [
            ("user,cutoff\nu,5\n".to_string(), r#"no column "held_out""#),
            (
                format!("{header}u,5,1,x,{rest}"),
                r#"line 2 column 4 (recall): "x" is not a finite number"#,
            ),
            (format!("{header}u,0,1,0,{rest}"), r#"column 2 (cutoff): "0" is not a whole number"#),
            (format!("{header}u,5,1,0,{rest}u,5,1,0,{rest}"), "at cut-offs [5, 5]"),
            (
                format!("{header}u,5,1,0,{rest}v,6,1,0,{rest}"),
                r#"user "v" has rows at cut-offs [6]"#,
            ),
            (
                format!("{header}u,5,1,0,{rest}u,6,2,0,{rest}"),
                "has 2 items to find here and 1 above",
            ),
        ] {
            std::fs::write(&path, &text).expect("written");
            let error = PerUser::read(&path).expect_err("refused").to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
