//! The response bodies of the server: a text at once, or an event stream that lasts.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

use crate::hub::{Lagged, Subscriber};
use crate::telemetry;

/// Of this many pieces of one stream the first has its latency measured.
const LATENCY_SAMPLE: u32 = 16;

#[derive(Debug)]
pub(crate) enum Body {
    Full(Full<Bytes>),
    Stream(StreamBody),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(Full::default())
    }

    pub(crate) fn full(text: impl Into<Bytes>) -> Self {
        Self::Full(Full::new(text.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Lagged;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Lagged>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream(stream) => stream.poll(cx).map(|next| next.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An event stream as a body. Its drop unsubscribes.
#[derive(Debug)]
pub(crate) struct StreamBody {
    subscriber: Rc<RefCell<Subscriber>>,
    opened: Instant,
    pieces: u32,
}

impl StreamBody {
    pub(crate) fn new(subscriber: Subscriber, opened: Instant) -> Self {
        telemetry::stream::opened();
        Self { subscriber: Rc::new(RefCell::new(subscriber)), opened, pieces: 0 }
    }

    /// A view of the stream for the connection that carries it.
    pub(crate) fn view(&self) -> StreamView {
        StreamView(Rc::downgrade(&self.subscriber))
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

impl Drop for StreamBody {
    fn drop(&mut self) {
        telemetry::stream::closed(self.opened.elapsed());
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
