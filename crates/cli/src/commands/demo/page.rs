//! How the demo prints: numbered headings, indented lines, colours on a terminal only.

use crate::output;
use crate::output::{shown, stdout_has_colours};
use marquee_core::text::shown_lines;
use std::io;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";

/// Prints the demo's lines to stdout.
#[derive(Debug)]
pub(super) struct Page {
    colours: bool,
    chapters: u32,
    /// The first word of every line that shows data; empty for real data.
    label: &'static str,
}

impl Default for Page {
    fn default() -> Self {
        Self { colours: stdout_has_colours(), chapters: 0, label: "" }
    }
}

impl Page {
    /// Puts `label` before every later line that shows data.
    pub(super) fn label(&mut self, label: &'static str) {
        self.label = label;
    }

    /// Prints the numbered heading of the next chapter.
    pub(super) fn chapter(&mut self, title: &str) -> io::Result<()> {
        self.chapters += 1;
        let title = self.paint(BOLD, &format!("{}. {title}", self.chapters));
        output::painted_line(format!("\n{title}"))
    }

    /// Prints a line about the demo itself.
    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        output::painted_line(format!("   {}", self.paint(DIM, &shown(text))))
    }

    /// Prints a line that shows data, with the label if the data is generated.
    pub(super) fn data(&self, text: &str) -> io::Result<()> {
        let text = &*shown(text);
        match self.label {
            "" => output::painted_line(format!("   {text}")),
            // Titles carry the label already.
            label if text.contains(label) => output::painted_line(format!("   {text}")),
            label => output::painted_line(format!("   {label} {text}")),
        }
    }

    /// Prints a command to be copied.
    pub(super) fn command(&self, text: &str) -> io::Result<()> {
        output::painted_line(format!("   {}", self.paint(GREEN, &shown_lines(text))))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
