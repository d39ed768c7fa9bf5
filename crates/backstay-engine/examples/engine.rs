//! The engine on a local repository, for benchmarks and tests: `engine init|backup|restore|verify|check|forget|prune|index
//! REPOSITORY …`, the password in `RESTIC_PASSWORD`, threads in `ENGINE_WORKERS`. Exit codes are restic's. For benchmarks and
//! tests only: the product is `backstay`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for benchmarks speaks to its caller")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::unread::Unread;
use backstay_engine::archive::options::{ArchiveOptions, Recheck};
use backstay_engine::archive::run::archive;
use backstay_engine::format::id::Id;
use backstay_engine::format::index::{INDEX_BLOBS_MAX, IndexFile};
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::{BlobKind, PackedBlob};
use backstay_engine::lock::{LockGuard, LockMode, LockOwner, LockTerms};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::forget;
use backstay_engine::maintenance::prune::{PruneOptions, UnusedLimit, apply, plan};
use backstay_engine::repository::Maker;
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::verify::{VerifyOptions, verify};
use backstay_engine::{EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectStorage, Presence, StorageCredentials, storage_kind};
use jiff::Timestamp;
use secrecy::SecretString;

type Done = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["init", repository] => init(repository),
        ["backup", repository, tree] => backup(repository, tree),
        ["restore", repository, target] => bring_back(repository, target),
        ["verify", repository, tree] => prove(repository, tree),
        ["check", repository] => look(repository),
        ["forget", repository] => forget_oldest(repository),
        ["prune", repository] => prune(repository),
        ["index", repository, blobs] => make_up_index(repository, blobs),
        _ => Err("usage: engine init REPO | backup REPO TREE | restore REPO TARGET | verify REPO TREE | check REPO | \
                  forget REPO | prune REPO | index REPO BLOBS"
            .into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{}", backstay_core::managers::job::chain(&*error));
        ExitCode::FAILURE
    })
}

fn password() -> Result<SecretString, Box<dyn Error>> {
    Ok(std::env::var("RESTIC_PASSWORD").map_err(|_| "RESTIC_PASSWORD is not set")?.into())
}

