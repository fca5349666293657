//! The span of one message's way to the hub (OpenTelemetry's semantic conventions for messaging: `process`).

use opentelemetry::global::BoxedSpan;
use opentelemetry::trace::{Link, Span, SpanKind, Status, Tracer};
use opentelemetry::{Context, KeyValue};

use super::{ERROR_TYPE, carrier, tracer};
use crate::event::Message;

/// The processing of one delivery, for however many streams; nothing where nobody traces or the sampler leaves it out.
///
/// It begins a trace of its own, linked to the context in which the message was published: one message is for many, and what
/// becomes of it here is no part of the publisher's work.
#[derive(Debug)]
pub struct DeliverySpan(Option<BoxedSpan>);

impl DeliverySpan {
    /// A span that is none.
    pub const NONE: Self = Self(None);

    #[must_use]
    pub fn start(message: &Message) -> Self {
        Self(tracer().and_then(|tracer| begin(tracer, message)))
    }

    /// `pattern` gives that of the mapping that the routing key reaches, which unlike the key names nobody. `outcome` is the
    /// number of events, or the reason why there are none.
    pub fn end(self, pattern: impl FnOnce() -> Option<String>, outcome: Result<usize, &'static str>) {
        let Some(mut span) = self.0 else { return };
        if let Some(pattern) = pattern() {
            span.update_name(format!("process {pattern}"));
            span.set_attribute(KeyValue::new("messaging.destination.template", pattern));
        }
        match outcome {
            Ok(events) => {
                span.set_attribute(KeyValue::new("cottontail.events", i64::try_from(events).unwrap_or(i64::MAX)));
            }
            Err(reason) => {
                span.set_attribute(KeyValue::new(ERROR_TYPE, reason));
                span.set_status(Status::error(reason));
            }
        }
        span.end();
    }
}

fn begin<T: Tracer<Span = BoxedSpan>>(tracer: &T, message: &Message) -> Option<BoxedSpan> {
    let size = i64::try_from(message.body.len()).unwrap_or(i64::MAX);
    let attributes = vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.operation.name", "process"),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.message.body.size", size),
    ];
    let links = carrier::of_message(message).map(|publisher| Link::new(publisher, Vec::new(), 0));
    let builder = tracer
        .span_builder("process")
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes)
        .with_links(links.into_iter().collect());
    let span = tracer.build_with_context(builder, &Context::new());
    span.is_recording().then_some(span)
}
