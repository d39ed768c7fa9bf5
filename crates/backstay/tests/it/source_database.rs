//! Sources that are databases, on real ones: dumped while others write, restored, and compared.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_testkit::peers::database::{Engine, TestDatabase};

use crate::support::{Place, Ran, restics};

fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.source()).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    place
}

/// Declares a source and its plan of the same name.
fn declare(place: &Place, kind: &str, settings: &str) {
    let path = place.path("wanted.yaml");
    let text = format!(
        "sources: {{db: {{kind: {kind}, settings: {settings}}}}}\n\
         plans: {{db: {{source: db, repository: local, rpo: 26h}}}}\n"
    );
    fs::write(&path, text).unwrap();
    let ran = place.run(&["apply", "-f", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

/// Backs up while `write` is called again and again.
fn back_up_while(place: &Place, mut write: impl FnMut() + Send) -> Ran {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write();
            }
        });
        let ran = place.run(&["plan", "run", "db"]);
        done.store(true, Ordering::Relaxed);
        ran
    })
}

/// Returns the newest snapshot of an item.
fn snapshot(place: &Place, item: &str) -> String {
    let rows = place.json(&["snapshot", "list"])["rows"].as_array().unwrap().clone();
    let row = rows.iter().find(|row| row["item_name"] == item).unwrap_or_else(|| panic!("no {item}: {rows:?}"));
    row["id"].as_str().unwrap().to_owned()
}

fn restore(place: &Place, id: &str, more: &[&str]) -> Ran {
    place.run(&[&["snapshot", "restore", id], more].concat())
}

fn assert_done(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

fn assert_refused(ran: &Ran, words: &str) {
    let said = format!("{}{}", ran.out, ran.err);
    assert!(ran.code != Some(0) && said.contains(words), "{:?} {said}", ran.code);
}

fn sqlite(database: &Path, sql: &str) -> String {
    let ran = Ran::of(Command::new("sqlite3").args(["-batch", "-cmd", ".timeout 60000"]).arg(database).arg(sql));
    assert_eq!(ran.code, Some(0), "{sql}: {}", ran.err);
    ran.out.trim().to_owned()
}

/// What is written in one transaction is in the copy as a whole or not at all.
///
/// Red when the file is read as it lies there: half of it is in the `-wal` beside it.
#[test]
fn a_database_of_sqlite_is_copied_from_one_moment() {
    let place = place();
    let database = place.path("it's a db.sqlite");
    sqlite(&database, "PRAGMA journal_mode=wal; CREATE TABLE a(n); CREATE TABLE b(n); CREATE TABLE c(x)");
    sqlite(
        &database,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n LIMIT 20000) INSERT INTO c SELECT randomblob(300) FROM n",
    );
    declare(&place, "sqlite", &format!("{{path: \"{}\"}}", database.display()));
    let mut number = 0;
    let ran = back_up_while(&place, || {
        number += 1;
        sqlite(&database, &format!("BEGIN; INSERT INTO a VALUES({number}); INSERT INTO b VALUES({number}); COMMIT"));
    });
    assert_done(&ran);
    let id = snapshot(&place, database.to_str().unwrap());
    let out = place.path("out");
    assert_done(&restore(&place, &id, &["--target", out.to_str().unwrap()]));
    let copy = out.join(database.strip_prefix("/").unwrap());
    let whole = "SELECT (SELECT count(*) FROM c) || ' ' || ((SELECT count(*) FROM a) = (SELECT count(*) FROM b))";
    assert_eq!(
        (sqlite(&copy, "PRAGMA integrity_check"), sqlite(&copy, whole)),
        ("ok".to_owned(), "20000 1".to_owned())
    );

    // Back: never over what is there unasked; when asked, what was there stays beside it.
    assert_refused(&restore(&place, &id, &["--to-source"]), "is there already");
    let other = place.path("other.sqlite");
    assert_done(&restore(&place, &id, &["--to-source", "--as", other.to_str().unwrap()]));
    assert_eq!(sqlite(&other, whole), "20000 1");
    sqlite(&database, "DELETE FROM c");
    assert_done(&restore(&place, &id, &["--to-source", "--reconciliation", "overwrite"]));
    assert_eq!(sqlite(&database, whole), "20000 1");
    let aside = PathBuf::from(format!("{}.before-1", database.display()));
    assert_eq!(sqlite(&aside, "SELECT count(*) FROM c"), "0");
    let left = |path: &Path| {
        fs::read_dir(path).unwrap().flatten().any(|entry| entry.file_name().to_string_lossy().contains(".backstay-"))
    };
    assert!(!left(database.parent().unwrap()), "nothing half is left");
}

