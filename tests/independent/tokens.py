"""Timestamp tokens and the foreign certificates behind them, by docs/formats/timestamp-token.md.

Knows nothing of ledgers or files.
"""

import datetime
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from signed import (BIT_STRING, BOOLEAN, CURVES, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, PRIMITIVE, SEQUENCE, SET, UTC_TIME, attributes_of_name, der,
                    distinguished, elements, expect, extension_of, extensions_of, is_ecdsa, is_rsa, oid, only, positive, read, unsigned)
from paths import Links
from statements import Malformed, need

TOKEN_LIMIT_BYTES = 64 * 1024
CERTIFICATE_LIMIT_BYTES = 16 * 1024
NULL = b"\5\0"
# digest: (its OID, its function, the library's, what stands before it in PKCS #1)
DIGESTS = {
    "2.16.840.1.101.3.4.2.1": (hashlib.sha256, hashes.SHA256, "3031300d060960864801650304020105000420"),
    "2.16.840.1.101.3.4.2.2": (hashlib.sha384, hashes.SHA384, "3041300d060960864801650304020205000430"),
    "2.16.840.1.101.3.4.2.3": (hashlib.sha512, hashes.SHA512, "3051300d060960864801650304020305000440"),
}
ECDSA = {f"1.2.840.10045.4.3.{number + 1}": f"2.16.840.1.101.3.4.2.{number}" for number in (1, 2, 3)}
RSA = {f"1.2.840.113549.1.1.{number + 10}": f"2.16.840.1.101.3.4.2.{number}" for number in (1, 2, 3)}
RSA_ENCRYPTION, PSS, MGF1 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
TIME_STAMPING, ANY_PURPOSE = oid("1.3.6.1.5.5.7.3.8"), oid("2.5.29.37.0")
# Of a tbsCertificate, the last of which may be missing.
FIELDS = [0xA0, INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, 0xA3]
TST_INFO = oid("1.2.840.113549.1.9.16.1.4")


def _algorithms(dotted):
    """The two spellings of an AlgorithmIdentifier: parameters absent, and NULL."""
    return der(SEQUENCE, oid(dotted)), der(SEQUENCE, oid(dotted), NULL)


def digest_of(algorithm):
    """The digest that an AlgorithmIdentifier names, parameters absent or NULL."""
    for dotted in DIGESTS:
        if algorithm in _algorithms(dotted):
            return dotted
    raise Malformed("not a digest of ours")


def suite_of(algorithm, digest=None):
    """What a signatureAlgorithm says as (scheme, digest). With `digest`, that of a SignerInfo, rsaEncryption may leave it out."""
    for dotted, of_digest in ECDSA.items():
        if algorithm == der(SEQUENCE, oid(dotted)):
            return "ECDSA", of_digest
    for dotted, of_digest in RSA.items():
        if algorithm in _algorithms(dotted):
            return "RSA", of_digest
    if digest and algorithm in _algorithms(RSA_ENCRYPTION):
        return "RSA", digest
    for dotted, (function, _, _) in DIGESTS.items():
        for hash_algorithm in _algorithms(dotted):
            for mask_hash in _algorithms(dotted):
                parameters = der(SEQUENCE, der(0xA0, hash_algorithm), der(0xA1, der(SEQUENCE, oid(MGF1), mask_hash)),
                                 der(0xA2, der(INTEGER, bytes([function().digest_size]))))
                if algorithm == der(SEQUENCE, oid(PSS), parameters):
                    return "PSS", dotted
    raise Malformed("a suite that is none of ours")


