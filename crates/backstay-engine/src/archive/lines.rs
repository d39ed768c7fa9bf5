//! Files of patterns, line by line, as restic reads them.

/// Returns the patterns of a file.
pub(super) fn patterns(text: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Vec<Vec<u8>> {
    let text = utf8_of(text);
    let lines = text.split(|byte| *byte == b'\n').map(trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|line| expand(line, variable)).collect()
}

/// Returns text without its byte order mark, and in UTF-8 where the mark says that it is in UTF-16.
fn utf8_of(text: &[u8]) -> Vec<u8> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    match text {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        text => text.to_vec(),
    }
}

/// Returns a line without the blanks around it.
fn trim(line: &[u8]) -> &[u8] {
    std::str::from_utf8(line).map_or_else(|_| line.trim_ascii(), |text| text.trim().as_bytes())
}

/// Replaces `$NAME`, `${NAME}` and `$$`. What a shell would not understand is left out, as Go's `os.Expand` does.
fn expand(line: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, bytes) = name_of(after);
        match name {
            Some("$") => out.push(b'$'),
            Some(name) => out.extend(variable(name).unwrap_or_default().into_bytes()),
            None if bytes == 0 => out.push(b'$'),
            None => {}
        }
        rest = &after[bytes..];
    }
    out.extend_from_slice(rest);
    out
}

/// Returns the name of a variable after its `$`, and how many bytes it and its braces take.
fn name_of(after: &[u8]) -> (Option<&str>, usize) {
    let name = |bytes| std::str::from_utf8(bytes).ok();
    match after {
        [b'{', rest @ ..] => match rest.iter().position(|byte| *byte == b'}') {
            Some(0) => (None, 2),
            Some(end) => (name(&rest[..end]), end + 2),
            None => (None, 1),
        },
        [b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9', ..] => (name(&after[..1]), 1),
        _ => {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let bytes = after.iter().take_while(|byte| is_part(byte)).count();
            (Some(&after[..bytes]).filter(|name| !name.is_empty()).and_then(name), bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_variables_replaced() {
        let variable = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let read = |text: &[u8]| -> Vec<String> {
            patterns(text, &variable).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
        };
        let text = b"\xef\xbb\xbf  *.o \r\n\n# no\n#no\n$HOME/x\n${HOME}y\n$$z\n$none\na$\n${}b\n${c\n$1d\n !e#\n";
        assert_eq!(read(text), ["*.o", "/h/x", "/hy", "$z", "", "a$", "b", "c", "d", "!e#"]);
        assert_eq!(read(b"\xff\xfea\0\n\0b\0"), ["a", "b"]);
    }
}
