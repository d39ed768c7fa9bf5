//! What is wrong with a file, where, and what would be right; and how that is shown: the line, a caret under the place,
//! a sentence.

use std::fmt::Write as _;

/// Narrowest that a line of a file is shown: below it nobody can read anything.
const WIDTH_MIN: usize = 24;

/// Where something stands in a file; `length` letters of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in letters.
    pub column: usize,
    /// In letters, at least 1.
    pub length: usize,
}

impl Place {
    /// Makes a place.
    pub const fn new(line: usize, column: usize, length: usize) -> Self {
        Self { line, column, length }
    }
}

/// Something wrong, or worth a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub at: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty when the message says it.
    pub hint: String,
    /// Whether what stands there must not be shown.
    pub is_secret: bool,
}

impl Mistake {
    /// Says what is wrong at a place.
    pub fn new(at: Place, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: String::new(), is_secret: false }
    }

    /// Says what would be right.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }

    /// Hides what stands there.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Says that a word is none of those that may stand there, with the one that was meant, if there is one like it.
    pub fn unknown<'a>(at: Place, message: String, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let hint = match nearest(given, known.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None if known.is_empty() => String::new(),
            None => format!("There is {}.", listed(&known)),
        };
        Self::new(at, message).hint(&hint)
    }
}

/// Returns words for a sentence: `a`, `b` and `c`.
pub fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}

/// Returns the word that was most likely meant; none when none is near.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' ', '.'], "_");
    let given = plain(given);
    let far = |word: &str| match plain(word) {
        word if word == given => 0,
        // `password_reference` for `password`, `plan` for `plans`.
        word if word.len() > 2 && given.len() > 2 && (word.starts_with(&given) || given.starts_with(&word)) => 1,
        word => strsim::damerau_levenshtein(&word, &given),
    };
    let near = known.into_iter().map(|word| (far(word), word)).min_by_key(|(far, _)| *far)?;
    (near.0 <= ((given.chars().count() + 1) / 3).min(3)).then_some(near.1)
}

/// A mistake, or a warning that stops nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It must be mended.
    Error,
    /// It may be meant.
    Warning,
}

/// How mistakes are shown.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether colours may be used.
    pub color: bool,
}

/// Shows mistakes of a file, in the order of their places, each with its line and a caret below the place.
pub fn render(name: &str, text: &str, mistakes: &[Mistake], weight: Weight, look: Look) -> String {
    let mut sorted: Vec<&Mistake> = mistakes.iter().collect();
    sorted.sort();
    sorted.dedup();
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for mistake in sorted {
        one(&mut out, name, &lines, mistake, weight, look);
    }
    out
}

fn one(out: &mut String, name: &str, lines: &[&str], mistake: &Mistake, weight: Weight, look: Look) {
    let (word, colour) = match weight {
        Weight::Error => ("error", "\x1b[1;31m"),
        Weight::Warning => ("warning", "\x1b[1;33m"),
    };
    let paint = |code: &str, text: &str| if look.color { format!("{code}{text}\x1b[0m") } else { text.to_owned() };
    let message = wrapped(&shown(&mistake.message), look.width, word.len() + 2, 7);
    let _ = writeln!(out, "{}: {message}", paint(colour, word));
    let Place { line, column, length } = mistake.at;
    let margin = line.to_string().len();
    let _ = writeln!(out, "{:margin$}{} {}:{line}:{column}", "", paint("\x1b[1;34m", "-->"), shown(name));
    let source = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
    let (source, length) = hidden(source, mistake, length);
    let (source, before, length) = window(&source, column - 1, length, look.width.saturating_sub(margin + 3));
    let bar = paint("\x1b[1;34m", "|");
    let _ = writeln!(out, "{} {bar} {source}", paint("\x1b[1;34m", &line.to_string()));
    let _ = writeln!(out, "{:margin$} {bar} {:before$}{}", "", "", paint(colour, &"^".repeat(length)));
    if !mistake.hint.is_empty() {
        let hint = wrapped(&shown(&mistake.hint), look.width, margin + 9, margin + 9);
        let _ = writeln!(out, "{:margin$} = help: {hint}", "");
    }
    out.push('\n');
}

/// Words of keys whose values are secrets.
const SECRETS: [&str; 7] = ["pass", "secret", "token", "credential", "private", "access_key", "apikey"];

/// Says whether a key is one whose value is a secret, whatever stands there.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    SECRETS.iter().any(|word| key.contains(word)) && !key.ends_with("_file") && !key.ends_with("_id")
}

