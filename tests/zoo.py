"""The data zoo: everything odd that a folder of images may hold, how to make it, and what SeeWhy does about it.

The table QUIRKS is read by tests/test_zoo.py, which makes each quirk and looks; by docs/generate.py, which writes
docs/data_zoo.md from it; and by benchmarks/scan.py, which breaks a tenth of a large folder in all of these ways.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

Place = Literal["file", "folder", "own"]


@dataclass(frozen=True)
class Quirk:
    """One odd thing.

    `make(root)` makes it: a file beside others in root/cat, something beside the classes, or a whole folder of its own.
    With a `code` there must be a problem of that code at `where` whose sentence holds `words`; "left out" means that
    the file is not used. "refused" means that opening raises, holding `words`. "read": no problem, and where `pixel` is
    given the image at `where` begins with that colour.
    """

    name: str
    make: Callable[[Path], object]
    outcome: Literal["left out", "named", "refused", "read"]
    code: str = ""
    where: str = ""
    words: str = ""
    pixel: tuple[int, int, int] | None = None
    place: Place = "file"


# ----------------------------------------------------------------------------------------------- how they are made

SIDE = 24


def photo(seed: int, side: int = SIDE) -> Image.Image:
    """A small picture unlike any other."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    noise = random.normal(0, 6, (side, side, 3))
    pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def flat(colour: tuple[int, ...] | int | float = (200, 40, 90), mode: str = "RGB") -> Image.Image:
    """One colour all over."""
    return Image.new(mode, (SIDE, SIDE), colour)


def stored(image: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def healthy(root: Path, each: int = 4) -> Path:
    """Two classes of good images, for the quirks to stand beside."""
    for place, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            photo(1000 * place + number).save(root / name / f"{number}.png")
    return root


def file(name: str, content: bytes | Callable[[], bytes]) -> Callable[[Path], object]:
    """A file in the class cat."""
    return lambda root: (root / "cat" / name).write_bytes(content() if callable(content) else content)


def cut(kind: str) -> Callable[[], bytes]:
    """The first half of a good file."""

    def made() -> bytes:
        whole = stored(photo(7, 64), kind)
        return whole[: len(whole) // 2]

    return made


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *more: bytes) -> bytes:
    """The header of a PNG that announces this size, and chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IEND", b"")


def wrong_sum() -> bytes:
    whole = bytearray(stored(photo(8)))
    place = whole.index(b"IDAT")
    whole[place + 20] ^= 255
    return bytes(whole)


def without_quantisation() -> bytes:
    whole = stored(photo(9), "JPEG")
    place = whole.index(b"\xff\xdb")
    return whole[:place] + whole[place + 2 + int.from_bytes(whole[place + 2 : place + 4], "big") :]


def strange_compression() -> bytes:
    whole = bytearray(stored(photo(10), "TIFF", compression="tiff_lzw"))
    place = whole.index(struct.pack("<HHI", 259, 3, 1))
    whole[place + 8 : place + 10] = struct.pack("<H", 34892)
    return bytes(whole)


def turned() -> bytes:
    """Red above, blue below when upright; stored on its side."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = (250, 10, 10)
    pixels[:, SIDE // 2 :] = (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = 6
    return stored(Image.fromarray(pixels), "PNG", exif=exif)


def wide(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.broadcast_to(values, (SIDE, len(values))).copy())


def deep_colour() -> bytes:
    """16 bits a channel: Pillow writes none, so by hand."""
    row = b"\0" + struct.pack(">HHH", 0xC8FF, 0x28FF, 0x5AFF) * SIDE
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row * SIDE)) + chunk(b"IEND", b"")


def palette(transparent: int | None = None) -> bytes:
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([0, 0, 0, 200, 40, 90])
    return stored(image, **({} if transparent is None else {"transparency": transparent}))


def several(kind: str) -> Callable[[], bytes]:
    return lambda: stored(flat(), kind, save_all=True, append_images=[flat((0, 255, 0)), flat((0, 0, 255))])


def folder(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).mkdir()


