//! For the day when something is wrong: the doctor, the bundle without secrets, the sheet that is followed to the letter.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Place, Ran, assert_same_tree, make_tree, restics};
use crate::verbs::{protected, up};

/// Returns what the doctor says of a thing.
fn finding(report: &Value, what: &str) -> Value {
    let all = report["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}: {report:#}")).clone()
}

fn doctor(place: &Place, more: &[&str]) -> (Ran, Value) {
    let ran = place.run(&[&["doctor", "--json"], more].concat());
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    (ran, report)
}

/// Red when a look is left out, when what is bad does not decide the exit, or when what is well is called bad.
#[test]
fn the_doctor_says_what_is_not_well() {
    let place = Place::new();
    let (ran, report) = doctor(&place, &[]);
    assert_eq!((ran.code, &finding(&report, "data directory")["verdict"]), (Some(1), &"bad".into()), "{report:#}");
    let place = protected();
    let (ran, report) = doctor(&place, &[]);
    assert_eq!(ran.code, Some(0), "{report:#}");
    assert_eq!(finding(&report, "server")["verdict"], "warn", "nobody runs");
    assert_eq!(finding(&report, "schedules")["verdict"], "warn", "on request only");
    assert_eq!(finding(&report, "verifies")["verdict"], "ok");
    assert_eq!(finding(&report, "channels")["verdict"], "warn");
    let up = up(&place);
    let (_, report) = doctor(&place, &[]);
    for what in ["data directory", "master key", "signing key", "recovery key", "server", "clock", "agents", "overdue"]
    {
        assert_eq!(finding(&report, what)["verdict"], "ok", "{what}: {report:#}");
    }
    let key = place.data().join("keys/local.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let (ran, report) = doctor(&place, &[]);
    assert_eq!((ran.code, &finding(&report, "recovery key")["verdict"]), (Some(1), &"bad".into()));
    assert!(finding(&report, "recovery key")["next"].as_str().unwrap().starts_with("chmod"));
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let master = place.data().join("master.key");
    std::fs::rename(&master, place.path("away")).unwrap();
    let (ran, report) = doctor(&place, &[]);
    assert_eq!((ran.code, &finding(&report, "master key")["verdict"]), (Some(1), &"bad".into()));
    std::fs::rename(place.path("away"), &master).unwrap();
    let text = place.run(&["doctor"]);
    assert!(text.out.contains("WARN  channels") && text.out.contains("0 bad"), "{}", text.out);
    drop(up);
}

/// Red when the end of a certificate is read from another place of it, or not at all.
#[test]
fn the_doctor_knows_when_a_certificate_ends() {
    let place = protected();
    let (certificate, key) = (place.path("tls.pem"), place.path("tls.key"));
    for (days, verdict) in [("90", "ok"), ("10", "warn")] {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-subj", "/CN=backstay", "-days", days, "-out"]).arg(&certificate).arg("-keyout").arg(&key);
        let Ok(made) = command.output() else { return };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = place.command(&["doctor", "--json"]);
        let ran = Ran::of(command.env("BACKSTAY_TLS_CERTIFICATE_FILE", &certificate));
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(finding(&report, "certificate")["verdict"], verdict, "{report:#}");
    }
    std::fs::write(&certificate, "nonsense").unwrap();
    let mut command = place.command(&["doctor", "--json"]);
    let ran = Ran::of(command.env("BACKSTAY_TLS_CERTIFICATE_FILE", &certificate));
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &finding(&report, "certificate")["verdict"]), (Some(1), &"bad".into()));
}

/// Returns the files below a folder that hold a text.
fn holders(folder: &Path, text: &str) -> Vec<String> {
    let found = Ran::of(Command::new("grep").args(["-rlaF", "--", text]).arg(folder));
    found.out.lines().map(str::to_owned).collect()
}

