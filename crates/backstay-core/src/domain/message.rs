//! What a person is told, before it has the form of a mail or of a document: a subject, what it is about, what to do.
//!
//! Each channel renders the same [`Message`]. Texts in it come from anywhere (an item may be named `<script>`): who renders
//! escapes. Absent on purpose: HTML, MIME, JSON.

use jiff::Timestamp;

use super::alert::Severity;

/// Longest subject, in letters: what phones show of one, twice over.
pub const SUBJECT_LETTERS_MAX: usize = 150;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Something is not well.
    Alert,
    /// Something is well again.
    End,
    /// A window is over.
    Digest,
    /// A person wants to see whether it arrives.
    Test,
    /// A plan's backup began: for channels of the kind `ping` alone, as the two below.
    Started,
    /// A plan's backup came to a good end.
    Succeeded,
    /// A plan's backup did not.
    Failed,
}

super::job::words!(Purpose: Alert = "alert", End = "end", Digest = "digest", Test = "test", Started = "started",
    Succeeded = "succeeded", Failed = "failed");

impl Purpose {
    /// Says whether it is a sign of life. Of those the newest alone counts: it takes the place of those that wait.
    pub const fn is_ping(self) -> bool {
        matches!(self, Self::Started | Self::Succeeded | Self::Failed)
    }
}

/// A part of a message: a heading and lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// How bad what stands there is.
    pub severity: Severity,
    /// The lines.
    pub lines: Vec<String>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub purpose: Purpose,
    /// How bad.
    pub severity: Severity,
    /// One line, without control letters.
    pub subject: String,
    /// A sentence or two.
    pub lead: String,
    /// Names and values, such as `item` and its name.
    pub facts: Vec<(String, String)>,
    /// Longer parts.
    pub sections: Vec<Section>,
    /// What the reader can do now.
    pub next_steps: Vec<String>,
    /// When it was made.
    pub at: Timestamp,
}

/// Returns a text as one line for a subject: control letters become spaces, what is too long is cut.
pub fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|letter| if is_odd(letter) { ' ' } else { letter }).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SUBJECT_LETTERS_MAX {
        return line;
    }
    let mut cut: String = line.chars().take(SUBJECT_LETTERS_MAX - 1).collect();
    cut.push('…');
    cut
}

/// Says whether a letter has no place in a line that others read: it ends lines, or turns their direction around.
fn is_odd(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Message {
    /// Returns the message as plain text.
    pub fn text(&self) -> String {
        let mut lines = vec![self.subject.clone(), String::new(), self.lead.clone()];
        if !self.facts.is_empty() {
            lines.push(String::new());
        }
        let width = self.facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        lines.extend(self.facts.iter().map(|(name, value)| format!("{name:width$}  {value}")));
        for section in &self.sections {
            lines.extend([String::new(), format!("{}:", section.heading)]);
            lines.extend(section.lines.iter().map(|line| format!("  {line}")));
        }
        if !self.next_steps.is_empty() {
            lines.extend([String::new(), "What you can do:".to_owned()]);
            lines.extend(self.next_steps.iter().map(|step| format!("  - {step}")));
        }
        lines.extend([String::new(), format!("Backstay, {:.0}", self.at)]);
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line() {
        for (text, expected) in [
            ("a b", "a b"),
            ("a\r\nBcc: x@y.example", "a Bcc: x@y.example"),
            ("a\u{2028}b\u{202e}c\0d", "a b c d"),
            ("  a  ", "a"),
        ] {
            assert_eq!(one_line(text), expected);
        }
        let long = one_line(&"ä".repeat(500));
        assert_eq!((long.chars().count(), long.chars().last()), (SUBJECT_LETTERS_MAX, Some('…')));
    }

    #[test]
    fn the_text_has_all_parts() {
        let message = Message {
            purpose: Purpose::Alert,
            severity: Severity::Error,
            subject: "Overdue: /home".to_owned(),
            lead: "No good snapshot for 2h 0m.".to_owned(),
            facts: vec![("item".to_owned(), "/home".to_owned()), ("tenant".to_owned(), "ada".to_owned())],
            sections: vec![Section {
                heading: "Failing".to_owned(),
                severity: Severity::Error,
                lines: vec!["x".to_owned()],
            }],
            next_steps: vec!["look".to_owned()],
            at: "2026-11-21T08:00:00.5Z".parse().unwrap(),
        };
        assert_eq!(
            message.text(),
            "Overdue: /home\n\nNo good snapshot for 2h 0m.\n\nitem    /home\ntenant  ada\n\nFailing:\n  x\n\n\
             What you can do:\n  - look\n\nBackstay, 2026-11-21T08:00:00Z\n"
        );
    }
}
