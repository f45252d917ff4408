//! Showing text that came from outside: ids, titles, names, reasons.
//!
//! A terminal obeys what it is shown: a control character moves the cursor or renames the window, a line break
//! makes a line of a log that nothing has logged, and a bidirectional override shows a name backwards. So such
//! text is shown with these characters written out. This is the one place that says which they are.

use std::borrow::Cow;

/// Whether showing the character can change how other text is shown: control characters, line and paragraph
/// separators, and what changes the direction of text or is invisible (Unicode 16, `Cc`, `Zl`, `Zp`, the
/// bidirectional controls and the tags). The joiners of emoji and of Indic and Arabic scripts are not.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with what [`is_deceptive`] written out, as in `\n`, `\u{1b}` or `\u{202e}`: one line, whatever it was.
pub fn shown(text: &str) -> Cow<'_, str> {
    written_out(text, is_deceptive)
}

/// As [`shown`], for text of several lines: line feeds stay.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    written_out(text, |character| character != '\n' && is_deceptive(character))
}

/// A JSON text with what is deceptive in its strings as JSON writes it out. Outside of strings JSON has none of it but
/// line feeds, which stay.
pub fn shown_json(json: &str) -> Cow<'_, str> {
    let is_escaped = |character: char| character != '\n' && is_deceptive(character);
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_escaped(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

fn written_out(text: &str, is_escaped: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            _ if !is_escaped(character) => written.push(character),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            _ => written.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_written_out_and_the_rest_stays() {
        for (text, seen) in [
            ("u:42", "u:42"),
            ("Амели — 東京 👩‍👩‍👧 שלום", "Амели — 東京 👩‍👩‍👧 שלום"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("one\nINFO two\r\t", "one\\nINFO two\\r\\t"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\u{2028}b\u{2066}c\u{e0041}", "a\\u{2028}b\\u{2066}c\\u{e0041}"),
        ] {
            assert_eq!(shown(text), seen);
        }
        assert_eq!(shown_lines("one\ntwo\u{7}"), "one\ntwo\\u{7}");
    }

    #[test]
    fn json_stays_json() {
        let json = "{\n  \"reason\": \"a\u{202e}b\u{e0041}\u{9b}\"\n}";
        let seen = shown_json(json);
        assert_eq!(seen, "{\n  \"reason\": \"a\\u202eb\\udb40\\udc41\\u009b\"\n}");
    }
}
