//! A tree that is moved away while it is read: what is saved is what was there, all of it.

use std::fs;
use std::sync::atomic::Ordering;

use backstay_core::domain::evidence::Verdict;
use backstay_core::domain::sample::SampleRule;
use backstay_engine::verify::{VerifyOptions, verify};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_testkit::fakes::storage::{Call, Harm};
use jiff::Timestamp;

use crate::house::{House, backup, options};
use crate::proof::{pack_key, places};
use crate::tree;

const FOLDERS: u64 = 300;

/// The root is held open: red when folders are opened by their whole path.
#[test]
fn a_root_that_is_replaced_in_the_middle_of_a_run_is_saved_whole() {
    let house = House::local();
    for folder in 0..FOLDERS {
        let path = house.tree().join(format!("folder-{folder}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), tree::noise(folder, 100 << 10)).unwrap();
    }
    let (progress, options) = (EngineProgress::default(), options(&house.tree(), None));
    let published = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.files_done.load(Ordering::Relaxed) < 10 {
                std::hint::spin_loop();
            }
            fs::rename(house.tree(), house.home.path().join("away")).unwrap();
            fs::create_dir(house.tree()).unwrap();
        });
        backup(&house.repository, &options, &progress, &Interrupt::default()).unwrap()
    });
    assert_eq!((published.unread.count, published.summary.total_files_processed), (0, FOLDERS));
    let (restored, _) = house.restore(&published.id);
    assert_eq!(restored.files, FOLDERS);
}

/// Red when a verify of everything reads a large file at some places only.
#[test]
fn a_verify_of_everything_reads_every_blob() {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("huge"), tree::noise(1, 160 << 20)).unwrap();
    let id = house.backup(None).id;
    let all = places(&house, &id, "huge");
    // A blob has 1.5 MiB on average: a hundred and seven, give or take seven.
    assert!(all.len() > 66, "{} blobs", all.len());
    let place = all[1];
    storage.tamper(&pack_key(&place), |bytes| bytes[place.offset as usize + 99] ^= 1);
    assert_eq!(house.verify(&id).verdict(), Verdict::Damaged);
    let hex = id.to_hex();
    let (sample, started_at) = (SampleRule::first_sample(1), Timestamp::now());
    let by_sample = VerifyOptions { snapshot: &hex, sample, source: None, started_at };
    let found = verify(&house.repository, &by_sample, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!(found.files_read_in_part, 1);
}

/// A storage that does not answer says nothing about the data: red when it becomes a finding, or a file that is given up.
#[test]
fn a_storage_that_does_not_answer_is_no_harm_to_what_was_saved() {
    let (house, storage) = House::fake();
    fs::write(house.tree().join("file"), b"body").unwrap();
    let id = house.backup(None).id;
    let before = storage.calls(Call::Get);
    assert_eq!(house.verify(&id).verdict(), Verdict::Proved);
    let of_verify = storage.calls(Call::Get) - before;
    for nth in 1..=of_verify {
        storage.harm(Call::Get, nth, Harm::Fail);
        let done = house.try_verify(&id);
        assert!(matches!(done, Err(EngineError::Storage(_))), "get {nth} of {of_verify}: {done:?}");
        storage.heal();
    }
    let before = storage.calls(Call::Get);
    house.restore(&id);
    let of_restore = storage.calls(Call::Get) - before;
    storage.harm(Call::Get, of_restore, Harm::Fail);
    assert!(matches!(house.try_restore(&id).0, Err(EngineError::Storage(_))));
}
