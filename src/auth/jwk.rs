//! A JWK set (RFC 7517 §5) to the keys in it that verify signatures; where the set comes from is not known here.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Curve, Key, Material, Unusable};

/// Keys read from one set; a larger set is a mistake or an attack.
const MAX_KEYS: usize = 128;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The members that matter here (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
    d: Option<Value>,
}

/// What becomes of a set with a key that is meant for us and is broken or weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// In a file somebody can be told to mend it.
    Refuse,
    /// At an issuer its other keys are still wanted (RFC 7517 §5).
    Skip,
}

/// The usable keys of the JWK set in `json`, bound to the issuer's `allowed` algorithms.
///
/// Skipped, as RFC 7517 §5 asks: keys of another use, type, curve or algorithm, and keys that come with their private
/// part, which must not be here. A set without any usable key is an error.
pub(super) fn read_set(json: &[u8], allowed: &[Algorithm], broken: Broken) -> Result<Vec<Key>, Unusable> {
    let set: Set = serde_json::from_slice(json).map_err(|_| Unusable::NotJwkSet)?;
    if set.keys.len() > MAX_KEYS {
        return Err(Unusable::TooManyKeys(MAX_KEYS));
    }
    let skipped = set.keys.len();
    let mut keys = Vec::new();
    for (index, entry) in set.keys.into_iter().enumerate() {
        let key = Jwk::deserialize(entry).map_err(|_| Unusable::MalformedJwk).and_then(|jwk| jwk.bind(allowed));
        match key {
            Ok(key) => keys.extend(key),
            Err(_) if broken == Broken::Skip => {}
            Err(problem) => return Err(Unusable::InSet { index, problem: Box::new(problem) }),
        }
    }
    if keys.is_empty() { Err(Unusable::NothingUsable { skipped }) } else { Ok(keys) }
}

impl Jwk {
    /// `None` for a key that is to be skipped.
    fn bind(self, allowed: &[Algorithm]) -> Result<Option<Key>, Unusable> {
        let only = self.alg.as_deref().map(Algorithm::from_str);
        if !self.is_for_verification() || matches!(only, Some(Err(_))) {
            return Ok(None);
        }
        let Some(material) = self.material()? else { return Ok(None) };
        match Key::bind(&material, self.kid, only.and_then(Result::ok), allowed) {
            Ok(key) => Ok(Some(key)),
            Err(Unusable::NoAlgorithm(_)) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn is_for_verification(&self) -> bool {
        self.usage.as_ref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
            && self.d.is_none()
    }

    fn material(&self) -> Result<Option<Material>, Unusable> {
        Ok(Some(match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Material::Secret(decode(self.k.as_ref())?),
            ("RSA", _) => Material::rsa_components(&decode(self.n.as_ref())?, &decode(self.e.as_ref())?)?,
            ("EC", Some("P-256")) => Material::Ec(Curve::P256, self.point(Curve::P256)?),
            ("EC", Some("P-384")) => Material::Ec(Curve::P384, self.point(Curve::P384)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(decode(self.x.as_ref())?),
            _ => return Ok(None),
        }))
    }

    /// The uncompressed point (SEC 1 §2.3.3); each coordinate has its full length (RFC 7518 §6.2.1.2).
    fn point(&self, curve: Curve) -> Result<Vec<u8>, Unusable> {
        let (x, y) = (decode(self.x.as_ref())?, decode(self.y.as_ref())?);
        if x.len() != curve.coordinate_bytes() || y.len() != curve.coordinate_bytes() {
            return Err(Unusable::MalformedJwk);
        }
        Ok([vec![4], x, y].concat())
    }
}

fn decode(member: Option<&String>) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD.decode(member.ok_or(Unusable::MalformedJwk)?).map_err(|_| Unusable::MalformedJwk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    const OCT: &str = r#"{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    // RFC 8037 §A.2.
    const OKP: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn read(entries: &[&str]) -> Result<Vec<Key>, Unusable> {
        read_set(format!(r#"{{"keys":[{}]}}"#, entries.join(",")).as_bytes(), &ALL, Broken::Refuse)
    }

    #[test]
    fn keys_that_are_not_for_us_are_skipped() {
        let with = |extra: &str| OKP.replacen('{', &format!("{{{extra},"), 1);
        for entry in [
            r#"{"kty":"new-kind"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            with(r#""use":"enc""#),
            with(r#""use":"private.example""#),
            with(r#""key_ops":["sign"]"#),
            with(r#""alg":"RSA-OAEP""#),
            with(r#""alg":"ES256""#),
            with(r#""d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A""#),
        ] {
            assert_eq!(read(&[&entry]).err(), Some(Unusable::NothingUsable { skipped: 1 }), "{entry}");
            assert_eq!(read(&[&entry, OCT, OKP]).map(|keys| keys.len()), Ok(2), "{entry}");
        }
        assert_eq!(read(&[&with(r#""alg":"EdDSA","use":"sig","key_ops":["verify"]"#)]).map(|keys| keys.len()), Ok(1));
    }

    #[test]
    fn a_broken_or_weak_key_is_named_by_its_place() {
        for entry in [
            r#"{"kty":"oct"}"#,
            r#"{"kty":"oct","k":"a b"}"#,
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":7}"#,
            "[]",
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#,
        ] {
            assert!(matches!(read(&[OCT, entry]).err(), Some(Unusable::InSet { index: 1, .. })), "{entry}");
            let set = format!(r#"{{"keys":[{entry},{OCT}]}}"#);
            assert_eq!(read_set(set.as_bytes(), &ALL, Broken::Skip).map(|keys| keys.len()), Ok(1), "{entry}");
        }
    }

    #[test]
    fn what_is_not_a_set_is_refused() {
        for json in ["", "{}", OCT, r#"{"keys":{}}"#] {
            assert_eq!(read_set(json.as_bytes(), &ALL, Broken::Refuse).err(), Some(Unusable::NotJwkSet), "{json}");
        }
        assert_eq!(read(&[]).err(), Some(Unusable::NothingUsable { skipped: 0 }));
        assert_eq!(read(&[OCT; 129]).err(), Some(Unusable::TooManyKeys(MAX_KEYS)));
    }

    proptest! {
        #[test]
        fn any_set_is_read_or_refused(member in "kty|crv|x|y|n|e|k|alg|use", value in r#""[A-Za-z0-9_-]{0,50}"|1|null|\[\]"#) {
            let entry = format!(r#"{{"{member}":{value},"kty":"RSA","crv":"P-256","x":"AA","y":"AA","n":"AA","e":"AQAB"}}"#);
            if let Ok(keys) = read(&[&entry]) {
                prop_assert_eq!(keys.len(), 1);
            }
        }
    }
}
