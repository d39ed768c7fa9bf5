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

/// Letters that were assigned after Unicode 15.0, which Go knows (its `unicode.Version`, up to Go 1.26), and that the
/// standard library counts as printable: first and last of each run, from the Unicode database's `DerivedAge`.
#[rustfmt::skip]
const LATER: [(u32, u32); 90] = [
    (0x88f, 0x88f), (0x897, 0x897), (0xc5c, 0xc5c), (0xcdc, 0xcdc), (0x1acf, 0x1add), (0x1ae0, 0x1aeb),
    (0x1b4e, 0x1b4f), (0x1b7f, 0x1b7f), (0x1c89, 0x1c8a), (0x20c1, 0x20c1), (0x2427, 0x2429), (0x2b96, 0x2b96),
    (0x2ffc, 0x2fff), (0x31e4, 0x31e5), (0x31ef, 0x31ef), (0xa7cb, 0xa7cf), (0xa7d2, 0xa7d2), (0xa7d4, 0xa7d4),
    (0xa7da, 0xa7dc), (0xa7f1, 0xa7f1), (0xfbc3, 0xfbd2), (0xfd90, 0xfd91), (0xfdc8, 0xfdce), (0x105c0, 0x105f3),
    (0x10940, 0x10959), (0x10d40, 0x10d65), (0x10d69, 0x10d85), (0x10d8e, 0x10d8f), (0x10ec2, 0x10ec7),
    (0x10ed0, 0x10ed8), (0x10efa, 0x10efc), (0x11380, 0x11389), (0x1138b, 0x1138b), (0x1138e, 0x1138e),
    (0x11390, 0x113b5), (0x113b7, 0x113c0), (0x113c2, 0x113c2), (0x113c5, 0x113c5), (0x113c7, 0x113ca),
    (0x113cc, 0x113d5), (0x113d7, 0x113d8), (0x113e1, 0x113e2), (0x116d0, 0x116e3), (0x11b60, 0x11b67),
    (0x11bc0, 0x11be1), (0x11bf0, 0x11bf9), (0x11db0, 0x11ddb), (0x11de0, 0x11de9), (0x11f5a, 0x11f5a),
    (0x13460, 0x143fa), (0x16100, 0x16139), (0x16d40, 0x16d79), (0x16ea0, 0x16eb8), (0x16ebb, 0x16ed3),
    (0x16ff2, 0x16ff6), (0x187f8, 0x187ff), (0x18cff, 0x18cff), (0x18d09, 0x18d1e), (0x18d80, 0x18df2),
    (0x1cc00, 0x1ccfc), (0x1cd00, 0x1ceb3), (0x1ceba, 0x1ced0), (0x1cee0, 0x1cef0), (0x1e5d0, 0x1e5fa),
    (0x1e5ff, 0x1e5ff), (0x1e6c0, 0x1e6de), (0x1e6e0, 0x1e6f5), (0x1e6fe, 0x1e6ff), (0x1f6d8, 0x1f6d8),
    (0x1f777, 0x1f77a), (0x1f8b2, 0x1f8bb), (0x1f8c0, 0x1f8c1), (0x1f8d0, 0x1f8d8), (0x1fa54, 0x1fa57),
    (0x1fa89, 0x1fa8a), (0x1fa8e, 0x1fa8f), (0x1fabe, 0x1fabe), (0x1fac6, 0x1fac6), (0x1fac8, 0x1fac8),
    (0x1facd, 0x1facd), (0x1fadc, 0x1fadc), (0x1fadf, 0x1fadf), (0x1fae9, 0x1faea), (0x1faef, 0x1faef),
    (0x1fbcb, 0x1fbef), (0x1fbfa, 0x1fbfa), (0x2b73a, 0x2b73f), (0x2cea2, 0x2cead), (0x2ebf0, 0x2ee5d),
    (0x323b0, 0x33479),
];

/// Says whether Go escapes a letter: quotes, backslashes and what `unicode.IsPrint` does not count as printable.
fn needs_escape(letter: char) -> bool {
    matches!(letter, '"' | '\\' | '\0'..='\x1f' | '\x7f') || !letter.is_ascii() && !is_printable(letter)
}

/// Says whether a letter beyond ASCII is printable. Go and the standard library decide alike, by the general category
/// (letters, marks, numbers, punctuation, symbols); the library tells it for a letter that is not the first alone. It
/// knows newer letters than Go does: those are escaped, as restic does, so that its trees have our names.
fn is_printable(letter: char) -> bool {
    let place = LATER.partition_point(|(_, last)| *last < u32::from(letter));
    if LATER.get(place).is_some_and(|(first, _)| *first <= u32::from(letter)) {
        return false;
    }
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
    fn letters_that_go_does_not_know_are_escaped() {
        // With a newer one its letters must join the table.
        assert_eq!(char::UNICODE_VERSION, (17, 0, 0));
        assert!(LATER.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for (first, last) in LATER {
            for number in [first, last] {
                let letter = char::from_u32(number).unwrap();
                assert!(first <= last && format!("a{letter}").escape_debug().count() == 2, "{number:x} needs no row");
                assert!(quote(letter.to_string().as_bytes()).starts_with('\\'), "{number:x}");
            }
        }
        assert_eq!(quote("\u{323af}".as_bytes()), "\u{323af}", "the last of Unicode 15.0");
    }

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
