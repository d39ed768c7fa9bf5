//! Damage of every sort, in every place: never a wrong byte restored, the damaged thing named, the rest restored.
//!
//! Every byte of a small repository in memory is changed in turn; every object is cut, exchanged for another and lost; of
//! each object of a repository on disk three bytes are changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backstay_engine::format::config::Config;
use backstay_engine::format::crypto::SealKey;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::{FileKind, config_key};
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage, ReadCache};
use backstay_testkit::fakes::storage::FakeStorage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::executor::block_on;
use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::house::{House, PASSWORD, backup, local, options, password};
use super::mortal::copy_of;
use super::nth::{Described, assert_named, described};
use super::tree;

/// A small repository of two snapshots, whose key costs nothing to try.
pub(crate) struct Small {
    home: TempDir,
    pub(crate) template: Arc<FakeStorage>,
    pub(crate) snapshots: [Id; 2],
    expected: [Described; 2],
}

/// Writes a key file that asks for the least that scrypt can do, and a config.
fn make(storage: &FakeStorage) {
    let put = |key: &ObjectKey, body: Vec<u8>| {
        block_on(storage.object_put(key, Bytes::from(body))).unwrap();
    };
    let (master, salt) = ([7u8; 64], [1u8; 64]);
    let mut wrap = Zeroizing::new([0; 64]);
    let params = scrypt::Params::new(1, 1, 1).unwrap();
    scrypt::scrypt(PASSWORD.as_bytes(), &salt, &params, &mut wrap[..]).unwrap();
    let part = |bytes: &[u8]| BASE64.encode(bytes);
    let inner = json!({
        "mac": { "k": part(&master[32..48]), "r": part(&master[48..]) },
        "encrypt": part(&master[..32]),
    });
    let sealed = SealKey::new(wrap).seal(inner.to_string().as_bytes());
    let file = json!({
        "created": "2026-01-01T00:00:00Z", "username": "a", "hostname": "h", "kdf": "scrypt", "N": 2, "r": 1, "p": 1,
        "salt": part(&salt), "data": part(&sealed),
    });
    let file = file.to_string().into_bytes();
    put(&FileKind::Key.key(&Id::of(&file)), file);
    put(&config_key().unwrap(), SealKey::new(Zeroizing::new(master)).seal(&Config::random().write()));
}

pub(crate) fn small() -> Small {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let root = home.path().join("tree");
    fs::create_dir_all(root.join("folder")).unwrap();
    let template = Arc::new(FakeStorage::default());
    make(&template);
    let repository = open(&template).unwrap();
    let run = |parent| {
        let done = backup(&repository, &options(&root, parent), &EngineProgress::default(), &Interrupt::default());
        (done.unwrap().id, described(&root))
    };
    fs::write(root.join("one"), b"one").unwrap();
    fs::write(root.join("folder/two"), tree::text(1, 300)).unwrap();
    std::os::unix::fs::symlink("one", root.join("link")).unwrap();
    let first = run(None);
    fs::write(root.join("folder/three"), b"three").unwrap();
    let second = run(Some(first.0));
    let bytes: usize = template.keys().iter().map(|key| body_of(&template, key).len()).sum();
    assert!(bytes < 64 << 10, "{bytes}");
    Small { home, template, snapshots: [first.0, second.0], expected: [first.1, second.1] }
}

pub(crate) fn open(storage: &Arc<FakeStorage>) -> Result<Repository, EngineError> {
    Repository::open(Arc::clone(storage) as Arc<dyn ObjectStorage>, &password(), &Interrupt::default())
}

pub(crate) fn body_of(storage: &FakeStorage, key: &str) -> Bytes {
    block_on(storage.object_get(&ObjectKey::new(key).unwrap(), None, ReadCache::Use)).unwrap()
}

/// What a look at a damaged repository found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Snapshots that are restored whole.
    pub(crate) whole: usize,
    /// Files that are restored of those that are not.
    rest: usize,
}

impl Small {
    /// Restores both snapshots, as far as they can be had: what is there is right, what is not is named.
    pub(crate) fn restored(&self, repository: &Repository, context: &str) -> Seen {
        let mut seen = Seen::default();
        let (target, root) = (self.home.path().join("restored"), self.home.path().join("tree"));
        for (id, expected) in self.snapshots.iter().zip(&self.expected) {
            let hex = id.to_hex();
            let options =
                RestoreOptions { sub_path: root.to_str().unwrap().as_bytes(), ..RestoreOptions::new(&hex, &target) };
            match restore(repository, &options, &EngineProgress::default(), &Interrupt::default()) {
                Ok(done) => {
                    let found = described(&target);
                    assert_named(expected, &found, &done.unread, Path::new("/"), context);
                    match done.unread.is_empty() {
                        true => seen.whole += 1,
                        false => seen.rest += found.len(),
                    }
                }
                Err(error) => {
                    assert!(error.is_harm() || matches!(error, EngineError::NoSnapshot { .. }), "{context}: {error:?}")
                }
            }
            if target.exists() {
                fs::remove_dir_all(&target).unwrap();
            }
        }
        seen
    }
}

