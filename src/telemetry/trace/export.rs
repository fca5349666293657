//! Spans to a collector over OTLP, as the standard `OTEL_` variables say; what is traced is not known here.

use std::time::Duration;

use http::Uri;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

use super::client::CollectorClient;
use super::{TRACER, is_asked_for, variable};
use crate::trust::Distrust;

/// For the spans that are left when the program ends.
const LAST_EXPORT: Duration = Duration::from_secs(3);
/// For one export, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The export of spans, if there is any.
#[derive(Debug)]
pub struct Tracing(Option<SdkTracerProvider>);

/// Why no spans are exported. None of the variables' values is told, for they may hold passwords.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the certificates of OTEL_EXPORTER_OTLP_CERTIFICATE: the file {0}")]
    Certificates(#[from] Distrust),
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL")]
    Endpoint,
    #[error("spans are exported already")]
    Again,
}

/// Begins to export spans if the environment asks for it; `runtime` carries what is sent. What is wrong with the variables is
/// logged, and keeps nobody from their events.
///
/// Spans wait in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`) for a thread of their own; what does not fit is dropped.
pub fn start_tracing(runtime: &Handle) -> Tracing {
    if !is_asked_for(variable) {
        return Tracing(None);
    }
    match start(runtime) {
        Ok(provider) => Tracing(Some(provider)),
        Err(error) => {
            tracing::warn!(%error, "no spans are exported");
            Tracing(None)
        }
    }
}

impl Tracing {
    /// Exports what is left, for a few seconds at most. Blocks; not to be called where futures are polled.
    pub fn end(self) {
        let Some(provider) = self.0 else { return };
        if provider.shutdown_with_timeout(LAST_EXPORT).is_err() {
            tracing::debug!("the last spans were not exported");
        }
    }
}

fn start(runtime: &Handle) -> Result<SdkTracerProvider, ExportError> {
    let named = |what: &str| {
        let particular = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}"));
        particular.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
    };
    if let Some(protocol) = named("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
        tracing::warn!(
            protocol,
            "OTEL_EXPORTER_OTLP_PROTOCOL: spans are exported by http/protobuf, the only one that is spoken"
        );
    }
    let milliseconds = named("TIMEOUT").and_then(|text| text.parse().ok());
    let limit = milliseconds.map_or(EXPORT_TIMEOUT, Duration::from_millis);
    if named("ENDPOINT").is_some_and(|endpoint| !is_url(&endpoint)) {
        return Err(ExportError::Endpoint);
    }
    let client = CollectorClient::new(runtime.clone(), named("CERTIFICATE").as_deref(), limit)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(limit)
        .build()
        // Its text repeats the endpoint.
        .map_err(|_| ExportError::Endpoint)?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    let tracer = BoxedTracer::new(Box::new(provider.tracer(env!("CARGO_PKG_NAME"))));
    TRACER.set(tracer).map_err(|_| ExportError::Again)?;
    if variable("OTEL_PROPAGATORS").is_none_or(|names| names.split(',').any(|name| name.trim() == "tracecontext")) {
        global::set_text_map_propagator(TraceContextPropagator::new());
    }
    tracing::info!("spans are exported");
    Ok(provider)
}

fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

/// What says from whom spans are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and else the program's own name.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&Key::from_static_str("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { builder } else { builder.with_service_name(env!("CARGO_PKG_NAME")) }.build()
}
