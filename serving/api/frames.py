"""Objects over the socket between a server and a process that searches for it.

The socket is a pair that only these two hold, so pickles are as safe as the program itself.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct("!I")


def frame(told: Any) -> bytes:
    """An object as bytes that say their length first."""
    body = pickle.dumps(told, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def receive(stream: BinaryIO) -> Any:
    """The next object.

    Raises:
        EOFError: the other side closed it, or ended.
    """
    return pickle.loads(_exactly(stream, LENGTH.unpack(_exactly(stream, LENGTH.size))[0]))


async def receive_async(stream: asyncio.StreamReader) -> Any:
    """As :func:`receive`, on an event loop."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return pickle.loads(await stream.readexactly(length))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    read = stream.read(count)
    if len(read) < count:
        raise EOFError("the other side ended")
    return read
