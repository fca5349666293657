//! For whom a request is made: `Forwarded` (RFC 7239) and the `X-Forwarded-` fields, and whose word on them counts; pure.

use std::fmt::{self, Write};
use std::net::IpAddr;

use http::Request;
use http::header::{FORWARDED, HOST as HOST_FIELD, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use ipnet::IpNet;

use super::Peer;
use super::client::parameter;
use crate::setting::Fault;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const FAMILY: &str = "x-forwarded-";

/// The networks of the proxies in front of this program.
#[derive(Clone, Debug, Default)]
pub struct Trusted(Vec<IpNet>);

impl Trusted {
    /// Reads networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    /// Every fault of `server.trusted_proxies`.
    pub fn parse(networks: &[String]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut trusted = Vec::new();
        for (index, text) in networks.iter().enumerate() {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => trusted.push(network),
                Err(_) => faults.push(Fault::new(
                    format!("server.trusted_proxies.{index}"),
                    "expected a network such as 10.0.0.0/8 or fd00::/8, or an address",
                )),
            }
        }
        if faults.is_empty() { Ok(Self(trusted)) } else { Err(faults) }
    }

    /// `Forwarded` and the `X-Forwarded-` fields as the proxy would set them on `request`, and nothing else: for a request of
    /// this program's own on its behalf.
    #[must_use]
    pub fn fields<B>(&self, request: &Request<B>, peer: Peer) -> HeaderMap {
        let is_claim = |name: &HeaderName| name.as_str().starts_with(FAMILY) || *name == FORWARDED;
        let claims = request.headers().iter().filter(|(name, _)| is_claim(name));
        let mut fields = HeaderMap::new();
        for (name, value) in claims {
            fields.append(name.clone(), value.clone());
        }
        let field = || request.headers().get(HOST_FIELD).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let host = request.uri().authority().cloned().or_else(field);
        Hop { peer: peer.address, secure: peer.secure, host: host.as_ref() }.note(&mut fields, self);
        fields
    }

    pub(super) fn contains(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&peer))
    }
}

/// The last step of a request's way to this program.
#[derive(Clone, Debug)]
pub(super) struct Hop<'a> {
    pub(super) peer: IpAddr,
    /// Whether the peer spoke TLS.
    pub(super) secure: bool,
    pub(super) host: Option<&'a Authority>,
}

impl Hop<'_> {
    /// Adds this step to a request's header. What stands there is kept only if a trusted proxy says it.
    pub(super) fn note(&self, headers: &mut HeaderMap, trusted: &Trusted) {
        // A socket for both families shows IPv4 as a part of IPv6.
        let peer = self.peer.to_canonical();
        forget(headers, trusted.contains(peer));
        let proto = if self.secure { "https" } else { "http" };
        spread(headers);
        let way = self.element(earlier(headers), peer, proto);
        replace(headers, FORWARDED, way);
        let mut chain = list(headers, &FOR).map_or_else(String::new, |chain| chain + ", ");
        write!(chain, "{peer}").expect("a String takes any text");
        replace(headers, FOR, chain);
        if !headers.contains_key(PROTO) {
            headers.insert(PROTO, HeaderValue::from_static(proto));
        }
        if let (Some(host), false) = (self.host, headers.contains_key(HOST)) {
            replace(headers, HOST, host.as_str().to_owned());
        }
        if !headers.contains_key(PORT) {
            let port = port(headers);
            headers.insert(PORT, HeaderValue::from(port));
        }
    }

    /// This step behind what came `before` it (RFC 7239 §4).
    fn element(&self, before: Option<String>, peer: IpAddr, proto: &str) -> String {
        let mut way = before.map_or_else(String::new, |before| before + ", ");
        write!(way, "for={}", Node(peer)).expect("a String takes any text");
        if let Some(host) = self.host {
            // An authority has neither `"` nor `\`.
            write!(way, ";host=\"{host}\"").expect("a String takes any text");
        }
        way + ";proto=" + proto
    }
}

