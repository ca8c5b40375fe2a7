#!/usr/bin/python3
"""Judges single vectors, each a line on stdin: what kind of thing it is, and its bytes in hex, between tabs. Each answer is a line:
`accepted`, `told` (a stranger's word, which a verdict only tells), or why not (`died`, if that was not thought of). Numbers are decimal in ASCII; several hashes stand end to end.
"""

import sys

from crl import RevocationList
from envelope import Envelope, fragment, key_package, private_key
from log import (Checkpoint, VerifierKey, checkpoint_text, cosigned_message, is_subtree, judge_note, judge_receipt, parse_receipt, path_leads,
                 plain_text, signature_lines, split_note, subtree_leads)
from mldsa import verifies as verifies_ml_dsa
from ocsp import Request as OcspRequest
from ocsp import Response as OcspResponse
from signed import Authorities, Certificate, SignedStatement
from statements import Malformed, need, parse_statement
from tokens import ForeignCertificate, Token
from tpm import AttestationKey, Public, endorsement_certificate_key, endorsement_key
from vendors import leads_to_vendor
from witnesses import Policy, Request, consistency_holds


class Told(Exception):
    """It is well-formed, and nobody's who is believed."""


def text_of(data):
    """UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeError as error:
        raise Malformed("not UTF-8") from error


def keys_of(keys):
    """Verifier keys."""
    return [VerifierKey(text_of(key)) for key in keys]


def hashes_of(data):
    """Hashes, end to end."""
    return [data[at:at + 32] for at in range(0, len(data), 32)]


def signed_statement_by(statement, certificate):
    """A signed statement of the certificate's holder."""
    SignedStatement(statement).judge(Certificate(certificate))


def note_by(note, *keys):
    """A note that all of these keys have signed."""
    judge_note(*split_note(note), keys_of(keys))


def checkpoint_by(note, origin, *keys):
    """A checkpoint of a log of this origin with these keys."""
    Checkpoint(note, text_of(origin), keys_of(keys))


def receipt(data):
    """A receipt in its form."""
    text, _ = split_note(parse_receipt(data)[2])
    checkpoint_text(text)


def receipt_by(data, leaf, origin, *keys):
    """A receipt of an entry of a log of this origin with these keys."""
    note = parse_receipt(data)[2]
    judge_receipt(data, leaf, note, Checkpoint(note, text_of(origin), keys_of(keys)))


def inclusion(leaf, index, size, path, root):
    """An inclusion path."""
    need(path_leads(leaf, int(index), int(size), hashes_of(path), root), "the path does not lead to the root")


def consistency(old, old_root, new, new_root, path):
    """A consistency proof."""
    need(consistency_holds(int(old), old_root, int(new), new_root, hashes_of(path)), "the proof does not lead to the roots")


def subtree(start, end, root, size, whole, path):
    """A subtree proof."""
    need(subtree_leads(int(start), int(end), root, int(size), whole, hashes_of(path)), "the proof does not lead to the roots")


def subtree_range(start, end):
    """A range of leaves that is a subtree."""
    need(is_subtree(int(start), int(end)), "not a subtree")


def subtree_line(origin, start, end, root, line, key):
    """A cosignature of a subtree by a key."""
    (key,), ((name, key_id, rest),) = keys_of([key]), signature_lines(plain_text(line))
    need((name, key_id) == (key.name, key.key_id), "another key's line")
    need(rest[:8] == bytes(8), "a time")
    message = cosigned_message(key.name, 0, text_of(origin), int(start), int(end), root)
    need(verifies_ml_dsa(key.public, message, rest[8:]), "the signature does not verify")


def witnessed(policy, note, origin, *keys):
    """A checkpoint that satisfies a policy, of a log that is known from elsewhere."""
    keys = keys_of(keys)
    policy = Policy(text_of(policy), keys)
    need(policy.is_met(policy.cosigned(Checkpoint(note, text_of(origin), keys))), "fewer witnesses than the quorum")


def witnessed_log(policy, note):
    """A checkpoint that satisfies a policy, of a log that the policy knows."""
    policy = Policy(text_of(policy), [])
    origin = split_note(note)[0].split("\n")[0]
    keys = [key for key in policy.logs if key.name == origin]
    need(not any(key.public == witness.public for key in keys for witness in policy.witnesses.values()), "a log is its own witness")
    need(policy.is_met(policy.cosigned(Checkpoint(note, origin, keys))), "fewer witnesses than the quorum")


def path(leaf, moment, count, *certificates):
    """A path from a leaf to one of the first certificates, which are roots, by way of the others."""
    found = [Certificate(certificate) for certificate in certificates]
    roots, between = found[:int(count)], found[int(count):]
    need(Authorities(roots, between).path(Certificate(leaf), int(moment)), "no path")


