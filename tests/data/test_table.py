"""A table says what each file shows, and no table reaches beyond its folder."""

import json
import math
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from seewhy.data import table


def put(root, *paths, colour="red"):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), colour).save(file)
    return root


def written(root, text, name="metadata.csv", **options):
    (root / name).write_text(text, **{"encoding": "utf-8", **options})
    return root


def codes(dataset):
    return [(problem.code, problem.where) for problem in dataset.problems]


def test_labels_tags_and_splits_are_columns(tmp_path):
    put(tmp_path, "a.png", "sub/b.png", "c.png")
    written(
        tmp_path,
        "file_name,label,split,age,patient,sex\na.png,cat,train,31,007,f\nsub/b.png,dog,Validation,4.5,008,\nc.png,,test,,009,m\n",
    )
    dataset = table.open(tmp_path)
    assert dataset.ids == ("a.png", "sub/b.png", "c.png")
    assert dataset.targets == ("cat", "dog", None)
    assert dataset.classes == ("cat", "dog")
    assert dataset.splits == ("train", "val", "test")
    assert dataset.tags == {"age": (31.0, 4.5, None), "patient": ("007", "008", "009"), "sex": ("f", None, "m")}
    assert dataset.problems == ()
    assert dataset.pixels(1).shape == (3, 4, 3)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_write_is_read(tmp_path, separator, encoding):
    put(tmp_path, "a.png")
    written(
        tmp_path, f'file_name{separator}label\r\na.png{separator}"caf\u00e9{separator} au\nlait"\r\n', encoding=encoding
    )
    assert table.open(tmp_path).targets == (f"caf\u00e9{separator} au\nlait",)


def test_labels_are_names_as_they_stand(tmp_path):
    labels = ["001", "1", "=1+1", "NA", "None", '"null"', "null", "nan", "<b>"]
    put(tmp_path, *(f"{number}.png" for number in range(len(labels))))
    rows = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    written(tmp_path, f"file_name,label\n{rows}")
    assert table.open(tmp_path).targets == ("001", "1", "=1+1", "NA", "None", "null", None, None, "<b>")


def test_a_label_column_may_be_named(tmp_path):
    put(tmp_path, "a.png")
    written(tmp_path, "file_name,label,diagnosis\na.png,7,glioma\n")
    dataset = table.open(tmp_path, label="diagnosis")
    assert (dataset.targets, dataset.tags) == (("glioma",), {"label": (7,)})
    with pytest.raises(
        ValueError, match=r"has no column 'diagnosys'. Did you mean 'diagnosis'\? There are: file_name, label"
    ):
        table.open(tmp_path, label="diagnosys")


