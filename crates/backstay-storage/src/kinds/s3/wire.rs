//! One exchange with an S3 server: signed, watched, and judged before anybody believes it.
//!
//! OpenDAL writes the requests and reads the answers; between it and the socket stands this file. It signs with the
//! credential of the request's purpose, so that OpenDAL never holds one. It ends an exchange in which nothing moves. And
//! it looks at each answer: OpenDAL takes any XML for a list and any 200 for a range.

use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HOST, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use opendal::{Buffer, HttpBody, HttpTransport};

use super::access::Signers;
use super::answer::{Failure, element};
use crate::credentials::Purpose;

/// Time for a connection to be made: a server that does not answer a SYN for so long is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of a body that are handed to the connection at once: how finely progress is seen.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes that may hide in buffers below us after the last piece was handed over.
const HIDDEN_BYTES_MAX: usize = 256 << 10;

/// Slowest connection that is not called stalled, in bytes a second.
const SLOWEST: usize = 1000;

/// Largest body that is taken: several times the largest pack; an answer without an end must not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Most of an error's body that is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// What a good answer must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// An object, or a range of it.
    Object(Option<Range<u64>>),
    /// What is known of an object.
    Facts,
    /// A page of a list, as an element of this name, and the element that names the next page.
    List(&'static str, &'static str),
    /// Anything that is a success.
    Done,
}

/// The way to one server, shared by all calls.
pub(super) struct Wire {
    client: reqwest::Client,
    signers: Signers,
    stall: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(signers: Signers, stall: Duration) -> Result<Self, Failure> {
        // No redirects: they would carry a signed request to another host.
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_user_timeout(stall)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::Connection(causes(&error)))?;
        Ok(Self { client, signers, stall })
    }

    /// Sends a request and returns the answer, once it is whole and makes sense.
    pub(super) async fn exchange(
        &self,
        request: Request<Buffer>,
        purpose: Purpose,
        ask: &Ask,
    ) -> Result<Response<Bytes>, Failure> {
        let (mut parts, body) = request.into_parts();
        if matches!(ask, Ask::Object(None)) {
            // The answer to a range says how long the whole object is: a body that was cut shows.
            parts.headers.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        }
        self.signers.sign(&mut parts, purpose).await?;
        parts.headers.remove(HOST);
        let method = parts.method.clone();
        let watch = Arc::new(Watch::new(self.stall));
        let mut sending = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        if !body.is_empty() {
            sending = sending.body(pieces(body.to_bytes(), Arc::clone(&watch)));
        }
        let answer = watch.over(sending.send()).await?.map_err(|error| Failure::Connection(causes(&error)))?;
        let status = answer.status();
        let headers = answer.headers().clone();
        let limit = if status.is_success() { BODY_BYTES_MAX } else { ERROR_BYTES_MAX };
        let body = self.body(answer, &watch, limit).await;
        if !status.is_success() {
            return Err(Failure::status(status, &headers, &body.unwrap_or_default()));
        }
        let body = body?;
        judge(ask, &method, status, &headers, &body)?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Reads a body to its end.
    async fn body(&self, answer: reqwest::Response, watch: &Watch, limit: usize) -> Result<Bytes, Failure> {
        let declared = answer.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let mut whole = BytesMut::with_capacity(declared.min(BODY_BYTES_MAX));
        let mut stream = answer.bytes_stream();
        watch.moved(0);
        while let Some(piece) = watch.over(stream.next()).await? {
            let piece = piece.map_err(|error| Failure::Connection(causes(&error)))?;
            if whole.len() + piece.len() > limit {
                return Err(Failure::Broken(format!("the answer has more than {limit} bytes")));
            }
            whole.extend_from_slice(&piece);
            watch.moved(0);
        }
        Ok(whole.freeze())
    }
}

/// One call's way through OpenDAL: what it is for, what is added to its request, and what came back.
#[derive(Clone)]
pub(super) struct CallTransport {
    pub(super) wire: Arc<Wire>,
    pub(super) purpose: Purpose,
    pub(super) ask: Ask,
    /// Added to the request before it is signed.
    pub(super) headers: HeaderMap,
    /// Headers of the last answer that was a success.
    pub(super) seen: Arc<Mutex<HeaderMap>>,
}

