//! Checking the input of a new bundle: everything that is refused is refused here, by name.

use crate::entities::ids::MAX_TITLE_BYTES;
use crate::entities::labels::{MAX_ATTRIBUTES, MAX_TAG_BYTES};
use crate::error::BundleError;
use crate::input::{BundleInput, CsrInput, DenseInput, SparseShape};
use crate::manifest::read::MAX_MATRICES;
use crate::options::IndexOptions;
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK, MAX_SHARDS};
use marquee_core::id::{check_id, check_name};
use marquee_core::model::recipe::{
    self, Entity, HISTORY_MATRIX, MatrixShape, POPULARITY_MATRIX, RowSpace,
};
use std::collections::{BTreeSet, HashSet};

/// Links of a row that the graph builder takes: its own bound is 256 on the lowest layer.
const M_RANGE: std::ops::RangeInclusive<usize> = 2..=128;
/// Widths of search at building that make sense.
const EF_CONSTRUCTION_RANGE: std::ops::RangeInclusive<usize> = 1..=10_000;

/// Nothing, or why the input is refused.
type Checked = Result<(), BundleError>;

fn refuse<T>(reason: String) -> Result<T, BundleError> {
    Err(BundleError::Input { reason })
}

/// Checks the whole input; the error names what is refused first.
pub(super) fn check(input: &BundleInput) -> Checked {
    check_name("model", &input.model)?;
    if !(1..=MAX_SHARDS).contains(&input.shards) {
        return refuse(format!("shards is {}: 1 to {MAX_SHARDS} are allowed", input.shards));
    }
    check_entities(input)?;
    check_labels(input)?;
    let mut names = BTreeSet::from([POPULARITY_MATRIX, HISTORY_MATRIX]);
    for matrix in &input.dense {
        check_matrix_name(&mut names, &matrix.name)?;
        check_dense(matrix, count_of(input, matrix.entity))?;
    }
    for matrix in &input.sparse {
        check_matrix_name(&mut names, &matrix.name)?;
        let (rows, columns) = match matrix.shape {
            SparseShape::ByUser => (RowSpace::Users, Entity::Item),
            SparseShape::TermsByUser => (RowSpace::Users, Entity::Term),
            SparseShape::Sums { rows, columns } => (rows, columns),
        };
        let row_count = match rows {
            RowSpace::Single => 1,
            RowSpace::Items => count_of(input, Entity::Item),
            RowSpace::Users => count_of(input, Entity::User),
            RowSpace::Terms => count_of(input, Entity::Term),
        };
        check_csr(&matrix.name, &matrix.matrix, row_count, count_of(input, columns))?;
    }
    if names.len() > MAX_MATRICES {
        return refuse(format!("{} matrices: at most {MAX_MATRICES} are allowed", names.len()));
    }
    if let Some(history) = &input.history {
        check_csr(HISTORY_MATRIX, history, input.users.len(), input.items.len())?;
    }
    check_popularity(&input.popularity, input.items.len())?;
    check_recipe(input)
}

/// How many users, items or terms there are.
fn count_of(input: &BundleInput, entity: Entity) -> usize {
    match entity {
        Entity::User => input.users.len(),
        Entity::Item => input.items.len(),
        Entity::Term => input.terms.len(),
    }
}

/// Checks a dense matrix, which must have this many rows.
fn check_dense(matrix: &DenseInput, rows: usize) -> Checked {
    let name = &matrix.name;
    if !(1..=MAX_RANK).contains(&matrix.rank) {
        return refuse(format!(
            "matrix {name:?} has rank {}: 1 to {MAX_RANK} are allowed",
            matrix.rank
        ));
    }
    if matrix.data.len() != rows * matrix.rank {
        return refuse(format!(
            "matrix {name:?} has {} values: {rows} {} × rank {} are {}",
            matrix.data.len(),
            matrix.entity.plural(),
            matrix.rank,
            rows * matrix.rank
        ));
    }
    if let Some(at) = matrix.data.iter().position(|value| !value.is_finite()) {
        let (row, column) = (at / matrix.rank, at % matrix.rank);
        return refuse(format!(
            "matrix {name:?} has {} at row {row}, column {column}: factors are finite numbers",
            matrix.data[at]
        ));
    }
    if let Some(index) = &matrix.index {
        check_index(name, index)?;
    }
    Ok(())
}

/// Checks the popularity of so many items.
fn check_popularity(popularity: &[f32], items: usize) -> Checked {
    if !popularity.is_empty() && popularity.len() != items {
        return refuse(format!("popularity has {} values for {items} items", popularity.len()));
    }
    if let Some(at) = popularity.iter().position(|value| !value.is_finite()) {
        return refuse(format!(
            "popularity[{at}] is {}: it must be a finite number",
            popularity[at]
        ));
    }
    Ok(())
}

fn check_entities(input: &BundleInput) -> Checked {
    for (field, count) in
        [("items", input.items.len()), ("users", input.users.len()), ("terms", input.terms.len())]
    {
        if count > MAX_ORDINALS {
            return refuse(format!("{count} {field}: at most {MAX_ORDINALS} are allowed"));
        }
    }
    if input.items.is_empty() {
        return refuse("there are no items: a bundle needs something to recommend".into());
    }
    let mut seen = HashSet::with_capacity(input.items.len());
    for (at, item) in input.items.iter().enumerate() {
        check_id(&format!("items[{at}].id"), &item.id)?;
        if !seen.insert(item.id.as_str()) {
            return refuse(format!(
                "items[{at}].id {:?} occurs twice: each id must be unique",
                item.id
            ));
        }
    }
    for (field, ids) in [("users", &input.users), ("terms", &input.terms)] {
        seen.clear();
        for (at, id) in ids.iter().enumerate() {
            check_id(&format!("{field}[{at}]"), id)?;
            if !seen.insert(id.as_str()) {
                return refuse(format!(
                    "{field}[{at}] {id:?} occurs twice: each id must be unique"
                ));
            }
        }
    }
    Ok(())
}