def test_without_a_label_column_the_folder_is_the_class(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/cat/3.png")
    written(tmp_path, "file_name,sex\ntrain/cat/1.png,f\ntrain/dog/2.png,m\ntest/cat/3.png,f\n")
    dataset = table.open(tmp_path)
    assert dataset.targets == ("cat", "dog", "cat")
    assert dataset.splits == ("train", "train", "test")
    put(tmp_path / "flat", "1.png")
    written(tmp_path / "flat", "file_name,sex\n1.png,f\n")
    with pytest.raises(ValueError, match=r"no column with a label \(label, target, class\).*there are: file_name, sex"):
        table.open(tmp_path / "flat")


def test_each_split_may_have_its_own_table(tmp_path):
    put(tmp_path, "train/1.png", "test/1.png", "test/masks/1.png")
    written(tmp_path / "train", "file_name,label,site\n1.png,cat,A\n")
    written(tmp_path / "test", '{"file_name": "1.png", "label": "dog", "mask_file": "masks/1.png"}\n', "metadata.jsonl")
    assert table.recognises(tmp_path)
    dataset = table.open(tmp_path)
    assert dict(zip(dataset.ids, dataset.splits, strict=True)) == {"train/1.png": "train", "test/1.png": "test"}
    assert dict(zip(dataset.ids, dataset.targets, strict=True)) == {"train/1.png": "cat", "test/1.png": "dog"}
    assert dict(zip(dataset.ids, dataset.tags["site"], strict=True)) == {"train/1.png": "A", "test/1.png": None}
    assert [dataset.source.mask(row) is None for row in dataset.rows.tolist()] == [
        id == "train/1.png" for id in dataset.ids
    ]


def test_lines_of_json_and_parquet_say_the_same(tmp_path):
    records = [
        {"file_name": "a.png", "label": 2, "age": 3},
        {"file_name": "b.png", "label": 10, "split": "dev"},
        {"file_name": "c.png", "label": None},
    ]
    for kind in ("jsonl", "parquet"):
        root = put(tmp_path / kind, "a.png", "b.png", "c.png")
        if kind == "jsonl":
            written(root, "\n\n".join(map(json.dumps, records)), "metadata.jsonl")
        else:
            pq.write_table(pa.Table.from_pylist(records[1:] + records[:1]).take([2, 0, 1]), root / "metadata.parquet")
        dataset = table.open(root)
        assert dataset.targets == ("2", "10", None)
        assert dataset.classes == ("2", "10")
        assert dataset.splits == (None, "val", None) if kind == "jsonl" else True


def test_class_names_of_a_parquet_schema_are_used(tmp_path):
    put(tmp_path, "a.png", "b.png")
    features = {"label": {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"}}
    columns = pa.table({"file_name": ["a.png", "b.png"], "label": [1, -1]})
    columns = columns.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(columns, tmp_path / "table.parquet")
    assert table.recognises(tmp_path / "table.parquet")
    dataset = table.open(tmp_path / "table.parquet")
    assert (dataset.targets, dataset.classes) == (("dog", None), ("cat", "dog", "emu"))


def test_boxes_are_corners(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    objects = {"bbox": [[1, 2, 3, 4], [0, 0, 1, 1]], "categories": ["cat", 7]}
    records = [
        {"file_name": "a.png", "objects": objects},
        {"file_name": "b.png", "objects": {"bbox": [], "categories": []}},
        {"file_name": "c.png", "objects": [{"bbox": [1, 2, 3, 4], "category": "dog"}]},
    ]
    written(tmp_path, "\n".join(map(json.dumps, records)), "metadata.jsonl")
    dataset = table.open(tmp_path)
    torch.testing.assert_close(dataset.boxes[0].corners, torch.tensor([[1.0, 2, 4, 6], [0, 0, 1, 1]]))
    assert [boxes.labels for boxes in dataset.boxes] == [("cat", "7"), (), ("dog",)]
    assert dataset.targets == (None, None, None)
    assert dataset.classes == ("7", "cat", "dog")
    written(
        tmp_path, '{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3]], "categories": ["cat"]}}', "metadata.jsonl"
    )
    with pytest.raises(ValueError, match=r'The objects of row 1 are not \{"bbox": \[\[x, y, width, height\]'):
        table.open(tmp_path)


def test_a_mask_is_where_its_image_is_not_black(tmp_path):
    put(tmp_path, "a.png", "b.png")
    mask = np.array([[0, 1, 0, 255]] * 3, dtype=np.uint8)
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    written(tmp_path, "file_name,label,mask_file\na.png,cat,masks/a.png\nb.png,dog,\n")
    dataset = table.open(tmp_path)
    np.testing.assert_array_equal(dataset.source.mask(0), mask > 0)
    assert dataset.source.mask(1) is None
    assert dataset[0].mask.shape == (3, 4)
    assert dataset.problems == ()  # a mask is no image that was forgotten


# ---------------------------------------------------------------------------------------------- files and folders


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "{outside}/secret.png", "../nothing.png"])
def test_paths_that_leave_the_folder_are_refused_unless_allowed(tmp_path, name):
    put(tmp_path, "secret.png", "data/a.png", "data/sub/b.png")
    name = name.format(outside=tmp_path.as_posix())
    written(tmp_path / "data", f"file_name,label\na.png,cat\n{name},dog\n")
    with pytest.raises(ValueError, match=r"Row 2 names .* which lies outside .*unless you allow"):
        table.open(tmp_path / "data")
    dataset = table.open(tmp_path / "data", allow_outside=True)
    assert len(dataset) == (1 if "nothing" in name else 2)
    assert all(dataset.pixels(row).shape == (3, 4, 3) for row in range(len(dataset)))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_leave_the_folder_are_refused_too(tmp_path):
    put(tmp_path, "secret.png", "more/secret.png", "data/a.png")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "more")
    (tmp_path / "data" / "inner.png").symlink_to(tmp_path / "data" / "a.png")
    for name in ("link.png", "folder/secret.png"):
        written(tmp_path / "data", f"file_name,label\n{name},cat\n")
        with pytest.raises(ValueError, match="lies outside"):
            table.open(tmp_path / "data")
    written(tmp_path / "data", "file_name,label\ninner.png,cat\n")
    assert len(table.open(tmp_path / "data")) == 1


def test_a_mask_outside_is_refused_as_well(tmp_path):
    put(tmp_path, "secret.png", "data/a.png")
    written(tmp_path / "data", "file_name,label,mask_file\na.png,cat,../secret.png\n")
    with pytest.raises(ValueError, match="lies outside"):
        table.open(tmp_path / "data")


@pytest.mark.parametrize("name", ["https://example.org/a.png", "s3://bucket/a.png", "file:///etc/passwd", "hf://x"])
def test_addresses_are_never_followed(tmp_path, name):
    put(tmp_path, "a.png")
    written(tmp_path, f"file_name,label\n{name},cat\n")
    with pytest.raises(ValueError, match="Addresses are not followed"):
        table.open(tmp_path, allow_outside=True)


def test_files_that_are_not_there_are_named_and_the_others_used(tmp_path):
    put(tmp_path, "a.png", "forgotten.png")
    written(tmp_path, f"file_name,label\na.png,cat\nb.png,dog\n,dog\n{'x' * 300}.png,dog\nsub,dog\n")
    (tmp_path / "sub").mkdir()
    dataset = table.open(tmp_path)
    assert dataset.ids == ("a.png",)
    assert codes(dataset) == [
        ("missing-file", "b.png"),
        ("no-name", "row 3"),
        ("missing-file", "x" * 300 + ".png"),
        ("missing-file", "sub"),
        ("unlisted", "forgotten.png"),
    ]


def test_a_name_with_a_zero_byte_is_only_a_missing_file(tmp_path):
    put(tmp_path, "a.png")
    written(tmp_path, '{"file_name": "a.png", "label": 1}\n{"file_name": "a\\u0000.png", "label": 1}', "metadata.jsonl")
    assert codes(table.open(tmp_path)) == [("missing-file", "a\0.png")]


def test_a_table_of_which_nothing_can_be_used_is_an_error(tmp_path):
    written(tmp_path, "file_name,label\nb.png,dog\n")
    with pytest.raises(
        ValueError, match=r"None of the 1 files that .* lists can be used, such as 'b.png': the table lists"
    ):
        table.open(tmp_path)
    written(tmp_path, "file_name,label\n")
    with pytest.raises(ValueError, match=r"None of the 0 files .* it has no rows"):
        table.open(tmp_path)


def test_a_file_listed_twice_counts_once_and_without_label_if_they_disagree(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    written(tmp_path, "file_name,label\na.png,cat\n./a.png,cat\nb.png,cat\nx/../b.png,dog\nc.png,dog\n")
    dataset = table.open(tmp_path)
    assert dict(zip(dataset.ids, dataset.targets, strict=True)) == {"a.png": "cat", "b.png": None, "c.png": "dog"}
    assert codes(dataset) == [("listed-twice", "a.png"), ("contradiction", "b.png")]
    assert "the labels 'cat', 'dog'" in dataset.problems[1].what


# --------------------------------------------------------------------------------------------------- broken tables


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "metadata.csv",
            b"filename,label\na.png,cat\n",
            r"has no column 'file_name'. Did you mean 'filename'\? There are:",
        ),
        (
            "metadata.csv",
            b"file_name,label\na.png,cat\nb.png\n",
            "cannot be read as a CSV in UTF-8: .*Expected 2 columns",
        ),
        ("metadata.csv", b"file_name,label\na.png,caf\xe9\n", "cannot be read as a CSV in UTF-8"),
        ("metadata.csv", b"", "cannot be read as a CSV in UTF-8"),
        ("metadata.csv", b"file_name,label,label\na.png,cat,dog\n", "more than one column 'label'"),
        (
            "metadata.csv",
            b"file_name,label,split\na.png,cat,holdout\n",
            "has 'holdout'; it may have train, val or test",
        ),
        ("metadata.jsonl", b'{"file_name": "a.png", "label": 1}\n{"file_name": \n', "Line 2 of .* is no JSON"),
        ("metadata.jsonl", b'["a.png"]\n', "Line 1 of .* is no record such as"),
        ("metadata.jsonl", b'{"file_name": "a.png", "label": ["cat", "dog"]}\n', "a label is one name or number, not"),
        ("metadata.parquet", b"PAR1rubbish", "cannot be read as Parquet"),
    ],
)
def test_a_broken_table_is_refused_in_words(tmp_path, name, content, words):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        table.open(tmp_path)


def test_two_tables_in_one_place_are_ambiguous(tmp_path):
    put(tmp_path, "a.png")
    written(tmp_path, "file_name,label\na.png,cat\n")
    written(tmp_path, '{"file_name": "a.png", "label": "dog"}', "metadata.jsonl")
    with pytest.raises(ValueError, match=r"more than one table, metadata.csv and metadata.jsonl. Keep one"):
        table.open(tmp_path)
    assert table.open(tmp_path / "metadata.jsonl").targets == ("dog",)


def test_values_that_are_no_plain_tags_are_left_out_by_name(tmp_path):
    put(tmp_path, "a.png")
    written(
        tmp_path,
        '{"file_name": "a.png", "label": "cat", "embedding": [1, 2], "weight": NaN, "ok": true}',
        "metadata.jsonl",
    )
    dataset = table.open(tmp_path)
    assert dataset.tags == {"weight": (None,), "ok": (True,)}
    assert codes(dataset) == [("column-left-out", "embedding")]
    assert not any(
        isinstance(value, float) and math.isnan(value) for column in dataset.tags.values() for value in column
    )
