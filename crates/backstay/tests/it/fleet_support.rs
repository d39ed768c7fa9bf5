//! A fleet on this machine: replicas of a server on one database, agents that know all of them, and plain HTTP to ask
//! one replica and no other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backstay_testkit::peers::database::TestDatabase;
use serde_json::Value;

use crate::show_call::Up;
use crate::support::{Place, Ran};

/// Longest wait for anything: a lease's end, a rescue and a backup on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// A process of the fleet, ended with the test, and what it said so far.
pub(crate) struct Process {
    pub(crate) up: Up,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a process and reads what it says; returns at once.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    said.lock().unwrap().push(line);
                }
            });
        }
        Self { up: Up(child), said }
    }

    /// Waits for a line that has this in it, and returns what stands behind it, up to a space.
    pub(crate) fn heard(&mut self, part: &str) -> String {
        wait_for(part, || {
            let found = self.said.lock().unwrap().iter().find_map(|line| {
                let (_, rest) = line.split_once(part)?;
                Some(rest.trim().split(' ').next().unwrap_or_default().to_owned())
            });
            let ended = self.up.0.try_wait().unwrap();
            assert!(found.is_some() || ended.is_none(), "it ended without `{part}`: {:?}", self.said.lock().unwrap());
            found
        })
    }

    /// SIGTERM, unless it has ended: an agent gives its jobs back.
    pub(crate) fn end(&mut self) {
        if self.up.0.try_wait().unwrap().is_none() {
            let id = rustix::process::Pid::from_child(&self.up.0);
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
            self.up.0.wait().unwrap();
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.up.0.kill().unwrap();
        self.up.0.wait().unwrap();
    }
}

/// Looks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < WAIT_MAX, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks one server, and returns status, head and body.
pub(crate) fn http(url: &str, request: &str, token: &str, headers: &str, body: &str) -> (u16, String, String) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// A database with its master key, and whoever works on it.
pub(crate) struct Fleet {
    pub(crate) place: Place,
    pub(crate) database: TestDatabase,
    pub(crate) admin: String,
    pub(crate) urls: Vec<String>,
}

impl Fleet {
    /// Prepares a fleet of which nothing runs yet.
    pub(crate) fn new(database: TestDatabase) -> Self {
        let place = Place::new();
        private(&place.path("master.key"), &format!("{}\n", "5e".repeat(32)));
        private(&place.path("database.url"), &format!("{}\n", database.address()));
        Self { place, database, admin: String::new(), urls: Vec::new() }
    }

    /// Returns a verb of `backstay server` on the fleet's database.
    pub(crate) fn server_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&["server"]);
        command.args(arguments).arg("--database-url-file").arg(self.place.path("database.url"));
        command.arg("--master-key-file").arg(self.place.path("master.key")).env("BACKSTAY_LOG", "info");
        // Peers of tests are on this machine.
        command.env("BACKSTAY_PRIVATE_CHANNELS", "true");
        command
    }

    /// Starts a replica without waiting for it.
    pub(crate) fn replica(&self, listen: &str) -> Process {
        Process::start(self.server_command(&["--listen", listen]))
    }

    /// Makes the first admin's token, as an operator does.
    pub(crate) fn first_token(&mut self) {
        let made = Ran::of(&mut self.server_command(&["token", "first"]));
        assert_eq!(made.code, Some(0), "{}", made.err);
        self.admin = made.out.trim().to_owned();
        assert!(self.admin.starts_with("bk_"), "{}", made.err);
    }

    /// Starts an agent that knows all replicas, beginning with this one. Returns it with its id.
    pub(crate) fn agent(&self, token: &str, first: usize) -> (Process, String) {
        let mut urls = self.urls.clone();
        urls.rotate_left(first);
        self.agent_of(token, &urls.join(","))
    }

    /// Starts an agent that knows these servers alone. Returns it with its id.
    pub(crate) fn agent_of(&self, token: &str, servers: &str) -> (Process, String) {
        let mut command = self.place.command(&["agent", "run"]);
        command.env("BACKSTAY_SERVER", servers).env("BACKSTAY_TOKEN", token);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        let mut agent = Process::start(command);
        let id = agent.heard("agent ");
        (agent, id)
    }

    /// Returns a command of an admin, who knows all replicas.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("BACKSTAY_SERVER", self.urls.join(",")).env("BACKSTAY_TOKEN", &self.admin);
        command
    }

    /// Runs a verb with `--json` that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = Ran::of(&mut self.command(&[arguments, &["--json"]].concat()));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// Declares a folder with its plan in the repository; returns the plan's id.
    pub(crate) fn plan(&self, name: &str, folder: &Path, repository: &str, more: &[&str]) -> String {
        let path = format!("path={}", folder.display());
        let source = self.json(&["source", "create", name, "--set", &path]);
        let source = source["id"].as_str().unwrap();
        let words = ["plan", "create", name, "--source", source, "--repository", repository];
        self.json(&[&words[..], more].concat())["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a plan's backup, and returns its job's id.
    pub(crate) fn run(&self, plan: &str) -> String {
        let asked = self.json(&["call", "plan_request", plan]);
        asked["items"][0]["job_id"].as_str().unwrap().to_owned()
    }

    /// Returns a job in detail, as any replica that answers tells it.
    pub(crate) fn job(&self, id: &str) -> Value {
        self.json(&["call", "job_show", id])
    }

    /// Waits until a job's newest attempt works, and returns its agent's id.
    pub(crate) fn at_work(&self, id: &str) -> String {
        wait_for("a job at work", || {
            let detail = self.job(id);
            assert!(detail["job"]["finished_at"].is_null(), "it ended before anything could be killed: {detail}");
            let bytes = detail["progress"]["bytes_done"].as_u64().unwrap_or(0);
            let at_work = detail["job"]["state"] == "leased" && bytes > 0;
            let newest = detail["attempts"].as_array()?.last()?.clone();
            at_work.then(|| newest["agent_id"].as_str().unwrap().to_owned())
        })
    }

    /// Waits until a job has ended, and returns it.
    pub(crate) fn ended(&self, id: &str) -> Value {
        wait_for("a job's end", || {
            let detail = self.job(id);
            (!detail["job"]["finished_at"].is_null()).then_some(detail)
        })
    }

    /// Returns all events of the tenant, in the order of time.
    pub(crate) fn events(&self) -> Vec<Value> {
        let newest_first = self.json(&["event", "list", "--limit", "1000000"])["rows"].as_array().unwrap().clone();
        newest_first.into_iter().rev().collect()
    }
}

/// Writes a file that only its owner reads.
pub(crate) fn private(path: &PathBuf, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}
