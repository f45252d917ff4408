//! Rows to a CSV or a Parquet file, a row group at a time.

use anyhow::{Context as _, bail};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Rows of a row group: some ten megabytes in memory.
const ROWS_PER_GROUP: usize = 1 << 16;

/// A column of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// The heading of the column.
    pub(super) name: &'static str,
    /// The kind of its cells.
    pub(super) kind: CellKind,
}

/// The kind of a column's cells.
#[derive(Clone, Copy, Debug)]
pub(super) enum CellKind {
    Text,
    Number,
    Integer,
}

/// One cell, of the kind of its column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
    Integer(i64),
}

/// A file that is being written.
pub(super) enum Table {
    Csv(Box<csv::Writer<fs_err::File>>),
    Parquet(Box<ParquetTable>),
}

/// A Parquet file and its row group that is not written yet.
pub(super) struct ParquetTable {
    out: SerializedFileWriter<std::fs::File>,
    columns: Vec<ColumnValues>,
    rows: usize,
}

/// The values of one column of the row group.
enum ColumnValues {
    Text(Vec<ByteArray>),
    Number(Vec<f64>),
    Integer(Vec<i64>),
}

impl Table {
    /// Creates the file `part` in the format of the name of `out`.
    pub(super) fn create(out: &Path, part: &Path, columns: &[Column]) -> anyhow::Result<Self> {
        let extension = out.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("csv") => {
                let mut csv = csv::Writer::from_writer(fs_err::File::create(part)?);
                csv.write_record(columns.iter().map(|column| column.name))?;
                Ok(Self::Csv(Box::new(csv)))
            }
            Some("parquet") => ParquetTable::create(part, columns).map(Box::new).map(Self::Parquet),
            _ => bail!("--out: the name of {} must end in .csv or .parquet", out.display()),
        }
    }

    /// Adds a row.
    pub(super) fn row<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => {
                for cell in cells {
                    match cell {
                        Cell::Text(text) => csv.write_field(text)?,
                        Cell::Number(number) => csv.write_field(number.to_string())?,
                        Cell::Integer(number) => csv.write_field(number.to_string())?,
                    }
                }
                csv.write_record(None::<&[u8]>)?;
                Ok(())
            }
            Self::Parquet(group) => group.row(cells),
        }
    }

    /// Completes the file and syncs it to the disk.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => {
                let mut file = csv.into_inner().map_err(|error| error.into_error())?;
                file.flush()?;
                file.sync_all()?;
            }
            Self::Parquet(mut group) => {
                group.flush()?;
                group.out.finish()?;
                group.out.inner().sync_all()?;
            }
        }
        Ok(())
    }
}

impl ParquetTable {
    fn create(part: &Path, columns: &[Column]) -> anyhow::Result<Self> {
        let fields: String = columns
            .iter()
            .map(|Column { name, kind }| match kind {
                CellKind::Text => format!("required binary {name} (UTF8); "),
                CellKind::Number => format!("required double {name}; "),
                CellKind::Integer => format!("required int64 {name}; "),
            })
            .collect();
        let schema = parse_message_type(&format!("message table {{ {fields} }}"))?;
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .build();
        let (file, _) = fs_err::File::create(part)?.into_parts();
        let out = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        let columns = columns
            .iter()
            .map(|column| match column.kind {
                CellKind::Text => ColumnValues::Text(Vec::new()),
                CellKind::Number => ColumnValues::Number(Vec::new()),
                CellKind::Integer => ColumnValues::Integer(Vec::new()),
            })
            .collect();
        Ok(Self { out, columns, rows: 0 })
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> anyhow::Result<()> {
        for (values, cell) in self.columns.iter_mut().zip(cells) {
            match (values, cell) {
                (ColumnValues::Text(values), Cell::Text(text)) => values.push(text.into()),
                (ColumnValues::Number(values), Cell::Number(number)) => values.push(number),
                (ColumnValues::Integer(values), Cell::Integer(number)) => values.push(number),
                _ => unreachable!("cells are of the kinds of their columns"),
            }
        }
        self.rows += 1;
        if self.rows == ROWS_PER_GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.out.next_row_group()?;
        for values in &mut self.columns {
            let mut column = group.next_column()?.context("a column for each of the schema")?;
            match values {
                ColumnValues::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(values, None, None)?;
                    values.clear();
                }
                ColumnValues::Number(values) => {
                    column.typed::<DoubleType>().write_batch(values, None, None)?;
                    values.clear();
                }
                ColumnValues::Integer(values) => {
                    column.typed::<Int64Type>().write_batch(values, None, None)?;
                    values.clear();
                }
            }
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}
