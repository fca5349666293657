//! `doctor`: opens streams through everything that stands in front and says what is done to them there; mending it is the reader's.

mod blocks;
mod finding;
mod judge;
mod remedy;
mod target;
mod visit;
mod watch;

use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::args::DoctorArgs;
use super::check::FAULTY;
use crate::setting::Secret;
use finding::{Finding, Weight};
use target::{Target, TargetError};
use visit::{Visit, VisitError};
use watch::{Watched, watch};

/// Longest wait for the head of an answer, unless the watch is shorter.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What today's browsers offer.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Why nothing could be examined.
#[derive(Debug, thiserror::Error)]
enum DoctorError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{0}")]
    Visit(#[from] VisitError),
    #[error("the token cannot be read: {0}")]
    Token(#[source] io::Error),
    #[error("the token holds what a header cannot carry")]
    TokenText,
}

/// Looks, and writes what it found to `out`. Returns 0 when events arrive as they should, 1 when something is in their way,
/// and [`FAULTY`] when that could not be found out.
pub async fn doctor(args: &DoctorArgs, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    match examine(args, out).await? {
        Ok(findings) => {
            for finding in &findings {
                finding.write(out)?;
            }
            let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
            if faults == 0 {
                writeln!(out, "nothing stands in the way of events")?;
                return Ok(0);
            }
            Ok(1)
        }
        Err(error) => {
            writeln!(problems, "error: {error}")?;
            Ok(FAULTY)
        }
    }
}

async fn examine(args: &DoctorArgs, out: &mut impl Write) -> io::Result<Result<Vec<Finding>, DoctorError>> {
    let patient = match Patient::new(args) {
        Ok(patient) => patient,
        Err(error) => return Ok(Err(error)),
    };
    writeln!(out, "watching a stream at {} for {}", patient.target, humantime::format_duration(patient.watch))?;
    out.flush()?;
    Ok(patient.examine().await)
}

/// What is examined, and with which token.
struct Patient {
    target: Target,
    authorization: Option<HeaderValue>,
    watch: Duration,
}

impl Patient {
    fn new(args: &DoctorArgs) -> Result<Self, DoctorError> {
        let target = Target::parse(&args.url, args.ca_file.as_deref())?;
        let authorization = match &args.token_file {
            None => None,
            Some(path) => {
                let mut text = String::new();
                let read = if path.as_os_str() == "-" {
                    io::stdin().lock().take(MAX_TOKEN_BYTES).read_to_string(&mut text)
                } else {
                    fs::File::open(path).and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_string(&mut text))
                };
                read.map_err(DoctorError::Token)?;
                let token = Secret::new(text.trim());
                let bearer = Secret::new(format!("Bearer {}", token.expose()));
                let mut value = HeaderValue::from_str(bearer.expose()).map_err(|_| DoctorError::TokenText)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { target, authorization, watch: args.watch })
    }

    /// Everything that was found, or why the first visit came to nothing.
    async fn examine(&self) -> Result<Vec<Finding>, DoctorError> {
        let first = match self.visit(&Method::GET, &self.target.path, None).await {
            Ok(visit) => visit,
            Err(VisitError::Silent(time)) => {
                // A HEAD has no body that could be held back.
                let head = self.visit(&Method::HEAD, &self.target.path, None).await;
                let answers = head.is_ok_and(|head| judge::is_event_stream(&head.head));
                return Ok(vec![judge::silence(time, answers)]);
            }
            Err(error) => return Err(error.into()),
        };
        let head = first.head.clone();
        if let Some(finding) = judge::refusal(&head, self.authorization.is_some()) {
            return Ok(vec![finding]);
        }
        let mut findings = judge::head(&head, self.target.is_tls());
        let watched = watch(first, self.watch).await;
        findings.extend(judge::watched(&watched, self.watch));
        findings.extend(self.compression().await);
        if let Some(opening) = &watched.opening {
            findings.extend(self.resumption(opening.connection_id.as_deref(), &watched).await);
        }
        findings.sort_by_key(|finding| finding.weight);
        Ok(findings)
    }

    async fn visit(
        &self,
        method: &Method,
        path: &str,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Visit, VisitError> {
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization.clone().map(|value| (http::header::AUTHORIZATION, value)));
        headers.extend(header);
        visit::visit(&self.target, method, path, headers, self.watch.min(LONGEST_SILENCE)).await
    }

    /// The first visit asked for no encoding, so that its body can be read; browsers do.
    async fn compression(&self) -> Option<Finding> {
        match self.visit(&Method::GET, &self.target.path, Some((ACCEPT_ENCODING, ENCODINGS))).await {
            Ok(visit) => judge::compression(&visit.head),
            Err(VisitError::Silent(time)) => Some(judge::silent_compression(time)),
            Err(_) => None,
        }
    }

    /// Comes back with the last id, as a browser does, and in the query if that leads nowhere.
    async fn resumption(&self, first: Option<&str>, watched: &Watched) -> Option<Finding> {
        let id = watched.last_id.as_deref()?;
        let header = HeaderValue::from_str(id).ok()?;
        let by_header = self.opening(&self.target.path, Some((LAST_EVENT_ID, header))).await?;
        if by_header.connection_id.as_deref() == first && first.is_some() {
            return Some(judge::cached());
        }
        if by_header.resumed {
            return None;
        }
        let encoded: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let separator = if self.target.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{separator}lastEventId={encoded}", self.target.path);
        let by_query = self.opening(&path, None).await;
        Some(judge::not_resumed(by_query.is_some_and(|opening| opening.resumed)))
    }

    async fn opening(&self, path: &str, header: Option<(HeaderName, HeaderValue)>) -> Option<watch::Opening> {
        let visit = self.visit(&Method::GET, path, header).await.ok()?;
        watch::opening(visit, self.watch.min(LONGEST_SILENCE)).await
    }
}
