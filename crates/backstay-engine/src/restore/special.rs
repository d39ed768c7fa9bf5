//! What is no file: folders first, links and special files after the files, and the folders' metadata at the end.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::{Errno, Result};

use super::Run;
use super::plan::{Action, Entry, ROOT, RestorePlan, state};
use super::stage::{is_staged, settle, work_path};
use super::target::{is_whole, shown, split};
use crate::error::EngineError;
use crate::format::node::NodeKind;
use crate::system::SystemCall;

/// Makes the folders of a plan, which only we can enter until their own mode is set. What lies in one that cannot be made
/// is given up with it.
pub(super) fn make_folders(run: &Run<'_>, plan: &mut RestorePlan) -> std::result::Result<(), EngineError> {
    for index in 0..plan.entries.len() as u32 {
        run.interrupt.check()?;
        let entry = plan.entry(index);
        if !entry.is_restored() {
            if entry.action == Action::Fail {
                entry.set(state::FAILED);
            }
            continue;
        }
        if entry.parent != ROOT && plan.entry(entry.parent).has(state::FAILED) {
            entry.set(state::FAILED);
            plan.fail(index, "what it lies in could not be made".to_owned());
            continue;
        }
        if entry.kind != NodeKind::Dir || entry.action == Action::Unchanged {
            continue;
        }
        let path = plan.path(index);
        let made = run.target.above(&path).and_then(|(above, name)| {
            if entry.action == Action::Overwrite {
                run.target.remove(&above, name)?;
            }
            run.target.system().before(SystemCall::Make, name)?;
            rustix::fs::mkdirat(&above, name, Mode::RWXU)
        });
        if let Err(error) = made {
            entry.set(state::FAILED);
            whole(&path, error)?;
            plan.fail(index, format!("could not be made: {error}"));
        }
    }
    Ok(())
}

/// Ends the restore when an error is the target's as a whole.
fn whole(path: &[u8], error: Errno) -> std::result::Result<(), EngineError> {
    let source = std::io::Error::from(error);
    if is_whole(&source) { Err(EngineError::Write { path: shown(path), source }) } else { Ok(()) }
}

/// Makes symbolic links, FIFOs, sockets and devices.
pub(super) fn make_others(run: &Run<'_>, plan: &mut RestorePlan) -> std::result::Result<(), EngineError> {
    for index in 0..plan.entries.len() as u32 {
        let entry = plan.entry(index);
        let other = !matches!(entry.kind, NodeKind::Dir | NodeKind::File);
        if !other || !entry.is_restored() || entry.has(state::FAILED) {
            continue;
        }
        run.interrupt.check()?;
        match make_other(run, plan, index) {
            Ok(done) => {
                entry.set(state::DONE);
                if let Err(words) = done {
                    plan.fail(index, words);
                }
            }
            Err(error) => {
                entry.set(state::FAILED);
                whole(&plan.path(index), error)?;
                plan.fail(index, format!("could not be made: {error}"));
            }
        }
    }
    Ok(())
}

fn make_other(run: &Run<'_>, plan: &RestorePlan, index: u32) -> Result<std::result::Result<(), String>> {
    let (entry, path) = (plan.entry(index), plan.path(index));
    let (above, name) = run.target.above(&path)?;
    let extra = plan.extra_of(entry);
    let set = plan.links.get(extra.map_or(0, |extra| extra.links).wrapping_sub(1) as usize);
    let first =
        set.and_then(|set| set.iter().copied().find(|other| *other != index && plan.entry(*other).has(state::DONE)));
    if let Some(first) = first
        && link(run, plan, first, index).is_ok()
    {
        return Ok(Ok(()));
    }
    let staged = (is_staged(run.options) && entry.action != Action::Unchanged).then(|| work_path(run.options, &path));
    let (final_name, name) = (name, staged.as_ref().map_or(name, |work| split(work).1));
    if entry.action == Action::Overwrite || staged.is_some() {
        run.target.remove(&above, name)?;
    }
    if entry.action != Action::Unchanged {
        run.target.system().before(SystemCall::Make, final_name)?;
        let (target, device) = extra.map_or((&[][..], 0), |extra| (&extra.target, extra.device));
        let node = |kind| rustix::fs::mknodat(&above, name, kind, Mode::RUSR | Mode::WUSR, device);
        match entry.kind {
            NodeKind::Symlink => rustix::fs::symlinkat(target, &above, name)?,
            NodeKind::Fifo => node(FileType::Fifo)?,
            NodeKind::Socket => node(FileType::Socket)?,
            NodeKind::CharDevice => node(FileType::CharacterDevice)?,
            NodeKind::BlockDevice => node(FileType::BlockDevice)?,
            NodeKind::File | NodeKind::Dir | NodeKind::Other => return Err(Errno::INVAL),
        }
    }
    let done = run.rules.set_at(&above, name, entry, extra);
    if staged.is_some()
        && let Err(error) = settle(run.target, &above, name, final_name, entry.action)
    {
        // What is left is found by the next run; its answer is that of the first error.
        let _ = run.target.remove(&above, name);
        return Err(error);
    }
    Ok(done)
}

