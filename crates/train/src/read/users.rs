//! Users from a file: age, region, language, and whatever else is known of them.

use super::args::UserColumnArgs;
use super::columns::{ColumnRole, USER, list, normalise};
use super::fields::{Problem, parse_id, quote};
use super::table::{BadRows, Table};
use crate::error::TrainError;
use marquee_core::bounds::MAX_USER_ATTRIBUTES;
use marquee_core::model::term::{check_attribute, of_attribute};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The id column of a users file, where a bare `id` can only be the user's.
const USER_OF_USERS: ColumnRole = ColumnRole::new("user", "--users-id-column", &["id"]);
/// What files write where nothing is known.
const UNKNOWN: [&str; 6] = ["", "?", "-", "na", "n/a", "null"];

/// A users file in memory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UsersFile {
    /// The users file.
    pub path: PathBuf,
    /// What the attributes are called.
    pub attributes: Vec<String>,
    /// The terms of users by id, ascending, each once; of several rows of one id, the last.
    #[serde(skip)]
    pub users: HashMap<String, Vec<String>>,
    /// Bad rows that were skipped; 0 unless skipping was asked for.
    pub bad_rows: u64,
    /// The first few of them, with place and reason.
    pub first_bad_rows: Vec<String>,
}

/// Reads a users file: MovieLens' users.dat and u.user, RecBole's .user, and anything alike, text or
/// Parquet. Every column but the id is an attribute, unless `columns` chooses some; cells that are empty or
/// say that nothing is known are none.
///
/// # Errors
/// The first bad row with its place, unless `skip_bad_rows`; an empty file; no header, and no names given;
/// no column for the id; too many attributes.
pub fn read_users(
    path: &Path,
    columns: &UserColumnArgs,
    skip_bad_rows: bool,
) -> Result<UsersFile, TrainError> {
    let table = Table::open(path, columns.users_format)?;
    let layout = UserColumns::find(&table, columns)?;
    let mut users = HashMap::new();
    let mut bad = BadRows::new(skip_bad_rows);
    let mut wanted = vec![layout.id];
    wanted.extend(layout.attributes.iter().map(|(column, _)| column));
    table.visit(layout.header, &wanted, &mut bad, |record| {
        let id = parse_id("user", layout.id, &record[layout.id])?;
        let mut terms = BTreeSet::new();
        for (column, name) in &layout.attributes {
            let cell = record[*column].trim_ascii();
            let Ok(value) = std::str::from_utf8(cell) else {
                let problem = format!("the {name} {} is not UTF-8", quote(cell));
                return Err(Problem::at(*column, problem));
            };
            if UNKNOWN.contains(&value.to_lowercase().as_str()) {
                continue;
            }
            check_attribute("the attributes", name, value)
                .map_err(|error| Problem::at(*column, error.to_string()))?;
            terms.extend(of_attribute(name, value));
        }
        users.insert(id.to_owned(), terms.into_iter().collect());
        Ok(())
    })?;
    if users.is_empty() && bad.count == 0 {
        return Err(TrainError::Empty { path: path.into() });
    }
    Ok(UsersFile {
        path: path.into(),
        attributes: layout.attributes.into_iter().map(|(_, name)| name).collect(),
        users,
        bad_rows: bad.count,
        first_bad_rows: bad.first,
    })
}

/// Where the parts of a user stand.
struct UserColumns {
    /// Whether the first row is a header and to be left out.
    header: bool,
    id: usize,
    /// Place of the column, and its name.
    attributes: Vec<(usize, String)>,
}

impl UserColumns {
    fn find(table: &Table, args: &UserColumnArgs) -> Result<Self, TrainError> {
        let (path, first) = (&table.path, table.first.as_slice());
        let wrong = |problem: String| TrainError::columns(path, problem);
        let given: Option<Vec<String>> = args
            .users_header
            .as_ref()
            .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
        if let Some(names) = &given
            && names.len() != first.len()
        {
            let (names, columns) = (names.len(), first.len());
            return Err(wrong(format!(
                "--users-header has {names} names, and the file {columns} columns: name them all"
            )));
        }
        let header = given.as_deref().unwrap_or(first);
        let id = match &args.users_id_column {
            Some(name) => USER_OF_USERS.flagged(path, name, Some(header), header.len())?,
            None => USER.find(header).or_else(|| USER_OF_USERS.find(header)).ok_or_else(|| {
                wrong(format!(
                    "no column for the user's id among {}: name it with --users-id-column, or, where the file has \
                     no header, name all columns with --users-header user,age,region,…",
                    list(header)
                ))
            })?,
        };
        let attributes: Vec<usize> = match &args.attributes {
            Some(names) => names
                .split(',')
                .map(|name| ATTRIBUTE.flagged(path, name.trim(), Some(header), header.len()))
                .collect::<Result<_, _>>()?,
            None => (0..header.len()).filter(|&column| column != id).collect(),
        };
        if !(1..=MAX_USER_ATTRIBUTES).contains(&attributes.len()) {
            return Err(wrong(format!(
                "{} attributes: 1 to {MAX_USER_ATTRIBUTES} are allowed, choose with --attributes",
                attributes.len()
            )));
        }
        let names = attributes.iter().map(|&column| normalise(&header[column]));
        Ok(Self {
            header: given.is_none() && !table.has_own_header(),
            id,
            attributes: attributes.iter().copied().zip(names).collect(),
        })
    }
}

/// A column that is named to be an attribute.
const ATTRIBUTE: ColumnRole = ColumnRole::new("attribute", "--attributes", &[]);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, columns: &UserColumnArgs) -> Result<UsersFile, TrainError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("users.csv");
        std::fs::write(&path, text).expect("written");
        read_users(&path, columns, false)
    }

    #[test]
    fn every_column_but_the_id_is_an_attribute() {
        let file =
            read("User_ID,Age,Region\n7,34,North\n8,,south \n9,?,\n", &UserColumnArgs::default())
                .expect("read");
        assert_eq!(file.attributes, ["age", "region"]);
        assert_eq!(file.users["7"], ["user:age=30", "user:region=north"]);
        assert_eq!(file.users["8"], ["user:region=south"]);
        assert!(file.users["9"].is_empty());
    }

    #[test]
    fn columns_are_named_and_chosen() {
        let columns = UserColumnArgs {
            users_header: Some("user,gender,age,zip".into()),
            attributes: Some("gender,age".into()),
            ..UserColumnArgs::default()
        };
        let file = read("1,F,1,48067\n2,M,56,70072\n", &columns).expect("read");
        assert_eq!(file.users["2"], ["user:age=50", "user:gender=m"]);
        assert_eq!(file.users.len(), 2, "the first row is data");

        let says = |text: &str, columns: &UserColumnArgs| {
            read(text, columns).expect_err("refused").to_string()
        };
        let default = UserColumnArgs::default();
        assert!(says("1,F\n2,M\n", &default).contains("--users-header"));
        let many: Vec<String> = (0..33).map(|n| format!("a{n}")).collect();
        let many = format!("user,{}\n1{}\n", many.join(","), ",x".repeat(33));
        assert!(says(&many, &default).contains("33 attributes: 1 to 32"));
        assert!(says("1,F\n", &columns).contains("has 4 names, and the file 2 columns"));
        let long = format!("user,zip\n1,{}\n", "x".repeat(200));
        let said = says(&long, &default);
        assert!(said.contains("line 2 column 2 (zip)") && said.contains("200 bytes"), "{said}");
    }
}
