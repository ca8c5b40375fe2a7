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

import mldsa
from signed import CURVES, Key, is_ecdsa
from statements import EMPTY_ROOT, Malformed, need

NOTE_LIMIT_BYTES = 114_688
RECEIPT_LIMIT_BYTES = 131_072
ED25519, ECDSA, COSIGNER, ML_DSA_44 = 1, 2, 4, 6
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


def is_point(encoded):
    """Whether this is the one encoding of a point of the Ed25519 curve, of no small order."""
    y, odd = int.from_bytes(encoded, "little") & (2**255 - 1), encoded[31] >> 7
    square = (y * y - 1) * pow(D25519 * y * y + 1, -1, P25519) % P25519
    root = pow(square, (P25519 + 3) // 8, P25519)
    found = root * root % P25519 in (square, P25519 - square)
    return y < P25519 and not small_order(encoded) and found and not (square == 0 and odd)


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
        need(self.kind == ML_DSA_44 or is_point(self.public), "a key of small order, or no point")


def signature_lines(text):
    """Signature lines as (name, key id, rest)."""
    lines = text.split("\n")
    need(lines.pop() == "" and 1 <= len(lines) <= 64, "not 1 to 64 signature lines")
    signatures = []
    for line in lines:
        parts = line.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014" and parts[1] and not re.search(r"[+\s]", parts[1]), "not a signature line")
        signature = base64_bytes(parts[2])
        need(len(signature) >= 5, "a signature line without a signature")
        signatures.append((parts[1], signature[:4], signature[4:]))
    return signatures


def plain_text(data):
    """UTF-8 without control characters but the newline."""
    need(len(data) <= NOTE_LIMIT_BYTES, "the note is too long")
    try:
        text = data.decode("utf-8")
    except UnicodeError as error:
        raise Malformed("the note is not UTF-8") from error
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", text), "a control character in the note")
    return text


def split_note(data):
    """The text of a signed note and its signature lines."""
    note = plain_text(data)
    at = note.rfind("\n\n")
    need(at >= 0, "no signatures in the note")
    return note[:at + 1], signature_lines(note[at + 2:])


def checkpoint_text(text, of_any_log=False):
    """Origin, size and root of a checkpoint. One of our logs has three lines; another's may have extension lines, none of them empty."""
    lines = text.split("\n")
    need(len(lines) >= 4 and not lines[-1] and all(lines[:-1]), "a checkpoint has three lines, and none that is empty")
    need(of_any_log or len(lines) == 4, "a checkpoint of ours has no extension lines")
    origin = lines[0]
    need(1 <= len(origin.encode()) <= 255 and not re.search(r"[\x00-\x1f\x7f-\x9f]", origin), "not an origin")
    size, root = decimal(lines[1]), hash_line(lines[2])
    need(size or root.hex() == EMPTY_ROOT, "the root of an empty tree is another")
    return origin, size, root


def cosigned_message(name, time, origin, start, end, root):
    """What an ML-DSA-44 key signs of a checkpoint, or of another subtree."""
    name, origin = name.encode(), origin.encode()
    need(len(origin) <= 255 and time < 2**63, "a name or a time that no message has")
    return (b"subtree/v1\n\0" + bytes([len(name)]) + name + time.to_bytes(8, "big") + bytes([len(origin)]) + origin
            + start.to_bytes(8, "big") + end.to_bytes(8, "big") + root)


def judge_ed25519(public, signature, message):
    """Strictly: no points of small order."""
    need(len(signature) == 64 and not small_order(signature[:32]), "an Ed25519 signature of another form")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Malformed("the Ed25519 signature does not verify") from error


def judge_line(key, line, text):
    """Refuses what is not the key's signature of a note's text. Gives the time of a cosignature in seconds, None where it says none."""
    if key.kind == ED25519:
        judge_ed25519(key.public, line, text.encode())
        return None
    if key.kind == ECDSA:
        need(is_ecdsa(key.curve, key.public[len(CURVES[key.curve][0]):], hashes.SHA256(), line, text.encode()),
             "the ECDSA signature does not verify")
        return None
    need(len(line) > 8, "a cosignature that is cut short")
    time, (origin, size, root) = int.from_bytes(line[:8], "big"), checkpoint_text(text, of_any_log=True)
    need(time < 2**63, "a time beyond all times")
    if key.kind == COSIGNER:
        judge_ed25519(key.public, line[8:], f"cosignature/v1\ntime {time}\n{text}".encode())
    else:
        message = cosigned_message(key.name, time, origin, 0, size, root)
        need(mldsa.verifies(key.public, message, line[8:]), "the ML-DSA-44 signature does not verify")
    return time or None


def judge_note(text, signatures, keys):
    """Refuses a note that one of the keys has not signed, rightly and once."""
    need(keys, "no keys are required")
    for key in keys:
        own = [rest for name, key_id, rest in signatures if (name, key_id) == (key.name, key.key_id)]
        need(len(own) == 1, "not exactly one line of each key")
        judge_line(key, own[0], text)


class Checkpoint:
    """A checkpoint that every required key has signed."""

    def __init__(self, data, origin, keys):
        self.text, self.signatures = split_note(data)
        found, self.size, self.root = checkpoint_text(self.text)
        need(found == origin, "a checkpoint of another log")
        judge_note(self.text, self.signatures, keys)


def parse_receipt(data):
    """Index, path and checkpoint of a receipt."""
    need(len(data) <= RECEIPT_LIMIT_BYTES, "the receipt is too long")
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeError as error:
        raise Malformed("the receipt is not text") from error
    need(separator and lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a receipt")
    if lines and lines[0].startswith("extra "):
        need(base64_bytes(lines.pop(0)[6:]), "an empty extra line")
    need(lines and lines[0].startswith("index ") and len(lines) <= 64, "a receipt without an index")
    return decimal(lines[0][6:]), [hash_line(line) for line in lines[1:]], note


def judge_receipt(data, leaf, checkpoint_bytes, checkpoint):
    """Verifies a receipt under a checkpoint that was judged, and gives the index that it names."""
    index, path, note = parse_receipt(data)
    need(note == checkpoint_bytes, "the receipt stands under another checkpoint")
    need(path_leads(leaf, index, checkpoint.size, path, checkpoint.root), "the path does not lead to the checkpoint's root")
    return index


def is_subtree(start, end):
    """Whether a range of leaves is a subtree."""
    return start < end and start % (1 << (end - start - 1).bit_length()) == 0


def subtree_leads(start, end, root, size, whole, path):
    """Whether a subtree is proven to be part of a tree."""
    if not is_subtree(start, end) or end > size:
        return False
    first, last, edge = start, end - 1, size - 1
    if last == edge:
        while first != last:
            first, last, edge = first >> 1, last >> 1, edge >> 1
    else:
        while first != last and last & 1:
            first, last, edge = first >> 1, last >> 1, edge >> 1
    path = list(path)
    if first == last:
        own = tree = root
    elif path:
        own = tree = path.pop(0)
    else:
        return False
    for sibling in path:
        if edge == 0:
            return False
        if last & 1 or last == edge:
            tree = node_hash(sibling, tree)
            if first < last:
                own = node_hash(sibling, own)
            while not last & 1:
                first, last, edge = first >> 1, last >> 1, edge >> 1
        else:
            tree = node_hash(tree, sibling)
        first, last, edge = first >> 1, last >> 1, edge >> 1
    return edge == 0 and own == root and tree == whole
