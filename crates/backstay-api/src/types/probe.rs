//! What tests of storages and sources came to, on the wire.

use backstay_core::domain::probe::{Probe, ProbeStep, StepOutcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a test came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeView {
    /// The machine from which it was seen.
    pub seen_from: String,
    /// Whether something was tried, and nothing of it failed.
    pub is_well: bool,
    /// All steps, in their order.
    pub steps: Vec<ProbeStepView>,
    /// Name of what the test made and could not remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// A step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeStepView {
    /// What was tried: of a storage `open`, `list`, `write`, `read` or `delete`; of a source words for people.
    pub step: String,
    /// The purpose of the key that it was tried with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// `well`, `noted` (no failure, and worth knowing), `failed`, or `not_tried` after a failure before it.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What was met, with what the other side said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl From<&Probe> for ProbeView {
    fn from(probe: &Probe) -> Self {
        Self {
            seen_from: probe.host.clone(),
            is_well: probe.is_well(),
            steps: probe.steps.iter().map(ProbeStepView::from).collect(),
            left: probe.left.clone(),
        }
    }
}

impl From<&ProbeStep> for ProbeStepView {
    fn from(row: &ProbeStep) -> Self {
        let (outcome, said, next) = match &row.outcome {
            StepOutcome::Well { said } => ("well", Some(said), None),
            StepOutcome::Noted { said, next } => ("noted", Some(said), Some(next)),
            StepOutcome::Failed { said, next } => ("failed", Some(said), Some(next)),
            StepOutcome::NotTried => ("not_tried", None, None),
        };
        let words = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        Self {
            step: row.step.clone(),
            purpose: row.purpose.map(|purpose| purpose.word().to_owned()),
            outcome: outcome.to_owned(),
            took_ms: u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX),
            said: words(said),
            next: words(next),
        }
    }
}
