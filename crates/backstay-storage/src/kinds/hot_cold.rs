//! Two storages as one: what is read often lies near, in the hot part; the cold part holds everything, and may freeze.
//!
//! The layout is rustic's: cold is a whole repository by itself; hot has its configuration, keys, snapshots, index, locks
//! and packs of trees. Who puts an object says where it goes; unsaid, packs go to the cold part and the rest to both.
//! Cold is the truth: it is written first, listed, and removed from last. A read tries the hot part where the object may
//! be there, and takes the cold one when it is not.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::credentials::StorageCredentials;
use crate::error::StorageError;
use crate::kind::{Presence, StorageKind, storage_kind};
use crate::object::{Capabilities, ListedObject, ObjectKey, ObjectStorage, Part, PutAnswer, PutOptions, ReadCache};

/// The storage kind `hot_cold`.
#[derive(Debug)]
pub struct HotColdKind;

/// The parts, as settings name them.
const PARTS: [&str; 2] = ["hot", "cold"];

impl StorageKind for HotColdKind {
    fn name(&self) -> &'static str {
        "hot_cold"
    }

    fn describe(&self) -> &'static str {
        "Two storages: one near for what is read often, one far that holds everything"
    }

    fn schema(&self) -> Value {
        let part = |description| {
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["kind", "settings"],
                "description": description,
                "properties": { "kind": { "type": "string" }, "settings": { "type": "object" } },
            })
        };
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": PARTS,
            "properties": {
                "hot": part("Where what is read often lies: keys, snapshots, index, packs of trees"),
                "cold": part("Where everything lies; it may freeze its packs"),
            },
        })
    }

    fn parse(&self, settings: &Value) -> Result<Value, StorageError> {
        let fields = settings.as_object().ok_or_else(|| wrong("hot", "settings must be an object"))?;
        if let Some(unknown) = fields.keys().find(|name| !PARTS.contains(&name.as_str())) {
            return Err(wrong("hot", format!("`{unknown}` is not a setting of this kind; there are hot and cold")));
        }
        let mut row = json!({});
        for name in PARTS {
            let (kind, given) = part(settings, name)?;
            let parsed = kind.parse(given).map_err(|error| wrong(name, error.to_string()))?;
            row[name] = json!({ "kind": kind.name(), "settings": parsed });
        }
        if row["hot"] == row["cold"] {
            return Err(wrong("cold", "is the same storage as the hot part"));
        }
        Ok(row)
    }

    fn below(&self, settings: &Value, path: &str) -> Value {
        let mut below = settings.clone();
        for name in PARTS {
            // Judged before: a part that has no kind stays as it is.
            if let Ok((kind, part)) = part(settings, name) {
                below[name]["settings"] = kind.below(part, path);
            }
        }
        below
    }

    fn open(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        let open = |kind: &dyn StorageKind, settings: &Value, credentials: &StorageCredentials| {
            kind.open(settings, credentials, presence)
        };
        opened(&self.parse(settings)?, credentials, &open)
    }

    fn open_once(
        &self,
        settings: &Value,
        credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        let open = |kind: &dyn StorageKind, settings: &Value, credentials: &StorageCredentials| {
            kind.open_once(settings, credentials, presence)
        };
        opened(&self.parse(settings)?, credentials, &open)
    }
}

/// How a part is opened.
type Open<'a> =
    dyn Fn(&dyn StorageKind, &Value, &StorageCredentials) -> Result<Arc<dyn ObjectStorage>, StorageError> + 'a;

/// Opens both parts.
fn opened(
    settings: &Value,
    credentials: &StorageCredentials,
    open: &Open<'_>,
) -> Result<Arc<dyn ObjectStorage>, StorageError> {
    let (for_hot, for_cold) = match &credentials.parts {
        Some(parts) => (&parts.hot, &parts.cold),
        None => (credentials, credentials),
    };
    let open = |name, credentials| {
        let (kind, settings) = part(settings, name)?;
        open(kind, settings, credentials)
    };
    Ok(Arc::new(HotCold::new(open("hot", for_hot)?, open("cold", for_cold)?)))
}

/// Returns a part's kind and settings.
fn part<'a>(settings: &'a Value, name: &'static str) -> Result<(&'static dyn StorageKind, &'a Value), StorageError> {
    let kind = settings[name]["kind"].as_str().ok_or_else(|| wrong(name, "needs `kind` and `settings`"))?;
    let kind = storage_kind(kind).map_err(|error| wrong(name, error.to_string()))?;
    if kind.name() == HotColdKind.name() {
        return Err(wrong(name, "cannot have a hot and a cold part itself"));
    }
    Ok((kind, &settings[name]["settings"]))
}

fn wrong(field: &'static str, problem: impl Into<String>) -> StorageError {
    StorageError::Settings { field, problem: problem.into() }
}

/// Two storages as one.
#[derive(Debug)]
pub struct HotCold {
    hot: Arc<dyn ObjectStorage>,
    cold: Arc<dyn ObjectStorage>,
    /// The packs that the hot part has: of trees, a small share of all. Listed when first asked, so that a read of a
    /// pack of contents is one request and not two.
    hot_packs: OnceCell<Mutex<HashSet<ObjectKey>>>,
}

impl HotCold {
    /// Joins two storages.
    pub fn new(hot: Arc<dyn ObjectStorage>, cold: Arc<dyn ObjectStorage>) -> Self {
        Self { hot, cold, hot_packs: OnceCell::new() }
    }

