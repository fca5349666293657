//! Who makes a request for a stream, or why nobody does: by its credentials, its session, or neither; grants are not looked at here.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Request, Response};

use super::body::Body;
use super::problem::{Problem, unauthorized};
use super::site::Site;
use super::sites::Sites;
use crate::auth::{AuthError, Credentials, Identity, Source, credentials};
use crate::provider::session::Session;
use crate::proxy::Peer;
use crate::telemetry;

/// Who makes a request.
pub(super) struct Admitted {
    pub(super) identity: Identity,
    /// By which the application knew it; none if it did not have to be asked.
    pub(super) session: Option<Arc<Session>>,
}

/// Why a request was given no identity.
pub(super) enum Denied {
    Auth(AuthError),
    /// The token is a cookie that another origin's page had sent.
    Origin,
}

impl From<AuthError> for Denied {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl Denied {
    /// Counts and logs it.
    pub(super) fn into_response(self, request_id: &HeaderValue) -> Response<Body> {
        let (reason, error_type, response) = match self {
            Self::Auth(error) => (error.reason(), "unauthorized", unauthorized(error)),
            Self::Origin => {
                let problem = Problem::ORIGIN_FORBIDDEN;
                (problem.code, problem.code, problem.into_response())
            }
        };
        telemetry::stream::auth_failed(reason);
        telemetry::stream::refused(error_type);
        tracing::debug!(request = request_id.to_str().unwrap_or_default(), reason, "refused");
        response
    }
}

impl Site {
    /// Who makes the request: the machine of its API key; else the bearer of its token; else whoever the application says
    /// that its session is; else anonymous, where that is allowed. The first that is there decides.
    pub(super) async fn authenticate<B>(
        &self,
        sites: &Sites,
        request: &Request<B>,
        peer: Peer,
        request_id: &HeaderValue,
    ) -> Result<Admitted, Denied> {
        let credentials = credentials(request.headers(), request.uri().query(), &self.auth)?;
        if let (None, Some(sessions)) = (&credentials, &self.sessions)
            && let Some(session) = Session::of(request, peer, &self.trusted, request_id)
        {
            // A browser adds a cookie by itself, and `Authorization` of the scheme Basic as well.
            if !self.cors.admits_cookie(request) {
                return Err(Denied::Origin);
            }
            let identity = sites.confirm(self, sessions.identify(&session).await?)?;
            return Ok(Admitted { identity, session: Some(Arc::new(session)) });
        }
        let identity = sites.confirm(self, self.identify(credentials.as_ref(), request).await?)?;
        Ok(Admitted { identity, session: None })
    }

    /// Who the bearer of `credentials` is, which came with `request`; at once, unless an issuer has to be asked for a newer key.
    pub(super) async fn identify<B>(
        &self,
        credentials: Option<&Credentials>,
        request: &Request<B>,
    ) -> Result<Identity, Denied> {
        // Any page can have a cookie sent; only what a page adds itself shows that it knows the token.
        let by_cookie = credentials.map(Credentials::source) == Some(Source::Cookie);
        if by_cookie && !self.cors.admits_cookie(request) {
            return Err(Denied::Origin);
        }
        match (self.keys.authenticate(credentials, SystemTime::now()), credentials) {
            (Err(refusal), Some(credentials)) => Ok(self.keys.second_look(credentials, refusal).await?),
            (settled, _) => Ok(settled?),
        }
    }
}
