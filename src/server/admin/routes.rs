//! What each path of the admin listener answers, and at which method; who may ask is decided before.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::subscribers;
use super::{Admin, Readiness};
use crate::control::Disconnect;
use crate::explain::{Question, QuestionError};
use crate::telemetry;

/// Channels that `/stats` lists.
const TOP_CHANNELS: usize = 20;

/// Time for every worker to carry an order out.
const ORDER_LIMIT: Duration = Duration::from_secs(10);

/// What comes of a POST, which may have to wait for something.
type Outcome<'a> = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send + 'a>>;

/// How a path is asked, and what answers.
#[derive(Clone, Copy)]
pub(super) enum Route {
    /// GET and HEAD.
    Show(fn(&Admin) -> Response<Full<Bytes>>),
    /// GET and HEAD, with a query; the answer may have to be waited for.
    Ask(fn(&Admin, String) -> Outcome<'_>),
    /// POST with a body.
    Act(fn(&Admin, Bytes) -> Outcome<'_>),
}

impl Route {
    /// Whether a request with this method is for it.
    pub(super) fn is_for(self, method: &Method) -> bool {
        match self {
            Self::Show(_) | Self::Ask(_) => matches!(*method, Method::GET | Method::HEAD),
            Self::Act(_) => *method == Method::POST,
        }
    }

    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::Show(_) | Self::Ask(_) => "GET, HEAD",
            Self::Act(_) => "POST",
        }
    }
}

/// A path that can be looked at and acted on has a line for each.
pub(super) const ROUTES: [(&str, Route); 9] = [
    ("/livez", Route::Show(Admin::livez)),
    ("/readyz", Route::Show(Admin::readyz)),
    ("/metrics", Route::Show(Admin::prometheus)),
    ("/stats", Route::Show(Admin::stats)),
    ("/subscribers", Route::Ask(Admin::subscribers)),
    ("/explain", Route::Act(Admin::explain)),
    ("/disconnect", Route::Act(Admin::disconnect)),
    ("/drain", Route::Show(Admin::drained)),
    ("/drain", Route::Act(Admin::begin_drain)),
];

impl Admin {
    #[allow(clippy::unused_self, reason = "every route is given the same")]
    fn livez(&self) -> Response<Full<Bytes>> {
        text(StatusCode::OK, "ok\n")
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        match (self.readiness)() {
            Readiness::Ready => text(StatusCode::OK, "ok\n"),
            Readiness::NotReady(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }

    fn prometheus(&self) -> Response<Full<Bytes>> {
        let text = self.metrics.render() + &telemetry::process_metrics();
        answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
    }

    fn stats(&self) -> Response<Full<Bytes>> {
        let figures = self.overview.figures(TOP_CHANNELS);
        let channels: Vec<_> = figures
            .channels
            .iter()
            .map(|(channel, streams)| json!({ "channel": channel, "connections": streams }))
            .collect();
        let figures = json!({
            "connections": figures.streams,
            "users": figures.users,
            "channels": channels,
            "history": { "events": figures.ring_events, "bytes": figures.ring_bytes, "position": figures.position },
            "broker_connected": (self.broker)(),
        });
        answer(StatusCode::OK, "application/json", figures.to_string())
    }

    fn subscribers(&self, query: String) -> Outcome<'_> {
        Box::pin(async move {
            match subscribers::page(&self.overview.orders(), Some(&query), Instant::now()).await {
                Ok(page) => answer(StatusCode::OK, "application/json", page),
                Err((status, sentence)) => text(status, sentence),
            }
        })
    }

    fn drained(&self) -> Response<Full<Bytes>> {
        answer(StatusCode::OK, "application/json", self.progress())
    }

    /// Has the streams ended; what goes on is told as for GET.
    fn begin_drain(&self, _body: Bytes) -> Outcome<'_> {
        Box::pin(async {
            if self.drain.begin() {
                let streams = self.overview.streams();
                tracing::info!(streams, "asked to drain: streams are ended, other requests go on");
            }
            answer(StatusCode::ACCEPTED, "application/json", self.progress())
        })
    }

    fn progress(&self) -> String {
        let begun = self.drain.begun();
        let left = begun.map_or(self.drain_time, |begun| self.drain_time.saturating_sub(begun.elapsed()));
        json!({
            "draining": begun.is_some(),
            "connections": self.overview.streams(),
            "seconds_left": left.as_secs_f64(),
        })
        .to_string()
    }

    /// Ends streams of this process, as an order over RabbitMQ does at every one.
    fn disconnect(&self, body: Bytes) -> Outcome<'_> {
        Box::pin(async move {
            let order = match Disconnect::parse(&body) {
                Ok(order) => order,
                Err(malformed) => return text(StatusCode::BAD_REQUEST, format!("{malformed}\n")),
            };
            let (done, told) = oneshot::channel();
            let tell = move |streams| {
                // It fails when it took too long, and nobody waits any more.
                let _told = done.send(streams);
            };
            // When too much is under way `tell` is dropped, so that nothing is waited for.
            let _given = self.control.disconnect(order, SystemTime::now(), tell);
            match timeout(ORDER_LIMIT, told).await {
                Ok(Ok(streams)) => {
                    tracing::info!(streams, "streams were ended by order of an operator");
                    answer(StatusCode::OK, "application/json", json!({ "streams": streams }).to_string())
                }
                Ok(Err(_)) | Err(_) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, "the workers are too busy; please try again\n")
                }
            }
        })
    }

    fn explain(&self, body: Bytes) -> Outcome<'_> {
        Box::pin(async move {
            let explained = Question::read(&body).and_then(|question| {
                let explanation = (self.explainer)().explain(&question, SystemTime::now())?;
                Ok::<_, QuestionError>(serde_json::to_string(&explanation)?)
            });
            match explained {
                Ok(json) => answer(StatusCode::OK, "application/json", json),
                Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            }
        })
    }
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
