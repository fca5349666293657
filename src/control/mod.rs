//! What the application and operators order: ending streams and revoking tokens, on this process; who brings an order is not known here.

mod config;
mod disconnect;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::auth::{Revocable, Revocations};
use crate::event::{Audience, UserId};
use crate::hub::{Busy, Orders, Verdict, View, Whom};
use crate::provider::session::Recalls;
use crate::telemetry;

pub use config::ControlConfig;
pub use disconnect::{Disconnect, MAX_ORDER_BYTES, Malformed, Target};

/// Carries orders out. A clone acts on the same streams.
#[derive(Clone, Debug)]
pub struct Control {
    orders: Orders,
    revocations: Arc<Revocations>,
    recalls: Arc<Recalls>,
    remember: Duration,
}

impl Control {
    #[must_use]
    pub fn new(config: &ControlConfig, orders: Orders, revocations: Arc<Revocations>, recalls: Arc<Recalls>) -> Self {
        Self { orders, revocations, recalls, remember: config.remember.0 }
    }

    /// Resolves when another order can be carried out.
    pub async fn ready(&self) {
        self.orders.room().await;
    }

    /// Refuses what the order revokes from now on, and ends the streams that it names; `done` is called with their number.
    /// Whom the application knew by a session it is asked about anew before he gets another stream.
    ///
    /// # Errors
    /// When too many orders are under way; what is revoked is revoked all the same.
    pub fn disconnect(
        &self,
        order: Disconnect,
        now: SystemTime,
        done: impl FnOnce(usize) + Send + 'static,
    ) -> Result<(), Busy> {
        let Disconnect { target, reason, until } = order;
        let until = until.or_else(|| now.checked_add(self.remember)).unwrap_or(now);
        let recalls = Arc::clone(&self.recalls);
        let end = move |view: &View<'_>| {
            if let Some(session) = view.standing.and_then(|standing| standing.session.as_ref()) {
                recalls.session(session, Instant::now());
            }
            Verdict::End { reason: reason.clone() }
        };
        let done = move |streams| {
            telemetry::stream::disconnected(streams);
            done(streams);
        };
        match target {
            Target::User(user) => {
                // First, so that nobody comes in between; sessions without a stream at the moment are his as well.
                self.recalls.user(&user, Instant::now());
                self.orders.give(Whom::Audience(Audience::User(UserId::from(user))), end, done)
            }
            Target::Channel(channel) => {
                self.orders.give(Whom::Audience(Audience::Channel(channel.as_str().into())), end, done)
            }
            Target::Connection(connection) => self.orders.give(Whom::Connection(connection), end, done),
            Target::Token(jti) => self.revoke(Revocable::Token, &jti, (until, now), end, done),
            Target::Session(sid) => self.revoke(Revocable::Session, &sid, (until, now), end, done),
        }
    }

    fn revoke(
        &self,
        what: Revocable,
        text: &str,
        (until, now): (SystemTime, SystemTime),
        end: impl Fn(&View<'_>) -> Verdict + Send + Sync + 'static,
        done: impl FnOnce(usize) + Send + 'static,
    ) -> Result<(), Busy> {
        let id = self.revocations.id(what, text);
        // First, so that nobody comes in between.
        if !self.revocations.revoke(id, until, now) {
            telemetry::auth::revocation_forgotten();
        }
        telemetry::auth::revocations(self.revocations.len());
        let judge = move |view: &View<'_>| match view.standing {
            Some(standing) if standing.identity.revocation_ids().any(|other| other == id) => end(view),
            Some(_) | None => Verdict::Keep,
        };
        self.orders.give(Whom::All, judge, done)
    }
}
