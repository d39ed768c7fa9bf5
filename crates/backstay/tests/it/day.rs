//! A day in the life: three tenants, eight plans, two storages, a night in which clocks change, a crash, a prune, a drill, a
//! digest by mail, and restores. The same story on SQLite, PostgreSQL and MariaDB.
//!
//! What is not seen here: a schedule that *runs* in such a night, which needs its clock; `backstay-simulation` has years of
//! them. Here the product is asked when it will start. The drill and the digest are brought forward by their rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use backstay_testkit::peers::database::Engine;
use backstay_testkit::peers::s3::{S3Peer, ceph};
use backstay_testkit::peers::smtp::{SmtpPeer, smtp};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::fleet_support::wait_for;
use crate::house::House;
use crate::support::{Ran, assert_same_tree, noise, restics};

const PASSWORD: &str = "a password of the day";

/// How often is looked whether all is done: each look is a process, of which the work itself should not feel anything.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Whose clocks change twice a year.
const ZONE: &str = "America/New_York";

/// Tenants with their plans. Two of them have a plan called `home`.
const TENANTS: [(&str, &[&str]); 3] =
    [("default", &["home", "etc", "srv"]), ("acme", &["home", "web", "mail"]), ("museum", &["photos", "letters"])];

/// Returns the hour in that zone that is farthest away: nothing planned for it comes while a test runs.
fn far_hour(zone: &str) -> i8 {
    let far = Timestamp::now() + SignedDuration::from_hours(12);
    far.in_tz(zone).unwrap().hour()
}

/// What the day goes by.
struct Day {
    house: House,
    ceph: &'static S3Peer,
    mail: &'static SmtpPeer,
    bucket: String,
    to: String,
    /// The date on which the clocks of the zone change next.
    change: Date,
    change_at: Timestamp,
}

fn day(engine: Option<Engine>) {
    let (Some(ceph), Some(mail), Some(house)) = (ceph(), smtp(), House::new(engine)) else { return };
    let zone = TimeZone::get(ZONE).unwrap();
    let change_at = zone.following(Timestamp::now()).next().unwrap().timestamp();
    let change = change_at.to_zoned(zone).date();
    let mut day = Day { house, ceph, mail, bucket: ceph.bucket(), to: mail.receiver(), change, change_at };
    assert_eq!(ceph.request("PUT", &format!("/{}", day.bucket), &[]), 200);
    day.morning();
    day.crash();
    day.upkeep();
    day.digest();
    day.restores();
    day.night_of_the_change();
}

impl Day {
    fn folder(&self, tenant: &str, plan: &str) -> PathBuf {
        self.house.path(&format!("{tenant}-{plan}"))
    }

    /// Returns what a tenant declares: `default` lies in a folder, `acme` in the bucket, `museum` in both.
    fn wanted(&self, tenant: &str, plans: &[&str]) -> Map<String, Value> {
        let local = json!({ "kind": "local", "settings": { "path": self.house.path(&format!("shelf-{tenant}")) } });
        let settings = json!({ "endpoint": self.ceph.endpoint, "bucket": self.bucket, "prefix": tenant });
        let bucket = json!({ "kind": "s3", "settings": settings, "credentials": "sealed:s3" });
        let repository = |storage: &str| json!({ "storage": storage, "path": "kept", "password": "sealed:password" });
        let near = if tenant == "acme" { bucket.clone() } else { local };
        let mut storages = json!({ "near": near });
        let mut repositories = json!({ format!("{tenant}-near"): repository("near") });
        if tenant == "museum" {
            storages["far"] = bucket;
            repositories["museum-far"] = repository("far");
        }
        let (mut sources, mut wanted) = (Map::new(), Map::new());
        for plan in plans {
            let place = if *plan == "letters" { "museum-far".to_owned() } else { format!("{tenant}-near") };
            sources.insert((*plan).to_owned(), json!({ "settings": { "path": self.folder(tenant, plan) } }));
            wanted.insert((*plan).to_owned(), json!({ "source": plan, "repository": place, "template": "nightly" }));
        }
        let schedule = json!({ "cron": format!("30 {} * * *", far_hour(ZONE)), "time_zone": ZONE });
        let nightly = json!({ "schedule": schedule, "rpo": "26h", "retention": { "keep_last": 1 } });
        let sections = [
            ("storages", storages),
            ("repositories", repositories),
            ("sources", sources.into()),
            ("templates", json!({ "nightly": nightly })),
            ("plans", wanted.into()),
        ];
        sections.map(|(name, section)| (name.to_owned(), section)).into_iter().collect()
    }