fn check_labels(input: &BundleInput) -> Checked {
    let mut attributes = HashSet::new();
    for item in &input.items {
        if item.title.len() > MAX_TITLE_BYTES {
            let length = item.title.len();
            return refuse(format!(
                "the title of item {:?} has {length} bytes: at most {MAX_TITLE_BYTES} are allowed",
                item.id
            ));
        }
        for tag in &item.tags {
            check_label("a tag", &item.id, tag)?;
        }
        for (at, (name, value)) in item.attributes.iter().enumerate() {
            check_label("the name of an attribute", &item.id, name)?;
            if !value.is_finite() {
                return refuse(format!(
                    "attribute {name:?} of item {:?} is {value}: leave it out",
                    item.id
                ));
            }
            if item.attributes[..at].iter().any(|(other, _)| other == name) {
                return refuse(format!("item {:?} has attribute {name:?} twice", item.id));
            }
            attributes.insert(name.as_str());
        }
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return refuse(format!(
            "{} attributes: at most {MAX_ATTRIBUTES} are allowed",
            attributes.len()
        ));
    }
    Ok(())
}

/// Checks the length of a tag or of an attribute's name.
fn check_label(what: &str, id: &str, text: &str) -> Checked {
    if text.is_empty() || text.len() > MAX_TAG_BYTES {
        let length = text.len();
        return refuse(format!(
            "{what} of item {id:?} has {length} bytes: 1 to {MAX_TAG_BYTES} are allowed"
        ));
    }
    Ok(())
}

fn check_matrix_name<'a>(names: &mut BTreeSet<&'a str>, name: &'a str) -> Checked {
    check_name("matrix", name)?;
    let is_taken = !names.insert(name)
        || [Entity::User, Entity::Item, Entity::Term].iter().any(|entity| entity.plural() == name);
    if is_taken {
        return refuse(format!("a matrix may not be called {name:?}: the name is taken"));
    }
    Ok(())
}

fn check_index(name: &str, index: &IndexOptions) -> Checked {
    if !M_RANGE.contains(&index.m) {
        let (low, high) = (M_RANGE.start(), M_RANGE.end());
        return refuse(format!(
            "the index of {name:?} has m {}: {low} to {high} are allowed",
            index.m
        ));
    }
    if !EF_CONSTRUCTION_RANGE.contains(&index.ef_construction) {
        let (low, high) = (EF_CONSTRUCTION_RANGE.start(), EF_CONSTRUCTION_RANGE.end());
        return refuse(format!(
            "the index of {name:?} has ef_construction {}: {low} to {high} are allowed",
            index.ef_construction
        ));
    }
    if !(0.0..=1.0).contains(&index.target_recall) {
        return refuse(format!(
            "the index of {name:?} has target_recall {}: 0 to 1 are allowed",
            index.target_recall
        ));
    }
    Ok(())
}

fn check_csr(name: &str, matrix: &CsrInput, rows: usize, columns: usize) -> Checked {
    let CsrInput { offsets, columns: entries, values } = matrix;
    if entries.len() != values.len() {
        return refuse(format!(
            "matrix {name:?} has {} columns for {} values",
            entries.len(),
            values.len()
        ));
    }
    let is_sound = offsets.len() == rows + 1
        && offsets[0] == 0
        && offsets[rows] == entries.len()
        && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if !is_sound {
        return refuse(format!(
            "the offsets of matrix {name:?} must be {rows} + 1 numbers, from 0 to {}, never falling",
            entries.len()
        ));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return refuse(format!(
            "matrix {name:?} has the value {} at entry {at}: it must be finite",
            values[at]
        ));
    }
    let mut last_row_of = vec![usize::MAX; columns];
    for row in 0..rows {
        for &column in &entries[offsets[row]..offsets[row + 1]] {
            match last_row_of.get_mut(column as usize) {
                None => {
                    return refuse(format!(
                        "matrix {name:?} has column {column} in row {row}: there are {columns} columns"
                    ));
                }
                Some(last) if *last == row => {
                    return refuse(format!(
                        "matrix {name:?} has column {column} twice in row {row}: add the values up, or keep one"
                    ));
                }
                Some(last) => *last = row,
            }
        }
    }
    Ok(())
}

fn check_recipe(input: &BundleInput) -> Checked {
    recipe::check_recipe(&input.recipe, |name| shape_of(input, name))
        .or_else(|error| refuse(error.to_string()))
}

/// What the recipe needs to know of the matrix of this name, with the rank of a dense one.
fn shape_of(input: &BundleInput, name: &str) -> Option<(MatrixShape, usize)> {
    if let Some(dense) = input.dense.iter().find(|matrix| matrix.name == name) {
        return Some((MatrixShape::Dense { entity: dense.entity, rank_of: 0 }, dense.rank));
    }
    let sparse = input.sparse.iter().find(|matrix| matrix.name == name)?;
    Some((sparse.shape.into(), 0))
}
