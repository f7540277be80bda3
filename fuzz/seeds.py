#!/usr/bin/env python3
"""Makes seeds for the fuzz targets from what real QEMUs have said.

    fuzz/seeds.py FOLDER

writes FOLDER/TARGET/NAME for each target, from tests/data/transcripts. `make fuzz-corpus` calls it
and keeps of the seeds those that reach something which the others do not.
"""

import hashlib
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRANSCRIPTS = ROOT / "tests" / "data" / "transcripts"
SIZE_MAX = 4096
# As in fuzz_targets/jobs.rs.
STATUSES = ["created", "running", "paused", "ready", "standby", "waiting", "pending", "aborting",
            "concluded", "null", "undefined"]


class Seeds:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def add(self, target, content):
        content = content[:SIZE_MAX]
        folder = self.folder / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def connections():
    """Each connection of each transcript as a list of (direction, bytes)."""
    for path in sorted(TRANSCRIPTS.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for number in sorted({line["conn"] for line in lines}):
            yield [(line["dir"], line["raw"].encode("latin-1"))
                   for line in lines if line["conn"] == number]


def messages(connection, direction):
    stream = b"".join(raw for way, raw in connection if way == direction)
    return [line.strip(b"\r") for line in stream.split(b"\n") if line.strip()]


def read(message):
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def text_of(value):
    return json.dumps(value).encode()


def script(connection):
    """A connection as a script for fuzz_targets/hub.rs."""
    lines = [b"s", b"c7"]
    for way, raw in connection:
        for message in messages([(way, raw)], way):
            value = read(message)
            if way == "send" and isinstance(value.get("execute"), str):
                if value["execute"] != "qmp_capabilities":
                    arguments = text_of(value.get("arguments", {}))
                    lines.append(b"x0" + value["execute"].encode() + b" " + arguments)
            elif way == "recv" and ("return" in value or "error" in value):
                if "error" in value:
                    lines.append(b"e0" + str(value["error"].get("class")).encode())
                elif value["return"] == {}:
                    lines.append(b"a")
                else:
                    lines.append(b"r0" + text_of(value["return"]))
            elif way == "recv":
                lines.append(b"<" + message)
    lines += [b"d", b"+", b"c7", b"a", b"A01"]
    return lines


def steps(connection):
    """The job events of a connection, and nothing else, for fuzz_targets/jobs.rs."""
    ids, found = {}, bytearray()
    for message in messages(connection, "recv"):
        value = read(message)
        data = value.get("data") or {}
        job = ids.setdefault(data.get("id") or data.get("device"), len(ids) & 3)
        event = value.get("event")
        if event == "JOB_STATUS_CHANGE" and data.get("status") in STATUSES:
            found += bytes([0, job | STATUSES.index(data["status"]) << 2])
        elif event in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_READY",
                       "BLOCK_JOB_PENDING", "BLOCK_JOB_ERROR"):
            what = {"COMPLETED": 2 if "error" in data else 0, "CANCELLED": 3, "READY": 5,
                    "PENDING": 6, "ERROR": 7}[event.rsplit("_", 1)[1]]
            found += bytes([2, job | what << 2])
        elif "return" in value:
            found += bytes([6, 0])
    return bytes(found)


def main():
    seeds = Seeds(sys.argv[1])
    for number, connection in enumerate(connections()):
        heard = messages(connection, "recv")
        stream = b"".join(raw for way, raw in connection if way == "recv")
        if not stream:
            continue
        limit = [4096, 400, 65535][number % 3].to_bytes(2, "little")
        seeds.add("lines", limit + bytes([number % 256]) + stream)
        # QEMU with pretty=on.
        pretty = b"\r\n".join(json.dumps(read(it), indent=4).encode() for it in heard[:6])
        seeds.add("lines", limit + bytes([number % 256]) + pretty)

        for message in heard:
            if len(message) < 2048:
                seeds.add("message", message)
                seeds.add("decode", message)
                seeds.add("secrets", bytes([number % 16, 200]) + message)
        for message in messages(connection, "send"):
            value = read(message)
            if isinstance(value.get("execute"), str):
                arguments = text_of(value.get("arguments", {}))
                name = value["execute"].encode()
                seeds.add("arguments", bytes([number % 8]) + name + b"\nj0\n" + arguments)
                seeds.add("secrets", bytes([number % 16, 200]) + message)

        events = [it for it in heard if b"JOB" in it and b'"event"' in it]
        if events:
            journal = b"\r\n".join(it.replace(b'"s0"', b'"own-s0"') for it in events) + b"\r\n"
            for wanted in (0b100110, 0b001010, 0b100111):
                seeds.add("journal", bytes([number % 7, wanted, number * 37 % 256]) + journal)

        lines = script(connection)
        for settings in (b"", b"jo", b"okpt"):
            # A part of a long one, which begins as all do.
            whole = b"\n".join([settings] + lines)
            seeds.add("hub", whole[:SIZE_MAX].rsplit(b"\n", 1)[0])
            story = bytes([len(settings) * 5, 4, 0]) + steps(connection)
            seeds.add("jobs", story + bytes([16, 1, 6, 0, 9, 0, 8, 1, 20, 0, 17, 0]))
        taken = b"".join(lines)
        seeds.add("storm", taken[:512])

    for name in ("password", "key", "cookie", "auth", "data", "key-secret"):
        for value in ({"a": 1}, ["x"], "nbd://h:1/x?y=z", "json:{}", "rbd:a:key=b"):
            message = {"execute": "blockdev-add", "arguments": {name: value, "node-name": "n"}}
            seeds.add("secrets", bytes([2, 90]) + text_of(message))
            seeds.add("secrets", bytes([7, 90]) + text_of({"event": "X", "data": {name: value}}))
    for target in sorted(os.listdir(seeds.folder)):
        files = list((seeds.folder / target).iterdir())
        size = sum(it.stat().st_size for it in files)
        print(f"{target:10} {len(files):6} seeds {size:9} bytes")


if __name__ == "__main__":
    main()
