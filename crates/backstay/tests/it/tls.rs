//! TLS on the whole product: who may be spoken to, whom verbs and agents trust, and a certificate that is renewed.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fleet_support::{Process, private, wait_for};
use crate::show_call::Up;
use crate::support::{Place, Ran};

/// Makes an authority, and with it a certificate for this machine: `NAME-ca.pem`, `NAME.pem`, `NAME.key`.
pub(crate) fn authority(place: &Place, name: &str) {
    let make = |what: &str, subject: &str, extensions: &str, signed: &[&str]| {
        let file = |end: &str| place.path(&format!("{what}.{end}")).display().to_string();
        let told = format!(
            "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={subject}\n[ext]\n{extensions}\n"
        );
        std::fs::write(file("cnf"), told).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args("req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '));
        openssl.args(["-config", &file("cnf"), "-keyout", &file("key"), "-out", &file("pem")]).args(signed);
        let ran = Ran::of(&mut openssl);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let key = std::fs::read_to_string(file("key")).unwrap();
        private(&PathBuf::from(file("key")), &key);
    };
    let ca = format!("{name}-ca");
    make(&ca, &ca, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", &[]);
    let (pem, key) = (place.path(&format!("{ca}.pem")), place.path(&format!("{ca}.key")));
    let names = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1";
    make(name, "localhost", names, &["-CA", pem.to_str().unwrap(), "-CAkey", key.to_str().unwrap()]);
}

/// Returns `up` without an agent, with a certificate.
fn up(place: &Place, listen: &str, name: &str) -> Command {
    let mut command = place.command(&["up", "--no-agent", "--listen", listen]);
    command.arg("--tls-certificate").arg(place.path(&format!("{name}.pem")));
    command.arg("--tls-key").arg(place.path(&format!("{name}.key"))).env_remove("BACKSTAY_LOG");
    command
}

/// A verb of another machine, which trusts this authority, or those of the system.
fn elsewhere(place: &Place, url: &str, token: &str, ca: Option<&str>, verb: &[&str]) -> Command {
    let mut command = place.command(verb);
    command.env("BACKSTAY_DATA_DIR", place.path("elsewhere")).args(["--server", url]).env("BACKSTAY_TOKEN", token);
    if let Some(ca) = ca {
        command.arg("--ca-file").arg(place.path(&format!("{ca}-ca.pem")));
    }
    command
}

fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let mut it = Up(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    // What is not refused goes on, and is ended here.
    let ended = wait_for("a refusal", || it.0.try_wait().unwrap());
    let mut said = String::new();
    it.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(ended.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

/// Red when verbs or agents speak to a server that they need not trust, or when the refusal does not say what to do.
#[test]
fn verbs_and_agents_speak_https_and_trust_an_authority_of_their_own() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "first").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    authority(&place, "one");
    authority(&place, "two");
    let mut server = Process::start(up(&place, "127.0.0.1:0", "one"));
    let url = server.heard("for others it listens at ");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let token = |role: &str| {
        // This machine's own commands ask nobody for a certificate.
        let made = place.json(&["token", "create", role, "--role", role]);
        made["secret"].as_str().unwrap().to_owned()
    };
    let (admin, hands) = (token("admin"), token("agent"));
    let list = Ran::of(&mut elsewhere(&place, &url, &admin, Some("one"), &["plan", "list"]));
    assert!(list.code == Some(0) && list.out.contains("source"), "{list:?}");

    let what_to_do = ["invalid peer certificate", "--ca-file F", "client.ca_file"];
    for ca in [None, Some("two")] {
        refused(&mut elsewhere(&place, &url, &admin, ca, &["plan", "list"]), 1, &what_to_do);
        refused(&mut elsewhere(&place, &url, &hands, ca, &["agent", "run"]), 1, &what_to_do);
    }
    let plain = url.replace("https", "http");
    refused(&mut elsewhere(&place, &plain, &admin, None, &["plan", "list"]), 1, &["http:// or https://"]);
    std::fs::write(place.path("none-ca.pem"), "nothing").unwrap();
    refused(&mut elsewhere(&place, &url, &admin, Some("none"), &["plan", "list"]), 20, &["none-ca.pem cannot be used"]);
    refused(&mut elsewhere(&place, &url, &admin, Some("gone"), &["plan", "list"]), 20, &["gone-ca.pem cannot be read"]);

    let mut agent = elsewhere(&place, &url, &hands, None, &["agent", "run"]);
    agent.env("BACKSTAY_CA_FILE", place.path("one-ca.pem"));
    let mut agent = Process::start(agent);
    agent.heard("agent ");
    let plans = place.json(&["plan", "list"]);
    let plan = plans["rows"][0]["id"].as_str().unwrap();
    let ran = Ran::of(&mut elsewhere(&place, &url, &admin, Some("one"), &["plan", "run", plan, "--wait"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len(), 2);
    agent.end();
    server.end();
}

/// Red when a tenant's channel is let into the network behind a server that others may use, or when one that may go there
/// is not.
#[test]
fn a_tenants_channel_does_not_reach_what_only_the_server_sees() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    authority(&place, "one");
    for folder in ["keys/channels", "keys/channels/default"] {
        let keys = place.data().join(folder);
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::write(keys.join("hook"), "a secret of a hook").unwrap();
    }
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = inside.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    // A visitor is let go at once. The thread ends with the test.
    std::thread::spawn(move || {
        for _visitor in inside.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let came = || visits.swap(0, Ordering::SeqCst) > 0;
    let hook = |name: &str, host: &str, keys: &str, tenant: &[&str]| {
        let (url, secret) = (format!("url=https://{host}:{port}/x"), format!("secret=file:{keys}/hook"));
        let words = ["channel", "create", name, "--kind", "webhook", "--set", &url, "--set", &secret];
        place.json(&[&words, tenant].concat())["id"].as_str().unwrap().to_owned()
    };
    let test = |id: &str| {
        let mut test = place.command(&["channel", "test", id]);
        let ran = Ran::of(&mut test);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        (came(), ran.err)
    };

    let of_tenant = |name: &str, host: &str| hook(name, host, "keys/channels/default", &["--tenant", "default"]);
    let (by_number, by_name) = (of_tenant("number", "127.0.0.1"), of_tenant("name", "localhost"));
    let ours = hook("ours", "127.0.0.1", "keys/channels", &[]);
    let mut server = Process::start(up(&place, "127.0.0.1:0", "one"));
    server.heard("for others it listens at ");
    for id in [&by_number, &by_name] {
        let (came, said) = test(id);
        assert!(!came && said.contains("is no public address") && said.contains("server.private_channels"), "{said}");
    }
    assert!(test(&ours).0, "a channel of the installation goes where it says");
    server.end();

    let mut told = up(&place, "127.0.0.1:0", "one");
    told.env("BACKSTAY_PRIVATE_CHANNELS", "true");
    let mut server = Process::start(told);
    server.heard("for others it listens at ");
    assert!(test(&by_number).0 && test(&by_name).0, "it was allowed");
    server.end();
    // Nobody else is here.
    assert!(test(&by_number).0, "an installation for this machine alone");
}

/// Red when somebody listens beyond the machine in the clear unasked, or when a way out is not said.
#[test]
fn beyond_this_machine_nobody_listens_without_tls_unless_told_so() {
    let place = Place::new();
    authority(&place, "one");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ways = ["this server speaks no TLS", "--tls-certificate", "--tls-key", "--plain-http", "server.plain_http"];
        refused(&mut place.command(&["up", "--listen", address]), 20, &ways);
        assert!(!place.data().exists(), "nothing was begun");
    }
    std::fs::write(place.path("backstay.yaml"), "server: {plain_http: true}\nup: {listen: '0.0.0.0:0'}\n").unwrap();
    let mut told = place.command(&["up"]);
    told.env("BACKSTAY_CONFIG", place.path("backstay.yaml"));
    let mut told = Process::start(told);
    assert!(told.heard("for others it listens at ").starts_with("http://0.0.0.0:"));
    told.end();
    let mut safe = Process::start(up(&place, "0.0.0.0:0", "one"));
    assert!(safe.heard("for others it listens at ").starts_with("https://0.0.0.0:"));
    safe.end();
}

/// Red when files that cannot be used do not stop the start, or when the message does not name the file.
#[test]
fn what_cannot_be_shown_is_told_at_the_start() {
    let place = Place::new();
    authority(&place, "one");
    authority(&place, "two");
    let copy = |from: &str, to: &str| std::fs::copy(place.path(from), place.path(to)).unwrap();
    copy("one.pem", "mixed.pem");
    copy("two.key", "mixed.key");
    refused(
        &mut up(&place, "127.0.0.1:0", "mixed"),
        20,
        &["mixed.key", "not that of the first certificate", "mixed.pem"],
    );
    copy("one.key", "empty.pem");
    copy("one.key", "empty.key");
    refused(&mut up(&place, "127.0.0.1:0", "empty"), 20, &["empty.pem cannot be used", "there is no certificate"]);
    copy("one.pem", "keyless.pem");
    private(&place.path("keyless.key"), "nothing");
    refused(&mut up(&place, "127.0.0.1:0", "keyless"), 20, &["keyless.key cannot be used", "no private key"]);
    refused(&mut up(&place, "127.0.0.1:0", "gone"), 20, &["gone.pem cannot be read"]);
    copy("one.pem", "open.pem");
    copy("one.key", "open.key");
    Command::new("chmod").arg("o=r").arg(place.path("open.key")).status().unwrap();
    refused(&mut up(&place, "127.0.0.1:0", "open"), 20, &["open.key can be read by everybody", "chmod"]);
    let mut alone = place.command(&["up", "--listen", "127.0.0.1:0"]);
    refused(alone.arg("--tls-certificate").arg(place.path("one.pem")), 20, &["no key for it", "--tls-key"]);
    let mut nowhere = place.command(&["up"]);
    nowhere.env("BACKSTAY_TLS_CERTIFICATE_FILE", place.path("one.pem"));
    refused(nowhere.env("BACKSTAY_TLS_KEY_FILE", place.path("one.key")), 20, &["no place", "--listen"]);
    refused(&mut up(&place, "nonsense", "one"), 20, &["`nonsense` is no place to listen", "0.0.0.0:7400"]);
}

/// Red when a renewed certificate needs a restart, when a broken one takes the good one's place, or when somebody who says
/// nothing keeps others out.
#[test]
fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let place = Place::new();
    for name in ["now", "next"] {
        authority(&place, name);
    }
    let mut server = Process::start(up(&place, "127.0.0.1:0", "now"));
    let url = server.heard("for others it listens at ");
    let made = place.json(&["token", "create", "me", "--role", "operator"]);
    let token = made["secret"].as_str().unwrap();
    let trusted = |ca: &str| Ran::of(&mut elsewhere(&place, &url, token, Some(ca), &["plan", "list"])).code == Some(0);
    let ask = || {
        let id = rustix::process::Pid::from_child(&server.up.0);
        rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    };
    let _silent: Vec<_> = (0..3).map(|_| TcpStream::connect(url.trim_start_matches("https://")).unwrap()).collect();
    assert!(trusted("now") && !trusted("next"));

    // Half of a renewal: the certificate is there, and its key not yet.
    std::fs::copy(place.path("next.pem"), place.path("now.pem")).unwrap();
    ask();
    wait_for("the word that it cannot be used", || {
        let said = server.said.lock().unwrap();
        said.iter().any(|line| line.contains("cannot be used") && line.contains("now.key")).then_some(())
    });
    assert!(trusted("now"), "the old one is shown");
    std::fs::copy(place.path("next.key"), place.path("now.key")).unwrap();
    ask();
    wait_for("the renewed certificate", || trusted("next").then_some(()));
    assert!(!trusted("now"));
    server.end();
}
