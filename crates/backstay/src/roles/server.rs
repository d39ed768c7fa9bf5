//! A server on a database that it shares with its replicas: PostgreSQL or MariaDB.
//!
//! All that replicas have in common lies in the database, or comes with the master key: rows, sealed secrets, the key that
//! signs. A replica keeps nothing, so any number may start and end at any moment. What an agent of this process would do,
//! agents elsewhere do; what another replica's process left, its leases' ends and the rescuer take care of.

use std::time::Duration;

use backstay_core::domain::access::{Role, Scope};
use backstay_core::managers::access::{Asker, TokenDeclaration, change_record, token_issue};
use backstay_db::MasterKeys;
use secrecy::ExposeSecret as _;

use super::config::Beside;
use super::database_url::DatabaseUrl;
use super::door::Door;
use super::installation::{
    ControlPlane, Parts, StartError, Ways, WithAgent, parts_of, remote_database, sealed, shared_signer,
};
use super::service::Service;
use crate::cli::error::{CliError, Exit};
use crate::cli::screen::Screen;
use crate::cli::signal::Signals;

/// What all replicas have in common.
pub(crate) struct Shared {
    /// Which database.
    pub(crate) url: DatabaseUrl,
    /// What opens its secrets.
    pub(crate) keys: MasterKeys,
    /// How long it is waited for.
    pub(crate) wait: Duration,
    /// What was said of how it works.
    pub(crate) ways: Ways,
    /// Secrets beside the file of settings.
    pub(crate) beside: Beside,
}

/// Serves until a signal.
///
/// # Errors
/// [`CliError`] when it does not start; nothing was served then.
pub(crate) async fn run(shared: &Shared, door: Door, screen: &Screen) -> Result<(), CliError> {
    let (mut signals, service) = (Signals::listen(), Service::of_environment());
    let parts = Parts { ways: shared.ways, ..open(shared).await? };
    let address = door.address().to_owned();
    let door = door.open().await.map_err(|source| StartError::Door { address, source })?;
    let url = door.url();
    let plane = ControlPlane::start(&parts, vec![door], None, WithAgent::Elsewhere, None);
    screen.say(&format!("backstay works on {} and answers at {url}", shared.url.shown()));
    plane.told_to(&service, &format!("answers at {url}"));
    signals.next().await;
    service.stopping();
    screen.say("ending: answers under way are given (Ctrl-C again to end at once)");
    tokio::select! {
        _ = plane.stop() => Ok(()),
        () = signals.next() => Err(CliError::new(Exit::Interrupted, "ended at once")),
    }
}

/// Makes a token with the role admin and prints its text.
///
/// # Errors
/// [`CliError`].
pub(crate) async fn token(shared: &Shared, name: &str, screen: &Screen) -> Result<(), CliError> {
    let name = name.parse().map_err(|error| CliError::new(Exit::Input, format!("{error}")))?;
    let Parts { context, database, .. } = open(shared).await?;
    let scope =
        Scope::new(Role::Admin, None, Vec::new()).map_err(|error| CliError::new(Exit::Failed, format!("{error}")))?;
    let own = Scope::installation();
    let asker = Asker { token_id: None, scope: &own };
    let failed =
        |error: &dyn std::error::Error| CliError::from_error(Exit::Failed, error).hint("Trying again is safe.");
    let recorded = change_record(&context, &*database, asker, "token_create", "backstay server token").await;
    recorded.map_err(|error| failed(&error))?;
    let wish = TokenDeclaration { name, scope, expires_at: None };
    let (_, secret) = token_issue(&context, &*database, wish).await.map_err(|error| failed(&error))?;
    if screen.json() {
        screen.value(&serde_json::json!({ "secret": secret.expose_secret() }));
    } else {
        screen.line(secret.expose_secret());
        screen.say("keep it now: nobody can show it again; it goes into BACKSTAY_TOKEN");
    }
    Ok(())
}

/// Seals all secrets anew under the newest key.
///
/// # Errors
/// [`CliError`].
pub(crate) async fn reseal(shared: &Shared, screen: &Screen) -> Result<(), CliError> {
    let parts = open(shared).await?;
    let count = parts.secrets.rotate().await?;
    screen.say(&format!("{count} secrets are sealed anew; only the newest master key is needed now"));
    Ok(())
}

/// Opens the database and what is sealed in it. Everything that may be wrong with either is found here, before anybody is
/// answered.
async fn open(shared: &Shared) -> Result<Parts, CliError> {
    let database = remote_database(&shared.url, shared.wait).await?;
    let secrets = sealed(&database, shared.keys.clone()).await?;
    let signer = shared_signer(&secrets).await?;
    Ok(parts_of(database, secrets, None, signer, shared.beside.clone()))
}