/// Restores all snapshots of a damaged repository, and sees that a check finds harm.
fn judge(small: &Small, repository: Result<Repository, EngineError>, key: &str, context: &str) -> Seen {
    let repository = match repository {
        Ok(repository) => repository,
        Err(error) => {
            assert!(key == "config" || key.starts_with("keys/"), "{context}: {error:?}");
            return Seen::default();
        }
    };
    let seen = small.restored(&repository, context);
    let found = check(&repository, &ReadData::All, &Interrupt::default()).unwrap();
    // A snapshot that is not there was perhaps forgotten, and a key may have been another's: nothing says that they were.
    let is_silent = key.starts_with("keys/") || context.starts_with("lost snapshots/");
    assert_eq!(found.is_whole(), is_silent, "{context}: {found:?}");
    assert!(found.is_whole() || seen.whole == 2 || found.affected_count > 0 || !key.starts_with("data/"), "{context}");
    seen
}

#[test]
fn whichever_byte_of_a_repository_is_changed_nothing_wrong_is_restored() {
    let small = small();
    let (mut flips, mut some_left) = (0, 0);
    for key in small.template.keys() {
        for at in 0..body_of(&small.template, &key).len() {
            let storage = copy_of(&small.template);
            storage.tamper(&key, |body| body[at] ^= 1 << (at % 8));
            let seen = judge(&small, open(&storage), &key, &format!("byte {at} of {key}"));
            some_left += usize::from(key.starts_with("data/") && (seen.whole > 0 || seen.rest > 0));
            // Another snapshot than the damaged one is whole.
            assert!(!key.starts_with("snapshots/") || seen.whole == 1, "byte {at} of {key}: {seen:?}");
            flips += 1;
        }
    }
    println!("{flips} bytes were changed, one at a time");
    assert!(flips > 2_000 && some_left > 200, "{flips} {some_left}");
}

#[test]
fn whichever_object_is_cut_exchanged_or_lost_nothing_wrong_is_restored() {
    let small = small();
    let keys = small.template.keys();
    let mut tried = 0;
    for key in &keys {
        let body = body_of(&small.template, key);
        let name = ObjectKey::new(&**key).unwrap();
        for bytes in [0, 1, body.len() / 2, body.len() - 1] {
            let storage = copy_of(&small.template);
            storage.tamper(key, |body| body.truncate(bytes));
            judge(&small, open(&storage), key, &format!("{bytes} bytes of {key}"));
            tried += 1;
        }
        let storage = copy_of(&small.template);
        block_on(storage.object_remove(&name)).unwrap();
        judge(&small, open(&storage), key, &format!("lost {key}"));
        for other in keys.iter().filter(|other| *other != key) {
            let storage = copy_of(&small.template);
            let wrong = body_of(&small.template, other);
            storage.tamper(key, |body| *body = wrong.to_vec());
            judge(&small, open(&storage), key, &format!("{other} in the place of {key}"));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn of_each_object_on_disk_three_bytes_are_changed_and_found() {
    let house = House::local();
    for file in 0..5 {
        fs::write(house.tree().join(format!("file-{file}")), tree::noise(file, 700_000)).unwrap();
    }
    let first = (house.backup(None).id, described(&house.tree()));
    fs::write(house.tree().join("later"), tree::text(1, 50_000)).unwrap();
    let second = (house.backup(Some(first.0)).id, described(&house.tree()));
    let place = house.home.path().join("repository");
    let template = Arc::new(FakeStorage::default());
    let mut objects = Vec::new();
    let mut folders = vec![place.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { objects.push(path) }
        }
    }
    let small = Small { home: house.home, template, snapshots: [first.0, second.0], expected: [first.1, second.1] };
    let mut flips = 0;
    for object in objects {
        let key = object.strip_prefix(&place).unwrap().to_str().unwrap().to_owned();
        if key.starts_with("keys/") {
            // Each try costs a tenth of a second; in memory all of its bytes were changed.
            continue;
        }
        let body = fs::read(&object).unwrap();
        fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 0x10;
            fs::write(&object, changed).unwrap();
            let opened = Repository::open(local(&place), &password(), &Interrupt::default());
            judge(&small, opened, &key, &format!("byte {at} of {key} on disk"));
            flips += 1;
        }
        fs::write(&object, body).unwrap();
    }
    assert!(flips >= 3 * 7, "{flips}");
}
