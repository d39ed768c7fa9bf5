//! Backstay speaks: a plan whose source vanishes, real mails about it, its recovery, a digest.

use std::process::{Child, Stdio};
use std::time::Duration;

use backstay_testkit::peers::smtp::{SmtpPeer, smtp, subject};
use serde_json::Value;

use crate::show_call::Up;
use crate::support::Place;

/// Starts the server with a log of everything that it says.
fn up(place: &Place, log: &str) -> Up {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(place.path(log)).unwrap();
    let _ = std::fs::remove_file(place.data().join("server.json"));
    let child: Child =
        place.command(&["up"]).env("BACKSTAY_LOG", "debug").stderr(log).stdout(Stdio::null()).spawn().unwrap();
    while !place.data().join("server.json").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Up(child)
}

/// Declares a mail channel whose secrets lie where channels' secrets lie.
fn channel(place: &Place, peer: &SmtpPeer, to: &str, digest: &str) -> String {
    let keys = place.data().join("keys/channels");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(keys.join("mail"), &peer.password).unwrap();
    std::fs::write(keys.join("ca.pem"), &peer.ca).unwrap();
    let settings = peer.settings(to, "file:keys/channels/mail", "file:keys/channels/ca.pem");
    let settings: Vec<String> =
        settings.as_object().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut call = vec!["channel", "create", "mail", "--kind", "smtp", "--severity", "warning", "--digest", digest];
    for setting in &settings {
        call.extend(["--set", setting.as_str()]);
    }
    place.json(&call)["id"].as_str().unwrap().to_owned()
}

fn alerts(place: &Place) -> Vec<Value> {
    place.json(&["alert", "list"])["rows"].as_array().unwrap().clone()
}

/// Returns a mail's HTML as a browser shows it, quoted-printable undone.
fn html(mail: &str) -> String {
    let (_, part) = mail.split_once("text/html").unwrap();
    let (head, body) = part.split_once("\r\n\r\n").unwrap();
    let body = body.split("\r\n--").next().unwrap();
    match head.contains("quoted-printable") {
        true => body.replace("=\r\n", "").replace("=3D", "="),
        false => body.replace("\r\n", "\n"),
    }
}

/// Red when the watcher, the follower, the digest or the notifier does not run, or when one of them tells twice.
#[test]
fn a_source_that_vanishes_is_told_by_mail_and_so_is_its_return() {
    let Some(peer) = smtp() else { return };
    let (place, to) = (Place::new(), peer.receiver());
    let source = place.path("a<script>b");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    assert_eq!(place.run(&["quickstart", source.to_str().unwrap()]).code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    let (id, name) = (plan["id"].as_str().unwrap(), plan["name"].as_str().unwrap());
    place.json(&["call", "plan_update", id, "--body", r#"{"rpo_ms":60000}"#]);
    let refused = place.run(&[
        "channel",
        "create",
        "x",
        "--kind",
        "webhook",
        "--set",
        "url=https://a.example/",
        "--set",
        "secret=file:keys/local.key",
    ]);
    assert!(refused.code != Some(0) && refused.err.contains("keys/channels/"), "{}", refused.err);
    // The digest is due at a full minute, a minute from now or later: what goes wrong until then is in it.
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(120);
    let channel = channel(&place, peer, &to, &format!("daily {} UTC", due.strftime("%H:%M")));
    let tested = place.run(&["channel", "test", &channel]);
    assert_eq!(tested.code, Some(0), "{}", tested.err);
    assert!(peer.wait_for(&to, "Test of channel mail").contains("[test]"));

    std::fs::rename(&source, place.path("away")).unwrap();
    let server = up(&place, "up.log");
    assert_ne!(place.run(&["plan", "run", name, "--wait"]).code, Some(0));
    let failed = peer.wait_for(&to, "[error] Failed: ");
    assert!(failed.contains("backstay job show "), "{failed}");
    let digest = peer.wait_for(&to, "[digest] default: ");
    assert!(digest.contains("What went wrong"), "{digest}");
    let overdue = peer.wait_for(&to, "[error] Overdue: ");
    assert!(subject(&overdue).contains("a<script>b"), "{}", subject(&overdue));
    let page = html(&overdue);
    assert!(page.contains("a&lt;script&gt;b") && !page.contains("<script"), "{page}");
    assert!(page.contains(&format!("backstay plan run {name}")) && page.contains("newest good snapshot"), "{page}");
    if let Some(kept) = std::env::var_os("BACKSTAY_KEEP_MAILS") {
        for (name, mail) in [("overdue", &overdue), ("digest", &digest), ("failed", &failed)] {
            std::fs::write(std::path::Path::new(&kept).join(format!("{name}.html")), html(mail)).unwrap();
        }
    }

    let live = alerts(&place);
    let topics: Vec<&str> = live.iter().map(|row| row["topic"].as_str().unwrap()).collect();
    assert!(topics.contains(&"overdue") && topics.contains(&"failed") && topics.len() == 2, "{live:?}");
    let known = place.json(&["alert", "acknowledge", live[0]["id"].as_str().unwrap()]);
    assert_eq!(known["acknowledged_by"], "admin on this machine");
    let shown = place.json(&["digest", "show"]);
    assert!(shown["text"].as_str().unwrap().contains("Overdue:"), "{shown}");
    // It dies and comes again: what was told is not told again.
    drop(server);
    let server = up(&place, "up.log");
    std::fs::rename(place.path("away"), &source).unwrap();
    assert_eq!(place.run(&["plan", "run", name, "--wait"]).code, Some(0));
    peer.wait_for(&to, "(was failed)");
    peer.wait_for(&to, "(was overdue)");
    assert!(alerts(&place).is_empty());
    drop(server);
    let count = |words: &str| peer.mails(&to).iter().filter(|mail| subject(mail).contains(words)).count();
    let counts = ["Failed: ", "Overdue: ", "[digest]", "(was failed)", "(was overdue)", "[test]"].map(count);
    assert_eq!((counts, peer.mails(&to).len()), ([1; 6], 6));
    let log = std::fs::read_to_string(place.path("up.log")).unwrap();
    assert!(!log.contains(&peer.password), "a secret is in the log");
}
