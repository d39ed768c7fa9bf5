//! Tries a storage with a tiny object of its own: listed, written, read, removed, each with the key of its purpose.
//!
//! Every step runs on a thread that may block, and is waited for so long and no longer: a disk that hangs keeps no
//! request. Nothing is tried again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::probe::{Probe, ProbeStep, StepOutcome};
use backstay_core::domain::storage::Purpose;
use backstay_core::managers::job::chain;
use backstay_storage::{
    AccessKey, ObjectKey, ObjectStorage, Presence, PutAnswer, ReadCache, StorageCredentials, StorageError, StorageKind,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Handle;

use super::system::hostname;

/// Longest that one step is waited for: all of them fit into a request.
const STEP_TIME_MAX: Duration = Duration::from_secs(9);

/// What the tiny object holds.
const BODY: &[u8] = b"backstay storage test: this object may be removed\n";

/// Tries a storage. `name` is that of the object, which nobody else has.
pub(super) async fn probe(
    kind: &'static dyn StorageKind,
    settings: &Value,
    keys: BTreeMap<Purpose, AccessKey>,
    name: &str,
) -> Probe {
    let (settings, began) = (settings.clone(), Instant::now());
    let open = move || kind.open_once(&settings, &StorageCredentials::by_purpose(keys), Presence::Existing);
    let opened = in_time(tokio::task::spawn_blocking(open)).await;
    let mut run = Run::default();
    let outcome = opened.as_ref().map_or_else(Met::failed, |storage| well(&storage.place()));
    run.told("open", None, began, outcome);
    let left = match opened {
        Ok(storage) => run.all(&storage, name).await,
        Err(_) => {
            run.not_tried(&STEPS);
            None
        }
    };
    Probe { host: hostname(), steps: run.steps, left }
}

/// What is done in a storage that is open, and the purpose whose key each step needs.
const STEPS: [(&str, Purpose); 4] =
    [("list", Purpose::Watch), ("write", Purpose::Write), ("read", Purpose::Read), ("delete", Purpose::Delete)];

/// What a step met.
#[derive(Debug)]
enum Met {
    /// What the storage said.
    Error(StorageError),
    /// It did not answer in time.
    Silence,
    /// Other bytes came back than were written.
    OtherBytes,
    /// What was removed is there.
    StillThere,
    /// Somebody has an object of this name.
    Taken,
}

/// A call of a storage.
type Call = Box<dyn FnOnce(Arc<dyn ObjectStorage>, ObjectKey) -> BoxFuture<'static, Result<(), Met>> + Send>;

/// The steps so far.
#[derive(Debug, Default)]
struct Run {
    steps: Vec<ProbeStep>,
}

impl Run {
    /// Takes every step in a storage, and returns the object that is left there.
    async fn all(&mut self, storage: &Arc<dyn ObjectStorage>, name: &str) -> Option<String> {
        let Ok(key) = ObjectKey::new(name) else { return None };
        let [list, write, read, delete] = STEPS;
        self.step(list, storage, &key, Box::new(|storage, key| listed(storage, key).boxed())).await.ok();
        let written = self.step(write, storage, &key, Box::new(|storage, key| put(storage, key).boxed())).await;
        if let Err(met) = written {
            self.not_tried(&[read, delete]);
            // One whose answer was lost may be there all the same.
            let is_ours = met.may_have_happened() && called(storage, &key, Box::new(gone)).await.is_err();
            return is_ours.then(|| name.to_owned());
        }
        self.step(read, storage, &key, Box::new(|storage, key| got(storage, key).boxed())).await.ok();
        let removed = self.step(delete, storage, &key, Box::new(gone)).await;
        removed.is_err().then(|| name.to_owned())
    }

    /// Takes a step.
    async fn step(
        &mut self,
        (step, purpose): (&str, Purpose),
        storage: &Arc<dyn ObjectStorage>,
        key: &ObjectKey,
        call: Call,
    ) -> Result<(), Met> {
        let began = Instant::now();
        let answer = called(storage, key, call).await;
        let outcome = match &answer {
            Ok(()) => well(""),
            Err(met) if purpose == Purpose::Delete && met.is_refusal() => met.kept(),
            Err(met) => met.failed(),
        };
        self.told(step, Some(purpose), began, outcome);
        answer
    }

    fn not_tried(&mut self, steps: &[(&str, Purpose)]) {
        let row = |(step, purpose): &(&str, Purpose)| ProbeStep {
            step: (*step).to_owned(),
            purpose: Some(*purpose),
            took: Duration::ZERO,
            outcome: StepOutcome::NotTried,
        };
        self.steps.extend(steps.iter().map(row));
    }

    fn told(&mut self, step: &str, purpose: Option<Purpose>, began: Instant, outcome: StepOutcome) {
        self.steps.push(ProbeStep { step: step.to_owned(), purpose, took: began.elapsed(), outcome });
    }
}

/// Makes a call on a thread of its own: some storages block whoever polls them.
async fn called(storage: &Arc<dyn ObjectStorage>, key: &ObjectKey, call: Call) -> Result<(), Met> {
    let (handle, work) = (Handle::current(), call(Arc::clone(storage), key.clone()));
    let thread = tokio::task::spawn_blocking(move || Ok(handle.block_on(tokio::time::timeout(STEP_TIME_MAX, work))));
    in_time(thread).await?.map_err(|_| Met::Silence)?
}

/// Waits for a thread, so long and no longer.
async fn in_time<T>(thread: tokio::task::JoinHandle<Result<T, StorageError>>) -> Result<T, Met> {
    match tokio::time::timeout(STEP_TIME_MAX, thread).await {
        Ok(Ok(answer)) => answer.map_err(Met::Error),
        // A thread that panicked said nothing either.
        Ok(Err(_)) | Err(_) => Err(Met::Silence),
    }
}

/// Lists what has the object's name for a folder: nothing, however full the storage is.
async fn listed(storage: Arc<dyn ObjectStorage>, key: ObjectKey) -> Result<(), Met> {
    storage.object_list(key.as_str(), &mut |_| {}).await.map_err(Met::Error)
}

async fn put(storage: Arc<dyn ObjectStorage>, key: ObjectKey) -> Result<(), Met> {
    match storage.object_put(&key, BODY.into()).await.map_err(Met::Error)? {
        PutAnswer::Created => Ok(()),
        PutAnswer::Existed => Err(Met::Taken),
    }
}

async fn got(storage: Arc<dyn ObjectStorage>, key: ObjectKey) -> Result<(), Met> {
    let bytes = storage.object_get(&key, None, ReadCache::Bypass).await.map_err(Met::Error)?;
    if bytes == BODY { Ok(()) } else { Err(Met::OtherBytes) }
}

/// Removes the object, and looks whether it is gone.
fn gone(storage: Arc<dyn ObjectStorage>, key: ObjectKey) -> BoxFuture<'static, Result<(), Met>> {
    let work = async move {
        storage.object_remove(&key).await.map_err(Met::Error)?;
        match storage.object_size(&key).await {
            // Whoever may not look believes the answer.
            Err(StorageError::Missing { .. } | StorageError::Credential { .. } | StorageError::Denied { .. }) => Ok(()),
            Ok(_) => Err(Met::StillThere),
            Err(error) => Err(Met::Error(error)),
        }
    };
    work.boxed()
}

