//! From what was seen to what is to be said of it; pure.

use std::time::Duration;

use http::{StatusCode, Version};

use super::finding::{Finding, seconds};
use super::remedy::Remedy;
use super::visit::Head;
use super::watch::{End, Watched};

/// From the head to the first block; both leave Cottontail in one write.
const LONGEST_OPENING: Duration = Duration::from_secs(2);
/// Cottontail's heartbeats are farther apart than this whatever `stream.heartbeat` says.
const CLUMP: Duration = Duration::from_millis(20);
/// Three default heartbeats.
const LONGEST_QUIET: Duration = Duration::from_secs(45);
/// After a shorter quiet time it was not for being quiet that a stream was cut.
const SHORTEST_IDLE: Duration = Duration::from_millis(500);

/// Whether the answer is a stream's.
pub(super) fn is_event_stream(head: &Head) -> bool {
    let kind = head.text("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    head.status == StatusCode::OK && kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Nothing came of the whole answer; `head_answers` says whether a HEAD request was answered as it should.
pub(super) fn silence(time: Duration, head_answers: bool) -> Finding {
    let time = seconds(time);
    if head_answers {
        return Finding::fault(
            format!(
                "the stream is buffered: HEAD is answered at once, but of GET not even the head arrived within {time}"
            ),
            Remedy::Buffering,
        );
    }
    Finding::fault(
        format!(
            "no answer within {time}: the stream is buffered, or whatever stands in front does not reach Cottontail"
        ),
        Remedy::Buffering,
    )
}

/// An answer that is no stream.
pub(super) fn refusal(head: &Head, with_token: bool) -> Option<Finding> {
    if is_event_stream(head) {
        return None;
    }
    let status = head.status.as_u16();
    let kind = head.text("content-type").unwrap_or_default();
    let sentence = match head.status {
        _ if head.status.is_redirection() => {
            let to = head.text("location").and_then(|to| to.split(['?', '#']).next()).unwrap_or_default();
            format!(
                "the answer is a redirect ({status}) to `{}`: streams are to be asked for where they are, since a redirect to \
                 another origin loses the token",
                to.escape_debug()
            )
        }
        _ if kind.starts_with("text/html") => format!(
            "the answer is a web page (status {status}): a login page stands in front, or this path does not lead to Cottontail"
        ),
        StatusCode::UNAUTHORIZED if !with_token => "the stream wants a token: give one with --token-file".into(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => format!(
            "the answer is {status}: the token is refused, or a proxy takes the `Authorization` header away; Cottontail's log \
             has the reason at level debug"
        ),
        StatusCode::NOT_FOUND => {
            "the answer is 404: neither an ingress nor Cottontail has an endpoint at this path".into()
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => format!(
            "the answer is {status}: what stands in front does not reach Cottontail. A native EventSource gives up for ever on \
             this status"
        ),
        _ => format!("the answer is no event stream: status {status}, `{}`", kind.escape_debug()),
    };
    Some(Finding::plain(sentence))
}

/// What the head of a stream tells of its way.
pub(super) fn head(head: &Head, is_tls: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let cache_control = head.text("cache-control").unwrap_or_default().to_ascii_lowercase();
    if !["no-cache", "no-transform"].iter().all(|word| cache_control.contains(word)) {
        findings.push(Finding::fault(
            "`Cache-Control: no-cache, no-transform` does not arrive: something takes it away, and what stands farther out \
             may cache or compress",
            Remedy::Headers,
        ));
    }
    let hit = ["x-cache", "x-cache-status", "cf-cache-status"]
        .iter()
        .any(|name| head.text(name).is_some_and(|value| value.to_ascii_lowercase().contains("hit")));
    if hit || head.headers.contains_key("age") {
        findings.push(Finding::fault("the answer comes from a cache", Remedy::Caching));
    }
    if head.headers.contains_key("content-length") {
        findings.push(Finding::fault("the answer has a length: something has waited for its end", Remedy::Buffering));
    }
    findings.extend(compression(head));
    if head.headers.get_all("via").iter().any(|via| via.as_bytes().starts_with(b"1.0 ")) {
        findings.push(Finding::fault(
            "Cottontail is asked in HTTP/1.0: a stream that breaks off looks as if it had ended, and every request takes a new \
             connection",
            Remedy::UpstreamHttp10,
        ));
    }
    if !head.headers.contains_key("x-accel-buffering") {
        findings.push(Finding::note(
            "`X-Accel-Buffering` does not arrive: nginx acts by it and keeps it; anything else that takes it away keeps it from \
             an nginx farther out",
            None,
        ));
    }
    if head.version < Version::HTTP_2 {
        findings.push(if is_tls {
            Finding::note(
                "only HTTP/1.1 is spoken: a browser opens about six connections to a host, over all its tabs, and a stream \
                 takes one for good",
                Some(Remedy::Http2),
            )
        } else {
            Finding::note("without TLS browsers speak HTTP/1.1 only, with about six connections to a host", None)
        });
    }
    findings
}

pub(super) fn compression(head: &Head) -> Option<Finding> {
    let encoding = head.text("content-encoding").filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))?;
    Some(Finding::fault(
        format!(
            "the stream is compressed ({}): events wait in the compressor until enough of them have come",
            encoding.escape_debug()
        ),
        Remedy::Compression,
    ))
}

/// As [`silence`], once compression was offered.
pub(super) fn silent_compression(time: Duration) -> Finding {
    let sentence = format!("with `Accept-Encoding`, as browsers send it, no answer came within {}", seconds(time));
    Finding::fault(sentence, Remedy::Compression)
}

/// What the watch has shown.
pub(super) fn watched(watched: &Watched, time: Duration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let until = watched.ended.map_or(time, |(at, _)| at);
    match watched.opened {
        Some(after) if after > LONGEST_OPENING => findings.push(Finding::fault(
            format!("the stream is buffered: its first block came {} after the head", seconds(after)),
            Remedy::Buffering,
        )),
        Some(_) => {}
        None if watched.ended.is_some_and(|(_, end)| end == End::Farewell) => {}
        None => findings.push(Finding::fault(
            format!("the stream is buffered: nothing but the head came within {}", seconds(until)),
            Remedy::Buffering,
        )),
    }
    let clumps = watched.heartbeats.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) < CLUMP).count();
    if clumps > 0 {
        findings.push(Finding::fault(
            format!(
                "the stream is buffered: {clumps} of {} heartbeats came together with the one before",
                watched.heartbeats.len()
            ),
            Remedy::Buffering,
        ));
    }
    findings.extend(ending(watched));
    let quiet = until.saturating_sub(watched.last);
    if watched.ended.is_none() && watched.opened.is_some() && quiet > LONGEST_QUIET {
        findings.push(Finding::fault(
            format!(
                "nothing came for {}: unless `stream.heartbeat` is longer, something holds blocks back",
                seconds(quiet)
            ),
            Remedy::Buffering,
        ));
    }
    findings
}

