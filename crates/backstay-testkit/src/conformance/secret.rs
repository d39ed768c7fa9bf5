//! The suite of the port `SecretStore`.

use backstay_core::domain::secret::SecretReference;
use backstay_core::ports::secret::{SecretError, SecretStore};
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
