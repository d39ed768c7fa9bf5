//! The master keys, under which secrets are sealed in the database: from a file, from the environment, or made.
//!
//! A text of keys has one a line: the first one seals, the others still open what they sealed.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use backstay_core::domain::secret::Secret;
use backstay_core::ports::random::Random as _;
use backstay_db::{MasterKey, MasterKeyError, MasterKeys};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::config::{Config, SaidOrFile};
use super::system::SystemRandom;

/// Largest file that is read for a secret: one that never ends must not take all memory.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file could not be read or made.
    #[error("the file {} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody on the machine may read it.
    #[error("the secret in {} can be read by everybody on this machine; run: chmod o= {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("the master key in {place} cannot be used")]
    Shape {
        /// Where it was found.
        place: String,
        /// What a key looks like.
        source: MasterKeyError,
    },
}

/// Returns what a file holds that only its owner and group can read.
///
/// # Errors
/// [`KeyError::Io`], [`KeyError::Open`].
pub(crate) fn read_private(path: &Path) -> Result<Secret, KeyError> {
    let told = |source| KeyError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.permissions().mode() & 0o007 != 0 {
        return Err(KeyError::Open { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(told)?;
    Ok(Secret::from(text.as_str()))
}

/// Reads keys, one a line.
///
/// # Errors
/// [`KeyError::Shape`], which does not repeat the text.
pub(crate) fn parse(text: &Secret, place: &str) -> Result<MasterKeys, KeyError> {
    let wrong = |source| KeyError::Shape { place: place.to_owned(), source };
    let mut keys = text.expose_secret().split_whitespace().map(|word| MasterKey::parse(&Secret::from(word)));
    let current = keys.next().unwrap_or(Err(MasterKeyError)).map_err(wrong)?;
    Ok(MasterKeys::new(current, keys.collect::<Result<_, _>>().map_err(wrong)?))
}

/// Reads the keys in a file.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn read(path: &Path) -> Result<MasterKeys, KeyError> {
    parse(&read_private(path)?, &path.display().to_string())
}

/// Returns the keys that settings name; none when they name none.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn of(config: &Config) -> Result<Option<MasterKeys>, KeyError> {
    Ok(match config.said_or_file("server.master_key") {
        None => None,
        Some(SaidOrFile::Said(value)) => Some(parse(&Secret::from(value.text), &value.origin.words())?),
        Some(SaidOrFile::File(file)) => Some(read(&file)?),
    })
}

/// Reads the keys in a file of this process's own, which is made with a fresh key when it is not there.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn ensure(path: &Path) -> Result<MasterKeys, KeyError> {
    let told = |source| KeyError::Io { path: path.to_owned(), source };
    // Empty after a crash between making and filling it: nothing was sealed with it yet.
    if std::fs::metadata(path).map_or(true, |file| file.len() == 0) {
        let mut fresh = Zeroizing::new([0; 32]);
        SystemRandom.fill(&mut *fresh);
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*fresh));
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let mut file = file.map_err(told)?;
        writeln!(file, "{}", *text).and_then(|()| file.sync_all()).map_err(told)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(told)?;
        }
    }
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_seals_and_the_others_open() {
        let (first, second) = ("07".repeat(32), "08".repeat(32));
        let keys = parse(&Secret::from(format!("{first}\n{second}\n")), "x").unwrap();
        let shown = format!("{keys:?}");
        let id = |letter| MasterKey::new([letter; 32]).id().to_owned();
        assert!(shown.find(&id(7)).unwrap() < shown.find(&id(8)).unwrap(), "{shown}");
        for text in ["", "\n", "hunter2", &format!("{first}\nhunter2")] {
            let refused = parse(&Secret::from(text), "the file k").unwrap_err();
            assert!(refused.to_string().contains("the file k") && !refused.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_key_is_made_once_and_others_may_not_read_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let first = format!("{:?}", ensure(&path).unwrap());
        assert_eq!(format!("{:?}", ensure(&path).unwrap()), first);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Open { .. })));
    }
}
