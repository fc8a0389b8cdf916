"""Child processes that decode images for the scan, so that a file that ends or stalls one costs only itself.

A picture may be made to hurt whoever opens it: to end the process, to take all memory, never to be done. So each is
opened for the first time in a child that holds nothing else: Python, NumPy and Pillow. It may take MEMORY bytes of
address space (where the system can say so: not on Windows, and macOS does not enforce it) and SECONDS a file. One that
dies is replaced; the file in hand is tried once more, since something else may have ended the child, and then named.

What comes back is small and fixed, and nothing in it is unpickled: sizes, a hash of all pixels, 32 x 32 of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Thread, local
from typing import BinaryIO, cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from seewhy.images.decoding import Undecodable, decode

MEMORY = 1_000_000_000
SECONDS = 30.0
#: The side of the small picture that images are compared by.
SIDE = 32
#: What a child runs.
PROGRAM = "from seewhy.material.decoders import serve; serve()"
_READY = b"ready\n"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the scan keeps of an image: its size, a hash of its pixels and size, and a small picture of it."""

    width: int
    height: int
    digest: bytes
    small: UInt8[np.ndarray, "side side 3"]


def reduced(pixels: UInt8[np.ndarray, "height width 3"]) -> Decoded:
    """From pixels that are there already."""
    pixels = np.ascontiguousarray(pixels)
    height, width, _ = pixels.shape
    digest = hashlib.blake2b(pixels.data, digest_size=16, person=b"%dx%d" % (width, height)).digest()
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Decoded(width, height, digest, np.asarray(small))


# ----------------------------------------------------------------------------------------------------- the parent


class Decoders:
    """A child for each thread that asks, started when it first does; all of them end with the `with`."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._own = local()
        self._closed = Event()
        self._watch = Thread(target=self._end_the_late, daemon=True)

    def __enter__(self) -> Decoders:
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._watch.join()
        for child in self._children:
            child.end()

    def decode(self, files: Sequence[tuple[bytes, str]]) -> list[Decoded | Undecodable]:
        """What is in each of these files, given as (content, name), or why it cannot be told.

        Raises RuntimeError where no child can be started.
        """
        found: list[Decoded | Undecodable] = []
        deaths = 0
        while len(found) < len(files):
            child = self._child()
            answers = child.ask(files[len(found) :])
            found += answers
            if len(found) == len(files):
                break
            child.end()
            deaths = 1 if answers else deaths + 1
            if deaths > 1 or child.late:
                found.append(child.blame(files[len(found)][1]))
                deaths = 0
        return found

    def _child(self) -> _Child:
        """The calling thread's own, a new one if it has none that lives."""
        child: _Child | None = getattr(self._own, "child", None)
        if child is None or child.ended:
            child = self._own.child = _Child()
            self._children.append(child)
        return child

    def _end_the_late(self) -> None:
        while not self._closed.wait(min(0.25, SECONDS / 4)):
            for child in tuple(self._children):
                child.end_if_late()


class _Child:
    """One process, asked by one thread at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join(sys.path)  # what can be imported here can be imported there
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread's stack counts as memory
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **single, "PYTHONPATH": path},
        )
        self._to = cast(BinaryIO, self._process.stdin)
        self._back = cast(BinaryIO, self._process.stdout)
        self._words = cast(BinaryIO, self._process.stderr)
        self.late = False
        self._since: float | None = None
        if self._back.readline() != _READY:
            words = self._words.read().decode(errors="replace").strip().splitlines()
            self.end()
            raise RuntimeError(f"The process that decodes images could not start: {words[-1] if words else 'no word'}")

    def ask(self, files: Sequence[tuple[bytes, str]]) -> list[Decoded | Undecodable]:
        """The answers for those files that it lived to give."""
        answers: list[Decoded | Undecodable] = []
        self._since = time.monotonic()
        try:
            head = json.dumps([[len(content), name] for content, name in files])
            self._to.write(head.encode() + b"\n")
            self._to.writelines(content for content, _ in files)
            self._to.flush()
            for answer in _answers(self._back, len(files)):
                answers.append(answer)
                self._since = time.monotonic()
        except OSError:  # it died before it had heard everything
            pass
        self._since = None
        return answers

    def end_if_late(self) -> None:
        since = self._since
        if since is not None and time.monotonic() - since > SECONDS:
            self.late = True
            self._process.kill()

    @property
    def ended(self) -> bool:
        """Whether it was seen to end."""
        return self._process.returncode is not None

    def blame(self, name: str) -> Undecodable:
        """Why there is no answer for the file in hand, of a child that has ended."""
        if self.late:
            return Undecodable(f"{name!r} was not decoded within {SECONDS:g} seconds", "too-slow")
        code = self._process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Undecodable(f"{name!r} ended the process that decoded it, twice ({how})", "crashes")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._to, self._back, self._words):
            with contextlib.suppress(OSError):
                pipe.close()


def _answers(back: BinaryIO, count: int) -> Iterator[Decoded | Undecodable]:
    """As many answers as come, each a line of JSON and perhaps the small picture; a broken one is none."""
    for _ in range(count):
        try:
            answer = json.loads(back.readline())
            if "code" in answer:
                yield Undecodable(str(answer["what"]), str(answer["code"]))
            else:
                picture = np.frombuffer(back.read(SIDE * SIDE * 3), np.uint8).reshape(SIDE, SIDE, 3)
                yield Decoded(int(answer["width"]), int(answer["height"]), bytes.fromhex(answer["digest"]), picture)
        except (ValueError, KeyError, TypeError):
            return


# ------------------------------------------------------------------------------------------------------ the child


def serve() -> None:
    """What a child does until its parent hangs up: hear some files, then tell of one after the other.

    It hears all of them first, so that neither side waits for the other with a full pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is the parent's to heed
    _limit_memory()
    hear, tell = sys.stdin.buffer, sys.stdout.buffer
    tell.write(_READY)
    tell.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what libraries of C have to say of broken files
    while line := hear.readline():
        asked = json.loads(line)
        contents = [hear.read(size) for size, _ in asked]
        for place, (_, name) in enumerate(asked):
            content, contents[place] = contents[place], b""
            for piece in _told(content, name):
                tell.write(piece)
            tell.flush()


def _told(content: bytes, name: str) -> tuple[bytes, ...]:
    """The answer for one file as it goes over the pipe."""
    try:
        seen = reduced(decode(content, name))
    except Undecodable as error:
        return (json.dumps({"code": error.code, "what": str(error)}).encode() + b"\n",)
    except MemoryError:
        what = f"{name!r} needs more memory than an image may take"
        return (json.dumps({"code": "too-much-memory", "what": what}).encode() + b"\n",)
    found = {"width": seen.width, "height": seen.height, "digest": seen.digest.hex()}
    return json.dumps(found).encode() + b"\n", seen.small.tobytes()


def _limit_memory() -> None:
    """No more address space than MEMORY, so no more memory either; where the system has no such limit, none."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # there is none on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
