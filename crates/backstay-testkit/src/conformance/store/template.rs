//! Promises about templates of plans: what holds is in the plan's row at every moment.

use std::time::Duration;

use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::hook::{Hook, Hooks};
use backstay_core::domain::id::{PlanId, TemplateId, TenantId};
use backstay_core::domain::job::{FailureClass, Job, JobState, StateName};
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::template::{Said, Template, settled};
use backstay_core::domain::tenant::Tenant;
use backstay_core::managers::plan::{origins, template_change, templates};
use backstay_core::ports::store::{Retirable, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, World, key_of, settlement};

const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn template(world: &World, own: &str, above: Option<&str>, said: Said) -> Template {
    let id = TemplateId::new(world.now(), world.ten());
    Template { id, tenant_id: world.tenant.id, name: name(own), above: above.map(name), said }
}

async fn added(world: &World, own: &str, above: Option<&str>, said: Said) -> Template {
    let made = template(world, own, above, said);
    world.stores.declarations.template_add(&made).await.unwrap();
    made
}

/// Returns a plan under a template, with the values that hold.
async fn plan_under(world: &World, own: &str, template: &str, said: Said) -> Plan {
    let (id, template) = (PlanId::new(world.now(), world.ten()), Some(name(template)));
    let plan = Plan { id, name: name(own), template, said, ..world.plan.clone() };
    settled(&plan, &templates(&context(&world.stores), world.tenant.id).await.unwrap()).unwrap()
}

fn every(text: &str) -> Said {
    Said { rhythm: Some(text.parse().unwrap()), ..Said::default() }
}

/// Red without the index `uq_template_name`, and when a column is left out on either way.
pub async fn templates_are_read_back_and_stand_above_one_another(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let retention = world.plan.retention.clone();
    let hook = |limit| Some(Hook { command: vec!["a".to_owned(), "b c".to_owned()], time_limit: limit });
    let backup = BackupTerms {
        priority: -7,
        accept_unread: vec!["/tmp/**".to_owned()],
        skip_if_unchanged: true,
        hooks: Hooks { before: hook(Some(HOUR)), after: None, after_failure: hook(None) },
        stall_limit: HOUR,
        follow_ups: vec![name("offsite"), name("a-copy")],
    };
    let said = Said::all(&world.plan.schedule, HOUR, &retention, &backup);
    let firm = added(&world, "firm", None, said).await;
    let team = added(&world, "a-team", Some("firm"), Said::default()).await;
    assert_eq!(store.template_get(firm.id).await.unwrap(), firm);
    assert_eq!(store.template_list(Some(world.tenant.id)).await.unwrap(), [team.clone(), firm.clone()]);
    let taken = store.template_add(&template(&world, "firm", None, Said::default())).await;
    assert!(matches!(taken, Err(StoreError::Taken { noun: "template", .. })), "{taken:?}");
    let unknown = store.template_add(&template(&world, "x", Some("gone"), Said::default())).await;
    assert!(matches!(unknown, Err(StoreError::Busy { noun: "template", .. })), "{unknown:?}");
    let other = Tenant { id: TenantId::new(world.now(), world.ten()), name: name("bob") };
    store.tenant_add(&other).await.unwrap();
    let foreign = Template { tenant_id: other.id, ..template(&world, "y", Some("firm"), Said::default()) };
    assert!(store.template_add(&foreign).await.is_err(), "a template of another tenant stands above nobody");
    store
        .template_add(&Template { tenant_id: other.id, ..template(&world, "firm", None, Said::default()) })
        .await
        .unwrap();
    assert_eq!(store.template_list(None).await.unwrap().len(), 3);

    let circle = Template { above: Some(team.name.clone()), ..firm.clone() };
    assert_eq!(store.template_replace(&firm, &circle).await.unwrap(), None, "none stands above itself");
    let free = Template { above: None, ..team.clone() };
    assert_eq!(store.template_replace(&team, &free).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.template_replace(&team, &free).await.unwrap(), None, "it was seen as it is no more");
    assert_eq!(store.template_get(team.id).await.unwrap(), free);
    assert_eq!(store.template_replace(&free, &team).await.unwrap(), Some(Vec::new()));

    let plan = plan_under(&world, "under", "firm", Said::default()).await;
    store.plan_add(&plan).await.unwrap();
    assert_eq!(store.plan_get(plan.id).await.unwrap(), plan);
    assert_eq!(store.template_remove(firm.id).await.unwrap(), ["template a-team", "plan under"]);
    assert_eq!(store.template_remove(team.id).await.unwrap(), Vec::<String>::new());
    let gone = store.template_remove(team.id).await;
    assert!(matches!(gone, Err(StoreError::NotFound { noun: "template", .. })), "{gone:?}");
    assert_eq!(store.template_remove(firm.id).await.unwrap(), ["plan under"]);
    assert_eq!(store.retire(Retirable::Plan(plan.id), world.now()).await.unwrap(), []);
    assert_eq!(store.template_remove(firm.id).await.unwrap(), Vec::<String>::new(), "who is retired needs nothing");
    let retired = store.plan_get(plan.id).await.unwrap();
    let lines = origins(&retired, &templates(&context(&world.stores), world.tenant.id).await.unwrap());
    let rpo = lines.iter().find(|(value, ..)| *value == "rpo").unwrap();
    assert_eq!((rpo.1.as_str(), rpo.2.as_str()), ("1h 0m", "template firm, which is gone"));
}

