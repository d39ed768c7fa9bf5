//! Verbs for every day, on a real server: what a shell completes, the manual, what runs and what comes next.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::show_call::Up;
use crate::support::{BINARY, Place, Ran};

/// A folder that is protected once.
pub(crate) fn protected() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    std::fs::write(place.source().join("notes.txt"), "first").unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    place
}

/// Starts `backstay up` and waits until it answers.
pub(crate) fn up(place: &Place) -> Up {
    let _ = std::fs::remove_file(place.data().join("server.json"));
    let child = place.command(&["up"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !place.data().join("server.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Up(child)
}

pub(crate) fn rows(list: &Value) -> &[Value] {
    list["rows"].as_array().unwrap()
}

/// Asks bash how a line goes on, as it does when somebody presses Tab behind its last word.
fn completed(place: &Place, words: &[&str]) -> Ran {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(backstay completion bash) || exit 9\nCOMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9\n\
         $(complete -p backstay | sed 's/.*-F \\([^ ]*\\).*/\\1/') backstay \"${{COMP_WORDS[COMP_CWORD]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let mut command = Command::new("bash");
    let folder = Path::new(BINARY).parent().unwrap();
    let path = std::env::join_paths([folder, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    command.args(["--noprofile", "--norc", "-c", &script]).env("PATH", path);
    Ran::of(command.env("BACKSTAY_DATA_DIR", place.data()).env_remove("BACKSTAY_SERVER"))
}

/// Red when names are not asked for, when options on the line are not read, or when anything is said on the terminal.
#[test]
fn a_shell_completes_verbs_and_the_names_that_a_server_knows() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    let check = |words: &[&str], expected: &[&str]| {
        let ran = completed(&place, words);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}: {}", ran.out);
        let found: Vec<&str> = ran.out.split_whitespace().collect();
        for word in expected {
            assert!(found.contains(word), "{words:?} has no {word}: {}", ran.out);
        }
        ran.out
    };
    check(&["backstay", "snap"], &["snapshot"]);
    check(&["backstay", "plan", "ne"], &["next"]);
    // Nobody runs: silence, and no server is started for it.
    let out = check(&["backstay", "plan", "show", ""], &[]);
    assert!(!out.contains(&plan), "{out}");
    let up = up(&place);
    check(&["backstay", "plan", "show", ""], &[&plan]);
    check(&["backstay", "repository", "stats", "lo"], &["local"]);
    let snapshot = place.json(&["snapshot", "list"])["rows"][0]["foreign_id"].as_str().unwrap()[..8].to_owned();
    check(&["backstay", "snapshot", "pin", ""], &[&snapshot]);
    let job = place.json(&["job", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    check(&["backstay", "job", "show", ""], &[&job]);
    let elsewhere = place.path("nothing").display().to_string();
    let out = check(&["backstay", "--data-dir", &elsewhere, "plan", "show", ""], &[]);
    assert!(!out.contains(&plan), "the line names another data directory: {out}");
    let key = std::fs::read_to_string(place.data().join("keys/local.key")).unwrap();
    place.run(&["secret", "put", "kept", "--from-file", place.data().join("keys/local.key").to_str().unwrap()]);
    let out = check(&["backstay", "secret", "remove", ""], &["kept"]);
    assert!(!out.contains(key.trim()));
    drop(up);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completion", shell]);
        assert!(ran.code == Some(0) && ran.out.contains("COMPLETE"), "{shell}: {}{}", ran.out, ran.err);
    }
    let ran = place.run(&["completion", "tcsh"]);
    assert!(ran.code == Some(2) && ran.err.contains("bash"), "{}", ran.err);
}

#[test]
fn the_manual_has_a_page_for_each_verb_and_groff_reads_them() {
    let place = Place::new();
    let dir = place.path("man1");
    let pages = place.json(&["man", "--dir", dir.to_str().unwrap()]);
    let pages: Vec<&str> = pages.as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    for name in ["backstay.1", "backstay-plan-next.1", "backstay-engine-backup.1"] {
        assert!(pages.iter().any(|page| page.ends_with(name)), "{name} is missing of {}", pages.len());
    }
    for page in pages.iter().filter(|page| page.contains("plan")) {
        let Ok(output) = Command::new("groff").args(["-man", "-Tascii", "-ww", page]).output() else { break };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("error"), "{page}: {said}");
    }
    let printed = place.run(&["man"]);
    assert!(printed.out.contains(".TH backstay 1"), "{}", printed.out);
    let file = place.path("file");
    std::fs::write(&file, "").unwrap();
    let ran = place.run(&["man", "--dir", file.to_str().unwrap()]);
    assert!(ran.code == Some(1) && ran.err.contains("Name a folder"), "{}", ran.err);
}

/// Red when starts are told in another zone than the plan's, or when what holds one back is not.
#[test]
fn the_next_starts_are_told_in_the_plan_s_zone_with_what_holds_them() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    let (id, name) = (plan["id"].as_str().unwrap(), plan["name"].as_str().unwrap());
    let ran = place.run(&["plan", "next", name]);
    assert!(ran.out.contains("on request only"), "{}", ran.out);
    let zone = ["--cron", "30 2 * * *", "--time-zone", "Asia/Tokyo"];
    let ran = place.run(&[&["plan", "update", id], &zone[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let next = place.json(&["plan", "next", name, "--count", "7"]);
    let starts = next["next"].as_array().unwrap();
    assert_eq!((starts.len(), next["time_zone"].as_str()), (7, Some("Asia/Tokyo")));
    assert!(starts.iter().all(|start| start["planned_at"].as_str().unwrap().contains("T17:30:00")), "{next}");
    assert!(starts.iter().all(|start| start["held"].is_null()));
    let ran = place.run(&["plan", "next", name]);
    assert!(ran.out.contains("02:30:00") && ran.out.to_lowercase().contains("asia/tokyo"), "{}", ran.out);
    place.json(&["maintenance", "create", "move"]);
    let held = place.json(&["plan", "next", name, "--count", "1"]);
    assert!(held["next"][0]["held"].as_str().unwrap().contains("move"), "{held}");
    assert!(place.run(&["plan", "next", name]).out.contains("paused: move"));
    let ran = place.run(&["plan", "next", "no-such-plan"]);
    assert!(ran.code == Some(25) && ran.err.contains("no-such-plan"), "{}", ran.err);
    assert_eq!(place.run(&["plan", "next", name, "--count", "101"]).code, Some(2));
}

/// Red when the watch ends before its jobs, forgets how they ended, or waits for nobody.
#[test]
fn jobs_are_watched_to_their_end_and_their_story_is_told() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let ran = place.run(&["job", "watch"]);
    assert!(ran.code == Some(0) && ran.err.contains("nothing runs or waits"), "{}", ran.err);
    // Asked for while nobody runs: the watch says so instead of waiting for ever.
    let job = place.json(&["call", "plan_request", &plan])["items"][0]["job_id"].as_str().unwrap().to_owned();
    let ran = place.run(&["job", "watch", &job]);
    assert!(ran.code == Some(1) && ran.err.contains("backstay up"), "{}", ran.err);
    let up = up(&place);
    let watched = place.json(&["job", "watch", &job]);
    assert_eq!((&watched[0]["job"]["id"], &watched[0]["job"]["state"]), (&job.as_str().into(), &"succeeded".into()));
    let log = place.json(&["job", "log", &job]);
    let told: Vec<&str> = log["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert!(told[0].starts_with("enqueued"), "{told:?}");
    let at =
        |part: &str| told.iter().position(|text| text.contains(part)).unwrap_or_else(|| panic!("{part}: {told:?}"));
    assert!(at("attempt 1 began") < at("attempt 1 ended") && at("attempt 1 began") < at("succeeded"), "{told:?}");
    assert!(place.run(&["job", "log", &job]).out.contains("attempt 1 began on agent"));
    // One that fails is watched to that end too, and the watch exits as it did.
    std::fs::rename(place.source(), place.path("away")).unwrap();
    let job = place.json(&["call", "plan_request", &plan])["items"][0]["job_id"].as_str().unwrap().to_owned();
    place.run(&["job", "cancel", &job]);
    let ran = place.run(&["job", "watch", &job]);
    assert!(ran.code != Some(0), "{}{}", ran.out, ran.err);
    let missing = "0190b0c0-0000-7000-8000-000000000000";
    for verb in ["watch", "log"] {
        let ran = place.run(&["job", verb, missing]);
        assert!(ran.code == Some(25) && ran.err.contains(missing), "{verb}: {}", ran.err);
    }
    drop(up);
}

/// Red when a plan that is held back starts all the same, does not say so, or stays held when it may go on.
#[test]
fn a_plan_is_held_back_and_goes_on() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(place.run(&["plan", "update", &plan, "--cron", "30 2 * * *"]).code, Some(0));
    let paused = place.json(&["plan", "pause", &plan]);
    assert!(paused["paused_at"].is_string(), "{paused}");
    assert!(place.run(&["plan", "next", &plan]).out.contains("paused since"));
    let resumed = place.json(&["plan", "resume", &plan]);
    assert!(resumed["paused_at"].is_null() && !resumed["next"].as_array().unwrap().is_empty(), "{resumed}");
    assert!(!place.run(&["plan", "next", &plan]).out.contains("paused since"));
    for verb in ["pause", "resume"] {
        let ran = place.run(&["plan", verb, "no-such-plan"]);
        assert!(ran.code == Some(25) && ran.err.contains("no-such-plan"), "{verb}: {}", ran.err);
    }
}

/// Red when a job that was given up is not taken up again, or one that is over is.
#[test]
fn a_job_is_taken_up_again_when_somebody_says_so() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    std::fs::rename(place.source(), place.path("away")).unwrap();
    assert_eq!(place.run(&["plan", "run", &plan]).code, Some(20));
    let failed = place.json(&["job", "list"])["rows"][0].clone();
    assert_eq!(failed["state"], "failed");
    std::fs::rename(place.path("away"), place.source()).unwrap();
    let retried = place.json(&["job", "retry", failed["id"].as_str().unwrap()]);
    let up = up(&place);
    let id = retried["id"].as_str().unwrap().to_owned();
    let ran = place.run(&["job", "watch", &id]);
    assert_eq!((ran.code, place.json(&["job", "show", &id])["job"]["state"].as_str()), (Some(0), Some("succeeded")));
    let ran = place.run(&["job", "retry", &id]);
    assert!(ran.code == Some(1) && ran.err.contains("succeeded"), "{ran:?}");
    let ran = place.run(&["job", "retry", "0190b0c0-0000-7000-8000-000000000000"]);
    assert_eq!(ran.code, Some(25), "{ran:?}");
    drop(up);
}

/// Red when a secret that is not to be had is said to be there, or one that is there is shown.
#[test]
fn secrets_kinds_and_tenants_are_told() {
    let place = protected();
    std::fs::write(place.path("value"), "hunter2").unwrap();
    place.json(&["secret", "put", "kept", "--from-file", place.path("value").to_str().unwrap()]);
    for reference in ["kept", "sealed:kept", "file:keys/local.key"] {
        let ran = place.run(&["secret", "test", reference]);
        assert!(ran.code == Some(0) && ran.err.contains("is there and opens"), "{reference}: {ran:?}");
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
    let ran = place.run(&["secret", "test", "none"]);
    assert!(ran.code == Some(1) && ran.err.contains("there is no secret at sealed:"), "{ran:?}");

    let kinds = place.json(&["kinds"]);
    let names = |of: &str| -> Vec<String> {
        let kinds = kinds[of].as_array().unwrap().iter();
        kinds.map(|kind| kind["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(["filesystem", "postgresql"].iter().all(|name| names("source").contains(&(*name).to_owned())));
    assert!(["local", "s3"].iter().all(|name| names("storage").contains(&(*name).to_owned())));
    assert_eq!(names("channel"), ["smtp", "webhook", "ping"]);
    let ran = place.run(&["kinds", "smtp"]);
    assert!(
        ran.code == Some(0) && ran.out.lines().any(|line| line.contains("host") && line.contains("yes")),
        "{ran:?}"
    );
    let ran = place.run(&["kinds", "local"]);
    assert!(
        ran.code == Some(0)
            && ran.out.lines().any(|line| line.trim_start().starts_with("path") && line.contains("yes"))
    );
    let ran = place.run(&["kinds", "tape"]);
    assert!(ran.code == Some(25) && ran.err.contains("there is no kind tape"), "{ran:?}");

    let tenant = place.json(&["tenant", "list"])["rows"][0].clone();
    let shown = place.json(&["tenant", "show", tenant["id"].as_str().unwrap()]);
    assert_eq!((&shown["name"], &shown["id"]), (&"default".into(), &tenant["id"]));
    let ran = place.run(&["tenant", "show", "0190b0c0-0000-7000-8000-000000000000"]);
    assert_eq!(ran.code, Some(25), "{ran:?}");
}

/// Red when a look at a prune forgets something, or says otherwise than the prune does.
#[test]
fn a_prune_is_looked_at_before_it_is_asked_for() {
    let place = protected();
    let plan = place.json(&["plan", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    for text in ["second", "third", "fourth"] {
        std::fs::write(place.source().join("notes.txt"), text).unwrap();
        assert_eq!(place.run(&["plan", "run", &plan]).code, Some(0));
    }
    let snapshots = place.json(&["snapshot", "list"]);
    let id = |at: usize| rows(&snapshots)[at]["id"].as_str().unwrap().to_owned();
    let goes = || {
        let preview = place.json(&["repository", "prune", "local", "--dry-run"]);
        let goes = preview["goes"].as_array().unwrap().iter();
        let goes: Vec<String> = goes.map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        (goes, preview["stays"].as_u64().unwrap())
    };
    assert_eq!(goes(), (Vec::new(), 4));
    let ran = place.run(&["repository", "prune", "local", "--dry-run"]);
    assert!(ran.code == Some(0) && ran.err.contains("no snapshot would go"), "{ran:?}");
    // One that a person wants gone, and two that no rule keeps, of which one is pinned.
    place.json(&["snapshot", "forget", &id(1)]);
    assert_eq!(goes(), (vec![id(1)], 3));
    place.json(&["plan", "update", &plan, "--keep-last", "1"]);
    place.json(&["snapshot", "pin", &id(3)]);
    assert_eq!(goes(), (vec![id(1), id(2)], 2));
    let ran = place.run(&["repository", "prune", "local", "--dry-run"]);
    assert!(ran.out.contains("a person wants it forgotten") && ran.out.contains("no rule keeps it"), "{ran:?}");
    assert_eq!(rows(&place.json(&["snapshot", "list"])).len(), 4, "nothing was done");
    assert!(rows(&place.json(&["job", "list", "--kind", "prune"])).is_empty(), "nothing was asked for");
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    let left = place.json(&["snapshot", "list"]);
    let left: Vec<&str> = rows(&left).iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(left, [id(0), id(3)]);
    assert_eq!(goes(), (Vec::new(), 2));
    let ran = place.run(&["repository", "prune", "none", "--dry-run"]);
    assert_eq!(ran.code, Some(25), "{ran:?}");
}

/// Red when a look at a restore makes something, or is content with what the restore would be refused for.
#[test]
fn a_restore_is_looked_at_before_it_is_asked_for() {
    let place = protected();
    let (target, source) = (place.path("out"), place.source().display().to_string());
    let to = target.display().to_string();
    let look = |more: &[&str]| {
        let words = ["snapshot", "restore", "latest", "--target", &to, "--dry-run"];
        place.run(&[&words[..], more].concat())
    };
    let ran = look(&["--path", &source, "--json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let names: Vec<&str> =
        said["entries"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((ran.code, names), (Some(0), vec!["a", "notes.txt"]));
    assert_eq!((&said["dry_run"], said["restore"]["target_path"].as_str()), (&true.into(), Some(&*to)));
    let ran = look(&[]);
    assert!(ran.code == Some(0) && ran.err.contains(&format!("would go to {to}; nothing was done")), "{ran:?}");
    assert!(!target.exists() && rows(&place.json(&["job", "list", "--kind", "restore"])).is_empty());
    let ran = look(&["--path", "/nowhere"]);
    assert_eq!(ran.code, Some(25), "{ran:?}");
    let ran = look(&["--reconciliation", "perhaps"]);
    assert!(ran.code == Some(20) && ran.err.contains("perhaps"), "{ran:?}");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("mine"), "").unwrap();
    let refused = look(&[]);
    assert!(refused.code == Some(1) && refused.err.contains("is not empty"), "{refused:?}");
    let ran = place.run(&["snapshot", "restore", "latest", "--target", &to]);
    assert_eq!(ran.code, refused.code, "the restore says the same: {ran:?}");
    assert_eq!(look(&["--reconciliation", "skip"]).code, Some(0));
}
