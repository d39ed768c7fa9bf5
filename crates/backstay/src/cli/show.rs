//! One thing as facts, for every noun.

use serde::Serialize;
use serde_json::Value;

use super::screen::Screen;

/// Prints a view: a fact a line, or JSON.
pub(super) fn show(screen: &Screen, view: &impl Serialize) {
    let value = serde_json::to_value(view).expect("views are JSON");
    let mut rows = Vec::new();
    if let Value::Object(facts) = &value {
        for (name, fact) in facts {
            let text = fact.as_str().map_or_else(|| fact.to_string(), str::to_owned);
            rows.push(vec![name.clone(), text]);
        }
    }
    screen.rows(&value, &["fact", "value"], rows, "");
}
