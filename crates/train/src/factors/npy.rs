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
//! Only a two-dimensional array of little-endian float32 in C order is read, and float64, which is
//! rounded. The shape must match the length of the file before anything is allocated for it. The numbers
//! are read block by block into their place, so that they are in memory once. They are read and not
//! mapped, since another process may change the file meanwhile.

use crate::error::TrainError;
use marquee_bundle::open_input;
use marquee_core::bounds::MAX_RANK;
use std::io::Read;
use std::path::Path;

/// How every `.npy` begins.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is looked at; NumPy's own limit on headers of untrusted files.
const MAX_HEADER_BYTES: usize = 10_000;
/// Bytes of numbers that are read at a time, of either width: enough that the calls don't count, and little
/// beside the numbers.
const PIECE_BYTES: usize = 64 << 10;

/// Reads rows × rank numbers: (rows, rank, numbers).
pub(super) fn read(path: &Path) -> Result<(usize, usize, Vec<f32>), TrainError> {
    let wrong = |problem: String| TrainError::format(path, problem);
    let mut file = open_input(path).map_err(TrainError::io(path))?;
    let length = file.metadata().map_err(TrainError::io(path))?.len();
    let mut start = [0u8; 12];
    let truncated = || wrong("the header is cut short: save the array anew with numpy.save".into());
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
        version => return Err(wrong(format!(".npy version {version} is not known: 1 to 3 are"))),
    };
    if header_length > MAX_HEADER_BYTES {
        return Err(wrong(format!(
            "the header has {header_length} bytes: at most {MAX_HEADER_BYTES} are allowed"
        )));
    }
    let mut header = vec![0u8; header_length];
    file.read_exact(&mut header).map_err(|_| truncated())?;
    let header = String::from_utf8_lossy(&header);
    let header =
        Header::parse(&header).map_err(|problem| wrong(format!("the header {problem}")))?;
    let width = match header.descr {
        "<f4" => 4u64,
        "<f8" => 8,
        other => {
            return Err(wrong(format!(
                "the numbers are of type {other:?}: save little-endian float32, as numpy.save(file, a.astype('<f4')) does"
            )));
        }
    };
    if header.fortran_order {
        let problem = "the array is in Fortran order: save numpy.ascontiguousarray(a)";
        return Err(wrong(problem.into()));
    }
    let [rows, rank] = header.shape[..] else {
        let problem =
            format!("the array has {} dimensions: factors are rows × rank", header.shape.len());
        return Err(wrong(problem));
    };
    // Before the product: one that is 0 says nothing of the other number.
    if !(1..=MAX_RANK as u64).contains(&rank) {
        let problem = format!("vectors have {rank} components: 1 to {MAX_RANK} are allowed");
        return Err(wrong(problem));
    }
    let begin = begin + header_length as u64;
    let bytes = rows.checked_mul(rank).and_then(|n| n.checked_mul(width));
    if bytes.and_then(|bytes| bytes.checked_add(begin)) != Some(length) {
        return Err(wrong(format!(
            "the header says {rows} × {rank} numbers of {width} bytes, and {} bytes follow it: save the array anew",
            length.saturating_sub(begin)
        )));
    }
    let data = read_numbers(&mut file, rows * rank, width).map_err(TrainError::io(path))?;
    // Fits: the numbers are in memory.
    Ok((rows as usize, rank as usize, data))
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
