//! Parquet through the column API, without Arrow: flat columns and lists as records of text, and, for
//! factors, lists of numbers.
//!
//! A file is hostile input and the decoder below is large: should it panic, the panic becomes an
//! error that names the file ([`guarded`]).

use super::pages::counted_column;
use super::parquet_cells::CellForm;
use crate::error::TrainError;
use csv::ByteRecord;
use marquee_bundle::open_input;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray, Int96};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Records decoded at a time: enough to amortise a page's set-up, little memory.
const BATCH_RECORDS: usize = 8_192;
/// Values that a byte of a file may stand for: interactions that differ take a bit or more each.
const MAX_VALUES_PER_BYTE: u64 = 64;
/// Values that any file may have, however small: a second's work.
const FREE_VALUES: u64 = 4_000_000;
/// Bytes that a byte of a file may become by decompression: text compresses to a tenth, sorted ids to a hundredth.
const MAX_BYTES_PER_BYTE: u64 = 256;
/// Bytes that any file may become.
const FREE_BYTES: u64 = 64 << 20;
/// Microseconds and Julian days: how Spark wrote times before it used INT64.
const JULIAN_DAY_OF_1970: f64 = 2_440_588.0;

/// What stands between the elements of a list, as between tags.
const LIST_SEPARATOR: u8 = b'|';

/// A Parquet file whose columns are read as text; the elements of a list have `|` between them.
pub(super) struct ParquetTable {
    reader: SerializedFileReader<std::fs::File>,
    /// Leaf number and name of each top-level column that is flat or a list.
    columns: Vec<(usize, String)>,
}

pub(crate) fn open(path: &Path) -> Result<SerializedFileReader<std::fs::File>, TrainError> {
    let (file, _) = open_input(path).map_err(TrainError::io(path))?.into_parts();
    let length = file.metadata().map_err(TrainError::io(path))?.len();
    let reader = guarded(path, || SerializedFileReader::new(file))?;
    check_expansion(path, length, &reader)?;
    Ok(reader)
}

/// Refuses a file that says it has far more in it than its length can hold. A few bytes of a run of equal values, or
/// of compressed zeros, can stand for millions of rows or gigabytes.
fn check_expansion(
    path: &Path,
    length: u64,
    reader: &SerializedFileReader<std::fs::File>,
) -> Result<(), TrainError> {
    let metadata = reader.metadata();
    let (mut values, mut bytes) = (0u64, 0u64);
    for group in metadata.row_groups() {
        for column in group.columns() {
            values = values.saturating_add(u64::try_from(column.num_values()).unwrap_or(u64::MAX));
            let size = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
            bytes = bytes.saturating_add(size);
            let column_rows = column.column_descr().max_rep_level() > 0
                || column.num_values() == group.num_rows();
            if !column_rows {
                let problem = "not a readable Parquet file: its columns differ in length: write the file anew";
                return Err(TrainError::format(path, problem));
            }
        }
    }
    let most_values = length.saturating_mul(MAX_VALUES_PER_BYTE).saturating_add(FREE_VALUES);
    let most_bytes = length.saturating_mul(MAX_BYTES_PER_BYTE).saturating_add(FREE_BYTES);
    for (what, found, most) in [("values", values, most_values), ("bytes", bytes, most_bytes)] {
        if found > most {
            let problem = format!(
                "{length} bytes say that they are {found} {what} of columns: at most {most} are believed; write the \
                 file anew, with rows that differ"
            );
            return Err(TrainError::format(path, problem));
        }
    }
    Ok(())
}

/// Runs decoder code; its errors and its panics become errors that name the file.
pub(crate) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, TrainError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(TrainError::format(
            path,
            format!("not a readable Parquet file: {error}: write the file anew"),
        )),
        Err(_) => {
            let problem = "not a readable Parquet file: its contents contradict one another: write the file anew";
            Err(TrainError::format(path, problem))
        }
    }
}

