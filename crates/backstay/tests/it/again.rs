//! `--watch`: the same answer again, of what only looks.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::show_call::Up;
use crate::support::Place;

/// Starts `up` and waits until it answers.
fn up(place: &Place) -> Up {
    let up = Up(place.command(&["up"]).stderr(Stdio::null()).spawn().unwrap());
    while !place.data().join("server.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    up
}

#[test]
fn an_answer_is_shown_again_until_it_is_interrupted() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));

    let alone = place.run(&["tenant", "list", "--watch"]);
    assert_eq!(alone.code, Some(25), "{}", alone.err);
    assert!(alone.err.contains("no server runs here whose answers could be watched"), "{}", alone.err);
    assert!(alone.err.contains("backstay up"), "{}", alone.err);

    let _up = up(&place);
    let mut watch = place.command(&["tenant", "list", "--watch=1", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let answers = BufReader::new(watch.stdout.take().unwrap());
    let mut answers = serde_json::Deserializer::from_reader(answers).into_iter::<Value>();
    let names = |answer: Value| -> Vec<String> {
        answer["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(answers.next().unwrap().unwrap()), ["default"]);
    assert_eq!(place.run(&["tenant", "create", "later"]).code, Some(0));
    while names(answers.next().unwrap().unwrap()) != ["default", "later"] {}
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0), "who ends a watch has seen enough");

    let mut watch = place.command(&["tenant", "list", "--watch=1"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut lines = lines;
    let heads = lines.by_ref().filter(|line| line.starts_with("NAME") || line.contains("NAME ")).take(2).count();
    assert_eq!(heads, 2, "the table comes again");
    kill_process(Pid::from_child(&watch), Signal::TERM).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));

    // Whoever read it went away, as `head` does.
    let mut watch = place.command(&["tenant", "list", "--watch=1"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(watch.stdout.take());
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn what_changes_something_is_not_repeated() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let _up = up(&place);
    let created = place.run(&["tenant", "create", "again", "--watch"]);
    assert_eq!(created.code, Some(20), "{}", created.err);
    assert!(created.err.contains("this changes something, and was not done"), "{}", created.err);
    assert_eq!(place.json(&["tenant", "list"])["rows"].as_array().unwrap().len(), 1);
    let up_again = place.run(&["up", "--watch"]);
    assert_eq!(up_again.code, Some(20), "{}", up_again.err);
    let often = place.run(&["tenant", "list", "--watch=0"]);
    assert_eq!(often.code, Some(2), "{}", often.err);
    assert!(often.err.contains("0 is not in 1..=86400"), "{}", often.err);
    let missing = place.run(&["plan", "show", "nobody", "--watch"]);
    assert_eq!(missing.code, Some(25), "what is wrong at first ends it: {}", missing.err);
}
