//! NumPy's `.npy`, as much of it as factors need.
//!
//! ```text
//! bytes      what
//! 6          \x93NUMPY
//! 2          version, 1 to 3 and 0
//! 2 or 4     length of the header, little-endian: 2 bytes in version 1, 4 in 2 and 3
//! that       a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (rows, rank), }
//! the rest   rows × rank numbers, row after row
//! ```
//!
//! Of factors only a two-dimensional array of little-endian float32 in C order is read, and float64, which is
//! rounded; of ids one-dimensional arrays of whole numbers and of text. The shape must match the length of the file before anything is allocated for it. The numbers
//! are read block by block into their place, so that they are in memory once. They are read and not
//! mapped, since another process may change the file meanwhile.

use crate::error::TrainError;
use marquee_bundle::open_input;
use marquee_core::bounds::{MAX_ID_BYTES, MAX_RANK};
use std::io::{BufReader, Read};
use std::path::Path;

/// How every `.npy` begins.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is looked at; NumPy's own limit on headers of untrusted files.
const MAX_HEADER_BYTES: usize = 10_000;
/// Characters of the longest id of an array: NumPy gives all entries the width of the longest one.
const MAX_ID_CHARACTERS: u64 = MAX_ID_BYTES as u64;
/// Bytes of numbers that are read at a time, of either width: enough that the calls don't count, and little
/// beside the numbers.
const PIECE_BYTES: usize = 64 << 10;

/// Whether a file begins as `.npy` files do.
pub(super) fn has_magic(path: &Path) -> Result<bool, TrainError> {
    let mut magic = Vec::new();
    let file = open_input(path).map_err(TrainError::io(path))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(TrainError::io(path))?;
    Ok(magic == MAGIC)
}

/// Reads rows × rank numbers: (rows, rank, numbers).
pub(super) fn read(path: &Path) -> Result<(usize, usize, Vec<f32>), TrainError> {
    let wrong = |problem: String| TrainError::format(path, problem);
    let mut array = Array::open(path)?;
    let width = match array.descr.as_str() {
        "<f4" => 4u64,
        "<f8" => 8,
        other => {
            return Err(wrong(format!(
                "the numbers are of type {other:?}: save little-endian float32, as numpy.save(file, a.astype('<f4')) does"
            )));
        }
    };
    let [rows, rank] = array.shape[..] else {
        let problem =
            format!("the array has {} dimensions: factors are rows × rank", array.shape.len());
        return Err(wrong(problem));
    };
    // Before the product: one that is 0 says nothing of the other number.
    if !(1..=MAX_RANK as u64).contains(&rank) {
        let problem = format!("vectors have {rank} components: 1 to {MAX_RANK} are allowed");
        return Err(wrong(problem));
    }
    array.check_length(path, rows.checked_mul(rank), width)?;
    let data = read_numbers(&mut array.file, rows * rank, width).map_err(TrainError::io(path))?;
    // Fits: the numbers are in memory.
    Ok((rows as usize, rank as usize, data))
}

/// Reads the ids of a one-dimensional array of whole numbers, or of text as NumPy has it: characters of four bytes (`<U`) or
/// bytes (`|S`), with zeros behind shorter ones.
pub(super) fn read_ids(path: &Path) -> Result<Vec<String>, TrainError> {
    let wrong = |problem: String| TrainError::format(path, problem);
    let mut array = Array::open(path)?;
    let [rows] = array.shape[..] else {
        let problem = format!("the array has {} dimensions: ids have one", array.shape.len());
        return Err(wrong(problem));
    };
    let Some((kind, width)) = IdKind::of(&array.descr) else {
        return Err(wrong(format!(
            "the ids are of type {:?}: save whole numbers or text, as numpy.save(file, a.astype(str)) does",
            array.descr
        )));
    };
    array.check_length(path, Some(rows), width)?;
    let mut ids = Vec::new();
    // Checked against the length of the file.
    let mut cell = vec![0u8; width as usize];
    let mut file = BufReader::new(&mut array.file);
    for row in 0..rows {
        file.read_exact(&mut cell).map_err(TrainError::io(path))?;
        let id = kind.id(&cell).ok_or_else(|| wrong(format!("entry {row} is not Unicode")))?;
        ids.push(id);
    }
    Ok(ids)
}

/// How an array holds ids.
#[derive(Clone, Copy)]
enum IdKind {
    Signed,
    Unsigned,
    /// Characters of four bytes each, little-endian (UTF-32).
    Characters,
    /// Text of single bytes, as UTF-8 has it.
    Bytes,
}

impl IdKind {
    /// The kind and the bytes of an entry, by NumPy's name of the type.
    fn of(descr: &str) -> Option<(Self, u64)> {
        let (kind, size) = descr.split_at_checked(2)?;
        let size: u64 = size.parse().ok()?;
        let (kind, width) = match (kind, size) {
            ("<i", 1 | 2 | 4 | 8) | ("|i", 1) => (Self::Signed, size),
            ("<u", 1 | 2 | 4 | 8) | ("|u", 1) => (Self::Unsigned, size),
            ("<U", 1..=MAX_ID_CHARACTERS) => (Self::Characters, 4 * size),
            ("|S", 1..=MAX_ID_CHARACTERS) => (Self::Bytes, size),
            _ => return None,
        };
        Some((kind, width))
    }

