#!/usr/bin/env python3
"""Golden vectors, by the definitions of the specifications and nothing else. Run it in this folder.

trees.txt: RFC 6962 section 2.1. Entry i is the ASCII text "entry <i>".
  root <size> <hex>
  inclusion <index> <size> <hash> ...        the leaf's sibling first
  consistency <old> <new> <hash> ...
Hashes in proofs are base64, as they stand in a tlog-proof.

notes.txt: signed-note and tlog-cosignature.
  key <name> <id> <verifier key>             the ML-DSA-44 key is 1,312 bytes without a private half, the ECDSA keys
                                             are the base points of their curves
  message <cosigner> <time> <origin> <size> <root> <hex of cosigned_message>
  subtree-message <cosigner> <origin> <start> <end> <root> <hex of cosigned_message>
  ed25519-message <time> <origin> <size> <root> <hex of what an Ed25519 cosignature signs>

subtrees.txt: draft-ietf-plants-merkle-tree-certs section 4, of the same entries.
  subtree <start> <end> <size> <hex of its root> <hash> ...
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


def valid_subtree(start, end):
    power = 1
    while power < end - start:
        power *= 2
    return start < end and start % power == 0


def subtree_subproof(start, end, entries, whole):
    n = len(entries)
    if (start, end) == (0, n):
        return [] if whole else [root(entries)]
    k = split(n)
    if end <= k:
        return subtree_subproof(start, end, entries[:k], whole) + [root(entries[k:])]
    if k <= start:
        return subtree_subproof(start - k, end - k, entries[k:], whole) + [root(entries[:k])]
    assert start == 0
    return subtree_subproof(0, end - k, entries[k:], False) + [root(entries[:k])]


def line(file, *words):
    print(*[base64.b64encode(w).decode() if isinstance(w, bytes) else w for w in words], file=file)


def key(name, type_and_key):
    key_id = sha256(name.encode() + b"\n" + type_and_key)[:4].hex()
    return "key", name, key_id, f"{name}+{key_id}+{base64.b64encode(type_and_key).decode()}"


def ecdsa_key(name, info):
    key_id = sha256(info)[:4].hex()
    type_and_key = b"\x02" + info
    return "key", name, key_id, f"{name}+{key_id}+{base64.b64encode(type_and_key).decode()}"


def der(tag, *parts):
    content = b"".join(parts)
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def public_key_info(curve, x, y):
    ec_public_key = bytes.fromhex("2a8648ce3d0201")
    return der(0x30, der(0x30, der(6, ec_public_key), der(6, bytes.fromhex(curve))), der(3, b"\0\4", bytes.fromhex(x + y)))


# The curves' object identifiers and base points (SEC 2 sections 2.4.2 and 2.5.1).
P256 = public_key_info(
    "2a8648ce3d030107",
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
)
P384 = public_key_info(
    "2b81040022",
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
)


def ed25519_message(time, origin, size, tree):
    return f"cosignature/v1\ntime {time}\n{origin}\n{size}\n{base64.b64encode(tree).decode()}\n".encode()


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


def write_subtrees(file):
    entries = [f"entry {i}".encode() for i in range(33)]
    for size in [1, 2, 3, 7, 8, 14, 33]:
        for start in range(size):
            for end in range(start + 1, size + 1):
                if valid_subtree(start, end):
                    proof = subtree_subproof(start, end, entries[:size], True)
                    line(file, "subtree", start, end, size, root(entries[start:end]).hex(), *proof)


def write_notes(file):
    # The public key of test 1 in RFC 8032 section 7.1.
    ed25519 = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    ml_dsa_44 = hashlib.shake_256(b"not a real key").digest(1312)
    for name in ["exhibit.example/log", "é", "a" * 255]:
        line(file, *key(name, b"\x01" + ed25519))
        line(file, *key(name, b"\x06" + ml_dsa_44))
        line(file, *key(name, b"\x04" + ed25519))
        line(file, *ecdsa_key(name, P256))
        line(file, *ecdsa_key(name, P384))
    for cosigner, time, origin, size in [
        ("exhibit.example/log", 1795176002, "exhibit.example/log", 4211),
        ("witness.example/w", 0, "exhibit.example/log", 2**63),
        ("c" * 255, 2**63 - 1, "o" * 255, 1),
    ]:
        tree = sha256(origin.encode())
        line(file, "message", cosigner, time, origin, size, tree, cosigned_message(cosigner, time, origin, 0, size, tree).hex())
        line(file, "ed25519-message", time, origin, size, tree, ed25519_message(time, origin, size, tree).hex())
    for cosigner, origin, start, end in [
        ("witness.example/w", "exhibit.example/log", 8, 13),
        ("witness.example/w", "exhibit.example/log", 0, 4211),
        ("c" * 255, "o" * 255, 2**63, 2**64 - 1),
    ]:
        tree = sha256(origin.encode())
        line(file, "subtree-message", cosigner, origin, start, end, tree, cosigned_message(cosigner, 0, origin, start, end, tree).hex())


if __name__ == "__main__":
    with open("trees.txt", "w") as file:
        write_trees(file)
    with open("subtrees.txt", "w") as file:
        write_subtrees(file)
    with open("notes.txt", "w", encoding="utf-8") as file:
        write_notes(file)
