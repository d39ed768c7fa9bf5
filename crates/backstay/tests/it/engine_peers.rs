//! `backstay engine` beside real servers: buckets of S3 shared with restic, a hot and a cold part, limits of bytes a
//! second, and a dump of PostgreSQL that never touches a disk.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_testkit::peers::database::Engine;
use backstay_testkit::peers::s3::{S3Peer, ceph, moto};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::engine_support::{Repo, lines};
use crate::support::{BINARY, Ran, noise, restics};

/// A bucket as a repository, for both programs.
struct Bucket {
    repo: Repo,
    place: String,
    peer: &'static S3Peer,
}

impl Bucket {
    fn new(peer: &'static S3Peer) -> Self {
        let name = peer.bucket();
        assert_eq!(peer.request("PUT", &format!("/{name}"), &[]), 200, "{}", peer.name);
        let place = format!("s3:{}/{name}/a/repository", peer.endpoint);
        Self { repo: Repo::empty(), place, peer }
    }

    fn set(&self, command: &mut Command) -> Ran {
        let key = self.peer.key();
        self.repo.set(command);
        command.env("RESTIC_REPOSITORY", &self.place).env("AWS_DEFAULT_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", key.secret.expose_secret());
        Ran::of(command)
    }

    fn ours(&self, arguments: &[&str]) -> Ran {
        self.set(Command::new(BINARY).arg("engine").args(arguments))
    }

    fn works(&self, arguments: &[&str]) -> String {
        let ran = self.ours(arguments);
        assert_eq!(ran.code, Some(0), "{} {arguments:?}: {}{}", self.peer.name, ran.out, ran.err);
        ran.out
    }

    /// Runs restic 0.19; nothing where it is not installed.
    fn theirs(&self, arguments: &[&str]) {
        if let Some(restic) = restics().into_iter().find(|path| path.ends_with("restic-0.19")) {
            let ran = self.set(Command::new(restic).arg("--no-cache").args(arguments));
            assert_eq!(ran.code, Some(0), "{} {arguments:?}: {}{}", self.peer.name, ran.out, ran.err);
        }
    }

    fn backup(&self) -> Value {
        lines(&self.works(&["backup", "source", "--force", "--json"])).pop().unwrap()
    }

    fn snapshots(&self) -> usize {
        lines(&self.works(&["snapshots", "--json"]))[0].as_array().unwrap().len()
    }
}

/// Asserts that a folder has the files of `Repo::make_source` after `Repo::change_source`.
fn assert_source(folder: &Path) {
    assert_eq!(std::fs::read(folder.join("a.txt")).unwrap(), b"hello again\n");
    assert_eq!(std::fs::read(folder.join("sub/deep/big")).unwrap(), noise(1, 3 << 20));
    assert_eq!(std::fs::read(folder.join("new")).unwrap(), b"new");
}

#[test]
fn a_bucket_is_shared_with_restic() {
    for peer in [moto(), ceph()].into_iter().flatten() {
        let bucket = Bucket::new(peer);
        assert_eq!(bucket.ours(&["snapshots"]).code, Some(10), "no repository yet");
        bucket.works(&["init"]);
        bucket.repo.make_source();
        bucket.backup();
        bucket.repo.change_source();
        bucket.backup();
        let old = bucket.repo.place.path("source/to-go");
        std::fs::write(&old, noise(9, 2 << 20)).unwrap();
        bucket.backup();
        std::fs::remove_file(old).unwrap();
        bucket.theirs(&["backup", "source", "--force"]);
        let again = bucket.backup();
        assert_eq!(again["data_blobs"], 0, "{again}");
        bucket.works(&["restore", "latest:/source", "--target", "ours"]);
        assert_source(&bucket.repo.place.path("ours"));
        bucket.theirs(&["restore", "latest", "--target", "theirs"]);
        assert_source(&bucket.repo.place.path("theirs/source"));
        bucket.works(&["forget", "--keep-last", "1"]);
        assert_eq!(bucket.snapshots(), 1);
        let pruned =
            || lines(&bucket.works(&["prune", "--grace", "0s", "--max-unused", "0%", "--json"])).pop().unwrap();
        pruned();
        assert!(pruned()["packs_removed"].as_u64().unwrap() > 0);
        bucket.works(&["check", "--read-data"]);
        bucket.theirs(&["check", "--read-data"]);
        bucket.theirs(&["prune", "--max-unused", "0"]);
        bucket.works(&["check", "--read-data"]);
        bucket.works(&["restore", "latest:/source", "--target", "after"]);
        assert_source(&bucket.repo.place.path("after"));
        let wrong =
            bucket.set(Command::new(BINARY).args(["engine", "snapshots", "--repo", &format!("{}x", bucket.place)]));
        assert_eq!(wrong.code, Some(10), "{}", wrong.err);
    }
}

