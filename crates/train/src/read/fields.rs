//! One field to one value: ids, numbers, times; and what is wrong with it in words.

use marquee_core::bounds::MAX_ID_BYTES;

/// Why a row is bad: which column (from 0), if one is to blame, and what is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) column: Option<usize>,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn at(column: usize, text: impl Into<String>) -> Self {
        Self { column: Some(column), text: text.into() }
    }
}

/// How much of a field a message quotes.
const QUOTED_BYTES: usize = 40;

/// The field as a message quotes it: readable, and short whatever the file holds.
pub(crate) fn quote(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(&field[..field.len().min(QUOTED_BYTES)]).into_owned();
    format!("{text:?}{}", if field.len() > QUOTED_BYTES { "…" } else { "" })
}

/// An id: 1 to 256 bytes of UTF-8, without white space around it.
pub(crate) fn parse_id<'a>(what: &str, column: usize, field: &'a [u8]) -> Result<&'a str, Problem> {
    let field = field.trim_ascii();
    let Ok(id) = std::str::from_utf8(field) else {
        return Err(Problem::at(column, format!("the {what} id {} is not UTF-8", quote(field))));
    };
    check_field_id(what, id).map_err(|text| Problem::at(column, text))?;
    Ok(id)
}

/// The digits of a whole number that is written with `.0`, as pandas writes ids of a column with gaps.
pub(crate) fn whole_number(id: &str) -> Option<&str> {
    let digits = id.strip_suffix(".0")?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// The bound on ids, in this crate's words.
pub(crate) fn check_field_id(what: &str, id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err(format!("the {what} id is empty")),
        n if n > MAX_ID_BYTES => {
            Err(format!("the {what} id has {n} bytes, at most {MAX_ID_BYTES} are allowed"))
        }
        _ => Ok(()),
    }
}

/// Parses a finite number.
pub(crate) fn parse_value(column: usize, field: &[u8]) -> Result<f32, Problem> {
    let field = field.trim_ascii();
    let value =
        small_integer(field).map(|n| n as f32).or_else(|| parse_float(field).map(|v| v as f32));
    match value {
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => Err(Problem::at(column, format!("{} is not a finite number", quote(field)))),
        None if field.is_empty() => Err(Problem::at(column, "a number is missing")),
        None => Err(Problem::at(column, format!("{} is not a number", quote(field)))),
    }
}

/// A time that can be compared: a finite number in whatever unit the file uses, or an ISO 8601 date
/// or date and time, which becomes seconds since 1970 (UTC where it has no offset).
pub(crate) fn parse_time(column: usize, field: &[u8]) -> Result<f64, Problem> {
    let field = field.trim_ascii();
    let time = small_integer(field)
        .map(|n| n as f64)
        .or_else(|| parse_float(field))
        .or_else(|| parse_date(field));
    match time {
        Some(time) if time.is_finite() => Ok(time),
        Some(_) => Err(Problem::at(column, format!("the time {} is not finite", quote(field)))),
        None if field.is_empty() => Err(Problem::at(column, "the time is missing")),
        None => {
            let text =
                format!("{} is neither a number of seconds nor an ISO 8601 date", quote(field));
            Err(Problem::at(column, text))
        }
    }
}

/// The common case, several times faster than the general one: up to 15 decimal digits, which any
/// f64 holds exactly.
fn small_integer(field: &[u8]) -> Option<i64> {
    if field.is_empty() || field.len() > 15 {
        return None;
    }
    field.iter().try_fold(0i64, |n, &b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn parse_float(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn parse_date(field: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(field).ok()?;
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_duration().as_secs_f64());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let instant = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(instant.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        for (field, value) in [("5", 5.0), (" 4.5 ", 4.5), ("-1", -1.0), ("1e2", 100.0), ("0", 0.0)]
        {
            assert_eq!(parse_value(2, field.as_bytes()).ok(), Some(value), "{field}");
        }
        for (field, time) in [
            ("964982703", 964_982_703.0),
            ("964982703.5", 964_982_703.5),
            ("2000-07-30", 964_915_200.0),
            ("2000-07-30 18:45:03", 964_982_703.0),
            ("2000-07-30T18:45:03Z", 964_982_703.0),
            ("2000-07-30T20:45:03+02:00", 964_982_703.0),
        ] {
            assert_eq!(parse_time(3, field.as_bytes()).ok(), Some(time), "{field}");
        }
    }

    #[test]
    fn bad_fields_are_named() {
        let text = |r: Result<f32, Problem>| r.expect_err("bad").text;
        assert_eq!(text(parse_value(0, b"abc")), r#""abc" is not a number"#);
        assert_eq!(text(parse_value(0, b"NaN")), r#""NaN" is not a finite number"#);
        assert_eq!(text(parse_value(0, b"1e39")), r#""1e39" is not a finite number"#);
        assert_eq!(text(parse_value(0, b"")), "a number is missing");
        let time = parse_time(0, b"inf").expect_err("bad").text;
        assert_eq!(time, r#"the time "inf" is not finite"#);
        let time = parse_time(0, b"yesterday").expect_err("bad").text;
        assert_eq!(time, r#""yesterday" is neither a number of seconds nor an ISO 8601 date"#);
    }

    #[test]
    fn ids_have_bounds() {
        assert_eq!(parse_id("user", 0, " 7 ".as_bytes()).ok(), Some("7"));
        let text = |field: &[u8]| parse_id("user", 0, field).expect_err("bad").text;
        assert_eq!(text(b" "), "the user id is empty");
        assert_eq!(text(&[b'x'; 257]), "the user id has 257 bytes, at most 256 are allowed");
        assert_eq!(text(&[0xff, b'a']), "the user id \"\u{fffd}a\" is not UTF-8");
    }
}