class ForeignKey:
    """A key on P-384 or P-256, or an RSA key."""

    def __init__(self, spki):
        self.curve = next((name for name, (prefix, length, *_) in CURVES.items()
                           if spki.startswith(prefix) and len(spki) == len(prefix) + length), None)
        if self.curve:
            self.public = spki[len(CURVES[self.curve][0]):]
            need(self.public[0] == 4, "not an uncompressed point")
            try:
                ec.EllipticCurvePublicKey.from_encoded_point(CURVES[self.curve][2], self.public)
            except ValueError as error:
                raise Malformed("not a point on the curve") from error
            return
        content = only(spki, SEQUENCE)
        algorithm = der(SEQUENCE, oid(RSA_ENCRYPTION), NULL)
        need(content.startswith(algorithm), "a key of another kind")
        bits = only(content[len(algorithm):], BIT_STRING)
        need(bits[:1] == b"\0", "a key of odd bits")
        modulus, exponent = expect(only(bits[1:], SEQUENCE), INTEGER)
        self.modulus, self.exponent = positive(modulus), positive(only(exponent, INTEGER))
        need(2048 <= self.modulus.bit_length() <= 8192 and 65537 <= self.exponent < 2**32 and self.exponent & 1, "an RSA key of another size")

    def verifies(self, suite, signature, message):
        """Whether this key made the signature."""
        scheme, dotted = suite
        function, library, info = DIGESTS[dotted]
        if self.curve:
            return scheme == "ECDSA" and is_ecdsa(self.curve, self.public, library(), signature, message)
        if scheme == "RSA":
            return is_rsa(self.modulus, self.exponent, bytes.fromhex(info), function(message).digest(), signature)
        if scheme != "PSS":
            return False
        try:
            key = rsa.RSAPublicNumbers(self.exponent, self.modulus).public_key()
            key.verify(signature, message, padding.PSS(padding.MGF1(library()), function().digest_size), library())
        except (InvalidSignature, ValueError):
            return False
        return True


class EndorsementKey(ForeignKey):
    """The same, or id-RSAES-OAEP with any parameters: what it opens is another matter, and it signs nothing."""

    def __init__(self, spki):
        algorithm, _ = expect(only(spki, SEQUENCE), SEQUENCE)
        if algorithm.startswith(oid("1.2.840.113549.1.1.7")):
            self.curve = None
        else:
            super().__init__(spki)


