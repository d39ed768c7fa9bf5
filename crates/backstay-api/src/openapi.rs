//! The OpenAPI document, made from the endpoint table. The committed copy is `docs/reference/openapi.json`; a test
//! compares the two.

use std::borrow::Cow;

use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Ref, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, RefOr,
    Required, ResponseBuilder,
};
use utoipa::{IntoParams, PartialSchema as _, ToSchema};

use crate::endpoint::{ENDPOINTS, Endpoint, Method, Operation};
use crate::problem::{PROBLEM_TYPE, Problem};
use crate::types::agent::AgentView;
use crate::types::alert::{AlertQuery, AlertSilence, AlertView, DigestQuery, DigestView};
use crate::types::caps::{CapsPut, CapsView};
use crate::types::change::{ChainQuery, ChainView, ChangeView};
use crate::types::channel::{ChannelCreate, ChannelUpdate, ChannelView};
use crate::types::event::{EventQuery, EventStreamQuery, EventView};
use crate::types::evidence::{EvidenceQuery, EvidenceView};
use crate::types::explain::{ExplainQuery, ExplainView, SnapshotExplainQuery};
use crate::types::job::{JobAccepted, JobDetail, JobLogView, JobQuery, JobView};
use crate::types::job_set::{JobSetDetail, JobSetView};
use crate::types::kind::KindView;
use crate::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell,
};
use crate::types::list::{NamedQuery, PageQuery, RetiredQuery, Rows};
use crate::types::maintenance::{MaintenanceCreate, MaintenanceView};
use crate::types::monitor::{MonitorCreate, MonitorUpdate, MonitorView, PingView};
use crate::types::plan::{
    FitView, PlanCreate, PlanFit, PlanRequested, PlanScheduleView, PlanUpdate, PlanView, ScheduleQuery,
};
use crate::types::probe::ProbeView;
use crate::types::purge::{PurgeAnnounce, PurgeConfirm, PurgeView};
use crate::types::quota::{QuotaPut, QuotaView};
use crate::types::repository::{RepositoryAdopt, RepositoryCreate, RepositoryUpdate, RepositoryView};
use crate::types::result::{FinishTell, StateWire};
use crate::types::retention::ItemRetentionView;
use crate::types::secret::{SecretPut, SecretTest, SecretView};
use crate::types::snapshot::{
    DiffQuery, DiffView, EntryQuery, EntryView, FindQuery, FoundView, PieceView, ReadQuery, SnapshotQuery,
    SnapshotRestore, SnapshotVerify, SnapshotView,
};
use crate::types::source::{ItemView, SourceCreate, SourceUpdate, SourceView};
use crate::types::storage::{StorageCreate, StorageDetail, StorageUpdate};
use crate::types::template::{TemplateCreate, TemplateUpdate, TemplateView};
use crate::types::tenant::{TenantCreate, TenantView};
use crate::types::token::{TokenCreate, TokenMade, TokenView};

/// Name of the only way to sign in so far.
const BEARER: &str = "bearer";

/// A type of the wire, as the document knows it.
struct Body {
    name: Cow<'static, str>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// Returns a type of the wire with all that it refers to.
fn body<T: ToSchema>() -> Body {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    Body { name: T::name(), schemas }
}

/// Returns a list of rows. Each list has a name and a schema of its own: the derive would call all of them `Rows`.
fn rows<T: ToSchema>() -> Body {
    let mut list = body::<T>();
    let name = format!("{}Rows", T::name());
    let schema = match Rows::<T>::schema() {
        RefOr::T(Schema::Object(mut object)) => {
            let rows =
                ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some("The rows.")).build();
            object.properties.insert("rows".to_owned(), RefOr::T(Schema::Array(rows)));
            RefOr::T(Schema::Object(object))
        }
        other => other,
    };
    list.schemas.push((name.clone(), schema));
    Body { name: name.into(), schemas: list.schemas }
}

/// What an operation takes and gives.
struct Shape {
    query: Vec<utoipa::openapi::path::Parameter>,
    request: Option<Body>,
    answer: Option<Body>,
}

fn takes_none(answer: Body) -> Shape {
    Shape { query: Vec::new(), request: None, answer: Some(answer) }
}

