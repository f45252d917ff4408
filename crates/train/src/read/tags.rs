//! What separates the tags of a cell: `|`, `,` or `;`, or a list as Python prints it.

use std::collections::BTreeMap;
use std::fmt;

/// What separates tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TagSeparator {
    /// One character between two tags.
    Character(char),
    /// The commas of a list as Python prints it: `['Action', 'War']`.
    PythonList,
}

impl fmt::Display for TagSeparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(character) => write!(f, "{character:?}"),
            Self::PythonList => f.write_str("the commas of lists such as ['Action', 'War']"),
        }
    }
}

/// Cells of tags, by item and column, until all were seen.
#[derive(Debug, Default)]
pub(super) struct TagCells {
    /// (item, column, cell), in the file's order.
    cells: Vec<(String, usize, String)>,
    /// What was said to separate the tags of a column.
    given: BTreeMap<usize, TagSeparator>,
}

impl TagCells {
    /// Takes a cell of an item.
    pub(super) fn add(
        &mut self,
        item: &str,
        column: usize,
        separator: Option<TagSeparator>,
        cell: String,
    ) {
        if let Some(separator) = separator {
            self.given.insert(column, separator);
        }
        if !cell.is_empty() {
            self.cells.push((item.to_owned(), column, cell));
        }
    }

    /// Gives the tags of each item to `take(item, tag)`. Returns the separators that were found and are not `|`.
    pub(super) fn split(self, mut take: impl FnMut(&str, &str)) -> Vec<TagSeparator> {
        let Self { cells, given } = self;
        let mut found: BTreeMap<usize, TagSeparator> = BTreeMap::new();
        let columns: std::collections::BTreeSet<usize> =
            cells.iter().map(|(_, column, _)| *column).collect();
        for column in columns {
            let of_column =
                cells.iter().filter(|(_, it, _)| *it == column).map(|(_, _, cell)| cell);
            let separator = given.get(&column).copied();
            found.insert(column, separator.unwrap_or_else(|| find(of_column)));
        }
        for (item, column, cell) in &cells {
            match found[column] {
                TagSeparator::Character(character) => {
                    cell.split(character).for_each(|tag| take(item, tag));
                }
                TagSeparator::PythonList => {
                    python_list(cell).into_iter().for_each(|tag| take(item, tag));
                }
            }
        }
        let mut said: Vec<TagSeparator> = found
            .into_iter()
            .filter(|(column, it)| {
                !given.contains_key(column) && *it != TagSeparator::Character('|')
            })
            .map(|(_, separator)| separator)
            .collect();
        said.sort();
        said.dedup();
        said
    }
}

/// What separates the tags of a column: a list where all cells are lists, `|` where any cell has one, else `;`, else `,`. A single name
/// with a comma within, such as "Crime, true", can't be told from two; then two it is.
fn find<'a>(cells: impl Iterator<Item = &'a String> + Clone) -> TagSeparator {
    if cells.clone().all(|cell| cell.starts_with('[') && cell.ends_with(']')) {
        return TagSeparator::PythonList;
    }
    let has = |character: char| cells.clone().any(|cell| cell.contains(character));
    TagSeparator::Character(['|', ';', ','].into_iter().find(|it| has(*it)).unwrap_or('|'))
}

/// The elements of `['Action', "Children's"]`.
fn python_list(cell: &str) -> Vec<&str> {
    let inner = cell.trim_start_matches('[').trim_end_matches(']').trim();
    let mut elements = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|it| matches!(it, '\'' | '"'));
        let (element, behind) = match quote {
            Some(quote) => match rest[1..].split_once(quote) {
                Some((element, behind)) => (element, behind.trim_start()),
                None => (&rest[1..], ""),
            },
            None => match rest.split_once(',') {
                Some((element, _)) => (element, &rest[element.len()..]),
                None => (rest, ""),
            },
        };
        elements.push(element);
        rest = behind.strip_prefix(',').unwrap_or_default().trim_start();
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tags of items `0`, `1`, … with these cells, and what was said.
    fn split(cells: &[&str], given: Option<TagSeparator>) -> (Vec<String>, Vec<TagSeparator>) {
        let mut all = TagCells::default();
        for (number, cell) in cells.iter().enumerate() {
            all.add(&number.to_string(), 2, given, (*cell).into());
        }
        let mut tags = Vec::new();
        let said = all.split(|item, tag| tags.push(format!("{item}:{}", tag.trim())));
        (tags, said)
    }

    #[test]
    fn separators_are_found_by_content() {
        let comma = TagSeparator::Character(',');
        for (cells, tags, said) in [
            (
                vec!["Action|Comedy, black", "War"],
                vec!["0:Action", "0:Comedy, black", "1:War"],
                vec![],
            ),
            (vec!["Action, Comedy", "War"], vec!["0:Action", "0:Comedy", "1:War"], vec![comma]),
            (vec!["a;b, c", "d"], vec!["0:a", "0:b, c", "1:d"], vec![TagSeparator::Character(';')]),
            (
                vec!["['Action', \"Children's\"]", "[]", "[a, b]"],
                vec!["0:Action", "0:Children's", "2:a", "2:b"],
                vec![TagSeparator::PythonList],
            ),
            (vec!["War"], vec!["0:War"], vec![]),
        ] {
            let tags = tags.into_iter().map(String::from).collect();
            assert_eq!(split(&cells, None), (tags, said), "{cells:?}");
        }
        let given = split(&["Action, Comedy"], Some(TagSeparator::Character('|')));
        assert_eq!(given, (vec!["0:Action, Comedy".to_owned()], vec![]));
    }
}
