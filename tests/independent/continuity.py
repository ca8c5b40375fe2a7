"""Continuity, by docs/formats/bundle.md, steps 5 and 6: chains, epochs, holes and contradictions."""

import hashlib

from signed import SignedStatement
from statements import TYPES, Malformed, milliseconds, need

GOOD, NOT_DEMANDED, UNDECIDED, BAD = range(4)
SLACK_MS = 1_000
KIND_OF_GAP = {"mode": "not-recorded", "evicted-offline": "lost"}


class Continuity:
    """Judges the chains of a `Verdict` whose entries were judged."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.chains = {}
        everything = [*verdict.held, *([verdict.export] if verdict.export and verdict.export.leaf not in verdict.by_leaf else [])]
        for signed in sorted(everything, key=lambda signed: (signed.statement["stream"], signed.statement["seq"], signed.index)):
            self.chains.setdefault(signed.statement["stream"], []).append(signed)
        for chain in self.chains.values():
            self._order(chain)
        self.chains = {stream: chain for stream, chain in self.chains.items() if stream.rsplit("/", 1)[0] == verdict.series}
        for chain in self.chains.values():
            for one, other in zip(chain, chain[1:]):
                if one.statement["seq"] and other.statement["seq"] > one.statement["seq"] + 1:
                    self._find("chain-hole", BAD, other.stem, f"statements from {one.statement['seq'] + 1} on are missing")
            self._epoch(chain)
        self._holes()
        for signed in verdict.held:
            if signed.statement["type"] == "contradiction/v1":
                self._contradiction(signed, signed.statement["body"])
            if signed.statement["type"] not in TYPES:
                self._find("not-judged", NOT_DEMANDED, signed.stem, f"{signed.statement['type']} is not known")

    def _find(self, kind, grade, place, sentence):
        self.verdict._find("continuity", kind, grade, place, sentence)

    def _order(self, chain):
        for one, other in zip(chain, chain[1:]):
            before, after = one.statement, other.statement
            if after["log"] == before["log"] and after["observed"]["size"] < before["observed"]["size"]:
                self._find("observed", BAD, other.stem, "its observed head falls")
            # Newest first, behind this one.
            ages = {log: age for age, log in enumerate(self.verdict.ends_before, 1)}
            if ages.get(after["log"], 0) > ages.get(before["log"], 0):
                self._find("observed", BAD, other.stem, "it goes back to a log before")
            if after["seq"] == before["seq"]:
                self._find("chain-broken", BAD, other.stem, "two entries claim this place in a chain")
            elif after["seq"] == before["seq"] + 1 and after["prev"] != one.leaf:
                self._find("chain-broken", BAD, other.stem, "prev is not the leaf hash of the one before")
            elif before["type"] == "close/v1":
                self._find("chain-broken", BAD, other.stem, "it follows what closed its chain")

    def _epoch(self, chain):
        first, body = chain[0], chain[0].statement["body"]
        if first.statement["type"] != "epoch/v1":
            self._find("chain-hole", BAD, first.stem, "the statement that begins this epoch is not here")
            return
        reason, previous = body["continues"]["reason"], body["continues"]["previous"]
        if reason == "device-replaced":
            self._find("device-replaced", NOT_DEMANDED, first.stem, "another device from here on")
        before = self.chains.get(previous["stream"]) if previous else None
        if before is None:
            return
        if before[-1].statement["seq"] < previous["seq"]:
            kind, grade = ("not-yet-received", UNDECIDED) if reason == "backlog" else ("chain-hole", BAD)
            self._find(kind, grade, before[-1].stem, "ends before what the next epoch continues")
            return
        named = self.verdict.signed.get((previous["stream"], previous["seq"]))
        if named is not None and named.leaf != previous["leaf"]:
            self._find("chain-broken", BAD, first.stem, "what it continues is not what is here")

    # Holes

    def _bodies(self, kind):
        return [(signed.statement, signed.statement["body"]) for chain in self.chains.values() for signed in chain
                if signed.statement["type"] == kind]

    def _holes(self):
        spans = sorted((milliseconds(body["start"]), milliseconds(body["start"]) + body["duration_ms"])
                       for _, body in self._bodies("segment/v1"))
        at, end = self.verdict.start, self.verdict.end
        if end <= at + SLACK_MS and not any(self.verdict.overlaps(*span) for span in spans):
            self._find("uncovered", UNDECIDED, self.verdict.series, "nothing was recorded in an interval that is too short for a reason")
        for low, high in [span for span in spans if span[0] < end] + [(end, end)]:
            if low > at + SLACK_MS:
                kind, grade, why = self._why(at, low)
                self._find(kind, grade, f"{self.verdict.series} from {at} to {low} ms", why)
            at = max(at, high)

    def _why(self, low, high):
        """Of a time without segments: what a statement says."""
        gaps = [(milliseconds(body["to"]), -milliseconds(body["from"]), body["cause"]) for _, body in self._bodies("gap/v1")
                if milliseconds(body["from"]) <= low + SLACK_MS]
        furthest = max(gaps, key=lambda gap: gap[:2], default=(0, 0, None))
        if gaps and furthest[0] + SLACK_MS >= high:
            return KIND_OF_GAP.get(furthest[2], "gap"), NOT_DEMANDED, f"the camera says why: {furthest[2]}"
        lost = False
        for chain in self.chains.values():
            first = chain[0].statement
            if first["type"] != "epoch/v1" or chain[1:] and chain[1].statement["seq"] != 1:
                continue
            if not low - SLACK_MS <= milliseconds(first["body"]["started"]) <= high + SLACK_MS:
                continue
            continues = first["body"]["continues"]
            if continues["reason"] == "state-lost":
                lost = True
            elif self._ends_before(continues["previous"], low) if continues["previous"] else continues["reason"] == "start":
                return "gap", NOT_DEMANDED, f"the camera began an epoch then: {continues['reason']}"
        if lost:
            return "state-lost", UNDECIDED, "the camera lost its state"
        if any(body["unsent"] and milliseconds(statement["issued"]) >= low for statement, body in self._bodies("heartbeat/v1")):
            return "not-yet-received", UNDECIDED, "the camera had more than was received"
        return "uncovered", UNDECIDED, "is not covered, and no statement says why"

    def _ends_before(self, previous, low):
        """From the statement that an epoch continues back to the last segment before it all is here, and that segment ends before `low`."""
        stream, seq, leaf = previous["stream"], previous["seq"], previous["leaf"]
        chain = {signed.leaf: signed.statement for signed in self.chains.get(stream, ()) }
        while leaf in chain and chain[leaf]["seq"] == seq:
            statement = chain[leaf]
            if statement["type"] == "segment/v1":
                return milliseconds(statement["body"]["start"]) + statement["body"]["duration_ms"] <= low + SLACK_MS
            if statement["type"] == "epoch/v1":
                return milliseconds(statement["body"]["started"]) <= low + SLACK_MS
            seq, leaf = seq - 1, statement["prev"]
        return False

    # Contradictions

    def _contradiction(self, signed, body):
        parts = [self.verdict.content(signed, name, "continuity") for name in ("first", "second")]
        if None in parts:
            return
        try:
            stands = {self._stands(part, body) for part in parts}
            need(len({log for log, _ in stands}) == 1, "they are of two logs")
            need(len(stands) == 2, "both are the same statement")
        except Malformed as error:
            self.verdict._bad("signature", "contradiction-false", signed.stem, error)
            return
        of_series = body["stream"].rsplit("/", 1)[0] == self.verdict.series
        self._find("contradiction", BAD if of_series else NOT_DEMANDED, signed.stem, "two statements for one place")

    def _stands(self, data, body):
        """The hash of one of two statements that are said to claim one place."""
        signed = SignedStatement(data)
        need((signed.statement["stream"], signed.statement["seq"]) == (body["stream"], body["seq"]), "one is of another place")
        need(signed.statement["log"] in (self.verdict.anchor.log, *self.verdict.ends_before), "one is of another log")
        _, certificate = self.verdict.certificates.get(signed.fingerprint, (0, None))
        need(certificate is not None, "the certificate of one is not here")
        need(self.verdict.authorities.path(certificate, signed.issued_ms), "the certificate of one leads to no root")
        signed.judge(certificate)
        return signed.statement["log"], hashlib.sha256(signed.statement_bytes).digest()
