//! How the demo looks: numbered headings, indented facts, colours on a terminal only.

use crate::output;
use crate::output::stdout_has_colours;
use std::io;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";

/// What is printed to.
#[derive(Debug)]
pub(super) struct Page {
    colours: bool,
    chapters: u32,
    /// What begins every line that shows data; empty for real data.
    label: &'static str,
}

impl Default for Page {
    fn default() -> Self {
        Self { colours: stdout_has_colours(), chapters: 0, label: "" }
    }
}

impl Page {
    /// From now on every line that shows data begins with this.
    pub(super) fn label(&mut self, label: &'static str) {
        self.label = label;
    }

    /// Begins a chapter.
    pub(super) fn chapter(&mut self, title: &str) -> io::Result<()> {
        self.chapters += 1;
        let title = self.paint(BOLD, &format!("{}. {title}", self.chapters));
        output::line(format!("\n{title}"))
    }

    /// A line about the demo itself.
    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        output::line(format!("   {}", self.paint(DIM, text)))
    }

    /// A line that shows something of the data, labelled if that is made up.
    pub(super) fn data(&self, text: &str) -> io::Result<()> {
        match self.label {
            "" => output::line(format!("   {text}")),
            // Titles carry the label already.
            label if text.contains(label) => output::line(format!("   {text}")),
            label => output::line(format!("   {label} {text}")),
        }
    }

    /// A line to be copied.
    pub(super) fn command(&self, text: &str) -> io::Result<()> {
        output::line(format!("   {}", self.paint(GREEN, text)))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.colours {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}
