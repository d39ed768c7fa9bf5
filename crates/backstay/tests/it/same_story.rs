//! The command line and the API tell the same story, and no door opens without the token.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use backstay_api::endpoint::Method;
use backstay_api::{ENDPOINTS, Endpoint};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Place;

/// A server that ends with the test, by its own process id.
struct Up {
    child: Child,
    address: String,
    token: String,
}

impl Up {
    fn start(place: &Place) -> Self {
        // One that an earlier process left would be believed before this one has the lock.
        let _ = std::fs::remove_file(place.data().join("server.json"));
        let child = place.command(&["up"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let server = loop {
            assert!(began.elapsed() < Duration::from_secs(30), "the server did not start");
            std::thread::sleep(Duration::from_millis(20));
            let text = std::fs::read_to_string(place.data().join("server.json")).unwrap_or_default();
            if let Ok(server) = serde_json::from_str::<Value>(&text) {
                break server;
            }
        };
        let address = server["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address, token: server["token"].as_str().unwrap().to_owned() }
    }

    /// Makes a plain HTTP request and returns status, content type and body.
    fn request(&self, row: &Endpoint, token: Option<&str>) -> (u16, String, Value) {
        let method = match row.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        };
        let path = row.path.replace("{id}", "00000000-0000-7000-8000-000000000000");
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{bearer}content-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default().to_owned();
        (status, kind, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Up {
    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Returns the exit code once the process has ended; none when it goes on for longer.
    fn ended_within(&mut self, limit: Duration) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn protected() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    place
}

#[test]
fn no_door_opens_without_the_token() {
    let place = protected();
    let up = Up::start(&place);
    for row in ENDPOINTS {
        for token in [None, Some(""), Some("bk_wrong"), Some(&up.token[..up.token.len() - 1])] {
            let (status, kind, problem) = up.request(row, token);
            assert_eq!(kind, "application/problem+json", "{} with {token:?}", row.name);
            // Who brings too many wrong tokens in a minute is told to wait.
            let refused = (status, problem["code"].as_str().unwrap());
            let expected = [(401, "unauthorized"), (429, "too_many_failures")];
            assert!(expected.contains(&refused), "{} with {token:?}: {refused:?}", row.name);
        }
        if row.media() == "text/event-stream" {
            continue; // It does not end.
        }
        let (status, _, body) = up.request(row, Some(&up.token));
        assert!(status != 401 && status != 404 || body["code"] == "not_found", "{}: {status} {body}", row.name);
    }
}

#[test]
fn the_command_line_prints_what_the_api_says() {
    let place = protected();
    let up = Up::start(&place);
    let lists = [
        "tenant_list",
        "repository_list",
        "source_list",
        "plan_list",
        "job_list",
        "snapshot_list",
        "evidence_list",
        "event_list",
    ];
    for name in lists {
        let row = ENDPOINTS.iter().find(|row| row.name == name).unwrap();
        let (status, _, api) = up.request(row, Some(&up.token));
        assert_eq!(status, 200, "{name}");
        assert!(!api["rows"].as_array().unwrap().is_empty(), "{name}");
        let verb: Vec<_> = row.verb.split(' ').collect();
        assert_eq!(place.json(&verb), api, "{name}");
        // A table has a line for each row and one above them.
        let table = place.run(&verb).out;
        assert_eq!(table.lines().count(), api["rows"].as_array().unwrap().len() + 1, "{table}");
    }
}

#[test]
fn a_client_in_mid_request_does_not_hold_the_end() {
    let place = protected();
    let begin = || {
        let up = Up::start(&place);
        // Whole connections are taken in by now, so the next one is too.
        place.json(&["plan", "list"]);
        let mut stream = TcpStream::connect(&up.address).unwrap();
        stream.write_all(b"POST /api/v1/plans HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n").unwrap();
        // Time to be taken from the queue of connections: one that still waits there holds nobody.
        std::thread::sleep(Duration::from_millis(300));
        up.signal();
        (up, stream)
    };
    let (mut up, _stream) = begin();
    assert_eq!(up.ended_within(Duration::from_secs(15)), Some(0));
    let (mut up, _stream) = begin();
    assert_eq!(up.ended_within(Duration::from_secs(1)), None, "half a request is waited for");
    up.signal();
    assert_eq!(up.ended_within(Duration::from_secs(2)), Some(130), "a second signal ends it at once");
    assert!(!place.json(&["job", "list"])["rows"].as_array().unwrap().is_empty(), "the next command finds it free");
}

#[test]
fn work_asked_of_a_running_server_is_done_by_it() {
    let place = protected();
    let _up = Up::start(&place);
    let asked = place.json(&["plan", "run", "source"]);
    assert_eq!(asked["items"][0]["answer"], "new");
    let waited = place.json(&["plan", "run", "source", "--wait"]);
    assert_eq!(waited["job"]["state"], "succeeded");
    let entries = place.json(&["snapshot", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let listed = place.json(&["snapshot", "ls", &entries, place.source().to_str().unwrap()]);
    assert_eq!(listed["rows"][0]["name"], "a");
    let gone = place.run(&["snapshot", "ls", &entries, "/nowhere"]);
    assert_eq!(gone.code, Some(25), "{}", gone.err);
}

#[test]
fn what_is_declared_wrongly_is_said_by_its_field() {
    let place = protected();
    for (verb, words) in [
        (vec!["source", "create", "x", "--set", "path=relative"], "settings.path: `relative` is not an absolute path"),
        (vec!["source", "create", "X", "--set", "path=/a"], "name: the name `X` has `X` at position 1"),
        (vec!["source", "create", "x", "--kind", "ftp"], "there is no source kind `ftp`; known: filesystem"),
        (vec!["source", "create", "source", "--set", "path=/a"], "there is already a source source"),
        (
            vec!["repository", "create", "x", "--set", "path=/a", "--password-reference", "hunter2"],
            "is not a secret reference",
        ),
        (vec!["plan", "create", "x", "--source", "7", "--repository", "7"], "source_id: `7` is not an id"),
    ] {
        let ran = place.run(&verb);
        assert_eq!(ran.code, Some(20), "{verb:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{verb:?}: {}", ran.err);
    }
}
