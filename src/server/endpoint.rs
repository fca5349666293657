//! Which endpoint a path belongs to, and what a request asks of it; pure, no HTTP body and no identity.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;

use super::EndpointConfig;
use super::problem::Problem;
use crate::auth::Identity;
use crate::event::ChannelName;

/// The longest channel name that may be asked for: that of an AMQP short string.
const MAX_CHANNEL_BYTES: usize = 255;

/// The configured stream endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    path: String,
    /// What comes before `/{channel}`: the path, or nothing for `/`.
    parent: String,
    /// Channels that come without being asked for.
    channels: Arc<[ChannelName]>,
}

/// A path that is an endpoint's, and the channel that it names, still percent-encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) channel: Option<&'a str>,
}

impl Endpoints {
    pub(crate) fn new(configs: &[EndpointConfig]) -> Self {
        let endpoints = configs
            .iter()
            .map(|config| Endpoint {
                path: config.path.clone(),
                parent: config.path.trim_end_matches('/').to_owned(),
                channels: config.channels.iter().map(|name| name.as_str().into()).collect(),
            })
            .collect();
        Self { endpoints }
    }

    /// The endpoint of `path`: one that has this very path, else one that is its parent.
    pub(crate) fn claim<'a>(&'a self, path: &'a str) -> Option<Claimed<'a>> {
        let exact = self.endpoints.iter().find(|endpoint| endpoint.path == path);
        exact.map(|endpoint| Claimed { endpoint, channel: None }).or_else(|| {
            let (parent, channel) = path.rsplit_once('/').filter(|(_, channel)| !channel.is_empty())?;
            let endpoint = self.endpoints.iter().find(|endpoint| endpoint.parent == parent)?;
            Some(Claimed { endpoint, channel: Some(channel) })
        })
    }
}

impl Endpoints {
    /// Whether `path` is where an endpoint's streams are renewed: `/token` behind its own path.
    pub(crate) fn claim_renewal(&self, path: &str) -> bool {
        path.strip_suffix("/token")
            .is_some_and(|parent| self.endpoints.iter().any(|endpoint| endpoint.parent == parent))
    }
}

impl Endpoint {
    /// As the configuration has it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Channels that come without being asked for, as far as they are granted.
    pub(crate) const fn channels(&self) -> &Arc<[ChannelName]> {
        &self.channels
    }
}

impl Endpoints {
    /// Whether `path` is another spelling of an endpoint's (RFC 3986 §6.2.2): percent-encoded where it need not be, with dot
    /// segments, or with empty ones. Such a request may carry a token, so it goes nowhere.
    pub(crate) fn claim_otherwise_spelled(&self, path: &str) -> bool {
        if !path.contains('%') && !path.contains("/.") && !path.contains("//") {
            return false;
        }
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let mut segments: Vec<&str> = Vec::new();
        for segment in decoded.split('/').skip(1) {
            match segment {
                "." | "" => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        self.claim(&format!("/{}", segments.join("/"))).is_some()
    }
}

/// What the query of a stream request says; parameters that mean nothing here are left alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The channels asked for; none if the request does not say.
    pub(crate) channels: Option<Vec<String>>,
    pub(crate) last_event_id: Option<String>,
    pub(crate) user: Option<String>,
    /// With the first event from this time on.
    pub(crate) since: Option<SystemTime>,
    /// With this many of the last events.
    pub(crate) last: Option<usize>,
}

impl Wishes {
    pub(crate) fn read(query: Option<&str>, channel: Option<&str>) -> Result<Self, Problem> {
        let mut wishes = Self::default();
        if let Some(encoded) = channel {
            let name = percent_decode_str(encoded).decode_utf8().map_err(|_| Problem::CHANNEL_INVALID)?;
            wishes.channels = Some(vec![name.into_owned()]);
        }
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "channels" => {
                    let asked = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                    wishes.channels.get_or_insert_default().extend(asked.map(str::to_owned));
                }
                "lastEventId" | "last_event_id" => wishes.last_event_id = Some(value.into_owned()),
                "since" => wishes.since = Some(time(&value).ok_or(Problem::SINCE_INVALID)?),
                "last" => wishes.last = Some(value.parse().map_err(|_| Problem::LAST_INVALID)?),
                "userId" => wishes.user = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(wishes)
    }
}

/// A time as in RFC 3339 §5.6, with any offset from UTC.
fn time(text: &str) -> Option<SystemTime> {
    // A `+` that was not encoded arrives as a space.
    let text = text.replace(' ', "+").to_ascii_uppercase();
    let Some((at, sign)) = text.char_indices().skip(19).find(|(_, c)| matches!(c, '+' | '-')) else {
        return humantime::parse_rfc3339(&text).ok();
    };
    let (local, offset) = text.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let number = |digits: &str, below| {
        let number: u64 = digits.parse().ok()?;
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) && number < below).then_some(number)
    };
    let offset = Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    if sign == '+' { local.checked_sub(offset) } else { local.checked_add(offset) }
}