fn well(said: &str) -> StepOutcome {
    StepOutcome::Well { said: said.to_owned() }
}

impl Met {
    /// Says whether the storage understood and will not, or no key was given for it.
    const fn is_refusal(&self) -> bool {
        match self {
            Self::Error(error) => matches!(
                error,
                StorageError::Credential { .. }
                    | StorageError::Denied { .. }
                    | StorageError::Refused { .. }
                    | StorageError::Unsupported { .. }
            ),
            _ => false,
        }
    }

    /// Says whether what failed may have been done all the same.
    const fn may_have_happened(&self) -> bool {
        match self {
            Self::Error(error) => matches!(error.disposition(), Disposition::Retry { .. }),
            Self::Silence => true,
            _ => false,
        }
    }

    /// Returns what was met.
    fn said(&self) -> String {
        match self {
            Self::Error(error) => chain(error),
            Self::Silence => format!("no answer within {} seconds", STEP_TIME_MAX.as_secs()),
            Self::OtherBytes => "it gave back other bytes than were written".to_owned(),
            Self::StillThere => "it says that the object is removed, and it is still there".to_owned(),
            Self::Taken => "somebody has an object of this name already; it was left alone".to_owned(),
        }
    }

    fn failed(&self) -> StepOutcome {
        StepOutcome::Failed { said: self.said(), next: self.next().to_owned() }
    }

