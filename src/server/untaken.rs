//! Responses of HTTP/2 of which their client takes nothing: flow control lets it hold one for as long as its connection lives (RFC 9113 §5.2), and with it the application's connection.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::body::BoxError;
use super::fallback::AnswerBody;

/// How often in the time limit it is looked at.
const LOOKS: u32 = 4;

/// The responses of one worker that are watched. hyper polls no body while its client has no window left for what the
/// body gave last, so that a body cannot notice by itself.
#[derive(Debug)]
pub(super) struct Untaken(Rc<RefCell<Vec<Weak<Held>>>>);

/// A body, unless it was given up, and since when what it gave last waits to be taken.
struct Held {
    body: RefCell<Option<AnswerBody>>,
    waits: Cell<Option<Instant>>,
}

struct Watched(Rc<Held>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("waits", &self.waits).finish_non_exhaustive()
    }
}

impl Untaken {
    /// Gives up what waits for longer than `limit`. Must be called within a `LocalSet`.
    pub(super) fn new(limit: Duration) -> Self {
        let watched = Rc::default();
        spawn_local(sweep(Rc::downgrade(&watched), limit));
        Self(watched)
    }

    /// The same body, which is broken off when it is given up; what it holds is gone at once.
    pub(super) fn watch(&self, body: AnswerBody) -> AnswerBody {
        let held = Rc::new(Held { body: RefCell::new(Some(body)), waits: Cell::default() });
        let mut watched = self.0.borrow_mut();
        if watched.len() == watched.capacity() {
            // Instead of growing, as long as that gives room.
            watched.retain(|held| held.strong_count() > 0);
        }
        watched.push(Rc::downgrade(&held));
        Box::pin(Watched(held))
    }
}

async fn sweep(watched: Weak<RefCell<Vec<Weak<Held>>>>, limit: Duration) {
    loop {
        sleep(limit / LOOKS).await;
        let Some(watched) = watched.upgrade() else { return };
        watched.borrow_mut().retain(|held| held.upgrade().is_some_and(|held| !held.is_given_up(limit)));
    }
}

impl Held {
    fn is_given_up(&self, limit: Duration) -> bool {
        let given_up = self.waits.get().is_some_and(|since| since.elapsed() >= limit);
        if given_up {
            drop(self.body.take());
        }
        given_up
    }
}

/// Why a response that was given up is broken off.
#[derive(Debug, thiserror::Error)]
#[error("the client took nothing for too long")]
struct NotTaken;

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut body = self.0.body.borrow_mut();
        let Some(body) = body.as_mut() else { return Poll::Ready(Some(Err(NotTaken.into()))) };
        let next = body.as_mut().poll_frame(cx);
        let gave = matches!(next, Poll::Ready(Some(Ok(_))));
        self.0.waits.set(gave.then(Instant::now));
        next
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.borrow().as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.borrow().as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use tokio::task::LocalSet;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_in_time_is_gone_and_what_waits_for_the_application_is_not() {
        let told = async {
            let untaken = Untaken::new(LIMIT);
            let text = |text| -> AnswerBody { Box::pin(Full::from(text).map_err(|never| match never {})) };
            let (mut slow, mut stuck) = (untaken.watch(text("slow")), untaken.watch(text("stuck")));
            let silent = untaken.watch(text("silent"));
            stuck.frame().await.expect("a frame").expect("no error");
            sleep(LIMIT / 2).await;
            slow.frame().await.expect("a frame").expect("no error");
            sleep(LIMIT * 7 / 8).await;
            assert!(stuck.frame().await.expect("an error").is_err());
            assert!(slow.frame().await.is_none(), "it was whole");
            sleep(LIMIT * 2).await;
            assert_eq!(silent.collect().await.expect("no error").to_bytes(), "silent");
            for _ in 0..1000 {
                drop(untaken.watch(text("gone")));
            }
            assert!(untaken.0.borrow().len() < 100, "those that are gone make room");
        };
        LocalSet::new().run_until(told).await;
    }
}
