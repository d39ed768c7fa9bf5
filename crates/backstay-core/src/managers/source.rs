//! Tries a source where an agent would read it.

use crate::domain::probe::{Probe, ProbeStep, StepOutcome};
use crate::domain::source::Source;
use crate::ports::source::{SourceError, SourceKind};

/// The agent that works in the same process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAgent {
    /// The machine's name.
    pub host: String,
    /// Whether it runs commands that sources name.
    pub runs_commands: bool,
}

/// Tries whether an agent of this process could back a source up now.
pub async fn source_test(kind: &dyn SourceKind, agent: &OwnAgent, source: &Source) -> Probe {
    let steps = if kind.runs_commands() && !agent.runs_commands {
        let said = SourceError::CommandsRefused.to_string();
        let next = "set agent.commands, or have another agent do it".to_owned();
        vec![ProbeStep::at_once("commands", StepOutcome::Failed { said, next })]
    } else {
        kind.probe(&source.settings).await
    };
    Probe { host: agent.host.clone(), steps, left: None }
}
