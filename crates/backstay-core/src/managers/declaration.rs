//! Takes in what people declare: tenants, repositories, sources; plans and templates are next door (`plan`). Names are
//! checked by the stores' unique keys.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::lease::access_key;
use crate::domain::backup::BackupTermsError;
use crate::domain::channel::is_for_channels;
use crate::domain::id::{ItemId, RepositoryId, SourceId, StorageId, TenantId};
use crate::domain::item::Item;
use crate::domain::name::Name;
use crate::domain::proof::VerifyBudget;
use crate::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use crate::domain::schedule::ScheduleError;
use crate::domain::secret::SecretReference;
use crate::domain::source::Source;
use crate::domain::storage::{CredentialReferences, PathError, Storage, StorageSettings, path_judge};
use crate::domain::template::{SettleError, TemplateError};
use crate::domain::tenant::Tenant;
use crate::ports::secret::SecretError;
use crate::ports::source::{ParsedSource, SettingsError, SourceKind};
use crate::ports::storage::StorageJudge;
use crate::ports::store::StoreError;

/// Shortest RPO: below it, a backup's own length is what breaches it.
pub const RPO_MIN: Duration = Duration::from_secs(60);

/// A declaration that cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// There is no such source kind.
    #[error("there is no source kind `{given}`; known: {}", known.join(", "))]
    SourceKind {
        /// What was given.
        given: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// There is no such storage kind.
    #[error("there is no storage kind `{given}`; known: {}", known.join(", "))]
    StorageKind {
        /// What was given.
        given: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The source's or the storage's settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The settings leave out an item of which there may be snapshots.
    #[error("settings: they do not name the item {item} any more, and its snapshots are of this source")]
    ItemGone {
        /// The item's name.
        item: String,
    },
    /// Nobody here reads the source.
    #[error("{name} stands for what was backed up elsewhere, and nothing here reads it; declare a source for it")]
    ForeignSource {
        /// The source's name.
        name: Name,
    },
    /// The RPO is too short.
    #[error("rpo_ms is {} ms; the shortest RPO is {} ms", given.as_millis(), RPO_MIN.as_millis())]
    Rpo {
        /// What was given.
        given: Duration,
    },
    /// Source and repository belong to different tenants.
    #[error("the {noun} {id} belongs to another tenant than the plan")]
    OtherTenant {
        /// Source or repository.
        noun: &'static str,
        /// Its id.
        id: String,
    },
    /// What is said of the schedule is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// What is said of backups is wrong.
    #[error(transparent)]
    Backup(#[from] BackupTermsError),
    /// Templates do not hold together.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A path does not lead below its storage.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A secret that is referred to cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SettleError> for DeclareError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Template(error) => error.into(),
            SettleError::Schedule(error) => error.into(),
        }
    }
}

/// Declares a tenant.
///
/// # Errors
/// [`StoreError::Taken`] when there is one of this name.
pub async fn tenant_declare(context: &Context, name: Name) -> Result<Tenant, StoreError> {
    let tenant = Tenant { id: TenantId::new(context.now(), context.ten()), name };
    context.declarations.tenant_add(&tenant).await?;
    Ok(tenant)
}

/// Returns the tenant of this name, and makes it if there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn tenant_ensure(context: &Context, name: &Name) -> Result<Tenant, StoreError> {
    let tenant = Tenant { id: TenantId::new(context.now(), context.ten()), name: name.clone() };
    match context.declarations.tenant_add(&tenant).await {
        Ok(()) => Ok(tenant),
        Err(StoreError::Taken { .. }) => context.declarations.tenant_by_name(name).await,
        Err(error) => Err(error),
    }
}

/// Returns the kind that judges a storage's settings.
///
/// # Errors
/// [`DeclareError::StorageKind`].
pub fn judge_of<'a>(kinds: &'a [Box<dyn StorageJudge>], kind: &str) -> Result<&'a dyn StorageJudge, DeclareError> {
    let known = || kinds.iter().map(|kind| kind.name()).collect();
    let judge = kinds.iter().find(|row| row.name() == kind);
    judge.map(|judge| &**judge).ok_or_else(|| DeclareError::StorageKind { given: kind.to_owned(), known: known() })
}

