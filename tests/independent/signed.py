"""Signed statements and certificates: DER, the CMS template, profiles and paths, by docs/formats/signed-statement.md, certificates.md, oids.md, der.md.

Knows nothing of ledgers or files. The DER reader is ours; only the arithmetic of the curve is the library's.
"""

import datetime
import hashlib
import re
import unicodedata

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from paths import Links
from statements import TYPES, Malformed, milliseconds, need, parse_statement

ENTRY_LIMIT_BYTES = 65_535
CERTIFICATE_LIMIT_BYTES = 16 * 1024
ORDER_P384 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A
UTF8, SEQUENCE, SET, PRINTABLE, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x30, 0x31, 0x13, 0x17, 0x18
DEPTH_LIMIT = 32
ROLES = {f"2.25.1586047359.2.{number}": role for number, role in enumerate(
    ("camera", "custodian", "investigator", "auditor", "admin", "appliance", "authority"), 1)}
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CURVES = {
    "P-384": (bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"), 97, ec.SECP384R1(), ORDER_P384, hashes.SHA384()),
    "P-256": (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), 65, ec.SECP256R1(), ORDER_P256, hashes.SHA256()),
}


def der(tag, *parts):
    """An element of DER."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def oid(dotted):
    """An object identifier."""
    first, second, *rest = map(int, dotted.split("."))
    out = b""
    for arc in [40 * first + second, *rest]:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        out += bytes(reversed(septets))
    return der(OID, out)


def read(data):
    """The first element of some DER as (tag, content, all its bytes, what follows)."""
    need(len(data) >= 2 and data[0] & 0x1F != 0x1F, "DER is cut short")
    length, at = data[1], 2
    if length >= 0x80:
        size = length & 0x7F
        need(1 <= size <= 4 and len(data) >= 2 + size, "a length that DER has not")
        length, at = int.from_bytes(data[2:2 + size], "big"), 2 + size
    need(len(data) >= at + length, "DER is cut short")
    whole = data[:at + length]
    need(der(data[0], data[at:at + length]) == whole, "a length in long form")
    if data[0] == OID:
        identifier(data[at:at + length])
    return data[0], data[at:at + length], whole, data[at + length:]


def expect(data, tag):
    """The content of the first element, which must have the tag, and what follows."""
    found, content, _, rest = read(data)
    need(found == tag, f"tag {found:#x} where {tag:#x} belongs")
    return content, rest


def only(data, tag):
    """The content of the one element that the data is."""
    content, rest = expect(data, tag)
    need(not rest, "bytes follow")
    return content


def elements(data):
    """All elements of some content as (tag, content, all its bytes)."""
    out = []
    while data:
        tag, content, whole, data = read(data)
        out.append((tag, content, whole))
    return out


def positive(content):
    """A positive INTEGER in its least form."""
    need(content and content[0] < 0x80 and (content[0] or len(content) > 1 and content[1] >= 0x80), "not a positive integer in its least form")
    return int.from_bytes(content, "big")


def unsigned(content):
    """An INTEGER that is not negative, in its least form."""
    return 0 if content == b"\0" else positive(content)


def identifier(content):
    """The content of an OBJECT IDENTIFIER, by docs/formats/der.md."""
    need(1 <= len(content) <= 39 and content[0] < 120 and content[-1] < 0x80, "not an object identifier, or too long a one")
    arc, begins = 0, False
    for septet in content:
        need(not begins or septet != 0x80, "an arc with zeros before it")
        arc, begins = (0 if begins else arc) << 7 | septet & 0x7F, septet < 0x80
        need(arc < 1 << 32, "an arc of more than 32 bits")
    return content


def distinguished(data, at=0, end=None, depth=1, in_order=False, any_order=False):
    """Some DER: elements end to end, all that they are made of too, by docs/formats/der.md. Octets and bits are not gone into."""
    end, before = len(data) if end is None else end, b""
    need(depth <= DEPTH_LIMIT, "elements that are too deep in others")
    while at < end:
        need(end - at >= 2 and data[at] & 0x1F != 0x1F, "DER is cut short, or has a tag of two bytes")
        begins, tag, length, at = at, data[at], data[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            need(1 <= size <= 4 and at + size <= end, "a length that DER has not")
            length, at = int.from_bytes(data[at:at + size], "big"), at + size
            need(length >= max(0x80, 1 << 8 * (size - 1)), "a length in too many bytes")
        need(at + length <= end, "DER is cut short")
        if tag & 0x20:
            need(tag & 0xC0 or tag in (SEQUENCE, SET), "a value that is never made of elements")
            distinguished(data, at, at + length, depth + 1, tag == SET and not any_order, any_order)
        elif not tag & 0xC0:
            need(tag in PRIMITIVE, "a tag that nobody knows")
            need(PRIMITIVE[tag](data[at:at + length]), "a value that is not in its one form")
        at += length
        need(not in_order or before <= data[begins:at], "a set that is not in order")
        before = data[begins:at]
    return data


def _is_integer(content):
    return content and (len(content) == 1 or not (content[0] == 0 and content[1] < 0x80 or content[0] == 0xFF and content[1] >= 0x80))


def _is_bits(content):
    return content == b"\0" or len(content) > 1 and content[0] < 8 and not content[-1] & (1 << content[0]) - 1


# What the values of universal tags must be, as far as the tag says it.
PRIMITIVE = {
    BOOLEAN: lambda content: content in (b"\0", b"\xff"), INTEGER: _is_integer, ENUMERATED: _is_integer, BIT_STRING: _is_bits, OID: identifier,
    NULL: lambda content: not content,
    UTC_TIME: lambda content: re.fullmatch(rb"\d{12}Z", content), GENERALIZED_TIME: lambda content: re.fullmatch(rb"\d{14}(\.\d*[1-9])?Z", content),
    # Octets and texts: any, here.
    **{tag: lambda content: True for tag in (OCTET_STRING, UTF8, 0x12, PRINTABLE, 0x14, 0x15, 0x16, 0x1A, 0x1B, 0x1E)},
}


def numbers_of_ecdsa(signature, order):
    """r and s, each from 1 to the order less one."""
    r_content, parts = expect(only(signature, SEQUENCE), INTEGER)
    r, s = positive(r_content), positive(only(parts, INTEGER))
    need(r < order and s < order, "r or s is not below n")
    return r, s


def is_ecdsa(curve, public, digest, signature, message):
    """Whether ECDSA on a curve verifies, whatever hash goes with it."""
    r, s = numbers_of_ecdsa(signature, CURVES[curve][3])
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve][2], public)
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def is_rsa(modulus, exponent, digest_info, digest, signature):
    """Whether RSASSA-PKCS1-v1_5 verifies: what the signature opens to is compared, and not parsed."""
    length = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    room = length - 3 - len(digest_info) - len(digest)
    if len(signature) != length or number >= modulus or room < 8:
        return False
    return pow(number, exponent, modulus).to_bytes(length, "big") == b"\0\1" + b"\xff" * room + b"\0" + digest_info + digest


TIME_STAMPING, OCSP_SIGNING = oid("1.3.6.1.5.5.7.3.8"), oid("1.3.6.1.5.5.7.3.9")
NO_CHECK = oid("1.3.6.1.5.5.7.48.1.5")
RSA_ENCRYPTION = der(SEQUENCE, oid("1.2.840.113549.1.1.1"), b"\5\0")
SHA384_INFO = bytes.fromhex("3041300d060960864801650304020205000430")


class Key:
    """A key of one of the suites of statements, in its one encoding."""

    def __init__(self, spki):
        self.suite = next((name for name, (prefix, length, *_) in CURVES.items()
                           if spki.startswith(prefix) and len(spki) == len(prefix) + length), "RSA")
        if self.suite in CURVES:
            prefix, _, curve, _, _ = CURVES[self.suite]
            self.public = spki[len(prefix):]
            try:
                ec.EllipticCurvePublicKey.from_encoded_point(curve, self.public)
            except ValueError as error:
                raise Malformed("not a point on the curve") from error
            need(self.public[0] == 4, "not an uncompressed point")
            return
        content = only(spki, SEQUENCE)
        need(content.startswith(RSA_ENCRYPTION), "not a key of our suites")
        bits = only(content[len(RSA_ENCRYPTION):], BIT_STRING)
        need(bits[:1] == b"\0", "a key of odd bits")
        modulus, exponent = expect(only(bits[1:], SEQUENCE), INTEGER)
        self.modulus, self.exponent = positive(modulus), positive(only(exponent, INTEGER))
        need(3072 <= self.modulus.bit_length() <= 4096 and self.modulus & 1 and self.exponent == 65537, "not an RSA key of our suite")

    def verifies(self, signature, message, low_s):
        """Whether this key made the signature of the message. In statements s must be low."""
        if self.suite == "RSA":
            return is_rsa(self.modulus, self.exponent, SHA384_INFO, hashlib.sha384(message).digest(), signature)
        _, _, _, order, digest = CURVES[self.suite]
        need(not low_s or numbers_of_ecdsa(signature, order)[1] <= order // 2, "s is above n/2")
        return is_ecdsa(self.suite, self.public, digest, signature, message)


class Certificate:
    """A certificate in one of the four profiles."""

    def __init__(self, data):
        need(len(data) <= CERTIFICATE_LIMIT_BYTES, "the certificate is too long")
        self.der, self.fingerprint = data, hashlib.sha256(data).hexdigest()
        algorithm = der(SEQUENCE, oid("1.2.840.10045.4.3.3"))
        _, to_be_signed, self.signed_bytes, rest = read(only(distinguished(data), SEQUENCE))
        need(self.signed_bytes[0] == SEQUENCE, "no certificate")
        need(rest.startswith(algorithm), "signed with another algorithm")
        signature = only(rest[len(algorithm):], BIT_STRING)
        need(signature[:1] == b"\0", "a signature of odd bits")
        self.signature = signature[1:]
        fields = elements(to_be_signed)
        need([tag for tag, _, _ in fields] == [0xA0, INTEGER] + [SEQUENCE] * 5 + [0xA3], "fields that no profile has")
        need(fields[0][1] == der(INTEGER, b"\2"), "not version 3")
        positive(fields[1][1])
        need(len(fields[1][1]) <= 20 and fields[2][2] == algorithm, "the serial number or the inner algorithm")
        self.issuer, self.subject, spki = fields[3][2], fields[5][2], fields[6][2]
        _common_name(self.subject)
        attributes_of_name(self.issuer)
        validity = elements(fields[4][1])
        need(len(validity) == 2, "a validity has two times")
        self.first_second, self.last_second = (certificate_seconds(tag, content) for tag, content, _ in validity)
        need(self.first_second <= self.last_second, "a validity that ends before it begins")
        self.key, self.spki = Key(spki), spki
        self.serial = positive(fields[1][1])
        self._extensions(only(fields[7][1], SEQUENCE))

    def _extensions(self, content):
        found = extensions_of(content)
        count, known = len(found), {}
        found_critical = found.get(oid("2.5.29.37"), (False, None))[0]
        for number, name, must_be_critical in ((14, "ski", False), (35, "aki", False), (19, "basic", True), (15, "usage", True),
                                               (37, "extended", None), (17, "names", None), (32, "policies", False)):
            critical, value = found.pop(oid(f"2.5.29.{number}"), (must_be_critical, None))
            need(must_be_critical is None or critical == must_be_critical, f"{name} is critical where it must not be, or is not")
            known[name] = value and distinguished(value)
        for number in (30, 36, 33, 54):
            need(oid(f"2.5.29.{number}") not in found, "an extension that is refused either way")
        no_check = found.pop(NO_CHECK, None)
        need(no_check in (None, (False, b"\5\0")), "nocheck of another form")
        need(count <= 32, "too many extensions")
        need(not any(critical for critical, _ in found.values()), "an unknown critical extension")
        need(known["ski"] is not None, "no key identifier")
        self.key_identifier = only(known["ski"], OCTET_STRING)
        need(1 <= len(self.key_identifier) <= 64, "the key identifier's length")
        self.authority_key_identifier = None
        if known["aki"] is not None:
            self.authority_key_identifier = only(only(known["aki"], SEQUENCE), 0x80)
            need(1 <= len(self.authority_key_identifier) <= 64, "the authority key identifier's length")
        need(self.authority_key_identifier is not None or self.issuer == self.subject, "no authority key identifier")
        self._constraints(known["basic"])
        self._purpose(known["usage"], known["extended"], found_critical)
        need((no_check is not None) == (self.service == "ocsp"), "nocheck belongs to responders alone")
        self._identity(known["names"])
        policies = elements(only(known["policies"], SEQUENCE)) if known["policies"] is not None else []
        need(all(tag == SEQUENCE for tag, _, _ in policies), "a policy that is none")
        for parts in [elements(policy) for _, policy, _ in policies]:
            need([tag for tag, _, _ in parts] in ([OID], [OID, SEQUENCE]), "a policy that is none")
            qualifiers = elements(parts[1][1]) if len(parts) == 2 else []
            need(all(tag == SEQUENCE and expect(qualifier, OID) and len(elements(qualifier)) <= 2 for tag, qualifier, _ in qualifiers),
                 "a policy's qualifier that is none")
        named = [read(policy)[2] for _, policy, _ in policies]
        need(len(named) <= 32 and len(set(named)) == len(named), "too many policies, or one twice")
        self.roles = {name for dotted, name in ROLES.items() if oid(dotted) in named}
        need(self.is_authority or bool(self.roles) == (self.service is None), "no role, or a service with one")

    def _constraints(self, value):
        self.is_authority, self.path_length = False, None
        parts = elements(only(value, SEQUENCE)) if value is not None else []
        if parts and parts[0][:2] == (BOOLEAN, b"\xff"):
            self.is_authority = True
            parts.pop(0)
            if parts and parts[0][0] == INTEGER:
                content = parts.pop(0)[1]
                self.path_length = 0 if content == b"\0" else positive(content)
                need(self.path_length <= 255, "a path length that is too large")
        need(not parts, "basic constraints of another form")

    def _purpose(self, value, extended, extended_critical):
        need(value is not None, "no key usage")
        bits = only(value, BIT_STRING)
        need(len(bits) == 2 and bits[1] & -bits[1] == 1 << bits[0], "a key usage that is not DER, or of another length")
        usage, self.service, self.serves = bits[1], None, False
        if self.is_authority:
            need(usage in (0x04, 0x06) and extended is None, "an authority's key usage")
            self.for_signing, self.signs_lists = False, usage == 0x06
            return
        self.for_signing = usage == 0x80
        need(usage in (0x80, 0x20 if self.key.suite == "RSA" else 0x08), "neither a signing nor a wrapping key")
        need(self.for_signing == (extended is not None), "extended key usage belongs to signing keys alone")
        if self.for_signing:
            uses = [whole for _, _, whole in elements(only(extended, SEQUENCE))]
            need(uses != [TIME_STAMPING] or extended_critical, "a timestamping authority's purpose that is not critical")
            if uses in ([TIME_STAMPING], [OCSP_SIGNING]):
                self.service, self.for_signing = "ocsp" if uses == [OCSP_SIGNING] else "time", False
                return
            client, server = oid("1.3.6.1.5.5.7.3.2"), oid("1.3.6.1.5.5.7.3.1")
            need(sorted(uses) in ([client], sorted([client, server])), "another extended key usage")
            self.serves = server in uses

    def _identity(self, value):
        need(value is not None, "no identity")
        names = elements(only(value, SEQUENCE))
        uris = [content for tag, content, _ in names if tag == 0x86]
        need(len(uris) == 1 and all(tag in (0x86, 0x82, 0x87) for tag, _, _ in names), "not exactly one identity")
        need((len(names) > 1) == self.serves, "server names belong to those who serve")
        for tag, content, _ in names:
            need(tag != 0x82 or is_dns_name(content.decode("latin-1")), "not the name of a server")
            need(tag != 0x87 or len(content) in (4, 16), "not an address")
        path = "" if self.is_authority else r"/((?:camera|user|appliance|authority)/[a-z0-9-]{1,64})"
        match = re.fullmatch("spiffe://([^/A-Z]*)" + path, uris[0].decode("latin-1"))
        need(match and is_dns_name(match.group(1)), "not an identity of ours")
        self.domain = match.group(1)
        self.owner = None if self.is_authority else match.group(2)
        self.identity = uris[0].decode("latin-1")
        kind = self.owner.split("/")[0] if self.owner else None
        need(not self.service or kind == "authority", "a service of nobody's")
        need(self.key.suite == "P-384" or kind in {"P-256": ("camera", "user"), "RSA": ("user",)}[self.key.suite],
             "a key that this kind may not have")

    def is_same_authority_as(self, other):
        """Whether they are one authority: by trust domain, name and key identifier, which others may bear too, and by its key."""
        return (self.domain, self.subject, self.key_identifier, self.spki) == (other.domain, other.subject, other.key_identifier, other.spki)

    def signed_by(self, issuer):
        """Whether the issuer's key made this certificate."""
        return issuer.key.verifies(self.signature, self.signed_bytes, low_s=False)

    def valid_at(self, moment_ms):
        """Valid from the first moment of notBefore to the end of the second notAfter."""
        return self.first_second * 1000 <= moment_ms < (self.last_second + 1) * 1000

    def names(self, issuer):
        """Whether it says that this issuer issued it."""
        return issuer.subject == self.issuer and issuer.key_identifier == (self.authority_key_identifier or self.key_identifier)

    def certified_by(self, issuer):
        """Whether this issuer issued it, at whatever moment."""
        return self.names(issuer) and self.domain == issuer.domain and issuer.is_authority and self.signed_by(issuer)


