//! Printing of results: lines, tables and JSON on stdout, with colours on terminals only.

use comfy_table::{ContentArrangement, presets};
pub use marquee_core::text::shown;
use marquee_core::text::{shown_json, shown_lines};
use std::io::{self, IsTerminal as _, Write as _};

/// Whether colours may be written to stderr.
pub fn stderr_has_colours() -> bool {
    io::stderr().is_terminal() && colours_are_wanted()
}

/// Whether colours may be written to stdout.
pub fn stdout_has_colours() -> bool {
    io::stdout().is_terminal() && colours_are_wanted()
}

/// False if `NO_COLOR` is set (<https://no-color.org>) or the terminal has no colours.
fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes one line or several to stdout, with what deceives terminals written out ([`marquee_core::text`]); a line break
/// within what came from outside must be written out by the caller, by [`shown`]. A closed stdout is an error like any
/// other: the caller stops, and `main` exits with success.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    painted_line(shown_lines(text.as_ref()))
}

/// As [`line()`], for text with colours: what came from outside must have passed [`shown`].
pub fn painted_line(text: impl AsRef<str>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Writes a value to stdout as indented JSON.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(shown_json(&serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// Writes a value to stdout as JSON in one line, for streams of values.
pub fn json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(shown_json(&serde_json::to_string(value)?))?;
    Ok(())
}

/// A table for [`lines_of`], in whose cells what came from outside is one line.
#[derive(Debug)]
pub struct Table(comfy_table::Table);

impl Table {
    /// Adds a row of cells.
    pub fn add_row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.0.add_row(cells.into_iter().map(|cell| shown(cell.as_ref()).into_owned()));
    }
}

/// A table with these column headings and no frame, as wide as its content: each row is a line, for `grep`
/// and `awk`.
pub fn table(headings: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.to_string()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Table(table)
}

/// A table's lines without trailing blanks.
pub fn lines_of(table: &Table) -> String {
    let lines: Vec<String> = table.0.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `n thing` or `n things`.
pub fn count(n: u64, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        _ => format!("{} {thing}s", thousands(n)),
    }
}

/// A number with commas between groups of three digits.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit of which there is at least one: `5.0 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// Basis points as percent, without trailing zeros: `1 %`, `0.25 %`.
pub fn percent(basis_points: u32) -> String {
    let text = format!("{}.{:02}", basis_points / 100, basis_points % 100);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A time given in milliseconds since the Unix epoch, to the second, in UTC; `-` for 0.
pub fn moment(ms: u64) -> String {
    let timestamp =
        i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match timestamp {
        Some(timestamp) if ms > 0 => timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_and_moves_no_cursor() {
        let mut listed = table(&["NODE", "REASON"]);
        listed.add_row(["shard-1", "lost\nshard-2  AVAILABLE\u{1b}[2J"]);
        let lines = lines_of(&listed);
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(lines.ends_with("lost\\nshard-2  AVAILABLE\\u{1b}[2J"), "{lines}");
    }

    #[test]
    fn numbers_have_separators_and_units() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(123_456), "123,456");
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(2_000, "node"), "2,000 nodes");
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(5 << 20), "5.0 MiB");
        assert_eq!(percent(100), "1 %");
        assert_eq!(percent(25), "0.25 %");
        assert_eq!(percent(10_000), "100 %");
        assert_eq!(moment(0), "-");
        assert_eq!(moment(1_764_000_000_000), "2025-11-24 16:00:00Z");
    }
}