def timestamp_token_by(token, digest, nonce, count, *certificates):
    """A token over a digest, of an authority under the first certificates, by way of the others."""
    token = Token(token)
    need(token.imprint[1] == digest, "over something else")
    need(not nonce or token.nonce == nonce, "another nonce")
    found = [ForeignCertificate(certificate) for certificate in certificates]
    if not token.judge(found[:int(count)], found[int(count):]):
        raise Told
    token.bounds_ms()


def revocation_list_by(data, issuer):
    """A list of this authority's."""
    RevocationList(data).judge(Certificate(issuer))


def good_by(word, moment, leaf, count, certificates):
    """That a list or response of this authority's says that a certificate is good, which leads to one of the first, which are roots, by the others."""
    certificate, found = Certificate(leaf), [Certificate(one) for one in certificates]
    path = Authorities(found[:int(count)], found[int(count):]).path(certificate, int(moment))
    need(path, "no path")
    need(word.status(certificate, path[1], int(moment)) == "good", "not said to be good")


def good_by_list(data, issuer, moment, leaf, count, *certificates):
    """By a revocation list."""
    word = RevocationList(data)
    word.judge(Certificate(issuer))
    good_by(word, moment, leaf, count, certificates)


def good_by_ocsp(data, issuer, moment, leaf, count, *certificates):
    """By a response."""
    word = OcspResponse(data)
    word.judge(Certificate(issuer), b"")
    good_by(word, moment, leaf, count, certificates)


def ocsp_response_by(data, issuer, nonce):
    """A response of a responder of this authority's."""
    OcspResponse(data).judge(Certificate(issuer), nonce)


def endorsement_chain(padded, moment, count, *certificates):
    """An endorsement certificate of a vendor under the first certificates, by way of the others."""
    roots = [ForeignCertificate(certificate) for certificate in certificates[:int(count)]]
    need(leads_to_vendor(padded, certificates[int(count):], roots, int(moment)), "of no vendor")


def attestation_key(area, endorsement):
    """An attestation key under an endorsement key."""
    return AttestationKey(area, endorsement_key(endorsement, None))


def certify(area, endorsement, attest, signature, qualifying, certified):
    """The certification of a key."""
    attestation_key(area, endorsement).certifies(attest, signature, qualifying, certified)


def quote(area, endorsement, attest, signature, qualifying, selection, values):
    """A quote over these values of these registers."""
    attestation_key(area, endorsement).quotes(attest, signature, qualifying, values, selection)


def time(area, endorsement, attest, signature, qualifying):
    """A reading of the clock."""
    attestation_key(area, endorsement).reads_clock(attest, signature, qualifying)


def envelope_opens(envelope, certificate, pem):
    """An envelope that the holder of a certificate and its key opens."""
    Envelope(envelope).open(Certificate(certificate), private_key(pem))


KINDS = {
    "statement": parse_statement,
    "signed-statement": SignedStatement,
    "signed-statement-by": signed_statement_by,
    "verifier-key": lambda key: VerifierKey(text_of(key)),
    "note": split_note,
    "note-by": note_by,
    "signature-lines": lambda lines: signature_lines(plain_text(lines)),
    "checkpoint-text": lambda text: checkpoint_text(text_of(text)),
    "checkpoint-by": checkpoint_by,
    "receipt": receipt,
    "receipt-by": receipt_by,
    "inclusion": inclusion,
    "consistency": consistency,
    "subtree": subtree,
    "subtree-range": subtree_range,
    "subtree-line": subtree_line,
    "policy": lambda policy: Policy(text_of(policy), []),
    "witnessed": witnessed,
    "witnessed-log": witnessed_log,
    "add-checkpoint": Request,
    "certificate": Certificate,
    "path": path,
    "chain-certificate": ForeignCertificate,
    "timestamp-token": Token,
    "timestamp-token-by": timestamp_token_by,
    "revocation-list": RevocationList,
    "revocation-list-by": revocation_list_by,
    "good-by-list": good_by_list,
    "good-by-ocsp": good_by_ocsp,
    "ocsp-request": OcspRequest,
    "ocsp-response": OcspResponse,
    "ocsp-response-by": ocsp_response_by,
    "envelope": Envelope,
    "envelope-opens": envelope_opens,
    "key-package": key_package,
    "fragment": fragment,
    "public-area": Public,
    "endorsement-certificate": endorsement_certificate_key,
    "endorsement-key": lambda area, certificate=None: endorsement_key(area, certificate),
    "endorsement-chain": endorsement_chain,
    "attestation-key": attestation_key,
    "certify": certify,
    "quote": quote,
    "time": time,
}


def main():
    for line in sys.stdin:
        kind, *given = line.rstrip("\n").split("\t")
        try:
            KINDS[kind](*map(bytes.fromhex, given))
            answer = "accepted"
        except Told:
            answer = "told"
        except Malformed as refusal:
            answer = "refused: " + ascii(str(refusal))
        # What was not thought of here is no answer.
        except Exception as error:
            answer = "died: " + ascii(repr(error))
        print(answer)


if __name__ == "__main__":
    main()