impl Wishes {
    /// The channels asked for by name, none if the request does not say.
    pub(crate) fn asked(&self, at_most: usize) -> Result<Option<Box<[ChannelName]>>, Problem> {
        let Some(asked) = &self.channels else { return Ok(None) };
        // Counted as they were written, so that what a request can cost is bounded before any name is matched.
        if asked.len() > at_most {
            return Err(Problem::TOO_MANY_CHANNELS);
        }
        if !asked.iter().all(|name| is_channel_name(name)) {
            return Err(Problem::CHANNEL_INVALID);
        }
        let mut asked: Vec<ChannelName> = asked.iter().map(|name| name.as_str().into()).collect();
        asked.sort();
        asked.dedup();
        Ok(Some(asked.into()))
    }
}

/// The channels of a subscription: those asked for, each of which must be granted; otherwise all that the identity
/// grants by name and the endpoint's own as far as they are granted.
pub(crate) fn channels(
    asked: Option<&[ChannelName]>,
    defaults: &[ChannelName],
    identity: &Identity,
) -> Result<Vec<ChannelName>, Problem> {
    let granted = granted(asked, defaults, identity);
    if asked.is_some_and(|asked| asked.len() > granted.len()) {
        return Err(Problem::CHANNEL_FORBIDDEN);
    }
    Ok(granted)
}

/// As [`channels`], with what is not granted left out: for a stream that is open already.
pub(crate) fn granted(
    asked: Option<&[ChannelName]>,
    defaults: &[ChannelName],
    identity: &Identity,
) -> Vec<ChannelName> {
    let grants = identity.grants();
    let wanted = asked.unwrap_or(defaults).iter().filter(|name| grants.covers(name.as_str()));
    let named = grants.literals().filter(|_| asked.is_none());
    let mut channels: Vec<ChannelName> = wanted.chain(named).cloned().collect();
    channels.sort();
    channels.dedup();
    channels
}

