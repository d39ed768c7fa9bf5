//! Names in trees: any bytes, written as Go's `strconv.Quote` writes them without its quotes, because that is what
//! restic stores.

use std::borrow::Cow;

use super::FormatError;

/// Returns a name's bytes as a tree stores them: valid UTF-8.
pub fn quote(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && !text.chars().any(needs_escape)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|letter| push_letter(&mut out, letter));
        chunk.invalid().iter().for_each(|byte| push_byte(&mut out, *byte));
    }
    Cow::Owned(out)
}

/// Says whether Go escapes a letter: quotes, backslashes and what `unicode.IsPrint` does not count as printable.
fn needs_escape(letter: char) -> bool {
    matches!(letter, '"' | '\\' | '\0'..='\x1f' | '\x7f') || !letter.is_ascii() && !is_printable(letter)
}

/// Says whether a letter beyond ASCII is printable. Go and the standard library decide alike, by the general category
/// (letters, marks, numbers, punctuation, symbols); the library tells it for a letter that is not the first alone.
fn is_printable(letter: char) -> bool {
    let mut pair = [b'a', 0, 0, 0, 0];
    let bytes = letter.encode_utf8(&mut pair[1..]).len();
    std::str::from_utf8(&pair[..=bytes]).is_ok_and(|pair| pair.escape_debug().count() == 2)
}

fn push_letter(out: &mut String, letter: char) {
    let short = match letter {
        '"' => '"',
        '\\' => '\\',
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        _ if !needs_escape(letter) => return out.push(letter),
        ..='\x7f' => return push_byte(out, letter as u8),
        ..='\u{ffff}' => return out.push_str(&format!("\\u{:04x}", u32::from(letter))),
        _ => return out.push_str(&format!("\\U{:08x}", u32::from(letter))),
    };
    out.push('\\');
    out.push(short);
}

fn push_byte(out: &mut String, byte: u8) {
    out.push_str("\\x");
    for half in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(half), 16).expect("four bits are a digit"));
    }
}

/// Returns the bytes of a name as a tree stores it.
///
/// # Errors
/// [`FormatError::Shape`] for an escape that Go does not know.
pub fn unquote(stored: &str) -> Result<Cow<'_, [u8]>, FormatError> {
    if !stored.contains('\\') {
        return Ok(Cow::Borrowed(stored.as_bytes()));
    }
    let wrong = || FormatError::shape("tree", format!("the name `{stored}` has an escape that is none"));
    let mut out = Vec::with_capacity(stored.len());
    let mut rest = stored.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first().ok_or_else(wrong)?;
        rest = after;
        let digits = match escape {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b'0'..=b'7' => {
                let octal = stored.as_bytes()[stored.len() - rest.len() - 1..].get(..3).ok_or_else(wrong)?;
                let text = std::str::from_utf8(octal).map_err(|_| wrong())?;
                out.push(u8::from_str_radix(text, 8).map_err(|_| wrong())?);
                rest = &rest[2..];
                continue;
            }
            _ => {
                out.push(short_escape(escape).ok_or_else(wrong)?);
                continue;
            }
        };
        let hex = rest.get(..digits).and_then(|hex| std::str::from_utf8(hex).ok()).ok_or_else(wrong)?;
        let number = u32::from_str_radix(hex, 16).map_err(|_| wrong())?;
        rest = &rest[digits..];
        if escape == b'x' {
            out.push(number as u8);
        } else {
            let letter = char::from_u32(number).ok_or_else(wrong)?;
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(Cow::Owned(out))
}

/// Returns the byte of a one-letter escape.
const fn short_escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' | b'\'' => letter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_written_as_go_quotes_them() {
        for (name, stored) in [
            (&b"plain.txt"[..], "plain.txt"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"line\nbreak\ttab", "line\\nbreak\\ttab"),
            (b"\x01\x7f", "\\x01\\x7f"),
            (b"bad\xff\xfeutf", "bad\\xff\\xfeutf"),
            ("été, a\u{300} 😀 \u{fffd}".as_bytes(), "été, a\u{300} 😀 \u{fffd}"),
            ("\u{a0}\u{85}\u{202e}\u{feff}\u{e000}".as_bytes(), "\\u00a0\\u0085\\u202e\\ufeff\\ue000"),
            ("\u{e0001}".as_bytes(), "\\U000e0001"),
        ] {
            assert_eq!(quote(name), stored);
            assert_eq!(&*unquote(stored).unwrap(), name);
        }
        assert_eq!(&*unquote("\\u00e9\\U0001f600\\101").unwrap(), "é😀A".as_bytes());
        for wrong in ["\\", "\\q", "\\x1", "\\xgg", "\\ud800", "\\9", "\\40"] {
            assert!(unquote(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(name: Vec<u8>) {
            let stored = quote(&name).into_owned();
            prop_assert_eq!(&*unquote(&stored).unwrap(), &name[..]);
        }

        #[test]
        fn any_text_is_read_or_refused(stored: String) {
            let _ = unquote(&stored);
        }
    }
}
