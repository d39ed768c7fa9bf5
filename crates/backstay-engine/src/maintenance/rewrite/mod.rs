//! Rewrite: snapshots without what should never have been in them, or with another host or time.
//!
//! Patterns are those of a backup. A snapshot is never changed: a new one is published that names it as its original, and
//! the old one goes only when that was asked for. `tree` makes changed trees, `text` changed entries, `snapshot` what both
//! this and the repair of snapshots do with the results.

pub mod snapshot;
mod text;
pub(super) mod tree;

use self::snapshot::{Counts, NewFacts, Old, Rewritten, SnapshotEditor, SnapshotPlan};
use self::tree::{Edit, Editor, TreeRewriter};
use crate::archive::exclude::{Excludes, Scope};
use crate::browse::join;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::Index;
use crate::format::node::Node;
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::progress::EngineProgress;
use crate::repository::Repository;
use crate::select::Snapshot;

/// The tag of a new snapshot whose old one stays: restic's.
pub const TAG: &str = "rewrite";

/// Hears of each path that changes.
pub type Teller<'t> = &'t mut dyn FnMut(&Id, &[u8]);

/// What a rewrite is told.
#[derive(Debug, Clone)]
pub struct RewriteOptions {
    /// What is left out: patterns, as a backup has them. What it says of a file's size or its neighbours is read over.
    pub excludes: Excludes,
    /// Another name of the machine.
    pub host: Option<String>,
    /// Another time, RFC 3339.
    pub time: Option<String>,
    /// Whether summaries say anew how much a snapshot holds.
    pub counts: Counts,
    /// Whether the old snapshots go.
    pub old: Old,
}

/// What a rewrite would do. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct RewritePlan {
    /// What becomes of each snapshot.
    pub plan: SnapshotPlan,
    index: Index,
}

/// Decides what becomes of these snapshots; `tell` hears of each path that is left out. `all` is every snapshot of the
/// repository. `guard` is a lock of any mode for a preview, and an exclusive one when the plan is to be applied. `progress`
/// counts snapshots as files.
///
/// # Errors
/// [`EngineError`] when an index file or a tree cannot be read: then nothing is rewritten.
pub fn plan(
    repository: &Repository,
    options: &RewriteOptions,
    (chosen, all): (Vec<Snapshot>, &[Snapshot]),
    tell: Teller<'_>,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<RewritePlan, EngineError> {
    let index = repository.index_load(interrupt)?;
    let facts = NewFacts { host: options.host.clone(), time: options.time.clone(), counts: options.counts };
    let mut editor = Excluder::new(&options.excludes, tell);
    let means = (TAG, &facts, options.old);
    let rewriter = TreeRewriter::new(repository, &index, progress, interrupt);
    let plan = snapshot::plan(rewriter, (chosen, all), &mut editor, means, guard)?;
    Ok(RewritePlan { plan, index })
}

/// Does what the plan says. It may be repeated, after a failure too: what is published is not published again.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError`] as soon as anything goes wrong: nothing is forgotten after that.
pub fn apply(
    repository: &Repository,
    options: &RewriteOptions,
    plan: RewritePlan,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Rewritten, EngineError> {
    let mut nobody = |_: &Id, _: &[u8]| {};
    let mut editor = Excluder::new(&options.excludes, &mut nobody);
    let rewriter = TreeRewriter::new(repository, &plan.index, progress, interrupt);
    snapshot::apply(rewriter, plan.plan, &mut editor, guard)
}

/// Leaves out what patterns say.
struct Excluder<'a, 't> {
    excludes: &'a Excludes,
    scope: Option<Scope<'a>>,
    snapshot: Id,
    paths: u64,
    tell: Teller<'t>,
}

impl<'a, 't> Excluder<'a, 't> {
    fn new(excludes: &'a Excludes, tell: Teller<'t>) -> Self {
        Self { excludes, scope: None, snapshot: Id([0; 32]), paths: 0, tell }
    }
}

impl Editor for Excluder<'_, '_> {
    fn enter(&mut self, folder: &[u8]) {
        self.scope = self.excludes.within(|| [b"/", folder].concat());
    }

    fn edit(&self, node: &Node<'_>) -> Edit {
        let out = self.scope.as_ref().is_some_and(|scope| scope.leaves_out_name(&node.name));
        if out { Edit::Drop } else { Edit::Keep }
    }

    fn note(&mut self, folder: &[u8], node: &Node<'_>, _: &Edit) {
        self.paths += 1;
        (self.tell)(&self.snapshot, &join(folder, &node.name));
    }

    fn unreadable(&mut self, _: &[u8], _: Option<Id>, error: EngineError) -> Result<(), EngineError> {
        Err(error)
    }

    fn minds_paths(&self) -> bool {
        true
    }
}

impl SnapshotEditor for Excluder<'_, '_> {
    fn begin(&mut self, snapshot: &Id) {
        (self.snapshot, self.paths) = (*snapshot, 0);
    }

    fn paths(&self) -> u64 {
        self.paths
    }
}
