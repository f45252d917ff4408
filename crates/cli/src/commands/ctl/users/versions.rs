//! Versions whose training did not leave a user out.

use marquee_proto::control::v1::TrainedVersion;

/// Versions that a line names before it says only that there are more.
const MAX_NAMED_VERSIONS: usize = 10;

/// The names of the versions that were not trained up to this tombstone.
pub(super) fn trained_before(number: u64, versions: Vec<TrainedVersion>) -> Vec<String> {
    let before = versions.into_iter().filter(|it| it.forgotten_up_to < number);
    let versions = before.filter_map(|it| it.version);
    versions.map(|it| format!("{}@{}", it.model, it.version)).collect()
}

/// Some names, and that there are more.
pub(super) fn named(versions: &[String]) -> String {
    let mut shown = versions[..versions.len().min(MAX_NAMED_VERSIONS)].join(", ");
    if versions.len() > MAX_NAMED_VERSIONS {
        shown.push_str(", …");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::v1::ModelVersion;

    #[test]
    fn versions_that_were_trained_before_are_named() {
        let version = |version, forgotten_up_to| TrainedVersion {
            version: Some(ModelVersion { model: "films".into(), version }),
            forgotten_up_to,
        };
        let versions = vec![version(1, 0), version(2, 3), version(3, 4)];
        assert_eq!(trained_before(4, versions), ["films@1", "films@2"]);
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(named(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …");
    }
}
