//! The metrics recorder of the process: buckets, descriptions, and the handle that renders them for Prometheus.

use std::sync::OnceLock;

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const LATENCY_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const CONNECTION_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0];
const PROXY_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const EVENT_BYTES: &[f64] = &[64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0];

/// Installs the recorder on the first call; every call returns a handle to it.
///
/// Whoever holds a handle must have its `run_upkeep` called on a timer, or histograms grow until they are rendered.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let buckets = [
        ("sse_delivery_latency_seconds", LATENCY_SECONDS),
        ("sse_connection_duration_seconds", CONNECTION_SECONDS),
        ("sse_event_size_bytes", EVENT_BYTES),
        ("proxy_request_duration_seconds", PROXY_SECONDS),
    ];
    let builder = buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.into()), bounds).expect("no list of buckets is empty")
    });
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Another recorder in the process, as an embedding program may have, keeps its place; ours then renders nothing.
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("metrics are recorded elsewhere in this process");
    }
    describe();
    handle
}

fn describe() {
    describe_gauge!("sse_active_connections", "Streams open now");
    describe_histogram!("sse_connection_duration_seconds", Unit::Seconds, "How long streams were open");
    describe_counter!("sse_events_sent_total", "Events handed to subscribers, by event name");
    describe_histogram!("sse_event_size_bytes", Unit::Bytes, "Data of published events before encoding");
    describe_counter!(
        "sse_connection_errors_total",
        "Requests that were refused, by problem code, and connections that failed"
    );
    describe_histogram!(
        "sse_delivery_latency_seconds",
        Unit::Seconds,
        "From the broker's delivery to the socket, sampled: one piece in 16 of each stream"
    );
    describe_counter!("sse_subscribers_lagged_total", "Streams cut off because their queue was full");
    describe_counter!("sse_replayed_events_total", "Events replayed to resumed streams");
    describe_counter!("sse_gaps_total", "Gaps announced, by reason");
    describe_counter!("auth_failures_total", "Requests without an acceptable token, by reason");
    describe_gauge!("auth_revocations", "Tokens and sessions that are refused since they were revoked");
    describe_counter!(
        "auth_revocations_forgotten_total",
        "Revocations that were forgotten before their end, for there were more than control.max_revoked"
    );
    describe_counter!("sse_disconnected_total", "Streams ended by an order");
    describe_counter!("control_orders_total", "Orders that the application published, by outcome");
    describe_gauge!("control_connected", "1 while the application's orders are being consumed, 0 otherwise");
    describe_counter!("auth_session_checks_total", "Sessions that the application was to be asked about, by outcome");
    describe_counter!("auth_key_refreshes_total", "Fetches and readings of issuers' keys, by outcome");
    describe_gauge!(
        "config_last_reload_successful",
        "1 if the configuration was last taken over, 0 if a new one was refused"
    );
    describe_gauge!(
        "config_last_reload_success_timestamp_seconds",
        Unit::Seconds,
        "When the configuration in force was taken over"
    );
    describe_gauge!("amqp_connected", "1 while messages are being consumed, 0 otherwise");
    describe_counter!("amqp_deliveries_total", "Messages that the source handed over");
    describe_counter!(
        "amqp_unmapped_total",
        "Messages, or one mapping's part of them, that were not sent on, by reason"
    );
    describe_counter!("amqp_renamed_events_total", "Events that had a reserved name and got the prefix");
    describe_counter!("amqp_reconnects_total", "Outages of the broker link that have ended");
    describe_gauge!("amqp_presence_connected", "1 while there is a connection for presence, 0 otherwise");
    describe_gauge!("amqp_presence_waiting", "Users of whom it is still to be published that they came or went");
    describe_counter!("amqp_presence_published_total", "Messages about users who came or went, by state");
    describe_counter!("proxy_requests_total", "Requests that went on to the application, by status");
    describe_histogram!(
        "proxy_request_duration_seconds",
        Unit::Seconds,
        "From a request's head to its response's last byte"
    );
    describe_gauge!(
        "tls_certificate_expiry_timestamp_seconds",
        Unit::Seconds,
        "When the certificate that browsers get, or one of its chain, expires"
    );
    describe_counter!("tls_handshake_failures_total", "TLS handshakes with browsers that failed, by reason");
    // There from zero on, so that a rate over a restart is right.
    ::metrics::gauge!("amqp_connected").set(0.0);
    ::metrics::counter!("amqp_deliveries_total").absolute(0);
    ::metrics::counter!("amqp_renamed_events_total").absolute(0);
    ::metrics::counter!("amqp_reconnects_total").absolute(0);
    ::metrics::gauge!("sse_active_connections").set(0.0);
    ::metrics::counter!("sse_subscribers_lagged_total").absolute(0);
    ::metrics::counter!("sse_replayed_events_total").absolute(0);
}
