//! Patterns of paths, with restic's rules: what `--exclude` and `--include` mean.
//!
//! A pattern is cut at `/` into parts. A part is matched as Go's `filepath.Match` does (`*`, `?`, `[a-z]`, `[^a]`, `\`
//! before a letter); the part `**` stands for any number of parts, none too. A pattern that begins with `/` must match
//! from the root on; any other may begin at any part. Whatever lies below a path that matches, matches too. `!` before a
//! pattern takes back what earlier ones of the list matched.
//!
//! Pure functions: no file is looked at. Bytes that are no UTF-8 count as one letter each. Who comes in: excludes of a
//! backup, includes and excludes of a restore.

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` {problem}")]
pub struct PatternError {
    /// The pattern, as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Whether letters of different case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They are not.
    Matters,
    /// They are: `--iexclude`, `--iinclude`.
    Ignored,
}

/// What a list of patterns says of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Match {
    /// The path matches.
    pub matched: bool,
    /// Something below the path may match.
    pub child_may_match: bool,
}

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`.
    Any,
    /// No letter in it is special.
    Plain(Vec<u8>),
    /// What `filepath.Match` understands.
    Glob(Vec<u8>),
}

/// A pattern that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    anchored: bool,
    negated: bool,
    case: Case,
}

impl Pattern {
    /// Judges a pattern.
    ///
    /// # Errors
    /// [`PatternError`] when it is empty or a part of it is malformed.
    pub fn new(pattern: &[u8], case: Case) -> Result<Self, PatternError> {
        let wrong = |problem| PatternError { pattern: String::from_utf8_lossy(pattern).into_owned(), problem };
        let (negated, text) = pattern.strip_prefix(b"!").map_or((false, pattern), |rest| (true, rest));
        if text.is_empty() {
            return Err(wrong("is empty"));
        }
        let text = folded(text, case);
        let anchored = text.first() == Some(&b'/');
        let mut parts: Vec<Part> = Vec::new();
        for part in text.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." if matches!(parts.last(), Some(last) if *last != Part::Plain(b"..".to_vec())) => {
                    parts.pop();
                }
                b".." if anchored => {}
                b"**" => parts.push(Part::Any),
                part if part.iter().any(|byte| b"\\[]*?".contains(byte)) => {
                    glob(part, b"").map_err(wrong)?;
                    parts.push(Part::Glob(part.to_vec()));
                }
                part => parts.push(Part::Plain(part.to_vec())),
            }
        }
        // Go's `filepath.Clean` makes `.` of nothing.
        if parts.is_empty() && !anchored {
            parts.push(Part::Plain(b".".to_vec()));
        }
        Ok(Self { parts, anchored, negated, case })
    }

    /// Says whether the pattern, without its `!`, matches a path that was cut into parts.
    fn matches(&self, path: &[&[u8]]) -> bool {
        if self.anchored {
            return begins_with(&self.parts, path);
        }
        (0..=path.len()).any(|from| begins_with(&self.parts, &path[from..]))
    }

    /// Says whether it may match something below a path.
    fn may_match_below(&self, path: &[&[u8]]) -> bool {
        !self.anchored || leads_on(&self.parts, path)
    }
}

/// Says whether the first parts of a path, or all, are those of a pattern.
fn begins_with(parts: &[Part], path: &[&[u8]]) -> bool {
    match parts.split_first() {
        None => true,
        Some((Part::Any, rest)) => (0..=path.len()).any(|from| begins_with(rest, &path[from..])),
        Some((part, rest)) => {
            path.split_first().is_some_and(|(name, below)| part.takes(name) && begins_with(rest, below))
        }
    }
}

/// Says whether a path matches a pattern as far as the shorter of them goes.
fn leads_on(parts: &[Part], path: &[&[u8]]) -> bool {
    match (parts.split_first(), path.split_first()) {
        (None, _) | (_, None) | (Some((Part::Any, _)), _) => true,
        (Some((part, rest)), Some((name, below))) => part.takes(name) && leads_on(rest, below),
    }
}

impl Part {
    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Plain(text) => text == name,
            // It was judged when the pattern was made.
            Self::Glob(text) => glob(text, name) == Ok(true),
        }
    }
}

/// A list of patterns, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

