//! What is written from a server's rows is read as the same: nothing to change.

use backstay_declare::change::{Changes, changes};
use backstay_declare::file::Missing;
use backstay_declare::nouns::{Noun, TENANT_DEFAULT};
use backstay_declare::row::{Found, Key, Record};
use backstay_declare::shape::{Field, Shape};
use backstay_declare::write::write;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::kinds::{good, now};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9][a-z0-9_-]{0,12}",
        "[ -~]{1,20}",
        "\\PC{1,12}",
        Just("no".to_owned()),
        Just("~".to_owned()),
        Just("null".to_owned()),
        Just("0x1f".to_owned()),
        Just("12:30".to_owned()),
        Just("1.5".to_owned()),
        Just("- a".to_owned()),
        Just("a: b # c".to_owned()),
        Just("line\nbreak\ttab \"quote\" \\ back".to_owned()),
    ]
}

/// A value that a server could have for a shape.
fn value(shape: &'static Shape) -> BoxedStrategy<Value> {
    let words = |words: &'static [&'static str]| prop::sample::select(words).prop_map(Value::from).boxed();
    match shape {
        Shape::Text => "[a-z]{1,5}(/[a-z]{1,5})?".prop_map(Value::from).boxed(),
        Shape::Name => "[a-z0-9][a-z0-9_-]{0,9}".prop_map(Value::from).boxed(),
        Shape::Word(known) => words(known),
        Shape::Flag => Just(true.into()).boxed(),
        Shape::Number(least, most) => (*least.max(&1)..=*most).prop_map(Value::from).boxed(),
        Shape::Count => prop_oneof![Just(-1_i64), 1..400_i64].prop_map(Value::from).boxed(),
        Shape::Length(least) => (*least.max(&1)..2_000_000_000_u64).prop_map(Value::from).boxed(),
        Shape::LengthOrNever(least) => {
            prop_oneof![Just(0_u64), *least..2_000_000_000_u64].prop_map(Value::from).boxed()
        }
        Shape::Size => {
            prop_oneof![any::<u64>(), (1..999_u64).prop_map(|n| n << 30), (1..999_u64).prop_map(|n| n * 1_000_000_000)]
                .prop_map(Value::from)
                .boxed()
        }
        Shape::Cron => words(&["@daily", "30 2 * * *", "*/5 1-3 L * MON#2"]),
        Shape::Zone => words(&["UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires"]),
        Shape::Stretch => words(&["30d", "1y6m", "2y3m4d"]),
        Shape::Instant => words(&["2026-12-24T18:00:00Z", "2026-12-25T18:00:00.000001Z"]),
        Shape::Digest => words(&["daily 07:00 Europe/Berlin", "monday 23:59 UTC"]),
        Shape::Reference => words(&["sealed:home", "file:keys/my key: é.key", "file:keys/a b"]),
        Shape::Credentials => prop::collection::btree_map(
            prop::sample::select(vec!["watch", "read", "write", "delete"]),
            value(&Shape::Reference),
            1..4,
        )
        .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        .boxed(),
        Shape::Settings => settings().boxed(),
        Shape::Record(fields) | Shape::NameOr(fields) => record(fields).prop_map(Value::Object).boxed(),
        Shape::List(shape) => prop::collection::vec(value(shape), 1..3).prop_map(Value::Array).boxed(),
        Shape::Named(shape) => value(shape).prop_map(|value| json!({ "acme": value })).boxed(),
    }
}

fn settings() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    let deep = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-f]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    (deep, "/[a-z]{1,6}").prop_map(|(value, path)| json!({ "path": path, "other": value }))
}

fn record(fields: &'static [Field]) -> BoxedStrategy<Map<String, Value>> {
    let mut all = Just(Map::new()).boxed();
    for field in fields {
        let (needed, value) = (field.needed, value(&field.shape));
        all = (all, any::<bool>(), value)
            .prop_map(move |(mut map, said, value)| {
                if said || needed {
                    map.insert(field.key.to_owned(), value);
                }
                map
            })
            .boxed();
    }
    all
}

