//! Whether another stream may be opened now, as far as that depends on how many there are and how fast they come; not on who asks.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hashbrown::HashMap;
use http::HeaderMap;

use super::overload::Overload;
use crate::hub::StreamConfig;
use crate::proxy::Trusted;

/// Rates are kept over this many seconds, so that a crowd that comes back at once is let in and one that goes on is not.
const RATE_SECONDS: u32 = 10;
/// Networks whose rate is known at once. Those that have been quiet are forgotten when there would be more; should that
/// not be enough, the total alone counts for the rest.
const MAX_NETWORKS: usize = 1 << 16;
/// Between two lines in the log that say what the limits of addresses are about.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(600);

/// Where clients are told apart: an IPv4 address, or the first 64 bits of an IPv6 address, which one host has all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// The limits of `[stream]` on opening that are the server's own; one in the process.
#[derive(Debug)]
pub(crate) struct Admission {
    trusted: Trusted,
    opens: Option<DefaultDirectRateLimiter>,
    opens_per_address: Option<Gate<MonotonicClock>>,
    /// Of one address; 0 for no limit.
    max_of_address: usize,
    open: Arc<Open>,
    complaints: DefaultDirectRateLimiter,
}

impl Admission {
    pub(crate) fn new(settings: &StreamConfig, trusted: Trusted) -> Self {
        let per_address = settings.max_opens_per_second_per_address;
        Self {
            trusted,
            opens: quota(settings.max_opens_per_second).map(RateLimiter::direct),
            opens_per_address: quota(per_address).map(|quota| Gate::new(quota, MonotonicClock)),
            max_of_address: settings.max_streams_per_address,
            open: Arc::default(),
            complaints: RateLimiter::direct(Quota::with_period(COMPLAINT_PAUSE).expect("it is longer than 0")),
        }
    }

    /// Other limits for the same open streams. How fast streams were opened until now is forgotten.
    pub(crate) fn changed_to(&self, settings: &StreamConfig, trusted: Trusted) -> Self {
        Self { open: Arc::clone(&self.open), ..Self::new(settings, trusted) }
    }

    /// Whose request it is, as far as addresses tell.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Network {
        self.trusted.client(peer, headers).into()
    }

    /// A request for a stream has come from `client`: asked before anything costly is done for it.
    pub(crate) fn knock(&self, client: Network) -> Result<(), Overload> {
        match &self.opens_per_address {
            Some(gate) if !gate.admits(client) => Err(self.complained(Overload::OpensOfAddress)),
            Some(_) | None => Ok(()),
        }
    }

    /// A stream is about to be opened for `client`; it holds the place until its end.
    pub(crate) fn admit(&self, client: Network) -> Result<Place, Overload> {
        let place =
            self.open.take_place(client, self.max_of_address).ok_or_else(|| self.complained(Overload::Address))?;
        match &self.opens {
            Some(limiter) if limiter.check().is_err() => Err(Overload::Opens),
            Some(_) | None => Ok(place),
        }
    }

    /// Says now and then what an operator may have to change: behind a proxy that is not known as one, everybody has
    /// its address.
    fn complained(&self, overload: Overload) -> Overload {
        if self.complaints.check().is_ok() {
            let code = overload.problem().code;
            tracing::warn!(
                code,
                "one address is at its limit of streams; if it is a proxy's, list it in `server.trusted_proxies`"
            );
        }
        overload
    }
}

/// None for no limit.
fn quota(per_second: u32) -> Option<Quota> {
    let rate = NonZeroU32::new(per_second)?;
    Some(Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::new(RATE_SECONDS)?)))
}

/// How fast each network may open streams; bounded in memory.
#[derive(Debug)]
struct Gate<C: Clock> {
    limiter: RateLimiter<Network, HashMapStateStore<Network>, C, NoOpMiddleware<C::Instant>>,
    /// A pass over all networks is not for every request.
    sweeps: DefaultDirectRateLimiter,
}

impl<C: Clock> Gate<C> {
    fn new(quota: Quota, clock: C) -> Self {
        let sweeps = Quota::with_period(Duration::from_millis(100)).expect("it is longer than 0");
        Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock),
            sweeps: RateLimiter::direct(sweeps),
        }
    }

    fn admits(&self, network: Network) -> bool {
        if self.limiter.len() >= MAX_NETWORKS {
            if self.sweeps.check().is_ok() {
                self.limiter.retain_recent();
                self.limiter.shrink_to_fit();
            }
            if self.limiter.len() >= MAX_NETWORKS {
                return true;
            }
        }
        self.limiter.check_key(&network).is_ok()
    }
}

/// How many streams each network has; at most as many entries as there are streams.
#[derive(Debug, Default)]
struct Open {
    by_network: Mutex<HashMap<Network, usize>>,
}

