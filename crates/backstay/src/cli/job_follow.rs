//! `backstay job log ID --follow`: what is stored of a job, line by line as it comes, until the job has ended.
//!
//! It only looks: a signal ends it, and the job goes on. With `--json` each line is a document of its own.

use std::collections::HashSet;
use std::time::Duration;

use backstay_api::Client;
use backstay_api::types::job::{JobDetail, JobLogLine, JobLogView};

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::human;
use super::job::{exit_of, left_out};
use super::screen::Screen;
use super::signal::Signals;
use super::watch::{LOOKS_FAILED_MAX, has_ended};
use crate::roles::installation::WithAgent;

/// How often it is looked for new lines: a look reads the tenant's events since the job began.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints what is stored of a job as it comes, and exits as the job went.
pub(super) async fn run(common: &Common, id: &str, screen: &Screen) -> Result<Exit, CliError> {
    let connection = Connection::open(common, WithAgent::No).await?;
    let mut signals = Signals::listen();
    let answer = tokio::select! {
        answer = follow(&connection, id, screen) => answer,
        () = signals.next() => {
            screen.say("the job goes on; `backstay job log` says how it is");
            Ok(Exit::Interrupted)
        }
    };
    connection.close().await;
    answer
}

async fn follow(connection: &Connection, id: &str, screen: &Screen) -> Result<Exit, CliError> {
    let mut seen: HashSet<JobLogLine> = HashSet::new();
    let mut looks_failed = 0;
    loop {
        match look(&connection.client, id).await {
            Ok((detail, log)) => {
                looks_failed = 0;
                // One that comes late may belong before others: it is printed when it comes.
                log.lines.iter().filter(|line| seen.insert((*line).clone())).for_each(|line| print(screen, line));
                if has_ended(&detail) {
                    left_out(screen, &log);
                    return Ok(exit_of(&detail.job));
                }
            }
            Err(error) if error.exit() != Exit::Failed || seen.is_empty() || looks_failed >= LOOKS_FAILED_MAX => {
                return Err(error);
            }
            Err(_) => looks_failed += 1,
        }
        if connection.is_own() {
            return Err(CliError::new(Exit::Failed, "the job waits, and no server runs that does it")
                .hint("`backstay up` does it; then follow it again."));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks whether the job has ended, and then at its lines: those of its end are among them.
async fn look(client: &Client, id: &str) -> Result<(JobDetail, JobLogView), CliError> {
    let detail = client.job_show(id).await?;
    Ok((detail, client.job_log(id).await?))
}

fn print(screen: &Screen, line: &JobLogLine) {
    screen.line(&match screen.json() {
        true => serde_json::to_string(line).expect("views are JSON"),
        false => format!("{}  {}", human::instant(&line.at), human::shown(&line.text)),
    });
}
