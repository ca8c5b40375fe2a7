"""Envelopes, key packages and sealed fragments, by docs/formats/envelope.md, keys.md and segment.md."""

import hashlib
import hmac
import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from signed import BIT_STRING, CURVES, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, attributes_of_name, der, distinguished, elements, expect, oid, only, positive
from statements import HASH, Malformed, array, integer, need, record, stream_name

CONTENT_LIMIT_BYTES = 8 * 1024 * 1024
ENVELOPE_LIMIT_BYTES = CONTENT_LIMIT_BYTES + 65 * 1024
RECIPIENTS_LIMIT_BYTES = 64 * 1024
WRAP = der(SEQUENCE, oid("2.16.840.1.101.3.4.1.45"))
SHARED_INFO = bytes.fromhex("3015300b060960864801650304012da206040400000100")
SHA_256 = der(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"))
OAEP = der(SEQUENCE, oid("1.2.840.113549.1.1.7"),
           der(SEQUENCE, der(0xA0, SHA_256), der(0xA1, der(SEQUENCE, oid("1.2.840.113549.1.1.8"), SHA_256))))
# curve: (its identifier, length of a point, scheme, the KDF's hash)
AGREED = {
    "P-384": ("1.3.132.0.34", 97, "1.3.132.1.11.2", hashlib.sha384),
    "P-256": ("1.2.840.10045.3.1.7", 65, "1.3.132.1.11.1", hashlib.sha256),
}


class Recipient:
    """One of the recipientInfos: to whom, of which kind of key, and what is for them."""

    def __init__(self, tag, content):
        need(tag in (0xA1, SEQUENCE), "not a recipient that is known")
        (self._agreed if tag == 0xA1 else self._transported)(elements(content))

    def _agreed(self, fields):
        need(len(fields) == 4, "not a KeyAgreeRecipientInfo")
        key = elements(only(only(fields[1][2], 0xA0), 0xA1))
        need(len(key) == 2 and key[1][0] == BIT_STRING, "no ephemeral key")
        self.kind = next((name for name, (dotted, *_) in AGREED.items()
                          if key[0][2] == der(SEQUENCE, oid("1.2.840.10045.2.1"), oid(dotted))), None)
        need(self.kind, "a curve that is none of ours")
        _, length, scheme, _ = AGREED[self.kind]
        self.ephemeral = key[1][1][1:]
        need(len(self.ephemeral) == length, "an ephemeral key of another length")
        _, keys = fields[2][2], elements(fields[3][1])
        need(len(keys) == 1, "not one recipient")
        self._identify(keys[0][1])
        need(len(self.secret) == 40, "a wrapped key of another length")
        self.whole = der(0xA1, der(INTEGER, b"\3"), der(0xA0, der(0xA1, key[0][2], der(BIT_STRING, b"\0", self.ephemeral))),
                         der(SEQUENCE, oid(scheme), WRAP), der(SEQUENCE, der(SEQUENCE, self.named, der(OCTET_STRING, self.secret))))

    def _transported(self, fields):
        need(len(fields) == 4, "not a KeyTransRecipientInfo")
        self.kind = "RSA"
        self._identify(fields[1][2] + fields[3][2])
        need(384 <= len(self.secret) <= 512, "an encrypted key of another length")
        self.whole = der(SEQUENCE, der(INTEGER, b"\0"), self.named, OAEP, der(OCTET_STRING, self.secret))

    def _identify(self, content):
        named, rest = expect(content, SEQUENCE)
        name, serial = expect(named, SEQUENCE)
        self.secret = only(rest, OCTET_STRING)
        self.issuer, self.serial = der(SEQUENCE, name), positive(only(serial, INTEGER))
        attributes_of_name(self.issuer)
        need(len(only(serial, INTEGER)) <= 20, "a serial number that is too long")
        self.named = der(SEQUENCE, self.issuer, serial)


class Envelope:
    """An envelope in its form."""

    def __init__(self, data):
        need(len(data) <= ENVELOPE_LIMIT_BYTES, "the envelope is too long")
        kind, rest = expect(only(distinguished(data), SEQUENCE), OID)
        fields = elements(only(only(rest, 0xA0), SEQUENCE))
        need([tag for tag, _, _ in fields] == [INTEGER, SET, SEQUENCE, OCTET_STRING], "not an AuthEnvelopedData")
        need(len(fields[1][1]) <= RECIPIENTS_LIMIT_BYTES, "the recipients take too much room")
        recipients = elements(fields[1][1])
        need(1 <= len(recipients) <= 64, "not 1 to 64 recipients")
        self.recipients = [Recipient(tag, content) for tag, content, _ in recipients]
        names = {(recipient.issuer, recipient.serial) for recipient in self.recipients}
        need(len(names) == len(self.recipients), "a recipient twice")
        content = elements(fields[2][1])
        need(len(content) == 3 and content[2][0] == 0x80, "no content")
        parameters = elements(only(only(content[1][2], SEQUENCE)[11:], SEQUENCE))
        need(parameters and parameters[0][0] == OCTET_STRING, "no nonce")
        self.nonce, self.ciphertext, self.tag = parameters[0][1], content[2][1], fields[3][1]
        need(len(self.nonce) == 12 and len(self.tag) == 16 and len(self.ciphertext) <= CONTENT_LIMIT_BYTES, "a part of another length")
        algorithm = der(SEQUENCE, oid("2.16.840.1.101.3.4.1.46"), der(SEQUENCE, der(OCTET_STRING, self.nonce), der(INTEGER, b"\x10")))
        wholes = [recipient.whole for recipient in self.recipients]
        body = der(SEQUENCE, der(INTEGER, b"\0"), der(SET, *sorted(wholes)),
                   der(SEQUENCE, oid("1.2.840.113549.1.7.1"), algorithm, der(0x80, self.ciphertext)), der(OCTET_STRING, self.tag))
        need(der(SEQUENCE, oid("1.2.840.113549.1.9.16.1.23"), der(0xA0, body)) == data, "not the encoding of the template")

    def open(self, certificate, private_key):
        """The content, for the holder of a wrapping certificate and its key."""
        need(not certificate.for_signing and not certificate.is_authority and not certificate.service, "not a wrapping certificate")
        own = [one for one in self.recipients if (one.issuer, one.serial) == (certificate.issuer, certificate.serial)]
        need(own, "not a recipient")
        need(own[0].kind == certificate.key.suite, "of another kind than the certificate's key")
        try:
            if own[0].kind == "RSA":
                oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
                content_key = private_key.decrypt(own[0].secret, oaep)
            else:
                need(own[0].ephemeral[0] == 4, "not an uncompressed point")
                peer = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[own[0].kind][2], own[0].ephemeral)
                shared = private_key.exchange(ec.ECDH(), peer)
                key = AGREED[own[0].kind][3](shared + b"\0\0\0\1" + SHARED_INFO).digest()[:32]
                content_key = aes_key_unwrap(key, own[0].secret)
            need(len(content_key) == 32, "a content key of another length")
            return AESGCM(content_key).decrypt(self.nonce, self.ciphertext + self.tag, None)
        except (InvalidTag, InvalidUnwrap, ValueError) as error:
            raise Malformed("it does not open") from error


