//! Sources through the whole product: what a folder leaves out, and what commands write.

use std::fs;
use std::path::Path;

use crate::support::{Place, Ran, restics};

/// A place with an installation, whose repository is `local`.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.source()).unwrap();
    fs::write(place.source().join("kept"), "kept").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    place
}

/// Declares sources and their plans of the same names, and says what came of it.
fn apply(place: &Place, sources: &str) -> Ran {
    let path = place.path("wanted.yaml");
    fs::write(&path, sources).unwrap();
    place.run(&["apply", "-f", path.to_str().unwrap()])
}

fn plan(name: &str) -> String {
    format!("plans: {{{name}: {{source: {name}, repository: local, rpo: 26h}}}}\n")
}

fn back_up(place: &Place, name: &str) -> Ran {
    place.run(&["plan", "run", name])
}

/// Returns the newest snapshot's id, and restic's.
fn newest(place: &Place) -> (String, String) {
    let row = place.json(&["snapshot", "list"])["rows"][0].clone();
    (row["id"].as_str().unwrap().to_owned(), row["foreign_id"].as_str().unwrap().to_owned())
}

/// Returns what restic lists below the source, and holds the repository to be whole.
fn listed(place: &Place, foreign_id: &str) -> Vec<String> {
    let root = place.source();
    let below = |line: &str| Path::new(line).strip_prefix(&root).ok().map(|path| path.display().to_string());
    let restics = restics();
    let restic = restics.last().expect("restic is there");
    let out = place.restic(restic, &["ls", "-q", foreign_id]);
    let mut found: Vec<String> = out.lines().filter_map(below).filter(|path| !path.is_empty()).collect();
    found.sort();
    found
}

