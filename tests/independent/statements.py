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
_key_text = text_of("[!-~]{1,4096}")


def log_key(value):
    """A verifier key of a log's notes."""
    # What log.py reads are statements too.
    from log import COSIGNER, VerifierKey
    _key_text(value)
    need(VerifierKey(value).kind != COSIGNER, "the key of a witness")


def _boolean(value):
    need(isinstance(value, bool), "neither true nor false")


def _policy(value):
    need(isinstance(value, str) and len(value.encode()) <= 32768, "not a text of at most 32 KiB")


def _segment_rules(body):
    lengths = body["fragment_lengths"]
    need(sum(lengths) - 16 * len(lengths) <= 8 * 1024 * 1024, "a segment of more than 8 MiB")


def _recipients_rules(body):
    need(body["threshold"] <= len(body["custodians"]), "a threshold above the number of custodians")


def _text(low, high):
    return text_of(rf"[ -~]{{{low},{high}}}")


NAME = text_of(r"[a-z0-9-]{1,64}")
MEDIA_TYPE = one_of("video/mp4", "image/jpeg")
ORIGIN = text_of(r"[!-*,-~]{1,255}")
KEYS = array(log_key, 1, 8, distinct=True)


def _series(value):
    text_of("camera/" + DEVICE_WORDS + r"(/[a-z0-9TZ-]+){1,3}")(value)
    need(len(value) <= 126, "no generation fits behind the series")


def _spiffe_appliance(value):
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    text_of(rf"spiffe://{label}(\.{label})*/appliance/{DEVICE_WORDS}")(value)
    need(len(value.split("/")[2]) <= 255, "a domain that is too long")


def _forward_times(body):
    need(body["from"] <= body["to"], "times backwards")


def logs_before(genesis):
    """The logs that a genesis goes on for, newest first."""
    return ([genesis["predecessor"]] if genesis["predecessor"] else []) + genesis.get("earlier", [])


def _genesis_rules(body):
    need(body["predecessor"] or "earlier" not in body, "earlier logs without a predecessor")
    logs = [log["log"] for log in logs_before(body)]
    need(len(set(logs)) == len(logs), "a log before stands twice")


def _description(value):
    _text(1, 255)(value)
    need("@" not in value, "a description with a user name")


def _event_rules(body):
    if body["kind"] == "clock-jump":
        need(body["to"] is not None, "a jump without an end")
    else:
        need(body["to"] is None or body["from"] <= body["to"], "an event backwards")


def _owned_ranges(body):
    need(all(entry["stream"].startswith(body["scope"] + "/") for entry in body["ranges"]), "a range outside of the scope")


def _camera_ranges(body):
    for entry in body["ranges"]:
        SCOPE("/".join(entry["stream"].split("/")[:2]))


def _erasure_rules(body):
    names = [(erased["entry"], erased["name"]) for erased in body["erased"]]
    need(len(set(names)) == len(names), "an attachment that is erased twice")
    need(body["order"] is not None or body["reason"] == "policy", "no order")


def _enrolment_rules(body):
    software = body["policy"] == "software"
    need((body["nonce"] is None) == software, "a nonce belongs to what a TPM said, and to nothing else")
    names = {attachment["name"] for attachment in body["attachments"]}
    need(not software or not names, "evidence of software")
    needed = set() if software else {"ek-public", "ak-public", "certify", "certify-signature", "key-public"}
    need(needed | ({"ek-certificate"} if body["policy"] == "attested" else set()) <= names, "evidence is missing")


def _attestation_rules(body):
    names = {attachment["name"] for attachment in body["attachments"]}
    need(("values" in names) == (body["kind"] == "quote"), "the registers' values belong to a quote")


def _start_rules(body):
    names = {attachment["name"] for attachment in body["attachments"]} & {"attest", "signature", "values"}
    need(len(names) == (0 if body["enrolment"] is None else 3), "a quote is whole, and of an enrolment's key")


def _ban_rules(body):
    subject = any(attachment["name"] == "subject" for attachment in body["attachments"])
    need(subject == (body["lifts"] is None), "a ban has a subject, and a lifted one has not")
    need(body["lifts"] is None or body["until"] is None, "what is lifted has no end")


