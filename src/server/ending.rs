//! The application's own event streams in a drain: they would go on until the grace time is over, so they are ended with ours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};

use super::body::{Body, BoxError, Kind};
use super::drive::Closing;
use super::fallback::AnswerBody;

/// A body that ends when connections are to close. What breaks off inside an event is no event, and the browser comes back.
struct Ending {
    body: AnswerBody,
    end: Pin<Box<dyn Future<Output = ()>>>,
    ended: bool,
}

/// Has the body of a response end within `window` after `closing` has begun, if it is an event stream of the application's.
/// Any other answer is finished, however long it takes.
pub(crate) fn end_with(response: Response<Body>, closing: &Closing, window: Duration) -> Response<Body> {
    let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        let media = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    });
    if !is_stream {
        return response;
    }
    response.map(|body| match body.into_kind() {
        Kind::Answer(body) => {
            let mut closing = closing.clone();
            let end = Box::pin(async move { closing.begun_and_spread(window).await });
            Kind::Answer(Box::pin(Ending { body, end, ended: false })).into()
        }
        kind @ (Kind::Full(_) | Kind::Stream(_) | Kind::Elsewhere) => kind.into(),
    })
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended || self.end.as_mut().poll(cx).is_ready() {
            self.ended = true;
            return Poll::Ready(None);
        }
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
