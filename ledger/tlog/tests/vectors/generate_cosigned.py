#!/usr/bin/env python3
"""A checkpoint signed with ML-DSA-44 by another implementation: dilithium-py, deterministic variant. Run it in this folder.

Needs `pip install dilithium-py`. The seed is 00 01 02 .. 1f. Writes cosigned.vkey and cosigned.note.
"""

import base64
import struct

from dilithium_py.ml_dsa import ML_DSA_44

from generate import cosigned_message, key, sha256

NAME = "exhibit.example/log"
TIME = 1795176002
SIZE = 4211
ROOT = sha256(NAME.encode())

public, private = ML_DSA_44.key_derive(bytes(range(32)))
_, _, key_id, verifier_key = key(NAME, b"\x06" + public)
signature = ML_DSA_44.sign(private, cosigned_message(NAME, TIME, NAME, 0, SIZE, ROOT), deterministic=True)
line = base64.b64encode(bytes.fromhex(key_id) + struct.pack(">Q", TIME) + signature).decode()

with open("cosigned.vkey", "w") as file:
    file.write(verifier_key + "\n")
with open("cosigned.note", "w", encoding="utf-8") as file:
    file.write(f"{NAME}\n{SIZE}\n{base64.b64encode(ROOT).decode()}\n\n\u2014 {NAME} {line}\n")
