#!/usr/bin/python3
"""A second verifier of Exhibit's bundles, written from docs/formats alone, with nothing of Exhibit's code.

It exists to show that the pages suffice and that `exhibit verify` judges as they say; for evidence, use that.

Exit codes: 0 it holds; 1 it does not; 2 it could not be judged; 64 wrong use.
"""

import argparse
import hashlib
import hmac
import json
import os
import pathlib
import re
import sys
import unicodedata

try:
    from axes import EXTERNAL, LEVELS, Axes
    from continuity import Continuity
    from decisions import Decisions
    from log import ECDSA, Checkpoint, VerifierKey, base64_bytes, judge_receipt, leaf_hash, root_of
    from signed import Authorities, Certificate, SignedStatement
    from tokens import ForeignCertificate
    from witnesses import Policy
except ImportError as error:
    print(f"{error.name} is missing: install Debian's python3-{error.name} (make packages does)", file=sys.stderr)
    sys.exit(2)
from statements import (COUNT, EMPTY_ROOT, HASH, KEYS, ORIGIN, Malformed, array, attachments_of, integer, logs_before, milliseconds, need, one_of, record,
                        stream_name, strict_json, text_of)

from working_copy import WorkingCopies

GOOD, NOT_DEMANDED, UNDECIDED, BAD = range(4)
GRADES = ("good", "not-demanded", "undecided", "bad")
EXIT = {GOOD: 0, NOT_DEMANDED: 0, UNDECIDED: 2, BAD: 1}
MANIFEST_LIMIT_BYTES = 32 * 1024 * 1024
ENTRY_LIMIT_BYTES = 65_535
SMALL_LIMIT_BYTES = 1024 * 1024
DISCLOSURE_LIMIT_BYTES = 128 * 1024
FRAGMENT_LIMIT_BYTES = 8 * 1024 * 1024
ATTACHMENT_LIMIT_BYTES = 128 * 1024
COPY_LIMIT_BYTES = 512 * 1024**3
ANCHOR_LIMIT_BYTES = 256 * 1024
PATH_COMPONENTS_MAX = 8
FILES_MAX = 8 << 20
WITNESS_POLICY_LIMIT_BYTES = 64 * 1024
TYPED = lambda name: lambda value: need(value == name, f"not of type {name}")
TEXT = lambda value: need(isinstance(value, str), "not a text")
_series = text_of(r"camera/[a-z0-9-]{1,64}(/[a-z0-9TZ-]+){0,3}")
_path = text_of(r"(?!.*(^|/)\.{1,2}(/|$))[^/\x00-\x1f\\]+(/[^/\x00-\x1f\\]+)*")


def series_name(value):
    """A camera's series: a stream's name without its last component."""
    _series(value)
    need(len(value) <= 126, "a series whose streams' names are too long")


def path_name(value):
    """A path within a bundle."""
    _path(value)
    need(len(value.encode()) <= 1024, "a path that is too long")
    need(value.count("/") < PATH_COMPONENTS_MAX, "a path of too many components")


MANIFEST = record(
    type=TYPED("exhibit-bundle/v1"), log=HASH, created=milliseconds, software=TEXT,
    question=record(series=series_name, **{"from": milliseconds, "to": milliseconds}),
    entries=array(COUNT, 0, 1_000_000, distinct=True),
    segments=array(record(stream=stream_name, seq=COUNT), 0, 1_000_000),
    files=array(record(path=path_name, sha256=HASH, length=COUNT), 0, 100_000))
DISCLOSURE = record(
    type=TYPED("exhibit-disclosure/v1"), stream=stream_name, seq=COUNT, commitments=array(HASH, 1, 256),
    fragments=array(record(index=integer(0, 255), key=HASH), 0, 256))