impl HttpTransport for CallTransport {
    async fn fetch(&self, mut request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let is_head = *request.method() == Method::HEAD;
        let uri = request.uri().clone();
        match self.wire.exchange(request, self.purpose, &self.ask).await {
            Ok(answer) => {
                let (mut parts, body) = answer.into_parts();
                parts.extensions.insert(uri);
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&parts.headers);
                let length = if is_head { None } else { Some(body.len() as u64) };
                let body = Buffer::from(body);
                let stream = futures::stream::iter((!body.is_empty()).then_some(Ok(body)));
                Ok(Response::from_parts(parts, HttpBody::new(stream, length)))
            }
            Err(failure) => {
                Err(opendal::Error::new(opendal::ErrorKind::Unexpected, "an exchange failed").set_source(failure))
            }
        }
    }
}

/// Looks whether an answer fits the question.
fn judge(ask: &Ask, method: &Method, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Result<(), Failure> {
    let broken = |what: String| Err(Failure::Broken(what));
    let found_bytes = body.len() as u64;
    match ask {
        Ask::Done => Ok(()),
        Ask::Facts if *method == Method::HEAD && !headers.contains_key(CONTENT_LENGTH) => {
            broken("the answer does not say how long the object is".to_owned())
        }
        Ask::Facts => Ok(()),
        Ask::List(list, next) => page(list, next, body).map_err(Failure::Broken),
        Ask::Object(range) => {
            let Some(sent) = (status == StatusCode::PARTIAL_CONTENT).then(|| content_range(headers)).flatten() else {
                return match range {
                    // A server without ranges: its length is held to its own word by the connection.
                    None if headers.contains_key(CONTENT_LENGTH) => Ok(()),
                    None => broken("the answer has neither a range nor a length".to_owned()),
                    Some(_) => broken("a range was asked for, and another answer came".to_owned()),
                };
            };
            let wanted = range.clone().unwrap_or(0..sent.total);
            if sent.bytes.start != wanted.start || found_bytes != sent.bytes.end - sent.bytes.start {
                return broken(format!("the answer says bytes {:?} and has {found_bytes}", sent.bytes));
            }
            match sent.bytes.end {
                end if end == wanted.end => Ok(()),
                end if end == sent.total && end < wanted.end => Err(Failure::Short { found_bytes }),
                _ => broken(format!("bytes {wanted:?} were asked for, {:?} came", sent.bytes)),
            }
        }
    }
}

/// What a `Content-Range` says.
struct Sent {
    bytes: Range<u64>,
    total: u64,
}

/// Reads `bytes 0-9/100`.
fn content_range(headers: &HeaderMap) -> Option<Sent> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (bytes, total) = text.split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let end = last.checked_add(1).filter(|end| *end > first)?;
    Some(Sent { bytes: first..end, total: total.parse().ok()? })
}

/// Looks whether a page of a list is whole: the right element, closed, that says whether there is more and where.
fn page(list: &str, next: &str, body: &Bytes) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the list is not text".to_owned())?.trim();
    let starts = text.find("<List").is_some_and(|at| {
        let before = &text[..at];
        text[at..].starts_with(&format!("<{list}")) && (before.is_empty() || before.starts_with("<?xml"))
    });
    if !starts || !text.ends_with(&format!("</{list}>")) {
        return Err(format!("the answer is not a whole {list}"));
    }
    match element(text, "IsTruncated") {
        Some("false") => Ok(()),
        Some("true") if element(text, next).is_some_and(|token| !token.is_empty()) => Ok(()),
        Some("true") => Err("the list was cut and does not say where it goes on".to_owned()),
        _ => Err("the list does not say whether it was cut".to_owned()),
    }
}

/// Returns a body in pieces, each of which is progress when the connection takes it.
fn pieces(body: Bytes, watch: Arc<Watch>) -> reqwest::Body {
    let mut rest = body;
    reqwest::Body::wrap_stream(futures::stream::iter(std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        watch.moved(piece.len());
        (!piece.is_empty()).then_some(Ok::<_, std::convert::Infallible>(piece))
    })))
}

