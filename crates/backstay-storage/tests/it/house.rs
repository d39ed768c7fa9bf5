//! What the tests of S3 share: a bucket of its own on a peer, behind a proxy or not.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made is a failed test")]

use std::sync::Arc;

use backstay_storage::kinds::s3::open_without_retries;
use backstay_storage::{ObjectStorage, Presence, storage_kind};
use backstay_testkit::conformance::storage::StorageFixture;
use backstay_testkit::fakes::proxy::FaultProxy;
use backstay_testkit::peers::s3::S3Peer;
use futures::executor::block_on;
use serde_json::Value;

/// A bucket on a peer.
pub(crate) struct Bucket {
    pub(crate) peer: &'static S3Peer,
    pub(crate) name: String,
    pub(crate) proxy: Option<FaultProxy>,
    storage: Arc<dyn ObjectStorage>,
}

impl Bucket {
    /// Makes one that is spoken to directly, with the retries of the product.
    pub(crate) fn new(peer: &'static S3Peer) -> Self {
        let name = peer.bucket();
        let settings = peer.settings(&peer.endpoint, &name);
        let storage = storage_kind("s3").unwrap().open(&settings, &peer.credentials(), Presence::Create).unwrap();
        Self { peer, name, proxy: None, storage }
    }

    /// Makes one behind a proxy, with the retries of the product.
    pub(crate) fn behind_proxy(peer: &'static S3Peer) -> Self {
        let (name, proxy) = (peer.bucket(), FaultProxy::start(&peer.endpoint));
        let settings = peer.settings(&proxy.endpoint(), &name);
        let storage = storage_kind("s3").unwrap().open(&settings, &peer.credentials(), Presence::Create).unwrap();
        Self { peer, name, proxy: Some(proxy), storage }
    }

    /// Makes one behind a proxy whose calls are tried once; `change` may change its settings.
    pub(crate) fn tried_once(peer: &'static S3Peer, change: impl FnOnce(&mut Value)) -> Self {
        let (name, proxy) = (peer.bucket(), FaultProxy::start(&peer.endpoint));
        let mut settings = peer.settings(&proxy.endpoint(), &name);
        change(&mut settings);
        let storage = open_without_retries(&settings, &peer.credentials(), Presence::Create).unwrap();
        Self { peer, name, proxy: Some(proxy), storage }
    }

    /// Returns the proxy.
    pub(crate) fn proxy(&self) -> &FaultProxy {
        self.proxy.as_ref().unwrap()
    }

    /// Returns what the server itself says when it is asked without the proxy.
    pub(crate) fn directly(&self) -> Arc<dyn ObjectStorage> {
        let settings = self.peer.settings(&self.peer.endpoint, &self.name);
        open_without_retries(&settings, &self.peer.credentials(), Presence::Existing).unwrap()
    }

    /// Removes the bucket with all that is in it.
    fn remove(&self) -> u16 {
        let storage = self.directly();
        let mut keys = Vec::new();
        block_on(storage.object_list("", &mut |object| keys.push(object.key))).unwrap();
        for key in keys {
            block_on(storage.object_remove(&key)).unwrap();
        }
        self.peer.request("DELETE", &format!("/{}", self.name), &[])
    }
}

impl StorageFixture for Bucket {
    fn storage(&self) -> Arc<dyn ObjectStorage> {
        Arc::clone(&self.storage)
    }

    fn vanish(&self) {
        assert_eq!(self.remove(), 204, "the bucket did not go");
    }
}
