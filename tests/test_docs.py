"""The pages say what is so: their examples run, their links lead somewhere, and nothing that exists goes unmentioned."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from seewhy import auditing, cli, shelf, training
from seewhy.images.decoding import decode
from seewhy.images.imaging import encode_png
from seewhy.settings import kinds

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
#: Enough for a network to be there; the examples themselves name no number where a reader needs none.
STEPS = "4"
#: Audits that ask a network about the same images again and again. The first audit of photos/ asks them all; in the
#: sections they are left out where no line names them, for it is the same work each time.
LONG = {
    "adversarial", "consistency", "corruptions", "counterfactuals", "effects", "mediation", "properties", "shortcuts",
}  # fmt: skip
COLOURS = {"cat": (200, 80, 80), "dog": (80, 200, 80), "bird": (80, 80, 200)}


@dataclass(frozen=True)
class Block:
    """A fenced piece of a page: its language, its lines, and the remark that stands before it in the source."""

    section: str
    language: str
    text: str
    remark: str

    @property
    def runs(self) -> bool:
        return self.language != "text" and not self.remark.startswith("not run:")


def blocks(page: Path) -> list[Block]:
    pattern = r"^## (?P<section>[^\n]+)$|(?:^<!-- (?P<remark>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
    found, section = [], page.stem
    for match in re.finditer(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if match["section"]:
            section = match["section"]
        else:
            found.append(Block(section, match["language"], match["text"], match["remark"] or ""))
    return found


def sections(page: str) -> dict[str, list[Block]]:
    """What runs, by section."""
    found: dict[str, list[Block]] = {}
    for block in blocks(DOCS / page):
        if block.runs:
            found.setdefault(block.section, []).append(block)
    return found


# --------------------------------------------------------------------------------------------- the examples run


def picture(name: str, random: np.random.Generator) -> np.ndarray:
    """16 x 16 pixels of noise in the colour of its class."""
    return (np.array(COLOURS[name]) + random.integers(-60, 56, (16, 16, 3))).clip(0, 255).astype(np.uint8)


def write_data(folder: Path) -> None:
    """What the pages speak of: photos/ and more/, clinic/ with its table, train.parquet, predictions.csv."""
    random = np.random.default_rng(0)
    for name in COLOURS:
        for place, count in (("photos", 20), ("more", 8)):
            (folder / place / name).mkdir(parents=True)
            for number in range(count):
                (folder / place / name / f"{number}.png").write_bytes(encode_png(picture(name, random)))
    (folder / "clinic" / "images").mkdir(parents=True)
    rows = ["file_name,label,sex,scanner,patient"]
    for number in range(60):
        name = ("cat", "dog")[number % 2]
        (folder / "clinic" / "images" / f"{number}.png").write_bytes(encode_png(picture(name, random)))
        rows.append(f"images/{number}.png,{name},{'fm'[number % 4 // 2]},{'AB'[number % 3 // 2]},p{number // 2}")
    (folder / "clinic" / "metadata.csv").write_text("\n".join(rows) + "\n")
    names = ["cat", "dog", "bird"] * 15
    images = [{"bytes": encode_png(picture(name, random)), "path": f"{row}.png"} for row, name in enumerate(names)]
    pa.parquet.write_table(pa.table({"image": images, "label": names}), folder / "train.parquet")
    said = [
        f"{row},{names[row % 45]},{names[row % 45 // 9 * 9]},0.{50 + row % 50},{'fm'[row % 2]}" for row in range(90)
    ]
    (folder / "predictions.csv").write_text("\n".join(["id,target,answer,confidence,sex", *said]) + "\n")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and runs/photos, which most sections speak of; made once."""
    folder = tmp_path_factory.mktemp("docs")
    write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SEEWHY_CACHE", str(folder / "tables"))
        seewhy("audit photos/", patch)
    return folder


@pytest.fixture
def reader(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A reader in a folder of their own with all that. What they import is forgotten afterwards."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEWHY_CACHE", str(tmp_path / "tables"))
    monkeypatch.syspath_prepend(tmp_path)
    audits = auditing._audits
    monkeypatch.setattr(
        auditing,
        "_audits",
        lambda planner: [each for each in audits(planner) if planner.settings.audits or each[0] not in LONG],
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def seewhy(line: str, patch: pytest.MonkeyPatch) -> None:
    """One line of a shell example; trainings that name no number of steps take few."""
    words = shlex.split(line.partition(" > ")[0], comments=True)
    trains = words[0] in ("audit", "train") and not {"--model", "--steps"} & set(words)
    patch.setattr(sys, "argv", ["seewhy", *words, *(["--steps", STEPS] if trains else [])])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in ((None, 0, 1) if "--fail-on" in words else (None, 0)), line


def play(example: list[Block], patch: pytest.MonkeyPatch) -> None:
    """Do what a section says, in order: write its files, run its lines."""
    said: dict[str, object] = {"__name__": "__main__"}
    for block in example:
        if block.remark.startswith("file: "):
            path = Path(block.remark.removeprefix("file: "))
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, f"<{block.section}>", "exec"), said)
        else:
            assert block.language == "sh", block
            for line in block.text.splitlines():
                command, _, rest = line.partition(" ")
                assert command == "seewhy", f"only lines of seewhy are run, not {line!r}"
                seewhy(rest, patch)


