//! An answer as a table: titles, scores, and what they are due to.

use crate::output::{self, count, table};
use marquee_proto::v1::{Coverage, FallbackReason, RecommendedItem, ServedBy, Variant};

/// Characters of a title that are shown: longer ones make rows that no terminal has.
const MAX_TITLE: usize = 48;

/// What a table shows of an answer.
pub(super) struct Shown {
    pub(super) items: Vec<RecommendedItem>,
    pub(super) served_by: Option<ServedBy>,
    pub(super) coverage: Option<Coverage>,
    /// Of answers to users.
    pub(super) fallback: Option<FallbackReason>,
    /// Whether no item has any word of the text.
    pub(super) has_unknown_words: bool,
}

/// The lines of an answer.
pub(super) fn lines_of_answer(shown: &Shown) -> String {
    let mut lines = vec![head(shown)];
    if shown.items.is_empty() {
        let nothing =
            if shown.has_unknown_words { "no item has any of these words" } else { "no items" };
        lines.push(nothing.into());
        return lines.join("\n");
    }
    let reasons: Vec<String> = shown.items.iter().map(because).collect();
    let is_explained = reasons.iter().any(|reason| !reason.is_empty());
    let mut headings = vec!["", "TITLE", "ITEM", "SCORE"];
    if is_explained {
        headings.push("BECAUSE OF");
    }
    let mut rows = table(&headings);
    for ((rank, item), reason) in (1..).zip(&shown.items).zip(reasons) {
        let title = if item.title.is_empty() { "-".into() } else { cut(&item.title) };
        let mut row =
            vec![rank.to_string(), title, item.item_id.clone(), format!("{:.3}", item.score)];
        if is_explained {
            row.push(reason);
        }
        rows.add_row(row);
    }
    lines.push(output::lines_of(&rows));
    lines.join("\n")
}

/// Who answered, and what is special about it.
fn head(shown: &Shown) -> String {
    let served = shown.served_by.clone().unwrap_or_default();
    let mut words = vec![format!("{} on {}", served.ensemble, served.surface)];
    match served.variant() {
        Variant::Unspecified => {}
        Variant::Baseline => words.push(format!("baseline of {}", served.rollout_id)),
        Variant::Candidate => words.push(format!("candidate of {}", served.rollout_id)),
        Variant::Interleaved => {
            words.push(format!("interleaved with {}", served.interleaved_with));
        }
    }
    if !served.arm.is_empty() {
        words.push(format!("arm {} of {}", served.arm, served.experiment_id));
    }
    words.extend(shown.fallback.and_then(fallback_in_words).map(str::to_owned));
    if let Some(Coverage { shards_total, shards_answered, .. }) = &shown.coverage
        && shards_answered < shards_total
    {
        let all = count((*shards_total).into(), "shard");
        words.push(format!("only {shards_answered} of {all} answered"));
    }
    words.join("; ")
}

fn fallback_in_words(reason: FallbackReason) -> Option<&'static str> {
    match reason {
        FallbackReason::Unspecified => None,
        FallbackReason::UnknownUser => Some("popular items: no model knows the user"),
        FallbackReason::NoHistory => Some("popular items: the user has no history"),
        FallbackReason::RecentItems => Some("by recent items alone"),
        FallbackReason::Profile => Some("what users with these attributes like"),
        FallbackReason::UserShardUnavailable => {
            Some("popular items: the user's shard did not answer")
        }
    }
}

/// The items that raise an item's score, with their shares of it; empty if it was not explained.
pub(in crate::commands) fn because(item: &RecommendedItem) -> String {
    let mut words = Vec::new();
    for explanation in &item.explanations {
        for part in explanation.attributions.iter().filter(|part| part.share > 0.0) {
            let name = if part.title.is_empty() { &part.item_id } else { &part.title };
            words.push(format!("{} {:.0} %", cut(name), part.share * 100.0));
        }
        if let Some(neighbours) = &explanation.neighbours {
            words.push(count(neighbours.count.into(), "similar user"));
        }
    }
    words.join(", ")
}

/// The first characters of a title.
fn cut(title: &str) -> String {
    if title.chars().count() <= MAX_TITLE {
        return title.to_owned();
    }
    title.chars().take(MAX_TITLE - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::v1::{Attribution, Explanation};

    fn shown(items: Vec<RecommendedItem>) -> Shown {
        let served_by = ServedBy {
            surface: "default".into(),
            ensemble: "films@1".into(),
            ..Default::default()
        };
        let coverage = Coverage { shards_total: 2, shards_answered: 1, ..Default::default() };
        Shown {
            items,
            served_by: Some(served_by),
            coverage: Some(coverage),
            fallback: Some(FallbackReason::Profile),
            has_unknown_words: false,
        }
    }

    #[test]
    fn titles_scores_and_reasons_are_columns() {
        let part =
            |title: &str, share| Attribution { title: title.into(), share, ..Default::default() };
        let attributions = vec![part("Alien (1979)", 0.255), part("Heat (1995)", -0.5)];
        let explained = RecommendedItem {
            item_id: "f1".into(),
            score: 0.5,
            title: "x".repeat(60),
            explanations: vec![Explanation { attributions, ..Default::default() }],
        };
        let bare = RecommendedItem { item_id: "f2".into(), score: -1.25, ..Default::default() };
        let lines = lines_of_answer(&shown(vec![explained, bare]));
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            "films@1 on default; what users with these attributes like; only 1 of 2 shards answered"
        );
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["TITLE", "ITEM", "SCORE", "BECAUSE", "OF"]
        );
        assert!(lines[2].ends_with("…  f1    0.500   Alien (1979) 26 %"), "{}", lines[2]);
        assert!(lines[3].ends_with("f2    -1.250"), "{}", lines[3]);
    }

    #[test]
    fn nothing_is_said_in_words() {
        let mut nothing = shown(Vec::new());
        assert!(lines_of_answer(&nothing).ends_with("\nno items"));
        nothing.has_unknown_words = true;
        assert!(lines_of_answer(&nothing).ends_with("no item has any of these words"));
    }
}
