//! A tenant's events as they happen, as server-sent events.
//!
//! The chain in the store is the buffer: a reader is given what comes after the place that it names, in order, a page at
//! a time and only as fast as it reads. So nothing is lost across a reconnect, and a slow reader costs one page. A stream
//! ends with a word after a while and the reader comes again: a revoked token is refused then.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use backstay_api::types::event::{EventQuery, EventView};
use backstay_core::domain::id::TenantId;
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

/// Where a stream is.
struct Reading {
    state: ServerState,
    tenant: TenantId,
    next: i64,
    began: Instant,
    over: bool,
}

pub(super) async fn event_stream(
    State(state): State<ServerState>,
    caller: Caller,
    headers: HeaderMap,
    Ask(query): Ask<EventQuery>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let tenant = caller.tenant_seen(&state, query.tenant.as_deref()).await?;
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().parse::<i64>());
    let last = last.transpose().map_err(|error| ApiError::invalid("Last-Event-ID", error))?;
    let next = match last {
        Some(last) => last.saturating_add(1),
        None => query.from_sequence.unwrap_or(1),
    };
    let reading = Reading { state, tenant: tenant.id, next, began: Instant::now(), over: false };
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
