"""OCSP requests and responses, by docs/formats/ocsp.md."""

import hashlib
import re

from crl import ECDSA_WITH_SHA384, REASONS, few_extensions
from signed import (BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, Certificate, attributes_of_name, certificate_seconds, der,
                    distinguished, elements, expect, oid, only, positive)
from statements import Malformed, need
from tokens import DIGESTS, digest_of

REQUEST_LIMIT_BYTES, RESPONSE_LIMIT_BYTES = 8 * 1024, 64 * 1024
NONCE = oid("1.3.6.1.5.5.7.48.1.2")
INVALIDITY_DATE = oid("2.5.29.24")
BASIC = oid("1.3.6.1.5.5.7.48.1.1")
CURRENT_LIMIT_S = 10 * 24 * 3600


def _nonce(found):
    """The nonce among extensions, or None."""
    if NONCE not in found:
        return None
    nonce = only(found[NONCE], OCTET_STRING)
    need(1 <= len(nonce) <= 128, "a nonce of another length")
    return nonce


def _seconds(content):
    """A GeneralizedTime in whole seconds."""
    need(re.fullmatch(rb"\d{14}Z", content), "not a time in whole seconds")
    return certificate_seconds(GENERALIZED_TIME, content, any_year=True)


class CertificateId:
    """CertID."""

    def __init__(self, content):
        parts = elements(content)
        need([tag for tag, _, _ in parts] == [SEQUENCE, OCTET_STRING, OCTET_STRING, INTEGER], "not a CertID")
        self.digest = DIGESTS[digest_of(parts[0][2])][0]
        self.name, self.key = parts[1][1], parts[2][1]
        need(len(self.name) == len(self.key) == self.digest().digest_size, "hashes of another length")
        self.serial = positive(parts[3][1])
        need(len(parts[3][1]) <= 20 and self.serial, "a serial number that is too long, or zero")
        self.key_of = (self.digest, self.name, self.key, self.serial)

    def is_of(self, issuer):
        """Whether it names a certificate of this authority."""
        _, bits = expect(only(issuer.spki, SEQUENCE), SEQUENCE)
        bits = only(bits, BIT_STRING)[1:]
        return (self.name, self.key) == (self.digest(issuer.subject).digest(), self.digest(bits).digest())


class Request:
    """What is asked."""

    def __init__(self, data):
        need(len(data) <= REQUEST_LIMIT_BYTES, "the request is too long")
        fields = elements(only(only(distinguished(data), SEQUENCE), SEQUENCE))
        need([tag for tag, _, _ in fields] in ([SEQUENCE], [SEQUENCE, 0xA2]), "fields that a request has not")
        self.ids = []
        requests = elements(fields[0][1])
        need(1 <= len(requests) <= 16, "nothing is asked, or too much")
        for tag, single, _ in requests:
            content, rest = expect(single if tag == SEQUENCE else b"", SEQUENCE)
            self.ids.append(CertificateId(content))
            if rest:
                few_extensions(only(only(rest, 0xA0), SEQUENCE))
        need(len({one.key_of for one in self.ids}) == len(self.ids), "one is asked twice")
        found = few_extensions(only(fields[1][1], SEQUENCE), may_be_critical=(NONCE,)) if len(fields) == 2 else {}
        self.nonce = _nonce(found)


