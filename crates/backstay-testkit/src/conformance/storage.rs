//! What every storage promises: the suite of the port `ObjectStorage`.
//!
//! An adapter's test makes a [`StorageFixture`] for each case and calls [`storage_conforms`].

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use backstay_storage::{ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache, StorageError};
use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;

/// A storage of its own for one case, and the power to take it away.
pub trait StorageFixture {
    /// Returns the storage: empty at first.
    fn storage(&self) -> Arc<dyn ObjectStorage>;

    /// Takes the whole storage away, as an unmounted disk does.
    fn vanish(&self);
}

/// One case: what is promised, and what shows it.
type Case = (&'static str, fn(&dyn StorageFixture));

/// All that is promised.
const CASES: &[Case] = &[
    ("what was put is got", put_is_got),
    ("a range is got, and a short one is an error", ranges),
    ("what is not there is missing", missing),
    ("a put never replaces", put_never_replaces),
    ("eight who put the same key leave one whole object", put_races),
    ("a list has every object below a folder and no other", list_is_complete),
    ("a list knows sizes and times", list_knows_sizes),
    ("nothing is in an empty folder or in one that is not there", list_of_nothing),
    ("removing twice is removing", remove_twice),
    ("a removed key can be put again", put_after_remove),
    ("a read past the cache gives the same bytes", bypass),
    ("a storage that went away is an error, never an empty one", absent),
    ("a key never leads out", bad_keys),
    ("a list goes on after a key, in order, or says that it cannot", list_goes_on),
    ("what a storage cannot do is refused, never left out", refuses_what_it_cannot),
];

/// Holds an adapter against all that the port promises; `begin` gives each case a storage of its own.
///
/// # Panics
/// With the case's name, when a promise is broken.
pub fn storage_conforms<'a>(begin: &dyn Fn() -> Box<dyn StorageFixture + 'a>) {
    for (promise, case) in CASES {
        let fixture = begin();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&*fixture)));
        assert!(done.is_ok(), "broken: {promise} ({})", fixture.storage().place());
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("the suite's keys are keys")
}

fn put(storage: &dyn ObjectStorage, name: &str, body: &[u8]) -> PutAnswer {
    block_on(storage.object_put(&key(name), Bytes::copy_from_slice(body))).expect("a put succeeds")
}

fn get(storage: &dyn ObjectStorage, name: &str) -> Bytes {
    block_on(storage.object_get(&key(name), None, ReadCache::Use)).expect("a get succeeds")
}

fn list(storage: &dyn ObjectStorage, folder: &str) -> Result<BTreeMap<String, u64>, StorageError> {
    let mut found = BTreeMap::new();
    let mut twice = Vec::new();
    block_on(storage.object_list(folder, &mut |object| {
        twice.extend(found.insert(object.key.to_string(), object.size_bytes));
    }))?;
    assert!(twice.is_empty(), "an object was listed twice");
    Ok(found)
}

fn names(storage: &dyn ObjectStorage, folder: &str) -> Vec<String> {
    list(storage, folder).expect("a list succeeds").into_keys().collect()
}

fn put_is_got(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    let large: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    for (name, body) in [("config", &b"c"[..]), ("index/empty", b""), ("data/ab/large", &large)] {
        assert_eq!(put(&*storage, name, body), PutAnswer::Created, "{name}");
        assert_eq!(get(&*storage, name), body, "{name}");
        assert_eq!(block_on(storage.object_size(&key(name))).expect("its size is known"), body.len() as u64);
    }
}

fn ranges(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/x", b"0123456789");
    let get = |range| block_on(storage.object_get(&key("data/x"), Some(range), ReadCache::Use));
    for (range, expected) in [(0..10, &b"0123456789"[..]), (3..5, b"34"), (9..10, b"9"), (4..4, b""), (10..10, b"")] {
        assert_eq!(get(range.clone()).expect("the range is there"), expected, "{range:?}");
    }
    for (range, wanted, found) in [(5..11, 6, 5), (10..11, 1, 0), (70..80, 10, 0)] {
        match get(range.clone()) {
            Err(StorageError::Short { wanted_bytes, found_bytes, .. }) => {
                assert_eq!((wanted_bytes, found_bytes), (wanted, found), "{range:?}");
            }
            other => panic!("{range:?} gave {other:?}"),
        }
    }
}

