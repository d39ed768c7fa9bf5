//! What an S3 server answered, put in our words: refusals by class, and answers that contradict themselves.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::error::StorageError;

/// Most of a server's message that is repeated to a person.
const MESSAGE_CHARS_MAX: usize = 300;

/// Longest wait that a server may ask for; past it the queue should decide, not a call.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The server said no.
    #[error("{status} {code}: {message}")]
    Status { status: StatusCode, code: String, message: String, retry_after: Option<Duration> },
    /// The answer contradicts the question or itself: what a broken server or a proxy does.
    #[error("{0}")]
    Broken(String),
    /// The object ends before the range does.
    #[error("the object ends after {found_bytes} bytes of the range")]
    Short { found_bytes: u64 },
    /// Nothing moved for too long.
    #[error("nothing moved for {0} seconds")]
    Stalled(u64),
    /// No connection, or one that broke.
    #[error("{0}")]
    Connection(String),
    /// No credential for this purpose.
    #[error("no credential for {0}")]
    Credential(&'static str),
    /// The credential could not be had.
    #[error("no credential could be had: {0}")]
    Sign(String),
}

impl Failure {
    /// Reads a refusal.
    pub(super) fn status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(16 << 10)]);
        let mut message = plain(element(&text, "Message").unwrap_or_default());
        if status.is_redirection()
            && let Some(region) = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok())
        {
            message = format!("the bucket is in the region {}", plain(region));
        }
        let code = plain(element(&text, "Code").unwrap_or_default());
        Self::Status { status, code, message, retry_after: retry_after(headers) }
    }

    /// Returns a failure that came through OpenDAL, or what it says itself.
    pub(super) fn of(error: &opendal::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(at) = cause {
            if let Some(failure) = at.downcast_ref::<Self>() {
                return failure.clone();
            }
            cause = at.source();
        }
        Self::Broken(plain(&format!("{}: {}", error.kind(), error.message())))
    }

    /// Says whether the server told that there is no such object, or no such bucket.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND, .. })
    }

    /// Says whether the whole bucket is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND, code, .. } if code == "NoSuchBucket")
    }

    /// Says whether the request had this status.
    pub(super) fn is(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }

    /// Puts it in the port's words.
    pub(super) fn told(self, place: String, action: &'static str, key: &str) -> StorageError {
        let key = key.to_owned();
        if self.is_absent() {
            return StorageError::Absent { place };
        }
        let source = io::Error::other(self.clone());
        let (status, code, after) = match self {
            Self::Credential(purpose) => return StorageError::Credential { place, purpose },
            Self::Sign(_) => return StorageError::Denied { place, action, key, source },
            Self::Status { status, code, retry_after, .. } => (status, code, retry_after),
            _ => return StorageError::Io { place, action, key, source },
        };
        match (status.as_u16(), code.as_str()) {
            (404, _) => StorageError::Missing { place, key },
            (_, "InvalidObjectState") => StorageError::Frozen { place, key },
            // A quota: Ceph's, and others'.
            (_, "QuotaExceeded") | (507, _) => StorageError::Full { place },
            (
                _,
                "SlowDown"
                | "ServiceUnavailable"
                | "TooManyRequests"
                | "OperationAborted"
                | "ConditionalRequestConflict",
            )
            | (429 | 503, _) => StorageError::Busy { place, action, key, after, source },
            // What the connection did to us, in the server's words.
            (_, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch") | (408 | 500.., _) => {
                StorageError::Io { place, action, key, source }
            }
            (401 | 403, _) => StorageError::Denied { place, action, key, source },
            _ => StorageError::Refused { place, action, key, source },
        }
    }
}

/// Returns the text of the first element of this name, as it stands.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// Returns a server's words without control characters, and not too many of them.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect()
}

/// Returns how long the server asks us to wait, when it says so in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use backstay_core::domain::disposition::Disposition;

    use super::*;

    /// `answer` is a status and a code.
    fn check(status: u16, code: &str, expected: &str) {
        let body = format!("<Error><Code>{code}</Code><Message>why\n</Message></Error>");
        let failure = Failure::status(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
        let error = failure.told("s3".to_owned(), "put", "k");
        let class = match (&error, error.disposition()) {
            (StorageError::Busy { .. }, Disposition::Retry { .. }) => "busy, again",
            (StorageError::Io { .. }, Disposition::Retry { .. }) => "io, again",
            (StorageError::Denied { .. }, Disposition::Operator) => "denied",
            (StorageError::Missing { .. }, Disposition::Operator) => "missing",
            (StorageError::Absent { .. }, Disposition::Operator) => "absent",
            (StorageError::Frozen { .. }, Disposition::Operator) => "frozen",
            (StorageError::Full { .. }, Disposition::Operator) => "full",
            (StorageError::Refused { .. }, Disposition::Operator) => "refused",
            other => panic!("{other:?}"),
        };
        assert_eq!(class, expected, "{status} {code}");
    }

    #[test]
    fn refusals_have_classes() {
        check(500, "InternalError", "io, again");
        check(502, "", "io, again");
        check(503, "SlowDown", "busy, again");
        check(503, "", "busy, again");
        check(429, "", "busy, again");
        check(409, "ConditionalRequestConflict", "busy, again");
        check(408, "", "io, again");
        check(400, "RequestTimeout", "io, again");
        check(400, "BadDigest", "io, again");
        check(400, "InvalidRequest", "refused");
        check(301, "PermanentRedirect", "refused");
        check(403, "AccessDenied", "denied");
        check(401, "", "denied");
        check(403, "InvalidObjectState", "frozen");
        check(403, "QuotaExceeded", "full");
        check(404, "NoSuchKey", "missing");
        check(404, "", "missing");
        check(404, "NoSuchBucket", "absent");
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let failure = Failure::status(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        let error = failure.told("s3".to_owned(), "put", "k");
        assert_eq!(error.disposition(), Disposition::Retry { after: Duration::from_secs(7) });
    }

    #[test]
    fn a_message_has_no_control_characters() {
        let body = b"<Error><Code>X</Code><Message>a\x1b[2Jb</Message></Error>";
        let failure = Failure::status(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        assert_eq!(failure.to_string(), "400 Bad Request X: a [2Jb");
    }
}
