"""Revocation lists, by docs/formats/crl.md."""

from signed import (BIT_STRING, GENERALIZED_TIME, INTEGER, SEQUENCE, attributes_of_name, certificate_seconds, der, distinguished, elements, extensions_of, oid,
                    only, positive, read)
from statements import need

LIST_LIMIT_BYTES = 8 * 1024 * 1024
ECDSA_WITH_SHA384 = der(SEQUENCE, oid("1.2.840.10045.4.3.3"))
REASONS = {0, 1, 2, 3, 4, 5, 6, 9, 10}


def few_extensions(content, may_be_critical=()):
    """The values of 1 to 16 extensions by the DER of their names, those that are critical among the known."""
    found = extensions_of(content)
    need(1 <= len(found) <= 16, "no extensions, or too many")
    need(all(name in may_be_critical for name, (critical, _) in found.items() if critical), "a critical extension")
    return {name: value for name, (_, value) in found.items()}


def _numbered(content, numbers):
    """Those that have these numbers below 2.5.29."""
    found = few_extensions(content)
    values = {number: found.get(oid(f"2.5.29.{number}")) for number in numbers}
    return {number: value and distinguished(value) for number, value in values.items()}


class RevocationList:
    """A list in its form."""

    def __init__(self, data):
        need(len(data) <= LIST_LIMIT_BYTES, "the list is too long")
        parts = elements(only(distinguished(data), SEQUENCE))
        need([tag for tag, _, _ in parts] == [SEQUENCE, SEQUENCE, BIT_STRING] and parts[1][2] == ECDSA_WITH_SHA384, "not a list")
        need(parts[2][1][:1] == b"\0", "a signature of odd bits")
        self.authority = None
        self.signed_bytes, self.signature = parts[0][2], parts[2][1][1:]
        fields = elements(parts[0][1])
        need(len(fields) >= 6 and fields[0][2] == der(INTEGER, b"\1") and fields[1][2] == ECDSA_WITH_SHA384, "not version 2, or another suite")
        self.issuer = fields[2][2]
        attributes_of_name(self.issuer)
        self.this_update_s, self.next_update_s = (certificate_seconds(tag, content) for tag, content, _ in fields[3:5])
        need(self.this_update_s <= self.next_update_s, "nextUpdate is before thisUpdate")
        rest = fields[5:]
        self.since_s = {}
        if rest[0][0] == SEQUENCE:
            entries = elements(rest.pop(0)[1])
            need(entries, "an empty list that is not absent")
            for tag, entry, _ in entries:
                need(tag == SEQUENCE, "not an entry")
                self._entry(elements(entry))
        need(len(rest) == 1 and rest[0][0] == 0xA0, "fields that a list has not")
        found = _numbered(only(rest[0][1], SEQUENCE), (35, 20))
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
        found = _numbered(only(fields[2][2], SEQUENCE), (21, 24)) if len(fields) == 3 else {21: None, 24: None}
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
        self.authority = authority

    def speaks_of(self, issuer):
        """Whether who issued a certificate, on its path, is this list's authority, who was judged."""
        return self.authority.is_same_authority_as(issuer)

    def status(self, certificate, issuer, moment_ms):
        """What it says of a certificate that this authority issued."""
        if not self.speaks_of(issuer):
            return "nothing"
        if certificate.serial in self.since_s:
            return "revoked"
        return "good" if self.this_update_s * 1000 <= moment_ms < (self.next_update_s + 1) * 1000 else "nothing"