def seeded(*names: str) -> Callable[[Path], None]:
    """Good images of these names from the root on, each its own."""

    def make(root: Path) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            photo(zlib.crc32(os.fsencode(name))).save(root / name, "PNG")

    return make


def link(name: str, to: str) -> Callable[[Path], None]:
    return lambda root: (root / name).symlink_to(to)


def copies(root: Path) -> None:
    for name in ("cat/twin.png", "dog/twin.png"):
        (root / name).write_bytes(stored(photo(77)))


def unreadable(root: Path) -> None:
    """A file that its system refuses to read, whoever asks."""
    (root / "cat" / "refused.png").symlink_to("/proc/self/mem")


def forbidden(root: Path) -> None:
    path = root / "cat" / "forbidden.png"
    photo(5).save(path)
    path.chmod(0)


def too_many_bytes(root: Path) -> None:
    healthy(root)
    with (root / "cat" / "long.png").open("wb") as sparse:
        sparse.truncate(500_000_001)


def table(text: str | bytes, name: str = "metadata.csv") -> Callable[[Path], None]:
    """Four good images in one folder and a table beside them."""

    def make(root: Path) -> None:
        seeded("a.png", "b.png", "c.png", "d.png")(root)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


GOOD_ROWS = "a.png,cat\nb.png,cat\nc.png,dog\nd.png,dog\n"


def parquet(labels: list, images: list | None = None, features: str | None = None) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        content = images or [stored(photo(place)) for place in range(len(labels))]
        written = pa.table({"image": pa.array(content, pa.binary()), "label": labels})
        if features:
            written = written.replace_schema_metadata({"huggingface": features})
        pyarrow.parquet.write_table(written, root / "train.parquet")

    return make


CLASS_NAMES = '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}'


def idx(images: int, labels: int, short: int = 0) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        pixels = struct.pack(">IIII", 0x803, images, 4, 4) + bytes(range(images * 16))
        (root / "train-images-idx3-ubyte").write_bytes(pixels[: len(pixels) - short])
        answers = struct.pack(">II", 0x801, labels) + bytes(place % 2 for place in range(labels))
        (root / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(answers))

    return make


