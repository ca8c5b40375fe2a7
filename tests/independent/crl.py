"""Revocation lists, by docs/formats/crl.md."""

from signed import (BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, attributes_of_name, certificate_seconds, der, elements, oid,
                    only, positive, read)
from statements import need

LIST_LIMIT_BYTES = 8 * 1024 * 1024
ECDSA_WITH_SHA384 = der(SEQUENCE, oid("1.2.840.10045.4.3.3"))
REASONS = {0, 1, 2, 3, 4, 5, 6, 9, 10}


def _extensions(content, known):
    """The known extensions by number; unknown ones must not be critical."""
    found = {}
    parts = elements(content)
    need(1 <= len(parts) <= 16, "no extensions, or too many")
    for tag, extension, _ in parts:
        need(tag == SEQUENCE, "not an extension")
        inner = elements(extension)
        critical = len(inner) == 3
        need([tag for tag, _, _ in inner] == [OID, BOOLEAN, OCTET_STRING][::1 if critical else 2], "not an extension")
        need(not critical or inner[1][1] == b"\xff", "a flag that DER has not")
        need(inner[0][2] not in found, "an extension stands twice")
        need(not critical, "a critical extension")
        found[inner[0][2]] = inner[-1][1]
    return {number: found.get(oid(f"2.5.29.{number}")) for number in known}


class RevocationList:
    """A list in its form."""

    def __init__(self, data):
        need(len(data) <= LIST_LIMIT_BYTES, "the list is too long")
        parts = elements(only(data, SEQUENCE))
        need([tag for tag, _, _ in parts] == [SEQUENCE, SEQUENCE, BIT_STRING] and parts[1][2] == ECDSA_WITH_SHA384, "not a list")
        need(parts[2][1][:1] == b"\0", "a signature of odd bits")
        self.domain = None
        self.signed_bytes, self.signature = parts[0][2], parts[2][1][1:]
        fields = elements(parts[0][1])
        need(len(fields) >= 6 and fields[0][2] == der(INTEGER, b"\1") and fields[1][2] == ECDSA_WITH_SHA384, "not version 2, or another suite")
        self.issuer = fields[2][2]
        attributes_of_name(self.issuer)
        self.this_update_s, next_update_s = (certificate_seconds(tag, content) for tag, content, _ in fields[3:5])
        need(self.this_update_s <= next_update_s, "nextUpdate is before thisUpdate")
        rest = fields[5:]
        self.since_s = {}
        if rest[0][0] == SEQUENCE:
            entries = elements(rest.pop(0)[1])
            need(entries, "an empty list that is not absent")
            for tag, entry, _ in entries:
                need(tag == SEQUENCE, "not an entry")
                self._entry(elements(entry))
        need(len(rest) == 1 and rest[0][0] == 0xA0, "fields that a list has not")
        found = _extensions(only(rest[0][1], SEQUENCE), (35, 20))
        need(found[35] is not None and found[20] is not None, "no key identifier or no number")
        self.key_identifier = only(only(found[35], SEQUENCE), 0x80)
        number = only(found[20], INTEGER)
        need(len(number) <= 17 and (number == b"\0" or positive(number) < 2**128), "not a number")

    def _entry(self, fields):
        need(2 <= len(fields) <= 3 and fields[0][0] == INTEGER, "not an entry")
        serial = positive(fields[0][1])
        need(len(fields[0][1]) <= 20 and serial not in self.since_s, "a serial number that is too long, or stands twice")
        date_s = certificate_seconds(*fields[1][:2])
        need(date_s <= self.this_update_s, "revoked after the list was made")
        found = _extensions(only(fields[2][2], SEQUENCE), (21, 24)) if len(fields) == 3 else {21: None, 24: None}
        if found[21] is not None:
            tag, content, _, rest = read(found[21])
            need(tag == 0x0A and len(content) == 1 and content[0] in REASONS and not rest, "not a reason")
        if found[24] is not None:
            tag, content, _, rest = read(found[24])
            need(tag == GENERALIZED_TIME and not rest, "not an invalidity date")
            invalid_s = certificate_seconds(tag, content, any_year=True)
            need(invalid_s <= date_s, "invalid after it was revoked")
            date_s = invalid_s
        self.since_s[serial] = date_s

    def is_of(self, authority):
        """Whether it names this authority."""
        return self.issuer == authority.subject and self.key_identifier == authority.key_identifier

    def judge(self, authority):
        """Refuses a list that is not this authority's."""
        need(self.is_of(authority), "another authority's list")
        need(authority.is_authority and authority.signs_lists, "who may not sign lists")
        need(authority.key.verifies(self.signature, self.signed_bytes, low_s=False), "the signature does not verify")
        self.domain = authority.domain

    def speaks_of(self, certificate):
        """Whether a certificate is of this list's authority, who was judged."""
        return self.domain == certificate.domain and self.issuer == certificate.issuer and self.key_identifier == certificate.authority_key_identifier
