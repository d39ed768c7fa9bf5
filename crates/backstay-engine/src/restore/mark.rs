//! The mark of a restore that is under way: a small file in a target that was empty when it began.
//!
//! It names the restore and the snapshot. Who finds its own mark knows that all else there was written by itself, and
//! finishes it; anybody else finds a folder that is not empty. It goes away when the restore has ended.

use std::fs::File;
use std::io::Write;

use rustix::fs::{Mode, OFlags};

use super::options::{Reconcile, RestoreOptions};
use super::target::Target;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::system::SystemCall;

/// A mark that has been set, or none.
#[derive(Debug)]
pub(super) struct Mark(Option<String>);

/// Returns what the mark of a restore holds; none when it leaves none.
fn text(options: &RestoreOptions<'_>) -> Option<String> {
    let word = options.resume.filter(|_| options.reconcile == Reconcile::Fail)?;
    let below = String::from_utf8_lossy(options.sub_path);
    Some(format!("backstay restore {word}\nsnapshot {}\nbelow {below}\n", options.snapshot))
}

fn name(text: &str) -> String {
    format!(".backstay-restore-{}", &Id::of(text.as_bytes()).to_hex()[..16])
}

impl Mark {
    /// Says whether a target holds what an interrupted restore with these options left. A target that holds anything else
    /// is refused where nothing may be there.
    pub(super) fn judge(target: Option<&Target>, options: &RestoreOptions<'_>) -> Result<bool, EngineError> {
        let Some(target) = target.filter(|_| options.reconcile == Reconcile::Fail) else { return Ok(false) };
        let path = options.target.display().to_string();
        let failed = |error: rustix::io::Errno| EngineError::Write { path: path.clone(), source: error.into() };
        if target.is_empty().map_err(failed)? {
            return Ok(false);
        }
        // The name alone tells: it is made of all that the mark says. Its maker may have died before it was written.
        if let Some(text) = text(options)
            && target.at(name(&text).as_bytes(), OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).is_ok()
        {
            return Ok(true);
        }
        Err(EngineError::Target { path, problem: "is not empty; name a new or an empty folder".to_owned() })
    }

    /// Sets the mark where there is to be one.
    pub(super) fn set(target: &Target, options: &RestoreOptions<'_>) -> Result<Self, EngineError> {
        if Self::judge(Some(target), options)? {
            return Ok(Self(text(options).map(|text| name(&text))));
        }
        let Some(text) = text(options) else { return Ok(Self(None)) };
        let name = name(&text);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let failed = |source| EngineError::Write { path: options.target.join(&name).display().to_string(), source };
        let opened =
            target.at(name.as_bytes(), flags, Mode::RUSR | Mode::WUSR).map_err(|error| failed(error.into()))?;
        let mut file = File::from(opened);
        target.system().before(SystemCall::Write, name.as_bytes()).map_err(|error| failed(error.into()))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Self(Some(name)))
    }

    /// Takes the mark away: the restore has ended.
    pub(super) fn remove(self, target: &Target) -> Result<(), EngineError> {
        let Some(name) = self.0 else { return Ok(()) };
        let failed = |error: rustix::io::Errno| EngineError::Write { path: name.clone(), source: error.into() };
        let folder = target.folder(b"").map_err(failed)?;
        target.remove(&folder, name.as_bytes()).map_err(failed)
    }
}
