//! What a test of a storage or a source came to, for a person.

use std::time::Duration;

use backstay_api::types::probe::{ProbeStepView, ProbeView};

use super::error::Exit;
use super::human;
use super::screen::Screen;

/// Prints what a test came to, and returns whether it went well.
pub(super) fn show(screen: &Screen, view: &ProbeView) -> Exit {
    let rows = view.steps.iter().map(row).collect();
    screen.rows(view, &["step", "how it went", "took", ""], rows, "nothing was tried");
    let from = human::shown(&view.seen_from);
    for step in &view.steps {
        if let Some(next) = &step.next {
            screen.say(&format!("next ({}): {}", human::shown(&step.step), human::shown(next)));
        }
    }
    if let Some(left) = &view.left {
        screen.say(&format!(
            "the object {} of this test may still be there; it can be removed by hand",
            human::shown(left)
        ));
    }
    screen.say(&format!("seen from {from}; an agent on another machine may see it otherwise"));
    if view.is_well { Exit::Done } else { Exit::Failed }
}

/// Returns the row of a step: what was met is told at its end, where there is room.
fn row(step: &ProbeStepView) -> Vec<String> {
    let is_tried = step.outcome != "not_tried";
    let took = if is_tried { human::duration(Duration::from_millis(step.took_ms)) } else { String::new() };
    let name = match &step.purpose {
        Some(purpose) if *purpose != step.step => format!("{} (key: {purpose})", step.step),
        _ => step.step.clone(),
    };
    vec![name, step.outcome.replace('_', " "), took, step.said.clone().unwrap_or_default()]
}
