"""The log: tree hashes, receipts, signed notes, checkpoints, by docs/formats/log.md.

Entries are opaque bytes here.
"""

import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from signed import CURVES, Key, is_ecdsa
from statements import EMPTY_ROOT, Malformed, need

NOTE_LIMIT_BYTES = 114_688
RECEIPT_LIMIT_BYTES = 131_072
ED25519, ECDSA, COSIGNER, ML_DSA_44 = 1, 2, 4, 6
ML_DSA_44_LINE_BYTES = 8 + 2_420
P25519 = 2**255 - 19
D25519 = -121665 * pow(121666, P25519 - 2, P25519) % P25519


def sha256(data):
    """SHA-256."""
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    """The hash of a leaf."""
    return sha256(b"\0" + entry)


def node_hash(left, right):
    """The hash of a node."""
    return sha256(b"\1" + left + right)


def root_of(hashes):
    """The root over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"")
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def path_leads(leaf, index, size, path, root):
    """Whether an inclusion path leads to the root, with exactly as many hashes as index and size call for (RFC 9162 2.1.3.2)."""
    if index >= size:
        return False
    first, last, at = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if first & 1 or first == last:
            at = node_hash(sibling, at)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            at = node_hash(at, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and at == root


def base64_bytes(text):
    """Base64 in its one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("not base64") from error
    need(base64.b64encode(data).decode() == text, "base64 in another spelling")
    return data


def hash_line(text):
    """A hash as 44 characters of base64."""
    data = base64_bytes(text)
    need(len(data) == 32, "not a hash")
    return data


def decimal(text):
    """A decimal number below 2^64."""
    need(re.fullmatch(r"0|[1-9][0-9]{0,19}", text) and int(text) < 2**64, "not a decimal number")
    return int(text)


def small_order(point):
    """Whether the y coordinate of an encoded Ed25519 point is one of those whose points have small order."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    return y % P25519 in (0, 1, P25519 - 1) or (D25519 * pow(y, 4, P25519) + 2 * y * y - 1) % P25519 == 0


class VerifierKey:
    """A note's verifier key."""

    def __init__(self, text):
        need(text.count("+") >= 2, "not a verifier key")
        self.text = text
        self.name, key_id, data = text.split("+", 2)
        typed = base64_bytes(data)
        need(1 <= len(self.name.encode()) <= 255 and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", self.name), "not a key's name")
        self.kind, self.public = typed[:1], typed[1:]
        need(self.kind, "a key without a type")
        self.kind = self.kind[0]
        self.key_id = sha256(self.public if self.kind == ECDSA else self.name.encode() + b"\n" + typed)[:4]
        need(self.key_id.hex() == key_id, "the key id is another key's")
        if self.kind == ECDSA:
            self.curve = next((name for name, (prefix, length, *_) in CURVES.items()
                               if self.public.startswith(prefix) and len(self.public) == len(prefix) + length), None)
            need(self.curve and Key(self.public).suite == self.curve, "not a key on one of our curves")
            return
        need((self.kind, len(self.public)) in ((ED25519, 32), (COSIGNER, 32), (ML_DSA_44, 1312)), "not a kind of key that we know")
        need(self.kind == ML_DSA_44 or not small_order(self.public), "a key of small order")


def split_note(data):
    """The text of a signed note and its signature lines as (name, key id, rest)."""
    need(len(data) <= NOTE_LIMIT_BYTES, "the note is too long")
    try:
        note = data.decode("utf-8")
    except UnicodeError as error:
        raise Malformed("the note is not UTF-8") from error
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "a control character in the note")
    at = note.rfind("\n\n")
    need(at >= 0 and note.endswith("\n"), "no signatures in the note")
    lines = note[at + 2:].split("\n")[:-1]
    need(1 <= len(lines) <= 64, "not 1 to 64 signature lines")
    signatures = []
    for line in lines:
        parts = line.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014" and parts[1] and "+" not in parts[1], "not a signature line")
        signature = base64_bytes(parts[2])
        need(len(signature) >= 5, "a signature line without a signature")
        signatures.append((parts[1], signature[:4], signature[4:]))
    return note[:at + 1], signatures


class Checkpoint:
    """A checkpoint that every required key has signed. `unchecked` names the lines that could not be judged for want of a library."""

    def __init__(self, data, origin, keys):
        self.text, self.signatures = split_note(data)
        lines = self.text.split("\n")
        need(len(lines) == 4, "a checkpoint has three lines")
        need(lines[0] == origin, "a checkpoint of another log")
        self.size, self.root = decimal(lines[1]), hash_line(lines[2])
        need(self.size or self.root.hex() == EMPTY_ROOT, "the root of an empty tree is another")
        self.checked, self.unchecked = [], []
        need(keys, "no keys are required")
        for key in keys:
            own = [rest for name, key_id, rest in self.signatures if (name, key_id) == (key.name, key.key_id)]
            need(len(own) == 1, "not exactly one line of each key")
            self._judge(key, own[0])
        need(self.checked, "no line of the checkpoint could be checked with the libraries at hand")

    def _judge(self, key, line):
        if key.kind == ML_DSA_44:
            need(len(line) == ML_DSA_44_LINE_BYTES and line[0] < 0x80, "an ML-DSA-44 line of another form")
            self.unchecked.append(f"ML-DSA-44 {key.key_id.hex()}")
        elif key.kind == ECDSA:
            need(is_ecdsa(key.curve, key.public[len(CURVES[key.curve][0]):], hashes.SHA256(), line, self.text.encode()),
                 "the ECDSA signature does not verify")
            self.checked.append(f"ECDSA {key.key_id.hex()}")
        else:
            need(key.kind == ED25519, "a witness's key is no log's")
            need(len(line) == 64 and not small_order(line[:32]), "an Ed25519 line of another form")
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(line, self.text.encode())
            except InvalidSignature as error:
                raise Malformed("the Ed25519 signature does not verify") from error
            self.checked.append(f"Ed25519 {key.key_id.hex()}")


def judge_receipt(data, entry, checkpoint_bytes, checkpoint):
    """Verifies a receipt under the bundle's checkpoint, and gives the index that it names."""
    need(len(data) <= RECEIPT_LIMIT_BYTES, "the receipt is too long")
    head, separator, note = data.partition(b"\n\n")
    need(separator and note == checkpoint_bytes, "the receipt stands under another checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeError as error:
        raise Malformed("the receipt is not text") from error
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a receipt")
    if lines and lines[0].startswith("extra "):
        need(base64_bytes(lines.pop(0)[6:]), "an empty extra line")
    need(lines and lines[0].startswith("index ") and len(lines) <= 64, "a receipt without an index")
    index = decimal(lines[0][6:])
    path = [hash_line(line) for line in lines[1:]]
    need(path_leads(leaf_hash(entry), index, checkpoint.size, path, checkpoint.root), "the path does not lead to the checkpoint's root")
    return index
