//! `backstay doctor`: how this machine's installation is, or a server elsewhere, what that means and what to do.

use std::collections::BTreeSet;

use backstay_api::types::alert::AlertView;
use backstay_api::types::evidence::EvidenceQuery;
use backstay_api::types::explain::ExplainQuery;
use backstay_api::types::list::{NamedQuery, PageQuery, RetiredQuery};
use backstay_api::types::plan::PlanView;
use backstay_api::types::snapshot::SnapshotQuery;
use backstay_api::{Client, ClientError};
use backstay_core::domain::alert::Severity;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::human;
use super::named::{self, items_of};
use super::screen::Screen;
use super::server_protect::{beside, copied, readers};
use super::snapshots_of::all;
use crate::roles::doctor::{Finding, Verdict, certificate, data_directory, tools};
use crate::roles::home::Rows;
use crate::roles::installation::WithAgent;
use crate::roles::own_database::OwnDatabase;

/// Items that are looked at one by one: an answer within seconds.
const ITEMS_MAX: usize = 300;

/// Names that one line tells; the rest is counted.
const NAMES_MAX: usize = 5;

/// How long after its last verify a repository is told of.
const VERIFY_AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How far a clock may be off: schedules are kept to the second.
const CLOCK_WARN: SignedDuration = SignedDuration::from_secs(5);

/// From where on leases and RPOs are judged wrongly.
const CLOCK_BAD: SignedDuration = SignedDuration::from_secs(60);

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    bad: usize,
    warnings: usize,
}

pub(super) async fn run(common: &Common, screen: &Screen) -> Result<Exit, CliError> {
    let report = report(common).await;
    show(screen, &report);
    Ok(if report.bad > 0 { Exit::Failed } else { Exit::Done })
}

/// Looks at everything.
pub(super) async fn report(common: &Common) -> Report {
    let now = Timestamp::now();
    let mut findings = Vec::new();
    let rows = Rows::of(common.told());
    match common.data_dir() {
        Ok(data) if common.server().is_none() || data.must_exist(rows).is_ok() => {
            findings.extend(data_directory(&data, common.told()));
        }
        Ok(_) => {}
        Err(error) => {
            findings.push(Finding::new("data directory", Verdict::Bad, error.line(), "Name it with --data-dir."))
        }
    }
    findings.extend(certificate(common.told(), now));
    findings.push(tools(std::env::var_os("PATH").as_deref()));
    findings.extend(of_server(common, now).await);
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (bad, warnings) = (count(Verdict::Bad), count(Verdict::Warn));
    Report { findings, bad, warnings }
}

fn show(screen: &Screen, report: &Report) {
    if screen.json() {
        return screen.value(report);
    }
    for finding in &report.findings {
        let word = match finding.verdict {
            Verdict::Info => "info",
            Verdict::Ok => "ok",
            Verdict::Warn => "WARN",
            Verdict::Bad => "BAD",
        };
        screen.line(&format!("{word:<5} {:<15} {}", finding.what, human::shown(&finding.says)));
        if !finding.next.is_empty() {
            screen.line(&format!("{:<21} next: {}", "", human::shown(&finding.next)));
        }
    }
    screen.line(&format!("\n{} bad, {} warnings", report.bad, report.warnings));
}

/// Looks at what a server knows: the one that is meant, or one that is started for it.
async fn of_server(common: &Common, now: Timestamp) -> Vec<Finding> {
    let connection = match Connection::open(common, WithAgent::No).await {
        Ok(connection) => connection,
        Err(error) => {
            let next = "Mend what is said above; `backstay up` starts one, --server URL names one elsewhere.";
            return vec![Finding::new("server", Verdict::Bad, error.line(), next)];
        }
    };
    let client = &connection.client;
    let mut found = vec![reached(&connection).await];
    if found[0].verdict != Verdict::Bad {
        // Each by itself: what one token may not see, or one row spoils, hides nothing else.
        found.push(told("clock", clock(client, now).await));
        if !connection.is_own() {
            found.push(told("agents", agents(client).await));
        }
        found.extend(plans(client).await.unwrap_or_else(|error| vec![unseen("plans", &error)]));
        found.push(told("own database", own_database(common, client).await));
        found.push(told("verifies", verifies(client, now).await));
        found.push(told("channels", channels(client).await));
        found.push(told("alerts", alerts(client).await));
    }
    connection.close().await;
    found
}

