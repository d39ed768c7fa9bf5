//! A mail server that writes each mail into a file. A receiver a test.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PeerEnv;

static SMTP: LazyLock<Option<SmtpPeer>> = LazyLock::new(|| super::start("smtp").map(|env| SmtpPeer::new(&env)));

/// Longest wait for a mail.
const ARRIVES_WITHIN: Duration = Duration::from_secs(180);

/// A mail server on this machine, with a login that opens nothing else.
#[derive(Debug, Clone)]
pub struct SmtpPeer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Certificate of its CA, PEM.
    pub ca: String,
    /// Who logs in.
    pub username: String,
    /// With which password.
    pub password: String,
    mail: PathBuf,
}

/// Returns the mail server, or `None` after a loud skip.
pub fn smtp() -> Option<&'static SmtpPeer> {
    SMTP.as_ref()
}

impl SmtpPeer {
    fn new(env: &PeerEnv) -> Self {
        let value = |key: &str| env.get(key).cloned().unwrap_or_else(|| panic!("smtp told no {key}"));
        Self {
            host: value("HOST"),
            port: value("PORT").parse().expect("a port is a number"),
            ca: std::fs::read_to_string(value("CA")).expect("the peer made its CA"),
            username: value("USERNAME"),
            password: value("PASSWORD"),
            mail: value("MAIL").into(),
        }
    }

    /// Returns a receiver that no other test has, in this run or beside it.
    pub fn receiver(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("1970 is over");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("t-{}-{:x}-{count}@test.example", std::process::id(), since.as_micros())
    }

    /// Returns a channel's settings for a receiver; password and CA lie at these references.
    pub fn settings(&self, to: &str, password: &str, ca: &str) -> Value {
        json!({
            "host": self.host, "port": self.port, "ca_file": ca, "username": self.username, "password": password,
            "from": "backstay@test.example", "to": [to],
        })
    }

    /// Returns the mails of a receiver that are there, in no order.
    pub fn mails(&self, to: &str) -> Vec<String> {
        let mine = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(to) && name.ends_with(".eml")
        };
        let entries = std::fs::read_dir(&self.mail).expect("the peer has a folder for mails");
        let entries = entries.filter_map(Result::ok).filter(mine);
        entries.map(|entry| std::fs::read_to_string(entry.path()).expect("a mail is text")).collect()
    }

    /// Waits for a mail that has a subject, decoded, with these words, and returns it.
    ///
    /// # Panics
    /// When none comes; says what came instead.
    pub fn wait_for(&self, to: &str, words: &str) -> String {
        let end = Instant::now() + ARRIVES_WITHIN;
        loop {
            let mails = self.mails(to);
            if let Some(mail) = mails.iter().find(|mail| subject(mail).contains(words)) {
                return mail.clone();
            }
            let subjects: Vec<String> = mails.iter().map(|mail| subject(mail)).collect();
            assert!(Instant::now() < end, "no mail to {to} says {words:?}; there are {subjects:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Returns a mail's subject, unfolded; what is encoded stays so.
pub fn subject(mail: &str) -> String {
    let head = mail.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
    head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
}
