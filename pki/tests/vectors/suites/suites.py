#!/usr/bin/env python3
"""Writes suites.json: keys and signatures of each suite, good and hostile, for every verifier.

RSA is spelt out on Python's integers, so that paddings that no library would write can be signed; the library reads keys and signs ECDSA.
    python3 suites.py > suites.json
"""
import hashlib, json, pathlib
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

HERE = pathlib.Path(__file__).parent
MESSAGE = b"sample"

def load(name): return serialization.load_pem_private_key((HERE / name).read_bytes(), None)
def spki(key): return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
def sha384(message): return hashlib.sha384(message).digest()

# --- DER ------------------------------------------------------------------------------------------------------------------------------
def tlv(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    if length < 0x80: return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content

def integer(number): return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
def oid(hex_digits): return tlv(6, bytes.fromhex(hex_digits))
NULL = b"\x05\x00"
SHA_256, SHA_384, SHA_512 = (oid("60864801650304020" + end) for end in "123")
RSA_ENCRYPTION, RSASSA_PSS = oid("2a864886f70d010101"), oid("2a864886f70d01010a")
EC_PUBLIC_KEY, P256, P384, P521 = oid("2a8648ce3d0201"), oid("2a8648ce3d030107"), oid("2b81040022"), oid("2b81040023")
ED25519 = oid("2b6570")
ML_DSA = [oid("60864801650304031" + end) for end in "123"]

# --- RSA ------------------------------------------------------------------------------------------------------------------------------
rsa_3072, rsa_4096, p256 = load("rsa-3072.key.pem"), load("rsa-4096.key.pem"), load("p256.key.pem")
numbers = rsa_3072.private_numbers()
N, E, D = numbers.public_numbers.n, numbers.public_numbers.e, numbers.d
BYTES = 384

def digest_info(digest, algorithm=SHA_384, parameters=NULL): return tlv(0x30, tlv(0x30, algorithm, parameters), tlv(4, digest))
def padded(info, start=b"\x00\x01", fill=b"\xff", end=b"\x00"):
    room = BYTES - len(start) - len(end) - len(info)
    return start + (fill * room)[:room] + end + info
def raw(block, d=D, n=N, length=BYTES): return pow(int.from_bytes(block, "big"), d, n).to_bytes(length, "big")
def sign(message): return raw(padded(digest_info(sha384(message))))

GOOD = sign(MESSAGE)
assert GOOD == rsa_3072.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA384())
INFO = digest_info(sha384(MESSAGE))
# Bleichenbacher 2006: eight bytes of padding, then what a careless parser reads, and room to choose.
GARBAGE = b"\x00\x01" + b"\xff" * 8 + b"\x00" + INFO + b"\x5a" * (BYTES - 11 - len(INFO))

def search(condition):
    """The first of many messages whose signature meets a condition."""
    for number in range(100_000):
        message = b"sample %d" % number
        signature = sign(message)
        if condition(int.from_bytes(signature, "big")): return message, signature
def another_representative():
    message, signature = search(lambda value: value + N < 1 << (8 * BYTES))
    return message, (int.from_bytes(signature, "big") + N).to_bytes(BYTES, "big")
def first_byte_zero():
    message, signature = search(lambda value: value >> (8 * (BYTES - 1)) == 0)
    return message, signature

RSA_SIGNATURES = [
    ("empty", b""),
    ("zero", bytes(BYTES)),
    ("one", (1).to_bytes(BYTES, "big")),
    ("n", N.to_bytes(BYTES, "big")),
    ("n less one", (N - 1).to_bytes(BYTES, "big")),
    ("all ones", b"\xff" * BYTES),
    ("a leading zero", b"\x00" + GOOD),
    ("a trailing zero", GOOD + b"\x00"),
    ("without its last byte", GOOD[:-1]),
    ("little-endian", GOOD[::-1]),
    ("the padded digest itself", padded(INFO)),
    ("garbage after the digest", raw(GARBAGE)),
    ("garbage in the parameters", raw(padded(digest_info(sha384(MESSAGE), parameters=tlv(4, b"\x5a" * 200))))),
    ("parameters absent", raw(padded(digest_info(sha384(MESSAGE), parameters=b"")))),
    ("block type 0", raw(padded(INFO, start=b"\x00\x00", fill=b"\x00"))),
    ("block type 2", raw(padded(INFO, start=b"\x00\x02"))),
    ("first byte not zero", raw(padded(INFO, start=b"\x01\x01"))),
    ("padding of other bytes than ff", raw(padded(INFO, fill=b"\xfe"))),
    ("padding with one other byte", raw(padded(INFO)[:100] + b"\xfe" + padded(INFO)[101:])),
    ("no zero after the padding", raw(padded(INFO, end=b"\xff"))),
    ("two zeros after the padding", raw(padded(INFO, end=b"\x00\x00"))),
    ("a digest without DigestInfo", raw(padded(sha384(MESSAGE)))),
    ("SHA-256 of the message", raw(padded(digest_info(hashlib.sha256(MESSAGE).digest(), SHA_256)))),
    ("SHA-256 under the name of SHA-384", raw(padded(digest_info(hashlib.sha256(MESSAGE).digest())))),
    ("SHA-384 under the name of SHA-256", raw(padded(digest_info(sha384(MESSAGE), SHA_256)))),
    ("SHA-512 of the message", raw(padded(digest_info(hashlib.sha512(MESSAGE).digest(), SHA_512)))),
    ("a DigestInfo whose length is not minimal", raw(padded(b"\x30\x81" + INFO[1:]))),
    ("the digest of another message", sign(b"samplf")),
    ("another key", rsa_4096.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA384())),
    # Fixed here, since it is drawn at random: RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    ("PSS", None),
    ("ECDSA", None),
]