fn takes_query<Q: IntoParams>(answer: Body) -> Shape {
    Shape { query: Q::into_params(|| Some(ParameterIn::Query)), ..takes_none(answer) }
}

fn takes_body<R: ToSchema>(answer: Body) -> Shape {
    Shape { request: Some(body::<R>()), ..takes_none(answer) }
}

fn gives_none(shape: Shape) -> Shape {
    Shape { answer: None, ..shape }
}

fn shape(operation: Operation) -> Shape {
    match operation {
        Operation::TenantList => takes_query::<NamedQuery>(rows::<TenantView>()),
        Operation::TenantCreate => takes_body::<TenantCreate>(body::<TenantView>()),
        Operation::TenantShow => takes_none(body::<TenantView>()),
        Operation::RepositoryShow => takes_none(body::<RepositoryView>()),
        Operation::RepositoryPrune => takes_none(body::<JobAccepted>()),
        Operation::RepositoryUpdate => takes_body::<RepositoryUpdate>(body::<RepositoryView>()),
        Operation::RepositoryAdopt => takes_body::<RepositoryAdopt>(body::<JobAccepted>()),
        Operation::SourceShow => takes_none(body::<SourceView>()),
        Operation::SourceUpdate => takes_body::<SourceUpdate>(body::<SourceView>()),
        Operation::ItemShow => takes_none(body::<ItemView>()),
        Operation::PlanFit => takes_body::<PlanFit>(body::<FitView>()),
        Operation::PlanShow => takes_none(body::<PlanView>()),
        Operation::PlanUpdate => takes_body::<PlanUpdate>(body::<PlanView>()),
        Operation::SnapshotShow
        | Operation::SnapshotPin
        | Operation::SnapshotUnpin
        | Operation::SnapshotHold
        | Operation::SnapshotRelease
        | Operation::SnapshotForget
        | Operation::SnapshotKeep => takes_none(body::<SnapshotView>()),
        Operation::EvidenceShow => takes_none(body::<EvidenceView>()),
        Operation::EventStream => takes_query::<EventStreamQuery>(body::<EventView>()),
        Operation::SecretPut => takes_body::<SecretPut>(body::<SecretView>()),
        Operation::SecretList => takes_query::<NamedQuery>(rows::<SecretView>()),
        Operation::SecretRemove => gives_none(takes_none(body::<Problem>())),
        Operation::TokenCreate => takes_body::<TokenCreate>(body::<TokenMade>()),
        Operation::TokenList => takes_query::<PageQuery>(rows::<TokenView>()),
        Operation::TokenShow => takes_none(body::<TokenView>()),
        Operation::TokenRevoke => gives_none(takes_none(body::<Problem>())),
        Operation::ChannelCreate => takes_body::<ChannelCreate>(body::<ChannelView>()),
        Operation::ChannelList => takes_query::<NamedQuery>(rows::<ChannelView>()),
        Operation::ChannelShow => takes_none(body::<ChannelView>()),
        Operation::ChannelUpdate => takes_body::<ChannelUpdate>(body::<ChannelView>()),
        Operation::ChannelRemove | Operation::ChannelTest => gives_none(takes_none(body::<Problem>())),
        Operation::AlertList => takes_query::<AlertQuery>(rows::<AlertView>()),
        Operation::AlertAcknowledge => takes_none(body::<AlertView>()),
        Operation::AlertSilence => takes_body::<AlertSilence>(body::<AlertView>()),
        Operation::DigestShow => takes_query::<DigestQuery>(body::<DigestView>()),
        Operation::PlanRetire | Operation::SourceRetire | Operation::RepositoryRetire => {
            gives_none(takes_none(body::<Problem>()))
        }
        Operation::JobSetList => takes_query::<PageQuery>(rows::<JobSetView>()),
        Operation::JobSetShow => takes_none(body::<JobSetDetail>()),
        Operation::StorageCreate => takes_body::<StorageCreate>(body::<StorageDetail>()),
        Operation::StorageList => takes_query::<RetiredQuery>(rows::<StorageDetail>()),
        Operation::StorageShow => takes_none(body::<StorageDetail>()),
        Operation::StorageUpdate => takes_body::<StorageUpdate>(body::<StorageDetail>()),
        Operation::StorageRetire => gives_none(takes_none(body::<Problem>())),
        Operation::MonitorCreate => takes_body::<MonitorCreate>(body::<MonitorView>()),
        Operation::MonitorList => takes_query::<NamedQuery>(rows::<MonitorView>()),
        Operation::MonitorShow => takes_none(body::<MonitorView>()),
        Operation::MonitorUpdate => takes_body::<MonitorUpdate>(body::<MonitorView>()),
        Operation::MonitorRetire => gives_none(takes_none(body::<Problem>())),
        Operation::PingList => takes_query::<PageQuery>(rows::<PingView>()),
        Operation::SourceTest | Operation::StorageTest => takes_none(body::<ProbeView>()),
        Operation::PurgeShow => takes_none(body::<PurgeView>()),
        Operation::PurgeAnnounce => takes_body::<PurgeAnnounce>(body::<PurgeView>()),
        Operation::PurgeCancel => gives_none(takes_none(body::<Problem>())),
        Operation::PurgeConfirm => takes_body::<PurgeConfirm>(body::<PurgeView>()),
        Operation::SecretTest => gives_none(takes_body::<SecretTest>(body::<Problem>())),
        Operation::TemplateCreate => takes_body::<TemplateCreate>(body::<TemplateView>()),
        Operation::TemplateList => takes_query::<NamedQuery>(rows::<TemplateView>()),
        Operation::TemplateShow => takes_none(body::<TemplateView>()),
        Operation::TemplateUpdate => takes_body::<TemplateUpdate>(body::<TemplateView>()),
        Operation::TemplateRemove => gives_none(takes_none(body::<Problem>())),
        Operation::QuotaList => takes_query::<PageQuery>(rows::<QuotaView>()),
        Operation::QuotaShow => takes_none(body::<QuotaView>()),
        Operation::QuotaPut => takes_body::<QuotaPut>(body::<QuotaView>()),
        Operation::AgentList => takes_query::<PageQuery>(rows::<AgentView>()),
        Operation::Metrics => takes_none(body::<String>()),
        Operation::ChangeVerify => takes_query::<ChainQuery>(body::<ChainView>()),
        Operation::ChangeList => takes_query::<PageQuery>(rows::<ChangeView>()),
        Operation::SourceKindList | Operation::StorageKindList | Operation::ChannelKindList => {
            takes_none(rows::<KindView>())
        }
        Operation::RepositoryCreate => takes_body::<RepositoryCreate>(body::<RepositoryView>()),
        Operation::RepositoryList => takes_query::<RetiredQuery>(rows::<RepositoryView>()),
        Operation::SourceCreate => takes_body::<SourceCreate>(body::<SourceView>()),
        Operation::SourceList => takes_query::<RetiredQuery>(rows::<SourceView>()),
        Operation::ItemList => takes_query::<PageQuery>(rows::<ItemView>()),
        Operation::PlanCreate => takes_body::<PlanCreate>(body::<PlanView>()),
        Operation::PlanList => takes_query::<RetiredQuery>(rows::<PlanView>()),
        Operation::PlanRequest => takes_none(body::<PlanRequested>()),
        Operation::PlanSchedule => takes_query::<ScheduleQuery>(body::<PlanScheduleView>()),
        Operation::PlanPause | Operation::PlanResume => takes_none(body::<PlanScheduleView>()),
        Operation::PlanClear => gives_none(takes_none(body::<Problem>())),
        Operation::PlanRetention => takes_query::<PageQuery>(rows::<ItemRetentionView>()),
        Operation::MaintenanceList => takes_query::<PageQuery>(rows::<MaintenanceView>()),
        Operation::MaintenanceCreate => takes_body::<MaintenanceCreate>(body::<MaintenanceView>()),
        Operation::MaintenanceRemove => gives_none(takes_none(body::<Problem>())),
        Operation::JobList => takes_query::<JobQuery>(rows::<JobView>()),
        Operation::JobShow => takes_none(body::<JobDetail>()),
        Operation::JobLog => takes_none(body::<JobLogView>()),
        Operation::JobCancel | Operation::JobRetry => takes_none(body::<JobView>()),
        Operation::PlanExplain | Operation::ItemExplain | Operation::JobExplain => {
            takes_query::<ExplainQuery>(body::<ExplainView>())
        }
        Operation::SnapshotExplain => takes_query::<SnapshotExplainQuery>(body::<ExplainView>()),
        Operation::CapsShow => takes_none(body::<CapsView>()),
        Operation::CapsPut => takes_body::<CapsPut>(body::<CapsView>()),
        Operation::JobLease => takes_body::<LeaseAsk>(body::<LeaseGiven>()),
        Operation::JobRenew => takes_body::<RenewAsk>(body::<Renewed>()),
        Operation::JobProgress => takes_body::<ProgressTell>(body::<StandingView>()),
        Operation::JobCheckpoint => gives_none(takes_body::<CheckpointTell>(body::<Problem>())),
        Operation::JobWait => gives_none(takes_body::<WaitTell>(body::<Problem>())),
        Operation::JobFinish => takes_body::<FinishTell>(body::<StateWire>()),
        Operation::SnapshotList => takes_query::<SnapshotQuery>(rows::<SnapshotView>()),
        Operation::SnapshotEntries => takes_query::<EntryQuery>(rows::<EntryView>()),
        Operation::SnapshotFind => takes_query::<FindQuery>(body::<FoundView>()),
        Operation::SnapshotRead => takes_query::<ReadQuery>(body::<PieceView>()),
        Operation::SnapshotDiff => takes_query::<DiffQuery>(body::<DiffView>()),
        Operation::SnapshotRestore => takes_body::<SnapshotRestore>(body::<JobAccepted>()),
        Operation::SnapshotVerify => takes_body::<SnapshotVerify>(body::<JobAccepted>()),
        Operation::EvidenceList => takes_query::<EvidenceQuery>(rows::<EvidenceView>()),
        Operation::EventVerify => takes_query::<EventStreamQuery>(body::<ChainView>()),
        Operation::EventList => takes_query::<EventQuery>(rows::<EventView>()),
    }
}

