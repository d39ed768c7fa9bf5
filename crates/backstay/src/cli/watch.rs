//! Waits for a job and shows how far it is: a live line on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use backstay_api::Client;
use backstay_api::types::job::{JobDetail, ProgressView};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::signal::Signals;

/// How often a job is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Failed looks in a row after which the watch ends. A look that fails says nothing of the job, which goes on: a database
/// that is busy or a network that falters answers again within two seconds, and what is really gone does not.
pub(super) const LOOKS_FAILED_MAX: u32 = 10;

/// How often a line is printed where there is no terminal.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// What a file costs besides its bytes, in bytes: for an estimate that small files do not fool.
const FILE_COST_BYTES: u64 = 16 << 10;

/// Longest wait for a cancelled job to end.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(20);

/// Shows progress.
pub(crate) struct Watch {
    screen: Screen,
    bar: Option<ProgressBar>,
    line_at: Instant,
    signals: Signals,
}

impl Watch {
    pub(crate) fn new(screen: &Screen) -> Self {
        Self { screen: *screen, bar: None, line_at: Instant::now(), signals: Signals::listen() }
    }

    /// Prints a message of one line for a person, above the live line.
    pub(crate) fn say(&self, text: &str) {
        let text = human::shown(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.say(&text)),
            None => self.screen.say(&text),
        }
    }

    fn show(&mut self, words: &str, detail: &JobDetail, began: Instant) {
        let text = match (&detail.job.message, detail.job.state.as_str()) {
            (Some(reason), "waiting") => format!("{words}: waits and will try again: {reason}"),
            _ => progress_line(words, detail.progress.as_ref(), began.elapsed()),
        };
        if self.screen.json() {
            return;
        }
        let text = human::shown(&text);
        if self.screen.is_live() {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_style(
                    ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed"),
                );
                bar
            });
            bar.set_message(text);
            bar.tick();
        } else if self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            self.screen.say(&text);
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Returns one line: what, files, bytes, rate, time left.
pub(super) fn progress_line(words: &str, progress: Option<&ProgressView>, elapsed: Duration) -> String {
    let Some(progress) = progress else { return format!("{words}: waiting for an agent") };
    match progress.phase.as_str() {
        "before" => return format!("{words}: running the hook before it"),
        "after" => return format!("{words}: running the hook after it"),
        "opening" => return format!("{words}: opening source and repository"),
        "publishing" => return format!("{words}: writing index and snapshot"),
        _ => {}
    }
    let files = match progress.files_total {
        Some(total) => format!("{} of {} files", human::count(progress.files_done), human::count(total)),
        None => format!("{} files", human::count(progress.files_done)),
    };
    let bytes = match progress.bytes_total {
        Some(total) => format!("{} of {}", human::bytes(progress.bytes_done), human::bytes(total)),
        None => human::bytes(progress.bytes_done),
    };
    let rate = progress.bytes_done as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!("{words}: {files}, {bytes}, {}/s", human::bytes(rate as u64));
    if let Some(left) = time_left(progress, elapsed) {
        line.push_str(&format!(", {} left", human::duration(left)));
    }
    if progress.unread > 0 {
        line.push_str(&format!(", {} not readable", human::count(progress.unread)));
    }
    line
}

/// Returns the time left at the pace so far; none before there is a pace, or when the total is not known.
pub(super) fn time_left(progress: &ProgressView, elapsed: Duration) -> Option<Duration> {
    let cost = |files: u64, bytes: u64| bytes as f64 + (files * FILE_COST_BYTES) as f64;
    let total = cost(progress.files_total?, progress.bytes_total?);
    let done = cost(progress.files_done, progress.bytes_done);
    let pace = done / elapsed.as_secs_f64();
    if done <= 0.0 || total <= done || elapsed < Duration::from_secs(1) {
        return None;
    }
    Duration::try_from_secs_f64(((total - done) / pace).round().max(1.0)).ok()
}

