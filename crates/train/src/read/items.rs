//! Items from a file: titles, tags, years.

use super::args::ItemColumnArgs;
use super::columns::{Format, ITEM, ITEM_OF_ITEMS, TAGS, TITLE, YEAR, list, normalise};
use super::fields::{parse_id, whole_number};
use super::source::files_of;
use super::table::{BadRows, Table};
use super::tags::{TagCells, TagSeparator};
use crate::error::TrainError;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is known of one item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemMetadata {
    /// The title; empty when there is none.
    pub title: String,
    /// Genres and tags in the file's order, each once.
    pub tags: Vec<String>,
    /// The year, from its column or from a title such as "Toy Story (1995)".
    pub year: Option<f64>,
}

/// An items file in memory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ItemsFile {
    /// The items file.
    pub path: PathBuf,
    /// Items by id; of several rows of one id, the tags of all and the last title and year.
    #[serde(skip)]
    pub items: HashMap<String, ItemMetadata>,
    /// Bad rows that were skipped; 0 unless skipping was asked for.
    pub bad_rows: u64,
    /// The first few of them, with place and reason.
    pub first_bad_rows: Vec<String>,
    /// What was assumed, in sentences.
    pub notes: Vec<String>,
}

/// The genres behind the 19 flags that end a row of MovieLens 100K's `u.item`, in their order.
const U_ITEM_GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];
/// Columns of `u.item`: id, title, two release dates, a link, and the flags.
const U_ITEM_COLUMNS: usize = 5 + U_ITEM_GENRES.len();
/// What MovieLens writes where there are no genres.
const NO_GENRES: &str = "(no genres listed)";
/// Longest title and longest tag that are kept, in bytes; more is a description, and every answer
/// would carry it.
const MAX_TEXT_BYTES: usize = 1_024;
/// Most tags of one item that are kept.
const MAX_TAGS: usize = 256;

/// Where the parts of an item stand.
struct ItemColumns {
    header: bool,
    id: usize,
    title: Option<usize>,
    year: Option<usize>,
    /// Columns of tags, and what separates the tags in each; none where their cells tell.
    tags: Vec<(usize, Option<TagSeparator>)>,
    genre_flags: bool,
}

/// Reads an items file: MovieLens' movies.csv, movies.dat and u.item, RecBole's .item, and anything
/// alike, text or Parquet.
///
/// What separates tags is found in the cells, those of a RecBole `:token_seq` column are split at spaces. Text that isn't UTF-8 is
/// taken as Latin-1, as older MovieLens files are. Of a directory, all files are read.
///
/// # Errors
/// The first bad row with its place, unless `skip_bad_rows`; an empty file; no column for the id.
pub fn read_items(
    path: &Path,
    columns: &ItemColumnArgs,
    skip_bad_rows: bool,
) -> Result<ItemsFile, TrainError> {
    let mut reading = Reading { bad: BadRows::new(skip_bad_rows), ..Reading::default() };
    for file in files_of(path)? {
        reading.read(&file, columns)?;
    }
    reading.finish(path)
}

/// Items while they are read.
#[derive(Default)]
struct Reading {
    items: HashMap<String, ItemMetadata>,
    /// Cells of tags by item, until it is known what separates the tags.
    tags: TagCells,
    bad: BadRows,
    /// Texts that are not UTF-8.
    latin: u64,
    /// Rows of items that were there before.
    repeated: u64,
    notes: Vec<String>,
}

