//! Who holds a lock, and what proves that a holder is dead.

use crate::format::lock::{LockFile, LockMark};

/// Who holds a lock.
#[derive(Debug, Clone)]
pub struct LockOwner {
    /// Name of the machine.
    pub hostname: String,
    /// Name of the user.
    pub username: String,
    /// The process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What proves later that this process is dead.
    pub mark: LockMark,
}

impl LockOwner {
    /// Returns this process, working for a user.
    pub fn this_process(username: String) -> Self {
        let pid = std::process::id();
        Self {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            username,
            pid,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            mark: LockMark {
                boot: boot(),
                process_space: process_space(),
                process_start: process_start(pid).unwrap_or(0),
                lease: String::new(),
            },
        }
    }

    /// Returns it as the holder of a lease: the control plane names leases that are dead, and the next of us removes
    /// their locks.
    #[must_use]
    pub fn under_lease(mut self, lease: String) -> Self {
        self.mark.lease = lease;
        self
    }

    pub(super) fn file(&self, exclusive: bool, time: String) -> LockFile {
        LockFile {
            time,
            exclusive,
            hostname: self.hostname.clone(),
            username: self.username.clone(),
            pid: i64::from(self.pid),
            uid: self.uid,
            gid: self.gid,
            backstay: Some(self.mark.clone()),
        }
    }
}

/// What this machine knows about the process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// It does not run any more, without doubt: same kernel, same space of process numbers, and no such process.
    Dead,
    /// A process of this number does not run on a machine of this name; whether that is the same machine is not known.
    Absent,
    /// It runs, or nothing is known.
    Unknown,
}

/// Returns what this machine knows about a holder.
pub(super) fn process_of(lock: &LockFile, us: &LockOwner) -> Process {
    let Ok(pid) = u32::try_from(lock.pid) else { return Process::Unknown };
    let same_space = |mark: &&LockMark| {
        !mark.boot.is_empty()
            && !mark.process_space.is_empty()
            && (&mark.boot, &mark.process_space) == (&us.mark.boot, &us.mark.process_space)
    };
    let start = process_start(pid);
    match lock.backstay.as_ref().filter(same_space) {
        // Another process may have got the number since.
        Some(mark) if mark.process_start > 0 && start != Some(0) && start != Some(mark.process_start) => Process::Dead,
        Some(_) => Process::Unknown,
        None if lock.hostname == us.hostname && pid > 0 && start.is_none() => Process::Absent,
        None => Process::Unknown,
    }
}

/// Returns the id of the kernel's boot; empty when it cannot be read.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns the name of the space of process numbers that we live in; empty when it cannot be read.
fn process_space() -> String {
    std::fs::read_link("/proc/self/ns/pid").map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns when a process was started, in ticks since boot; zero when that is not known, none when there is no such
/// process.
fn process_start(pid: u32) -> Option<u64> {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        // `/proc` may hide the processes of others (`hidepid`): only the kernel's word that there is none counts.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_gone(pid) => return None,
        // It runs, and more we may not know.
        Err(_) => return Some(0),
    };
    // The name in parentheses may hold anything; after it, the state and 18 numbers come before the start.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let mut fields = after.split_whitespace();
    // Who has ended and waits for its parent to notice holds nothing any more.
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    Some(fields.nth(18).and_then(|ticks| ticks.parse().ok()).unwrap_or(0))
}

/// Says whether the kernel knows no such process.
fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(us: &LockOwner) -> LockFile {
        us.file(true, String::new())
    }

    #[test]
    fn a_process_is_dead_only_when_that_is_proved() {
        let us = LockOwner::this_process("ada".to_owned());
        assert!(us.mark.process_start > 0 && !us.mark.boot.is_empty(), "{us:?}");
        assert_eq!(process_of(&lock(&us), &us), Process::Unknown, "we live");
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let dead = LockFile { pid: i64::from(gone.id()), ..lock(&us) };
        assert_eq!(process_of(&dead, &us), Process::Dead);
        let mark = |change: fn(&mut LockMark)| {
            let mut mark = us.mark.clone();
            change(&mut mark);
            LockFile { backstay: Some(mark), ..dead.clone() }
        };
        assert_eq!(process_of(&mark(|mark| mark.boot = "other".to_owned()), &us), Process::Absent, "another boot");
        assert_eq!(process_of(&mark(|mark| mark.process_space = "pid:[1]".to_owned()), &us), Process::Absent);
        let reused = LockFile { backstay: Some(LockMark { process_start: 1, ..us.mark.clone() }), ..lock(&us) };
        assert_eq!(process_of(&reused, &us), Process::Dead, "its number belongs to another now");
        let foreign = LockFile { backstay: None, ..dead };
        assert_eq!(process_of(&foreign, &us), Process::Absent, "restic's own rule, and no more than a hint");
        assert_eq!(process_of(&LockFile { hostname: "other".to_owned(), ..foreign }, &us), Process::Unknown);
    }
}
