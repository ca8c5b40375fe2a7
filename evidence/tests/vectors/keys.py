#!/usr/bin/env python3
"""Writes keys.json: key tree, fragment keys, ciphertext and commitments, from docs/formats/{keys,segment}.md alone.

Independent of the Rust code: HMAC, HKDF-Expand, RFC 6962, AES and GCM are spelt out here on Python's hashlib and hmac.
    python3 keys.py > keys.json
"""
import hashlib, hmac, json, struct

def mac(key, message): return hmac.new(key, message, hashlib.sha256).digest()
def sha(message): return hashlib.sha256(message).digest()

# --- the key tree ---------------------------------------------------------------------------------------------------------------------
DEPTH = 20

def node(root, depth, index):
    key = root
    for level in range(depth):
        key = mac(key, b"exhibit/tree/v1" + bytes([index >> (depth - 1 - level) & 1]))
    return key

def cover(first, last, depth=0, index=0):
    """The largest subtrees within first..=last, by definition and not by speed."""
    low, size = index << (DEPTH - depth), 1 << (DEPTH - depth)
    if low > last or low + size - 1 < first: return []
    if first <= low and low + size - 1 <= last: return [(depth, index)]
    return cover(first, last, depth + 1, 2 * index) + cover(first, last, depth + 1, 2 * index + 1)

def prefixed(stream): return struct.pack(">H", len(stream)) + stream.encode()

# --- fragments ------------------------------------------------------------------------------------------------------------------------
def fragment_keys(slot_key, salt, j):
    info = b"exhibit/fragment/v1" + salt + struct.pack(">I", j)
    first = mac(slot_key, info + b"\x01")
    return first, mac(slot_key, first + info + b"\x02")

def commitment(key, j, last, plaintext):
    return mac(key, b"exhibit/plain/v1" + struct.pack(">IBQ", j, last, len(plaintext)) + plaintext)

def aad(stream, seq, j, last):
    return b"exhibit/aad/v1" + prefixed(stream) + struct.pack(">QIB", seq, j, last)

def root(leaves):
    if len(leaves) == 1: return leaves[0]
    split = 1
    while split * 2 < len(leaves): split *= 2
    return sha(b"\x01" + root(leaves[:split]) + root(leaves[split:]))

# --- AES-256-GCM (FIPS 197, SP 800-38D), slow and plain ---------------------------------------------------------------------------------
def double(a): return a << 1 ^ (0x11b if a & 0x80 else 0)
def product(a, b):
    result = 0
    while b:
        if b & 1: result ^= a
        a, b = double(a), b >> 1
    return result
def sbox_entry(a):
    inverse = next((b for b in range(256) if product(a, b) == 1), 0)
    return inverse ^ rotations(inverse) ^ 0x63
def rotations(b):
    result = 0
    for n in range(1, 5): result ^= (b << n | b >> (8 - n)) & 0xff
    return result
SBOX = [sbox_entry(a) for a in range(256)]

def expand(key):
    words, rcon = [list(key[i:i + 4]) for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        word = words[i - 1]
        if i % 8 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = double(rcon)
        elif i % 8 == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - 8], word)])
    return [sum(words[i:i + 4], []) for i in range(0, 60, 4)]

def aes(rounds, block):
    state = [a ^ b for a, b in zip(block, rounds[0])]
    for number, key in enumerate(rounds[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            mixed = []
            for c in range(0, 16, 4):
                column = state[c:c + 4]
                for i in range(4):
                    a, b, d, e = (column[(i + n) % 4] for n in range(4))
                    mixed.append(product(a, 2) ^ product(b, 3) ^ d ^ e)
            state = mixed
        state = [a ^ b for a, b in zip(state, key)]
    return bytes(state)

def ghash_product(x, y):
    result = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1: result ^= y
        y = y >> 1 ^ (0xe1 << 120 if y & 1 else 0)
    return result

def gcm(key, associated, plaintext):
    rounds = expand(key)
    block = lambda counter: aes(rounds, bytes(12) + struct.pack(">I", counter))
    stream = b"".join(block(2 + i) for i in range((len(plaintext) + 15) // 16))
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream))
    h, y = int.from_bytes(aes(rounds, bytes(16)), "big"), 0
    pad = lambda data: data + bytes(-len(data) % 16)
    hashed = pad(associated) + pad(ciphertext) + struct.pack(">QQ", 8 * len(associated), 8 * len(ciphertext))
    for i in range(0, len(hashed), 16):
        y = ghash_product(y ^ int.from_bytes(hashed[i:i + 16], "big"), h)
    return ciphertext + bytes(a ^ b for a, b in zip(y.to_bytes(16, "big"), block(1)))

# FIPS 197 appendix C.3 and the 256-bit key's first one-block test case of the GCM specification, so that a mistake here is not taken for one there.
assert aes(expand(bytes(range(32))), bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "8ea2b7ca516745bfeafc49904b496089"
assert gcm(bytes(32), b"", bytes(16)).hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"

# --- the vectors ----------------------------------------------------------------------------------------------------------------------
ROOT, STREAM, SEQ, SLOT, SALT = bytes(range(32)), "camera/102/main/20261120T115958Z", 7, 7201, bytes(range(0xa0, 0xb0))
PLAINTEXTS = [b"ftypmoovmoofmdat", b"moofmdat, the second of three fragments", b"!"]

fragments, leaves, commitments = [], [], []
slot_key = node(ROOT, DEPTH, SLOT)
for j, plaintext in enumerate(PLAINTEXTS):
    last = j == len(PLAINTEXTS) - 1
    aes_key, commitment_key = fragment_keys(slot_key, SALT, j)
    sealed = gcm(aes_key, aad(STREAM, SEQ, j, last), plaintext)
    committed = commitment(commitment_key, j, last, plaintext)
    leaves.append(sha(b"\0" + sealed))
    commitments.append(sha(b"\0" + committed))
    fragments.append({"plaintext": plaintext.hex(), "last": last, "aes_key": aes_key.hex(), "commitment_key": commitment_key.hex(),
                      "associated_data": aad(STREAM, SEQ, j, last).hex(), "ciphertext": sealed.hex(), "ciphertext_leaf": leaves[-1].hex(),
                      "commitment": committed.hex(), "commitment_leaf": commitments[-1].hex()})

print(json.dumps({
    "root": ROOT.hex(), "stream": STREAM, "epoch_commitment": mac(ROOT, b"exhibit/epoch/v1" + prefixed(STREAM)).hex(),
    "nodes": [{"depth": d, "index": i, "key": node(ROOT, d, i).hex()}
              for d, i in [(0, 0), (1, 0), (1, 1), (2, 1), (10, 1023), (19, 262144), (20, 0), (20, 1), (20, SLOT), (20, 2**20 - 1)]],
    "covers": [{"first": a, "last": b, "nodes": [{"depth": d, "index": i, "key": node(ROOT, d, i).hex()} for d, i in cover(a, b)]}
               for a, b in [(0, 2**20 - 1), (0, 0), (3600, 7199), (1, 2**20 - 2), (2**19 - 1, 2**19)]],
    "segment": {"seq": SEQ, "slot": SLOT, "salt": SALT.hex(), "slot_key": slot_key.hex(), "fragments": fragments,
                "ciphertext_root": root(leaves).hex(), "commitment_root": root(commitments).hex()},
}, indent=1))