impl ParquetTable {
    pub(super) fn open(path: &Path) -> Result<Self, TrainError> {
        let reader = open(path)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let leaves: Vec<ColumnDescPtr> =
            (0..schema.num_columns()).map(|n| schema.column(n)).collect();
        let root =
            |leaf: &ColumnDescriptor| leaf.path().parts().first().cloned().unwrap_or_default();
        let is_read = |leaf: &ColumnDescriptor| {
            let is_flat = leaf.path().parts().len() == 1 && leaf.max_rep_level() == 0;
            let is_alone = leaves.iter().filter(|other| root(other) == root(leaf)).count() == 1;
            is_flat || (leaf.max_rep_level() == 1 && is_alone)
        };
        let columns: Vec<(usize, String)> = leaves
            .iter()
            .enumerate()
            .filter(|(_, leaf)| is_read(leaf))
            .map(|(n, leaf)| (n, root(leaf)))
            .collect();
        if columns.is_empty() {
            let problem = "the Parquet file has no columns that are flat or lists of plain values";
            return Err(TrainError::format(path, problem));
        }
        if reader.metadata().file_metadata().num_rows() == 0 {
            return Err(TrainError::Empty { path: path.into() });
        }
        Ok(Self { reader, columns })
    }

    pub(super) fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn visit(
        self,
        path: &Path,
        wanted: &[usize],
        take: &mut impl FnMut(u64, &ByteRecord) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let width = wanted.iter().map(|&c| c + 1).max().unwrap_or(0);
        let (mut row, mut record, mut text) = (0u64, ByteRecord::new(), Vec::new());
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(path, || self.reader.get_row_group(group))?;
            let mut cursors: Vec<Option<Cursor>> = Vec::new();
            for column in 0..width {
                let cursor = if wanted.contains(&column) {
                    Some(Cursor::open(path, group.as_ref(), self.columns[column].0)?)
                } else {
                    None
                };
                cursors.push(cursor);
            }
            loop {
                let mut records = None;
                for cursor in cursors.iter_mut().flatten() {
                    let got = guarded(path, || cursor.read())?;
                    if *records.get_or_insert(got) != got {
                        return Err(TrainError::format(
                            path,
                            "the Parquet file's columns differ in length",
                        ));
                    }
                }
                let records = records.unwrap_or(0);
                if records == 0 {
                    break;
                }
                for _ in 0..records {
                    row += 1;
                    record.clear();
                    for cursor in &mut cursors {
                        text.clear();
                        if let Some(cursor) = cursor {
                            cursor.cell(&mut text);
                        }
                        record.push_field(&text);
                    }
                    take(row, &record)?;
                }
            }
        }
        Ok(())
    }
}

/// Values of one leaf column, of whichever type it has.
enum Values {
    Bool(ColumnReaderImpl<parquet::data_type::BoolType>, Vec<bool>),
    Int32(ColumnReaderImpl<parquet::data_type::Int32Type>, Vec<i32>),
    Int64(ColumnReaderImpl<parquet::data_type::Int64Type>, Vec<i64>),
    Int96(ColumnReaderImpl<parquet::data_type::Int96Type>, Vec<Int96>),
    Float(ColumnReaderImpl<parquet::data_type::FloatType>, Vec<f32>),
    Double(ColumnReaderImpl<parquet::data_type::DoubleType>, Vec<f64>),
    Bytes(ColumnReaderImpl<parquet::data_type::ByteArrayType>, Vec<ByteArray>),
    Fixed(ColumnReaderImpl<parquet::data_type::FixedLenByteArrayType>, Vec<FixedLenByteArray>),
}

/// A column of one row group, a batch at a time, a cell at a time.
struct Cursor {
    values: Values,
    form: CellForm,
    /// The definition level of a value that is there; 0 where all are.
    full: i16,
    is_list: bool,
    defined: Vec<i16>,
    repeats: Vec<i16>,
    next_level: usize,
    next_value: usize,
}

