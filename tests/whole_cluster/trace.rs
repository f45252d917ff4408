//! What happened, line by line: the same seed gives the same.

use crate::routers::Answered;

/// The run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) lines: Vec<String>,
}

impl Trace {
    /// Something happened at this moment.
    pub(crate) fn note(&mut self, now_ms: u64, what: &str, number: u64) {
        self.lines.push(format!("{now_ms} {what} {number}"));
    }

    /// A caller has an answer, or none. Ids of answers and wall clocks are no part of it.
    pub(crate) fn answer(&mut self, now_ms: u64, answered: &Answered) {
        let came_to = match &answered.result {
            Ok(responses) => {
                let mut epochs = Vec::new();
                for response in responses {
                    let epoch = response.served_by.as_ref().map_or(0, |served| served.plan_epoch);
                    let items = response.items.iter().map(|item| item.item_id.as_str());
                    epochs.push(format!("{epoch} {}", items.collect::<Vec<_>>().join(" ")));
                }
                epochs.join(", ")
            }
            Err(status) => format!("{:?}", status.code()),
        };
        let Answered { router, asked_ms, .. } = answered;
        self.lines.push(format!("{now_ms} router {router}, asked at {asked_ms}: {came_to}"));
    }

    /// The hash of all of it, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let hash = blake3::hash(self.lines.join("\n").as_bytes());
        hash.to_hex()[..16].to_owned()
    }
}