/// Answers as a machine's service of instance data does, for ever, and counts what it was asked.
fn instance_data(key: &str, secret: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, credential) = (
        Arc::clone(&asked),
        format!(
            r#"{{"Code":"Success","Message":"","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"{key}",
            "SecretAccessKey":"{secret}","Token":"a-session","Expiration":"2099-01-01T00:00:00Z"}}"#
        ),
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(&stream);
            while lines.read_line(&mut head).unwrap() > 2 {}
            let with_token = head.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: the-token");
            let (status, body) = match head.split(' ').take(2).collect::<Vec<_>>()[..] {
                ["PUT", "/latest/api/token"] => (200, "the-token"),
                ["GET", path] if with_token && path.ends_with("/security-credentials/") => (200, "backup-role"),
                ["GET", path] if with_token && path.ends_with("/security-credentials/backup-role") => {
                    count.fetch_add(1, Ordering::SeqCst);
                    (200, &*credential)
                }
                _ => (404, ""),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (place, asked)
}

#[test]
fn the_role_of_a_machine_opens_a_bucket() {
    let Some(peer) = moto() else { return };
    let (bucket, key) = (Bucket::new(peer), peer.key());
    let (place, asked) = instance_data(&key.id, key.secret.expose_secret());
    let home = bucket.repo.place.path("home");
    std::fs::create_dir(&home).unwrap();
    let run = |endpoint: &str| {
        let mut command = Command::new(BINARY);
        command.args(["engine", "init"]).env("HOME", &home);
        bucket.repo.set(&mut command);
        let aws = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("AWS_"));
        aws.for_each(|name| _ = command.env_remove(name));
        command.env("RESTIC_REPOSITORY", &bucket.place).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
        Ran::of(&mut command)
    };
    let without = run(&format!("{place}/elsewhere"));
    assert_eq!((without.code, asked.load(Ordering::SeqCst)), (Some(1), 0), "{}", without.err);
    let ran = run(&place);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a role's key is kept until it ends");
    bucket.works(&["snapshots"]);
}

fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