impl Cursor {
    fn open(path: &Path, group: &dyn RowGroupReader, leaf: usize) -> Result<Self, TrainError> {
        let column = group.metadata().schema_descr().column(leaf);
        let Some(form) = CellForm::of(&column) else {
            let problem = format!(
                "column {:?} is a DECIMAL: cast it to double or to an integer",
                column.name()
            );
            return Err(TrainError::columns(path, problem));
        };
        let values = match guarded(path, || counted_column(group, leaf))? {
            ColumnReader::BoolColumnReader(r) => Values::Bool(r, Vec::new()),
            ColumnReader::Int32ColumnReader(r) => Values::Int32(r, Vec::new()),
            ColumnReader::Int64ColumnReader(r) => Values::Int64(r, Vec::new()),
            ColumnReader::Int96ColumnReader(r) => Values::Int96(r, Vec::new()),
            ColumnReader::FloatColumnReader(r) => Values::Float(r, Vec::new()),
            ColumnReader::DoubleColumnReader(r) => Values::Double(r, Vec::new()),
            ColumnReader::ByteArrayColumnReader(r) => Values::Bytes(r, Vec::new()),
            ColumnReader::FixedLenByteArrayColumnReader(r) => Values::Fixed(r, Vec::new()),
        };
        Ok(Self {
            values,
            form,
            full: column.max_def_level(),
            is_list: column.max_rep_level() > 0,
            defined: Vec::new(),
            repeats: Vec::new(),
            next_level: 0,
            next_value: 0,
        })
    }

    /// Decodes the next batch; its number of records, 0 at the end.
    fn read(&mut self) -> Result<usize, ParquetError> {
        (self.next_level, self.next_value) = (0, 0);
        self.defined.clear();
        self.repeats.clear();
        let levels = Levels {
            defined: (self.full > 0).then_some(&mut self.defined),
            repeats: self.is_list.then_some(&mut self.repeats),
        };
        match &mut self.values {
            Values::Bool(r, v) => batch(r, levels, v),
            Values::Int32(r, v) => batch(r, levels, v),
            Values::Int64(r, v) => batch(r, levels, v),
            Values::Int96(r, v) => batch(r, levels, v),
            Values::Float(r, v) => batch(r, levels, v),
            Values::Double(r, v) => batch(r, levels, v),
            Values::Bytes(r, v) => batch(r, levels, v),
            Values::Fixed(r, v) => batch(r, levels, v),
        }
    }

    /// Writes the next cell as text; nothing where it is null.
    fn cell(&mut self, text: &mut Vec<u8>) {
        self.element(text);
        while self.is_list && self.repeats.get(self.next_level).is_some_and(|&level| level > 0) {
            let before = text.len();
            text.push(LIST_SEPARATOR);
            if !self.element(text) {
                text.truncate(before);
            }
        }
    }

    /// Writes the next value, if it is there.
    fn element(&mut self, text: &mut Vec<u8>) -> bool {
        if self.full > 0 {
            let present =
                self.defined.get(self.next_level).is_some_and(|&level| level == self.full);
            self.next_level += 1;
            if !present {
                return false;
            }
        }
        let n = self.next_value;
        self.next_value += 1;
        self.write(n, text);
        true
    }

    /// Writes a value of the batch.
    fn write(&self, n: usize, text: &mut Vec<u8>) {
        let form = self.form;
        // Writing to a Vec can't fail.
        let _ = match &self.values {
            Values::Bool(_, v) => v.get(n).map(|v| text.push(b'0' + u8::from(*v))),
            Values::Int32(_, v) => v.get(n).map(|v| {
                form.write_integer(i64::from(*v), u64::from(v.cast_unsigned()), text);
            }),
            Values::Int64(_, v) => {
                v.get(n).map(|v| form.write_integer(*v, v.cast_unsigned(), text))
            }
            Values::Int96(_, v) => v.get(n).map(|v| {
                let _ = write!(text, "{}", int96_seconds(v));
            }),
            Values::Float(_, v) => v.get(n).map(|v| {
                let _ = write!(text, "{v}");
            }),
            Values::Double(_, v) => v.get(n).map(|v| {
                let _ = write!(text, "{v}");
            }),
            Values::Bytes(_, v) => v.get(n).map(|v| form.write_bytes(v.data(), text)),
            Values::Fixed(_, v) => v.get(n).map(|v| form.write_bytes(v.data(), text)),
        };
    }
}