# type: (kind of issuer, roles that allow it, members of the body, attachments and whether erasable, further rule). Of the attachments, those
# in brackets may be missing, and those that end in a hyphen are numbered.
CAMERA, APPLIANCE = ("camera", {"camera"}), ("appliance", {"appliance"})
CUSTODIAN, FETCHER, AUTHORITY = ("user", {"custodian"}), ("user", {"custodian", "investigator"}), ("authority", {"authority"})
PERSON = ("user", {"custodian", "investigator", "auditor", "admin"})
LOG_BEFORE = record(log=text_of(r"(?!0{64})[0-9a-f]{64}"), size=integer(1), root=HASH)
TYPES = {
    "epoch/v1": (*CAMERA, {"commitment": HASH, "started": milliseconds, "recipients": HASH, "continues": record(
        reason=one_of(*REASONS), previous=nullable(record(stream=stream_name, seq=COUNT, leaf=HASH)))}, {"wraps": True}, None),
    "segment/v1": (*CAMERA, {
        "slot": integer(0, 2**20 - 1), "salt": text_of("[0-9a-f]{32}"), "start": milliseconds, "duration_ms": integer(0, 10_000),
        "media_type": MEDIA_TYPE, "random_access": _boolean,
        "fragment_lengths": array(integer(17), 1, 256), "ciphertext_root": HASH, "commitment_root": HASH}, {}, _segment_rules),
    "gap/v1": (*CAMERA, {"cause": one_of("evicted-offline", "source-lost", "power", "mode"), "from": milliseconds, "to": milliseconds},
               {}, _forward_times),
    "close/v1": (*CAMERA, {"reason": one_of("stop", "rotation", "end-of-source")}, {}, None),
    "heartbeat/v1": (*CAMERA, {"uptime_s": COUNT, "unsent": COUNT, "unsent_bytes": COUNT, "last_segment": nullable(milliseconds)}, {}, None),
    "config/v1": (*CAMERA, {
        "mode": one_of("continuous", "scheduled", "motion", "off"),
        "source": record(kind=one_of("rtsp", "device", "file", "test"), description=_description),
        "media_type": MEDIA_TYPE, "version": _text(1, 128)}, {}, None),
    "event/v1": (*CAMERA, {
        "kind": one_of("tamper", "motion", "clock-jump", "source-lost", "source-back", "storage"), "from": milliseconds,
        "to": nullable(milliseconds), "detail": _text(0, 512)}, {}, _event_rules),
    "attestation/v1": (*CAMERA, {"kind": one_of("quote", "time"), "enrolment": HASH},
                       {"attest": False, "signature": False, "(values)": False}, _attestation_rules),
    "recipients/v1": (*CUSTODIAN, {
        "scope": SCOPE, "number": integer(1), "replaces": nullable(HASH), "recipients": HASHES, "custodians": HASHES,
        "threshold": integer(1), "expires": milliseconds}, {}, _recipients_rules),
    "group/v1": (*CUSTODIAN, {"scope": SCOPE, "name": NAME, "number": integer(1), "replaces": nullable(HASH), "members": HASHES}, {}, None),
    "request/v1": (*FETCHER, {"scope": SCOPE}, {"terms": True, "purpose": True}, None),
    "grant/v1": (*CUSTODIAN, {"scope": SCOPE}, {"terms": True, "wraps": True}, None),
    "revoke/v1": (*CUSTODIAN, {"grant": HASH}, {}, None),
    "approve/v1": (*CUSTODIAN, {"entry": HASH, "statement": HASH}, {}, None),
    "fetch/v1": (*FETCHER, {"grant": nullable(HASH), "ranges": RANGES}, {}, None),
    "export/v1": (*FETCHER, {"fetch": HASH, "ranges": RANGES, "manifest": HASH}, {}, None),
    "redaction/v1": (*FETCHER, {"fetch": HASH, "ranges": RANGES, "output": record(
        sha256=HASH, length=integer(1), media_type=MEDIA_TYPE)}, {"(mask)": True}, None),
    "reopen/v1": (*CUSTODIAN, {"scope": SCOPE, "ranges": RANGES, "recipient": HASH}, {"wraps": True, "purpose": True}, _owned_ranges),
    "hold/v1": (*CUSTODIAN, {"series": _series, "from": milliseconds, "to": milliseconds}, {"purpose": True}, _forward_times),
    "release/v1": (*CUSTODIAN, {"hold": HASH}, {}, None),
    "login/v1": (*PERSON, {"audience": _spiffe_appliance, "nonce": HASH, "exporter": nullable(HASH), "expires": milliseconds}, {}, None),
    "certificate/v1": (*AUTHORITY, {"fingerprint": HASH, "replaces": nullable(HASH)}, {"certificate": False, "issuer-": False}, None),
    "certificate-revocation/v1": (*AUTHORITY, {"fingerprint": HASH, "since": milliseconds, "reason": one_of(
        "unspecified", "key-compromise", "ca-compromise", "affiliation-changed", "superseded", "cessation-of-operation",
        "certificate-hold", "privilege-withdrawn", "aa-compromise")}, {"(crl)": False}, None),
    "enrolment/v1": (*AUTHORITY, {"fingerprint": HASH, "policy": one_of("attested", "allow-listed", "software"), "nonce": nullable(HASH)}, {
        "(ek-certificate)": False, "ek-issuer-": False, "(ek-public)": False, "(ak-public)": False, "(certify)": False,
        "(certify-signature)": False, "(key-public)": False}, _enrolment_rules),
    "genesis/v1": (*APPLIANCE, {
        "origin": ORIGIN, "keys": KEYS, "roots": array(HASH, 1, 16, distinct=True), "witness_policy": _policy,
        "predecessor": nullable(LOG_BEFORE), "(earlier)": array(LOG_BEFORE, 1, 32)}, {"certificate": False}, _genesis_rules),
    "succession/v1": (*APPLIANCE, {"successor": record(origin=ORIGIN, keys=KEYS), "reason": one_of("size", "year", "disaster", "other")},
                      {}, None),
    "start/v1": (*APPLIANCE, {"version": _text(1, 128), "enrolment": nullable(HASH)},
                 {"(attest)": False, "(signature)": False, "(values)": False}, _start_rules),
    "log/v1": (*APPLIANCE, {"number": COUNT, "first": COUNT, "count": integer(1, 65_536), "root": HASH, "from": milliseconds,
                            "to": milliseconds}, {"lines": True}, _forward_times),
    "access/v1": (*APPLIANCE, {"fetch": HASH, "granted": _boolean}, {}, None),
    "ban/v1": (*APPLIANCE, {
        "kind": one_of("identity", "network"), "reason": one_of("malformed", "unauthorised", "rate", "contradiction", "operator"),
        "until": nullable(milliseconds), "lifts": nullable(HASH)}, {"(subject)": True}, _ban_rules),
    "retention/v1": (*APPLIANCE, {"ranges": RANGES, "rule": NAME}, {}, _camera_ranges),
    "erasure/v1": (*APPLIANCE, {
        "erased": array(record(entry=HASH, name=text_of(r"[a-z0-9-]{1,32}"), sha256=HASH), 1, 256),
        "reason": one_of("policy", "court", "request"), "order": nullable(HASH)}, {}, _erasure_rules),
    "contradiction/v1": (*APPLIANCE, {"stream": stream_name, "seq": COUNT}, {"first": False, "second": False}, None),
    "timestamp/v1": (*APPLIANCE, {"size": integer(1), "root": HASH}, {"checkpoint": False, "token-": False}, None),
}