/// Makes a record one that a server would take.
fn settled(noun: Noun, mut record: Record) -> Record {
    let drop_rhythm = |record: &mut Record| {
        if let Some(schedule) = record.get_mut("schedule").and_then(Value::as_object_mut) {
            if schedule.contains_key("cron") {
                schedule.remove("every");
                schedule.remove("on_request");
            } else if schedule.contains_key("every") {
                schedule.remove("on_request");
            }
        }
        if let Some(patterns) = record.get_mut("backup").and_then(|backup| backup.get_mut("accept_unread")) {
            for pattern in patterns.as_array_mut().into_iter().flatten() {
                *pattern = format!("/{}", pattern.as_str().unwrap_or_default()).into();
            }
        }
        record.retain(|key, value| !["schedule", "backup"].contains(&key.as_str()) || value != &json!({}));
    };
    match noun {
        Noun::Storage => {
            record.insert("kind".to_owned(), "local".into());
        }
        Noun::Repository if record["storage"].is_object() => {
            record["storage"]["kind"] = "local".into();
            record.remove("path");
        }
        Noun::Source => {
            record.insert("kind".to_owned(), "filesystem".into());
        }
        Noun::Monitor => {
            record.insert("schedule".to_owned(), "every 36h".into());
            record.retain(|key, value| key != "time_zone" || value != "UTC");
        }
        Noun::Template | Noun::Plan => drop_rhythm(&mut record),
        Noun::Channel => {
            record.insert("kind".to_owned(), "webhook".into());
            record.insert(
                "settings".to_owned(),
                json!({ "url": "https://a.example/x?y=1&z=[2]", "secret": "sealed:channel-x" }),
            );
            record.entry("rules").or_insert_with(|| json!([{ "severity_min": "error", "delivery": "at_once" }]));
        }
        Noun::Maintenance => {
            record.insert("from".to_owned(), "2026-12-24T18:00:00Z".into());
            record.insert("until".to_owned(), "2026-12-26T18:00:00.5Z".into());
        }
        _ => {}
    }
    record
}

/// Red when a text is written so that YAML reads something else, a length or a size is rounded, or a key is left out.
#[test]
fn what_is_written_is_read_as_the_same() {
    let row = |noun: Noun| {
        let tenant = match noun {
            Noun::Caps | Noun::Tenant => Just(None).boxed(),
            Noun::Channel | Noun::Maintenance => {
                prop_oneof![Just(None), Just(Some(TENANT_DEFAULT)), Just(Some("acme"))].boxed()
            }
            _ => prop_oneof![Just(Some(TENANT_DEFAULT)), Just(Some("acme"))].boxed(),
        };
        let name = match noun {
            Noun::Quota | Noun::Caps => Just(String::new()).boxed(),
            Noun::Maintenance => text().prop_filter("a name is not empty", |text| !text.trim().is_empty()).boxed(),
            _ => "[a-z0-9][a-z0-9_-]{0,6}".boxed(),
        };
        (tenant, name, record(noun.fields())).prop_map(move |(tenant, name, record)| {
            let key = Key::new(noun, tenant, &name);
            Found { id: key.to_string(), key, record: settled(noun, record) }
        })
    };
    let nouns: Vec<_> = Noun::ALL.into_iter().filter(|noun| *noun != Noun::Tenant).map(row).collect();
    let rows = prop::collection::vec(prop::strategy::Union::new(nouns), 0..12);
    let runner =
        &mut TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&rows, |mut found| {
            found.sort_by(|left, right| left.key.cmp(&right.key));
            found.dedup_by(|right, left| left.key == right.key);
            found.retain(|row| !row.record.is_empty() || !matches!(row.key.noun, Noun::Quota | Noun::Caps));
            for name in [TENANT_DEFAULT, "acme"] {
                let key = Key::new(Noun::Tenant, None, name);
                found.push(Found { id: name.to_owned(), key, record: Record::new() });
            }
            let text = write(&found);
            let all = changes(&good(&text), &found, Missing::Retire, now());
            prop_assert_eq!(all, Changes::default(), "{}", text);
            Ok(())
        })
        .unwrap();
}
