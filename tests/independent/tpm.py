"""What a TPM says of its keys, its registers and its clock, by docs/formats/attestation.md."""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from signed import BIT_STRING, CURVES, INTEGER, SEQUENCE, elements, expect, is_ecdsa, oid, only, positive, read
from statements import need

HASHES = {0x000B: hashlib.sha256, 0x000C: hashlib.sha384, 0x000D: hashlib.sha512}
FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN, RESTRICTED, DECRYPT, SIGN = (1 << bit for bit in (1, 4, 5, 16, 17, 18))
KNOWN_ATTRIBUTES = sum(1 << bit for bit in (1, 2, 4, 5, 6, 7, 10, 11, 16, 17, 18))
RSA, ECC, P256, P384 = 0x0001, 0x0023, 0x0003, 0x0004
SUITES = {(P384, 0x000C): ("P-384", ec.SECP384R1(), hashes.SHA384()), (P256, 0x000B): ("P-256", ec.SECP256R1(), hashes.SHA256())}
ENDORSEMENT_SUITES = {(P384, 0x000C, 256), (P256, 0x000B, 128), (("RSA", 2048, 65537), 0x000B, 128)}
CERTIFY, QUOTE, TIME = 0x8017, 0x8018, 0x8019
ENDORSEMENT_LIMIT_BYTES = 4096


class Reader:
    """Big-endian numbers and TPM2Bs, one after the other."""

    def __init__(self, data):
        self.data = data

    def take(self, length):
        """So many bytes."""
        need(length <= len(self.data), "a structure is cut short")
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def number(self, length):
        """A number of so many bytes."""
        return int.from_bytes(self.take(length), "big")

    def sized(self):
        """A TPM2B."""
        return self.take(self.number(2))

    def finish(self):
        """Nothing follows."""
        need(not self.data, "bytes after a structure")


class Public:
    """A TPMT_PUBLIC."""

    def __init__(self, data):
        reader = Reader(data)
        kind, self.name_algorithm, self.attributes = reader.number(2), reader.number(2), reader.number(4)
        need(kind in (RSA, ECC) and self.name_algorithm in HASHES, "a kind of key or hash that is not read")
        need(not self.attributes & ~KNOWN_ATTRIBUTES, "an attribute that is not known")
        self.data, self.digest = data, HASHES[self.name_algorithm]
        need(len(reader.sized()) in (0, self.digest().digest_size), "a policy of another length")
        self.symmetric, self.cipher_bits = reader.number(2), None
        if self.symmetric != 0x0010:
            need(self.symmetric == 0x0006, "a cipher that is not read")
            self.cipher_bits = reader.number(2)
            need(self.cipher_bits in (128, 192, 256) and reader.number(2) == 0x0043, "a cipher that is not read")
        self.scheme = reader.number(2)
        self.scheme_hash = None
        if self.scheme != 0x0010:
            need(kind == ECC and self.scheme == 0x0018, "a scheme that is not read")
            self.scheme_hash = reader.number(2)
            need(self.scheme_hash in HASHES, "a hash that is not read")
        if kind == RSA:
            bits, exponent = reader.number(2), reader.number(4)
            modulus = reader.sized()
            need(bits in (2048, 3072, 4096) and len(modulus) * 8 == bits and modulus[0] & 0x80, "a modulus of another length")
            self.curve, self.key = None, ("RSA", int.from_bytes(modulus, "big"), exponent or 65537)
        else:
            self.curve = reader.number(2)
            need(self.curve in (P256, P384) and reader.number(2) == 0x0010, "a curve that is not read")
            length = 32 if self.curve == P256 else 48
            x, y = reader.sized(), reader.sized()
            need(1 <= len(x) <= length and 1 <= len(y) <= length, "a coordinate of another length")
            self.key = ("EC", self.curve, b"\4" + x.rjust(length, b"\0") + y.rjust(length, b"\0"))
        reader.finish()
        self.name = self.name_of(data)

    def name_of(self, data):
        """The algorithm of names, and the hash."""
        return self.name_algorithm.to_bytes(2, "big") + self.digest(data).digest()

    def need_attributes(self, set_bits, clear_bits):
        """Which attributes must be set, and which clear."""
        need(self.attributes & set_bits == set_bits and not self.attributes & clear_bits, "the key's attributes are not those that it needs")

    def need_signing_suite(self):
        """ECDSA on P-384 with SHA-384 or on P-256 with SHA-256, named by the same hash, and nothing else."""
        need((self.curve, self.scheme_hash) in SUITES and self.symmetric == 0x0010, "of no suite")
        need(self.name_algorithm == self.scheme_hash, "named by another hash than its suite's")
        need(on_curve(SUITES[self.curve, self.scheme_hash][1], self.key[2]), "not a point on the curve")

    def need_endorsement_suite(self):
        """P-384 with SHA-384 and AES-256; P-256 or RSA-2048 with SHA-256 and AES-128."""
        kind = ("RSA", self.key[1].bit_length(), self.key[2]) if self.key[0] == "RSA" else self.curve
        need(self.scheme == 0x0010 and (kind, self.name_algorithm, self.cipher_bits) in ENDORSEMENT_SUITES, "of no suite of endorsement keys")


