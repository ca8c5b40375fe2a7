"""Statements: strict JSON and the bodies, by docs/formats/statement.md.

Knows nothing of signatures, certificates, ledgers or files. Written from the page alone, for the sake of a second opinion.
"""

import datetime
import json
import re

STATEMENT_LIMIT_BYTES = 48 * 1024
LARGEST_INTEGER = 2**53 - 1
DEEPEST = 8
ZEROS = "0" * 64
EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
DEVICE_WORDS = r"[a-z0-9-]{1,64}"


class Malformed(Exception):
    """Bytes that are not what a page of docs/formats says."""


def need(condition, what):
    """Refuses what does not fulfil a rule, and says which."""
    if not condition:
        raise Malformed(what)


def _object(pairs):
    members = dict(pairs)
    need(len(members) == len(pairs), "a member stands twice")
    return members


def _integer(digits):
    need(digits.isdigit() and len(digits) <= 16 and int(digits) <= LARGEST_INTEGER, "not an integer from 0 to 2^53 - 1")
    return int(digits)


def _no_number(_):
    raise Malformed("a number that is not an integer")


def strict_json(data, limit_bytes):
    """An object of JSON that no two parsers can read differently."""
    need(len(data) <= limit_bytes, "too long")
    try:
        text = data.decode("utf-8")
        depth, deepest, in_string, escaped = 0, 0, False, False
        for character in text:
            if in_string:
                in_string = escaped or character != '"'
                escaped = character == "\\" and not escaped
            elif character == '"':
                in_string = True
            elif character in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif character in "]}":
                depth -= 1
        need(deepest <= DEEPEST, "nests too deep")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise Malformed("not UTF-8, or a lone surrogate") from error
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from error
    need(isinstance(value, dict), "not an object")
    return value


def text_of(pattern):
    """A text that matches a pattern from end to end."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: need(isinstance(value, str) and compiled.fullmatch(value), f"{value!r:.80} is not of the form {pattern}")


def one_of(*values):
    """One of some words; True and 1 are told apart."""
    return lambda value: need(any(value is v or (isinstance(v, str) and value == v) for v in values), f"{value!r:.80} is none of {values}")


def integer(low=0, high=LARGEST_INTEGER):
    """An integer from low to high."""
    return lambda value: need(type(value) is int and low <= value <= high, f"{value!r:.80} is not from {low} to {high}")


def nullable(check):
    """null, or what the check admits."""
    return lambda value: None if value is None else check(value)


def array(check, low, high, distinct=False):
    """An array of low to high elements that the check admits."""
    def judge(value):
        need(isinstance(value, list) and low <= len(value) <= high, f"not an array of {low} to {high}")
        for element in value:
            check(element)
        need(not distinct or len(set(value)) == len(value), "an element stands twice")
    return judge


def record(**members):
    """An object with exactly these members."""
    def judge(value):
        need(isinstance(value, dict) and set(value) == set(members), f"members are not exactly {sorted(members)}")
        for name, check in members.items():
            check(value[name])
    return judge


def milliseconds(time):
    """A time as milliseconds since 1970."""
    _time_form(time)
    need(time[:4] >= "1970", "a year before 1970")
    try:
        moment = datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError as error:
        raise Malformed(f"{time} does not exist") from error
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1)


_time_form = text_of(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.\d{3}Z")
_stream_form = text_of(r"[a-z0-9TZ-]+(/[a-z0-9TZ-]+){2,5}")
HASH = text_of(r"[0-9a-f]{64}")
SCOPE = text_of("camera/" + DEVICE_WORDS)
COUNT = integer()


def stream_name(value):
    """A stream's name."""
    _stream_form(value)
    need(len(value) <= 128, "a stream's name is too long")


def _forwards(low, high, check):
    def judge(value):
        check(value)
        need(value[low] <= value[high], f"{high} lies before {low}")
    return judge


RANGES = array(_forwards("first", "last", record(stream=stream_name, first=COUNT, last=COUNT)), 1, 256)
HASHES = array(HASH, 1, 64, distinct=True)
REASONS = ("start", "rotation", "backlog", "state-lost", "contradiction", "device-replaced", "succession")
VERIFIER_KEY = text_of(r"[^+\s\x00-\x1f\x7f]{1,255}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{1,4096}")


def _boolean(value):
    need(isinstance(value, bool), "neither true nor false")


def _policy(value):
    need(isinstance(value, str) and len(value.encode()) <= 8192, "not a text of at most 8 KiB")


def _segment_rules(body):
    lengths = body["fragment_lengths"]
    need(sum(lengths) - 16 * len(lengths) <= 8 * 1024 * 1024, "a segment of more than 8 MiB")


def _gap_rules(body):
    need(body["from"] <= body["to"], "a gap backwards")


def _recipients_rules(body):
    need(body["threshold"] <= len(body["custodians"]), "a threshold above the number of custodians")