def marked(page: str) -> list[pytest.param]:
    """The sections; one that is marked as slow is left to `make test-slow`."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if any(block.remark == "slow" for block in run) else [])
        for name, run in sections(page).items()
    ]


@pytest.mark.parametrize("section", marked("start.md"))
def test_the_first_steps_can_be_taken(section, reader):
    play(sections("start.md")[section], reader)


def test_two_models_are_compared_and_handed_on_as_the_page_says(reader):
    for section in sections("compare.md").values():  # the second goes on with what the first made
        play(section, reader)
    assert "## Intended use" in Path("runs/before/model_card.md").read_text(encoding="utf-8")


def test_explanations_are_had_as_the_page_says(reader):
    play([block for blocks in sections("explaining.md").values() for block in blocks], reader)
    assert {path.suffix for path in Path("explained").iterdir()} == {".png", ".npz", ".json"}


def test_made_worlds_are_as_their_page_says(reader):
    play([block for blocks in sections("made_worlds.md").values() for block in blocks], reader)


def test_images_are_changed_as_the_page_says(reader):
    play([block for blocks in sections("interventions.md").values() for block in blocks], reader)


@pytest.mark.parametrize("section", marked("models.md"))
def test_models_are_loaded_as_the_page_says(section, reader):
    play(sections("models.md")[section], reader)


@pytest.mark.parametrize("section", marked("training.md"))
def test_it_trains_as_the_page_says(section, reader):
    play(sections("training.md")[section], reader)


@pytest.mark.parametrize("section", marked("networks.md"))
def test_the_page_of_the_networks_says_what_works(section, reader):
    play(sections("networks.md")[section], reader)


@pytest.mark.parametrize("section", marked("spreadsheet.md"))
def test_workbooks_are_had_as_the_page_says(section, reader):
    play(sections("spreadsheet.md")[section], reader)
    assert len(list(Path().glob("*.xlsx"))) == 1


@pytest.mark.parametrize("section", marked("add_one.md"))
def test_one_can_be_added_as_the_page_says(section, reader):
    play(sections("add_one.md")[section], reader)
    if section == "An explainer":
        (drawn,) = Path("explained").glob("*mine.by_brightness.png")
        assert decode(drawn.read_bytes()).shape == (448, 448, 3)
    if section == "An audit":
        (said,) = [json.loads(path.read_text()) for path in Path("runs").glob("more*/findings.json")]
        (found,) = [finding for finding in said["findings"] if finding["audit"] == "among_first"]
        assert re.match(r"The label is among the first 2 answers for \d+ of 24 test images: ", found["statement"])
    if section == "An export":
        page = Path("findings.md").read_text(encoding="utf-8")
        assert page.startswith("# more/\n")
        assert "- **none**" not in page


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("networks", "nin"),
        ("explainers", "by_brightness"),
        ("audits", "among_first"),
        ("exports", "markdown"),
        ("tasks", "measure"),
    ],
)
def test_each_file_of_the_page_is_a_member_once_it_lies_on_its_shelf(name, file, tmp_path, monkeypatch):
    (text,) = [block.text for block in blocks(DOCS / "add_one.md") if block.remark == f"file: mine/{file}.py"]
    (tmp_path / f"{file}.py").write_text(text, encoding="utf-8")
    package = __import__(f"seewhy.{name}", fromlist=["__path__"])
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    member = shelf.members(name)[file]
    assert member.question.endswith("?")
    assert member.settings
    assert not any(setting.required for setting in member.settings)
    module = shelf.load(name, file)
    monkeypatch.delitem(sys.modules, f"seewhy.{name}.{file}")
    monkeypatch.delattr(package, file, raising=False)
    assert module.__doc__.splitlines()[0] == member.question


def test_the_network_of_the_page_is_found_by_its_sizes_on_the_shelf(tmp_path, monkeypatch):
    from seewhy import networks

    (text,) = [block.text for block in blocks(DOCS / "add_one.md") if block.remark == "file: mine/nin.py"]
    (tmp_path / "nin.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    small, wide = (networks.find(name, classes=4).module for name in ("nin", "nin_wide"))
    monkeypatch.delitem(sys.modules, "seewhy.networks.nin")
    assert small(torch.zeros(2, 3, 16, 16)).shape == wide(torch.zeros(2, 3, 32, 32)).shape == (2, 4)
    assert sum(map(torch.numel, small.parameters())) < sum(map(torch.numel, wide.parameters()))


@pytest.mark.parametrize(
    "page",
    [
        "start.md",
        "training.md",
        "compare.md",
        "add_one.md",
        "made_worlds.md",
        "explaining.md",
        "models.md",
        "networks.md",
        "spreadsheet.md",
    ],
)
def test_every_example_says_its_language_and_one_that_is_left_out_says_why(page):
    for block in blocks(DOCS / page):
        assert block.language in ("sh", "python", "toml", "csv", "text"), block
        assert not block.remark or re.match(r"(not run|file): \S|slow$", block.remark), block
        if block.language in ("toml", "csv"):
            assert block.remark, f"{block.text} is neither written to a file nor marked as not run"


# ----------------------------------------------------------------------------------------- what is said is so


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for link in links:
        if not re.match(r"[a-z]+:", link):
            place, _, heading = link.partition("#")
            target = page.parent / place if place else page
            assert target.exists(), f"{page.name} links to {link}, which is not there"
            if heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]


def test_every_command_every_setting_and_every_member_is_mentioned():
    from typer.main import get_command

    lines, settings, shelves = (
        (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("command_line", "settings", "shelves")
    )
    for command in get_command(cli.app).commands:
        assert f"## seewhy {command}\n" in lines
    for name in kinds():
        assert f"| `{name}` |" in settings
        assert name == "data" or f"--{name.replace('_', '-')} " in lines
    for name in shelf.VERBS:
        for member in shelf.members(name).values():
            assert f"| `{member.name}` | {member.question}" in shelves


def test_every_setting_of_the_loop_is_on_the_page_about_it():
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    for name in {field.name for field in dataclasses.fields(training.Settings)} & set(kinds()):
        assert f"--{name.replace('_', '-')}" in page or name in ("batch", "optimizer", "schedule", "seed"), name


def test_the_floors_of_the_page_are_those_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["id"] == "floors"]
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE)
    told = [sorted(re.findall(r"`(\w+)`", names)) for _, names in rows]
    assert told == [sorted(layer.split(" | ")) for layer in contract["layers"]]
    assert [int(floor) for floor, _ in rows] == list(range(len(rows)))[::-1]


def test_every_shelf_stands_in_the_page_on_architecture_with_what_a_member_defines():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for name, verb in shelf.VERBS.items():
        (row,) = re.findall(rf"^\| `{name}/` \|.*$", page, re.MULTILINE)
        assert verb == "__init__" or f"`{verb}(" in row


def codes(file: Path) -> Iterator[str]:
    """What a file calls problems: the first word of a Problem, the last of an Undecodable, and what is named `code`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        said: list[ast.expr] = []
        if isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            said = {"Problem": node.args[:1], "Undecodable": node.args[1:]}.get(called, [])
        elif isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            both = (
                isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
            )
            pairs = zip(target.elts, value.elts, strict=True) if both else [(target, value)]
            said = [word for name, word in pairs if isinstance(name, ast.Name) and name.id == "code"]
        elif isinstance(node, ast.FunctionDef) and "code" in [argument.arg for argument in node.args.args]:
            said = list(node.args.defaults)
        yield from (word.value for word in said if isinstance(word, ast.Constant) and isinstance(word.value, str))