    /// The id in a cell; none if it is not Unicode.
    fn id(self, cell: &[u8]) -> Option<String> {
        let mut wide = [0u8; 8];
        match self {
            Self::Signed => {
                let is_negative = cell.last().is_some_and(|byte| *byte >= 0x80);
                wide.fill(if is_negative { 0xff } else { 0 });
                wide[..cell.len()].copy_from_slice(cell);
                Some(i64::from_le_bytes(wide).to_string())
            }
            Self::Unsigned => {
                wide[..cell.len()].copy_from_slice(cell);
                Some(u64::from_le_bytes(wide).to_string())
            }
            Self::Characters => {
                let characters = cell.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four));
                let text: Option<String> = characters.map(char::from_u32).collect();
                Some(text?.trim_end_matches('\0').to_owned())
            }
            Self::Bytes => {
                let text = std::str::from_utf8(cell).ok()?;
                Some(text.trim_end_matches('\0').to_owned())
            }
        }
    }
}

/// An array, of which the header was read.
struct Array {
    file: fs_err::File,
    /// NumPy's name of the type.
    descr: String,
    shape: Vec<u64>,
    /// Bytes before the numbers.
    begin: u64,
    /// Bytes of the file.
    length: u64,
}

impl Array {
    fn open(path: &Path) -> Result<Self, TrainError> {
        let wrong = |problem: String| TrainError::format(path, problem);
        let mut file = open_input(path).map_err(TrainError::io(path))?;
        let length = file.metadata().map_err(TrainError::io(path))?.len();
        let mut start = [0u8; 12];
        let truncated =
            || wrong("the header is cut short: save the array anew with numpy.save".into());
        file.read_exact(&mut start[..10]).map_err(|_| truncated())?;
        if &start[..6] != MAGIC {
            return Err(wrong("not a .npy file".into()));
        }
        let (header_length, begin) = match start[6] {
            1 => (usize::from(u16::from_le_bytes([start[8], start[9]])), 10u64),
            2 | 3 => {
                file.read_exact(&mut start[10..]).map_err(|_| truncated())?;
                (u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize, 12)
            }
            version => {
                return Err(wrong(format!(".npy version {version} is not known: 1 to 3 are")));
            }
        };
        if header_length > MAX_HEADER_BYTES {
            return Err(wrong(format!(
                "the header has {header_length} bytes: at most {MAX_HEADER_BYTES} are allowed"
            )));
        }
        let mut header = vec![0u8; header_length];
        file.read_exact(&mut header).map_err(|_| truncated())?;
        let header = String::from_utf8_lossy(&header);
        let Header { descr, fortran_order, shape } =
            Header::parse(&header).map_err(|problem| wrong(format!("the header {problem}")))?;
        if fortran_order && shape.len() > 1 {
            let problem = "the array is in Fortran order: save numpy.ascontiguousarray(a)";
            return Err(wrong(problem.into()));
        }
        let descr = descr.to_owned();
        Ok(Self { file, descr, shape, begin: begin + header_length as u64, length })
    }

    /// Refuses a header that says other than the length of the file.
    fn check_length(&self, path: &Path, count: Option<u64>, width: u64) -> Result<(), TrainError> {
        let bytes = count.and_then(|count| count.checked_mul(width));
        if bytes.and_then(|bytes| bytes.checked_add(self.begin)) == Some(self.length) {
            return Ok(());
        }
        let shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let problem = format!(
            "the header says {} numbers of {width} bytes, and {} bytes follow it: save the array anew",
            shape.join(" × "),
            self.length.saturating_sub(self.begin)
        );
        Err(TrainError::format(path, problem))
    }
}

/// Reads so many numbers of four or eight bytes.
fn read_numbers(file: &mut impl Read, count: u64, width: u64) -> std::io::Result<Vec<f32>> {
    let beyond = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    let count = usize::try_from(count).map_err(|_| beyond())?;
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count).map_err(|_| beyond())?;
    let mut block = vec![0u8; PIECE_BYTES];
    while numbers.len() < count {
        let here = (PIECE_BYTES / width as usize).min(count - numbers.len());
        let bytes = &mut block[..here * width as usize];
        file.read_exact(bytes)?;
        if width == 4 {
            numbers.extend(bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)));
        } else {
            let wide = bytes.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number));
            numbers.extend(wide.map(|number| number as f32));
        }
    }
    Ok(numbers)
}

struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl<'a> Header<'a> {
    /// The three entries of the dict, each once, in any order.
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut rest = text.trim();
        rest =
            rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).ok_or("is not a dict")?.trim();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or("has a key that isn't quoted")?;
            let value =
                after.trim_start().strip_prefix(':').ok_or("lacks a ':' after a key")?.trim_start();
            rest = match key {
                "descr" => {
                    let (text, after) =
                        quoted(value).ok_or("has a structured type: save a plain float32 array")?;
                    descr = Some(text);
                    after
                }
                "fortran_order" => {
                    let order = [("False", false), ("True", true)];
                    let found = order
                        .iter()
                        .find_map(|(word, order)| Some((value.strip_prefix(word)?, *order)));
                    let (after, order) =
                        found.ok_or("has a fortran_order that is neither True nor False")?;
                    fortran_order = Some(order);
                    after
                }
                "shape" => {
                    let inside = value.strip_prefix('(').ok_or("has a shape that isn't a tuple")?;
                    let (inside, after) =
                        inside.split_once(')').ok_or("has a shape that isn't a tuple")?;
                    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
                    let sizes: Result<Vec<u64>, _> = sizes.map(str::parse).collect();
                    shape = Some(sizes.map_err(|_| {
                        format!("has the shape ({inside}), which is no tuple of sizes")
                    })?);
                    after
                }
                other => return Err(format!("has an unknown key {other:?}")),
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Ok(Self {
            descr: descr.ok_or("lacks 'descr'")?,
            fortran_order: fortran_order.ok_or("lacks 'fortran_order'")?,
            shape: shape.ok_or("lacks 'shape'")?,
        })
    }
}

/// A quoted text without escapes, and what comes after it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}