    /// Declares everything in one file, of which nothing is left to do afterwards.
    fn morning(&mut self) {
        // It dies where the last snapshot of the second round would be written.
        self.house.start(Some("snapshot.before:16"));
        let key = self.ceph.key();
        let key = json!({ "access_key_id": key.id, "secret_access_key": key.secret.expose_secret() }).to_string();
        for (tenant, plans) in TENANTS {
            if tenant != "default" {
                self.house.done(&["tenant", "create", tenant]);
            }
            self.house.secret(tenant, "password", PASSWORD);
            self.house.secret(tenant, "s3", &key);
            for (number, plan) in plans.iter().enumerate() {
                fill(&self.folder(tenant, plan), number as u64);
            }
        }
        self.house.secret("acme", "channel-mail", &self.mail.password);
        self.house.secret("acme", "channel-ca", &self.mail.ca);
        let mut file = self.wanted("default", TENANTS[0].1);
        let mut tenants: Map<String, Value> =
            TENANTS[1..].iter().map(|(name, plans)| ((*name).to_owned(), self.wanted(name, plans).into())).collect();
        let settings = self.mail.settings(&self.to, "sealed:channel-mail", "sealed:channel-ca");
        let rules = json!([{ "severity_min": "error", "delivery": "at_once" }]);
        let digest = format!("daily {:02}:00 Europe/Berlin", far_hour("Europe/Berlin"));
        let channel = json!({ "kind": "smtp", "settings": settings, "rules": rules, "digest": digest });
        tenants["acme"]["channels"] = json!({ "people": channel });
        file.insert("tenants".to_owned(), tenants.into());
        let path = self.house.path("day.yaml");
        std::fs::write(&path, Value::from(file).to_string()).unwrap();
        let apply = ["apply", "-f", path.to_str().unwrap()];
        self.house.done(&apply);
        assert_eq!(self.house.done(&apply), "nothing to change\n");
        assert_eq!(self.house.rows(&["plan", "list"]).len(), 8);
        self.house.done(&["channel", "test", "people"]);
        let meant = self.house.run(&["plan", "run", "home"]);
        assert!(meant.code == Some(20) && meant.err.contains("2 are called home"), "whose is not guessed: {meant:?}");
    }

    /// Returns the hour of which half is missing in a night in spring, or comes twice in autumn.
    fn hour(&self) -> i8 {
        if self.change.month() < 7 { 2 } else { 1 }
    }

    /// 02:30 does not exist in one such night, and 01:30 comes twice in the other: each is started once.
    fn night_of_the_change(&self) {
        // Of the month of that night alone: it may be half a year off, and a hundred starts are told at most.
        let cron = format!("30 {} * {} *", self.hour(), self.change.month());
        self.house.done(&["plan", "update", "web", "--cron", &cron, "--time-zone", ZONE]);
        let next = self.house.json(&["plan", "next", "web", "--count", "31"]);
        assert_eq!(next["time_zone"], ZONE);
        let zone = TimeZone::get(ZONE).unwrap();
        let planned = next["next"].as_array().unwrap().iter();
        let planned: Vec<Timestamp> = planned
            .map(|row| row["planned_at"].as_str().unwrap().parse().unwrap())
            .filter(|at: &Timestamp| at.to_zoned(zone.clone()).date() == self.change)
            .collect();
        let first = self.change.at(self.hour(), 30, 0, 0).to_zoned(zone).unwrap().timestamp();
        // What does not exist is started when the hour that is left out is over.
        assert_eq!(planned, [if self.hour() == 2 { self.change_at } else { first }], "{next:#}");
    }

    /// Backs everything up twice; in the second round everything that runs is killed, and started again.
    fn crash(&mut self) {
        // A prune that is due by itself would come between the rounds.
        let tomorrow = Timestamp::now().as_microsecond() + 86_400_000_000;
        self.house.sql(&format!("UPDATE upkeep SET due_at = {tomorrow}"));
        self.house.sql(&format!("UPDATE proof SET due_at = {tomorrow}"));
        self.round();
        assert_eq!(self.finished(8).len(), 8);
        for (tenant, plans) in TENANTS {
            for (number, plan) in plans.iter().enumerate() {
                std::fs::write(self.folder(tenant, plan).join("changed"), noise(100 + number as u64, 90_000)).unwrap();
            }
        }
        self.round();
        self.house.crashed();
        self.house.start(None);
        let jobs = self.finished(16);
        let again = jobs.iter().filter(|job| job["attempt"].as_u64() > Some(1)).count();
        assert!(again > 0, "nothing was in work when it died: {jobs:#?}");
    }

    /// Asks for a backup of each plan.
    fn round(&self) {
        for plan in self.house.rows(&["plan", "list"]) {
            self.house.done(&["call", "plan_request", plan["id"].as_str().unwrap()]);
        }
    }