def test_every_code_of_a_problem_is_explained():
    written = {code for path in (ROOT / "seewhy").rglob("*.py") for code in codes(path)}
    page = (DOCS / "data.md").read_text(encoding="utf-8").partition("\n## What `scan` reports")[2]
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", page.partition("\n## ")[0], re.MULTILINE))
    assert written >= {"empty-file", "broken-image", "contradiction", "listed-twice", "uneven-split", "too-large"}
    assert written == explained


def test_the_knobs_of_made_worlds_are_those_of_the_page():
    from dataclasses import fields

    from seewhy.worlds import World

    page = (DOCS / "made_worlds.md").read_text(encoding="utf-8").partition("| knob |")[2].partition("\n\n")[0]
    told = [name for row in page.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(told) == sorted(entry.name for entry in fields(World))


def test_the_picture_of_made_worlds_is_what_its_script_draws(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import made_worlds

    np.testing.assert_array_equal(decode(made_worlds.PICTURE.read_bytes()), made_worlds.sheet())
    assert made_worlds.PICTURE.stat().st_size <= 500_000


def test_the_pictures_of_a_report_are_small_enough_for_a_page():
    for name in ("light", "dark"):
        assert (DOCS / "images" / f"report-{name}.png").stat().st_size <= 250_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_place_on_somebodys_machine(page):
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", page.read_text(encoding="utf-8"))
