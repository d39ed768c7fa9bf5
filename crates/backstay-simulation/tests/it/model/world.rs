//! The state and what each step does to it.

use super::{BackupStep, Bounds, Mutant, PruneStep, Step};

/// A pack of the repository. Pack 0 is there from the beginning and holds what the backup wants to save; each attempt
/// that cannot take it from there writes a pack of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pack {
    Absent,
    /// There, and offered to backups.
    Live,
    /// There, and to be deleted; ticks of its grace that are left.
    Marked {
        left: u8,
    },
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Snapshot {
    /// The pack that it refers to.
    pub(super) pack: usize,
    /// The attempt that published it; 0 for the one that was there.
    pub(super) token: usize,
    /// Whether its finish was accepted.
    pub(super) good: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Backup {
    Leased,
    /// The index was read; the pack that will be referred to, and whether it must be written.
    Loaded {
        pack: usize,
        to_write: bool,
    },
    Wrote {
        pack: usize,
    },
    /// The lease was seen held; ticks that the process may still pause without being taken for dead.
    Checked {
        pack: usize,
        left: u8,
    },
    /// The lease is held and what the snapshot will refer to is not marked: it may be published.
    Ready {
        pack: usize,
        left: u8,
    },
    Published,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Prune {
    Leased,
    /// Snapshots were looked at: packs in use, packs whose grace was over then.
    Looked {
        used: u8,
        ripe: u8,
    },
    Checked {
        used: u8,
        ripe: u8,
        left: u8,
    },
    Marked {
        used: u8,
        ripe: u8,
        left: u8,
    },
}

/// The database, the repository and the processes. An attempt's token is its place in `backups`, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Ticks that the lease of the newest attempt still has; 0 when nobody holds it.
    backup_left: u8,
    /// Accepted finishes.
    pub(super) finished: u8,
    /// Ticks that the lease of the newest prune still has.
    prune_left: u8,
    pub(super) packs: [Pack; 3],
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) backups: Vec<Backup>,
    /// Prunes that run, and whether each was leased last: only that one can hold the lease.
    pub(super) prunes: Vec<(bool, Prune)>,
    pub(super) taken_back: bool,
    /// Somebody was let through to publish without a lease.
    pub(super) unfenced: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            backup_left: 0,
            finished: 0,
            prune_left: 0,
            packs: [Pack::Live, Pack::Absent, Pack::Absent],
            snapshots: vec![Snapshot { pack: 0, token: 0, good: true }],
            backups: Vec::new(),
            prunes: Vec::new(),
            taken_back: false,
            unfenced: false,
        }
    }

    /// Says whether a pack can be read.
    pub(super) fn has(&self, pack: usize) -> bool {
        matches!(self.packs[pack], Pack::Live | Pack::Marked { .. })
    }

    /// Makes a step; false when it cannot be made now.
    pub(super) fn step(&mut self, bounds: &Bounds, mutant: Mutant, step: Step) -> bool {
        match step {
            Step::Tick => {
                self.tick();
                true
            }
            Step::BackupLease => self.backup_lease(bounds),
            Step::PruneLease => self.prune_lease(bounds),
            Step::Backup(at, does) => self.backup_step(bounds, mutant, at, does),
            Step::Prune(at, does) => self.prune_step(bounds, mutant, at, does),
        }
    }

    /// Lets time pass. A process that paused too long is dead: the product is not made for longer pauses.
    fn tick(&mut self) {
        self.backup_left = self.backup_left.saturating_sub(1);
        self.prune_left = self.prune_left.saturating_sub(1);
        for pack in &mut self.packs {
            if let Pack::Marked { left } = pack {
                *left = left.saturating_sub(1);
            }
        }
        for backup in &mut self.backups {
            match backup {
                Backup::Checked { left: 0, .. } | Backup::Ready { left: 0, .. } => *backup = Backup::Ended,
                Backup::Checked { left, .. } | Backup::Ready { left, .. } => *left -= 1,
                _ => {}
            }
        }
        self.prunes
            .retain(|(_, prune)| !matches!(prune, Prune::Checked { left: 0, .. } | Prune::Marked { left: 0, .. }));
        for (_, prune) in &mut self.prunes {
            if let Prune::Checked { left, .. } | Prune::Marked { left, .. } = prune {
                *left -= 1;
            }
        }
    }

    /// The database leases the backup job: nobody holds it, and no prune holds the repository.
    fn backup_lease(&mut self, bounds: &Bounds) -> bool {
        let free = self.backup_left == 0 && self.prune_left == 0;
        if self.finished > 0 || !free || self.backups.len() == bounds.backups {
            return false;
        }
        self.backup_left = bounds.ttl;
        self.backups.push(Backup::Leased);
        true
    }

    fn backup_step(&mut self, bounds: &Bounds, mutant: Mutant, at: usize, does: BackupStep) -> bool {
        let held = at + 1 == self.backups.len() && self.backup_left > 0;
        let next = match (does, self.backups[at]) {
            (BackupStep::Renew, phase) if held && self.backup_left < bounds.ttl => {
                self.backup_left = bounds.ttl;
                phase
            }
            (BackupStep::Load, Backup::Leased) => {
                let offered = match self.packs[0] {
                    Pack::Live => true,
                    Pack::Marked { .. } => mutant == Mutant::MarkedPacksAreTaken,
                    Pack::Absent | Pack::Deleted => false,
                };
                Backup::Loaded { pack: if offered { 0 } else { 1 + at }, to_write: !offered }
            }
            (BackupStep::Write, Backup::Loaded { pack, to_write }) => {
                // Content-derived names: nobody is harmed by a write without a lease.
                if to_write {
                    self.packs[pack] = Pack::Live;
                }
                Backup::Wrote { pack }
            }
            (BackupStep::Check, Backup::Wrote { .. }) if !held && mutant != Mutant::NoFence => Backup::Ended,
            (BackupStep::Check, Backup::Wrote { pack }) => {
                if held {
                    self.backup_left = bounds.ttl;
                }
                self.unfenced |= !held;
                Backup::Checked { pack, left: bounds.pause }
            }
            (BackupStep::LookAgain, Backup::Checked { pack, left }) => {
                // A prune that paused may have marked the pack since the index was read.
                let good = match self.packs[pack] {
                    Pack::Live => true,
                    Pack::Marked { .. } => matches!(mutant, Mutant::NoLookAgain | Mutant::MarkedPacksAreTaken),
                    Pack::Absent | Pack::Deleted => mutant == Mutant::NoLookAgain,
                };
                if good { Backup::Ready { pack, left } } else { Backup::Ended }
            }
            (BackupStep::Publish, Backup::Ready { pack, .. }) => {
                self.snapshots.push(Snapshot { pack, token: at + 1, good: false });
                Backup::Published
            }
            (BackupStep::Finish, Backup::Published) => {
                if held || mutant == Mutant::NoToken {
                    self.finished += 1;
                    self.backup_left = 0;
                    self.snapshots.iter_mut().filter(|one| one.token == at + 1).for_each(|one| one.good = true);
                }
                Backup::Ended
            }
            _ => return false,
        };
        self.backups[at] = next;
        true
    }

    /// The database leases a prune: it holds the repository alone.
    fn prune_lease(&mut self, bounds: &Bounds) -> bool {
        if self.backup_left > 0 || self.prune_left > 0 || self.prunes.len() == bounds.prunes {
            return false;
        }
        self.prune_left = bounds.ttl;
        self.prunes.iter_mut().for_each(|(newest, _)| *newest = false);
        self.prunes.push((true, Prune::Leased));
        true
    }

    fn prune_step(&mut self, bounds: &Bounds, mutant: Mutant, at: usize, does: PruneStep) -> bool {
        let (newest, phase) = self.prunes[at];
        let held = newest && self.prune_left > 0;
        let next = match (does, phase) {
            (PruneStep::Renew, phase) if held && self.prune_left < bounds.ttl => {
                self.prune_left = bounds.ttl;
                Some(phase)
            }
            (PruneStep::Forget, Prune::Leased) => {
                let before = self.snapshots.len();
                self.snapshots.retain(|snapshot| snapshot.token > 0);
                if self.snapshots.len() == before {
                    return false;
                }
                Some(Prune::Leased)
            }
            (PruneStep::Look, Prune::Leased) => {
                let used = self.snapshots.iter().fold(0, |used, snapshot| used | 1 << snapshot.pack);
                Some(Prune::Looked { used, ripe: self.ripe() })
            }
            (PruneStep::Check, Prune::Looked { .. }) if !held => None,
            (PruneStep::Check, Prune::Looked { used, ripe }) => {
                self.prune_left = bounds.ttl;
                Some(Prune::Checked { used, ripe, left: bounds.pause })
            }
            (PruneStep::Mark, Prune::Checked { used, ripe, left }) => {
                self.mark(bounds, used);
                Some(Prune::Marked { used, ripe, left })
            }
            (PruneStep::Delete, Prune::Marked { used, ripe, .. }) => {
                self.delete(mutant, used, ripe);
                if held {
                    self.prune_left = 0;
                }
                None
            }
            _ => return false,
        };
        match next {
            Some(next) => self.prunes[at].1 = next,
            None => drop(self.prunes.remove(at)),
        }
        true
    }

    /// Returns the packs whose grace is over now, as bits.
    fn ripe(&self) -> u8 {
        let ripe = |pack: &Pack| *pack == Pack::Marked { left: 0 };
        self.packs.iter().enumerate().filter(|(_, pack)| ripe(pack)).fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Marks what no snapshot used, and takes back what one does.
    fn mark(&mut self, bounds: &Bounds, used: u8) {
        for (at, pack) in self.packs.iter_mut().enumerate() {
            match (*pack, used & 1 << at != 0) {
                (Pack::Live, false) => *pack = Pack::Marked { left: bounds.grace },
                (Pack::Marked { .. }, true) => {
                    *pack = Pack::Live;
                    self.taken_back = true;
                }
                _ => {}
            }
        }
    }

    /// Deletes marked packs whose grace was over when snapshots were looked at.
    fn delete(&mut self, mutant: Mutant, used: u8, ripe: u8) {
        let ripe = match mutant {
            Mutant::NoGrace => u8::MAX,
            Mutant::AgeAtDeletion => self.ripe(),
            _ => ripe,
        };
        for (at, pack) in self.packs.iter_mut().enumerate() {
            let used = used & 1 << at != 0 && mutant != Mutant::NoSecondLook;
            if matches!(pack, Pack::Marked { .. }) && ripe & 1 << at != 0 && !used {
                *pack = Pack::Deleted;
            }
        }
    }
}
