//! A backup of which the n-th call suffers: it never says that it read what it did not, what was saved before stays, and
//! the next run completes.

use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::Published;
use backstay_engine::format::id::Id;
use backstay_engine::system::SystemCall;
use backstay_engine::{EngineError, EngineProgress, Interrupt};

use super::house::{backup, options};
use super::nth::{Bench, Fault, Met, Side, assert_named, assert_tells, described};

fn run(bench: &Bench, parent: Option<Id>) -> Result<Published, EngineError> {
    let options =
        ArchiveOptions { system: bench.fates.system(), workers: 1, uploads: 1, ..options(&bench.house.tree(), parent) };
    backup(&bench.house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

/// Runs a backup with a fault, and judges it and the next. Returns the call that suffered; none when there were fewer.
fn judge(bench: &Bench, side: Side, nth: u64, fault: Fault, parent: Option<Id>) -> Option<Met> {
    bench.begin(side, nth, fault);
    let done = run(bench, parent);
    let hit = bench.fates.heal();
    let context = format!("{side:?} call {nth} of a backup, {fault:?}, {hit:?}");
    let (source, root) = (described(&bench.house.tree()), bench.house.tree());
    bench.assert_earlier(&context);
    match &done {
        Ok(done) => {
            assert!(fault != Fault::Death || hit.is_none(), "{context}: it is good, and its process is dead");
            let found = bench.restored(&done.id);
            assert_named(&source, &found, &done.unread, &root, &context);
            if let (Side::System, Fault::Error, Some(hit)) = (side, fault, &hit) {
                assert_tells(&done.unread, hit, &context);
            } else {
                assert!(done.unread.is_empty(), "{context}: {:?}", done.unread);
            }
        }
        Err(_) => {
            assert!(hit.is_some(), "{context}: {done:?}");
            // An answer that got lost may be that of the snapshot itself: then it is whole, as `check` says.
            let snapshots = bench.house.snapshots().len();
            assert!(snapshots == 2 || snapshots == 3 && fault == Fault::LostAnswer, "{context}: {snapshots}");
        }
    }
    let next = run(bench, Some(bench.snapshots[1])).unwrap();
    assert!(next.unread.is_empty(), "{context}: {:?}", next.unread);
    assert!(bench.restored(&next.id) == source, "{context}: the next run did not save all");
    hit
}

#[test]
fn whichever_call_of_the_storage_suffers_a_backup_tells_the_truth() {
    let bench = Bench::new();
    for fault in [Fault::Error, Fault::LostAnswer, Fault::Short, Fault::Delay, Fault::Death] {
        let parent = Some(bench.snapshots[1]);
        let calls = (1..).find(|nth| judge(&bench, Side::Storage, *nth, fault, parent).is_none()).unwrap() - 1;
        assert!(calls > 15, "{calls}");
    }
    bench.told("backup, storage", 80);
}

#[test]
fn whichever_call_of_the_file_system_fails_a_backup_names_it() {
    let bench = Bench::new();
    let calls = (1..).find(|nth| judge(&bench, Side::System, *nth, Fault::Error, None).is_none()).unwrap() - 1;
    assert!(calls > 250, "{calls}");
    bench.told("backup, file system, errors", 250);
}

#[test]
fn a_backup_that_dies_between_two_calls_of_the_file_system_or_reads_little_at_a_time_costs_nothing() {
    let bench = Bench::new();
    let parent = Some(bench.snapshots[1]);
    let calls = (1..).find(|nth| judge(&bench, Side::System, *nth, Fault::Death, parent).is_none()).unwrap() - 1;
    assert!(calls > 150, "{calls}");
    let calls = bench.fates.calls_of(Side::System, || drop(run(&bench, None)));
    let reads = (1..).zip(&calls).filter(|(_, (call, _))| *call == Some(SystemCall::Read));
    let reads: Vec<u64> = reads.map(|(nth, _)| nth).collect();
    assert!(reads.len() >= 45, "{}", reads.len());
    for nth in reads {
        judge(&bench, Side::System, nth, Fault::Short, None).unwrap();
    }
    bench.told("backup, file system, deaths and short reads", 200);
}
