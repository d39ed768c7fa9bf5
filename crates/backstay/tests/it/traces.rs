//! A trace goes from the call of a verb through the server and the queue to the agent elsewhere, and back.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Field;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::Value;

use crate::show_call::Up;
use crate::support::{Place, Ran};

/// The trace in which the verb is called.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The span that calls it.
const CALLER: &str = "00f067aa0ba902b7";

/// Receives spans as a collector does: it reads what OpenTelemetry's own definition says.
struct Collector {
    endpoint: String,
    told: Arc<Mutex<Vec<(String, Span)>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::<Mutex<Vec<(String, Span)>>>::default();
        let shared = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let told = Arc::clone(&shared);
                std::thread::spawn(move || receive(stream.unwrap(), &told));
            }
        });
        Self { endpoint, told }
    }

    /// Waits for a span, and returns it with the name of its service.
    fn wait(&self, what: &str, is: impl Fn(&Span) -> bool) -> (String, Span) {
        for _ in 0..300 {
            if let Some(found) = self.told.lock().unwrap().iter().find(|(_, span)| is(span)) {
                return found.clone();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let names: Vec<String> = self.told.lock().unwrap().iter().map(|(_, span)| span.name.clone()).collect();
        panic!("{what} was not told within 30 seconds, but {names:?}");
    }
}

/// Reads the requests of one connection.
fn receive(mut stream: TcpStream, told: &Mutex<Vec<(String, Span)>>) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&chunk[..count]),
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        assert!(text.starts_with("post /v1/traces "), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.trim().parse().unwrap();
        while read.len() < head + length {
            let count = stream.read(&mut chunk).unwrap();
            read.extend_from_slice(&chunk[..count]);
        }
        let body: Vec<u8> = read.drain(..head + length).skip(head).collect();
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for resource in request.resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = attributes.iter().find(|pair| pair.key == "service.name").and_then(|pair| pair.value.clone());
            let service = match service.and_then(|value| value.value) {
                Some(Field::StringValue(name)) => name,
                other => panic!("a service without a name: {other:?}"),
            };
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            told.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Red without `Asked`'s place, without the column of a job, without `adopt` in the agent, or without the client's header.
#[test]
fn a_trace_goes_from_the_call_to_the_agent_and_back() {
    let (place, collector) = (Place::new(), Collector::start());
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("private-name"), "first").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let traced = |arguments: &[&str], service: &str| {
        let mut command = place.command(arguments);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "100");
        command.env("OTEL_SERVICE_NAME", service).stderr(Stdio::null());
        command
    };
    let server = Up(traced(&["up", "--no-agent"], "server").spawn().unwrap());
    let file = place.data().join("server.json");
    while !file.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let url: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let made = place.json(&["token", "create", "hands", "--role", "agent"]);
    let mut agent = traced(&["agent", "run"], "agent");
    agent.env("BACKSTAY_SERVER", url["url"].as_str().unwrap());
    agent.env("BACKSTAY_TOKEN", made["secret"].as_str().unwrap());
    let agent = Up(agent.spawn().unwrap());

    let plans = place.json(&["plan", "list"]);
    let plan = plans["rows"][0]["id"].as_str().unwrap();
    let mut call = place.command(&["plan", "run", plan, "--wait", "--json"]);
    let ran = Ran::of(call.env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    let is_ours = |span: &Span| hex(&span.trace_id) == TRACE;
    let (service, asked) = collector.wait("the request", |span| is_ours(span) && span.name == "plan_request");
    assert_eq!((service.as_str(), hex(&asked.parent_span_id).as_str()), ("server", CALLER));
    let (service, job) = collector.wait("the job", |span| is_ours(span) && span.name == "job backup");
    assert_eq!((service.as_str(), &job.parent_span_id), ("agent", &asked.span_id));
    let field = |key: &str| job.attributes.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    assert_eq!(
        field("backstay.job.state").and_then(|value| value.value),
        Some(Field::StringValue("succeeded".to_owned()))
    );
    let (service, end) = collector.wait("the end", |span| is_ours(span) && span.name == "job_finish");
    assert_eq!((service.as_str(), &end.parent_span_id), ("server", &job.span_id));
    drop((agent, server));
    let all = format!("{:?}", collector.told.lock().unwrap());
    for secret in ["private-name", made["secret"].as_str().unwrap(), place.source().to_str().unwrap()] {
        assert!(!all.contains(secret), "{secret} was told");
    }
    let lost = collector.told.lock().unwrap().iter().filter(|(_, span)| span.name == "job_lease").count();
    assert_eq!(lost, 0, "what an agent asks again and again is no work of anybody");
}

/// A collector that is not there, and one in a protocol that is not spoken, do not harm a backup.
#[test]
fn a_backup_does_not_need_its_collector() {
    let nobody = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (variable, value) in [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
    {
        let place = Place::new();
        std::fs::create_dir(place.source()).unwrap();
        std::fs::write(place.source().join("a"), "first").unwrap();
        let mut quickstart = place.command(&["quickstart", place.source().to_str().unwrap()]);
        let ran = Ran::of(quickstart.env("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody).env(variable, value));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(ran.err.contains("only http/protobuf is spoken"), value == "grpc", "{}", ran.err);
    }
}
