"""Splits keep together what belongs together, are fair to every class, and follow the content alone."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seewhy.material.splitting import leaks, split
from seewhy.types import Dataset, Scan


class Nothing:
    """A source that nobody reads: a split needs the scan alone."""

    def content(self, row):
        raise AssertionError("a split needs no pixels")

    pixels = mask = content


def made(targets, same=(), near=(), ids=None, contents=None, splits=(), **tags):
    """A data set of these targets, and its scan; groups are given by row numbers, contents by words."""
    ids = tuple(ids or (f"{row}.png" for row in range(len(targets))))
    contents = contents or [f"content {row}" for row in range(len(targets))]
    classes = tuple(sorted({target for target in targets if target is not None}))
    dataset = Dataset(
        "made",
        Nothing(),
        ids,
        tuple(targets),
        classes,
        np.arange(len(targets)),
        tags={name: tuple(values) for name, values in tags.items()},
        splits=tuple(splits),
    )
    hashes = [hashlib.sha256(content.encode()).hexdigest() for content in contents]
    groups = [tuple(tuple(ids[row] for row in group) for group in each) for each in (same, near)]
    return dataset, Scan(pa.table({"id": ids, "sha256": hashes}), (), *groups)


def by_content(dataset, scan):
    hashes = dict(zip(scan.files["id"].to_pylist(), scan.files["sha256"].to_pylist(), strict=True))
    return {hashes[id]: name for id, name in zip(dataset.ids, dataset.splits, strict=True)}


def counts(dataset, target=None):
    return Counter(
        name for name, of in zip(dataset.splits, dataset.targets, strict=True) if target is None or of == target
    )


# ------------------------------------------------------------------------------------------------------------ shares


def test_every_class_has_its_share_in_every_split():
    dataset, scan = made(["cat"] * 100 + ["dog"] * 40 + ["emu"] * 10)
    for how in ("grouped", "random"):
        made_split = split(dataset, scan, seed=1, how=how)
        assert counts(made_split, "cat") == {"train": 70, "val": 10, "test": 20}
        assert counts(made_split, "dog") == {"train": 28, "val": 4, "test": 8}
        assert counts(made_split, "emu") == {"train": 7, "val": 1, "test": 2}
        assert made_split.problems == ()


def test_shares_may_be_others():
    dataset, scan = made(["cat"] * 100)
    assert counts(split(dataset, scan, seed=0, fractions=(0.5, 0.0, 0.5))) == {"train": 50, "test": 50}
    assert counts(split(dataset, scan, seed=0, fractions=(0.8, 0.2, 0.0))) == {"train": 80, "val": 20}
    for wrong in ((0.5, 0.5, 0.5), (1.2, -0.2, 0.0)):
        with pytest.raises(ValueError, match="at least 0 and sum to 1, unlike"):
            split(dataset, scan, seed=0, fractions=wrong)


@pytest.mark.parametrize(("units", "tested"), [(1, 0), (2, 0), (3, 1), (4, 1), (8, 2)])
def test_a_small_class_is_tested_if_it_can_spare_an_image(units, tested):
    dataset, scan = made(["cat"] * 50 + ["rare"] * units)
    for seed in range(5):
        found = split(dataset, scan, seed=seed)
        assert counts(found, "rare")["test"] == tested
        assert counts(found, "rare")["train"] >= 1
        named = [(problem.code, problem.where) for problem in found.problems]
        assert named == ([] if tested else [("no-test-image", "rare")])


def test_a_class_in_three_large_groups_is_tested_with_the_smallest():
    """Each is a third of the class where a tenth is wanted, so none would come closer to it than none at all."""
    groups = [range(0, 30), range(30, 60), range(60, 89)]
    dataset, scan = made(["a"] * 89 + ["b"] * 400, near=groups)
    for seed in range(5):
        found = split(dataset, scan, seed=seed, fractions=(0.8, 0.1, 0.1))
        assert found.splits[60:89] == ("test",) * 29
        assert counts(found, "a")["train"] >= 30


def test_a_group_too_large_to_divide_is_a_problem_in_words():
    dataset, scan = made(["a", "b"] * 50, near=[range(96)])
    found = split(dataset, scan, seed=0)
    assert len(set(found.splits[:96])) == 1
    uneven = [problem for problem in found.problems if problem.code == "uneven-split"]
    assert any(
        "rather than 20%; the largest group that must stay together has 96 of 100" in each.what for each in uneven
    )


def test_no_class_loses_its_last_unit_to_the_test():
    for seed in range(20):
        dataset, scan = made(["a"] * 30 + ["b"] * 3, near=[(27, 28, 29, 30, 31, 32)])
        found = split(dataset, scan, seed=seed)
        assert counts(found, "b") == {"train": 3}


# --------------------------------------------------------------------------------------------------------- together

a_data_set = st.integers(4, 60).flatmap(
    lambda count: st.tuples(
        st.lists(st.sampled_from("abc"), min_size=count, max_size=count),
        st.lists(st.lists(st.integers(0, count - 1), min_size=2, max_size=6, unique=True), max_size=8),
        st.lists(st.lists(st.integers(0, count - 1), min_size=2, max_size=6, unique=True), max_size=8),
        st.lists(st.sampled_from(["p", "q", "r", None]), min_size=count, max_size=count),
    )
)


@settings(max_examples=150, deadline=None)
@given(a_data_set, st.integers(0, 5), st.booleans())
def test_nothing_that_belongs_together_is_ever_parted(drawn, seed, use_by):
    targets, same, near, patients = drawn
    dataset, scan = made(targets, same, near, patient=patients)
    found = split(dataset, scan, seed=seed, by="patient" if use_by else None)
    assert set(found.splits) <= {"train", "val", "test"}
    side = dict(zip(found.ids, found.splits, strict=True))
    for group in (*scan.same, *scan.near):
        assert len({side[id] for id in group}) == 1
    if use_by:
        for patient in ("p", "q", "r"):
            assert len({name for name, value in zip(found.splits, patients, strict=True) if value == patient}) <= 1
    assert leaks(found, scan) == []
    assert set(targets) == {target for target, name in zip(targets, found.splits, strict=True) if name == "train"}


def test_rows_without_a_unit_count_for_themselves():
    dataset, scan = made(["a"] * 200, patient=["p"] * 50 + [None] * 150)
    found = split(dataset, scan, seed=0, by="patient")
    assert len(set(found.splits[:50])) == 1
    assert set(found.splits[50:]) == {"train", "val", "test"}


def test_random_heeds_neither_look_alikes_nor_units():
    pairs = [(row, row + 1) for row in range(0, 400, 2)]
    dataset, scan = made(["a", "b"] * 200, same=pairs[:100], near=pairs[100:], patient=["p", "q"] * 200)
    found = split(dataset, scan, seed=0, how="random", by="patient")
    assert counts(found) == {"train": 280, "val": 40, "test": 80}
    torn = sum(found.splits[first] != found.splits[second] for first, second in pairs)
    assert torn > 60  # of 200, where 46 % are to be expected


def test_large_groups_are_drawn_as_often_as_small_ones():
    """The number of a unit does not depend on how many rows it has; the least of many would come first."""
    groups = [range(start, start + 5) for start in range(0, 250, 5)]
    dataset, scan = made(["a"] * 500, near=groups)
    shares = [split(dataset, scan, seed=seed).splits[:250].count("test") / 250 for seed in range(60)]
    assert np.mean(shares) == pytest.approx(0.2, abs=0.02)


# -------------------------------------------------------------------------------------------------- content and seed


@pytest.mark.parametrize("how", ["grouped", "random"])
def test_neither_order_nor_names_change_a_split(how):
    targets = ["a", "b", "c"] * 40
    dataset, scan = made(targets, near=[(0, 1), (2, 3, 4)])
    expected = by_content(split(dataset, scan, seed=3, how=how), scan)
    order = np.random.default_rng(0).permutation(120)
    assert by_content(split(dataset.subset(order), scan, seed=3, how=how), scan) == expected
    renamed, other = made(targets, near=[(0, 1), (2, 3, 4)], ids=[f"photo {120 - row}.jpg" for row in range(120)])
    assert by_content(split(renamed, other, seed=3, how=how), other) == expected


def test_equal_files_are_drawn_apart_in_a_random_split_whatever_they_are_called():
    contents = [f"content {row // 2}" for row in range(200)]
    for ids in ([f"{row:03}" for row in range(200)], [f"{500 - row}" for row in range(200)]):
        dataset, scan = made(["a"] * 200, contents=contents, ids=ids)
        found = split(dataset, scan, seed=0, how="random")
        sides = Counter(zip(found.splits[::2], found.splits[1::2], strict=True))
        assert sum(number for (one, two), number in sides.items() if one != two) > 20


def test_another_seed_is_another_split():
    dataset, scan = made(["a", "b"] * 50)
    found = {split(dataset, scan, seed=seed).splits for seed in range(10)}
    assert len(found) == 10


@pytest.mark.parametrize("how", ["grouped", "random"])
def test_one_more_file_moves_at_most_two_others(how):
    targets = ["a", "b"] * 60
    for added in range(25):
        dataset, scan = made([*targets, "a"], contents=[f"content {row}" for row in range(120)] + [f"more {added}"])
        with_it = split(dataset, scan, seed=0, how=how).splits[:120]
        without = split(dataset.subset(range(120)), scan, seed=0, how=how).splits
        moved = [target for target, here, there in zip(targets, with_it, without, strict=True) if here != there]
        assert len(moved) <= 2
        assert set(moved) <= {"a"}


def test_another_photo_of_a_patient_moves_no_patient():
    patients = [f"patient {row % 40}" for row in range(200)]
    dataset, scan = made(["a"] * 200 + ["a"], patient=[*patients, "patient 7"])
    with_it = split(dataset, scan, seed=0, by="patient").splits
    without = split(dataset.subset(range(200)), scan, seed=0, by="patient").splits
    assert with_it[:200] == without
    assert with_it[200] == without[7]


# ------------------------------------------------------------------------------------------------------ given splits


def test_given_splits_stay_as_they_are():
    given_splits = ["train"] * 70 + ["val"] * 10 + ["test"] * 20
    dataset, scan = made(["a", "b"] * 50, splits=given_splits, near=[(0, 99), (1, 75)])
    assert split(dataset, scan, seed=0).splits == tuple(given_splits)


def test_a_missing_validation_is_taken_out_of_training():
    dataset, scan = made(["a", "b"] * 60, splits=["train"] * 80 + ["test"] * 40, near=[(0, 2, 4, 6), (1, 3)])
    found = split(dataset, scan, seed=0)
    assert found.splits[80:] == ("test",) * 40
    assert counts(found) == {"train": 70, "val": 10, "test": 40}
    assert len({found.splits[row] for row in (0, 2, 4, 6)}) == 1


def test_a_missing_test_is_taken_out_of_training():
    dataset, scan = made(["a", "b"] * 60, splits=["train"] * 90 + ["val"] * 30)
    found = split(dataset, scan, seed=0)
    assert found.splits[90:] == ("val",) * 30
    assert counts(found) == {"train": 70, "test": 20, "val": 30}


def test_training_alone_is_divided_and_a_test_alone_is_left():
    dataset, scan = made(["a"] * 100, splits=["train"] * 100)
    assert counts(split(dataset, scan, seed=0)) == {"train": 70, "val": 10, "test": 20}
    alone = replace(dataset, splits=("test",) * 100)
    assert split(alone, scan, seed=0).splits == ("test",) * 100


def test_undecided_rows_never_join_a_given_test():
    """A test set of someone's own is exactly theirs; that it leaks is said elsewhere."""
    dataset, scan = made(["a", "b"] * 50, splits=[None] * 80 + ["test"] * 20, same=[(0, 99), (1, 98)])
    found = split(dataset, scan, seed=0)
    assert counts(found) == {"train": 70, "val": 10, "test": 20}
    assert [leak[0] for leak in leaks(found, scan)] == ["99.png", "98.png"]