def private_key(pem):
    """A private key in PEM."""
    return serialization.load_pem_private_key(pem, None)


NODE = record(depth=integer(0, 20), index=integer(0, 2**20 - 1), key=HASH)
PACKAGE = record(type=lambda value: need(value == "exhibit-keys/v1", "another type"), log=HASH,
                 streams=array(record(stream=stream_name, nodes=array(NODE, 1, 72)), 1, 1024))


def key_package(data):
    """A key package in its one encoding."""
    need(len(data) <= CONTENT_LIMIT_BYTES, "the package is too long")
    try:
        package = json.loads(data.decode("utf-8"))
        need(isinstance(package, dict), "not an object")
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    PACKAGE(package)
    written = {"type": package["type"], "log": package["log"], "streams": [
        {"stream": keys["stream"], "nodes": [{name: node[name] for name in ("depth", "index", "key")} for node in keys["nodes"]]}
        for keys in package["streams"]]}
    need(json.dumps(written, separators=(",", ":")).encode() == data, "not the one encoding")
    names = [keys["stream"] for keys in package["streams"]]
    need(len(set(names)) == len(names), "a stream twice")
    for keys in package["streams"]:
        at = 0
        for node in keys["nodes"]:
            width = 20 - node["depth"]
            need(node["index"] < 1 << node["depth"], "a node that no tree has")
            need(node["index"] << width >= at, "nodes that overlap, or are out of order")
            at = node["index"] + 1 << width


def fragment(slot_key, salt, stream, seq, index, lengths, sealed):
    """A fragment of a segment of which the lengths of all fragments are signed, opened."""
    lengths, index = [int(length) for length in lengths.split()], int(index)
    need(index < len(lengths) and len(sealed) == lengths[index], "of another length than was signed")
    info = b"exhibit/fragment/v1" + salt + index.to_bytes(4, "big")
    key = hmac.digest(slot_key, info + b"\1", "sha256")
    last = b"\1" if index + 1 == len(lengths) else b"\0"
    context = b"exhibit/aad/v1" + len(stream).to_bytes(2, "big") + stream + int(seq).to_bytes(8, "big") + index.to_bytes(4, "big") + last
    try:
        return AESGCM(key).decrypt(bytes(12), sealed, context)
    except (InvalidTag, ValueError) as error:
        raise Malformed("it does not open") from error
