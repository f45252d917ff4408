//! Changes to the manifest's text that leave it nearly JSON, so that they get past the parser.

use crate::support::Random;
use std::ops::Range;

/// Numbers at the edges of what a manifest may say, and things that aren't numbers.
const VALUES: [&str; 28] = [
    "0",
    "1",
    "2",
    "3",
    "10",
    "20",
    "30",
    "140",
    "1023",
    "1024",
    "1025",
    "4096",
    "4097",
    "4294967294",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "0.5",
    "1e999",
    "1e-999",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "{\"rows\":0}",
];

/// Changes one number, string or element.
pub(super) fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    let numbers = tokens(text, |byte| byte.is_ascii_digit() || b"-+.eE".contains(&byte));
    let strings = strings(text);
    match random.below(8) {
        0..3 if !numbers.is_empty() => {
            let number = numbers[random.below(numbers.len())].clone();
            text.splice(number, VALUES[random.below(VALUES.len())].bytes());
        }
        3..5 if !strings.is_empty() => {
            let with = strings[random.below(strings.len())].clone();
            let with = text[with].to_vec();
            text.splice(strings[random.below(strings.len())].clone(), with);
        }
        5 if !strings.is_empty() => {
            let value = VALUES[random.below(VALUES.len())];
            text.splice(strings[random.below(strings.len())].clone(), value.bytes());
        }
        _ => {
            // An element goes, or comes twice.
            let mut commas = tokens(text, |byte| byte == b',');
            if commas.len() > 1 {
                let first = random.below(commas.len() - 1);
                let last = (first + 1 + random.below(3)).min(commas.len() - 1);
                let element =
                    commas.swap_remove(first).start..commas[last.min(commas.len() - 1)].start;
                let element = element.start..element.end.max(element.start);
                let twice = random.below(2) == 0;
                let again = if twice { text[element.clone()].repeat(2) } else { Vec::new() };
                text.splice(element, again);
            }
        }
    }
}

/// The runs of bytes of a class.
fn tokens(text: &[u8], class: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, &byte) in text.iter().chain([&0]).enumerate() {
        match (class(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                // What is all letters is a word.
                if text[from..at].iter().any(|byte| byte.is_ascii_digit() || *byte == b',') {
                    found.push(from..at);
                }
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The strings, with their quotes.
fn strings(text: &[u8]) -> Vec<Range<usize>> {
    let quotes: Vec<usize> = (0..text.len()).filter(|&at| text[at] == b'"').collect();
    quotes.chunks_exact(2).map(|pair| pair[0]..pair[1] + 1).collect()
}
