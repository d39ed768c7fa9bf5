//! PostgreSQL and MariaDB for tests: a server once a machine, a database for each test.
//!
//! The scripts under `testkit/peers/{postgresql,mariadb}` do the work; this calls them and takes the database away at
//! the end of its test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the databases of our tests are called: this, the process, a number.
const PREFIX: &str = "backstay_test";

/// The exit code of `up` on a machine that has no such server.
const NOT_TO_BE_HAD: i32 = 3;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB.
    Mariadb,
}

/// A server that is up.
#[derive(Debug, Clone)]
pub struct Server {
    engine: Engine,
    address: String,
}

/// A database of one test, empty or a copy of a template, dropped at the end.
#[derive(Debug)]
pub struct TestDatabase {
    server: Server,
    name: String,
}

impl Engine {
    const fn folder(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    fn script(self, script: &str) -> Command {
        let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/peers");
        Command::new(peers.join(self.folder()).join(script))
    }

    /// Starts the server if it does not run yet. None when there is none on this machine: the test is skipped, loudly.
    ///
    /// # Panics
    /// When the server does not start, or is not to be had with `CI=true`.
    pub fn up(self) -> Option<Server> {
        static POSTGRESQL: OnceLock<Option<Server>> = OnceLock::new();
        static MARIADB: OnceLock<Option<Server>> = OnceLock::new();
        let once = match self {
            Self::Postgresql => &POSTGRESQL,
            Self::Mariadb => &MARIADB,
        };
        once.get_or_init(|| self.start()).clone()
    }

    fn start(self) -> Option<Server> {
        let up = self.script("up").output().expect("the script can be run");
        let told = String::from_utf8_lossy(&up.stderr);
        if up.status.code() == Some(NOT_TO_BE_HAD) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{told}");
            super::shout(told.trim());
            return None;
        }
        assert!(up.status.success(), "{told}");
        let server = Server { engine: self, address: String::from_utf8_lossy(&up.stdout).trim().to_owned() };
        server.database(&["sweep", PREFIX]);
        Some(server)
    }
}

impl Server {
    /// Returns which server it is.
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// Makes a database for one test.
    pub fn create(&self) -> TestDatabase {
        self.create_from(None)
    }

    /// Makes a database that is a copy of another one, to which nobody is connected. PostgreSQL only.
    pub fn copy(&self, template: &TestDatabase) -> TestDatabase {
        self.create_from(Some(&template.name))
    }

    fn create_from(&self, template: Option<&str>) -> TestDatabase {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("{PREFIX}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut words = vec!["create", &name];
        words.extend(template);
        self.database(&words);
        TestDatabase { server: self.clone(), name }
    }

    fn database(&self, words: &[&str]) {
        let done = self.engine.script("database").args(words).output().expect("the script can be run");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl TestDatabase {
    /// Returns the address of the database, password included.
    pub fn address(&self) -> String {
        format!("{}/{}", self.server.address, self.name)
    }

    /// Returns the address by which the database is reached through another port of this machine.
    pub fn address_through(&self, port: u16) -> String {
        let (before, _) = self.server.address.rsplit_once(':').expect("the script prints a port");
        format!("{before}:{port}/{}", self.name)
    }

    /// Returns the port of the server.
    pub fn port(&self) -> u16 {
        let port = self.server.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("the script prints a port")
    }

    /// Returns which server it is on.
    pub const fn engine(&self) -> Engine {
        self.server.engine
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A database that stays is swept at the next start; a test that failed for its own reason should say that one.
        let _ = self.server.engine.script("database").args(["drop", &self.name]).output();
    }
}