    /// Waits until there are so many jobs and all have ended well, and returns them.
    fn finished(&self, count: usize) -> Vec<Value> {
        let jobs = wait_for("the end of all jobs", || {
            std::thread::sleep(LOOK_EVERY);
            let jobs = self.house.json(&["call", "job_list", "--query", "limit=100"])["rows"].as_array()?.clone();
            (jobs.len() >= count && jobs.iter().all(|job| job["finished_at"].is_string())).then_some(jobs)
        });
        assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{jobs:#?}");
        assert_eq!(jobs.len(), count, "{jobs:#?}");
        jobs
    }

    /// Prunes and proves each repository: one snapshot of each plan is left, and restores were drilled.
    fn upkeep(&self) {
        let repositories = self.house.rows(&["repository", "list"]);
        let names: Vec<&str> = repositories.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 4);
        assert_eq!(self.house.rows(&["snapshot", "list"]).len(), 16);
        for name in &names {
            self.house.done(&["repository", "prune", name]);
        }
        assert_eq!(self.house.rows(&["snapshot", "list"]).len(), 8);
        let now = Timestamp::now().as_microsecond();
        // As if a third of the budget were over.
        self.house.sql(&format!("UPDATE proof SET due_at = {now}, began_at = {}", now - 10 * 86_400_000_000));
        self.finished(16 + 4 + 4);
        for name in &names {
            let shown = self.house.done(&["repository", "show", name]);
            assert!(
                shown.contains("proved 1 of 30 slices") && shown.contains("a restore drill brought back"),
                "{shown}"
            );
        }
        assert!(self.house.rows(&["evidence", "list"]).iter().all(|row| row["verdict"] == "proved"));
    }

    /// Reads the digest as mail.
    fn digest(&self) {
        self.house.sql(&format!("UPDATE digest SET due_at = {}", Timestamp::now().as_microsecond()));
        let mail = self.mail.wait_for(&self.to, "[digest] acme");
        assert!(mail.contains("6 succeeded") || mail.contains("succeeded 8"), "{mail}");
        assert!(!mail.contains("museum") && !mail.contains(PASSWORD), "{mail}");
    }

    /// Restores a file and everything, and has plain restic do the same, from both kinds of storages.
    fn restores(&self) {
        let snapshots = self.house.rows(&["snapshot", "list"]);
        for (tenant, plan, repository) in
            [("default", "home", self.shelf("default")), ("museum", "letters", self.far("museum"))]
        {
            let folder = self.folder(tenant, plan);
            let of_plan = |row: &&Value| row["item_name"].as_str() == folder.to_str();
            let id = snapshots.iter().find(of_plan).unwrap()["id"].as_str().unwrap();
            let file = folder.join("file-3");
            let one = self.house.path(&format!("{tenant}-one"));
            let words = ["snapshot", "restore", id, "--target", one.to_str().unwrap(), "--include"];
            self.house.done(&[&words[..], &[file.to_str().unwrap()]].concat());
            assert_eq!(
                sums(&below(&one, &folder)).into_iter().collect::<Vec<_>>(),
                [("./file-3".to_owned(), sums(&folder)["./file-3"].clone())]
            );
            let all = self.house.path(&format!("{tenant}-all"));
            self.house.done(&["snapshot", "restore", id, "--target", all.to_str().unwrap()]);
            assert_eq!(sums(&below(&all, &folder)), sums(&folder));
            let theirs = self.house.path(&format!("{tenant}-theirs"));
            let path = folder.to_str().unwrap();
            self.restic(&repository, &["check", "--read-data"]);
            self.restic(&repository, &["restore", "latest", "--path", path, "--target", theirs.to_str().unwrap()]);
            if theirs.exists() {
                assert_same_tree(&folder, &below(&theirs, &folder));
            }
        }
    }

    fn shelf(&self, tenant: &str) -> String {
        self.house.path(&format!("shelf-{tenant}/kept")).display().to_string()
    }

    fn far(&self, tenant: &str) -> String {
        format!("s3:{}/{}/{tenant}/kept", self.ceph.endpoint, self.bucket)
    }

    /// Runs the newest restic on a repository; it must succeed.
    fn restic(&self, repository: &str, arguments: &[&str]) {
        let Some(newest) = restics().pop() else { return };
        let key = self.ceph.key();
        let mut command = Command::new(newest);
        command.args(["--no-cache", "-r", repository]).args(arguments);
        command.env("RESTIC_PASSWORD", PASSWORD).env("AWS_DEFAULT_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", key.secret.expose_secret());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
    }
}

/// Makes a folder of a dozen files, one of them of two blobs.
fn fill(folder: &Path, seed: u64) {
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    for number in 0..12 {
        std::fs::write(folder.join(format!("file-{number}")), noise(seed * 100 + number, 700 * number as usize))
            .unwrap();
    }
    std::fs::write(folder.join("inner/large"), noise(seed + 1, 900_000)).unwrap();
    std::os::unix::fs::symlink("../file-1", folder.join("inner/link")).unwrap();
}

/// Returns the SHA-256 of each file of a tree, by its path.
fn sums(root: &Path) -> BTreeMap<String, String> {
    let ran =
        Ran::of(Command::new("find").args([".", "-type", "f", "-exec", "sha256sum", "{}", "+"]).current_dir(root));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect()
}

/// Returns where restic's layout puts a source below a target.
fn below(target: &Path, source: &Path) -> PathBuf {
    target.join(source.strip_prefix("/").unwrap())
}

#[test]
fn a_day_on_sqlite() {
    day(None);
}

#[test]
fn a_day_on_postgresql() {
    day(Some(Engine::Postgresql));
}

#[test]
fn a_day_on_mariadb() {
    day(Some(Engine::Mariadb));
}
