//! The two bodies of an exchange as they pass through: counted, limited in size and in silence, and never collected.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::error::BodyError;
use super::pool::Lease;
use super::{forwarded, hygiene};

/// How long the application may leave `Expect: 100-continue` unanswered before it gets the body nevertheless
/// (RFC 9110 §10.1.1 asks not to wait for ever).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Where a request's body is, seen from the exchange that waits for the response.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the body last moved, or began to wait for the client.
    moved: Cell<Instant>,
    state: Cell<Sending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// The application has to take or to answer something.
    ToUpstream,
    /// The client has to send more.
    FromClient,
    Done,
    /// It ended early by this.
    TooLarge,
    Broken,
}

impl Progress {
    fn new(state: Sending) -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(Instant::now()), state: Cell::new(state) })
    }

    pub(super) fn state(&self) -> Sending {
        self.state.get()
    }

    pub(super) fn moved(&self) -> Instant {
        self.moved.get()
    }

    fn note(&self, state: Sending) {
        if state != Sending::FromClient || self.state.get() != Sending::FromClient {
            self.moved.set(Instant::now());
        }
        self.state.set(state);
    }
}

/// Holds a body back until the application says `100 Continue`.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// A request's body on its way to the application.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None for a request that is sent a second time, which only one without a body is.
    inner: Option<Incoming>,
    progress: Rc<Progress>,
    /// Bytes that may still come.
    left: u64,
    gate: Option<(Arc<Gate>, Pin<Box<Sleep>>)>,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, limit: u64) -> Self {
        let state = if inner.is_end_stream() { Sending::Done } else { Sending::ToUpstream };
        Self { inner: Some(inner), progress: Progress::new(state), left: limit, gate: None }
    }

    pub(super) fn empty() -> Self {
        Self { inner: None, progress: Progress::new(Sending::Done), left: 0, gate: None }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    pub(super) fn hold(&mut self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.gate = Some((Arc::clone(&gate), Box::pin(sleep(CONTINUE_PATIENCE))));
        gate
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((gate, patience)) = &mut self.gate {
            gate.waker.register(cx.waker());
            if !gate.open.load(Ordering::Acquire) && patience.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.gate = None;
        }
        Poll::Ready(())
    }

    fn take(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        if let Some(trailers) = frame.trailers_mut() {
            hygiene::clean_trailers(trailers);
            forwarded::forget(trailers, false);
        }
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            self.progress.note(Sending::TooLarge);
            return Err(BodyError::TooLarge);
        };
        self.left = left;
        let ended = self.is_end_stream() || frame.is_trailers();
        self.progress.note(if ended { Sending::Done } else { Sending::ToUpstream });
        Ok(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if body.poll_gate(cx).is_pending() {
            return Poll::Pending;
        }
        let Some(inner) = &mut body.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Pending => {
                body.progress.note(Sending::FromClient);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(body.take(frame))),
            Poll::Ready(Some(Err(error))) => {
                body.progress.note(Sending::Broken);
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
            Poll::Ready(None) => {
                body.progress.note(Sending::Done);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// A response's body on its way to the browser. Its drop before the end ends the request at the application as well.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Incoming,
    /// The connection that it comes from; given back at the end.
    lease: Option<Lease>,
    idle: Duration,
    /// When the silence under way has lasted too long.
    silent_until: Option<Instant>,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, lease: Lease, idle: Duration) -> Self {
        let mut body = Self { inner, lease: Some(lease), idle, silent_until: None };
        if body.inner.is_end_stream() {
            body.end();
        }
        body
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// Ready when the application has been silent for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = *self.silent_until.get_or_insert_with(|| Instant::now() + self.idle);
        self.lease.as_mut().map_or(Poll::Pending, |lease| lease.patience().poll(end, cx))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        match Pin::new(&mut body.inner).poll_frame(cx) {
            Poll::Pending => match body.poll_idle(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Idle))),
            },
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    hygiene::clean_trailers(trailers);
                }
                body.silent_until = None;
                if body.inner.is_end_stream() {
                    body.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Upstream(error)))),
            Poll::Ready(None) => {
                body.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
