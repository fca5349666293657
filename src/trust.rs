//! Whom TLS believes: the certificate authorities of a PEM file or of the system; it opens no connection.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto};

/// A file of authorities larger than this is something else; that of a whole system has some 250 KB.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why a file names nobody to trust; a clause for a fault, without anything of the file.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    #[error("cannot be read: {}", .0.kind())]
    Read(#[from] io::Error),
    #[error("is over {MAX_FILE_BYTES} bytes")]
    TooLarge,
    #[error("is not a PEM file")]
    NotPem,
    #[error("has no certificate in PEM form")]
    Empty,
    /// Counted from 1.
    #[error("certificate {0} in it cannot be read")]
    Certificate(usize),
}

/// The certificates in a PEM file (RFC 7468), each of which can be trusted; rustls itself would leave out what it cannot use.
pub fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Distrust> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Distrust::TooLarge);
    }
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| Distrust::NotPem)?;
    if certificates.is_empty() {
        return Err(Distrust::Empty);
    }
    store(&certificates)?;
    Ok(certificates)
}

/// The authorities of a PEM file, and no others.
pub fn authorities(path: &str) -> Result<RootCertStore, Distrust> {
    store(&certificates(path)?)
}

/// What opens connections for a client of `http` and `https` that trusts the authorities in `ca_file` alone, or those of the
/// system. A system without any is no error: then nobody is trusted. `limit` is for the TCP handshake.
pub(crate) fn connector(ca_file: Option<&str>, limit: Duration) -> Result<HttpsConnector<HttpConnector>, Distrust> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(limit));
    let https = HttpsConnectorBuilder::new().with_tls_config(client(ca_file)?).https_or_http();
    Ok(https.enable_http1().wrap_connector(http))
}

fn client(ca_file: Option<&str>) -> Result<ClientConfig, Distrust> {
    // Chosen here, since a dependency could switch on a second library and make rustls's own choice a panic.
    let provider = crypto::aws_lc_rs::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("the library has every default version of TLS");
    let tls = match ca_file {
        Some(path) => tls.with_root_certificates(authorities(path)?),
        None => match tls.clone().with_native_roots() {
            Ok(native) => native,
            Err(_none) => tls.with_root_certificates(RootCertStore::empty()),
        },
    };
    Ok(tls.with_no_client_auth())
}

fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, Distrust> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| Distrust::Certificate(index + 1))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_usable_authority_is_refused() {
        let refusal = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            authorities(&file.path().to_string_lossy()).unwrap_err()
        };
        assert!(matches!(refusal(""), Distrust::Empty));
        assert!(matches!(refusal("garbage"), Distrust::Empty));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refusal(broken), Distrust::Certificate(1)));
        assert!(matches!(refusal(&broken.replace("AAAA", "?")), Distrust::NotPem));
        assert!(matches!(refusal(&" ".repeat(5 << 20)), Distrust::TooLarge));
        assert!(matches!(authorities("/nonexistent"), Err(Distrust::Read(_))));
    }
}