    /// Tells of a storage that lets nobody remove: backups work there.
    fn kept(&self) -> StepOutcome {
        let next = "backups and restores work; nothing is pruned there until a key may delete: \
                    backstay storage update NAME --credential delete=REFERENCE";
        StepOutcome::Noted { said: format!("refused: {}", self.said()), next: next.to_owned() }
    }

    /// Returns what to do.
    fn next(&self) -> &'static str {
        match self {
            Self::Error(error) => next(error, &chain(error)),
            Self::Silence => "look at the network between here and there, the address, and the storage's own health",
            Self::OtherBytes => "do not keep data there",
            Self::StillThere => "look at its versions and locks of objects",
            Self::Taken => "ask again: the name is another one each time",
        }
    }
}

/// What servers and systems say, and what to do about it; the first that is in it counts.
const SAID: &[(&str, &str)] = &[
    ("InvalidAccessKeyId", "the server knows no such key: compare the id of the access key with what the server has"),
    ("SignatureDoesNotMatch", "the secret of the access key is another one: put it in again with backstay secret put"),
    ("RequestTimeTooSkewed", "this machine's clock is wrong: set it"),
    ("the bucket is in the region", "declare it with that region: --set region=…"),
    ("dns error", "no machine has that name: look at the endpoint, and at this machine's name servers"),
    ("invalid peer certificate", CERTIFICATE),
    ("certificate", CERTIFICATE),
    ("Connection refused", "the machine is there and nothing listens at that port: look at the endpoint"),
    ("no connection", "look at the endpoint, and at the network between here and there"),
];

/// What to do about a certificate.
const CERTIFICATE: &str = "this machine does not trust the server's certificate: add its authority to the system's \
                           (update-ca-certificates), or set SSL_CERT_FILE for Backstay";

/// Returns what to do about an error that says this.
fn next(error: &StorageError, said: &str) -> &'static str {
    if let Some((_, next)) = SAID.iter().find(|(words, _)| said.contains(words)) {
        return next;
    }
    match error {
        StorageError::Absent { place } if place.starts_with('/') => {
            "mount it; if it is to be new, its first backup makes it"
        }
        StorageError::Absent { .. } => {
            "there is no such bucket: look at its name; if it is to be new, its first backup makes it"
        }
        StorageError::Credential { .. } => {
            "give it a key for this purpose: backstay storage update NAME --credential PURPOSE=REFERENCE"
        }
        StorageError::Denied { place, .. } if place.starts_with('/') => {
            "let the user who runs Backstay read and write the folder"
        }
        StorageError::Denied { .. } => "let this key do it there: the bucket's policy or the key's rights say no",
        StorageError::Full { .. } => "make room there, or raise its quota",
        StorageError::Settings { .. } | StorageError::Kind { .. } => "declare it anew with other settings",
        StorageError::Missing { .. } => "what was written is not there: look at who removes objects there",
        _ => "look at its address, at the network, and at what it logs itself",
    }
}

#[cfg(test)]
mod tests {
    use backstay_storage::storage_kind;
    use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
    use serde_json::json;

    use super::*;

