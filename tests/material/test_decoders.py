"""A child that decodes may end however it likes: what it costs is the file in hand."""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seewhy.images.decoding import decode
from seewhy.material import decoders
from seewhy.material.decoders import Decoded, Decoders

#: Children that obey what stands in a file: no real file is known that ends Pillow.
OBEDIENT = """
import ctypes, os, signal, time
from seewhy import decoders
decode = decoders.decode
def obey(content, name):
    if content == b"segfault": ctypes.string_at(0)
    if content == b"killed": os.kill(os.getpid(), signal.SIGKILL)
    if content == b"leaves": os._exit(3)
    if content == b"stalls": time.sleep(600)
    if content == b"greedy": bytearray(2 * decoders.MEMORY)
    if content == b"babbles": os.write(1, b"{"); os._exit(0)
    if content.startswith(b"once "):
        try: open(content[5:], "x").close()
        except FileExistsError: return decode(GOOD, name)
        os._exit(1)
    return decode(content, name)
decoders.decode = obey
GOOD = bytes.fromhex("%s")
decoders.serve()
"""


def png(level):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 5), (level, 10, 20)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def obedient(monkeypatch):
    monkeypatch.setattr(decoders, "PROGRAM", OBEDIENT % png(7).hex())


def test_what_comes_back_is_what_is_made_here():
    with Decoders() as there:
        (found,) = there.decode([(png(200), "a.png")])
    here = decoders.reduced(decode(png(200)))
    assert (found.width, found.height, found.digest) == (6, 5, here.digest)
    np.testing.assert_array_equal(found.small, here.small)


def test_an_error_comes_back_in_its_words_and_with_its_code():
    with Decoders() as there:
        empty, text = there.decode([(b"", 'a"\n.png'), (b"hello", "é\udcff.png")])
    assert (str(empty), empty.code) == ("'a\"\\n.png' is an empty file", "empty-file")
    assert text.code == "not-an-image"
    assert str(text).startswith(r"'é\udcff.png' is not an image")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are named otherwise there")
@pytest.mark.parametrize(
    ("content", "how"),
    [(b"segfault", "SIGSEGV"), (b"killed", "SIGKILL"), (b"leaves", "exit code 3"), (b"babbles", "exit code 0")],
)
def test_a_child_that_ends_costs_the_file_in_hand_and_no_other(obedient, content, how):
    files = [(png(1), "1"), (png(2), "2"), (content, "bad"), (png(3), "3"), (content, "worse"), (png(4), "4")]
    with Decoders() as there:
        found = there.decode(files)
        again = there.decode(files[:1])
    assert [isinstance(answer, Decoded) for answer in found] == [True, True, False, True, False, True]
    assert (found[2].code, str(found[2])) == ("crashes", f"'bad' ended the process that decoded it, twice ({how})")
    assert "'worse'" in str(found[4])
    assert isinstance(again[0], Decoded)


def test_a_child_that_something_else_ended_costs_nothing(obedient, tmp_path):
    with Decoders() as there:
        (found,) = there.decode([(b"once " + os.fsencode(tmp_path / "mark"), "a.png")])
    assert (tmp_path / "mark").exists()
    assert found.digest == decoders.reduced(decode(png(7))).digest


def test_a_file_that_is_never_done_is_given_up(obedient, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 0.5)
    with Decoders() as there:
        late, good = there.decode([(b"stalls", "slow.png"), (png(1), "good.png")])
    assert (str(late), late.code) == ("'slow.png' was not decoded within 0.5 seconds", "too-slow")
    assert isinstance(good, Decoded)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its memory")
def test_a_file_that_takes_all_memory_is_named_and_its_child_goes_on(obedient):
    with Decoders() as there:
        greedy, good = there.decode([(b"greedy", "big.png"), (png(1), "good.png")])
    assert (str(greedy), greedy.code) == ("'big.png' needs more memory than an image may take", "too-much-memory")
    assert isinstance(good, Decoded)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is read as Linux tells it")
def test_the_largest_image_that_is_read_fits_into_a_child():
    """A transparent one that lies on its side, which is held twice."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("LA", (7000, 7100), (3, 3)).save(buffer, "PNG", exif=exif, compress_level=1)
    with Decoders() as there:
        (found,) = there.decode([(buffer.getvalue(), "big.png")])
        status = Path(f"/proc/{there._children[0]._process.pid}/status").read_text()
    assert (found.width, found.height) == (7100, 7000)
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak < decoders.MEMORY


def test_each_thread_has_a_child_of_its_own():
    found = {}

    def ask(there, thread):
        found[thread] = [there.decode([(png(thread), "a"), (png(place), "b")]) for place in range(5)]

    with Decoders() as there:
        threads = [threading.Thread(target=ask, args=(there, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(there._children) == 6
    for thread in range(6):
        for place, (first, second) in enumerate(found[thread]):
            assert first.digest == decoders.reduced(decode(png(thread))).digest
            assert second.digest == decoders.reduced(decode(png(place))).digest


def test_more_than_a_pipe_holds_goes_both_ways():
    with Decoders() as there:
        found = there.decode([(png(level % 256), str(level)) for level in range(300)] + [(bytes(10**6), "zeros")])
    assert all(isinstance(answer, Decoded) for answer in found[:300])
    assert found[300].code == "not-an-image"


def test_no_child_and_no_thread_is_left_behind():
    before = threading.active_count()
    with Decoders() as there:
        there.decode([(png(1), "a")])
        process = there._children[0]._process
    assert process.returncode is not None
    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_an_interrupt_at_the_terminal_is_the_parents_to_heed():
    with Decoders() as there:
        there.decode([(png(1), "a")])
        os.kill(there._children[0]._process.pid, signal.SIGINT)
        time.sleep(0.1)
        assert isinstance(there.decode([(png(2), "b")])[0], Decoded)


def test_a_child_that_cannot_start_is_an_error_with_its_last_words(monkeypatch):
    monkeypatch.setattr(decoders, "PROGRAM", "raise SystemError('no such luck')")
    with Decoders() as there, pytest.raises(RuntimeError, match="could not start: SystemError: no such luck"):
        there.decode([(png(1), "a")])


def test_a_child_loads_neither_torch_nor_arrow(monkeypatch):
    loads = "import sys; from seewhy.material import decoders; assert not {'torch', 'pyarrow', 'scipy'} & set(sys.modules); decoders.serve()"
    monkeypatch.setattr(decoders, "PROGRAM", loads)
    with Decoders() as there:
        assert isinstance(there.decode([(png(1), "a")])[0], Decoded)
