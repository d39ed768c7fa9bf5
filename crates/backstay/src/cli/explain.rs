//! `backstay … explain`: why a plan, an item, a job or a snapshot is as it is, in plain lines.

use backstay_api::types::explain::{ExplainQuery, ExplainView, SnapshotExplainQuery};

use super::human;
use super::screen::Screen;

/// In which time zone moments are told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Zone {
    /// Time zone of the moments, such as Europe/Berlin; UTC when left out
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
}

impl Zone {
    /// Returns what goes with the call.
    pub(super) fn query(&self) -> ExplainQuery {
        ExplainQuery { zone: self.zone.clone() }
    }

    /// Returns what goes with the call for a snapshot.
    pub(super) fn of_snapshot(&self) -> SnapshotExplainQuery {
        SnapshotExplainQuery { zone: self.zone.clone(), if_forgotten: None }
    }
}

/// Prints an answer: a fact a line, or JSON.
pub(super) fn show(screen: &Screen, view: &ExplainView) {
    if screen.json() {
        return screen.value(view);
    }
    for line in &view.lines {
        screen.line(&human::shown(line));
    }
}
