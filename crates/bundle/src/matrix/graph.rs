//! The frozen graph: a hierarchical navigable small world (Malkov and Yashunin 2016) as flat arrays.
//!
//! ```text
//! section   elements            what
//! meta      u64 × 9             rows; layers; links of a row on layer 0; links of a row above; extra
//!                               links of a row; entry; widths of a search for 10, 100, 1,000 rows
//! links     u32 × rows·width    layer 0: the rows that each row leads to, best first, then NONE
//! extra     u32 × rows·width    … and more rows, which no path of the links above led to, then NONE
//! upstart   u64 × layers        where each upper layer begins in the next three, and where they end
//! uprows    u32 × members       upper layers: the row that each member is
//! updown    u32 × members       … its place in the layer below (in layer 1: its row)
//! uplinks   u32 × members·width … the places in the same layer that it leads to, then NONE
//! widths    u32 × 3·6           widths of a search: usual, with a filter, with the best excluded; 10 to
//!                               3,000 rows deep. Older files have those of the header only
//! ```
//!
//! A graph over inner products leaves most short rows without links to them. They are never among the
//! best few of all rows, but often among the best of those that a filter allows, or among the best
//! thousand. The *extra* links lead to them; only thorough walks follow those, as they cost time.
//!
//! Layer 0 has all rows; each layer above a few of the one below. `entry` is a place in the topmost
//! layer (its row if there is but one layer). Upper layers number their members by themselves, so
//! descending needs no search for a row. The vectors lie in the matrix's own file. Widths of 0 stand for
//! a recall that no width reached: such searches scan.

use crate::error::{BundleError, FileDefect};
use crate::format::{FileBuilder, FileInfo, FileKind, LoadOptions, Section, SectionFile};
use crate::matrix::tuning::{AT_100, AT_1000, CARES, Care, TUNED_DEPTHS, Widths};
use std::path::Path;

/// Rows of one shard that a graph can hold: a walk keeps one bit of each number for itself.
pub(crate) const MAX_GRAPH_ROWS: usize = i32::MAX as usize;
/// In place of a link that isn't there.
pub(crate) const NONE: u32 = u32::MAX;
/// Layers of a graph: the builder makes at most 16.
pub(crate) const MAX_LAYERS: usize = 16;
/// Links of a row on one layer: the builder's 2 × 128, and those added for reachability.
pub(crate) const MAX_LINKS: usize = 1_024;
/// The widest default search: beyond it an exact scan is the better answer.
pub(crate) const MAX_EF: usize = 10_000;

/// A graph over the rows of one matrix of one shard.
pub struct FrozenGraph {
    shape: GraphShape,
    ef: DefaultWidth,
    widths: Widths,
    links: Section<u32>,
    extra: Section<u32>,
    starts: Section<u64>,
    upper_rows: Section<u32>,
    upper_down: Section<u32>,
    upper_links: Section<u32>,
    bytes: u64,
}

/// The numbers that say how the arrays are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GraphShape {
    /// Rows of the matrix.
    pub(crate) rows: usize,
    /// Where a search begins: a place in the topmost layer.
    pub(crate) entry: u32,
    /// Links of a row on layer 0.
    pub(crate) width: usize,
    /// Links of a member of an upper layer.
    pub(crate) upper_width: usize,
    /// Extra links of a row.
    pub(crate) extra_width: usize,
}

/// The widths of search that were measured to reach the recall asked for at building; 0 where none
/// did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultWidth {
    /// The width of a search for 10 rows.
    pub at_10: u32,
    /// The width of a search for 100 rows.
    pub at_100: u32,
    /// For 1,000 rows, by a thorough walk.
    pub at_1000: u32,
}

impl Widths {
    /// Those of usual searches for 10, 100 and 1,000 rows.
    pub(crate) fn defaults(&self) -> DefaultWidth {
        let usual = self.0[Care::Usual as usize];
        DefaultWidth { at_10: usual[0], at_100: usual[AT_100], at_1000: usual[AT_1000] }
    }
}

impl FrozenGraph {
    /// How many rows it is over.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The widths that searches take unless told otherwise.
    pub fn default_width(&self) -> DefaultWidth {
        self.ef
    }

