//! Names that people give to tenants, sources, plans and repositories.
//!
//! A name is also a folder, a file and a word on a command line, so its letters are few.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: fits a DNS label and a folder on every file system.
pub const NAME_BYTES_MAX: usize = 63;

/// A name: lower-case letters, digits, `-` and `_`, beginning with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name is empty; give 1 to {NAME_BYTES_MAX} lower-case letters, digits, `-` or `_`")]
    Empty,
    /// Too many bytes.
    #[error("the name `{text}` has {} bytes; at most {NAME_BYTES_MAX} are allowed", text.len())]
    TooLong {
        /// What was given.
        text: String,
    },
    /// A letter that is not allowed where it stands.
    #[error(
        "the name `{text}` has `{letter}` at position {position}; allowed are lower-case letters, digits, `-` and `_`, \
         beginning with a letter or a digit"
    )]
    Letter {
        /// What was given.
        text: String,
        /// The first letter that is not allowed.
        letter: char,
        /// Its place, counted from 1.
        position: usize,
    },
}

impl Name {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes a name from any text: what is not allowed becomes `-`, repeats are joined, the end is cut.
    /// An input without one usable letter gives `fallback`.
    pub fn coerce(text: &str, fallback: &Name) -> Name {
        let mut out = String::with_capacity(text.len().min(NAME_BYTES_MAX));
        for letter in text.chars() {
            if out.len() == NAME_BYTES_MAX {
                break;
            }
            match letter.to_ascii_lowercase() {
                kept @ ('a'..='z' | '0'..='9') => out.push(kept),
                _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
                _ => {}
            }
        }
        let trimmed = out.trim_end_matches('-');
        if trimmed.is_empty() { fallback.clone() } else { Name(trimmed.to_owned()) }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { text: text.to_owned() });
        }
        let wrong = text.chars().enumerate().find(|&(at, letter)| {
            let inner = at > 0 && matches!(letter, '-' | '_');
            !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || inner)
        });
        match wrong {
            Some((at, letter)) => Err(NameError::Letter { text: text.to_owned(), letter, position: at + 1 }),
            None => Ok(Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let answer = match text.parse::<Name>() {
            Ok(name) => name.to_string(),
            Err(error) => error.to_string().split(';').next().unwrap().to_owned(),
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn names_are_parsed_at_the_edge() {
        check("home", "home");
        check("web-01_a", "web-01_a");
        check("", "a name is empty");
        check("-x", "the name `-x` has `-` at position 1");
        check("a/b", "the name `a/b` has `/` at position 2");
        check("Home", "the name `Home` has `H` at position 1");
        check(&"x".repeat(64), &format!("the name `{}` has 64 bytes", "x".repeat(64)));
    }

    #[test]
    fn any_text_can_be_coerced() {
        let fallback: Name = "folder".parse().unwrap();
        for (text, expected) in
            [("My Photos (2024)", "my-photos-2024"), ("///", "folder"), ("été", "t"), ("..a..", "a")]
        {
            assert_eq!(Name::coerce(text, &fallback).as_str(), expected);
        }
        let long = Name::coerce(&"ab ".repeat(60), &fallback);
        assert!(long.as_str().parse::<Name>().is_ok());
    }
}