fn ending(watched: &Watched) -> Option<Finding> {
    let (at, end) = watched.ended?;
    let quiet = at.saturating_sub(watched.last);
    let when = format!("{} after it began and {} after its last bytes", seconds(at), seconds(quiet));
    Some(match end {
        End::Farewell if watched.opened.is_none() => Finding::note(
            "Cottontail ended the stream at once: it drains, or `stream.max_streams` are open; try again when it takes streams",
            None,
        ),
        End::Farewell => Finding::note(format!("Cottontail itself ended the stream, {when}"), None),
        End::Proper | End::Cut if quiet >= SHORTEST_IDLE => Finding::fault(
            format!("the stream was cut {when}: something allows less quiet than there is between two heartbeats"),
            Remedy::IdleLimit,
        ),
        End::Cut => Finding::fault(
            format!("the stream was cut {when}: something limits how long it may take"),
            Remedy::IdleLimit,
        ),
        End::Proper => Finding::note(format!("the stream ended {when}, as it does when its token expires"), None),
    })
}

pub(super) fn cached() -> Finding {
    Finding::fault("the answer comes from a cache: two streams have the same connection id", Remedy::Caching)
}

/// A stream that should have been resumed and was not; `by_query` says whether the id in the query did it.
pub(super) fn not_resumed(by_query: bool) -> Finding {
    if by_query {
        return Finding::fault(
            "the `Last-Event-ID` header does not arrive, so that browsers that come back miss events; in the query it does",
            Remedy::Headers,
        );
    }
    Finding::plain(
        "a stream that comes back is not resumed: with `history.kind = \"memory\"` that is so when another replica answers",
    )
}

#[cfg(test)]
mod tests;
