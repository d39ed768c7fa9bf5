//! What a backup leaves out, by restic's rules: patterns, files of patterns, folders that hold a tag, size, and other
//! file systems.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

pub use super::pattern::PatternError;
use super::pattern::{Names, Pattern, leaves_out, small};

/// What a folder's `CACHEDIR.TAG` begins with (the Cache Directory Tagging Specification).
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What a backup leaves out; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
    /// Patterns in small letters, held against paths in small letters.
    patterns_small: Vec<Pattern>,
    tags: Vec<Tag>,
    larger_than_bytes: Option<u64>,
    file_systems: FileSystems,
}

/// Whether letters of different case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They are not.
    Counts,
    /// They are.
    Ignored,
}

/// Which file systems are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileSystems {
    /// All that are mounted below a root.
    #[default]
    All,
    /// That of each root; a mount point is saved as an empty folder.
    RootsOwn,
}

/// Why an exclude cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// It is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A file of patterns cannot be read.
    #[error("the file of patterns {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tag has no name.
    #[error("`{text}` names no file: write NAME or NAME:HEADER")]
    Tag {
        /// What was given.
        text: String,
    },
}

/// A file whose presence leaves out what is beside it.
#[derive(Debug, Clone)]
struct Tag {
    name: Vec<u8>,
    /// What it has to begin with; nothing when it need only be there.
    header: Vec<u8>,
}

impl Excludes {
    /// Adds a pattern. Patterns decide in the order in which they were added, those where case counts apart from the
    /// others; an empty one says nothing.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn add(&mut self, pattern: &[u8], case: Case) -> Result<(), PatternError> {
        match case {
            Case::Counts => self.patterns.extend(Pattern::parse(pattern)?),
            Case::Ignored => self.patterns_small.extend(Pattern::parse(&small(pattern))?),
        }
        Ok(())
    }

    /// Adds the patterns of a file: one a line, blanks around it and lines that begin with `#` left out, `$NAME` and
    /// `${NAME}` replaced by `variable` and `$$` by `$`.
    ///
    /// # Errors
    /// [`ExcludeError`].
    pub fn add_file(
        &mut self,
        path: &Path,
        case: Case,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ExcludeError> {
        let text = std::fs::read(path).map_err(|source| ExcludeError::File { path: path.to_owned(), source })?;
        Ok(self.add_text(&text, case, variable)?)
    }

    /// Adds the patterns of the text of such a file.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn add_text(
        &mut self,
        text: &[u8],
        case: Case,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), PatternError> {
        super::lines::patterns(text, variable).iter().try_for_each(|line| self.add(line, case))
    }

    /// Says whether the patterns leave out what has a name in a folder, given by its path from `/` on. Nothing is looked
    /// at on disk.
    pub fn leaves_out_name(&self, folder: &[u8], name: &[u8]) -> bool {
        self.within(|| folder.to_vec()).is_some_and(|scope| scope.leaves_out_name(name))
    }

    /// Leaves out what lies in folders that hold a `CACHEDIR.TAG` with its signature; the tag itself is kept.
    pub fn add_caches(&mut self) {
        self.tags.push(Tag { name: b"CACHEDIR.TAG".to_vec(), header: CACHE_SIGNATURE.to_vec() });
    }

    /// Leaves out what lies in folders that hold a file: `NAME`, or `NAME:HEADER` for what it has to begin with. The file
    /// itself is kept.
    ///
    /// # Errors
    /// [`ExcludeError::Tag`].
    pub fn add_if_present(&mut self, text: &str) -> Result<(), ExcludeError> {
        let (name, header) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(ExcludeError::Tag { text: text.to_owned() });
        }
        self.tags.push(Tag { name: name.into(), header: header.into() });
        Ok(())
    }

    /// Leaves out what is no folder and has more bytes.
    pub fn larger_than(&mut self, bytes: u64) {
        self.larger_than_bytes = Some(bytes);
    }

    /// Says which file systems are read.
    pub fn file_systems(&mut self, file_systems: FileSystems) {
        self.file_systems = file_systems;
    }

    /// Returns what is left out of a folder, given by its path from `/` on; none when nothing can be.
    pub(crate) fn within(&self, folder: impl FnOnce() -> Vec<u8>) -> Option<Scope<'_>> {
        let idle = self.patterns.is_empty()
            && self.patterns_small.is_empty()
            && self.tags.is_empty()
            && self.larger_than_bytes.is_none()
            && self.file_systems == FileSystems::All;
        if idle {
            return None;
        }
        let names = |path: &[u8]| {
            let below = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
            std::iter::once(b"/".to_vec()).chain(below).collect()
        };
        let path = folder();
        let small = if self.patterns_small.is_empty() { Vec::new() } else { names(&small(&path)) };
        Some(Scope { excludes: self, names: names(&path), small, tags: Vec::new(), devices: None })
    }
}

/// What is left out of one folder.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    excludes: &'a Excludes,
    names: Vec<Vec<u8>>,
    small: Vec<Vec<u8>>,
    /// Names of the tags that it holds.
    tags: Vec<&'a [u8]>,
    /// Its own device and its root's.
    devices: Option<(u64, u64)>,
}

impl Scope<'_> {
    /// Looks into the folder for what its entries do not say themselves. `complain` gets what could not be looked at,
    /// which leaves nothing out.
    pub(super) fn look(&mut self, folder: &OwnedFd, root_device: u64, complain: &mut dyn FnMut(&[u8], io::Error)) {
        for tag in &self.excludes.tags {
            match tag.is_in(folder) {
                Ok(true) => self.tags.push(&tag.name),
                Ok(false) => {}
                Err(error) => complain(&tag.name, error),
            }
        }
        if self.excludes.file_systems == FileSystems::RootsOwn {
            self.devices = rustix::fs::fstat(folder).ok().map(|stat| (stat.st_dev, root_device));
        }
    }

    /// Says whether an entry is left out by its name.
    pub(crate) fn leaves_out_name(&self, name: &[u8]) -> bool {
        let excludes = self.excludes;
        self.tags.iter().any(|tag| *tag != name)
            || leaves_out(&excludes.patterns, Names { folder: &self.names, name })
            || !excludes.patterns_small.is_empty()
                && leaves_out(&excludes.patterns_small, Names { folder: &self.small, name: &small(name) })
    }

    /// Says whether an entry is left out by what it is.
    pub(super) fn leaves_out(&self, stat: &Stat) -> bool {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let too_large = !is_folder && self.excludes.larger_than_bytes.is_some_and(|most| bytes > most);
        // A mount point lies in a folder of the root's own file system.
        let elsewhere =
            self.devices.is_some_and(|(folder, root)| stat.st_dev != root && !(is_folder && folder == root));
        too_large || elsewhere
    }
}

impl Tag {
    /// Says whether a folder holds it.
    fn is_in(&self, folder: &OwnedFd) -> io::Result<bool> {
        match rustix::fs::statat(folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
            Ok(_) if self.header.is_empty() => return Ok(true),
            Ok(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, &*self.name, flags, Mode::empty())?;
        let mut begin = Vec::new();
        std::fs::File::from(file).take(self.header.len() as u64).read_to_end(&mut begin)?;
        Ok(begin == self.header)
    }
}