/// Red without `put_plan` in `template_replace_once`, or without `plan_lift` in `template_change`.
pub async fn a_change_of_a_template_moves_all_plans_under_it(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let ports = context(&world.stores);
    let firm = added(&world, "firm", None, Said { rpo: Some(4 * HOUR), ..every("every 6h") }).await;
    added(&world, "team", Some("firm"), Said { time_zone: Some("Europe/Zurich".to_owned()), ..Said::default() }).await;
    let below = plan_under(&world, "below", "team", Said::default()).await;
    let own = plan_under(&world, "own", "firm", Said { rpo: Some(2 * HOUR), ..every("@daily") }).await;
    let gone = plan_under(&world, "gone", "firm", Said::default()).await;
    for plan in [&below, &own, &gone] {
        store.plan_add(plan).await.unwrap();
    }
    store.retire(Retirable::Plan(gone.id), world.now()).await.unwrap();
    assert_eq!((below.rpo, below.schedule.time_zone()), (4 * HOUR, "Europe/Zurich"));
    let state = async |plan: &Plan| world.stores.schedules.schedule_get(plan.id).await.unwrap();
    for plan in [&below, &own] {
        let rests = state(plan).await.rest(plan, world.now());
        assert!(world.stores.schedules.schedule_put(&rests, &[]).await.unwrap());
    }
    let job = Job { plan_id: Some(below.id), ..world.backup(0) };
    world.enqueue(&job).await;
    let key = key_of(&world.claim(world.agent(), 1).await[0]);
    let parked = JobState::Parked { class: FailureClass::Storage, message: "no route".to_owned() };
    world.jobs.job_settle(key, &settlement(parked)).await.unwrap();

    world.clock.advance(HOUR);
    let changed = Template { said: Said { rpo: Some(8 * HOUR), ..every("every 1h") }, ..firm.clone() };
    let moved = template_change(&ports, &firm, &changed).await.unwrap().unwrap();
    let names: Vec<_> = moved.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["below"], "who says all that changed itself stays");
    let now = store.plan_get(below.id).await.unwrap();
    assert_eq!((&now, now.rpo, now.schedule.rhythm()), (&moved[0], 8 * HOUR, &"every 1h".parse().unwrap()));
    assert_eq!(state(&below).await.last_planned_at, Some(world.now()), "nothing before now was missed");
    assert_eq!(store.plan_get(own.id).await.unwrap(), own);
    assert_eq!(state(&own).await.last_planned_at, None, "its schedule is what it was");
    assert_eq!(store.plan_get(gone.id).await.unwrap().rpo, 4 * HOUR, "what is retired stays as it is");
    assert_eq!(world.job(job.id).await.state.name(), StateName::Queued, "what went wrong may go well now");
    let seen = template_change(&ports, &firm, &changed).await.unwrap();
    assert!(seen.is_none(), "somebody else changed it");
}

/// Who worked a plan's values out from a template that has changed meanwhile writes nothing.
///
/// Red without `holds` in `plan_add` and `plan_replace`.
pub async fn a_plan_never_has_the_values_of_a_template_of_before(stores: Stores) {
    let world = World::new(stores, 1).await;
    let store = &world.stores.declarations;
    let firm = added(&world, "firm", None, Said { rpo: Some(4 * HOUR), ..Said::default() }).await;
    let late = plan_under(&world, "late", "firm", Said::default()).await;
    let (template, said) = (Some(name("firm")), Said::default());
    let under = Plan { template, said, rpo: 4 * HOUR, ..world.plan.clone() };
    let changed = Template { said: Said { rpo: Some(8 * HOUR), ..Said::default() }, ..firm.clone() };
    assert_eq!(store.template_replace(&firm, &changed).await.unwrap(), Some(Vec::new()));
    let refused = store.plan_add(&late).await;
    assert!(matches!(refused, Err(StoreError::Busy { noun: "plan", .. })), "{refused:?}");
    assert!(!store.plan_replace(&world.plan, &under).await.unwrap());
    assert_eq!(store.plan_get(world.plan.id).await.unwrap(), world.plan);
    let under = Plan { rpo: 8 * HOUR, ..under };
    assert!(store.plan_replace(&world.plan, &under).await.unwrap());
    assert!(!store.plan_replace(&world.plan, &under).await.unwrap(), "it was seen as it is no more");
    assert_eq!(store.plan_get(world.plan.id).await.unwrap(), under);
    let alone = Plan { template: None, said: world.plan.said.clone(), rpo: world.plan.rpo, ..under.clone() };
    assert!(store.plan_replace(&under, &alone).await.unwrap());
    assert_eq!(store.template_remove(firm.id).await.unwrap(), Vec::<String>::new());
}
