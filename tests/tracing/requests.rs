//! A span for each request, with one for its way to the application, which goes on with the context.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::collector::{Collector, attribute, hex};
use crate::scene::{CALLER, STATE, Scene, TRACE, traceparent};
use crate::support::http1::Request;
use crate::support::secrecy::marker;

fn traced(target: impl Into<String>) -> Request {
    Request::get(target).header("traceparent", traceparent()).header("tracestate", STATE)
}

#[tokio::test]
async fn a_request_for_the_application_goes_on_as_a_child_of_its_own_span() {
    let collector = Collector::start().await;
    let scene = Scene::exporting_to(&collector.url(), &[]).await;
    let target = format!("/orders/{}?token={}", marker("path"), scene.issuer.token(&marker("user")));
    assert_eq!(scene.server.fetch(&traced(target)).await.status(), 200);
    let spans = collector.spans_until(2, |span| hex(&span.trace_id) == TRACE).await;
    let of_kind = |kind: SpanKind| spans.iter().find(|span| span.kind == kind as i32).unwrap();
    let (server, client) = (of_kind(SpanKind::Server), of_kind(SpanKind::Client));
    assert_eq!(hex(&server.parent_span_id), CALLER);
    assert_eq!(client.parent_span_id, server.span_id);
    for span in [server, client] {
        assert_eq!(span.name, "GET");
        assert_eq!(attribute(span, "http.response.status_code").as_deref(), Some("200"));
        assert_eq!(attribute(span, "error.type"), None);
    }
    let asked = scene.website.asked_until(1).await.remove(0);
    let context = format!("00-{TRACE}-{}-01", hex(&client.span_id));
    assert_eq!((asked.header("traceparent"), asked.header("tracestate")), (Some(context.as_str()), Some(STATE)));

    assert_eq!(scene.server.fetch(&Request::get("/broken")).await.status(), 500);
    let broken = collector.spans_until(2, |span| attribute(span, "error.type").as_deref() == Some("500")).await;
    assert!(broken.iter().all(|span| span.status.as_ref().unwrap().code == StatusCode::Error as i32), "{broken:?}");
    assert_eq!(broken[0].trace_id, broken[1].trace_id);
    assert_ne!(hex(&broken[0].trace_id), TRACE, "nobody said a context");
}

#[tokio::test]
async fn a_streams_span_is_over_when_the_stream_begins() {
    let collector = Collector::start().await;
    let scene = Scene::exporting_to(&collector.url(), &[]).await;
    let user = marker("user");
    let mut stream = scene.subscribe(&user).await;
    let opened = collector.span("GET /events").await;
    assert_eq!(opened.kind, SpanKind::Server as i32);
    assert_eq!(attribute(&opened, "http.route").as_deref(), Some("/events"));
    assert_eq!(attribute(&opened, "http.response.status_code").as_deref(), Some("200"));
    scene.app.publish(&format!("user.{user}.hello"), "still open").await;
    assert_eq!(stream.message().await.data, "still open");

    let refused = scene.server.fetch(&Request::new("BREW", format!("/events/{}", marker("channel")))).await;
    assert_eq!(refused.status(), 405);
    let made_up = collector.span("HTTP /events").await;
    assert_eq!(attribute(&made_up, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(made_up.status.unwrap_or_default().code, StatusCode::Unset as i32, "the client's fault");
}

#[tokio::test]
async fn what_the_sampler_leaves_out_is_not_exported_but_its_context_goes_on() {
    let collector = Collector::start().await;
    let mut scene = Scene::exporting_to(&collector.url(), &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert_eq!(scene.server.fetch(&traced("/orders")).await.status(), 200);
    let asked = scene.website.asked_until(1).await.remove(0);
    let context = asked.header("traceparent").unwrap();
    assert!(context.starts_with(&format!("00-{TRACE}-")) && context.ends_with("-00"), "{context}");
    assert!(!context.contains(CALLER), "{context}");
    scene.server.terminate();
    assert!(scene.server.exit().await.success());
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn without_an_exporter_a_context_passes_untouched() {
    for variables in
        [&[][..], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_TRACES_EXPORTER", "none")]]
    {
        let scene = Scene::start(variables).await;
        assert_eq!(scene.server.fetch(&traced("/orders")).await.status(), 200);
        let asked = scene.website.asked_until(1).await.remove(0);
        assert_eq!(asked.header("traceparent"), Some(traceparent().as_str()));
        assert_eq!(asked.header("tracestate"), Some(STATE));
    }
}
