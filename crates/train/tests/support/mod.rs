//! What the tests of this crate share: files of every form, and generated interactions.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A directory that goes when the test ends.
pub fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A file of these bytes in the directory.
pub fn file(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a writable directory");
    path
}

/// The directory of a real data set, if it is there.
pub fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.is_dir() {
        eprintln!("{} is not there: its figures are not checked", path.display());
        return None;
    }
    Some(path)
}

/// A column of a Parquet file.
pub enum Column {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    OptionalInt64(Vec<Option<i64>>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<&'static str>),
    FloatLists(Vec<Vec<f32>>),
    DoubleLists(Vec<Vec<f64>>),
    TextLists(Vec<Vec<&'static str>>),
    Uuid(Vec<[u8; 16]>),
    Fixed(Vec<[u8; 4]>),
    Micros(Vec<i64>),
    Days(Vec<i32>),
}

/// Writes a Parquet file with these columns, in row groups that end after these rows.
pub fn parquet(path: &Path, columns: &[(&str, Column)], ends: &[usize]) {
    let fields = columns.iter().map(|(name, column)| match column {
        Column::Int32(_) => format!("required int32 {name};"),
        Column::Int64(_) => format!("required int64 {name};"),
        Column::OptionalInt64(_) => format!("optional int64 {name};"),
        Column::Float(_) => format!("required float {name};"),
        Column::Double(_) => format!("required double {name};"),
        Column::Text(_) => format!("required binary {name} (UTF8);"),
        Column::TextLists(_) => {
            format!("optional group {name} (LIST) {{ repeated group list {{ optional binary element (UTF8); }} }}")
        }
        Column::Uuid(_) => format!("required fixed_len_byte_array(16) {name} (UUID);"),
        Column::Fixed(_) => format!("required fixed_len_byte_array(4) {name};"),
        Column::Micros(_) => format!("required int64 {name} (TIMESTAMP(MICROS,true));"),
        Column::Days(_) => format!("required int32 {name} (DATE);"),
        Column::FloatLists(_) => {
            format!("optional group {name} (LIST) {{ repeated group list {{ required float element; }} }}")
        }
        Column::DoubleLists(_) => {
            format!("optional group {name} (LIST) {{ repeated group list {{ optional double element; }} }}")
        }
    });
    let schema = format!("message schema {{ {} }}", fields.collect::<Vec<_>>().join(" "));
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let out = std::fs::File::create(path).expect("a writable directory");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(out, schema, properties).expect("a writer");
    let mut start = 0;
    for &end in ends {
        let mut group = writer.next_row_group().expect("a row group");
        for (_, column) in columns {
            let mut out = group.next_column().expect("no error").expect("a column");
            write_column(out.untyped(), column, start..end);
            out.close().expect("closed");
        }
        group.close().expect("closed");
        start = end;
    }
    writer.close().expect("closed");
}

fn write_column(out: &mut ColumnWriter<'_>, column: &Column, rows: std::ops::Range<usize>) {
    let written = match (out, column) {
        (ColumnWriter::Int32ColumnWriter(out), Column::Int32(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::Int64ColumnWriter(out), Column::Int64(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::Int64ColumnWriter(out), Column::OptionalInt64(v)) => {
            let defined: Vec<i16> =
                v[rows.clone()].iter().map(|v| i16::from(v.is_some())).collect();
            let values: Vec<i64> = v[rows].iter().flatten().copied().collect();
            out.write_batch(&values, Some(&defined), None)
        }
        (ColumnWriter::FloatColumnWriter(out), Column::Float(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::DoubleColumnWriter(out), Column::Double(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::ByteArrayColumnWriter(out), Column::Text(v)) => {
            let values: Vec<ByteArray> =
                v[rows].iter().map(|&text| ByteArray::from(text)).collect();
            out.write_batch(&values, None, None)
        }
        (ColumnWriter::ByteArrayColumnWriter(out), Column::TextLists(v)) => {
            let (defined, repeated) = levels(v[rows.clone()].iter().map(Vec::len), 3);
            let values: Vec<ByteArray> =
                v[rows].concat().into_iter().map(ByteArray::from).collect();
            out.write_batch(&values, Some(&defined), Some(&repeated))
        }
        (ColumnWriter::FixedLenByteArrayColumnWriter(out), Column::Uuid(v)) => {
            out.write_batch(&fixed(&v[rows]), None, None)
        }
        (ColumnWriter::FixedLenByteArrayColumnWriter(out), Column::Fixed(v)) => {
            out.write_batch(&fixed(&v[rows]), None, None)
        }
        (ColumnWriter::Int64ColumnWriter(out), Column::Micros(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::Int32ColumnWriter(out), Column::Days(v)) => {
            out.write_batch(&v[rows], None, None)
        }
        (ColumnWriter::FloatColumnWriter(out), Column::FloatLists(v)) => {
            let (defined, repeated) = levels(v[rows.clone()].iter().map(Vec::len), 2);
            out.write_batch(&v[rows].concat(), Some(&defined), Some(&repeated))
        }
        (ColumnWriter::DoubleColumnWriter(out), Column::DoubleLists(v)) => {
            let (defined, repeated) = levels(v[rows.clone()].iter().map(Vec::len), 3);
            out.write_batch(&v[rows].concat(), Some(&defined), Some(&repeated))
        }
        _ => panic!("the column is of another type than its writer"),
    };
    written.expect("written");
}

fn fixed<const N: usize>(values: &[[u8; N]]) -> Vec<FixedLenByteArray> {
    values.iter().map(|value| ByteArray::from(value.to_vec()).into()).collect()
}

/// Definition and repetition levels of lists of these lengths.
fn levels(lengths: impl Iterator<Item = usize>, full: i16) -> (Vec<i16>, Vec<i16>) {
    let (mut defined, mut repeated) = (Vec::new(), Vec::new());
    for length in lengths {
        if length == 0 {
            defined.push(1);
            repeated.push(0);
        }
        for n in 0..length {
            defined.push(full);
            repeated.push(i16::from(n > 0));
        }
    }
    (defined, repeated)
}

/// A `.npy` of version 1, as numpy.save writes it.
pub fn npy(descr: &str, fortran_order: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// Numbers as a `.npy` holds them.
pub fn le_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Interactions of two kinds of users with two kinds of items, as CSV: users like items of their own
/// kind, which a model can be trained to rank and popularity can't. Every third row has a value below 4.
pub fn preferences(users: usize, items: usize) -> String {
    let mut out = String::from("user,item,rating,timestamp\n");
    let mut state = 1u64;
    let mut random = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for user in 0..users {
        for n in 0..20 {
            let mut item = random(items);
            if item % 2 != user % 2 && random(10) > 0 {
                item = (item + 1) % items;
            }
            let rating = if n % 3 == 0 { 3 } else { 4 + n % 2 };
            out.push_str(&format!("u{user},{item},{rating},{}\n", 1_000_000 + n));
        }
    }
    out
}