/// Returns a reference as its tenant's own.
fn own(tenant: TenantId, reference: SecretReference) -> Result<SecretReference, StoreError> {
    let key = reference.to_string();
    // What a channel may send to any server opens no data.
    if is_for_channels(&reference) {
        return Err(StoreError::NotFound { noun: "secret for a repository", key });
    }
    reference.of_tenant(tenant).ok_or(StoreError::NotFound { noun: "secret", key })
}

/// Judges where a storage's keys are found: each is there and is a key.
async fn credentials_judge(
    context: &Context,
    tenant: TenantId,
    credentials: CredentialReferences,
) -> Result<CredentialReferences, DeclareError> {
    let credentials = credentials.into_iter().map(|(purpose, reference)| Ok((purpose, own(tenant, reference)?)));
    let credentials = credentials.collect::<Result<CredentialReferences, StoreError>>()?;
    for reference in credentials.values() {
        access_key(context, reference).await?;
    }
    Ok(credentials)
}

/// Declares a storage; its kind judges the settings.
///
/// # Errors
/// [`DeclareError`]: an unknown kind, a wrong setting, a key that is none, a taken name.
pub async fn storage_declare(
    context: &Context,
    kinds: &[Box<dyn StorageJudge>],
    tenant: TenantId,
    name: Name,
    place: StorageSettings,
    credentials: CredentialReferences,
) -> Result<Storage, DeclareError> {
    let judge = judge_of(kinds, &place.kind)?;
    let credentials = credentials_judge(context, tenant, credentials).await?;
    let place = StorageSettings { settings: judge.judge(&place.settings)?, ..place };
    let id = StorageId::new(context.now(), context.ten());
    let storage = Storage { id, tenant_id: tenant, name, place, credentials, retired_at: None };
    context.declarations.storage_add(&storage).await?;
    Ok(storage)
}

/// Has other keys open a storage that must still be as `seen`, from the next lease of each of its repositories on; none
/// when somebody else changed it.
///
/// # Errors
/// [`DeclareError`]: a key that is none; [`StoreError::Retired`].
pub async fn storage_rekey(
    context: &Context,
    seen: &Storage,
    credentials: CredentialReferences,
) -> Result<Option<Storage>, DeclareError> {
    if seen.retired_at.is_some() {
        return Err(StoreError::Retired { noun: "storage", key: seen.name.to_string() }.into());
    }
    let credentials = credentials_judge(context, seen.tenant_id, credentials).await?;
    let changed = context.declarations.storage_credentials_put(seen, &credentials).await?;
    Ok(changed.then(|| Storage { credentials, ..seen.clone() }))
}

/// Where a repository is to lie.
#[derive(Debug, Clone)]
pub enum RepositoryPlace {
    /// It says itself where, and what opens it.
    Own(StorageSettings, CredentialReferences),
    /// Under a path in a storage, which says both.
    In(Box<Storage>, String),
}

