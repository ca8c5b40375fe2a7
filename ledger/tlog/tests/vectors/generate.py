#!/usr/bin/env python3
"""Golden vectors for trees and proofs, by the recursive definitions of RFC 6962 section 2.1 and nothing else.

Run `python3 generate.py > trees.txt`. Entry i is the ASCII text "entry <i>". Lines:
  root <size> <hex>
  inclusion <index> <size> <hash> ...        the leaf's sibling first
  consistency <old> <new> <hash> ...
Hashes in proofs are base64, as they stand in a tlog-proof.
"""

import base64
import hashlib

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


def line(*words):
    print(*[base64.b64encode(w).decode() if isinstance(w, bytes) else w for w in words])


entries = [f"entry {i}".encode() for i in range(max(SIZES))]
for size in SIZES:
    line("root", size, root(entries[:size]).hex())
    for index in sorted({0, 1, size // 3, size // 2, size - 2, size - 1}):
        if 0 <= index < size:
            line("inclusion", index, size, *path(index, entries[:size]))
    for old in SIZES:
        if 0 < old <= size:
            line("consistency", old, size, *subproof(old, entries[:size], True))