/// Chooses of each set of hard links the file that is written, and marks the others as names of it.
pub(super) fn choose_links(plan: &RestorePlan) {
    for set in &plan.links {
        let files = || set.iter().map(|index| plan.entry(*index)).filter(|entry| is_file(entry));
        let there = |entry: &&Entry| entry.action == Action::Unchanged;
        let Some(first) = files().find(there).or_else(|| files().next()) else { continue };
        files().filter(|entry| !std::ptr::eq(*entry, first)).for_each(|entry| {
            entry.set(state::LINKED);
        });
    }
}

fn is_file(entry: &Entry) -> bool {
    entry.kind == NodeKind::File && entry.is_restored() && !entry.has(state::FAILED)
}

/// Gives the files that were written their other names. Returns those that have to be written as files of their own: the
/// first of a set of which none could be written, and what cannot be linked.
pub(super) fn make_links(run: &Run<'_>, plan: &mut RestorePlan) -> std::result::Result<Vec<u32>, EngineError> {
    let mut again = Vec::new();
    for set in &plan.links {
        run.interrupt.check()?;
        let waits = |index: &&u32| {
            let entry = plan.entry(**index);
            entry.has(state::LINKED) && !entry.has(state::DONE | state::FAILED)
        };
        let first = set.iter().copied().find(|index| {
            let entry = plan.entry(*index);
            is_file(entry) && entry.has(state::DONE)
        });
        let Some(first) = first else {
            again.extend(set.iter().find(waits));
            continue;
        };
        for index in set.iter().filter(waits) {
            match link(run, plan, first, *index) {
                Ok(()) => {
                    plan.entry(*index).set(state::DONE);
                    run.progress.done(1, 0);
                }
                Err(error) => {
                    whole(&plan.path(*index), error)?;
                    again.push(*index);
                }
            }
        }
    }
    for index in &again {
        plan.entry(*index).clear(state::LINKED);
    }
    Ok(again)
}

/// Makes an entry another name of what was restored first.
fn link(run: &Run<'_>, plan: &RestorePlan, first: u32, index: u32) -> Result<()> {
    let (first, path) = (plan.path(first), plan.path(index));
    let (from, from_name) = run.target.above(&first)?;
    let (above, name) = run.target.above(&path)?;
    let inode = run.target.look(&from, from_name)?.map(|stat| (stat.st_dev, stat.st_ino)).ok_or(Errno::NOENT)?;
    match run.target.look(&above, name)? {
        Some(stat) if (stat.st_dev, stat.st_ino) == inode => return Ok(()),
        // Only what the plan says is replaced.
        Some(_) if matches!(plan.entry(index).action, Action::Overwrite | Action::Unchanged) => {
            return link_over(run, (&from, from_name), &above, &path);
        }
        Some(_) => return Err(Errno::EXIST),
        None => {}
    }
    run.target.system().before(SystemCall::Link, name)?;
    rustix::fs::linkat(&from, from_name, &above, name, AtFlags::empty())
}

/// Makes the other name beside what is there, and puts it in its place: what is there stays when it cannot be made.
fn link_over(run: &Run<'_>, (from, from_name): (&OwnedFd, &[u8]), above: &OwnedFd, path: &[u8]) -> Result<()> {
    let work = work_path(run.options, path);
    let (work, name) = (split(&work).1, split(path).1);
    run.target.system().before(SystemCall::Link, name)?;
    match rustix::fs::unlinkat(above, work, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::linkat(from, from_name, above, work, AtFlags::empty())?;
    settle(run.target, above, work, name, Action::Overwrite).inspect_err(|_| {
        // The next run finds it, and makes it anew.
        let _ = rustix::fs::unlinkat(above, work, AtFlags::empty());
    })
}

/// Sets the metadata of the folders of a plan, deepest first: a folder that may not be written is closed last. Returns
/// how many there are.
pub(super) fn settle_folders(run: &Run<'_>, plan: &mut RestorePlan) -> std::result::Result<u64, EngineError> {
    let mut count = 0;
    for index in (0..plan.entries.len() as u32).rev() {
        let entry = plan.entry(index);
        if entry.kind != NodeKind::Dir || !entry.is_restored() || entry.has(state::FAILED) {
            continue;
        }
        run.interrupt.check()?;
        count += 1;
        let done = match run.target.folder(&plan.path(index)) {
            Ok(folder) => run.rules.set(&folder, plan.name(entry), entry, plan.extra_of(entry)),
            Err(error) => Err(format!("its metadata could not be set: {error}")),
        };
        if let Err(words) = done {
            plan.fail(index, words);
        }
    }
    Ok(count)
}
