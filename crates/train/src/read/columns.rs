//! Which column is which: names that are recognised, flags, and the usual order without a header.

use crate::error::TrainError;
use clap::ValueEnum;
use serde::Serialize;
use std::path::Path;

/// How a data file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated, fields with commas in double quotes (RFC 4180).
    Csv,
    /// Tab-separated, no quoting: RecBole's .inter and .item, MovieLens' u.data.
    Tsv,
    /// `::` between the columns: MovieLens' ratings.dat and movies.dat.
    DoubleColon,
    /// `|` between the columns: MovieLens' u.item.
    Pipe,
    /// `;` between the columns, fields in double quotes.
    Semicolon,
    /// Spaces between the columns, any number of them.
    Spaces,
    /// A JSON object on each line: dumps of Amazon, Yelp and Steam.
    JsonLines,
    /// The columnar files of Apache Parquet.
    Parquet,
}

impl Format {
    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "comma-separated",
            Self::Tsv => "tab-separated",
            Self::DoubleColon => "::-separated",
            Self::Pipe => "|-separated",
            Self::Semicolon => "semicolon-separated",
            Self::Spaces => "space-separated",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
        }
    }
}

/// What a column can mean. Each has the header names that are taken for it, best first, all in
/// lower case and without punctuation: `userId`, `user_id` and `User-ID` are one name.
pub(crate) struct ColumnRole {
    /// The word for messages.
    pub(crate) name: &'static str,
    /// The flag that names the column.
    pub(crate) flag: &'static str,
    names: &'static [&'static str],
}

pub(crate) const USER: ColumnRole = ColumnRole {
    name: "user",
    flag: "--user-column",
    names: &[
        "userid",
        "user",
        "uid",
        "username",
        "customerid",
        "customer",
        "memberid",
        "visitorid",
        "accountid",
        "playerid",
        "profileid",
        "reviewerid",
        "personid",
        "u",
    ],
};
pub(crate) const ITEM: ColumnRole = ColumnRole {
    name: "item",
    flag: "--item-column",
    names: &[
        "itemid",
        "item",
        "iid",
        "movieid",
        "movie",
        "filmid",
        "film",
        "productid",
        "product",
        "gameid",
        "game",
        "appid",
        "app",
        "trackid",
        "track",
        "songid",
        "song",
        "artistid",
        "artist",
        "albumid",
        "bookid",
        "book",
        "isbn",
        "videoid",
        "video",
        "showid",
        "show",
        "contentid",
        "articleid",
        "parentasin",
        "asin",
        "sku",
        "titleid",
        "i",
    ],
};
/// The id column of an items file, where a bare `id` can only be the item's.
pub(crate) const ITEM_OF_ITEMS: ColumnRole =
    ColumnRole { name: "item", flag: "--items-id-column", names: &["id"] };
pub(crate) const VALUE: ColumnRole = ColumnRole {
    name: "value",
    flag: "--value-column",
    names: &[
        "rating",
        "value",
        "hours",
        "score",
        "stars",
        "overall",
        "bookrating",
        "playtime",
        "playtimeforever",
        "playcount",
        "plays",
        "hoursplayed",
        "playhours",
        "listens",
        "listencount",
        "watchtime",
        "watchratio",
        "minutes",
        "seconds",
        "duration",
        "count",
        "quantity",
        "weight",
    ],
};
pub(crate) const TIME: ColumnRole = ColumnRole {
    name: "timestamp",
    flag: "--time-column",
    names: &[
        "timestamp",
        "time",
        "ts",
        "unixtime",
        "unixreviewtime",
        "datetime",
        "date",
        "ratedat",
        "createdat",
        "eventtime",
        "reviewtime",
        "watchedat",
        "playedat",
    ],
};
/// What kind of event a row is, as `marquee export` writes it.
pub(crate) const EVENT_TYPE: ColumnRole = ColumnRole {
    name: "type",
    flag: "",
    names: &["type", "eventtype", "event", "action", "behaviour"],
};
pub(crate) const TITLE: ColumnRole = ColumnRole {
    name: "title",
    flag: "--title-column",
    names: &[
        "title",
        "movietitle",
        "itemtitle",
        "name",
        "itemname",
        "moviename",
        "gamename",
        "productname",
        "appname",
        "trackname",
        "booktitle",
    ],
};
pub(crate) const YEAR: ColumnRole = ColumnRole {
    name: "year",
    flag: "--year-column",
    names: &["year", "releaseyear", "movieyear", "releasedate", "yearofpublication"],
};
/// Columns of tags; all that are there are read.
pub(crate) const TAGS: ColumnRole = ColumnRole {
    name: "tags",
    flag: "--tags-column",
    names: &["genres", "genre", "class", "tags", "tag", "categories", "category"],
};