def test_rows_without_a_label_are_divided_as_well():
    dataset, scan = made(["a"] * 50 + [None] * 50)
    assert counts(split(dataset, scan, seed=0)) == {"train": 70, "val": 10, "test": 20}


# ------------------------------------------------------------------------------------------------------------- leaks


def test_each_image_kept_back_is_named_once_with_its_closest_twin():
    splits = ["train", "test", "test", "val", "test", "train", "val", "test", "train", "train"]
    dataset, scan = made(
        ["a"] * 10,
        splits=splits,
        same=[(0, 1), (3, 4), (8, 9)],
        near=[(0, 2), (5, 6, 7)],
    )
    assert leaks(dataset, scan) == [
        ("1.png", "0.png", "same"),
        ("2.png", "0.png", "near"),
        ("4.png", "3.png", "same"),
        ("6.png", "5.png", "near"),
        ("7.png", "5.png", "near"),
    ]


def test_a_near_twin_of_a_copy_is_a_leak_too():
    dataset, scan = made(["a"] * 3, splits=["val", "train", "test"], same=[(0, 1)], near=[(0, 2)])
    assert leaks(dataset, scan) == [("0.png", "1.png", "same"), ("2.png", "1.png", "near")]


def test_without_splits_nothing_leaks():
    dataset, scan = made(["a"] * 4, same=[(0, 1)])
    assert leaks(dataset, scan) == []


# ------------------------------------------------------------------------------------------------------------- words


def test_wrong_settings_are_refused_in_words():
    dataset, scan = made(["a"] * 10, patient=["p"] * 10)
    with pytest.raises(ValueError, match=r"'grouped' or 'random', not 'randon'. Did you mean 'random'\?$"):
        split(dataset, scan, seed=0, how="randon")
    with pytest.raises(
        ValueError, match=r"No tag 'patients' to split by. Did you mean 'patient'\? There are: patient."
    ):
        split(dataset, scan, seed=0, by="patients")
    with pytest.raises(ValueError, match=r"No tag 'patient' to split by. The data have no tags."):
        split(replace(dataset, tags={}), scan, seed=0, by="patient")
