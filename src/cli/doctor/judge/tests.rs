//! What is said of what was seen.

use http::header::{HeaderName, HeaderValue};

use super::super::finding::Weight;
use super::*;

fn answered(status: u16, version: Version, headers: &[(&'static str, &'static str)]) -> Head {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Head { status: StatusCode::from_u16(status).unwrap(), version, headers: headers.collect() }
}

const WHOLE: [(&str, &str); 3] =
    [("content-type", "text/event-stream"), ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")];

fn remedies(findings: &[Finding]) -> Vec<Remedy> {
    findings.iter().filter(|finding| finding.weight == Weight::Fault).filter_map(|finding| finding.remedy).collect()
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn flowing() -> Watched {
    Watched {
        opened: Some(at(1)),
        heartbeats: vec![at(7_000), at(22_000), at(37_000)],
        last: at(37_000),
        ..Watched::default()
    }
}

#[test]
fn a_head_that_arrives_whole_is_fine_and_the_protocol_is_noted_where_it_is_the_older_one() {
    assert_eq!(head(&answered(200, Version::HTTP_2, &WHOLE), true), []);
    for (is_tls, remedy) in [(true, Some(Remedy::Http2)), (false, None)] {
        let notes = head(&answered(200, Version::HTTP_11, &WHOLE), is_tls);
        assert_eq!(notes.iter().map(|note| (note.weight, note.remedy)).collect::<Vec<_>>(), [(Weight::Note, remedy)]);
    }
}

#[test]
fn each_trace_that_a_proxy_leaves_in_the_head_is_named() {
    for (name, value, remedy) in [
        ("cache-control", "max-age=60", Remedy::Headers),
        ("age", "3", Remedy::Caching),
        ("x-cache", "Hit from somewhere", Remedy::Caching),
        ("content-length", "120", Remedy::Buffering),
        ("content-encoding", "gzip", Remedy::Compression),
        ("via", "1.0 cottontail", Remedy::UpstreamHttp10),
    ] {
        let mut answer = answered(200, Version::HTTP_2, &WHOLE);
        answer.headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(remedies(&head(&answer, true)), [remedy], "{name}");
    }
    let bare = head(&answered(200, Version::HTTP_2, &WHOLE[..1]), true);
    assert_eq!(remedies(&bare), [Remedy::Headers], "{bare:?}");
    assert!(bare.iter().any(|note| note.sentence.contains("X-Accel-Buffering")), "{bare:?}");
}

#[test]
fn an_answer_that_is_no_stream_says_why() {
    for (status, kind, location, words) in [
        (302, "text/html", "https://id.example/login?token=s", "`https://id.example/login`"),
        (200, "text/html; charset=utf-8", "", "login page"),
        (401, "application/problem+json", "", "--token-file"),
        (404, "application/problem+json", "", "endpoint"),
        (502, "text/plain", "", "gives up for ever"),
        (200, "application/json", "", "no event stream"),
    ] {
        let finding =
            refusal(&answered(status, Version::HTTP_2, &[("content-type", kind), ("location", location)]), false);
        let sentence = finding.expect("a fault").sentence;
        assert!(sentence.contains(words) && !sentence.contains("token=s"), "{status}: {sentence}");
    }
    let with_token = refusal(&answered(401, Version::HTTP_2, &[]), true).expect("a fault");
    assert!(with_token.sentence.contains("Authorization"), "{with_token:?}");
    assert_eq!(refusal(&answered(200, Version::HTTP_2, &WHOLE), false), None);
}

#[test]
fn a_stream_that_flows_is_fine_and_one_that_comes_late_or_in_clumps_is_buffered() {
    let time = Duration::from_secs(50);
    assert_eq!(watched(&flowing(), time), []);
    let late = Watched { opened: Some(at(5_000)), ..flowing() };
    let never = Watched { opened: None, ..flowing() };
    let clumps = Watched { heartbeats: vec![at(30_000), at(30_001), at(30_001)], ..flowing() };
    for seen in [late, never, clumps] {
        assert_eq!(remedies(&watched(&seen, time)), [Remedy::Buffering], "{seen:?}");
    }
    let quiet = Watched { heartbeats: Vec::new(), last: at(1), ..flowing() };
    assert_eq!(watched(&quiet, Duration::from_secs(30)), []);
    assert_eq!(remedies(&watched(&quiet, Duration::from_secs(70))), [Remedy::Buffering]);
}

#[test]
fn a_cut_is_somebody_elses_and_a_farewell_cottontails_own() {
    let ended = |milliseconds, end| Watched { ended: Some((at(milliseconds), end)), ..flowing() };
    let judged = |seen: &Watched| watched(seen, Duration::from_secs(70));
    for (seen, words) in [
        (ended(47_000, End::Cut), "47.0 s after it began and 10.0 s after its last bytes"),
        (ended(47_000, End::Proper), "less quiet"),
        (ended(37_100, End::Cut), "how long it may take"),
    ] {
        let found = judged(&seen);
        assert_eq!(remedies(&found), [Remedy::IdleLimit], "{seen:?}");
        assert!(found[0].sentence.contains(words), "{found:?}");
    }
    for seen in [ended(60_000, End::Farewell), ended(37_000, End::Proper)] {
        let found = judged(&seen);
        assert!(found.iter().all(|finding| finding.weight == Weight::Note) && found.len() == 1, "{found:?}");
    }
    let refused = Watched { opened: None, heartbeats: Vec::new(), ..ended(1, End::Farewell) };
    assert!(judged(&refused)[0].sentence.contains("stream.max_streams"));
}

#[test]
fn the_other_faults_have_their_settings_too() {
    assert_eq!(silence(at(1), true).remedy, Some(Remedy::Buffering));
    assert_eq!(silent_compression(at(1)).remedy, Some(Remedy::Compression));
    assert_eq!((cached().remedy, not_resumed(true).remedy), (Some(Remedy::Caching), Some(Remedy::Headers)));
    assert_eq!(not_resumed(false).remedy, None);
}
