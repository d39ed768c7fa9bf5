//! A check and a change of keys of which the n-th call suffers: a check that did not see all says nothing good, and nobody
//! is locked out.

use std::sync::Arc;

use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::key;
use backstay_engine::{Interrupt, Repository};
use backstay_storage::ObjectStorage;
use secrecy::SecretString;

use super::house::{maker, password};
use super::nth::{Bench, Fault, Side};
use super::prune::alone;

#[test]
fn whichever_call_of_the_storage_suffers_a_check_says_nothing_false() {
    let bench = Bench::new();
    for fault in [Fault::Error, Fault::LostAnswer, Fault::Short, Fault::Delay, Fault::Death] {
        for nth in 1.. {
            bench.begin(Side::Storage, nth, fault);
            let done = check(&bench.house.repository, &ReadData::All, &Interrupt::default());
            let hit = bench.fates.heal();
            let good = done.as_ref().is_ok_and(|checked| checked.is_whole());
            // Half a tree is read again from nowhere: the same copy is the only one, and is named.
            assert_eq!(good, hit.is_none() || fault == Fault::Delay, "call {nth}, {fault:?}, {hit:?}: {done:?}");
            if hit.is_none() {
                assert!(nth > 15, "{nth}");
                break;
            }
            assert!(bench.check().is_whole());
        }
    }
    bench.told("check", 80);
}

#[test]
fn whichever_call_is_the_last_of_a_change_of_keys_nobody_is_locked_out_and_the_next_completes() {
    let bench = Bench::new();
    let other = SecretString::from("another password");
    let opened = |word: &SecretString| {
        Repository::open(Arc::clone(&bench.storage) as Arc<dyn ObjectStorage>, word, &Interrupt::default()).ok()
    };
    for fault in [Fault::Death, Fault::LostAnswer, Fault::Error, Fault::Short, Fault::Delay] {
        for nth in 1.. {
            bench.storage.become_copy_of(&bench.template);
            let guard = alone(&bench.house.repository).unwrap();
            bench.begin_here(Side::Storage, nth, fault);
            let done = key::passwd(&bench.house.repository, &other, maker(), &guard, &Interrupt::default());
            let hit = bench.fates.heal();
            let context = format!("call {nth}, {fault:?}, {hit:?}: {done:?}");
            drop(guard);
            let (old, new) = (opened(&password()), opened(&other));
            assert!(old.is_some() || new.is_some(), "{context}: nobody gets in");
            assert!(done.is_err() || (old.is_none() && new.is_some()), "{context}");
            // Whoever gets in does it again, with what they find.
            if let Some(old) = old {
                let guard = alone(&old).unwrap();
                key::passwd(&old, &other, maker(), &guard, &Interrupt::default()).unwrap();
                guard.release().unwrap();
                assert!(opened(&password()).is_none() && opened(&other).is_some(), "{context}: the next");
            }
            if hit.is_none() {
                break;
            }
        }
    }
    bench.told("key", 10);
}
