//! Keys: a new one opens the repository before an old one goes, and nobody is locked out.

use backstay_engine::Interrupt;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::key::{self, KeyError};
use backstay_engine::{EngineError, Repository};
use backstay_testkit::fakes::storage::{Call, Harm};
use secrecy::SecretString;

use super::house::{House, local, maker, password};
use super::lock::lock;
use super::prune::alone;
use super::restic::restics;

fn other() -> SecretString {
    SecretString::from("another password")
}

#[test]
fn keys_are_added_listed_and_removed_and_restic_opens_with_them() {
    let house = House::local();
    let place = house.home.path().join("repository");
    let new = key::add(&house.repository, &other(), maker(), &Interrupt::default()).unwrap();
    let keys = key::list(&house.repository, &Interrupt::default()).unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.is_current == (key.id == house.repository.key_id()) && key.username == "ada"));
    let second = Repository::open(local(&place), &other(), &Interrupt::default()).unwrap();
    assert_eq!((second.key_id(), second.id()), (new, house.repository.id()));
    let first = house.repository.key_id();
    let guard = alone(&second).unwrap();
    key::remove(&second, &first, &guard, &Interrupt::default()).unwrap();
    assert!(matches!(key::remove(&second, &first, &guard, &Interrupt::default()), Err(KeyError::Unknown { .. })));
    assert!(matches!(key::remove(&second, &new, &guard, &Interrupt::default()), Err(KeyError::Current { .. })));
    // The first one's own key is gone: it must not remove the only one that is left.
    assert!(matches!(key::remove(&house.repository, &new, &guard, &Interrupt::default()), Err(KeyError::Last { .. })));
    guard.release().unwrap();
    assert!(matches!(
        Repository::open(local(&place), &password(), &Interrupt::default()),
        Err(EngineError::Password { .. })
    ));
    key::add(&second, &password(), maker(), &Interrupt::default()).unwrap();
    for restic in restics() {
        restic.run(house.home.path(), &["snapshots"]);
    }
}

#[test]
fn a_key_that_restic_made_is_ours_to_use_and_to_remove() {
    for restic in restics() {
        let house = House::local();
        let file = house.home.path().join("new-password");
        std::fs::write(&file, "another password").unwrap();
        restic.run(house.home.path(), &["key", "add", "--new-password-file", file.to_str().unwrap()]);
        let second =
            Repository::open(local(&house.home.path().join("repository")), &other(), &Interrupt::default()).unwrap();
        let guard = alone(&house.repository).unwrap();
        key::remove(&house.repository, &second.key_id(), &guard, &Interrupt::default()).unwrap();
        assert_eq!(key::list(&house.repository, &Interrupt::default()).unwrap().len(), 1);
    }
}

#[test]
fn a_change_of_password_that_fails_anywhere_locks_nobody_out() {
    for (call, harm) in [
        (Call::Put, Harm::Fail),
        (Call::Put, Harm::LoseWrite),
        (Call::Get, Harm::Fail),
        (Call::Get, Harm::CutBody),
        (Call::List, Harm::CutList),
        (Call::Remove, Harm::Fail),
        (Call::Remove, Harm::LoseAnswer),
    ] {
        for nth in 1..=4 {
            let (house, storage) = House::fake();
            let shared = || std::sync::Arc::clone(&storage) as std::sync::Arc<dyn backstay_storage::ObjectStorage>;
            let guard = alone(&house.repository).unwrap();
            let before = storage.calls(call);
            storage.harm(call, nth, harm);
            let done = key::passwd(&house.repository, &other(), maker(), &guard, &Interrupt::default());
            let hit = storage.calls(call) - before >= nth;
            storage.heal();
            let opens =
                [password(), other()].map(|word| Repository::open(shared(), &word, &Interrupt::default()).is_ok());
            match done {
                Ok(_) => assert_eq!(opens, [false, true], "{call:?} {harm:?} {nth}"),
                Err(_) => assert!(opens[0] || opens[1], "{call:?} {harm:?} {nth}: nobody gets in"),
            }
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn keys_are_changed_by_who_is_alone() {
    let (house, _) = House::fake();
    let new = key::add(&house.repository, &other(), maker(), &Interrupt::default()).unwrap();
    let guard = lock(&house.repository, LockMode::Shared).unwrap();
    assert!(key::remove(&house.repository, &new, &guard, &Interrupt::default()).is_err());
    assert!(key::passwd(&house.repository, &other(), maker(), &guard, &Interrupt::default()).is_err());
    assert_eq!(key::list(&house.repository, &Interrupt::default()).unwrap().len(), 2);
}
