//! A verification key bound to its algorithms: what may be one, how strong it must be, and the signature check; reads no file format.

use std::io;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

/// RFC 7518 §3.3 and §3.5.
const MIN_RSA_BITS: usize = 2048;
/// Beyond this the library verifies nothing.
const MAX_RSA_BITS: usize = 8192;

const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// What makes the algorithms of a secret, and the bytes that it needs, the length of the hash (RFC 7518 §3.2).
static HASHES: [(Algorithm, hmac::Algorithm, usize); 3] = [
    (Algorithm::HS256, hmac::HMAC_SHA256, 32),
    (Algorithm::HS384, hmac::HMAC_SHA384, 48),
    (Algorithm::HS512, hmac::HMAC_SHA512, 64),
];

/// RFC 7518 §3.3 to §3.5, RFC 8037 §3.1; an ECDSA signature is two numbers of fixed length, not DER.
static SIGNATURES: [(Algorithm, &dyn VerificationAlgorithm); 9] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
    (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED),
    (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED),
    (Algorithm::EdDSA, &ED25519),
];

/// Why something cannot be used as a key; a clause for a fault or a log line, without a byte of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("names a file that cannot be read: {0}")]
    FileUnreadable(io::ErrorKind),
    #[error("names a file over {0} bytes")]
    FileTooLarge(u64),
    #[error("is not base64")]
    NotBase64,
    #[error("is PEM; a public key belongs in `public_key_file`")]
    PemAsSecret,
    #[error("is too short for {algorithm:?}, which needs {min_bytes} bytes or more (RFC 7518 §3.2)")]
    SecretTooShort { algorithm: Algorithm, min_bytes: usize },
    #[error("is an RSA key of {bits} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")]
    RsaSize { bits: usize },
    #[error("is not a valid {0} public key")]
    Invalid(&'static str),
    #[error("fits none of the issuer's algorithms; it could verify {}", names(.0))]
    NoAlgorithm(&'static [Algorithm]),
    #[error("is not PEM with a public key (\"PUBLIC KEY\", \"RSA PUBLIC KEY\" or \"CERTIFICATE\")")]
    NotPem,
    #[error("holds a private key; only the public one belongs here")]
    PrivateKey,
    #[error("holds a key that is neither RSA, EC on P-256 or P-384, nor Ed25519")]
    Unsupported,
    #[error("is not a JWK set, a JSON object with a list named \"keys\" (RFC 7517 §5)")]
    NotJwkSet,
    #[error("has more than {0} keys")]
    TooManyKeys(usize),
    #[error("is not a JWK with the members and encodings of its type (RFC 7518 §6)")]
    MalformedJwk,
    #[error("has a key, `keys.{index}`, that {problem}")]
    InSet { index: usize, problem: Box<Self> },
    #[error("has no key that verifies one of the issuer's algorithms ({skipped} skipped)")]
    NothingUsable { skipped: usize },
}

fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// Length of one coordinate in bytes (RFC 7518 §6.2.1.2).
    pub(super) const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// What a key file holds, whatever its format. A public key can never become an HMAC secret: the variants do not convert.
pub(super) enum Material {
    Secret(Vec<u8>),
    /// DER, either `RSAPublicKey` (RFC 8017 §A.1.1) or `SubjectPublicKeyInfo`.
    Rsa(Vec<u8>),
    /// A point as SEC 1 §2.3.3 writes it.
    Ec(Curve, Vec<u8>),
    /// 32 bytes (RFC 8032 §5.1.5).
    Ed25519(Vec<u8>),
}

impl Material {
    /// An RSA key from its big-endian modulus and exponent.
    pub(super) fn rsa_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, Unusable> {
        // Some encoders write a sign byte, which RFC 7518 §6.3.1.1 forbids and the library refuses.
        let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>();
        let components = RsaPublicKeyComponents { n: trim(modulus), e: trim(exponent) };
        let der = components.as_der().map_err(|_| Unusable::Invalid("RSA"))?;
        Ok(Self::Rsa(der.as_ref().to_vec()))
    }

    pub(super) const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Secret(_) => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            Self::Rsa(_) => RSA_ALGORITHMS,
            Self::Ec(Curve::P256, _) => &[Algorithm::ES256],
            Self::Ec(Curve::P384, _) => &[Algorithm::ES384],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
        }
    }

    /// Reads the key once for all tokens that will come, each of which can then be verified by `algorithm`.
    fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, Unusable> {
        let (bytes, kind) = match self {
            Self::Secret(secret) => {
                let known = HASHES.iter().find(|(name, ..)| *name == algorithm);
                let &(_, hash, min_bytes) = known.ok_or(Unusable::NoAlgorithm(self.algorithms()))?;
                if secret.len() < min_bytes {
                    return Err(Unusable::SecretTooShort { algorithm, min_bytes });
                }
                return Ok(Verifier::Secret(Box::new(hmac::Key::new(hash, secret))));
            }
            Self::Rsa(der) => {
                let key = rsa::PublicKey::from_der(der).map_err(|_| Unusable::Invalid("RSA"))?;
                let modulus = key.modulus().big_endian_without_leading_zero();
                let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                let bits = modulus.len() * 8 - unused;
                if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                    return Err(Unusable::RsaSize { bits });
                }
                (der, "RSA")
            }
            Self::Ec(Curve::P256, point) => (point, "P-256"),
            Self::Ec(Curve::P384, point) => (point, "P-384"),
            Self::Ed25519(bytes) => (bytes, "Ed25519"),
        };
        let known = SIGNATURES.iter().find(|(name, _)| *name == algorithm);
        let (_, verification) = known.ok_or(Unusable::NoAlgorithm(self.algorithms()))?;
        ParsedPublicKey::new(*verification, bytes).map(Verifier::Public).map_err(|_| Unusable::Invalid(kind))
    }
}

