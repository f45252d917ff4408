//! Lists of recommendations from a file: what any other system answered.

use super::columns::{ColumnRole, ITEM, USER, list};
use super::fields::{Problem, parse_id, parse_value, quote};
use super::table::{BadRows, Table};
use crate::error::TrainError;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The place of an item in its user's list.
const RANK: ColumnRole = ColumnRole::new("rank", "", &["rank", "position"]);
/// Whole numbers below it are exact in 32-bit floating point, too.
const RANKS_END: f32 = 16_777_216.0;

/// Reads lists of recommendations, a row for each user and item: text with a header or Parquet, with columns
/// for the user, the item and the rank by any of their usual names. Ranks are whole numbers, the smallest is
/// the best, and they needn't be without gaps. Gives item ids by user, best first.
///
/// # Errors
/// The first bad row with its place; two items of one user with one rank; a header that lacks one of the
/// columns; an empty file.
pub fn read_lists(path: &Path) -> Result<HashMap<String, Vec<String>>, TrainError> {
    let table = Table::open(path, None)?;
    let header = table.first.as_slice();
    let user = find_column(&USER, path, header)?;
    let item = find_column(&ITEM, path, header)?;
    let rank = find_column(&RANK, path, header)?;
    let has_header = !table.has_own_header();
    let mut lists: HashMap<String, BTreeMap<i64, String>> = HashMap::new();
    table.visit(has_header, &[user, item, rank], &mut BadRows::new(false), |record| {
        let id = parse_id("user", user, &record[user])?;
        let listed = parse_id("item", item, &record[item])?;
        let place = parse_rank(rank, &record[rank])?;
        if let Some(other) = lists.entry(id.into()).or_default().insert(place, listed.into()) {
            let problem = format!("the list of {id:?} has {other:?} and {listed:?} at {place}");
            return Err(Problem::at(rank, problem));
        }
        Ok(())
    })?;
    if lists.is_empty() {
        return Err(TrainError::Empty { path: path.into() });
    }
    Ok(lists.into_iter().map(|(user, list)| (user, list.into_values().collect())).collect())
}

fn find_column(role: &ColumnRole, path: &Path, header: &[String]) -> Result<usize, TrainError> {
    role.find(header).ok_or_else(|| {
        let (name, columns) = (role.name, list(header));
        let problem = format!(
            "no column for the {name}: lists have a header with user, item and rank, and here the columns \
             are {columns}"
        );
        TrainError::columns(path, problem)
    })
}

fn parse_rank(column: usize, field: &[u8]) -> Result<i64, Problem> {
    let rank = parse_value(column, field)?;
    if rank.fract() == 0.0 && rank.abs() < RANKS_END {
        Ok(rank as i64)
    } else {
        Err(Problem::at(column, format!("{} is no rank", quote(field))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<String, Vec<String>>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lists.csv");
        std::fs::write(&path, text).expect("written");
        read_lists(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_come_by_user_and_rank_whatever_the_order_of_rows() {
        let lists = read("rank,userId,movieId\n2,a,x\n1,b,x\n1,a,y\n40,a,w\n").expect("read");
        assert_eq!(lists["a"], ["y", "x", "w"]);
        assert_eq!(lists["b"], ["x"]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_place() {
        for (text, says) in [
            ("user,item\na,x\n", "no column for the rank"),
            ("user,item,rank\na,x,1\na,y,1\n", "\"x\" and \"y\" at 1"),
            ("user,item,rank\na,x,first\n", "\"first\" is not a number"),
            ("user,item,rank\na,x,1.5\n", "\"1.5\" is no rank"),
            ("user,item,rank\na,x,1e30\n", "\"1e30\" is no rank"),
            ("user,item,rank\n,x,1\n", "the user id is empty"),
        ] {
            let error = read(text).expect_err("refused");
            assert!(error.contains(says), "{text:?}: {error}");
        }
        assert!(read("user,item,rank\n").is_err());
        assert!(read("").is_err());
    }
}
