//! Brings a stream back into its source: the snapshot's one file, whole, to what the kind opens for it.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobCounts, Leased, Outcome};
use backstay_core::domain::source::Source;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::JobResult;
use backstay_core::ports::source::{StreamSink, WayBack};
use backstay_engine::restore::stream::{DumpOptions, Dumped, dump};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};

use super::open::permitted;
use super::{RunError, Runner};
use crate::repository::{ended, lock_to_read, open};

/// How often a write that may block looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs a restore back into the source.
pub(super) async fn run(
    runner: &Runner,
    job: &Job<Leased>,
    home: Option<&(Source, Item)>,
    foreign_id: &str,
    way: WayBack,
) -> Result<JobResult, RunError> {
    let Some((source, item)) = home.cloned() else {
        return Err(RunError::Unsupported { what: "a restore to a source without it".to_owned() });
    };
    let kind = permitted(runner, &source)?;
    let (leased, foreign_id) = (job.state.repository.clone(), foreign_id.to_owned());
    let (progress, interrupt) = (Arc::clone(&runner.progress), runner.interrupt.clone());
    let (lease, username) = (job.lease_key(), runner.options.username.clone());
    let thread = move || -> Result<Dumped, RunError> {
        let repository = open(&leased, &interrupt)?;
        let lock = lock_to_read(&repository, &leased, lease, &username, &interrupt)?;
        let path = only_file(&repository, &foreign_id, &interrupt);
        let begun = path.map(|path| kind.sink(&source.settings, &item.name, &way).map(|sink| (path, sink)));
        match begun {
            Ok(Ok((path, sink))) => {
                let options = DumpOptions { snapshot: &foreign_id, sub_path: b"", path: path.as_bytes() };
                Ok(ended(lock, brought(&repository, &options, sink, &progress, &interrupt))?)
            }
            Ok(Err(error)) => {
                ended(lock, Ok(()))?;
                Err(error.into())
            }
            Err(error) => Ok(ended(lock, Err(error))?),
        }
    };
    let Dumped { files, bytes, .. } = tokio::task::spawn_blocking(thread).await??;
    let counts = JobCounts { files, bytes, ..JobCounts::default() };
    Ok(JobResult::Restored { outcome: Outcome::Complete, counts, unread: Unread::default() })
}

/// Returns the path of the one file of a stream's snapshot.
fn only_file(repository: &Repository, foreign_id: &str, interrupt: &Interrupt) -> Result<String, EngineError> {
    let (_, snapshot) = repository.snapshot_read(foreign_id, interrupt)?;
    match snapshot.paths.as_slice() {
        [path] => Ok(path.clone()),
        paths => Err(EngineError::NoPath { path: paths.join(", "), wanted: "file of a stream" }),
    }
}

/// Sends the file, and has what blocks end when somebody asks for that.
fn brought(
    repository: &Repository,
    options: &DumpOptions<'_>,
    mut sink: Box<dyn StreamSink>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Dumped, EngineError> {
    let stop = sink.stopper();
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while waiting.recv_timeout(LOOK_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if interrupt.is_raised() {
                    return stop();
                }
            }
        });
        let sent = dump(repository, options, &mut sink, progress, interrupt);
        let finished = sent.and_then(|dumped| {
            progress.publishing.store(true, std::sync::atomic::Ordering::Relaxed);
            let told = |source| EngineError::Write { path: "the source".to_owned(), source };
            sink.finish().map(|()| dumped).map_err(told)
        });
        drop(done);
        // What was ended by a wish to stop did not fail.
        finished.map_err(|error| if interrupt.is_raised() { EngineError::Interrupted } else { error })
    })
}