fn told(what: &'static str, answer: Result<Finding, ClientError>) -> Finding {
    answer.unwrap_or_else(|error| unseen(what, &error))
}

/// Says of something that could not be looked at why.
fn unseen(what: &'static str, error: &ClientError) -> Finding {
    let forbidden = matches!(error, ClientError::Problem { problem } if problem.status == 403);
    let verdict = if forbidden { Verdict::Info } else { Verdict::Bad };
    Finding::new(what, verdict, format!("could not be looked at: {error}"), "")
}

async fn reached(connection: &Connection) -> Finding {
    match connection.client.tenant_list(&NamedQuery { limit: Some(1), ..NamedQuery::default() }).await {
        Err(error) => {
            let error = CliError::from(error);
            Finding::new("server", Verdict::Bad, error.line(), "Is it running? Is its URL right, and its token good?")
        }
        Ok(_) if connection.is_own() => Finding::new(
            "server",
            Verdict::Warn,
            "none runs here: the database opens, but nothing is backed up by schedule",
            "`backstay up` runs one, `backstay install` makes it a service.",
        ),
        Ok(_) => Finding::ok("server", format!("answers at {}", connection.client.server())),
    }
}

/// Compares this machine's clock with the one that decides: the database's.
async fn clock(client: &Client, now: Timestamp) -> Result<Finding, ClientError> {
    let Some(plan) = client.plan_list(&RetiredQuery { limit: Some(1), ..RetiredQuery::default() }).await?.rows.pop()
    else {
        return Ok(Finding::new("clock", Verdict::Info, "is compared with the database's once there is a plan", ""));
    };
    let asked_at = Timestamp::now();
    let said = client.plan_explain(&plan.id, &ExplainQuery::default()).await?;
    let theirs = said.at.parse::<Timestamp>().unwrap_or(now);
    // It was read between question and answer.
    let after = theirs.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
    let before = asked_at.duration_since(theirs).max(SignedDuration::ZERO);
    Ok(clock_of(after.max(before)))
}

/// Judges how far this clock is from the database's.
fn clock_of(off: SignedDuration) -> Finding {
    let says = format!("{:.1} s from the database's clock", off.as_secs_f64());
    let next = "Let both machines ask a time server (chrony, systemd-timesyncd).";
    match () {
        () if off > CLOCK_BAD => Finding::new("clock", Verdict::Bad, says, next),
        () if off > CLOCK_WARN => Finding::new("clock", Verdict::Warn, says, next),
        () => Finding::ok("clock", says),
    }
}

async fn agents(client: &Client) -> Result<Finding, ClientError> {
    let count = client.all(PageQuery::default(), Client::agent_list).await?.rows.len();
    Ok(match count {
        0 => Finding::new(
            "agents",
            Verdict::Bad,
            "none is alive: nothing is backed up, restored or verified",
            "`backstay agent run` is one; `backstay up` has its own.",
        ),
        count => Finding::ok("agents", format!("{count} alive")),
    })
}

/// Looks at plans and their items.
async fn plans(client: &Client) -> Result<Vec<Finding>, ClientError> {
    let plans = named::all(client, RetiredQuery::default(), Client::plan_list).await?.rows;
    if plans.is_empty() {
        let next = "`backstay quickstart DIR` protects a folder; `backstay plan create` declares a plan.";
        return Ok(vec![Finding::new("plans", Verdict::Warn, "there is none: nothing is protected", next)]);
    }
    let is_on_request = |plan: &&PlanView| plan.schedule.cron.is_none() && plan.schedule.every_ms.is_none();
    let on_request: Vec<&str> = plans.iter().filter(is_on_request).map(|plan| plan.name.as_str()).collect();
    let mut found = vec![match on_request.len() {
        0 => Finding::ok("schedules", format!("{} plans, none on request only", plans.len())),
        _ => Finding::new(
            "schedules",
            Verdict::Warn,
            format!("these plans start on request only: {}", names(&on_request)),
            "`backstay plan update PLAN --cron '0 2 * * *'` gives one a schedule.",
        ),
    }];
    let items = items(client, &plans).await?;
    found.push(items.finding("snapshots", &items.without, Verdict::Warn, "without any good snapshot"));
    found.push(items.finding("overdue", &items.overdue, Verdict::Bad, "overdue"));
    found.push(items.finding("threatened", &items.threatened, Verdict::Warn, "soon overdue"));
    Ok(found)
}