/// Returns a line without what must not be shown: the place itself, and the value of a key that looks like a secret's.
fn hidden(source: &str, mistake: &Mistake, length: usize) -> (String, usize) {
    const MASK: &str = "********";
    let letters: Vec<char> = source.chars().collect();
    let start = mistake.at.column - 1;
    if mistake.is_secret && start < letters.len() {
        let before: String = letters[..start].iter().collect();
        return (format!("{before}{MASK}"), MASK.len());
    }
    if let Some((key, value)) = source.split_once(": ") {
        let value = value.trim().trim_matches(['"', '\'']);
        let is_reference =
            ["sealed:", "file:", "env:", "credential:", "{", "&", "*"].iter().any(|head| value.starts_with(head));
        let is_secret = is_secret_key(key) || nearest(key.trim(), ["password", "secret", "token"]).is_some();
        if is_secret && !is_reference && !value.is_empty() && start <= key.chars().count() {
            return (format!("{key}: {MASK}"), length);
        }
    }
    // A line of a `.env` whose name is wrong: nobody knows what stands behind it.
    if let Some((name, value)) = source.split_once('=') {
        let variable = name.trim_start();
        let variable = variable.strip_prefix("export ").unwrap_or(variable);
        let is_name =
            !variable.is_empty() && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if is_name && !value.is_empty() && start < name.chars().count() {
            return (format!("{name}={MASK}"), length);
        }
    }
    (source.to_owned(), length)
}

/// Returns the part of a line that fits and has the place in it, with the place there.
fn window(source: &str, start: usize, length: usize, width: usize) -> (String, usize, usize) {
    let width = width.max(WIDTH_MIN);
    let letters: Vec<char> = shown(&source.replace('\t', " ")).chars().collect();
    if letters.len() <= width {
        return (letters.iter().collect(), start, length);
    }
    let length = length.min(width - 2);
    let first = (start + length + 1).saturating_sub(width).min(start);
    let last = (first + width).min(letters.len());
    let mut part = letters[first..last].to_vec();
    if first > 0 && start > first {
        part[0] = '…';
    }
    if last < letters.len() && start + length < last {
        let end = part.len() - 1;
        part[end] = '…';
    }
    (part.into_iter().collect(), start - first, length)
}

/// Returns a text without what a terminal would obey.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hides =
            matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || hides || letter == '\u{feff}' { out.push('\u{fffd}') } else { out.push(letter) }
    }
    out
}

/// Returns a text in lines of at most `width`, where the first begins after `first` letters and the others after `rest`.
fn wrapped(text: &str, width: usize, first: usize, rest: usize) -> String {
    let mut out = String::new();
    let mut at = first;
    for (index, word) in text.split(' ').enumerate() {
        let letters = word.chars().count();
        if index > 0 && at + 1 + letters > width.max(WIDTH_MIN) {
            let _ = write!(out, "\n{:rest$}", "");
            at = rest;
        } else if index > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += letters;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { width: 80, color: false };

    #[test]
    fn a_mistake_is_shown_below_its_line() {
        let text = "plans:\n  web:\n    retention: {keep_dayly: 7}\n";
        let mistake = Mistake::unknown(
            Place::new(3, 17, 10),
            "`retention` has no key `keep_dayly`".to_owned(),
            "keep_dayly",
            ["keep_last", "keep_daily"],
        );
        assert_eq!(
            render("b.yaml", text, &[mistake], Weight::Error, LOOK),
            "error: `retention` has no key `keep_dayly`\n --> b.yaml:3:17\n3 |     retention: {keep_dayly: 7}\n  |                 ^^^^^^^^^^\n  = help: Did you mean `keep_daily`?\n\n"
        );
    }

    #[test]
    fn at_forty_columns_the_place_is_still_in_sight() {
        let text = format!("a: {}wrong{}\n", "x".repeat(100), "y".repeat(100));
        let mistake =
            Mistake::new(Place::new(1, 104, 5), "a long message that has to go on in the next line of the screen");
        let shown = render("b.yaml", &text, &[mistake], Weight::Error, Look { width: 40, color: false });
        assert!(shown.lines().all(|line| line.chars().count() <= 40), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let source = lines.iter().position(|line| line.contains("wrong") && line.contains('|')).unwrap();
        assert_eq!(
            lines[source].find("wrong").map(|at| lines[source][..at].chars().count()),
            lines[source + 1].find("^^^^^")
        );
    }

    #[test]
    fn secrets_are_not_repeated() {
        let text = "password: hunter2\npasword: hunter2\npassword: sealed:home\n";
        let own = Mistake::new(Place::new(1, 11, 7), "x").secret();
        let typo = Mistake::new(Place::new(2, 1, 7), "x");
        let reference = Mistake::new(Place::new(3, 1, 8), "x");
        let shown = render("b.yaml", text, &[own, typo, reference], Weight::Error, LOOK);
        assert!(!shown.contains("hunter2") && shown.contains("sealed:home"), "{shown}");
        let text = "export BACKSTAY_SECRET_OFF-SITE=hunter2\nBACKSTAY_SECRT_HOME=hunter2\n";
        let mistakes = [Mistake::new(Place::new(1, 8, 24), "x"), Mistake::new(Place::new(2, 1, 19), "x")];
        let shown = render(".env", text, &mistakes, Weight::Error, LOOK);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("OFF-SITE=") && shown.contains("SECRT_HOME="), "{shown}");
    }

    #[test]
    fn the_word_that_was_meant_is_found() {
        let known = ["keep_daily", "keep_weekly", "password", "plans"];
        assert_eq!(nearest("keep-daily", known), Some("keep_daily"));
        assert_eq!(nearest("keep_weakly", known), Some("keep_weekly"));
        assert_eq!(nearest("password_reference", known), Some("password"));
        assert_eq!(nearest("plan", known), Some("plans"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
