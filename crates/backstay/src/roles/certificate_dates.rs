//! Until when a certificate is good: the one field of it that this program reads by itself (X.509, RFC 5280, 4.1.2.5).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A sequence of DER.
const SEQUENCE: u8 = 0x30;

/// The version, which stands first when it is said.
const VERSION: u8 = 0xa0;

/// An instant with two digits for its year.
const UTC_TIME: u8 = 0x17;

/// An instant with four.
const GENERALIZED_TIME: u8 = 0x18;

/// Returns when the first certificate of a PEM file ends; none when there is none that can be read.
pub(crate) fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    let der = data_encoding::BASE64.decode(body.as_bytes()).ok()?;
    let (_, certificate, _) = part(&der)?;
    let (_, mut fields, _) = part(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = part(fields)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = part(fields)?.2;
    }
    let (tag, validity, _) = part(fields)?;
    let (_, _, end) = part(validity).filter(|_| tag == SEQUENCE)?;
    let (tag, text, _) = part(end)?;
    instant(tag, std::str::from_utf8(text).ok()?)
}

/// Returns tag and content of the first part, and what follows it.
fn part(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|digits| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), &rest[count..])
    };
    Some((tag, rest.get(..length)?, &rest[length..]))
}

fn instant(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        // Years from 50 on are of the last century.
        UTC_TIME => format!("{}{text}", if text.get(..2)? >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", text.strip_suffix('Z')?).ok()?;
    at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_an_instant_are_read() {
        let read = |tag, text| instant(tag, text).map(|at| at.to_string());
        assert_eq!(read(UTC_TIME, "261122070000Z").as_deref(), Some("2026-11-22T07:00:00Z"));
        assert_eq!(read(UTC_TIME, "991231235959Z").as_deref(), Some("1999-12-31T23:59:59Z"));
        assert_eq!(read(GENERALIZED_TIME, "20511122070000Z").as_deref(), Some("2051-11-22T07:00:00Z"));
        assert_eq!(read(UTC_TIME, "nonsense"), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        for text in ["", "hello", &pem(""), &pem("MAA="), &pem("!!"), &pem("MIQAAAAA")] {
            assert_eq!(not_after(text.as_bytes()), None, "{text}");
        }
    }
}
