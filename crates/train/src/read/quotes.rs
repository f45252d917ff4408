//! Fields in double quotes (RFC 4180), strictly: what follows a closing quote is the next field or the end.
//!
//! Lenient readers take a stray quote for the beginning of a field, which then swallows all rows up to the next quote of the
//! file. Here it is found, so that the rows below it can be read as they are.

use csv::ByteRecord;

/// How a quote is written within quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Twice, as RFC 4180 has it.
    Doubled,
    /// Behind a backslash, as MySQL and pandas may have it.
    Backslash,
}

/// Where the quotes of a record stand, line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuoteState {
    /// At the beginning of a field.
    FieldStart,
    /// In a field without quotes.
    Plain,
    /// In a quoted field.
    Quoted,
    /// Behind a closing quote.
    Closed,
    /// Text follows a closing quote: a quote is missing, or one is too many.
    Stray,
}

impl QuoteState {
    /// The state behind this line of a record, whose state before it is `self`.
    pub(super) fn after(self, line: &[u8], delimiter: u8, escape: Escape) -> Self {
        let mut state = self;
        let mut bytes = line.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            state = match (state, byte) {
                (Self::FieldStart, b'"') => Self::Quoted,
                (Self::FieldStart | Self::Plain, _) if byte == delimiter => Self::FieldStart,
                (Self::FieldStart | Self::Plain, _) => Self::Plain,
                (Self::Quoted, b'\\') if escape == Escape::Backslash => {
                    bytes.next();
                    Self::Quoted
                }
                (Self::Quoted, b'"')
                    if escape == Escape::Doubled && bytes.peek() == Some(&b'"') =>
                {
                    bytes.next();
                    Self::Quoted
                }
                (Self::Quoted, b'"') => Self::Closed,
                (Self::Quoted, _) => Self::Quoted,
                (Self::Closed, _) if byte == delimiter => Self::FieldStart,
                (Self::Closed, b' ') => Self::Closed,
                (Self::Closed, _) | (Self::Stray, _) => return Self::Stray,
            };
        }
        state
    }

    /// Whether a record may end here.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::FieldStart | Self::Plain | Self::Closed)
    }
}

/// Splits a record whose quotes are in order into its fields, without the quotes.
pub(super) fn split_quoted(text: &[u8], delimiter: u8, escape: Escape, record: &mut ByteRecord) {
    record.clear();
    let mut field = Vec::new();
    let mut state = QuoteState::FieldStart;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match state {
            QuoteState::Quoted => match byte {
                b'\\' if escape == Escape::Backslash => field.extend(bytes.next()),
                b'"' if escape == Escape::Doubled && bytes.peek() == Some(&b'"') => {
                    field.extend(bytes.next());
                }
                b'"' => state = QuoteState::Closed,
                _ => field.push(byte),
            },
            _ if byte == delimiter => {
                record.push_field(&field);
                field.clear();
                state = QuoteState::FieldStart;
            }
            QuoteState::FieldStart if byte == b'"' => state = QuoteState::Quoted,
            QuoteState::Closed => {}
            _ => {
                field.push(byte);
                state = QuoteState::Plain;
            }
        }
    }
    record.push_field(&field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, escape: Escape) -> Option<Vec<String>> {
        let state = QuoteState::FieldStart.after(text.as_bytes(), b',', escape);
        let mut record = ByteRecord::new();
        split_quoted(text.as_bytes(), b',', escape, &mut record);
        let fields = record.iter().map(|field| String::from_utf8_lossy(field).into_owned());
        state.is_end().then(|| fields.collect())
    }

    #[test]
    fn quoted_fields_by_hand() {
        let list = |fields: &[&str]| Some(fields.iter().map(|field| (*field).into()).collect());
        for (text, expected) in [
            (r#"a,"b,c",d"#, list(&["a", "b,c", "d"])),
            (r#""He said ""no""",2"#, list(&["He said \"no\"", "2"])),
            (r#""",x"#, list(&["", "x"])),
            (r#"a "quoted" word,x"#, list(&["a \"quoted\" word", "x"])),
            (r#""a" ,b"#, list(&["a", "b"])),
            (r#"a,"#, list(&["a", ""])),
            (r#""a"b,c"#, None),
            (r#"a,"b,c"#, None),
            (r#""a \"b\"",c"#, None),
        ] {
            assert_eq!(fields(text, Escape::Doubled), expected, "{text}");
        }
        for (text, expected) in [
            (r#""a \"b\"",c"#, list(&["a \"b\"", "c"])),
            (r#""C:\\",c"#, list(&["C:\\", "c"])),
            (r#""C:\",c"#, None),
        ] {
            assert_eq!(fields(text, Escape::Backslash), expected, "{text}");
        }
    }

    #[test]
    fn a_field_may_go_on_on_the_next_line() {
        let first = QuoteState::FieldStart.after(br#"1,"two"#, b',', Escape::Doubled);
        assert_eq!((first, first.is_end()), (QuoteState::Quoted, false));
        assert_eq!(first.after(br#"lines",3"#, b',', Escape::Doubled), QuoteState::Plain);
        assert_eq!(first.after(br#"7,"x",3"#, b',', Escape::Doubled), QuoteState::Stray);
    }
}
