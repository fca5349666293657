//! The auth room from outside: tokens of another library, every algorithm and key format, and the tokens of an attacker.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking, whichever function does it")]

#[allow(dead_code, reason = "shared by test binaries that each use a part")]
mod tokens;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cottontail::auth::{
    AuthConfig, AuthError, Authenticator, Challenge, Credentials, ForwardConfig, Identity, IssuerConfig, Source,
};
use cottontail::event::{ChannelName, UserId};
use cottontail::setting::{Fault, Secret};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};
use tokens::{NOW, SECRET, claims, hs256, key_file, now, sign};

fn issuer(algorithms: &[&str]) -> IssuerConfig {
    IssuerConfig { algorithms: algorithms.iter().map(|name| (*name).into()).collect(), ..IssuerConfig::default() }
}

fn secret_issuer() -> IssuerConfig {
    IssuerConfig { secret: Some(Secret::new(SECRET)), ..issuer(&["HS256"]) }
}

fn pem_issuer(algorithms: &[&str], file: &str) -> IssuerConfig {
    IssuerConfig { public_key_file: Some(key_file(file)), ..issuer(algorithms) }
}

fn jwks_issuer(algorithms: &[&str], file: &str) -> IssuerConfig {
    IssuerConfig { jwks_file: Some(key_file(file)), ..issuer(algorithms) }
}

fn load(issuers: Vec<IssuerConfig>) -> Authenticator {
    load_config(&AuthConfig { issuer: issuers, ..AuthConfig::default() })
}

fn load_config(config: &AuthConfig) -> Authenticator {
    Authenticator::load(config).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(config: &AuthConfig) -> Vec<Fault> {
    Authenticator::load(config).err().expect("a configuration with faults does not load")
}

fn present(authenticator: &Authenticator, token: &str) -> Result<Identity, AuthError> {
    authenticator.authenticate(Some(&Credentials::new(token, Source::Header)), now())
}

/// `token` with another character in the middle of its signature.
fn tampered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let middle = signature.len() / 2;
    let other = if &signature[middle..=middle] == "A" { "B" } else { "A" };
    format!("{signed}.{}{other}{}", &signature[..middle], &signature[middle + 1..])
}

fn written(name: &str, contents: &[u8]) -> String {
    let path = key_file(name);
    std::fs::write(&path, contents).unwrap();
    path
}

#[test]
fn every_algorithm_verifies_with_every_key_format() {
    let mut cases: Vec<(&str, Value, IssuerConfig)> = Vec::new();
    let secret_file = written("secret.txt", format!("{SECRET}\n").as_bytes());
    let oct = json!({ "keys": [{ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) }] }).to_string();
    let oct_file = written("oct.jwks", oct.as_bytes());
    for algorithm in ["HS256", "HS384", "HS512"] {
        let plain = issuer(&[algorithm]);
        let encoded =
            |text: String| IssuerConfig { secret: Some(Secret::new(text)), secret_base64: true, ..plain.clone() };
        for config in [
            IssuerConfig { secret: Some(Secret::new(SECRET)), ..plain.clone() },
            IssuerConfig { secret_file: Some(secret_file.clone()), ..plain.clone() },
            IssuerConfig { jwks_file: Some(oct_file.clone()), ..plain.clone() },
            encoded(STANDARD.encode(SECRET)),
            encoded(URL_SAFE_NO_PAD.encode(SECRET)),
        ] {
            cases.push((algorithm, json!({ "secret": SECRET }), config));
        }
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        for file in ["rsa.pem", "rsa.pkcs1.pem", "rsa.crt"] {
            cases.push((algorithm, json!(key_file("rsa.key")), pem_issuer(&[algorithm], file)));
        }
        cases.push((algorithm, json!(key_file("rsa.key")), jwks_issuer(&[algorithm], "rsa.jwks")));
    }
    for (algorithm, stem) in [("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed25519")] {
        for ending in ["pem", "crt"] {
            let config = pem_issuer(&[algorithm], &format!("{stem}.{ending}"));
            cases.push((algorithm, json!(key_file(&format!("{stem}.key"))), config));
        }
        let config = jwks_issuer(&[algorithm], &format!("{stem}.jwks"));
        cases.push((algorithm, json!(key_file(&format!("{stem}.key"))), config));
    }
    let jobs: Vec<Value> = cases
        .iter()
        .map(|(algorithm, key, _)| json!({ "alg": algorithm, "key": key, "claims": claims(json!({})) }))
        .collect();
    assert_eq!(cases.len(), 15 + 24 + 9);
    for ((algorithm, _, config), token) in cases.iter().zip(sign(&jobs)) {
        let authenticator = load(vec![config.clone()]);
        let identity = present(&authenticator, &token);
        let user = identity.as_ref().map(|identity| identity.user().map(UserId::as_str));
        assert_eq!(user, Ok(Some("42")), "{algorithm} {config:?}");
        assert_eq!(present(&authenticator, &tampered(&token)), Err(AuthError::SignatureInvalid), "{algorithm}");
    }
}