/// What came before in the words of RFC 7239; translated from the `X-Forwarded-` fields if only those are there (§7.4).
fn earlier(headers: &HeaderMap) -> Option<String> {
    list(headers, &FORWARDED).or_else(|| {
        let chain = list(headers, &FOR);
        let nodes = chain.iter().flat_map(|chain| chain.split(',')).map(|address| {
            let node = address.trim().parse().map_or("unknown".to_owned(), |address| Node(address).to_string());
            format!("for={node}")
        });
        let mut steps: Vec<String> = nodes.collect();
        // Host and protocol are those of the first step, which applications look at: without them it would seem to be ours.
        let host = first(headers, &HOST).and_then(|host| Authority::try_from(host).ok());
        let proto = first(headers, &PROTO).and_then(|proto| Scheme::try_from(proto).ok());
        let pairs =
            host.map(|host| format!("host=\"{host}\"")).into_iter().chain(proto.map(|proto| format!("proto={proto}")));
        let own: Vec<String> = steps.first().cloned().into_iter().chain(pairs).collect();
        if !own.is_empty() {
            steps.splice(..steps.len().min(1), [own.join(";")]);
        }
        (!steps.is_empty()).then(|| steps.join(", "))
    })
}

/// Takes host and protocol of the first step from `Forwarded` where the fields of their own do not say them.
fn spread(headers: &mut HeaderMap) {
    let Some(step) = first(headers, &FORWARDED) else { return };
    let said = |name| parameter(step, name).map(str::to_owned);
    let (host, proto) = (said("host"), said("proto"));
    for (name, value) in [(HOST, host), (PROTO, proto)] {
        if let (Some(value), false) = (value, headers.contains_key(&name)) {
            replace(headers, name, value);
        }
    }
}

/// The port that the browser used, by what the other fields say of its request: the host's, or else the protocol's own.
fn port(headers: &HeaderMap) -> u16 {
    let host = first(headers, &HOST).and_then(|host| Authority::try_from(host).ok());
    let is_secure = first(headers, &PROTO).is_some_and(|proto| ["https", "wss"].contains(&proto));
    host.and_then(|host| host.port_u16()).unwrap_or(if is_secure { 443 } else { 80 })
}

/// The first member of a field, which the proxy next to the browser has set.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim)
}

/// An address as RFC 7239 §6 writes it.
struct Node(IpAddr);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "\"[{address}]\""),
        }
    }
}

/// All values of a field as one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    if !headers.contains_key(name) {
        return None;
    }
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let list = values.join(", ");
    (!list.trim().is_empty()).then_some(list)
}

fn replace(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    } else {
        headers.remove(name);
    }
}

