//! What people declare, in memory.

use async_trait::async_trait;
use backstay_core::domain::id::{ItemId, PlanId, RepositoryId, SourceId, StorageId, TemplateId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Job, JobKind};
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::proof::Proof;
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::schedule::ScheduleState;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::{CredentialReferences, Storage};
use backstay_core::domain::template::Template;
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::retention::Upkeep;
use backstay_core::ports::store::{
    BackupFacts, BackupPlace, DeclarationStore, NamedFilter, Page, Retirable, StoreError,
};
use jiff::Timestamp;

use super::history::page_of;
use super::{FakeStores, Rows};

/// Says that a unique key is taken, if it is.
pub(super) fn free(taken: bool, noun: &'static str, key: impl ToString) -> Result<(), StoreError> {
    if taken { Err(StoreError::Taken { noun, key: key.to_string() }) } else { Ok(()) }
}

/// Says that a row which is referred to is missing, if it is.
pub(super) fn parent(there: bool, noun: &'static str, key: impl ToString) -> Result<(), StoreError> {
    if there { Ok(()) } else { Err(StoreError::NotFound { noun, key: key.to_string() }) }
}

/// Returns the row that was looked for, or says that there is none.
pub(super) fn found<T: Clone>(row: Option<&T>, noun: &'static str, key: impl ToString) -> Result<T, StoreError> {
    row.cloned().ok_or_else(|| StoreError::NotFound { noun, key: key.to_string() })
}

fn by_name<'a, T: Clone + 'a, K: Ord>(rows: impl Iterator<Item = &'a T>, name: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = rows.cloned().collect();
    rows.sort_by_key(name);
    rows
}

/// Says that a row is retired, if it is.
pub(super) fn live(retired_at: Option<Timestamp>, noun: &'static str, name: &Name) -> Result<(), StoreError> {
    if retired_at.is_none() { Ok(()) } else { Err(StoreError::Retired { noun, key: name.to_string() }) }
}

impl Rows {
    /// Refuses a plan whose source or repository is retired.
    fn plan_permit(&self, plan: &Plan) -> Result<(), StoreError> {
        if let Some(row) = self.sources.get(&plan.source_id) {
            live(row.retired_at, "source", &row.name)?;
        }
        self.repositories.get(&plan.repository_id).map_or(Ok(()), |row| live(row.retired_at, "repository", &row.name))
    }

    /// Puts a plan in the place of another, with what follows for its schedule and its items.
    pub(super) fn put_plan(&mut self, old: &Plan, new: &Plan, now: Timestamp) {
        self.plans.insert(old.id, new.clone());
        self.watch_plan(new);
        if old.schedule != new.schedule
            && let Some(state) = self.schedules.get_mut(&old.id)
        {
            *state = ScheduleState { revision: state.revision + 1, ..state.rescheduled((old, new), now) };
        }
    }

