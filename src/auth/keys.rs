//! A verification key bound to its algorithms: what may be one, how strong it must be, and the signature check; reads no file format.

use std::sync::Once;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

/// RFC 7518 §3.3 and §3.5.
const MIN_RSA_BITS: usize = 2048;
/// Beyond this the library verifies nothing.
const MAX_RSA_BITS: usize = 8192;

const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Why something in a configuration cannot be used as a key; a clause for a fault, without a byte of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
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

    /// Checks now what the library would look at only when a token comes.
    fn decoding_key(&self, algorithms: &[Algorithm]) -> Result<DecodingKey, Unusable> {
        match self {
            Self::Secret(secret) => {
                check_secret(secret, algorithms)?;
                Ok(DecodingKey::from_secret(secret))
            }
            Self::Rsa(der) => {
                let key = rsa::PublicKey::from_der(der).map_err(|_| Unusable::Invalid("RSA"))?;
                let modulus = key.modulus().big_endian_without_leading_zero();
                let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                let bits = modulus.len() * 8 - unused;
                if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                    return Err(Unusable::RsaSize { bits });
                }
                Ok(DecodingKey::from_rsa_der(key.as_ref()))
            }
            Self::Ec(curve, point) => {
                match curve {
                    Curve::P256 => check_public_key(&ECDSA_P256_SHA256_FIXED, point, "P-256")?,
                    Curve::P384 => check_public_key(&ECDSA_P384_SHA384_FIXED, point, "P-384")?,
                }
                Ok(DecodingKey::from_ec_der(point))
            }
            Self::Ed25519(bytes) => {
                check_public_key(&ED25519, bytes, "Ed25519")?;
                Ok(DecodingKey::from_ed_der(bytes))
            }
        }
    }
}

fn check_secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<(), Unusable> {
    for &algorithm in algorithms {
        let min_bytes = min_secret_bytes(algorithm);
        if secret.len() < min_bytes {
            return Err(Unusable::SecretTooShort { algorithm, min_bytes });
        }
    }
    Ok(())
}

/// The length of the hash.
fn min_secret_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::HS512 {
        64
    } else if algorithm == Algorithm::HS384 {
        48
    } else {
        32
    }
}

fn check_public_key(
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: &[u8],
    name: &'static str,
) -> Result<(), Unusable> {
    ParsedPublicKey::new(algorithm, bytes).map(drop).map_err(|_| Unusable::Invalid(name))
}

/// A key and the only algorithms it verifies.
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
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
        let algorithms: Vec<Algorithm> = allowed.iter().filter(fits).copied().collect();
        if algorithms.is_empty() {
            return Err(Unusable::NoAlgorithm(material.algorithms()));
        }
        let decoding = material.decoding_key(&algorithms)?;
        Ok(Self { kid, algorithms, decoding })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn verifies(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether `signature` (base64url) is this key's over `signed` under `algorithm`; never under one it is not bound to.
    pub(super) fn has_signed(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        install_provider();
        self.verifies(algorithm)
            && crypto::verify(signature, signed.as_bytes(), &self.decoding, algorithm).unwrap_or(false)
    }
}

/// Chooses the library's backend here, since another dependency could switch on a second one, and without a choice the
/// library would then panic on the first token.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody has chosen already, which is as good.
        let _ = crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    });
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
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = Key::bind(&Material::Secret(secret.to_vec()), None, None, &[Algorithm::HS256]).unwrap();
        assert!(key.has_signed(Algorithm::HS256, signed, signature));
        assert!(!key.has_signed(Algorithm::HS384, signed, signature));
        assert!(!key.has_signed(Algorithm::HS256, signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
        assert!(!key.has_signed(Algorithm::HS256, signed, ""));
        assert!(!key.has_signed(Algorithm::HS256, &signed[1..], signature));
    }
}
