//! Patterns of excludes, as restic understands them: names with `*`, `?` and `[…]`, `**` for any number of folders, `!`
//! for what is kept all the same, a leading `/` for the path's beginning.
//!
//! A pattern that matches a path matches all that is below it. Names are bytes; `?` and `[…]` take a whole letter.

use super::roots::clean;

/// A pattern that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no pattern: a `[` needs its `]`, and a backslash something to stand before")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
}

/// A pattern that was judged.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    keeps: bool,
    rooted: bool,
}

/// What one name of a path has to be.
#[derive(Debug, Clone)]
enum Part {
    /// Exactly this.
    Name(Vec<u8>),
    /// Any names, none too.
    Folders,
    /// Something like this.
    Like(Vec<Token>),
}

#[derive(Debug, Clone)]
enum Token {
    /// Any bytes, none too.
    Star,
    /// One letter.
    Letter,
    /// This byte.
    Byte(u8),
    /// One letter of these, or of all others.
    Class { others: bool, ranges: Vec<(char, char)> },
}

/// A path in its names: those of its folder, then its own. The first is `/`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) folder: &'a [Vec<u8>],
    pub(super) name: &'a [u8],
}

impl<'a> Names<'a> {
    fn len(self) -> usize {
        self.folder.len() + 1
    }

    fn get(self, at: usize) -> &'a [u8] {
        self.folder.get(at).map_or(self.name, Vec::as_slice)
    }
}

/// Says whether patterns leave a path out: each that matches decides anew.
pub(super) fn leaves_out(patterns: &[Pattern], names: Names<'_>) -> bool {
    patterns.iter().fold(false, |out, pattern| match pattern.keeps {
        // Looked at only where it can change anything.
        true => out && !pattern.matches(names),
        false => out || pattern.matches(names),
    })
}

impl Pattern {
    /// Judges a pattern; none for an empty one.
    ///
    /// # Errors
    /// [`PatternError`].
    pub(super) fn parse(text: &[u8]) -> Result<Option<Self>, PatternError> {
        if text.is_empty() {
            return Ok(None);
        }
        let (keeps, rest) = text.strip_prefix(b"!").map_or((false, text), |rest| (true, rest));
        let plain = clean(rest);
        let wrong = || PatternError { pattern: String::from_utf8_lossy(text).into_owned() };
        let (rooted, below) = plain.strip_prefix(b"/").map_or((false, &*plain), |below| (true, below));
        let names = below.split(|byte| *byte == b'/').filter(|name| !rooted || !name.is_empty() || !below.is_empty());
        let mut parts = names.map(|name| Part::parse(name).ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()?;
        if rooted {
            parts.insert(0, Part::Name(b"/".to_vec()));
            // `/` alone: restic sees an empty name after it, which no path has.
            if below.is_empty() {
                parts.push(Part::Name(Vec::new()));
            }
        }
        Ok(Some(Self { parts, keeps, rooted }))
    }

    fn matches(&self, names: Names<'_>) -> bool {
        if self.rooted {
            return begins(&self.parts, names, 0);
        }
        (1..names.len()).any(|at| begins(&self.parts, names, at))
    }
}

/// Says whether the names from a place on begin with what the parts say.
fn begins(parts: &[Part], names: Names<'_>, at: usize) -> bool {
    match parts.split_first() {
        None => true,
        Some((Part::Folders, rest)) => (at..=names.len()).any(|next| begins(rest, names, next)),
        Some((part, rest)) => at < names.len() && part.is(names.get(at)) && begins(rest, names, at + 1),
    }
}

impl Part {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"**" => Some(Self::Folders),
            _ if !text.iter().any(|byte| b"\\[]*?".contains(byte)) => Some(Self::Name(text.to_vec())),
            _ => tokens(text).map(Self::Like),
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Folders => true,
            Self::Like(tokens) => is_like(tokens, name),
        }
    }
}

/// Returns what a name's pattern says; none for what is no pattern.
fn tokens(text: &[u8]) -> Option<Vec<Token>> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        tokens.push(match byte {
            b'*' => Token::Star,
            b'?' => Token::Letter,
            b'[' => class(&mut rest)?,
            b'\\' => {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                Token::Byte(byte)
            }
            byte => Token::Byte(byte),
        });
    }
    Some(tokens)
}

