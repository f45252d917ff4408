//! Which requests are refused first.

/// How much it costs to refuse a request, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A user waits for the answer.
    Interactive,
    /// A job waits, which can come again later.
    Batch,
    /// Nobody waits: it is answered for comparison only.
    Mirrored,
}

impl Priority {
    /// The part of a limit, in percent, up to which requests of this priority are admitted. What is left is kept for
    /// those above: at the limit, batches and mirrored requests find no place.
    pub fn share_percent(self) -> usize {
        match self {
            Self::Interactive => 100,
            Self::Batch => 75,
            Self::Mirrored => 50,
        }
    }

    /// The name by which it travels between nodes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
            Self::Mirrored => "mirrored",
        }
    }

    /// The priority of this name; none for any other text.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Interactive, Self::Batch, Self::Mirrored]
            .into_iter()
            .find(|priority| priority.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for priority in [Priority::Interactive, Priority::Batch, Priority::Mirrored] {
            assert_eq!(Priority::of_name(priority.name()), Some(priority));
        }
        assert_eq!(Priority::of_name("urgent"), None);
    }
}
