//! Values and sections that fit their types and are wrong all the same.

use super::*;
use crate::auth::IssuerConfig;
use crate::routing::MappingConfig;
use crate::server::EndpointConfig;
use crate::setting::Secret;

/// A configuration without a fault.
fn sound() -> Config {
    let mut config = Config::default();
    config.auth.issuer.push(IssuerConfig::default());
    config.mapping.push(MappingConfig::default());
    config
}

fn keys(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = sound();
    change(&mut config);
    config.validate().into_iter().map(|fault| fault.key).collect()
}

#[test]
fn the_defaults_lack_only_a_mapping_and_an_issuer() {
    assert_eq!(sound().validate(), []);
    let found: Vec<_> = Config::default().validate().into_iter().map(|fault| fault.key).collect();
    assert_eq!(found, ["auth.issuer", "mapping"]);
    assert_eq!(keys(|config| (config.auth.issuer.clear(), config.auth.anonymous = true).1), [""; 0]);
}

#[test]
fn the_end_takes_longer_than_the_drain() {
    assert_eq!(keys(|config| config.server.grace = config.server.drain_window), ["server.grace"]);
}

#[test]
fn both_listeners_do_not_share_an_address() {
    let listen = |server: &str, admin: &str| {
        keys(|config| {
            config.server.listen = server.parse().unwrap();
            config.admin.listen = admin.parse().unwrap();
        })
    };
    assert_eq!(listen("0.0.0.0:80", "127.0.0.1:80"), ["admin.listen"]);
    assert_eq!(listen("127.0.0.1:80", "127.0.0.1:80"), ["admin.listen"]);
    assert_eq!(listen("127.0.0.1:0", "127.0.0.1:0"), [""; 0]);
    assert_eq!(listen("127.0.0.2:80", "127.0.0.1:80"), [""; 0]);
}

#[test]
fn the_broker_is_reached_by_urls_or_by_a_file_of_them() {
    let file = || Some("/run/urls".to_owned());
    assert_eq!(keys(|config| config.broker.urls_file = file()), [""; 0]);
    let both = |config: &mut Config| {
        config.broker.urls = vec![Secret::new("amqps://a:b@c/%2f")];
        config.broker.urls_file = file();
    };
    assert_eq!(keys(both), ["broker.urls_file"]);
    assert_eq!(keys(|config| config.broker.urls.clear()), ["broker.urls"]);
    assert_eq!(keys(|config| config.broker.ca_file = Some(String::new())), ["broker.ca_file"]);
}

#[test]
fn broker_limits_hold() {
    assert_eq!(keys(|config| config.broker.prefetch = 1), ["broker.prefetch"]);
    assert_eq!(keys(|config| config.broker.exchange.clear()), ["broker.exchange"]);
    assert_eq!(keys(|config| config.broker.exchange = "x".repeat(256)), ["broker.exchange"]);
    assert_eq!(keys(|config| config.broker.exchange = "amq.topic".into()), [""; 0]);
    let declare = |config: &mut Config| (config.broker.declare, config.broker.exchange) = (true, "amq.topic".into());
    assert_eq!(keys(declare), ["broker.exchange"]);
    assert_eq!(keys(|config| config.broker.reconnect_min = Span::from_secs(11)), ["broker.reconnect_max"]);
    assert_eq!(keys(|config| config.broker.heartbeat = Span::from_millis(999)), ["broker.heartbeat"]);
    assert_eq!(keys(|config| config.broker.heartbeat = Span::from_secs(65536)), ["broker.heartbeat"]);
    assert_eq!(keys(|config| config.broker.queue_max_length = 0), ["broker.queue_max_length"]);
}

#[test]
fn no_time_overflows_a_clock_and_only_some_may_be_zero() {
    assert_eq!(keys(|config| config.stream.max_retry = Span(Duration::MAX)), ["stream.max_retry"]);
    assert_eq!(keys(|config| config.stream.retry = Span::from_secs(61)), ["stream.max_retry"]);
    assert_eq!(keys(|config| config.stream.heartbeat = Span::from_millis(49)), ["stream.heartbeat"]);
    assert_eq!(keys(|config| config.stream.heartbeat = Span::from_millis(50)), [""; 0]);
    assert_eq!(keys(|config| config.stream.max_connection_age = Span::from_secs(0)), [""; 0]);
    assert_eq!(keys(|config| config.server.grace = Span(Duration::MAX)), ["server.grace"]);
}

#[test]
fn limits_of_the_upstream_leave_something_to_do() {
    assert_eq!(keys(|config| config.upstream.max_connections = 0), ["upstream.max_connections"]);
    assert_eq!(keys(|config| config.upstream.max_requests = 0), ["upstream.max_requests"]);
    assert_eq!(keys(|config| config.upstream.idle_timeout = Span::from_secs(0)), ["upstream.idle_timeout"]);
    assert_eq!(keys(|config| config.upstream.pool_idle_timeout = Span::from_secs(0)), [""; 0]);
    assert_eq!(keys(|config| config.upstream.max_idle_connections = 0), [""; 0]);
}

