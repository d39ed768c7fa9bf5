//! Templates of plans through the command line.

use serde_json::Value;

use crate::support::Place;

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Red when a template's change does not reach its plans, or when the command line sends what only the template says.
#[test]
fn plans_take_what_they_do_not_say_from_their_template() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    let (source, repository) = (text(&plan, "source_id"), text(&plan, "repository_id"));
    place.json(&["template", "create", "firm", "--rpo", "12h", "--time-zone", "Europe/Zurich", "--keep-daily", "7"]);
    place.json(&["template", "create", "team", "--above", "firm", "--every", "6h"]);
    let under = ["--source", source, "--repository", repository, "--template", "team"];
    place.json(&[&["plan", "create", "web"], under.as_slice()].concat());
    let shown = place.json(&["plan", "show", "web"]);
    assert_eq!(
        (shown["rpo_ms"].as_u64(), shown["schedule"]["every_ms"].as_u64()),
        (Some(43_200_000), Some(21_600_000))
    );
    let table = place.run(&["plan", "show", "web"]).out;
    let line = |table: &str, fact: &str| {
        table.lines().map(str::trim).find(|line| line.starts_with(fact)).unwrap_or_default().to_owned()
    };
    assert!(line(&table, "rpo").contains("12h 0m") && line(&table, "rpo").ends_with("template firm"), "{table}");
    assert!(
        line(&table, "rhythm").ends_with("template team") && line(&table, "jitter").ends_with("default"),
        "{table}"
    );

    // A part of the schedule is the plan's own; the others stay the templates'.
    place.json(&["plan", "update", "web", "--start-window", "2h", "--rpo", "3h"]);
    let mine = place.json(&["plan", "show", "web"]);
    assert_eq!(mine["said"], serde_json::json!({ "schedule": { "start_window_ms": 7_200_000 }, "rpo_ms": 10_800_000 }));
    place.json(&["template", "update", "team", "--every", "1h"]);
    place.json(&["template", "update", "firm", "--rpo", "24h", "--inherit", "retention"]);
    let moved = place.json(&["plan", "show", "web"]);
    assert_eq!((moved["schedule"]["every_ms"].as_u64(), moved["rpo_ms"].as_u64()), (Some(3_600_000), Some(10_800_000)));
    assert_eq!(
        (&moved["retention"], &moved["origins"]["retention"]["said_by"]),
        (&serde_json::json!({}), &"default".into())
    );
    let given_back = place.json(&["plan", "update", "web", "--inherit", "rpo", "--inherit", "schedule"]);
    assert_eq!((given_back["rpo_ms"].as_u64(), &given_back["said"]), (Some(86_400_000), &serde_json::json!({})));
    assert!(place.json(&["plan", "schedule", "web"])["next"][1].is_object());

    let list = place.run(&["template", "list"]).out;
    assert!(line(&list, "team").contains("firm") && line(&list, "firm").contains("schedule, rpo"), "{list}");
    assert_eq!(place.json(&["template", "show", "team"])["above"], "firm");
    let needed = place.run(&["template", "remove", "firm"]);
    assert!(needed.code != Some(0) && needed.err.contains("in use: template team"), "{needed:?}");
    let circle = place.run(&["template", "update", "firm", "--above", "team"]);
    assert!(circle.code != Some(0) && circle.err.contains("above: ") && circle.err.contains("itself"), "{circle:?}");
    let unknown = place.run(&["plan", "update", "web", "--template", "moon"]);
    assert!(unknown.code != Some(0) && unknown.err.contains("template: there is no template moon"), "{unknown:?}");
    assert!(unknown.err.contains("backstay template list"), "{unknown:?}");
    assert_eq!(place.run(&["template", "show", "moon"]).code, Some(25));
    let alone = place.json(&["plan", "update", "web", "--no-template"]);
    assert_eq!((alone["rpo_ms"].as_u64(), alone["schedule"]["every_ms"].as_u64()), (Some(93_600_000), None));
    for name in ["team", "firm"] {
        assert_eq!(place.run(&["template", "remove", name]).code, Some(0));
    }
    assert_eq!(place.json(&["template", "list"])["rows"], serde_json::json!([]));
    let shown = place.json(&["template", "create", "new", "--rpo", "1h", "--show-call"]);
    assert!(text(&shown, "command_line").contains("backstay call template_create"), "{shown}");
    assert_eq!(place.json(&["template", "list"])["rows"], serde_json::json!([]), "shown and not made");
}
