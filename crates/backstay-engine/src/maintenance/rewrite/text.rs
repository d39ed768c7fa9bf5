//! An entry's JSON text with another tree or other contents, and every other byte as it was: also fields that this program
//! does not know, in the order that their writer chose, which restic asks for.

use std::ops::Range;

use crate::format::FormatError;
use crate::format::id::Id;

/// Returns an entry's text with another tree.
///
/// # Errors
/// [`FormatError::Shape`].
pub(super) fn with_tree(text: &[u8], tree: &Id) -> Result<Vec<u8>, FormatError> {
    with(text, b"subtree", Some(format!("\"{tree}\"").as_bytes()), &[b"error"])
}

/// Returns an entry's text with other contents of so many bytes.
///
/// # Errors
/// [`FormatError::Shape`].
pub(super) fn with_content(text: &[u8], content: &[Id], bytes: u64) -> Result<Vec<u8>, FormatError> {
    // restic leaves a size of zero out.
    let size = (bytes > 0).then(|| bytes.to_string());
    let before: [&[u8]; 6] =
        [b"links", b"linktarget", b"extended_attributes", b"generic_attributes", b"device", b"content"];
    let text = with(text, b"size", size.as_deref().map(str::as_bytes), &before)?;
    let ids: Vec<String> = content.iter().map(|id| format!("\"{id}\"")).collect();
    with(&text, b"content", Some(format!("[{}]", ids.join(",")).as_bytes()), &[b"subtree", b"error"])
}

/// Returns an object's text with another value of a field; one that is not there comes before the first of `before` that
/// is, or at the end.
fn with(text: &[u8], name: &[u8], value: Option<&[u8]>, before: &[&[u8]]) -> Result<Vec<u8>, FormatError> {
    let fields = fields(text).ok_or_else(|| FormatError::shape("tree", "an entry is no object"))?;
    let mut all: Vec<(&[u8], &[u8])> =
        fields.iter().map(|(name, value)| (&text[name.clone()], &text[value.clone()])).collect();
    let place = all.iter().position(|field| field.0 == name);
    match (place, value) {
        (Some(place), Some(value)) => all[place].1 = value,
        (Some(place), None) => _ = all.remove(place),
        (None, Some(value)) => {
            let place = all.iter().position(|field| before.contains(&field.0)).unwrap_or(all.len());
            all.insert(place, (name, value));
        }
        (None, None) => {}
    }
    let mut out = vec![b'{'];
    for (at, (name, value)) in all.into_iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(out)
}

/// Returns where names, without their quotes, and values of an object's fields lie in its text; none when it is no object.
fn fields(text: &[u8]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let skip = |mut at: usize, letters: &[u8]| {
        while text.get(at).is_some_and(|byte| letters.contains(byte)) {
            at += 1;
        }
        at
    };
    const BLANKS: &[u8] = b" \n\r\t";
    let mut fields = Vec::new();
    let mut at = skip(0, BLANKS);
    if text.get(at) != Some(&b'{') {
        return None;
    }
    at += 1;
    loop {
        at = skip(at, b", \n\r\t");
        match text.get(at)? {
            b'}' => return Some(fields),
            b'"' => {}
            _ => return None,
        }
        let name = at + 1..string_end(text, at)?;
        at = skip(name.end + 1, BLANKS);
        if text.get(at) != Some(&b':') {
            return None;
        }
        let begin = skip(at + 1, BLANKS);
        let end = value_end(text, begin)?;
        fields.push((name, begin..end));
        at = end;
    }
}

/// Returns where the closing quote of the string is that begins here.
fn string_end(text: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
}

/// Returns where the value ends that begins here.
fn value_end(text: &[u8], begin: usize) -> Option<usize> {
    let (mut at, mut depth) = (begin, 0usize);
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_changed_field_stays_byte_for_byte() {
        let id = Id::of(b"x");
        let check = |text: &str, expected: &str| {
            let expected = expected.replace("ID", &id.to_hex());
            let found = with_content(text.as_bytes(), &[id], 7).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        };
        check(
            r#"{"name":"a\",}","z":{"size":1,"l":["}"]},"size":9,"links":1,"content":["q"],"later":[]}"#,
            r#"{"name":"a\",}","z":{"size":1,"l":["}"]},"size":7,"links":1,"content":["ID"],"later":[]}"#,
        );
        check(
            r#"{"name":"a","device_id":1,"links":1,"content":null}"#,
            r#"{"name":"a","device_id":1,"size":7,"links":1,"content":["ID"]}"#,
        );
        let none = with_content(br#"{"size":3,"content":["a","b"]}"#, &[], 0).unwrap();
        assert_eq!(none, br#"{"content":[]}"#);
        let tree = with_tree(br#"{"name":"d","content":null,"subtree":"old"}"#, &id).unwrap();
        assert_eq!(tree, format!(r#"{{"name":"d","content":null,"subtree":"{id}"}}"#).into_bytes());
        let tree = with_tree(br#"{"name":"d","content":null}"#, &id).unwrap();
        assert_eq!(tree, format!(r#"{{"name":"d","content":null,"subtree":"{id}"}}"#).into_bytes());
        for wrong in ["", "[]", r#"{"a""#, r#"{"a":1"#, r#"{a:1}"#] {
            assert!(with_tree(wrong.as_bytes(), &id).is_err(), "{wrong}");
        }
    }
}