#[test]
fn no_size_is_zero_or_beyond_reason() {
    assert_eq!(keys(|config| config.stream.queue_bytes = ByteSize(0)), ["stream.queue_bytes"]);
    assert_eq!(keys(|config| config.history.memory = ByteSize(u64::MAX)), ["history.memory"]);
    assert_eq!(keys(|config| config.server.max_header_bytes = ByteSize::kib(4)), ["server.max_header_bytes"]);
    assert_eq!(keys(|config| config.stream.queue_events = 0), ["stream.queue_events"]);
    assert_eq!(keys(|config| config.stream.max_streams = 0), ["stream.max_streams"]);
}

#[test]
fn names_are_ones_that_can_be_sent() {
    assert_eq!(keys(|config| config.auth.cookie = "a b".into()), ["auth.cookie"]);
    assert_eq!(keys(|config| config.auth.cookie = "__Host-token".into()), [""; 0]);
    assert_eq!(keys(|config| config.auth.query.push("channels".into())), ["auth.query.2"]);
    assert_eq!(keys(|config| config.auth.query.push("token".into())), ["auth.query.2"]);
    assert_eq!(keys(|config| config.stream.heartbeat_event = "gap".into()), ["stream.heartbeat_event"]);
    assert_eq!(keys(|config| config.stream.heartbeat_event = "a\nb".into()), ["stream.heartbeat_event"]);
    assert_eq!(keys(|config| config.stream.reserved_prefix.clear()), ["stream.reserved_prefix"]);
    assert_eq!(keys(|config| config.auth.public_channels.push(String::new())), ["auth.public_channels.0"]);
    assert_eq!(keys(|config| config.endpoint[0].channels.push("x".repeat(256))), ["endpoint.0.channels.0"]);
    let endpoint = |channel: &str| keys(|config| config.endpoint[0].channels.push(channel.into()));
    assert_eq!(endpoint("status.#"), ["endpoint.0.channels.0"]);
    assert_eq!(endpoint("*"), ["endpoint.0.channels.0"]);
    assert_eq!(endpoint("c#.a*"), [""; 0]);
    assert_eq!(keys(|config| config.log.level = "info=nonsense=x".into()), ["log.level"]);
}

#[test]
fn no_time_is_longer_than_a_year() {
    let long = Span::from_secs(367 * 24 * 3600);
    assert_eq!(keys(|config| config.stream.token_expiring = long), ["stream.token_expiring"]);
    assert_eq!(keys(|config| config.stream.write_timeout = long), ["stream.write_timeout"]);
    assert_eq!(keys(|config| config.stream.write_timeout = Span::from_secs(0)), ["stream.write_timeout"]);
    assert_eq!(keys(|config| config.stream.pace = long), ["stream.pace"]);
    assert_eq!(keys(|config| config.control.remember = long), ["control.remember"]);
    assert_eq!(keys(|config| config.admin.reload_interval = long), ["admin.reload_interval"]);
}

#[test]
fn orders_have_one_routing_key_and_a_stream_of_their_own() {
    assert_eq!(keys(|config| config.control.disconnect = "a.control".into()), [""; 0]);
    assert_eq!(keys(|config| config.control.disconnect = "a.#".into()), ["control.disconnect"]);
    assert_eq!(keys(|config| config.control.stream.clone_from(&config.history.stream)), ["control.stream"]);
    assert_eq!(keys(|config| config.control.stream.clear()), ["control.stream"]);
    assert_eq!(keys(|config| config.control.max_revoked = 0), ["control.max_revoked"]);
    assert_eq!(keys(|config| config.control.remember = Span::from_millis(999)), ["control.remember"]);
}

#[test]
fn no_two_endpoints_claim_the_same_request() {
    let paths = |paths: &[&str]| {
        keys(|config| {
            config.endpoint =
                paths.iter().map(|path| EndpointConfig { path: (*path).into(), channels: vec![] }).collect();
        })
    };
    assert_eq!(paths(&["/events", "/api/dashboard/sse"]), [""; 0]);
    assert_eq!(paths(&["/events", "/events"]), ["endpoint.1.path"]);
    assert_eq!(paths(&["/events", "/events/news"]), ["endpoint.1.path"]);
    assert_eq!(paths(&["/events/news", "/events"]), ["endpoint.1.path"]);
    assert_eq!(paths(&["/", "/events"]), ["endpoint.1.path"]);
    assert_eq!(paths(&["events"]), ["endpoint.0.path"]);
    assert_eq!(paths(&[]), ["endpoint"]);
}

#[test]
fn any_origin_and_credentials_exclude_each_other() {
    let cors = |origin: &str, credentials| {
        keys(|config| (config.cors.origins, config.cors.credentials) = (vec![origin.into()], credentials))
    };
    assert_eq!(cors("*", false), [""; 0]);
    assert_eq!(cors("*", true), ["cors.origins.0"]);
    assert_eq!(cors("https://*.example.com", true), [""; 0]);
    assert_eq!(cors("example.com", false), ["cors.origins.0"]);
}
