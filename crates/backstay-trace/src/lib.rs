//! Traces: which work belongs to which request, told to a collector by OpenTelemetry's protocol.
//!
//! ```text
//!  POST /plans/{id}/run ──> job in the queue (with the request's place) ──> job in an agent ──> POST /jobs/{id}/finish
//! ```
//!
//! [`span!`] makes a span, [`adopt`] puts it under the work that asked for it, [`current`] is what is handed on to the
//! next. Without [`Traces`] spans cost nothing and are nowhere. Names and ids are told, never paths, names of people's
//! things or secrets.
//!
//! Only this crate knows OpenTelemetry; whether anything is told is decided by its own variables, `OTEL_*`.

use std::time::Duration;

use backstay_core::domain::trace::TraceParent;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Target of the spans that are told: no others are, and no lines of logs.
pub const TARGET: &str = "backstay::trace";

/// Longest wait at the end for spans that were not told yet.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// Makes a span that is told: `span!("name", field = value, …)`. OpenTelemetry's own fields are `otel.name`, `otel.kind`
/// and `otel.status_code`.
#[macro_export]
macro_rules! span {
    ($name:literal $(, $($fields:tt)*)?) => {
        ::tracing::info_span!(target: $crate::TARGET, $name $(, $($fields)*)?)
    };
}

/// Why no traces can be told.
#[derive(Debug, thiserror::Error)]
#[error("no traces can be told: {0}")]
pub struct TraceError(opentelemetry_otlp::ExporterBuildError);

/// What tells spans, until it is dropped: then those that are left are told.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts telling spans, in batches, by HTTP and protobuf, to where `OTEL_EXPORTER_OTLP_ENDPOINT` says. `service` is
    /// the name where `OTEL_SERVICE_NAME` gives none.
    ///
    /// # Errors
    /// [`TraceError`] when a variable cannot be understood.
    pub fn start(service: Option<&'static str>, version: &'static str) -> Result<Self, TraceError> {
        let exporter = SpanExporter::builder().with_http().build().map_err(TraceError)?;
        let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", version));
        if let Some(service) = service {
            resource = resource.with_service_name(service);
        }
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        Ok(Self { provider: provider.build() })
    }

    /// Returns the layer that gives spans to the teller.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.provider.tracer("backstay");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that does not answer is nobody's business at the end.
        let _ = self.provider.shutdown_with_timeout(END_TIME_MAX);
    }
}

/// Returns the place of the work that is going on; none when it is told to nobody.
pub fn current() -> Option<TraceParent> {
    place(&Span::current())
}

/// Returns the place of a span; none when it is told to nobody.
pub fn place(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let place = context.span().span_context().clone();
    if !place.is_valid() {
        return None;
    }
    let (trace, span) = (place.trace_id().to_bytes(), place.span_id().to_bytes());
    TraceParent::new(u128::from_be_bytes(trace), u64::from_be_bytes(span), place.trace_flags().to_u8())
}

/// Puts a span under the work that asked for it. It must not have been entered yet.
pub fn adopt(span: &Span, parent: Option<TraceParent>) {
    let Some(parent) = parent else { return };
    let place = SpanContext::new(
        TraceId::from(parent.trace()),
        SpanId::from(parent.span()),
        TraceFlags::new(parent.flags()),
        true,
        TraceState::default(),
    );
    // A span that nobody is told has no place to be put.
    let _ = span.set_parent(Context::new().with_remote_span_context(place));
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_span_lies_under_the_one_that_asked_and_hands_its_own_place_on() {
        let told = InMemorySpanExporter::default();
        let traces = Traces { provider: SdkTracerProvider::builder().with_simple_exporter(told.clone()).build() };
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let handed_on = tracing::subscriber::with_default(subscriber, || {
            let span = crate::span!("job", otel.kind = "consumer", backstay.job.kind = "backup");
            adopt(&span, Some(parent));
            // What is not told to anybody is not in the way.
            let other = tracing::info_span!("a span of somebody's library");
            span.in_scope(|| other.in_scope(|| tracing::info!("a line of a log")));
            span.in_scope(current)
        });
        let spans = told.get_finished_spans().unwrap();
        assert_eq!(spans.len(), 1, "{spans:?}");
        let (trace, under) = (spans[0].span_context.trace_id(), spans[0].parent_span_id);
        assert_eq!((trace, under), (TraceId::from(parent.trace()), SpanId::from(parent.span())));
        let span = u64::from_be_bytes(spans[0].span_context.span_id().to_bytes());
        assert_eq!(handed_on, TraceParent::new(parent.trace(), span, 1));
        assert!(spans[0].events.is_empty(), "lines of logs are not told");
    }

    #[test]
    fn without_a_teller_there_is_no_place() {
        let span = crate::span!("job");
        adopt(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok());
        assert_eq!(span.in_scope(current), None);
    }
}