impl Patterns {
    /// Adds a pattern at the end.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn push(&mut self, pattern: &[u8], case: Case) -> Result<(), PatternError> {
        self.patterns.push(Pattern::new(pattern, case)?);
        Ok(())
    }

    /// Makes a list of patterns in which case matters.
    ///
    /// # Errors
    /// [`PatternError`] of the first that is refused.
    pub fn new<T: AsRef<[u8]>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let mut list = Self::default();
        patterns.into_iter().try_for_each(|pattern| list.push(pattern.as_ref(), Case::Matters))?;
        Ok(list)
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns what the list says of a path: bytes, with `/` between names and maybe one before them. The patterns are
    /// asked in their order; none says no.
    pub fn look(&self, path: &[u8]) -> Match {
        let lower = self.patterns.iter().any(|pattern| pattern.case == Case::Ignored);
        let lower = if lower { folded(path, Case::Ignored) } else { Vec::new() };
        let (plain, lower) = (parts_of(path), parts_of(&lower));
        let mut said = Match::default();
        for pattern in &self.patterns {
            let path = if pattern.case == Case::Ignored { &lower } else { &plain };
            let matched = pattern.matches(path);
            if pattern.negated {
                said.matched &= !matched;
                said.child_may_match &= !matched;
            } else {
                said.matched |= matched;
                said.child_may_match |= pattern.may_match_below(path);
            }
        }
        said
    }

    /// Says whether the list matches a path.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.look(path).matched
    }
}

fn parts_of(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect()
}

fn folded(text: &[u8], case: Case) -> Vec<u8> {
    if case == Case::Matters {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().to_lowercase().as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

const CLASS_OPEN: &str = "has a `[` that is not closed well";
const ESCAPE_OPEN: &str = "ends with a `\\`";

/// Returns the first letter of a text and how many bytes it has; a byte that is no UTF-8 is a letter of its own.
fn letter(text: &[u8]) -> Option<(u32, usize)> {
    let first = *text.first()?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let valid = text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    // Beyond all letters, as Go has one for all such bytes.
    Some(valid.and_then(|text| text.chars().next()).map_or((0xfffd, 1), |found| (u32::from(found), length)))
}

/// Says whether a name is what a part of a pattern asks for. The whole part is judged, matched or not.
fn glob(pattern: &[u8], name: &[u8]) -> Result<bool, &'static str> {
    // Where to go on when a letter does not fit: behind the last star, one letter of the name later.
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    judge(pattern)?;
    loop {
        let fits = match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, place));
                at += 1;
                continue;
            }
            None if place == name.len() => return Ok(true),
            None => false,
            Some(_) => match step(&pattern[at..], &name[place..])? {
                Some((taken, eaten)) => {
                    at += taken;
                    place += eaten;
                    true
                }
                None => false,
            },
        };
        if !fits {
            let Some((behind, from)) = star else { return Ok(false) };
            let Some((_, length)) = letter(&name[from..]) else { return Ok(false) };
            star = Some((behind, from + length));
            (at, place) = (behind, from + length);
        }
    }
}

/// Finds what is malformed in a part.
fn judge(pattern: &[u8]) -> Result<(), &'static str> {
    let mut at = 0;
    while at < pattern.len() {
        at += match pattern[at] {
            b'*' => 1,
            _ => taken(&pattern[at..])?,
        };
    }
    Ok(())
}

/// Returns how many bytes the next letter, escape or class of a pattern has.
fn taken(pattern: &[u8]) -> Result<usize, &'static str> {
    match pattern {
        [b'[', ..] => class(pattern, 0).map(|(length, _)| length),
        [b'\\', rest @ ..] => letter(rest).map(|(_, length)| 1 + length).ok_or(ESCAPE_OPEN),
        _ => Ok(letter(pattern).map_or(1, |(_, length)| length)),
    }
}

/// Matches one letter: returns how many bytes of the pattern and of the name it has; none when it does not fit.
fn step(pattern: &[u8], name: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
    let Some((found, eaten)) = letter(name) else { return Ok(None) };
    let (length, fits) = match pattern {
        [b'?', ..] => (1, true),
        [b'[', ..] => class(pattern, found)?,
        [b'\\', rest @ ..] => {
            let (_, length) = letter(rest).ok_or(ESCAPE_OPEN)?;
            (1 + length, rest[..length] == name[..eaten])
        }
        _ => {
            let (_, length) = letter(pattern).unwrap_or((0, 1));
            (length, pattern[..length] == name[..eaten])
        }
    };
    Ok(fits.then_some((length, eaten)))
}

