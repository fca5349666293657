//! How long a stream may last: its greatest age, its token's end and the notice before that; ends what is due.

use std::time::{Duration, Instant};

use serde_json::json;

use super::StreamConfig;
use super::core::Core;
use super::fanout::Fanout;
use super::seat::Seat;
use super::subscriber::{Ending, Subscription};
use crate::sse;

/// A notice that comes due before the stream has begun waits this long for that.
const UNOPENED: Duration = Duration::from_secs(1);

/// The times at which something becomes due for one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    ages: Option<Instant>,
    expires: Option<Instant>,
    notice: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Notice,
    End(Ending),
}

impl Life {
    pub(super) fn new(settings: &StreamConfig, subscription: &Subscription, now: Instant) -> Self {
        let age = settings.max_connection_age.0;
        let ages = (!age.is_zero()).then(|| now + age.mul_f64(0.9 + 0.2 * fastrand::f64()));
        Self { ages, ..Self::default() }.until(subscription.expires, settings, now)
    }

    /// The same stream with another end of its token.
    pub(super) fn until(self, expires: Option<Instant>, settings: &StreamConfig, now: Instant) -> Self {
        let before = settings.token_expiring.0;
        let notice = expires.filter(|_| !before.is_zero()).map(|at| at.checked_sub(before).unwrap_or(now));
        Self { expires, notice, ..self }
    }

    /// What comes next, and when.
    pub(super) fn next(&self) -> Option<(Instant, Due)> {
        let notice = self.notice.map(|at| (at, Due::Notice));
        let aged = self.ages.map(|at| (at, Due::End(Ending::Aged)));
        let expired = self.expires.map(|at| (at, Due::End(Ending::Expired)));
        [notice, aged, expired].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

impl Seat {
    /// Tells the stream that its token is about to expire.
    fn give_notice(&mut self, now: Instant) {
        if self.is_unopened() {
            self.life.notice = Some(now + UNOPENED);
            return;
        }
        self.life.notice = None;
        let expires = self.standing.as_ref().and_then(|standing| standing.identity.expires());
        let data = json!({ "expires": expires.map(|at| humantime::format_rfc3339_millis(at).to_string()) });
        self.queue.push(sse::notice("token-expiring", &data.to_string()));
    }
}

impl Fanout {
    /// Gives a stream another life, and has what is due in it noticed.
    pub(super) fn set_life(&mut self, key: usize, life: Life) {
        let seat = &mut self.seats[key];
        if let Some((at, _)) = seat.life.next() {
            self.deadlines.remove(&(at, key));
        }
        seat.life = life;
        self.deadlines.extend(life.next().map(|(at, _)| (at, key)));
    }

    /// Does what is due.
    pub(super) fn end_due(&mut self, core: &Core, now: Instant) {
        while let Some((at, key)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, key));
            let seat = &mut self.seats[key];
            match seat.life.next() {
                _ if seat.is_ended() => seat.life = Life::default(),
                None => {}
                Some((_, Due::Notice)) => {
                    seat.give_notice(now);
                    self.deadlines.extend(seat.life.next().map(|(at, _)| (at, key)));
                    self.list_urgent(key);
                }
                Some((_, Due::End(ending))) => {
                    seat.life = Life::default();
                    let farewell = match ending {
                        Ending::Expired => sse::notice("token-expired", "{}"),
                        Ending::Aged
                        | Ending::Drained
                        | Ending::Dismissed
                        | Ending::Elsewhere
                        | Ending::Lagged
                        | Ending::Throttled => sse::farewell(core.jittered_retry()),
                    };
                    seat.end(ending, Some(farewell));
                    self.list_urgent(key);
                }
            }
        }
    }
}