class Authorities:
    """The roots, and the others that lead to one by signatures."""

    def __init__(self, roots, others):
        others = [other for other in others if other.is_authority]
        self.links = Links(roots, others, lambda subject, issuer: subject.certified_by(issuer), lambda authority: authority.path_length)
        self.others = self.links.authorities[len(roots):]

    def path(self, leaf, moment_ms):
        """The path that leads from a certificate to a root at a moment, or None."""
        def may(issuer, is_root, below):
            return (issuer.is_authority and issuer.valid_at(moment_ms) and (issuer.path_length is None or below <= issuer.path_length)
                    and (is_root or leaf.roles <= issuer.roles) and (below > 0 or leaf.certified_by(issuer)))
        return self.links.path(leaf, Certificate.names, may) if leaf.valid_at(moment_ms) else None


def extensions_of(content):
    """Extensions by the DER of their names: whether each is critical, and its value."""
    found = {}
    for name, critical, value in map(extension_of, elements(content)):
        need(name not in found, "an extension stands twice")
        found[name] = (critical, value)
    return found


def extension_of(element):
    """The DER of an extension's name, whether it is critical, and its value."""
    tag, extension, _ = element
    need(tag == SEQUENCE, "not an extension")
    parts = elements(extension)
    critical = len(parts) == 3
    need([part[0] for part in parts] == [OID, BOOLEAN, OCTET_STRING][::1 if critical else 2], "not an extension")
    need(not critical or parts[1][1] == b"\xff", "a flag that DER has not")
    return parts[0][2], critical, parts[-1][1]