/// When something last moved, and how much may still be on its way unseen.
struct Watch {
    stall: Duration,
    state: Mutex<(Instant, usize)>,
}

impl Watch {
    fn new(stall: Duration) -> Self {
        Self { stall, state: Mutex::new((Instant::now(), 0)) }
    }

    /// Something moved: so many bytes were handed on (an answer: none, and nothing is hidden any more).
    fn moved(&self, handed_bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = if handed_bytes == 0 { state.1 } else { (state.1 + handed_bytes).min(HIDDEN_BYTES_MAX) };
        *state = (Instant::now(), hidden);
    }

    /// Returns how much patience is left.
    fn left(&self) -> Duration {
        let (at, hidden) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = self.stall + Duration::from_secs((hidden / SLOWEST) as u64);
        allowed.saturating_sub(at.elapsed())
    }

    /// Waits for an answer as long as something moves.
    async fn over<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(self.left(), &mut work).await {
                Ok(answer) => {
                    self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = 0;
                    return Ok(answer);
                }
                Err(_) if self.left().is_zero() => return Err(Failure::Stalled(self.stall.as_secs())),
                Err(_) => {}
            }
        }
    }
}

/// Returns an error with its causes, without the address that was asked.
fn causes(error: &reqwest::Error) -> String {
    let mut text = if error.is_connect() { "no connection".to_owned() } else { "the connection broke".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(at) = cause {
        text.push_str(": ");
        text.push_str(&at.to_string());
        cause = at.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(ask: &Ask, status: u16, range: &str, body: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if !range.is_empty() {
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(range).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = judge(ask, &Method::GET, status, &headers, &Bytes::from_static(body.as_bytes()));
        answer.map_or_else(|failure| failure.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn an_object_is_held_to_its_range() {
        let check = |range: Option<Range<u64>>, status, header, body, expected| {
            assert_eq!(judged(&Ask::Object(range), status, header, body), expected);
        };
        check(Some(2..4), 206, "bytes 2-3/10", "ab", "good");
        check(Some(2..4), 206, "bytes 2-3/10", "a", "the answer says bytes 2..4 and has 1");
        check(Some(2..4), 206, "bytes 1-2/10", "ab", "the answer says bytes 1..3 and has 2");
        check(Some(2..4), 206, "bytes 2-2/10", "a", "bytes 2..4 were asked for, 2..3 came");
        check(Some(8..12), 206, "bytes 8-9/10", "ab", "the object ends after 2 bytes of the range");
        check(Some(2..4), 200, "", "0123456789", "a range was asked for, and another answer came");
        check(Some(2..4), 206, "", "ab", "a range was asked for, and another answer came");
        check(None, 206, "bytes 0-9/10", "0123456789", "good");
        check(None, 206, "bytes 0-9/10", "01234", "the answer says bytes 0..10 and has 5");
        check(None, 206, "bytes 0-4/10", "01234", "bytes 0..10 were asked for, 0..5 came");
        check(None, 200, "", "0123456789", "good");
    }

    #[test]
    fn a_list_is_whole_or_no_list() {
        let check = |body, expected| {
            let ask = Ask::List("ListBucketResult", "NextContinuationToken");
            assert_eq!(judged(&ask, 200, "", body), expected, "{body}");
        };
        let not_whole = "the answer is not a whole ListBucketResult";
        check("<ListBucketResult xmlns=\"x\"><IsTruncated>false</IsTruncated></ListBucketResult>", "good");
        check("<?xml?>\n<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>\n", "good");
        check(
            "<ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
            "good",
        );
        check(
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "the list was cut and does not say where it goes on",
        );
        check("<ListBucketResult></ListBucketResult>", "the list does not say whether it was cut");
        check("<ListBucketResult><IsTruncated>false</IsTruncated>", not_whole);
        check("<Error><Code>InternalError</Code></Error>", not_whole);
        check("<html><body>Log in</body></html>", not_whole);
        check("", not_whole);
    }
}
