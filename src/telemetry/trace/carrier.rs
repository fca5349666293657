//! Where a trace's context travels: `traceparent` and `tracestate` of an HTTP request or an AMQP message.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{SpanContext, TraceContextExt};

use crate::event::{Message, Scalar};

/// W3C Trace Context §3.2 and §3.3.
const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// W3C Trace Context §3.3.1.5 has at least 512 passed on; what is longer is left out.
const MAX_STATE_BYTES: usize = 2048;

/// The context of the sender, as it came.
struct Carrier<'a> {
    parent: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => self.parent.as_deref(),
            STATE => self.state.as_deref().filter(|state| state.len() <= MAX_STATE_BYTES),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

impl Carrier<'_> {
    fn context(&self) -> Context {
        get_text_map_propagator(|propagator| propagator.extract_with_context(&Context::new(), self))
    }
}

/// The context that a request came in; an empty one if it says none.
pub(super) fn of_request(headers: &HeaderMap) -> Context {
    let mut parents = headers.get_all(PARENT).iter();
    // W3C Trace Context §3.2.1: two of them are none.
    let parent = parents.next().filter(|_| parents.next().is_none()).and_then(|parent| parent.to_str().ok());
    // A list that may be spread over several fields (§3.3.1.1).
    let states: Option<Vec<_>> = headers.get_all(STATE).iter().map(|state| state.to_str().ok()).collect();
    let state = states.map(|states| Cow::Owned(states.join(",")));
    Carrier { parent: parent.map(Cow::Borrowed), state }.context()
}

/// The context in which a message was published; none if its headers do not say it.
pub(super) fn of_message(message: &Message) -> Option<SpanContext> {
    let text = |name: &str| {
        let (_, value) = message.headers.iter().find(|(header, _)| header == name)?;
        if let Scalar::Text(text) = value { Some(Cow::Borrowed(text.as_str())) } else { None }
    };
    let carrier = Carrier { parent: Some(text(PARENT)?), state: text(STATE) };
    let publisher = carrier.context().span().span_context().clone();
    publisher.is_valid().then_some(publisher)
}

/// Puts the context into a request's headers, in place of the one that was there.
pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    get_text_map_propagator(|propagator| propagator.inject_context(context, &mut Fields(headers)));
}

struct Fields<'h>(&'h mut HeaderMap);

impl Injector for Fields<'_> {
    fn set(&mut self, key: &str, value: String) {
        let Ok(name) = HeaderName::try_from(key) else { return };
        match HeaderValue::try_from(value) {
            Ok(value) if !value.is_empty() => {
                self.0.insert(name, value);
            }
            // An empty list is no list, and what was there belongs to the context that was there.
            _ => {
                self.0.remove(name);
            }
        }
    }
}
