//! Where the application is: the text of `upstream.url`, and a connection to it.

use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ProxyError;
use crate::setting::Fault;

/// Host and port of the application.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) authority: Authority,
    host: String,
    port: u16,
}

impl Origin {
    pub(super) fn parse(url: &str) -> Result<Self, Fault> {
        let fault = |problem: &str| Fault::new("upstream.url", problem);
        let uri: Uri = url.parse().map_err(|_| fault("expected http://host:port"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(fault("https is not spoken to the application, which runs beside this program"));
            }
            _ => return Err(fault("expected http://host:port")),
        }
        let authority = uri.authority().cloned().ok_or_else(|| fault("expected http://host:port"))?;
        if authority.as_str().contains('@') {
            return Err(fault("must hold no user and no password"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(fault("must have no path: the paths of requests are passed on as they are"));
        }
        if authority.host().is_empty() {
            return Err(fault("expected http://host:port"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authority })
    }

    /// Opens a connection to the first address that takes one.
    pub(super) async fn connect(&self, patience: Duration) -> Result<TcpStream, ProxyError> {
        let socket = timeout(patience, TcpStream::connect((self.host.as_str(), self.port)))
            .await
            .map_err(|_elapsed| ProxyError::ConnectTimeout)?
            .map_err(ProxyError::Connecting)?;
        // A socket that refuses is gone already, which the first write will say.
        let _set = socket.set_nodelay(true);
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_origin_is_taken() {
        let origin = |url: &str| Origin::parse(url).map(|origin| (origin.host, origin.port)).ok();
        assert_eq!(origin("http://127.0.0.1:3000"), Some(("127.0.0.1".into(), 3000)));
        assert_eq!(origin("http://app/"), Some(("app".into(), 80)));
        assert_eq!(origin("http://[::1]:3000"), Some(("::1".into(), 3000)));
        for bad in
            ["", "app:3000", "/", "https://app", "http://app/base", "http://app/?x", "http://u:p@app", "ftp://app"]
        {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
