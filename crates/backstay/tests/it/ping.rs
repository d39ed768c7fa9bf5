//! Signs of life, out and in: a plan's channel pings a monitor of the same server, and a dead one holds nothing up.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fleet_support::Process;
use crate::show_call::Up;
use crate::support::Place;

/// Longest that an alert or a message is waited for: each loop turns every few seconds.
const WAIT_MAX: Duration = Duration::from_secs(180);

fn up(place: &Place) -> Up {
    let log = std::fs::File::create(place.path("log")).unwrap();
    let child: Child =
        place.command(&["up"]).env("BACKSTAY_LOG", "trace").stderr(log).stdout(Stdio::null()).spawn().unwrap();
    while !place.data().join("server.json").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Up(child)
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Returns the URL that pings go to.
fn url(place: &Place) -> String {
    let server: Value = serde_json::from_slice(&std::fs::read(place.data().join("server.json")).unwrap()).unwrap();
    text(&server, "url").to_owned()
}

/// Red when a crontab's URL is another one after a restart, when a verb takes the port away from `up`, or when a port that is
/// taken keeps `up` from its work or is not said.
#[test]
fn pings_find_the_same_address_after_a_restart() {
    let place = Place::new();
    let start = || {
        let mut up = Process::start(place.command(&["up", "--no-agent"]));
        up.heard("ends it");
        up
    };
    let mut up = start();
    let first = url(&place);
    up.end();
    place.json(&["plan", "list"]);
    let mut up = start();
    assert_eq!(url(&place), first);
    up.kill();
    let other = std::net::TcpListener::bind(first.trim_start_matches("http://")).unwrap();
    let mut up = start();
    let port = first.rsplit(':').next().unwrap().to_owned();
    up.heard(&format!("port {port}, which it had before, is another program's"));
    assert_ne!(url(&place), first);
    up.end();
    drop(other);
    let mut up = start();
    assert_eq!(url(&place), first, "it is free again, and was not forgotten");
    up.end();
}

/// Red when results are not told, when a ping is not taken in, when a dead URL holds a job up, or when a key or a URL is
/// shown anywhere.
#[test]
fn a_plan_pings_a_monitor_and_a_dead_url_holds_nothing_up() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let _ = std::fs::remove_file(place.data().join("server.json"));
    let _up = up(&place);
    let server: Value = serde_json::from_slice(&std::fs::read(place.data().join("server.json")).unwrap()).unwrap();
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    let monitor = place.json(&["monitor", "create", "hc", "--schedule", "every 24h", "--grace", "30m"]);
    assert_eq!((text(&monitor, "state"), text(&monitor, "schedule")), ("new", "every 24h"));
    let key = place.json(&["token", "create", "pings", "--role", "pinger", "--tenant", "default"]);
    let key = text(&key, "secret").to_owned();
    let channel = |name: &str, url: &str| {
        let (file, secret) = (place.path("url"), format!("channel-{name}"));
        std::fs::write(&file, url).unwrap();
        place.json(&["secret", "put", &secret, "--from-file", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        let settings = [format!("url=sealed:{secret}"), format!("plan={}", text(&plan, "name"))];
        let call = ["channel", "create", name, "--kind", "ping", "--tenant", "default"];
        place.json(&[&call[..], &["--set", &settings[0], "--set", &settings[1]]].concat())
    };
    let own = channel("own", &format!("{}/ping/{key}/hc", text(&server, "url")));
    let dead = channel("dead", "http://127.0.0.1:1/hunter2");
    assert_eq!(place.run(&["channel", "test", text(&own, "id")]).code, Some(0));
    let refused = place.run(&["channel", "test", text(&dead, "id")]);
    assert!(refused.code != Some(0) && refused.err.contains("http://127.0.0.1:1"), "{refused:?}");
    let state = || text(&place.json(&["monitor", "show", "hc"]), "state").to_owned();
    assert_eq!(state(), "new", "a test turns nothing green");
    assert_eq!(place.run(&["plan", "run", text(&plan, "id")]).code, Some(0));
    until("the monitor is up", || state() == "up");
    // Its source is gone: what fails is told, and told on.
    std::fs::rename(place.source(), place.path("elsewhere")).unwrap();
    place.run(&["plan", "run", text(&plan, "id")]);
    until("the monitor is down", || state() == "down");
    let alerts = || place.json(&["alert", "list"])["rows"].to_string();
    until("the monitor's alert", || alerts().contains("monitor hc failed"));
    let pings = place.run(&["monitor", "pings", "hc"]);
    assert!(pings.out.contains("fail") && pings.out.contains("success") && pings.out.contains("log"), "{pings:?}");
    let shown = [vec!["channel", "list"], vec!["token", "list"], vec!["secret", "list"], vec!["alert", "list"]];
    let mut all: String = shown.into_iter().map(|call| place.json(&call).to_string()).collect();
    all.push_str(&refused.err);
    all.push_str(&std::fs::read_to_string(place.path("log")).unwrap());
    assert!(all.len() > 10_000 && !all.contains("hunter2"), "a URL is a secret");
    assert!(!all.contains(&key), "a key is a secret");
}
