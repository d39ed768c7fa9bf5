//! Agents that are held in the middle of a job, as by a machine that sleeps, for longer than their lease; another process
//! does the job meanwhile, and then they go on. Nothing is committed twice.

use std::path::Path;
use std::process::Command;

use backstay_testkit::peers::database::Engine;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::failures::is_held;
use crate::fleet_support::{Fleet, Process, http, private, wait_for};
use crate::support::{Ran, noise, restics};

/// How long leases hold: time for all agents of a round to come to their places before the first lease ends.
const LEASE_MS: &str = "24000";

/// Places at which an agent is held, by what follows when it goes on.
const PLACES: [&str; 10] = [
    "pack.before:1",
    "pack.after:1",
    "index.before:1",
    "index.after:1",
    // It writes a snapshot file that nobody waits for.
    "snapshot.before:1",
    "snapshot.before:1",
    // It wrote the file, which the next one may have handed in.
    "snapshot.after:1",
    // It hands in what the next one is at, or has handed in.
    "commit.unasked:1",
    "commit.unasked:1",
    "commit.unasked:1",
];

/// Each place twice: once the agent goes on as soon as another one has its job, once when that one has ended it.
const ROUNDS: usize = 2;

const PASSWORD: &str = "held for longer than a lease";

/// What is there for all agents.
struct Ward {
    fleet: Fleet,
    token: String,
    plans: Vec<String>,
}

/// An agent that stands still, and the job that it has.
struct Sleeper {
    agent: Process,
    job: String,
}

impl Ward {
    fn new(fleet: Fleet) -> Self {
        private(&fleet.place.path("password"), PASSWORD);
        let file = fleet.place.path("password");
        fleet.json(&["secret", "put", "password", "--from-file", file.to_str().unwrap()]);
        let path = format!("path={}", fleet.place.path("repository").display());
        let words = ["repository", "create", "main", "--set", &path, "--password-reference", "sealed:password"];
        let repository = fleet.json(&words)["id"].as_str().unwrap().to_owned();
        let token = fleet.json(&["token", "create", "hands", "--role", "agent"])["secret"].as_str().unwrap().to_owned();
        let declare = |number: usize| {
            let name = format!("plan-{number}");
            let folder = fleet.place.path(&name);
            std::fs::create_dir(&folder).unwrap();
            fleet.plan(&name, &folder, &repository, &[])
        };
        let plans = (0..PLACES.len()).map(declare).collect();
        Self { fleet, token, plans }
    }

    /// Starts an agent, which is held at a place when one is named.
    fn agent(&self, point: &str) -> Process {
        let mut command = self.fleet.place.command(&["agent", "run"]);
        command.env("BACKSTAY_SERVER", &self.fleet.urls[0]).env("BACKSTAY_TOKEN", &self.token);
        command.env("BACKSTAY_LEASE_MS", LEASE_MS).env("BACKSTAY_FAIL_POINT", point);
        Process::start(command)
    }

    /// Asks for a backup, and has an agent held in the middle of it.
    fn sleeper(&self, number: usize, round: usize) -> Sleeper {
        let seed = (round * PLACES.len() + number) as u64;
        std::fs::write(self.fleet.place.path(&format!("plan-{number}")).join("noise"), noise(seed, 60_000)).unwrap();
        let job = self.fleet.run(&self.plans[number]);
        let agent = self.agent(&format!("{}:hold", PLACES[number]));
        wait_for(PLACES[number], || is_held(&agent.up.0).then_some(()));
        Sleeper { agent, job }
    }

    /// Holds an agent at each place, has others do their jobs, and lets them go on. Returns the jobs.
    fn round(&self, round: usize) -> Vec<String> {
        let mut sleepers: Vec<Sleeper> = (0..PLACES.len()).map(|number| self.sleeper(number, round)).collect();
        let mut others = [self.agent(""), self.agent("")];
        for sleeper in &sleepers {
            wait_for("another one's attempt", || {
                let job = self.job(&sleeper.job);
                let goes_on =
                    if round == 0 { job["attempt"].as_i64() > Some(1) } else { !job["finished_at"].is_null() };
                goes_on.then_some(())
            });
            let id = Pid::from_child(&sleeper.agent.up.0);
            kill_process(id, Signal::CONT).unwrap();
        }
        for sleeper in &sleepers {
            wait_for("a job's end", || (!self.job(&sleeper.job)["finished_at"].is_null()).then_some(()));
        }
        // An agent that is told to end does so when nothing is in its hands: what it has to say it has said then.
        sleepers.iter_mut().for_each(|sleeper| sleeper.agent.end());
        others.iter_mut().for_each(Process::end);
        sleepers.into_iter().map(|sleeper| sleeper.job).collect()
    }

