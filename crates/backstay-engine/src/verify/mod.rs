//! Reads a snapshot back from storage and compares it with its source.
//!
//! Structure first: every tree is read, every blob that a file names must be in the index, every pack that the index
//! names must be there and long enough. Then data: a sample of files, each blob fetched with caches off, decrypted,
//! hashed, and its bytes compared with the source where the source has not changed since. Harm is a finding, not an
//! error: the verify goes on to the end and says all of it.

mod compare;
pub mod slice;

use std::path::Path;
use std::time::{Duration, Instant};

use backstay_core::domain::evidence::{ClassCount, Findings};
use backstay_core::domain::sample::{SampleRule, SizeClass, choose};
use backstay_storage::ReadCache;
use jiff::Timestamp;

use self::compare::{FileToCompare, compare};
use crate::browse::{Met, join, tree_entries, walk};
use crate::error::EngineError;
use crate::format::id::{Id, IdMap};
use crate::format::index::Index;
use crate::format::node::{Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// What a verify is told.
#[derive(Debug, Clone)]
pub struct VerifyOptions<'a> {
    /// The snapshot's id.
    pub snapshot: &'a str,
    /// How much of it is read.
    pub sample: SampleRule,
    /// The tree that it was made of, to compare with; none when it cannot be read from here.
    pub source: Option<&'a Path>,
    /// The moment when reading begins.
    pub started_at: Timestamp,
}

