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

/// What a verb counts, and how its JSON line names that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `files_done`, `bytes_done`.
    Backup,
    /// `files_restored`, `bytes_restored`.
    Restore,
    /// Other things than files: of `packs` these are `packs_done` and `total_packs`.
    Of(&'static str),
}

/// Tells how far it is until it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The live line, where there is one.
    bar: Option<ProgressBar>,
}

impl Live {
    /// Begins to tell.
    pub(super) fn begin(output: Output, words: &'static str, shape: Shape, progress: &Arc<EngineProgress>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let Some(every) = every(output) else { return Self { ended, thread: None, bar: None } };
        let bar = (!output.json() && output.screen.is_live()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed"));
            bar
        });
        let (progress, stop, drawn) = (Arc::clone(progress), Arc::clone(&ended), bar.clone());
        let thread = std::thread::spawn(move || tell(output, (words, shape), &progress, every, &stop, drawn));
        Self { ended, thread: Some(thread), bar }
    }

    /// Prints something else, without the live line in its midst.
    pub(super) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
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
    (words, shape): (&'static str, Shape),
    progress: &EngineProgress,
    every: Duration,
    stop: &AtomicBool,
    bar: Option<ProgressBar>,
) {
    let began = Instant::now();
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
        let text = human::shown(&match shape {
            Shape::Of(unit) => line_of(words, unit, &view, progress.looked.load(Ordering::Relaxed), began.elapsed()),
            Shape::Backup | Shape::Restore => progress_line(words, Some(&view), began.elapsed()),
        });
        match &bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None => output.note(&text),
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Returns the line of a verb that counts other things than files.
fn line_of(words: &str, unit: &str, view: &ProgressView, looked: u64, elapsed: Duration) -> String {
    if view.phase == "publishing" {
        return format!("{words}: writing what names it");
    }
    let mut line = match view.files_total {
        Some(total) => format!("{words}: {} of {} {unit}", human::count(view.files_done), human::count(total)),
        None => words.to_owned(),
    };
    if looked > 0 {
        line.push_str(&format!(", {} folders", human::count(looked)));
    }
    if let Some(total) = view.bytes_total.filter(|total| *total > 0) {
        let rate = view.bytes_done as f64 / elapsed.as_secs_f64().max(0.001);
        let (done, total, rate) = (human::bytes(view.bytes_done), human::bytes(total), human::bytes(rate as u64));
        line.push_str(&format!(", {done} of {total}, {rate}/s"));
    }
    if let Some(left) = time_left(view, elapsed) {
        line.push_str(&format!(", {} left", human::duration(left)));
    }
    line
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
    // What has no bytes is as far as its count.
    let count = view.files_total.filter(|total| *total > 0).map(|total| view.files_done as f64 / total as f64);
    let (unit, done, bytes) = match shape {
        Shape::Backup => ("files", "done", "bytes_done"),
        Shape::Restore => ("files", "restored", "bytes_restored"),
        Shape::Of(unit) => (unit, "done", "bytes_done"),
    };
    let mut line = json!({
        "message_type": "status",
        "seconds_elapsed": elapsed.as_secs(),
        "percent_done": percent.or(count).unwrap_or(0.0).min(1.0),
        format!("{unit}_{done}"): view.files_done,
        bytes: view.bytes_done,
    });
    let mut add = |name: &str, count: Option<u64>| {
        if let Some(count) = count {
            line[name] = count.into();
        }
    };
    add("seconds_remaining", time_left(view, elapsed).map(|left| left.as_secs()));
    add(&format!("total_{unit}"), view.files_total);
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
        let blobs = line(Shape::Of("blobs"));
        assert_eq!((&blobs["blobs_done"], &blobs["total_blobs"]), (&json!(1), &json!(4)));
    }

    #[test]
    fn what_counts_packs_says_packs_and_how_long() {
        let progress = EngineProgress::default();
        let line = |seconds| line_of("reading", "packs", &view(&progress), 0, Duration::from_secs(seconds));
        assert_eq!(line(1), "reading");
        progress.set_totals(40, 0);
        progress.done(10, 0);
        assert_eq!(line(10), "reading: 10 of 40 packs, 30 s left");
        assert_eq!(status(Shape::Of("packs"), &view(&progress), Duration::ZERO)["percent_done"], json!(0.25));
        progress.set_totals(40, 4_000);
        assert!(line(10).contains("0 B of 3.91 KiB"), "{}", line(10));
    }
}
