//! Commands around a backup, and backups that hang, through the whole product.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Place, Ran, restics};

/// A place with an installation and a first snapshot.
fn place() -> (Place, String) {
    let place = Place::new();
    fs::create_dir(place.source()).unwrap();
    fs::write(place.source().join("kept"), "kept").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    (place, plan)
}

/// Gives a plan hooks, each a script of the shell.
fn hooks(place: &Place, plan: &str, given: &[(&str, &str)]) {
    let said: Vec<String> = given
        .iter()
        .flat_map(|(moment, script)| [format!("--hook-{moment}"), json!(["sh", "-c", script]).to_string()])
        .collect();
    let words: Vec<&str> = ["plan", "update", plan].into_iter().chain(said.iter().map(String::as_str)).collect();
    place.json(&words);
}

fn newest(place: &Place) -> Value {
    place.json(&["snapshot", "list"])["rows"][0].clone()
}

fn count(place: &Place) -> usize {
    place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len()
}

fn job(place: &Place) -> Value {
    let id = place.json(&["job", "list", "--kind", "backup"])["rows"][0]["id"].as_str().unwrap().to_owned();
    place.json(&["job", "show", &id])
}

/// A script that writes the variables that it was given into a file.
fn told_to(path: &Path) -> String {
    format!("env | grep ^BACKSTAY | sort > {}", path.display())
}

/// Returns a variable that a hook was given.
fn told(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned)
}

/// Says whether a process runs: one that nobody took note of yet does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| !"ZX".contains(state))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} did not come");
}