/// Red when a rule does not reach the engine, when a change of the rules waits, or when a verify looks for what was left
/// out.
#[test]
fn what_is_left_out_is_not_in_the_next_snapshot() {
    let place = place();
    for folder in ["cache", "private", "src"] {
        fs::create_dir(place.source().join(folder)).unwrap();
    }
    let tag = "Signature: 8a477f597d28d172789f06886806bc55";
    for (name, text) in [
        ("a.tmp", "x"),
        ("src/b.tmp", "x"),
        ("src/code", "x"),
        ("cache/CACHEDIR.TAG", tag),
        ("cache/much", "x"),
        ("private/.nobackup", ""),
        ("private/diary", "x"),
        ("large", &"x".repeat(3 << 10)),
    ] {
        fs::write(place.source().join(name), text).unwrap();
    }
    assert_eq!(back_up(&place, "source").code, Some(0));
    assert_eq!(listed(&place, &newest(&place).1).len(), 12, "all of it, as long as nothing is left out");

    let root = place.source();
    let settings = format!(
        "sources: {{source: {{settings: {{path: {}, exclude: ['*.tmp', '!{}/src/*'], exclude_caches: true, \
         exclude_if_present: .nobackup, exclude_larger_than: 2k, one_file_system: true}}}}}}\n",
        root.display(),
        root.display()
    );
    let done = apply(&place, &settings);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert!(done.out.contains("~ update source source"), "{}", done.out);
    assert_eq!(apply(&place, &settings).out, "nothing to change\n");
    assert_eq!(back_up(&place, "source").code, Some(0));
    let left = ["cache", "cache/CACHEDIR.TAG", "kept", "private", "private/.nobackup", "src", "src/b.tmp", "src/code"];
    let (id, foreign_id) = newest(&place);
    assert_eq!(listed(&place, &foreign_id), left);
    let verified = place.run(&["snapshot", "verify", &id, "--percent", "100"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);

    // One setting at a time on the command line, and back.
    let changed = place.run(&["source", "update", "source", "--unset", "exclude", "--set", "exclude_larger_than=1M"]);
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    assert_eq!(back_up(&place, "source").code, Some(0));
    let found = listed(&place, &newest(&place).1);
    assert!(found.contains(&"a.tmp".to_owned()) && found.contains(&"large".to_owned()), "{found:?}");
    assert!(!found.contains(&"private/diary".to_owned()), "{found:?}");
}

/// Red when a wrong rule is taken in, when its place is not named, or when a source may become another one.
#[test]
fn a_source_that_is_wrong_is_refused_at_its_place() {
    let place = place();
    let root = place.source().display().to_string();
    let refused = |arguments: &[&str], words: &str| {
        let ran = place.run(arguments);
        assert!(ran.code != Some(0) && ran.err.contains(words), "{arguments:?}: {}{}", ran.out, ran.err);
    };
    let set = |value: &str| format!("exclude={value}");
    refused(&["source", "update", "source", "--set", &set(r#"["ok","[a"]"#)], "settings.exclude.1: `[a` is no pattern");
    refused(&["source", "update", "source", "--set", "path=/elsewhere"], "Declare a source of another name");
    refused(&["source", "update", "nowhere", "--set", "path=/x"], "there is no source nowhere");
    refused(&["source", "update", "source"], "--set");
    let done = apply(
        &place,
        &format!(
            "sources:\n  source:\n    settings:\n      path: {root}\n      exclude:\n        - '*.o'\n        - '[a'\n"
        ),
    );
    assert!(done.code == Some(20) && done.err.contains("wanted.yaml:7:11"), "{:?} {}", done.code, done.err);
    let done = apply(&place, "sources: {source: {settings: {path: /elsewhere}}}\n");
    assert!(done.code == Some(20) && done.err.contains("would lose"), "{:?} {}", done.code, done.err);
}

/// Red when a stream is not whole, when the program's own variables reach the command, when another file than its own comes back, or when it goes back though it failed.
#[test]
fn what_a_command_writes_is_a_file_that_goes_back() {
    let place = place();
    let taken = place.path("taken");
    let text = format!(
        "sources:\n  wiki:\n    kind: command\n    settings:\n      argv: [sh, -c, 'echo dump of $NAME; env | grep -c ^BACKSTAY_; seq 100000']\n      \
         filename: db/wiki.sql\n      env: {{NAME: wiki}}\n      time_limit: 10m\n      \
         restore_argv: [sh, -c, 'cat > {}.$BACKSTAY_NAME']\n{}",
        taken.display(),
        plan("wiki")
    );
    let done = apply(&place, &text);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert_eq!(apply(&place, &text).out, "nothing to change\n");
    let ran = back_up(&place, "wiki");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let (id, foreign_id) = newest(&place);
    let expected: String = ["dump of wiki\n".to_owned(), "0\n".to_owned()]
        .into_iter()
        .chain((1..=100_000).map(|n| format!("{n}\n")))
        .collect();
    for restic in restics() {
        assert!(place.restic(&restic, &["dump", &foreign_id, "/db/wiki.sql"]) == expected, "{}", restic.display());
        place.restic(&restic, &["check", "--read-data"]);
    }
    let out = place.path("out");
    let restored = place.run(&["snapshot", "restore", &id, "--target", out.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{}{}", restored.out, restored.err);
    assert!(fs::read_to_string(out.join("db/wiki.sql")).unwrap() == expected);
    let back = place.run(&["snapshot", "restore", &id, "--to-source", "--as", "new"]);
    assert_eq!(back.code, Some(0), "{}{}", back.out, back.err);
    assert!(fs::read_to_string(taken.with_extension("new")).unwrap() == expected);
    let verified = place.run(&["snapshot", "verify", &id, "--percent", "100"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
    // What goes back goes back whole.
    let part = place.run(&["snapshot", "restore", &id, "--to-source", "--include", "*.sql"]);
    assert!(part.code != Some(0) && part.err.contains("include"), "{}", part.err);
}

/// A command that dies, at once, in the middle, at its end or for good, leaves no snapshot, and its words are told.
///
/// Red when its end is not part of its stream.
#[test]
fn a_command_that_fails_is_a_failed_job_without_a_snapshot() {
    let place = place();
    let before = place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len();
    let scripts = [
        ("at-once", "echo no table >&2; exit 3", "exited with 3 and said: no table"),
        ("in-the-middle", "seq 300000; kill -9 $$", "signal 9"),
        ("at-its-end", "seq 3000; exec >&-; sleep 0.2; exit 1", "exited with 1"),
        ("too-long", "seq 3000; sleep 1000", "longer than its time limit of 1 s"),
    ];
    // In the middle of its first piece, of a blob, at a boundary of the pipe, after packs were uploaded.
    let places = [1u64, 4_095, 65_536, 1_048_577, 9_000_001, 40_000_000];
    let dying = places.map(|bytes| (format!("after-{bytes}"), format!("head -c {bytes} /dev/urandom; kill -9 $$")));
    let dying = dying.iter().map(|(name, script)| (name.as_str(), script.as_str(), "signal 9"));
    for (name, script, words) in scripts.into_iter().chain(dying) {
        let limit = if name == "too-long" { "1s" } else { "10m" };
        let text = format!(
            "sources: {{{name}: {{kind: command, settings: {{argv: [sh, -c, '{script}'], filename: x, time_limit: {limit}}}}}}}\n{}",
            plan(name)
        );
        let done = apply(&place, &text);
        assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
        let ran = back_up(&place, name);
        assert_eq!(ran.code, Some(20), "{name}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(words) || ran.err.contains(words), "{name}: {}{}", ran.out, ran.err);
    }
    assert_eq!(place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len(), before);
    for restic in restics() {
        let listed = place.restic(&restic, &["snapshots", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), before);
    }
}

/// Red when an agent runs what its owner did not allow.
#[test]
fn an_agent_whose_owner_allows_no_commands_runs_none() {
    let place = place();
    let mark = place.path("mark");
    let text = format!(
        "sources: {{evil: {{kind: command, settings: {{argv: [touch, {}], filename: x}}}}}}\n{}",
        mark.display(),
        plan("evil")
    );
    assert_eq!(apply(&place, &text).code, Some(0));
    let ran = Ran::of(place.command(&["plan", "run", "evil"]).env("BACKSTAY_AGENT_COMMANDS", "false"));
    assert_eq!(ran.code, Some(20), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("agent.commands") || ran.err.contains("agent.commands"), "{}{}", ran.out, ran.err);
    assert!(!mark.exists());
}

/// Red when a source is called well that cannot be read, when a pattern that matches nothing is not named, or when a test runs
/// a command.
#[test]
fn a_source_is_tried_before_its_first_backup() {
    let place = place();
    let declared = |name: &str, kind: &str, settings: &[String]| {
        let mut words = vec!["source", "create", name, "--kind", kind];
        settings.iter().for_each(|setting| words.extend(["--set", setting]));
        place.json(&words);
        place.run(&["source", "test", name])
    };
    let path = |path: std::path::PathBuf| format!("path={}", path.display());
    let there = [path(place.source()), r#"exclude=["*.bak"]"#.to_owned()];
    let ran = declared("there", "filesystem", &there);
    assert!(ran.code == Some(0) && ran.out.contains("one entry in its first level"), "{ran:?}");
    assert!(ran.out.contains("match nothing: *.bak"), "{ran:?}");
    let ran = declared("gone", "filesystem", &[path(place.path("gone"))]);
    assert!(ran.code == Some(1) && ran.err.contains("is its disk mounted?"), "{ran:?}");
    let made = place.path("made");
    let argv = [format!(r#"argv=["touch", "{}"]"#, made.display()), "filename=x".to_owned()];
    let ran = declared("touch", "command", &argv);
    assert!(ran.code == Some(0) && ran.out.contains("it was not run") && !made.exists(), "{ran:?}");
}
