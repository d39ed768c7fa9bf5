//! What the processes are told, on the whole product: file, `.env`, environment, options, in rising order.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::declare::blocks;
use crate::support::{Place, Ran};

/// Runs a verb with a file of settings, and no other setting in the environment.
fn run(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = place.command(arguments);
    command
        .env_remove("BACKSTAY_DATA_DIR")
        .env("BACKSTAY_CONFIG", place.path("backstay.yaml"))
        .env("HOME", place.path(""));
    command.envs(variables.iter().copied());
    Ran::of(&mut command)
}

fn said(place: &Place, key: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (Value, String) {
    let ran = run(place, &[&["config", "show", "--json"], arguments].concat(), variables);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    let row = shown["settings"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    (row["value"].clone(), row["said_by"].as_str().unwrap().to_owned())
}

/// Red when one layer does not go before the one below it, or when a value is told to be somebody else's.
#[test]
fn each_value_knows_who_said_it() {
    let place = Place::new();
    let (file, beside) = (place.path("backstay.yaml"), place.path(".env"));
    let key = "client.server";
    std::fs::write(&file, "up: {agent: false}\n").unwrap();
    assert_eq!(said(&place, key, &[], &[]), (Value::Null, "default".to_owned()));
    std::fs::write(&file, "# mine\nclient:\n  server: http://file\ndata_dir: deep/../d\n").unwrap();
    assert_eq!(said(&place, key, &[], &[]), ("http://file".into(), format!("{}:3", file.display())));
    let data = place.path("d").display().to_string();
    assert_eq!(said(&place, "data_dir", &[], &[]).0, data, "a path is meant from the file's folder");
    std::fs::write(&beside, "BACKSTAY_SERVER=http://beside\nBACKSTAY_TOKEN=bk_hunter2\n").unwrap();
    let open = run(&place, &["config", "show"], &[]);
    assert!(open.code == Some(20) && open.err.contains(".env can be read by everybody"), "{}", open.err);
    Command::new("chmod").arg("o=").arg(&beside).status().unwrap();
    assert_eq!(said(&place, key, &[], &[]), ("http://beside".into(), format!("{}:1", beside.display())));
    let variables = [("BACKSTAY_SERVER", "http://variable")];
    assert_eq!(
        said(&place, key, &[], &variables),
        ("http://variable".into(), "environment BACKSTAY_SERVER".to_owned())
    );
    let option = ["--server", "http://option"];
    assert_eq!(said(&place, key, &option, &variables), ("http://option".into(), "option --server".to_owned()));
    let shown = run(&place, &["config", "show"], &[]);
    assert!(shown.out.contains("(hidden)") && !shown.out.contains("hunter2"), "{}", shown.out);
    let explained = run(&place, &["config", "explain", "client.token"], &[]);
    assert!(explained.out.contains("(hidden)") && !explained.out.contains("hunter2"), "{}", explained.out);
    let wrong = run(&place, &["config", "show"], &[("BACKSTAY_HISTORY_DAYS", "3")]);
    assert_eq!(wrong.code, Some(20));
    assert!(wrong.err.contains("environment BACKSTAY_HISTORY_DAYS: `3` is not a number from 62"), "{}", wrong.err);
}

/// Red when verbs do not use what the file says: data directory, server, token file.
#[test]
fn verbs_do_what_the_file_says() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    std::fs::write(place.path("backstay.yaml"), "data_dir: data\n").unwrap();
    let ran = run(&place, &["quickstart", place.source().to_str().unwrap()], &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(place.data().join("backstay.sqlite").exists());
    // Another machine: a server and a token in a file, which not everybody may read.
    let _up = crate::show_call::Up(
        place.command(&["up"]).env("BACKSTAY_UP_AGENT", "0").stderr(Stdio::null()).spawn().unwrap(),
    );
    while !place.data().join("server.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let server = std::fs::read_to_string(place.data().join("server.json")).unwrap();
    let server: Value = serde_json::from_str(&server).unwrap();
    let text = format!("client: {{server: {}, token_file: secrets/token}}\n", server["url"]);
    std::fs::write(place.path("backstay.yaml"), text).unwrap();
    std::fs::create_dir(place.path("secrets")).unwrap();
    std::fs::write(place.path("secrets/token"), format!("{}\n", server["token"].as_str().unwrap())).unwrap();
    let mode = |mode: &str| Command::new("chmod").arg(mode).arg(place.path("secrets/token")).status().unwrap();
    mode("0644");
    let open = run(&place, &["plan", "list"], &[]);
    assert!(open.code == Some(20) && open.err.contains("can be read by everybody"), "{}", open.err);
    mode("0600");
    let list = run(&place, &["plan", "list"], &[]);
    assert_eq!(list.code, Some(0), "{}", list.err);
    assert!(list.out.contains("source"), "{}", list.out);
    let agents = run(&place, &["agent", "list", "--json"], &[]);
    assert_eq!(serde_json::from_str::<Value>(&agents.out).unwrap()["rows"], serde_json::json!([]), "up.agent is false");
}

/// Red when a file with a mistake is used, when `init` writes over a file, or when what `init` writes is not good.
#[test]
fn a_file_is_begun_judged_and_explained() {
    let place = Place::new();
    let file = place.path("backstay.yaml");
    let name = file.to_str().unwrap();
    assert_eq!(run(&place, &["plan", "list"], &[]).code, Some(25), "a file that is named must be there");
    let begun = run(&place, &["config", "init", name], &[]);
    assert_eq!(begun.code, Some(0), "{}", begun.err);
    let again = run(&place, &["config", "init", name], &[]);
    assert!(again.code == Some(20) && again.err.contains("It is kept as it is"), "{}", again.err);
    let good = run(&place, &["config", "check"], &[]);
    assert!(good.code == Some(0) && good.out.contains("nothing is wrong; 0 settings"), "{good:?}");
    let yaml = &blocks("how-to/declare-everything.md", "yaml")[0];
    std::fs::write(&file, format!("server: {{history_days: 90}}\n{yaml}")).unwrap();
    let good = run(&place, &["config", "check"], &[]);
    assert!(good.code == Some(0) && good.out.contains("1 settings, 16 declarations"), "{good:?}");
    std::fs::write(&file, "server:\n  listn: x\n  master_key: hunter2\nplans: {a: {source: b}}\n").unwrap();
    std::fs::write(place.path(".env"), "BACKSTAY_LISTN=x\n").unwrap();
    let bad = run(&place, &["config", "check"], &[]);
    assert_eq!(bad.code, Some(20));
    for words in [
        "backstay.yaml:2:3",
        "Did you mean `listen`?",
        "BACKSTAY_MASTER_KEY",
        "needs `repository`",
        ".env:1:1",
        "Did you mean `BACKSTAY_LISTEN`?",
    ] {
        assert!(bad.err.contains(words), "{words} is not in {}", bad.err);
    }
    assert!(!bad.err.contains("hunter2"), "{}", bad.err);
    let refused = run(&place, &["plan", "list"], &[]);
    assert_eq!(refused.code, Some(20));
    assert!(
        refused.err.contains("Did you mean `listen`?") && refused.err.contains(".env has a mistake"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("nothing was done"), "no verb uses a file with a mistake: {}", refused.err);
    std::fs::remove_file(place.path(".env")).unwrap();
    std::fs::write(&file, "").unwrap();
    let told = run(&place, &["config", "explain", "plans.retention.keep_daily"], &[]);
    assert!(told.code == Some(0) && told.out.contains("The newest of each of so many days."), "{told:?}");
    let told = run(&place, &["config", "explain", "server.listn"], &[]);
    assert!(told.code == Some(25) && told.err.contains("Did you mean `server.listen`?"), "{told:?}");
    let schema = run(&place, &["config", "schema"], &[]);
    let schema: Value = serde_json::from_str(&schema.out).unwrap();
    let properties = &schema["properties"];
    assert!(properties["plans"].is_object() && properties["server"]["properties"]["listen"].is_object());
    assert_eq!(run(&place, &["config", "schema", "x"], &[]).code, Some(2));
}