/// A header cell, normalised: without RecBole's `:type`, in lower case, letters and digits only.
pub(crate) fn normalise(name: &str) -> String {
    let name = name.trim();
    let name = match name.rsplit_once(':') {
        Some((name, "token" | "token_seq" | "float" | "float_seq")) => name,
        _ => name,
    };
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl ColumnRole {
    /// A column of this meaning.
    pub(crate) const fn new(
        name: &'static str,
        flag: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        Self { name, flag, names }
    }

    /// The column of a header that has this role: the one whose name stands earliest in the list.
    pub(crate) fn find(&self, header: &[String]) -> Option<usize> {
        let header: Vec<String> = header.iter().map(|name| normalise(name)).collect();
        self.names.iter().find_map(|known| header.iter().position(|name| name == known))
    }

    /// All columns of a header that have this role, in the header's order.
    pub(crate) fn find_all(&self, header: &[String]) -> Vec<usize> {
        let known = header.iter().map(|name| self.names.contains(&normalise(name).as_str()));
        known.enumerate().filter(|(_, known)| *known).map(|(column, _)| column).collect()
    }

    /// The column that a flag names: by its header, letter for letter or normalised, or by its
    /// place, counted from 1.
    pub(crate) fn flagged(
        &self,
        path: &Path,
        given: &str,
        header: Option<&[String]>,
        width: usize,
    ) -> Result<usize, TrainError> {
        if let Some(header) = header {
            let exact = header.iter().position(|name| name.trim() == given);
            let loose = || header.iter().position(|name| normalise(name) == normalise(given));
            if let Some(column) = exact.or_else(loose) {
                return Ok(column);
            }
        }
        match given.parse::<usize>() {
            Ok(place) if (1..=width).contains(&place) => Ok(place - 1),
            Ok(_) => {
                let problem =
                    format!("{} {given}: the file has {width} columns, counted from 1", self.flag);
                Err(TrainError::columns(path, problem))
            }
            Err(_) => {
                let there = match header {
                    Some(header) => format!("the columns are {}", list(header)),
                    None => {
                        "the file has no header: give the column's place, counted from 1".into()
                    }
                };
                Err(TrainError::columns(
                    path,
                    format!("{} {given:?} is no column: {there}", self.flag),
                ))
            }
        }
    }
}

/// Columns' names as a list for messages, cut when long.
pub(crate) fn list(header: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text =
        header.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if header.len() > SHOWN {
        text.push_str(&format!(" and {} more", header.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn names_are_recognised_whatever_their_style() {
        for names in [
            ["userId", "movieId", "rating", "timestamp"],
            ["user_id", "item_id", "value", "time"],
            ["USER", "Item", "Score", "TS"],
            ["User-ID", "ISBN", "Book-Rating", "date"],
            ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
            ["uid", "iid", "hours", "createdAt"],
        ] {
            let header = header(&names);
            let found = [USER, ITEM, VALUE, TIME].map(|role| role.find(&header));
            assert_eq!(found, [Some(0), Some(1), Some(2), Some(3)], "{names:?}");
        }
    }

    #[test]
    fn the_better_name_wins() {
        let header = header(&["id", "user", "item", "user_id", "count", "rating"]);
        assert_eq!([USER, ITEM, VALUE].map(|role| role.find(&header)), [Some(3), Some(2), Some(5)]);
    }

    #[test]
    fn flags_name_or_count() {
        let path = Path::new("f.csv");
        let names = header(&["who", "What", "2"]);
        let from = |given| USER.flagged(path, given, Some(&names), 3);
        assert_eq!(from("who").ok(), Some(0));
        assert_eq!(from("what").ok(), Some(1));
        assert_eq!(from("1").ok(), Some(0));
        assert_eq!(from("2").ok(), Some(2), "a header of that name comes before the place");
        let message = |r: Result<usize, TrainError>| r.expect_err("must fail").to_string();
        assert_eq!(
            message(from("4")),
            "f.csv: --user-column 4: the file has 3 columns, counted from 1"
        );
        assert_eq!(
            message(from("x")),
            r#"f.csv: --user-column "x" is no column: the columns are "who", "What", "2""#
        );
    }
}
