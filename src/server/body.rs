//! The response bodies of the server: a text at once, or an event stream that lasts.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;

use super::admission::Place;
use super::fallback::AnswerBody;
use super::traffic::Underway;
use crate::hub::{Lagged, Subscriber};
use crate::telemetry;

/// Of this many pieces of one stream the first has its latency measured.
const LATENCY_SAMPLE: u32 = 16;

/// Why a body ended early; only for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, and the answer's place in its connection's traffic.
pub(crate) struct Body {
    kind: Kind,
    underway: Option<Underway>,
}

pub(crate) enum Kind {
    Full(Full<Bytes>),
    Stream(StreamBody),
    /// A stream that the hub will write itself: hyper writes the head, which is caught, and waits for a body that never comes.
    Elsewhere,
    /// Of the fallback.
    Answer(AnswerBody),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Kind::Full(Full::default()).into()
    }

    pub(crate) fn full(text: impl Into<Bytes>) -> Self {
        Kind::Full(Full::new(text.into())).into()
    }

    pub(crate) fn stream(stream: StreamBody) -> Self {
        Kind::Stream(stream).into()
    }

    /// Keeps the answer under way for as long as this body lasts.
    pub(crate) fn keep(mut self, underway: Underway) -> Self {
        self.underway = Some(underway);
        self
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.kind
    }
}

/// The answer to HEAD (RFC 9110 §9.3.2): hyper leaves the body out over HTTP/1.1 only.
pub(super) fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    response.map(|_left_out| Body::empty())
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, underway: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().kind {
            Kind::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Stream(stream) => stream.poll(cx).map(|next| next.map(|chunk| Ok(Frame::data(chunk?)))),
            Kind::Elsewhere => Poll::Pending,
            Kind::Answer(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(body) => body.is_end_stream(),
            Kind::Stream(_) | Kind::Elsewhere => false,
            Kind::Answer(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(body) => body.size_hint(),
            Kind::Stream(_) | Kind::Elsewhere => SizeHint::default(),
            Kind::Answer(body) => body.size_hint(),
        }
    }
}

/// Counts one open stream in the metrics and among those of its address, from its answer to its end.
#[derive(Debug)]
pub(crate) struct OpenStream {
    since: Instant,
    _place: Place,
}

impl OpenStream {
    fn new(since: Instant, place: Place) -> Self {
        telemetry::stream::opened();
        Self { since, _place: place }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        telemetry::stream::closed(self.since.elapsed());
    }
}

/// An event stream as a body. Its drop unsubscribes.
#[derive(Debug)]
pub(crate) struct StreamBody {
    subscriber: Rc<RefCell<Subscriber>>,
    open: OpenStream,
    pieces: u32,
}

impl StreamBody {
    pub(crate) fn new(subscriber: Subscriber, opened: Instant, place: Place) -> Self {
        Self { subscriber: Rc::new(RefCell::new(subscriber)), open: OpenStream::new(opened, place), pieces: 0 }
    }

    /// A view of the stream for the connection that carries it.
    pub(crate) fn view(&self) -> StreamView {
        StreamView(Rc::downgrade(&self.subscriber))
    }

    /// The stream itself and its place in the metrics, for another carrier.
    pub(crate) fn into_parts(self) -> (Subscriber, OpenStream) {
        let subscriber = Rc::into_inner(self.subscriber).expect("views are weak");
        (subscriber.into_inner(), self.open)
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Lagged>>> {
        let next = self.subscriber.borrow_mut().poll_chunk(cx);
        next.map(|next| {
            next.map(|chunk| {
                let chunk = chunk?;
                if let Some(received) = chunk.received {
                    if self.pieces.is_multiple_of(LATENCY_SAMPLE) {
                        telemetry::stream::delivered(received.elapsed());
                    }
                    self.pieces = self.pieces.wrapping_add(1);
                }
                Ok(chunk.bytes)
            })
        })
    }
}

/// Lets a connection see that its stream was cut off, which hyper does not while the socket takes no bytes.
#[derive(Debug, Default)]
pub(crate) struct StreamView(Weak<RefCell<Subscriber>>);

impl StreamView {
    /// Ready once the stream is cut off; until then the task is woken by whatever happens to the stream.
    pub(crate) fn poll_cut_off(&self, cx: &Context<'_>) -> Poll<()> {
        match self.0.upgrade() {
            Some(subscriber) => subscriber.borrow().poll_cut_off(cx),
            None => Poll::Pending,
        }
    }
}