    /// Returns a job, as the server tells it without a process between.
    fn job(&self, id: &str) -> Value {
        let asked = format!("GET /api/v1/jobs/{id}");
        let (status, _, body) = http(&self.fleet.urls[0], &asked, &self.fleet.admin, "", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["job"].clone()
    }

    /// Returns the ids that restic knows snapshots by, once it has read all data.
    fn found(&self, restic: &Path) -> Vec<String> {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(restic);
            command.args(["--no-cache", "-r"]).arg(self.fleet.place.path("repository")).args(arguments);
            let ran = Ran::of(command.env("RESTIC_PASSWORD", PASSWORD));
            assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
            ran.out
        };
        run(&["check", "--read-data"]);
        let list: Value = serde_json::from_str(&run(&["snapshots", "--json", "--no-lock"])).unwrap();
        list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Red when a write with an old token is taken (`db/job/held.rs`, `settle.rs`), or when a row is made of a snapshot whose job
/// somebody else has.
#[test]
fn who_slept_past_the_lease_commits_nothing() {
    let Some(server) = Engine::Postgresql.up() else { return };
    let mut fleet = Fleet::new(server.create());
    let mut command = fleet.server_command(&["--listen", "127.0.0.1:0"]);
    let mut replica = Process::start({
        command.env("BACKSTAY_LEASE_MS", LEASE_MS);
        command
    });
    fleet.urls = vec![replica.heard("answers at ")];
    fleet.first_token();
    let ward = Ward::new(fleet);
    let jobs: Vec<String> = (0..ROUNDS).flat_map(|round| ward.round(round)).collect();

    let (events, list) = (ward.fleet.events(), ward.fleet.json(&["snapshot", "list", "--limit", "100"]));
    let snapshots = list["rows"].as_array().unwrap();
    let (mut slept, mut ended_once, mut rows_once) = (0, 0, 0);
    for job in &jobs {
        let detail = ward.fleet.job(job);
        assert_eq!(
            (&detail["job"]["state"], &detail["job"]["outcome"]),
            (&"succeeded".into(), &"complete".into()),
            "{detail:#}"
        );
        let ends: Vec<&str> =
            detail["attempts"].as_array().unwrap().iter().map(|row| row["end"].as_str().unwrap_or("none")).collect();
        assert_eq!(ends.last(), Some(&"finished"), "{detail:#}");
        slept += usize::from(ends[0] == "lost");
        let finished = ends.iter().filter(|end| **end == "finished").count();
        let told = events.iter().filter(|event| event["job_id"] == **job && event["kind"] == "succeeded").count();
        ended_once += usize::from((finished, told) == (1, 1));
        rows_once += usize::from(snapshots.iter().filter(|row| row["job_id"] == **job).count() == 1);
    }
    let all = ROUNDS * PLACES.len();
    assert_eq!((slept, ended_once, rows_once, snapshots.len()), (all, all, all, all), "{snapshots:#?}");
    let Some(restic) = restics().pop() else { return };
    let found = ward.found(&restic);
    let mut shown: Vec<&str> = snapshots.iter().map(|row| row["foreign_id"].as_str().unwrap()).collect();
    shown.sort_unstable();
    shown.dedup();
    assert!(shown.len() == all && shown.iter().all(|id| found.iter().any(|other| other == id)), "{shown:?} {found:?}");
    // What has no row is of those who went on before or after they wrote it, and nobody shows it as good.
    let published =
        ROUNDS * PLACES.iter().filter(|place| place.starts_with("snapshot") || place.starts_with("commit")).count();
    assert!(found.len() <= all + published, "{found:?}");
}
