//! Polling a connection of hyper's to its end: how long it may idle, and when it is to close.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::traffic::Traffic;
use super::wire::Leaving;
use crate::telemetry;

/// Says that connections are to finish what they have under way and take nothing new.
#[derive(Clone, Debug)]
pub(crate) struct Closing(pub(crate) watch::Receiver<bool>);

impl Closing {
    /// Resolves once it has begun. Cancel-safe.
    pub(crate) async fn begun(&mut self) {
        // An error means that the worker is gone, and every connection with it.
        let _begun = self.0.wait_for(|closing| *closing).await;
    }

    /// Resolves at any time in the first half of `window` after it has begun, so that those who come back do not all
    /// come at once.
    pub(crate) async fn begun_and_spread(&mut self, window: Duration) {
        self.begun().await;
        sleep(window.mul_f64(fastrand::f64() / 2.0)).await;
    }
}

/// How driving a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is over.
    Over,
    /// So it is, in the middle of a response whose body broke off.
    Broken,
    /// `leave` was ready while the connection was not over.
    Left,
}

/// What decides how long a connection is driven.
pub(crate) struct Drive<'a> {
    pub(crate) closing: Closing,
    pub(crate) traffic: &'a Traffic,
    pub(crate) leaving: &'a Leaving,
    /// A connection that begins nothing for this long while nothing is under way is ended; hyper does it by itself for HTTP/1.
    pub(crate) idle_limit: Option<Duration>,
    /// Whether whoever has this connection is to take another one for what comes next, while it is still served; HTTP/1 says
    /// it in its responses.
    pub(crate) retires: &'a dyn Fn() -> bool,
}

impl Drive<'_> {
    /// Polls a connection to its end, or until `leave` is ready. Once it is to close, or has idled too long, it is asked
    /// to `finish`, and dropped when nothing is under way; one that only retires is asked as well, and has its time.
    pub(crate) async fn run<C: Future<Output = hyper::Result<()>>>(
        mut self,
        mut connection: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
        leave: impl Fn(&Context<'_>) -> Poll<()>,
    ) -> End {
        let mut idle = self.idle_limit.map(|limit| Box::pin(Idle::new(limit)));
        let (mut finishing, mut retired) = (false, false);
        let mut closing = pin!(self.closing.begun());
        poll_fn(|cx: &mut Context<'_>| {
            let idled = idle.as_mut().is_some_and(|idle| idle.as_mut().poll_idle(cx, self.traffic));
            if !finishing && (idled || closing.as_mut().poll(cx).is_ready()) {
                finishing = true;
                finish(connection.as_mut());
            }
            // Not before its first request: a client that had nothing but a farewell would come back at once, for ever.
            if !retired && !finishing && self.traffic.begun() > 0 && (self.retires)() {
                retired = true;
                finish(connection.as_mut());
            }
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                let broken = outcome.as_ref().is_err_and(hyper::Error::is_user);
                count_unreadable(outcome);
                return Poll::Ready(if broken { End::Broken } else { End::Over });
            }
            // What is left is a client that has not finished its request, or will not say goodbye.
            if finishing && self.traffic.here() == 0 && !self.leaving.is_held_back() {
                return Poll::Ready(End::Over);
            }
            leave(cx).map(|()| End::Left)
        })
        .await
    }
}

/// Counts a request that hyper could not read and has refused by itself, with 400, 414 or 431 and no body.
fn count_unreadable(outcome: hyper::Result<()>) {
    if let Err(error) = outcome
        && error.is_parse()
    {
        telemetry::stream::unreadable(error.is_parse_too_large());
    }
}

/// Notices a connection that has begun nothing for a while.
struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    begun: u64,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: Box::pin(sleep_until(Instant::now() + limit)), begun: 0 }
    }

    /// Whether nothing is under way, and nothing was begun since the timer was set.
    fn poll_idle(mut self: Pin<&mut Self>, cx: &mut Context<'_>, traffic: &Traffic) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if traffic.here() == 0 && traffic.begun() == self.begun {
                return true;
            }
            let next = Instant::now() + self.limit;
            self.begun = traffic.begun();
            self.timer.as_mut().reset(next);
        }
        false
    }
}