def attributes_of_name(whole, any_order=False):
    """The attributes of a Name as (OID, tag, content)."""
    found = []
    for tag, part, _ in elements(only(whole, SEQUENCE)):
        need(tag == SET, "not a name")
        attributes = elements(part)
        wholes = [whole for _, _, whole in attributes]
        need(attributes and (any_order or wholes == sorted(wholes)), "not a set in DER")
        for tag, attribute, _ in attributes:
            need(tag == SEQUENCE, "not an attribute")
            parts = elements(attribute)
            need(len(parts) == 2 and parts[0][0] == OID, "not an attribute")
            found.append((parts[0][2], *parts[1][:2]))
    return found


def is_dns_name(text):
    """Labels of 1 to 63 letters, digits and hyphens, none of them at an end; at most 255 in all."""
    label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return len(text) <= 255 and re.fullmatch(rf"{label}(\.{label})*", text) is not None


def _common_name(whole):
    """Refuses a name without exactly one common name of 1 to 64 characters."""
    common = []
    for kind, tag, text in attributes_of_name(whole):
        if kind == oid("2.5.4.3"):
            need(tag in (UTF8, PRINTABLE), "a common name of another kind")
            need(tag == UTF8 or re.fullmatch(rb"[A-Za-z0-9 '()+,\-./:=?]*", text), "not a PrintableString")
            try:
                common.append(text.decode("utf-8"))
            except UnicodeError as error:
                raise Malformed("a name that is not UTF-8") from error
    need(len(common) == 1 and 1 <= len(common[0]) <= 64, "not exactly one common name")
    need(not any(unicodedata.category(character) == "Cc" for character in common[0]), "a control character")