/// Waits until a job has ended and returns it. A first signal cancels the job and waits for its end, a second one ends the
/// program at once; the next run finishes what was begun.
pub(crate) async fn watch_job(
    client: &Client,
    id: &str,
    words: &str,
    watch: &mut Watch,
) -> Result<JobDetail, CliError> {
    let began = Instant::now();
    let mut cancelled_at: Option<Instant> = None;
    let mut looks_failed = 0;
    let answer = loop {
        match client.job_show(id).await {
            Ok(detail) if has_ended(&detail) => break Ok(detail),
            Ok(detail) => {
                looks_failed = 0;
                watch.show(words, &detail, began);
            }
            Err(error) if looks_failed >= LOOKS_FAILED_MAX => break Err(error.into()),
            Err(_) => looks_failed += 1,
        }
        if cancelled_at.is_some_and(|at| at.elapsed() > CANCEL_TIME_MAX) {
            break Err(CliError::new(Exit::Interrupted, "the job did not end in time")
                .hint("Run it again: what was saved stays, and the next run goes on from there."));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = watch.signals.next() => {
                if cancelled_at.is_some() {
                    watch.clear();
                    let ended = CliError::new(Exit::Interrupted, "ended at once");
                    ended.hint("Run it again: what was saved stays, and the next run goes on from there.").print();
                    // No waiting for anything: an end at any moment is what the next run is made for.
                    std::process::exit(Exit::Interrupted as i32);
                }
                cancelled_at = Some(Instant::now());
                watch.say("stopping: what was saved stays, and the next run goes on from there (Ctrl-C again to end at once)");
                if let Err(error) = client.job_cancel(id).await {
                    watch.say(&format!("the job could not be cancelled: {error}"));
                }
            }
        }
    };
    watch.clear();
    answer
}

/// Says whether nothing more will happen by itself.
pub(super) fn has_ended(detail: &JobDetail) -> bool {
    detail.job.finished_at.is_some() || detail.job.state == "parked"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(files: (u64, Option<u64>), bytes: (u64, Option<u64>)) -> ProgressView {
        ProgressView {
            phase: "working".to_owned(),
            files_done: files.0,
            bytes_done: bytes.0,
            files_total: files.1,
            bytes_total: bytes.1,
            unread: 0,
            watched: 0,
        }
    }

    /// Answers looks on a loopback port: the first ones with a failure, the others with a job that has ended.
    async fn server(failures: u32) -> Client {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = serde_json::to_value(backstay_api::types::job::CountsView::default()).unwrap();
        let job = serde_json::json!({
            "tenant_id": "t", "kind": "backup", "state": "succeeded", "repository_id": "r", "trigger": "request",
            "breach_at": "", "attempt": 1, "counts": counts, "created_at": "", "finished_at": "now", "id": "7",
        });
        let ended = serde_json::json!({ "job": job, "attempts": [], "unread": { "count": 0, "entries": [] } });
        tokio::spawn(async move {
            for look in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4_096]).await;
                let (status, body) = if look < failures { (500, String::new()) } else { (200, ended.to_string()) };
                let head =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Client::new(&url, "t".to_owned().into()).unwrap()
    }

    #[tokio::test]
    async fn a_failed_look_does_not_end_the_watch() {
        let mut watch = Watch::new(&Screen::new(true));
        let job = watch_job(&server(LOOKS_FAILED_MAX).await, "7", "", &mut watch).await.unwrap();
        assert_eq!(job.job.state, "succeeded");
        watch_job(&server(LOOKS_FAILED_MAX + 1).await, "7", "", &mut watch).await.unwrap_err();
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let line = |progress: &ProgressView| progress_line("backing up", Some(progress), Duration::from_secs(2));
        let half = progress((1_000, Some(2_000)), (1 << 30, Some(2 << 30)));
        assert_eq!(line(&half), "backing up: 1,000 of 2,000 files, 1.00 GiB of 2.00 GiB, 512 MiB/s, 2.0 s left");
        let unknown = progress((1_000, None), (1 << 30, None));
        assert_eq!(line(&unknown), "backing up: 1,000 files, 1.00 GiB, 512 MiB/s");
        let all = ProgressView { unread: 3, ..progress((5, Some(5)), (7, Some(7))) };
        assert_eq!(line(&all), "backing up: 5 of 5 files, 7 B of 7 B, 3 B/s, 3 not readable");
        assert_eq!(progress_line("backing up", None, Duration::ZERO), "backing up: waiting for an agent");
    }
}
