//! `token`: mints what a configured issuer would, for a secret that is at hand, or makes a key for a machine; verifying is the auth room's.

use std::error::Error as _;
use std::fs;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value as Json};

use super::args::TokenArgs;
use super::check;
use crate::app::Plan;
use crate::auth::{IssuerConfig, api_key_hash};

/// Of randomness in a key for a machine: more than can ever be guessed, so that a plain hash hides it.
const API_KEY_BYTES: usize = 32;

/// Why no token was minted. Says nothing of the secret.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("there is no auth.issuer.{0}")]
    NoIssuer(usize),
    #[error("the issuer has a public key, so only its owner can sign; ask there for a token")]
    NotOurs,
    #[error("the issuer lists none of the algorithms HS256, HS384 and HS512")]
    Algorithm,
    #[error("the file that secret_file names cannot be read")]
    SecretFile(#[source] io::Error),
    #[error("the issuer's secret is not base64, though secret_base64 says so")]
    SecretBase64,
    #[error("the issuer's {0} points to no place in the claims that is free for it")]
    Pointer(&'static str),
    #[error("the lifetime is beyond what a clock can tell")]
    Lifetime,
    #[error("the token cannot be signed")]
    Signature(#[source] jsonwebtoken::errors::Error),
}

/// Prints a token that the configured issuer would give, and nothing else, to `out`. Returns the exit code.
pub fn token(args: &TokenArgs, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    let Some(user) = &args.user else { return api_key(out, problems) };
    let plan = match Plan::load(&args.config.sources()) {
        Ok(plan) => plan,
        Err(faults) => {
            check::list(&faults, problems)?;
            return Ok(check::FAULTY);
        }
    };
    let issuers = &plan.config().auth.issuer;
    let minted = issuers
        .get(args.issuer_index)
        .ok_or(MintError::NoIssuer(args.issuer_index))
        .and_then(|issuer| mint(issuer, user, &args.channels, args.expires_in, SystemTime::now()));
    match minted {
        Ok(token) => {
            writeln!(out, "{token}")?;
            Ok(0)
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            writeln!(problems, "error: {error}{cause}")?;
            Ok(1)
        }
    }
}

/// Prints a random key and the table by which it is known. Returns the exit code.
fn api_key(out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    let mut random = [0; API_KEY_BYTES];
    if rand::fill(&mut random).is_err() {
        writeln!(problems, "error: the system gives no random numbers")?;
        return Ok(1);
    }
    let key = URL_SAFE_NO_PAD.encode(random);
    writeln!(out, "# For the machine alone: {key}")?;
    writeln!(out, "[[auth.api_key]]\nname = \"\"\nsha256 = \"{}\"\nchannels = []", api_key_hash(&key))?;
    Ok(0)
}

/// A token for `user` that this issuer's settings accept from `now` on for `lifetime`; no claim of channels if there are none.
pub fn mint(
    issuer: &IssuerConfig,
    user: &str,
    channels: &[String],
    lifetime: Duration,
    now: SystemTime,
) -> Result<String, MintError> {
    let secret = secret(issuer)?;
    let algorithm = issuer.algorithms.iter().find_map(|name| symmetric(name)).ok_or(MintError::Algorithm)?;
    let claims = claims(issuer, user, channels, lifetime, now)?;
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(&secret))
        .map_err(MintError::Signature)
}

fn symmetric(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "HS384" => Some(Algorithm::HS384),
        "HS512" => Some(Algorithm::HS512),
        _ => None,
    }
}

fn secret(issuer: &IssuerConfig) -> Result<Vec<u8>, MintError> {
    let bytes = match (&issuer.secret, &issuer.secret_file) {
        (Some(secret), _) => secret.expose().as_bytes().to_vec(),
        (None, Some(file)) => {
            let bytes = fs::read(file).map_err(MintError::SecretFile)?;
            // An editor ends a file with a newline that is no part of the secret.
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec()
        }
        (None, None) => return Err(MintError::NotOurs),
    };
    if issuer.secret_base64 { decode(&bytes).ok_or(MintError::SecretBase64) } else { Ok(bytes) }
}

