//! Borg's patterns, as restic's exclude patterns: never one that leaves out more than Borg does.
//!
//! Borg's patterns begin at the root, and a `*` of its kind `fm` goes over slashes; restic's without a slash at the front fit
//! anywhere, and `*` stays in its folder while `**` is any number of folders.

/// What became of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The same.
    Same(String),
    /// One that leaves out a part of it.
    Less(String),
    /// There is none.
    None,
}

/// How a pattern without a selector is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As `fm:`; in `exclude_patterns`.
    Fnmatch,
    /// As `sh:`; in `patterns`.
    Shell,
}

/// Reads a pattern of Borg.
pub(super) fn pattern(text: &str, style: Style) -> Pattern {
    let (selector, text) = match text.split_once(':') {
        Some((selector @ ("fm" | "sh" | "re" | "pp" | "pf"), rest)) => (selector, rest),
        _ if style == Style::Shell => ("sh", text),
        _ => ("fm", text),
    };
    let path = text.trim_start_matches('/').trim_end_matches('/');
    // A class, a backslash, a variable and a tilde mean other things there, or nothing.
    let is_plain = !path.is_empty() && !path.contains(['[', ']', '\\', '$', '{']) && !path.starts_with('~');
    match selector {
        "pp" | "pf" if is_plain && !path.contains(['*', '?']) => Pattern::Same(format!("/{path}")),
        // A slash at the end is the folder's contents: the folder itself stays in Borg's archive, empty.
        "fm" if is_plain => fnmatch(path),
        "sh" if is_plain => Pattern::Same(format!("/{path}")),
        _ => Pattern::None,
    }
}

/// Puts `*`s that go over slashes in restic's words.
fn fnmatch(path: &str) -> Pattern {
    let parts: Vec<String> = path.split('/').map(squeezed).collect();
    let mut is_same = true;
    let mut out = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        // Whatever a star at the front takes of folders above it; at the very front a pattern without a slash does so.
        if at > 0 && part.starts_with('*') {
            out.push("**".to_owned());
        }
        out.push(part.clone());
        if part != "*" && part.ends_with('*') && at + 1 < parts.len() {
            out.push("**".to_owned());
        }
        is_same &= !part.trim_matches('*').contains('*');
    }
    let text = out.join("/");
    let text = if path.starts_with('*') { text } else { format!("/{text}") };
    if is_same { Pattern::Same(text) } else { Pattern::Less(text) }
}

/// Returns a part with one star where several follow each other: to restic two are any number of folders.
fn squeezed(part: &str) -> String {
    let mut part = part.to_owned();
    while part.contains("**") {
        part = part.replace("**", "*");
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, style: Style, expected: &str) {
        let said = match pattern(text, style) {
            Pattern::Same(text) => text,
            Pattern::Less(text) => format!("less: {text}"),
            Pattern::None => "none".to_owned(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn borgs_patterns_never_leave_out_more() {
        let fm = |text, expected| check(text, Style::Fnmatch, expected);
        fm("*.pyc", "*.pyc");
        fm("/etc/ssl", "/etc/ssl");
        // Without a slash restic would leave out each folder of this name, wherever it lies.
        fm("junk", "/junk");
        fm("/home/*/.cache", "/home/**/*/.cache");
        fm("*/.cache", "*/.cache");
        fm("/var/log/*.log", "/var/log/**/*.log");
        fm("/srv/x*/y", "/srv/x*/**/y");
        fm("/srv/***/b", "/srv/**/*/b");
        fm("/srv/a*b", "less: /srv/a*b");
        fm("/srv/[!a]*", "none");
        fm("/srv/a\\*", "none");
        fm("~/*/.cache", "none");
        fm("sh:home/*/.cache", "/home/*/.cache");
        fm("sh:**/.cache", "/**/.cache");
        fm("pp:/home/a", "/home/a");
        fm("pp:/home/*", "none");
        fm("re:\\.tmp$", "none");
        check("/home/*/.cache", Style::Shell, "/home/*/.cache");
        check("fm:*.o", Style::Shell, "*.o");
    }
}
