"""Witnesses, times, revocations and devices, by docs/formats/bundle.md: the axes of a verdict that its anchor's policy asks for."""

import hashlib

from crl import RevocationList
from log import Checkpoint, judge_line
from signed import CURVES
from statements import Malformed, attachments_of, milliseconds, need
from tokens import Token
from tpm import AttestationKey, endorsement_key
from vendors import leads_to_vendor
from witnesses import PROOF_LIMIT_BYTES, consistency_holds, consistency_proof

GOOD, NOT_DEMANDED, UNDECIDED, BAD = range(4)
LEVELS = ("software", "allow-listed", "attested")
CLAIM_MS = 11_000
EXTERNAL = "as it was given, and not carried on by a TPM"
LISTS_MAX, TOKENS_MAX = 64, 8
LIST_LIMIT_BYTES, SMALL_LIMIT_BYTES = 8 * 1024 * 1024, 1024 * 1024
SAID_BY_A_TPM = ("ek-public", "ak-public", "certify", "certify-signature", "key-public")


class Word:
    """What somebody says of when a checkpoint was there."""

    def __init__(self, bounds, independent, held=None, covers=None):
        self.earliest, self.latest = bounds
        self.independent, self.held, self.covers = independent, held, covers


class Bounds:
    """Not before and not after in ms, each on an external word, on an independent one and on anybody's; None where there is none."""

    def __init__(self):
        self.low, self.high = dict.fromkeys((EXTERNAL, True, False)), dict.fromkeys((EXTERNAL, True, False))

    def after(self, bound, independent):
        """Not before."""
        if bound is not None and (self.low[independent] is None or bound > self.low[independent]):
            self.low[independent] = bound

    def before(self, bound, independent):
        """Not after."""
        if bound is not None and (self.high[independent] is None or bound < self.high[independent]):
            self.high[independent] = bound


