//! `apply` and `export` on the whole product: what a file says comes to be, once, and nothing else goes.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::show_call::Up;
use crate::support::{BINARY, Place, Ran};

/// A place with an installation, whose one plan was made by hand.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    place
}

/// Writes a file and applies it.
fn apply(place: &Place, text: &str, more: &[&str]) -> Ran {
    let path = place.path("wanted.yaml");
    std::fs::write(&path, text).unwrap();
    place.run(&[&["apply", "-f", path.to_str().unwrap()], more].concat())
}

fn names(place: &Place, noun: &str) -> Vec<String> {
    let rows = place.json(&[noun, "list"])["rows"].as_array().unwrap().clone();
    let mut names: Vec<String> = rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Returns the blocks of a page in a language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(page).unwrap();
    let head = format!("```{language}\n");
    text.split(&head).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Red when a command or a key of the page is not what the product takes, or when a second time changes something.
#[test]
fn the_page_is_done_as_it_is_written() {
    let place = place();
    let folder = place.path("work");
    std::fs::create_dir(&folder).unwrap();
    let yaml = blocks("how-to/declare-everything.md", "yaml");
    std::fs::write(folder.join("backstay.yaml"), &yaml[0]).unwrap();
    let binaries = Path::new(BINARY).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{binaries}:{}", std::env::var("PATH").unwrap());
    let mut outs = Vec::new();
    for line in blocks("how-to/declare-everything.md", "sh").join("").lines() {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", line]).current_dir(&folder).env("PATH", &path).env("BACKSTAY_DATA_DIR", place.data());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.out, ran.err);
        outs.push(ran.out);
    }
    let count = |words: &str| outs.iter().filter(|out| out.contains(words)).count();
    assert_eq!((count("nothing to change"), count("done: ")), (2, 1), "{outs:#?}");
    let plan = place.json(&["plan", "show", "home"]);
    assert_eq!((plan["rpo_ms"].as_u64(), plan["schedule"]["every_ms"].as_u64()), (Some(28_800_000), Some(21_600_000)));
    assert_eq!(plan["retention"]["keep_daily"], 14);
    assert_eq!(names(&place, "plan"), ["etc", "home", "home-far", "source"], "the one by hand is left alone");
    assert_eq!(place.json(&["quota", "show", "acme"])["quota_bytes"].as_u64(), Some(500 << 30));
    let far = place.json(&["repository", "list"])["rows"].as_array().unwrap().clone();
    let far = far.iter().find(|row| row["name"] == "home-far").unwrap();
    assert_eq!(far["storage"]["settings"]["prefix"], "machines/home");

    // All of it is written, and read as the same; also when what is missing would go.
    let all = place.path("all.yaml");
    assert_eq!(place.run(&["export", "-o", all.to_str().unwrap()]).code, Some(0));
    let text = std::fs::read_to_string(&all).unwrap();
    assert!(!text.contains("whsec_") && !text.contains("AKIA"), "{text}");
    let ran = place.run(&["apply", "-f", all.to_str().unwrap(), "--retire-missing"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "nothing to change\n", ""));
    let again = place.run(&["export", "-o", all.to_str().unwrap()]);
    assert_eq!(again.code, Some(20), "a file that is there is kept");
    assert_eq!(std::fs::read_to_string(&all).unwrap(), text);
}

const FILE: &str = "\
sources: {one: {settings: {path: /tmp/one}}, two: {settings: {path: /tmp/two}}}
templates: {low: {above: high, rpo: 2h}, high: {schedule: {every: 6h}}}
repositories: {r: {storage: {kind: local, settings: {path: /tmp/r}}, password: 'file:keys/local.key'}}
plans:
  one: {source: one, repository: r, template: low, rpo: 3h}
  two: {source: two, repository: r, template: high}
";

/// Red when the order of steps is wrong, when a change of a template and of a plan under it stand in each other's way, or
/// when something is said otherwise than it was written.
#[test]
fn a_change_is_shown_asked_for_and_done() {
    let place = place();
    let first = apply(&place, FILE, &["--json"]);
    let first: Value = serde_json::from_str(&first.out).unwrap();
    assert_eq!((first["done"].as_u64(), first["kept"].as_array().map(Vec::len)), (Some(7), Some(3)), "{first:#}");
    let other = FILE.replace("every: 6h", "every: 1h").replace(", rpo: 3h", "").replace("rpo: 2h", "rpo: 4h");
    let dry = apply(&place, &other, &["--dry-run"]);
    let expected = "~ update template high\n    schedule.every: 6h -> 1h\n~ update template low\n    rpo: 2h -> 4h\n\
                    ~ update plan one\n    rpo: 3h -> (not said)\n";
    assert_eq!((dry.code, dry.out.as_str()), (Some(0), expected), "{}", dry.err);
    assert_eq!(place.json(&["plan", "show", "one"])["rpo_ms"], 10_800_000, "a dry run does nothing");
    let done = apply(&place, &other, &[]);
    assert_eq!((done.code, done.out), (Some(0), format!("{expected}done: 3 changed\n")), "{}", done.err);
    let plan = place.json(&["plan", "show", "one"]);
    assert_eq!((plan["rpo_ms"].as_u64(), plan["schedule"]["every_ms"].as_u64()), (Some(14_400_000), Some(3_600_000)));
    assert!(plan["said"]["rpo_ms"].is_null());
    assert_eq!(apply(&place, &other, &[]).out, "nothing to change\n");
}

/// Red when something goes that no file had, without a word that it may, or when data goes with it.
#[test]
fn what_leaves_the_file_is_retired_and_keeps_its_data() {
    let place = place();
    assert_eq!(apply(&place, FILE, &[]).code, Some(0));
    let less = FILE.lines().filter(|line| !line.starts_with("  two")).collect::<Vec<_>>().join("\n");
    let kept = apply(&place, &less, &[]);
    assert_eq!((kept.code, kept.out.as_str()), (Some(0), "nothing to change\n"));
    assert!(
        kept.err.contains("not in this file, and left alone: plan source, plan two, source source, repository local"),
        "{}",
        kept.err
    );
    let hand = "sources: {source: {settings: {path: SOURCE}}}\nrepositories: {local: {storage: {kind: local, settings: {path: REPOSITORY}}, password: 'file:keys/local.key'}}\nplans: {source: {source: source, repository: local, rpo: 24h}}\n";
    let hand = hand.replace("SOURCE", place.source().to_str().unwrap());
    let hand = hand.replace("REPOSITORY", place.data().join("repositories/local").to_str().unwrap());
    let all = format!("missing: retire\n{hand}");
    let refused = apply(&place, &all, &[]);
    assert_eq!(refused.code, Some(20), "nobody was asked: {}", refused.out);
    assert!(refused.err.contains("nobody can be asked") && refused.err.contains("--yes"), "{}", refused.err);
    assert_eq!(names(&place, "plan"), ["one", "source", "two"]);
    let done = apply(&place, &all, &["--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(
        done.out.contains("- retire plan two: its snapshots, their evidence and its history stay\n"),
        "{}",
        done.out
    );
    assert_eq!(
        (names(&place, "plan"), names(&place, "source")),
        (vec!["source".to_owned()], vec!["source".to_owned()])
    );
    assert_eq!(names(&place, "template"), Vec::<String>::new());
    assert_eq!(apply(&place, &all, &[]).out, "nothing to change\n");
    // What is retired with a repository that has data: a snapshot can still be read.
    let none = apply(&place, "missing: retire\nplans:\n", &["--yes"]);
    assert_eq!(none.code, Some(0), "{}", none.err);
    assert_eq!(names(&place, "repository"), Vec::<String>::new());
    let snapshot = place.json(&["snapshot", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let listed = place.run(&["snapshot", "ls", &snapshot, place.source().to_str().unwrap()]);
    assert!(listed.code == Some(0) && listed.out.contains(" a"), "{listed:?}");
}

/// Red when a refusal in the middle leaves something that the next apply makes twice, or does not finish.
#[test]
fn an_apply_that_stopped_is_finished_by_the_next() {
    let place = place();
    let text = FILE.replace("file:keys/local.key", "sealed:later");
    let stopped = apply(&place, &text, &[]);
    assert_eq!(stopped.code, Some(1), "{}", stopped.err);
    assert!(
        stopped.err.contains("wanted.yaml:3:16") && stopped.err.contains("0 of 7 steps are done"),
        "{}",
        stopped.err
    );
    let text = format!("storages: {{early: {{kind: local, settings: {{path: /e}}}}}}\n{text}");
    let stopped = apply(&place, &text, &[]);
    assert!(
        stopped.err.contains("1 of 8 steps are done") && stopped.err.contains("goes on where it stopped"),
        "{}",
        stopped.err
    );
    assert_eq!(names(&place, "storage"), ["early"]);
    let told: Value = serde_json::from_str(&apply(&place, &text, &["--json"]).out).unwrap();
    assert_eq!((told["done"].as_u64(), told["error"].is_string()), (Some(0), true), "{told:#}");
    let mut put =
        place.command(&["secret", "put", "later"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(b"a password").unwrap();
    assert!(put.wait().unwrap().success());
    let done = apply(&place, &text, &[]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.ends_with("done: 7 declared\n"), "{}", done.out);
    assert_eq!(apply(&place, &text, &[]).out, "nothing to change\n");
}

/// Red when a change that somebody made between the look and the step is overwritten.
#[test]
fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let place = place();
    assert_eq!(apply(&place, FILE, &[]).code, Some(0));
    let up = Up(place.command(&["up", "--no-agent"]).stderr(Stdio::null()).spawn().unwrap());
    while !place.data().join("server.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let file = place.path("wanted.yaml");
    std::fs::write(&file, FILE.replace("rpo: 3h", "rpo: 5h")).unwrap();
    // A terminal, so that somebody is asked; the answer comes after another's change.
    let line = format!("{BINARY} apply -f {}", file.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("BACKSTAY_DATA_DIR", place.data()).env("TERM", "dumb");
    let mut asked = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut said) = (asked.stdout.take().unwrap(), Vec::new());
    while !String::from_utf8_lossy(&said).contains("Do this? [y/N]") {
        let mut byte = [0];
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    place.json(&["plan", "update", "one", "--rpo", "7h"]);
    asked.stdin.take().unwrap().write_all(b"y\n").unwrap();
    out.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).replace("\r\n", "\n");
    assert_eq!(asked.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("somebody else changed the plan one in the meantime"), "{said}");
    assert_eq!(place.json(&["plan", "show", "one"])["rpo_ms"], 25_200_000, "the other's change stays");
    drop(up);
}

/// Red when a file with a mistake does anything, when only its first mistake is told, or when a secret is repeated.
#[test]
fn a_file_with_mistakes_does_nothing_and_all_are_told() {
    let place = place();
    let text = "plans:\n  x: {source: sorce, repository: local, retention: {keep_dayly: 7}}\n\
                repositories:\n  r: {storage: {kind: local, settings: {path: /r}}, password: hunter2}\nsources: {new: {settings: {path: /n}}}\n";
    let ran = apply(&place, text, &["--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(20), ""));
    for words in [
        "wanted.yaml:2:15\n2 |   x: {source: sorce,",
        "Did you mean `source`?",
        "Did you mean `keep_daily`?",
        "wanted.yaml:4:63",
        "backstay secret put",
        "has 3 mistakes; nothing was done",
    ] {
        assert!(ran.err.contains(words), "{words} is not in {}", ran.err);
    }
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    assert_eq!(names(&place, "source"), ["source"]);
    let ran = apply(&place, text, &["--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((told["mistakes"].as_array().map(Vec::len), told["mistakes"][0]["line"].as_u64()), (Some(3), Some(2)));
    assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"));
    assert_eq!(place.run(&["apply", "-f", "/nowhere.yaml"]).code, Some(25));
    let kept = place.run(&["export", "-o", "/nowhere/x.yaml"]);
    assert_eq!(kept.code, Some(1), "{}", kept.err);
}
