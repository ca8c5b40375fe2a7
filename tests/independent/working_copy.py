"""Playable copies: what disclosed fragments make, by docs/formats/bundle.md.

A box is four bytes of length, four of type, and its content. Nothing of a copy is read here: it is made again.
"""

import hashlib

from statements import Malformed, need


def boxes(data):
    """(type, whole) of each of the boxes that stand side by side in `data`."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        need(len(data) - at >= 8 and 8 <= length <= len(data) - at, "a box is malformed")
        yield data[at + 4:at + 8], data[at:at + length]
        at += length


def inside(data, *path):
    """The content of the first box of each type in the one before."""
    for wanted in path:
        for kind, whole in boxes(data):
            if kind == wanted:
                data = whole[8:]
                break
        else:
            raise Malformed(f"there is no {wanted.decode()}")
    return data


def decode_time(chunks):
    """The decode time of the first chunk."""
    field = inside(chunks, b"moof", b"traf", b"tfdt")
    need(len(field) >= 1 and field[0] in (0, 1) and len(field) >= (8, 12)[field[0]], "a tfdt is malformed")
    return int.from_bytes(field[4:(8, 12)[field[0]]], "big")


class WorkingCopies:
    """Makes the copies out of fragments, in order: (SHA-256, length) of each."""

    def __init__(self):
        self.made, self.header, self.stream = [], None, None

    def add(self, stream, start_ms, index, fragment):
        """Adds a fragment of a segment that began at `start_ms`."""
        if index == 0:
            fragment = self._begin(stream, start_ms, fragment)
        need(self.made, "the first fragment is not there")
        for kind, whole in boxes(fragment):
            if kind == b"moof":
                self.number += 1
                self._append(self._renumbered(whole))
            elif kind == b"mdat":
                self._append(whole)

    def copies(self):
        """What was made."""
        return [(digest.hexdigest(), length[0]) for digest, length in self.made]

    def _append(self, data):
        digest, length = self.made[-1]
        digest.update(data)
        length[0] += len(data)

    def _begin(self, stream, start_ms, fragment):
        length = 0
        for kind, whole in boxes(fragment):
            length += len(whole)
            if kind == b"moov":
                break
        else:
            raise Malformed("there is no moov")
        header, chunks = fragment[:length], fragment[length:]
        clock = inside(header, b"moov", b"trak", b"mdia", b"mdhd")
        need(len(clock) >= 1 and clock[0] in (0, 1), "the mdhd is of an unknown version")
        scale = int.from_bytes(clock[(12, 20)[clock[0]]:][:4], "big")
        need(len(clock) >= (16, 24)[clock[0]] and scale > 0, "the mdhd is cut short")
        if header != self.header:
            self.header, self.scale, self.started, self.stream, self.number = header, scale, start_ms, None, 0
            self.made.append((hashlib.sha256(), [0]))
            self._append(header)
        if stream != self.stream:
            self.stream = stream
            self.shift = max(start_ms - self.started, 0) * self.scale // 1_000 - decode_time(chunks)
        return chunks

    def _renumbered(self, moof):
        parts = [moof[:8]]
        for kind, whole in boxes(moof[8:]):
            if kind == b"mfhd":
                need(len(whole) >= 16, "the mfhd is cut short")
                whole = whole[:12] + self.number.to_bytes(4, "big") + whole[16:]
            elif kind == b"traf":
                whole = whole[:8] + b"".join(self._shifted(kind, inner) for kind, inner in boxes(whole[8:]))
            parts.append(whole)
        return b"".join(parts)

    def _shifted(self, kind, tfdt):
        if kind != b"tfdt":
            return tfdt
        need(len(tfdt) >= 9, "a tfdt is malformed")
        width = 8 if tfdt[8] == 1 else 4
        need(len(tfdt) >= 12 + width, "a tfdt is malformed")
        time = max(int.from_bytes(tfdt[12:12 + width], "big") + self.shift, 0)
        need(time < 1 << 8 * width, "a decode time is out of range")
        return tfdt[:12] + time.to_bytes(width, "big") + tfdt[12 + width:]