/// Returns the document.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let problem = body::<Problem>();
    let mut schemas = problem.schemas;
    let mut items: Vec<(&str, PathItem)> = Vec::new();
    for row in ENDPOINTS {
        let Shape { query, request, answer } = shape(row.operation);
        let answer_name = answer.map(|answer| {
            schemas.extend(answer.schemas);
            answer.name
        });
        let request_name = request.map(|request| {
            schemas.extend(request.schemas);
            request.name
        });
        let operation = operation(row, query, request_name.as_deref(), answer_name.as_deref());
        let item = PathItem::new(method(row.method), operation);
        match items.iter_mut().find(|(path, _)| *path == row.path) {
            Some((_, known)) => known.merge_operations(item),
            None => items.push((row.path, item)),
        }
    }
    for (path, item) in items {
        paths = paths.path(path, item);
    }
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    schemas.iter_mut().for_each(|(name, schema)| formats_say(name, schema));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).security_scheme(BEARER, bearer);
    let info = InfoBuilder::new()
        .title("Backstay")
        .version("1")
        .description(Some("Backups for many tenants, and the proof that they can be restored."));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

/// Says which texts of an answer are ids and which are moments, by the names of their fields. Words stay open, though
/// descriptions list them: a newer server may have more. So does what a person asks: the server says what is wrong with it.
fn formats_say(name: &str, schema: &mut RefOr<Schema>) {
    let is_answer =
        ["View", "Detail", "Wire", "Member", "Accepted", "Requested", "Given"].iter().any(|end| name.ends_with(end));
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for (field, schema) in object.properties.iter_mut().filter(|_| is_answer) {
        let RefOr::T(Schema::Object(text)) = schema else { continue };
        let is_text = match &text.schema_type {
            SchemaType::Type(kind) => *kind == Type::String,
            SchemaType::Array(kinds) => kinds.contains(&Type::String),
            SchemaType::AnyValue => false,
        };
        if is_text && text.format.is_none() && text.enum_values.is_none() {
            text.format = format_of(name, field).map(SchemaFormat::KnownFormat);
        }
    }
}

