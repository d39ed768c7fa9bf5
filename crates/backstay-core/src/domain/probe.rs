//! What a test of a storage or of a source came to, step by step.
//!
//! A test tells what it met: what does not work is an outcome, never an error. Absent on purpose: how things are tried.

use std::time::Duration;

use super::storage::Purpose;

/// How a step of a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// As it should.
    Well {
        /// What was met; empty where nothing is to be said.
        said: String,
    },
    /// Not as in most places, and no failure: such as a storage that lets nobody remove what was written.
    Noted {
        /// What was met.
        said: String,
        /// What to do, if it was not meant so.
        next: String,
    },
    /// It did not work.
    Failed {
        /// What happened, with what the other side said.
        said: String,
        /// What to do.
        next: String,
    },
    /// A step before it did not work that it needs.
    NotTried,
}

/// A step of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// What was tried, in a word or two.
    pub step: String,
    /// The purpose whose key it needs; none where no key is needed.
    pub purpose: Option<Purpose>,
    /// How long it took.
    pub took: Duration,
    /// How it went.
    pub outcome: StepOutcome,
}

impl ProbeStep {
    /// Makes a step that took no time and needs no key.
    pub fn at_once(step: &str, outcome: StepOutcome) -> Self {
        Self { step: step.to_owned(), purpose: None, took: Duration::ZERO, outcome }
    }
}

/// What a test came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The machine from which it was seen.
    pub host: String,
    /// All steps, in their order.
    pub steps: Vec<ProbeStep>,
    /// The name of what the test made and could not remove; none when nothing is left.
    pub left: Option<String>,
}

impl Probe {
    /// Says whether something was tried, and nothing of it failed.
    pub fn is_well(&self) -> bool {
        let has = |wanted: fn(&StepOutcome) -> bool| self.steps.iter().any(|row| wanted(&row.outcome));
        has(|outcome| matches!(outcome, StepOutcome::Well { .. }))
            && !has(|outcome| matches!(outcome, StepOutcome::Failed { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when what was not tried is called well.
    #[test]
    fn only_what_was_tried_is_well() {
        let well = || StepOutcome::Well { said: String::new() };
        let noted = || StepOutcome::Noted { said: "a".to_owned(), next: "b".to_owned() };
        let failed = || StepOutcome::Failed { said: "a".to_owned(), next: "b".to_owned() };
        let check = |outcomes: Vec<StepOutcome>, expected: bool| {
            let step = |outcome| ProbeStep { step: "a".to_owned(), purpose: None, took: Duration::ZERO, outcome };
            let steps = outcomes.into_iter().map(step).collect();
            assert_eq!(Probe { host: String::new(), steps, left: None }.is_well(), expected);
        };
        check(vec![], false);
        check(vec![noted(), StepOutcome::NotTried], false);
        check(vec![well(), noted()], true);
        check(vec![well(), failed()], false);
    }
}