def on_curve(curve, point):
    """Whether this is a point on the curve."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        return False
    return True


def endorsement_certificate_key(data):
    """The key of an endorsement certificate, in its padding."""
    need(len(data) <= ENDORSEMENT_LIMIT_BYTES, "too long for an index")
    tag, content, _, rest = read(data)
    need(tag == SEQUENCE and not rest.strip(b"\0\xff"), "something follows the certificate that is no padding")
    parts = elements(content)
    need(len(parts) == 3 and parts[0][0] == SEQUENCE, "not a certificate")
    fields = elements(parts[0][1])
    if fields and fields[0][0] == 0xA0:
        fields.pop(0)
    need(len(fields) >= 6 and [tag for tag, _, _ in fields[:6]] == [INTEGER] + [SEQUENCE] * 5, "not the way to a key")
    whole = fields[5][2]
    for number, name in ((P256, "P-256"), (P384, "P-384")):
        prefix, length, *_ = CURVES[name]
        if whole.startswith(prefix + b"\4") and len(whole) == len(prefix) + length:
            return "EC", number, whole[len(prefix):]
    algorithm, bits = expect(fields[5][1], SEQUENCE)
    need(algorithm.startswith((oid("1.2.840.113549.1.1.1"), oid("1.2.840.113549.1.1.7"))), "a key of another kind")
    bits = only(bits, BIT_STRING)
    modulus, exponent = expect(only(bits[1:], SEQUENCE), INTEGER)
    exponent = positive(only(exponent, INTEGER))
    need(exponent < 2**32, "an exponent that is too large")
    return "RSA", positive(modulus), exponent


def endorsement_key(public, certificate):
    """The public area of an endorsement key, which is that of the certificate if there is one. Gives its qualified name."""
    area = Public(public)
    area.need_attributes(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | DECRYPT, SIGN)
    need(area.symmetric == 0x0006, "an endorsement key without a cipher")
    area.need_endorsement_suite()
    need(certificate is None or endorsement_certificate_key(certificate) == area.key, "the certificate is of another key")
    return area.name_of(bytes.fromhex("4000000b") + area.name)


class AttestationKey:
    """A restricted signing key under an endorsement key."""

    def __init__(self, public, endorsement_name):
        self.area = Public(public)
        self.area.need_attributes(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | SIGN, DECRYPT)
        self.area.need_signing_suite()
        self.qualified_name = self.area.name_of(endorsement_name + self.area.name)

    def attested(self, kind, attest, signature, qualifying):
        """What follows the firmware version of a TPMS_ATTEST that this key signed."""
        curve, _, hash_function = SUITES[self.area.curve, self.area.scheme_hash]
        reader = Reader(signature)
        need(reader.number(2) == 0x0018 and reader.number(2) == self.area.scheme_hash, "a signature of another suite")
        r, s = reader.sized(), reader.sized()
        reader.finish()
        need(1 <= len(r) <= 48 and 1 <= len(s) <= 48, "a signature of another length")
        r, s = int.from_bytes(r, "big"), int.from_bytes(s, "big")
        need(r and s and is_ecdsa(curve, self.area.key[2], hash_function, encode_dss_signature(r, s), attest), "the signature does not verify")
        reader = Reader(attest)
        need(reader.take(4) == bytes.fromhex("ff544347") and reader.number(2) == kind, "not what a TPM attests, or another kind")
        need(reader.sized() == self.qualified_name, "another key signed it")
        need(reader.sized() == qualifying, "made for something else")
        clock = reader.take(17)
        need(clock[16] in (0, 1), "neither safe nor not")
        reader.take(8)
        return reader, (clock[8:12], clock[12:16])

    def certifies(self, attest, signature, qualifying, public):
        """That a key is in this TPM. Gives its curve and its point."""
        reader, _ = self.attested(CERTIFY, attest, signature, qualifying)
        name, qualified = reader.sized(), reader.sized()
        reader.finish()
        area = Public(public)
        need(name == area.name and len(qualified) - 2 in (32, 48, 64), "it certifies another key")
        need(HASHES.get(int.from_bytes(qualified[:2], "big"), hashlib.md5)().digest_size == len(qualified) - 2, "not a name")
        area.need_attributes(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | SIGN, RESTRICTED | DECRYPT)
        area.need_signing_suite()
        return {P256: "P-256", P384: "P-384"}[area.curve], area.key[2]

    def reads_clock(self, attest, signature, qualifying):
        """Milliseconds, and the counts of resets and restarts."""
        reader, counts = self.attested(TIME, attest, signature, qualifying)
        time = reader.number(8)
        clock = reader.take(17)
        need(clock[16] in (0, 1), "neither safe nor not")
        reader.take(8)
        reader.finish()
        return time, counts

    def quotes(self, attest, signature, qualifying, values, selection=None):
        """That the registers have these values, end to end; these registers, if a selection is given."""
        reader, _ = self.attested(QUOTE, attest, signature, qualifying)
        need(selection is None or reader.data.startswith(selection), "other registers")
        banks = reader.number(4)
        need(banks <= 3, "too many banks")
        seen, length = set(), 0
        for _ in range(banks):
            algorithm = reader.number(2)
            need(algorithm in HASHES and algorithm not in seen and reader.number(1) == 3, "a bank that is not read")
            seen.add(algorithm)
            length += reader.number(3).bit_count() * HASHES[algorithm]().digest_size
        need(len(values) == length, "not as many values as registers")
        need(reader.sized() == HASHES[self.area.scheme_hash](values).digest(), "not the values that were quoted")
        reader.finish()
