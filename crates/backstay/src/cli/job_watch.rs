//! `backstay job watch`: a live table of jobs until they end.
//!
//! It only looks: a signal ends the watch, and the jobs go on. On a terminal each job has a line that is drawn anew;
//! elsewhere a line is printed now and then, and one when a job ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backstay_api::Client;
use backstay_api::types::job::{JobDetail, JobQuery};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::human;
use super::job::{exit_of, show_all, usual};
use super::screen::Screen;
use super::signal::Signals;
use super::watch::{LINE_EVERY, LOOK_EVERY, LOOKS_FAILED_MAX, has_ended, progress_line};
use crate::roles::installation::WithAgent;

/// States of jobs that are watched when none is named: those that somebody has, then those that wait.
const LIVE: [&str; 4] = ["leased", "cancelling", "waiting", "queued"];

/// Most jobs that are watched at once: more lines than a terminal has.
const JOBS_MAX: usize = 40;

/// What is watched.
struct Table {
    screen: Screen,
    bars: MultiProgress,
    lines: BTreeMap<String, ProgressBar>,
    printed_at: Instant,
}

impl Table {
    fn new(screen: &Screen) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { screen: *screen, bars, lines: BTreeMap::new(), printed_at: Instant::now() }
    }

    /// Shows how all jobs are now.
    fn show(&mut self, details: &BTreeMap<String, JobDetail>) {
        if self.screen.json() {
            return;
        }
        let prints = !self.screen.is_live() && self.printed_at.elapsed() >= LINE_EVERY;
        for (id, detail) in details.iter().filter(|(_, detail)| !has_ended(detail)) {
            let text = human::shown(&line(detail));
            if self.screen.is_live() {
                let bar = self.lines.entry(id.clone()).or_insert_with(|| self.bars.add(spinner()));
                bar.set_message(text);
                bar.tick();
            } else if prints {
                self.screen.say(&text);
            }
        }
        if prints {
            self.printed_at = Instant::now();
        }
    }

    /// Shows that a job has ended.
    fn ended(&mut self, id: &str, detail: &JobDetail) {
        if let Some(bar) = self.lines.remove(id) {
            bar.finish_and_clear();
        }
        let text = human::shown(&line(detail));
        self.bars.suspend(|| self.screen.say(&text));
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed");
    ProgressBar::new_spinner().with_style(style)
}

/// Returns a job in one line: what it does to what, and how far it is or how it ended.
fn line(detail: &JobDetail) -> String {
    let job = &detail.job;
    let words = format!("{} {}", job.kind, job.item_name.as_deref().unwrap_or(&job.id));
    match (job.state.as_str(), &job.message) {
        ("leased" | "cancelling", _) => {
            let line = progress_line(words.trim(), detail.progress.as_ref(), worked(detail));
            usual(detail).map_or(line.clone(), |usual| format!("{line} (usually takes {})", human::duration(usual)))
        }
        ("succeeded", _) => {
            let (files, bytes) = (human::count(job.counts.files), human::bytes(job.counts.bytes));
            format!("{words}: {}, {files} files, {bytes}", job.outcome.as_deref().unwrap_or("succeeded"))
        }
        (state, Some(message)) => format!("{words}: {state}: {message}"),
        (state, None) => format!("{words}: {state}"),
    }
}

/// Returns how long the newest attempt has been at work.
fn worked(detail: &JobDetail) -> Duration {
    let began = detail.attempts.last().and_then(|attempt| attempt.leased_at.parse::<Timestamp>().ok());
    began.map_or(Duration::ZERO, |at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or(Duration::ZERO))
}

/// Watches jobs until they have ended, and exits as the first one that did not go well. Without ids it watches all that
/// run or wait, with those that come in the meantime.
pub(super) async fn run(common: &Common, ids: &[String], screen: &Screen) -> Result<Exit, CliError> {
    let connection = Connection::open(common, WithAgent::No).await?;
    let mut signals = Signals::listen();
    let answer = tokio::select! {
        answer = watch(&connection, ids, screen) => answer,
        () = signals.next() => {
            screen.say("the jobs go on; `backstay job list` says how they are");
            Ok(Exit::Interrupted)
        }
    };
    connection.close().await;
    answer
}

async fn watch(connection: &Connection, ids: &[String], screen: &Screen) -> Result<Exit, CliError> {
    let client = &connection.client;
    let mut table = Table::new(screen);
    let mut seen: BTreeMap<String, JobDetail> = BTreeMap::new();
    let mut ended: Vec<JobDetail> = Vec::new();
    let mut looks_failed = 0;
    loop {
        match look(client, ids, &seen).await {
            Ok(details) => {
                looks_failed = 0;
                for (id, detail) in details {
                    let was_live = seen.insert(id.clone(), detail.clone()).is_none_or(|before| !has_ended(&before));
                    if has_ended(&detail) && was_live {
                        table.ended(&id, &detail);
                        ended.push(detail);
                    }
                }
            }
            // A job that is not there, or a token that may not look, stays so.
            Err(error) if error.exit() != Exit::Failed || seen.is_empty() || looks_failed >= LOOKS_FAILED_MAX => {
                return Err(error);
            }
            Err(_) => looks_failed += 1,
        }
        let live = seen.values().filter(|detail| !has_ended(detail)).count();
        if live == 0 {
            break;
        }
        if connection.is_own() {
            return Err(CliError::new(Exit::Failed, format!("{live} jobs wait, and no server runs that does them"))
                .hint("`backstay up` does them; then watch again."));
        }
        table.show(&seen);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if ended.is_empty() && ids.is_empty() && !screen.json() {
        screen.say("nothing runs or waits; `backstay job list` shows what has ended");
    } else if screen.json() {
        screen.value(&ended);
    } else if !ids.is_empty() {
        show_all(screen, &ended);
    }
    Ok(ended.iter().map(|detail| exit_of(&detail.job)).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done))
}

/// Looks at the jobs that are named, or at those that are live, and again at those that were.
async fn look(
    client: &Client,
    ids: &[String],
    seen: &BTreeMap<String, JobDetail>,
) -> Result<BTreeMap<String, JobDetail>, CliError> {
    let mut wanted: Vec<String> = ids.to_vec();
    if ids.is_empty() {
        for state in LIVE {
            let query = JobQuery {
                state: Some(state.to_owned()),
                limit: Some(u32::try_from(JOBS_MAX).unwrap_or(u32::MAX)),
                ..JobQuery::default()
            };
            wanted.extend(client.job_list(&query).await?.rows.into_iter().map(|job| job.id));
        }
        wanted.truncate(JOBS_MAX);
        // What was live and is so no more has ended: how, is to be seen once.
        wanted.extend(seen.iter().filter(|(_, detail)| !has_ended(detail)).map(|(id, _)| id.clone()));
        wanted.sort();
        wanted.dedup();
    }
    let mut found = BTreeMap::new();
    for id in wanted {
        if seen.get(&id).is_none_or(|detail| !has_ended(detail)) {
            let detail = client.job_show(&id).await?;
            found.insert(id, detail);
        }
    }
    Ok(found)
}