impl Reading {
    /// Reads one file.
    fn read(&mut self, path: &Path, args: &ItemColumnArgs) -> Result<(), TrainError> {
        let table = match Table::open(path, args.items_format) {
            // One part of several may be empty; whether all are is seen in the end.
            Err(TrainError::Empty { .. }) => return Ok(()),
            opened => opened?,
        };
        let layout = find_layout(&table, args, &mut self.notes)?;
        let mut wanted = vec![layout.id];
        wanted.extend(layout.title.iter().chain(&layout.year));
        wanted.extend(layout.tags.iter().map(|(column, _)| column));
        let Self { items, tags, bad, latin, repeated, .. } = self;
        table.visit(layout.header, &wanted, bad, |record| {
            let id = parse_id("item", layout.id, &record[layout.id])?;
            let title = layout.title.map(|column| cut(text(&record[column], latin)));
            let year = layout.year.and_then(|column| year_in(&text(&record[column], latin)));
            let year = year.or_else(|| year_of_title(title.as_deref().unwrap_or_default()));
            *repeated += u64::from(items.contains_key(id));
            let item = items.entry(id.to_owned()).or_default();
            if let Some(title) = title.filter(|title| !title.is_empty()) {
                item.title = title;
            }
            item.year = year.or(item.year);
            for &(column, separator) in &layout.tags {
                tags.add(id, column, separator, text(&record[column], latin));
            }
            if layout.genre_flags {
                for (n, genre) in U_ITEM_GENRES.iter().enumerate() {
                    if &record[5 + n] == b"1" {
                        push_tag(&mut item.tags, genre);
                    }
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The items, and what was come upon.
    fn finish(mut self, path: &Path) -> Result<ItemsFile, TrainError> {
        if self.items.is_empty() && self.bad.count == 0 {
            return Err(TrainError::Empty { path: path.into() });
        }
        if self.latin > 0 {
            self.notes.push(format!(
                "{}: {} texts are not UTF-8 and were taken as Latin-1",
                path.display(),
                self.latin
            ));
        }
        if self.repeated > 0 {
            self.notes.push(format!(
                "{}: {} rows are of items that have a row before: they have the tags of all their rows, and the last title",
                path.display(),
                self.repeated
            ));
        }
        let items = &mut self.items;
        let separators = self.tags.split(|id, tag| {
            if let Some(item) = items.get_mut(id) {
                push_tag(&mut item.tags, tag);
            }
        });
        for separator in separators {
            self.notes.push(format!("{}: tags are split at {separator}", path.display()));
        }
        if self.items.keys().all(|id| whole_number(id).is_some()) {
            let plain = |id: String| whole_number(&id).unwrap_or(&id).to_owned();
            self.items = self.items.into_iter().map(|(id, item)| (plain(id), item)).collect();
            self.notes.push(format!(
                "{}: the ids of the items are whole numbers with .0, and are read without it",
                path.display()
            ));
        }
        Ok(ItemsFile {
            path: path.into(),
            items: self.items,
            bad_rows: self.bad.count,
            first_bad_rows: self.bad.first,
            notes: self.notes,
        })
    }
}

fn find_layout(
    table: &Table,
    args: &ItemColumnArgs,
    notes: &mut Vec<String>,
) -> Result<ItemColumns, TrainError> {
    let (path, first) = (&table.path, table.first.as_slice());
    let id = ITEM.find(first).or_else(|| ITEM_OF_ITEMS.find(first));
    let flags = [&args.items_id_column, &args.title_column, &args.tags_column, &args.year_column];
    let named =
        flags.iter().any(|flag| flag.as_ref().is_some_and(|flag| flag.parse::<usize>().is_err()));
    // A title that happens to be "Movie" in a headerless file must not make a header of its row.
    let header = table.has_own_header()
        || named
        || id.is_some_and(|column| {
            column == 0 || TITLE.find(first).is_some() || !TAGS.find_all(first).is_empty()
        });
    let cells = header.then_some(first);
    let separator = |column: usize| match (first.get(column), args.tag_separator) {
        (_, Some(given)) => Some(TagSeparator::Character(given)),
        (Some(name), None) if header && name.trim().ends_with(":token_seq") => {
            Some(TagSeparator::Character(' '))
        }
        _ => None,
    };
    if !header && table.format == Format::Pipe && first.len() == U_ITEM_COLUMNS {
        notes.push(format!("{}: no header: taken as MovieLens' u.item", path.display()));
        return Ok(ItemColumns {
            header,
            id: 0,
            title: Some(1),
            year: Some(2),
            tags: Vec::new(),
            genre_flags: true,
        });
    }
    let flag = |role: &super::columns::ColumnRole, flag: &Option<String>| match flag {
        Some(flag) => role.flagged(path, flag, cells, first.len()).map(Some),
        None => Ok(cells.and_then(|cells| role.find(cells))),
    };
    let mut title = flag(&TITLE, &args.title_column)?;
    let year = flag(&YEAR, &args.year_column)?;
    let mut tags = match &args.tags_column {
        Some(given) => {
            let columns =
                given.split(',').map(|one| TAGS.flagged(path, one.trim(), cells, first.len()));
            columns.collect::<Result<Vec<_>, _>>()?
        }
        None => cells.map(|cells| TAGS.find_all(cells)).unwrap_or_default(),
    };
    let id = match &args.items_id_column {
        Some(given) => Some(ITEM_OF_ITEMS.flagged(path, given, cells, first.len())?),
        None if header => id,
        None => Some(0),
    };
    let Some(id) = id else {
        let problem = format!(
            "no column for the item's id: name it with --items-id-column; the columns are {}",
            list(first)
        );
        return Err(TrainError::columns(path, problem));
    };
    if !header {
        notes.push(format!(
            "{}: no header: the columns are taken as id, title, tags",
            path.display()
        ));
        title = title.or((first.len() > 1).then_some(1));
        if tags.is_empty() && first.len() > 2 {
            tags.push(2);
        }
    }
    if header && title.is_none() {
        // RecBole calls a film's class a token_seq like its title; only the role tells them apart.
        let unknown = first.iter().filter(|name| !normalise(name).is_empty()).count();
        notes.push(format!(
            "{}: no column for titles among {unknown}: see --title-column",
            path.display()
        ));
    }
    tags.retain(|&column| column != id && Some(column) != title);
    let tags = tags.into_iter().map(|column| (column, separator(column))).collect();
    Ok(ItemColumns {
        header: header && !table.has_own_header(),
        id,
        title,
        year,
        tags,
        genre_flags: false,
    })
}

/// UTF-8, or else Latin-1, whose bytes are code points.
fn text(field: &[u8], latin: &mut u64) -> String {
    match std::str::from_utf8(field) {
        Ok(text) => text.trim().to_string(),
        Err(_) => {
            *latin += 1;
            field.iter().map(|&byte| char::from(byte)).collect::<String>().trim().to_string()
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
    }
    text
}

fn push_tag(tags: &mut Vec<String>, tag: &str) {
    let tag = tag.trim();
    if !tag.is_empty()
        && tag != NO_GENRES
        && tag.len() <= MAX_TEXT_BYTES
        && tags.len() < MAX_TAGS
        && !tags.iter().any(|known| known == tag)
    {
        tags.push(tag.to_string());
    }
}

/// The year at the end of "Toy Story (1995)".
fn year_of_title(title: &str) -> Option<f64> {
    let year = title.trim_end().strip_suffix(')')?;
    let (_, year) = year.rsplit_once('(')?;
    // "(2006–2007)" and "(2006-)": a series is of the year it began.
    let first = year.get(..4)?;
    let rest = year[4..].chars().next().is_none_or(|c| !c.is_alphanumeric());
    plausible_year(first).filter(|_| rest)
}

/// The first four digits in a row of a cell such as "1995", "1995.0", "1995-11-22" or "01-Jan-1995".
fn year_in(cell: &str) -> Option<f64> {
    cell.split(|c: char| !c.is_ascii_digit()).find_map(plausible_year)
}

fn plausible_year(digits: &str) -> Option<f64> {
    let fits = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_found_in_titles_and_cells() {
        for (title, year) in [
            ("Toy Story (1995)", Some(1995.0)),
            ("Shogun (1980) ", Some(1980.0)),
            ("Lost (2004–2010)", Some(2004.0)),
            ("Up (2009-)", Some(2009.0)),
            ("Blade Runner 2049", None),
            ("Who? (abcd)", None),
            ("(12345)", None),
            ("()", None),
            ("é)", None),
        ] {
            assert_eq!(year_of_title(title), year, "{title}");
        }
        for (cell, year) in [
            ("1995", Some(1995.0)),
            ("01-Jan-1995", Some(1995.0)),
            ("1995-11-22", Some(1995.0)),
            ("", None),
            ("95", None),
        ] {
            assert_eq!(year_in(cell), year, "{cell}");
        }
    }

    #[test]
    fn tags_are_trimmed_and_unique() {
        let mut tags = Vec::new();
        for tag in "pixar| fun|pixar||(no genres listed)".split('|') {
            push_tag(&mut tags, tag);
        }
        assert_eq!(tags, ["pixar", "fun"]);
    }
}
