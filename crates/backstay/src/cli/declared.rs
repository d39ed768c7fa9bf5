//! What a server has, in the form in which files say it: read through the API's client, row by row.

use std::collections::{BTreeMap, BTreeSet};

use backstay_api::types::channel::ChannelRuleView;
use backstay_api::types::list::{NamedQuery, PageQuery, RetiredQuery};
use backstay_api::types::repository::RepositoryView;
use backstay_api::types::retention::RetentionView;
use backstay_api::types::template::{BackupTermsView, ScheduleView};
use backstay_api::{Client, ClientError};
use backstay_core::domain::channel::ChannelKind;
use backstay_core::ports::storage::StorageJudge;
use backstay_declare::file::rules_plain;
use backstay_declare::nouns::{Noun, TENANT_DEFAULT};
use backstay_declare::row::{Found, Key, Record};
use serde::Serialize;
use serde_json::{Value, json};

use super::error::CliError;
use super::maintenance::windows;
use super::named;
use crate::roles::system::storage_judges;

/// Forbidden: a token of one tenant sees nothing of the installation.
const FORBIDDEN: u16 = 403;

/// What a server has.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Each declaration.
    pub(super) found: Vec<Found>,
    /// Each row as it was read: what is changed must still be so.
    pub(super) views: BTreeMap<Key, Value>,
    /// The revision of the caps.
    pub(super) caps_revision: Option<i64>,
}

/// Returns what is told, and nothing where the caller may not ask.
fn if_allowed<T>(answer: Result<T, ClientError>) -> Result<Option<T>, CliError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Problem { problem }) if problem.status == FORBIDDEN => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names by ids.
type Names = BTreeMap<String, String>;

fn name_of(names: &Names, id: &str) -> String {
    names.get(id).cloned().unwrap_or_else(|| id.to_owned())
}

/// Returns a reference as its tenant writes it: a sealed one of its own without its id.
fn own_reference(text: &str, tenant_id: Option<&str>) -> String {
    let own = tenant_id.and_then(|id| text.strip_prefix("sealed:")?.strip_prefix(id)?.strip_prefix('/'));
    own.map_or_else(|| text.to_owned(), |name| format!("sealed:{name}"))
}

