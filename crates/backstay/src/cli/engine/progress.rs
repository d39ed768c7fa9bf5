//! How far a verb is: a live line on a terminal, JSON lines of restic's shape with `--json`, nothing elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backstay_api::types::job::ProgressView;
use backstay_engine::EngineProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::output::Output;
use crate::cli::human;
use crate::cli::watch::{progress_line, time_left};
use crate::roles::engine::variable;

/// How often it is told, when `RESTIC_PROGRESS_FPS` does not say: faster than anybody reads.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How the JSON line of a verb names its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `files_done`, `bytes_done`.
    Backup,
    /// `files_restored`, `bytes_restored`.
    Restore,
}

/// Tells how far it is until it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Begins to tell.
    pub(super) fn begin(output: Output, words: &'static str, shape: Shape, progress: &Arc<EngineProgress>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let Some(every) = every(output) else { return Self { ended, thread: None } };
        let (progress, stop) = (Arc::clone(progress), Arc::clone(&ended));
        let thread = std::thread::spawn(move || tell(output, words, shape, &progress, every, &stop));
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only draws: whatever it died of, the work is not touched.
            let _ = thread.join();
        }
    }
}

/// Returns how often it is told; none when it is not.
fn every(output: Output) -> Option<Duration> {
    if output.is_quiet() {
        return None;
    }
    let asked = variable("RESTIC_PROGRESS_FPS").and_then(|text| text.parse::<f64>().ok()).filter(|fps| *fps > 0.0);
    let asked = asked.map(|fps| Duration::from_secs_f64(1.0 / fps.clamp(0.01, 60.0)));
    let told = output.json() || output.screen.is_live();
    asked.or_else(|| told.then_some(TELL_EVERY))
}

fn tell(
    output: Output,
    words: &'static str,
    shape: Shape,
    progress: &EngineProgress,
    every: Duration,
    stop: &AtomicBool,
) {
    let began = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    loop {
        let next = Instant::now() + every;
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let view = view(progress);
        if output.json() {
            output.value(&status(shape, &view, began.elapsed()));
            continue;
        }
        let text = human::shown(&progress_line(words, Some(&view), began.elapsed()));
        if !output.screen.is_live() {
            output.note(&text);
            continue;
        }
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed"));
            bar
        });
        bar.set_message(text);
        bar.tick();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn view(progress: &EngineProgress) -> ProgressView {
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let totals = progress.totals();
    let phase = if progress.publishing.load(Ordering::Relaxed) { "publishing" } else { "working" };
    ProgressView {
        phase: phase.to_owned(),
        files_done: load(&progress.files_done),
        bytes_done: load(&progress.bytes_done),
        files_total: totals.map(|totals| totals.0),
        bytes_total: totals.map(|totals| totals.1),
        unread: load(&progress.unread),
        watched: 0,
    }
}

/// Returns restic's line.
fn status(shape: Shape, view: &ProgressView, elapsed: Duration) -> Value {
    let percent = view.bytes_total.filter(|total| *total > 0).map(|total| view.bytes_done as f64 / total as f64);
    let (files, bytes) = match shape {
        Shape::Backup => ("files_done", "bytes_done"),
        Shape::Restore => ("files_restored", "bytes_restored"),
    };
    let mut line = json!({
        "message_type": "status",
        "seconds_elapsed": elapsed.as_secs(),
        "percent_done": percent.unwrap_or(0.0).min(1.0),
        files: view.files_done,
        bytes: view.bytes_done,
    });
    let mut add = |name: &str, count: Option<u64>| {
        if let Some(count) = count {
            line[name] = count.into();
        }
    };
    add("seconds_remaining", time_left(view, elapsed).map(|left| left.as_secs()));
    add("total_files", view.files_total);
    add("total_bytes", view.bytes_total);
    add("error_count", Some(view.unread).filter(|count| *count > 0));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_restic_s_names() {
        let progress = EngineProgress::default();
        progress.set_totals(4, 200);
        progress.done(1, 50);
        let line = |shape| status(shape, &view(&progress), Duration::from_secs(3));
        let backup = line(Shape::Backup);
        assert_eq!((&backup["percent_done"], &backup["files_done"]), (&json!(0.25), &json!(1)));
        assert_eq!((&backup["total_files"], &backup["seconds_elapsed"]), (&json!(4), &json!(3)));
        assert!(backup["seconds_remaining"].as_u64().is_some(), "there is a pace");
        assert_eq!(line(Shape::Restore)["bytes_restored"], json!(50));
    }
}
