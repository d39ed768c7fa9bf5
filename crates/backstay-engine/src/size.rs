//! Sizes as restic's options write them: read, and written so that they are read as the same.

/// Reads a count of bytes: `500`, `500k`, `20M`, `1G`, `2T`, in steps of 1,024.
///
/// # Errors
/// What is wrong with it, and how it would be right.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write 500k, 20M or 1G");
    let trimmed = text.trim_end_matches(['b', 'B']);
    let (digits, shift) = match trimmed.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
        Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
        Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
        Some((at, 't' | 'T')) => (&trimmed[..at], 40),
        _ => (trimmed, 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Writes a count of bytes in the largest step that leaves no rest.
pub fn words(bytes: u64) -> String {
    let steps = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'k')];
    let step = steps.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    step.map_or_else(|| bytes.to_string(), |(shift, letter)| format!("{}{letter}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_steps_of_1024() {
        assert_eq!(
            ["500", "500k", "20M", "1G", "2T", "1kB"].map(|text| bytes(text).unwrap()),
            [500, 500 << 10, 20 << 20, 1 << 30, 2 << 40, 1 << 10]
        );
        for wrong in ["", "k", "-1", "1.5M", "99999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in ["0", "77", "1025", "500k", "20M", "1G", "2T", "1500M"] {
            assert_eq!(words(bytes(text).unwrap()), text);
        }
        assert_eq!(words(bytes("1024k").unwrap()), "1M");
    }
}
