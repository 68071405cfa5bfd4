"""Text files as UTF-8, whatever they are packed and written in: the mark at their start, the setting, else a guess."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from charset_normalizer import from_bytes

BLOCK_BYTES = 16 * 2**20
SAMPLE_BYTES = 64 * 1024
"""What a guess looks at: text that is not ASCII, from all over the file."""
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks, the longer ones first: that of UTF-16 begins that of UTF-32."""
CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r\f\x1b"))
CONTROL_SHARE = 0.05
LEAST_CONTROLS = 16
"""So many bytes that no text has, and such a share of the first ones, tell a file that is none; noise has a tenth."""
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "gb18030", "big5", "cp949", "euc_jp"),
]
"""What shops still write. Among all that exist, a short text fits some code page of an old mainframe just as well."""


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a file are read."""

    name: str
    how: str
    """``mark`` (at its start), ``setting``, ``utf-8`` (it is), or ``guessed``."""


class NotTextError(ValueError):
    """A file that is named as text and holds something else."""


@contextmanager
def opened(file: Path, name: str) -> Iterator[Any]:
    """The unpacked bytes of a file; ``name`` tells how it is packed, or its first bytes do where it has no ending."""
    packed = next((COMPRESSIONS[s] for s in COMPRESSIONS if name.lower().endswith(s)), None)
    if packed is None and "." not in name.rsplit("/", 1)[-1]:
        with file.open("rb") as start:
            head = start.read(4)
        packed = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    with pa.input_stream(str(file), compression=packed) as stream:
        yield stream


def encoding_of(file: Path, name: str, setting: str | None = None) -> Encoding:
    """How a file is written: its byte-order mark counts first, then the setting, then whether it is UTF-8.

    One damaged byte does not turn the other letters of a file of UTF-8 into those of another encoding: a file is none
    only where most of what is not ASCII is no UTF-8. Then charset-normalizer guesses from ``SAMPLE_BYTES``.

    Raises:
        NotTextError: it is not text.
    """
    with opened(file, name) as stream:
        block = stream.read(BLOCK_BYTES)
        for mark, encoding in MARKS:
            if block.startswith(mark):
                return Encoding(encoding, "mark")
        if setting:
            return Encoding(setting, "setting")
        if (wide := _wide(block[:SAMPLE_BYTES])) is not None:
            return Encoding(wide, "guessed")
        controls = len(block[:SAMPLE_BYTES]) - len(block[:SAMPLE_BYTES].translate(None, CONTROLS))
        if controls >= LEAST_CONTROLS and controls > CONTROL_SHARE * len(block[:SAMPLE_BYTES]):
            raise NotTextError("it begins with bytes that no text has")
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        letters = bad = 0
        sample = b""
        while block:
            if not block.isascii():
                text = decoder.decode(block)
                letters += len(text) - len(text.encode("ascii", "ignore"))
                bad += text.count("\ufffd")
                if bad and len(sample) < SAMPLE_BYTES:
                    sample += _letters(block, SAMPLE_BYTES - len(sample))
            block = stream.read(BLOCK_BYTES)
    return Encoding("utf-8", "utf-8") if 2 * bad <= letters else Encoding(_guess(sample), "guessed")


def utf8_blocks(file: Path, name: str, encoding: Encoding) -> Iterator[str]:
    """The text of a file by blocks, without its mark; bytes that fit no letter become U+FFFD, and so does NUL."""
    decoder = codecs.getincrementaldecoder(encoding.name)("replace")
    first = True
    with opened(file, name) as stream:
        while block := stream.read(BLOCK_BYTES):
            text = decoder.decode(block)
            yield (text.removeprefix("\ufeff") if first else text).replace("\x00", "\ufffd")
            first = False
    if rest := decoder.decode(b"", True):
        yield rest.replace("\x00", "\ufffd")


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    half = len(sample) // 2
    if half and sample[1::2].count(0) > 0.4 * half and sample[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if half and sample[::2].count(0) > 0.4 * half and sample[1::2].count(0) < 0.1 * half else None


def _letters(block: bytes, size: int) -> bytes:
    """Lines that are not ASCII, up to ``size`` bytes."""
    kept, length = [], 0
    for found in re.finditer(rb"[^\n]{0,2000}[\x80-\xff][^\n]{0,2000}\n?", block):
        kept.append(found.group())
        length += len(kept[-1])
        if length >= size:
            break
    return b"".join(kept)[:size]


def _guess(sample: bytes) -> str:
    """The likeliest encoding; Windows-1252 (Latin-1 is a part of it) where a rarer one reads no better."""
    matches = from_bytes(sample, cp_isolation=_CANDIDATES)
    best = matches.best()
    if best is None:
        return "cp1252"
    if best.encoding not in ("cp1250", "cp1252", "cp1254"):
        return str(best.encoding)
    western = sample.decode("cp1252", "replace")
    rival = next((m for m in matches if m.encoding == "cp1252"), None)
    # What these code pages have for letters, Windows-1252 has for signs: a sign inside a word is a misread letter.
    misread = re.search(r"(?<=[^\W\d_])[¹³¾¿¯¼£](?=[^\W\d_])|¯(?=[^\W\d_])|\ufffd", western)
    if misread:
        return next((str(m.encoding) for m in matches if m.encoding != "cp1252"), "cp1250")
    same = western == sample.decode(best.encoding, "replace")
    poorer = best.coherence > 0 and not same and (rival is None or rival.coherence < best.coherence)
    return str(best.encoding) if poorer else "cp1252"