ANCHOR = dict(type=TYPED("exhibit-anchor/v1"), log=HASH, origin=ORIGIN, keys=KEYS, roots=array(TEXT, 1, 16))
AXES = ("witness", "time", "revocation", "device")
TOLD = ("timestamp", "quote")
POLICY = dict(
    witness_policy=TEXT,
    timestamp_authorities=array(record(name=text_of("[ -~]{1,128}"), independent=one_of(True, False), certificate=TEXT), 1, 16),
    custodians=array(TEXT, 1, 64), threshold=integer(1), device=one_of(*LEVELS),
    endorsement_roots=array(TEXT, 1, 64), tpm_key=TEXT, demands=array(one_of(*AXES), 1, 4, distinct=True))


_PEM = re.compile(r"[ \t\n\f\r]*-----BEGIN CERTIFICATE-----(\r\n|\n)((?:[A-Za-z0-9+/]{64}\1)*[A-Za-z0-9+/=]{1,64})\1-----END CERTIFICATE-----[ \t\n\f\r]*")


def pem(text):
    """What is in the one block of a certificate in PEM, in the strict form of RFC 7468."""
    block = _PEM.fullmatch(text)
    need(block, "not a certificate in PEM")
    return base64_bytes("".join(block[2].split()))


def different(certificates):
    """Whether no certificate stands twice."""
    return len({certificate.der for certificate in certificates}) == len(certificates)


class CannotJudge(Exception):
    """There is no verdict: exit code 2."""


class Anchor:
    """What is trusted, and did not come with the bundle."""

    def __init__(self, path):
        try:
            anchor = strict_json(path.read_bytes(), ANCHOR_LIMIT_BYTES)
            record(**ANCHOR, **{name: check for name, check in POLICY.items() if name in anchor})(anchor)
            self.log, self.origin = anchor["log"], anchor["origin"]
            need(self.log.strip("0"), "a log of zeros")
            self.keys = [VerifierKey(key) for key in anchor["keys"]]
            self.roots = [Certificate(pem(root)) for root in anchor["roots"]]
            need(different(self.roots) and all(root.is_authority for root in self.roots), "a root twice, or one that is no authority's")
            need(len({root.domain for root in self.roots}) == 1, "roots of several trust domains")
            self._policy(anchor)
        except (OSError, ValueError, Malformed) as error:
            raise CannotJudge(f"{path} is not an anchor: {error}") from error
        self.path = path.resolve()

    def _policy(self, anchor):
        self.policy, self.device, self.demands = None, anchor.get("device"), anchor.get("demands", [])
        if "witness_policy" in anchor:
            need(len(anchor["witness_policy"].encode()) <= WITNESS_POLICY_LIMIT_BYTES, "the witness policy is too long")
            self.policy = Policy(anchor["witness_policy"], self.keys)
        named = [(authority["independent"], ForeignCertificate(pem(authority["certificate"]))) for authority in anchor.get("timestamp_authorities", [])]
        need(different([certificate for _, certificate in named]), "a timestamping authority twice")
        # Those that are independent are tried first, in their order.
        self.authorities = sorted(named, key=lambda authority: not authority[0])
        need(("custodians" in anchor) == ("threshold" in anchor), "custodians and their threshold go together")
        custodians = [Certificate(pem(custodian)) for custodian in anchor.get("custodians", [])]
        self.custodians, self.threshold = custodians, anchor.get("threshold", 0)
        self.tpm_key = VerifierKey(anchor["tpm_key"]) if "tpm_key" in anchor else None
        if self.tpm_key:
            need(self.tpm_key.kind == ECDSA and self.tpm_key.name == self.origin, "not a key of the log's TPM")
            need(self.tpm_key.public not in [key.public for key in self.keys], "the TPM's key is one of the log's others")
        self.vendors = [ForeignCertificate(pem(root)) for root in anchor.get("endorsement_roots", [])]
        need(different(self.vendors), "a vendor's root twice")
        need(self.device != "attested" or self.vendors, "attested devices are demanded, and no vendor is named")
        need(all(custodian.for_signing and "custodian" in custodian.roles for custodian in custodians), "not a custodian's certificate")
        need(len({custodian.identity for custodian in custodians}) == len(custodians), "a custodian twice")
        need(anchor.get("threshold", 0) <= len(custodians), "a threshold above the custodians")
        need("witness" not in self.demands or self.policy, "witnesses are demanded, and none are named")
        independent = self.policy or any(independent for independent, _ in self.authorities)
        need("time" not in self.demands or independent, "time is demanded, and nobody independent is named")


