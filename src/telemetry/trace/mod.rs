//! What is traced, and with which attributes, as OpenTelemetry has it. How spans leave the process is the exporter's.
//!
//! Without an exporter there is no tracer, and a span costs one look whether there is one. No attribute holds a user, a
//! token, a routing key, a path that a client chose, or a body.

mod carrier;
mod delivery;
mod http;

#[cfg(feature = "otlp")]
mod client;
#[cfg(feature = "otlp")]
mod export;
#[cfg(not(feature = "otlp"))]
mod unbuilt;

use std::sync::OnceLock;

use opentelemetry::global::BoxedTracer;

pub use delivery::DeliverySpan;
#[cfg(feature = "otlp")]
pub use export::{Tracing, start_tracing};
pub use http::HttpSpan;
#[cfg(not(feature = "otlp"))]
pub use unbuilt::{Tracing, start_tracing};

/// Under which the class of a failure stands.
const ERROR_TYPE: &str = "error.type";

/// There once spans are exported.
static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

fn tracer() -> Option<&'static BoxedTracer> {
    TRACER.get()
}

/// Whether the environment asks for spans, of which `var` gives the variables that are not empty: `OTEL_TRACES_EXPORTER` names
/// OTLP, or nothing is said there and an endpoint is named.
fn is_asked_for(var: impl Fn(&str) -> Option<String>) -> bool {
    if var("OTEL_SDK_DISABLED").is_some_and(|disabled| disabled.eq_ignore_ascii_case("true")) {
        return false;
    }
    match var("OTEL_TRACES_EXPORTER") {
        Some(exporters) => exporters.split(',').any(|exporter| exporter.trim() == "otlp"),
        None => ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
            .into_iter()
            .any(|name| var(name).is_some()),
    }
}

/// A variable of the environment that is text and not empty, which OpenTelemetry takes for unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exported_only_where_the_environment_asks_for_it() {
        let asked = |variables: &[(&str, &str)]| {
            is_asked_for(|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!asked(&[]));
        assert!(asked(&[endpoint]));
        assert!(asked(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
        assert!(asked(&[("OTEL_TRACES_EXPORTER", "console, otlp")]));
        assert!(!asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!asked(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "no")]));
    }
}
