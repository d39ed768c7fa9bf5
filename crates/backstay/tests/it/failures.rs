//! What goes wrong with a backup, one after another: the state, the class, the words and the event of each, and that the next
//! run is well once it is mended. The page `docs/reference/failures.md` says the same to people.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Place, Ran, is_root, make_tree};
use crate::verbs::rows;

/// What a person meets.
struct Case {
    name: &'static str,
    code: i32,
    class: &'static str,
    /// Words of the message, and of what to do next.
    words: [&'static str; 2],
}

fn newest(place: &Place) -> Value {
    rows(&place.json(&["job", "list"]))[0].clone()
}

/// Runs the plan in the disturbed place, and once more when it is mended.
fn met(place: &Place, plan: &str, case: &Case, mend: impl FnOnce()) {
    let Case { name, code, class, words } = case;
    let ran = place.run(&["plan", "run", plan]);
    assert_eq!(ran.code, Some(*code), "{name}: {ran:?}");
    for words in words {
        assert!(ran.err.contains(words) || ran.out.contains(words), "{name}: `{words}` is not in {ran:?}");
    }
    let job = newest(place);
    assert_eq!(job["failure_class"], *class, "{name}: {job:#}");
    assert!(job["state"] == "failed" || job["state"] == "waiting" || job["state"] == "queued", "{name}: {job:#}");
    let id = job["id"].as_str().unwrap();
    let told = place.json(&["event", "list"]);
    let is_told = rows(&told).iter().any(|event| event["job_id"] == id && event["kind"] == "failed");
    assert!(is_told, "{name}: no event says so: {told:#}");
    mend();
    let ran = place.run(&["plan", "run", plan]);
    assert_eq!(ran.code, Some(0), "{name}, mended: {ran:?}");
}

fn mount(words: &[&str], path: &Path) {
    let ran = Ran::of(Command::new("mount").args(words).arg(path));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

/// Red when a failure is told as another one, or as none.
#[test]
fn each_failure_has_its_class_its_words_and_its_way_out() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    let away = |path: &Path| {
        let other = path.with_extension("away");
        std::fs::rename(path, &other).unwrap();
        let path = path.to_owned();
        move || std::fs::rename(other, path).unwrap()
    };

    let mend = away(&place.source());
    met(
        &place,
        &plan,
        &Case {
            name: "no source",
            code: 20,
            class: "source",
            words: ["does not exist", "next: Look whether it is there"],
        },
        mend,
    );

    let repository = place.data().join("repositories/local");
    let mend = away(&repository);
    let case = Case {
        name: "no repository",
        code: 10,
        class: "repository_missing",
        words: ["is not there", "next: Is the disk mounted?"],
    };
    met(&place, &plan, &case, mend);

    let key = place.data().join("keys/local.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "wrong\n").unwrap();
    let case = Case {
        name: "wrong password",
        code: 12,
        class: "password",
        words: ["opens no key", "next: Put the right recovery key back"],
    };
    met(&place, &plan, &case, || std::fs::write(&key, right).unwrap());

    let mend = away(&key);
    met(
        &place,
        &plan,
        &Case {
            name: "no password",
            code: 12,
            class: "password",
            words: ["keys/local.key", "next: Put the right recovery key back"],
        },
        mend,
    );

    if is_root("a storage that cannot be written") {
        std::fs::write(place.source().join("one"), "changed").unwrap();
        mount(&["--bind", repository.to_str().unwrap()], &repository);
        mount(&["-o", "remount,bind,ro"], &repository);
        let case = Case {
            name: "read-only",
            code: 1,
            class: "storage",
            words: ["Read-only file system", "next: Look whether the storage answers"],
        };
        met(&place, &plan, &case, || {
            Ran::of(Command::new("umount").arg("-l").arg(&repository));
        });
    }
}
