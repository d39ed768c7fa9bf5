//! Promises about storages that many repositories lie in.

use backstay_core::domain::id::{RepositoryId, StorageId, TenantId};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::storage::{CredentialReferences, Purpose, Storage};
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::{Retirable, StoreError};

use crate::conformance::world::{Stores, World, repository};

/// Returns a storage of the world's tenant.
pub fn storage(world: &World, name: &str) -> Storage {
    Storage {
        id: StorageId::new(world.now(), world.ten()),
        tenant_id: world.tenant.id,
        name: name.parse().unwrap(),
        place: world.repository.storage.clone(),
        credentials: CredentialReferences::from([(Purpose::Read, "file:keys/read.json".parse().unwrap())]),
        retired_at: None,
    }
}

/// Returns a repository in a storage.
pub fn inside(world: &World, storage: &Storage, name: &str) -> Repository {
    let id = RepositoryId::new(world.now(), world.ten());
    Repository { storage_id: Some(storage.id), ..repository(storage.tenant_id, id, name) }
}

/// Red without `repository_permit`, without the old references in `storage_rekey`, and without the question for repositories
/// in `needed_by`.
pub async fn a_storage_stays_while_repositories_live_in_it(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let shelf = storage(&world, "shelf");
    store.storage_add(&shelf).await.unwrap();
    let bare = Storage { credentials: CredentialReferences::new(), ..storage(&world, "bare") };
    store.storage_add(&bare).await.unwrap();
    assert_eq!(store.storage_get(shelf.id).await.unwrap(), shelf);
    assert_eq!(store.storage_list(Some(world.tenant.id)).await.unwrap(), [bare.clone(), shelf.clone()]);
    let taken = store.storage_add(&storage(&world, "shelf")).await;
    assert!(matches!(taken, Err(StoreError::Taken { noun: "storage", .. })), "{taken:?}");
    let bob = Tenant { id: TenantId::new(world.now(), world.ten()), name: "bob".parse().unwrap() };
    store.tenant_add(&bob).await.unwrap();
    assert_eq!(store.storage_list(Some(bob.id)).await.unwrap(), []);
    let foreign = Repository { tenant_id: bob.id, ..inside(&world, &shelf, "away") };
    let refused = store.repository_add(&foreign).await;
    assert!(matches!(refused, Err(StoreError::NotFound { noun: "storage", .. })), "{refused:?}");

    let home = inside(&world, &shelf, "in-it");
    store.repository_add(&home).await.unwrap();
    assert_eq!(store.repository_get(home.id).await.unwrap(), home);
    let at = world.now();
    let needed = store.retire(Retirable::Storage(shelf.id), at).await.unwrap();
    assert_eq!(needed, std::slice::from_ref(&home.name));
    assert_eq!(store.storage_get(shelf.id).await.unwrap().retired_at, None, "nothing was written");

    let keys = CredentialReferences::from([(Purpose::Write, "file:keys/write.json".parse().unwrap())]);
    assert!(store.storage_credentials_put(&shelf, &keys).await.unwrap());
    assert!(!store.storage_credentials_put(&shelf, &keys).await.unwrap(), "it was seen as it is no more");
    assert!(store.storage_credentials_put(&bare, &keys).await.unwrap(), "where there was none before");
    let changed = Storage { credentials: keys.clone(), ..shelf.clone() };
    assert_eq!(store.storage_get(shelf.id).await.unwrap(), changed);
    assert_eq!(store.repository_get(home.id).await.unwrap(), home, "no repository is touched");

    assert!(store.retire(Retirable::Repository(home.id), at).await.unwrap().is_empty());
    for _ in 0..2 {
        assert!(store.retire(Retirable::Storage(shelf.id), at).await.unwrap().is_empty());
    }
    assert_eq!(store.storage_get(shelf.id).await.unwrap().retired_at, Some(at));
    assert!(!store.storage_credentials_put(&changed, &CredentialReferences::new()).await.unwrap());
    let refused = store.repository_add(&inside(&world, &shelf, "late")).await;
    assert!(matches!(refused, Err(StoreError::Retired { noun: "storage", .. })), "{refused:?}");
    store.storage_add(&storage(&world, "shelf")).await.unwrap();
}
