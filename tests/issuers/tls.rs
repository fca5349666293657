//! Keys over TLS: from an issuer whose certificate is trusted, and from no other.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scene::{Verdict, open, present, refreshes, set, start, token, token_with};
use crate::support::issuer::{IssuerServer, Reply};
use crate::support::tls::Certificates;
use crate::support::tokens::Issuer;

/// What this run's authority has certified, as files beside its own certificate.
fn certificates() -> TempDir {
    let certificates = Certificates::of_this_run();
    let (directory, _authority) = certificates.authority_file();
    certificates.write(directory.path());
    directory
}

fn acceptor(files: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(files.join("tls.crt")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(files.join("tls.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
}

#[tokio::test]
async fn only_a_trusted_certificate_brings_keys() {
    let files = certificates();
    let issuer = IssuerServer::start_at("127.0.0.1:0", Some(acceptor(files.path()))).await;
    let key = Issuer::key_pair("ES256");
    issuer.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let ca_file = format!("ca_file = \"{}\"", files.path().join("ca.pem").display());
    let table = |more: &str| format!("[[auth.issuer]]\njwks_url = \"{}\"\n{more}", issuer.url("/keys"));

    let server = start("", &table(&ca_file)).await;
    assert_eq!(present(&server, &token(&key, "k", "ada")).await, open("ada"));
    assert_eq!(issuer.asked("/keys"), 1);

    let distrustful = start("", &table("")).await;
    assert_eq!(present(&distrustful, &token(&key, "k", "ada")).await, Verdict::TryAgain);
    refreshes(&distrustful, "unreachable", 1.0).await;
    assert!(distrustful.log().contains("invalid peer certificate"), "{}", distrustful.log());

    let plain = IssuerServer::start().await;
    plain.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let table = format!("[[auth.issuer]]\njwks_url = \"https://127.0.0.1:{}/keys\"\n{ca_file}", plain.port());
    let misled = start("", &table).await;
    assert_eq!(present(&misled, &token(&key, "k", "ada")).await, Verdict::TryAgain);
    assert_eq!(plain.asked("/keys"), 0);
}

#[tokio::test]
async fn an_issuer_behind_tls_does_not_lead_to_keys_without_it() {
    let files = certificates();
    let issuer = IssuerServer::start_at("127.0.0.1:0", Some(acceptor(files.path()))).await;
    let plain = IssuerServer::start().await;
    let key = Issuer::key_pair("ES256");
    plain.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let name = issuer.url("");
    let document = json!({ "issuer": name, "jwks_uri": plain.url("/keys") }).to_string();
    issuer.answer("/.well-known/openid-configuration", Reply::Ok(document));
    let ca_file = files.path().join("ca.pem").display().to_string();
    let table = format!("[[auth.issuer]]\nissuer = \"{name}\"\ndiscovery = true\nca_file = \"{ca_file}\"");
    let token = token_with(&key, "k", json!({ "sub": "ada", "iss": name }));

    let server = start("", &table).await;
    assert_eq!(present(&server, &token).await, Verdict::TryAgain);
    refreshes(&server, "discovery_invalid", 1.0).await;
    assert_eq!(plain.asked("/keys"), 0);

    let lax = start("", &format!("{table}\nallow_http = true")).await;
    assert_eq!(present(&lax, &token).await, open("ada"));
}