/// Says whether anything backs up the database that all of this is in.
async fn own_database(common: &Common, client: &Client) -> Result<Finding, ClientError> {
    let what = "own database";
    let data = common.data_dir().ok().filter(|_| common.server().is_none());
    let own = OwnDatabase::known(common.told(), data.as_ref());
    let Some(copied) = copied(client, own.as_ref()).await? else {
        let says = "nothing backs it up: plans, history and sealed secrets are lost with it";
        let next = "`backstay server protect --repository NAME` has it backed up.";
        return Ok(Finding::new(what, Verdict::Warn, says, next));
    };
    let name = &copied.repository.name;
    let readers = readers(client, &copied.repository.tenant_id).await?;
    if !readers.is_empty() {
        let readers: Vec<&str> = readers.iter().map(String::as_str).collect();
        let says = format!(
            "its copies in the repository {name} have every tenant's rows, and these tokens of one tenant open them: {}",
            names(&readers)
        );
        let next = "Revoke them, or protect it in a repository of a tenant of the installation's own.";
        return Ok(Finding::new(what, Verdict::Bad, says, next));
    }
    let here = data.filter(|_| Rows::of(common.told()) == Rows::Here);
    if let Some(warning) = here.and_then(|data| beside(&copied.repository, &data)) {
        let next = "`backstay plan update backstay-database --repository ID` has it go to another one.";
        return Ok(Finding::new(what, Verdict::Warn, warning, next));
    }
    Ok(Finding::ok(
        what,
        format!("plan {} backs it up into the repository {name}; its master key must lie elsewhere", copied.plan.name),
    ))
}

/// How the items of plans are.
#[derive(Debug, Default)]
struct Items {
    count: usize,
    has_more: bool,
    without: Vec<String>,
    overdue: Vec<String>,
    threatened: Vec<String>,
}

impl Items {
    fn finding(&self, what: &'static str, those: &[String], verdict: Verdict, are: &str) -> Finding {
        let more = if self.has_more { format!(" (the first {ITEMS_MAX} were looked at)") } else { String::new() };
        if those.is_empty() {
            return Finding::ok(what, format!("{} items, none {are}{more}", self.count));
        }
        let those: Vec<&str> = those.iter().map(String::as_str).collect();
        let says = format!("{} items are {are}: {}{more}", those.len(), names(&those));
        Finding::new(
            what,
            verdict,
            says,
            "`backstay item explain ID` says why; `backstay plan run PLAN` makes one now.",
        )
    }
}

async fn items(client: &Client, plans: &[PlanView]) -> Result<Items, ClientError> {
    let (mut items, mut seen) = (Items::default(), BTreeSet::new());
    for plan in plans {
        if !seen.insert(&plan.source_id) {
            continue;
        }
        for item in items_of(client, &plan.source_id).await?.rows {
            if items.count == ITEMS_MAX {
                items.has_more = true;
                return Ok(items);
            }
            items.count += 1;
            let said = client.item_explain(&item.id, &ExplainQuery::default()).await?;
            for forecast in said.forecasts {
                let name = format!("{} ({})", item.name, forecast.plan_name);
                match forecast.forecast.as_str() {
                    "overdue" => items.overdue.push(name.clone()),
                    "threatened" | "unavoidable" => items.threatened.push(name.clone()),
                    _ => {}
                }
                if forecast.newest_at.is_none() {
                    items.without.push(name);
                }
            }
        }
    }
    Ok(items)
}

/// Looks for repositories of which nothing was read back for long.
async fn verifies(client: &Client, now: Timestamp) -> Result<Finding, ClientError> {
    let since = now.saturating_sub(VERIFY_AGE_MAX).unwrap_or(Timestamp::MIN);
    let mut verified = BTreeSet::new();
    let mut query = EvidenceQuery { limit: Some(500), ..EvidenceQuery::default() };
    loop {
        let page = client.evidence_list(&query).await?;
        let is_recent = |at: &str| at.parse::<Timestamp>().is_ok_and(|at| at >= since);
        let recent = page.rows.iter().filter(|row| is_recent(&row.created_at)).count();
        verified.extend(page.rows.iter().take(recent).map(|row| row.snapshot_id.clone()));
        match page.next_before {
            Some(before) if recent == page.rows.len() => query.before = Some(before),
            _ => break,
        }
    }
    let (mut old, mut count) = (Vec::new(), 0);
    for repository in named::all(client, RetiredQuery::default(), Client::repository_list).await?.rows {
        let query = SnapshotQuery { repository_id: Some(repository.id), ..SnapshotQuery::default() };
        let snapshots = all(client, query).await?;
        if snapshots.is_empty() {
            continue;
        }
        count += 1;
        if !snapshots.iter().any(|row| verified.contains(&row.id)) {
            old.push(repository.name);
        }
    }
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    Ok(match old.len() {
        0 => Finding::ok("verifies", format!("{count} repositories with snapshots, each read back within 30 days")),
        _ => Finding::new(
            "verifies",
            Verdict::Warn,
            format!("nothing of these repositories was read back for 30 days: {}", names(&old)),
            "`backstay repository verify NAME` reads back, and proves what can be restored.",
        ),
    })
}

