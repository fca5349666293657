//! Several issuers at once, each with its own keys, algorithms, audience and claims.

use serde_json::json;

use crate::scene::{Verdict, open, present, refused, set, start, token_with};
use crate::support::issuer::{IssuerServer, Reply};
use crate::support::tokens::Issuer;

#[tokio::test]
async fn each_issuer_is_held_to_its_own_rules() {
    let server_of_keys = IssuerServer::start().await;
    let (first, second) = (Issuer::key_pair("RS256"), Issuer::key_pair("ES256"));
    let third = Issuer::hmac("HS256");
    server_of_keys.answer("/one", Reply::Ok(set(&[first.jwk("k"), second.jwk("ec")])));
    server_of_keys.answer("/two", Reply::Ok(set(&[second.jwk("k"), first.jwk("rsa")])));
    let tables = format!(
        r#"
[[auth.issuer]]
issuer = "one"
jwks_url = "{}"
algorithms = ["RS256"]
audience = ["web"]

[[auth.issuer]]
issuer = "two"
jwks_url = "{}"
algorithms = ["ES256"]
audience = ["app"]
user_claim = "/profile/uid"

[[auth.issuer]]
issuer = "three"
secret = "{}"
algorithms = ["HS256"]

[[auth.issuer]]
issuer = "away"
jwks_url = "http://127.0.0.1:1/keys"
"#,
        server_of_keys.url("/one"),
        server_of_keys.url("/two"),
        third.secret()
    );
    let server = start("", &tables).await;
    let profile = json!({ "uid": 7 });
    for (key, kid, claims, wanted) in [
        (&first, "k", json!({ "iss": "one", "aud": "web", "sub": "ada" }), open("ada")),
        (&second, "k", json!({ "iss": "two", "aud": ["app"], "sub": "x", "profile": profile }), open("7")),
        (&third, "any", json!({ "iss": "three", "sub": "cleo" }), open("cleo")),
        (&first, "k", json!({ "iss": "one", "aud": "app", "sub": "ada" }), refused("token_audience_refused")),
        (&second, "k", json!({ "iss": "two", "aud": "web", "profile": profile }), refused("token_audience_refused")),
        // Keys that the other one's set holds under these names, and algorithms of the other one.
        (&second, "ec", json!({ "iss": "one", "aud": "web" }), refused("token_algorithm_refused")),
        (&first, "rsa", json!({ "iss": "two", "aud": "app" }), refused("token_algorithm_refused")),
        (&third, "k", json!({ "iss": "one", "aud": "web" }), refused("token_algorithm_refused")),
        (&first, "k", json!({ "iss": "three" }), refused("token_algorithm_refused")),
        (&first, "k", json!({ "iss": "away", "sub": "ada" }), Verdict::TryAgain),
    ] {
        assert_eq!(present(&server, &token_with(key, kid, claims.clone())).await, wanted, "{claims}");
    }
    assert_eq!((server_of_keys.asked("/one"), server_of_keys.asked("/two")), (1, 1));
}