    /// Says whether the hot part may have an object: surely not, or worth asking.
    async fn may_be_hot(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        if !is_pack(key) {
            return Ok(true);
        }
        let load = || async {
            let mut packs = HashSet::new();
            self.hot.object_list("data", &mut |object| _ = packs.insert(object.key)).await?;
            Ok::<_, StorageError>(Mutex::new(packs))
        };
        let packs = self.hot_packs.get_or_try_init(load).await?;
        Ok(packs.lock().unwrap_or_else(PoisonError::into_inner).contains(key))
    }

    async fn put_hot(&self, key: &ObjectKey, body: Bytes, options: PutOptions) -> Result<PutAnswer, StorageError> {
        // What protects data is the cold part; the hot one may be made again from it.
        let retain_until = options.retain_until.filter(|_| self.hot.capabilities().retention);
        let answer = self.hot.object_put_with(key, body, PutOptions { retain_until, ..options }).await?;
        if let Some(packs) = self.hot_packs.get().filter(|_| is_pack(key)) {
            packs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        }
        Ok(answer)
    }

    async fn put_both(&self, key: &ObjectKey, body: Bytes, options: PutOptions) -> Result<PutAnswer, StorageError> {
        let answer = self.cold.object_put_with(key, body.clone(), options).await?;
        if answer == PutAnswer::Created {
            self.put_hot(key, body, options).await?;
            return Ok(answer);
        }
        // Whoever put it may have died before the hot part had it. What is put there must be what the cold part has.
        if matches!(self.hot.object_size(key).await, Err(StorageError::Missing { .. })) {
            match self.cold.object_get(key, None, ReadCache::Use).await {
                Ok(there) if there == body => drop(self.put_hot(key, body, options).await?),
                Ok(_) | Err(StorageError::Frozen { .. } | StorageError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }
}

fn is_pack(key: &ObjectKey) -> bool {
    key.as_str().starts_with("data/")
}

#[async_trait]
impl ObjectStorage for HotCold {
    fn place(&self) -> String {
        format!("hot {}, cold {}", self.hot.place(), self.cold.place())
    }

    fn capabilities(&self) -> Capabilities {
        let Capabilities { list_after, retention, warm_up, .. } = self.cold.capabilities();
        Capabilities { list_after, retention, warm_up, parts: true, ..Capabilities::default() }
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        let part = options.part.unwrap_or(if is_pack(key) { Part::Cold } else { Part::Both });
        let options = PutOptions { part: Some(part), ..options };
        match part {
            Part::Hot => self.put_hot(key, body, options).await,
            Part::Cold => self.cold.object_put_with(key, body, options).await,
            Part::Both => self.put_both(key, body, options).await,
        }
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        if self.may_be_hot(key).await? {
            match self.hot.object_get(key, range.clone(), cache).await {
                Err(StorageError::Missing { .. }) => {}
                answer => return answer,
            }
        }
        self.cold.object_get(key, range, cache).await
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        // The cold part is the truth: what plain restic removed there, a lock say, is gone.
        self.cold.object_size(key).await
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        self.cold.object_list(folder, each).await
    }

    async fn object_list_after(
        &self,
        folder: &str,
        after: &ObjectKey,
        each: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), StorageError> {
        self.cold.object_list_after(folder, after, each).await
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        // The hot part first: what a crash leaves is an object that is listed and can be read.
        self.hot.object_remove(key).await?;
        if let Some(packs) = self.hot_packs.get() {
            packs.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
        self.cold.object_remove(key).await
    }

    async fn object_retained_until(&self, key: &ObjectKey) -> Result<Option<jiff::Timestamp>, StorageError> {
        self.cold.object_retained_until(key).await
    }

    async fn object_warm_up(&self, key: &ObjectKey, days: u32) -> Result<(), StorageError> {
        if self.may_be_hot(key).await? && self.hot.object_size(key).await.is_ok() {
            return Ok(());
        }
        self.cold.object_warm_up(key, days).await
    }

    async fn object_is_warm(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        if self.may_be_hot(key).await? && self.hot.object_size(key).await.is_ok() {
            return Ok(true);
        }
        self.cold.object_is_warm(key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: Value, expected: &str) {
        let answer =
            HotColdKind.parse(&settings).map_or_else(|error| error.to_string(), |settings| settings.to_string());
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        let local = |path: &str| json!({ "kind": "local", "settings": { "path": path } });
        check(json!({ "hot": local("/h"), "cold": local("/c") }), r#"{"cold":{"kind":"local""#);
        check(json!({ "hot": local("/h") }), "settings.cold: needs `kind` and `settings`");
        check(json!({ "hot": local("h"), "cold": local("/c") }), "settings.hot: settings.path: `h` is not an absolute");
        check(json!({ "hot": local("/c"), "cold": local("/c") }), "settings.cold: is the same storage");
        check(json!({ "hot": local("/h"), "cold": local("/c"), "x": 1 }), "settings.hot: `x` is not a setting");
        let nested = json!({ "kind": "hot_cold", "settings": {} });
        check(json!({ "hot": nested, "cold": local("/c") }), "settings.hot: cannot have a hot and a cold part itself");
        check(
            json!({ "hot": { "kind": "tape" }, "cold": local("/c") }),
            "settings.hot: there is no storage kind `tape`",
        );
    }
}