/// Red when a copy is saved that SQLite would not take, or when something that is no database is saved as one.
#[test]
fn a_database_of_sqlite_that_is_harmed_makes_no_snapshot() {
    let place = place();
    let database = place.path("harmed.sqlite");
    sqlite(&database, "CREATE TABLE c(x); CREATE INDEX i ON c(x)");
    sqlite(
        &database,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n LIMIT 2000) INSERT INTO c SELECT hex(randomblob(100)) FROM n",
    );
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xee);
    fs::write(&database, bytes).unwrap();
    declare(&place, "sqlite", &format!("{{path: {}}}", database.display()));
    let before = place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len();
    assert_refused(&place.run(&["plan", "run", "db"]), "integrity_check");
    fs::write(&database, "no database, but some text that is long enough").unwrap();
    assert_refused(&place.run(&["plan", "run", "db"]), "not a database");
    fs::remove_file(&database).unwrap();
    assert_refused(&place.run(&["plan", "run", "db"]), "does not exist");
    assert!(!database.exists(), "a look makes no database");
    assert_eq!(place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len(), before);
}

/// A server of a test: where it is, and a file with its password.
struct Server {
    database: TestDatabase,
    name: String,
    password: String,
    settings: String,
}

impl Server {
    fn up(engine: Engine, place: &Place) -> Option<Self> {
        let database = engine.up()?.create();
        let address = database.address();
        let (head, name) = address.rsplit_once('/').unwrap();
        let password = head.split_once("backstay:").unwrap().1.rsplit_once('@').unwrap().0.to_owned();
        let file = place.path("password");
        fs::write(&file, format!("{password}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let name = name.to_owned();
        let settings = format!(
            "{{databases: [{name}], host: 127.0.0.1, port: {}, user: backstay, password_file: {}}}",
            database.port(),
            file.display()
        );
        Some(Self { name, password, settings, database })
    }

    /// Has a statement done in a database.
    fn sql(&self, database: &str, sql: &str) -> String {
        let port = self.database.port().to_string();
        let mut command = match self.database.engine() {
            Engine::Postgresql => {
                let mut command = Command::new("psql");
                command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port]);
                command.args(["-U", "backstay", "-d", database, "-c", sql]).env("PGPASSWORD", &self.password);
                command
            }
            Engine::Mariadb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "-N", "-B", "-h", "127.0.0.1", "-P", &port, "-u", "backstay"]);
                command.args(["-D", database, "-e", sql]).env("MYSQL_PWD", &self.password);
                command
            }
        };
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{sql}: {}", ran.err);
        ran.out.trim().to_owned()
    }
}

/// Dumps while rows are written in pairs, restores into a new database, compares, and looks at what is refused.
fn a_server_s_database_goes_and_comes_back(engine: Engine, ending: &str, always: &str) {
    let place = place();
    let Some(server) = Server::up(engine, &place) else { return };
    let name = server.name.clone();
    server.sql(&name, "CREATE TABLE a(n int); ");
    server.sql(&name, "CREATE TABLE b(n int)");
    server.sql(&name, "CREATE TABLE c(n int, t varchar(99))");
    for number in 0..20 {
        server.sql(&name, &format!("INSERT INTO c VALUES ({number}, 'ä quoted '' \\\\ {number}')"));
    }
    declare(&place, if engine == Engine::Postgresql { "postgresql" } else { "mariadb" }, &server.settings);
    let ran = back_up_while(&place, || {
        server.sql(&name, "BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT");
    });
    assert_done(&ran);
    let id = snapshot(&place, &format!("{name}{ending}"));
    let new = format!("{name}_restored");
    let dropped = || server.sql(always, &format!("DROP DATABASE IF EXISTS {new}"));
    dropped();
    assert_done(&restore(&place, &id, &["--to-source"]));
    let rows = "SELECT count(*), min(n), max(n), max(t) FROM c";
    assert_eq!(server.sql(&new, rows), server.sql(&name, rows));
    let pairs = "SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM b)";
    assert_eq!(server.sql(&new, pairs), "0");
    // It is there now, and is not written over unasked.
    server.sql(&new, "DELETE FROM c");
    assert_refused(&restore(&place, &id, &["--to-source"]), "exists");
    assert_eq!(server.sql(&new, "SELECT count(*) FROM c"), "0");
    assert_done(&restore(&place, &id, &["--to-source", "--as", &new, "--reconciliation", "overwrite"]));
    assert_eq!(server.sql(&new, "SELECT count(*) FROM c"), "20");
    dropped();

    // A wrong password is said to be one, and is nowhere to be read.
    let before = place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len();
    fs::write(place.path("password"), "hunter2-wrong").unwrap();
    let ran = place.run(&["plan", "run", "db"]);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(ran.code == Some(20), "{said}");
    assert!(said.contains("password authentication failed") || said.contains("Access denied"), "{said}");
    assert!(!said.contains("hunter2") && !place.json(&["job", "list"]).to_string().contains("hunter2"));
    assert_eq!(place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len(), before);
    for restic in restics() {
        place.restic(&restic, &["check", "--read-data"]);
    }
}

#[test]
fn a_database_of_postgresql_goes_and_comes_back() {
    a_server_s_database_goes_and_comes_back(Engine::Postgresql, ".dump", "postgres");
}

#[test]
fn a_database_of_mariadb_goes_and_comes_back() {
    a_server_s_database_goes_and_comes_back(Engine::Mariadb, ".sql", "mysql");
}
