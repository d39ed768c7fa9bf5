//! Two replicas of a server on one database and two agents, and what is killed under them: every job ends once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use backstay_testkit::peers::database::Engine;
use serde_json::Value;

use crate::fleet_support::{Fleet, Process, http, private};
use crate::support::{Ran, assert_same_tree, make_tree, noise, restics};

/// A database of the engine, or none after a loud skip.
fn fleet(engine: Engine) -> Option<Fleet> {
    engine.up().map(|server| Fleet::new(server.create()))
}

/// Bytes that make a backup long enough to be killed in its middle.
pub(crate) const MUCH: usize = 250 << 20;

const PASSWORD: &str = "correct horse battery";

/// Declares a repository with a sealed password, and returns its id.
pub(crate) fn repository(fleet: &Fleet) -> String {
    let file = fleet.place.path("password");
    private(&file, &format!("{PASSWORD}\n"));
    fleet.json(&["secret", "put", "repository", "--from-file", file.to_str().unwrap()]);
    let path = format!("path={}", fleet.place.path("repository").display());
    let words = ["repository", "create", "main", "--set", &path, "--password-reference", "sealed:repository"];
    fleet.json(&words)["id"].as_str().unwrap().to_owned()
}

/// Runs restic on the repository; it must succeed.
fn restic(fleet: &Fleet, restic: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(restic);
    command.args(["--no-cache", "-r"]).arg(fleet.place.path("repository"));
    let ran = Ran::of(command.args(arguments).env("RESTIC_PASSWORD", PASSWORD));
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Red when `take_over` runs on a database that others share (the second replica's start takes the first one's jobs),
/// without the turn to the next replica in `api/client.rs` (agents and watchers stay with the dead one), when the signing
/// key is not shared (the two replicas' evidence has two keys), and when followers do not come again.
fn story(engine: Engine, much: usize) {
    let Some(mut fleet) = fleet(engine) else { return };
    // Both at once on an empty database: one of them migrates it, and one makes the key that both sign with.
    let mut replicas: Vec<Process> = (0..2).map(|_| fleet.replica("127.0.0.1:0")).collect();
    fleet.urls = replicas.iter_mut().map(|replica| replica.heard("answers at ")).collect();
    fleet.first_token();
    let repository = repository(&fleet);
    let sources = ["much", "little", "clock"].map(|name| fleet.place.path(name));
    for source in &sources {
        std::fs::create_dir(source).unwrap();
        make_tree(source, 1);
    }
    std::fs::write(sources[0].join("noise"), noise(7, much)).unwrap();
    let plans = [
        fleet.plan("much", &sources[0], &repository, &[]),
        fleet.plan("little", &sources[1], &repository, &[]),
        fleet.plan("clock", &sources[2], &repository, &["--cron", "* * * * *"]),
    ];
    let follower = Process::start(fleet.command(&["event", "follow", "--json"]));

    let token = fleet.json(&["token", "create", "hands", "--role", "agent"]);
    let token = token["secret"].as_str().unwrap().to_owned();
    let mut agents: BTreeMap<String, Process> = BTreeMap::new();
    for first in 0..2 {
        let (agent, id) = fleet.agent(&token, first);
        agents.insert(id, agent);
    }

    // A replica dies in the middle of a job: the agent tells the other one, and the attempt is still the first.
    let job = fleet.run(&plans[0]);
    let holder = fleet.at_work(&job);
    replicas[0].kill();
    let ended = fleet.ended(&job);
    assert_eq!((&ended["job"]["state"], ended["attempts"].as_array().unwrap().len()), (&"succeeded".into(), 1));
    assert_eq!(ended["attempts"][0]["agent_id"], holder.as_str());

    // It comes back while a job runs, and takes nothing from anybody. Then the job's agent dies, and the other one does it.
    std::fs::write(sources[0].join("noise"), noise(8, much)).unwrap();
    let job = fleet.run(&plans[0]);
    let little = fleet.run(&plans[1]);
    let holder = fleet.at_work(&job);
    replicas[0] = fleet.replica(fleet.urls[0].trim_start_matches("http://"));
    replicas[0].heard("answers at ");
    let alive = fleet.json(&["agent", "list"]);
    assert_eq!(alive["rows"].as_array().unwrap().len(), 2, "a replica's start ended the agents of others: {alive}");
    agents.get_mut(&holder).unwrap().kill();
    let ended = fleet.ended(&job);
    let attempts = ended["attempts"].as_array().unwrap();
    assert_eq!((&ended["job"]["state"], attempts.len()), (&"succeeded".into(), 2), "{ended}");
    assert_eq!((&attempts[0]["end"], &attempts[1]["end"]), (&"lost".into(), &"finished".into()));
    assert_ne!(attempts[1]["agent_id"], holder.as_str());
    assert_eq!(fleet.ended(&little)["job"]["state"], "succeeded");

    let occurrence = scheduled_once(&fleet, &plans[2]);
    fleet.ended(&occurrence);
    agents.values_mut().for_each(Process::end);
    let hands = one_key_signs(&fleet, &token);
    a_key_is_one_request(&fleet, &plans[1]);
    every_job_ended_once(&fleet);
    a_follower_heard_all(&fleet, &follower);
    plain_restic_restores(&fleet, &sources[..2]);
    for process in replicas.iter().chain(agents.values()).chain([&hands]) {
        let said = process.said.lock().unwrap().join("\n");
        assert!(!said.contains(PASSWORD) && !said.contains(&token) && !said.contains(&fleet.admin), "{said}");
        assert!(!said.contains(&fleet.database.address()), "the database's password is in a log");
    }
}

/// Waits for the schedule's first start, and makes sure that no moment was started twice. Returns the newest job.
fn scheduled_once(fleet: &Fleet, plan: &str) -> String {
    crate::fleet_support::wait_for("a start by schedule", || {
        let jobs = fleet.json(&["call", "job_list", "--query", &format!("plan_id={plan}")]);
        let jobs = jobs["rows"].as_array().unwrap().clone();
        assert!(jobs.iter().all(|job| job["trigger"] == "occurrence"));
        let newest = jobs.first()?["id"].as_str().unwrap().to_owned();
        // An item's job by schedule is told with the moment that it was planned for.
        let mut moments: Vec<String> = fleet
            .events()
            .iter()
            // A start between the two questions is looked at the next time.
            .filter(|event| jobs.iter().any(|job| job["id"] == event["job_id"]))
            .filter_map(|event| event["message"].as_str())
            .filter(|text| text.contains("is due by plan clock"))
            .map(|text| text.split("planned for ").nth(1).unwrap()[..20].to_owned())
            .collect();
        let count = moments.len();
        moments.dedup();
        assert_eq!((moments.len(), jobs.len()), (count, count), "a moment was started twice: {moments:?}");
        Some(newest)
    })
}

/// Has a verify done by an agent of each replica alone, which signs what it is told, and makes sure that the evidence of
/// both has one key. Returns the last agent.
fn one_key_signs(fleet: &Fleet, token: &str) -> Process {
    let snapshots = fleet.json(&["snapshot", "list"]);
    let snapshot = snapshots["rows"][0]["id"].as_str().unwrap();
    let (mut keys, mut hands) = (Vec::new(), None::<Process>);
    for url in &fleet.urls {
        if let Some(before) = &mut hands {
            before.end();
        }
        hands = Some(fleet.agent_of(token, url).0);
        let ran = Ran::of(&mut fleet.command(&["snapshot", "verify", snapshot, "--json"]));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let record = fleet.json(&["evidence", "list"])["rows"][0].clone();
        keys.push(record["public_key"].clone());
    }
    assert!(keys[0].is_string() && keys[0] == keys[1], "replicas sign with keys of their own: {keys:?}");
    hands.unwrap()
}

/// The same request with the same key makes one job, whichever replica is asked.
fn a_key_is_one_request(fleet: &Fleet, plan: &str) {
    let asked: Vec<(u16, String, String)> = (0..4)
        .map(|number| {
            let path = format!("POST /api/v1/plans/{plan}/run");
            http(&fleet.urls[number % 2], &path, &fleet.admin, "idempotency-key: once\r\n", "")
        })
        .collect();
    assert!(asked.iter().all(|(status, _, body)| *status == 202 && *body == asked[0].2), "{asked:?}");
    assert!(!asked[0].1.contains("idempotency-replayed") && asked[1].1.contains("idempotency-replayed: true"));
    let job: Value = serde_json::from_str(&asked[0].2).unwrap();
    fleet.ended(job["items"][0]["job_id"].as_str().unwrap());
}

fn every_job_ended_once(fleet: &Fleet) {
    let jobs = fleet.json(&["call", "job_list", "--query", "limit=500"]);
    let jobs = jobs["rows"].as_array().unwrap();
    let (events, snapshots) = (fleet.events(), fleet.json(&["snapshot", "list", "--limit", "500"]));
    let ends = ["succeeded", "failed", "cancelled", "damaged", "parked"];
    let mut ended = 0;
    for job in jobs.iter().filter(|job| !job["finished_at"].is_null()) {
        let of_job = events.iter().filter(|event| event["job_id"] == job["id"]);
        let count = of_job.filter(|event| ends.contains(&event["kind"].as_str().unwrap())).count();
        assert_eq!((&job["state"], count), (&"succeeded".into(), 1), "{job}");
        let made = snapshots["rows"].as_array().unwrap().iter().filter(|row| row["job_id"] == job["id"]).count();
        assert_eq!(made, usize::from(job["kind"] == "backup"), "{job}");
        ended += 1;
    }
    assert!(ended >= 6, "{jobs:?}");
}

/// Red when a follower does not come again after its replica died, or comes again at another place.
fn a_follower_heard_all(fleet: &Fleet, follower: &Process) {
    let told = fleet.events().len() as u64;
    let heard = crate::fleet_support::wait_for("the follower", || {
        let heard: Vec<u64> = follower.said.lock().unwrap().iter().filter_map(|line| sequence(line)).collect();
        (heard.len() as u64 >= told).then_some(heard)
    });
    assert!(heard.iter().copied().eq(1..=heard.len() as u64), "{heard:?}");
}

fn sequence(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["sequence"].as_u64()
}

fn plain_restic_restores(fleet: &Fleet, sources: &[std::path::PathBuf]) {
    for program in restics().iter().rev().take(1) {
        restic(fleet, program, &["check", "--read-data"]);
        for source in sources {
            let target = fleet.place.path(&format!("restored-{}", source.file_name().unwrap().display()));
            let path = source.to_str().unwrap();
            restic(fleet, program, &["restore", "latest", "--path", path, "--target", target.to_str().unwrap()]);
            assert_same_tree(source, &target.join(path.trim_start_matches('/')));
        }
    }
}

#[test]
fn two_replicas_and_two_agents_on_postgresql() {
    story(Engine::Postgresql, MUCH);
}

#[test]
fn two_replicas_and_two_agents_on_mariadb() {
    story(Engine::Mariadb, MUCH);
}

/// Each mistake in what a server is given is said with what to do, before anything is served, and without a secret.
#[test]
fn a_server_says_what_is_wrong_with_what_it_was_given() {
    let Some(fleet) = fleet(Engine::Postgresql) else { return };
    let place = &fleet.place;
    let refuse = |command: &mut Command, code: i32, parts: &[&str]| {
        let ran = Ran::of(command);
        assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
        parts.iter().for_each(|part| assert!(ran.err.contains(part), "`{part}` is not in: {}", ran.err));
        let (_, rest) =
            fleet.database.address().split_once("://backstay:").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let password = rest.split('@').next().unwrap().to_owned();
        assert!(!ran.err.contains(&password) && !ran.err.contains("hunter2"), "{}", ran.err);
    };
    let address = fleet.database.address();
    let mut typed = place.command(&["server", "--database", &address]);
    refuse(&mut typed, 20, &["a password on the command line", "--database-url-file"]);
    refuse(&mut place.command(&["server"]), 20, &["a server needs a database"]);
    let mut keyless = place.command(&["server"]);
    refuse(keyless.env("BACKSTAY_DATABASE_URL", &address), 20, &["master key", "openssl rand -hex 32"]);
    let with_url = |url: &str| {
        let mut command = fleet.server_command(&["--database-wait", "1"]);
        private(&place.path("database.url"), url);
        command.env("BACKSTAY_LISTEN", "127.0.0.1:0");
        command
    };
    let wrong = address.replace("://backstay:", "://backstay:hunter2");
    refuse(&mut with_url(&wrong), 20, &["the database postgres://backstay@127.0.0.1", "Check user and password"]);
    refuse(&mut with_url(&format!("{address}x")), 20, &["does not exist", "Create the database first"]);
    let away = "postgres://backstay:hunter2@127.0.0.1:1/backstay";
    refuse(&mut with_url(away), 1, &["postgres://backstay@127.0.0.1:1/backstay", "Is the server running"]);
    refuse(&mut with_url("hunter2"), 20, &["Write postgres://USER:PASSWORD@HOST:PORT/DATABASE"]);

    // The right ones, beyond this machine and without TLS.
    let mut open = with_url(&address);
    refuse(open.args(["--listen", "0.0.0.0:0"]), 20, &["this server speaks no TLS", "--plain-http"]);

    // With TLS they listen.
    crate::tls::authority(place, "one");
    let mut safe = with_url(&address);
    safe.args(["--listen", "0.0.0.0:0"]).arg("--tls-certificate").arg(place.path("one.pem"));
    refuse(safe.arg("--tls-key").arg(place.path("gone.key")), 20, &["gone.key cannot be read", "--tls-key"]);
    let mut safe = with_url(&address);
    safe.arg("--tls-certificate").arg(place.path("one.pem")).arg("--tls-key").arg(place.path("one.key"));
    let mut safe = Process::start(safe);
    let url = safe.heard("answers at ");
    let mut asked = place.command(&["agent", "list", "--server", &url]);
    asked.env("BACKSTAY_TOKEN", "bk_wrong").env("BACKSTAY_CA_FILE", place.path("one-ca.pem"));
    let asked = Ran::of(&mut asked);
    assert!(url.starts_with("https://") && asked.err.contains("token"), "{url} {}", asked.err);
    safe.end();

    // Another master key than the one under which the database was begun.
    assert_eq!(Ran::of(&mut fleet.server_command(&["token", "first"])).code, Some(0));
    private(&place.path("master.key"), &"07".repeat(32));
    let mut other = with_url(&address);
    refuse(&mut other, 20, &["the sealed secrets", "is sealed under the master key", "Older keys stand below"]);
    private(&place.path("master.key"), &format!("{}\n{}\n", "07".repeat(32), "5e".repeat(32)));
    assert_eq!(Ran::of(&mut fleet.server_command(&["reseal"])).code, Some(0));
    private(&place.path("master.key"), &"07".repeat(32));
    assert_eq!(Ran::of(&mut fleet.server_command(&["token", "second"])).code, Some(0), "the old key is needed no more");
    private(&place.path("master.key"), "hunter2");
    refuse(&mut with_url(&address), 20, &["a master key is 32 bytes"]);
}
