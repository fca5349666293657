//! Whose request it is: the client's own address, behind the proxies whose word counts; pure.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName};

use super::forwarded::Trusted;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies that a request may have come through; what lies further away is not looked at.
const MAX_HOPS: usize = 32;

impl Trusted {
    /// The address that the nearest trusted proxy saw, or the one before it if that is a trusted proxy too, and so on;
    /// `peer` itself when it is none. Read from `X-Forwarded-For`, and without that from `Forwarded` (RFC 7239 §5.2).
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let mut client = peer;
        let mut hops = hops(headers);
        for _ in 0..MAX_HOPS {
            if !self.contains(client) {
                break;
            }
            // Who comes before a word that is no address is unknown, so that the proxy that said it stands for them.
            let Some(Some(before)) = hops.next() else { break };
            client = before;
        }
        client
    }
}

/// The addresses that proxies have noted, nearest first; `None` for one that cannot be read.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let (name, is_rfc) =
        if headers.contains_key(&X_FORWARDED_FOR) { (X_FORWARDED_FOR, false) } else { (FORWARDED, true) };
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(move |hop| {
        let hop = std::str::from_utf8(hop).ok()?.trim();
        address(if is_rfc { parameter(hop, "for")? } else { hop })
    })
}

/// What one element of `Forwarded` says by `name` (RFC 7239 §4).
pub(super) fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without a port, an IPv6 address with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted = Trusted::parse(&["10.0.0.0/8".into(), "fd00::/8".into()]).expect("networks");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        trusted.client(peer.parse().expect("an address"), &map).to_string()
    }

    #[test]
    fn a_stranger_is_taken_for_nobody_else() {
        assert_eq!(client("192.0.2.7", &[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")]), "192.0.2.7");
        assert_eq!(client("::ffff:192.0.2.7", &[]), "192.0.2.7");
    }

    #[test]
    fn the_client_is_the_first_that_is_no_trusted_proxy_seen_from_here() {
        for (chain, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.0.0.2, fd00::1", "203.0.113.9"),
            ("203.0.113.9:4711, [fd00::1]:80", "203.0.113.9"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("203.0.113.9, unknown", "10.1.2.3"),
            ("", "10.1.2.3"),
        ] {
            assert_eq!(client("10.1.2.3", &[("x-forwarded-for", chain)]), expected, "{chain}");
        }
        assert_eq!(
            client("10.1.2.3", &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.2")]),
            "203.0.113.9"
        );
    }

    #[test]
    fn forwarded_is_read_where_the_other_field_is_not() {
        for (chain, expected) in [
            ("for=203.0.113.9;proto=https", "203.0.113.9"),
            ("proto=http;For=\"[2001:db8::1]:4711\";by=10.0.0.1", "2001:db8::1"),
            ("for=6.6.6.6, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=_hidden", "10.1.2.3"),
            ("for=unknown, for=10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(client("10.1.2.3", &[("forwarded", chain)]), expected, "{chain}");
        }
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(client("10.1.2.3", &both), "203.0.113.9");
    }

    proptest! {
        /// What a client writes in front of what proxies write never changes whom it is counted as.
        #[test]
        fn no_claim_of_a_client_is_believed(claim in "[0-9a-f:.,= \"\\[\\]]{0,40}") {
            let chain = format!("{claim}, 203.0.113.9, 10.0.0.2");
            prop_assert_eq!(client("10.1.2.3", &[("x-forwarded-for", &chain)]), "203.0.113.9");
        }
    }
}