/// Reads letters and ranges up to the closing bracket.
fn class(rest: &mut &[u8]) -> Option<Token> {
    let others = rest.first() == Some(&b'^');
    if others {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.first() != Some(&b']') {
        let low = class_letter(rest)?;
        let high = match rest.first() {
            Some(b'-') => {
                *rest = &rest[1..];
                class_letter(rest)?
            }
            _ => low,
        };
        ranges.push((low, high));
    }
    *rest = &rest[1..];
    Some(Token::Class { others, ranges })
}

/// Reads a letter of a class; something has to follow it.
fn class_letter(rest: &mut &[u8]) -> Option<char> {
    match rest.first()? {
        b'-' | b']' => return None,
        b'\\' => *rest = &rest[1..],
        _ => {}
    }
    let (letter, bytes) = letter(rest)?;
    if letter == char::REPLACEMENT_CHARACTER && bytes == 1 {
        return None;
    }
    *rest = &rest[bytes..];
    (!rest.is_empty()).then_some(letter)
}

/// Returns the first letter of a name and its bytes; a byte that is no UTF-8 is the replacement letter. None at the end.
fn letter(text: &[u8]) -> Option<(char, usize)> {
    let head = &text[..text.len().min(4)];
    let chunk = head.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |letter| (letter, letter.len_utf8())))
}

/// Says whether a name is like a pattern. After a mismatch the last star takes one byte more.
fn is_like(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match tokens.get(token) {
            None if at == name.len() => return true,
            None => None,
            Some(Token::Star) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::Byte(byte)) => (name.get(at) == Some(byte)).then_some(1),
            Some(Token::Letter) => letter(&name[at..]).map(|(_, bytes)| bytes),
            Some(Token::Class { others, ranges }) => letter(&name[at..]).and_then(|(letter, bytes)| {
                let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
                (within != *others).then_some(bytes)
            }),
        };
        match (step, star) {
            (Some(bytes), _) => (token, at) = (token + 1, at + bytes),
            (None, Some((place, taken))) if taken < name.len() => {
                star = Some((place, taken + 1));
                (token, at) = (place + 1, taken + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Returns text in small letters, as restic compares where case does not count: letter by letter, and a byte that is no
/// UTF-8 becomes the replacement letter.
pub(super) fn small(text: &[u8]) -> Vec<u8> {
    let letters = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(letters.len());
    out.extend(letters.chars().map(|letter| letter.to_lowercase().next().unwrap_or(letter)));
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = path.split('/').map(|name| name.as_bytes().to_vec()).collect();
        names[0] = b"/".to_vec();
        names
    }

    fn out(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<_> = patterns.iter().filter_map(|text| Pattern::parse(text.as_bytes()).unwrap()).collect();
        let mut folder = names(path);
        let name = folder.pop().unwrap();
        leaves_out(&patterns, Names { folder: &folder, name: &name })
    }

    #[test]
    fn patterns_match_as_restics_do() {
        for (pattern, path, is_out) in [
            ("*.o", "/a/b.o", true),
            ("*.o", "/a/b.o/c", true),
            ("*.o", "/a/b.oo", false),
            ("b", "/a/b/c", true),
            ("/b", "/a/b", false),
            ("/a/b", "/a/b/c", true),
            ("a/*/c", "/x/a/b/c/d", true),
            ("a/*/c", "/x/a/c", false),
            ("a/**/c", "/x/a/c", true),
            ("a/**/c", "/x/a/1/2/3/c", true),
            ("/**/c", "/a/b/c", true),
            ("/a/**", "/a", true),
            ("/a/**", "/b", false),
            ("?", "/é", true),
            ("[a-c]x", "/bx", true),
            ("[^a-c]x", "/bx", false),
            ("[]a]", "/]", false),
            ("\\*", "/*", true),
            ("\\*", "/b", false),
            ("a*b*c", "/axbxbxc", true),
            ("a*b*c", "/axbxbx", false),
            ("a//b/", "/a/b", true),
        ] {
            match Pattern::parse(pattern.as_bytes()) {
                Ok(_) => assert_eq!(out(&[pattern], path), is_out, "{pattern} {path}"),
                Err(_) => assert_eq!(pattern, "[]a]"),
            }
        }
        assert!(out(&["*", "!*.rs"], "/a.c") && !out(&["*", "!*.rs"], "/a.rs") && out(&["!*.rs", "*"], "/a.rs"));
        for wrong in ["[", "[a", "[a-", "[-a]", "a\\", "[\\", "x/[]"] {
            assert!(Pattern::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_letters_are_one_for_one() {
        assert_eq!(small("ÄİẞΣ\u{fffd}x".as_bytes()), "äißσ\u{fffd}x".as_bytes());
        assert_eq!(small(b"A\xffB"), "a\u{fffd}b".as_bytes());
    }
}
