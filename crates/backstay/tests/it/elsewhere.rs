//! An agent in a process of its own: it does the jobs of a server that does none.

use std::process::Stdio;

use serde_json::Value;

use crate::show_call::Up;
use crate::support::{Place, Ran};

#[test]
fn an_agent_elsewhere_backs_up_and_verifies() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "first").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let server = Up(place.command(&["up", "--no-agent"]).stderr(Stdio::null()).spawn().unwrap());
    let file = place.data().join("server.json");
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let url: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let url = url["url"].as_str().unwrap().to_owned();
    let made = place.json(&["token", "create", "hands", "--role", "agent"]);
    let mut agent = place.command(&["agent", "run"]);
    agent.env("BACKSTAY_SERVER", &url).env("BACKSTAY_TOKEN", made["secret"].as_str().unwrap());
    let agent = Up(agent.stderr(Stdio::null()).spawn().unwrap());
    std::fs::write(place.source().join("b"), "second").unwrap();
    let plans = place.json(&["plan", "list"]);
    let plan = plans["rows"][0]["id"].as_str().unwrap();
    let ran = Ran::of(&mut place.command(&["plan", "run", plan, "--wait", "--json"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let snapshots = place.json(&["snapshot", "list"]);
    assert_eq!(snapshots["rows"].as_array().unwrap().len(), 2);
    let verify = place.run(&["snapshot", "verify", snapshots["rows"][0]["id"].as_str().unwrap()]);
    assert_eq!(verify.code, Some(0), "{}", verify.err);
    assert_eq!(place.json(&["agent", "list"])["rows"].as_array().unwrap().len(), 1);
    drop(agent);
    drop(server);
}