def rising(values):
    """Whether each value is above the one before."""
    return all(one < other for one, other in zip(values, values[1:]))


class Verdict:
    """Judges one bundle. Each finding is (axis, kind, grade, place, sentence)."""

    def __init__(self, folder, anchor):
        self.folder, self.anchor = folder.resolve(), anchor
        if not self.folder.is_dir():
            raise CannotJudge(f"{folder} is not a folder")
        if self.folder in anchor.path.parents:
            raise CannotJudge("the anchor came with the bundle")
        self.findings, self.held, self.signed, self.by_leaf, self.certificates, self.between = [], [], {}, {}, {}, []
        self.looked_at, self.named = set(), {"manifest.json"}
        self.checkpoint, self.export, self.fragments = None, None, 0
        self.ends_before = {}  # Of the logs before this one, newest first, by hash: with how many entries each ended, and with which root.
        self._manifest()
        if self._checkpoint():
            self._entries()
            decisions = Decisions(self)
            self.chains = Continuity(self).chains
            self._segments()
            self._export()
            axes = Axes(self)
            decisions.second_certificates(lambda index: axes.bounds[index].high[EXTERNAL])
            self._files()
        for axis in AXES:
            if all(axis != on or grade == NOT_DEMANDED and kind in TOLD for on, kind, grade, *_ in self.findings):
                demanded = axis in anchor.demands or axis == "device" and anchor.device
                self._find(axis, "no-evidence", UNDECIDED if demanded else NOT_DEMANDED, "", "nothing in the bundle speaks to this")
        for axis in ("signature", "continuity", "payload"):
            grades = [finding[2] for finding in self.findings if finding[0] == axis]
            if axis == "payload" and self.checkpoint and not self.fragments and max(grades, default=GOOD) <= NOT_DEMANDED:
                self._find(axis, "no-evidence", NOT_DEMANDED, "", "no content is disclosed")
            elif self.checkpoint and max(grades, default=GOOD) <= NOT_DEMANDED:
                self._find(axis, "holds", GOOD, "", "this holds")
            elif not grades:
                self._find(axis, "no-evidence", UNDECIDED, "", "could not be judged, since the entries could not be proven")
        self.grade = max(finding[2] for finding in self.findings)

    def overlaps(self, start, end):
        """Whether a part of a segment lies in the interval that was asked for."""
        return start < self.end and end > self.start

    def _find(self, axis, kind, grade, place, sentence):
        self.findings.append((axis, kind, grade, str(place), str(sentence)))

    def _bad(self, axis, kind, place, sentence):
        self._find(axis, kind, BAD, place, sentence)

    def is_here(self, path):
        """Whether it is a plain file in the folder, to which no symbolic link leads."""
        try:
            return path.is_file() and path.resolve() == path
        except (OSError, RuntimeError, ValueError):
            return False

    def read(self, path, axis, limit_bytes, optional=False):
        """A file of the bundle, or None and a finding; None alone where there is none of those that need not be there."""
        file = self.folder / path
        if not self.is_here(file):
            return None if optional else self._bad(axis, "file-missing", path, "is not there")
        self.named.add(path)
        if file.stat().st_size > limit_bytes:
            return self._bad(axis, "file-altered", path, "is too long")
        return file.read_bytes()

    def content(self, signed, name, axis):
        """What an attachment holds, or None and a finding; None alone if there is none of that name."""
        attachment = attachments_of(signed.statement).get(name)
        if attachment is None:
            return None
        path = f"attachments/{attachment['sha256']}"
        self.looked_at.add((attachment["sha256"], attachment["length"]))
        if attachment["length"] > ATTACHMENT_LIMIT_BYTES:
            self.named.add(path)
            return self._bad(axis, "file-altered", signed.stem, "names an attachment that is too long")
        data = self.read(path, axis, ATTACHMENT_LIMIT_BYTES)
        if data is not None and (hashlib.sha256(data).hexdigest(), len(data)) != (attachment["sha256"], attachment["length"]):
            return self._bad(axis, "file-altered", path, "is not what the statement names")
        return data if data is None or not attachment["erasable"] else data[32:]

    def _manifest(self):
        try:
            need(self.is_here(self.folder / "manifest.json"), "no manifest.json")
            need((self.folder / "manifest.json").stat().st_size <= MANIFEST_LIMIT_BYTES, "manifest.json is too long")
            self.manifest_bytes = (self.folder / "manifest.json").read_bytes()
            self.manifest = strict_json(self.manifest_bytes, MANIFEST_LIMIT_BYTES)
            MANIFEST(self.manifest)
            need(rising(self.manifest["entries"]), "entries do not rise")
            self.disclosed = [(segment["stream"], segment["seq"]) for segment in self.manifest["segments"]]
            need(rising(self.disclosed), "segments do not rise")
            self.series = self.manifest["question"]["series"]
            self.start, self.end = (milliseconds(self.manifest["question"][name]) for name in ("from", "to"))
            need(self.start <= self.end, "the question is backwards")
            paths = [file["path"] for file in self.manifest["files"]]
            need(len(set(paths)) == len(paths), "a file is listed twice")
        except (OSError, Malformed) as error:
            raise CannotJudge(f"not a bundle: {error}") from error
        if self.manifest["log"] != self.anchor.log:
            raise CannotJudge("the bundle is of another log than the anchor")

    def _checkpoint(self):
        self.checkpoint_bytes = self.read("checkpoint", "signature", SMALL_LIMIT_BYTES)
        if self.checkpoint_bytes is None:
            return False
        try:
            self.checkpoint = Checkpoint(self.checkpoint_bytes, self.anchor.origin, self.anchor.keys)
        except Malformed as error:
            self._bad("signature", "receipt", "checkpoint", error)
        return self.checkpoint is not None

    def _entries(self):
        if 0 not in self.manifest["entries"]:
            self._bad("signature", "file-missing", "entries/0000000000.p7s", "genesis is not in the bundle")
        proven = [self._proven(f"entries/{index:010}", index) for index in self.manifest["entries"]]
        for signed in filter(None, proven):
            self._collect(signed)
        self.authorities = Authorities(self.anchor.roots, self.between)
        for signed in filter(None, proven):
            if self._holds(signed):
                self.held.append(signed)
                self.signed.setdefault((signed.statement["stream"], signed.statement["seq"]), signed)
                self.by_leaf.setdefault(signed.leaf, signed)
        ended = any(signed.index == self.checkpoint.size - 1 and signed.statement["type"] == "succession/v1" for signed in self.held)
        if not any(self.is_here(self.folder / f"export.{ending}") for ending in ("p7s", "tlog-proof")):
            grade, text = (NOT_DEMANDED, "the log has ended, and the export is stated on the one that follows") if ended else (
                UNDECIDED, "nobody is shown to have exported this")
            self._find("signature", "export-elsewhere", grade, "export", text)
            return
        export = self._proven("export", None)
        self.export = export if export is not None and self._holds(export) else None

    def _proven(self, stem, expected_index):
        """An entry that its receipt proves, and that is a statement of this log (step 3)."""
        entry = self.read(stem + ".p7s", "signature", ENTRY_LIMIT_BYTES)
        receipt = self.read(stem + ".tlog-proof", "signature", SMALL_LIMIT_BYTES)
        if entry is None or receipt is None:
            return None
        kind = "receipt"
        try:
            index = judge_receipt(receipt, leaf_hash(entry), self.checkpoint_bytes, self.checkpoint)
            need(expected_index in (None, index), "the receipt is another entry's")
            kind = "entry-malformed"
            signed = SignedStatement(entry)
            signed.index, signed.leaf, signed.stem, signed.introduces = index, leaf_hash(entry).hex(), stem, None
            kind = "other-log"
            if index == 0:
                need(signed.leaf == self.anchor.log and signed.statement["type"] == "genesis/v1", "not the genesis of the anchor's log")
                self.ends_before = {log["log"]: (log["size"], log["root"]) for log in logs_before(signed.statement["body"])}
            else:
                need(signed.statement["log"] in (self.anchor.log, *self.ends_before), "a statement of another log")
            kind, observed = "observed", signed.statement["observed"]["size"]
            if signed.statement["log"] not in self.ends_before:
                need(observed <= index, "it observed what came after it")
            elif observed > self.ends_before[signed.statement["log"]][0]:
                self._find("continuity", "lost-entries", NOT_DEMANDED, stem, "it observed entries of a log before that are lost")
        except Malformed as error:
            return self._bad("signature", kind, stem, error)
        return signed

    def _collect(self, signed):
        """Reads the certificates that an entry brings: the one that it introduces, and authorities between that and a root."""
        statement = signed.statement
        if statement["type"] not in ("certificate/v1", "genesis/v1"):
            return
        for name, attachment in attachments_of(statement).items():
            # A statement may attach more than its type asks for.
            if name != "certificate" and not re.fullmatch("issuer-[0-9]+", name):
                continue
            path = f"attachments/{attachment['sha256']}"
            self.looked_at.add((attachment["sha256"], attachment["length"]))
            data = self.read(path, "signature", SMALL_LIMIT_BYTES)
            if data is None:
                continue
            try:
                need(hashlib.sha256(data).hexdigest() == attachment["sha256"] and len(data) == attachment["length"],
                     "is not what the statement names")
                certificate = Certificate(data)
                if name == "certificate":
                    need(statement["body"].get("fingerprint", certificate.fingerprint) == certificate.fingerprint,
                         "is not the certificate that the statement introduces")
                    signed.introduces = certificate
                if certificate.is_authority:
                    self.between.append(certificate)
            except Malformed as error:
                self._bad("signature", "file-altered", path, error)

    def _holds(self, signed):
        """Whether an entry is its signer's, by certificates introduced below it (step 4). If so, it introduces its own."""
        statement, own, kind = signed.statement, signed.introduces, "certificate-unknown"
        index, certificate = self.certificates.get(signed.fingerprint, (0, None))
        introduces_itself = signed.index == 0 or (statement["type"] == "certificate/v1" and statement["seq"] == 0)
        if certificate is None and introduces_itself and own is not None and own.fingerprint == signed.fingerprint:
            certificate = own
        try:
            need(certificate and (index < signed.index or certificate is own), "no entry below introduced its signer's certificate")
            kind = "certificate-path"
            signed.path = self.authorities.path(certificate, signed.issued_ms)
            need(signed.path, "its signer's certificate does not lead to a root")
            kind = "statement-signature"
            signed.judge(certificate)
            signed.owner, signed.certificate = certificate.owner, certificate
            kind = "other-log"
            if statement["type"] == "genesis/v1":
                self._genesis(statement["body"])
        except Malformed as error:
            self._bad("signature", kind, signed.stem, error)
            return False
        if own is not None:
            self.certificates.setdefault(own.fingerprint, (signed.index, own))
        return True

    def _genesis(self, body):
        need(body["origin"] == self.anchor.origin, "genesis names another origin than the anchor")
        need(set(body["keys"]) <= {key.text for key in self.anchor.keys}, "genesis names a key that the anchor does not demand")
        need({root.fingerprint for root in self.anchor.roots} <= set(body["roots"]), "the anchor trusts a root that genesis does not name")

    def _asked_for(self):
        """The places of the segments of the interval, and of those that they need to be decoded."""
        asked_for = set()
        for stream, chain in self.chains.items():
            needed = False
            for statement in [signed.statement for signed in reversed(chain) if signed.statement["type"] == "segment/v1"]:
                start = milliseconds(statement["body"]["start"])
                asked = needed or self.overlaps(start, start + statement["body"]["duration_ms"])
                needed = asked and not statement["body"]["random_access"]
                if asked:
                    asked_for.add((stream, statement["seq"]))
        return asked_for

    def _segments(self):
        asked_for = self._asked_for()
        self.copies, self.comparable = WorkingCopies(), True
        for stream, seq in self.disclosed:
            signed = self.signed.get((stream, seq))
            if signed is None or signed.statement["type"] != "segment/v1":
                self._bad("payload", "commitments", f"{stream} {seq}", "a disclosed segment has no statement here")
                self.comparable = False
                continue
            if (stream, seq) not in asked_for:
                of_series = stream.rsplit("/", 1)[0] == self.series
                self._find("payload", "not-asked-for", UNDECIDED if of_series else BAD, f"{stream} {seq}", "is not what was asked for")
            if not self._segment(stream, seq, signed.statement["body"]):
                self.comparable = False
        self._copies()
        disclosed = set(self.disclosed)
        deleted = [named for signed in self.held if signed.statement["type"] == "retention/v1" for named in signed.statement["body"]["ranges"]]
        for signed in [signed for chain in self.chains.values() for signed in chain]:
            body, stream, seq = signed.statement["body"], signed.statement["stream"], signed.statement["seq"]
            if signed.statement["type"] != "segment/v1" or (stream, seq) in disclosed:
                continue
            if self.overlaps(milliseconds(body["start"]), milliseconds(body["start"]) + body["duration_ms"]):
                erased = any(named["stream"] == stream and named["first"] <= seq <= named["last"] for named in deleted)
                self._find("payload", "erased" if erased else "withheld", NOT_DEMANDED, f"{stream} {seq}", "exists, and is not disclosed")

    def _copies(self):
        """What is below `working/` is what the disclosed fragments make (step 9)."""
        made = self.copies.copies()
        for file in self.manifest["files"]:
            if not file["path"].startswith("working/"):
                continue
            if not self.comparable:
                self._find("payload", "working-copy", UNDECIDED, file["path"], "can not be made again out of what is here")
            elif (file["sha256"], file["length"]) not in made:
                self._bad("payload", "working-copy", file["path"], "is not what the disclosed fragments make")
            else:
                self._find("payload", "working-copy", GOOD, file["path"], "is made of the disclosed fragments, in order")

    def _segment(self, stream, seq, body):
        """Judges a disclosed segment; whether all of it is here, and went into the copies."""
        folder = f"disclosed/{stream.replace('/', '~')}/{seq:010}"
        data = self.read(folder + "/disclosure.json", "payload", DISCLOSURE_LIMIT_BYTES)
        if data is None:
            return False
        try:
            disclosure = strict_json(data, DISCLOSURE_LIMIT_BYTES)
            DISCLOSURE(disclosure)
            commitments, fragments = [bytes.fromhex(value) for value in disclosure["commitments"]], disclosure["fragments"]
            need((disclosure["stream"], disclosure["seq"]) == (stream, seq), "a disclosure of another segment")
            need(len(commitments) == len(body["fragment_lengths"]), "not one commitment for each fragment")
            need(root_of([leaf_hash(value) for value in commitments]).hex() == body["commitment_root"], "not the signed commitments")
            need(rising([fragment["index"] for fragment in fragments]), "fragments do not rise")
            need(all(fragment["index"] < len(commitments) for fragment in fragments), "more fragments than were signed")
        except Malformed as error:
            self._bad("payload", "commitments", folder, error)
            return False
        whole = len(fragments) == len(commitments)
        if not whole:
            self._find("payload", "withheld", NOT_DEMANDED, folder, "not all of its fragments are disclosed")
        for fragment in fragments:
            index = fragment["index"]
            path = f"{folder}/{index:03}.bin"
            plaintext = self.read(path, "payload", FRAGMENT_LIMIT_BYTES)
            if plaintext is None:
                whole = False
                continue
            last = b"\1" if index + 1 == len(commitments) else b"\0"
            message = b"exhibit/plain/v1" + index.to_bytes(4, "big") + last + len(plaintext).to_bytes(8, "big") + plaintext
            commitment = hmac.digest(bytes.fromhex(fragment["key"]), message, "sha256")
            if commitment != commitments[index] or len(plaintext) + 16 != body["fragment_lengths"][index]:
                self._bad("payload", "fragment-altered", path, "is not what the camera sealed")
                whole = False
                continue
            self.fragments += 1
            try:
                self.copies.add(stream, milliseconds(body["start"]), index, plaintext)
            except Malformed:
                whole = False
        return whole

    def _export(self):
        """Step 8."""
        if self.export is None:
            return
        try:
            statement = self.export.statement
            need(statement["type"] == "export/v1", "the exporter's statement is another")
            body = statement["body"]
            need(body["manifest"] == hashlib.sha256(self.manifest_bytes).hexdigest(), "it names another manifest")
            fetch = self.by_leaf.get(body["fetch"])
            need(fetch and fetch.statement["type"] == "fetch/v1", "the fetch is not here")
            need(fetch.owner == self.export.owner and fetch.index < self.export.index, "the fetch is another's, or came after")
            for stream, seq in self.disclosed:
                for ranges in (body["ranges"], fetch.statement["body"]["ranges"]):
                    need(any(named["stream"] == stream and named["first"] <= seq <= named["last"] for named in ranges),
                         f"{stream} {seq} was not asked for or not named")
            granted = fetch.statement["body"]["grant"]
            if granted is not None:
                grant = self.by_leaf.get(granted)
                need(grant and grant.statement["type"] == "grant/v1" and grant.index < fetch.index, "the grant is not here")
                need((self.series + "/").startswith(grant.statement["body"]["scope"] + "/"), "the grant is of another camera")
        except Malformed as error:
            self._bad("signature", "export", "export", error)

    def _is_what_was_named(self, path, sha256, length):
        """Whether a file has this hash and length; None if there is none."""
        path = self.folder / path
        if not self.is_here(path):
            return None
        if path.stat().st_size != length or length > COPY_LIMIT_BYTES:
            return False
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == sha256

    def _files(self):
        for signed in [*self.held, *([self.export] if self.export else [])]:
            for attachment in attachments_of(signed.statement).values():
                named, path = (attachment["sha256"], attachment["length"]), f"attachments/{attachment['sha256']}"
                holds = None if named in self.looked_at else self._is_what_was_named(path, *named)
                if holds is not None:
                    self.named.add(path)
                if holds is False:
                    self._bad("signature", "file-altered", signed.stem, "names an attachment that is another")
                self.looked_at.add(named)
        for file in self.manifest["files"]:
            holds = self._is_what_was_named(file["path"], file["sha256"], file["length"])
            if holds is None:
                self._bad("payload", "file-missing", file["path"], "is not there")
            elif not holds:
                self._bad("payload", "file-altered", file["path"], "is not what the manifest says")
            if file["path"] not in self.named and not file["path"].startswith(("working/", "crls/")) and file["path"] != "README.md":
                self._find("payload", "exporter-file", NOT_DEMANDED, file["path"], "is the exporter's own")
        self.named.update(file["path"] for file in self.manifest["files"])
        for number, name in enumerate(self._listed(self.folder, "")):
            if number == FILES_MAX:
                self._bad("payload", "file-unlisted", "", "there are more files than any bundle has")
                break
            if name not in self.named:
                grade = BAD if name.startswith("working/") else NOT_DEMANDED
                self._find("payload", "file-unlisted", grade, name, "is no part of the bundle: nothing names it")

    def _listed(self, folder, prefix):
        """The files below a folder. Bytes of a name that are not UTF-8 have a backslash, which no name of a manifest has."""
        for entry in os.scandir(folder):
            name = prefix + os.fsencode(entry.name).decode(errors="backslashreplace")
            if not entry.is_dir(follow_symlinks=False):
                yield name + "/" if leads_to_folder(entry) else name
            elif name.count("/") + 1 < PATH_COMPONENTS_MAX:
                yield from self._listed(entry.path, name + "/")
            else:
                yield name + "/"


