//! The answer to a request for a stream that is not opened now and may be later: which limit it met, how long to wait, and in which form.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Response;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::body::Body;
use super::problem::Problem;
use super::site::event_stream;
use crate::hub::{Refused, StreamConfig};
use crate::{sse, telemetry};

/// RFC 7240, in which clients may agree on preferences of their own.
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The preference for a status in place of a stream that ends at once.
const AS_STATUS: &str = "overload=status";
/// While refusals go on, waits double this often …
const STEP: Duration = Duration::from_secs(1);
/// … up to so many times, and beyond `stream.max_retry` never.
const MAX_DOUBLINGS: u32 = 16;

/// Why a stream is not opened now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overload {
    /// As many streams are open as are allowed …
    Streams,
    /// … to the user …
    User,
    /// … or to the client's address.
    Address,
    /// Streams are opened faster than is allowed …
    Opens,
    /// … to the client's address.
    OpensOfAddress,
    /// The keys of the token's issuer cannot be had.
    Keys,
    /// The application cannot be asked whose the session is.
    Session,
    /// The process is about to end.
    Draining,
}

impl From<Refused> for Overload {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Streams,
            Refused::User => Self::User,
            Refused::Draining => Self::Draining,
        }
    }
}

impl Overload {
    pub(crate) const fn problem(self) -> Problem {
        match self {
            Self::Streams => Problem::TOO_MANY_STREAMS,
            Self::User => Problem::TOO_MANY_STREAMS_OF_USER,
            Self::Address => Problem::TOO_MANY_STREAMS_OF_ADDRESS,
            Self::Opens => Problem::OPENING_TOO_FAST,
            Self::OpensOfAddress => Problem::ADDRESS_OPENING_TOO_FAST,
            Self::Keys => Problem::KEYS_UNAVAILABLE,
            Self::Session => Problem::SESSION_UNAVAILABLE,
            Self::Draining => Problem::DRAINING,
        }
    }
}

/// What those who are turned away are told; one in the process.
#[derive(Debug)]
pub(crate) struct Patience {
    retry: Duration,
    longest: Duration,
    /// How long limits of the process have been met …
    process: Pressure,
    /// … and those of single clients, who are not to make others wait.
    client: Pressure,
    /// How long an issuer has been away.
    keys: Pressure,
    /// How long the application has been away.
    sessions: Pressure,
}

impl Patience {
    pub(crate) fn new(settings: &StreamConfig) -> Self {
        let (retry, longest) = (settings.retry.0, settings.max_retry.0);
        let (process, client, keys, sessions) = Default::default();
        Self { retry, longest, process, client, keys, sessions }
    }

    /// The answer, counted. A native `EventSource` gives up for good on any status but 200, so that only who asks for
    /// a status gets one.
    pub(crate) fn turn_away(&self, why: Overload, request: &HeaderMap, now: Instant) -> Response<Body> {
        let problem = why.problem();
        telemetry::stream::refused(problem.code);
        let doublings = match why {
            Overload::Streams | Overload::Opens => self.process.refused(now),
            Overload::User | Overload::Address | Overload::OpensOfAddress => self.client.refused(now),
            Overload::Keys => self.keys.refused(now),
            Overload::Session => self.sessions.refused(now),
            // Elsewhere there may be room at once.
            Overload::Draining => 0,
        };
        let wait = jittered(self.retry.saturating_mul(1 << doublings), self.longest);
        if !prefers_status(request) {
            return event_stream(Body::full(sse::farewell(wait).payload()));
        }
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(AS_STATUS));
        response
    }
}

/// By half of it more or less, and never longer than `longest`: then the shorter ones are spread further.
fn jittered(wait: Duration, longest: Duration) -> Duration {
    let high = wait.mul_f64(1.5).min(longest);
    let low = (wait / 2).min(high / 2);
    low + high.saturating_sub(low).mul_f64(fastrand::f64())
}

/// Whether `Prefer` (RFC 7240 §2) has `overload=status` in it.
fn prefers_status(request: &HeaderMap) -> bool {
    request.get_all(PREFER).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(|item| {
        let preference = item.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("overload") && value.trim().trim_matches('"').eq_ignore_ascii_case("status")
    })
}

/// How long refusals have gone on: one more for each step with some, one less for each without.
#[derive(Debug, Default)]
struct Pressure(Mutex<(u32, Option<Instant>)>);

impl Pressure {
    /// Notes a refusal; returns how often waits are to be doubled.
    fn refused(&self, now: Instant) -> u32 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, since) = *state;
        let steps = since.map(|since| now.saturating_duration_since(since).as_nanos() / STEP.as_nanos());
        *state = match steps {
            None => (level, Some(now)),
            Some(0) => return level,
            Some(1) => ((level + 1).min(MAX_DOUBLINGS), Some(now)),
            Some(steps) => (level.saturating_sub(u32::try_from(steps - 1).unwrap_or(u32::MAX)), Some(now)),
        };
        state.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use proptest::prelude::*;

    fn headers(prefer: &[&'static str]) -> HeaderMap {
        prefer.iter().map(|value| (PREFER, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_who_prefers_a_status_gets_one() {
        for yes in [&["overload=status"][..], &["wait=5, Overload = \"status\"; x=1"], &["wait=5", "overload=STATUS"]] {
            assert!(prefers_status(&headers(yes)), "{yes:?}");
        }
        for no in [&[][..], &["overload"], &["status"], &["overload=stream"], &["wait=5; overload=status"]] {
            assert!(!prefers_status(&headers(no)), "{no:?}");
        }
        let patience = Patience::new(&StreamConfig::default());
        for (why, status) in [
            (Overload::Streams, 503),
            (Overload::Opens, 503),
            (Overload::Keys, 503),
            (Overload::Draining, 503),
            (Overload::User, 429),
            (Overload::Address, 429),
            (Overload::OpensOfAddress, 429),
        ] {
            let plain = patience.turn_away(why, &headers(&["overload=status"]), Instant::now());
            assert_eq!(plain.status(), status, "{why:?}");
            assert_eq!(plain.headers()[PREFERENCE_APPLIED], "overload=status");
            let seconds: u64 = plain.headers()[RETRY_AFTER].to_str().expect("digits").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert_eq!(patience.turn_away(why, &headers(&[]), Instant::now()).status(), StatusCode::OK);
        }
    }

    #[test]
    fn waits_grow_while_refusals_go_on_and_shrink_when_they_have_stopped() {
        let pressure = Pressure::default();
        let start = Instant::now();
        let at = |milliseconds| pressure.refused(start + Duration::from_millis(milliseconds));
        assert_eq!((at(0), at(1), at(999)), (0, 0, 0));
        assert_eq!((at(1000), at(1500), at(2000), at(3100)), (1, 1, 2, 3));
        assert_eq!(at(5100), 2, "a second was quiet");
        assert_eq!(at(60_000), 0);
        for second in 61..100 {
            at(second * 1000);
        }
        assert_eq!(at(100_000), MAX_DOUBLINGS);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest_and_none_is_the_same_for_all(
            wait in 1u64..10_000_000, longest in 1000u64..600_000,
        ) {
            let longest = Duration::from_millis(longest);
            let waits: Vec<_> = (0..20).map(|_| jittered(Duration::from_millis(wait), longest)).collect();
            prop_assert!(waits.iter().all(|wait| *wait <= longest));
            prop_assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
