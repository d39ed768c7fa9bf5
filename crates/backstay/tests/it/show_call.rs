//! `--show-call`: nothing is changed, and what is printed does what the verb would have done, typed or sent by curl.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{BINARY, Place, Ran};

/// Returns the names of all tenants.
fn tenants(place: &Place) -> Vec<String> {
    let list = place.json(&["tenant", "list"]);
    list["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// A process that ends with the test.
pub(crate) struct Up(pub(crate) std::process::Child);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_call_that_is_shown_is_not_made_and_does_the_same_when_it_is() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let before = tenants(&place);

    let shown = place.json(&["tenant", "create", "typed", "--show-call"]);
    assert_eq!(tenants(&place), before, "nothing was changed");
    let line = shown["command_line"].as_str().unwrap().replacen("backstay", BINARY, 1);
    let typed = Ran::of(Command::new("sh").args(["-c", &line]).env("BACKSTAY_DATA_DIR", place.data()));
    assert_eq!(typed.code, Some(0), "{}", typed.err);
    assert!(tenants(&place).contains(&"typed".to_owned()));

    let shown = place.json(&["tenant", "create", "written", "--show-call"]);
    let file = place.path("call.yaml");
    std::fs::write(&file, shown["yaml"].as_str().unwrap()).unwrap();
    assert_eq!(place.json(&["call", "--file", file.to_str().unwrap()])["name"], "written");
    std::fs::write(&file, "operation: tenant_create\nbodi: {}\n").unwrap();
    let refused = place.run(&["call", "-f", file.to_str().unwrap()]);
    assert_eq!(refused.code, Some(20), "{}", refused.err);
    assert!(refused.err.contains("call.yaml:2:1") && refused.err.contains("a call has no `bodi`"), "{}", refused.err);

    let up = place.command(&["up"]).stderr(Stdio::null()).spawn().unwrap();
    let up = Up(up);
    let file = place.data().join("server.json");
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let server: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let (url, token) = (server["url"].as_str().unwrap(), server["token"].as_str().unwrap());
    let ask = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        Ran::of(command.env("BACKSTAY_SERVER", url).env("BACKSTAY_TOKEN", token))
    };
    let shown = ask(&["tenant", "create", "sent", "--show-call", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let curl = shown["curl"].as_str().unwrap();
    assert!(!curl.contains(token), "a token is never printed");
    if Command::new("curl").arg("--version").output().is_ok() {
        let sent = Ran::of(Command::new("sh").args(["-c", curl]).env("BACKSTAY_TOKEN", token));
        assert_eq!(serde_json::from_str::<Value>(&sent.out).unwrap()["name"], "sent", "{}", sent.err);
    } else {
        assert_eq!(ask(&["tenant", "create", "sent"]).code, Some(0));
    }
    let here = place.json(&["tenant", "create", "here", "--show-call"]);
    let curl = here["curl"].as_str().unwrap();
    assert!(curl.ends_with(&format!(" {url}/api/v1/tenants")), "the process in the data directory is asked: {curl}");
    let list = ask(&["tenant", "list", "--json"]).out;
    assert!(list.contains("\"sent\"") && list.contains("\"typed\""), "{list}");
    let looked = ask(&["plan", "list", "--show-call"]);
    assert!(looked.out.contains("backstay call plan_list"), "{}", looked.out);
    let missing = ask(&["plan", "show", "0197f0c2-0000-7000-8000-000000000000", "--show-call"]);
    assert_eq!(missing.code, Some(25), "an error of a look is still one");
    drop(up);
}

/// A token of a role opens what it may over the command line, and its text is printed once.
#[test]
fn a_token_is_made_used_and_revoked_by_the_command_line() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let up = Up(place.command(&["up"]).stderr(Stdio::null()).spawn().unwrap());
    let file = place.data().join("server.json");
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let made = place.json(&["token", "create", "eyes", "--role", "reader", "--tenant", "default"]);
    let server: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let token = made["secret"].as_str().unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        Ran::of(command.env("BACKSTAY_SERVER", server["url"].as_str().unwrap()).env("BACKSTAY_TOKEN", token))
    };
    assert_eq!(ask(&["plan", "list"]).code, Some(0));
    let refused = ask(&["tenant", "create", "more"]);
    assert!(refused.code == Some(1) && refused.err.contains("the role reader may not oversee"), "{refused:?}");
    assert!(!place.run(&["token", "list"]).out.contains(token));
    assert_eq!(place.run(&["token", "revoke", made["token"]["id"].as_str().unwrap()]).code, Some(0));
    assert_eq!(ask(&["plan", "list"]).code, Some(1));
    drop(up);
}
