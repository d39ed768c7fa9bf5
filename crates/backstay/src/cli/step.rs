//! One step of `apply`: the call of the API that does it. What is changed must still be as it was when it was read.

use backstay_api::types::caps::{CapException, CapsPut, TenantWeight};
use backstay_api::types::channel::{ChannelCreate, ChannelRuleView, ChannelUpdate, ChannelView};
use backstay_api::types::maintenance::MaintenanceCreate;
use backstay_api::types::monitor::{MonitorCreate, MonitorUpdate};
use backstay_api::types::plan::{PlanCreate, PlanFit, PlanUpdate, PlanView, PlanWished, TemplateWished};
use backstay_api::types::quota::QuotaPut;
use backstay_api::types::repository::{RepositoryCreate, RepositoryUpdate, StorageView};
use backstay_api::types::source::{SourceCreate, SourceUpdate, SourceView};
use backstay_api::types::storage::{StorageCreate, StorageDetail, StorageUpdate};
use backstay_api::types::template::{BackupTermsView, TemplateCreate, TemplateUpdate, TemplateView};
use backstay_api::types::tenant::TenantCreate;
use backstay_api::{Client, Operation};
use backstay_declare::change::{Act, Step};
use backstay_declare::nouns::{Noun, TENANT_DEFAULT};
use backstay_declare::refer::repository_key;
use backstay_declare::row::{Found, Key, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::declared::{Server, backup_view, schedule_view};
use super::error::{CliError, Exit};

/// Does one step.
pub(super) async fn take(client: &Client, server: &mut Server, step: &Step) -> Result<(), CliError> {
    match &step.act {
        Act::Create { record } => {
            let id = create(client, server, &step.key, record).await?;
            // What comes after it may name it.
            server.found.push(Found { key: step.key.clone(), id, record: record.clone() });
            Ok(())
        }
        Act::Update { id, record, .. } => update(client, server, step, id, record).await,
        Act::Replace { id, record } => {
            // The new one first: for no moment does neither hold, and who dies in between leaves both.
            create(client, server, &step.key, record).await?;
            Ok(client.maintenance_remove(id).await?)
        }
        Act::Retire { id } => retire(client, step.key.noun, id).await,
    }
}

/// Adds what a step will declare, for a look at the windows of plans before.
pub(super) fn wish(server: &Server, step: &Step, fit: &mut PlanFit) {
    let record = match &step.act {
        Act::Create { record } | Act::Update { record, .. } => record,
        Act::Retire { .. } if step.key.noun == Noun::Plan => return fit.ending.push(step.key.name.clone()),
        _ => return,
    };
    let text = |key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
    let (name, schedule) = (step.key.name.clone(), schedule_view(record.get("schedule")));
    match step.key.noun {
        Noun::Plan => {
            let source = text("source").map(|source| Key::new(Noun::Source, step.key.tenant.as_deref(), &source));
            let source_id = source.and_then(|key| id_of(server, &key).ok());
            fit.plans.push(PlanWished { name, source_id, template: text("template"), schedule });
        }
        Noun::Template => fit.templates.push(TemplateWished { name, above: text("above"), schedule }),
        _ => {}
    }
}

/// Reads a field of a record into what the API takes.
fn field<T: DeserializeOwned>(record: &Record, key: &str) -> Result<T, CliError> {
    let value = record.get(key).cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| CliError::new(Exit::Failed, format!("`{key}` cannot be sent: {error}")))
}

fn backup(record: &Record) -> Result<Option<BackupTermsView>, CliError> {
    backup_view(record.get("backup"))
        .map_err(|error| CliError::new(Exit::Failed, format!("`backup` cannot be sent: {error}")))
}

fn id_of(server: &Server, key: &Key) -> Result<String, CliError> {
    let found = server.found.iter().find(|row| row.key == *key).map(|row| row.id.clone());
    found.ok_or_else(|| CliError::new(Exit::NotFound, format!("there is no {key}")))
}

