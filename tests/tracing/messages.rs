//! One span for each message, linked to its publisher, and none for a browser that gets it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Collector, attribute, hex};
use crate::scene::{CALLER, STATE, Scene, TRACE, traceparent};
use crate::support::secrecy::marker;

fn traced() -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [("traceparent", traceparent().as_str()), ("tracestate", STATE)] {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    BasicProperties::default().with_headers(headers)
}

#[tokio::test]
async fn a_delivery_is_one_span_that_is_linked_to_its_publisher_however_many_streams_get_it() {
    let collector = Collector::start().await;
    let scene = Scene::exporting_to(&collector.url(), &[("OTEL_RESOURCE_ATTRIBUTES", "deployment=blue")]).await;
    let user = marker("user");
    let mut streams = [scene.subscribe(&user).await, scene.subscribe(&user).await, scene.subscribe(&user).await];
    scene.app.publish_with(&format!("user.{user}.hello"), traced(), marker("body")).await;
    for stream in &mut streams {
        assert_eq!(stream.message().await.name, "hello");
    }
    let span = collector.span("process user.{user}.{event}").await;
    assert_eq!(span.kind, SpanKind::Consumer as i32);
    let [link] = &span.links[..] else { panic!("{span:?}") };
    assert_eq!((hex(&link.trace_id), hex(&link.span_id)), (TRACE.into(), CALLER.into()));
    assert_eq!(link.trace_state, STATE);
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE, "a trace of its own: {span:?}");
    let of = |key: &str| attribute(&span, key);
    assert_eq!(of("messaging.system").as_deref(), Some("rabbitmq"));
    assert_eq!(of("messaging.operation.type").as_deref(), Some("process"));
    assert_eq!(of("messaging.destination.template").as_deref(), Some("user.{user}.{event}"));
    assert_eq!(of("cottontail.events").as_deref(), Some("1"));
    assert_eq!(of("error.type"), None);
    // What comes later shows that nothing else was under way.
    scene.app.publish("order.1.updated", "no JSON").await;
    let failed = collector.span("process order.*.updated").await;
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("body_not_json"));
    assert!(failed.links.is_empty(), "nobody said who published it: {failed:?}");
    let processed = collector.spans().into_iter().filter(|span| span.name.starts_with("process")).count();
    assert_eq!(processed, 2, "one for each message");
    assert_eq!(collector.resource("service.name").as_deref(), Some("cottontail"));
    assert_eq!(collector.resource("deployment").as_deref(), Some("blue"));
}

#[tokio::test]
async fn a_context_that_is_none_links_to_nothing_and_loses_no_event() {
    let collector = Collector::start().await;
    let scene = Scene::exporting_to(&collector.url(), &[("OTEL_SERVICE_NAME", "shop-events")]).await;
    let mut stream = scene.subscribe("ada").await;
    let contexts =
        ["", "00", "00-0-0-00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-ä-ö-01", "------"];
    for context in contexts {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(LongString::from(context)));
        headers.insert("tracestate".into(), AMQPValue::LongString(LongString::from("x".repeat(5000))));
        scene.app.publish_with("user.ada.hello", BasicProperties::default().with_headers(headers), context).await;
        assert_eq!(stream.message().await.data, context);
    }
    let spans = collector.spans_until(contexts.len(), |span| span.name.starts_with("process")).await;
    assert!(spans.iter().all(|span| span.links.is_empty()), "{spans:?}");
    assert_eq!(collector.resource("service.name").as_deref(), Some("shop-events"));
}
