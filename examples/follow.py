#!/usr/bin/env python3
"""Does what follow.c does, to the byte; read that first.

It needs ctypes alone, and loads libblockjob.so.0 or the file that BLOCKJOB_LIBRARY names."""
import collections
import ctypes
import os
import signal
import sys

EVENT_CONNECTED, EVENT_DISCONNECTED, ALL_OBSERVE = 0x80, 0x100, 0x40001FFF  # as in blockjob.h
INTERRUPTS = {signal.SIGINT, signal.SIGTERM}
lib = ctypes.CDLL(os.environ.get("BLOCKJOB_LIBRARY", "libblockjob.so.0"))


class Handle(ctypes.c_void_p):
    """A pointer to a thing of the library; ctypes makes a mere number of a plain c_void_p."""


def call(name, *arguments, result=ctypes.c_int):
    function = lib["blockjob_" + name]
    function.restype = result
    return function(*arguments)


def check(step, result):
    if result < 0:
        sys.exit(f"follow: {step}: " + call("last_error", result=ctypes.c_char_p).decode())


@ctypes.CFUNCTYPE(None, Handle, ctypes.c_void_p)
def on_event(event, opaque):
    try:
        os.write(1, call("event_get_line", event, result=ctypes.c_char_p) + b"\n")
    except OSError as error:
        print("follow: cannot write:", error.strerror, file=sys.stderr, flush=True)
        os._exit(1)
    seen[call("event_get_kind", event)] += 1
    if seen[EVENT_DISCONNECTED] == len(addresses):
        os.kill(os.getpid(), signal.SIGTERM)


addresses, listener, seen = sys.argv[1:], Handle(), collections.Counter()
if not addresses:
    sys.exit("usage: follow.py unix:PATH...")
signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
check("make a listener", call("listener_new", ctypes.byref(listener)))
try:
    check("add a callback", call("callback_add", listener, None, None, ALL_OBSERVE, on_event,
                                 None, None, result=ctypes.c_int64))
    for address in addresses:
        monitor = Handle()
        check(address, call("monitor_new", listener, os.fsencode(address), ctypes.byref(monitor)))
        check(address, call("monitor_set_reconnect", monitor, -1, -1))  # gone is gone
        check(address, call("monitor_start", monitor))
        call("monitor_unref", monitor, result=None)
    signal.sigwait(INTERRUPTS)
finally:
    call("listener_free", listener)
sys.exit(seen[EVENT_CONNECTED] < len(addresses))
