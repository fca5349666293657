//! This program in the `Via` of messages (RFC 9110 §7.6.3), and requests that have come round to it again; pure.

use http::Version;
use http::header::{HeaderMap, HeaderValue, VIA};

const NAME: &str = "cottontail";

/// The name of one process, which another of the same program behind it does not have.
#[derive(Clone, Debug)]
pub(super) struct Pseudonym(String);

impl Pseudonym {
    pub(super) fn new() -> Self {
        Self(format!("{NAME}-{:016x}", fastrand::u64(..)))
    }

    /// Whether a request has passed through this process already.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let members = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        members.map(received_by).any(|name| name == self.0.as_bytes())
    }

    /// Adds this process to a request's way; `version` is that of the request as it was received.
    pub(super) fn add_to_request(&self, headers: &mut HeaderMap, version: Version) {
        add(headers, version, &self.0);
    }
}

/// Adds this program to a response's way; browsers need not know which process it was.
pub(super) fn add_to_response(headers: &mut HeaderMap, version: Version) {
    add(headers, version, NAME);
}

fn add(headers: &mut HeaderMap, version: Version, name: &str) {
    let version = match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let entry = HeaderValue::try_from(format!("{version} {name}")).expect("letters and digits are a header value");
    headers.append(VIA, entry);
}

/// The second word of a member; a comment may follow.
fn received_by(member: &[u8]) -> &[u8] {
    let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself_and_nobody_else() {
        let (own, other) = (Pseudonym::new(), Pseudonym::new());
        let mut headers = HeaderMap::new();
        add_to_response(&mut headers, Version::HTTP_11);
        other.add_to_request(&mut headers, Version::HTTP_2);
        assert!(!own.is_in(&headers), "{headers:?}");
        own.add_to_request(&mut headers, Version::HTTP_10);
        assert!(own.is_in(&headers) && other.is_in(&headers), "{headers:?}");
        let joined = format!("1.1 a.example (x), HTTP/1.1\t{} (comment) ,2 b", own.0);
        let headers = HeaderMap::from_iter([(VIA, HeaderValue::try_from(joined).expect("a header value"))]);
        assert!(own.is_in(&headers) && !other.is_in(&headers));
        for odd in ["", ",", " , ", "cottontail", "1.1"] {
            assert!(!own.is_in(&HeaderMap::from_iter([(VIA, HeaderValue::from_static(odd))])), "{odd:?}");
        }
    }
}
