//! `backstay up` on PostgreSQL and MariaDB: named by a file or in `.env`, everything that an installation does, and what a
//! wrong name says.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use backstay_testkit::peers::database::{Engine, TestDatabase};
use serde_json::Value;

use crate::failures::said;
use crate::fleet_support::{Process, private};
use crate::support::{Place, Ran, assert_same_tree, make_tree};

/// Where the database's URL is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SaidIn {
    File,
    DotEnv,
}

/// A machine whose rows lie on a server.
struct Machine {
    place: Place,
    database: TestDatabase,
}

impl Machine {
    fn new(database: TestDatabase, said: SaidIn) -> Self {
        let place = Place::new();
        let mut settings = "data_dir: data\nlog: info\n".to_owned();
        if said == SaidIn::File {
            private(&place.path("database.url"), &format!("{}\n", database.address()));
            settings.push_str("server: {database_url_file: database.url}\n");
        } else {
            private(&place.path(".env"), &format!("BACKSTAY_DATABASE_URL='{}'\n", database.address()));
        }
        std::fs::write(place.path("backstay.yaml"), settings).unwrap();
        make_tree(&place.source(), 1);
        Self { place, database }
    }

    /// Returns a command that knows nothing but the file of settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env_remove("BACKSTAY_DATA_DIR").env("BACKSTAY_CONFIG", self.place.path("backstay.yaml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    fn rows(&self, noun: &str) -> Vec<Value> {
        self.json(&[noun, "list"])["rows"].as_array().unwrap().clone()
    }

    /// Starts `up`, and looks whether a password is where others see it.
    fn up(&self) -> Process {
        let mut up = Process::start(self.command(&["up"]));
        up.heard("answers at ");
        let line = std::fs::read(format!("/proc/{}/cmdline", up.up.0.id())).unwrap();
        assert!(!String::from_utf8_lossy(&line).contains(&self.database.address()));
        up
    }

    /// Returns the password in the database's URL.
    fn password(&self) -> String {
        let address = self.database.address();
        let (before, _) = address.split_once("://").unwrap().1.split_once('@').unwrap();
        before.rsplit(':').next().unwrap().to_owned()
    }

    fn finding(&self, what: &str) -> Value {
        let report: Value = serde_json::from_str(&self.run(&["doctor", "--json"]).out).unwrap();
        let all = report["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}: {report:#}")).clone()
    }
}

