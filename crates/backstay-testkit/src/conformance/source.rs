//! The suite of the port `SourceKind`.

use std::collections::BTreeSet;

use backstay_core::domain::job::Target;
use backstay_core::domain::probe::{Probe, StepOutcome};
use backstay_core::ports::source::{Opened, SourceKind, SourceStream};
use serde_json::{Value, json};

/// A kind with settings to try it on.
pub struct SourceHarness<'a> {
    /// The kind under test.
    pub kind: &'a dyn SourceKind,
    /// Settings of a source that is there and has an item.
    pub good: Value,
    /// Settings that are well formed, of a source that is not there.
    pub absent: Value,
}

/// Runs every promise.
pub async fn exercise(harness: &SourceHarness<'_>) {
    a_kind_says_what_it_is(harness.kind);
    settings_are_judged_once(harness);
    wrong_settings_are_named(harness);
    items_are_found_and_opened(harness).await;
    an_absent_source_is_an_error_and_no_empty_list(harness).await;
    a_test_says_what_a_backup_would_meet(harness).await;
}

/// A name that rows and requests can carry, a sentence, and a schema that a form can be made from.
fn a_kind_says_what_it_is(kind: &dyn SourceKind) {
    let name = kind.name();
    assert!(!name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
    assert!(!kind.describe().is_empty());
    assert!(kind.schema()["properties"].is_object(), "{}", kind.schema());
}

/// What `parse` returns is what it accepts: judging it again changes nothing.
fn settings_are_judged_once(harness: &SourceHarness<'_>) {
    let parsed = harness.kind.parse(&harness.good).unwrap();
    assert_eq!(harness.kind.parse(&parsed.settings).unwrap(), parsed);
}

/// A misspelt setting is an error that names it; so is what is no object.
fn wrong_settings_are_named(harness: &SourceHarness<'_>) {
    let mut misspelt = harness.good.clone();
    misspelt["mispelt"] = json!(1);
    assert_eq!(harness.kind.parse(&misspelt).unwrap_err().field, "mispelt");
    for wrong in [json!(null), json!([]), json!({})] {
        let error = harness.kind.parse(&wrong).unwrap_err();
        assert!(!error.field.is_empty() && !error.problem.is_empty(), "{wrong}");
    }
}

/// Items are found once each; those that the settings name are the same; each can be opened and has a target.
async fn items_are_found_and_opened(harness: &SourceHarness<'_>) {
    let parsed = harness.kind.parse(&harness.good).unwrap();
    let found = harness.kind.discover(&parsed.settings).await.unwrap();
    assert!(!found.is_empty());
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{found:?}");
    if !parsed.items.is_empty() {
        assert_eq!(parsed.items, found);
    }
    for item in &found {
        match harness.kind.open(&parsed.settings, item).await.unwrap() {
            Opened::Path { path, .. } => assert!(path.is_dir(), "{}", path.display()),
            Opened::Stream(stream) => {
                assert!(stream.path.is_absolute(), "{}", stream.path.display());
                whole(stream);
            }
            other => panic!("the suite does not know this shape yet: {other:?}"),
        }
        match harness.kind.target(&parsed.settings, item).unwrap() {
            Target::Directory(target) => assert!(target.is_absolute()),
            Target::Source { name } => assert_eq!(name, None, "the kind says what it is called there"),
        }
    }
}

/// A stream is read to its end, and stopping one that is over is nothing.
fn whole(stream: SourceStream) {
    let mut begun = (stream.begin)().unwrap();
    let mut bytes = Vec::new();
    begun.reader.read_to_end(&mut bytes).unwrap();
    assert!(!bytes.is_empty());
    (begun.stop)();
}

/// A source that is not there is an error as a whole: an empty list would make every item vanish.
async fn an_absent_source_is_an_error_and_no_empty_list(harness: &SourceHarness<'_>) {
    let parsed = harness.kind.parse(&harness.absent).unwrap();
    assert!(harness.kind.discover(&parsed.settings).await.is_err());
    let item = parsed.items.first().cloned().unwrap_or_else(|| "item".to_owned());
    match harness.kind.open(&parsed.settings, &item).await {
        // What is not there is found when a stream is read, at the latest at its end.
        Ok(Opened::Stream(stream)) => {
            let read = (stream.begin)().and_then(|mut begun| begun.reader.read_to_end(&mut Vec::new()));
            assert!(read.is_err(), "{read:?}");
        }
        opened => assert!(opened.is_err(), "{opened:?}"),
    }
}

/// A source that is there is well, one that is not there is not, and what stands in the way is said with what to do.
async fn a_test_says_what_a_backup_would_meet(harness: &SourceHarness<'_>) {
    let tried = async |settings: &Value| {
        let steps = harness.kind.probe(settings).await;
        Probe { host: String::new(), steps, left: None }
    };
    let good = tried(&harness.good).await;
    assert!(good.is_well(), "{good:?}");
    let absent = tried(&harness.absent).await;
    let is_told = |outcome: &StepOutcome| match outcome {
        StepOutcome::Failed { said, next } => !said.is_empty() && !next.is_empty(),
        _ => false,
    };
    assert!(absent.steps.iter().any(|row| is_told(&row.outcome)), "{absent:?}");
}
