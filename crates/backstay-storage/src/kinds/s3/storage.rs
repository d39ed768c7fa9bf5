//! The port on a bucket: which requests a call makes, and what their answers mean.
//!
//! A put is `If-None-Match: *`, where the server keeps it: 412 is *existed*. Whether it does is learnt by the first small
//! put that created something: the same bytes are put again, and 412 or 200 says it, for as long as the storage is open.
//! Until then, and on a server that ignores the condition, a put asks first whether the key is there; two who put one
//! key at the same instant may then both write it. Names are hashes of contents, so both write the same.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use futures::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use jiff::Timestamp;
use opendal::options::{CopyOptions, ListOptions, ReadOptions, WriteOptions};
use opendal::{Buffer, Executor, HttpTransporter, OperationContext, Operator};
use secrecy::ExposeSecret;

use super::access::Signers;
use super::answer::Failure;
use super::settings::{Addressing, ConditionalPut, Encryption, Settings};
use super::wire::{Ask, CallTransport, Wire};
use crate::credentials::{Purpose, StorageCredentials};
use crate::error::StorageError;
use crate::kind::Presence;
use crate::object::{
    Capabilities, ListedObject, ObjectKey, ObjectStorage, ObjectVersion, Part, PutAnswer, PutOptions, ReadCache,
};
use crate::runtime;

/// Largest object that is put twice to learn whether the server keeps `If-None-Match`.
const LEARN_BYTES_MAX: usize = 64 << 10;

/// Pages of a list that wait for whoever takes them.
const LISTED_AHEAD: usize = 2000;

/// What is known of `If-None-Match`.
const UNKNOWN: u8 = 0;
const KEPT: u8 = 1;
const IGNORED: u8 = 2;

/// A bucket, or what lies below a prefix of it.
#[derive(Debug, Clone)]
pub(super) struct S3Storage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    place: String,
    operator: Operator,
    wire: Arc<Wire>,
    conditional: AtomicU8,
    can_watch: bool,
}

impl S3Storage {
    /// Makes it; asks nobody yet.
    pub(super) fn new(settings: Settings, credentials: &StorageCredentials) -> Result<Self, StorageError> {
        let place = format!("s3:{}/{}/{}", settings.endpoint, settings.bucket, settings.prefix);
        let place = place.trim_end_matches('/').to_owned();
        let signers = Signers::new(credentials, &settings.region);
        let can_watch = signers.has(Purpose::Watch);
        let wire =
            Wire::new(signers, settings.stall).map_err(|failure| failure.told(place.clone(), "open", "bucket"))?;
        let operator = operator(&settings, credentials, &place)?;
        let conditional = AtomicU8::new(match settings.conditional_put {
            ConditionalPut::Learn => UNKNOWN,
            ConditionalPut::Always => KEPT,
            ConditionalPut::Never => IGNORED,
        });
        Ok(Self(Arc::new(Inner { settings, place, operator, wire: Arc::new(wire), conditional, can_watch })))
    }

    /// Looks whether the bucket is there, and makes it if it may be made.
    pub(super) async fn meet(&self, presence: Presence) -> Result<(), StorageError> {
        let inner = Arc::clone(&self.0);
        runtime::start(async move { inner.meet(presence).await }).await
    }
}

/// Makes OpenDAL's side: it writes requests, and neither signs nor sends them.
fn operator(settings: &Settings, credentials: &StorageCredentials, place: &str) -> Result<Operator, StorageError> {
    let mut builder = opendal::services::S3::default()
        .endpoint(&settings.endpoint)
        .bucket(&settings.bucket)
        .root(&settings.prefix)
        .region(&settings.region)
        // The server computes it too, and refuses a body that changed on its way. Every server knows this one.
        .checksum_algorithm("md5")
        .disable_config_load()
        .skip_signature();
    if settings.addressing == Addressing::VirtualHost {
        builder = builder.enable_virtual_host_style();
    }
    builder = match &settings.encryption {
        Encryption::Bucket => builder,
        Encryption::Aes256 => builder.server_side_encryption_with_s3_key(),
        Encryption::Kms { key_id: None } => builder.server_side_encryption_with_aws_managed_kms_key(),
        Encryption::Kms { key_id: Some(id) } => builder.server_side_encryption_with_customer_managed_kms_key(id),
        Encryption::CustomerKey => {
            let wrong = |problem: &str| StorageError::Settings { field: "encryption", problem: problem.to_owned() };
            let key =
                credentials.customer_key.as_ref().ok_or_else(|| wrong("customer_key needs the key as a credential"))?;
            let key = BASE64.decode(key.expose_secret().as_bytes()).ok().filter(|key| key.len() == 32);
            let key = key.ok_or_else(|| wrong("the customer key is not 32 bytes in base64"))?;
            builder.server_side_encryption_with_customer_key("AES256", &key)
        }
    };
    Operator::new(builder).map_err(|error| {
        let problem = format!("{}: {}", error.kind(), error.message());
        StorageError::Settings { field: "endpoint", problem: format!("{problem} ({place})") }
    })
}

