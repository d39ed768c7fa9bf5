//! The server's adapters held against the suites of their ports, beside the fakes, and the API on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error where none is expected is a red test")]

mod authorization;
mod figures;
mod agents;
mod explain;
mod job_set;
mod jobs;
mod mail;
mod notifier;
mod once;
mod pages;
mod ping;
mod promises;
mod retry;
mod served;
mod tags;
mod template;
mod troubled;

use backstay_core::domain::secret::SecretReference;
use backstay_server::secrets::file::FileSecrets;
use backstay_server::signing::KeySigner;
use backstay_testkit::conformance::{secret, signer};
use backstay_testkit::fakes::secret::SecretMap;
use backstay_testkit::fakes::signer::FixedSigner;

#[tokio::test]
async fn files_and_the_fake_keep_the_promises_of_a_secret_store() {
    let (there, absent) = ("file:keys/a.key".parse::<SecretReference>().unwrap(), "file:keys/b.key".parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("keys")).unwrap();
    std::fs::write(home.path().join("keys/a.key"), "hunter2\n").unwrap();
    secret::exercise(&FileSecrets::new(home.path().to_owned()), &there, "hunter2", &absent).await;
    let fake = SecretMap::default();
    fake.put(&there, "hunter2");
    secret::exercise(&fake, &there, "hunter2", &absent).await;
    secret::exercise_keeper(&fake, &fake).await;
}

#[test]
fn a_key_in_a_file_and_the_fake_keep_the_promises_of_a_signer() {
    let home = tempfile::tempdir().unwrap();
    signer::exercise(&KeySigner::open(&home.path().join("signing.key"), [3; 32]).unwrap());
    signer::exercise(&FixedSigner::default());
}