/// Red when the setting is ignored (rows lie in SQLite then), when a verb without a server looks elsewhere than `up`, when
/// what was sealed or signed does not outlive the process, or when a password is told.
fn story(engine: Engine, said: SaidIn) {
    let Some(server) = engine.up() else { return };
    let machine = Machine::new(server.create(), said);
    let place = &machine.place;
    let ran = machine.run(&["plan", "list"]);
    assert!(ran.code == Some(20) && ran.err.contains("there is no installation in"), "{ran:?}");

    let mut up = machine.up();
    up.heard("its rows lie in ");
    up.heard("server protect --password-file FILE");
    private(&place.path("password"), "correct horse battery\n");
    machine.json(&["secret", "put", "main", "--from-file", place.path("password").to_str().unwrap()]);
    let yaml = format!(
        "repositories: {{main: {{storage: {{kind: local, settings: {{path: {}}}}}, password: 'sealed:main'}}}}\n\
         sources: {{home: {{settings: {{path: {}}}}}, said: {{kind: command, settings: {{argv: ['true'], filename: said}}}}}}\n\
         plans: {{home: {{source: home, repository: main}}, said: {{source: said, repository: main}}}}\n",
        place.path("repository").display(),
        place.source().display()
    );
    std::fs::write(place.path("wanted.yaml"), yaml).unwrap();
    let wanted = place.path("wanted.yaml").display().to_string();
    let ran = machine.run(&["apply", "-f", &wanted]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = machine.run(&["plan", "run", "home", "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // Others may write sources into such a database.
    let ran = machine.run(&["plan", "run", "said", "--wait"]);
    assert!(ran.code != Some(0) && (ran.out + &ran.err).contains("agent.commands"), "a command of whoever was run");
    let snapshot = machine.rows("snapshot")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(machine.run(&["snapshot", "verify", &snapshot]).code, Some(0));
    let finding = machine.finding("database");
    assert!(
        finding["verdict"] == "ok" && finding["says"].as_str().unwrap().contains("backstay@127.0.0.1"),
        "{finding}"
    );
    assert_eq!(machine.finding("master key")["verdict"], "ok");
    let sheet = machine.run(&["recovery", "sheet"]).out;
    assert!(sheet.contains("the database ") && sheet.contains("master.key") && sheet.contains("data/keys"), "{sheet}");
    assert!(!sheet.contains("backstay.sqlite") && !sheet.contains("signing.key"), "{sheet}");
    up.end();
    assert!(!place.data().join("backstay.sqlite").exists(), "rows lie on the server");

    // Without a process that runs, a verb opens the same rows; and `up` goes on with them.
    assert_eq!(machine.rows("snapshot")[0]["id"], snapshot.as_str());
    let mut up = machine.up();
    let out = place.path("restored");
    let ran = machine.run(&["snapshot", "restore", &snapshot, "--target", out.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_same_tree(&place.source(), &out.join(place.source().strip_prefix("/").unwrap()));
    assert_eq!(machine.run(&["snapshot", "verify", &snapshot]).code, Some(0));
    let keys: Vec<String> = machine.rows("evidence").iter().map(|row| key_of(&machine, row)).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "two processes signed with two keys: {keys:?}");
    protected_by_its_own_tools(&machine);
    // Killed, it is followed by one that needs no hand.
    up.kill();
    let mut up = machine.up();
    assert_eq!(machine.run(&["plan", "run", "home", "--wait"]).code, Some(0));
    up.end();
    let said = up.said.lock().unwrap().join("\n");
    let password = machine.password();
    assert!(!said.contains(&password) && !sheet.contains(&password), "{said}");
    let bundle = place.path("bundle");
    assert_eq!(machine.run(&["support-bundle", bundle.to_str().unwrap()]).code, Some(0));
    let found = Ran::of(Command::new("grep").args(["-rlF", "--", &password]).arg(&bundle).arg(place.data()));
    assert_eq!(found.out, "", "the database's password is kept where it should not be");
    // The master key is the installation's: with another one, nothing starts, and what is missing is said.
    std::fs::rename(place.data().join("master.key"), place.path("away")).unwrap();
    let ran = machine.run(&["up"]);
    assert!(ran.code == Some(20) && ran.err.contains("master key"), "{ran:?}");
}

/// Has the database dumped by its own program into a repository, whose sheet says how it comes back.
fn protected_by_its_own_tools(machine: &Machine) {
    private(&machine.place.path("database.password"), &machine.password());
    let file = machine.place.path("database.password").display().to_string();
    let words = ["server", "protect", "--repository", "main", "--password-is-kept"];
    let ran = machine.run(&words);
    assert!(ran.code == Some(20) && ran.err.contains("--password-file FILE"), "{ran:?}");
    let ran = machine.run(&[&words[..], &["--password-file", &file]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let master = machine.place.data().join("master.key");
    assert!(ran.out.contains(&format!("the master key, {}", master.display())), "{}", ran.out);
    assert!(!ran.out.contains("signing.key"), "what signs is in the database: {}", ran.out);
    assert_eq!(machine.finding("own database")["verdict"], "ok");
    let sheet = machine.run(&["recovery", "sheet"]).out;
    assert!(sheet.contains("Make an empty database, and: "), "{sheet}");
}

/// Returns the line `key` of a record.
fn key_of(machine: &Machine, row: &Value) -> String {
    let shown = machine.run(&["evidence", "show", row["id"].as_str().unwrap()]).out;
    shown.lines().find(|line| line.starts_with("key ")).unwrap_or_else(|| panic!("{shown}")).to_owned()
}

#[test]
fn an_installation_lives_on_postgresql() {
    story(Engine::Postgresql, SaidIn::File);
}

#[test]
fn an_installation_lives_on_mariadb() {
    story(Engine::Mariadb, SaidIn::DotEnv);
}

/// Red when `quickstart` or `recover` makes rows in SQLite while settings name a server for them.
#[test]
fn rows_are_made_and_rebuilt_where_settings_say() {
    let Some(server) = Engine::Postgresql.up() else { return };
    let machine = Machine::new(server.create(), SaidIn::File);
    let ran = machine.run(&["quickstart", machine.place.source().to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let made = machine.rows("snapshot")[0]["foreign_id"].clone();
    // The database is gone, and with it all rows: another one takes its place.
    let data = machine.place.data();
    let again = Machine::new(server.create(), SaidIn::DotEnv);
    let path = format!("path={}", data.join("repositories/local").display());
    let key = data.join("keys/local.key").display().to_string();
    let ran = again.run(&["recover", "--set", &path, "--password-file", &key]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(again.rows("snapshot")[0]["foreign_id"], made);
    assert_eq!(again.rows("plan")[0]["name"], "source");
    for place in [&machine.place, &again.place] {
        assert!(!place.data().join("backstay.sqlite").exists(), "rows lie on the server");
    }
}

/// Red when a URL that cannot be used starts something, is told with its password, or does not name the setting.
#[test]
fn a_database_that_cannot_be_had_is_named_with_its_setting() {
    let place = Place::new();
    let refuse = |url: &str, code: i32, words: &str| {
        let mut command = place.command(&["up", "--database-wait", "1"]);
        let ran = Ran::of(command.env("BACKSTAY_DATABASE_URL", url));
        assert_eq!(ran.code, Some(code), "{url}: {ran:?}");
        for words in [words, "server.database_url", "config show"] {
            assert!(ran.err.contains(words), "{url}: `{words}` is not in {}", ran.err);
        }
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    };
    refuse("sqlite:///tmp/rows.sqlite", 20, "Write postgres://");
    let away = "postgres://ann:hunter2@127.0.0.1:9/none";
    let mut command = place.command(&["up", "--database-wait", "1"]);
    let ran = Ran::of(command.env("BACKSTAY_DATABASE_URL", away));
    said("the database server that `backstay up` is told of is not there", &ran);
    refuse(away, 1, "the database postgres://ann@127.0.0.1:9/none cannot be used");
    if let Some(server) = Engine::Postgresql.up() {
        let (before, _) =
            server.create().address().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        refuse(&format!("{before}/backstay_test_not_there"), 20, "Create the database first");
    }
    let ran = place.run(&["up", "--database", "postgres://ann:hunter2@h/d"]);
    assert!(ran.code == Some(20) && ran.err.contains("a password on the command line is seen"), "{ran:?}");
    let ran = place.run(&["up", "--database-url-file", "/nowhere/url"]);
    assert!(ran.code == Some(20) && ran.err.contains("server.database_url_file"), "{ran:?}");
    assert!(!place.data().join("backstay.sqlite").exists(), "nothing was made in its place");
}

/// Red when rows that lie in the data directory are left behind without a word.
#[test]
fn rows_that_are_left_behind_are_said() {
    let Some(server) = Engine::Postgresql.up() else { return };
    let machine = Machine::new(server.create(), SaidIn::File);
    assert_eq!(machine.place.quickstart().code, Some(0), "rows in SQLite");
    let mut up = machine.up();
    up.heard("backstay.sqlite are not used");
    assert_eq!(machine.rows("plan"), Vec::<Value>::new());
    let finding = machine.finding("database");
    assert!(finding["verdict"] == "warn" && finding["says"].as_str().unwrap().contains("are not used"), "{finding}");
    up.end();
    // The setting is not said to a process that wants it: it begins anew, and says so.
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(machine.place.data().join(format!("backstay.sqlite{end}"))).unwrap_or_default();
    }
    let mut forgetful = Process::start(machine.place.command(&["up", "--no-agent"]));
    forgetful.heard("an installation was here, and its rows are not");
    forgetful.end();
    let mut known = Process::start(machine.place.command(&["up", "--no-agent"]));
    known.heard("nothing backs up");
    assert!(!known.said.lock().unwrap().join("\n").contains("an installation was here"));
    known.end();
}

/// Red when the doctor takes what it may not see for what is not there.
#[test]
fn what_may_not_be_seen_is_not_called_gone() {
    let place = Place::new();
    let name = "d".repeat(300);
    let path = place.path(&name).display().to_string();
    for arguments in [&["--data-dir", &path, "plan", "list"][..], &["--data-dir", &path, "doctor"]] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            !ran.err.contains("there is no installation") && !ran.out.contains("there is no installation"),
            "{ran:?}"
        );
    }
    let data = place.data();
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let ran = place.run(&["plan", "list"]);
    assert!(ran.code == Some(20) && ran.err.contains("there is no installation in"), "{ran:?}");
}