#[test]
fn folders_lie_in_the_hot_part_and_contents_in_the_cold_one_alone() {
    let repo = Repo::empty();
    let (hot, parted) = (repo.place.path("hot"), |arguments: &[&str]| {
        let ran = repo.ours(&[&["--repo-hot", "hot"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    });
    parted(&["init"]);
    repo.make_source();
    parted(&["backup", "source"]);
    let (in_hot, in_cold) = (count(&hot.join("data")), count(&repo.path().join("data")));
    assert!(in_hot > 0 && in_hot < in_cold, "{in_hot} {in_cold}");
    // What lists and looks asks the hot part alone: the packs of the cold one are away.
    std::fs::rename(repo.path().join("data"), repo.place.path("frozen")).unwrap();
    assert!(parted(&["ls", "latest"]).contains("/source/sub/b.bin"));
    std::fs::rename(repo.place.path("frozen"), repo.path().join("data")).unwrap();
    parted(&["check", "--read-data"]);
    parted(&["restore", "latest:/source", "--target", "out"]);
    assert_eq!(std::fs::read(repo.place.path("out/sub/deep/big")).unwrap(), noise(1, 3 << 20));
    let alone = repo.ours(&["snapshots", "--repo", hot.to_str().unwrap()]);
    assert!(alone.code == Some(1) && alone.err.contains("is the hot part of a repository"), "{}", alone.err);
    if let Some(ran) = repo.theirs(&["check", "--read-data"]) {
        assert_eq!(ran.code, Some(0), "the cold part is a whole repository: {}{}", ran.out, ran.err);
    }
}

#[test]
fn what_a_limit_says_is_read_and_what_it_lets_pass_is_whole() {
    let repo = Repo::new();
    repo.make_source();
    for wrong in ["8-18=1M", "08:00-18:00=fast"] {
        let ran = repo.ours(&["backup", "source", "--limit-schedule", wrong]);
        assert!(ran.code == Some(2) && ran.err.contains("is no window"), "{:?} {}", ran.code, ran.err);
    }
    // 4 MiB go at 1 GiB a second; how long a limit makes it wait is what `backstay-storage` tests, with time of its own.
    let limits = ["--limit-upload", "1048576", "--limit-schedule", "00:00-24:00=1G/none", "--packs-in-flight", "1"];
    repo.backup(&limits);
    let ran = repo.ours(&["--limit-download", "1048576", "restore", "latest:/source", "--target", "out"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(std::fs::read(repo.place.path("out/sub/deep/big")).unwrap(), noise(1, 3 << 20));
}

fn psql(address: &str, words: &str) -> String {
    let ran = Ran::of(Command::new("psql").args([address, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", words]));
    assert_eq!(ran.code, Some(0), "{words}: {}", ran.err);
    ran.out
}

/// Pipes a snapshot's file into a command.
fn piped(repo: &Repo, file: &str, into: &mut Command) {
    let mut dump = repo.command(&["dump", "latest", file]).stdout(Stdio::piped()).spawn().unwrap();
    let took = into.stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(took.status.success(), "{}", String::from_utf8_lossy(&took.stderr));
    assert!(dump.wait().unwrap().success());
}

#[test]
fn a_dump_of_postgresql_goes_in_and_out_as_a_stream() {
    let Some(server) = Engine::Postgresql.up() else { return };
    let (first, by_text, by_archive) = (server.create(), server.create(), server.create());
    let made = "create table t (id bigint primary key, words text, bytes bytea, at timestamptz);
        insert into t select n, repeat(md5(n::text), 10), decode(md5((n * 7)::text), 'hex'), to_timestamp(n)
        from generate_series(1, 20000) n;";
    psql(&first.address(), made);
    let rows = |address: &str| psql(address, "select count(*), md5(string_agg(t::text, '|' order by id)) from t");
    let there = rows(&first.address());
    assert!(there.starts_with("20000|"), "{there}");

    let repo = Repo::new();
    let saved = |name: &str, command: &[&str]| {
        let words = [&["backup", "--stdin-from-command", "--stdin-filename", name, "--"], command].concat();
        repo.ours(&words)
    };
    let (address, archive) = (first.address(), first.address());
    for ran in [
        saved("t.sql", &["pg_dump", "--no-owner", &address]),
        saved("t.custom", &["pg_dump", "--no-owner", "-Fc", &archive]),
    ] {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
    let newest = |name: &str| {
        let listed = repo.json(&["snapshots", "--path", &format!("/{name}")]);
        listed[0].as_array().unwrap()[0]["short_id"].as_str().unwrap().to_owned()
    };
    assert!(!newest("t.sql").is_empty());
    // `latest` is the newest of all: the archive.
    let mut restore = Command::new("pg_restore");
    piped(&repo, "/t.custom", restore.args(["--no-owner", "--exit-on-error", "-d", &by_archive.address()]));
    assert_eq!(rows(&by_archive.address()), there);
    assert_eq!(repo.ours(&["forget", &newest("t.custom")]).code, Some(0));
    let mut reads = Command::new("psql");
    piped(&repo, "/t.sql", reads.args([&*by_text.address(), "-Xq", "-v", "ON_ERROR_STOP=1"]));
    assert_eq!(rows(&by_text.address()), there);

    // A dump that fails makes no snapshot, and its words are shown; the password is not.
    let before = repo.json(&["snapshots"]);
    let wrong = format!("{}_no_such", first.address());
    let ran = saved("wrong.sql", &["pg_dump", &wrong]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("does not exist"), "{}", ran.err);
    assert_eq!(repo.json(&["snapshots"]), before);
    if let Some(ran) = repo.theirs(&["check", "--read-data"]) {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
}
