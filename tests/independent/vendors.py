"""Who made a TPM: endorsement certificates of the TCG's profile, and their chains to vendors' roots, by docs/formats/attestation.md."""

import re

from signed import PRINTABLE, SEQUENCE, UTF8, attributes_of_name, distinguished, elements, oid, only, read
from statements import Malformed, need
from tokens import ForeignCertificate

EK_CERTIFICATE = oid("2.23.133.8.1")
KEY_ENCIPHERMENT, KEY_AGREEMENT = 0x2000, 0x0800
DIRECTORY_NAME = 0xA4
DESCRIPTION = {"2.23.133.2.1": r"id:[0-9A-Fa-f]{8}", "2.23.133.2.2": r"[^\x00-\x1f\x7f-\x9f]{1,64}", "2.23.133.2.3": r"id:[0-9A-Fa-f]{1,8}"}


def judge_profile(certificate):
    """Refuses what is not an endorsement certificate of the profile."""
    basic = certificate.extensions.get(oid("2.5.29.19"), (False, None))[1]
    need(basic is not None and not certificate.is_authority and certificate.path_length is None, "it does not say that it is no authority")
    need(certificate.usage == (KEY_AGREEMENT if certificate.key.curve else KEY_ENCIPHERMENT), "another key usage")
    need(certificate.purposes is not None and EK_CERTIFICATE in certificate.purposes, "not for endorsement")
    critical, names = certificate.extensions.get(oid("2.5.29.17"), (False, None))
    need(names is not None, "it does not describe a TPM")
    need(critical or only(certificate.subject, SEQUENCE), "no subject, and names that are not critical")
    directory = [content for tag, content, _ in elements(only(distinguished(names, any_order=True), SEQUENCE)) if tag == DIRECTORY_NAME]
    need(len(directory) == 1, "not exactly one directory name")
    said = {}
    for kind, tag, text in attributes_of_name(directory[0], any_order=True):
        said.setdefault(kind, []).append((tag, text))
    for dotted, form in DESCRIPTION.items():
        values = said.get(oid(dotted), [])
        need(len(values) == 1 and values[0][0] in (UTF8, PRINTABLE), "not said once")
        try:
            need(re.fullmatch(form, values[0][1].decode("utf-8")), "said in another form")
        except UnicodeError as error:
            raise Malformed("not a text") from error


def leads_to_vendor(padded, brought, roots, moment_ms):
    """Whether an endorsement certificate, in its padding, is of the profile and leads to one of the vendors' roots."""
    _, _, whole, _ = read(padded)
    try:
        certificate = ForeignCertificate(whole, endorsement=True)
        judge_profile(certificate)
    except Malformed:
        return False
    between = []
    for data in brought:
        try:
            between.append(ForeignCertificate(data))
        except Malformed:
            pass
    return certificate.leads_to(roots, between, moment_ms, EK_CERTIFICATE)
