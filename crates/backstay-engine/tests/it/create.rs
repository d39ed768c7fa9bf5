//! Making and opening a repository, also after a run that was cut short.

use std::fs;
use std::sync::Arc;

use backstay_engine::Interrupt;
use backstay_engine::{EngineError, Repository};
use backstay_storage::ObjectStorage;
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use secrecy::SecretString;

use super::house::{House, local, maker, password};
use super::restic::restics;

#[test]
fn a_repository_is_made_once_and_opened_by_its_password_alone() {
    let house = House::local();
    let place = house.home.path().join("repository");
    let again = Repository::create(local(&place), &password(), maker(), &Interrupt::default());
    assert!(matches!(again, Err(EngineError::RepositoryExists { .. })), "{again:?}");
    assert_eq!(
        Repository::open(local(&place), &password(), &Interrupt::default()).unwrap().id(),
        house.repository.id()
    );
    let wrong = Repository::open(local(&place), &SecretString::from("another"), &Interrupt::default());
    assert!(matches!(wrong, Err(EngineError::Password { .. })), "{wrong:?}");
    let nothing = Repository::open(local(&house.home.path().join("empty")), &password(), &Interrupt::default());
    assert!(matches!(nothing, Err(EngineError::NoRepository { .. })), "{nothing:?}");
}

#[test]
fn a_repository_that_was_never_finished_is_finished() {
    let house = House::local();
    let place = house.home.path().join("repository");
    fs::remove_file(place.join("config")).unwrap();
    Repository::create(local(&place), &password(), maker(), &Interrupt::default()).unwrap();
    assert_eq!(fs::read_dir(place.join("keys")).unwrap().count(), 1, "restic would try a key that opens nothing");
    fs::write(house.tree().join("file"), b"x").unwrap();
    let house = House::opened(house.home);
    house.backup(None);
    restics().iter().for_each(|restic| restic.check(&house));
}

#[test]
fn whichever_call_fails_while_it_is_made_the_next_try_succeeds() {
    for call in [Call::Put, Call::List, Call::Size, Call::Get] {
        for harm in [Harm::Fail, Harm::LoseAnswer] {
            for nth in 1..=2 {
                let storage = Arc::new(FakeStorage::default());
                storage.harm(call, nth, harm);
                let shared = || Arc::clone(&storage) as Arc<dyn ObjectStorage>;
                let first = Repository::create(shared(), &password(), maker(), &Interrupt::default());
                storage.heal();
                match Repository::create(shared(), &password(), maker(), &Interrupt::default()) {
                    Ok(_) => assert!(first.is_err(), "{call:?} {nth} {harm:?}: made twice"),
                    Err(EngineError::RepositoryExists { .. }) => {}
                    Err(error) => panic!("{call:?} {nth} {harm:?}: {error}"),
                }
                Repository::open(shared(), &password(), &Interrupt::default()).unwrap();
                assert_eq!(storage.keys().len(), 2, "{call:?} {nth} {harm:?}: {:?}", storage.keys());
            }
        }
    }
}

#[test]
fn of_many_who_make_it_at_once_one_does() {
    for _ in 0..4 {
        let storage = Arc::new(FakeStorage::default());
        let shared = || Arc::clone(&storage) as Arc<dyn ObjectStorage>;
        let made = std::thread::scope(|scope| {
            let one = || Repository::create(shared(), &password(), maker(), &Interrupt::default());
            let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(made, 1);
        Repository::open(shared(), &password(), &Interrupt::default()).unwrap();
        assert_eq!(storage.keys().len(), 2, "a key was left that opens nothing: {:?}", storage.keys());
    }
}