/// Returns how long a class in brackets is and whether a letter is in it.
fn class(pattern: &[u8], found: u32) -> Result<(usize, bool), &'static str> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let (mut within, mut ranges) = (false, 0);
    loop {
        if pattern.get(at) == Some(&b']') && ranges > 0 {
            return Ok((at + 1, within != negated));
        }
        let low = class_letter(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') {
            at += 1;
            high = class_letter(pattern, &mut at)?;
        }
        within |= (low..=high).contains(&found);
        ranges += 1;
    }
}

fn class_letter(pattern: &[u8], at: &mut usize) -> Result<u32, &'static str> {
    match pattern.get(*at) {
        None | Some(b'-' | b']') => return Err(CLASS_OPEN),
        Some(b'\\') => *at += 1,
        Some(_) => {}
    }
    let (found, length) = letter(&pattern[*at..]).ok_or(CLASS_OPEN)?;
    *at += length;
    // A class must be closed: nothing may follow a letter but more of it.
    if *at >= pattern.len() || (found == 0xfffd && length == 1) { Err(CLASS_OPEN) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, matched: bool, child_may_match: bool) {
        let said = Patterns::new([pattern]).unwrap().look(path.as_bytes());
        assert_eq!(said, Match { matched, child_may_match }, "{pattern} on {path}");
    }

    #[test]
    fn a_part_is_matched_as_go_matches_it() {
        for (pattern, name, fits) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[!a]", "!", true),
            ("*x", "xxx", true),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), Ok(fits), "{pattern} on {name}");
        }
        assert_eq!(glob(b"?\xff", b"\xc3\xff"), Ok(true));
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "a[", "[", "[^", "[^bc", "\\", "a\\", "[a-b-c]"] {
            assert!(glob(pattern.as_bytes(), b"a").is_err(), "{pattern}");
            assert!(Pattern::new(pattern.as_bytes(), Case::Matters).is_err(), "{pattern}");
        }
        assert!(Pattern::new(b"", Case::Matters).is_err());
    }

    #[test]
    fn paths_match_as_restic_matches_them() {
        check("*.c", "/home/ada/x.c", true, true);
        check("*.c", "/home/ada/x.c/below", true, true);
        check("*.c", "/home/ada/x.h", false, true);
        check("foo", "/a/foo/b", true, true);
        check("foo/bar", "/a/foo/bar", true, true);
        check("foo/bar", "/a/foo/x/bar", false, true);
        check("/foo", "/foo/bar", true, true);
        check("/foo", "/a/foo", false, false);
        check("/foo/bar", "/foo", false, true);
        check("/foo/bar", "/", false, true);
        check("/foo/*/baz", "/foo/x", false, true);
        check("/foo/*/baz", "/fox/x", false, false);
        check("/foo/**/baz", "/foo/baz", true, true);
        check("/foo/**/baz", "/foo/a/b/c/baz/d", true, true);
        check("/foo/**/baz", "/foo/a/b", false, true);
        check("/foo/**/baz", "/fop/a/baz", false, false);
        check("**/baz", "/a/b/baz", true, true);
        check("/", "/a", true, true);
        check("/foo/", "/foo", true, true);
        check("/foo/./bar/../baz//", "/foo/baz", true, true);
        check("foo/**", "/x/foo", true, true);
        check("user?", "/home/user1/x", true, true);
    }

    #[test]
    fn later_patterns_take_back() {
        let list = Patterns::new(["/a/*", "!/a/keep"]).unwrap();
        assert!(list.matches(b"/a/x") && !list.matches(b"/a/keep") && !list.matches(b"/a/keep/y"));
        assert!(!Patterns::default().matches(b"/a"));
        let mut list = Patterns::default();
        list.push("/ÄB".as_bytes(), Case::Ignored).unwrap();
        list.push(b"/C", Case::Matters).unwrap();
        assert!(list.matches("/äb/x".as_bytes()) && list.matches(b"/C") && !list.matches(b"/c"));
    }
}
