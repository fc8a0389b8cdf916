"""The nouns hold for more than classification: a detector and a captioner go all the way from examples to a report."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from seewhy import exports, passes, shelf
from seewhy.loading import Loader
from seewhy.predicting import predict
from seewhy.types import (
    Answer,
    Batch,
    Boxes,
    Dataset,
    Example,
    Explanation,
    Finding,
    Need,
    Part,
    Predictions,
    Preprocessing,
    Question,
    Report,
    Tables,
)

WORDS = ("a", "bright", "dark", "picture")


class Pictures:
    """A source of grey pictures, each with one brighter square."""

    def pixels(self, row):
        image = np.full((16, 16, 3), 40, np.uint8)
        image[4 * (row % 3) : 4 * (row % 3) + 4, 4:8] = 60 + 25 * row
        return image

    def content(self, row):
        return bytes([row])

    def mask(self, row):
        return None


def make_dataset(targets, boxes=()):
    ids = tuple(f"p{row}" for row in range(len(targets)))
    tags = {"camera": tuple("ab"[row % 2] for row in range(len(targets)))}
    return Dataset("pictures", Pictures(), ids, targets, WORDS, np.arange(len(targets)), tags, boxes=boxes)


class FakeTask:
    """What detection and captions have in common: no single class, rightness between 0 and 1."""

    classes = WORDS
    preprocessing = Preprocessing((16, 16))

    def collate(self, examples):
        images = torch.stack([example.inputs["image"] for example in examples])
        return Batch(
            tuple(example.id for example in examples),
            {"image": images},
            [example.target for example in examples],
            tuple(example.tags for example in examples),
            None,
            tuple(example.boxes for example in examples),
        )

    def loss(self, output, batch):
        return None

    def objective(self, output, batch):
        return output["score"].mean()

    def logodds_true(self, output, batch):
        return None

    def log_probabilities(self, output):
        return None


class DetectTask(FakeTask):
    """One box an image; right is the overlap with the true one."""

    name = "detect"

    def decode(self, output):
        return [
            Answer(
                {"boxes": 1}, float(score.sigmoid()), (),
                (Part("box", "square", float(score.sigmoid()), corners=tuple(map(float, corners))),),
            )
            for score, corners in zip(output["score"], output["corners"], strict=True)
        ]  # fmt: skip

    def right(self, answer, target):
        left, top, right, bottom = answer.parts[0].corners
        wide = max(0.0, min(right, target[2]) - max(left, target[0]))
        high = max(0.0, min(bottom, target[3]) - max(top, target[1]))
        union = (right - left) * (bottom - top) + (target[2] - target[0]) * (target[3] - target[1]) - wide * high
        return wide * high / union

    def question(self, answers):
        return Question("the square's score", lambda output: output["score"])

    def prepare(self, batch, answers):
        return batch


class CaptionTask(FakeTask):
    """A word after the other, with the words so far as an input; right is the share of words."""

    name = "caption"

    def collate(self, examples):
        batch = super().collate(examples)
        return batch.with_inputs(words=torch.zeros(len(examples), 3, dtype=torch.int64))

    def decode(self, output):
        said = output.argmax(2).tolist()
        return [Answer(" ".join(WORDS[word] for word in words), 0.5) for words in said]

    def right(self, answer, target):
        return sum(a == b for a, b in zip(answer.value.split(), target.split(), strict=True)) / 3

    def question(self, answers):
        spoken = torch.tensor([[WORDS.index(word) for word in answer.split()] for answer in answers])
        return Question("this caption", lambda output: output.log_softmax(2).gather(2, spoken[:, :, None]).sum((1, 2)))

    def prepare(self, batch, answers):
        spoken = torch.tensor([[WORDS.index(word) for word in answer.split()] for answer in answers])
        return batch.with_inputs(words=torch.cat([torch.zeros(len(batch), 1, dtype=torch.int64), spoken[:, :-1]], 1))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.score = nn.Linear(4, 1)

    def forward(self, image):
        score = self.score(self.features(image).amax((2, 3)))[:, 0]
        return {"score": score, "corners": torch.tensor([[4.0, 4, 8, 8]]).expand(len(image), 4)}


class Captioner(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.words = nn.Embedding(4, 4)
        self.head = nn.Linear(4, 4)

    def forward(self, image, words):
        return self.head(self.features(image).mean((2, 3))[:, None] + self.words(words))  # batch, 3 places, 4 words


TRUE_BOX = (4.0, 4.0, 8.0, 8.0)
CASES = {
    "detect": (
        DetectTask,
        Detector,
        lambda: make_dataset((TRUE_BOX,) * 6, (Boxes(torch.tensor([TRUE_BOX]), ("square",)),) * 6),
    ),
    "caption": (CaptionTask, Captioner, lambda: make_dataset(("a bright picture", "a dark picture") * 3)),
}


def finished(work):
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("case", CASES)
def test_a_task_that_is_no_classification_goes_all_the_way_to_a_report(case, tmp_path):
    make_task, make_network, make_data = CASES[case]
    torch.manual_seed(0)
    task, network, dataset = make_task(), make_network(), make_data()
    predictions = finished(predict(network, Loader(dataset, task)))
    assert len(predictions) == 6
    assert 0 <= predictions["right"].min() <= predictions["right"].max() <= 1
    assert (predictions.parts is not None) == (case == "detect")

    tables = Tables({Need("baseline"): predictions}, dataset.classes)
    found = shelf.load("audits", "accuracy").check(tables)
    findings = [found] if isinstance(found, Finding) else list(found)
    assert findings[0].id == "accuracy:test"
    assert findings[0].value == pytest.approx(predictions["right"].mean())

    answers = ["a bright picture"] * 6 if case == "caption" else list(predictions["answer"])
    batch = task.prepare(task.collate([dataset[row] for row in range(6)]), answers)
    methods = {name: (shelf.load("explainers", name), {}) for name in ("gradient", "grad_cam", "occlusion")}
    explained = passes.explain(network, batch, task.question(answers), methods)
    explanations = tuple(
        Explanation(dataset.ids[row], "?", name, {"image": heat[row].detach().numpy()})
        for name, heat in explained.heat.items()
        for row in range(6)
    )
    images = {id: dataset.pixels(row) for row, id in enumerate(dataset.ids)}
    report = Report({"name": case}, tuple(findings), explanations, images)
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["findings"][0]["id"] == "accuracy:test"
    page = exports.load("html").write(report, tmp_path / "report.html")
    assert findings[0].statement.split()[0] in page.read_text(encoding="utf-8")


def make_predictions(**columns):
    import pyarrow as pa

    from seewhy.types import PREDICTION_COLUMNS

    rows = len(next(iter(columns.values())))
    whole = {name: pa.nulls(rows, PREDICTION_COLUMNS.field(name).type) for name in PREDICTION_COLUMNS.names}
    tags = {name: column for name, column in columns.items() if name.startswith("tag:")}
    whole |= {name: column for name, column in columns.items() if name not in tags}
    table = pa.table(whole, schema=PREDICTION_COLUMNS)
    for name, column in tags.items():
        table = table.append_column(name, pa.array(column))
    return Predictions(table, ("a", "b"))


def test_predictions_group_by_a_tag_with_missing_values_as_a_group_of_their_own():
    table = make_predictions(id=["1", "2", "3", "4"], **{"tag:sex": ["f", None, "m", "f"]})
    assert {name: rows.tolist() for name, rows in table.by("tag:sex").items()} == {
        "(missing)": [1],
        "f": [0, 3],
        "m": [2],
    }
    assert table.tags == ("sex",)
    assert not table.has("confidence")
    with pytest.raises(KeyError, match="Predictions have no column 'scanner'; there are id, condition"):
        table["scanner"]


def test_where_keeps_what_stands_beside_the_rows_with_them():
    table = make_predictions(id=["1", "2", "3"])
    table = Predictions(table.table, table.classes, None, np.arange(6, dtype=np.float16).reshape(3, 2))
    assert table.where([2, 0]).log_probabilities.tolist() == [[4, 5], [0, 1]]
    assert list(table.where(np.array([False, True, False]))["id"]) == ["2"]


def test_a_subset_keeps_classes_and_columns_in_step():
    dataset = make_dataset(("a bright picture", "a dark picture", "a bright picture"))
    chosen = dataset.subset([2, 0])
    assert chosen.ids == ("p2", "p0")
    assert chosen.tags["camera"] == ("a", "a")
    assert chosen.classes == dataset.classes
    assert (chosen.pixels(0) == dataset.pixels(2)).all()


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="Column 'targets' of 'x' has 1 entries for 2 ids"):
        Dataset("x", Pictures(), ("a", "b"), ("t",), ("t",), np.arange(2))


def test_an_example_holds_floats_between_0_and_1():
    example = make_dataset(("a", "a"))[1]
    assert isinstance(example, Example)
    assert example.inputs["image"].shape == (3, 16, 16)
    assert example.inputs["image"].max() == pytest.approx(85 / 255)


def test_a_findings_json_has_no_nan_and_comes_back():
    finding = Finding(
        "accuracy:test", "accuracy", "performance", "Right on none.", value=float("nan"), examples=("é",), n=0,
        settings={"bins": np.int64(3)},
    )  # fmt: skip
    plain = json.loads(json.dumps(finding.as_json(), allow_nan=False))
    assert plain["value"] is None
    back = Finding.from_json({**plain, "from_the_future": 1})
    assert back.as_json() == finding.as_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "test"}, "Finding 'test' of audit 'accuracy' must be named 'accuracy:subject'"),
        ({"pillar": "speed"}, "has pillar 'speed'; there are performance, see"),
        ({"severity": "bad"}, "has severity 'bad'; there are none, minor"),
    ],
)
def test_a_malformed_finding_is_refused(changes, words):
    plain = {"id": "accuracy:test", "audit": "accuracy", "pillar": "performance", "severity": "none"}
    finding = object.__new__(Finding)  # as users have it, without the checks of types that the tests add
    vars(finding).update(plain | changes)
    with pytest.raises(ValueError, match=words):
        finding.__post_init__()


def test_a_report_lists_the_most_severe_first():
    findings = [
        Finding(f"a:{number}", "a", pillar, "x", severity=severity)
        for number, (pillar, severity) in enumerate([("data", "none"), ("fair", "serious"), ("cause", "serious")])
    ]
    assert [finding.id for finding in Report({}, tuple(findings)).findings] == ["a:2", "a:1", "a:0"]


def test_questions_at_different_places_are_not_subtracted():
    first, second = Question("a", lambda output: output, "layer1"), Question("b", lambda output: output)
    with pytest.raises(ValueError, match="'a' is asked at layer1 and 'b' at the output"):
        first - second


def test_a_need_is_its_name_and_settings():
    assert Need("baseline", split="val", a=1) == Need("baseline", a=1, split="val")
    assert str(Need("baseline", split="val")) == "baseline(split=val)"
    tables = Tables({Need("baseline"): 3})
    assert tables.baseline == 3
    with pytest.raises(KeyError, match="The table scan was not asked for in `needs`; there are baseline"):
        tables.scan  # noqa: B018