/// Red when nothing is printed before the end, when it is not printed once, or when the end is not waited for.
#[test]
fn a_log_is_followed_until_its_job_has_ended() {
    let (place, plan) = place();
    let go = place.path("go");
    hooks(&place, &plan, &[("before", &format!("until [ -e {} ]; do sleep 0.1; done", go.display()))]);
    let up = place.command(&["up"]).env("BACKSTAY_AGENT_COMMANDS", "true").stderr(Stdio::null()).spawn().unwrap();
    let up = crate::show_call::Up(up);
    wait_until("the server", || place.data().join("server.json").exists());
    let asked = place.json(&["plan", "run", &plan]);
    let id = asked["items"][0]["job_id"].as_str().unwrap().to_owned();
    let mut follow = place.command(&["job", "log", &id, "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut printed: Vec<String> = Vec::new();
    while !printed.last().is_some_and(|line| line.contains("attempt 1 began")) {
        printed.push(lines.next().expect("it goes on until the job has ended"));
    }
    assert_eq!(place.json(&["job", "show", &id])["job"]["state"], "leased", "{printed:?}");
    fs::write(&go, "").unwrap();
    printed.extend(lines);
    assert_eq!(follow.wait().unwrap().code(), Some(0));
    let count = |words: &str| printed.iter().filter(|line| line.contains(words)).count();
    assert_eq!((count("attempt 1 began"), count("succeeded: backup"), count("attempt 1 ended")), (1, 1, 1));
    drop(up);
    let again = place.run(&["job", "log", &id, "--follow", "--json"]);
    assert_eq!(again.code, Some(0), "what has ended needs no server: {again:?}");
    let again: Vec<Value> = again.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(again.len(), printed.len());
    assert_eq!(place.run(&["job", "log", "0190b0c0-0000-7000-8000-000000000000", "--follow"]).code, Some(25));
}

/// Red when the hooks do not reach the agent, run in another order, or are not told what they are for.
#[test]
fn hooks_run_around_a_backup_and_know_what_it_is_for() {
    let (place, plan) = place();
    let [before, after, failure] = ["before", "after", "failure"].map(|name| place.path(name));
    let made = format!("{}; date > {}/made", told_to(&before), place.source().display());
    hooks(&place, &plan, &[("before", &made), ("after", &told_to(&after)), ("after-failure", &told_to(&failure))]);
    let mut command = place.command(&["plan", "run", &plan, "--wait"]);
    let ran = Ran::of(command.env("BACKSTAY_SOMETHING", "of ours"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("usually takes"), "it is said before it starts: {}", ran.err);

    let snapshot = newest(&place);
    let (id, foreign_id) = (job(&place)["job"]["id"].clone(), snapshot["foreign_id"].as_str().unwrap().to_owned());
    let source = place.source().display().to_string();
    let names = ["HOOK", "ITEM", "JOB_ID", "ATTEMPT", "PLAN", "OUTCOME", "SNAPSHOT_ID", "SOMETHING", "DATA_DIR"];
    let heard = |path: &PathBuf| names.map(|name| told(path, &format!("BACKSTAY_{name}")));
    let some = |text: &str| Some(text.to_owned());
    let common = [some(&source), some(id.as_str().unwrap()), some("1"), some(&plan)];
    let [item, job_id, attempt, of_plan] = common.clone();
    assert_eq!(heard(&before), [some("before"), item, job_id, attempt, of_plan, None, None, None, None]);
    let [item, job_id, attempt, of_plan] = common;
    let [outcome, saved] = [some("complete"), some(&foreign_id)];
    assert_eq!(heard(&after), [some("after"), item, job_id, attempt, of_plan, outcome, saved, None, None]);
    assert!(!failure.exists());
    for restic in restics() {
        assert!(place.restic(&restic, &["ls", &foreign_id]).contains("/made"), "it ran before anything was read");
    }
    let shown = place.run(&["plan", "show", &plan]).out;
    assert!(shown.contains("after_failure: sh -c") && shown.contains("stall_limit"), "{shown}");
    let wrong = place.run(&["plan", "update", &plan, "--hook-before", r#"[""]"#]);
    assert!(wrong.code != Some(0) && wrong.err.contains("backup.hooks.before.command"), "{wrong:?}");
    let wrong = place.run(&["plan", "update", &plan, "--hook-before", "echo $HOME"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("no shell reads it"), "{wrong:?}");
    let none = place.json(&["plan", "update", &plan, "--hook-before", "", "--hook-time-limit", "90s"]);
    let left = &none["backup"]["hooks"];
    assert_eq!((&left["before"], &left["after"]["time_limit_ms"]), (&Value::Null, &json!(90_000)));
}

/// Red when a hook that failed lets the backup go on, or when what it started outlives it.
#[test]
fn a_hook_that_fails_before_stops_the_backup() {
    let (place, plan) = place();
    let (failure, child) = (place.path("failure"), place.path("child"));
    let slow = format!("sleep 1000 & echo $! > {}; wait", child.display());
    let cases = [
        (
            "10m",
            "seq 5000 >&2; echo no room >&2; exit 7",
            "the hook before (sh) failed: the command exited with 7 and said: ",
        ),
        ("3s", slow.as_str(), "longer than its time limit of 3 s"),
    ];
    let had = count(&place);
    for (limit, script, words) in cases {
        hooks(&place, &plan, &[("before", script), ("after-failure", &told_to(&failure))]);
        place.json(&["plan", "update", &plan, "--hook-time-limit", limit]);
        let ran = place.run(&["plan", "run", &plan, "--wait"]);
        assert!(ran.code != Some(0), "{ran:?}");
        let failed = job(&place)["job"].clone();
        let message = failed["message"].as_str().unwrap();
        assert_eq!((&failed["state"], &failed["failure_class"]), (&json!("failed"), &json!("hook")), "{failed}");
        assert!(message.contains(words) && message.len() < 6_000, "{message}");
        assert_eq!(
            (told(&failure, "BACKSTAY_OUTCOME"), told(&failure, "BACKSTAY_FAILURE")),
            (Some("failed".into()), Some("hook".into()))
        );
        fs::remove_file(&failure).unwrap();
    }
    assert!(!runs(&fs::read_to_string(child).unwrap()), "its whole group was ended");
    assert_eq!(count(&place), had);
    // A hook that does not exist says so, and a failing one behind it too.
    let gone = r#"["/nowhere/freeze"]"#;
    hooks(&place, &plan, &[("after-failure", "exit 9")]);
    place.json(&["plan", "update", &plan, "--hook-before", gone]);
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert!(ran.code != Some(0), "{ran:?}");
    let message = job(&place)["job"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("/nowhere/freeze") && message.contains("after_failure (sh) failed: the command exited with 9"),
        "{message}"
    );
}

/// Red when a failing `after` fails the job, or is told to nobody.
#[test]
fn a_hook_that_fails_after_leaves_the_snapshot_good_and_warns() {
    let (place, plan) = place();
    let had = count(&place);
    hooks(&place, &plan, &[("after", "echo busy >&2; exit 4")]);
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("warning: the hook after (sh) failed: the command exited with 4 and said: busy"),
        "{ran:?}"
    );
    let (snapshot, shown) = (newest(&place), job(&place));
    assert_eq!((count(&place), &snapshot["is_good"]), (had + 1, &json!(true)));
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 1, "{shown}");
    let log = place.run(&["job", "log", shown["job"]["id"].as_str().unwrap()]).out;
    assert!(log.contains("warned: the hook after (sh) failed"), "{log}");
}

/// Red when an agent runs what its owner did not allow, or says nothing of it.
#[test]
fn an_agent_whose_owner_allows_no_commands_runs_no_hook() {
    let (place, plan) = place();
    let mark = place.path("mark");
    let script = format!("touch {}", mark.display());
    hooks(&place, &plan, &[("before", &script), ("after", &script), ("after-failure", &script)]);
    let had = count(&place);
    let mut command = place.command(&["plan", "run", &plan, "--wait"]);
    let ran = Ran::of(command.env("BACKSTAY_AGENT_COMMANDS", "false"));
    assert!(ran.code != Some(0) && ran.out.contains("agent.commands"), "{ran:?}");
    assert_eq!((mark.exists(), count(&place)), (false, had));
}

/// A hook that turns the machine off, as far as its agent can tell. Red when what was published is not noted before the hook.
#[test]
fn a_snapshot_is_not_lost_with_the_agent_that_runs_its_hook() {
    let (place, plan) = place();
    let had = count(&place);
    let ran_at = place.path("ran");
    hooks(&place, &plan, &[("after", &format!("echo x >> {}; kill -9 $PPID; sleep 1", ran_at.display()))]);
    fs::write(place.source().join("new"), "new").unwrap();
    let killed = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(killed.code, None, "{killed:?}");
    assert_eq!(count(&place), had, "nobody has heard of it yet");
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read_to_string(&ran_at).unwrap(), "x\n", "no hook ran twice");
    assert_eq!(count(&place), had + 1);
    assert!(ran.out.contains("an earlier attempt ended in its hook after"), "{ran:?}");
    let shown = job(&place);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 2, "{shown}");
    for restic in restics() {
        let listed: Value = serde_json::from_str(&place.restic(&restic, &["snapshots", "--json"])).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), had + 1, "it was not made twice");
    }
}

