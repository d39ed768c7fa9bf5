//! How a snapshot lays out what it was told to read, as restic does: `/a/b` and `/a/c` lie in one folder `a`, relative
//! paths lose what leads upwards, `.` and `/` stand for what is in them.
//!
//! Where a root lies above another, its own entries become roots beside it, so that each is read once. Two relative
//! roots of one name from different folders stand as `name` and `name-1`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, OFlags};

use super::folder::open_root;
use super::options::RootRule;
use crate::browse::join;
use crate::error::EngineError;
use crate::system::{System, SystemCall};

/// An entry that comes from what a backup was told.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A root, or an entry of a root that lies above another.
    Root {
        /// Where it lies.
        path: PathBuf,
        /// The same from `/` on.
        absolute: Vec<u8>,
        /// The device of the root that it is or lies in.
        device: u64,
        /// Whether it was named by the caller.
        named: bool,
        /// Held open, where roots have to be folders.
        opened: Option<Arc<OwnedFd>>,
    },
    /// A folder on the way to roots.
    OnTheWay {
        /// Where it lies.
        path: PathBuf,
        /// What is in it of the roots.
        below: BTreeMap<Vec<u8>, Place>,
    },
}

impl Place {
    pub(super) fn path(&self) -> &PathBuf {
        match self {
            Self::Root { path, .. } | Self::OnTheWay { path, .. } => path,
        }
    }

    /// Returns the paths in it, and its own, that the caller named.
    pub(super) fn named_below(&self) -> Vec<&PathBuf> {
        match self {
            Self::Root { path, named, .. } => Some(path).filter(|_| *named).into_iter().collect(),
            Self::OnTheWay { below, .. } => below.values().flat_map(Self::named_below).collect(),
        }
    }

    /// Says whether what fails here is something that the caller named.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Root { named: true, .. })
    }
}

/// All roots of a backup.
#[derive(Debug)]
pub(super) struct Layout {
    /// What the snapshot's own folder holds.
    pub(super) places: BTreeMap<Vec<u8>, Place>,
    /// What the snapshot says that it was made of: absolute paths.
    pub(super) paths: Vec<String>,
    /// Roots that are not there, and why.
    pub(super) missing: Vec<(PathBuf, io::Error)>,
    /// Roots that were told, missing ones too.
    pub(super) named: usize,
}

/// A place while roots are still added.
#[derive(Debug, Default)]
struct Draft {
    /// The folder that a relative root's first name lies in.
    from: Vec<u8>,
    /// Where a root lies.
    root: Option<Vec<u8>>,
    /// Where a folder on the way lies.
    on_the_way: Vec<u8>,
    below: BTreeMap<Vec<u8>, Draft>,
}

/// What is known of a root that was told.
struct Known {
    absolute: Vec<u8>,
    device: u64,
    opened: Option<Arc<OwnedFd>>,
}

/// Lays out roots.
///
/// # Errors
/// [`EngineError::Source`] when a root that has to be a folder is none, and when none is there.
pub(super) fn lay_out(roots: &[PathBuf], rule: RootRule, system: &System) -> Result<Layout, EngineError> {
    let here = std::env::current_dir().map_err(|source| unreadable(Path::new("."), source))?;
    let mut known: Vec<Known> = Vec::new();
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for root in roots {
        match look_at(root, &here, rule, system) {
            Ok(found) => {
                known.push(found);
                there.push(clean(root.as_os_str().as_bytes()));
            }
            Err(source) if rule == RootRule::Anything => missing.push((root.clone(), source)),
            Err(source) => return Err(unreadable(root, source)),
        }
    }
    if there.is_empty() {
        let (root, source) = missing.into_iter().next().unwrap_or_else(|| {
            (PathBuf::new(), io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to read: name a path"))
        });
        return Err(unreadable(&root, source));
    }
    let mut draft = Draft::default();
    let mut seen = BTreeSet::new();
    for root in stand_ins(&there)? {
        if seen.insert(root.clone()) {
            draft.add(&root);
        }
    }
    let places = draft.finish(&known, &here)?;
    let paths = known.iter().map(|one| String::from_utf8_lossy(&one.absolute).into_owned()).collect();
    Ok(Layout { places, paths, missing, named: roots.len() })
}

fn look_at(root: &Path, here: &Path, rule: RootRule, system: &System) -> io::Result<Known> {
    system.before(SystemCall::Stat, root.as_os_str().as_bytes())?;
    let absolute = absolute(root.as_os_str().as_bytes(), here);
    let (stat, opened) = match rule {
        RootRule::Anything => (rustix::fs::statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW)?, None),
        RootRule::Folders => {
            system.before(SystemCall::Open, root.as_os_str().as_bytes())?;
            let folder = open_root(root, OFlags::empty())?;
            system.before(SystemCall::List, root.as_os_str().as_bytes())?;
            rustix::fs::Dir::read_from(&folder)?;
            (rustix::fs::fstat(&folder)?, Some(Arc::new(folder)))
        }
    };
    Ok(Known { absolute, device: stat.st_dev, opened })
}

