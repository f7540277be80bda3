"""Reads the lines that the follow programs print, and says what they should be."""

import datetime
import re

VALUE = r'"(?:[^"\\]|\\.)*"|[^\s"]+'
FIELD = re.compile(rf" (\w+)=({VALUE})")
LINE = re.compile(rf"(\S+) ({VALUE}) (\w+)((?: \w+=(?:{VALUE}))*)")
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))")
ENDS = ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")
KINDS = (
    *ENDS,
    "BLOCK_JOB_READY",
    "BLOCK_JOB_PENDING",
    "BLOCK_JOB_ERROR",
    "JOB_STATUS_CHANGE",
)


def parse(line):
    """A line as a dictionary: time, monitor, event, and each field by its label; all strings."""
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"wanted TIME MONITOR EVENT LABEL=VALUE..., not {line!r}")
    parsed = {"time": match[1], "monitor": unquoted(match[2]), "event": match[3]}
    for label, value in FIELD.findall(match[4]):
        parsed[label] = unquoted(value)
    return parsed


def unquoted(value):
    if not value.startswith('"'):
        return value
    return ESCAPE.sub(lambda m: m[3] or chr(int(m[1] or m[2], 16)), value[1:-1])


def expected(message, monitor):
    """What parse() should make of the line for this event, which QEMU sent as `message`."""
    data = message["data"]
    stamp = message["timestamp"]
    second = datetime.datetime.fromtimestamp(stamp["seconds"], datetime.UTC)
    line = {
        "time": f"{second:%Y-%m-%dT%H:%M:%S}.{stamp['microseconds']:06}Z",
        "monitor": monitor,
        "event": message["event"],
        "job": data["device"] if "device" in data else data["id"],
    }
    if message["event"] == "BLOCK_JOB_CANCELLED":
        line["outcome"] = "cancelled"
    if message["event"] == "BLOCK_JOB_COMPLETED":
        line["outcome"] = "failed" if "error" in data else "succeeded"
    if data.get("type") in ("commit", "mirror") and message["event"] in ENDS:
        # Nobody can say it of a mirror that somebody else completed.
        if data["type"] == "commit" or line["outcome"] != "succeeded":
            line["pivoted"] = "no"
    for member in ("type", "status", "action", "operation", "len", "offset", "speed", "error"):
        if member in data:
            line[member] = str(data[member])
    return line
