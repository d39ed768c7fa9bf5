//! A restore of which the n-th call suffers: what it does not bring back it names, and the next one brings it. Deaths
//! under every rule for what is there are in `restore_half`.

use std::fs;

use backstay_engine::restore::{Reconcile, RestoreOptions, Restored, Special, restore};
use backstay_engine::system::SystemCall;
use backstay_engine::{EngineError, EngineProgress, Interrupt};

use super::nth::{Bench, Described, Fault, Met, Side, assert_named, assert_tells, described};

fn run(bench: &Bench, reconcile: Reconcile) -> Result<Restored, EngineError> {
    let (hex, tree, target) = (bench.snapshots[1].to_hex(), bench.house.tree(), bench.target());
    let sub_path = tree.to_str().unwrap().as_bytes();
    let options = RestoreOptions {
        sub_path,
        reconcile,
        system: bench.fates.system(),
        special: Special::Make,
        resume: Some("job"),
        workers: 1,
        ..RestoreOptions::new(&hex, &target)
    };
    restore(&bench.house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

/// Runs a restore with a fault, and judges it and the next. Returns the call that suffered; none when there were fewer.
fn judge(bench: &Bench, expected: &Described, side: Side, nth: u64, fault: Fault) -> Option<Met> {
    bench.begin(side, nth, fault);
    let done = run(bench, Reconcile::Fail);
    let hit = bench.fates.heal();
    let context = format!("{side:?} call {nth} of a restore, {fault:?}, {hit:?}");
    let target = bench.target();
    let next = match &done {
        Ok(done) => {
            assert!(fault != Fault::Death || hit.is_none(), "{context}: it is good, and its process is dead");
            assert_named(expected, &described(&target), &done.unread, "/".as_ref(), &context);
            if let (Side::System, Fault::Error, Some(hit)) = (side, fault, &hit) {
                // What is tried in another way, as a link that becomes a file, is there in the end.
                if described(&target) != *expected {
                    assert_tells(&done.unread, hit, &context);
                }
            }
            run(bench, Reconcile::OverwriteIfChanged)
        }
        Err(_) => {
            assert!(hit.is_some(), "{context}: {done:?}");
            run(bench, Reconcile::Fail)
        }
    };
    let next = next.unwrap_or_else(|error| panic!("{context}: the next: {error:?}"));
    assert!(next.unread.is_empty(), "{context}: {:?}", next.unread);
    let found = described(&target);
    assert_named(expected, &found, &next.unread, "/".as_ref(), &context);
    fs::remove_dir_all(&target).unwrap();
    hit
}

#[test]
fn whichever_call_of_the_storage_suffers_a_restore_names_what_is_missing() {
    let bench = Bench::new();
    let expected = bench.restored(&bench.snapshots[1]);
    for fault in [Fault::Error, Fault::LostAnswer, Fault::Short, Fault::Delay, Fault::Death] {
        let calls = (1..).find(|nth| judge(&bench, &expected, Side::Storage, *nth, fault).is_none()).unwrap() - 1;
        assert!(calls > 10, "{calls}");
    }
    bench.told("restore, storage", 50);
}

#[test]
fn whichever_call_of_the_file_system_suffers_a_restore_names_what_is_missing() {
    let bench = Bench::new();
    let expected = bench.restored(&bench.snapshots[1]);
    for fault in [Fault::Error, Fault::Death] {
        let calls = (1..).find(|nth| judge(&bench, &expected, Side::System, *nth, fault).is_none()).unwrap() - 1;
        assert!(calls > 300, "{calls}");
    }
    let calls = bench.fates.calls_of(Side::System, || drop(run(&bench, Reconcile::Fail)));
    fs::remove_dir_all(bench.target()).unwrap();
    let writes = (1..).zip(&calls).filter(|(_, (call, _))| *call == Some(SystemCall::Write));
    let writes: Vec<u64> = writes.map(|(nth, _)| nth).collect();
    assert!(writes.len() >= 45, "{}", writes.len());
    for nth in writes {
        judge(&bench, &expected, Side::System, nth, Fault::Short).unwrap();
    }
    bench.told("restore, file system", 650);
}
