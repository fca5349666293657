//! OpenID Connect Discovery: the issuer's name is enough, and a document that is not its own is not believed.

use serde_json::json;

use crate::scene::{Verdict, open, present, present_until, refreshes, refused, set, start, token_with};
use crate::support::issuer::{IssuerServer, Reply};
use crate::support::tokens::Issuer;

const DOCUMENT: &str = "/realms/shop/.well-known/openid-configuration";

fn document(issuer: &str, keys: &str) -> Reply {
    Reply::Ok(json!({ "issuer": issuer, "jwks_uri": keys, "token_endpoint": "https://x.example/token" }).to_string())
}

#[tokio::test]
async fn the_name_of_an_issuer_is_enough() {
    let issuer = IssuerServer::start().await;
    let name = issuer.url("/realms/shop");
    issuer.answer(DOCUMENT, document(&name, &issuer.url("/realms/shop/certs")));
    let keys: Vec<Issuer> = ["RS256", "PS384", "ES256", "ES384", "EdDSA"].map(Issuer::key_pair).into();
    let jwks: Vec<_> = keys.iter().map(|key| key.jwk(key.algorithm())).collect();
    issuer.answer("/realms/shop/certs", Reply::Ok(set(&jwks)));
    let server = start("", &format!("[[auth.issuer]]\nissuer = \"{name}\"\ndiscovery = true")).await;
    for key in &keys {
        let kid = key.algorithm();
        let token = token_with(key, kid, json!({ "sub": "ada", "iss": name }));
        assert_eq!(present(&server, &token).await, open("ada"), "{kid}");
        for iss in [format!("{name}/"), issuer.url("/realms/other")] {
            let token = token_with(key, kid, json!({ "sub": "ada", "iss": iss }));
            assert_eq!(present(&server, &token).await, refused("token_issuer_refused"), "{kid}");
        }
    }
    assert_eq!((issuer.asked(DOCUMENT), issuer.asked("/realms/shop/certs")), (1, 1));
}

#[tokio::test]
async fn a_document_of_another_issuer_or_without_an_address_is_not_believed() {
    let (issuer, elsewhere) = (IssuerServer::start().await, IssuerServer::start().await);
    let (name, key) = (issuer.url("/realms/shop"), Issuer::key_pair("ES256"));
    elsewhere.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let server =
        start("keys_cooldown = \"1ms\"", &format!("[[auth.issuer]]\nissuer = \"{name}\"\ndiscovery = true")).await;
    let token = token_with(&key, "k", json!({ "sub": "ada", "iss": name }));
    let keys = elsewhere.url("/keys");
    let documents = [
        document(&elsewhere.url("/realms/shop"), &keys),
        document(&format!("{name}/"), &keys),
        document(&name.to_uppercase(), &keys),
        document(&name, "/keys"),
        document(&name, "file:///etc/passwd"),
        Reply::Ok("{}".into()),
        Reply::Ok("<html>".into()),
    ];
    for (round, wrong) in (1_u32..).zip(documents) {
        issuer.answer(DOCUMENT, wrong.clone());
        assert_eq!(present(&server, &token).await, Verdict::TryAgain, "{wrong:?}");
        refreshes(&server, "discovery_invalid", f64::from(round)).await;
    }
    assert_eq!(elsewhere.asked("/keys"), 0, "an address was asked that nobody vouches for");
    issuer.answer(DOCUMENT, document(&name, &keys));
    present_until(&server, &token, &open("ada")).await;
}

#[tokio::test]
async fn a_token_never_says_whom_to_ask() {
    let (issuer, evil) = (IssuerServer::start().await, IssuerServer::start().await);
    let (good, own) = (Issuer::key_pair("ES256"), Issuer::key_pair("ES256"));
    let name = issuer.url("/realms/shop");
    issuer.answer(DOCUMENT, document(&name, &issuer.url("/keys")));
    issuer.answer("/keys", Reply::Ok(set(&[good.jwk("k")])));
    evil.answer("/keys", Reply::Ok(set(&[own.jwk("k")])));
    let server =
        start("keys_cooldown = \"1ms\"", &format!("[[auth.issuer]]\nissuer = \"{name}\"\ndiscovery = true")).await;
    let address = evil.url("/keys");
    let claims = |iss: &str| json!({ "sub": "eve", "iss": iss, "exp": crate::support::tokens::now() + 60 });
    for (headers, iss, code) in [
        (json!({ "kid": "k", "jku": address }), &name, "token_header_refused"),
        (json!({ "kid": "k", "x5u": address }), &name, "token_header_refused"),
        (json!({ "kid": "k", "jwk": own.jwk("k") }), &name, "token_header_refused"),
        (json!({ "kid": address }), &name, "token_key_unknown"),
        (json!({ "kid": "k" }), &evil.url("/realms/shop"), "token_issuer_refused"),
        (json!({ "kid": "k" }), &name, "token_signature_invalid"),
    ] {
        let token = own.sign_with_header(&claims(iss), &headers);
        assert_eq!(present(&server, &token).await, refused(code), "{headers}");
    }
    assert_eq!((evil.asked("/keys"), evil.asked(DOCUMENT)), (0, 0));
}
