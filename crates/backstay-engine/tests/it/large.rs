//! Large files: their blobs are saved by whoever is free, and nobody can tell afterwards.

use std::fs;

use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::{EngineProgress, Interrupt};
use backstay_testkit::fakes::storage::{Call, Harm};

use super::house::{House, backup, options};
use super::restic::restics;
use super::tree;

/// Three files that are cut into many blobs: noise, zeros between noise, text; and one of a single blob.
fn fill(house: &House) {
    let holes = [tree::noise(2, 3 << 20), vec![0; 9 << 20], tree::noise(3, 1 << 20), vec![0; 700_000]].concat();
    for (name, body) in [
        ("noise", tree::noise(1, 30 << 20)),
        ("holes", holes),
        ("text", tree::text(4, 12 << 20)),
        ("one", tree::noise(5, 400_000)),
    ] {
        fs::write(house.tree().join(name), body).unwrap();
    }
}

fn with_workers(house: &House, workers: usize) -> ArchiveOptions {
    ArchiveOptions { workers, ..options(&house.tree(), None) }
}

#[test]
fn many_workers_save_what_one_saves() {
    for (first, second) in [(1, 6), (6, 1), (2, 3)] {
        let house = House::local();
        fill(&house);
        let run = |workers| {
            let progress = EngineProgress::default();
            backup(&house.repository, &with_workers(&house, workers), &progress, &Interrupt::default()).unwrap()
        };
        let (one, other) = (run(first), run(second));
        // Trees above may differ: others write to the folder for temporary files too.
        assert_eq!(other.summary.data_blobs, 0, "{first} and {second} workers");
        assert_eq!(one.summary.total_bytes_processed, other.summary.total_bytes_processed);
        house.assert_proved(&one.id);
        house.assert_proved(&other.id);
        restics().iter().for_each(|restic| restic.check(&house));
    }
}

#[test]
fn a_write_that_fails_ends_a_run_whose_workers_wait_for_each_other() {
    for nth in 1.. {
        let (house, storage) = House::fake();
        fill(&house);
        let before = storage.calls(Call::Put);
        storage.harm(Call::Put, nth, Harm::Fail);
        let progress = EngineProgress::default();
        let done = backup(&house.repository, &with_workers(&house, 3), &progress, &Interrupt::default());
        let hit = storage.calls(Call::Put) - before >= nth;
        storage.heal();
        match (hit, done) {
            (true, done) => {
                assert!(done.is_err(), "write {nth} failed, and {done:?}");
                assert!(house.snapshots().is_empty(), "write {nth}");
            }
            (false, done) => {
                house.assert_proved(&done.unwrap().id);
                return;
            }
        }
    }
}