/// Puts a secret of its own into every place that takes one, and looks for all of them: in the bundle, in the rows, in
/// what processes show of themselves, in the log, in each answer of the API, and in errors.
///
/// Red when the bundle takes a channel's address along, when an error repeats a token, or when a secret is kept in the clear.
#[test]
fn no_secret_is_in_the_bundle_or_anywhere_else_it_could_be_seen() {
    let place = protected();
    let log = std::fs::File::create(place.path("log")).unwrap();
    let mut command = place.command(&["up"]);
    let child = command.env("BACKSTAY_LOG", "debug").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let pid = child.id();
    let up = crate::show_call::Up(child);
    while !place.data().join("server.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let put = |name: &str, value: &str| {
        let file = place.path(name);
        std::fs::write(&file, value).unwrap();
        let ran = place.run(&["secret", "put", name, "--from-file", file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        std::fs::remove_file(&file).unwrap();
    };
    put("sealed-password", "leak-password-0001");
    put("bucket", r#"{"access_key_id": "leak-id-0002", "secret_access_key": "leak-secret-0003"}"#);
    put("channel-mail", "leak-mail-0004");
    put("channel-hook", "leak-hook-0005");
    // A storage that is not there: its job fails, and its error is told.
    let settings = ["--set", "endpoint=http://127.0.0.1:9", "--set", "bucket=none"];
    let words = ["storage", "create", "far", "--kind", "s3", "--credential", "sealed:bucket"];
    place.json(&[&words[..], &settings[..]].concat());
    let repository = place.json(&[
        "repository",
        "create",
        "far",
        "--storage",
        "far",
        "--password-reference",
        "sealed:sealed-password",
    ]);
    let repository = repository["id"].as_str().unwrap();
    let source = place.json(&["source", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let plan = place.json(&["plan", "create", "far", "--source", &source, "--repository", repository]);
    place.json(&["call", "plan_request", plan["id"].as_str().unwrap()]);
    let smtp = [
        "host=127.0.0.1",
        "port=9",
        "tls=implicit",
        "from=b@a.example",
        "to=a@a.example",
        "username=ann",
        "password=sealed:channel-mail",
    ];
    let mut words = vec!["channel", "create", "mail", "--kind", "smtp", "--severity", "info", "--tenant", "default"];
    smtp.iter().for_each(|setting| words.extend(["--set", setting]));
    place.json(&words);
    let hook = ["channel", "create", "hook", "--kind", "webhook", "--severity", "info", "--tenant", "default"];
    let set = ["--set", "url=https://127.0.0.1:9/leak-url-0006", "--set", "secret=sealed:channel-hook"];
    place.json(&[&hook[..], &set[..]].concat());
    let token = place.json(&["token", "create", "friend", "--role", "admin"])["secret"].as_str().unwrap().to_owned();
    let job = place.json(&["job", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    crate::fleet_support::wait_for("a failure", || {
        let detail = place.json(&["job", "show", &job]);
        detail["job"]["message"].is_string().then_some(())
    });
    for channel in place.json(&["channel", "list"])["rows"].as_array().unwrap() {
        let ran = place.run(&["channel", "test", channel["id"].as_str().unwrap()]);
        assert_ne!(ran.code, Some(0));
        std::fs::write(place.path(&format!("test-{}", channel["name"].as_str().unwrap())), ran.out + &ran.err).unwrap();
    }

    let server = std::fs::read_to_string(place.data().join("server.json")).unwrap();
    let server: Value = serde_json::from_str(&server).unwrap();
    let own = server["token"].as_str().unwrap().to_owned();
    let text = |path: &str| std::fs::read_to_string(place.data().join(path)).unwrap().trim().to_owned();
    let mut secrets = vec![token, own, text("master.key"), text("keys/local.key")];
    let told = ["password-0001", "id-0002", "secret-0003", "mail-0004", "hook-0005", "url-0006"];
    secrets.extend(told.map(|end| format!("leak-{end}")));

    let bundle = place.path("bundle");
    // As somebody who has a token of their own in the environment.
    let mut command = place.command(&["support-bundle", bundle.to_str().unwrap()]);
    let ran = Ran::of(command.env("BACKSTAY_TOKEN", &secrets[0]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let proc = format!("/proc/{pid}");
    let argv = std::fs::read(format!("{proc}/cmdline")).unwrap();
    let environ = std::fs::read(format!("{proc}/environ")).unwrap();
    std::fs::write(place.path("process"), [argv, environ].concat()).unwrap();
    let answers = place.path("answers");
    std::fs::create_dir(&answers).unwrap();
    for row in
        backstay_api::ENDPOINTS.iter().filter(|row| !row.path.contains("{id}") && row.media() == "application/json")
    {
        if row.method == backstay_api::endpoint::Method::Get {
            std::fs::write(answers.join(row.name), place.run(&["call", row.name]).out).unwrap();
        }
    }
    let metrics = place.run(&["support-bundle", place.path("second").to_str().unwrap()]);
    assert_eq!(metrics.code, Some(0));
    assert!(std::fs::read_to_string(bundle.join("metrics.txt")).unwrap().contains("backstay_jobs"));
    assert!(
        std::fs::read_to_string(bundle.join("stories.json")).unwrap().contains("127.0.0.1:9"),
        "what failed is told"
    );
    assert!(std::fs::read_to_string(place.path("log")).unwrap().len() > 1_000, "the log was asked for");
    assert!(std::fs::metadata(answers.join("channel_list")).unwrap().len() > 100);
    let mode = std::fs::metadata(&bundle).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);

    for secret in &secrets {
        assert_eq!(holders(&bundle, secret), Vec::<String>::new(), "{secret}");
        for place_of in ["log", "process", "test-mail", "test-hook"] {
            assert_eq!(holders(&place.path(place_of), secret), Vec::<String>::new(), "{secret}");
        }
        // A webhook's address is a setting, which who may declare channels sees, and rows have; never elsewhere.
        if secret != "leak-url-0006" {
            assert_eq!(holders(&answers, secret), Vec::<String>::new(), "{secret}");
            for end in ["", "-wal"] {
                assert_eq!(
                    holders(&place.data().join(format!("backstay.sqlite{end}")), secret),
                    Vec::<String>::new(),
                    "{secret}"
                );
            }
        }
    }
    let again = place.run(&["support-bundle", bundle.to_str().unwrap()]);
    assert!(again.code == Some(1) && again.err.contains("not there yet"), "nothing is overwritten: {}", again.err);
    drop(up);
}

/// Returns the commands of a sheet: what stands four spaces in.
fn commands(sheet: &str) -> String {
    sheet.lines().filter_map(|line| line.strip_prefix("    ")).collect::<Vec<_>>().join("\n")
}

/// Red when a command of the sheet is not what plain restic understands, or a secret is on a sheet unasked.
#[test]
fn a_sheet_is_followed_to_the_letter_with_plain_restic() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let key = std::fs::read_to_string(place.data().join("keys/local.key")).unwrap().trim().to_owned();
    let sheet = place.run(&["recovery", "sheet"]);
    assert_eq!(sheet.code, Some(0), "{}", sheet.err);
    assert!(!sheet.out.contains(&key) && sheet.out.contains("master.key"), "{}", sheet.out);
    let page = place.run(&["recovery", "sheet", "--html"]);
    assert!(
        page.out.starts_with("<!doctype html>")
            && page.out.contains("<pre>restic check</pre>")
            && !page.out.contains(&key)
    );
    let refused = place.run(&["recovery", "sheet", "--with-secrets"]);
    assert!(refused.code == Some(20) && refused.err.contains("--yes") && refused.out.is_empty(), "{}", refused.err);
    let with = place.run(&["recovery", "sheet", "--with-secrets", "--yes"]);
    assert!(with.out.contains(&format!("export RESTIC_PASSWORD='{key}'")), "{}", with.err);
    for (number, restic) in restics().into_iter().enumerate() {
        for (name, page) in [("places", &sheet.out), ("secrets", &with.out)] {
            let away = place.path(&format!("{name}-{number}"));
            let bin = away.join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            std::os::unix::fs::symlink(&restic, bin.join("restic")).unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-e", "-c", &commands(page)]).current_dir(&away).env_clear().env("HOME", &away);
            let ran = Ran::of(command.env("PATH", std::env::join_paths([&bin]).unwrap()));
            assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
            let restored = std::fs::read_dir(&away).unwrap().map(|entry| entry.unwrap().path());
            let restored = restored.into_iter().find(|path| path.to_string_lossy().contains("restored-")).unwrap();
            assert_same_tree(&place.source(), &restored.join(place.source().strip_prefix("/").unwrap()));
        }
    }
    // A server elsewhere has files of the same names, and other keys in them.
    let elsewhere = ["recovery", "sheet", "--with-secrets", "--yes", "--server", "http://127.0.0.1:9"];
    let refused = place.run(&elsewhere);
    assert!(refused.code == Some(20) && refused.err.contains("not on this machine"), "{refused:?}");
    let none = Place::new();
    assert_eq!(none.run(&["recovery", "sheet"]).code, Some(20));
}
