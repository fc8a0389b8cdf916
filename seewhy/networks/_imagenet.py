"""What ImageNet's classes are called, each by a short name of its own."""

from __future__ import annotations

from collections import Counter
from functools import cache

#: WordNet gives these four of the thousand one word for two things.
SAME_WORD = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n03710637": "maillot (tights)",
    "n03710721": "maillot (swimsuit)",
}


@cache
def class_names(subset: str = "imagenet-1k") -> tuple[str, ...]:
    """The names in the order of a network's outputs; `subset` is one that timm knows, such as "imagenet-22k".

    A name is the first word of the synset ("tench"); where two synsets share it, all their words; and where those are
    equal too, the WordNet id is added.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo(subset)
    synsets, words = info.label_names(), info.label_descriptions()
    short = [SAME_WORD.get(synset, word.partition(",")[0]) for synset, word in zip(synsets, words, strict=True)]
    short = [name if held == 1 else word for name, word, held in zip(short, words, _times(short), strict=True)]
    return tuple(
        name if held == 1 else f"{name} ({synset})"
        for name, synset, held in zip(short, synsets, _times(short), strict=True)
    )


def _times(names: list[str]) -> list[int]:
    """How often each name stands in the list."""
    counted = Counter(names)
    return [counted[name] for name in names]
