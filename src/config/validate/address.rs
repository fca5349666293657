//! The text of endpoint paths and of origins: their syntax, and that no two of them claim the same request.

use super::Found;
use crate::server::{CorsConfig, EndpointConfig};

pub(super) fn endpoints(endpoints: &[EndpointConfig], found: &mut Found) {
    found.must(!endpoints.is_empty(), "endpoint", "there is no endpoint, so nobody could listen");
    for (index, endpoint) in endpoints.iter().enumerate() {
        let key = format!("endpoint.{index}.path");
        if let Err(problem) = path(&endpoint.path) {
            found.must(false, &key, problem);
        }
        for (other, earlier) in endpoints[..index].iter().enumerate() {
            let twice = endpoint.path == earlier.path;
            found.must(!twice, &key, &format!("is the path of endpoint.{other} as well"));
            let hides = is_channel_of(&endpoint.path, &earlier.path);
            found.must(!hides, &key, &format!("is also a channel of endpoint.{other}, which answers path/{{channel}}"));
            let hidden = is_channel_of(&earlier.path, &endpoint.path);
            found.must(!hidden, &key, &format!("endpoint.{other} is also a channel of this one, path/{{channel}}"));
        }
        found.channels(&format!("endpoint.{index}.channels"), &endpoint.channels);
        for (place, channel) in endpoint.channels.iter().enumerate() {
            let is_name = !channel.split('.').any(|word| word == "*" || word == "#");
            let key = format!("endpoint.{index}.channels.{place}");
            found.must(is_name, &key, "is a pattern; streams get channels by name, so list each of them by its own");
        }
    }
}

/// Whether `path` is one that the endpoint at `base` reads as `base/{channel}`.
fn is_channel_of(path: &str, base: &str) -> bool {
    let rest = path.strip_prefix(base.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|channel| !channel.is_empty() && !channel.contains('/'))
}

/// RFC 3986 §3.3 without percent-encoding, so that a path has one spelling only.
fn path(path: &str) -> Result<(), &'static str> {
    let Some(inner) = path.strip_prefix('/') else { return Err("must start with `/`") };
    if path.contains(['?', '#']) {
        return Err("is a path alone, without query and fragment");
    }
    if path.contains('%') {
        return Err("must not be percent-encoded");
    }
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)) {
        return Err("has a character that paths do not have");
    }
    if inner.is_empty() {
        return Ok(());
    }
    for segment in inner.split('/') {
        match segment {
            "" => return Err("must have no empty segment, nor end with `/`"),
            "." | ".." => return Err("must have no segment `.` or `..`"),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn origins(cors: &CorsConfig, found: &mut Found) {
    for (index, written) in cors.origins.iter().enumerate() {
        let key = format!("cors.origins.{index}");
        if written == "*" {
            found.must(!cors.credentials, &key, "`*` must not be combined with cors.credentials; list the origins");
        } else if let Err(problem) = origin(written) {
            found.must(false, &key, problem);
        }
        found.must(!cors.origins[..index].contains(written), &key, "is listed twice");
    }
}

/// RFC 6454 §6.2 as browsers write it, with `*.` allowed before the host.
fn origin(origin: &str) -> Result<(), &'static str> {
    let shape = "expected scheme://host or scheme://host:port, without a path";
    if origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("must be in lower case, as browsers send it");
    }
    let (scheme, authority) = origin.split_once("://").ok_or(shape)?;
    let scheme_is_good = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| shape)?;
            (None, port.strip_prefix(':').map(Some).or((port.is_empty()).then_some(None)).ok_or(shape)?)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    let host_is_good = host.is_none_or(|host| {
        host.strip_prefix("*.").unwrap_or(host).split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
    });
    if !scheme_is_good || !host_is_good || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(shape);
    }
    match (scheme, port) {
        ("http", Some("80")) | ("https", Some("443")) => {
            Err("must not name the scheme's own port: browsers leave it out")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling_only() {
        for good in ["/", "/events", "/api/dashboard/sse", "/a~b/c;d=1"] {
            assert_eq!(path(good), Ok(()), "{good}");
        }
        for bad in ["", "events", "/a?b", "/a#b", "/a%20b", "/a b", "/ä", "/a/", "//", "/a//b", "/a/../b", "/{channel}"]
        {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://*.example.com",
            "https://[::1]:8443",
            "https://[::1]",
            "capacitor://localhost",
        ] {
            assert_eq!(origin(good), Ok(()), "{good}");
        }
        for bad in [
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "https://a*.example.com",
            "https://example.com:99999",
            "https://example.com:443",
            "https://[::1",
            "https://[::1]x",
            "https://user@example.com",
            "null",
            "://a",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_segment_more_is_a_channel_and_two_are_not() {
        assert!(is_channel_of("/events/news", "/events"));
        assert!(is_channel_of("/events", "/"));
        assert!(!is_channel_of("/events/news/today", "/events"));
        assert!(!is_channel_of("/eventsnews", "/events"));
        assert!(!is_channel_of("/events", "/events"));
    }
}