/// A channel is asked for by its name: a word that is a wildcard, or a control character, names none.
fn is_channel_name(name: &str) -> bool {
    (1..=MAX_CHANNEL_BYTES).contains(&name.len())
        && !name.chars().any(char::is_control)
        && !name.split('.').any(|word| word == "*" || word == "#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, Authenticator};
    use proptest::prelude::*;

    fn endpoints() -> Endpoints {
        let config = |path: &str| EndpointConfig { path: path.into(), channels: Vec::new() };
        Endpoints::new(&[config("/events"), config("/api/dashboard/sse")])
    }

    #[test]
    fn a_path_belongs_to_its_endpoint_or_to_none() {
        let endpoints = endpoints();
        let claim = |path| endpoints.claim(path).map(|claimed| (claimed.endpoint.path.clone(), claimed.channel));
        assert_eq!(claim("/events"), Some(("/events".into(), None)));
        assert_eq!(claim("/events/news"), Some(("/events".into(), Some("news"))));
        assert_eq!(claim("/api/dashboard/sse"), Some(("/api/dashboard/sse".into(), None)));
        for path in ["/", "", "/events/", "/eventsx", "/events/a/b", "/api/dashboard", "/EVENTS", "/x/events"] {
            assert_eq!(claim(path), None, "{path}");
        }
    }

    #[test]
    fn an_endpoint_at_the_root_has_channels_like_any_other() {
        let config = EndpointConfig { path: "/".into(), channels: Vec::new() };
        let endpoints = Endpoints::new(&[config]);
        let channel = |path| endpoints.claim(path).map(|claimed| claimed.channel);
        assert_eq!(channel("/"), Some(None));
        assert_eq!(channel("/news"), Some(Some("news")));
        assert_eq!(channel("/news/today"), None);
        assert_eq!(channel(""), None);
    }

    #[test]
    fn too_many_channels_are_refused_before_any_is_looked_at() {
        let refused = |count: usize| {
            let wishes = Wishes { channels: Some(vec!["#".into(); count]), ..Wishes::default() };
            wishes.asked(2).expect_err("no channel's name")
        };
        assert_eq!(refused(3), Problem::TOO_MANY_CHANNELS);
        assert_eq!(refused(2), Problem::CHANNEL_INVALID);
    }

    #[test]
    fn a_channel_that_is_not_granted_is_refused_to_a_new_stream_and_left_out_of_an_open_one() {
        let config =
            AuthConfig { anonymous: true, public_channels: vec!["news".into(), "a.*".into()], ..AuthConfig::default() };
        let authenticator = Authenticator::load(&config).expect("a sound section");
        let identity = authenticator.authenticate(None, SystemTime::now()).expect("anonymous");
        let names = |texts: &[&str]| texts.iter().map(|text| ChannelName::from(*text)).collect::<Vec<_>>();
        let defaults = names(&["a.1", "b"]);
        assert_eq!(channels(None, &defaults, &identity), Ok(names(&["a.1", "news"])));
        assert_eq!(channels(Some(&names(&["a.2"])), &defaults, &identity), Ok(names(&["a.2"])));
        let asked = names(&["a.2", "b"]);
        assert_eq!(channels(Some(&asked), &defaults, &identity), Err(Problem::CHANNEL_FORBIDDEN));
        assert_eq!(granted(Some(&asked), &defaults, &identity), names(&["a.2"]));
    }

    #[test]
    fn another_spelling_of_an_endpoint_is_known_as_one() {
        let endpoints = endpoints();
        for path in [
            "/%65vents",
            "/./events",
            "/x/../events",
            "//events//news",
            "/x/%2e%2e/events/news",
            "/x/./../%65vents/c",
            "/api%2Fdashboard/sse",
        ] {
            assert!(endpoints.claim_otherwise_spelled(path), "{path}");
        }
        for path in ["/", "/x", "/%65ventsx", "/events/../x", "/caf%C3%A9", "//x//", "/.well-known/x", "*", "/%ff"] {
            assert!(!endpoints.claim_otherwise_spelled(path), "{path}");
        }
    }

    #[test]
    fn wishes_are_read_from_path_and_query() {
        let wishes = Wishes::read(Some("channels=a,%20b,,c&lastEventId=1-2&userId=42&other=1"), None);
        let channels = Some(vec!["a".into(), "b".into(), "c".into()]);
        let expected =
            Wishes { channels, last_event_id: Some("1-2".into()), user: Some("42".into()), ..Wishes::default() };
        assert_eq!(wishes, Ok(expected));
        assert_eq!(Wishes::read(None, Some("caf%C3%A9")).map(|w| w.channels), Ok(Some(vec!["café".into()])));
        assert_eq!(Wishes::read(None, Some("%ff")), Err(Problem::CHANNEL_INVALID));
        assert_eq!(Wishes::read(Some("channels="), None).map(|w| w.channels), Ok(Some(vec![])));
    }

    #[test]
    fn a_time_is_read_with_its_offset() {
        let since = |text: &str| Wishes::read(Some(&format!("since={text}")), None).map(|wishes| wishes.since);
        let utc = since("2024-05-01T10:00:00Z").expect("a time");
        assert!(utc.is_some());
        for same in ["2024-05-01T12:00:00%2B02:00", "2024-05-01T12:00:00+02:00", "2024-05-01t04:30:00-05:30"] {
            assert_eq!(since(same), Ok(utc), "{same}");
        }
        assert_eq!(since("2024-05-01T10:00:00.25Z").map(|time| time > utc), Ok(true));
        for wrong in [
            "",
            "yesterday",
            "2024-05-01",
            "2024-05-01T10:00:00",
            "2024-05-01T10:00:00%2B2:00",
            "1714557600",
            "2024-05-01T10:00:00%2B99:00",
            "%F0%9F%90%B0%F0%9F%90%B0%F0%9F%90%B0%F0%9F%90%B0%F0%9F%90%B0%2B1",
        ] {
            assert_eq!(since(wrong), Err(Problem::SINCE_INVALID), "{wrong}");
        }
        assert_eq!(Wishes::read(Some("last=20"), None).map(|wishes| wishes.last), Ok(Some(20)));
        assert_eq!(Wishes::read(Some("last=-1"), None), Err(Problem::LAST_INVALID));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in ".{0,200}", channel in proptest::option::of("[^/]{1,50}")) {
            if let Ok(wishes) = Wishes::read(Some(&query), channel.as_deref()) {
                prop_assert!(channel.is_none() || wishes.channels.is_some());
            }
        }
    }
}
