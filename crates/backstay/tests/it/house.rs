//! An installation for a story that is the same on each database: `backstay up` on SQLite, a server with an agent on
//! PostgreSQL or MariaDB. What runs in it may be killed as a whole, and started again.

use std::path::PathBuf;
use std::process::Command;

use backstay_testkit::peers::database::Engine;
use serde_json::Value;

use crate::fleet_support::{Fleet, Process, private, wait_for};
use crate::support::{Place, Ran};

/// How long leases hold where somebody is to take over from the dead: the story is not to wait for the usual half minute.
const LEASE_MS: &str = "6000";

/// The installation's database.
enum Base {
    Own(Place),
    Shared(Box<Fleet>),
}

/// An installation, and what runs of it now.
pub(crate) struct House {
    base: Base,
    running: Vec<Process>,
}

impl House {
    /// Prepares an installation on SQLite, or on a server's database; none after a loud skip. Nothing runs yet.
    pub(crate) fn new(engine: Option<Engine>) -> Option<Self> {
        let base = match engine {
            None => Base::Own(Place::new()),
            Some(engine) => Base::Shared(Box::new(Fleet::new(engine.up()?.create()))),
        };
        Some(Self { base, running: Vec::new() })
    }

    /// Returns a path in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place().path(name)
    }

    fn place(&self) -> &Place {
        match &self.base {
            Base::Own(place) => place,
            Base::Shared(fleet) => &fleet.place,
        }
    }

    /// Starts what answers and what works. Whoever works is killed at a place (`backstay-failpoint`), when one is named.
    pub(crate) fn start(&mut self, point: Option<&str>) {
        let point = point.unwrap_or_default();
        match &mut self.base {
            Base::Own(place) => {
                let file = place.data().join("server.json");
                let _ = std::fs::remove_file(&file);
                let mut up = place.command(&["up"]);
                self.running = vec![Process::start({
                    up.env("BACKSTAY_FAIL_POINT", point);
                    up
                })];
                wait_for("an answer", || file.exists().then_some(()));
            }
            Base::Shared(fleet) => {
                let mut server = fleet.server_command(&["--listen", "127.0.0.1:0"]);
                server.env("BACKSTAY_LEASE_MS", LEASE_MS);
                let mut server = Process::start(server);
                fleet.urls = vec![server.heard("answers at ")];
                if fleet.admin.is_empty() {
                    fleet.first_token();
                }
                let token = fleet.json(&["token", "create", &format!("hands-{}", server.up.0.id()), "--role", "agent"]);
                let mut agent = fleet.place.command(&["agent", "run"]);
                agent.env("BACKSTAY_SERVER", &fleet.urls[0]).env("BACKSTAY_TOKEN", token["secret"].as_str().unwrap());
                agent.env("BACKSTAY_LEASE_MS", LEASE_MS).env("BACKSTAY_FAIL_POINT", point);
                let mut agent = Process::start(agent);
                agent.heard("agent ");
                self.running = vec![agent, server];
            }
        }
    }

    /// Waits until whoever works was killed at its place, and kills all else.
    pub(crate) fn crashed(&mut self) {
        wait_for("the end of whoever works", || self.running[0].up.0.try_wait().unwrap());
        self.running.clear();
    }

    /// Returns a command of whoever oversees the installation.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        match &self.base {
            Base::Own(place) => place.command(arguments),
            Base::Shared(fleet) => fleet.command(arguments),
        }
    }

    /// Runs a verb.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs a verb that must succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs a verb with `--json` that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Returns the rows of a list.
    pub(crate) fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        self.json(arguments)["rows"].as_array().unwrap().clone()
    }

    /// Keeps a secret of a tenant.
    pub(crate) fn secret(&self, tenant: &str, name: &str, text: &str) {
        let file = self.path("handed-in");
        private(&file, text);
        self.done(&["secret", "put", name, "--tenant", tenant, "--from-file", file.to_str().unwrap()]);
    }

    /// Has a statement done in the database, past the product: the test's way to let time go by.
    pub(crate) fn sql(&self, sql: &str) {
        let mut command = match &self.base {
            Base::Own(place) => {
                let mut command = Command::new("sqlite3");
                command.args(["-batch", "-cmd", ".timeout 60000"]).arg(place.data().join("backstay.sqlite"));
                command
            }
            Base::Shared(fleet) if fleet.database.engine() == Engine::Postgresql => {
                let mut command = Command::new("psql");
                command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &fleet.database.address(), "-c"]);
                command
            }
            Base::Shared(fleet) => mariadb(fleet),
        };
        let ran = Ran::of(command.arg(sql));
        assert_eq!(ran.code, Some(0), "{sql}: {ran:?}");
    }
}

/// Returns MariaDB's own client on the fleet's database.
fn mariadb(fleet: &Fleet) -> Command {
    let address = fleet.database.address();
    let (head, name) = address.rsplit_once('/').unwrap();
    let password = head.split_once("backstay:").unwrap().1.rsplit_once('@').unwrap().0;
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "-h", "127.0.0.1", "-P", &fleet.database.port().to_string(), "-u", "backstay"]);
    command.args(["-D", name, "-e"]).env("MYSQL_PWD", password);
    command
}
