//! Secrets stay where they belong: never in arguments, logs, messages, rows or the API.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Place, Ran};

#[test]
fn the_recovery_key_is_in_its_file_and_nowhere_else() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    let mut command = place.command(&["quickstart", place.source().to_str().unwrap()]);
    let ran = Ran::of(command.env("BACKSTAY_LOG", "trace"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.len() > 1_000, "the log was asked for");
    let key = std::fs::read_to_string(place.data().join("keys/local.key")).unwrap();
    let key = key.trim();
    assert_eq!(key.len(), 52, "256 bits");
    assert!(!ran.out.contains(key) && !ran.err.contains(key));
    let found = Ran::of(Command::new("grep").args(["-rlaF", key]).arg(place.data()));
    assert_eq!(found.out.trim(), place.data().join("keys/local.key").to_str().unwrap());
    for verb in ["job", "event", "repository", "source", "plan", "evidence"] {
        assert!(!place.run(&[verb, "list", "--json"]).out.contains(key), "{verb}");
    }
}

/// As `docs/how-to/secrets.md` says it: while `backstay up` runs, and nobody is locked out in between.
#[test]
fn a_repository_s_password_is_changed_while_it_is_used() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let _up = crate::verbs::up(&place);
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    let (keys, repository) = (place.data().join("keys"), place.data().join("repositories/local"));
    let file = |name: &str| keys.join(name).to_str().unwrap().to_owned();
    let engine = |password: &str, arguments: &[&str]| {
        let which = ["--repo", repository.to_str().unwrap(), "--password-file", password];
        let ran = place.run(&[&["engine", "key"], arguments, &which].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    };
    let listed = |password: &str| -> Vec<(bool, String)> {
        let list: serde_json::Value = serde_json::from_str(&engine(password, &["list", "--json"])).unwrap();
        let id = |key: &serde_json::Value| (key["current"] == true, key["id"].as_str().unwrap().to_owned());
        list.as_array().unwrap().iter().map(id).collect()
    };
    let run = || assert_eq!(place.run(&["plan", "run", &plan, "--wait"]).code, Some(0));
    std::fs::write(file("local.new"), "a password that nobody knew before\n").unwrap();
    engine(&file("local.key"), &["add", "--new-password-file", &file("local.new")]);
    run();
    std::fs::copy(file("local.key"), file("local.old")).unwrap();
    std::fs::rename(file("local.new"), file("local.key")).unwrap();
    run();
    let old = listed(&file("local.old")).into_iter().find(|(current, _)| *current).unwrap().1;
    engine(&file("local.key"), &["remove", &old]);
    run();
    assert_eq!(listed(&file("local.key")).len(), 1);
    let which = ["--repo", repository.to_str().unwrap(), "--password-file", &file("local.old")];
    let ran = place.run(&[&["engine", "snapshots"], &which[..]].concat());
    assert_eq!(ran.code, Some(12), "the old one opens nothing: {}", ran.err);
    assert_eq!(place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len(), 4);
}

#[test]
fn a_lost_recovery_key_is_said_and_nothing_is_harmed() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let key = place.data().join("keys/local.key");
    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("there is no secret at file:keys/local.key"), "{}", ran.err);
    assert!(!key.exists(), "a new key would not open the repository");
    std::fs::write(&key, "\n").unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("the secret at file:keys/local.key is empty"), "{}", ran.err);
    std::fs::write(&key, "wrong\n").unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("opens no key of the repository"), "{}", ran.err);
    std::fs::write(&key, text).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
}

#[test]
fn a_repository_that_is_gone_is_never_made_anew() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let (repository, elsewhere) = (place.data().join("repositories/local"), place.path("elsewhere"));
    std::fs::rename(&repository, &elsewhere).unwrap();
    assert_eq!(place.quickstart().code, Some(10));
    assert!(!repository.exists());
    // An empty mount point is not taken for the repository either.
    std::fs::create_dir(&repository).unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(10), "{}", ran.err);
    assert_eq!(std::fs::read_dir(&repository).unwrap().count(), 0);
    std::fs::remove_dir(&repository).unwrap();
    std::fs::rename(&elsewhere, &repository).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
}