/// Puts what is in it in the place of each root that has no name of its own.
fn stand_ins(roots: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EngineError> {
    let mut all = Vec::with_capacity(roots.len());
    for root in roots {
        if names_of(root).is_empty() {
            let names = names_in(root)?;
            all.extend(names.into_iter().map(|name| beside(root, &name)));
        } else {
            all.push(root.clone());
        }
    }
    Ok(all)
}

fn names_in(folder: &[u8]) -> Result<Vec<Vec<u8>>, EngineError> {
    let path = Path::new(OsStr::from_bytes(folder));
    let failed = |source| unreadable(path, source);
    let entries = std::fs::read_dir(path).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.file_name().into_vec())).collect::<io::Result<_>>().map_err(failed)
}

impl Draft {
    fn add(&mut self, root: &[u8]) {
        let names = names_of(root);
        let from = from_of(root);
        let Some((first, rest)) = names.split_first() else { return };
        let mut name = first.clone();
        let mut other = 0;
        while self.below.get(&name).is_some_and(|known| known.from != from) {
            other += 1;
            name = [first, format!("-{other}").as_bytes()].concat();
        }
        let mut place = self.below.entry(name).or_default();
        place.from.clone_from(&from);
        let mut way = beside(&from, first);
        for name in rest {
            place.on_the_way.clone_from(&way);
            way = beside(&way, name);
            place = place.below.entry(name.clone()).or_default();
        }
        place.root = Some(root.to_vec());
    }

    fn finish(self, known: &[Known], here: &Path) -> Result<BTreeMap<Vec<u8>, Place>, EngineError> {
        let finish = |(name, draft): (Vec<u8>, Self)| Ok((name, draft.place(known, here)?));
        self.below.into_iter().map(finish).collect()
    }

    fn place(mut self, known: &[Known], here: &Path) -> Result<Place, EngineError> {
        match self.root.take() {
            Some(root) if self.below.is_empty() => Ok(leaf(&root, known, here)),
            Some(root) => {
                for name in names_in(&root)? {
                    let path = beside(&root, &name);
                    self.below.entry(name).or_default().root.get_or_insert(path);
                }
                let path = PathBuf::from(OsString::from_vec(root));
                Ok(Place::OnTheWay { path, below: self.finish(known, here)? })
            }
            None => {
                let path = PathBuf::from(OsString::from_vec(self.on_the_way.clone()));
                Ok(Place::OnTheWay { path, below: self.finish(known, here)? })
            }
        }
    }
}

fn leaf(root: &[u8], known: &[Known], here: &Path) -> Place {
    let absolute = absolute(root, here);
    let is_above = |one: &&Known| Path::new(OsStr::from_bytes(&absolute)).starts_with(OsStr::from_bytes(&one.absolute));
    let above = known.iter().filter(is_above).max_by_key(|one| one.absolute.len());
    let same = known.iter().find(|one| one.absolute == absolute);
    Place::Root {
        path: PathBuf::from(OsStr::from_bytes(root)),
        device: above.map_or(0, |one| one.device),
        named: same.is_some(),
        opened: same.and_then(|one| one.opened.clone()),
        absolute,
    }
}

/// Returns the names that a root has in the snapshot.
fn names_of(root: &[u8]) -> Vec<Vec<u8>> {
    let below = clean(&[b"/", root].concat());
    below.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Returns the folder that a root's first name lies in: `/`, `.`, or as many `..` as it begins with.
fn from_of(root: &[u8]) -> Vec<u8> {
    if root.starts_with(b"/") {
        return b"/".to_vec();
    }
    let upwards: Vec<&[u8]> = root.split(|byte| *byte == b'/').take_while(|name| *name == b"..").collect();
    if upwards.is_empty() { b".".to_vec() } else { upwards.join(&b'/') }
}

fn beside(folder: &[u8], name: &[u8]) -> Vec<u8> {
    clean(&join(folder, name))
}

fn absolute(path: &[u8], here: &Path) -> Vec<u8> {
    match path.starts_with(b"/") {
        true => clean(path),
        false => beside(here.as_os_str().as_bytes(), path),
    }
}

/// Returns a path without what says nothing: `.`, doubled and trailing `/`, and a name that `..` takes back. Nothing is
/// looked at on disk; an empty path is `.`.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.last().is_some_and(|last| *last != b"..") => {
                names.pop();
            }
            b".." if rooted => {}
            name => names.push(name),
        }
    }
    match (rooted, names.is_empty()) {
        (true, _) => [b"/", &*names.join(&b'/')].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => names.join(&b'/'),
    }
}

/// Says that a source cannot be read.
pub(super) fn unreadable(path: &Path, source: io::Error) -> EngineError {
    EngineError::Source { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (path, plain) in [
            ("", "."),
            ("./a//b/", "a/b"),
            ("a/../../b", "../b"),
            ("/../a/./..", "/"),
            ("../..", "../.."),
            ("/a/b/../c", "/a/c"),
        ] {
            assert_eq!(String::from_utf8(clean(path.as_bytes())).unwrap(), plain, "{path}");
        }
    }

    #[test]
    fn roots_of_one_name_from_different_folders_stand_beside_each_other() {
        let mut draft = Draft::default();
        for root in ["/t/x", "../t", "t/y", "../t/z"] {
            draft.add(root.as_bytes());
        }
        let shown = |name: &str| {
            let place = &draft.below[name.as_bytes()];
            let words = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (words(&place.from), words(&place.on_the_way), place.root.is_some(), place.below.len())
        };
        assert_eq!(shown("t"), ("/".into(), "/t".into(), false, 1));
        assert_eq!(shown("t-1"), ("..".into(), "../t".into(), true, 1));
        assert_eq!(shown("t-2"), (".".into(), "t".into(), false, 1));
    }
}