    /// The width of a search for so many of all rows; none where no width reached the recall.
    pub fn width_for(&self, count: usize) -> Option<usize> {
        self.widths.at(Care::Usual, count)
    }

    /// The widths of all searches.
    pub(crate) fn widths(&self) -> &Widths {
        &self.widths
    }

    /// Places for links of a row on the lowest layer.
    pub fn links(&self) -> usize {
        self.shape.width
    }

    /// How many layers it has, the lowest included.
    pub fn layers(&self) -> usize {
        self.starts.len()
    }

    /// The arrays, for searching.
    #[inline]
    pub(crate) fn view(&self) -> GraphView<'_> {
        GraphView {
            shape: self.shape,
            links: &self.links,
            extra: &self.extra,
            starts: &self.starts,
            upper_rows: &self.upper_rows,
            upper_down: &self.upper_down,
            upper_links: &self.upper_links,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens and checks a graph over `rows` rows.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        rows: usize,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Graph, options)?;
        let [found_rows, found_layers, links, upper_links, extra_links, found_entry, widths @ ..] =
            file.numbers::<9>("meta")?;
        file.check(
            found_rows == rows as u64 && rows > 0,
            "it has another number of rows than its matrix",
        )?;
        file.check(rows <= MAX_GRAPH_ROWS, "it has too many rows")?;
        let layers = file.length("the number of layers", found_layers, MAX_LAYERS)?;
        let width = file.length("the number of links", links, MAX_LINKS)?;
        let upper_width = file.length("the number of upper links", upper_links, MAX_LINKS)?;
        let extra_width = file.length("the number of extra links", extra_links, MAX_LINKS)?;
        let entry = file.length("the entry", found_entry, rows - 1)? as u32;
        file.check(layers > 0 && width > 0 && upper_width > 0, "it has no layer or no links")?;
        for default in widths {
            file.length("the default width", default, MAX_EF)?;
        }
        let [at_10, at_100, at_1000] = widths.map(|default| default as u32);
        let ef = DefaultWidth { at_10, at_100, at_1000 };
        let mut all = Widths::of_three_depths([at_10, at_100, at_1000]);
        if file.has("widths") {
            let found = file.section::<u32>("widths", CARES.len() * TUNED_DEPTHS.len())?;
            for (into, &width) in all.0.iter_mut().flatten().zip(&*found) {
                file.length("a width", width.into(), MAX_EF)?;
                *into = width;
            }
        }
        let upper_rows = file.section_of_any_length::<u32>("uprows")?;
        let members = upper_rows.len();
        let graph = Self {
            shape: GraphShape { rows, entry, width, upper_width, extra_width },
            ef,
            widths: all,
            links: file.section("links", rows * width)?,
            extra: file.section("extra", rows * extra_width)?,
            starts: file.section("upstart", layers)?,
            upper_down: file.section("updown", members)?,
            upper_links: file.section("uplinks", members * upper_width)?,
            upper_rows,
            bytes: file.bytes(),
        };
        file.check_offsets("upstart", &graph.starts, members)?;
        match graph.view().defect() {
            None => Ok(graph),
            Some(defect) => Err(file.wrong(FileDefect::Content(defect))),
        }
    }
}

/// A graph in memory, before it is written.
pub(crate) struct GraphParts {
    pub(crate) shape: GraphShape,
    pub(crate) links: Vec<u32>,
    pub(crate) extra: Vec<u32>,
    pub(crate) starts: Vec<u64>,
    pub(crate) upper_rows: Vec<u32>,
    pub(crate) upper_down: Vec<u32>,
    pub(crate) upper_links: Vec<u32>,
}

