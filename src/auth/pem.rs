//! A PEM file (RFC 7468) to the public key in it: `SubjectPublicKeyInfo`, PKCS#1, or the key of a certificate.

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::keys::{Curve, Material, Unusable};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The key in the first block of `file`. Of a certificate nothing but its key is used: neither its dates nor its issuer.
pub(super) fn read(file: &[u8]) -> Result<Material, Unusable> {
    let block = ::pem::parse(file).map_err(|_| Unusable::NotPem)?;
    let der = block.contents();
    match block.tag() {
        "PUBLIC KEY" => subject_public_key_info(der),
        "RSA PUBLIC KEY" => Ok(Material::Rsa(der.to_vec())),
        "CERTIFICATE" => {
            let certificate = Certificate::from_der(der).map_err(|_| Unusable::NotPem)?;
            let info = certificate.tbs_certificate.subject_public_key_info.to_der().map_err(|_| Unusable::NotPem)?;
            subject_public_key_info(&info)
        }
        label if label.ends_with("PRIVATE KEY") => Err(Unusable::PrivateKey),
        _ => Err(Unusable::NotPem),
    }
}

/// RFC 5280 §4.1.2.7; RFC 5480 §2 for EC, RFC 8410 §4 for Ed25519.
fn subject_public_key_info(der: &[u8]) -> Result<Material, Unusable> {
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| Unusable::NotPem)?;
    let key = info.subject_public_key.as_bytes().ok_or(Unusable::NotPem)?.to_vec();
    match info.algorithm.oid {
        RSA => Ok(Material::Rsa(key)),
        EC => match info.algorithm.parameters_oid() {
            Ok(P256) => Ok(Material::Ec(Curve::P256, key)),
            Ok(P384) => Ok(Material::Ec(Curve::P384, key)),
            _ => Err(Unusable::Unsupported),
        },
        ED25519 => Ok(Material::Ed25519(key)),
        _ => Err(Unusable::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_private_key_is_refused_by_its_label_alone() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let file = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
            assert_eq!(read(file.as_bytes()).err(), Some(Unusable::PrivateKey));
        }
    }

    #[test]
    fn what_holds_no_public_key_is_refused() {
        for file in ["", "secret", "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(read(file.as_bytes()).err(), Some(Unusable::NotPem), "{file:?}");
        }
        let request = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(read(request.as_bytes()).err(), Some(Unusable::NotPem));
    }

    proptest! {
        #[test]
        fn any_der_is_read_or_refused(der: Vec<u8>, label in "PUBLIC KEY|CERTIFICATE") {
            let file = ::pem::encode(&::pem::Pem::new(label, der.clone()));
            if let Ok(Material::Rsa(key) | Material::Ec(_, key) | Material::Ed25519(key)) = read(file.as_bytes()) {
                prop_assert!(key.len() < der.len());
            }
        }
    }
}
