//! A tenant's events as they happen, as server-sent events.
//!
//! The chain in the store is the buffer: a reader is given what comes after the place that it names, in order, a page at
//! a time and only as fast as it reads. So nothing is lost across a reconnect, and a slow reader costs one page. A stream
//! ends with a word after a while and the reader comes again: a revoked token is refused then.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use backstay_api::types::event::{EventStreamQuery, EventView};
use backstay_core::domain::id::{TenantId, TokenId};
use futures::stream::{self, Stream, StreamExt as _};

use super::caller::Caller;
use super::error::ApiError;
use super::extract::Ask;
use super::state::ServerState;

/// Events that are read at once.
const PAGE: u32 = 100;

/// How often the chain is looked at while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a stream lasts before its reader has to come again, with its token.
const STREAM_TIME_MAX: Duration = Duration::from_secs(300);

/// Streams that one token may have open: the pages and the scripts of one person. Each looks twice a second.
const STREAMS_PER_TOKEN_MAX: usize = 8;

/// Streams in all: five hundred small reads a second, which the smallest database bears.
const STREAMS_MAX: usize = 256;

/// The streams that are open, by the token that opened them; none is the installation's own.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<Option<TokenId>, usize>>>);

/// A stream that is counted until this is dropped.
struct Counted {
    streams: Streams,
    token: Option<TokenId>,
}

impl Streams {
    fn open(&self, token: Option<TokenId>) -> Result<Counted, ApiError> {
        let mut counts = self.0.lock().expect("nobody panics while counting");
        if counts.get(&token).is_some_and(|count| *count >= STREAMS_PER_TOKEN_MAX) {
            return Err(ApiError::too_many_streams(StatusCode::TOO_MANY_REQUESTS, STREAMS_PER_TOKEN_MAX));
        }
        if counts.values().sum::<usize>() >= STREAMS_MAX {
            return Err(ApiError::too_many_streams(StatusCode::SERVICE_UNAVAILABLE, STREAMS_MAX));
        }
        *counts.entry(token).or_default() += 1;
        Ok(Counted { streams: self.clone(), token })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.streams.0.lock().expect("nobody panics while counting");
        if let Some(count) = counts.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.token);
            }
        }
    }
}

/// Where a stream is.
struct Reading {
    _counted: Counted,
    state: ServerState,
    tenant: TenantId,
    next: i64,
    began: Instant,
    over: bool,
}

pub(super) async fn event_stream(
    State(state): State<ServerState>,
    Extension(streams): Extension<Streams>,
    caller: Caller,
    headers: HeaderMap,
    Ask(query): Ask<EventStreamQuery>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().parse::<i64>());
    let last = last.transpose().map_err(|error| ApiError::invalid("Last-Event-ID", error))?;
    let next = match last {
        Some(last) => last.saturating_add(1),
        None => query.from_sequence.unwrap_or(1),
    };
    let _counted = streams.open(caller.identity.token_id)?;
    let reading = Reading { _counted, state, tenant: tenant.id, next, began: Instant::now(), over: false };
    let pages = stream::unfold(reading, |reading| async { page(reading).await }).flat_map(stream::iter);
    Ok(Sse::new(pages.map(Ok)).keep_alive(KeepAlive::new()))
}

/// Waits for the next events; none after the stream's last word.
async fn page(mut reading: Reading) -> Option<(Vec<Sent>, Reading)> {
    loop {
        if reading.over {
            return None;
        }
        let end = &reading.state.end;
        if end.is_cancelled() || reading.began.elapsed() >= STREAM_TIME_MAX {
            reading.over = true;
            return Some((vec![Sent::default().event("end").data("come again with Last-Event-ID")], reading));
        }
        let found = reading.state.context.history.event_list(reading.tenant, reading.next, PAGE).await;
        match found {
            Ok(events) if !events.is_empty() => {
                reading.next = events.last().map_or(reading.next, |last| last.sequence + 1);
                return Some((events.iter().map(|event| sent(&event.into())).collect(), reading));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %error, "a stream of events ends: the store did not answer");
                reading.over = true;
                return Some((vec![Sent::default().event("end").data("the database did not answer")], reading));
            }
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Returns an event as it is sent.
fn sent(event: &EventView) -> Sent {
    let data = serde_json::to_string(event).expect("an event is JSON");
    Sent::default().id(event.sequence.to_string()).event(event.kind.clone()).data(data)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn streams_have_an_end_by_token_and_in_all() {
        let streams = Streams::default();
        let token = |number: usize| Some(TokenId::new(Timestamp::UNIX_EPOCH, [u8::try_from(number).unwrap(); 10]));
        let mut open: Vec<Counted> = (0..STREAMS_PER_TOKEN_MAX).map(|_| streams.open(token(0)).unwrap()).collect();
        assert!(streams.open(token(0)).is_err(), "one token has enough");
        let tokens = 1..STREAMS_MAX / STREAMS_PER_TOKEN_MAX;
        open.extend(
            tokens
                .flat_map(|number| (0..STREAMS_PER_TOKEN_MAX).map(move |_| number))
                .map(|number| streams.open(token(number)).unwrap()),
        );
        assert_eq!(open.len(), STREAMS_MAX);
        assert!(streams.open(None).is_err(), "the server has enough");
        drop(open);
        assert!(streams.open(token(0)).is_ok() && streams.0.lock().unwrap().is_empty(), "an ended one is not counted");
    }
}