def certificate_seconds(tag, content, any_year=False):
    """A certificate's time as seconds since 1970."""
    text = content.decode("latin-1")
    need(re.fullmatch(r"\d{12}Z" if tag == UTC_TIME else r"\d{14}Z", text) and tag in (UTC_TIME, GENERALIZED_TIME), "not a time")
    year = ("19" if text[0] >= "5" else "20") + text[:2] if tag == UTC_TIME else text[:4]
    need(any_year or (tag == UTC_TIME) == (year < "2050"), "a time in the other form")
    try:
        moment = datetime.datetime.strptime(year + text[-11:], "%Y%m%d%H%M%SZ")
    except ValueError as error:
        raise Malformed("a time that does not exist") from error
    need(moment.year >= 1970, "a moment before 1970")
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)


# suite: (OID of the digest, its function, signatureAlgorithm)
SUITES = {
    "P-384": ("2.16.840.1.101.3.4.2.2", hashlib.sha384, der(SEQUENCE, oid("1.2.840.10045.4.3.3"))),
    "P-256": ("2.16.840.1.101.3.4.2.1", hashlib.sha256, der(SEQUENCE, oid("1.2.840.10045.4.3.2"))),
    "RSA": ("2.16.840.1.101.3.4.2.2", hashlib.sha384, RSA_ENCRYPTION),
}
SIGNING_CERTIFICATE = oid("1.2.840.113549.1.9.16.2.47")


