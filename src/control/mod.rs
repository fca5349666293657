//! What the application and operators order: ending streams and revoking tokens, on this process; who brings an order is not known here.

mod config;
mod disconnect;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::auth::{Revocable, RevocationId, Revocations};
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
        let (whom, judge) = self.revoke(order, now);
        self.orders.give(whom, judge, counted(done))
    }

    /// As [`Control::disconnect`], for an order that nobody would give again: whoever brings it waits for [`Control::ready`]
    /// before the next one.
    pub fn disconnect_in_any_case(&self, order: Disconnect, now: SystemTime) {
        let (whom, judge) = self.revoke(order, now);
        self.orders.give_in_any_case(whom, judge, counted(drop));
    }

    /// Lets in nobody more whom the order is about, and says what becomes of which streams.
    fn revoke(
        &self,
        order: Disconnect,
        now: SystemTime,
    ) -> (Whom, impl Fn(&View<'_>) -> Verdict + Send + Sync + 'static + use<>) {
        let Disconnect { target, reason, until } = order;
        let until = until.or_else(|| now.checked_add(self.remember)).unwrap_or(now);
        let (whom, revoked) = match target {
            Target::User(user) => {
                // Sessions without a stream at the moment are his as well.
                self.recalls.user(&user, Instant::now());
                (Whom::Audience(Audience::User(UserId::from(user))), None)
            }
            Target::Channel(channel) => (Whom::Audience(Audience::Channel(channel.as_str().into())), None),
            Target::Connection(connection) => (Whom::Connection(connection), None),
            Target::Token(jti) => (Whom::All, Some(self.refuse(Revocable::Token, &jti, until, now))),
            Target::Session(sid) => (Whom::All, Some(self.refuse(Revocable::Session, &sid, until, now))),
        };
        let recalls = Arc::clone(&self.recalls);
        let judge = move |view: &View<'_>| {
            let mut ids = view.standing.into_iter().flat_map(|standing| standing.identity.revocation_ids());
            if revoked.is_some_and(|revoked| !ids.any(|id| id == revoked)) {
                return Verdict::Keep;
            }
            if let Some(session) = view.standing.and_then(|standing| standing.session.as_ref()) {
                recalls.session(session, Instant::now());
            }
            Verdict::End { reason: reason.clone() }
        };
        (whom, judge)
    }

    fn refuse(&self, what: Revocable, text: &str, until: SystemTime, now: SystemTime) -> RevocationId {
        let id = self.revocations.id(what, text);
        if !self.revocations.revoke(id, until, now) {
            telemetry::auth::revocation_forgotten();
        }
        telemetry::auth::revocations(self.revocations.len());
        id
    }
}

/// Has the streams counted that were ended.
fn counted(done: impl FnOnce(usize) + Send + 'static) -> impl FnOnce(usize) + Send + 'static {
    move |streams| {
        telemetry::stream::disconnected(streams);
        done(streams);
    }
}