async fn create(client: &Client, server: &Server, key: &Key, record: &Record) -> Result<String, CliError> {
    let tenant = key.tenant.clone().unwrap_or_else(|| TENANT_DEFAULT.to_owned());
    let named = |noun: Noun, name: &str| id_of(server, &Key::new(noun, Some(&tenant), name));
    let name = key.name.clone();
    Ok(match key.noun {
        Noun::Tenant => client.tenant_create(&TenantCreate { name }).await?.id,
        Noun::Quota => {
            let tenant_id = id_of(server, &Key::new(Noun::Tenant, None, &tenant))?;
            client.quota_put(&tenant_id, &quota(record)?).await?;
            tenant_id
        }
        Noun::Storage => {
            let (kind, settings) = (field(record, "kind")?, field(record, "settings")?);
            let credentials = field::<Option<_>>(record, "credentials")?.unwrap_or_default();
            client.storage_create(&StorageCreate { tenant, name, kind, settings, credentials }).await?.id
        }
        Noun::Repository => {
            let (storage, storage_id) = match record.get("storage") {
                Some(Value::String(storage)) => (None, Some(named(Noun::Storage, storage)?)),
                _ => (Some(field::<StorageView>(record, "storage")?), None),
            };
            let credentials = field::<Option<_>>(record, "credentials")?.unwrap_or_default();
            let (path, password_reference) = (field(record, "path")?, field(record, "password")?);
            let verify_within_ms = field(record, "verify_within")?;
            let body = RepositoryCreate {
                tenant,
                name,
                storage,
                storage_id,
                path,
                password_reference,
                credentials,
                verify_within_ms,
            };
            client.repository_create(&body).await?.id
        }
        Noun::Source => {
            let (kind, settings) = (field(record, "kind")?, field(record, "settings")?);
            client.source_create(&SourceCreate { tenant, name, kind, settings }).await?.id
        }
        Noun::Template => {
            let body = TemplateCreate {
                tenant,
                name,
                above: field(record, "above")?,
                schedule: record.get("schedule").map(|said| schedule_view(Some(said))),
                rpo_ms: field(record, "rpo")?,
                retention: field(record, "retention")?,
                backup: backup(record)?,
            };
            client.template_create(&body).await?.id
        }
        Noun::Plan => {
            let body = PlanCreate {
                source_id: named(Noun::Source, &field::<String>(record, "source")?)?,
                repository_id: named(Noun::Repository, &field::<String>(record, "repository")?)?,
                tenant,
                name,
                template: field(record, "template")?,
                schedule: schedule_view(record.get("schedule")),
                rpo_ms: field(record, "rpo")?,
                retention: field(record, "retention")?,
                backup: backup(record)?,
            };
            client.plan_create(&body).await?.id
        }
        Noun::Monitor => {
            let body = MonitorCreate {
                tenant,
                name,
                schedule: field(record, "schedule")?,
                time_zone: field(record, "time_zone")?,
                grace_ms: field(record, "grace")?,
            };
            client.monitor_create(&body).await?.id
        }
        Noun::Channel => {
            let body = ChannelCreate {
                tenant: key.tenant.clone(),
                name,
                kind: field(record, "kind")?,
                settings: field(record, "settings")?,
                rules: rules(server, record)?,
                digest: field(record, "digest")?,
            };
            client.channel_create(&body).await?.id
        }
        Noun::Maintenance => {
            let (from, until) = (field(record, "from")?, field(record, "until")?);
            client.maintenance_create(&MaintenanceCreate { name, tenant: key.tenant.clone(), from, until }).await?.id
        }
        Noun::Caps => {
            client.caps_put(&caps(server, record)?).await?;
            String::new()
        }
    })
}

fn quota(record: &Record) -> Result<QuotaPut, CliError> {
    Ok(QuotaPut { quota_bytes: field(record, "bytes")?, quota_snapshot_count: field(record, "snapshots")? })
}

/// Returns a channel's rules as the API takes them: with the tenant's id.
fn rules(server: &Server, record: &Record) -> Result<Vec<ChannelRuleView>, CliError> {
    let mut rules = record.get("rules").cloned().unwrap_or_default();
    for rule in rules.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(tenant) = rule.remove("tenant") {
            let key = Key::new(Noun::Tenant, None, tenant.as_str().unwrap_or_default());
            rule.insert("tenant_id".to_owned(), id_of(server, &key)?.into());
        }
    }
    field(&Record::from_iter([("rules".to_owned(), rules)]), "rules")
}

/// Returns caps as the API takes them, in the place of those that were read.
fn caps(server: &Server, record: &Record) -> Result<CapsPut, CliError> {
    let weights = record.get("weights").and_then(Value::as_object).into_iter().flatten();
    let weight = |(tenant, weight): (&String, &Value)| TenantWeight {
        tenant: tenant.clone(),
        weight: weight.as_u64().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
    };
    let mut exceptions: Vec<CapException> = field::<Option<_>>(record, "exceptions")?.unwrap_or_default();
    for row in exceptions.iter_mut().filter(|row| row.of == "repository") {
        row.name = id_of(server, &repository_key(&row.name))?;
    }
    Ok(CapsPut {
        global: field(record, "global")?,
        tenant: field(record, "tenant")?,
        host: field(record, "host")?,
        repository: field(record, "repository")?,
        endpoint: field(record, "endpoint")?,
        kind: field(record, "kind")?,
        exceptions,
        weights: weights.map(weight).collect(),
        revision: server.caps_revision,
    })
}

/// Returns what a view says of its own: what holds for a plan follows its template, which a step before may have changed.
fn said_of(key: &Key, mut view: Value) -> Value {
    if let Some(values) = view.as_object_mut().filter(|_| key.noun == Noun::Plan) {
        values.retain(|field, _| !["schedule", "rpo_ms", "retention", "backup", "origins"].contains(&field.as_str()));
    }
    view
}

