"""Images that are opened: what is remembered of their scan, and by what they are known again."""

from __future__ import annotations

from dataclasses import replace

from seewhy.material import opening
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.types import Problem, finished


def test_a_scan_is_remembered_by_content_and_an_edited_file_is_seen(here, photos, monkeypatch):
    cache, settings = Cache(here / "cache"), Settings(data=str(photos))
    first = finished(opening.open_material(settings, cache))
    scans = []
    scan = opening.scanning.scan
    monkeypatch.setattr(opening.scanning, "scan", lambda *given, **named: scans.append(1) or scan(*given, **named))
    assert finished(opening.open_material(settings, cache)).digest == first.digest
    assert not scans
    (photos / "cat" / "1.png").write_bytes((photos / "cat" / "2.png").read_bytes())
    changed = finished(opening.open_material(settings, cache))
    assert scans
    assert changed.digest != first.digest
    assert changed.scan.same == (("cat/1.png", "cat/2.png"),)


def test_a_scan_that_hung_on_the_moment_is_made_again(here, photos, monkeypatch):
    """A file that was too slow for a busy machine is not left out for ever."""
    scan, codes = opening.scanning.scan, iter(["too-slow", "broken-image", "never asked"])

    def once(*given, **named):
        found = yield from scan(*given, **named)
        return replace(found, quarantine=(Problem(next(codes), "cat/1.png", "words"),))

    monkeypatch.setattr(opening.scanning, "scan", once)
    dataset, cache = opening.sources.open(photos), Cache(here / "cache")
    seen = [finished(opening.remembered_scan(dataset, cache, 1)).quarantine[0].code for _ in range(3)]
    assert seen == ["too-slow", "broken-image", "broken-image"]


def test_the_digest_names_content_labels_tags_and_split(here, photos):
    cache = Cache(here / "cache")
    digests = [
        finished(opening.open_material(Settings(data=str(photos), **settings), cache)).digest
        for settings in ({}, {"seed": 1}, {"split": "random", "seed": 2})
    ]
    (photos / "cat" / "1.png").rename(photos / "dog" / "other.png")
    digests.append(finished(opening.open_material(Settings(data=str(photos)), cache)).digest)
    assert len(set(digests)) == 4
