//! Terms: the ids of words and attributes in a bundle.
//!
//! A bundle may have rows for terms beside those of users and items: the words of its items' texts, by
//! which SearchItems finds topics, and the attributes of its users, by which users are served of whom
//! nothing else is known. Trainers, routers and evaluation all take the ids from here.

use crate::bounds::{MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_ID_BYTES};
use crate::id::IdError;

/// The term that every user has. It alone says nothing of a user.
pub const ALL_USERS_TERM: &str = "user:";
/// Characters of the shortest word: single letters say nothing.
const MIN_WORD_CHARS: usize = 2;
/// The prefix of the terms of words.
const WORD: &str = "word:";
/// The attribute whose numbers are grouped: preferences do not change on a birthday.
const AGE: &str = "age";
/// Years of a group of ages.
const AGE_GROUP: u32 = 10;
/// Ages below this are grouped; others are taken as words.
const MAX_AGE: f64 = 150.0;

/// The words of a text in lower case, in their order: runs of letters and digits, of at least two
/// characters. What is too long to be an id is no word.
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| is_word(part)).map(str::to_owned).collect()
}

fn is_word(part: &str) -> bool {
    part.chars().count() >= MIN_WORD_CHARS && part.len() + WORD.len() <= MAX_ID_BYTES
}

/// The term of a word.
pub fn of_word(word: &str) -> String {
    format!("{WORD}{word}")
}

/// The word that a term stands for, if it is one.
pub fn word_of(term: &str) -> Option<&str> {
    term.strip_prefix(WORD)
}

/// The term of a user's attribute; none for one without a value. Case and blanks around it do not matter, and
/// ages are grouped by tens: `age` 34 is `user:age=30`.
pub fn of_attribute(name: &str, value: &str) -> Option<String> {
    let (lower_name, lower_value) = (name.trim().to_lowercase(), value.trim().to_lowercase());
    if lower_name.is_empty() || lower_value.is_empty() {
        return None;
    }
    let number = lower_value.parse::<f64>().ok().filter(|_| lower_name == AGE);
    let group = match number.filter(|age| (0.0..MAX_AGE).contains(age)) {
        Some(age) => (age as u32 / AGE_GROUP * AGE_GROUP).to_string(),
        None => lower_value,
    };
    // Lower case may be longer; what no longer fits can't have been trained either.
    let term = format!("{ALL_USERS_TERM}{lower_name}={group}");
    (term.len() <= MAX_ID_BYTES).then_some(term)
}

/// Checks an attribute of the field of that name, such as `user_attributes`.
///
/// # Errors
/// A name that is empty or too long, or a value that is too long.
pub fn check_attribute(field: &str, name: &str, value: &str) -> Result<(), IdError> {
    if name.is_empty() {
        let of_name = format!("{field}: a name");
        return Err(IdError::Empty { field: of_name, max: MAX_ATTRIBUTE_NAME_BYTES });
    }
    if name.len() > MAX_ATTRIBUTE_NAME_BYTES {
        let (length, max) = (name.len(), MAX_ATTRIBUTE_NAME_BYTES);
        return Err(IdError::TooLong { field: format!("{field}: a name"), length, max });
    }
    if value.len() > MAX_ATTRIBUTE_VALUE_BYTES {
        let (length, max) = (value.len(), MAX_ATTRIBUTE_VALUE_BYTES);
        return Err(IdError::TooLong { field: format!("{field}[{name:?}]"), length, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_into_words() {
        assert_eq!(
            words("Toy Story 2 (1999): Woody's été"),
            ["toy", "story", "1999", "woody", "été"]
        );
        assert!(words(&"x".repeat(400)).is_empty());
        assert_eq!(word_of(&of_word("toy")), Some("toy"));
        assert_eq!(word_of("user:toy=1"), None);
    }

    #[test]
    fn attributes_have_one_name_however_they_are_written() {
        let term = |name, value| of_attribute(name, value).unwrap_or_default();
        assert_eq!(term(" Region", "North "), "user:region=north");
        assert_eq!(term("age", "34"), "user:age=30");
        assert_eq!(term("AGE", "30.5"), "user:age=30");
        assert_eq!(term("age", "unknown"), "user:age=unknown");
        assert_eq!(term("zip", "34"), "user:zip=34");
        for (name, value) in [("", "x"), ("x", " ")] {
            assert_eq!(of_attribute(name, value), None);
        }
        let says = |name, value| check_attribute("a", name, value).err().map(|e| e.to_string());
        assert_eq!(says("age", "34"), None);
        let long = "x".repeat(129);
        for (name, value, expected) in [
            ("", "34", "a: a name is empty: give 1 to 64 bytes"),
            (&long, "", "a: a name has 129 bytes: at most 64 are allowed"),
            ("zip", &long, "a[\"zip\"] has 129 bytes: at most 128 are allowed"),
        ] {
            assert_eq!(says(name, value).as_deref(), Some(expected));
        }
    }
}