fn missing(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/there", b"x");
    let is_missing = |error| matches!(error, StorageError::Missing { .. });
    for name in ["data/x", "nothing/x", "x"] {
        for range in [None, Some(0..1)] {
            let answer = block_on(storage.object_get(&key(name), range, ReadCache::Use));
            assert!(answer.is_err_and(is_missing), "get {name}");
        }
        assert!(block_on(storage.object_size(&key(name))).is_err_and(is_missing), "size {name}");
    }
}

fn put_never_replaces(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    assert_eq!(put(&*storage, "keys/k", b"first"), PutAnswer::Created);
    assert_eq!(put(&*storage, "keys/k", b"second, longer"), PutAnswer::Existed);
    assert_eq!(put(&*storage, "keys/k", b"first"), PutAnswer::Existed);
    assert_eq!(get(&*storage, "keys/k"), &b"first"[..]);
}

fn put_races(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    for round in 0..8 {
        let name = format!("data/{round}/same");
        let start = Barrier::new(8);
        let answers: Vec<PutAnswer> = std::thread::scope(|scope| {
            let one = |letter: u8| {
                start.wait();
                put(&*storage, &name, &vec![letter; 100_000])
            };
            let threads: Vec<_> = (0..8u8).map(|letter| scope.spawn(move || one(letter))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a put does not panic")).collect()
        });
        assert_eq!(answers.iter().filter(|answer| **answer == PutAnswer::Created).count(), 1, "{answers:?}");
        let body = get(&*storage, &name);
        assert!(body.len() == 100_000 && body.iter().all(|byte| *byte == body[0]), "the object is not whole");
    }
    assert_eq!(names(&*storage, "data").len(), 8, "something was left behind");
}

fn list_is_complete(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    let mut expected = Vec::new();
    for number in 0..300 {
        let name = format!("data/{:02x}/object-{number}", number % 7);
        put(&*storage, &name, b"x");
        expected.push(name);
    }
    put(&*storage, "data/deep/er/still/x", b"x");
    expected.push("data/deep/er/still/x".to_owned());
    put(&*storage, "datax/not-below", b"x");
    put(&*storage, "config", b"x");
    expected.sort();
    assert_eq!(names(&*storage, "data"), expected);
    assert_eq!(names(&*storage, "data/deep/er"), ["data/deep/er/still/x"]);
    assert_eq!(names(&*storage, "").len(), expected.len() + 2);
}

fn list_knows_sizes(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/a", b"12345");
    put(&*storage, "data/b", b"");
    let expected = BTreeMap::from([("data/a".to_owned(), 5), ("data/b".to_owned(), 0)]);
    assert_eq!(list(&*storage, "data").expect("a list succeeds"), expected);
    let mut times = Vec::new();
    let listed = block_on(storage.object_list("data", &mut |object| times.push(object.modified_at)));
    listed.expect("a list succeeds");
    assert!(times.iter().all(|at| at.as_second() > 0), "an object has no time: {times:?}");
}

fn list_of_nothing(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    for folder in ["", "data", "data/below"] {
        assert!(names(&*storage, folder).is_empty(), "`{folder}`");
    }
    put(&*storage, "data/below/x", b"x");
    block_on(storage.object_remove(&key("data/below/x"))).expect("a remove succeeds");
    for folder in ["", "data", "data/below", "index"] {
        assert!(names(&*storage, folder).is_empty(), "`{folder}` after a remove");
    }
}

fn remove_twice(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "locks/l", b"x");
    put(&*storage, "locks/m", b"x");
    for _ in 0..2 {
        block_on(storage.object_remove(&key("locks/l"))).expect("a remove succeeds");
    }
    block_on(storage.object_remove(&key("nothing/there"))).expect("a remove succeeds");
    assert_eq!(names(&*storage, ""), ["locks/m"]);
}