/// Removes the claims about a request's way unless they are `believed`. With `_` in place of `-` nobody's are: an application that
/// gets header fields as variables, as in CGI, cannot tell them from the real ones.
pub(super) fn forget(headers: &mut HeaderMap, believed: bool) {
    let is_claim = |name: &str| name.starts_with(FAMILY) || *name == FORWARDED || *name == REAL_IP;
    let is_to_go = |name: &str| {
        if name.contains('_') { is_claim(&name.replace('_', "-")) } else { !believed && is_claim(name) }
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_to_go(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(peer: &str, headers: &[(&'static str, &str)]) -> HeaderMap {
        let host = Authority::from_static("shop.example:8443");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted = Trusted::parse(&["10.0.0.0/8".into(), "::1".into()]).unwrap();
        Hop { peer: peer.parse().unwrap(), secure: false, host: Some(&host) }.note(&mut map, &trusted);
        map
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let claims = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x_real-ip", "1.1.1.1"),
        ];
        let headers = noted("192.0.2.7", &claims);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "shop.example:8443");
        assert_eq!(headers["x-forwarded-port"], "8443");
        assert_eq!(headers["forwarded"], "for=192.0.2.7;host=\"shop.example:8443\";proto=http");
        for name in ["x-real-ip", "x-forwarded-prefix", "x_forwarded_for", "x_real-ip"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to() {
        let headers = noted(
            "10.1.2.3",
            &[("x-forwarded-for", "2001:db8::1"), ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")],
        );
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1, 203.0.113.9, 10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "https");
        let way =
            "for=\"[2001:db8::1]\";proto=https, for=203.0.113.9, for=10.1.2.3;host=\"shop.example:8443\";proto=http";
        assert_eq!(headers["forwarded"], way);
        let headers = noted("::1", &[("forwarded", "for=_secret")]);
        assert_eq!(headers["forwarded"], "for=_secret, for=\"[::1]\";host=\"shop.example:8443\";proto=http");
    }

    /// Applications build links and redirects from these.
    #[test]
    fn what_a_trusted_proxy_says_of_the_browsers_request_is_said_in_every_field() {
        let said =
            [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example")];
        let headers = noted("10.1.2.3", &said);
        assert_eq!(
            (&headers["x-forwarded-port"], &headers["x-forwarded-host"]),
            (&"443".parse().unwrap(), &"a.example".parse().unwrap())
        );
        let own = "for=10.1.2.3;host=\"shop.example:8443\";proto=http";
        assert_eq!(headers["forwarded"], format!("for=203.0.113.9;host=\"a.example\";proto=https, {own}"));
        let headers =
            noted("10.1.2.3", &[("x-forwarded-proto", "https, http"), ("x-forwarded-host", "a.example:444, b")]);
        assert_eq!(headers["x-forwarded-port"], "444");
        assert_eq!(headers["forwarded"], format!("host=\"a.example:444\";proto=https, {own}"));
        let way = "for=203.0.113.9;proto=https;Host=\"a.example\", for=10.0.0.7;proto=http";
        let headers = noted("10.1.2.3", &[("forwarded", way)]);
        assert_eq!(headers["forwarded"], format!("{way}, {own}"));
        let fields = ["proto", "host", "port"].map(|name| headers[format!("x-forwarded-{name}")].to_str().unwrap());
        assert_eq!(fields, ["https", "a.example", "443"]);
        let headers = noted("10.1.2.3", &[("x-forwarded-proto", "\"; for=x"), ("x-forwarded-host", "\";proto=x")]);
        assert_eq!(headers["forwarded"], own, "what is neither host nor protocol is not translated");
        let headers = noted("10.1.2.3", &[("x-forwarded-proto", "https"), ("x_forwarded_for", "6.6.6.6")]);
        assert_eq!(headers["x-forwarded-port"], "8443", "of the Host");
        assert!(!headers.contains_key("x_forwarded_for"), "which a trusted proxy passes on of a stranger");
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() {
        assert_eq!(
            noted("::ffff:10.0.0.1", &[("x-forwarded-for", "203.0.113.9")])["x-forwarded-for"],
            "203.0.113.9, 10.0.0.1"
        );
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        let faults = Trusted::parse(&["10.0.0.0/8".into(), "10.0.0.0/33".into(), "proxy".into()]).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["server.trusted_proxies.1", "server.trusted_proxies.2"]);
    }

    #[test]
    fn a_request_of_ones_own_says_for_whom_it_is_and_nothing_else() {
        let request = Request::get("/events")
            .header("host", "shop.example")
            .header("cookie", "a=b")
            .header("x-forwarded-for", "1.1.1.1")
            .body(())
            .unwrap();
        let fields = |peer: &str| {
            let trusted = Trusted::parse(&["10.0.0.0/8".into()]).unwrap();
            trusted.fields(&request, Peer { address: peer.parse().unwrap(), secure: false })
        };
        assert_eq!(fields("192.0.2.7")["x-forwarded-for"], "192.0.2.7");
        let trusted = fields("10.0.0.1");
        assert_eq!(
            (&trusted["x-forwarded-for"], &trusted["x-forwarded-host"]),
            (&"1.1.1.1, 10.0.0.1".parse().unwrap(), &"shop.example".parse().unwrap())
        );
        assert!(!trusted.contains_key("cookie") && !trusted.contains_key("host"), "{trusted:?}");
    }
}
