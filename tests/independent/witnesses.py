"""Witnesses' cosignatures and policies, and proofs of consistency, by docs/formats/witness.md, log.md and bundle.md."""

import re

from log import COSIGNER, ECDSA, ED25519, ML_DSA_44, VerifierKey, checkpoint_text, decimal, hash_line, judge_line, node_hash, split_note
from statements import EMPTY_ROOT, Malformed, need

POLICY_LIMIT_BYTES = 512 * 1024
PROOF_LIMIT_BYTES = 4 * 1024
REQUEST_LIMIT_BYTES = 118_784


def consistency_holds(old_size, old_root, new_size, new_root, path):
    """RFC 9162 2.1.4.2, with exactly as many hashes as the sizes call for."""
    if old_size > new_size or len(path) > 63:
        return False
    if old_size == 0 and (old_root.hex() != EMPTY_ROOT or new_size == 0 and new_root != old_root):
        return False
    if old_size == 0 or old_size == new_size:
        return not path and old_root == (old_root if old_size == 0 else new_root)
    first, last, path = old_size - 1, new_size - 1, list(path)
    while first & 1:
        first, last = first >> 1, last >> 1
    # The old tree is whole, and its root is not told again.
    if old_size & (old_size - 1):
        if not path:
            return False
        old = new = path.pop(0)
    else:
        old = new = old_root
    for sibling in path:
        if last == 0:
            return False
        if first & 1 or first == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def consistency_proof(data):
    """The hashes of a file that ends in .observed or .consistency."""
    need(len(data) <= PROOF_LIMIT_BYTES, "the proof is too long")
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeError as error:
        raise Malformed("the proof is not text") from error
    need(lines.pop() == "" and lines and lines.pop(0) == "exhibit-consistency/v1", "not a proof of consistency")
    return [hash_line(line) for line in lines]


class Request:
    """What a log asks of a witness, add-checkpoint, in its form."""

    def __init__(self, data):
        need(len(data) <= REQUEST_LIMIT_BYTES, "the request is too long")
        head, separator, self.note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeError as error:
            raise Malformed("the request is not text") from error
        need(separator and lines[0].startswith("old ") and len(lines) <= 64, "not a request")
        self.old, self.path = decimal(lines[0][4:]), [hash_line(line) for line in lines[1:]]
        text, _ = split_note(self.note)
        checkpoint_text(text, of_any_log=True)


class Policy:
    """A tlog-policy, as far as it says who witnesses."""

    def __init__(self, text, log_keys):
        need(len(text.encode()) <= POLICY_LIMIT_BYTES, "the policy is too long")
        need(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), "a control character in the policy")
        need(not text or text.endswith("\n"), "the policy's last line has no end")
        self.logs, self.witnesses, self.groups, self.quorum, taken = [], {}, {}, None, set()
        for line in text.split("\n")[:-1]:
            words = [word for word in re.split("[ \t]+", line) if word]
            if words and not words[0].startswith("#"):
                self._line(words, taken)
        need(self.quorum is not None, "no quorum")
        need(max(len(self.logs), len(self.witnesses), len(self.groups)) <= 64, "too many lines of a kind")
        publics = [key.public for key in self.witnesses.values()]
        need(not any(key.public in publics for key in log_keys), "a log is its own witness")

    def _line(self, words, taken):
        kind, *words = words
        if kind == "log":
            need(1 <= len(words) <= 2, "a log line of another form")
            key = VerifierKey(words[0])
            need(key.kind in (ED25519, ECDSA, ML_DSA_44) and key.public not in [other.public for other in self.logs], "not a log's key, or twice")
            self.logs.append(key)
        elif kind == "witness":
            need(2 <= len(words) <= 3, "a witness line of another form")
            self._name(words[0])
            key = VerifierKey(words[1])
            need(key.kind in (COSIGNER, ML_DSA_44), "not a witness's key")
            need(key.public not in [other.public for other in self.witnesses.values()], "a witness's key twice")
            self.witnesses[words[0]] = key
        elif kind == "group":
            need(len(words) >= 3, "a group without members")
            self._name(words[0])
            members = words[2:]
            need(all(member in self.witnesses or member in self.groups for member in members), "a member that is not defined")
            need(len(set(members)) == len(members) and not taken & set(members), "a member twice")
            taken.update(members)
            threshold = {"any": 1, "all": len(members)}.get(words[1])
            if threshold is None:
                need(re.fullmatch("[1-9][0-9]{0,18}", words[1]), "not a threshold")
                threshold = int(words[1])
            need(threshold <= len(members), "a threshold above the members")
            self.groups[words[0]] = (threshold, members)
        else:
            need(kind == "quorum" and len(words) == 1 and self.quorum is None, "a line of another form")
            need(words[0] == "none" or words[0] in self.witnesses or words[0] in self.groups, "a quorum that is not defined")
            self.quorum = words[0]

    def _name(self, name):
        need(name != "none" and name not in self.witnesses and name not in self.groups, "a name that is taken")

    def cosigned(self, checkpoint):
        """The witnesses that have cosigned a checkpoint, each with the time in its line in seconds or None. A bad line is refused."""
        found = {}
        for name, key in self.witnesses.items():
            lines = [rest for of, key_id, rest in checkpoint.signatures if (of, key_id) == (key.name, key.key_id)]
            need(len(lines) <= 1, "two lines of one witness")
            if lines:
                found[name] = judge_line(key, lines[0], checkpoint.text)
        return found

    def is_met(self, cosigned, name=None):
        """Whether the quorum has witnessed."""
        name = self.quorum if name is None else name
        if name == "none" or name in cosigned:
            return True
        threshold, members = self.groups.get(name, (1, ()))
        return sum(self.is_met(cosigned, member) for member in members) >= threshold
