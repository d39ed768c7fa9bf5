//! A long first backup that is killed five times: what an index file names is not sent again, and that is nearly all.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use backstay_engine::format::id::Id;
use backstay_engine::{Interrupt, Repository};
use backstay_storage::{Presence, StorageCredentials, storage_kind};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use secrecy::SecretString;
use serde_json::json;

use crate::engine_support::{PASSWORD, Repo};
use crate::support::noise;

const KILLS: u64 = 5;

/// Packs that are uploaded at once, as the runs are told.
const UPLOADS: u64 = 2;

/// Returns how many packs a run may leave unnamed that has sent so many: its index files name 2, 4, 8, 16, 32, 32 …
fn unnamed_max(sent: u64) -> u64 {
    let (mut named, mut step) = (0, 2);
    while named + step <= sent {
        (named, step) = (named + step, (step * 2).min(32));
    }
    step + UPLOADS
}

/// Bytes of a pack.
const PACK_BYTES: u64 = 16 << 20;

/// Packs with their sizes.
type Packs = BTreeSet<(Id, u64)>;

/// Returns the packs of the repository that an index file names, and those that none does, with their bytes.
fn packs(repo: &Repo) -> (Packs, Packs) {
    let kind = storage_kind("local").unwrap();
    let storage = kind.open(&json!({ "path": repo.path() }), &StorageCredentials::none(), Presence::Existing).unwrap();
    let repository = Repository::open(storage, &SecretString::from(PASSWORD), &Interrupt::default()).unwrap();
    let index = repository.index_load(&Interrupt::default()).unwrap();
    let named: BTreeSet<Id> = index.packs().iter().map(|pack| pack.id).collect();
    repository.pack_list(&Interrupt::default()).unwrap().into_iter().partition(|(id, _)| named.contains(id))
}

fn count_index_files(repo: &Repo) -> usize {
    std::fs::read_dir(repo.path().join("index")).into_iter().flatten().count()
}

fn count_packs(repo: &Repo) -> usize {
    let folders = std::fs::read_dir(repo.path().join("data")).into_iter().flatten();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).into_iter().flatten().count()).sum()
}

/// Stops a run, so that it does nothing while it is looked at.
fn stop(child: &Child) {
    let id = Pid::from_child(child);
    kill_process(id, Signal::STOP).unwrap();
    let (_, status) = waitpid(Some(id), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "the backup ended before it was killed: {status:?}");
}

/// Waits until so many packs are there, and an index file more than before, and leaves the run stopped: whoever is late
/// to look finds what was there when it was stopped.
fn wait_for_packs(repo: &Repo, wanted: usize, index_files: usize, child: &Child) {
    let began = Instant::now();
    loop {
        stop(child);
        if count_packs(repo) >= wanted && count_index_files(repo) > index_files {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(600), "no more packs came");
        kill_process(Pid::from_child(child), Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// 200 MB; as many as `BACKSTAY_INTERRUPTED_MIB` says by command.
#[test]
fn a_first_backup_that_is_killed_five_times_sends_nothing_named_twice() {
    let mib = std::env::var("BACKSTAY_INTERRUPTED_MIB").map_or(200, |text| text.parse::<u64>().unwrap());
    let repo = Repo::new();
    let source = repo.place.source();
    for file in 0..mib.div_ceil(5) {
        let folder = source.join(format!("folder-{}", file / 16));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("file-{file}")), noise(file, 5 << 20)).unwrap();
    }
    let source_bytes = mib.div_ceil(5) * (5 << 20);
    // Each run is killed when it has sent an eighth: the sixth has something left to do.
    let each = (source_bytes / PACK_BYTES / 8).max(2);
    let (mut all, mut unnamed_allowed) = (BTreeSet::new(), 0);
    for kill in 1..=KILLS {
        let (before, index_files) = (count_packs(&repo), count_index_files(&repo));
        // Slow enough that it does not end by itself before somebody looks.
        let limit = (source_bytes / 1024 / 10).to_string();
        let words = ["backup", "source", "--limit-upload", &limit, "--packs-in-flight", "2"];
        let mut child = repo.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_packs(&repo, before + each as usize, index_files, &child);
        let sent = (count_packs(&repo) - before) as u64;
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let (named, unnamed) = packs(&repo);
        unnamed_allowed += unnamed_max(sent);
        assert!(unnamed.len() as u64 <= unnamed_allowed, "kill {kill}: {} packs are to be sent again", unnamed.len());
        assert!(named.is_superset(&all), "kill {kill}: what was named stays named");
        assert!(named.len() >= all.len() + 2, "kill {kill}: nothing was gained");
        println!("kill {kill}: {} packs named, {} not", named.len(), unnamed.len());
        all = named;
    }
    let (named_before, unnamed) = packs(&repo);
    let done = repo.json(&["backup", "source"]);
    let (named, still_unnamed) = packs(&repo);
    assert_eq!(still_unnamed, unnamed, "the last run names all that it sends");
    let bytes = |packs: &BTreeSet<(Id, u64)>| packs.iter().map(|(_, bytes)| bytes).sum::<u64>();
    println!("{source_bytes} bytes; named {}, lost {} in {KILLS} kills", bytes(&named), bytes(&unnamed));
    // Noise is what it is: what an index file names holds each byte of the source once, and hardly more.
    assert!(bytes(&named) < source_bytes + source_bytes / 50, "{} of {source_bytes} were sent again", bytes(&named));
    let added = done.last().unwrap()["data_added_packed"].as_u64().unwrap();
    assert!(added <= bytes(&named) - bytes(&named_before), "{added}");
    if let Some(ran) = repo.theirs(&["check", "--read-data"]) {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
    assert_eq!(repo.ours(&["restore", "latest:/source", "--target", "out"]).code, Some(0));
    let same = |file: u64| {
        let name = format!("folder-{}/file-{file}", file / 16);
        std::fs::read(repo.place.path("out").join(&name)).unwrap() == std::fs::read(source.join(&name)).unwrap()
    };
    assert!((0..mib.div_ceil(5)).all(same));
}