    /// Refuses a backup of a retired plan and a prune of a retired repository.
    pub(super) fn job_permit(&self, job: &Job) -> Result<(), StoreError> {
        match job.kind() {
            JobKind::Backup => {
                let Some(id) = job.plan_id else { return Ok(()) };
                parent(self.plans.contains_key(&id), "plan", id)?;
                live(self.plans[&id].retired_at, "plan", &self.plans[&id].name)
            }
            JobKind::Prune => {
                let row = self.repositories.get(&job.repository_id);
                row.map_or(Ok(()), |row| live(row.retired_at, "repository", &row.name))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl DeclarationStore for FakeStores {
    async fn tenant_add(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.write(|rows, _| {
            free(rows.tenants.values().any(|row| row.name == tenant.name), "tenant", &tenant.name)?;
            rows.tenants.insert(tenant.id, tenant.clone());
            Ok(())
        })
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        self.read(|rows| found(rows.tenants.get(&id), "tenant", id))
    }

    async fn tenant_by_name(&self, name: &Name) -> Result<Tenant, StoreError> {
        self.read(|rows| found(rows.tenants.values().find(|row| row.name == *name), "tenant", name))
    }

    async fn tenant_page(&self, filter: &NamedFilter, page: Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let shown = |row: &&Tenant| filter.shows(row.id, &row.name, true);
        Ok(self.read(|rows| page_of(rows.tenants.values().filter(shown), |row| row.id, page)))
    }

    async fn quota_get(&self, tenant: TenantId) -> Result<Quota, StoreError> {
        Ok(self.read(|rows| rows.quotas.get(&tenant).copied().unwrap_or_default()))
    }

    async fn quota_put(&self, tenant: TenantId, seen: Option<Quota>, quota: Quota) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            parent(rows.tenants.contains_key(&tenant), "tenant", tenant)?;
            let there = rows.quotas.get(&tenant).copied().unwrap_or_default();
            if seen.is_some_and(|seen| seen != there) {
                return Ok(false);
            }
            rows.quotas.insert(tenant, quota);
            Ok(true)
        })
    }

    async fn quota_list(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Quota, Usage)>, StoreError> {
        Ok(self.read(|rows| {
            let owners = rows.repositories.values().map(|row| row.tenant_id);
            let known: std::collections::BTreeSet<TenantId> = rows.quotas.keys().copied().chain(owners).collect();
            let one = |id: TenantId| (id, rows.quotas.get(&id).copied().unwrap_or_default(), rows.usage_of(id));
            known.into_iter().filter(|id| tenants.contains(id)).map(one).collect()
        }))
    }

    async fn source_add(&self, source: &Source, items: &[Item]) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let same =
                |row: &Source| row.tenant_id == source.tenant_id && row.name == source.name && row.retired_at.is_none();
            free(rows.sources.values().any(same), "source", &source.name)?;
            parent(rows.tenants.contains_key(&source.tenant_id), "tenant", source.tenant_id)?;
            rows.sources.insert(source.id, source.clone());
            for item in items {
                let same = |row: &Item| row.source_id == item.source_id && row.name == item.name;
                free(rows.items.values().any(same), "item", &item.name)?;
                rows.items.insert(item.id, item.clone());
            }
            Ok(())
        })
    }

    async fn source_get(&self, id: SourceId) -> Result<Source, StoreError> {
        self.read(|rows| found(rows.sources.get(&id), "source", id))
    }

    async fn source_settings_put(
        &self,
        old: &Source,
        settings: &serde_json::Value,
        added: &[Item],
    ) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let Some(row) = rows.sources.get_mut(&old.id).filter(|row| *row == old && row.retired_at.is_none()) else {
                return Ok(false);
            };
            row.settings = settings.clone();
            for item in added {
                let same = |row: &Item| row.source_id == item.source_id && row.name == item.name;
                free(rows.items.values().any(same), "item", &item.name)?;
                rows.items.insert(item.id, item.clone());
            }
            let of_source = |row: &&Plan| row.source_id == old.id && row.retired_at.is_none();
            let plans: Vec<Plan> = rows.plans.values().filter(of_source).cloned().collect();
            plans.iter().for_each(|plan| rows.watch_plan(plan));
            Ok(true)
        })
    }

    async fn source_page(&self, filter: &NamedFilter, page: Page<SourceId>) -> Result<Vec<Source>, StoreError> {
        let shown = |row: &&Source| filter.shows(row.tenant_id, &row.name, row.retired_at.is_none());
        Ok(self.read(|rows| page_of(rows.sources.values().filter(shown), |row| row.id, page)))
    }

    async fn item_get(&self, id: ItemId) -> Result<Item, StoreError> {
        self.read(|rows| found(rows.items.get(&id), "item", id))
    }

    async fn item_page(&self, source: SourceId, page: Page<ItemId>) -> Result<Vec<Item>, StoreError> {
        let of_source = |row: &&Item| row.source_id == source;
        Ok(self.read(|rows| page_of(rows.items.values().filter(of_source), |row| row.id, page)))
    }

    async fn backup_facts(&self, place: &BackupPlace) -> Result<BackupFacts, StoreError> {
        let item = self.item_get(place.item_id).await?;
        let mut repository = self.repository_get(place.repository_id).await?;
        if let Some(id) = repository.storage_id {
            repository.credentials = self.storage_get(id).await?.credentials;
        }
        let plan = match place.plan_id {
            Some(id) => Some(self.plan_get(id).await?),
            None => None,
        };
        let (source, quota) = (self.source_get(item.source_id).await?, self.quota_get(repository.tenant_id).await?);
        Ok(BackupFacts { item, source, repository, plan, quota })
    }

    async fn storage_add(&self, storage: &Storage) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let same = |row: &Storage| {
                row.tenant_id == storage.tenant_id && row.name == storage.name && row.retired_at.is_none()
            };
            free(rows.storages.values().any(same), "storage", &storage.name)?;
            parent(rows.tenants.contains_key(&storage.tenant_id), "tenant", storage.tenant_id)?;
            rows.storages.insert(storage.id, storage.clone());
            Ok(())
        })
    }

    async fn storage_get(&self, id: StorageId) -> Result<Storage, StoreError> {
        self.read(|rows| found(rows.storages.get(&id), "storage", id))
    }

    async fn storage_page(&self, filter: &NamedFilter, page: Page<StorageId>) -> Result<Vec<Storage>, StoreError> {
        let shown = |row: &&Storage| filter.shows(row.tenant_id, &row.name, row.retired_at.is_none());
        Ok(self.read(|rows| page_of(rows.storages.values().filter(shown), |row| row.id, page)))
    }

    async fn storage_credentials_put(
        &self,
        old: &Storage,
        credentials: &CredentialReferences,
    ) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let Some(row) = rows.storages.get_mut(&old.id).filter(|row| *row == old && row.retired_at.is_none()) else {
                return Ok(false);
            };
            row.credentials = credentials.clone();
            Ok(true)
        })
    }

    async fn repository_add(&self, repository: &Repository) -> Result<(), StoreError> {
        self.write(|rows, _| {
            if let Some(id) = repository.storage_id {
                let own = rows.storages.get(&id).filter(|row| row.tenant_id == repository.tenant_id);
                let row = found(own, "storage", id)?;
                live(row.retired_at, "storage", &row.name)?;
            }
            let same = |row: &Repository| {
                row.tenant_id == repository.tenant_id && row.name == repository.name && row.retired_at.is_none()
            };
            free(rows.repositories.values().any(same), "repository", &repository.name)?;
            parent(rows.tenants.contains_key(&repository.tenant_id), "tenant", repository.tenant_id)?;
            rows.repositories.insert(repository.id, repository.clone());
            let upkeep = Upkeep { repository_id: repository.id, due_at: repository.id.made_at(), has_pending: false };
            rows.upkeep.insert(repository.id, upkeep);
            rows.proofs.insert(repository.id, Proof::new(repository.id));
            Ok(())
        })
    }

    async fn repository_get(&self, id: RepositoryId) -> Result<Repository, StoreError> {
        self.read(|rows| found(rows.repositories.get(&id), "repository", id))
    }

    async fn repository_page(
        &self,
        filter: &NamedFilter,
        page: Page<RepositoryId>,
    ) -> Result<Vec<Repository>, StoreError> {
        let shown = |row: &&Repository| filter.shows(row.tenant_id, &row.name, row.retired_at.is_none());
        Ok(self.read(|rows| page_of(rows.repositories.values().filter(shown), |row| row.id, page)))
    }

    async fn plan_add(&self, plan: &Plan) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let same =
                |row: &Plan| row.tenant_id == plan.tenant_id && row.name == plan.name && row.retired_at.is_none();
            rows.plan_permit(plan)?;
            if !rows.holds(plan) {
                return Err(super::template::changing("plan", &plan.name));
            }
            free(rows.plans.values().any(same), "plan", &plan.name)?;
            parent(rows.tenants.contains_key(&plan.tenant_id), "tenant", plan.tenant_id)?;
            parent(rows.sources.contains_key(&plan.source_id), "source", plan.source_id)?;
            parent(rows.repositories.contains_key(&plan.repository_id), "repository", plan.repository_id)?;
            rows.plans.insert(plan.id, plan.clone());
            rows.schedules.insert(plan.id, ScheduleState::new(plan.id, plan.created_at));
            rows.watch_plan(plan);
            Ok(())
        })
    }

    async fn plan_get(&self, id: PlanId) -> Result<Plan, StoreError> {
        self.read(|rows| found(rows.plans.get(&id), "plan", id))
    }

    async fn plan_page(&self, filter: &NamedFilter, page: Page<PlanId>) -> Result<Vec<Plan>, StoreError> {
        let shown = |row: &&Plan| filter.shows(row.tenant_id, &row.name, row.retired_at.is_none());
        Ok(self.read(|rows| page_of(rows.plans.values().filter(shown), |row| row.id, page)))
    }

    async fn plan_replace(&self, old: &Plan, new: &Plan) -> Result<bool, StoreError> {
        self.write(|rows, now| {
            let same = |row: &Plan| {
                row.tenant_id == old.tenant_id && row.name == new.name && row.id != old.id && row.retired_at.is_none()
            };
            rows.plan_permit(new)?;
            free(rows.plans.values().any(same), "plan", &new.name)?;
            if rows.plans.get(&old.id) != Some(old) || old.retired_at.is_some() || !rows.holds(new) {
                return Ok(false);
            }
            parent(rows.repositories.contains_key(&new.repository_id), "repository", new.repository_id)?;
            rows.put_plan(old, new, now);
            Ok(true)
        })
    }

    async fn template_add(&self, template: &Template) -> Result<(), StoreError> {
        self.write(|rows, _| rows.template_add(template))
    }

    async fn template_get(&self, id: TemplateId) -> Result<Template, StoreError> {
        self.read(|rows| found(rows.templates.get(&id), "template", id))
    }

    async fn template_page(&self, filter: &NamedFilter, page: Page<TemplateId>) -> Result<Vec<Template>, StoreError> {
        let shown = |row: &&Template| filter.shows(row.tenant_id, &row.name, true);
        Ok(self.read(|rows| page_of(rows.templates.values().filter(shown), |row| row.id, page)))
    }

    async fn template_replace(&self, old: &Template, new: &Template) -> Result<Option<Vec<Plan>>, StoreError> {
        self.write(|rows, now| Ok(rows.template_replace(old, new, now)))
    }

    async fn template_remove(&self, id: TemplateId) -> Result<Vec<String>, StoreError> {
        self.write(|rows, _| rows.template_remove(id))
    }

    async fn retire(&self, what: Retirable, at: Timestamp) -> Result<Vec<Name>, StoreError> {
        self.write(|rows, _| {
            let needed = |rows: &Rows, needs: &dyn Fn(&Plan) -> bool| {
                let live = rows.plans.values().filter(|plan| plan.retired_at.is_none() && needs(plan));
                by_name(live, |plan| plan.name.clone()).into_iter().map(|plan| plan.name).collect::<Vec<Name>>()
            };
            match what {
                Retirable::Plan(id) => {
                    let missing = StoreError::NotFound { noun: "plan", key: id.to_string() };
                    let plan = rows.plans.get_mut(&id).ok_or(missing)?;
                    if plan.retired_at.is_none() {
                        plan.retired_at = Some(at);
                        if let Some(state) = rows.schedules.get_mut(&id) {
                            (state.next_due_at, state.waiting) = (None, None);
                            state.revision += 1;
                        }
                        let of_plan = rows.watch.iter_mut().filter(|((plan, _), _)| *plan == id);
                        of_plan.for_each(|(_, due_at)| *due_at = Timestamp::UNIX_EPOCH);
                    }
                }
                Retirable::Source(id) => {
                    found(rows.sources.get(&id), "source", id)?;
                    let needed = needed(rows, &|plan| plan.source_id == id);
                    if !needed.is_empty() {
                        return Ok(needed);
                    }
                    rows.sources.entry(id).and_modify(|row| row.retired_at = row.retired_at.or(Some(at)));
                }
                Retirable::Repository(id) => {
                    found(rows.repositories.get(&id), "repository", id)?;
                    let needed = needed(rows, &|plan| plan.repository_id == id);
                    if !needed.is_empty() {
                        return Ok(needed);
                    }
                    rows.repositories.entry(id).and_modify(|row| row.retired_at = row.retired_at.or(Some(at)));
                }
                Retirable::Storage(id) => {
                    found(rows.storages.get(&id), "storage", id)?;
                    let inside = |row: &&Repository| row.storage_id == Some(id) && row.retired_at.is_none();
                    let needed = by_name(rows.repositories.values().filter(inside), |row| row.name.clone());
                    if !needed.is_empty() {
                        return Ok(needed.into_iter().map(|row| row.name).collect());
                    }
                    rows.storages.entry(id).and_modify(|row| row.retired_at = row.retired_at.or(Some(at)));
                }
            }
            Ok(Vec::new())
        })
    }
}
