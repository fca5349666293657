//! The spans of an HTTP request: the server's own, and its child for the application (OpenTelemetry's semantic conventions for HTTP).

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};

use super::{ERROR_TYPE, carrier, tracer};

/// One exchange over HTTP; nothing where nobody traces. It ends when it is dropped. Boxed, since every connection has a place
/// for one, and a stream keeps its connection for hours.
#[derive(Debug, Default)]
pub struct HttpSpan(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    context: Context,
    /// A status from this on is a failure of this side's.
    fails_from: u16,
}

impl HttpSpan {
    /// The span of a request that came, a child of the client's if it says one. The log knows the request by `request_id`.
    #[must_use]
    pub fn server<B>(request: &Request<B>, request_id: &HeaderValue) -> Self {
        let Some(tracer) = tracer() else { return Self(None) };
        let (known, name) = method(request.method());
        let ids = vec![StringValue::from(request_id.to_str().unwrap_or_default().to_owned())];
        let mut attributes = vec![
            KeyValue::new("http.request.method", known),
            KeyValue::new("http.request.header.x-request-id", Value::Array(Array::String(ids))),
        ];
        attributes
            .extend(protocol(request.version()).map(|version| KeyValue::new("network.protocol.version", version)));
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = tracer.build_with_context(builder, &carrier::of_request(request.headers()));
        Self(Some(Box::new(Open { context: Context::new().with_span(span), fails_from: 500 })))
    }

    /// The request is for an endpoint, which names its path in the configuration.
    pub fn routed(&self, method: &Method, route: &str) {
        let Some(Open { context, .. }) = self.0.as_deref() else { return };
        let span = context.span();
        if span.is_recording() {
            span.update_name(format!("{} {route}", self::method(method).1));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
    }

    /// The span of the request as it goes on to the application, whose context its headers get.
    #[must_use]
    pub fn client(&self, method: &Method, headers: &mut HeaderMap) -> Self {
        let (Some(Open { context, .. }), Some(tracer)) = (self.0.as_deref(), tracer()) else { return Self(None) };
        let (known, name) = self::method(method);
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("http.request.method", known)]);
        let span = tracer.build_with_context(builder, context);
        let context = Context::new().with_span(span);
        carrier::inject(&context, headers);
        Self(Some(Box::new(Open { context, fails_from: 400 })))
    }

    /// The head of the response is known.
    pub fn answered(&self, status: StatusCode) {
        let Some(Open { context, fails_from }) = self.0.as_deref() else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.as_u16() >= *fails_from {
            span.set_attribute(KeyValue::new(ERROR_TYPE, status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// There was no whole response; `why` is one of a fixed set.
    pub fn failed(&self, why: &'static str) {
        let Some(Open { context, .. }) = self.0.as_deref() else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new(ERROR_TYPE, why));
        span.set_status(Status::error(why));
    }
}

/// As an attribute and as a span's name: a client may make a method up.
fn method(method: &Method) -> (&'static str, &'static str) {
    let known = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => return ("_OTHER", "HTTP"),
    };
    (known, known)
}

fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
