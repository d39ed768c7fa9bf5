//! What monitoring asks: is it alive, is it ready, and figures in the text format of Prometheus.
//!
//! Base units (seconds); labels are words and names, never ids or paths. Figures of plans and monitors are bounded: beyond
//! [`FIGURES_MAX`] the rest is counted in one figure and not shown.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use backstay_api::openapi::document;
use backstay_core::ports::meter::{MonitorFigure, PlanFigure};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::error::ApiError;
use super::state::ServerState;
use crate::tally::Counts;

/// Plans with figures of their own, and monitors: a scrape stays a few questions, and Prometheus has a few thousand series of ours.
const FIGURES_MAX: u32 = 1_000;

/// How long the figures of plans and monitors rest: a scrape interval, so that several who scrape cost what one does.
const FIGURES_REST: Duration = Duration::from_secs(10);

/// The media type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the document of the API: the one that `docs/reference/openapi.json` is.
pub(super) async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_json().expect("a document is JSON"));
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], TEXT.as_str())
}

/// Says that the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether requests can be answered: whether the store answers.
pub(super) async fn readyz(State(state): State<ServerState>) -> (StatusCode, &'static str) {
    match state.access.change_newest().await {
        Ok(_) if !state.end.is_cancelled() => (StatusCode::OK, "ready\n"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

pub(super) async fn metrics(State(state): State<ServerState>) -> Result<impl IntoResponse, ApiError> {
    let now = state.context.schedules.clock_read().await?;
    let mut page = Page::default();
    let depths = state.meter.queue_depth().await?;
    page.head("backstay_jobs", "Jobs that are not final, by kind and state.");
    for depth in &depths {
        page.row("backstay_jobs", &[("kind", depth.kind.word()), ("state", depth.state.word())], depth.count as f64);
    }
    page.head("backstay_jobs_oldest_age_seconds", "Age of the oldest of those jobs.");
    for depth in &depths {
        let labels = [("kind", depth.kind.word()), ("state", depth.state.word())];
        page.row("backstay_jobs_oldest_age_seconds", &labels, age(now, depth.oldest_at));
    }
    page.head("backstay_agents", "Agents whose heartbeat is alive.");
    page.row("backstay_agents", &[], state.context.jobs.agent_list_alive().await?.len() as f64);
    let told = state.context.notices.outbox_counts().await?;
    page.head("backstay_alerts", "Alerts that go on.");
    page.row("backstay_alerts", &[], told.alerts_live as f64);
    page.head("backstay_messages", "Messages to channels that wait, or were given up.");
    page.row("backstay_messages", &[("state", "waiting")], told.waiting as f64);
    page.row("backstay_messages", &[("state", "given_up")], told.given_up as f64);
    totals(&state.tally.counts(), &mut page);
    plans(&state, now, &mut page).await?;
    monitors(&state, now, &mut page).await?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], page.text))
}

/// Adds what jobs came to since this process began.
fn totals(counts: &Counts, page: &mut Page) {
    page.counter("backstay_attempts_ended_total", "Attempts that ended, by what the job is then, in this process.");
    for ((kind, ending), count) in &counts.ended {
        page.row("backstay_attempts_ended_total", &[("kind", kind), ("ending", ending)], *count as f64);
    }
    page.counter("backstay_bytes_total", "Bytes of content, new ones, ones written to and freed in storage.");
    for ((kind, sort), bytes) in &counts.bytes {
        page.row("backstay_bytes_total", &[("kind", kind), ("sort", sort)], *bytes as f64);
    }
    page.counter("backstay_leases_lost_total", "Leases that ended without a word of their agent.");
    page.row("backstay_leases_lost_total", &[], counts.lost as f64);
}

/// Adds the figures of plans.
async fn plans(state: &ServerState, now: Timestamp, page: &mut Page) -> Result<(), StoreError> {
    let found = state.figures.plans.get(|| state.meter.plan_figures(FIGURES_MAX, now)).await?;
    let (figures, not_shown) = found.as_ref();
    page.head("backstay_plans_not_shown", "Plans beyond those that have figures of their own.");
    page.row("backstay_plans_not_shown", &[], *not_shown as f64);
    page.head("backstay_plan_rpo_seconds", "How old the newest good snapshot of an item may be.");
    for row in figures {
        page.row("backstay_plan_rpo_seconds", &[("tenant", &row.tenant), ("plan", &row.plan)], row.rpo.as_secs_f64());
    }
    let name = "backstay_plan_newest_good_snapshot_age_seconds";
    page.head(name, "Age of the newest good snapshot of the plan's item that is worst off; +Inf while one has none.");
    for row in figures {
        let age = row.oldest_at.map_or(f64::INFINITY, |at| age(now, at));
        page.row(name, &[("tenant", &row.tenant), ("plan", &row.plan)], age);
    }
    Ok(())
}

/// Adds whether the work behind monitors goes on, as long as there are not too many of them.
async fn monitors(state: &ServerState, now: Timestamp, page: &mut Page) -> Result<(), StoreError> {
    let found = state.figures.monitors.get(|| state.meter.monitor_figures(FIGURES_MAX)).await?;
    let (figures, not_shown) = found.as_ref();
    page.head("backstay_monitors_not_shown", "Monitors beyond those that have figures of their own.");
    page.row("backstay_monitors_not_shown", &[], *not_shown as f64);
    page.head("backstay_monitor_down", "Whether a monitor's work failed, or was not heard of in time.");
    for row in figures {
        let is_down = f64::from(u8::from(row.monitor.trouble(now).is_some()));
        page.row("backstay_monitor_down", &[("tenant", &row.tenant), ("monitor", row.monitor.name.as_str())], is_down);
    }
    Ok(())
}

/// The figures that rest between scrapes, each with how many of the same are not among them.
#[derive(Debug, Default)]
pub struct Figures {
    plans: Rested<(Vec<PlanFigure>, u64)>,
    monitors: Rested<(Vec<MonitorFigure>, u64)>,
}

/// What was found last, for [`FIGURES_REST`]: however many ask, the store is asked once.
#[derive(Debug)]
struct Rested<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Rested<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Rested<T> {
    /// Returns what was found, and looks again where that is old.
    async fn get<F>(&self, look: impl FnOnce() -> F) -> Result<Arc<T>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut known = self.0.lock().await;
        if let Some((since, found)) = &*known
            && since.elapsed() < FIGURES_REST
        {
            return Ok(found.clone());
        }
        let found = Arc::new(look().await?);
        *known = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

/// Returns an age in seconds; none is negative, whatever clocks say.
fn age(now: Timestamp, at: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

/// A page in the text format.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn counter(&mut self, name: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} counter\n");
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

/// Writes a label's value as the format asks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_in_the_text_format() {
        let mut page = Page::default();
        page.head("x_seconds", "An age.");
        page.row("x_seconds", &[("plan", "a\"b\\c"), ("tenant", "t")], f64::INFINITY);
        page.row("x_seconds", &[], 1.5);
        let expected = "# HELP x_seconds An age.\n# TYPE x_seconds gauge\n\
                        x_seconds{plan=\"a\\\"b\\\\c\",tenant=\"t\"} +Inf\nx_seconds 1.5\n";
        assert_eq!(page.text, expected);
    }
}