fn put_after_remove(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/x", b"one");
    block_on(storage.object_remove(&key("data/x"))).expect("a remove succeeds");
    assert_eq!(put(&*storage, "data/x", b"two"), PutAnswer::Created);
    assert_eq!(get(&*storage, "data/x"), &b"two"[..]);
}

fn bypass(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    let body = vec![7; 200_000];
    put(&*storage, "data/x", &body);
    for range in [None, Some(100_000..100_010)] {
        let wanted = range.as_ref().map_or(body.len(), |_| 10);
        let got = block_on(storage.object_get(&key("data/x"), range, ReadCache::Bypass)).expect("a get succeeds");
        assert_eq!(got, &body[..wanted]);
    }
}

fn absent(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/x", b"x");
    fixture.vanish();
    let is_absent = |error| matches!(error, StorageError::Absent { .. });
    for folder in ["", "data", "index"] {
        assert!(list(&*storage, folder).is_err_and(is_absent), "list `{folder}`");
    }
    let answer = block_on(storage.object_get(&key("data/x"), None, ReadCache::Use));
    assert!(answer.is_err_and(is_absent), "get");
    assert!(block_on(storage.object_size(&key("data/x"))).is_err_and(is_absent), "size");
    assert!(block_on(storage.object_put(&key("data/y"), Bytes::new())).is_err_and(is_absent), "put");
}

fn bad_keys(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    for text in ["", "/", "/etc/x", "a//b", "a/", "..", "../x", "a/../b", "./a", "a/.", "a\0b"] {
        assert!(matches!(ObjectKey::new(text), Err(StorageError::Key { .. })), "{text:?} became a key");
    }
    for folder in ["..", "data/../..", "/", "data/"] {
        assert!(matches!(list(&*storage, folder), Err(StorageError::Key { .. })), "{folder:?} was listed");
    }
    for text in ["config", "a/b/c", "..a", "a.", "...", "a b"] {
        assert_eq!(put(&*storage, text, b"x"), PutAnswer::Created, "{text:?}");
    }
}

fn list_goes_on(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    for name in ["data/a", "data/b", "data/b/x", "data/c", "datax"] {
        // A folder and a file of one name cannot both be everywhere.
        let name = if name == "data/b" { "data/b.x" } else { name };
        put(&*storage, name, b"x");
    }
    let mut found = Vec::new();
    let mut hand = |object: backstay_storage::ListedObject| found.push(object.key.to_string());
    let answer = block_on(storage.object_list_after("data", &key("data/b.x"), &mut hand));
    if storage.capabilities().list_after {
        answer.expect("it says that it can");
        assert_eq!(found, ["data/b/x", "data/c"]);
    } else {
        assert!(matches!(answer, Err(StorageError::Unsupported { .. })), "{answer:?}");
    }
}

fn refuses_what_it_cannot(fixture: &dyn StorageFixture) {
    let storage = fixture.storage();
    put(&*storage, "data/x", b"x");
    let can = storage.capabilities();
    let is_refused = |error| matches!(error, StorageError::Unsupported { .. });
    if !can.retention {
        for name in ["data/y", "keys/y"] {
            let options = PutOptions { retain_until: Some(Timestamp::MAX), ..PutOptions::default() };
            let answer = block_on(storage.object_put_with(&key(name), Bytes::new(), options));
            assert!(answer.is_err_and(is_refused), "an object was put without the protection that was asked for");
        }
        assert!(block_on(storage.object_retained_until(&key("data/x"))).is_err_and(is_refused));
        assert_eq!(names(&*storage, ""), ["data/x"]);
    }
    if !can.versions {
        assert!(block_on(storage.object_versions("", &mut |_| {})).is_err_and(is_refused));
    }
    if !can.copy {
        assert!(block_on(storage.object_copy(&key("data/x"), &key("data/y"))).is_err_and(is_refused));
    }
    if !can.warm_up {
        assert!(block_on(storage.object_warm_up(&key("data/x"), 1)).is_err_and(is_refused));
    }
    assert!(block_on(storage.object_is_warm(&key("data/x"))).expect("it is known"), "what was just put is warm");
}