/// Red when a variable is not looked up at the lease, when its value gets into a row, a log or a message, or when one of the
/// server's own may be named.
#[test]
fn a_password_in_the_environment_is_found_there_at_each_job_and_nowhere_else() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let path = format!("path={}", place.path("shelf").display());
    let credentials = place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("secret-home"), "hunter-by-systemd\n").unwrap();
    let told = |arguments: &[&str], variable: &str| {
        let mut command = place.command(arguments);
        command.env("BACKSTAY_LOG", "trace").env(variable, "hunter-by-variable");
        Ran::of(command.env("CREDENTIALS_DIRECTORY", &credentials))
    };
    let create = |name: &str, reference: &str, variable: &str| {
        let base = ["repository", "create", name, "--set", &path, "--password-reference", reference];
        told(&base, variable)
    };
    for own in ["env:BACKSTAY_MASTER_KEY", "credential:master-key"] {
        let ran = create("own", own, "BACKSTAY_MASTER_KEY");
        assert!(ran.code != Some(0) && ran.err.contains("env:BACKSTAY_SECRET_NAME"), "{}", ran.err);
    }
    let ran = create("home", "env:BACKSTAY_SECRET_HOME", "OTHER");
    assert!(ran.code != Some(0) && ran.err.contains("set BACKSTAY_SECRET_HOME"), "{}", ran.err);
    assert_eq!(create("home", "env:BACKSTAY_SECRET_HOME", "BACKSTAY_SECRET_HOME").code, Some(0));
    let id = |verb: &str, name: Option<&str>| {
        let rows = place.json(&[verb, "list"])["rows"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| name.is_none_or(|name| row["name"] == name)).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    let (plan, repository) = (id("plan", None), id("repository", Some("home")));
    place.json(&["plan", "update", &plan, "--repository", &repository]);
    let ran = told(&["plan", "run", &plan], "OTHER");
    let words = format!("{}{}", ran.out, ran.err);
    assert!(ran.code != Some(0) && words.contains("there is no secret at env:BACKSTAY_SECRET_HOME"), "{words}");
    assert!(words.contains("repository home"), "{words}");
    let ran = told(&["plan", "run", &plan], "BACKSTAY_SECRET_HOME");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(place.path("shelf/config").is_file());
    let logged = ran.err;
    assert!(logged.len() > 1_000 && !logged.contains("hunter-by"), "the log was asked for");
    let found = Ran::of(Command::new("grep").args(["-rlaF", "hunter-by"]).arg(place.data()).arg(place.path("shelf")));
    assert_eq!(found.out, "");
    for verb in ["job", "event", "repository"] {
        assert!(!place.run(&[verb, "list", "--json"]).out.contains("hunter-by"), "{verb}");
    }
    assert_eq!(create("by-systemd", "credential:secret-home", "OTHER").code, Some(0));
}

/// Red when a secret in `.env` is refused, is not found at the lease, is given to what the program starts, or is shown; and
/// when one that everybody may read is used.
#[test]
fn a_secret_beside_the_settings_is_found_and_given_to_nobody_else() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    std::fs::write(place.path("backstay.yaml"), "data_dir: data\n").unwrap();
    let beside = place.path(".env");
    std::fs::write(&beside, "BACKSTAY_SECRET_HOME=hunter-beside\n").unwrap();
    let command = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env_remove("BACKSTAY_DATA_DIR").env("BACKSTAY_CONFIG", place.path("backstay.yaml"));
        command
    };
    let run = |arguments: &[&str]| Ran::of(&mut command(arguments));
    let mode = |mode| std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let ran = run(&["config", "check"]);
    assert!(ran.code == Some(20) && ran.err.contains(".env can be read by everybody"), "{ran:?}");
    mode(0o600);
    assert_eq!(run(&["config", "check"]).code, Some(0));
    // A hook sees what the process has in its environment.
    let seen = place.path("seen");
    let yaml = format!(
        "repositories: {{home: {{storage: {{kind: local, settings: {{path: {}}}}}, password: 'env:BACKSTAY_SECRET_HOME'}}}}\n\
         plans: {{home: {{source: source, repository: home, backup: {{hooks: {{before: {{command: [sh, -c, 'env > {}']}}}}}}}}}}\n",
        place.path("shelf").display(),
        seen.display()
    );
    std::fs::write(place.path("wanted.yaml"), yaml).unwrap();
    let ran = run(&["apply", "-f", place.path("wanted.yaml").to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = Ran::of(command(&["plan", "run", "home"]).env("BACKSTAY_LOG", "trace"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains("hunter-beside") && !ran.out.contains("hunter-beside"), "{ran:?}");
    let environment = std::fs::read_to_string(&seen).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("hunter-beside"), "{environment}");
    let ran = run(&["secret", "test", "env:BACKSTAY_SECRET_HOME"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // The environment goes before it.
    let ran = Ran::of(command(&["plan", "run", "home"]).env("BACKSTAY_SECRET_HOME", "another"));
    assert_eq!(ran.code, Some(12), "{ran:?}");
    for arguments in [&["config", "show"][..], &["config", "show", "--json"], &["export"]] {
        assert!(!run(arguments).out.contains("hunter-beside"), "{arguments:?}");
    }
    let bundle = place.path("bundle");
    assert_eq!(run(&["support-bundle", bundle.to_str().unwrap()]).code, Some(0));
    let found = Ran::of(Command::new("grep").args(["-rlaF", "hunter-beside"]).arg(place.data()).arg(&bundle));
    assert_eq!(found.out, "");
    std::fs::write(&beside, "BACKSTAY_SECRET_A-B=hunter-beside\n").unwrap();
    let ran = run(&["plan", "list"]);
    assert!(ran.code == Some(20) && ran.err.contains("no reference can name `BACKSTAY_SECRET_A-B`"), "{ran:?}");
}