# type: (kind of issuer, roles that allow it, members of the body, attachments that must be there and whether erasable, further rule)
CAMERA, APPLIANCE = ("camera", {"camera"}), ("appliance", {"appliance"})
CUSTODIAN, FETCHER, AUTHORITY = ("user", {"custodian"}), ("user", {"custodian", "investigator"}), ("authority", {"authority"})
TYPES = {
    "epoch/v1": (*CAMERA, {"commitment": HASH, "started": milliseconds, "recipients": HASH, "continues": record(
        reason=one_of(*REASONS), previous=nullable(record(stream=stream_name, seq=COUNT, leaf=HASH)))}, {"wraps": True}, None),
    "segment/v1": (*CAMERA, {
        "slot": integer(0, 2**20 - 1), "salt": text_of("[0-9a-f]{32}"), "start": milliseconds, "duration_ms": integer(0, 10_000),
        "media_type": one_of("video/mp4", "image/jpeg"), "random_access": _boolean,
        "fragment_lengths": array(integer(17), 1, 256), "ciphertext_root": HASH, "commitment_root": HASH}, {}, _segment_rules),
    "gap/v1": (*CAMERA, {"cause": one_of("evicted-offline", "source-lost", "power", "mode"), "from": milliseconds, "to": milliseconds},
               {}, _gap_rules),
    "close/v1": (*CAMERA, {"reason": one_of("stop", "rotation", "end-of-source")}, {}, None),
    "recipients/v1": (*CUSTODIAN, {
        "scope": SCOPE, "number": integer(1), "replaces": nullable(HASH), "recipients": HASHES, "custodians": HASHES,
        "threshold": integer(1), "expires": milliseconds}, {}, _recipients_rules),
    "grant/v1": (*CUSTODIAN, {"scope": SCOPE}, {"terms": True, "wraps": True}, None),
    "fetch/v1": (*FETCHER, {"grant": nullable(HASH), "ranges": RANGES}, {}, None),
    "export/v1": (*FETCHER, {"fetch": HASH, "ranges": RANGES, "manifest": HASH}, {}, None),
    "certificate/v1": (*AUTHORITY, {"fingerprint": HASH, "replaces": nullable(HASH)}, {"certificate": False}, None),
    "genesis/v1": (*APPLIANCE, {
        "origin": text_of(r"[!-*,-~]{1,255}"), "keys": array(VERIFIER_KEY, 1, 8, distinct=True),
        "roots": array(HASH, 1, 16, distinct=True), "witness_policy": _policy,
        "predecessor": nullable(record(log=HASH, size=integer(1), root=HASH))}, {"certificate": False}, None),
    "start/v1": (*APPLIANCE, {"version": text_of(r"[ -~]{1,128}")}, {}, None),
    "access/v1": (*APPLIANCE, {"fetch": HASH, "granted": _boolean}, {}, None),
    "contradiction/v1": (*APPLIANCE, {"stream": stream_name, "seq": COUNT}, {"first": False, "second": False}, None),
}

ATTACHMENT = record(name=text_of(r"[a-z0-9-]{1,32}"), sha256=HASH, length=integer(0, 16 * 1024 * 1024), erasable=_boolean)
HEADER = dict(type=text_of(r"[a-z-]{1,60}/v(0|[1-9]\d*)"), log=HASH, stream=stream_name, seq=COUNT, prev=HASH, issued=milliseconds,
              observed=record(size=COUNT, root=HASH))


def attachments_of(statement):
    """The attachments of a statement, by name."""
    return {attachment["name"]: attachment for attachment in statement["body"]["attachments"]}


def parse_statement(data):
    """A statement, strictly; of an unknown type the body is free."""
    statement = strict_json(data, STATEMENT_LIMIT_BYTES)
    record(**HEADER, body=lambda body: need(isinstance(body, dict), "no body"))(statement)
    name, body, observed = statement["type"], statement["body"], statement["observed"]
    need(len(name) <= 64, "the type's name is too long")
    genesis = name == "genesis/v1"
    need((statement["log"] == ZEROS) == genesis, "the log is zeros in genesis and only there")
    need((statement["prev"] == ZEROS) == (statement["seq"] == 0), "prev is zeros at seq 0 and only there")
    need((observed["root"] == EMPTY_ROOT) == (observed["size"] == 0), "the empty root belongs to size 0 and only there")
    need(statement["seq"] == 0 or name not in ("epoch/v1", "genesis/v1"), f"{name} stands at seq 0")
    need(observed["size"] == 0 or not genesis, "nothing was there to observe before genesis")
    array(ATTACHMENT, 0, 16)(body.get("attachments"))
    attachments = attachments_of(statement)
    need(len(attachments) == len(body["attachments"]), "an attachment's name stands twice")
    for attachment in attachments.values():
        need(not attachment["erasable"] or attachment["length"] >= 32, "too short for its salt")
    if name not in TYPES:
        return statement
    kind, _, members, required, rule = TYPES[name]
    need(statement["stream"].split("/")[0] == kind, f"{name} does not stand in a stream of {kind}")
    record(**members, attachments=lambda _: None)(body)
    for attachment, erasable in required.items():
        need(attachment in attachments and attachments[attachment]["erasable"] is erasable, f"the attachment {attachment}")
    need("purpose" not in attachments or attachments["purpose"]["erasable"], "a purpose must be erasable")
    if rule:
        rule(body)
    return statement