/// What a call gets: OpenDAL with a way of its own, and what came back on it.
struct Way {
    operator: Operator,
    seen: Arc<Mutex<HeaderMap>>,
}

impl Way {
    /// Returns a header of the last answer.
    fn header(&self, name: &str) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

impl Inner {
    fn way(&self, purpose: Purpose, ask: Ask, headers: HeaderMap) -> Way {
        let seen = Arc::default();
        let wire = Arc::clone(&self.wire);
        let transport = CallTransport { wire, purpose, ask, headers, seen: Arc::clone(&seen) };
        let context = OperationContext::from_parts(HttpTransporter::new(transport), Executor::default());
        Way { operator: self.operator.clone().with_context(context), seen }
    }

    fn told(&self, action: &'static str, key: &str, failure: Failure) -> StorageError {
        failure.told(self.place.clone(), action, key)
    }

    /// Returns the bucket's address.
    fn bucket_url(&self) -> String {
        let Settings { endpoint, bucket, .. } = &self.settings;
        match self.settings.addressing {
            Addressing::Path => format!("{endpoint}/{bucket}"),
            Addressing::VirtualHost => endpoint.replacen("://", &format!("://{bucket}."), 1),
        }
    }

    /// Sends a request that OpenDAL does not know.
    async fn raw(&self, method: Method, url: String, purpose: Purpose, body: String) -> Result<(), Failure> {
        let mut request = Request::new(Buffer::from(body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|_| Failure::Broken("a key makes no address".to_owned()))?;
        if !body.is_empty() {
            request.headers_mut().insert("content-length", HeaderValue::from(body.len()));
        }
        self.wire.exchange(request, purpose, &Ask::Done).await.map(|_| ())
    }

    async fn meet(&self, presence: Presence) -> Result<(), StorageError> {
        if !self.can_watch {
            // Whoever may only write cannot look; its first put will say what is wrong.
            return Ok(());
        }
        match self.raw(Method::HEAD, self.bucket_url(), Purpose::Watch, String::new()).await {
            Ok(()) => Ok(()),
            // It may be there and not be ours to list.
            Err(failure) if failure.is(StatusCode::FORBIDDEN) => Ok(()),
            Err(failure) if failure.is_missing() && presence == Presence::Existing => {
                Err(StorageError::Absent { place: self.place.clone() })
            }
            Err(failure) if failure.is_missing() => self.make_bucket().await,
            Err(failure) => Err(self.told("open", "bucket", failure)),
        }
    }

    async fn make_bucket(&self) -> Result<(), StorageError> {
        let region = &self.settings.region;
        let body = match region.as_str() {
            "us-east-1" => String::new(),
            _ => format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        match self.raw(Method::PUT, self.bucket_url(), Purpose::Write, body).await {
            // Another one made it in the meantime; whether it is ours, the next call says.
            Err(failure) if failure.is(StatusCode::CONFLICT) => Ok(()),
            answer => answer.map_err(|failure| self.told("make", "bucket", failure)),
        }
    }

    async fn put(&self, key: &ObjectKey, body: Bytes, options: PutOptions) -> Result<PutAnswer, StorageError> {
        let told = |failure: Failure| match failure.is_missing() {
            // What is put cannot be missing; it is the bucket.
            true => StorageError::Absent { place: self.place.clone() },
            false => self.told("put", key.as_str(), failure),
        };
        let known = self.conditional.load(Ordering::Relaxed);
        if known != KEPT {
            // Whether it is the object that is missing or the bucket, the put itself will say.
            match self.stat(key).await {
                Ok(_) => return Ok(PutAnswer::Existed),
                Err(failure) if failure.is_absent() || !failure.is_missing() => return Err(told(failure)),
                Err(_) => {}
            }
        }
        match self.write(key, &body, options, known != IGNORED).await {
            Err(failure) if failure.is(StatusCode::PRECONDITION_FAILED) => return Ok(PutAnswer::Existed),
            Err(failure) if failure.is(StatusCode::NOT_IMPLEMENTED) && known == UNKNOWN => {
                self.conditional.store(IGNORED, Ordering::Relaxed);
                self.write(key, &body, options, false).await.map_err(told)?;
            }
            answer => answer.map_err(told)?,
        }
        let confirmed = async {
            match self.settings.confirm_puts {
                true => self.confirm(key, body.len() as u64).await.map_err(told),
                false => Ok(()),
            }
        };
        let learns = known == UNKNOWN && body.len() <= LEARN_BYTES_MAX && options.retain_until.is_none();
        let learned = async { if learns { Some(self.write(key, &body, options, true).await) } else { None } };
        // The same bytes again: a server that writes in place may show half of them, and then the put is tried again.
        let (confirmed, learned) = futures::future::join(confirmed, learned).await;
        match learned {
            Some(Ok(())) => self.conditional.store(IGNORED, Ordering::Relaxed),
            Some(Err(failure)) if failure.is(StatusCode::PRECONDITION_FAILED) => {
                self.conditional.store(KEPT, Ordering::Relaxed);
            }
            // The object is there, which is what was asked; the next put learns.
            Some(Err(_)) | None => {}
        }
        confirmed?;
        Ok(PutAnswer::Created)
    }

    async fn write(&self, key: &ObjectKey, body: &Bytes, options: PutOptions, new: bool) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        let is_pack = match options.part {
            None => key.as_str().starts_with("data/"),
            Some(part) => part == Part::Cold,
        };
        if let Some(class) = self.settings.storage_class.as_deref().filter(|_| is_pack) {
            headers.insert("x-amz-storage-class", header(class)?);
        }
        if let Some(until) = options.retain_until {
            headers.insert("x-amz-object-lock-mode", HeaderValue::from_static("COMPLIANCE"));
            let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            headers.insert("x-amz-object-lock-retain-until-date", header(&until)?);
        }
        let way = self.way(Purpose::Write, Ask::Done, headers);
        let options = WriteOptions { if_not_exists: new, ..WriteOptions::default() };
        way.operator.write_options(key.as_str(), body.clone(), options).await.map(|_| ()).map_err(|e| Failure::of(&e))
    }

    /// Looks whether an object that was put is there: a server's "done" is not believed.
    async fn confirm(&self, key: &ObjectKey, wanted: u64) -> Result<(), Failure> {
        match self.size(key).await {
            Ok(found) if found == wanted => Ok(()),
            Ok(found) => Err(Failure::Broken(format!("{wanted} bytes were put, and {found} are there"))),
            Err(failure) if failure.is_missing() && !failure.is_absent() => {
                Err(Failure::Broken("the server said it is done, and there is no object".to_owned()))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StorageError> {
        let told = |failure| self.told("get", key.as_str(), failure);
        let short = |wanted_bytes, found_bytes| {
            Err(StorageError::Short { place: self.place.clone(), key: key.to_string(), wanted_bytes, found_bytes })
        };
        if let Some(range) = range.as_ref().filter(|range| range.start >= range.end) {
            let size = self.size(key).await.map_err(told)?;
            return if range.end <= size { Ok(Bytes::new()) } else { short(0, 0) };
        }
        let wanted_bytes = range.as_ref().map_or(0, |range| range.end - range.start);
        let way = self.way(Purpose::Read, Ask::Object(range.clone()), HeaderMap::new());
        let asked = range.clone().map_or_else(Default::default, Into::into);
        let options = ReadOptions { range: asked, ..ReadOptions::default() };
        match way.operator.read_options(key.as_str(), options).await.map_err(|error| Failure::of(&error)) {
            Ok(body) if range.is_some() && body.len() as u64 != wanted_bytes => short(wanted_bytes, body.len() as u64),
            Ok(body) if range.is_none() && way.header("content-range").is_none() => {
                // A server without ranges, or one that lies: its other word must agree.
                let size = self.size(key).await.map_err(told)?;
                let wrong = || told(Failure::Broken(format!("{} bytes came of {size}", body.len())));
                if body.len() as u64 == size { Ok(body.to_bytes()) } else { Err(wrong()) }
            }
            Ok(body) => Ok(body.to_bytes()),
            Err(Failure::Short { found_bytes }) => short(wanted_bytes, found_bytes),
            Err(failure) if failure.is(StatusCode::RANGE_NOT_SATISFIABLE) => {
                let size = self.size(key).await.map_err(told)?;
                match range {
                    None if size == 0 => Ok(Bytes::new()),
                    Some(range) if range.end > size => short(wanted_bytes, size.saturating_sub(range.start)),
                    _ => Err(told(failure)),
                }
            }
            Err(failure) => Err(told(self.who_is_missing(failure).await)),
        }
    }

    /// Returns what is known of an object, and its size.
    async fn facts(&self, key: &ObjectKey) -> Result<(u64, Way), Failure> {
        match self.stat(key).await {
            Err(failure) => Err(self.who_is_missing(failure).await),
            facts => facts,
        }
    }

    /// As [`Inner::facts`]; that something is missing may mean the bucket.
    async fn stat(&self, key: &ObjectKey) -> Result<(u64, Way), Failure> {
        let way = self.way(Purpose::Watch, Ask::Facts, HeaderMap::new());
        match way.operator.stat(key.as_str()).await {
            Ok(facts) => Ok((facts.content_length(), way)),
            Err(error) => Err(Failure::of(&error)),
        }
    }

    async fn size(&self, key: &ObjectKey) -> Result<u64, Failure> {
        self.facts(key).await.map(|(size, _)| size)
    }

    /// Asks whether it is the object that is missing or the bucket, when an answer did not say: one to HEAD has no body.
    async fn who_is_missing(&self, failure: Failure) -> Failure {
        let Failure::Status { status: StatusCode::NOT_FOUND, code, message, retry_after } = &failure else {
            return failure;
        };
        if !code.is_empty() {
            return failure;
        }
        match self.raw(Method::HEAD, self.bucket_url(), Purpose::Watch, String::new()).await {
            Err(bucket) if bucket.is_missing() => Failure::Status {
                status: StatusCode::NOT_FOUND,
                code: "NoSuchBucket".to_owned(),
                message: message.clone(),
                retry_after: *retry_after,
            },
            Ok(()) => failure,
            Err(bucket) if bucket.is(StatusCode::FORBIDDEN) => failure,
            // Nothing is said about the object while the bucket cannot be asked.
            Err(bucket) => bucket,
        }
    }

    async fn list(&self, folder: &str, after: Option<ObjectKey>, tell: Tell<ListedObject>) -> Result<(), StorageError> {
        let path = list_path(folder)?;
        let options =
            ListOptions { recursive: true, start_after: after.as_ref().map(ToString::to_string), ..Default::default() };
        let way = self.way(Purpose::Watch, Ask::List("ListBucketResult", "NextContinuationToken"), HeaderMap::new());
        let told = |error: opendal::Error| self.cut(folder, Failure::of(&error));
        let mut lister = way.operator.lister_options(&path, options).await.map_err(told)?;
        let mut last = after;
        while let Some(entry) = lister.try_next().await.map_err(told)? {
            let Some(key) = key_of(&entry) else { continue };
            // A server that starts again, or that forgets its order, would make a list that nobody can trust.
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(self.cut(folder, Failure::Broken(format!("`{key}` comes out of order"))));
            }
            let modified_at = self.modified_at(folder, &entry)?;
            last = Some(key.clone());
            let size_bytes = entry.metadata().content_length();
            if tell.send(ListedObject { key, size_bytes, modified_at }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn versions(&self, folder: &str, tell: Tell<ObjectVersion>) -> Result<(), StorageError> {
        let path = list_path(folder)?;
        let options = ListOptions { recursive: true, versions: true, deleted: true, ..Default::default() };
        let way = self.way(Purpose::Watch, Ask::List("ListVersionsResult", "NextKeyMarker"), HeaderMap::new());
        let told = |error: opendal::Error| self.cut(folder, Failure::of(&error));
        let mut lister = way.operator.lister_options(&path, options).await.map_err(told)?;
        while let Some(entry) = lister.try_next().await.map_err(told)? {
            let Some(key) = key_of(&entry) else { continue };
            let modified_at = self.modified_at(folder, &entry)?;
            let facts = entry.metadata();
            let version = ObjectVersion {
                key,
                version: facts.version().unwrap_or_default().to_owned(),
                size_bytes: facts.content_length(),
                modified_at,
                is_latest: facts.is_current().unwrap_or(false),
                is_removal: facts.is_deleted(),
            };
            if tell.send(version).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn modified_at(&self, folder: &str, entry: &opendal::Entry) -> Result<Timestamp, StorageError> {
        let at = entry.metadata().last_modified().map(|at| at.into_inner());
        at.ok_or_else(|| self.cut(folder, Failure::Broken(format!("`{}` has no time", entry.path()))))
    }

    /// Returns the error of a list that did not come to its end.
    fn cut(&self, folder: &str, failure: Failure) -> StorageError {
        if failure.is_missing() {
            // A folder that is not there is an empty list; it is the bucket.
            return StorageError::Absent { place: self.place.clone() };
        }
        match self.told("list", folder, failure) {
            StorageError::Io { place, source, .. } | StorageError::Refused { place, source, .. } => {
                StorageError::List { place, folder: folder.to_owned(), source }
            }
            other => other,
        }
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let way = self.way(removal(key), Ask::Done, HeaderMap::new());
        let Err(error) = way.operator.delete(key.as_str()).await else { return Ok(()) };
        match self.who_is_missing(Failure::of(&error)).await {
            failure if failure.is_missing() && !failure.is_absent() => Ok(()),
            failure => Err(self.told("remove", key.as_str(), failure)),
        }
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<PutAnswer, StorageError> {
        let told = |failure| self.told("copy", from.as_str(), failure);
        match self.size(to).await {
            Ok(_) => return Ok(PutAnswer::Existed),
            Err(failure) if failure.is_absent() || !failure.is_missing() => return Err(told(failure)),
            Err(_) => {}
        }
        let size = self.size(from).await.map_err(told)?;
        let way = self.way(Purpose::Write, Ask::Done, HeaderMap::new());
        let options = CopyOptions { source_content_length_hint: Some(size), ..CopyOptions::default() };
        let done = way.operator.copy_options(from.as_str(), to.as_str(), options).await;
        done.map_err(|error| told(Failure::of(&error)))?;
        self.confirm(to, size).await.map_err(told)?;
        Ok(PutAnswer::Created)
    }

    async fn warm_up(&self, key: &ObjectKey, days: u32) -> Result<(), StorageError> {
        let url = format!("{}/{}?restore", self.bucket_url(), encode(&self.whole_key(key)));
        let body = format!(
            "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>{days}</Days>\
             <GlacierJobParameters><Tier>Standard</Tier></GlacierJobParameters></RestoreRequest>"
        );
        match self.raw(Method::POST, url, Purpose::Read, body).await {
            // It is being warmed up, or was never cold.
            Err(failure) if failure.is(StatusCode::CONFLICT) => Ok(()),
            Err(Failure::Status { code, .. }) if code == "InvalidObjectState" => Ok(()),
            answer => answer.map_err(|failure| self.told("warm up", key.as_str(), failure)),
        }
    }

    async fn is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        let (_, way) = self.facts(key).await.map_err(|failure| self.told("look at", key.as_str(), failure))?;
        let is_cold =
            way.header("x-amz-storage-class").is_some_and(|class| ["GLACIER", "DEEP_ARCHIVE"].contains(&&*class));
        let is_restored = way.header("x-amz-restore").is_some_and(|state| state.contains("ongoing-request=\"false\""));
        Ok(!is_cold || is_restored)
    }

    async fn retained_until(&self, key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        let told = |failure| self.told("look at", key.as_str(), failure);
        let (_, way) = self.facts(key).await.map_err(told)?;
        let Some(until) = way.header("x-amz-object-lock-retain-until-date") else { return Ok(None) };
        let until = until.parse().map_err(|_| told(Failure::Broken(format!("`{until}` is not a time"))))?;
        Ok(Some(until))
    }

    fn whole_key(&self, key: &ObjectKey) -> String {
        if self.settings.prefix.is_empty() { key.to_string() } else { format!("{}/{key}", self.settings.prefix) }
    }
}

/// Where a list puts what it finds.
type Tell<T> = tokio::sync::mpsc::Sender<T>;

/// Runs a list beside the caller and hands over what it finds.
async fn listed<T: Send + 'static, W>(
    work: impl FnOnce(Tell<T>) -> W + Send,
    each: &mut (dyn FnMut(T) + Send),
) -> Result<(), StorageError>
where
    W: Future<Output = Result<(), StorageError>> + Send + 'static,
{
    let (tell, mut found) = tokio::sync::mpsc::channel(LISTED_AHEAD);
    let call = runtime::start(work(tell));
    while let Some(one) = found.recv().await {
        each(one);
    }
    call.await
}

/// Returns the path that OpenDAL lists for a folder.
fn list_path(folder: &str) -> Result<String, StorageError> {
    if folder.is_empty() { Ok(String::new()) } else { Ok(format!("{}/", ObjectKey::new(folder)?)) }
}

/// Returns the key of an entry; what is no key was not put by us: a folder's marker that a console made.
fn key_of(entry: &opendal::Entry) -> Option<ObjectKey> {
    ObjectKey::new(entry.path()).ok()
}

fn header(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::Broken(format!("`{text}` cannot be in a header")))
}

/// Writes a key as a path of an address.
fn encode(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[async_trait]
impl ObjectStorage for S3Storage {
    fn place(&self) -> String {
        self.0.place.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { list_after: true, versions: true, retention: true, warm_up: true, copy: true, parts: false }
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.put(&key, body, options).await }).await
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        _cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.get(&key, range).await }).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(
            async move { inner.size(&key).await.map_err(|failure| inner.told("look at", key.as_str(), failure)) },
        )
        .await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let (inner, folder) = (Arc::clone(&self.0), folder.to_owned());
        listed(|tell| async move { inner.list(&folder, None, tell).await }, each).await
    }

    async fn object_list_after(
        &self,
        folder: &str,
        after: &ObjectKey,
        each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        let (inner, folder, after) = (Arc::clone(&self.0), folder.to_owned(), after.clone());
        listed(|tell| async move { inner.list(&folder, Some(after), tell).await }, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.remove(&key).await }).await
    }

    async fn object_versions(
        &self,
        folder: &str,
        each: &mut (dyn FnMut(ObjectVersion) + Send),
    ) -> Result<(), StorageError> {
        let (inner, folder) = (Arc::clone(&self.0), folder.to_owned());
        listed(|tell| async move { inner.versions(&folder, tell).await }, each).await
    }

    async fn object_retained_until(&self, key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.retained_until(&key).await }).await
    }

    async fn object_copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<PutAnswer, StorageError> {
        let (inner, from, to) = (Arc::clone(&self.0), from.clone(), to.clone());
        runtime::start(async move { inner.copy(&from, &to).await }).await
    }

    async fn object_warm_up(&self, key: &ObjectKey, days: u32) -> Result<(), StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.warm_up(&key, days).await }).await
    }

    async fn object_is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        runtime::start(async move { inner.is_warm(&key).await }).await
    }
}

/// Returns what the removal of an object is for. A lock is taken back by whoever wrote it: a backup that could not would
/// keep each prune away until its lock is old. A policy that lets the key for writing remove `locks/*` alone is enough.
fn removal(key: &ObjectKey) -> Purpose {
    if key.as_str().starts_with("locks/") { Purpose::Write } else { Purpose::Delete }
}
