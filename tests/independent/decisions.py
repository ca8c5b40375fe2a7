"""Who decided, by docs/formats/bundle.md: recipients by the thresholds of custodians, and second certificates."""

import hashlib

from statements import milliseconds

GOOD, NOT_DEMANDED, UNDECIDED, BAD = range(4)
LIVE_MAX = 16


class Decisions:
    """Judges the recipients that cameras obeyed and the certificates that came second, over a `Verdict` whose entries were judged."""

    def __init__(self, verdict):
        self.verdict, self.pinned = verdict, verdict.anchor.custodians
        self.approvals = {}
        for signed in verdict.held:
            body = signed.statement["body"]
            approved = verdict.by_leaf.get(body["entry"]) if signed.statement["type"] == "approve/v1" else None
            if approved and approved.index < signed.index \
                    and body["statement"] == hashlib.sha256(approved.statement_bytes).hexdigest() \
                    and "custodian" in signed.certificate.roles:
                self.approvals.setdefault(approved.leaf, []).append(signed)
        # From which entry on who is custodian.
        self.custodians = [(0, {certificate.fingerprint for certificate in self.pinned})]
        self.states = self._follow() if self.pinned else None
        for signed in verdict.held:
            if signed.statement["type"] == "epoch/v1" and signed.statement["stream"].rsplit("/", 1)[0] == verdict.series:
                self._epoch(signed, signed.statement["body"])

    def _reached(self, signed, custodians, threshold):
        """The entry by which so many custodians stood behind another, or None."""
        people = set()
        for behind in [signed, *self.approvals.get(signed.leaf, [])]:
            if behind.certificate.fingerprint in custodians:
                people.add(behind.certificate.identity)
            if len(people) >= threshold:
                return behind.index
        return None

    def _follow(self):
        """Each set of the camera as (state, from which entry on)."""
        states, replacing = {}, {}
        for signed in self.verdict.held:
            body = signed.statement["body"]
            if signed.statement["type"] != "recipients/v1" or body["scope"] != "/".join(self.verdict.series.split("/")[:2]):
                continue
            if signed.leaf in states:
                continue
            if body["replaces"] is not None and states.get(body["replaces"], ("unknown",))[0] == "unknown":
                states[signed.leaf] = ("unknown", None)
                continue
            states[signed.leaf] = ("refused", None)
            replacing.setdefault(body["replaces"], []).append(signed)
        leaf, number, since, custodians, threshold = None, 0, 0, self.custodians[0][1], self.verdict.anchor.threshold
        while True:
            # The first that was decided, not the first that was stated.
            ways = [(self._reached(signed, custodians, threshold), signed) for signed in replacing.get(leaf, [])
                    if signed.statement["body"]["number"] > number and signed.certificate.fingerprint in custodians]
            ways = [(max(reached, since), signed) for reached, signed in ways if reached is not None]
            if not ways:
                return states
            since, signed = min(ways, key=lambda way: way[0])
            states[signed.leaf] = ("decided", since)
            body = signed.statement["body"]
            leaf, number, custodians, threshold = signed.leaf, body["number"], set(body["custodians"]), body["threshold"]
            self.custodians.append((since, custodians))

    def _in_force(self, index):
        """The custodians where an entry stands."""
        return [custodians for since, custodians in self.custodians if since <= index][-1]

    def _obeyed(self, signed):
        """The set that an epoch obeyed, or None."""
        obeyed = self.verdict.by_leaf.get(signed.statement["body"]["recipients"])
        return obeyed if obeyed is not None and obeyed.statement["type"] == "recipients/v1" else None

    def _epoch(self, signed, body):
        verdict, obeyed = self.verdict, self._obeyed(signed)
        camera = "/".join(signed.statement["stream"].split("/")[:2])
        if obeyed is None or obeyed.statement["body"]["scope"] != camera or obeyed.index >= signed.index:
            verdict._bad("signature", "recipients", signed.stem, "the recipients that the camera obeyed are not here, or not this camera's")
            return
        chosen = obeyed.statement["body"]
        if milliseconds(body["started"]) > milliseconds(chosen["expires"]):
            verdict._find("signature", "recipients-stale", NOT_DEMANDED, signed.stem, "recipients past their time")
        previous = body["continues"]["previous"]
        before = verdict.signed.get((previous["stream"], 0)) if previous else None
        before = self._obeyed(before) if before is not None and before.statement["type"] == "epoch/v1" else None
        if before is not None and chosen["number"] < before.statement["body"]["number"]:
            verdict._bad("signature", "recipients-rollback", signed.stem, "older recipients than before")
        if self.states is None:
            return
        state, since = self.states[obeyed.leaf]
        if state == "unknown":
            verdict._find("signature", "recipients-unknown", UNDECIDED, signed.stem, "who decided is not here")
        elif state == "refused" or since >= signed.index:
            verdict._bad("signature", "recipients-threshold", signed.stem, f"{state} from {since}")

    def second_certificates(self, not_after):
        """Judges those whose key is another than before; `not_after` gives when an entry was sealed at the latest, as others say (ms or None)."""
        first_use, last_use, before, since = {}, {}, {}, {}
        for signed in [*self.verdict.held, *([self.verdict.export] if self.verdict.export else [])]:
            fingerprint = signed.certificate.fingerprint
            first_use[fingerprint] = min(signed.index, first_use.get(fingerprint, signed.index))
            last_use[fingerprint] = max(signed.index, last_use.get(fingerprint, signed.index))
        for signed in self.verdict.held:
            statement, own = signed.statement, signed.introduces
            if statement["type"] == "certificate-revocation/v1":
                revoked, moment = statement["body"]["fingerprint"], milliseconds(statement["body"]["since"])
                since[revoked] = min(moment, since.get(revoked, moment))
            if own is None or own.owner is None:
                continue
            known = before.setdefault((own.identity, own.for_signing, own.service), Known(own))
            if own.fingerprint in known.all:
                continue
            known.reach(signed.index)
            if own.spki not in known.keys:
                said = not_after(signed.index)
                at = signed.issued_ms if said is None else min(said, signed.issued_ms)
                live = [other.fingerprint for other in known.compared if other.spki != own.spki
                        and (since.get(other.fingerprint, at + 1) > at and at // 1000 <= other.last_second
                             or last_use.get(other.fingerprint, 0) > signed.index)]
                self._another_key(signed, own, known, live, first_use.get(own.fingerprint))
            known.add(own)

    def _another_key(self, signed, own, known, live, used):
        replaced = signed.statement["body"].get("replaces")
        replaces = replaced in (live or known.all)
        kind, grade = "key-replaced", NOT_DEMANDED
        approved = self._approved(signed, own, used) if replaces else None
        if approved is not None:
            known.approved.append((approved, own.spki, known.all[replaced].spki))
        elif live:
            kind, grade = "second-certificate", NOT_DEMANDED if used is None else BAD
        elif used is not None and self.pinned:
            grade = UNDECIDED
        self.verdict._find("signature", kind, grade, signed.stem, f"another key of {own.identity}")

    def _approved(self, signed, own, used):
        """The entry by which a custodian approved, or None."""
        return next((approval.index for approval in self.approvals.get(signed.leaf, [])
                     if (not self.pinned or approval.certificate.fingerprint in self._in_force(approval.index))
                     and approval.certificate.fingerprint != own.fingerprint and (used is None or approval.index < used)), None)


class Known:
    """The certificates of an identity for one purpose so far, and which of their keys count."""

    def __init__(self, first):
        self.all, self.keys, self.compared, self.approved = {}, {first.spki}, [], []

    def reach(self, index):
        """What was approved below an entry counts there."""
        for _, key, replaced in sorted(change for change in self.approved if change[0] < index):
            self.keys.discard(replaced)
            self.keys.add(key)
        self.approved = [change for change in self.approved if change[0] > index]

    def add(self, certificate):
        """One more."""
        if len(self.compared) < LIVE_MAX:
            self.compared.append(certificate)
        self.all[certificate.fingerprint] = certificate
