//! `backstay up` as a service: what `install` writes, and what the manager is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::fleet_support::Process;
use crate::support::{BINARY, Place, Ran};

/// Runs `install` below a prefix.
fn install(place: &Place, more: &[&str]) -> Ran {
    let mut command = place.command(&["install", "--prefix", place.path("root").to_str().unwrap()]);
    Ran::of(command.args(more).env("HOME", place.path("home")).env_remove("XDG_CONFIG_HOME"))
}

fn changes(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let files = told["files"].as_array().unwrap();
    files.iter().map(|file| file["change"].as_str().unwrap().to_owned()).collect()
}

/// Lets systemd judge a unit, where there is one: `./check` says when there is none.
fn judged(unit: &Path, of: &[&str]) {
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").args(of).arg(unit).output() else {
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("backstay")).collect();
    assert!(ours.is_empty(), "{said}");
}

/// Red when a dry run writes, when a second install changes something, or when one takes away what was there.
#[test]
fn install_writes_once_what_a_dry_run_says() {
    let place = Place::new();
    let root = place.path("root");
    let (unit, config) = (root.join("etc/systemd/system/backstay.service"), root.join("etc/backstay/backstay.yaml"));
    let dry = install(&place, &["--dry-run"]);
    assert!(dry.code == Some(0) && dry.out.contains("would be made") && dry.out.contains("WatchdogSec="), "{dry:?}");
    assert!(!root.exists(), "a dry run writes nothing");

    assert_eq!(changes(&install(&place, &["--json"])), ["make", "make"]);
    let text = std::fs::read_to_string(&unit).unwrap();
    let start = format!("ExecStart=\"{BINARY}\" --config \"/etc/backstay/backstay.yaml\" up\n");
    assert!(text.contains(&start) && text.contains("Type=notify\n"), "{text}");
    judged(&unit, &[]);
    let mut shown = place.command(&["config", "show", "--json"]);
    let shown = Ran::of(shown.env_remove("BACKSTAY_DATA_DIR").env("BACKSTAY_CONFIG", &config));
    assert!(shown.code == Some(0) && shown.out.contains("\"/var/lib/backstay\""), "{shown:?}");

    assert_eq!(changes(&install(&place, &["--json"])), ["keep", "keep"]);
    assert!(install(&place, &[]).err.contains("nothing was to be done"));
    std::fs::write(&config, "data_dir: /elsewhere\n").unwrap();
    assert_eq!(changes(&install(&place, &["--json", "--writes", "/srv/backup"])), ["keep", "replace"]);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "data_dir: /elsewhere\n");
    assert_eq!(changes(&install(&place, &["--json"])), ["keep", "keep"], "what it may write stays");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains("\nReadWritePaths=\"-/srv/backup\"\n"), "{text}");
    judged(&unit, &[]);

    std::fs::write(&unit, "[Service]\nExecStart=/mine\n").unwrap();
    let foreign = install(&place, &[]);
    assert!(foreign.code == Some(20) && foreign.err.contains("kept as it is"), "{foreign:?}");
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), "[Service]\nExecStart=/mine\n");
}

#[test]
fn install_makes_a_service_of_a_user() {
    let place = Place::new();
    assert_eq!(changes(&install(&place, &["--user", "--json"])), ["make", "make"]);
    let home = place.path("home/.config");
    let unit = place.path("root").join(home.strip_prefix("/").unwrap()).join("systemd/user/backstay.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("--config \"{}/backstay/backstay.yaml\" up", home.display())), "{text}");
    assert!(text.contains("WantedBy=default.target"), "{text}");
    judged(&unit, &["--user"]);
    assert_eq!(changes(&install(&place, &["--user", "--json"])), ["keep", "keep"]);
    std::fs::write(place.path("file"), "").unwrap();
    let under = place.path("file").display().to_string();
    let ran = Ran::of(&mut place.command(&["install", "--prefix", &under]));
    assert!(ran.code == Some(1) && ran.err.contains("/etc/"), "{ran:?}");
}

/// Red when a package would say another unit or other settings than `install` does, or name a file that nobody makes.
#[test]
fn a_package_has_what_install_writes() {
    let place = Place::new();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stage = place.path("stage");
    let mut staged = Command::new(tree.join("packaging/deb"));
    let ran = Ran::of(staged.arg("--stage").arg(&stage).arg(BINARY));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(install(&place, &["--program", "/usr/bin/backstay"]).code, Some(0));
    for (staged, installed) in
        [("backstay.service", "etc/systemd/system/backstay.service"), ("backstay.yaml", "etc/backstay/backstay.yaml")]
    {
        let read = |file: std::path::PathBuf| std::fs::read_to_string(file).unwrap();
        assert_eq!(read(stage.join(staged)), read(place.path("root").join(installed)));
    }
    let manifest = std::fs::read_to_string(tree.join("crates/backstay/Cargo.toml")).unwrap();
    let assets: Vec<&str> = manifest.lines().filter_map(|line| line.trim().strip_prefix("[\"../../")).collect();
    assert!(assets.len() > 10, "the assets were not understood: {assets:?}");
    for asset in assets {
        let source = asset.split('"').next().unwrap().trim_end_matches('*');
        let file = source.strip_prefix("packaging/stage/").map_or_else(|| tree.join(source), |name| stage.join(name));
        let is_there = if file.is_dir() { file.read_dir().unwrap().count() > 0 } else { file.is_file() };
        assert!(is_there, "{source} is not there");
    }
    // dpkg asks about a file below /etc that both sides changed, and nobody answers an upgrade at night.
    assert!(!manifest.contains("\"etc/"), "the settings are made when there are none, and are no conffile");
}

/// Red when the manager is told too early, gets no signs of life, or is not told of the end.
#[test]
fn the_manager_is_told_of_begin_life_and_end() {
    let place = Place::new();
    let path = place.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let heard = || {
        let mut text = [0; 512];
        let bytes = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..bytes].to_vec()).unwrap()
    };
    let mut command = place.command(&["up", "--no-agent"]);
    let mut up = Process::start({
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").env_remove("WATCHDOG_PID");
        command
    });
    let ready = heard();
    assert!(ready.starts_with("READY=1\nSTATUS=answers at http://127.0.0.1:"), "{ready}");
    // Whoever is told that it is ready may speak to it.
    assert_eq!(place.json(&["plan", "list"])["rows"], serde_json::json!([]));
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    // `systemctl reload`: there is nothing to read anew, and nothing ends.
    let id = rustix::process::Pid::from_child(&up.up.0);
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    for _ in 0..20 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    assert_eq!(up.up.0.try_wait().unwrap(), None);
    up.end();
    let rest = std::iter::from_fn(|| Some(heard())).find(|said| said != "WATCHDOG=1").unwrap();
    assert!(rest.starts_with("STOPPING=1"), "{rest}");

    // A manager that is gone stops nothing.
    drop(manager);
    std::fs::remove_file(&path).unwrap();
    let mut alone = place.command(&["up", "--no-agent"]);
    alone.env("NOTIFY_SOCKET", &path).env("BACKSTAY_LOG", "warn");
    let mut alone = Process::start(alone);
    alone.heard("was not told");
    assert_eq!(place.json(&["plan", "list"])["rows"], serde_json::json!([]));
    alone.end();
}