fn format_of(schema: &str, field: &str) -> Option<KnownFormat> {
    let is_id = field == "id" || field.ends_with("_id");
    // A snapshot's own id is the repository's; an access key's is the storage's.
    let is_foreign = field == "foreign_id" || schema == "AccessKeyWire";
    let moments = ["at", "since", "from", "until", "start_by", "not_before", "overdue_since"];
    let is_moment = field.ends_with("_at") || field.ends_with("_until") || moments.contains(&field);
    match (is_id && !is_foreign, is_moment) {
        (true, _) => Some(KnownFormat::Uuid),
        (_, true) => Some(KnownFormat::DateTime),
        _ => None,
    }
}

fn operation(
    row: &Endpoint,
    query: Vec<utoipa::openapi::path::Parameter>,
    request: Option<&str>,
    answer: Option<&str>,
) -> utoipa::openapi::path::Operation {
    let json = |name: &str| ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let mut success = ResponseBuilder::new().description("Success");
    if let Some(answer) = answer {
        success = success.content(row.media(), json(answer));
    }
    let failure = ResponseBuilder::new().description("What went wrong").content(PROBLEM_TYPE, problem);
    let mut built = OperationBuilder::new()
        .operation_id(Some(row.name))
        .summary(Some(row.description))
        .description(Some(match row.verb {
            "" => "Agents and monitoring ask this; no verb of the command line does.".to_owned(),
            verb => format!("Command line: `backstay {verb}`."),
        }))
        .security(SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []))
        .response(row.status.to_string(), success)
        .response("default", failure);
    for name in path_parameters(row.path) {
        let text = ObjectBuilder::new().schema_type(Type::String);
        built = built.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(text)),
        );
    }
    for parameter in query {
        built = built.parameter(parameter);
    }
    let request = request.map(|name| {
        RequestBodyBuilder::new().content("application/json", json(name)).required(Some(Required::True)).build()
    });
    built.request_body(request).build()
}