/// Changes a row by its tag, when it is still as it was read.
async fn change<V: Serialize + DeserializeOwned>(
    client: &Client,
    server: &Server,
    key: &Key,
    id: &str,
    (show, update): (Operation, Operation),
    body: &impl Serialize,
) -> Result<(), CliError> {
    let seen = client.seen::<V>(show, id).await?;
    let now = serde_json::to_value(&seen.view).unwrap_or_default();
    let was = server.views.get(key).cloned().unwrap_or_default();
    if said_of(key, was) != said_of(key, now) {
        return Err(CliError::new(Exit::Failed, format!("somebody else changed the {key} in the meantime"))
            .hint("`backstay apply --dry-run` shows what there is to change now."));
    }
    client.change_as_seen::<_, V>(update, id, body, &seen.tag).await?;
    Ok(())
}

async fn update(client: &Client, server: &Server, step: &Step, id: &str, record: &Record) -> Result<(), CliError> {
    let key = &step.key;
    let tenant = key.tenant.clone().unwrap_or_else(|| TENANT_DEFAULT.to_owned());
    let said = |field: &str| step.touches(field);
    match key.noun {
        Noun::Quota => client.quota_put(id, &quota(record)?).await.map(drop).map_err(Into::into),
        Noun::Caps => client.caps_put(&caps(server, record)?).await.map(drop).map_err(Into::into),
        Noun::Storage => {
            let body = StorageUpdate { credentials: field::<Option<_>>(record, "credentials")?.unwrap_or_default() };
            change::<StorageDetail>(client, server, key, id, (Operation::StorageShow, Operation::StorageUpdate), &body)
                .await
        }
        Noun::Template => {
            let body = TemplateUpdate {
                above: if said("above") { Some(field(record, "above")?) } else { None },
                schedule: said("schedule").then(|| record.get("schedule").map(|said| schedule_view(Some(said)))),
                rpo_ms: if said("rpo") { Some(field(record, "rpo")?) } else { None },
                retention: if said("retention") { Some(field(record, "retention")?) } else { None },
                backup: if said("backup") { Some(backup(record)?) } else { None },
            };
            change::<TemplateView>(client, server, key, id, (Operation::TemplateShow, Operation::TemplateUpdate), &body)
                .await
        }
        Noun::Plan => {
            let repository_id = match said("repository") {
                true => Some(id_of(
                    server,
                    &Key::new(Noun::Repository, Some(&tenant), &field::<String>(record, "repository")?),
                )?),
                false => None,
            };
            let body = PlanUpdate {
                name: None,
                repository_id,
                template: if said("template") { Some(field(record, "template")?) } else { None },
                schedule: said("schedule").then(|| record.get("schedule").map(|said| schedule_view(Some(said)))),
                rpo_ms: if said("rpo") { Some(field(record, "rpo")?) } else { None },
                retention: if said("retention") { Some(field(record, "retention")?) } else { None },
                backup: if said("backup") { Some(backup(record)?) } else { None },
            };
            change::<PlanView>(client, server, key, id, (Operation::PlanShow, Operation::PlanUpdate), &body).await
        }
        Noun::Channel => {
            let body = ChannelUpdate {
                settings: if said("settings") { Some(field(record, "settings")?) } else { None },
                rules: if said("rules") { Some(rules(server, record)?) } else { None },
                digest: said("digest")
                    .then(|| record.get("digest").and_then(Value::as_str).unwrap_or("never").to_owned()),
            };
            change::<ChannelView>(client, server, key, id, (Operation::ChannelShow, Operation::ChannelUpdate), &body)
                .await
        }
        Noun::Monitor => {
            // Expected as the file says it, whatever was pinged since.
            let body = MonitorUpdate {
                schedule: Some(field(record, "schedule")?),
                time_zone: field(record, "time_zone")?,
                grace_ms: Some(field(record, "grace")?),
            };
            client.monitor_update(id, &body).await.map(drop).map_err(Into::into)
        }
        Noun::Source => {
            let body = SourceUpdate { settings: field(record, "settings")? };
            change::<SourceView>(client, server, key, id, (Operation::SourceShow, Operation::SourceUpdate), &body).await
        }
        Noun::Repository => {
            // One value, and the last word holds: nothing of what was seen can be undone by it.
            let body = RepositoryUpdate { verify_within_ms: field(record, "verify_within")? };
            client.repository_update(id, &body).await.map(drop).map_err(Into::into)
        }
        Noun::Tenant | Noun::Maintenance => {
            Err(CliError::new(Exit::Failed, format!("a {} cannot be changed", key.noun.word())))
        }
    }
}

async fn retire(client: &Client, noun: Noun, id: &str) -> Result<(), CliError> {
    match noun {
        Noun::Plan => client.plan_retire(id).await?,
        Noun::Source => client.source_retire(id).await?,
        Noun::Repository => client.repository_retire(id).await?,
        Noun::Storage => client.storage_retire(id).await?,
        Noun::Monitor => client.monitor_retire(id).await?,
        Noun::Template => client.template_remove(id).await?,
        Noun::Channel => client.channel_remove(id).await?,
        Noun::Maintenance => client.maintenance_remove(id).await?,
        Noun::Tenant | Noun::Quota | Noun::Caps => {}
    }
    Ok(())
}