impl GraphParts {
    /// The arrays, for searching.
    pub(crate) fn view(&self) -> GraphView<'_> {
        GraphView {
            shape: self.shape,
            links: &self.links,
            extra: &self.extra,
            starts: &self.starts,
            upper_rows: &self.upper_rows,
            upper_down: &self.upper_down,
            upper_links: &self.upper_links,
        }
    }

    /// Writes it, with the widths that were measured for it.
    pub(crate) fn write(
        &self,
        root: &Path,
        path: String,
        widths: &Widths,
    ) -> Result<FileInfo, BundleError> {
        let ef = widths.defaults();
        let widths: Vec<u32> = widths.0.iter().flatten().copied().collect();
        let GraphShape { rows, entry, width, upper_width, extra_width } = self.shape;
        let meta = [
            rows as u64,
            self.starts.len() as u64,
            width as u64,
            upper_width as u64,
            extra_width as u64,
            u64::from(entry),
            u64::from(ef.at_10),
            u64::from(ef.at_100),
            u64::from(ef.at_1000),
        ];
        FileBuilder::new(FileKind::Graph)
            .numbers("meta", &meta)
            .section("links", &self.links)
            .section("extra", &self.extra)
            .section("upstart", &self.starts)
            .section("uprows", &self.upper_rows)
            .section("updown", &self.upper_down)
            .section("uplinks", &self.upper_links)
            .section("widths", &widths)
            .write(root, path)
    }
}

/// The arrays of a graph, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct GraphView<'a> {
    pub(crate) shape: GraphShape,
    links: &'a [u32],
    extra: &'a [u32],
    starts: &'a [u64],
    upper_rows: &'a [u32],
    upper_down: &'a [u32],
    upper_links: &'a [u32],
}

impl<'a> GraphView<'a> {
    /// How many layers it has, the lowest included.
    pub(crate) fn layers(&self) -> usize {
        self.starts.len()
    }

    /// The rows that a row leads to on layer 0; ends at the first [`NONE`].
    #[inline]
    pub(crate) fn links(&self, row: u32) -> &'a [u32] {
        &self.links[row as usize * self.shape.width..][..self.shape.width]
    }

    /// The further rows that a row leads to on layer 0; ends at the first [`NONE`].
    #[inline]
    pub(crate) fn extra(&self, row: u32) -> &'a [u32] {
        &self.extra[row as usize * self.shape.extra_width..][..self.shape.extra_width]
    }

    /// One upper layer, from 1.
    #[inline]
    pub(crate) fn upper(&self, layer: usize) -> UpperLayer<'a> {
        let (start, end) = (self.starts[layer - 1] as usize, self.starts[layer] as usize);
        let width = self.shape.upper_width;
        UpperLayer {
            rows: &self.upper_rows[start..end],
            down: &self.upper_down[start..end],
            links: &self.upper_links[start * width..end * width],
            width,
        }
    }

    /// What in it would lead a search out of its arrays, if anything.
    fn defect(&self) -> Option<&'static str> {
        let within = |numbers: &[u32], bound: usize| numbers.iter().all(|&n| (n as usize) < bound);
        let linked = |links: &[u32], bound: usize| {
            // Both conditions in every turn, so that the loop vectorises.
            links.iter().all(|&link| ((link as usize) < bound) | (link == NONE))
        };
        if !linked(self.links, self.shape.rows) || !linked(self.extra, self.shape.rows) {
            return Some("a link leads to no row");
        }
        if !within(self.upper_rows, self.shape.rows) {
            return Some("an upper layer names no row");
        }
        let mut below = self.shape.rows;
        for layer in 1..self.layers() {
            let upper = self.upper(layer);
            let here = upper.rows.len();
            if here == 0 || !within(upper.down, below) || !linked(upper.links, here) {
                return Some("an upper layer leads out of its bounds");
            }
            below = here;
        }
        ((self.shape.entry as usize) >= below)
            .then_some("its entry is no member of the topmost layer")
    }
}

/// One layer above the lowest.
pub(crate) struct UpperLayer<'a> {
    /// The row that each member is.
    pub(crate) rows: &'a [u32],
    /// Its place in the layer below.
    pub(crate) down: &'a [u32],
    links: &'a [u32],
    width: usize,
}

impl<'a> UpperLayer<'a> {
    /// The places that a member leads to; ends at the first [`NONE`].
    #[inline]
    pub(crate) fn links(&self, place: u32) -> &'a [u32] {
        &self.links[place as usize * self.width..][..self.width]
    }
}
