"""Which images to learn from, which to watch while learning, and which to keep back for the test.

Rows that belong together, because their images are equal or nearly so or because the user says so (`by`: one patient),
are one unit and stay on one side. Each unit gets a number from its content (or its `by`) and the seed alone. In the
order of these numbers units are taken for the test while that brings the classes closer to their share in it, then for
validation; the rest is for training. So the split is stratified and depends on no order and no name of files. Another
file moves few of the others: at each of the two borders of its class at most the unit it displaces, and those that it
turns out to belong to.

Splits that come with the data are kept to the row; of val and test the missing ones are taken out of training.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from seewhy.shelf import nearest
from seewhy.types import Dataset, Problem, Scan

Leak = tuple[str, str, Literal["same", "near"]]
#: A class of so many units has one to spare for the test.
ENOUGH = 3
#: A split that is off by more than this share of the rows is named as a problem.
UNEVEN = 0.05


def split(
    dataset: Dataset,
    scan: Scan,
    *,
    seed: int = 0,
    how: str = "grouped",
    by: str | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
) -> Dataset:
    """The data set with every row in "train", "val" or "test", in about these shares.

    "random" takes each row for itself and heeds neither look-alikes nor `by`: what is usually done, for comparison.
    What cannot be had (a class too small for the test, a group too large to divide) is added to the problems. Data that
    are all for validation and test stay as they are.
    """
    if how not in ("grouped", "random"):
        raise ValueError(
            f"A split is 'grouped' or 'random', not {how!r}. {nearest(how, ('grouped', 'random'))}".rstrip()
        )
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"The shares of train, val and test are at least 0 and sum to 1, unlike {fractions}")
    if by is not None and by not in dataset.tags:
        there = f"There are: {', '.join(dataset.tags)}." if dataset.tags else "The data have no tags."
        raise ValueError(f"No tag {by!r} to split by. {nearest(by, dataset.tags)}{there}")
    given = dataset.splits or (None,) * len(dataset)
    undecided = [row for row, name in enumerate(given) if name in (None, "train")]
    belonging = _belonging(dataset, scan, by) if how == "grouped" else list(range(len(dataset)))
    units = _units(dataset, scan, undecided, belonging, None if how == "random" else by, seed)
    wanted = _wanted(given, fractions)
    for name, share in wanted.items():
        _take(units, name, share)
    splits = list(given)
    for unit in units:
        for row in unit.rows:
            splits[row] = unit.split
    return replace(dataset, splits=tuple(splits), problems=(*dataset.problems, *_shortages(units, wanted)))


def leaks(dataset: Dataset, scan: Scan) -> list[Leak]:
    """Images kept back that have a twin among those learnt from: (id, the twin's id, "same" or "near").

    Each image of the test split is named once, with a twin in training or, if there is none, in validation; each image
    of the validation split with one in training.
    """
    split_of = dict(zip(dataset.ids, dataset.splits, strict=True)) if dataset.splits else {}
    equal = {id: number for number, group in enumerate(scan.same) for id in group}
    found: list[Leak] = []
    for group in _joined_groups([*scan.same, *scan.near]):
        sides = {name: [id for id in group if split_of.get(id) == name] for name in ("train", "val", "test")}
        for name, earlier in (("val", ("train",)), ("test", ("train", "val"))):
            twins = next((sides[other] for other in earlier if sides[other]), [])
            copies = {equal[twin]: twin for twin in twins if twin in equal}
            for id in sides[name] if twins else ():
                copy = copies.get(equal.get(id, -1))
                found.append((id, copy, "same") if copy is not None else (id, twins[0], "near"))
    return found


# ------------------------------------------------------------------------------------------------ what belongs together


@dataclass(slots=True)
class _Unit:
    """Rows that stay together, how many of each class they are, and where they go."""

    rows: list[int]
    classes: Counter[Any]
    split: str = "train"


def _joined_groups(groups: Iterable[Sequence[str]]) -> list[list[str]]:
    """Groups that share a member are one; members in order of appearance."""
    root: dict[str, str] = {}

    def find(id: str) -> str:
        while root[id] != id:
            root[id] = root[root[id]]
            id = root[id]
        return id

    for group in groups:
        for id in group:
            root.setdefault(id, id)
            root[find(id)] = find(group[0])
    joined: dict[str, list[str]] = defaultdict(list)
    for id in root:
        joined[find(id)].append(id)
    return list(joined.values())


def _belonging(dataset: Dataset, scan: Scan, by: str | None) -> list[int]:
    """For each row the first row that it belongs together with."""
    groups: list[Sequence[str]] = [*scan.same, *scan.near]
    if by is not None:
        named: dict[Any, list[str]] = defaultdict(list)
        for id, value in zip(dataset.ids, dataset.tags[by], strict=True):
            if value is not None:
                named[value].append(id)
        groups += named.values()
    place = {id: row for row, id in enumerate(dataset.ids)}
    first = list(range(len(dataset)))
    for group in _joined_groups(groups):
        rows = [place[id] for id in group if id in place]
        for row in rows:
            first[row] = min(rows)
    return first


def _units(
    dataset: Dataset, scan: Scan, rows: Sequence[int], belonging: Sequence[int], by: str | None, seed: int
) -> list[_Unit]:
    """The units in the order that their content and the seed give them."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        members[belonging[row]].append(row)
    names = _names(dataset, scan, by)
    units = []
    for together in members.values():
        name = min(names[row] for row in together)
        key = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()
        units.append((key, name, _Unit(together, Counter(dataset.targets[row] for row in together))))
    return [unit for _, _, unit in sorted(units, key=lambda entry: entry[:2])]


def _names(dataset: Dataset, scan: Scan, by: str | None) -> list[str]:
    """What each row is known by, whatever its file is called: its value of `by`, or its content (and a number, where
    several rows have the same)."""
    hashes = dict(zip(scan.files.column("id").to_pylist(), scan.files.column("sha256").to_pylist(), strict=True))
    tags = dataset.tags[by] if by is not None else (None,) * len(dataset)
    names = [""] * len(dataset)
    seen: Counter[str] = Counter()
    for row in sorted(range(len(dataset)), key=dataset.ids.__getitem__):
        content = hashes.get(dataset.ids[row]) or dataset.ids[row]
        names[row] = f"{content} {seen[content]}" if tags[row] is None else f"{by} {tags[row]}"
        seen[content] += 1
    return names


# ------------------------------------------------------------------------------------------------------- dividing


def _wanted(given: Sequence[str | None], fractions: tuple[float, float, float]) -> dict[str, float]:
    """The splits to be made, the test first, and their shares of the undecided rows."""
    sizes = {name: size for name, size in (("test", fractions[2]), ("val", fractions[1])) if name not in given}
    whole = fractions[0] + sum(sizes.values())
    return {name: size / whole for name, size in sizes.items()} if whole else {}


def _take(units: Sequence[_Unit], name: str, share: float) -> None:
    """Give units to a split, in their order, as long as that lowers sum over classes (have - goal)^2 / size.

    No class loses its last unit to learn from. One that has ENOUGH units but got none gives its smallest to the test.
    """
    size: Counter[Any] = Counter()
    left: Counter[Any] = Counter()  # units still in training
    for unit in units:
        size.update(unit.classes)
        left.update(unit.classes.keys() if unit.split == "train" else ())
    units_of = Counter(target for unit in units for target in unit.classes)
    have: Counter[Any] = Counter()

    def give(unit: _Unit) -> None:
        unit.split = name
        have.update(unit.classes)
        left.subtract(unit.classes.keys())

    def spare(unit: _Unit) -> bool:
        return unit.split == "train" and all(left[target] > 1 for target in unit.classes)

    for unit in units:
        gain = sum(
            count * (2 * (share * size[target] - have[target]) - count) / size[target]
            for target, count in unit.classes.items()
        )
        if gain > 0 and spare(unit):
            give(unit)
    for target in units_of if name == "test" and share > 0 else ():
        if not have[target] and units_of[target] >= ENOUGH:
            candidates = [unit for unit in units if target in unit.classes and spare(unit)]
            if candidates:
                give(min(candidates, key=lambda unit: len(unit.rows)))


def _shortages(units: Sequence[_Unit], wanted: Mapping[str, float]) -> Iterator[Problem]:
    """What a split lacks that it should have."""
    total = sum(len(unit.rows) for unit in units)
    units_of = Counter(target for unit in units for target in unit.classes)
    for name, share in wanted.items():
        taken = [unit for unit in units if unit.split == name]
        actual = sum(len(unit.rows) for unit in taken) / max(total, 1)
        if abs(actual - share) > UNEVEN:
            largest = max((len(unit.rows) for unit in units), default=0)
            yield Problem(
                "uneven-split",
                name,
                f"it holds {actual:.0%} of the images rather than {share:.0%}; the largest group that must stay "
                f"together has {largest:,} of {total:,}",
            )
        there = {target for unit in taken for target in unit.classes}
        for target in units_of if name == "test" and share > 0 else ():
            if target not in there and target is not None:
                yield Problem(
                    "no-test-image",
                    str(target),
                    f"none is in the test: its images form {units_of[target]} unit(s) that stay together, and a class "
                    f"needs {ENOUGH} to spare one",
                )