async fn channels(client: &Client) -> Result<Finding, ClientError> {
    let count = named::all(client, NamedQuery::default(), Client::channel_list).await?.rows.len();
    Ok(match count {
        0 => Finding::new(
            "channels",
            Verdict::Warn,
            "there is none: nobody is told when a backup fails",
            "`backstay channel create` declares one, `backstay channel test ID` tries it.",
        ),
        count => Finding::ok("channels", format!("{count} declared; `backstay channel test ID` tries one")),
    })
}

async fn alerts(client: &Client) -> Result<Finding, ClientError> {
    Ok(alerts_of(&client.alert_list(&Default::default()).await?.rows))
}

/// Judges the alerts that go on: a critical one is damage, or data that is lost soon, whoever knows of it.
fn alerts_of(live: &[AlertView]) -> Finding {
    let titles = |rows: &[&AlertView]| {
        let titles: Vec<String> = rows.iter().map(|row| format!("{}: {}", row.topic, row.title)).collect();
        names(&titles.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (critical, others): (Vec<&AlertView>, Vec<&AlertView>) =
        live.iter().partition(|row| row.severity == Severity::Critical.word());
    let next = "`backstay alert list` says more.";
    match (critical.len(), others.len()) {
        (0, 0) => Finding::ok("alerts", "none goes on"),
        (0, _) => Finding::new("alerts", Verdict::Warn, format!("these go on: {}", titles(&others)), next),
        (_, 0) => Finding::new("alerts", Verdict::Bad, format!("critical: {}", titles(&critical)), next),
        _ => {
            let says = format!("critical: {}; these go on too: {}", titles(&critical), titles(&others));
            Finding::new("alerts", Verdict::Bad, says, next)
        }
    }
}

/// Returns the first names, and how many more there are.
fn names(all: &[&str]) -> String {
    let shown = all.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let verdict = |seconds| clock_of(SignedDuration::from_secs(seconds)).verdict;
        assert_eq!(
            [0, 5, 6, 60, 61].map(verdict),
            [Verdict::Ok, Verdict::Ok, Verdict::Warn, Verdict::Warn, Verdict::Bad]
        );
    }

    /// Red when damage leaves the doctor content.
    #[test]
    fn a_critical_alert_is_bad() {
        let alert = |topic: &str, severity: Severity| AlertView {
            id: String::new(),
            tenant_id: String::new(),
            topic: topic.to_owned(),
            title: "home".to_owned(),
            severity: severity.word().to_owned(),
            message: String::new(),
            since: String::new(),
            last_at: String::new(),
            told_at: None,
            told_count: 0,
            held_count: 0,
            acknowledged_by: Some("ann".to_owned()),
            acknowledged_at: None,
            silenced_until: None,
            silence_reason: String::new(),
            ended_at: None,
        };
        let (damaged, failed) = (alert("damaged", Severity::Critical), alert("failed", Severity::Error));
        let check = |live: &[AlertView], verdict, says: &str| {
            let found = alerts_of(live);
            assert_eq!((found.verdict, found.says.as_str()), (verdict, says));
        };
        check(&[], Verdict::Ok, "none goes on");
        check(std::slice::from_ref(&failed), Verdict::Warn, "these go on: failed: home");
        check(std::slice::from_ref(&damaged), Verdict::Bad, "critical: damaged: home");
        check(&[failed, damaged], Verdict::Bad, "critical: damaged: home; these go on too: failed: home");
    }

    #[test]
    fn few_names_are_told_and_the_rest_counted() {
        assert_eq!(names(&["a", "b"]), "a, b");
        assert_eq!(names(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
