"""qemu.qmp, Python's library of QEMU's own: `qmp_peer.py flood PATH WHAT COUNT ROUNDS [each]` and
`qmp_peer.py latency PATH COUNT`."""

import asyncio
import logging
import resource
import sys
import time

from qemu.qmp import QMPClient


def cpu_ns():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


async def flood(path, what, count, rounds, each):
    client = QMPClient("bench")
    await client.connect(path)
    arguments = {"what": what, "count": int(count), "each": each}
    events = 0
    with client.listener() as listener:
        cpu, wall = cpu_ns(), time.monotonic_ns()
        for _ in range(int(rounds)):
            await client.execute("x-flood", arguments)
            async for event in listener:
                events += 1
                if event.get("data", {}).get("device") == "bench-end":
                    break
        print("events", events)
        print("cpu_ns", cpu_ns() - cpu)
        print("wall_ns", time.monotonic_ns() - wall)
    await client.disconnect()


async def latency(path, count):
    client = QMPClient("bench")
    await client.connect(path)
    times = []
    with client.listener() as listener:
        print("ready", flush=True)
        async for event in listener:
            data = event.get("data", {})
            if event["event"] != "BLOCK_JOB_COMPLETED" and data.get("id") != "lone":
                continue
            at = event["timestamp"]
            begun = at["seconds"] * 1_000_000 + at["microseconds"]
            times.append(time.time_ns() / 1000 - begun)
            if len(times) == int(count):
                break
    print("times", *(round(time) for time in times), flush=True)
    await client.disconnect()


logging.disable(logging.CRITICAL)
match sys.argv[1:]:
    case ["flood", path, what, count, rounds, *each]:
        asyncio.run(flood(path, what, count, rounds, bool(each)))
    case ["latency", path, count]:
        asyncio.run(latency(path, count))
    case _:
        sys.exit(__doc__)