/// A key as the library wants it, read once: reading an RSA key anew for each token takes a fifth of the time.
enum Verifier {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// A key and the only algorithms it verifies.
pub(super) struct Key {
    kid: Option<String>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

impl Key {
    /// Binds `material` to those of the issuer's `allowed` algorithms that it fits and, when a JWK says so, to `only` one.
    pub(super) fn bind(
        material: &Material,
        kid: Option<String>,
        only: Option<Algorithm>,
        allowed: &[Algorithm],
    ) -> Result<Self, Unusable> {
        let fits = |algorithm: &&Algorithm| {
            material.algorithms().contains(*algorithm) && only.is_none_or(|only| only == **algorithm)
        };
        let bound = allowed.iter().filter(fits).map(|&algorithm| Ok((algorithm, material.verifier(algorithm)?)));
        let verifiers: Vec<_> = bound.collect::<Result<_, _>>()?;
        if verifiers.is_empty() {
            return Err(Unusable::NoAlgorithm(material.algorithms()));
        }
        Ok(Self { kid, verifiers })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn verifies(&self, algorithm: Algorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|(bound, _)| *bound == algorithm).map(|(_, verifier)| verifier)
    }

    /// Whether `signature` (base64url) is this key's over `signed` under `algorithm`; never under one it is not bound to.
    pub(super) fn has_signed(&self, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        match self.verifier(algorithm) {
            Some(Verifier::Secret(key)) => hmac::verify(key, signed, &signature).is_ok(),
            Some(Verifier::Public(key)) => key.verify_sig(signed, &signature).is_ok(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(material: &Material, allowed: &[Algorithm]) -> Option<Unusable> {
        Key::bind(material, None, None, allowed).err()
    }

    #[test]
    fn a_secret_is_at_least_as_long_as_its_hash() {
        for (algorithm, min_bytes) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
            assert_eq!(refusal(&Material::Secret(vec![7; min_bytes]), &[algorithm]), None);
            let short = refusal(&Material::Secret(vec![7; min_bytes - 1]), &[algorithm]);
            assert_eq!(short, Some(Unusable::SecretTooShort { algorithm, min_bytes }));
        }
        let both = [Algorithm::HS256, Algorithm::HS512];
        assert!(refusal(&Material::Secret(vec![7; 32]), &both).is_some());
    }

    #[test]
    fn a_key_verifies_only_the_algorithms_of_its_own_kind() {
        let secret = Material::Secret(vec![7; 64]);
        assert!(matches!(refusal(&secret, &[Algorithm::RS256]), Some(Unusable::NoAlgorithm(_))));
        let key = Key::bind(&secret, None, None, &[Algorithm::HS256, Algorithm::RS256]).unwrap();
        assert!(key.verifies(Algorithm::HS256));
        assert!(!key.verifies(Algorithm::RS256) && !key.verifies(Algorithm::HS384));
        let narrowed = Key::bind(&secret, None, Some(Algorithm::HS512), &[Algorithm::HS256]);
        assert!(narrowed.is_err());
    }

    #[test]
    fn a_broken_public_key_is_found_before_any_token_comes() {
        let off_curve = [vec![4], vec![1; 64]].concat();
        let all = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];
        assert_eq!(refusal(&Material::Ec(Curve::P256, off_curve), &all), Some(Unusable::Invalid("P-256")));
        assert_eq!(refusal(&Material::Ec(Curve::P384, Vec::new()), &all), Some(Unusable::Invalid("P-384")));
        assert_eq!(refusal(&Material::Ed25519(vec![1; 31]), &all), Some(Unusable::Invalid("Ed25519")));
        assert_eq!(refusal(&Material::Rsa(vec![0x30, 0]), &all), Some(Unusable::Invalid("RSA")));
        assert!(Material::rsa_components(&[], &[]).is_err());
        let weak = Material::rsa_components(&[0xF1; 128], &[1, 0, 1]).unwrap();
        assert_eq!(refusal(&weak, &all), Some(Unusable::RsaSize { bits: 1024 }));
    }

    #[test]
    fn a_signature_is_looked_at_only_under_a_bound_algorithm() {
        // RFC 7515 §A.1: the example key, signing input and signature of HS256.
        let secret = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40,
            169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61,
            34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
        ];
        let signed = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = Key::bind(&Material::Secret(secret.to_vec()), None, None, &[Algorithm::HS256]).unwrap();
        assert!(key.has_signed(Algorithm::HS256, signed, signature));
        assert!(!key.has_signed(Algorithm::HS384, signed, signature));
        assert!(!key.has_signed(Algorithm::HS256, signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
        assert!(!key.has_signed(Algorithm::HS256, signed, ""));
        assert!(!key.has_signed(Algorithm::HS256, &signed[1..], signature));
    }
}
