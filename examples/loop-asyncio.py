#!/usr/bin/env python3
"""Does what loop-glib.c does in a loop of asyncio's; read start.c and pull.c first.

Events are pulled when the library's descriptor is readable, so C calls no function of Python's. It
needs ctypes alone, and loads libblockjob.so.0 or the file that BLOCKJOB_LIBRARY names."""
import asyncio
import ctypes
import errno
import os
import sys

DELIVERY_PULL, EVENT_FINAL, SUCCEEDED = 3, 7, 1  # as in blockjob.h
lib = ctypes.CDLL(os.environ.get("BLOCKJOB_LIBRARY", "libblockjob.so.0"))


class Handle(ctypes.c_void_p):
    """A pointer to a thing of the library; ctypes makes a mere number of a plain c_void_p."""


def call(name, *arguments, result=ctypes.c_int):
    function = lib["blockjob_" + name]
    function.restype = result
    return function(*arguments)


def check(result, *allowed):
    if result < 0 and -result not in allowed:
        sys.exit("loop-asyncio: " + call("last_error", result=ctypes.c_char_p).decode())
    return result


def pull(listener, end):
    event = Handle()
    place = ctypes.byref(event)
    while check(call("listener_next_event", listener, 0, place), errno.ETIMEDOUT) == 0:
        print(call("event_get_line", event, result=ctypes.c_char_p).decode())
        end.set_result(call("event_get_outcome", event))
        call("event_acknowledge", event, 10000)  # only now does QEMU forget the job
        call("event_unref", event, result=None)


async def main(address, arguments):
    listener, monitor, job = Handle(), Handle(), Handle()
    check(call("listener_new", ctypes.byref(listener)))
    check(call("listener_set_delivery", listener, DELIVERY_PULL))
    check(call("monitor_new", listener, os.fsencode(address), ctypes.byref(monitor)))
    check(await asyncio.to_thread(call, "monitor_connect", monitor, 10000))
    check(call("job_new", monitor, None, 0, ctypes.byref(job)))
    job_id = call("job_get_id", job, result=ctypes.c_char_p)
    check(call("callback_add", listener, monitor, job_id, EVENT_FINAL, None, None, None,
               result=ctypes.c_int64))
    loop = asyncio.get_running_loop()
    end, fd = loop.create_future(), call("listener_get_fd", listener)
    loop.add_reader(fd, pull, listener, end)
    check(call("job_start", job, b"block-stream", os.fsencode(arguments), 10000),
          errno.ETIMEDOUT, errno.ECONNRESET)  # with these two it may have been started
    outcome = await end
    loop.remove_reader(fd)  # it is the library's, and let go before that closes it
    call("job_free", job, result=None)
    call("monitor_unref", monitor, result=None)
    call("listener_free", listener)
    return 0 if outcome == SUCCEEDED else 1 if outcome else 2


if len(sys.argv) != 3:
    sys.exit("usage: loop-asyncio.py unix:PATH ARGUMENTS-OF-BLOCK-STREAM")
sys.exit(asyncio.run(main(*sys.argv[1:])))
