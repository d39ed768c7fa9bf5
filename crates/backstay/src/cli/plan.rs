//! `backstay plan …`.

use std::time::Duration;

use backstay_api::types::explain::ExplainQuery;
use backstay_api::types::list::{PageQuery, RetiredQuery, Rows};
use backstay_api::types::plan::{PlanCreate, PlanScheduleView, PlanUpdate, PlanView, ScheduleQuery, ValueView};
use backstay_api::types::retention::ItemRetentionView;
use backstay_api::types::template::SaidView;
use backstay_api::{Client, ClientError};
use backstay_core::domain::id::PlanId;

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::explain::{self, Zone};
use super::human;
use super::job::exit_of;
use super::named::{self, find};
use super::plan_next;
use super::retire;
use super::said::{Said, Unsaid, Words};
use super::screen::Screen;
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;
use crate::roles::quickstart::TENANT;

/// What can be asked of plans.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all plans
    List {
        /// With those that were retired
        #[arg(long)]
        retired: bool,
    },
    /// Show one plan: what holds, and who said it
    Show {
        /// The plan's name or id
        plan: String,
    },
    /// Change what is given of a plan
    Update {
        /// The plan's name or id
        id: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Id of the repository where the next snapshots lie
        #[arg(long, value_name = "ID")]
        repository: Option<String>,
        /// Name of the template whose values it takes where it says nothing itself
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        /// Take it from under its template
        #[arg(long, conflicts_with = "template")]
        no_template: bool,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        unsaid: Unsaid,
    },
    /// Show which snapshots a plan keeps, by which rules, and which go with the next prune
    Retention {
        /// The plan's name or id
        plan: String,
    },
    /// Say what a plan does now, what holds it back, and what the next month looks like
    Explain {
        /// The plan's name or id
        plan: String,
        #[command(flatten)]
        zone: Zone,
    },
    /// Show how far a plan's schedule is, and what comes next
    Schedule {
        /// The plan's name or id
        plan: String,
    },
    /// Say when a plan starts next, in its time zone and here, and what will hold it back
    Next {
        /// The plan's name or id
        plan: String,
        /// How many starts
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
    },
    /// Hold a plan back: its occurrences are skipped and told
    Pause {
        /// The plan's name or id
        plan: String,
    },
    /// Let a plan go on
    Resume {
        /// The plan's name or id
        plan: String,
    },
    /// Let prunes go on after much changed at once in a plan: you have looked, and all is well
    Clear {
        /// The plan's name or id
        plan: String,
    },
    /// Retire a plan: nothing new is made of it, and what it made stays
    Retire {
        /// The plan's name or id
        plan: String,
        /// Do it; without this nothing is done, and what stays is said
        #[arg(long)]
        yes: bool,
    },
    /// Declare a plan
    Create {
        /// Its name
        name: String,
        /// Id of the source
        #[arg(long, value_name = "ID")]
        source: String,
        /// Id of the repository
        #[arg(long, value_name = "ID")]
        repository: String,
        /// Name of the template whose values it takes where it says nothing itself
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        #[command(flatten)]
        words: Words,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Back up a plan's items now
    Run {
        /// The plan's name or id
        plan: String,
        /// Wait until the backup has ended, and exit as it went; without a running server this is always so
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { retired } => {
            let list = look(common, async |client| {
                Ok(named::all(client, RetiredQuery { retired, ..RetiredQuery::default() }, Client::plan_list).await?)
            })
            .await?;
            let row = |row: &PlanView| {
                let rpo = human::duration(Duration::from_millis(row.rpo_ms));
                let when = row.schedule.cron.clone().or_else(|| {
                    let every = row.schedule.every_ms.map(Duration::from_millis);
                    every.map(|every| format!("every {}", human::duration(every)))
                });
                vec![
                    retire::marked(&row.name, row.retired_at.as_deref()),
                    when.unwrap_or_else(|| "on request".to_owned()),
                    rpo,
                    row.id.clone(),
                ]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "when", "rpo", "id"], rows, "there is no plan yet");
            Ok(Exit::Done)
        }
        Verb::Show { plan } => {
            let shown = look(common, async |client| Ok(client.plan_show(&any_id_of(client, &plan).await?).await?));
            plan_show(screen, &shown.await?);
            Ok(Exit::Done)
        }
        Verb::Update { id, name, repository, template, no_template, words, unsaid } => {
            let template = if no_template { Some(None) } else { template.map(Some) };
            let changed = look(common, async |client| {
                let id = any_id_of(client, &id).await?;
                let was = client.plan_show(&id).await?;
                let Said { schedule, rpo_ms, retention, backup } = words.over(was.said, unsaid)?;
                let body =
                    PlanUpdate { name, repository_id: repository, template, schedule, rpo_ms, retention, backup };
                let changed = client.plan_update(&id, &body).await?;
                let warnings = warnings(client, &id).await;
                Ok((changed, warnings))
            });
            let (changed, warnings) = changed.await?;
            plan_show(screen, &changed);
            warnings.iter().for_each(|words| screen.say(words));
            Ok(Exit::Done)
        }
        Verb::Retention { plan } => {
            let list =
                look(common, async |client| Ok(retention_of(client, &id_of(client, &plan).await?).await?)).await?;
            let rows = list.rows.iter().flat_map(|item| {
                item.snapshots.iter().map(|row| {
                    let why = if row.is_kept { row.reasons.join("; ") } else { "no rule keeps it".to_owned() };
                    let fate = if row.is_kept { "stays" } else { "goes" };
                    vec![
                        human::instant(&row.taken_at),
                        item.item_name.clone(),
                        fate.to_owned(),
                        why,
                        row.snapshot_id.clone(),
                    ]
                })
            });
            let rows = rows.collect();
            screen.rows(&list, &["taken", "item", "", "why", "id"], rows, "the plan has no snapshot yet");
            Ok(Exit::Done)
        }
        Verb::Explain { plan, zone } => {
            let said = look(common, async |client| {
                Ok(client.plan_explain(&id_of(client, &plan).await?, &zone.query()).await?)
            });
            explain::show(screen, &said.await?);
            Ok(Exit::Done)
        }
        Verb::Schedule { plan } => {
            let query = ScheduleQuery::default();
            let view =
                look(common, async |client| Ok(client.plan_schedule(&id_of(client, &plan).await?, &query).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Next { plan, count } => {
            let query = ScheduleQuery { count: Some(count) };
            let (plan, view) = look(common, async |client| {
                let id = id_of(client, &plan).await?;
                Ok((client.plan_show(&id).await?, client.plan_schedule(&id, &query).await?))
            })
            .await?;
            plan_next::show(screen, &plan, &view);
            Ok(Exit::Done)
        }
        Verb::Pause { plan } => {
            let view = look(common, async |client| Ok(client.plan_pause(&id_of(client, &plan).await?).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Resume { plan } => {
            let view = look(common, async |client| Ok(client.plan_resume(&id_of(client, &plan).await?).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Clear { plan } => {
            look(common, async |client| Ok(client.plan_clear(&id_of(client, &plan).await?).await?)).await?;
            screen.say("prunes of its snapshots go on");
            Ok(Exit::Done)
        }
        Verb::Retire { plan, yes } => {
            return retire::run(common, retire::Noun::Plan, &plan, yes, screen).await;
        }
        Verb::Create { name, source, repository, template, words, tenant } => {
            let SaidView { schedule, rpo_ms, retention, backup } = words.read()?;
            let (source_id, repository_id, schedule) = (source, repository, schedule.unwrap_or_default());
            let body =
                PlanCreate { tenant, name, source_id, repository_id, template, schedule, rpo_ms, retention, backup };
            let (made, warnings) = look(common, async |client| {
                let made = client.plan_create(&body).await?;
                let warnings = warnings(client, &made.id).await;
                Ok((made, warnings))
            })
            .await?;
            warnings.iter().for_each(|words| screen.say(words));
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
            Ok(Exit::Done)
        }
        Verb::Run { plan, wait } => {
            let connection = Connection::open(common, WithAgent::Yes).await?;
            let answer = run_plan(&connection, &plan, wait, screen).await;
            connection.close().await;
            answer
        }
    }
}

/// Returns what is to be said of a plan's windows beside others; nothing where that cannot be asked now: the plan itself is
/// declared all the same.
pub(super) async fn warnings(client: &Client, id: &str) -> Vec<String> {
    let said = client.plan_explain(id, &ExplainQuery::default()).await;
    let warnings = said.map(|view| view.warnings).unwrap_or_default();
    warnings.iter().map(|words| warning(words)).collect()
}

/// Says what is wrong with a plan's window, as a warning.
pub(super) fn warning(words: &str) -> String {
    format!("warning: its window is too short: {words}")
}

/// Returns what a plan's retention says of each of its items, by their names.
pub(super) async fn retention_of(client: &Client, id: &str) -> Result<Rows<ItemRetentionView>, ClientError> {
    let list = async |client: &Client, query: &PageQuery| client.plan_retention(id, query).await;
    let mut found = client.all(PageQuery::default(), list).await?;
    found.rows.sort_by(|one, other| one.item_name.cmp(&other.item_name));
    Ok(found)
}

/// Returns the id of the plan that has this name, or the id that was given: also of one that is retired.
async fn any_id_of(client: &Client, plan: &str) -> Result<String, CliError> {
    if plan.parse::<PlanId>().is_ok() { Ok(plan.to_owned()) } else { id_of(client, plan).await }
}

/// Prints a plan: what it ties together, then each value that holds with who said it.
fn plan_show(screen: &Screen, view: &PlanView) {
    let fact = |name: &str, value: &str| vec![name.to_owned(), value.to_owned(), String::new()];
    let mut rows = vec![
        fact("name", &retire::marked(&view.name, view.retired_at.as_deref())),
        fact("id", &view.id),
        fact("source", &view.source_id),
        fact("repository", &view.repository_id),
        fact("template", view.template.as_deref().unwrap_or("none")),
        fact("created", &human::instant(&view.created_at)),
    ];
    let origin =
        |(name, origin): (&String, &ValueView)| vec![name.clone(), origin.value.clone(), origin.said_by.clone()];
    rows.extend(view.origins.iter().map(origin));
    screen.rows(view, &["fact", "value", "said by"], rows, "");
}

/// Returns the id of the plan that has this name or id.
async fn id_of(client: &Client, plan: &str) -> Result<String, CliError> {
    Ok(find(client, ("plan", plan), Client::plan_list, Client::plan_show).await?.id)
}

/// Prints how far a plan is: what holds it back, then what comes next.
fn schedule_show(screen: &Screen, view: &PlanScheduleView) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |fact: &str, value: String| rows.push(vec![fact.to_owned(), value]);
    if let Some(at) = &view.paused_at {
        add("paused", format!("since {}; `backstay plan resume` lets it go on", human::instant(at)));
    }
    if let Some(reason) = &view.held {
        add("held", reason.clone());
    }
    if let Some(at) = &view.waiting_planned_at {
        let until = view.waiting_until.as_deref().map_or_else(|| "as long as it takes".to_owned(), human::instant);
        add("waits", format!("the one of {} for another plan's work, until {until}", human::instant(at)));
    }
    add("last", view.last_planned_at.as_deref().map_or_else(|| "none yet".to_owned(), human::instant));
    for next in &view.next {
        add("next", human::instant(&next.start_at));
    }
    if view.next.is_empty() {
        add("next", "on request only".to_owned());
    }
    screen.rows(view, &["fact", "value"], rows, "");
}

async fn run_plan(connection: &Connection, plan: &str, wait: bool, screen: &Screen) -> Result<Exit, CliError> {
    let client = &connection.client;
    let requested = client.plan_request(&id_of(client, plan).await?).await?;
    for item in &requested.items {
        if let Some(usual) = item.usual_ms.map(Duration::from_millis) {
            screen.say(&format!("{}: usually takes {}", human::shown(&item.item_name), human::duration(usual)));
        }
    }
    if !wait && !connection.is_own() {
        let rows = requested.items.iter();
        let rows = rows.map(|row| vec![row.item_name.clone(), row.answer.clone(), row.job_id.clone()]).collect();
        screen.rows(&requested, &["item", "answer", "job"], rows, "the plan's source has no item");
        if let Some(set) = &requested.set_id {
            screen.say(&format!("`backstay job set show {set}` says how they go."));
        }
        return Ok(Exit::Done);
    }
    let mut watch = Watch::new(screen);
    let mut exit = Exit::Done;
    let mut details = Vec::new();
    for item in &requested.items {
        let detail = watch_job(client, &item.job_id, &format!("backing up {}", item.item_name), &mut watch).await?;
        if exit == Exit::Done {
            exit = exit_of(&detail.job);
        }
        details.push(detail);
    }
    super::job::show_all(screen, &details);
    Ok(exit)
}
