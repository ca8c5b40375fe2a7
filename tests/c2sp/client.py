"""A client of tiled transparency logs, written from the C2SP pages alone: signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles.

It uses nothing of this project and knows nothing of it. It audits a log over HTTP from its first entry to its last:

    client.py --vkey KEY [--vkey KEY …] [--ca ROOT.pem] [--cert CHAIN.pem --key KEY.pem] [--hashes-only] [--all-widths] PREFIX

It prints a line of JSON: origin, size, root, how many entries, tiles and partial tiles it has judged, which kinds of signatures it verified.
Exit code 1 says what is wrong with the log.
"""

import argparse
import base64
import gzip
import hashlib
import json
import ssl
import struct
import sys
import unicodedata
import urllib.error
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:  # cryptography 46 and later, with a library that has it
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:
    MLDSA44PublicKey = None

WIDTH = 256
TIMEOUT_S = 30
ANSWER_BYTES_MAX = 32 << 20


class Bad(Exception):
    """What is wrong with the log."""


def need(holds, what):
    """Refuses."""
    if not holds:
        raise Bad(what)


# RFC 6962, section 2.1


def leaf_hash(entry):
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def tree_hash(leaves):
    """MTH over leaf hashes, by its definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


# signed-note and tlog-cosignature


class Key:
    """A verifier key."""

    def __init__(self, vkey):
        name, key_id, material = vkey.split("+", 2)
        material = base64.b64decode(material, validate=True)
        self.name, self.id, self.type, self.public = name, bytes.fromhex(key_id), material[0], material[1:]
        need(hashlib.sha256(name.encode() + b"\n" + material).digest()[:4] == self.id, f"the key ID of {name} is not that of its key")
        need(self.type in (1, 6), f"{name} is a key of type {self.type}")

    def verify(self, text, signature):
        """True if verified, None if this machine has no such algorithm; else it raises."""
        try:
            if self.type == 1:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
                return True
            need(len(signature) == 8 + 2420, "an ML-DSA-44 cosignature of another length")
            if MLDSA44PublicKey is None:
                return None
            origin, size, root = text.decode().split("\n")[:3]
            message = b"subtree/v1\n\x00" + bytes([len(self.name.encode())]) + self.name.encode() + signature[:8]
            message += bytes([len(origin.encode())]) + origin.encode() + struct.pack(">QQ", 0, int(size)) + base64.b64decode(root)
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature[8:], message)
            return True
        except InvalidSignature as error:
            raise Bad(f"a signature of {self.name} does not verify") from error


def open_note(note, keys):
    """The text of a note, and the types of the keys that were verified. Every key has to have signed."""
    text = note.decode("utf-8")
    need(all(c == "\n" or unicodedata.category(c) != "Cc" or ord(c) >= 0x20 for c in text), "a control character in the note")
    need(text.endswith("\n") and "\n\n" in text, "not a signed note")
    body, _, lines = text.rpartition("\n\n")
    body += "\n"
    lines = lines.splitlines()
    need(lines, "the note has no signature")
    verified, judged = [], set()
    for line in lines:
        need(line.startswith("\u2014 ") and line.count(" ") == 2, "a signature line of another form")
        _, name, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        need(name and "+" not in name and len(blob) > 4, "a signature line of another form")
        for number, key in enumerate(keys):
            if (key.name, key.id) == (name, blob[:4]):
                judged.add(number)
                if key.verify(body.encode(), blob[4:]):
                    verified.append(key.type)
    need(len(judged) == len(keys), "a key that was demanded has not signed")
    need(1 in verified, "a log that deals with the public witness network carries an Ed25519 signature")
    return body, verified


def parse_checkpoint(body):
    """Origin, size and root of a checkpoint."""
    lines = body.split("\n")
    need(len(lines) >= 4 and lines[-1] == "" and all(lines[:-1]), "a checkpoint has three lines at least, none empty")
    origin, size, root = lines[:3]
    need(size.isascii() and size.isdigit() and str(int(size)) == size, "the size is not a decimal number")
    root = base64.b64decode(root, validate=True)
    need(len(root) == 32, "the root is not a hash")
    return origin, int(size), root


# tlog-tiles


def index_path(n):
    """The path elements of an index: 1234067 is x001/x234/067."""
    groups = [f"{n % 1000:03d}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03d}")
    return "/".join(groups)


assert index_path(1234067) == "x001/x234/067", "the example of the specification"


class Log:
    """A log behind a prefix."""

    def __init__(self, prefix, tls):
        self.prefix, self.tiles, self.partial = prefix.rstrip("/"), 0, 0
        handlers = [urllib.request.HTTPSHandler(context=tls)] if tls else []
        self.opener = urllib.request.build_opener(*handlers)

    def get(self, path, content_type=None):
        """One resource, or None if it is not there."""
        request = urllib.request.Request(f"{self.prefix}/{path}", headers={"Accept-Encoding": "gzip, identity", "User-Agent": "c2sp-client"})
        try:
            with self.opener.open(request, timeout=TIMEOUT_S) as answer:
                data = answer.read(ANSWER_BYTES_MAX + 1)
                need(len(data) <= ANSWER_BYTES_MAX, f"{path} is too long")
                if answer.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                if content_type:
                    need(answer.headers.get("Content-Type") == content_type, f"{path} has another Content-Type")
                return data, answer.headers
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Bad(f"{path}: status {error.code}") from error

    def checkpoint(self, keys):
        """The newest checkpoint, verified."""
        found = self.get("checkpoint", "text/plain; charset=utf-8")
        need(found, "there is no checkpoint")
        body, verified = open_note(found[0], keys)
        return (*parse_checkpoint(body), verified)

    def resource(self, kind, n, width):
        """A tile or bundle of a width: it must be there, and may be kept for long."""
        need(0 < width <= WIDTH, "no such width")
        path = f"tile/{kind}/{index_path(n)}" + (f".p/{width}" if width < WIDTH else "")
        found = self.get(path, "application/octet-stream")
        need(found, f"{path} is promised by a checkpoint and is not there")
        need("max-age=" in found[1].get("Cache-Control", ""), f"{path} may not be cached")
        self.tiles += 1
        self.partial += width < WIDTH
        return found[0]

    def tile(self, level, n, width):
        """The hashes of a tile."""
        data = self.resource(level, n, width)
        need(len(data) == 32 * width, f"tile {level}/{n} has {len(data)} bytes, not {32 * width}")
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def bundle(self, n, width):
        """The entries of a bundle."""
        data, entries = self.resource("entries", n, width), []
        while data:
            need(len(data) >= 2, f"bundle {n} is cut")
            (length,) = struct.unpack(">H", data[:2])
            need(len(data) >= 2 + length, f"bundle {n} is cut")
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
        need(len(entries) == width, f"bundle {n} has {len(entries)} entries, not {width}")
        return entries


def widths(hashes):
    """Index and width of each tile over so many hashes."""
    return [(n, min(WIDTH, hashes - n * WIDTH)) for n in range(-(-hashes // WIDTH))]


def audit(log, keys, hashes_only, all_widths):
    """From first entry to last; the report, or Bad."""
    origin, size, root, verified = log.checkpoint(keys)
    need(origin == keys[0].name, "the checkpoint is of another origin")
    leaves, entries = [], 0
    if not hashes_only:
        for n, width in widths(size):
            leaves += [leaf_hash(entry) for entry in log.bundle(n, width)]
        entries = len(leaves)
    row, level = leaves, 0
    while True:
        hashes = size // WIDTH**level
        if not hashes:
            break
        found = [hash for n, width in widths(hashes) for hash in log.tile(level, n, width)]
        if level == 0 and hashes_only:
            row = leaves = found
        need(found == row[:hashes], f"the tiles of level {level} do not follow from what is below them")
        row = [tree_hash(row[at : at + WIDTH]) for at in range(0, len(row) - WIDTH + 1, WIDTH)]
        level += 1
    need(len(leaves) == size and tree_hash(leaves) == root, "the log does not have the root that its checkpoint signs")
    if all_widths:
        # Every size may have been published while the log grew.
        for width in range(1, min(size, WIDTH - 1) + 1):
            need(log.tile(0, 0, width) == leaves[:width], f"the partial tile of width {width} is another")
            if not hashes_only:
                need([leaf_hash(entry) for entry in log.bundle(0, width)] == leaves[:width], f"the partial bundle of width {width} is another")
    for path in beyond(size):
        need(log.get(path) is None, f"{path} is served, and no checkpoint covers it")
    # What was seen stays: the newest checkpoint extends it.
    _, later, later_root, _ = log.checkpoint(keys)
    need(later > size or (later == size and later_root == root), "the log went back, or has two roots at one size")
    report = {"origin": origin, "size": size, "root": root.hex(), "entries": entries, "tiles": log.tiles, "partial": log.partial}
    return report | {"signatures": sorted(verified), "widths": min(size, WIDTH - 1) if all_widths else 0}


def beyond(size):
    """Resources that a log far from the next power of 256 can not have, and spellings that the specification does not have."""
    far = index_path(size // WIDTH + 1000)
    return [f"tile/0/{far}", f"tile/0/{far}.p/1", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/0", "tile/64/000", "tile/7/000", "tile/00/000"]


def main():
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix")
    parser.add_argument("--vkey", action="append", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--hashes-only", action="store_true")
    parser.add_argument("--all-widths", action="store_true")
    options = parser.parse_args()
    tls = ssl.create_default_context(cafile=options.ca)
    if options.cert:
        tls.load_cert_chain(options.cert, options.key)
    try:
        keys = [Key(vkey) for vkey in options.vkey]
        print(json.dumps(audit(Log(options.prefix, tls), keys, options.hashes_only, options.all_widths)))
    except (Bad, OSError, UnicodeDecodeError, ValueError, EOFError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        sys.exit(1)


if __name__ == "__main__":
    main()