class Response:
    """What is answered, in its form."""

    def __init__(self, data):
        need(len(data) <= RESPONSE_LIMIT_BYTES, "the response is too long")
        status, rest = expect(only(distinguished(data), SEQUENCE), ENUMERATED)
        need(status == b"\0", "no answer")
        kind, basic = expect(only(only(rest, 0xA0), SEQUENCE), OID)
        need(der(OID, kind) == BASIC, "an answer of another kind")
        fields = elements(only(distinguished(only(basic, OCTET_STRING)), SEQUENCE))
        need([tag for tag, _, _ in fields] in ([SEQUENCE, SEQUENCE, BIT_STRING], [SEQUENCE, SEQUENCE, BIT_STRING, 0xA0]), "not a basic response")
        need(fields[1][2] == ECDSA_WITH_SHA384 and fields[2][1][:1] == b"\0", "another suite")
        self.signed_bytes, self.signature = fields[0][2], fields[2][1][1:]
        self.certificates = []
        brought = elements(only(fields[3][1], SEQUENCE)) if len(fields) == 4 else []
        need(bool(brought) == (len(fields) == 4) and len(brought) <= 4, "an empty list that is not absent, or too many certificates")
        for _, _, whole in brought:
            try:
                self.certificates.append(Certificate(whole))
            except Malformed:
                pass
        self._data(elements(fields[0][1]))

    def _data(self, fields):
        need([tag for tag, _, _ in fields] in ([0xA1, GENERALIZED_TIME, SEQUENCE], [0xA1, GENERALIZED_TIME, SEQUENCE, 0xA1]), "not response data")
        self.responder, self.produced_s = fields[0][1], _seconds(fields[1][1])
        attributes_of_name(self.responder)
        answers = elements(fields[2][1])
        need(1 <= len(answers) <= 64 and all(tag == SEQUENCE for tag, _, _ in answers), "no answers, or too many")
        self.answers = [self._answer(elements(content)) for _, content, _ in answers]
        self.nonce = _nonce(few_extensions(only(fields[3][1], SEQUENCE), may_be_critical=(NONCE,)) if len(fields) == 4 else {})

    def _answer(self, fields):
        """Who is answered for, the status, and from when to when it holds."""
        need(len(fields) >= 3 and fields[0][0] == SEQUENCE and fields[2][0] == GENERALIZED_TIME, "not an answer")
        named = CertificateId(fields[0][1])
        tag, status, whole = fields[1]
        this_s = _seconds(fields[2][1])
        need(this_s <= self.produced_s, "thisUpdate is after producedAt")
        rest = fields[3:]
        need(rest and rest[0][0] == 0xA0, "no nextUpdate")
        next_s = _seconds(only(rest.pop(0)[1], GENERALIZED_TIME))
        need(0 <= next_s - this_s <= CURRENT_LIMIT_S, "nextUpdate is before thisUpdate, or more than ten days after it")
        found = {}
        if rest and rest[0][0] == 0xA1:
            found = few_extensions(only(rest.pop(0)[1], SEQUENCE))
        need(not rest, "fields that an answer has not")
        invalid_s = _seconds(only(found[INVALIDITY_DATE], GENERALIZED_TIME)) if INVALIDITY_DATE in found else None
        if whole in (b"\x80\0", b"\x82\0"):
            return named, "good" if tag == 0x80 else "unknown", this_s, next_s
        need(tag == 0xA1, "not a status")
        time, reason = expect(status, GENERALIZED_TIME)
        revoked_s = _seconds(time)
        need(revoked_s <= this_s, "revoked after thisUpdate")
        if reason:
            reason = only(only(reason, 0xA0), ENUMERATED)
            need(len(reason) == 1 and reason[0] in REASONS, "not a reason")
        need(invalid_s is None or invalid_s <= revoked_s, "invalid after it was revoked")
        return named, "revoked", this_s, next_s

    def judge(self, issuer, nonce):
        """Refuses what is not the word of a responder of the authority. An empty nonce is none."""
        need(not nonce or nonce == self.nonce, "another nonce")
        need(issuer.is_authority, "not an authority")
        responders = [certificate for certificate in self.certificates if certificate.subject == self.responder and self._answers_for(certificate, issuer)]
        need(responders, "no responder of the authority")
        signers = [responder for responder in responders if responder.key.verifies(self.signature, self.signed_bytes, low_s=False)]
        need(signers, "the signature does not verify")
        own = [answer for answer in self.answers if answer[0].is_of(issuer)]
        self.own = {named.serial: answer for named, *answer in own}
        need(len(self.own) == len(own), "one is answered for twice")
        self.authority, self.responder_last_s = issuer, signers[0].last_second

    def status(self, certificate, issuer, moment_ms):
        """What it says of a certificate that this authority, who was judged, issued."""
        if not self.authority.is_same_authority_as(issuer) or certificate.serial not in self.own:
            return "nothing"
        status, this_s, next_s = self.own[certificate.serial]
        current = this_s * 1000 <= moment_ms < (min(next_s, self.responder_last_s) + 1) * 1000
        return "nothing" if status == "good" and not current else status

    def _answers_for(self, certificate, issuer):
        return (certificate.service == "ocsp" and certificate.issuer == issuer.subject
                and certificate.authority_key_identifier == issuer.key_identifier and certificate.domain == issuer.domain
                and certificate.valid_at(self.produced_s * 1000) and certificate.signed_by(issuer))
