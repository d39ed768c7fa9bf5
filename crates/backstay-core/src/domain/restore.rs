//! What of a snapshot is restored, and how.

use super::job::Reconciliation;

/// Most patterns of a restore, in each of its two lists.
pub const PATTERNS_MAX: usize = 1_000;

/// Most bytes of a pattern, and of a path: what the system takes as a path.
pub const PATTERN_BYTES_MAX: usize = 4_096;

/// What is brought back of a snapshot, and how it meets what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTerms {
    /// A folder of the snapshot whose content comes to lie in the target, names joined by `/`; empty for all of it.
    pub path: String,
    /// restic's patterns of what is restored; all when there is none. Paths begin at `path`.
    pub include: Vec<String>,
    /// restic's patterns of what is left out, also of what `include` takes. Paths begin at `path`.
    pub exclude: Vec<String>,
    /// How it meets what is there.
    pub reconciliation: Reconciliation,
    /// Whether what may lend rights is made: device nodes, setuid and setgid bits, capabilities. A tenant's snapshot may
    /// hold what would make its owner root on the agent's machine.
    pub special: bool,
    /// Whether every file is read back at the end and compared with the snapshot's hashes.
    pub read_back: bool,
}

impl Default for RestoreTerms {
    /// All of a snapshot to a new or empty folder, without what may lend rights.
    fn default() -> Self {
        Self {
            path: String::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            reconciliation: Reconciliation::Fail,
            special: false,
            read_back: false,
        }
    }
}

impl RestoreTerms {
    /// Judges what is cheap to judge. Whether a pattern is one, and whether the path is there, is found when the restore
    /// begins.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn judge(&self) -> Result<(), (&'static str, String)> {
        for (field, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            if patterns.len() > PATTERNS_MAX {
                return Err((field, format!("{} patterns are more than {PATTERNS_MAX}", patterns.len())));
            }
            if patterns.iter().any(|pattern| pattern.trim().is_empty()) {
                return Err((field, "one of the patterns is empty, and would match nothing".to_owned()));
            }
            text(field, patterns.iter().map(String::as_str))?;
        }
        text("path", [&*self.path])?;
        // A folder that is joined with a tree, or made the same as one, needs what no target can do yet.
        let can = !matches!(self.reconciliation, Reconciliation::Merge | Reconciliation::Mirror);
        let words = "a folder can do `fail`, `skip`, `overwrite`, `overwrite_if_changed` and `rename`";
        if can { Ok(()) } else { Err(("reconciliation", words.to_owned())) }
    }
}

impl RestoreTerms {
    /// Judges terms under which a stream goes back to its source: it goes whole, or not at all.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn judge_stream(&self) -> Result<(), (&'static str, String)> {
        let part = [("path", self.path.is_empty()), ("include", self.include.is_empty())];
        let part = part.into_iter().chain([("exclude", self.exclude.is_empty())]).find(|(_, is_empty)| !is_empty);
        if let Some((field, _)) = part {
            return Err((field, "what goes back to this source goes back whole".to_owned()));
        }
        match self.reconciliation {
            Reconciliation::Fail | Reconciliation::Overwrite => Ok(()),
            _ => Err(("reconciliation", "this source can do `fail` and `overwrite`".to_owned())),
        }
    }
}

/// Refuses text that can be no path.
fn text<'a>(field: &'static str, texts: impl IntoIterator<Item = &'a str>) -> Result<(), (&'static str, String)> {
    for text in texts {
        if text.len() > PATTERN_BYTES_MAX {
            return Err((field, format!("a text of {} bytes is longer than any path", text.len())));
        }
        if text.contains('\0') {
            return Err((field, "holds a NUL byte, which no path does".to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_done_is_refused_with_its_field() {
        let refused = |terms: RestoreTerms| terms.judge().map_err(|(field, _)| field).unwrap_err();
        let terms = RestoreTerms::default;
        assert!(terms().judge().is_ok());
        assert!(RestoreTerms { include: vec!["/etc/*.conf".to_owned()], ..terms() }.judge().is_ok());
        assert_eq!(refused(RestoreTerms { include: vec![" ".to_owned()], ..terms() }), "include");
        assert_eq!(refused(RestoreTerms { exclude: vec!["a".to_owned(); PATTERNS_MAX + 1], ..terms() }), "exclude");
        assert_eq!(refused(RestoreTerms { exclude: vec!["a\0".to_owned()], ..terms() }), "exclude");
        assert_eq!(refused(RestoreTerms { path: "x".repeat(PATTERN_BYTES_MAX + 1), ..terms() }), "path");
        for reconciliation in [Reconciliation::Merge, Reconciliation::Mirror] {
            assert_eq!(refused(RestoreTerms { reconciliation, ..terms() }), "reconciliation");
        }
    }
}
