//! Tokens that somebody made who must not, each refused for the right reason; and good ones of a library in another language.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking, whichever function does it")]

#[allow(dead_code, reason = "shared by test binaries that each use a part")]
mod tokens;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cottontail::auth::{
    AuthConfig, AuthError, Authenticator, Credentials, Identity, IssuerConfig, Source, credentials,
};
use cottontail::event::UserId;
use cottontail::setting::Secret;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tokens::{NOW, SECRET, claims, hs256, key_file, now, sign, sign_in_perl};

fn issuer(algorithms: &[&str]) -> IssuerConfig {
    IssuerConfig { algorithms: algorithms.iter().map(|name| (*name).into()).collect(), ..IssuerConfig::default() }
}

/// An application that has moved from a secret to a key pair, and keeps both: the favourite prey of forgers.
fn both() -> Authenticator {
    load(vec![
        IssuerConfig { secret: Some(Secret::new(SECRET)), ..issuer(&["HS256", "HS384", "HS512"]) },
        IssuerConfig { public_key_file: Some(key_file("rsa.pem")), ..issuer(&["RS256", "PS256", "HS256"]) },
        IssuerConfig { jwks_file: Some(key_file("named.jwks")), ..issuer(&["RS256", "ES256", "HS256"]) },
    ])
}