def leads_to_folder(entry):
    """Whether whoever opens it sees a folder. A link may lead nowhere, or to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def judge(folder, anchor_path):
    """The verdict as what is printed as JSON; `exit` is the exit code."""
    try:
        verdict = Verdict(pathlib.Path(folder), Anchor(pathlib.Path(anchor_path)))
    # What was not thought of here is no word on the evidence either.
    except Exception as error:
        return {"bundle": str(folder), "exit": 2, "grade": None, "error": str(error), "findings": []}
    findings = sorted(verdict.findings, key=lambda finding: -finding[2])
    return {
        "bundle": str(folder), "exit": EXIT[verdict.grade], "grade": GRADES[verdict.grade],
        "entries": len(verdict.held) + (verdict.export is not None), "fragments": verdict.fragments,
        "findings": [dict(zip(("axis", "kind", "grade", "place", "sentence"), (axis, kind, GRADES[grade], place, sentence)))
                     for axis, kind, grade, place, sentence in findings],
    }


def say(line):
    """Prints a line, in which no name out of a bundle holds anything that a terminal obeys."""
    print("".join(char if char.isprintable() and not unicodedata.combining(char) else f"\\u{{{ord(char):x}}}" for char in line))


def show(result):
    """Prints a verdict for people."""
    if result["grade"] is None:
        say(f"CANNOT BE JUDGED  {result['bundle']}: {result['error']}")
        return
    words = {"good": "HOLDS", "not-demanded": "HOLDS, as far as the anchor demands", "undecided": "UNDECIDED", "bad": "DOES NOT HOLD"}
    say(f"{words[result['grade']]}  {result['bundle']}")
    for finding in result["findings"]:
        say(f"  {finding['grade']:13} {finding['axis']:11} {finding['kind']:20} {finding['place']} {finding['sentence']}")
    say(f"  {result['entries']} entries, {result['fragments']} fragments")


class Arguments(argparse.ArgumentParser):
    """Wrong use has the exit code 64."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(64, f"{message}\n")


def main():
    """Judges one bundle, or, for tests, each line `anchor TAB folder` of standard input as a line of JSON."""
    arguments = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--anchor", help="the anchor file, which must not come with the bundle")
    arguments.add_argument("--json", action="store_true", help="print the verdict as a line of JSON")
    arguments.add_argument("--many", action="store_true", help="judge each line `anchor TAB folder` of standard input")
    arguments.add_argument("bundle", nargs="?", help="the bundle's folder")
    given = arguments.parse_args()
    if given.many:
        for line in sys.stdin:
            anchor, folder = line.rstrip("\n").split("\t")
            print(json.dumps(judge(folder, anchor)))
        return 0
    if not given.bundle or not given.anchor:
        arguments.error("a bundle and an anchor are needed")
    result = judge(given.bundle, given.anchor)
    print(json.dumps(result)) if given.json else show(result)
    return result["exit"]


if __name__ == "__main__":
    sys.exit(main())
