"""Verifies ML-DSA-44 signatures, by FIPS 204 (algorithms 3, 8 and what these call), with nothing but SHAKE of the standard library.

It is slow, and makes no signatures.
"""

import hashlib

Q, N, D, K, L, TAU, GAMMA1, GAMMA2, BETA, OMEGA = 8380417, 256, 13, 4, 4, 39, 1 << 17, (8380417 - 1) // 88, 78, 80
PUBLIC_KEY_BYTES, SIGNATURE_BYTES = 1312, 2420
CHALLENGE_BYTES = 32
ZETAS = [pow(1753, int(f"{index:08b}"[::-1], 2), Q) for index in range(N)]


def verifies(public_key, message, signature):
    """Whether the key signed the message, with an empty context (algorithm 3)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    rho = public_key[:32]
    t1 = [_unpack(public_key[32 + 320 * row:32 + 320 * (row + 1)], 10) for row in range(K)]
    challenge = signature[:CHALLENGE_BYTES]
    z = [[GAMMA1 - value for value in _unpack(signature[CHALLENGE_BYTES + 576 * row:CHALLENGE_BYTES + 576 * (row + 1)], 18)] for row in range(L)]
    hints = _hints(signature[CHALLENGE_BYTES + 576 * L:])
    if hints is None or any(abs(value) >= GAMMA1 - BETA for row in z for value in row):
        return False
    mu = _shake256(_shake256(public_key, 64) + b"\0\0" + message, 64)
    c_hat = _ntt(_sample_in_ball(challenge))
    z_hat = [_ntt(row) for row in z]
    commitment = b""
    for row in range(K):
        total = [0] * N
        for column in range(L):
            a_hat = _reject_uniform(rho + bytes([column, row]))
            total = [(sum_ + one * other) % Q for sum_, one, other in zip(total, a_hat, z_hat[column])]
        t1_hat = _ntt([value << D for value in t1[row]])
        total = [(sum_ - one * other) % Q for sum_, one, other in zip(total, c_hat, t1_hat)]
        approximate = _inverse_ntt(total)
        high = [_use_hint(hint, value) for hint, value in zip(hints[row], approximate)]
        commitment += sum(value << 6 * place for place, value in enumerate(high)).to_bytes(192, "little")
    return _shake256(mu + commitment, CHALLENGE_BYTES) == challenge


def _shake256(data, length):
    return hashlib.shake_256(data).digest(length)


def _unpack(data, bits):
    """256 numbers of so many bits, the lowest first (algorithms 18 and 19)."""
    number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [number >> bits * place & mask for place in range(N)]


def _hints(data):
    """The hints of each row, or None if they are not in their one encoding (algorithm 21)."""
    rows, at = [], 0
    for row in range(K):
        end, hints = data[OMEGA + row], [0] * N
        if not at <= end <= OMEGA:
            return None
        places = data[at:end]
        if any(one >= other for one, other in zip(places, places[1:])):
            return None
        for place in places:
            hints[place] = 1
        rows.append(hints)
        at = end
    return None if any(data[at:OMEGA]) else rows


def _sample_in_ball(seed):
    """A polynomial with TAU coefficients of 1 or -1 (algorithm 29)."""
    stream = _shake256(seed, 8 + 1024)
    signs, at, out = int.from_bytes(stream[:8], "little"), 8, [0] * N
    for place in range(N - TAU, N):
        while stream[at] > place:
            at += 1
        chosen = stream[at]
        at += 1
        out[place] = out[chosen]
        out[chosen] = 1 - 2 * (signs & 1)
        signs >>= 1
    return out


def _reject_uniform(seed):
    """A polynomial of numbers below Q (algorithm 30)."""
    stream, out = hashlib.shake_128(seed).digest(3 * 512), []
    for at in range(0, len(stream), 3):
        value = int.from_bytes(stream[at:at + 3], "little") & 0x7FFFFF
        if value < Q:
            out.append(value)
    assert len(out) >= N, "this stream is long enough but with a probability below 2^-1000"
    return out[:N]


def _ntt(values):
    """Algorithm 41."""
    values, at, length = [value % Q for value in values], 0, 128
    while length:
        for start in range(0, N, 2 * length):
            at += 1
            zeta = ZETAS[at]
            for place in range(start, start + length):
                other = zeta * values[place + length] % Q
                values[place + length] = (values[place] - other) % Q
                values[place] = (values[place] + other) % Q
        length >>= 1
    return values


def _inverse_ntt(values):
    """Algorithm 42."""
    values, at, length = list(values), N, 1
    while length < N:
        for start in range(0, N, 2 * length):
            at -= 1
            zeta = -ZETAS[at]
            for place in range(start, start + length):
                one, other = values[place], values[place + length]
                values[place] = (one + other) % Q
                values[place + length] = zeta * (one - other) % Q
        length <<= 1
    factor = pow(N, -1, Q)
    return [value * factor % Q for value in values]


def _use_hint(hint, value):
    """The high part of a number, corrected by its hint (algorithms 36 and 40)."""
    low = value % (2 * GAMMA2)
    if low > GAMMA2:
        low -= 2 * GAMMA2
    if value - low == Q - 1:
        high, low = 0, low - 1
    else:
        high = (value - low) // (2 * GAMMA2)
    if not hint:
        return high
    return (high + (1 if low > 0 else -1)) % ((Q - 1) // (2 * GAMMA2))
