//! What answers the requests that no endpoint claims: the contract between the site and the proxy, or the page of `dev`.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::BoxError;
use crate::proxy::{Peer, Tunnel};
use crate::telemetry::HttpSpan;

/// What answers the requests that no endpoint claims; one in the process.
pub trait Fallback: Send + Sync {
    /// The part of the calling worker; called within its `LocalSet`.
    fn settle(&self) -> Rc<dyn Responder>;
}

/// One worker's [`Fallback`].
pub trait Responder {
    /// The header of `request` holds the id under which the request is known. `span` is the request's.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        span: HttpSpan,
    ) -> Pin<Box<dyn Future<Output = Answer> + '_>>;
}

/// The body of an [`Answer`]; it stays on its worker's thread.
pub type AnswerBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError>>>;

/// A response, and the far side of the connection if the response is 101.
pub struct Answer {
    pub response: Response<AnswerBody>,
    pub tunnel: Option<Tunnel>,
}

impl From<Response<AnswerBody>> for Answer {
    fn from(response: Response<AnswerBody>) -> Self {
        Self { response, tunnel: None }
    }
}