    fn words(steps: &[ProbeStep]) -> String {
        let word = |row: &ProbeStep| match &row.outcome {
            StepOutcome::Well { .. } => row.step.clone(),
            StepOutcome::Noted { next, .. } => format!("{} NOTED{}", row.step, if next.is_empty() { "?" } else { "" }),
            StepOutcome::Failed { next, .. } => {
                format!("{} FAILED{}", row.step, if next.is_empty() { "?" } else { "" })
            }
            StepOutcome::NotTried => format!("{} not tried", row.step),
        };
        steps.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// Red when the object stays, when a step that failed is not the one that is named, or when what needs it is tried.
    #[tokio::test]
    async fn the_step_that_fails_is_named_and_nothing_stays() {
        let check = async |harm: Option<(Call, Harm)>, expected: &str| {
            let fake = Arc::new(FakeStorage::default());
            if let Some((call, harm)) = harm {
                fake.harm_all(call, harm);
            }
            let (storage, mut run): (Arc<dyn ObjectStorage>, _) = (Arc::clone(&fake) as _, Run::default());
            let left = run.all(&storage, "backstay-test-1").await;
            assert_eq!(words(&run.steps), expected);
            assert_eq!(left.is_some(), !fake.keys().is_empty(), "what stays is told: {:?}", fake.keys());
        };
        check(None, "list, write, read, delete").await;
        check(Some((Call::List, Harm::Fail)), "list FAILED, write, read, delete").await;
        check(Some((Call::Put, Harm::Fail)), "list, write FAILED, read not tried, delete not tried").await;
        check(Some((Call::Put, Harm::LoseAnswer)), "list, write FAILED, read not tried, delete not tried").await;
        check(Some((Call::Get, Harm::CutBody)), "list, write, read FAILED, delete").await;
        check(Some((Call::Remove, Harm::Fail)), "list, write, read, delete FAILED").await;
    }

    /// Tries a folder.
    async fn folder(path: &std::path::Path) -> Probe {
        let settings = json!({ "path": path });
        probe(storage_kind("local").unwrap(), &settings, BTreeMap::new(), "backstay-test-1").await
    }

    /// Red when something of a test stays, when something else goes, or when a test makes a storage.
    #[tokio::test]
    async fn a_folder_is_as_it_was_afterwards() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("other"), "other").unwrap();
        let told = folder(home.path()).await;
        assert_eq!(words(&told.steps), "open, list, write, read, delete");
        assert!(told.is_well() && told.left.is_none());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        // Somebody's object of the same name is left alone.
        std::fs::write(home.path().join("backstay-test-1"), "theirs").unwrap();
        let told = folder(home.path()).await;
        assert_eq!(words(&told.steps), "open, list FAILED, write FAILED, read not tried, delete not tried");
        assert_eq!(std::fs::read_to_string(home.path().join("backstay-test-1")).unwrap(), "theirs");
        let gone = home.path().join("gone");
        let told = folder(&gone).await;
        assert_eq!(
            words(&told.steps),
            "open FAILED, list not tried, write not tried, read not tried, delete not tried"
        );
        assert!(!gone.exists() && !told.is_well(), "a test makes no storage");
    }

    /// Red when what a person must do is another thing than what went wrong.
    #[test]
    fn each_cause_has_its_own_sentence() {
        let (place, action, key) = (|| "s3".to_owned(), "put", || "k".to_owned());
        let io = |text: &str| std::io::Error::other(text.to_owned());
        let denied = |text: &str| StorageError::Denied { place: place(), action, key: key(), source: io(text) };
        let lost = |text: &str| StorageError::Io { place: place(), action, key: key(), source: io(text) };
        let check = |error: StorageError, expected: &str| {
            let next = Met::Error(error).next();
            assert!(next.contains(expected), "{next}");
        };
        check(denied("403 Forbidden InvalidAccessKeyId: why"), "knows no such key");
        check(denied("403 Forbidden SignatureDoesNotMatch: why"), "the secret of the access key");
        check(denied("403 Forbidden AccessDenied: why"), "let this key do it");
        check(StorageError::Absent { place: place() }, "no such bucket");
        check(StorageError::Absent { place: "/mnt".to_owned() }, "mount it");
        check(lost("no connection: dns error: failed to lookup address"), "no machine has that name");
        check(lost("no connection: tcp connect error: Connection refused (os error 111)"), "nothing listens");
        check(lost("no connection: invalid peer certificate: UnknownIssuer"), "does not trust");
        check(StorageError::Full { place: place() }, "make room");
        let local = StorageError::Denied { place: "/mnt".to_owned(), action, key: key(), source: io("no") };
        check(local, "let the user who runs Backstay");
        check(StorageError::Credential { place: place(), purpose: "write" }, "give it a key");
    }

    /// Red when a delete that is refused counts as a failure, or is not told.
    #[test]
    fn a_delete_that_is_refused_is_told_and_no_failure() {
        for (error, expected) in [
            (StorageError::Credential { place: "s3".to_owned(), purpose: "delete" }, true),
            (StorageError::Missing { place: "s3".to_owned(), key: "k".to_owned() }, false),
        ] {
            assert_eq!(Met::Error(error).is_refusal(), expected);
        }
        assert!(matches!(Met::StillThere.failed(), StepOutcome::Failed { .. }) && !Met::StillThere.is_refusal());
    }
}
