//! S3 servers: Ceph's gateway, which is the real thing, and moto, which knows cold objects. A bucket a test.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_storage::{AccessKey, StorageCredentials};
use serde_json::{Value, json};

use super::PeerEnv;

static CEPH: LazyLock<Option<S3Peer>> = LazyLock::new(|| super::start("ceph").map(|env| S3Peer::new("ceph", &env)));
static MOTO: LazyLock<Option<S3Peer>> = LazyLock::new(|| super::start("moto").map(|env| S3Peer::new("moto", &env)));

/// What a request without a body is signed with.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An S3 server that runs on this machine, with keys that open nothing else.
#[derive(Debug, Clone)]
pub struct S3Peer {
    /// Its name.
    pub name: &'static str,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    region: String,
    access_key: String,
    secret_key: String,
}

/// Returns Ceph's gateway, or `None` after a loud skip.
pub fn ceph() -> Option<&'static S3Peer> {
    CEPH.as_ref()
}

/// Returns moto, or `None` after a loud skip.
pub fn moto() -> Option<&'static S3Peer> {
    MOTO.as_ref()
}

impl S3Peer {
    fn new(name: &'static str, env: &PeerEnv) -> Self {
        let value = |key: &str| env.get(key).cloned().unwrap_or_else(|| panic!("{name} told no {key}"));
        Self {
            name,
            endpoint: value("ENDPOINT"),
            region: value("REGION"),
            access_key: value("ACCESS_KEY"),
            secret_key: value("SECRET_KEY"),
        }
    }

    /// Returns a name that no other test has, in this run or beside it.
    pub fn bucket(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("1970 is over");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("t-{}-{:x}-{count}", std::process::id(), since.as_micros())
    }

    /// Returns settings for a bucket at this server, or at something that stands before it.
    pub fn settings(&self, endpoint: &str, bucket: &str) -> Value {
        json!({ "endpoint": endpoint, "bucket": bucket, "prefix": "a prefix/r", "region": self.region })
    }

    /// Returns the test-only key.
    pub fn key(&self) -> AccessKey {
        AccessKey::new(&self.access_key, self.secret_key.as_str().into())
    }

    /// Returns the test-only key, for every purpose.
    pub fn credentials(&self) -> StorageCredentials {
        StorageCredentials::one(&self.key())
    }

    /// Makes a request that the product never makes (a bucket with Object Lock, the end of a bucket), and returns its
    /// status: 0 when there was no answer. It has no body.
    pub fn request(&self, method: &str, path: &str, headers: &[&str]) -> u16 {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        curl.args(["--aws-sigv4", &format!("aws:amz:{}:s3", self.region), "--request", method]);
        curl.arg("--user").arg(format!("{}:{}", self.access_key, self.secret_key));
        curl.arg("--header").arg(format!("x-amz-content-sha256: {SHA256_OF_NOTHING}"));
        for header in headers {
            curl.args(["--header", header]);
        }
        let output = curl.arg(format!("{}{path}", self.endpoint)).stdin(Stdio::null()).output().expect("curl starts");
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
    }
}
