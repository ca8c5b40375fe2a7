#!/usr/bin/env python3
"""Golden vectors, by the definitions of the specifications and nothing else. Run it in this folder.

trees.txt: RFC 6962 section 2.1. Entry i is the ASCII text "entry <i>".
  root <size> <hex>
  inclusion <index> <size> <hash> ...        the leaf's sibling first
  consistency <old> <new> <hash> ...
Hashes in proofs are base64, as they stand in a tlog-proof.

notes.txt: signed-note and tlog-cosignature.
  key <name> <id> <verifier key>             the ML-DSA-44 key is 1,312 bytes without a private half
  message <cosigner> <time> <origin> <size> <root> <hex of cosigned_message>
"""

import base64
import hashlib
import struct

SIZES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 100, 255, 256, 257, 300, 1000]


def sha256(data):
    return hashlib.sha256(data).digest()


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def root(entries):
    if not entries:
        return sha256(b"")
    if len(entries) == 1:
        return sha256(b"\0" + entries[0])
    k = split(len(entries))
    return sha256(b"\1" + root(entries[:k]) + root(entries[k:]))


def path(m, entries):
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return path(m, entries[:k]) + [root(entries[k:])]
    return path(m - k, entries[k:]) + [root(entries[:k])]


def subproof(m, entries, whole):
    if m == len(entries):
        return [] if whole else [root(entries)]
    k = split(len(entries))
    if m <= k:
        return subproof(m, entries[:k], whole) + [root(entries[k:])]
    return subproof(m - k, entries[k:], False) + [root(entries[:k])]


def line(file, *words):
    print(*[base64.b64encode(w).decode() if isinstance(w, bytes) else w for w in words], file=file)


def key(name, type_and_key):
    key_id = sha256(name.encode() + b"\n" + type_and_key)[:4].hex()
    return "key", name, key_id, f"{name}+{key_id}+{base64.b64encode(type_and_key).decode()}"


def cosigned_message(cosigner, time, origin, start, end, tree):
    def counted(text):
        return bytes([len(text.encode())]) + text.encode()

    return (
        b"subtree/v1\n\0" + counted(cosigner) + struct.pack(">Q", time) + counted(origin)
        + struct.pack(">QQ", start, end) + tree
    )


def write_trees(file):
    entries = [f"entry {i}".encode() for i in range(max(SIZES))]
    for size in SIZES:
        line(file, "root", size, root(entries[:size]).hex())
        for index in sorted({0, 1, size // 3, size // 2, size - 2, size - 1}):
            if 0 <= index < size:
                line(file, "inclusion", index, size, *path(index, entries[:size]))
        for old in SIZES:
            if 0 < old <= size:
                line(file, "consistency", old, size, *subproof(old, entries[:size], True))


def write_notes(file):
    # The public key of test 1 in RFC 8032 section 7.1.
    ed25519 = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    ml_dsa_44 = hashlib.shake_256(b"not a real key").digest(1312)
    for name in ["exhibit.example/log", "é", "a" * 255]:
        line(file, *key(name, b"\x01" + ed25519))
        line(file, *key(name, b"\x06" + ml_dsa_44))
    for cosigner, time, origin, size in [
        ("exhibit.example/log", 1795176002, "exhibit.example/log", 4211),
        ("witness.example/w", 0, "exhibit.example/log", 2**63),
        ("c" * 255, 2**63 - 1, "o" * 255, 1),
    ]:
        tree = sha256(origin.encode())
        line(file, "message", cosigner, time, origin, size, tree, cosigned_message(cosigner, time, origin, 0, size, tree).hex())


if __name__ == "__main__":
    with open("trees.txt", "w") as file:
        write_trees(file)
    with open("notes.txt", "w", encoding="utf-8") as file:
        write_notes(file)
