#!/usr/bin/env python3
"""Signatures by other implementations: dilithium-py (ML-DSA-44) and OpenSSL through cryptography, all deterministic.

Needs `pip install dilithium-py cryptography`. Run it in this folder. An ML-DSA-44 seed is 32 bytes that count up, an Ed25519
seed is one byte 32 times, an ECDSA private key is a small number.

cosigned.vkey, cosigned.note      a checkpoint that its log has signed with ML-DSA-44
p256.vkey, p256.note, p384.*      the same checkpoint, signed with ECDSA
witnessed.policy, witnessed.note  one signed with Ed25519 and ML-DSA-44, and cosigned by two of three witnesses
subtree.vkey, subtree.line        a cosignature of the subtree from 8 to 13
"""

import base64
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from dilithium_py.ml_dsa import ML_DSA_44

from generate import cosigned_message, ecdsa_key, ed25519_message, key, sha256

NAME = "exhibit.example/log"
TIME = 1795176002
SIZE = 4211
ROOT = sha256(NAME.encode())
TEXT = f"{NAME}\n{SIZE}\n{base64.b64encode(ROOT).decode()}\n"


def signature_line(name, key_id, signature):
    return f"\u2014 {name} {base64.b64encode(bytes.fromhex(key_id) + signature).decode()}\n"


def ml_dsa_44(name, first, time, start=0, end=SIZE):
    public, private = ML_DSA_44.key_derive(bytes(range(first, first + 32)))
    _, _, key_id, verifier_key = key(name, b"\x06" + public)
    signature = ML_DSA_44.sign(private, cosigned_message(name, time, NAME, start, end, ROOT), deterministic=True)
    return verifier_key, signature_line(name, key_id, struct.pack(">Q", time) + signature)


def raw(public):
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ed25519_log(name, seed):
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    _, _, key_id, verifier_key = key(name, b"\x01" + raw(private.public_key()))
    return verifier_key, signature_line(name, key_id, private.sign(TEXT.encode()))


def ed25519_witness(name, seed, time):
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    _, _, key_id, verifier_key = key(name, b"\x04" + raw(private.public_key()))
    signature = private.sign(ed25519_message(time, NAME, SIZE, ROOT))
    return verifier_key, signature_line(name, key_id, struct.pack(">Q", time) + signature)


def ecdsa(name, curve, number):
    private = ec.derive_private_key(number, curve)
    info = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, _, key_id, verifier_key = ecdsa_key(name, info)
    signature = private.sign(TEXT.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return verifier_key, signature_line(name, key_id, signature)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_note(path, verifier_key, line):
    write(f"{path}.vkey", verifier_key + "\n")
    write(f"{path}.note", f"{TEXT}\n{line}")


write_note("cosigned", *ml_dsa_44(NAME, 0, TIME))
write_note("p256", *ecdsa(NAME, ec.SECP256R1(), 7))
write_note("p384", *ecdsa(NAME, ec.SECP384R1(), 7))

log = [ed25519_log(NAME, 1), ml_dsa_44(NAME, 0, TIME)]
witnesses = [
    ed25519_witness("witness.example/w1", 2, TIME + 1),
    ml_dsa_44("witness.example/w2", 32, TIME + 3),
    ed25519_witness("witness.example/w3", 3, TIME + 2),
]
write(
    "witnessed.policy",
    "# Two of three, of which the third is away.\n"
    + "".join(f"log {verifier_key}\n" for verifier_key, _ in log)
    + "".join(f"witness w{number} {verifier_key}\n" for number, (verifier_key, _) in enumerate(witnesses, 1))
    + "group two-of-three 2 w1 w2 w3\nquorum two-of-three\n",
)
write("witnessed.note", f"{TEXT}\n" + "".join(line for _, line in log + witnesses[:2]))

verifier_key, line = ml_dsa_44("witness.example/w2", 32, 0, 8, 13)
write("subtree.vkey", verifier_key + "\n")
write("subtree.line", line)
