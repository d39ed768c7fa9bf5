//! The suites of the ports `SecretStore` and `SecretKeeper`.

use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{KeptSecret, Replace, SecretError, SecretKeeper, SecretStore};
use backstay_core::ports::store::Page;
use secrecy::ExposeSecret;

/// Runs every promise: `there` names a secret whose value is `value`, `absent` names none.
pub async fn exercise(store: &dyn SecretStore, there: &SecretReference, value: &str, absent: &SecretReference) {
    let read = store.secret_read(there).await.unwrap();
    assert_eq!(read.expose_secret(), value, "a value is what was put in, without a newline at its end");
    assert!(!format!("{read:?}").contains(value), "a value does not print");
    match store.secret_read(absent).await {
        Err(SecretError::Missing { reference }) => assert_eq!(reference, *absent),
        other => panic!("an absent secret is {:?}", other.map(drop)),
    }
}

/// Runs every promise of a keeper and of the store that reads what it keeps.
pub async fn exercise_keeper(keeper: &dyn SecretKeeper, store: &dyn SecretStore) {
    let tenant = |ten| TenantId::new(jiff::Timestamp::UNIX_EPOCH, [ten; 10]);
    let (ada, eve) = (tenant(1), tenant(2));
    let name: Name = "s3-read".parse().unwrap();
    let of = |tenant| SecretReference::Sealed { tenant_id: Some(tenant), name: name.clone() };
    let read = async |tenant| store.secret_read(&of(tenant)).await.map(|value| value.expose_secret().to_owned());
    assert!(matches!(read(ada).await, Err(SecretError::Missing { .. })));
    let put = async |tenant, value: &str, replace| {
        keeper.secret_put(tenant, &name, &Secret::from(value), replace).await.unwrap()
    };
    assert!(put(ada, "first ü", Replace::No).await);
    assert!(!put(ada, "second", Replace::No).await, "a secret is replaced only on purpose");
    assert_eq!(read(ada).await.unwrap(), "first ü");
    assert!(put(eve, "another one", Replace::Yes).await);
    assert_eq!((read(ada).await.unwrap(), read(eve).await.unwrap()), ("first ü".to_owned(), "another one".to_owned()));
    assert!(put(ada, "second", Replace::Yes).await);
    assert_eq!(read(ada).await.unwrap(), "second");
    let whose = async |tenant| {
        let rows = keeper.secret_list(tenant).await.unwrap();
        assert!(rows.iter().all(|row| row.name == name));
        rows.into_iter().map(|row| row.tenant_id).collect::<Vec<_>>()
    };
    assert_eq!((whose(Some(ada)).await, whose(None).await), (vec![ada], vec![ada, eve]));
    // Page by page each is seen once, the last ones first.
    let other: Name = "s3-write".parse().unwrap();
    assert!(keeper.secret_put(ada, &other, &Secret::from("third"), Replace::No).await.unwrap());
    let page = async |tenant, name: Option<&Name>, before: Option<KeptSecret>| {
        let rows = keeper.secret_page(tenant, name, Page { before, rows_max: 1 }).await.unwrap();
        rows.into_iter().next()
    };
    let kept = |tenant_id, name: &Name| Some(KeptSecret { tenant_id, name: name.clone() });
    for (tenant, named, expected) in [
        (None, None, vec![kept(eve, &name), kept(ada, &other), kept(ada, &name)]),
        (None, Some(&name), vec![kept(eve, &name), kept(ada, &name)]),
        (Some(ada), None, vec![kept(ada, &other), kept(ada, &name)]),
        (Some(ada), Some(&other), vec![kept(ada, &other)]),
        (Some(eve), Some(&other), vec![]),
    ] {
        let mut before = None;
        for wanted in expected.into_iter().chain([None]) {
            let found = page(tenant, named, before.take()).await;
            assert_eq!(found, wanted, "{tenant:?} {named:?}");
            before = found;
        }
    }
    keeper.secret_remove(ada, &other).await.unwrap();
    keeper.secret_remove(ada, &name).await.unwrap();
    keeper.secret_remove(ada, &name).await.unwrap();
    assert!(matches!(read(ada).await, Err(SecretError::Missing { .. })));
    assert_eq!(whose(None).await, [eve], "another tenant's stays");
    let nobodys = SecretReference::Sealed { tenant_id: None, name: name.clone() };
    assert!(store.secret_read(&nobodys).await.is_err(), "a secret is somebody's");
}