class Axes:
    """Judges the axes over a `Verdict` whose entries were judged."""

    def __init__(self, verdict):
        self.verdict, self.anchor = verdict, verdict.anchor
        self.entries = verdict.held
        self.all = sorted([*self.entries, *([verdict.export] if verdict.export else [])], key=lambda signed: signed.index)
        self.proven = {verdict.checkpoint.size: verdict.checkpoint.root.hex()}
        # Of the log before this one, whose last head genesis names.
        self.proven_before = {log: {size: root} for log, (size, root) in verdict.ends_before.items()}
        self.readings, self.enrolled, self.levels = {}, {}, {}
        self._witnesses()
        self._tpm_line()
        self._enrolments()
        self._levels()
        self._attestations()
        self._times()
        self._expiries()
        self._revocations()

    def _lacking(self, axis, kind, place, sentence):
        demanded = axis in self.anchor.demands or axis == "device" and self.anchor.device
        self.verdict._find(axis, kind, UNDECIDED if demanded else NOT_DEMANDED, place, sentence)

    def _tpm_line(self):
        key, checkpoint = self.anchor.tpm_key, self.verdict.checkpoint
        if key is None:
            return
        lines = [rest for name, key_id, rest in checkpoint.signatures if (name, key_id) == (key.name, key.key_id)]
        try:
            need(len(lines) <= 1, "two lines of one key")
            for line in lines:
                judge_line(key, line, checkpoint.text)
                self.verdict._find("signature", "holds", GOOD, "checkpoint", "the log's TPM has signed it")
        except Malformed as error:
            self.verdict._bad("signature", "tpm-line", "checkpoint", error)

    def _witnesses(self):
        policy, checkpoint = self.anchor.policy, self.verdict.checkpoint
        if policy is None:
            return
        try:
            cosigned = policy.cosigned(checkpoint)
        except Malformed as error:
            self.verdict._bad("witness", "cosignature", "checkpoint", error)
            return
        if not policy.is_met(cosigned):
            self._lacking("witness", "witness-quorum", "checkpoint", f"witnessed by {sorted(cosigned)} alone")
        elif cosigned:
            self.verdict._find("witness", "holds", GOOD, "checkpoint", f"witnessed by {sorted(cosigned)}")
        else:
            self._lacking("witness", "no-evidence", "checkpoint", "the policy asks for nobody, and nobody was heard")

    # Devices

    def _enrolments(self):
        for signed in self.entries:
            if signed.statement["type"] != "enrolment/v1":
                continue
            body = signed.statement["body"]
            try:
                key = self._enrolment(signed, body)
            except Malformed as error:
                self.verdict._bad("device", "enrolment", signed.stem, error)
                continue
            level = LEVELS.index(self._level(signed, body))
            self.levels[body["fingerprint"]] = max(level, self.levels.get(body["fingerprint"], 0))
            self.enrolled[signed.leaf] = (body["fingerprint"], key)

    def _level(self, signed, body):
        """What an enrolment that holds shows."""
        if body["policy"] != "attested":
            return body["policy"]
        issuers = [self.verdict.content(signed, name, "device") for name in attachments_of(signed.statement) if name.startswith("ek-issuer-")]
        certificate = self.verdict.content(signed, "ek-certificate", "device")
        issuers = [issuer for issuer in issuers if issuer is not None]
        attested = leads_to_vendor(certificate, issuers, self.anchor.vendors, signed.issued_ms)
        return "attested" if attested else "allow-listed"

    def _enrolment(self, signed, body):
        """The attestation key of an enrolment that holds; None for software."""
        if body["policy"] == "software":
            return None
        said = [self.verdict.content(signed, name, "device") for name in SAID_BY_A_TPM]
        need(all(part is not None for part in said), "not all that the TPM said is here")
        certificate = self.verdict.content(signed, "ek-certificate", "device")
        _, device = self.verdict.certificates.get(body["fingerprint"], (0, None))
        need(device is not None and device.owner, "the device's certificate is not here, or is an authority's")
        attested = body["policy"] == "attested"
        need(certificate is not None or not attested, "no endorsement certificate")
        key = AttestationKey(said[1], endorsement_key(said[0], certificate if attested else None))
        identity = device.identity.encode()
        context = b"exhibit/enrolment/v1" + len(identity).to_bytes(2, "big") + identity
        qualifying = hashlib.sha256(bytes.fromhex(body["nonce"]) + context).digest()
        curve, point = key.certifies(said[2], said[3], qualifying, said[4])
        need(device.spki == CURVES[curve][0] + point, "the certificate is of another key")
        return key

    def _levels(self):
        signers = {signed.certificate.fingerprint: signed for signed in reversed(self.entries)
                   if signed.statement["stream"].rsplit("/", 1)[0] == self.verdict.series}
        for fingerprint, signed in signers.items():
            level = self.levels.get(fingerprint)
            if level is None:
                self._lacking("device", "no-evidence", signed.stem, "nothing shows where this camera's key is")
            elif self.anchor.device and level < LEVELS.index(self.anchor.device):
                self.verdict._bad("device", "device-level", signed.stem, f"{LEVELS[level]} is less than the anchor accepts")
            elif not self.anchor.device and level == 0:
                self._lacking("device", "device-level", signed.stem, "the key can be anywhere")
            else:
                self.verdict._find("device", "holds", GOOD, signed.stem, LEVELS[level])

    def _attestations(self):
        for signed in self.entries:
            kind, body = signed.statement["type"], signed.statement["body"]
            if kind != "attestation/v1" and (kind != "start/v1" or body["enrolment"] is None):
                continue
            try:
                self._attestation(signed, signed.statement)
            except Malformed as error:
                self.verdict._bad("device", "attestation", signed.stem, error)

    def _attestation(self, signed, statement):
        body = statement["body"]
        fingerprint, key = self.enrolled.get(body["enrolment"], (None, None))
        need(key is not None and fingerprint == signed.certificate.fingerprint, "no enrolment of this camera's that holds")
        attest, signature = (self.verdict.content(signed, name, "device") for name in ("attest", "signature"))
        need(attest is not None and signature is not None, "its parts are not here")
        stream = statement["stream"].encode()
        kind = statement["type"].encode()
        context = (b"exhibit/" + kind + len(stream).to_bytes(2, "big") + stream + statement["seq"].to_bytes(8, "big")
                   + bytes.fromhex(statement["prev"]))
        qualifying = hashlib.sha256(bytes.fromhex(statement["observed"]["root"]) + context).digest()
        if body.get("kind") == "time":
            self.readings[signed.index] = (key.area.name, *key.reads_clock(attest, signature, qualifying))
        else:
            values = self.verdict.content(signed, "values", "device")
            key.quotes(attest, signature, qualifying, values or b"")
            self.verdict._find("device", "quote", NOT_DEMANDED, signed.stem, "the registers had these values")

    # Times

    def _head(self, size, root, proof_path, log=None):
        """Whether a head is proven to be of this log, or of one before it; None if it is that of another."""
        proven = self.proven_before.get(log, self.proven)
        proof = self.verdict.read(proof_path, "signature", PROOF_LIMIT_BYTES, optional=True)
        if size in proven and proven[size] != root:
            return None
        if proof is None:
            return size in proven
        try:
            newest, proof = self.verdict.checkpoint, consistency_proof(proof)
            size_before, root_before = self.verdict.ends_before.get(log, (newest.size, newest.root.hex()))
            end = size_before, bytes.fromhex(root_before)
            need(consistency_holds(size, bytes.fromhex(root), *end, proof), "does not lead to the last head")
        except Malformed as error:
            self.verdict._bad("signature", "receipt", proof_path, error)
            return False
        proven[size] = root
        return True

    def _fork(self, signed):
        self.verdict._bad("witness", "fork", signed.stem, "two logs were shown")

    def _times(self):
        for signed in self.all:
            observed = signed.statement["observed"]
            self._head(observed["size"], observed["root"], f"entries/{signed.index:010}.observed", signed.statement["log"])
        words = self._words_of_checkpoint() + [word for signed in self.entries if signed.statement["type"] == "timestamp/v1"
                                               for word in self._words_of(signed, signed.statement["body"])]
        unproven = []
        for signed in self.all:
            observed = signed.statement["observed"]
            log = signed.statement["log"]
            proven, ends = self.proven_before.get(log, self.proven), self.verdict.ends_before
            # What is beyond the end of a log before is told as lost.
            if observed["size"] == 0 or log in ends and observed["size"] > ends[log][0]:
                continue
            if observed["size"] not in proven:
                unproven.append(signed)
            elif proven[observed["size"]] != observed["root"]:
                self._fork(signed)
        if unproven:
            self._lacking("witness", "head-unproven", unproven[0].stem, f"nothing shows for {len(unproven)} that what they observed is this log")
        self.bounds = {signed.index: Bounds() for signed in self.all}
        for signed in self.all:
            observed, bounds = signed.statement["observed"], self.bounds[signed.index]
            of_own_log = signed.statement["log"] not in self.verdict.ends_before
            seen = observed["size"] if of_own_log and self.proven.get(observed["size"]) == observed["root"] else 0
            for word in words:
                for independent in (False, True, EXTERNAL) if word.independent else (False,):
                    if word.held is not None and word.held < seen:
                        bounds.after(word.earliest, independent)
                    if word.covers is not None and word.covers > signed.index:
                        bounds.before(word.latest, independent)
        for run in self._runs():
            self._carry(run)
            self._count(run)
            self._carry(run)
        for signed in self.all:
            bounds = self.bounds[signed.index]
            if bounds.low[False] is not None and bounds.high[False] is not None and bounds.low[False] > bounds.high[False]:
                self.verdict._bad("time", "time-contradiction", signed.stem, "one who bounds it is wrong")
        if words:
            self._segments()

    def _words_of_checkpoint(self):
        words = []
        checkpoint = self.verdict.checkpoint
        if self.anchor.policy:
            try:
                words = self._cosigned(checkpoint)
            except Malformed:
                pass
        for number in range(TOKENS_MAX):
            path = f"checkpoint.token-{number}"
            token = self.verdict.read(path, "time", SMALL_LIMIT_BYTES, optional=True)
            if token is None:
                break
            words += self._token(token, checkpoint, path)
        for word in words:
            word.covers = checkpoint.size
        return words

    def _cosigned(self, checkpoint):
        """The times of witnesses on a checkpoint, each good to the second."""
        times = self.anchor.policy.cosigned(checkpoint).values() if self.anchor.policy else ()
        return [Word((time * 1000, time * 1000 + 999), True) for time in times if time is not None and time * 1000 < 253_402_300_800_000]

    def _words_of(self, signed, body):
        note = self.verdict.content(signed, "checkpoint", "time")
        if note is None:
            return []
        try:
            checkpoint = Checkpoint(note, self.anchor.origin, self.anchor.keys)
            need((checkpoint.size, checkpoint.root.hex()) == (body["size"], body["root"]), "not the checkpoint that is named")
            need(checkpoint.size <= signed.index, "it covers what came after it")
        except Malformed as error:
            self.verdict._bad("time", "timestamp", signed.stem, error)
            return []
        of_this_log = self._head(body["size"], body["root"], f"entries/{signed.index:010}.consistency")
        if of_this_log is None:
            self._fork(signed)
        covers = checkpoint.size if of_this_log else None
        words = []
        try:
            words = self._cosigned(checkpoint)
        except Malformed as error:
            self.verdict._bad("witness", "cosignature", signed.stem, error)
        for name in attachments_of(signed.statement):
            if name.startswith("token-"):
                words += self._token(self.verdict.content(signed, name, "time"), checkpoint, signed.stem)
        for word in words:
            word.held, word.covers = signed.index, covers
        return words

    def _token(self, data, checkpoint, place):
        """The word of a token over the text of a checkpoint."""
        if data is None or not self.anchor.authorities:
            return []
        try:
            token = Token(data)
            need(token.is_over(checkpoint.text.encode()), "a token over something else")
        except Malformed as error:
            self.verdict._bad("time", "timestamp", place, error)
            return []
        refusal = None
        for independent, certificate in self.anchor.authorities:
            try:
                if token.judge([certificate]):
                    return [Word(token.bounds_ms(), independent)]
            except Malformed as error:
                refusal = error
        grade = BAD if refusal else NOT_DEMANDED
        self.verdict._find("time", "timestamp", grade, place, refusal or "of an authority that the anchor does not name")
        return []

    def _runs(self):
        """Statements of one stream that follow each other, by seq and by hash."""
        chains, runs = {}, []
        for signed in self.all:
            chains.setdefault(signed.statement["stream"], []).append(signed)
        for chain in chains.values():
            chain.sort(key=lambda signed: signed.statement["seq"])
            runs.append([])
            for signed in chain:
                if runs[-1] and (signed.statement["prev"] != runs[-1][-1].leaf or signed.statement["seq"] != runs[-1][-1].statement["seq"] + 1):
                    runs.append([])
                runs[-1].append(signed)
        return runs

    def _carry(self, run):
        bounds = [self.bounds[signed.index] for signed in run]
        for independent in (False, True, EXTERNAL):
            for one, other in zip(bounds, bounds[1:]):
                other.after(one.low[independent], independent)
            for one, other in reversed(list(zip(bounds, bounds[1:]))):
                one.before(other.high[independent], independent)

    def _count(self, run):
        """What a TPM counted between two readings carries the bounds of one to the other."""
        read = [(place, self.readings[signed.index]) for place, signed in enumerate(run) if signed.index in self.readings]
        for independent in (False, True):
            moments = [[self.bounds[run[place].index].low[independent], self.bounds[run[place].index].high[independent]] for place, _ in read]
            linked = [(earlier, later[1] - one[1]) for earlier, ((_, one), (_, later)) in enumerate(zip(read, read[1:]))
                      if (one[0], one[2]) == (later[0], later[2]) and later[1] >= one[1]]
            for earlier, counted in linked:
                least, most = counted * 72 // 100, -(-counted * 138 // 100)
                moments[earlier + 1] = _tighter(moments[earlier + 1], moments[earlier], least, most)
            for earlier, counted in reversed(linked):
                least, most = counted * 72 // 100, -(-counted * 138 // 100)
                moments[earlier] = _tighter(moments[earlier], moments[earlier + 1], -most, -least)
            for (place, _), (low, high) in zip(read, moments):
                self.bounds[run[place].index].after(low, independent)
                if place:
                    self.bounds[run[place - 1].index].before(high, independent)

    def _segments(self):
        unbounded, operator, contradicted, count = [], [], [], 0
        for signed in self.entries:
            statement, body, bounds = signed.statement, signed.statement["body"], self.bounds[signed.index]
            if statement["type"] != "segment/v1" or statement["stream"].rsplit("/", 1)[0] != self.verdict.series:
                continue
            start, issued = milliseconds(body["start"]), milliseconds(statement["issued"])
            end = start + body["duration_ms"]
            if not self.verdict.overlaps(start, end):
                continue
            count += 1
            low, high = bounds.low[False], bounds.high[False]
            if low is None or high is None:
                unbounded.append(signed)
            elif bounds.low[True] is None or bounds.high[True] is None:
                operator.append(signed)
            if high is not None and max(start, issued) > high + CLAIM_MS or low is not None and min(issued, end) < low - CLAIM_MS:
                contradicted.append(signed)
        if unbounded:
            self._lacking("time", "time-unbounded", unbounded[0].stem, f"{len(unbounded)} segments are not bounded on both sides")
        elif operator:
            self._lacking("time", "time-operator", operator[0].stem, f"{len(operator)} segments are bounded on the operator's own word alone")
        elif count:
            self.verdict._find("time", "holds", GOOD, "", f"{count} segments are bounded on independent words")
        if contradicted:
            self.verdict._bad("time", "claim-contradicted", contradicted[0].stem, "the camera's clock can not have been right")

    # Expiries and revocations

    def _expiries(self):
        for signed in self.all:
            low = self.bounds[signed.index].low[EXTERNAL]
            if low is not None and any((certificate.last_second + 1) * 1000 <= low for certificate in signed.path):
                self.verdict._bad("signature", "certificate-expired", signed.stem, "sealed after a certificate on its path had expired")

    def _revocations(self):
        lists, since = self._lists(), {}
        for signed in self.entries:
            if signed.statement["type"] == "certificate-revocation/v1":
                body = signed.statement["body"]
                since.setdefault(body["fingerprint"], []).append(milliseconds(body["since"]))
        said, used, shown, unshown = bool(lists or since), {}, [], []
        for signed in self.all:
            for certificate, issuer in zip(signed.path, signed.path[1:]):
                used.setdefault(certificate.fingerprint, (certificate, issuer, []))[2].append(signed)
        for fingerprint, (certificate, issuer, statements) in used.items():
            moments = since.get(fingerprint, []) + [found.since_s[certificate.serial] * 1000 for found in lists
                                                    if found.speaks_of(issuer) and certificate.serial in found.since_s]
            if moments:
                self._revoked(certificate, statements, min(moments))
            else:
                (shown if self._shown(certificate, issuer, statements, lists) else unshown).append(certificate)
        if said and unshown:
            self._lacking("revocation", "revocation-unshown", "", f"not shown of {len(unshown)} certificates")
        elif shown:
            self.verdict._find("revocation", "holds", GOOD, "", "no certificate was revoked")

    def _lists(self):
        lists = []
        paths = [file["path"] for file in self.verdict.manifest["files"] if file["path"].startswith("crls/")]
        if len(paths) > LISTS_MAX:
            self._lacking("revocation", "revocation-list", "", f"{len(paths) - LISTS_MAX} lists were not looked at")
        for path in paths[:LISTS_MAX]:
            data = self.verdict.read(path, "revocation", LIST_LIMIT_BYTES)
            if data is None:
                continue
            try:
                found, refusal = RevocationList(data), "its authority is not here"
                for authority in [*self.verdict.authorities.others, *self.anchor.roots]:
                    if not found.is_of(authority):
                        continue
                    try:
                        found.judge(authority)
                        made_ms, roots = found.this_update_s * 1000, self.anchor.roots
                        is_root = any(authority.der == root.der for root in roots) and authority.valid_at(made_ms)
                        need(is_root or self.verdict.authorities.path(authority, made_ms), "leads to no root")
                        refusal = None
                        break
                    except Malformed as error:
                        refusal = error
                need(refusal is None, refusal)
                lists.append(found)
            except Malformed as error:
                self.verdict._bad("revocation", "revocation-list", path, error)
        return lists

    def _revoked(self, certificate, statements, since):
        kinds = set()
        for signed in statements:
            bounds = self.bounds[signed.index]
            if bounds.high[EXTERNAL] is not None and bounds.high[EXTERNAL] < since:
                kinds.add(("revoked-later", NOT_DEMANDED))
            elif bounds.low[EXTERNAL] is not None and bounds.low[EXTERNAL] >= since:
                kinds.add(("revoked", BAD))
            else:
                kinds.add(("revocation-undecided", UNDECIDED))
        for kind, grade in kinds:
            self.verdict._find("revocation", kind, grade, certificate.fingerprint, f"revoked since {since} ms")

    def _shown(self, certificate, issuer, statements, lists):
        sealed = [self.bounds[signed.index].high[EXTERNAL] for signed in statements]
        last = None if None in sealed else max(sealed)
        return last is not None and any(found.speaks_of(issuer) and certificate.valid_at(found.this_update_s * 1000) and found.this_update_s * 1000 >= last
                   for found in lists)


def _tighter(own, other, low_shift, high_shift):
    """Own bounds, tightened by another moment's, which are shifted."""
    low = None if other[0] is None else other[0] + low_shift
    high = None if other[1] is None else other[1] + high_shift
    return [max((bound for bound in (own[0], low) if bound is not None), default=None),
            min((bound for bound in (own[1], high) if bound is not None), default=None)]