/// Base64 in the standard or the URL alphabet, padded or not (RFC 4648 §4, §5).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let either = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, either).decode(text).ok())
}

fn claims(
    issuer: &IssuerConfig,
    user: &str,
    channels: &[String],
    lifetime: Duration,
    now: SystemTime,
) -> Result<Json, MintError> {
    let start = now.duration_since(UNIX_EPOCH).map_err(|_| MintError::Lifetime)?;
    let expires = start.checked_add(lifetime).ok_or(MintError::Lifetime)?;
    let mut claims = Map::new();
    claims.insert("iat".into(), start.as_secs().into());
    claims.insert("exp".into(), expires.as_secs().into());
    if !issuer.issuer.is_empty() {
        claims.insert("iss".into(), issuer.issuer.as_str().into());
    }
    if let Some(audience) = issuer.audience.first() {
        claims.insert("aud".into(), audience.as_str().into());
    }
    put(&mut claims, &issuer.user_claim, user.into()).ok_or(MintError::Pointer("user_claim"))?;
    if !channels.is_empty() {
        put(&mut claims, &issuer.channels_claim, channels.into()).ok_or(MintError::Pointer("channels_claim"))?;
    }
    Ok(Json::Object(claims))
}

/// Puts a value where the JSON pointer (RFC 6901) will find it. `None` for no pointer, or a place that is taken.
fn put(claims: &mut Map<String, Json>, pointer: &str, value: Json) -> Option<()> {
    let names: Vec<String> =
        pointer.strip_prefix('/')?.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    let (last, around) = names.split_last()?;
    let mut place = claims;
    for name in around {
        let next = place.entry(name.as_str()).or_insert_with(|| Json::Object(Map::new()));
        place = next.as_object_mut()?;
    }
    if place.contains_key(last) {
        return None;
    }
    place.insert(last.clone(), value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::ConfigArgs;
    use crate::setting::Secret;
    use jsonwebtoken::{DecodingKey, Validation};

    const SECRET: &str = "a secret that is long enough for HS512, which wants 64 bytes of it";
    const HOUR: Duration = Duration::from_secs(3600);

    fn issuer() -> IssuerConfig {
        IssuerConfig { algorithms: vec!["HS256".into()], secret: Some(Secret::new(SECRET)), ..IssuerConfig::default() }
    }

    /// The claims of a token that this secret signed.
    fn verified(token: &str, key: &[u8], algorithm: Algorithm) -> Json {
        let mut validation = Validation::new(algorithm);
        validation.validate_aud = false;
        jsonwebtoken::decode(token, &DecodingKey::from_secret(key), &validation).unwrap().claims
    }

    fn minted(issuer: &IssuerConfig, channels: &[&str]) -> Result<String, MintError> {
        let channels: Vec<String> = channels.iter().map(|&name| name.into()).collect();
        mint(issuer, "42", &channels, HOUR, SystemTime::now())
    }

    #[test]
    fn a_token_says_who_and_what_and_until_when() {
        let now = SystemTime::now();
        let issuer = IssuerConfig { issuer: "me".into(), audience: vec!["web".into(), "app".into()], ..issuer() };
        let token = mint(&issuer, "42", &["a".into(), "b.#".into()], HOUR, now).unwrap();
        let start = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expected = serde_json::json!({
            "sub": "42", "channels": ["a", "b.#"], "iss": "me", "aud": "web", "iat": start, "exp": start + 3600,
        });
        assert_eq!(verified(&token, SECRET.as_bytes(), Algorithm::HS256), expected);
    }

    #[test]
    fn claims_stand_where_the_pointers_look() {
        let issuer = IssuerConfig {
            algorithms: vec!["RS256".into(), "HS512".into()],
            user_claim: "/https:~1~1a.b/user/id".into(),
            channels_claim: "/https:~1~1a.b/channels".into(),
            ..issuer()
        };
        let claims = verified(&minted(&issuer, &["a"]).unwrap(), SECRET.as_bytes(), Algorithm::HS512);
        assert_eq!(claims.pointer(&issuer.user_claim), Some(&Json::from("42")));
        assert_eq!(claims.pointer(&issuer.channels_claim), Some(&serde_json::json!(["a"])));
        assert_eq!(
            verified(&minted(&issuer, &[]).unwrap(), SECRET.as_bytes(), Algorithm::HS512).pointer("/channels"),
            None
        );
    }

    #[test]
    fn a_secret_in_base64_or_in_a_file_signs_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        fs::write(&file, "-__-_v8=\n").unwrap();
        let in_file = IssuerConfig {
            secret: None,
            secret_file: Some(file.display().to_string()),
            secret_base64: true,
            ..issuer()
        };
        let key = [0xfb, 0xff, 0xfe, 0xfe, 0xff];
        verified(&minted(&in_file, &[]).unwrap(), &key, Algorithm::HS256);
        for text in ["+//+/v8=", "+//+/v8", "-__-_v8=", "-__-_v8"] {
            let inline = IssuerConfig { secret: Some(Secret::new(text)), secret_base64: true, ..issuer() };
            let claims = verified(&minted(&inline, &[]).unwrap(), &key, Algorithm::HS256);
            assert_eq!(claims["sub"], "42");
        }
    }

    #[test]
    fn only_the_owner_of_a_private_key_can_sign() {
        let public = IssuerConfig { secret: None, public_key_file: Some("k.pem".into()), ..issuer() };
        assert!(minted(&public, &[]).unwrap_err().to_string().contains("only its owner can sign"));
    }

    #[test]
    fn the_command_prints_the_token_alone_or_why_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        let text = format!(
            "[[auth.issuer]]\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\n\
             [[mapping]]\nrouting_key = \"user.{{user}}.#\"\nuser = \"{{user}}\"\n"
        );
        fs::write(&file, text).unwrap();
        let run = |issuer_index| {
            let args = TokenArgs {
                config: ConfigArgs { config: Some(file.clone()) },
                user: Some("42".into()),
                api_key: false,
                channels: vec![],
                expires_in: HOUR,
                issuer_index,
            };
            let (mut out, mut problems) = (Vec::new(), Vec::new());
            let code = token(&args, &mut out, &mut problems).unwrap();
            (code, String::from_utf8(out).unwrap(), String::from_utf8(problems).unwrap())
        };
        let (code, out, problems) = run(0);
        assert_eq!((code, problems.as_str()), (0, ""));
        assert_eq!(verified(out.trim_end(), SECRET.as_bytes(), Algorithm::HS256)["sub"], "42");
        assert_eq!(run(1), (1, String::new(), "error: there is no auth.issuer.1\n".into()));
    }

    #[test]
    fn a_key_for_a_machine_is_new_each_time_and_known_by_the_hash_beside_it() {
        let make = || {
            let (mut out, mut problems) = (Vec::new(), Vec::new());
            assert_eq!((api_key(&mut out, &mut problems).unwrap(), problems.len()), (0, 0));
            String::from_utf8(out).unwrap()
        };
        let text = make();
        let key = text.lines().next().unwrap().strip_prefix("# For the machine alone: ").unwrap();
        let table: toml::Table = text.parse().unwrap();
        let hash = table["auth"]["api_key"][0]["sha256"].as_str().unwrap();
        assert_eq!((key.len(), hash), (43, api_key_hash(key).as_str()));
        assert_ne!(make(), text);
    }

    #[test]
    fn what_cannot_be_signed_is_said_without_the_secret() {
        let faulty = [
            IssuerConfig { algorithms: vec!["ES256".into()], ..issuer() },
            IssuerConfig { secret_base64: true, ..issuer() },
            IssuerConfig { secret: None, secret_file: Some("/nonexistent/secret".into()), ..issuer() },
            IssuerConfig { user_claim: "sub".into(), ..issuer() },
            IssuerConfig { user_claim: "/exp".into(), ..issuer() },
            IssuerConfig { channels_claim: "/sub".into(), ..issuer() },
            IssuerConfig { channels_claim: "/sub/channels".into(), ..issuer() },
        ];
        for issuer in faulty {
            let error = minted(&issuer, &["a"]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        }
        let endless = mint(&issuer(), "42", &[], Duration::MAX, SystemTime::now());
        assert!(matches!(endless, Err(MintError::Lifetime)));
    }
}
