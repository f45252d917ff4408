//! Which columns of a file hold what: flags of every command that reads files.

use super::columns::Format;
use clap::Args;
use serde::Serialize;

/// Where the columns of an interactions file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the interactions")]
pub struct ColumnArgs {
    /// How the interactions are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The first row of the interactions names the columns; found out when not given.
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// The first row of the interactions is data; found out when not given.
    #[arg(long)]
    pub no_header: bool,
    /// Column of the user: its header, or its place counted from 1. Recognised when not given:
    /// userId, user_id, user, uid and the like.
    #[arg(long, value_name = "NAME|N")]
    pub user_column: Option<String>,
    /// Column of the item: movieId, item_id, item and the like.
    #[arg(long, value_name = "NAME|N")]
    pub item_column: Option<String>,
    /// Column of the value: rating, value, hours, score and the like. Optional.
    #[arg(long, value_name = "NAME|N")]
    pub value_column: Option<String>,
    /// Column of the time, numbers or ISO 8601 dates: timestamp, time, date. Optional.
    #[arg(long, value_name = "NAME|N")]
    pub time_column: Option<String>,
}

/// Where the columns of an items file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the items")]
pub struct ItemColumnArgs {
    /// How the items are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub items_format: Option<Format>,
    /// Column of the item's id: its header, or its place counted from 1. Recognised when not given.
    #[arg(long, value_name = "NAME|N")]
    pub items_id_column: Option<String>,
    /// Column of the title: title, movie_title, name and the like.
    #[arg(long, value_name = "NAME|N")]
    pub title_column: Option<String>,
    /// Columns of tags; several with commas between. By default genres, class, tags,
    /// category and the like, all that are there.
    #[arg(long, value_name = "NAME|N,…")]
    pub tags_column: Option<String>,
    /// What separates the tags of a cell. Found in the cells when not given: |, ; or a comma, or a list as Python prints it.
    #[arg(long, value_name = "CHARACTER")]
    pub tag_separator: Option<char>,
    /// Column of the year. By default year or release_year; else the year of "Title (1995)".
    #[arg(long, value_name = "NAME|N")]
    pub year_column: Option<String>,
}

/// Where the columns of a users file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the users")]
pub struct UserColumnArgs {
    /// How the users are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub users_format: Option<Format>,
    /// Names of all columns, for a file without a header: user,gender,age,occupation.
    #[arg(long, value_name = "NAME,…")]
    pub users_header: Option<String>,
    /// Column of the user's id: its header, or its place counted from 1. Recognised when not given.
    #[arg(long, value_name = "NAME|N")]
    pub users_id_column: Option<String>,
    /// Columns of attributes; several with commas between. By default all but the id.
    #[arg(long, value_name = "NAME|N,…")]
    pub attributes: Option<String>,
}