/// Makes a record of what is said.
fn record<const N: usize>(values: [(&str, Value); N]) -> Record {
    let said = values.into_iter().filter(|(_, value)| !value.is_null());
    said.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn credentials(given: &BTreeMap<String, String>, tenant_id: &str) -> Value {
    if given.is_empty() {
        return Value::Null;
    }
    given.iter().map(|(purpose, text)| (purpose.clone(), Value::from(own_reference(text, Some(tenant_id))))).collect()
}

/// Returns a schedule as files say it; nothing for one that says nothing.
fn schedule(view: Option<&ScheduleView>) -> Value {
    let Some(view) = view.filter(|view| **view != ScheduleView::default()) else { return Value::Null };
    let ScheduleView { cron, every_ms, on_request, time_zone, jitter_ms, overlap, start_window_ms, catch_up } = view;
    Value::Object(record([
        ("cron", json!(cron)),
        ("every", json!(every_ms)),
        ("on_request", if *on_request { true.into() } else { Value::Null }),
        ("time_zone", json!(time_zone)),
        ("jitter", json!(jitter_ms)),
        ("overlap", json!(overlap)),
        ("start_window", json!(start_window_ms)),
        ("catch_up", json!(catch_up)),
    ]))
}

/// Returns how backups go about their work as files say it; nothing for what says nothing.
fn backup(view: Option<&BackupTermsView>) -> Value {
    let Some(view) = view.filter(|view| **view != BackupTermsView::default()) else { return Value::Null };
    let mut said = json!(view);
    units(&mut said, |key| key.strip_suffix("_ms").map(str::to_owned));
    said
}

/// Returns how backups go about their work as the API takes it; none when nothing is said.
pub(super) fn backup_view(said: Option<&Value>) -> Result<Option<BackupTermsView>, serde_json::Error> {
    let mut said = said.cloned().unwrap_or_default();
    units(&mut said, |key| ["time_limit", "stall_limit"].contains(&key).then(|| format!("{key}_ms")));
    serde_json::from_value(said)
}

/// Renames keys at any depth: files leave out the units that the API names.
fn units(said: &mut Value, name: fn(&str) -> Option<String>) {
    let Some(values) = said.as_object_mut() else { return };
    for (key, mut value) in std::mem::take(values) {
        units(&mut value, name);
        values.insert(name(&key).unwrap_or(key), value);
    }
}

/// Returns a schedule as the API takes it.
pub(super) fn schedule_view(said: Option<&Value>) -> ScheduleView {
    let said = said.cloned().unwrap_or_default();
    let text = |key: &str| said[key].as_str().map(str::to_owned);
    ScheduleView {
        cron: text("cron"),
        every_ms: said["every"].as_u64(),
        on_request: said["on_request"] == true,
        time_zone: text("time_zone"),
        jitter_ms: said["jitter"].as_u64(),
        overlap: text("overlap"),
        start_window_ms: said["start_window"].as_u64(),
        catch_up: text("catch_up"),
    }
}

fn retention(view: Option<&RetentionView>) -> Value {
    view.map_or(Value::Null, |view| json!(view))
}

impl Server {
    fn put(&mut self, key: Key, id: &str, record: Record, view: &impl Serialize) {
        self.views.insert(key.clone(), json!(view));
        self.found.push(Found { key, id: id.to_owned(), record });
    }

    /// Reads what there is.
    pub(super) async fn read(client: &Client) -> Result<Self, CliError> {
        let mut server = Self::default();
        let mut tenants = Names::new();
        for row in named::all(client, NamedQuery::default(), Client::tenant_list).await?.rows {
            server.put(Key::new(Noun::Tenant, None, &row.name), &row.id, Record::new(), &row);
            tenants.insert(row.id, row.name);
        }
        for row in if_allowed(client.all(PageQuery::default(), Client::quota_list).await)?
            .into_iter()
            .flat_map(|list| list.rows)
        {
            let said = record([("bytes", json!(row.quota_bytes)), ("snapshots", json!(row.quota_snapshot_count))]);
            if !said.is_empty() {
                server.put(Key::new(Noun::Quota, Some(&row.tenant), ""), &row.tenant_id, said, &row);
            }
        }
        server.places(client, &tenants).await?;
        server.plans(client, &tenants).await?;
        server.installation(client, &tenants).await?;
        Ok(server)
    }

    /// Reads storages and repositories.
    async fn places(&mut self, client: &Client, tenants: &Names) -> Result<(), CliError> {
        let judges = storage_judges();
        let storages = named::all(client, RetiredQuery::default(), Client::storage_list).await?.rows;
        for row in &storages {
            let said = record([
                ("kind", json!(row.kind)),
                ("settings", row.settings.clone()),
                ("credentials", credentials(&row.credentials, &row.tenant_id)),
            ]);
            self.put(Key::new(Noun::Storage, Some(&name_of(tenants, &row.tenant_id)), &row.name), &row.id, said, row);
        }
        for row in named::all(client, RetiredQuery::default(), Client::repository_list).await?.rows {
            let storage = storages.iter().find(|storage| Some(&storage.id) == row.storage_id.as_ref());
            let password = json!(own_reference(&row.password_reference, Some(&row.tenant_id)));
            let within = json!(row.verify_within_ms);
            let said = match storage {
                Some(storage) => record([
                    ("storage", json!(storage.name)),
                    ("verify_within", within),
                    ("path", path_below(&judges, &storage.settings, &row).map_or(Value::Null, Value::from)),
                    ("password", password),
                ]),
                None => record([
                    ("storage", json!({ "kind": row.storage.kind, "settings": row.storage.settings })),
                    ("verify_within", within),
                    ("password", password),
                    ("credentials", credentials(&row.credentials, &row.tenant_id)),
                ]),
            };
            let key = Key::new(Noun::Repository, Some(&name_of(tenants, &row.tenant_id)), &row.name);
            self.put(key, &row.id, said, &row);
        }
        Ok(())
    }

    /// Reads sources, templates, plans and monitors.
    async fn plans(&mut self, client: &Client, tenants: &Names) -> Result<(), CliError> {
        for row in named::all(client, RetiredQuery::default(), Client::source_list).await?.rows {
            let said = record([("kind", json!(row.kind)), ("settings", row.settings.clone())]);
            self.put(Key::new(Noun::Source, Some(&name_of(tenants, &row.tenant_id)), &row.name), &row.id, said, &row);
        }
        for row in named::all(client, NamedQuery::default(), Client::template_list).await?.rows {
            let said = record([
                ("above", json!(row.above)),
                ("schedule", schedule(row.schedule.as_ref())),
                ("rpo", json!(row.rpo_ms)),
                ("retention", retention(row.retention.as_ref())),
                ("backup", backup(row.backup.as_ref())),
            ]);
            self.put(Key::new(Noun::Template, Some(&name_of(tenants, &row.tenant_id)), &row.name), &row.id, said, &row);
        }
        let names = |noun: Noun| -> Names {
            let of_it = self.found.iter().filter(|row| row.key.noun == noun);
            of_it.map(|row| (row.id.clone(), row.key.name.clone())).collect()
        };
        let (sources, repositories) = (names(Noun::Source), names(Noun::Repository));
        for row in named::all(client, RetiredQuery::default(), Client::plan_list).await?.rows {
            let said = record([
                ("source", json!(name_of(&sources, &row.source_id))),
                ("repository", json!(name_of(&repositories, &row.repository_id))),
                ("template", json!(row.template)),
                ("schedule", schedule(row.said.schedule.as_ref())),
                ("rpo", json!(row.said.rpo_ms)),
                ("retention", retention(row.said.retention.as_ref())),
                ("backup", backup(row.said.backup.as_ref())),
            ]);
            self.put(Key::new(Noun::Plan, Some(&name_of(tenants, &row.tenant_id)), &row.name), &row.id, said, &row);
        }
        for row in named::all(client, NamedQuery::default(), Client::monitor_list).await?.rows {
            let said = record([
                ("schedule", json!(row.schedule)),
                ("time_zone", if row.time_zone == "UTC" { Value::Null } else { json!(row.time_zone) }),
                ("grace", json!(row.grace_ms)),
            ]);
            self.put(Key::new(Noun::Monitor, Some(&name_of(tenants, &row.tenant_id)), &row.name), &row.id, said, &row);
        }
        Ok(())
    }

    /// Reads what may be the installation's: channels, windows, caps.
    async fn installation(&mut self, client: &Client, tenants: &Names) -> Result<(), CliError> {
        for row in if_allowed(named::all(client, NamedQuery::default(), Client::channel_list).await)?
            .into_iter()
            .flat_map(|list| list.rows)
        {
            let mut settings = row.settings.clone();
            for value in settings.as_object_mut().into_iter().flat_map(|values| values.values_mut()) {
                if let Some(text) = value.as_str() {
                    *value = own_reference(text, row.tenant_id.as_deref()).into();
                }
            }
            let mut rules: Value = row.rules.iter().map(|rule| rule_said(rule, tenants)).collect();
            if let Some(kind) = ChannelKind::from_word(&row.kind) {
                rules_plain(kind, &mut rules);
            }
            let said = record([
                ("kind", json!(row.kind)),
                ("settings", settings),
                ("rules", rules),
                ("digest", json!(row.digest)),
            ]);
            let tenant = row.tenant_id.as_ref().map(|id| name_of(tenants, id));
            self.put(Key::new(Noun::Channel, tenant.as_deref(), &row.name), &row.id, said, &row);
        }
        // Windows may share a name: those after the first one are told apart by a number, with which no window is called.
        let windows = if_allowed(windows(client).await)?.map(|list| list.rows).unwrap_or_default();
        let mut names: BTreeSet<_> = windows.iter().map(|row| (row.tenant_id.clone(), row.name.clone())).collect();
        let mut met = BTreeSet::new();
        for row in windows {
            let mut name = row.name.clone();
            if !met.insert((row.tenant_id.clone(), name.clone())) {
                let mut numbered = (2..).map(|number: u32| format!("{}-{number}", row.name));
                let is_free = |name: &String| names.insert((row.tenant_id.clone(), name.clone()));
                name = numbered.find(is_free).unwrap_or(name);
            }
            let said = record([("from", json!(row.from)), ("until", json!(row.until))]);
            let tenant = row.tenant_id.as_ref().map(|id| name_of(tenants, id));
            self.put(Key::new(Noun::Maintenance, tenant.as_deref(), &name), &row.id, said, &row);
        }
        if let Some(caps) = if_allowed(client.caps_show().await)? {
            self.caps_revision = Some(caps.revision);
            let said = self.caps_said(&json!(caps));
            if !said.is_empty() {
                self.put(Key::new(Noun::Caps, None, ""), "", said, &caps);
            }
        }
        Ok(())
    }

    fn caps_said(&self, caps: &Value) -> Record {
        let mut said: Record = caps.as_object().cloned().unwrap_or_default();
        said.remove("revision");
        let weights = caps["weights"].as_array().into_iter().flatten();
        let weights: Record =
            weights.filter_map(|row| Some((row["tenant"].as_str()?.to_owned(), row["weight"].clone()))).collect();
        said.insert("weights".to_owned(), Value::Object(weights));
        for row in said.get_mut("exceptions").and_then(Value::as_array_mut).into_iter().flatten() {
            let id = row["name"].as_str().unwrap_or_default();
            let repository = self.found.iter().find(|found| found.key.noun == Noun::Repository && found.id == id);
            if let (Some("repository"), Some(found)) = (row["of"].as_str(), repository) {
                row["name"] = match found.key.tenant.as_deref() {
                    None | Some(TENANT_DEFAULT) => found.key.name.clone().into(),
                    Some(tenant) => format!("{tenant}/{}", found.key.name).into(),
                };
            }
        }
        let is_empty = |value: &Value| {
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
        };
        said.retain(|_, value| !is_empty(value));
        said
    }
}

/// Returns a channel's rule as files say it: with the tenant's name.
fn rule_said(rule: &ChannelRuleView, tenants: &Names) -> Value {
    let tenant = rule.tenant_id.as_ref().map(|id| name_of(tenants, id));
    Value::Object(record([
        ("severity_min", json!(rule.severity_min)),
        ("topics", if rule.topics.is_empty() { Value::Null } else { json!(rule.topics) }),
        ("tenant", json!(tenant)),
        ("delivery", json!(rule.delivery)),
    ]))
}

/// Returns where in its storage a repository lies: the path below which the storage's settings become the repository's.
fn path_below(judges: &[Box<dyn StorageJudge>], storage: &Value, row: &RepositoryView) -> Option<String> {
    let judge = judges.iter().find(|judge| judge.name() == row.storage.kind)?;
    let settings = &row.storage.settings;
    let mut tried = Vec::new();
    longer(storage, settings, &mut tried);
    tried.into_iter().find(|path| judge.judge(&judge.below(storage, path)).is_ok_and(|below| below == *settings))
}

/// Collects by how much texts of the settings are longer than the storage's.
fn longer(storage: &Value, settings: &Value, out: &mut Vec<String>) {
    match settings {
        Value::Object(values) => values.iter().for_each(|(key, value)| longer(&storage[key], value, out)),
        Value::String(text) => {
            let head = storage.as_str().unwrap_or_default();
            out.extend(
                text.strip_prefix(head)
                    .map(|rest| rest.trim_start_matches('/').to_owned())
                    .filter(|rest| !rest.is_empty()),
            );
        }
        _ => {}
    }
}