def pss_block(message, salt):
    """RFC 8017 section 9.1.1 with SHA-384."""
    digest = sha384(bytes(8) + sha384(message) + salt)
    block = bytes(BYTES - len(salt) - 48 - 2) + b"\x01" + salt
    mask = b"".join(sha384(digest + counter.to_bytes(4, "big")) for counter in range(len(block) // 48 + 1))
    masked = bytearray(a ^ b for a, b in zip(block, mask))
    masked[0] &= 0x7f
    return bytes(masked) + digest + b"\xbc"
PSS = raw(pss_block(MESSAGE, bytes(range(48))))
rsa_3072.public_key().verify(PSS, MESSAGE, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())

# --- P-256: RFC 6979 A.2.5 ------------------------------------------------------------------------------------------------------------
ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
R = 0xefd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
S = 0xf7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8
rfc6979 = ec.derive_private_key(0xc9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721, ec.SECP256R1())
def value(r, s): return tlv(0x30, integer(r), integer(s))
rfc6979.public_key().verify(value(R, S), MESSAGE, ec.ECDSA(hashes.SHA256()))

ECDSA_SIGNATURES = [
    ("empty", b""), ("r is 0", value(0, S)), ("s is 0", value(R, 0)), ("r is n", value(ORDER, S)), ("s is n", value(R, ORDER)),
    ("r and s exchanged", value(S, R)), ("r is r + n", value(R + ORDER, S)), ("s is s + n", value(R, S + ORDER)),
    ("r is r - n", tlv(0x30, tlv(2, (R - ORDER).to_bytes(32, "big", signed=True)), integer(S))),
    ("s negative", tlv(0x30, integer(R), tlv(2, S.to_bytes(32, "big")))),
    ("needless zero before r", tlv(0x30, tlv(2, b"\x00\x00" + R.to_bytes(32, "big")), integer(S))),
    ("trailing bytes", value(R, S) + b"\x00"), ("trailing bytes within", tlv(0x30, integer(R), integer(S), NULL)),
    ("a long length", b"\x30\x81" + value(R, S)[1:]), ("raw r and s", R.to_bytes(32, "big") + S.to_bytes(32, "big")),
    ("the numbers of P-384's length", value(R << 128, S << 128)), ("RSA", GOOD),
]

# --- keys -----------------------------------------------------------------------------------------------------------------------------
def info(algorithm, parameters, key): return tlv(0x30, tlv(0x30, algorithm, parameters), tlv(3, b"\x00", key))
def rsa_key(n, e): return tlv(0x30, integer(n), integer(e))
def rsa_info(n, e=65537): return info(RSA_ENCRYPTION, NULL, rsa_key(n, e))
assert rsa_info(N) == spki(rsa_3072)
ODD = (1 << 4000) // 3 * 2 + 1
def odd_of(bits): return (1 << (bits - 1)) + (ODD >> (4000 - bits + 2) if bits < 4000 else ODD) | 1
POINT = rfc6979.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
COMPRESSED = rfc6979.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
EXPLICIT = tlv(0x30, integer(1), tlv(0x30, oid("2a8648ce3d0101"), integer(ORDER)))
RSA_SIZE, RSA_EXPONENT = "does not have 3072 to 4096 bits", "exponent is not 65537"
RSA_DER, POINT_FORM, UNKNOWN, ML = "not DER of an RSAPublicKey", "not an uncompressed point", "of no suite in use", "ML-DSA"
FLAWED_KEYS = [
    ("RSA of 1024 bits", rsa_info(odd_of(1024)), RSA_SIZE), ("RSA of 2048 bits", rsa_info(odd_of(2048)), RSA_SIZE),
    ("RSA of 3071 bits", rsa_info(odd_of(3071)), RSA_SIZE), ("RSA of 4097 bits", rsa_info(odd_of(4097)), RSA_SIZE),
    ("RSA of 16384 bits", rsa_info(odd_of(16384)), RSA_SIZE), ("RSA of 0", rsa_info(0), RSA_SIZE),
    ("RSA with the exponent 3", rsa_info(N, 3), RSA_EXPONENT), ("RSA with the exponent 1", rsa_info(N, 1), RSA_EXPONENT),
    ("RSA with an even exponent", rsa_info(N, 65536), RSA_EXPONENT), ("RSA with the exponent 65539", rsa_info(N, 65539), RSA_EXPONENT),
    ("RSA with a huge exponent", rsa_info(N, D), RSA_EXPONENT), ("RSA with an even modulus", rsa_info(N - 1), "modulus is not odd"),
    ("RSA with a negative modulus", info(RSA_ENCRYPTION, NULL, tlv(0x30, tlv(2, N.to_bytes(BYTES, "big")), integer(E))), RSA_DER),
    ("RSA with a needless zero", info(RSA_ENCRYPTION, NULL, tlv(0x30, tlv(2, b"\x00\x00" + N.to_bytes(BYTES, "big")), integer(E))), RSA_DER),
    ("RSA with a third number", info(RSA_ENCRYPTION, NULL, tlv(0x30, integer(N), integer(E), integer(1))), RSA_DER),
    ("RSA with trailing bytes in its key", info(RSA_ENCRYPTION, NULL, rsa_key(N, E) + b"\x00"), RSA_DER),
    ("RSA that is a point", info(RSA_ENCRYPTION, NULL, POINT), RSA_DER),
    ("RSA with parameters absent", info(RSA_ENCRYPTION, b"", rsa_key(N, E)), "parameters are not NULL"),
    ("RSA with other parameters", info(RSA_ENCRYPTION, integer(1), rsa_key(N, E)), "parameters are not NULL"),
    ("RSA for PSS alone", info(RSASSA_PSS, b"", rsa_key(N, E)), UNKNOWN),
    ("RSA with trailing bytes", rsa_info(N) + b"\x00", UNKNOWN), ("RSA cut", rsa_info(N)[:-1], UNKNOWN),
    ("RSA with unused bits", rsa_info(N).replace(tlv(3, b"\x00", rsa_key(N, E)), tlv(3, b"\x01", rsa_key(N, E))), UNKNOWN),
    ("P-256 compressed", info(EC_PUBLIC_KEY, P256, COMPRESSED), UNKNOWN),
    ("P-256 hybrid", info(EC_PUBLIC_KEY, P256, bytes([6 + (POINT[64] & 1)]) + POINT[1:]), POINT_FORM),
    ("P-256 not on the curve", info(EC_PUBLIC_KEY, P256, POINT[:-1] + bytes([POINT[-1] ^ 1])), POINT_FORM),
    ("P-256 at infinity", info(EC_PUBLIC_KEY, P256, b"\x00"), UNKNOWN),
    ("P-256 of zeros", info(EC_PUBLIC_KEY, P256, b"\x04" + bytes(64)), POINT_FORM),
    ("P-256 beyond the field", info(EC_PUBLIC_KEY, P256, b"\x04" + b"\xff" * 64), POINT_FORM),
    ("P-256 named P-384", info(EC_PUBLIC_KEY, P384, POINT), UNKNOWN),
    ("P-256 with explicit parameters", info(EC_PUBLIC_KEY, EXPLICIT, POINT), UNKNOWN),
    ("P-256 without parameters", info(EC_PUBLIC_KEY, b"", POINT), UNKNOWN),
    ("P-521", info(EC_PUBLIC_KEY, P521, b"\x04" + bytes(132)), UNKNOWN), ("Ed25519", info(ED25519, b"", bytes(32)), UNKNOWN),
    ("ML-DSA-44", info(ML_DSA[0], b"", bytes(1312)), ML), ("ML-DSA-65", info(ML_DSA[1], b"", bytes(1952)), ML),
    ("ML-DSA-87", info(ML_DSA[2], b"", bytes(2592)), ML),
    ("nothing", b"", UNKNOWN),
]

def entry(name, key, message, signature, good):
    return {"name": name, "key": spki(key).hex(), "message": message.hex(), "signature": signature.hex(), "good": good}
def signatures():
    yield entry("RSA of 3072 bits", rsa_3072, MESSAGE, GOOD, True)
    yield entry("RSA of 4096 bits", rsa_4096, MESSAGE, rsa_4096.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA384()), True)
    zero = first_byte_zero()
    yield entry("RSA whose first byte is zero", rsa_3072, *zero, True)
    yield entry("RSA without the zero that it begins with", rsa_3072, zero[0], zero[1][1:], False)
    yield entry("RSA with s + n for s", rsa_3072, *another_representative(), False)
    other = {"PSS": PSS, "ECDSA": value(R, S)}
    for name, signature in RSA_SIGNATURES:
        yield entry(f"RSA: {name}", rsa_3072, MESSAGE, other[name] if signature is None else signature, False)
    yield entry("P-256", rfc6979, MESSAGE, value(R, S), True)
    yield entry("P-256 with the low s", rfc6979, MESSAGE, value(R, ORDER - S), True)
    yield entry("P-256: another message", rfc6979, b"samplf", value(R, S), False)
    yield entry("P-256: another key", p256, MESSAGE, value(R, S), False)
    for name, signature in ECDSA_SIGNATURES: yield entry(f"P-256: {name}", rfc6979, MESSAGE, signature, False)

if __name__ == "__main__":
    keys = [{"name": name, "spki": key.hex(), "refusal": refusal} for name, key, refusal in FLAWED_KEYS]
    print(json.dumps({"signatures": list(signatures()), "flawed_keys": keys}, indent=0))
