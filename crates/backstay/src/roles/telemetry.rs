//! Logs and traces of this process, by the environment: `BACKSTAY_LOG` and OpenTelemetry's own `OTEL_*`.

use backstay_core::domain::trace::TraceParent;
use backstay_trace::Traces;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Whether a process is one whose work is traced: a server, an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traced {
    /// It tells spans when the environment says where to.
    Yes,
    /// It is a verb of the command line: it only hands on the place that it was given.
    No,
}

/// Sends logs to standard error, as much as `BACKSTAY_LOG` asks for; errors only by default, so that a person sees
/// messages and not logs. Spans go to a collector while what is returned lives.
pub(crate) fn start(traced: Traced, log: Option<&str>) -> Option<Traces> {
    let environment = std::env::var("BACKSTAY_LOG").ok();
    let wanted_log = log.or(environment.as_deref()).unwrap_or("error");
    let filter = EnvFilter::try_new(wanted_log).unwrap_or_else(|_| EnvFilter::new("error"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let lines = tracing_subscriber::registry().with(lines);
    let wanted = (traced == Traced::Yes).then(|| wanted(|name| std::env::var(name).ok()));
    let started = match wanted {
        None | Some(Wanted::No) => None,
        Some(Wanted::Protocol(word)) => {
            Some(Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is {word}: only http/protobuf is spoken")))
        }
        Some(Wanted::Yes(service)) => {
            Some(Traces::start(service, env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string()))
        }
    };
    match started {
        Some(Ok(traces)) => {
            lines.with(traces.layer()).init();
            Some(traces)
        }
        Some(Err(problem)) => {
            lines.init();
            // Backups are worth more than their traces.
            tracing::error!("{problem}; going on without traces");
            None
        }
        None => {
            lines.init();
            None
        }
    }
}

/// Returns the place in a trace in which this program was called: `TRACEPARENT`, as OpenTelemetry names it.
pub(crate) fn given() -> Option<TraceParent> {
    std::env::var("TRACEPARENT").ok()?.parse().ok()
}

/// What the environment says of traces.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    No,
    /// In a protocol that is not spoken.
    Protocol(String),
    /// Under this name of a service, where the environment gives none.
    Yes(Option<&'static str>),
}

/// Reads the variables of OpenTelemetry's specification. An empty one counts as one that is not there.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Wanted {
    let said = |name: &str| variable(name).filter(|text| !text.is_empty());
    let endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let disabled = said("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let elsewhere = said("OTEL_TRACES_EXPORTER").is_some_and(|text| text != "otlp");
    if endpoint.is_none() || disabled || elsewhere {
        return Wanted::No;
    }
    let protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| said("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(word) = protocol.filter(|word| word != "http/protobuf") {
        return Wanted::Protocol(word);
    }
    let named = said("OTEL_SERVICE_NAME").is_some()
        || said("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| text.contains("service.name="));
    Wanted::Yes((!named).then_some("backstay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Wanted {
        wanted(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn traces_are_told_when_the_environment_says_where_to() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(read(&[]), Wanted::No);
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Wanted::No);
        assert_eq!(read(&[endpoint]), Wanted::Yes(Some("backstay")));
        assert_eq!(
            read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x/v1/traces")]),
            Wanted::Yes(Some("backstay"))
        );
        assert_eq!(read(&[endpoint, ("OTEL_SERVICE_NAME", "nas")]), Wanted::Yes(None));
        assert_eq!(read(&[endpoint, ("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=nas")]), Wanted::Yes(None));
        assert_eq!(read(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), Wanted::No);
        assert_eq!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Wanted::No);
        assert_eq!(read(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Wanted::Protocol("grpc".to_owned()));
        assert_eq!(read(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]), Wanted::Yes(Some("backstay")));
    }
}