/// Returns the names in braces of a path.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

const fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Where the committed document lies. `BACKSTAY_BLESS=1 cargo test -p backstay-api` writes it anew.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");

    #[test]
    fn the_committed_document_is_the_one_that_the_table_makes() {
        let made = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("BACKSTAY_BLESS").is_some() {
            std::fs::write(COMMITTED, &made).unwrap();
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(committed == made, "{COMMITTED} differs; BACKSTAY_BLESS=1 cargo test -p backstay-api writes it anew");
    }

    #[test]
    fn each_row_has_a_name_a_path_and_an_operation_of_its_own() {
        let names: BTreeSet<_> = ENDPOINTS.iter().map(|row| row.name).collect();
        let doors: BTreeSet<_> = ENDPOINTS.iter().map(|row| (format!("{:?}", row.method), row.path)).collect();
        let operations: BTreeSet<_> = ENDPOINTS.iter().map(|row| format!("{:?}", row.operation)).collect();
        let counts = [names.len(), doors.len(), operations.len()];
        assert_eq!(counts, [ENDPOINTS.len(); 3]);
    }

    #[test]
    fn an_answer_says_which_texts_are_ids_and_moments() {
        let document = serde_json::to_value(document()).unwrap();
        let format = |schema: &str, field: &str| {
            document["components"]["schemas"][schema]["properties"][field]["format"].as_str().map(str::to_owned)
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(format("JobView", "id"), named("uuid"));
        assert_eq!(format("JobView", "finished_at"), named("date-time"));
        assert_eq!(format("SnapshotView", "protected_until"), named("date-time"));
        let open = [("SnapshotView", "foreign_id"), ("JobView", "state"), ("PlanCreate", "source_id")];
        assert_eq!(open.map(|(schema, field)| format(schema, field)), [None, None, None]);
    }

    /// Red when lists share one schema: then each of them is said to hold what the last one holds.
    #[test]
    fn each_list_holds_its_own_rows() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, name) in [("/api/v1/tenants", "TenantView"), ("/api/v1/changes", "ChangeView")] {
            let answer = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            let list = answer["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let rows = &document["components"]["schemas"][list]["properties"]["rows"]["items"]["$ref"];
            assert_eq!(rows.as_str().unwrap().rsplit('/').next(), Some(name), "{path}");
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        let names: Vec<_> =
            text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.len() > 20);
        for name in names {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