ATTACHMENT = record(name=text_of(r"[a-z0-9-]{1,32}"), sha256=HASH, length=integer(0, 16 * 1024 * 1024), erasable=_boolean)
HEADER = dict(type=text_of(r"[a-z-]{1,61}/v[1-9]\d*"), log=HASH, stream=stream_name, seq=COUNT, prev=HASH, issued=milliseconds,
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
    # Those in brackets may be missing.
    members = {member.strip("()"): check for member, check in members.items() if member[0] != "(" or member.strip("()") in body}
    record(**members, attachments=lambda _: None)(body)
    for attachment, erasable in {**required, **({} if "purpose" in required else {"(purpose)": True})}.items():
        _judge_attachment(attachment, erasable, attachments)
    if rule:
        rule(body)
    _judge_place(statement)
    return statement


def _judge_attachment(name, erasable, attachments):
    if name.endswith("-"):
        named = [other for other in attachments if other.startswith(name)]
        need({f"{name}{number}" for number in range(len(named))} == set(named), f"the attachments {name} are not numbered from 0")
    else:
        named = [name.strip("()")]
        if name.startswith("(") and named[0] not in attachments:
            return
    need(all(other in attachments and attachments[other]["erasable"] is erasable for other in named), f"the attachment {name}")


def _judge_place(statement):
    """What must hold around a body."""
    name, body, stream, observed = statement["type"], statement["body"], statement["stream"].split("/"), statement["observed"]
    series, issued = "/".join(stream[2:-1]), statement["issued"]
    if name == "event/v1":
        need(series == "events", "an event among other statements")
    if name == "attestation/v1" or name == "start/v1" and body["enrolment"] is not None:
        need(observed["size"] > 0, "a nonce that everybody knows")
    if name == "login/v1":
        need(series == "login" and stream[-1] == body["nonce"][:32] and statement["seq"] == 0, "a login in another stream than its own")
        need(0 < milliseconds(body["expires"]) - milliseconds(issued) <= 300_000, "a login that is shown for too long, or not at all")
    elif stream[0] == "user":
        need(series != "login", "another statement among logins")
    if name == "ban/v1":
        need(body["until"] is None or body["until"] > issued, "a ban that has ended")
    if name == "timestamp/v1":
        need(body["size"] <= observed["size"], "a checkpoint that was not observed")
        need(body["size"] < observed["size"] or body["root"] == observed["root"], "a checkpoint of another tree")
