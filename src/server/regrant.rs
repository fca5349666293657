//! Another identity for a stream that is open: what it gets from then on, by a new token, a new configuration or the application's word.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::endpoint::granted;
use crate::auth::{AuthError, Authenticator, Identity};
use crate::hub::{Busy, Orders, Standing, Subscription, Verdict, View, Whom};

/// When a stream of `identity` ends on the clock of streams. A time too far off to be told is no end.
pub(super) fn remaining(identity: &Identity, now: SystemTime, instant: Instant) -> Option<Instant> {
    identity.expires().and_then(|at| instant.checked_add(at.duration_since(now).unwrap_or(Duration::ZERO)))
}

/// What a stream on this ground may hear as `identity`: what it was opened for, as far as that is granted now.
pub(super) fn subscription(view: &View<'_>, standing: &Standing, identity: &Identity, now: SystemTime) -> Subscription {
    Subscription {
        connection_id: view.connection,
        user: identity.user().cloned(),
        channels: granted(standing.asked.as_deref(), &standing.defaults, identity),
        expires: remaining(identity, now, Instant::now()),
        standing: Some(Arc::new(Standing { identity: identity.clone(), ..standing.clone() })),
    }
}

/// What becomes of a stream that is judged again: it goes on as it is, goes on as `judged` says, or ends.
pub(super) fn verdict(
    view: &View<'_>,
    standing: &Standing,
    judged: Result<&Identity, AuthError>,
    now: SystemTime,
) -> Verdict {
    let identity = match judged {
        Ok(identity) => identity,
        Err(error) => return Verdict::End { reason: error.reason().to_owned() },
    };
    let new = subscription(view, standing, identity, now);
    if *view.audiences == *new.audiences() && standing.identity.expires() == identity.expires() {
        return Verdict::Keep;
    }
    Verdict::Change(Box::new(new))
}

/// Has every open stream judged again by the authenticator that is in force when its turn comes: another configuration may
/// have come by then, by which a newer stream was opened. The receiver is told when all have been.
///
/// # Errors
/// When too many orders are under way; then nobody was judged.
pub fn reconsider(
    orders: &Orders,
    in_force: impl Fn() -> Arc<Authenticator> + Send + Sync + 'static,
) -> Result<oneshot::Receiver<()>, Busy> {
    let judge = move |view: &View<'_>| {
        let Some(standing) = view.standing else { return Verdict::Keep };
        let now = SystemTime::now();
        let judged = in_force().reconsider(&standing.identity, now);
        verdict(view, standing, judged.as_ref().map_err(|error| *error), now)
    };
    let (done, told) = oneshot::channel();
    let finish = move |streams| {
        tracing::info!(streams, "open streams were given other grants or ended");
        // An error means that nobody waits any more.
        let _told = done.send(());
    };
    orders.give(Whom::All, judge, finish)?;
    Ok(told)
}