fn workers() -> usize {
    let asked = std::env::var("ENGINE_WORKERS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from))
}

fn storage(path: &str, presence: Presence) -> Result<Arc<dyn ObjectStorage>, Box<dyn Error>> {
    let path = std::path::absolute(path)?;
    Ok(storage_kind("local")?.open(&serde_json::json!({ "path": path }), &StorageCredentials::none(), presence)?)
}

fn init(repository: &str) -> Done {
    let maker = Maker { username: "engine".to_owned(), hostname: "bench".to_owned(), at: Timestamp::now() };
    Repository::create(storage(repository, Presence::Create)?, &password()?, maker, &Interrupt::default())?;
    Ok(ExitCode::SUCCESS)
}

fn open(repository: &str) -> Result<(Repository, Option<Id>), Box<dyn Error>> {
    let repository = Repository::open(storage(repository, Presence::Existing)?, &password()?, &Interrupt::default())?;
    let mut newest = None;
    for id in repository.file_list(FileKind::Snapshot, &Interrupt::default())? {
        let (_, file) = repository.snapshot_read(&id.to_hex(), &Interrupt::default())?;
        newest = newest.max(Some((file.time, id)));
    }
    Ok((repository, newest.map(|(_, id)| id)))
}

fn alone(repository: &Repository) -> Result<LockGuard, Box<dyn Error>> {
    let owner = LockOwner::this_process("engine".to_owned());
    Ok(repository.lock(LockMode::Exclusive, &owner, &LockTerms::default(), &Interrupt::default())?)
}

/// Reads everything and checks it.
fn look(repository: &str) -> Done {
    let (repository, _) = open(repository)?;
    let guard = alone(&repository)?;
    let checked = check(&repository, &ReadData::All, &Interrupt::default())?;
    println!("findings {} trees {} bytes {}", checked.finding_count, checked.trees, checked.bytes_read);
    guard.release()?;
    Ok(if checked.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Removes all snapshots but the newest.
fn forget_oldest(repository: &str) -> Done {
    let (repository, newest) = open(repository)?;
    let guard = alone(&repository)?;
    let all = repository.file_list(FileKind::Snapshot, &Interrupt::default())?;
    let old: Vec<Id> = all.into_iter().filter(|id| Some(*id) != newest).collect();
    println!("removed {}", forget::apply(&repository, &old, &guard, &Interrupt::default())?);
    guard.release()?;
    Ok(ExitCode::SUCCESS)
}

/// Marks what nothing needs and removes what was marked: as much as a prune of restic does in one go.
fn prune(repository: &str) -> Done {
    let (repository, _) = open(repository)?;
    let guard = alone(&repository)?;
    let options = PruneOptions { grace: Duration::ZERO, unused: UnusedLimit::Bytes(0), rewrite_bytes_max: None };
    for _ in 0..2 {
        let planned = plan(&repository, &options, &guard, &Interrupt::default())?;
        println!("{:?}", apply(&repository, planned, &guard, &EngineProgress::default(), &Interrupt::default())?);
    }
    guard.release()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes index files that name so many blobs, which are nowhere: to measure what a large index costs.
fn make_up_index(repository: &str, blobs: &str) -> Done {
    const PACK_BLOBS: u64 = 50;
    let (blobs, (repository, _)) = (blobs.parse::<u64>()?, open(repository)?);
    let (mut file, packs) = (IndexFile::default(), blobs.div_ceil(PACK_BLOBS));
    for pack in 0..packs {
        let numbers = pack * PACK_BLOBS..blobs.min((pack + 1) * PACK_BLOBS);
        let named = (0..).zip(numbers).map(|(place, number)| PackedBlob {
            id: Id::of(&number.to_be_bytes()),
            kind: BlobKind::Data,
            offset: place * 300_000,
            length: 300_000,
            plain_length: Some(700_000 + place),
        });
        file.push(Id::of(format!("pack {pack}").as_bytes()), &named.collect::<Vec<_>>());
        if file.blob_count() >= INDEX_BLOBS_MAX || pack + 1 == packs {
            repository.file_write(FileKind::Index, &std::mem::take(&mut file).write(), &Interrupt::default())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ended(unread: &Unread) -> Done {
    println!("unread {}", unread.count);
    unread.entries.iter().for_each(|entry| println!("{}: {}", entry.path, entry.reason));
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn backup(repository: &str, tree: &str) -> Done {
    let (repository, parent) = open(repository)?;
    let recheck = if std::env::var_os("ENGINE_NO_RECHECK").is_some() { Recheck::Off } else { Recheck::Each };
    let options = ArchiveOptions {
        parent,
        hostname: "bench".to_owned(),
        username: "engine".to_owned(),
        workers: workers(),
        uploads: 2,
        recheck,
        ..ArchiveOptions::new(vec![std::path::absolute(tree)?], "backstay-example 0", Timestamp::now())
    };
    let archived = archive(&repository, &options, &EngineProgress::default(), &Interrupt::default())?;
    let published = archived.publish(Timestamp::now())?;
    println!("snapshot {} {:?}", published.id, published.summary);
    ended(&published.unread)
}

fn bring_back(repository: &str, target: &str) -> Done {
    let (repository, newest) = open(repository)?;
    let snapshot = newest.ok_or("there is no snapshot")?.to_hex();
    let options = RestoreOptions { workers: workers(), ..RestoreOptions::new(&snapshot, Path::new(target)) };
    let done = restore(&repository, &options, &EngineProgress::default(), &Interrupt::default())?;
    println!("files {} bytes {}", done.files, done.bytes);
    ended(&done.unread)
}

fn prove(repository: &str, tree: &str) -> Done {
    let (repository, newest) = open(repository)?;
    let snapshot = newest.ok_or("there is no snapshot")?.to_hex();
    let (tree, sample) = (std::path::absolute(tree)?, SampleRule::first_sample(1));
    let options = VerifyOptions { snapshot: &snapshot, sample, source: Some(&tree), started_at: Timestamp::now() };
    let found = verify(&repository, &options, &EngineProgress::default(), &Interrupt::default())?;
    println!("{found:#?}");
    Ok(if found.difference_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