class SignedStatement:
    """A signed statement in its one encoding. The signature is judged with a certificate, by `judge`."""

    def __init__(self, data):
        need(len(data) <= ENTRY_LIMIT_BYTES, "the entry is too long")
        body = only(expect(only(data, SEQUENCE), OID)[1], 0xA0)
        fields = [whole for _, _, whole in elements(only(body, SEQUENCE))]
        need(len(fields) == 4, "not a signed statement")
        encapsulated = only(expect(only(fields[2], SEQUENCE), OID)[1], 0xA0)
        self.statement_bytes = only(encapsulated, OCTET_STRING)
        signer = elements(only(only(fields[3], SET), SEQUENCE))
        need([tag for tag, _, _ in signer] == [INTEGER, 0x80, SEQUENCE, 0xA0, SEQUENCE, OCTET_STRING], "not a signer")
        self.key_identifier, self.signature = signer[1][1], signer[5][1]
        need(1 <= len(self.key_identifier) <= 64, "the key identifier's length")
        self.suite = next((name for name, (_, _, algorithm) in SUITES.items() if algorithm == signer[4][2]), None)
        need(self.suite, "a suite that is none of ours")
        if self.suite in CURVES:
            order = CURVES[self.suite][3]
            need(numbers_of_ecdsa(self.signature, order)[1] <= order // 2, "s is above n/2")
        else:
            need(384 <= len(self.signature) <= 512, "an RSA signature of another length")
        named = [only(expect(content, OID)[1], SET) for tag, content, _ in elements(signer[3][1])
                 if tag == SEQUENCE and content.startswith(SIGNING_CERTIFICATE)]
        need(len(named) == 1, "not one attribute names the certificate")
        at = named[0]
        for _ in range(3):
            at = only(at, SEQUENCE)
        certificate_hash = only(at, OCTET_STRING)
        need(len(certificate_hash) == 32, "not a certificate's hash")
        self.fingerprint = certificate_hash.hex()
        self.statement = parse_statement(self.statement_bytes)
        self.der = data
        self._rebuild(certificate_hash)

    def _rebuild(self, certificate_hash):
        issued = self.statement["issued"]
        compact = re.sub(r"[-T:]|\.\d{3}", "", issued)
        # RFC 5652 section 11.3: UTCTime from 1950 to 2049.
        time = der(UTC_TIME, compact[2:].encode()) if issued < "2050" else der(GENERALIZED_TIME, compact.encode())
        digest_oid, digest, algorithm = SUITES[self.suite]
        digest_algorithm, content_type = der(SEQUENCE, oid(digest_oid)), oid("2.25.1586047359.1.1")
        attributes = [der(SEQUENCE, oid(name), der(SET, value)) for name, value in (
            ("1.2.840.113549.1.9.3", content_type),
            ("1.2.840.113549.1.9.5", time),
            ("1.2.840.113549.1.9.16.2.47", der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, der(OCTET_STRING, certificate_hash))))),
            ("1.2.840.113549.1.9.4", der(OCTET_STRING, digest(self.statement_bytes).digest())),
        )]
        attributes = b"".join(sorted(attributes))
        signer = der(SEQUENCE, der(INTEGER, b"\3"), der(0x80, self.key_identifier), digest_algorithm, der(0xA0, attributes),
                     algorithm, der(OCTET_STRING, self.signature))
        content = der(SEQUENCE, content_type, der(0xA0, der(OCTET_STRING, self.statement_bytes)))
        data = der(SEQUENCE, der(INTEGER, b"\3"), der(SET, digest_algorithm), content, der(SET, signer))
        need(der(SEQUENCE, oid("1.2.840.113549.1.7.2"), der(0xA0, data)) == self.der, "not the encoding of the template")
        self.signed_bytes = der(SET, attributes)

    def judge(self, certificate):
        """Refuses a statement that is not of the certificate's holder."""
        statement = self.statement
        need(certificate.fingerprint == self.fingerprint, "another certificate")
        need(certificate.key_identifier == self.key_identifier, "the key identifier is another's")
        need(certificate.key.suite == self.suite, "the certificate's key is of another suite")
        need(certificate.for_signing, "the certificate's key is not for signing")
        need(certificate.owner and statement["stream"].startswith(certificate.owner + "/"), "the stream is not its signer's")
        if statement["type"] in TYPES:
            need(certificate.roles & TYPES[statement["type"]][1], f"no role of the signer allows {statement['type']}")
        need(certificate.key.verifies(self.signature, self.signed_bytes, low_s=True), "the signature does not verify")

    @property
    def issued_ms(self):
        """When it was issued, by its issuer's clock."""
        return milliseconds(self.statement["issued"])