/// Where the levels of a batch go, as far as the column has them.
struct Levels<'a> {
    defined: Option<&'a mut Vec<i16>>,
    repeats: Option<&'a mut Vec<i16>>,
}

fn batch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels: Levels<'_>,
    values: &mut Vec<T::T>,
) -> Result<usize, ParquetError> {
    values.clear();
    let Levels { defined, repeats } = levels;
    reader.read_records(BATCH_RECORDS, defined, repeats, values).map(|(records, _, _)| records)
}

/// Seconds since 1970 of a time as Spark's old files hold it.
fn int96_seconds(time: &Int96) -> f64 {
    let parts = time.data();
    let nanos = (u64::from(parts[1]) << 32) | u64::from(parts[0]);
    (f64::from(parts[2]) - JULIAN_DAY_OF_1970) * 86_400.0 + nanos as f64 * 1e-9
}

/// A flat column of a Parquet file as text: `row(number, cell)` for every row in order, from 1.
pub(crate) fn visit_column(
    path: &Path,
    reader: &SerializedFileReader<std::fs::File>,
    leaf: usize,
    mut row: impl FnMut(u64, &[u8]) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let (mut number, mut text) = (0, Vec::new());
    for group in 0..reader.num_row_groups() {
        let group = guarded(path, || reader.get_row_group(group))?;
        let mut cursor = Cursor::open(path, group.as_ref(), leaf)?;
        loop {
            let records = guarded(path, || cursor.read())?;
            if records == 0 {
                break;
            }
            for _ in 0..records {
                number += 1;
                text.clear();
                cursor.cell(&mut text);
                row(number, &text)?;
            }
        }
    }
    Ok(())
}

/// The list column of a Parquet file: `row(record, numbers)` for every record in order.
///
/// A null list, or a null in a list, is an error: factors have no gaps.
pub(crate) fn visit_lists(
    path: &Path,
    reader: &SerializedFileReader<std::fs::File>,
    leaf: usize,
    mut row: impl FnMut(u64, &[f32]) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let column = reader.metadata().file_metadata().schema_descr().column(leaf);
    let (full, repeated) = (column.max_def_level(), column.max_rep_level());
    if repeated != 1 || !matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE) {
        let problem =
            format!("column {:?} is not a list of float or double", column.path().string());
        return Err(TrainError::columns(path, problem));
    }
    let mut record = 0u64;
    let mut list: Vec<f32> = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = guarded(path, || reader.get_row_group(group))?;
        let mut column = guarded(path, || counted_column(group.as_ref(), leaf))?;
        loop {
            let (mut defined, mut repeats, mut numbers) =
                (Vec::new(), Vec::new(), Vec::<f32>::new());
            let records = guarded(path, || match &mut column {
                ColumnReader::FloatColumnReader(r) => r
                    .read_records(
                        BATCH_RECORDS,
                        Some(&mut defined),
                        Some(&mut repeats),
                        &mut numbers,
                    )
                    .map(|n| n.0),
                ColumnReader::DoubleColumnReader(r) => {
                    let mut wide = Vec::<f64>::new();
                    let read = r.read_records(
                        BATCH_RECORDS,
                        Some(&mut defined),
                        Some(&mut repeats),
                        &mut wide,
                    );
                    numbers.extend(wide.iter().map(|&v| v as f32));
                    read.map(|n| n.0)
                }
                _ => Ok(0),
            })?;
            if records == 0 {
                break;
            }
            if defined.len() != repeats.len()
                || defined.len() != numbers.len()
                || defined.iter().any(|&d| d < full)
            {
                let place = format!("between rows {} and {}", record + 1, record + records as u64);
                let problem = format!(
                    "a list of numbers is null, empty or has nulls, {place}: every row needs one"
                );
                return Err(TrainError::format(path, problem));
            }
            for (n, (&number, &repeat)) in numbers.iter().zip(&repeats).enumerate() {
                if repeat == 0 && n > 0 {
                    record += 1;
                    row(record, &list)?;
                    list.clear();
                }
                list.push(number);
            }
            record += 1;
            row(record, &list)?;
            list.clear();
        }
    }
    Ok(())
}