impl Open {
    /// A place, unless `network` has `limit` already; 0 for no limit.
    fn take_place(self: &Arc<Self>, network: Network, limit: usize) -> Option<Place> {
        if limit == 0 {
            return Some(Place(None));
        }
        let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_network.entry(network).or_insert(0);
        // Never 0 here when it is refused, so that no entry is left behind.
        (*open < limit).then(|| {
            *open += 1;
            Place(Some((Arc::clone(self), network)))
        })
    }
}

/// A stream's place among those of its network. Its drop gives it back.
#[derive(Debug)]
pub(crate) struct Place(Option<(Arc<Open>, Network)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((open, network)) = self.0.take() else { return };
        let mut by_network = open.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                by_network.remove(&network);
            }
        }
        // What a flood has needed is not kept for ever.
        if by_network.capacity() > 4 * by_network.len().max(64) {
            by_network.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    fn v4(number: u32) -> Network {
        Network::V4(Ipv4Addr::from(number))
    }

    fn admission(settings: &StreamConfig) -> Admission {
        Admission::new(settings, Trusted::default())
    }

    #[test]
    fn an_ipv6_client_is_its_64_bits_and_an_ipv4_client_is_itself_in_either_form() {
        let network = |address: &str| Network::from(address.parse::<IpAddr>().expect("an address"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn without_a_limit_everybody_is_let_in_and_nothing_is_kept() {
        let admission = admission(&StreamConfig {
            max_opens_per_second: 0,
            max_opens_per_second_per_address: 0,
            max_streams_per_address: 0,
            ..StreamConfig::default()
        });
        let places: Vec<_> = (0..10_000).map(|_| admission.admit(v4(1)).expect("no limit")).collect();
        assert!(admission.open.by_network.lock().expect("no panic").is_empty());
        drop(places);
        assert_eq!(admission.knock(v4(1)), Ok(()));
    }

    #[test]
    fn the_total_rate_is_for_all_addresses_and_a_refusal_leaves_no_place_taken() {
        let admission = admission(&StreamConfig { max_opens_per_second: 1, ..StreamConfig::default() });
        let mut open = Vec::new();
        for number in 0..RATE_SECONDS {
            open.push(admission.admit(v4(number)).expect("within ten seconds' worth"));
        }
        assert_eq!(admission.admit(v4(99)).err(), Some(Overload::Opens));
        assert_eq!(admission.open.by_network.lock().expect("no panic").len(), open.len());
    }

    #[test]
    fn one_address_that_floods_keeps_no_other_out() {
        let clock = FakeRelativeClock::default();
        let gate = Gate::new(quota(2).expect("a rate"), clock.clone());
        let admitted = (0..1000).filter(|_| gate.admits(v4(1))).count();
        assert_eq!(admitted, 20);
        assert!(gate.admits(v4(2)));
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..1000).filter(|_| gate.admits(v4(1))).count(), 2);
    }

    #[test]
    fn addresses_that_have_been_quiet_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let gate = Gate::new(quota(1).expect("a rate"), clock.clone());
        for number in 0..u32::try_from(MAX_NETWORKS).expect("few") * 2 {
            assert!(gate.admits(v4(number)));
            assert!(gate.limiter.len() <= MAX_NETWORKS);
        }
        clock.advance(Duration::from_secs(60));
        let swept = gate.limiter.len();
        // The pause between two passes is one of the real clock.
        while gate.limiter.len() >= swept {
            assert!(gate.admits(v4(u32::MAX)));
        }
        assert!(gate.limiter.len() < 10, "{}", gate.limiter.len());
    }

    proptest! {
        /// Whatever comes and goes, each network has as many places taken as it has streams, and none is left in the end.
        #[test]
        fn places_agree_with_a_plain_count(
            limit in 1usize..5,
            steps in proptest::collection::vec((any::<bool>(), 0u32..4, any::<prop::sample::Index>()), 0..200),
        ) {
            let open = Arc::new(Open::default());
            let mut places: Vec<(u32, Place)> = Vec::new();
            for (comes, number, which) in steps {
                if comes {
                    let here = places.iter().filter(|(other, _)| *other == number).count();
                    let place = open.take_place(v4(number), limit);
                    prop_assert_eq!(place.is_some(), here < limit);
                    places.extend(place.map(|place| (number, place)));
                } else if !places.is_empty() {
                    places.swap_remove(which.index(places.len()));
                }
                let by_network = open.by_network.lock().expect("no panic").clone();
                prop_assert_eq!(by_network.values().sum::<usize>(), places.len());
                prop_assert!(by_network.values().all(|count| (1..=limit).contains(count)));
            }
            drop(places);
            prop_assert!(open.by_network.lock().expect("no panic").is_empty());
        }
    }
}
