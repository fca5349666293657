//! Tokens and keys made by `PyJWT` and pyca/cryptography, so that the program's own JWT library never judges its own work.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::secrecy::keep_secret;

/// Debian's, since that is the one for which python3-jwt is packaged.
const PYTHON: &str = "/usr/bin/python3";

const SIGN: &str = "
import json, jwt, sys
r = json.load(sys.stdin)
print('\\n'.join(jwt.encode(c, r['key'], r['algorithm'], r['headers']) for c in r['claims']))
";

const MAKE_KEYS: &str = "
import base64, json, sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
kind = json.load(sys.stdin)
key = {'RS': lambda: rsa.generate_private_key(65537, 2048), 'PS': lambda: rsa.generate_private_key(65537, 2048),
       'ES256': lambda: ec.generate_private_key(ec.SECP256R1()), 'ES384': lambda: ec.generate_private_key(ec.SECP384R1()),
       'EdDSA': ed25519.Ed25519PrivateKey.generate}[kind]()
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=').decode()
number = lambda value, length: b64(value.to_bytes(length, 'big'))
public = key.public_key()
if isinstance(public, rsa.RSAPublicKey):
    n = public.public_numbers()
    jwk = {'kty': 'RSA', 'n': number(n.n, 256), 'e': number(n.e, 3)}
elif isinstance(public, ec.EllipticCurvePublicKey):
    n, length = public.public_numbers(), public.key_size // 8
    jwk = {'kty': 'EC', 'crv': 'P-%d' % public.key_size, 'x': number(n.x, length), 'y': number(n.y, length)}
else:
    jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'x': b64(public.public_bytes(s.Encoding.Raw, s.PublicFormat.Raw))}
print(json.dumps([
    key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode(),
    public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo).decode(), json.dumps(jwk)]))
";

/// A maker of tokens: what the legacy application does at login.
#[derive(Clone, Debug)]
pub struct Issuer {
    algorithm: String,
    key: String,
    public_key: String,
    jwk: String,
}

impl Issuer {
    /// `HS256`, `HS384` or `HS512` with a secret of its own.
    pub fn hmac(algorithm: &str) -> Self {
        let key: String = std::iter::repeat_with(fastrand::alphanumeric).take(64).collect();
        keep_secret("signing secret", key.clone());
        Self { algorithm: algorithm.into(), key, public_key: String::new(), jwk: String::new() }
    }

    /// `RS…`, `PS…`, `ES256`, `ES384` or `EdDSA` with a key pair of its own.
    pub fn key_pair(algorithm: &str) -> Self {
        let kind = if algorithm.starts_with("RS") || algorithm.starts_with("PS") { &algorithm[..2] } else { algorithm };
        let made: [String; 3] = serde_json::from_str(&python(MAKE_KEYS, &json!(kind))).expect("two PEM texts, a JWK");
        let [key, public_key, jwk] = made;
        keep_secret("private key", key.lines().nth(1).expect("PEM has lines"));
        Self { algorithm: algorithm.into(), key, public_key, jwk }
    }

    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The HMAC secret.
    pub fn secret(&self) -> &str {
        assert!(self.public_key.is_empty(), "a key pair has no secret to share");
        &self.key
    }

    /// PEM, `SubjectPublicKeyInfo`.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The public key as a JWK (RFC 7517) of this name.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.jwk).expect("a key pair has a JWK");
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token for `user` that is good for an hour.
    pub fn token(&self, user: &str) -> String {
        self.sign(&json!({ "sub": user, "exp": now() + 3600 }))
    }

    /// As [`Issuer::token`], with channel grants.
    pub fn token_with_channels(&self, user: &str, channels: &[&str]) -> String {
        self.sign(&json!({ "sub": user, "channels": channels, "exp": now() + 3600 }))
    }

    /// A token with exactly these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(claims, &json!({}))
    }

    /// A token with further header parameters.
    pub fn sign_with_header(&self, claims: &Value, headers: &Value) -> String {
        self.sign_all(std::slice::from_ref(claims), headers).remove(0)
    }

    /// A token for each of the claims, all made at once.
    pub fn sign_all(&self, claims: &[Value], headers: &Value) -> Vec<String> {
        let request = json!({ "claims": claims, "key": self.key, "algorithm": self.algorithm, "headers": headers });
        let tokens: Vec<String> = python(SIGN, &request).lines().map(str::to_owned).collect();
        // The header alone is no secret and the same in many tokens.
        for part in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
            keep_secret("token", part);
        }
        tokens
    }
}

/// Seconds since the epoch, as `exp` counts them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

fn python(program: &str, input: &Value) -> String {
    let mut child = Command::new(PYTHON)
        .args(["-I", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("/usr/bin/python3 is installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input.to_string().as_bytes()).expect("python reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the child is ours");
    assert!(output.status.success(), "python3 failed; are python3-jwt and python3-cryptography installed?");
    String::from_utf8(output.stdout).expect("python prints UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_and_says_its_algorithm() {
        use base64::Engine;
        let token = Issuer::hmac("HS384").token("ada");
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[0]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["alg"], "HS384");
    }
}