#[test]
fn a_token_never_picks_its_algorithm_or_key() {
    let good = claims(json!({}));
    let rsa = load(vec![pem_issuer(&["RS256"], "rsa.pem")]);
    let private = key_file("rsa.key");
    let confused =
        json!({ "alg": "HS256", "key": key_file("rsa.pem"), "header": r#"{"alg":"HS256"}"#, "claims": good });
    let rs =
        |alg: &str, key: &str, headers: Value| json!({ "alg": alg, "key": key, "claims": good, "headers": headers });
    let raw = |header: &str| json!({ "alg": "RS256", "key": private, "claims": good, "header": header });
    let cases = [
        (confused, AuthError::AlgorithmRefused),
        (rs("RS384", &private, json!({})), AuthError::AlgorithmRefused),
        (rs("PS256", &private, json!({})), AuthError::AlgorithmRefused),
        (rs("RS256", &key_file("rsa-other.key"), json!({})), AuthError::SignatureInvalid),
        (raw(r#"{"alg":"PS256"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"none"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"None"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"NONE"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"nOnE"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":""}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"rs256"}"#), AuthError::AlgorithmRefused),
        (raw(r#"{"alg":"none","alg":"RS256"}"#), AuthError::TokenMalformed),
        (raw("{}"), AuthError::TokenMalformed),
        (raw(r#"{"alg":"RS256","jwk":{"kty":"RSA","n":"AQ","e":"AQAB"}}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","jku":"http://127.0.0.1/keys"}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","x5u":"http://127.0.0.1/chain"}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","x5c":["MAA="]}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","crit":["b64"],"b64":true}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","b64":false}"#), AuthError::HeaderRefused),
        (raw(r#"{"alg":"RS256","kid":["rsa"]}"#), AuthError::TokenMalformed),
    ];
    let jobs: Vec<Value> = cases.iter().map(|(job, _)| job.clone()).collect();
    for ((job, want), token) in cases.iter().zip(sign(&jobs)) {
        assert_eq!(present(&rsa, &token), Err(*want), "{job}");
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(present(&rsa, &format!("{signed}.")).is_err(), "{job} without a signature");
    }
}

#[test]
fn a_signature_of_zeros_verifies_nothing() {
    for (algorithm, file, length) in
        [("ES256", "p256.pem", 64), ("ES384", "p384.pem", 96), ("EdDSA", "ed25519.pem", 64)]
    {
        let authenticator = load(vec![pem_issuer(&[algorithm], file)]);
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm }).to_string());
        let payload = URL_SAFE_NO_PAD.encode(claims(json!({})).to_string());
        for length in [0, 1, length, length + 1] {
            let token = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(vec![0; length]));
            assert!(present(&authenticator, &token).is_err(), "{algorithm} with {length} zeros");
        }
    }
}

#[test]
fn a_kid_chooses_among_the_keys_and_nothing_else() {
    let authenticator = load(vec![jwks_issuer(&["RS256", "ES256"], "named.jwks")]);
    let job = |alg: &str, key: &str, headers: Value| json!({ "alg": alg, "key": key_file(key), "claims": claims(json!({})), "headers": headers });
    let cases = [
        (job("RS256", "rsa.key", json!({ "kid": "rsa" })), None),
        (job("RS256", "rsa-other.key", json!({ "kid": "rsa-other" })), None),
        (job("RS256", "rsa-other.key", json!({})), None),
        (job("ES256", "p256.key", json!({ "kid": "p256" })), None),
        (job("RS256", "rsa.key", json!({ "kid": "rsa-other" })), Some(AuthError::SignatureInvalid)),
        (job("RS256", "rsa.key", json!({ "kid": "p256" })), Some(AuthError::KeyUnknown)),
        (job("RS256", "rsa.key", json!({ "kid": "enc" })), Some(AuthError::KeyUnknown)),
        (job("RS256", "rsa.key", json!({ "kid": "" })), Some(AuthError::KeyUnknown)),
        (job("RS256", "rsa.key", json!({ "kid": "../../dev/null" })), Some(AuthError::KeyUnknown)),
        (job("RS256", "rsa.key", json!({ "kid": "x' UNION SELECT 'key' --" })), Some(AuthError::KeyUnknown)),
        (job("ES256", "p256-other.key", json!({})), Some(AuthError::SignatureInvalid)),
    ];
    let jobs: Vec<Value> = cases.iter().map(|(job, _)| job.clone()).collect();
    for ((job, want), token) in cases.iter().zip(sign(&jobs)) {
        assert_eq!(present(&authenticator, &token).err(), *want, "{job}");
    }
    // A single key without a name verifies whatever name the token has for it.
    let single = load(vec![pem_issuer(&["RS256"], "rsa.pem")]);
    let token = sign(&[job("RS256", "rsa.key", json!({ "kid": "2024-05" }))]).remove(0);
    assert!(present(&single, &token).is_ok());
}

#[test]
fn the_issuer_claim_chooses_whose_key_must_have_signed() {
    let one = IssuerConfig { issuer: "one".into(), ..pem_issuer(&["ES256"], "p256.pem") };
    let two =
        IssuerConfig { issuer: "two".into(), user_claim: "/uid".into(), ..pem_issuer(&["ES256"], "p256-other.pem") };
    let job = |key: &str, extra: Value| json!({ "alg": "ES256", "key": key_file(key), "claims": claims(extra) });
    let tokens = sign(&[
        job("p256.key", json!({ "iss": "one" })),
        job("p256-other.key", json!({ "iss": "two", "uid": 7 })),
        job("p256-other.key", json!({ "iss": "one" })),
        job("p256.key", json!({ "iss": "three" })),
        job("p256.key", json!({})),
        job("p256.key", json!({ "iss": ["one"] })),
    ]);
    let both = load(vec![one.clone(), two.clone()]);
    let user = |token: &str| present(&both, token).map(|identity| identity.user().unwrap().as_str().to_owned());
    assert_eq!(user(&tokens[0]), Ok("42".into()));
    assert_eq!(user(&tokens[1]), Ok("7".into()));
    assert_eq!(user(&tokens[2]), Err(AuthError::SignatureInvalid));
    for token in &tokens[3..] {
        assert_eq!(user(token), Err(AuthError::IssuerRefused));
    }
    // An issuer that requires no name takes those that nobody else is named for, and only those.
    let any = pem_issuer(&["ES256"], "p256.pem");
    let with_any = load(vec![two, any]);
    assert!(present(&with_any, &tokens[3]).is_ok() && present(&with_any, &tokens[4]).is_ok());
    assert_eq!(present(&with_any, &tokens[2]), Err(AuthError::SignatureInvalid));
    assert!(present(&with_any, &tokens[1]).is_ok());
}

#[test]
fn claims_are_checked_against_the_time_that_is_passed_in() {
    let strict = IssuerConfig { audience: vec!["web".into()], ..secret_issuer() };
    let authenticator = load(vec![strict]);
    let payload = |text: &str| json!({ "alg": "HS256", "key": { "secret": SECRET }, "payload": text });
    let with = |rest: &str| payload(&format!(r#"{{"aud":"web",{rest}}}"#));
    let cases = [
        (with(&format!(r#""exp":{}"#, NOW + 1)), None),
        (with(&format!(r#""exp":{}.5"#, NOW + 1)), None),
        (with(&format!(r#""exp":{}"#, NOW - 29)), None),
        (with(&format!(r#""exp":{}"#, NOW - 30)), Some(AuthError::Expired)),
        (with(r#""exp":0"#), Some(AuthError::Expired)),
        (with(r#""exp":-1"#), Some(AuthError::TimeInvalid)),
        (with(r#""exp":1e308"#), Some(AuthError::TimeInvalid)),
        (with(r#""exp":1e999"#), Some(AuthError::TokenMalformed)),
        (with(&format!(r#""exp":"{}""#, NOW + 1)), Some(AuthError::TimeInvalid)),
        (with(&format!(r#""exp":{}000"#, NOW + 1)), Some(AuthError::TimeInvalid)),
        (with(r#""sub":"42""#), Some(AuthError::ExpiryMissing)),
        (with(&format!(r#""exp":{0},"nbf":{0}"#, NOW + 60)), Some(AuthError::NotYetValid)),
        (with(&format!(r#""exp":1,"exp":{}"#, NOW + 60)), Some(AuthError::TokenMalformed)),
        (with(&format!(r#""sub":"1","exp":{},"sub":"2""#, NOW + 60)), Some(AuthError::TokenMalformed)),
        (payload(&format!(r#"{{"exp":{},"aud":["app","web"]}}"#, NOW + 60)), None),
        (payload(&format!(r#"{{"exp":{},"aud":["app"]}}"#, NOW + 60)), Some(AuthError::AudienceRefused)),
        (payload(&format!(r#"{{"exp":{}}}"#, NOW + 60)), Some(AuthError::AudienceRefused)),
        (payload("[]"), Some(AuthError::TokenMalformed)),
        (payload("\"text\""), Some(AuthError::TokenMalformed)),
        (payload("{"), Some(AuthError::TokenMalformed)),
    ];
    let jobs: Vec<Value> = cases.iter().map(|(job, _)| job.clone()).collect();
    for ((job, want), token) in cases.iter().zip(sign(&jobs)) {
        assert_eq!(present(&authenticator, &token).err(), *want, "{job}");
    }
}

#[test]
fn an_identity_holds_what_token_templates_and_configuration_grant() {
    let authenticator = load_config(&AuthConfig {
        public_channels: vec!["news".into(), "status.#".into()],
        grants: vec!["team.{claim:/team}.#".into(), "role.{claim:/roles}".into()],
        anonymous: true,
        issuer: vec![secret_issuer()],
        ..AuthConfig::default()
    });
    let extra = json!({ "channels": ["room.*", "desk"], "team": "red", "roles": ["a", "b"] });
    let identity = present(&authenticator, &hs256(&claims(extra))).unwrap();
    assert_eq!(identity.expires(), Some(UNIX_EPOCH + Duration::from_secs(NOW + 3600)));
    for channel in ["room.1", "desk", "team.red", "team.red.x.y", "role.a", "role.b", "news", "status.db"] {
        assert!(identity.grants().covers(channel), "{channel}");
    }
    for channel in ["room", "room.1.2", "team.blue", "role.c", "desk.x", "", "*", "#"] {
        assert!(!identity.grants().covers(channel), "{channel}");
    }
    let literals: Vec<&str> = identity.grants().literals().map(ChannelName::as_str).collect();
    assert_eq!(literals, ["desk", "role.a", "role.b", "news"]);

    let anonymous = authenticator.authenticate(None, now()).unwrap();
    assert_eq!((anonymous.user(), anonymous.expires()), (None, None));
    assert!(anonymous.grants().covers("status.x") && !anonymous.grants().covers("desk"));
    assert_eq!(anonymous.grants().literals().map(ChannelName::as_str).collect::<Vec<_>>(), ["news"]);
}

#[test]
fn without_a_token_only_an_anonymous_subscriber_is_let_in() {
    let closed = load(vec![secret_issuer()]);
    assert_eq!(closed.authenticate(None, now()), Err(AuthError::Missing));
    assert_eq!(AuthError::Missing.challenge(), Challenge::Credentials);
    let open = load_config(&AuthConfig { anonymous: true, ..AuthConfig::default() });
    assert_eq!(present(&open, &hs256(&claims(json!({})))), Err(AuthError::IssuerRefused));
}

#[test]
fn wildcards_in_a_user_id_or_a_claim_cover_no_channel() {
    let authenticator = load_config(&AuthConfig {
        grants: vec!["user.{claim:/sub}".into(), "{claim:/sub}".into()],
        issuer: vec![secret_issuer()],
        ..AuthConfig::default()
    });
    for sub in ["*", "#", "a.#", "*.*", "."] {
        let identity = present(&authenticator, &hs256(&claims(json!({ "sub": sub })))).unwrap();
        assert_eq!(identity.user().unwrap().as_str(), sub);
        for channel in ["user.42", "user.*", "user", "42", "a.b", "", sub] {
            assert!(!identity.grants().covers(channel), "{sub} {channel}");
        }
    }
}

#[test]
fn a_token_is_bounded_in_bytes_and_in_grants() {
    let authenticator = load(vec![secret_issuer()]);
    for (padding, want) in
        [(5_000, None), (8_192, Some(AuthError::TokenTooLong)), (65_536, Some(AuthError::TokenTooLong))]
    {
        let token = hs256(&claims(json!({ "padding": "x".repeat(padding) })));
        assert_eq!(present(&authenticator, &token).err(), want, "{padding}");
    }
    let huge = hs256(&claims(json!({ "padding": "x".repeat(1 << 20) })));
    assert_eq!(present(&authenticator, &huge), Err(AuthError::TokenTooLong));

    let grants = |count: u32| claims(json!({ "channels": (0..count).map(|i| i.to_string()).collect::<Vec<_>>() }));
    assert!(present(&authenticator, &hs256(&grants(256))).is_ok());
    assert_eq!(present(&authenticator, &hs256(&grants(257))), Err(AuthError::ChannelsTooMany));
    let long = claims(json!({ "channels": ["x".repeat(256)] }));
    assert_eq!(present(&authenticator, &hs256(&long)), Err(AuthError::ChannelsInvalid));
}

#[test]
fn no_other_spelling_of_a_good_token_is_good() {
    let authenticator = load(vec![secret_issuer()]);
    let good = hs256(&claims(json!({})));
    assert!(present(&authenticator, &good).is_ok());
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\u{e4}";
    for (at, original) in good.char_indices() {
        for other in alphabet.chars().filter(|other| *other != original) {
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert!(present(&authenticator, &changed).is_err(), "{other:?} at {at}");
        }
        assert!(present(&authenticator, &good[..at]).is_err(), "cut at {at}");
    }
    let parts: Vec<&str> = good.split('.').collect();
    for changed in
        [format!("{good}="), format!(" {good}"), format!("{good}."), format!("{good}.a.b"), parts[..2].join(".")]
    {
        assert!(present(&authenticator, &changed).is_err(), "{changed}");
    }
}

#[test]
fn all_faults_are_told_at_once_and_none_quotes_a_key() {
    let both = IssuerConfig { jwks_file: Some("x".into()), ..secret_issuer() };
    let base64 = IssuerConfig { secret_base64: true, secret: Some(Secret::new("not base64!")), ..issuer(&["HS256"]) };
    let config = AuthConfig {
        query: vec!["token".into(), String::new()],
        cookie: "a b".into(),
        public_channels: vec![String::new()],
        grants: vec!["{user}".into()],
        issuer: vec![
            IssuerConfig { secret: Some(Secret::new("changeme")), user_claim: "sub".into(), ..issuer(&["HS256"]) },
            issuer(&["none"]),
            both,
            base64,
            IssuerConfig { algorithms: Vec::new(), ..secret_issuer() },
        ],
        ..AuthConfig::default()
    };
    let faults = faults(&config);
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let want = [
        "auth.query.1",
        "auth.cookie",
        "auth.public_channels.0",
        "auth.grants.0",
        "auth.issuer.0.user_claim",
        "auth.issuer.0.secret",
        "auth.issuer.1.algorithms.0",
        "auth.issuer.1",
        "auth.issuer.2",
        "auth.issuer.3.secret",
        "auth.issuer.4.algorithms",
    ];
    assert_eq!(keys, want);
    let told = format!("{faults:?}");
    assert!(!told.contains("changeme") && !told.contains("not base64!") && !told.contains(SECRET), "{told}");
}

#[test]
fn a_key_file_that_cannot_verify_is_a_fault() {
    let pem_as_secret = IssuerConfig { secret_file: Some(key_file("rsa.pem")), ..issuer(&["HS256"]) };
    let pem = std::fs::read(key_file("rsa.pem")).unwrap();
    let indented = [b"\n ", &*pem].concat();
    let pem_in_base64 =
        IssuerConfig { secret: Some(Secret::new(STANDARD.encode(pem))), secret_base64: true, ..issuer(&["HS256"]) };
    let pem_further_down = IssuerConfig { secret_file: Some(written("indented.pem", &indented)), ..issuer(&["HS256"]) };
    let weak_oct = written("weak.jwks", br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#);
    for (config, setting, clue) in [
        (pem_issuer(&["RS256"], "rsa.key"), "public_key_file", "private key"),
        (pem_issuer(&["RS256"], "rsa-1024.pem"), "public_key_file", "1024 bits"),
        (pem_issuer(&["RS256"], "rsa-1024.pkcs1.pem"), "public_key_file", "1024 bits"),
        (pem_issuer(&["RS256"], "rsa-1024.crt"), "public_key_file", "1024 bits"),
        (jwks_issuer(&["RS256"], "rsa-1024.jwks"), "jwks_file", "1024 bits"),
        (pem_issuer(&["ES256"], "p521.pem"), "public_key_file", "P-256 or P-384"),
        (pem_issuer(&["ES256"], "p256k.pem"), "public_key_file", "P-256 or P-384"),
        (jwks_issuer(&["ES256"], "p521.jwks"), "jwks_file", "no key"),
        (pem_issuer(&["ES256"], "p384.pem"), "public_key_file", "ES384"),
        (pem_issuer(&["HS256"], "rsa.pem"), "public_key_file", "RS256"),
        (jwks_issuer(&["HS256"], "rsa.jwks"), "jwks_file", "no key"),
        (pem_issuer(&["RS256"], "missing.pem"), "public_key_file", "cannot be read"),
        (jwks_issuer(&["RS256"], "rsa.pem"), "jwks_file", "JWK set"),
        (IssuerConfig { jwks_file: Some(weak_oct), ..issuer(&["HS256"]) }, "jwks_file", "keys.0"),
        (pem_as_secret, "secret_file", "public_key_file"),
        (pem_in_base64, "secret", "public_key_file"),
        (pem_further_down, "secret_file", "public_key_file"),
    ] {
        let faults = faults(&AuthConfig { issuer: vec![config], ..AuthConfig::default() });
        let fault = &faults[0];
        assert_eq!((faults.len(), fault.key.as_str()), (1, format!("auth.issuer.0.{setting}").as_str()), "{fault}");
        assert!(fault.problem.contains(clue), "{fault}");
    }
}

#[test]
fn threads_share_one_authenticator() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let authenticator = load(vec![secret_issuer()]);
    shared(&authenticator);
    let token = hs256(&claims(json!({})));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| present(&authenticator, &token).is_ok())).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn a_session_counts_for_as_long_as_the_application_is_asked_about_sessions() {
    let forward = ForwardConfig { url: Some("http://127.0.0.1/session".into()), ..ForwardConfig::default() };
    let asking = load_config(&AuthConfig { forward, issuer: vec![secret_issuer()], ..AuthConfig::default() });
    let identity = asking.of_session(Some("ada".into()), vec!["news".into()]).unwrap();
    assert_eq!(asking.reconsider(&identity, now()), Ok(identity.clone()));
    assert_eq!(load(vec![secret_issuer()]).reconsider(&identity, now()), Err(AuthError::SessionRefused));
}