fn spawned(place: &Place, arguments: &[&str]) -> Child {
    place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Red when a cancel leaves a hook running, or leaves out what tidies up.
#[test]
fn a_cancel_ends_the_hook_and_tidies_up() {
    let (place, plan) = place();
    let (child, failure) = (place.path("child"), place.path("failure"));
    let deaf = format!("trap '' TERM; sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", child.display());
    hooks(&place, &plan, &[("before", &deaf), ("after-failure", &told_to(&failure))]);
    let mut running = spawned(&place, &["plan", "run", &plan, "--wait"]);
    wait_until("the hook", || child.exists());
    let pid = fs::read_to_string(&child).unwrap();
    assert!(runs(&pid));
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    running.wait().unwrap();
    assert!(!runs(&pid));
    assert_eq!(told(&failure, "BACKSTAY_OUTCOME").as_deref(), Some("cancelled"));
    assert_eq!(job(&place)["job"]["state"], json!("cancelled"));
}

/// Hooks and stall limits in files: what is said comes back, and what is wrong is named with its line.
#[test]
fn hooks_are_declared_in_files() {
    let (place, plan) = place();
    hooks(&place, &plan, &[("before", "sync"), ("after-failure", "date")]);
    place.json(&["plan", "update", &plan, "--stall-limit", "2h", "--hook-time-limit", "2m"]);
    let text = place.run(&["export"]).out;
    assert!(text.contains("stall_limit: 2h") && text.contains("time_limit: 2m"), "{text}");
    let file = place.path("all.yaml");
    fs::write(&file, &text).unwrap();
    let again = place.run(&["apply", "-f", file.to_str().unwrap()]);
    assert!(again.code == Some(0) && again.out.contains("nothing to change"), "{again:?}\n{text}");
    fs::write(&file, text.replace("time_limit: 2m", "time_limit: 3m")).unwrap();
    assert_eq!(place.run(&["apply", "-f", file.to_str().unwrap()]).code, Some(0));
    let said = place.json(&["plan", "show", &plan])["said"]["backup"].clone();
    assert_eq!(
        (&said["hooks"]["before"]["time_limit_ms"], &said["stall_limit_ms"]),
        (&json!(180_000), &json!(7_200_000))
    );
    fs::write(&file, text.replace("stall_limit: 2h", "stall_limit: 1s")).unwrap();
    let wrong = place.run(&["apply", "-f", file.to_str().unwrap()]);
    assert!(wrong.code != Some(0) && wrong.err.contains("all.yaml:"), "{wrong:?}");
}

/// A source that hangs is stopped, said to have hung, and what it started is ended. Red when nobody looks for progress.
#[test]
fn a_backup_that_makes_no_progress_is_stopped() {
    let (place, _) = place();
    let (child, failure) = (place.path("child"), place.path("failure"));
    let script = format!("echo data; sleep 1000 & echo $! > {}; wait", child.display());
    let text = format!(
        "sources: {{hangs: {{kind: command, settings: {{argv: [sh, -c, '{script}'], filename: x}}}}}}\n\
         plans: {{hangs: {{source: hangs, repository: local, rpo: 26h, backup: {{stall_limit: 5s, \
         hooks: {{after_failure: {{command: [sh, -c, '{}']}}}}}}}}}}\n",
        told_to(&failure)
    );
    let file = place.path("wanted.yaml");
    fs::write(&file, text).unwrap();
    let applied = place.run(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let mut up = spawned(&place, &["up"]);
    wait_until("the server", || place.data().join("server.json").exists());
    let asked = place.json(&["plan", "run", "hangs"]);
    let id = asked["items"][0]["job_id"].as_str().unwrap().to_owned();
    let shown = || place.json(&["job", "show", &id]);
    wait_until("the end of the first attempt", || shown()["job"]["state"] == "waiting");
    let message = shown()["job"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("made no progress for 5 s"), "{message}");
    assert!(!runs(&fs::read_to_string(&child).unwrap()));
    assert_eq!(told(&failure, "BACKSTAY_FAILURE").as_deref(), Some("stalled"));
    let explained = place.run(&["job", "explain", &id]).out;
    assert!(explained.contains("1 times by stalled"), "{explained}");
    kill_process(Pid::from_child(&up), Signal::TERM).unwrap();
    up.wait().unwrap();
}
