//! Tests of the header hygiene; no sockets.

use super::*;
use http::Request;
use proptest::prelude::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn what_is_for_one_connection_stays_there() {
    let mut request = headers(&[
        ("connection", "keep-alive, X-Own"),
        ("connection", "close,,x-other ,"),
        ("x-own", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("trailer", "x-sum"),
        ("authorization", "Bearer x"),
        ("x-kept", "3"),
    ]);
    let wishes = take_wishes(&mut request, Version::HTTP_11);
    assert_eq!(wishes, Wishes::default());
    let kept = headers(&[("trailer", "x-sum"), ("authorization", "Bearer x"), ("x-kept", "3")]);
    assert_eq!(request, kept);
}

#[test]
fn trailers_and_an_upgrade_are_asked_for_anew() {
    let mut request = headers(&[("connection", "Upgrade, TE"), ("upgrade", "websocket"), ("te", "deflate, Trailers")]);
    let wishes = take_wishes(&mut request, Version::HTTP_11);
    assert_eq!(wishes, Wishes { upgrade: Some(HeaderValue::from_static("websocket")), trailers: true });
    assert!(request.is_empty());
    put_wishes(&mut request, &wishes);
    let asked = [("te", "trailers"), ("connection", "te"), ("upgrade", "websocket"), ("connection", "upgrade")];
    assert_eq!(request, headers(&asked));
}

#[test]
fn http2_is_never_upgraded_to_and_never_upgrades() {
    let asks = |version, protocol| {
        let fields = [("connection", "upgrade, http2-settings"), ("upgrade", protocol), ("http2-settings", "x")];
        take_wishes(&mut headers(&fields), version).upgrade
    };
    assert_eq!(asks(Version::HTTP_11, "h2c"), None);
    assert_eq!(asks(Version::HTTP_11, "websocket, H2C"), None);
    assert_eq!(asks(Version::HTTP_10, "websocket"), None);
    assert_eq!(asks(Version::HTTP_2, "websocket"), None);
    assert!(asks(Version::HTTP_11, "websocket").is_some());
    let unsaid = take_wishes(&mut headers(&[("upgrade", "websocket")]), Version::HTTP_11);
    assert_eq!(unsaid.upgrade, None, "Connection has to name it");
}

#[test]
fn a_response_is_framed_once() {
    let mut response = headers(&[("transfer-encoding", "chunked"), ("content-length", "3"), ("x", "y")]);
    clean_response(StatusCode::OK, &mut response);
    assert_eq!(response, headers(&[("x", "y")]));
    let mut response = headers(&[("content-length", "3"), ("content-length", "3")]);
    clean_response(StatusCode::OK, &mut response);
    assert_eq!(response, headers(&[("content-length", "3")]));
}

#[test]
fn a_request_of_http2_that_says_its_length_twice_says_it_once() {
    let mut request = headers(&[("content-length", "3"), ("content-length", "3")]);
    take_wishes(&mut request, Version::HTTP_2);
    assert_eq!(request, headers(&[("content-length", "3")]));
}

#[test]
fn trailers_say_nothing_of_connection_framing_and_destination() {
    let mut trailers =
        headers(&[("connection", "x-own"), ("x-own", "1"), ("content-length", "3"), ("host", "a"), ("x", "y")]);
    clean_trailers(&mut trailers);
    assert_eq!(trailers, headers(&[("x", "y")]));
}

#[test]
fn forwards_are_counted_where_they_are_limited() {
    let counted = |value: &str| {
        let mut request = headers(&[("max-forwards", value)]);
        (count_forward(&mut request), request["max-forwards"].to_str().unwrap().to_owned())
    };
    assert_eq!(counted("10"), (true, "9".into()));
    assert_eq!(counted("0"), (false, "0".into()));
    for none in ["-1", "x", "99999999999999999999"] {
        assert_eq!(counted(none), (true, none.into()));
    }
}

#[test]
fn only_chunks_are_expected() {
    for (coding, coded) in [("chunked", false), ("Chunked", false), ("gzip, chunked", true), ("identity", true)] {
        assert_eq!(is_coded(&headers(&[("transfer-encoding", coding)])), coded, "{coding}");
    }
}

#[test]
fn only_a_switch_names_its_protocol() {
    let cleaned = |status| {
        let mut response = headers(&[("upgrade", "websocket"), ("connection", "upgrade, x-own"), ("x-own", "1")]);
        clean_response(status, &mut response);
        response
    };
    let switched = headers(&[("upgrade", "websocket"), ("connection", "upgrade")]);
    assert_eq!(cleaned(StatusCode::SWITCHING_PROTOCOLS), switched);
    assert_eq!(cleaned(StatusCode::UPGRADE_REQUIRED), switched);
    assert_eq!(cleaned(StatusCode::OK), HeaderMap::new());
}

#[test]
fn a_request_is_for_one_host() {
    let of = |target: &str, version: Version, fields: &[(&str, &str)]| {
        let mut request = Request::builder().uri(target).version(version).body(()).unwrap();
        *request.headers_mut() = headers(fields);
        host(&request.into_parts().0).map(|host| host.map(|host| host.to_string()))
    };
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    assert_eq!(of("/", new, &[("host", "a:80")]), Ok(Some("a:80".into())));
    assert_eq!(of("http://b/", new, &[("host", "a")]), Ok(Some("b".into())), "RFC 9112 §3.2.2");
    assert_eq!(of("/", old, &[]), Ok(None));
    assert_eq!(of("/", new, &[]), Err(Ambiguity::NoHost));
    assert_eq!(of("/", new, &[("host", "a"), ("host", "a")]), Err(Ambiguity::TwoHosts));
    assert_eq!(of("b", new, &[("host", "a")]), Err(Ambiguity::BadTarget));
    let http2 = |host| of("https://a.example/", Version::HTTP_2, &[("host", host)]);
    assert!(http2("A.example").is_ok() && http2("a.example:443").is_ok());
    for other in ["b.example", "a.example:8443", ""] {
        assert_eq!(http2(other), Err(Ambiguity::TwoHosts), "{other:?}");
    }
    for bad in ["", "a b", "a/b", "user@a", "a, b", "a?x"] {
        assert_eq!(of("/", new, &[("host", bad)]), Err(Ambiguity::BadHost), "{bad:?}");
    }
}

#[test]
fn the_pieces_of_a_cookie_become_one() {
    let mut request = headers(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")]);
    take_wishes(&mut request, Version::HTTP_2);
    assert_eq!(request, headers(&[("cookie", "a=1; b=2; c=3"), ("x", "y")]));
}

proptest! {
    #[test]
    fn nothing_named_in_connection_is_left_and_nothing_else_is_lost(
        names in proptest::collection::vec("x-[a-e]", 0..6),
        named in proptest::collection::vec("[xX]-[a-eA-E]", 0..4),
        separator in proptest::sample::select(vec![",", ", ", " ,\t", ",,"]),
    ) {
        let mut map = HeaderMap::new();
        for name in &names {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("v"));
        }
        map.append(CONNECTION, HeaderValue::from_str(&named.join(separator)).unwrap());
        strip(&mut map);
        let is_named = |name: &str| named.iter().any(|other| other.eq_ignore_ascii_case(name));
        for name in &names {
            prop_assert_eq!(map.contains_key(name.as_str()), !is_named(name));
        }
        prop_assert!(!map.contains_key(CONNECTION));
    }

    #[test]
    fn any_connection_field_is_survived(value in proptest::collection::vec(32u8..=255, 0..60)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut map = HeaderMap::from_iter([(CONNECTION, value), (UPGRADE, HeaderValue::from_static("x"))]);
            take_wishes(&mut map, Version::HTTP_11);
            prop_assert!(map.is_empty());
        }
    }
}