def profile(red=(0.64, 0.33), green=(0.30, 0.60), blue=(0.15, 0.06), gamma=2.2):
    """An ICC profile of three primaries (x, y) at D65 and one gamma, as a camera would embed it; built by hand."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T  # columns
    white = np.array([0.95047, 1, 1.08883])
    xyz = xyz * np.linalg.solve(xyz, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.96422, 1, 0.82521])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford @ xyz

    def number(value):
        return struct.pack(">i", round(value * 65536))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"mine\0" + bytes(78 + 3)
    tags = [
        (b"desc", text),
        (b"cprt", b"text" + bytes(4) + b"none"),
        (b"wtpt", b"XYZ " + bytes(4) + b"".join(map(number, d50))),
    ]
    tags += [
        (name, b"XYZ " + bytes(4) + b"".join(map(number, adapted[:, place])))
        for place, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    ]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(body)
    header = (
        struct.pack(">I", size)
        + b"lcms"
        + bytes.fromhex("02400000")
        + b"mntrRGB XYZ "
        + bytes(12)
        + b"acsp"
        + bytes(28)
    )
    header += b"".join(map(number, d50)) + bytes(48)
    return header + table + body


ADOBE = profile(red=(0.64, 0.33), green=(0.21, 0.71), blue=(0.15, 0.06), gamma=563 / 256)


# ------------------------------------------------------------------------------------------------------- the table
# A quirk a line.
# fmt: off


def _broken() -> list[Quirk]:
    """Files that cannot be decoded."""

    def out(name: str, file_name: str, content: bytes | Callable[[], bytes], code: str, words: str) -> Quirk:
        return Quirk(name, file(file_name, content), "left out", code, f"cat/{file_name}", words)

    none = "is not an image"
    return [
        out("an empty file", "empty.png", b"", "empty-file", "is an empty file"),
        out("text named .jpg", "text.jpg", b"hello, this is text", "not-an-image", none),
        out("an error page saved as a photo", "page.jpg", b"<!DOCTYPE html><h1>404</h1>", "not-an-image", none),
        out("a drawing in SVG named .png", "svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image", none),
        out("PostScript named .png", "eps.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image", none),
        out("an archive named .png", "zip.png", b"PK\x03\x04" + bytes(40), "not-an-image", none),
        out("a PDF named .tif", "pdf.tif", b"%PDF-1.7\n", "not-an-image", none),
        out("JPEG 2000 named .jpg, a kind that is not read", "jp2.jpg", lambda: stored(photo(3), "JPEG2000"), "not-an-image", none),
        out("an icon named .png, a kind that is not read", "icon.png", lambda: stored(photo(3), "ICO"), "not-an-image", none),
        out("a file of zeros, as a full disk leaves them", "zeros.jpg", bytes(4096), "not-an-image", none),
        out("the first eight bytes of a PNG", "start.png", b"\x89PNG\r\n\x1a\n", "not-an-image", none),
        out("a JPEG without its tables", "tables.jpg", without_quantisation, "broken-image", "cannot be decoded"),
        out("a JPEG cut off in the middle", "cut.jpg", cut("JPEG"), "broken-image", "truncated"),
        out("a PNG cut off in the middle", "cut.png", cut("PNG"), "broken-image", "cannot be decoded"),
        out("a GIF cut off in the middle", "cut.gif", cut("GIF"), "broken-image", "truncated"),
        out("a WebP cut off in the middle", "cut.webp", cut("WEBP"), "broken-image", "cannot be decoded"),
        out("a TIFF cut off in the middle", "cut.tif", cut("TIFF"), "broken-image", "truncated"),
        out("a BMP cut off in the middle", "cut.bmp", cut("BMP"), "broken-image", "truncated"),
        out("a PPM cut off in the middle", "cut.ppm", cut("PPM"), "broken-image", "cannot be decoded"),
        out("a PNG whose checksum does not fit", "sum.png", wrong_sum, "broken-image", "cannot be decoded"),
        out("a PNG without a single pixel in it", "bare.png", png(SIDE, SIDE), "broken-image", "cannot be decoded"),
        out("a TIFF packed in a way that nobody reads", "packed.tif", strange_compression, "not-an-image", none),
        out("a picture of no width", "thin.png", png(0, 10, chunk(b"IDAT", b"")), "not-an-image", none),
        out("100,000,000 pixels by the header", "large.png", png(10_000, 10_000, chunk(b"IDAT", b"")), "too-large", "10,000 x 10,000 pixels"),
        out("a bomb: 3,600,000,000 pixels by the header", "bomb.png", png(60_000, 60_000, chunk(b"IDAT", b"")), "too-large", "far too many pixels"),
        out("a photo of a kind that is not read, by its ending", "raw.cr2", b"II*\0", "not-an-image", "its ending is not that of an image"),
        out("notes among the images", "notes.txt", b"four cats", "not-an-image", "its ending is not that of an image"),
        Quirk("more bytes than any image needs", too_many_bytes, "left out", "too-large", "cat/long.png", "has 500,000,001 bytes", place="own"),
        Quirk("a file that its system refuses to read", unreadable, "left out", "unreadable", "cat/refused.png", "cannot be read"),
        Quirk("a file without permission", forbidden, "left out", "unreadable", "cat/forbidden.png", "cannot be read: Permission denied"),
        Quirk("a link to a file that is gone", link("cat/gone.png", "nowhere.png"), "left out", "no-file", "cat/gone.png", "a broken link or a special file"),
        Quirk("a link to itself", link("cat/self.png", "self.png"), "left out", "no-file", "cat/self.png", "a broken link or a special file"),
        Quirk("a pipe named .png, at which a reader would wait for ever", lambda root: os.mkfifo(root / "cat" / "pipe.png"), "left out", "no-file", "cat/pipe.png", "a special file"),
    ]


def _modes() -> list[Quirk]:
    """Every way of storing a picture, by its rule."""

    def read(name: str, file_name: str, content: bytes | Callable[[], bytes], pixel: tuple[int, int, int]) -> Quirk:
        return Quirk(name, file(file_name, content), "read", where=f"cat/{file_name}", pixel=pixel)

    red, white = (200, 40, 90), (255, 255, 255)
    return [
        read("grey: the value three times", "grey.png", lambda: stored(flat(90, "L")), (90, 90, 90)),
        read("black and white: 0 and 255", "one.png", lambda: stored(flat(1, "1")), white),
        read("a palette: its colours", "palette.png", lambda: palette(), red),
        read("a palette with a transparent colour: white there", "clear.png", lambda: palette(1), white),
        read("transparent colour: laid over white", "rgba.png", lambda: stored(flat((255, 0, 0, 128), "RGBA")), (255, 127, 127)),
        read("transparent grey: laid over white", "la.png", lambda: stored(flat((0, 0), "LA")), white),
        read("CMYK in a TIFF: Pillow's plain formula", "cmyk.tif", lambda: stored(flat((255, 0, 0, 0), "CMYK"), "TIFF"), (0, 255, 255)),
        read("CMYK in a JPEG, stored inverted as Adobe does", "cmyk.jpg", lambda: stored(flat((255, 0, 0, 0), "CMYK"), "JPEG", quality=95), (0, 255, 255)),
        read("YCbCr in a TIFF", "ycbcr.tif", lambda: stored(flat().convert("YCbCr"), "TIFF"), red),
        read("16-bit grey: its own range from black to white", "wide.png", lambda: stored(wide(np.array([3000, 1000, 2000], np.uint16))), white),
        read("32-bit floats: their own range, NaN black", "floats.tif", lambda: stored(wide(np.array([np.nan, -1, 4], np.float32)), "TIFF"), (0, 0, 0)),
        read("16-bit grey of one value: black", "even.png", lambda: stored(wide(np.full(3, 40_000, np.uint16))), (0, 0, 0)),
        read("16 bits a colour: the upper 8", "deep.png", deep_colour, red),
        read("an animated GIF: its first frame", "moving.gif", several("GIF"), red),
        read("an animated PNG: its first frame", "moving.png", several("PNG"), red),
        read("a TIFF of several pages: the first", "pages.tif", several("TIFF"), red),
        read("two photos in one, as phones store depth: the first", "pair.jpg", several("MPO"), red),
        read("a camera held on its side: turned upright by EXIF", "turned.png", turned, (250, 10, 10)),
        read("EXIF that is rubbish: taken as it lies", "exif.jpg", lambda: stored(flat(), "JPEG", exif=b"Exif\0\0rubbish"), red),
        read("a colour profile that is rubbish: ignored", "profile.png", lambda: stored(flat(), icc_profile=b"rubbish"), red),
        read("a photo in Adobe RGB: the colours that a viewer shows", "adobe.png", lambda: stored(flat(), icc_profile=ADOBE), (231, 37, 90)),
        read("a photo in Adobe RGB: the colours that a viewer shows", "adobe.png", lambda: stored(flat(), icc_profile=ADOBE), (233, 36, 90)),
        read("a progressive JPEG", "progressive.jpg", lambda: stored(flat(), "JPEG", progressive=True), red),
        read("a PNG named .jpg: read by its bytes", "wrong.jpg", lambda: stored(flat()), red),
        read("an ending in capitals", "LOUD.PNG", lambda: stored(flat()), red),
        read("something after the end of a JPEG", "after.jpg", lambda: stored(flat(), "JPEG") + b"<script>" * 9, red),
        read("a single pixel", "dot.png", lambda: stored(Image.new("RGB", (1, 1), red)), red),
        read("one row of 4,000 pixels", "line.png", lambda: stored(Image.new("RGB", (4000, 1), red)), red),
    ]


def _names() -> list[Quirk]:
    """Names that something would trip over; they come back as they are."""
    odd = [
        ("a name that a spreadsheet would run", "=1+1.png"),
        ("a name that a page would run", "<script>alert(1)<.png"),
        ("a name of two lines", "two\nlines.png"),
        ("a name with quotes and a semicolon", "'; DROP TABLE.png"),
        ("a name of 240 letters", "x" * 236 + ".png"),
        ("a name outside of the alphabet", "\U0001f63a.png"),
        ("a name that climbs", "%2e%2e%2fetc.png"),
        ("a name that begins with a dash", "--help.png"),
    ]
    found = [Quirk(name, seeded(f"cat/{file_name}"), "read", where=f"cat/{file_name}") for name, file_name in odd]
    bytes_name = os.fsdecode(b"cat/caf\xe9.png")
    return [*found, Quirk("a name that is no UTF-8: the byte is written out", seeded(bytes_name), "read", where=r"cat/caf\udce9.png")]


def _folders() -> list[Quirk]:
    """What lies beside the classes, or is wrong with them."""

    def named(name: str, make: Callable[[Path], object], code: str, where: str, words: str, place: Place = "folder") -> Quirk:
        return Quirk(name, make, "named", code, where, words, place=place)

    hidden = "hidden or of the system"
    return [
        named("a file that macOS leaves everywhere", file(".DS_Store", b"\0"), "hidden", "cat/.DS_Store", hidden),
        named("a shadow of a file, as macOS leaves on other disks", file("._0.png", b"\0"), "hidden", "cat/._0.png", hidden),
        named("a file that Windows leaves", file("Thumbs.db", b"\0"), "hidden", "cat/Thumbs.db", hidden),
        named("a hidden folder", seeded(".ipynb_checkpoints/1.png"), "hidden", ".ipynb_checkpoints", hidden),
        named("what macOS puts into archives", seeded("__MACOSX/cat/1.png"), "hidden", "__MACOSX", hidden),
        named("a class folder without an image", folder("emu"), "empty-class", "emu", "holds no image"),
        named("a class of one image", seeded("owl/1.png"), "one-image-class", "owl", "one image alone"),
        named("a class of broken images alone", lambda root: (folder("yak")(root), (root / "yak" / "1.png").write_bytes(b"")), "no-image-class", "yak", "no image can be used"),
        named("two classes that differ in case alone", seeded("Cow/1.png", "Cow/2.png", "cow/3.png", "cow/4.png"), "alike-classes", "Cow", "look alike but count as 2"),
        named("two classes whose accents are encoded differently", seeded("\u00e9/1.png", "\u00e9/2.png", "e\u0301/3.png", "e\u0301/4.png"), "alike-classes", "e\u0301", "look alike but count as 2"),
        named("two classes that differ in blanks alone", seeded("pig/1.png", "pig/2.png", "pig /3.png", "pig /4.png"), "alike-classes", "pig", "look alike but count as 2"),
        named("two files that differ in case alone", seeded("cat/Case.png", "cat/case.png"), "alike-files", "cat/Case.png", "differs in case"),
        named("two files whose accents are encoded differently", seeded("cat/o\u0308.png", "cat/\u00f6.png"), "alike-files", "cat/o\u0308.png", "encoding of accents"),
        named("one picture in two classes", copies, "two-labels", "cat/twin.png", "labelled 'cat' and 'dog'"),
        named("a picture beside the classes: it has no label", seeded("stray.png"), "no-label", "stray.png", "no label"),
        named("a link back to the folder itself", link("cat/up", ".."), "linked-twice", "cat/up", "links to a folder that is read anyway"),
        named("a link to a class that is read anyway", link("again", "dog"), "linked-twice", "again", "links to a folder that is read anyway"),
        named("a class in one of the splits alone", seeded("train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "train/dog/4.png", "test/cat/5.png"), "one-split-class", "dog", "all images are in one split", "own"),
        named(
            "an empty class in one of the splits",
            lambda root: (seeded("train/cat/1.png", "train/cat/3.png", "train/dog/2.png", "test/cat/4.png", "test/cat/5.png")(root), (root / "test" / "dog").mkdir()),
            "empty-class",
            "test/dog",
            "holds no image",
            "own",
        ),
        named("a folder around the classes", seeded("photos/cat/1.png", "photos/dog/2.png"), "one-class", "photos", "if its sub-folders are the classes", "own"),
        Quirk("images without a class", seeded("1.png", "2.png"), "refused", words="but none in a sub-folder", place="own"),
        Quirk("splits and classes side by side", seeded("train/cat/1.png", "test/cat/2.png", "emu/3.png"), "refused", words="Is it a class or a split?", place="own"),
        Quirk("a folder without an image", lambda root: root.mkdir(), "refused", words="holds no image but nothing", place="own"),
    ]


def _tables() -> list[Quirk]:
    """Tables that list files, and files that hold images."""

    def named(name: str, make: Callable[[Path], None], code: str, where: str, words: str) -> Quirk:
        return Quirk(name, make, "named", code, where, words, place="own")

    def refused(name: str, make: Callable[[Path], None], words: str) -> Quirk:
        return Quirk(name, make, "refused", words=words, place="own")

    head = "file_name,label\n"
    return [
        Quirk("a table as Excel writes it: a mark at its start, semicolons", table("\ufefffile_name;label\r\n" + GOOD_ROWS.replace(",", ";")), "read", where="a.png", place="own"),
        named("a file that is listed twice", table(head + GOOD_ROWS + "a.png,cat\n"), "listed-twice", "a.png", "it counts once"),
        named("a file with two labels", table(head + GOOD_ROWS + "a.png,dog\n"), "contradiction", "a.png", "it counts as unlabelled"),
        Quirk("a file that is not there", table(head + GOOD_ROWS + "e.png,dog\n"), "left out", "missing-file", "e.png", "it is not there", place="own"),
        named("a row that names no file", table(head + GOOD_ROWS + ",dog\n"), "no-name", "row 5", "names no file"),
        named("a label that is nan", table(head + GOOD_ROWS.replace("d.png,dog", "d.png,nan") + ""), "no-label", "d.png", "no label"),
        named("an image that the table does not name", table(head + GOOD_ROWS[:-10] + "\n"), "unlisted", "d.png", "not in the table"),
        named("a column of lists", table('{"file_name": "a.png", "label": "cat", "x": [1]}\n{"file_name": "b.png", "label": "dog", "x": [2]}\n', "metadata.jsonl"), "column-left-out", "x", "no plain text"),
        refused("a path that leaves the folder", table(head + GOOD_ROWS + "../secret.png,dog\n"), "lies outside"),
        refused("an address in place of a path", table(head + "https://example.org/a.png,dog\n"), "Addresses are not followed"),
        refused("a table without the column file_name", table("filename,label\n" + GOOD_ROWS), "Did you mean 'filename'?"),
        refused("two columns of one name", table("file_name,label,label\na.png,cat,dog\n"), "more than one column 'label'"),
        refused("a table that is no UTF-8", table(head.encode() + b"a.png,caf\xe9\n"), "cannot be read as a CSV in UTF-8"),
        refused("a split that is none", table("file_name,label,split\na.png,cat,trian\n"), "it may have train, val or test"),
        refused("a line that is no JSON", table('{"file_name": "a.png", "label": "cat"}\n{oops\n', "metadata.jsonl"), "Line 2 of"),
        Quirk("a row of a Parquet file without bytes", parquet(["cat", "dog", "cat", "dog"], [stored(photo(1)), None, stored(photo(2)), stored(photo(3))]), "left out", "empty-file", "train/1", "holds no bytes of an image", place="own"),
        refused("a number beyond the class names of a Parquet file", parquet([0, 1, 7], features=CLASS_NAMES), "its 2 class names go from 0 to 1"),
        refused("idx files with fewer labels than images", idx(6, 5), "has 6 images, but train-labels-idx1-ubyte.gz 5 labels"),
        refused("an idx file that is cut off", idx(6, 6, short=9), "but ends after 87"),
    ]


QUIRKS = tuple(enumerate((*_broken(), *_modes(), *_names(), *_folders(), *_tables()), start=1))
