import base64
import io

import numpy as np
from PIL import Image

from seewhy.exports import _pictures


def opened(sheet: _pictures.Sheet) -> np.ndarray:
    kind, _, data = sheet.uri.partition(",")
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def noise(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_each_window_of_an_album_shows_its_own_picture():
    flat = {name: np.full((20 + place, 30, 3), 40 * place, np.uint8) for place, name in enumerate("abcde")}
    album = _pictures.album({name: lambda name=name: flat[name] for name in flat}, room=10**6)
    for name, pixels in flat.items():
        place = album[name]
        shown = opened(album.sheets[place.sheet])[
            place.top : place.top + place.height, place.left : place.left + place.width
        ]
        assert np.array_equal(shown, pixels)


def test_an_album_keeps_the_first_pictures_and_counts_those_that_found_no_room():
    pictures = {str(number): lambda number=number: noise(96, number) for number in range(100)}
    album = _pictures.album(pictures, room=400_000)
    assert 0 < len(album.places) < 100
    assert list(album.places) == [str(number) for number in range(len(album.places))]
    assert album.left_out == 100 - len(album.places)
    assert sum(len(sheet.uri) for sheet in album.sheets) <= 400_000


def test_a_sheet_holds_no_exif():
    album = _pictures.album({"a": lambda: noise(96, 0)}, room=10**6)
    data = base64.b64decode(album.sheets[0].uri.partition(",")[2])
    assert dict(Image.open(io.BytesIO(data)).getexif()) == {}
    assert b"Exif" not in data
