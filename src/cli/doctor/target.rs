//! What is to be examined: the parts of its URL, and a connection to it with TLS where the URL says so.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a stream is. `Display` leaves the query out, which may hold a token.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    /// As `Host` has it.
    pub(super) authority: String,
    /// With the query.
    pub(super) path: String,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// Why it cannot be examined at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("`--url` takes the URL of a stream, as in https://app.example.com/events")]
    Url,
    #[error("`--url` must hold no user and no password")]
    UserInfo,
    #[error("the host in `--url` is no name that a certificate could have: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("`--ca-file` cannot be read: {0}")]
    CaFile(#[source] io::Error),
    #[error("`--ca-file` holds no certificate in PEM")]
    CaPem,
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Target {
    /// Certificates are those of the system, or of `ca_file` alone.
    pub(super) fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Url)?;
        let authority = uri.authority().ok_or(TargetError::Url)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TargetError::Url),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(TargetError::Url);
        }
        let tls = if secure { Some((ServerName::try_from(host.clone())?, client(ca_file)?)) } else { None };
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            tls,
        })
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A new TCP connection.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }

    /// The connection with TLS upon it; none without TLS.
    pub(super) async fn secure(&self, socket: TcpStream) -> io::Result<Result<TlsStream<TcpStream>, TcpStream>> {
        match &self.tls {
            None => Ok(Err(socket)),
            Some((name, config)) => TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket).await.map(Ok),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TargetError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let pem = fs::read(path).map_err(TargetError::CaFile)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| TargetError::CaPem)?)?;
            }
            if roots.is_empty() {
                return Err(TargetError::CaPem);
            }
        }
        // What of the system's store cannot be read is missed when a certificate needs it, and said then.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_shown_without_its_query() {
        let target = Target::parse("https://app.example.com/a/events?token=secret", None).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.is_tls()), ("app.example.com", 443, true));
        assert_eq!(target.path, "/a/events?token=secret");
        assert_eq!(target.to_string(), "https://app.example.com/a/events");
        let target = Target::parse("http://[::1]:8080", None).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8080, "/"));
        assert_eq!(target.authority, "[::1]:8080");
        for bad in ["", "events", "/events", "ftp://a/events", "http://", "http://u:p@a/events"] {
            assert!(Target::parse(bad, None).is_err(), "{bad}");
        }
        assert!(matches!(Target::parse("https://a", Some(Path::new("/nonexistent"))), Err(TargetError::CaFile(_))));
        assert!(matches!(Target::parse("https://a", Some(Path::new("/dev/null"))), Err(TargetError::CaPem)));
    }
}
