"""Makes keys and tokens for tests/auth.rs with PyJWT, so that no token is signed and verified by the same library.

Reads one JSON request on stdin and writes one JSON answer on stdout:
  {"keys": DIR}                 -> writes key files and JWK sets into DIR, answers null
  {"sign": [JOB, ...]}          -> answers a list of tokens
A JOB has "alg" and "key" (a file for a private key, or {"secret": TEXT}), and "claims" or, to be taken as it is, the text
"payload"; "headers" are added to the header, the text "header" replaces it.
"""

import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

FORMATS = serialization.PublicFormat


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def jwk(public):
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, length = public.public_numbers(), (public.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.key_size]
        return {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length)}
    raw = public.public_bytes(serialization.Encoding.Raw, FORMATS.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}


def certificate(private, signer):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.example")])
    start = datetime.datetime(2001, 1, 1)
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number(), start)
    builder = builder.not_valid_after(start + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_keys(folder):
    folder = pathlib.Path(folder)
    made = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "rsa-other": rsa.generate_private_key(65537, 2048),
        "rsa-1024": rsa.generate_private_key(65537, 1024),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p256-other": ec.generate_private_key(ec.SECP256R1()),
        "p256k": ec.generate_private_key(ec.SECP256K1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    for name, private in made.items():
        text = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        (folder / f"{name}.key").write_bytes(text)
        public = private.public_key()
        (folder / f"{name}.pem").write_bytes(public.public_bytes(pem, FORMATS.SubjectPublicKeyInfo))
        if name.startswith("rsa"):
            (folder / f"{name}.pkcs1.pem").write_bytes(public.public_bytes(pem, FORMATS.PKCS1))
        # An RSA authority for all: the certificate names two kinds of key, and only one is the right one.
        (folder / f"{name}.crt").write_bytes(certificate(private, made["rsa-other"]))
        if name != "p256k":
            (folder / f"{name}.jwks").write_text(json.dumps({"keys": [jwk(public)]}))
    named = [dict(jwk(made[name].public_key()), kid=name) for name in ("rsa", "rsa-other", "p256", "p521")]
    named += [{"kty": "from-the-future", "kid": "x"}, dict(named[0], kid="enc", use="enc")]
    (folder / "named.jwks").write_text(json.dumps({"keys": named}))


def sign(job):
    key = job["key"]
    key = key["secret"].encode() if isinstance(key, dict) else pathlib.Path(key).read_bytes()
    payload = job["payload"] if "payload" in job else json.dumps(job["claims"])
    if "header" not in job:
        return jwt.PyJWS().encode(payload.encode(), key, job["alg"], job.get("headers"))
    signed = f"{b64(job['header'].encode())}.{b64(payload.encode())}"
    if job["alg"] == "HS256":
        # PyJWT itself refuses a public key as a secret, which is just what one of the forgeries needs.
        signature = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    else:
        algorithm = get_default_algorithms()[job["alg"]]
        signature = algorithm.sign(signed.encode(), algorithm.prepare_key(key))
    return f"{signed}.{b64(signature)}"


request = json.load(sys.stdin)
answer = make_keys(request["keys"]) if "keys" in request else [sign(job) for job in request["sign"]]
json.dump(answer, sys.stdout)
