//! Whether an output is what a page shows.

/// Stands for anything.
const ANYTHING: char = '…';

/// Whether `output` is `expected`, where `…` in a line stands for anything and a line of nothing else for any
/// lines. Spaces at the ends of lines, and empty lines at the end, do not count.
pub(crate) fn matches(output: &str, expected: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(|l| l.trim_end().to_owned()).collect();
    let (output, expected): (Vec<String>, Vec<String>) = (lines(output), lines(expected));
    sequence_matches(&output, &expected, &|line| line.trim() == "…", &|line, wanted| {
        let (line, wanted): (Vec<char>, Vec<char>) =
            (line.chars().collect(), wanted.chars().collect());
        sequence_matches(&line, &wanted, &|c| *c == ANYTHING, &|c, wanted| c == wanted)
    })
}

/// Whether `given` is `wanted`, in which wildcards stand for any number of elements.
fn sequence_matches<T>(
    given: &[T],
    wanted: &[T],
    is_wildcard: &dyn Fn(&T) -> bool,
    is_equal: &dyn Fn(&T, &T) -> bool,
) -> bool {
    // Where the last wildcard stood, and how much of `given` it has taken: the only place to go back to.
    let (mut g, mut w, mut back) = (0, 0, None);
    while g < given.len() {
        if w < wanted.len() && is_wildcard(&wanted[w]) {
            back = Some((g, w));
            w += 1;
        } else if w < wanted.len() && is_equal(&given[g], &wanted[w]) {
            (g, w) = (g + 1, w + 1);
        } else if let Some((taken, wildcard)) = back {
            back = Some((taken + 1, wildcard));
            (g, w) = (taken + 1, wildcard + 1);
        } else {
            return false;
        }
    }
    wanted[w..].iter().all(is_wildcard)
}

#[test]
fn wildcards_stand_for_anything_and_nothing_else_does() {
    assert!(matches("a\nb 12 ms\n\n", "a\nb … ms\n"));
    assert!(matches("a\nb\nc\nd", "a\n…\nd"));
    assert!(matches("a\nd", "a\n  …\nd"));
    assert!(matches("x=1, y=2", "x=…, y=…"));
    assert!(!matches("a\nb 12 s", "a\nb … ms"));
    assert!(!matches("a\nb", "a"));
    assert!(!matches("a", "a\nb"));
    assert!(!matches("", "a"));
}
