//! The estimates of an evaluation within each segment of the answers' requests. Pure.

use marquee_core::off_policy::LoggedAnswer;
use marquee_core::plan::{SegmentSet, Segments};
use std::collections::HashMap;

/// The answers of one segment.
pub(super) struct SegmentAnswers {
    /// The segment's name.
    pub(super) name: String,
    /// The numbers of its answers in the log.
    pub(super) numbers: Vec<usize>,
    /// The answers, whose users are numbered from 0 anew.
    pub(super) answers: Vec<LoggedAnswer>,
    /// By those numbers, the users' numbers in the log.
    pub(super) users: Vec<u32>,
}

impl SegmentAnswers {
    /// Of one list for each answer of the log, those of the segment.
    pub(super) fn select(&self, lists: &[Vec<u32>]) -> Vec<Vec<u32>> {
        self.numbers.iter().map(|&number| lists[number].clone()).collect()
    }
}

/// The answers of each segment, and how many answers are of none of these segments. `sets`: one for each answer.
pub(super) fn split(
    segments: &Segments,
    answers: &[LoggedAnswer],
    sets: &[SegmentSet],
) -> (Vec<SegmentAnswers>, usize) {
    let mut without = 0;
    let empty =
        |name| SegmentAnswers { name, numbers: Vec::new(), answers: Vec::new(), users: Vec::new() };
    let mut all: Vec<SegmentAnswers> = segments.names().into_iter().map(empty).collect();
    let mut renumbered: Vec<HashMap<u32, u32>> = vec![HashMap::new(); all.len()];
    for (number, (answer, set)) in answers.iter().zip(sets).enumerate() {
        if set.mark() != segments.mark() {
            without += 1;
            continue;
        }
        for segment in set.numbers() {
            let Some(of_segment) = all.get_mut(segment) else { continue };
            let next = of_segment.users.len() as u32;
            let user = *renumbered[segment].entry(answer.user).or_insert(next);
            if user == next {
                of_segment.users.push(answer.user);
            }
            of_segment.numbers.push(number);
            of_segment.answers.push(LoggedAnswer { user, shown: answer.shown.clone() });
        }
    }
    (all, without)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::SegmentedAttribute;

    #[test]
    fn answers_are_split_and_users_numbered_anew() {
        let attribute = SegmentedAttribute { name: "region".into(), values: vec!["de".into()] };
        let segments = Segments::new(&[attribute]).expect("usable");
        let of = |bits| SegmentSet::new(bits, segments.mark());
        let answer = |user| LoggedAnswer { user, shown: Vec::new() };
        let answers = [answer(7), answer(3), answer(7), answer(1), answer(9)];
        let others = SegmentSet::new(1, segments.mark() ^ 1);
        let sets = [of(1), of(2), of(1), of(1), others];
        let (split, without) = split(&segments, &answers, &sets);
        assert_eq!((split.len(), without), (2, 1));
        for (found, name, numbers, users, users_in_log) in [
            (&split[0], "region=de", vec![0, 2, 3], vec![0, 0, 1], vec![7, 1]),
            (&split[1], "region=other", vec![1], vec![0], vec![3]),
        ] {
            let renumbered: Vec<u32> = found.answers.iter().map(|answer| answer.user).collect();
            assert_eq!((&found.name[..], &found.numbers), (name, &numbers));
            assert_eq!((renumbered, &found.users), (users, &users_in_log), "{name}");
        }
        let lists: Vec<Vec<u32>> = (0..5).map(|item| vec![item]).collect();
        assert_eq!(split[0].select(&lists), [[0], [2], [3]]);
    }
}