/// Declares a repository in the restic format; the storage's kind judges its settings.
///
/// # Errors
/// [`DeclareError`]: an unknown kind, a wrong setting, a path that does not lead below its storage, a taken name.
pub async fn repository_declare(
    context: &Context,
    kinds: &[Box<dyn StorageJudge>],
    tenant: TenantId,
    name: Name,
    place: RepositoryPlace,
    password: SecretReference,
    verify_within: VerifyBudget,
) -> Result<Repository, DeclareError> {
    let password = own(tenant, password)?;
    let (storage_id, storage, credentials) = match place {
        RepositoryPlace::Own(storage, credentials) => {
            let judge = judge_of(kinds, &storage.kind)?;
            let credentials = credentials_judge(context, tenant, credentials).await?;
            (None, StorageSettings { settings: judge.judge(&storage.settings)?, ..storage }, credentials)
        }
        RepositoryPlace::In(storage, path) => {
            if storage.tenant_id != tenant {
                return Err(StoreError::NotFound { noun: "storage", key: storage.id.to_string() }.into());
            }
            path_judge(&path)?;
            let judge = judge_of(kinds, &storage.place.kind)?;
            let settings = judge.judge(&judge.below(&storage.place.settings, &path))?;
            let place = StorageSettings { settings, kind: storage.place.kind.clone() };
            (Some(storage.id), place, CredentialReferences::new())
        }
    };
    if !matches!(password, SecretReference::File(_)) {
        // Better now than at the first backup.
        context.secrets.secret_read(&password).await?;
    }
    let repository = Repository {
        id: RepositoryId::new(context.now(), context.ten()),
        tenant_id: tenant,
        name,
        kind: RepositoryKind::Restic,
        storage_id,
        storage,
        password,
        credentials,
        verify_within,
        epoch: RepositoryEpoch(0),
        retired_at: None,
    };
    context.declarations.repository_add(&repository).await?;
    Ok(repository)
}

/// Declares a source; its kind judges the settings and names the items that they imply.
///
/// # Errors
/// [`DeclareError`]: an unknown kind, a wrong setting, a taken name.
pub async fn source_declare(
    context: &Context,
    kinds: &[&dyn SourceKind],
    tenant: TenantId,
    name: Name,
    kind: &str,
    settings: &serde_json::Value,
) -> Result<Source, DeclareError> {
    let parsed = source_judge(kinds, kind, settings)?;
    let now = context.now();
    let source = Source {
        id: SourceId::new(now, context.ten()),
        tenant_id: tenant,
        name,
        kind: kind.to_owned(),
        settings: parsed.settings,
        retired_at: None,
    };
    let items: Vec<Item> = parsed.items.into_iter().map(|name| item_new(context, source.id, name, now)).collect();
    context.declarations.source_add(&source, &items).await?;
    Ok(source)
}

/// Gives other settings to a source that must still be as `seen`, from the next job on; none when somebody else changed
/// it. They may name more items than before, and never fewer: the snapshots of an item are of its source.
///
/// # Errors
/// [`DeclareError`]: a wrong setting, an item that they leave out; [`StoreError::Retired`].
pub async fn source_change(
    context: &Context,
    kinds: &[&dyn SourceKind],
    seen: &Source,
    settings: &serde_json::Value,
) -> Result<Option<Source>, DeclareError> {
    if seen.retired_at.is_some() {
        return Err(StoreError::Retired { noun: "source", key: seen.name.to_string() }.into());
    }
    let parsed = source_judge(kinds, &seen.kind, settings)?;
    let known = context.declarations.item_list(seen.id).await?;
    if let Some(gone) = known.iter().find(|item| !parsed.items.contains(&item.name)) {
        return Err(DeclareError::ItemGone { item: gone.name.clone() });
    }
    let now = context.now();
    let new = parsed.items.into_iter().filter(|name| known.iter().all(|item| item.name != *name));
    let added: Vec<Item> = new.map(|name| item_new(context, seen.id, name, now)).collect();
    let changed = context.declarations.source_settings_put(seen, &parsed.settings, &added).await?;
    Ok(changed.then(|| Source { settings: parsed.settings, ..seen.clone() }))
}

/// Has a source's kind judge its settings.
fn source_judge(
    kinds: &[&dyn SourceKind],
    kind: &str,
    settings: &serde_json::Value,
) -> Result<ParsedSource, DeclareError> {
    let known = || kinds.iter().map(|kind| kind.name()).collect();
    let judge = kinds.iter().find(|row| row.name() == kind);
    let judge = judge.ok_or_else(|| DeclareError::SourceKind { given: kind.to_owned(), known: known() })?;
    Ok(judge.parse(settings)?)
}

fn item_new(context: &Context, source_id: SourceId, name: String, now: Timestamp) -> Item {
    Item { id: ItemId::new(now, context.ten()), source_id, name, vanished_at: None }
}
