//! Checking the input of a new bundle: everything that is refused is refused here, by name.

use crate::bundle::MAX_MATRICES;
use crate::error::BundleError;
use crate::ids::MAX_TITLE_BYTES;
use crate::input::{BundleInput, CsrInput, Entity, IndexOptions, SparseShape};
use crate::labels::{MAX_ATTRIBUTES, MAX_TAG_BYTES};
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK, MAX_SHARDS};
use marquee_core::id::{check_id, check_name};
use marquee_core::model::recipe::{self, HISTORY_MATRIX, POPULARITY_MATRIX, RowSpace, Shape};
use std::collections::{BTreeSet, HashSet};

/// Links of a row that the graph builder takes: its own bound is 256 on the lowest layer.
const M_RANGE: std::ops::RangeInclusive<usize> = 2..=128;
/// Widths of search at building that make sense.
const EF_CONSTRUCTION_RANGE: std::ops::RangeInclusive<usize> = 1..=10_000;

type Checked = Result<(), BundleError>;

fn refuse<T>(reason: String) -> Result<T, BundleError> {
    Err(BundleError::Input { reason })
}

/// Checks all of it.
pub(super) fn check(input: &BundleInput) -> Checked {
    check_name("model", &input.model)?;
    if !(1..=MAX_SHARDS).contains(&input.shards) {
        return refuse(format!("shards is {}: 1 to {MAX_SHARDS} are allowed", input.shards));
    }
    check_entities(input)?;
    check_labels(input)?;
    let (users, items) = (input.users.len(), input.items.len());
    let of = |entity| match entity {
        Entity::User => users,
        Entity::Item => items,
        Entity::Term => input.terms.len(),
    };
    let mut names = BTreeSet::from([POPULARITY_MATRIX, HISTORY_MATRIX]);
    for matrix in &input.dense {
        check_matrix_name(&mut names, &matrix.name)?;
        let name = &matrix.name;
        let rows = of(matrix.entity);
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
    }
    for matrix in &input.sparse {
        check_matrix_name(&mut names, &matrix.name)?;
        let (rows, columns) = match matrix.shape {
            SparseShape::ByUser => (users, items),
            SparseShape::TermsByUser => (users, of(Entity::Term)),
            SparseShape::Sums { rows: RowSpace::Single, columns } => (1, of(columns)),
            SparseShape::Sums { rows: RowSpace::Items, columns } => (items, of(columns)),
            SparseShape::Sums { rows: RowSpace::Users, columns } => (users, of(columns)),
            SparseShape::Sums { rows: RowSpace::Terms, columns } => (of(Entity::Term), of(columns)),
        };
        check_csr(&matrix.name, &matrix.matrix, rows, columns)?;
    }
    if names.len() > MAX_MATRICES {
        return refuse(format!("{} matrices: at most {MAX_MATRICES} are allowed", names.len()));
    }
    if let Some(history) = &input.history {
        check_csr(HISTORY_MATRIX, history, users, items)?;
    }
    let popularity = &input.popularity;
    if !popularity.is_empty() && popularity.len() != items {
        return refuse(format!("popularity has {} values for {items} items", popularity.len()));
    }
    if let Some(at) = popularity.iter().position(|value| !value.is_finite()) {
        return refuse(format!(
            "popularity[{at}] is {}: it must be a finite number",
            popularity[at]
        ));
    }
    check_recipe(input)
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
    let text = |what: &str, id: &str, text: &str| {
        if text.is_empty() || text.len() > MAX_TAG_BYTES {
            let length = text.len();
            return refuse(format!(
                "{what} of item {id:?} has {length} bytes: 1 to {MAX_TAG_BYTES} are allowed"
            ));
        }
        Ok(())
    };
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
            text("a tag", &item.id, tag)?;
        }
        for (at, (name, value)) in item.attributes.iter().enumerate() {
            text("the name of an attribute", &item.id, name)?;
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

fn check_matrix_name<'a>(names: &mut BTreeSet<&'a str>, name: &'a str) -> Checked {
    check_name("matrix", name)?;
    let taken = !names.insert(name)
        || [Entity::User, Entity::Item, Entity::Term].iter().any(|entity| entity.plural() == name);
    if taken {
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
    let fine = offsets.len() == rows + 1
        && offsets[0] == 0
        && offsets[rows] == entries.len()
        && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if !fine {
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
    let dense = |name: &str| {
        let matrix = input.dense.iter().find(|matrix| matrix.name == name)?;
        Some((Shape::Dense { entity: matrix.entity, rank_of: 0 }, matrix.rank))
    };
    let sparse = |name: &str| {
        let matrix = input.sparse.iter().find(|matrix| matrix.name == name)?;
        Some((matrix.shape.into(), 0))
    };
    recipe::check_recipe(&input.recipe, |name| dense(name).or_else(|| sparse(name)))
        .or_else(|error| refuse(error.to_string()))
}