class ForeignCertificate:
    """An X.509 certificate of somebody else's."""

    def __init__(self, data, endorsement=False):
        need(len(data) <= CERTIFICATE_LIMIT_BYTES, "the certificate is too long")
        self.der = data
        parts = elements(only(distinguished(data), SEQUENCE))
        need([tag for tag, _, _ in parts] == [SEQUENCE, SEQUENCE, BIT_STRING], "not a certificate")
        (_, content, self.signed_bytes), (_, _, algorithm), (_, bits, _) = parts
        need(bits[:1] == b"\0", "a signature of odd bits")
        self.signature, self.suite = bits[1:], suite_of(algorithm)
        fields = elements(content)
        need([tag for tag, _, _ in fields] in (FIELDS, FIELDS[:-1]), "fields that are not read")
        need(fields[0][1] == der(INTEGER, b"\2") and fields[2][2] == algorithm, "not version 3, or two algorithms")
        serial_number(fields[1][1])
        self.serial_der, self.issuer, self.subject = fields[1][2], fields[3][2], fields[5][2]
        attributes_of_name(self.issuer), attributes_of_name(self.subject)
        times = elements(fields[4][1])
        need(len(times) == 2, "a validity has two times")
        self.first_second, self.last_second = (_seconds(tag, text) for tag, text, _ in times)
        self.spki = fields[6][2]
        self.key = EndorsementKey(self.spki) if endorsement else ForeignKey(self.spki)
        self.extensions = {}
        if len(fields) == 8:
            self.extensions = extensions_of(only(fields[7][1], SEQUENCE))
        need(len(self.extensions) <= 32, "too many extensions")
        self._extensions(endorsement)

    def _extensions(self, endorsement):
        known = {name: self.extensions.get(oid(f"2.5.29.{number}"), (False, None))
                 for number, name in ((14, "ski"), (35, "aki"), (19, "basic"), (15, "usage"), (37, "extended"))}
        for _, value in known.values():
            distinguished(value or b"")
        for number in (30, 36, 33, 54):
            need(oid(f"2.5.29.{number}") not in self.extensions, "names or policies are constrained")
        numbers = (14, 35, 19, 15, 37, 17) if endorsement else (14, 35, 19, 15, 37)
        known_names = {oid(f"2.5.29.{number}") for number in numbers}
        need(not any(critical for name, (critical, _) in self.extensions.items() if name not in known_names), "an unknown critical extension")
        self.key_identifier = only(known["ski"][1], OCTET_STRING) if known["ski"][1] is not None else None
        aki = elements(only(known["aki"][1], SEQUENCE)) if known["aki"][1] is not None else []
        tags = [tag for tag, _, _ in aki]
        need(tags == [tag for tag in (0x80, 0xA1, 0x82) if tag in tags], "an authority key identifier of another form")
        self.authority_key_identifier = next((content for tag, content, _ in aki if tag == 0x80), None)
        names = [elements(content) for tag, content, _ in aki if tag == 0xA1]
        self.named_issuers = [content for tag, content, _ in names[0] if tag == 0xA4] if names else []
        self.named_serial = next((serial_number(content) for tag, content, _ in aki if tag == 0x82), None)
        basic = elements(only(known["basic"][1], SEQUENCE)) if known["basic"][1] is not None else []
        need([tag for tag, _, _ in basic] in ([], [BOOLEAN], [INTEGER], [BOOLEAN, INTEGER]), "basic constraints of another form")
        flags = [content for tag, content, _ in basic if tag == BOOLEAN]
        need(flags in ([], [b"\0"], [b"\xff"]), "a flag that DER has not")
        self.is_authority = flags == [b"\xff"]
        lengths = [0 if content == b"\0" else positive(content) for tag, content, _ in basic if tag == INTEGER]
        need(not lengths or lengths[0] <= 255, "a path length that is too large")
        self.path_length = lengths[0] if lengths else None
        self.usage = None if known["usage"][1] is None else _usage(only(known["usage"][1], BIT_STRING))
        self.extended_critical, extended = known["extended"]
        extended = [] if extended is None else elements(only(extended, SEQUENCE))
        need(all(tag == OID for tag, _, _ in extended), "a purpose that is none")
        self.purposes = None if known["extended"][1] is None else [whole for _, _, whole in extended]

    def valid_at(self, moment_ms):
        """Valid from the first moment of notBefore to the end of the second notAfter."""
        return self.first_second * 1000 <= moment_ms < (self.last_second + 1) * 1000

    def may_timestamp(self):
        """Rules 1 to 3 of the page for the certificate of an authority."""
        digital_or_non_repudiation = 0xC000
        return (self.purposes == [TIME_STAMPING] and self.extended_critical and not self.is_authority
                and (self.usage is None or self.usage and not self.usage & ~digital_or_non_repudiation))

    def names(self, issuer):
        """Whether it says that this issuer issued it."""
        identified = issuer.key_identifier is None or self.authority_key_identifier in (None, issuer.key_identifier)
        named = (not self.named_issuers or issuer.issuer in self.named_issuers) \
            and self.named_serial in (None, elements(issuer.serial_der)[0][1])
        return issuer.subject == self.issuer and identified and named

    def may_issue(self, purpose, below):
        """Whether it may certify for a purpose, with so many authorities below."""
        return (self.is_authority and (self.path_length is None or below <= self.path_length)
                and (self.usage is None or self.usage & 0x0400)
                and (self.purposes is None or purpose in self.purposes or ANY_PURPOSE in self.purposes))

    def leads_to(self, anchors, between, moment_ms, purpose):
        """Whether a path leads from here to one of the anchors."""
        if not self.valid_at(moment_ms) or any(self.der == anchor.der for anchor in anchors):
            return self.valid_at(moment_ms)

        def certified(subject, issuer):
            return (subject.names(issuer) and issuer.may_issue(purpose, 0) and (subject is self or subject.may_issue(purpose, 0))
                    and issuer.key.verifies(subject.suite, subject.signature, subject.signed_bytes))

        def may(issuer, _, below):
            return issuer.may_issue(purpose, below) and issuer.valid_at(moment_ms) and (below > 0 or certified(self, issuer))
        return Links(anchors, between, certified, lambda authority: authority.path_length).path(self, ForeignCertificate.names, may) is not None


def serial_number(content):
    """The content of a CertificateSerialNumber, of whatever sign."""
    need(PRIMITIVE[INTEGER](content) and len(content) <= 21, "not a serial number, or too long a one")
    return content


def _usage(bits):
    """The nine named bits of a keyUsage, the first as 0x8000. What else there is up to two bytes says nothing."""
    need(bits and bits[0] < 8 and (len(bits) > 1 or bits[0] == 0) and 8 * (len(bits) - 1) - bits[0] <= 16, "not a key usage")
    number = int.from_bytes(bits[1:], "big") >> bits[0] << bits[0]
    return number << 8 * (3 - len(bits)) & 0xFF80 if len(bits) <= 3 else number >> 8 & 0xFF80


def _seconds(tag, content):
    text = content.decode("latin-1")
    need(re.fullmatch(r"\d{12}Z" if tag == UTC_TIME else r"\d{14}Z", text) and tag in (UTC_TIME, GENERALIZED_TIME), "not a time")
    year = ("19" if text[0] >= "5" else "20") + text[:2] if tag == UTC_TIME else text[:4]
    need(year >= "1970", "a moment before 1970")
    return _calendar(year + text[-11:-1])


def _calendar(digits):
    try:
        moment = datetime.datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError as error:
        raise Malformed("a time that does not exist") from error
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)