/// Reads a snapshot back and returns what was read and found.
///
/// # Errors
/// [`EngineError::NoSnapshot`], [`EngineError::Interrupted`], [`EngineError::Storage`] when the storage as a whole does
/// not answer. Harm is no error.
pub fn verify(
    repository: &Repository,
    options: &VerifyOptions<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Findings, EngineError> {
    let began = Instant::now();
    let index = repository.index_load(interrupt)?;
    let mut blobs = BlobReader::new(repository, &index, ReadCache::Bypass, interrupt);
    let mut findings = empty(options.started_at);
    let (_, snapshot) = repository.snapshot_read(options.snapshot, interrupt)?;
    packs_check(repository, &index, &mut findings, interrupt)?;
    let Files { folders, sizes } = files_of(repository, &mut blobs, snapshot.tree, progress, interrupt, &mut findings)?;
    let chosen = choose(&sizes, options.sample);
    findings.files_total = sizes.len() as u64;
    findings.bytes_total = sizes.iter().sum();
    findings.classes = classes(&sizes, &chosen);
    progress.set_totals(chosen.len() as u64, chosen.iter().map(|place| sizes[*place]).sum());
    let mut rest = chosen.as_slice();
    for (number, folder) in folders.iter().enumerate() {
        let end = folders.get(number + 1).map_or(sizes.len(), |next| next.first);
        let (here, later) = rest.split_at(rest.partition_point(|place| *place < end));
        rest = later;
        let files = match files_in(repository, &mut blobs, folder, here, interrupt) {
            Ok(files) => files,
            Err(error) if error.is_harm() => {
                findings.differs(shown(&folder.path), backstay_core::managers::job::chain(&error));
                continue;
            }
            Err(error) => return Err(error),
        };
        for file in files {
            interrupt.check()?;
            compare(&mut blobs, &file, options, &mut findings, progress, interrupt)?;
            progress.done(1, 0);
        }
    }
    for bad in blobs.take_bad_copies() {
        findings.differs(bad.place, format!("{}; another copy of it is good", bad.problem));
    }
    findings.bytes_fetched = blobs.bytes_fetched;
    findings.took = began.elapsed();
    Ok(findings)
}

fn empty(started_at: Timestamp) -> Findings {
    Findings {
        files_total: 0,
        bytes_total: 0,
        files_read: 0,
        files_read_in_part: 0,
        bytes_read: 0,
        files_compared: 0,
        files_changed_since: 0,
        classes: Vec::new(),
        packs_named: 0,
        bytes_fetched: 0,
        difference_count: 0,
        differences: Vec::new(),
        started_at,
        took: Duration::ZERO,
        slice: None,
    }
}

/// Finds packs that the index names and the storage does not have whole.
fn packs_check(
    repository: &Repository,
    index: &Index,
    findings: &mut Findings,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let there: IdMap<u64> = repository.pack_list(interrupt)?.into_iter().collect();
    findings.packs_named = index.packs().len() as u64;
    for pack in index.packs() {
        match there.get(&pack.id) {
            None => findings.differs(format!("pack {}", pack.id), "is not in the storage".to_owned()),
            Some(bytes) if *bytes < pack.size_bytes => {
                let problem = format!("has {bytes} bytes instead of {}", pack.size_bytes);
                findings.differs(format!("pack {}", pack.id), problem);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A folder of the snapshot.
struct Folder {
    path: Vec<u8>,
    tree: Id,
    /// The place of its first regular file among all.
    first: usize,
}

/// The regular files of a snapshot: what they are called and made of is read again for those that are looked at, because a
/// snapshot may have ten million.
#[derive(Default)]
struct Files {
    /// Those with a tree that can be read, in the order of a walk.
    folders: Vec<Folder>,
    /// The size of each file, in the same order.
    sizes: Vec<u64>,
}

/// Reads all trees and finds files that the index has not all blobs of.
fn files_of(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    root: Id,
    progress: &EngineProgress,
    interrupt: &Interrupt,
    findings: &mut Findings,
) -> Result<Files, EngineError> {
    let mut files = Files::default();
    let known = BlobReader::new(repository, blobs.index(), ReadCache::Use, interrupt);
    walk(repository, blobs, root, progress, interrupt, &mut |met| {
        match met {
            Met::Folder(path, tree) => {
                let first = files.sizes.len();
                // One without files of its own is looked into for others only.
                if files.folders.last().is_some_and(|last| last.first == first) {
                    files.folders.pop();
                }
                files.folders.push(Folder { path: path.to_vec(), tree, first });
            }
            Met::Unreadable(path, error) => findings.differs(shown(path), backstay_core::managers::job::chain(&error)),
            Met::Entry(path, node) if node.kind == NodeKind::File => {
                if let Some(id) = missing(&known, node) {
                    findings.differs(shown(path), format!("the blob {id} is in no index"));
                }
                files.sizes.push(node.metadata.size);
            }
            Met::Entry(..) => {}
        }
        Ok(())
    })?;
    Ok(files)
}

/// Returns the first blob of a file that no index names.
fn missing(known: &BlobReader<'_>, node: &Node<'_>) -> Option<Id> {
    node.content.iter().find(|id| known.find(BlobKind::Data, id).is_err()).copied()
}

/// Reads the tree of a folder again for those of its files that were chosen.
fn files_in(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    folder: &Folder,
    chosen: &[usize],
    interrupt: &Interrupt,
) -> Result<Vec<FileToCompare>, EngineError> {
    let (mut files, mut chosen, mut place) = (Vec::new(), chosen.iter().peekable(), folder.first);
    if chosen.peek().is_none() {
        return Ok(files);
    }
    let known = BlobReader::new(repository, blobs.index(), ReadCache::Use, interrupt);
    tree_entries(repository, blobs, &folder.tree, |node| {
        if node.kind == NodeKind::File {
            if chosen.next_if(|chosen| **chosen == place).is_some() {
                files.push(FileToCompare {
                    path: join(&folder.path, &node.name),
                    size: node.metadata.size,
                    metadata: node.metadata,
                    content: node.content.clone(),
                    broken: missing(&known, node).is_some(),
                });
            }
            place += 1;
        }
        Ok(())
    })?;
    Ok(files)
}

/// Returns how files spread over the size classes.
fn classes(sizes: &[u64], chosen: &[usize]) -> Vec<ClassCount> {
    let mut counts: Vec<ClassCount> =
        SizeClass::ALL.iter().map(|class| ClassCount { class: *class, total: 0, compared: 0 }).collect();
    for size in sizes {
        counts[SizeClass::of(*size) as usize].total += 1;
    }
    for place in chosen {
        counts[SizeClass::of(sizes[*place]) as usize].compared += 1;
    }
    counts.retain(|count| count.total > 0);
    counts
}

/// Returns a snapshot's path for a person.
fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