fn load(issuers: Vec<IssuerConfig>) -> Authenticator {
    let config = AuthConfig { issuer: issuers, ..AuthConfig::default() };
    Authenticator::load(&config).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn present(authenticator: &Authenticator, token: &str) -> Result<Identity, AuthError> {
    authenticator.authenticate(Some(&Credentials::new(token, Source::Header)), now())
}

fn refusal(authenticator: &Authenticator, token: &str) -> AuthError {
    present(authenticator, token).expect_err(token)
}

/// Header and payload as they are, with these bytes for a signature.
fn forged(header: &str, payload: &str, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", part(header.as_bytes()), part(payload.as_bytes()), part(signature))
}

fn good_claims() -> String {
    claims(json!({})).to_string()
}

#[test]
fn none_is_no_algorithm_in_any_spelling() {
    let authenticator = both();
    let mut spellings: Vec<String> = (0..16_u32)
        .map(|upper| {
            let letter = |(at, letter): (usize, char)| {
                if upper >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
            };
            "none".chars().enumerate().map(letter).collect()
        })
        .collect();
    spellings.extend(
        [" none", "none ", "none\\u0000", "n\\u006fne", "nоne", "null", "", "unsecured", "HS0"].map(Into::into),
    );
    for spelling in spellings {
        let header = format!(r#"{{"alg":"{spelling}","typ":"JWT"}}"#);
        for signature in [&b"\0"[..], b"none", &[0; 32]] {
            let token = forged(&header, &good_claims(), signature);
            assert_eq!(refusal(&authenticator, &token), AuthError::AlgorithmRefused, "{header}");
        }
        // RFC 7515 §A.5: an unsecured token has an empty signature, or somebody leaves its dot out as well.
        let unsecured = forged(&header, &good_claims(), b"");
        assert_eq!(refusal(&authenticator, &unsecured), AuthError::TokenMalformed, "{header}");
        assert_eq!(refusal(&authenticator, unsecured.trim_end_matches('.')), AuthError::TokenMalformed, "{header}");
    }
}

#[test]
fn a_public_key_is_no_secret_however_it_is_written() {
    let authenticator = both();
    let mut keys: Vec<String> = ["rsa.pem", "rsa.pkcs1.pem", "rsa.crt", "rsa.jwks", "named.jwks"].map(key_file).into();
    for file in ["rsa.pem", "rsa.pkcs1.pem"] {
        let pem = std::fs::read_to_string(key_file(file)).unwrap();
        let der = pem::parse(&pem).unwrap().into_contents();
        for (ending, bytes) in [
            ("trimmed", pem.trim_end().as_bytes().to_vec()),
            ("crlf", pem.replace('\n', "\r\n").into_bytes()),
            ("body", pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes()),
            ("der", der),
        ] {
            let path = key_file(&format!("{file}.{ending}"));
            std::fs::write(&path, bytes).unwrap();
            keys.push(path);
        }
    }
    let job = |key: &String, header: &str| json!({ "alg": "HS256", "key": key, "header": header, "claims": claims(json!({})) });
    let headers = [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"rsa"}"#];
    let jobs: Vec<Value> = keys.iter().flat_map(|key| headers.map(|header| job(key, header))).collect();
    for (job, token) in jobs.iter().zip(sign(&jobs)) {
        assert_eq!(refusal(&authenticator, &token), AuthError::SignatureInvalid, "{job}");
        let asymmetric =
            load(vec![IssuerConfig { public_key_file: Some(key_file("rsa.pem")), ..issuer(&["RS256", "HS256"]) }]);
        assert_eq!(refusal(&asymmetric, &token), AuthError::AlgorithmRefused, "{job}");
    }
}

#[test]
fn a_signature_of_zeros_or_of_the_groups_order_verifies_nothing() {
    // FIPS 186-5 §6.4.2: r and s are at least 1 and less than n.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
    let zero = vec![0; 32];
    let one = [vec![0; 31], vec![1]].concat();
    let authenticator = both();
    for header in [r#"{"alg":"ES256"}"#, r#"{"alg":"ES256","kid":"p256"}"#] {
        for (r, s) in [(&zero, &zero), (&order, &order), (&zero, &one), (&one, &zero), (&order, &one), (&one, &order)] {
            let token = forged(header, &good_claims(), &[r.clone(), s.clone()].concat());
            assert_eq!(refusal(&authenticator, &token), AuthError::SignatureInvalid, "{r:?} {s:?}");
        }
        // The same two numbers in DER (X9.62) are no signature of a token.
        for der in [&[0x30, 6, 2, 1, 0, 2, 1, 0][..], &[0x30, 6, 2, 1, 1, 2, 1, 1]] {
            assert_eq!(refusal(&authenticator, &forged(header, &good_claims(), der)), AuthError::SignatureInvalid);
        }
    }
}

#[test]
fn a_token_brings_no_key_and_no_extension() {
    let authenticator = both();
    let extras = [
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jwk":{}"#,
        r#""jku":"https://id.example.com/keys""#,
        r#""jku":"file:///etc/passwd""#,
        r#""x5u":"https://id.example.com/chain""#,
        r#""x5c":["MIIB"]"#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":false"#,
        r#""b64":0"#,
    ];
    let job = |extra: &str| json!({ "alg": "HS256", "key": { "secret": SECRET }, "header": format!(r#"{{"alg":"HS256",{extra}}}"#), "claims": claims(json!({})) });
    // Hashes of keys (RFC 7515 §4.1.7) and a content type name nothing to fetch or to trust.
    let harmless = [r#""x5t":"abc","x5t#S256":"abc""#, r#""cty":"x","typ":"at+jwt""#, r#""b64":true"#];
    let jobs: Vec<Value> = extras.iter().chain(&harmless).map(|extra| job(extra)).collect();
    for (at, (job, token)) in jobs.iter().zip(sign_raw(&jobs)).enumerate() {
        if at < extras.len() {
            assert_eq!(refusal(&authenticator, &token), AuthError::HeaderRefused, "{job}");
        } else {
            assert!(present(&authenticator, &token).is_ok(), "{job}");
        }
    }
}

/// Jobs whose key is a secret and whose header is given go through a file, since `sign.py` reads keys of forgeries there.
fn sign_raw(jobs: &[Value]) -> Vec<String> {
    let path = key_file("secret-of-forgeries.txt");
    std::fs::write(&path, SECRET).unwrap();
    let jobs: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let mut job = job.clone();
            job["key"] = json!(path);
            job
        })
        .collect();
    sign(&jobs)
}

#[test]
fn a_kid_is_compared_and_never_followed() {
    let authenticator = load(vec![IssuerConfig { jwks_file: Some(key_file("named.jwks")), ..issuer(&["RS256"]) }]);
    let kids = [
        "/dev/null",
        "../../../../dev/null",
        "file:///dev/null",
        "http://127.0.0.1/key",
        "' OR '1'='1",
        "rsa'; DROP TABLE keys --",
        "rsa\u{0}",
        "rsa ",
        "RSA",
        "$(id)",
        "`id`",
        "| id",
        "%2e%2e%2f",
        "*",
        "",
        "🐇",
    ];
    let jobs: Vec<Value> = kids
        .iter()
        .map(|kid| json!({ "alg": "RS256", "key": key_file("rsa.key"), "claims": claims(json!({})), "headers": { "kid": kid } }))
        .collect();
    for (kid, token) in kids.iter().zip(sign(&jobs)) {
        assert_eq!(refusal(&authenticator, &token), AuthError::KeyUnknown, "{kid}");
    }
}

#[test]
fn an_encrypted_token_is_no_signed_one() {
    let authenticator = both();
    for header in [
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rsa"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"p2s":"AAAA"}"#,
        r#"{"alg":"HS256","enc":"A256GCM","zip":"DEF"}"#,
    ] {
        let header = URL_SAFE_NO_PAD.encode(header);
        for rest in ["..AAAA.AAAA.AAAA", ".AAAA.AAAA.AAAA.AAAA", ".AAAA.AAAA.AAAA."] {
            assert_eq!(refusal(&authenticator, &format!("{header}{rest}")), AuthError::TokenMalformed, "{rest}");
        }
    }
}

#[test]
fn what_the_payload_says_counts_only_as_it_should() {
    let authenticator = both();
    let payload = |text: String| json!({ "alg": "HS256", "key": { "secret": SECRET }, "payload": text });
    let later = NOW + 60;
    let cases = [
        (format!(r#"{{"exp":{later},"exp":{later}}}"#), Some(AuthError::TokenMalformed)),
        (format!(r#"{{"exp":{later},"\u0065xp":1}}"#), Some(AuthError::TokenMalformed)),
        (format!(r#"{{"exp":{later},"a":{{"b":1,"b":2}}}}"#), Some(AuthError::TokenMalformed)),
        (format!(r#"{{"Exp":{later}}}"#), Some(AuthError::ExpiryMissing)),
        (format!(r#"{{"exp":["{later}"]}}"#), Some(AuthError::TimeInvalid)),
        (format!(r#"{{"exp":"{later}"}}"#), Some(AuthError::TimeInvalid)),
        (r#"{"exp":-1}"#.into(), Some(AuthError::TimeInvalid)),
        (r#"{"exp":1e308}"#.into(), Some(AuthError::TimeInvalid)),
        (r#"{"exp":9223372036854775807}"#.into(), Some(AuthError::TimeInvalid)),
        (r#"{"exp":NaN}"#.into(), Some(AuthError::TokenMalformed)),
        (r#"{"exp":null}"#.into(), Some(AuthError::TimeInvalid)),
        (format!(r#"{{"exp":{}}}"#, NOW - 3600), Some(AuthError::Expired)),
        (format!(r#"{{"exp":{later},"nbf":{later}}}"#), Some(AuthError::NotYetValid)),
        // White space around JSON is JSON.
        (format!("{{\"exp\":{later}}} "), None),
        (format!("{{\"exp\":{later}}}{{}}"), Some(AuthError::TokenMalformed)),
        (format!("\u{feff}{{\"exp\":{later}}}"), Some(AuthError::TokenMalformed)),
        ("[".repeat(5000), Some(AuthError::TokenMalformed)),
    ];
    let jobs: Vec<Value> = cases.iter().map(|(text, _)| payload(text.clone())).collect();
    for ((text, want), token) in cases.iter().zip(sign(&jobs)) {
        assert_eq!(present(&authenticator, &token).err(), *want, "{text}");
    }
}

#[test]
fn two_tokens_that_disagree_are_refused_and_none_is_looked_at() {
    let config = AuthConfig { cookie: "session".into(), ..AuthConfig::default() };
    let (one, two) = (hs256(&claims(json!({}))), hs256(&claims(json!({ "sub": "43" }))));
    let ask = |bearer: Option<&str>, query: &str, cookie: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(token) = bearer {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        if let Some(token) = cookie {
            headers.insert(header::COOKIE, HeaderValue::from_str(&format!("session={token}")).unwrap());
        }
        credentials(&headers, Some(query), &config).map(|found| found.is_some())
    };
    for (bearer, query, cookie) in [
        (Some(&*one), format!("token={two}"), None),
        (Some(&*one), String::new(), Some(&*two)),
        (None, format!("token={one}"), Some(&*two)),
        (None, format!("token={one}&token={two}"), None),
        (None, format!("token={one}&access_token={two}"), None),
        (Some(&*one), format!("token={one}"), Some(&*two)),
    ] {
        assert_eq!(ask(bearer, &query, cookie), Err(AuthError::TokensDisagree), "{query}");
    }
    assert_eq!(ask(Some(&one), &format!("token={one}&access_token={one}"), Some(&one)), Ok(true));
}

#[test]
fn tokens_of_a_library_in_another_language_are_good_and_theirs_alone() {
    let key = |algorithm: &str| match algorithm {
        _ if algorithm.starts_with("HS") => json!({ "secret": SECRET }),
        "ES256" => json!(key_file("p256.key")),
        "ES384" => json!(key_file("p384.key")),
        "EdDSA" => json!(key_file("ed25519.key")),
        _ => json!(key_file("rsa.key")),
    };
    let public = |algorithm: &str| match algorithm {
        "ES256" => key_file("p256.pem"),
        "ES384" => key_file("p384.pem"),
        "EdDSA" => key_file("ed25519.pem"),
        _ => key_file("rsa.pem"),
    };
    let algorithms =
        ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let jobs: Vec<Value> = algorithms
        .iter()
        .map(|algorithm| json!({ "alg": algorithm, "key": key(algorithm), "claims": claims(json!({ "channels": ["a"] })), "headers": { "kid": "k" } }))
        .collect();
    let tokens = sign_in_perl(&jobs);
    assert_eq!(tokens.len(), algorithms.len());
    for (algorithm, token) in algorithms.iter().zip(&tokens) {
        let secret = algorithm.starts_with("HS").then(|| Secret::new(SECRET));
        let public_key_file = secret.is_none().then(|| public(algorithm));
        let authenticator = load(vec![IssuerConfig { secret, public_key_file, ..issuer(&[algorithm]) }]);
        let identity = present(&authenticator, token).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(identity.user().map(UserId::as_str), Some("42"), "{algorithm}");
        for other in tokens.iter().filter(|other| *other != token) {
            assert_eq!(refusal(&authenticator, other), AuthError::AlgorithmRefused, "{algorithm}");
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(refusal(&authenticator, &changed), AuthError::SignatureInvalid, "{algorithm}, byte {at}");
            bytes[at] ^= 1;
        }
    }
}