class Token:
    """A timestamp token: what it is over and when, in its form. Who signed it is judged by `judge`."""

    def __init__(self, data):
        need(len(data) <= TOKEN_LIMIT_BYTES, "the token is too long")
        kind, rest = expect(only(distinguished(data), SEQUENCE), OID)
        need(der(OID, kind) == oid("1.2.840.113549.1.7.2"), "not SignedData")
        fields = elements(only(only(rest, 0xA0), SEQUENCE))
        tags = [tag for tag, _, _ in fields]
        need(tags in ([INTEGER, SET, SEQUENCE, SET], [INTEGER, SET, SEQUENCE, 0xA0, SET]), "fields that a token has not")
        need(fields[0][1] == b"\3", "not version 3")
        _, info = expect(fields[2][1], OID)
        need(fields[2][1].startswith(TST_INFO), "not a TSTInfo")
        self.info_der = only(only(info, 0xA0), OCTET_STRING)
        self.certificates = []
        brought = elements(fields[3][1]) if len(fields) == 5 else []
        need(len(brought) <= 16, "too many certificates")
        for _, _, whole in brought:
            try:
                self.certificates.append(ForeignCertificate(whole))
            except Malformed:
                pass
        self._info()
        self._signer(fields[1][1], only(fields[-1][1], SEQUENCE))

    def _signer(self, digest_algorithms, content):
        fields = elements(content)
        need(len(fields) == 6 and [fields[place][0] for place in (0, 2, 3, 4, 5)] == [INTEGER, SEQUENCE, 0xA0, SEQUENCE, OCTET_STRING],
             "not a SignerInfo")
        need((fields[0][1], fields[1][0]) in ((b"\1", SEQUENCE), (b"\3", 0x80)), "a version that does not go with the signer's name")
        self.sid, algorithm = fields[1], fields[2][2]
        if self.sid[0] == SEQUENCE:
            name, serial = expect(self.sid[1], SEQUENCE)
            attributes_of_name(der(SEQUENCE, name))
            serial_number(only(serial, INTEGER))
        need(digest_algorithms == algorithm, "not the digest that the signer uses")
        self.digest = digest_of(algorithm)
        attributes, signed = {}, elements(fields[3][1])
        wholes = [whole for _, _, whole in signed]
        need(wholes == sorted(wholes), "a set that is not in order")
        for tag, attribute, _ in signed:
            name, values = expect(attribute if tag == SEQUENCE else b"", OID)
            values = elements(only(values, SET))
            need(name not in attributes and len(values) == 1, "an attribute stands twice, or has not one value")
            attributes[name] = values[0][2]
        named = {dotted: attributes.get(only(oid(dotted), OID)) for dotted in (
            "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.16.2.47")}
        need(all(named.values()), "an attribute is missing")
        content_type, message_digest, certificate = named.values()
        need(content_type == TST_INFO, "an attribute of another content")
        need(only(message_digest, OCTET_STRING) == DIGESTS[self.digest][0](self.info_der).digest(), "not the digest of the TSTInfo")
        named = elements(only(certificate, SEQUENCE))
        need([tag for tag, _, _ in named] in ([SEQUENCE], [SEQUENCE, SEQUENCE]), "not a SigningCertificateV2")
        parts = elements(expect(named[0][1], SEQUENCE)[0])
        need(parts, "not an ESSCertIDv2")
        self.certificate_digest = "2.16.840.1.101.3.4.2.1"
        if parts[0][0] == SEQUENCE:
            # By another digest no certificate of ours is found.
            _, content, named = parts.pop(0)
            need([tag for tag, _, _ in elements(content)][:1] == [OID] and len(elements(content)) <= 2, "not an algorithm")
            self.certificate_digest = next((dotted for dotted in DIGESTS if named in _algorithms(dotted)), None)
        need(parts and parts[0][0] == OCTET_STRING and len(parts) <= 2, "not an ESSCertIDv2")
        self.certificate_hash = parts[0][1]
        self.issuer_serial = parts[1][1] if len(parts) == 2 else None
        if len(parts) == 2:
            issuer_serial = elements(self.issuer_serial)
            need([parts[1][0]] + [tag for tag, _, _ in issuer_serial] == [SEQUENCE, SEQUENCE, INTEGER], "not an issuer and a serial number")
            serial_number(issuer_serial[1][1])
        self.signed_bytes = der(SET, fields[3][1])
        self.suite, self.signature = suite_of(fields[4][2], self.digest), fields[5][1]
        need(self.suite[1] == self.digest, "the signature is over another digest")

    def _info(self):
        fields = elements(only(distinguished(self.info_der), SEQUENCE))
        need([tag for tag, _, _ in fields[:5]] == [INTEGER, OID, SEQUENCE, INTEGER, GENERALIZED_TIME] and fields[0][1] == b"\1", "not a TSTInfo")
        imprint = elements(fields[2][1])
        need(len(imprint) == 2 and imprint[1][0] == OCTET_STRING, "not an imprint")
        self.imprint = digest_of(imprint[0][2]), imprint[1][1]
        need(len(self.imprint[1]) == DIGESTS[self.imprint[0]][0]().digest_size, "an imprint of another length")
        need(unsigned(fields[3][1]) < 2**160, "a serial number that is too long")
        match = re.fullmatch(r"(\d{14})(?:\.(\d{0,5}[1-9]))?Z", fields[4][1].decode("latin-1"))
        need(match, "not a genTime")
        self.time_us = _calendar(match.group(1)) * 1_000_000 + int((match.group(2) or "").ljust(6, "0"))
        need(self.time_us >= 0, "a moment before 1970")
        self.accuracy_us, self.nonce, self.tsa, rest = None, None, None, fields[5:]
        if rest and rest[0][0] == SEQUENCE:
            parts, units = elements(rest.pop(0)[1]), {INTEGER: 1_000_000, 0x80: 1_000, 0x81: 1}
            tags = [tag for tag, _, _ in parts]
            need(tags and tags == [tag for tag in units if tag in tags], "not an accuracy")
            values = [(tag, unsigned(content)) for tag, content, _ in parts]
            need(all(value < 2**32 if tag == INTEGER else 1 <= value <= 999 for tag, value in values), "not an accuracy")
            self.accuracy_us = sum(units[tag] * value for tag, value in values)
        if rest and rest[0][0] == BOOLEAN:
            need(rest.pop(0)[1] == b"\xff", "a default that is written")
        if rest and rest[0][0] == INTEGER:
            self.nonce = rest.pop(0)[1]
            need(unsigned(self.nonce) < 2**256, "a nonce that is too long")
        if rest and rest[0][0] == 0xA0:
            self.tsa = only(only(rest.pop(0)[2], 0xA0), 0xA4)
        if rest and rest[0][0] == 0xA1:
            extensions = [extension_of(extension) for extension in elements(rest.pop(0)[1])]
            need(extensions, "a list of no extensions")
            need(not any(critical for _, critical, _ in extensions), "a critical extension")
        need(not rest, "fields that a TSTInfo has not")

    def is_over(self, text):
        """Whether this is the digest that was signed."""
        return DIGESTS[self.imprint[0]][0](text).digest() == self.imprint[1]

    def authority(self, anchors):
        """The certificate that the token names, among its own and the anchors."""
        for certificate in [*anchors, *self.certificates]:
            serial = der(SEQUENCE, der(SEQUENCE, der(0xA4, certificate.issuer)), certificate.serial_der)
            if self.certificate_digest and DIGESTS[self.certificate_digest][0](certificate.der).digest() == self.certificate_hash \
                    and self.issuer_serial in (None, read(serial)[1]):
                return certificate
        return None

    def judge(self, anchors, between=()):
        """Whether the token is the word of an authority under the anchors; False if of one elsewhere. One that does not hold is refused."""
        certificate = self.authority([*anchors, *between])
        if certificate is None:
            return False
        # The signer's name is not signed: whoever has the token can change it, and it is the authority's all the same.
        named = (certificate.issuer + certificate.serial_der == self.sid[1] if self.sid[0] == SEQUENCE
                 else certificate.key_identifier == self.sid[1])
        need(named, "the signer is named as another than the certificate")
        need(certificate.may_timestamp(), "the certificate is not a timestamping authority's")
        need(self.tsa in (None, certificate.subject), "the token names another authority")
        need(certificate.key.verifies(self.suite, self.signature, self.signed_bytes), "the signature does not verify")
        return certificate.leads_to(anchors, [*between, *self.certificates], self.time_us // 1000, TIME_STAMPING)

    def bounds_ms(self, unstated_us=1_000_000):
        """No earlier and no later than, rounded outwards."""
        accuracy = unstated_us if self.accuracy_us is None else self.accuracy_us
        need(self.time_us >= accuracy and self.time_us + accuracy < 253_402_300_800_000_000, "a moment before 1970, or after the year 9999")
        return (self.time_us - accuracy) // 1000, -(-(self.time_us + accuracy) // 1000)
