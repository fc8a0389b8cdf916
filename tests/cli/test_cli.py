"""The command line: what it prints where, how it ends, and what it says of a mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import seewhy
from seewhy.cli import console, named

QUICK = ("--network", "resnet_tiny", "--steps", "4", "--threads", "1")


def test_help_answers_at_once_and_loads_nothing_heavy():
    program = "import sys; from seewhy import cli; print([name for name in ('torch', 'numpy', 'timm') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_command_has_a_sentence_of_help(command):
    shown = command("--help").out
    for name in ("audit", "train", "predict", "explain", "export", "networks", "scan", "report", "cache"):
        assert re.search(rf"^\s+{name}\s+\w", shown, re.MULTILINE), name
        assert command(name, "--help").code == 0


WRONG = [
    (("audit", "nowhere"), "There is no 'nowhere'."),
    (("audit", "photos", "--networks", "x"), "No such option: --networks"),
    (("audit", "photos", "--split", "rondom"), "Setting split is 'rondom'. Did you mean 'random'?"),
    (("audit", "photos", "--network", "resnet_tinny"), "No network 'resnet_tinny'. Did you mean 'resnet_tiny'?"),
    (("audit", "photos", "--network", "timm:resnet1888"), "resnet1888"),
    (("audit", "photos", "--audits", "acuracy"), "No audit 'acuracy'. Did you mean 'accuracy'?"),
    (("audit", "photos", "--model", "lite1"), "No model 'lite1'"),
    (("audit", "photos", "--classes", "a,b"), "Setting classes speaks of a given model, and none is"),
    (
        ("predict", "empty.pt", "photos"),
        "empty.pt holds no weights: it is neither safetensors nor what torch.save writes",
    ),
    (("audit", "photos", "--device", "tpu9"), "The device 'tpu9' cannot be used here"),
    (("audit", "photos", "--groups", "sex"), "photos has no tag 'sex'. There are none."),
    (("audit", "photos", "--fail-on", "seriuos"), "--fail-on is 'seriuos'. Did you mean 'serious'?"),
    (("audit", "photos", "--minutes", "inf"), "Setting minutes is inf; it must be more than 0"),
    (("audit", "photos", "--label-smoothing", "1"), "Setting label_smoothing is 1.0; it must be at least 0"),
    (("audit", "photos", "--seed", 2**70), "it must fit into 64 bits"),
    (("train", "photos", "--threads", "0"), "Setting threads is 0; it must be more than 0"),
    (("audit", "photos", "--config", "missing.toml"), "missing.toml: No such file or directory"),
    (("audit", "photos", "--out", "photos/run"), "photos/run lies inside the data, which are only read"),
    (("predict", "lite0", "nowhere.jpg"), "There is no 'nowhere.jpg'"),
    (("predict", "lenet", "photos"), "The network 'lenet' has no weights of its own"),
    (("export", "lite0", "lite0.jpg"), "The name 'lite0.jpg' does not tell the format; end it in .onnx (onnx)"),
    (("export", "lite0", "x.onnx", "--format", "onx"), "No format 'onx'. Did you mean 'onnx'?"),
    (("networks", "lennet5"), "No network 'lennet5'. Did you mean 'lenet5'?"),
    (("report", "photos"), "photos holds no finished run; `seewhy audit` makes one"),
    (("scan", "photos", "--label", "x"), "photos is read as folder, which has no columns"),
]


@pytest.mark.parametrize(
    ("words", "says"), WRONG, ids=lambda value: None if isinstance(value, str) else " ".join(map(str, value))
)
def test_wrong_use_ends_in_one_sentence_and_leaves_nothing_behind(here, command, photos, content, words, says):
    (here / "empty.pt").touch()
    before = content(here)
    ended = command(*words)
    assert ended.code == 2
    assert says in ended.err
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert content(here) == before


def test_a_settings_file_lies_beneath_the_flags_and_its_mistakes_are_named(here, command, photos):
    settings = here / "x.toml"
    settings.write_text('network = "resnet_tiny"\nsteps = 4\nthreads = 1\nseed = 5\n')
    trained = json.loads(command("train", photos, "--config", settings, "--seed", 7, "--out", "x", "--json").out)
    assert trained["seed"] == 7
    assert trained["training"]["steps"] == 4
    for text, says in (
        ("lerning_rate = 1", "No setting 'lerning_rate'. Did you mean 'learning_rate'?"),
        ("steps = ", "x.toml is not readable as TOML"),
        ('threads = "two"', "Setting threads is 'two'; it must be of type int"),
        ("groups = [1, 2]", "Setting groups is [1, 2]; it must be a list of names"),
    ):
        settings.write_text(text)
        ended = command("train", photos, "--config", settings)
        assert ended.code == 2
        assert says in ended.err
        assert ended.err.count("\n") == 1


def test_fail_on_ends_with_1_where_something_is_as_bad_and_0_where_nothing_is(here, command, photos):
    (photos / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff this is no image")
    words = ("audit", photos, *QUICK, "--audits", "accuracy,data_quality", "--json", "--out", "x")
    worst = {finding["severity"] for finding in json.loads(command(*words).out)["findings"]}
    assert "moderate" in worst or "serious" in worst or "minor" in worst
    assert command(*words, "--fail-on", "minor").code == 1
    assert command(*words, "--fail-on", "critical").code == (1 if "critical" in worst else 0)


def test_predict_names_what_it_cannot_read_and_fails_only_where_it_can_read_nothing(here, command, photos):
    broken = photos / "cat" / "\x1b[31mred.png"
    broken.write_bytes(b"no image")
    (photos / ".git").mkdir()
    (photos / ".git" / "hidden.txt").write_text("hidden")
    command("train", photos, *QUICK, "--out", "x")
    ended = command("predict", "x", photos)
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 40
    assert ended.err.count("\n") == 1
    assert r"\x1b[31mred.png" in ended.err
    assert "\x1b" not in ended.out + ended.err
    assert command("predict", "x", broken).code == 2
    (here / "empty").mkdir()
    assert "There is no file in empty" in command("predict", "x", "empty").err
    explained = command("explain", "x", broken, photos / "cat" / "1.png", "--method", "gradient", "--json")
    assert explained.code == 0
    told = json.loads(explained.out)
    assert [each["id"] for each in told["failed"]] == [str(broken)]
    assert len(told["explanations"]) == 1


def test_explain_forecasts_takes_settings_and_asks_inside_the_network(here, command, photos, content):
    command("train", photos, *QUICK, "--out", "x")
    before = content(here)
    words = ("explain", "x", photos / "cat", "--method", "occlusion", "--method", "gradient", "--forecast")
    told = json.loads(command(*words, "--json").out)
    assert told["images"] == 20
    assert told["alone"]["gradient"] == 2
    shown = command(*words).out
    assert shown.startswith("An image: at most about ")
    assert "20 images: at most about" in shown
    assert content(here) == before  # nothing was written
    assert "no setting 'patsh'. Did you mean 'patch'?" in command(*words, "--set", "occlusion.patsh=2").err
    assert "it must be METHOD.SETTING=VALUE" in command(*words, "--set", "patch").err
    row = command("explain", "x", photos / "cat" / "1.png", "--method", "gradient", "--target", "conv1:3", "--json")
    assert json.loads(row.out)["explanations"][0]["question"] == "channel 3 of conv1"
    assert "it has channels 0 to 31" in command("explain", "x", photos / "cat" / "1.png", "--target", "conv1:32").err


def test_explain_says_which_measures_were_left_out(command, photos):
    ended = command("explain", "lite0", photos / "cat" / "1.png", "--method", "gradient", "--measure", "pointing")
    assert ended.code == 0, ended.err
    assert "  no pointing: The images have no masks of their objects\n" in ended.out


def test_explain_shows_how_far_it_is_where_somebody_sees_it(command, photos, monkeypatch):
    words = ("explain", "lite0", photos / "cat" / "1.png", photos / "cat" / "2.png", "--method", "gradient")
    assert not command(*words).err
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    ended = command(*words)
    assert "passes" in ended.err
    assert "image 2 of 2" in ended.err
    assert [line.split(":")[0] for line in ended.out.splitlines()[::2]] == [str(path) for path in words[2:4]]


def test_an_interrupted_explain_leaves_the_last_map_and_says_what_it_rests_on(here, command, photos, monkeypatch):
    from seewhy import explaining

    write_pictures, struck = explaining.write_pictures, []

    def interrupted(*given, **named):
        work = write_pictures(*given, **named)
        try:
            while True:
                progress = next(work)
                if progress.done > 400 and not struck:
                    struck.append(progress)
                    signal.raise_signal(signal.SIGINT)
                yield progress
        except StopIteration as end:
            return end.value
        finally:
            work.close()

    monkeypatch.setattr(explaining, "write_pictures", interrupted)
    command("train", photos, *QUICK, "--out", "x")
    ended = command("explain", "x", photos / "cat" / "1.png", photos / "cat" / "2.png", "--method", "rise")
    assert ended.code == 130
    (file,) = (here / "explained").glob("*.json")
    (picture,) = (here / "explained").glob("*.png")
    assert picture.read_bytes().endswith(b"IEND\xaeB`\x82")
    done = struck[0].done
    assert 400 < done < 4001
    assert ended.err.splitlines()[-1] == (
        f"Interrupted. The maps that explained/{file.name} tells of rest on {done:,} of at most 4,001 passes."
    )
    assert json.loads(file.read_text())["unfinished"] == {"passes": done, "of": 4001}


def test_a_learning_rate_is_suggested_for_people_and_for_programs_and_nothing_is_left(here, command, photos, content):
    before = content(here)
    asked = ("lr", photos, "--network", "resnet_tiny", "--batch", 8, "--threads", 1)
    found = json.loads(command(*asked, "--json").out)
    assert found["rates"][0] <= found["suggested"] < found["rates"][-1]
    assert len(found["rates"]) == len(found["losses"])
    shown = command(*asked)
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == f"--learning-rate {found['suggested']:.2g}"
    assert content(here) == before


def test_an_answer_by_several_views_says_so(command, photos):
    said = json.loads(command("predict", "lite0", photos / "cat" / "0.png", "--tta", "flip", "--json").out)
    assert said["views"] == "flip"
    assert said["answers"][0]["answer"]


def test_explain_writes_pictures_and_checks_names_first(here, command, photos):
    command("train", photos, *QUICK, "--out", "x")
    image = photos / "cat" / "1.png"
    ended = command("explain", "x", image, "--target", "cat - dog", "--method", "occlusion", "--out", "heat", "--json")
    assert ended.code == 0, ended.err
    (row,) = json.loads(ended.out)["explanations"]
    assert row["question"] == "cat rather than dog"
    assert list(row["pictures"]) == ["occlusion"]
    assert (here / row["pictures"]["occlusion"]).read_bytes().startswith(b"\x89PNG")
    for words, says in (
        (("--target", "cta"), "No class 'cta'. Did you mean 'cat'? There are: cat, dog.\n"),
        (("--method", "oclusion"), "No explainer 'oclusion'. Did you mean 'occlusion'?"),
    ):
        wrong = command("explain", "x", image, *words, "--out", "other")
        assert wrong.code == 2
        assert wrong.err.startswith(says)
        assert not (here / "other").exists()


OWN = """
import torch


class Own(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.classes = ("cat", "dog")
        self.last = torch.nn.Linear(3, classes)

    def forward(self, x):
        return self.last(x.mean((2, 3)))


def small(classes=2):
    return Own(classes)
"""


@pytest.mark.slow
def test_a_module_in_the_current_folder_is_found_by_the_installed_command(here, photos):
    (here / "my_networks.py").write_text(OWN)
    (here / "random.py").write_text("raise AssertionError('hides a library')")
    installed = Path(sys.executable).with_name("seewhy")
    for words in (
        ["train", "photos", "--network", "my_networks:small", "--steps", "4", "--threads", "1", "--out", "x"],
        ["audit", "photos", "--network", "my_networks:small", "--steps", "4", "--threads", "1", "--out", "x"],
        ["predict", "my_networks:small", "photos", "--csv"],
    ):
        ended = subprocess.run([installed, *words], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.err


def test_only_names_that_are_the_users_own_open_the_current_folder(here, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    named.find_own("lite0", None)
    assert sys.path == ["/elsewhere"]
    named.find_own("mine:network")
    named.find_own("mine.method")
    assert sys.path == ["/elsewhere", str(here)]


def test_an_interrupt_waits_for_the_step_and_a_second_one_does_not(capsys):
    reached = []

    def work():
        from seewhy.types import Progress

        try:
            for step in range(3):
                reached.append(step)
                signal.raise_signal(signal.SIGINT)
                reached.append("whole")
                yield Progress("train", step, 3)
        finally:
            reached.append("closed")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        console.watched(work())
    assert reached == [0, "whole", "closed"]
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == "Stopping after this step; once more to stop at once.\n"
    with console.interrupts():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_cache_is_shown_and_cleared(here, command, photos):
    command("scan", photos)
    shown = json.loads(command("cache", "--json").out)
    assert shown["tables"] == 1
    assert shown["bytes"] > 0
    assert shown["folder"] == os.environ["SEEWHY_CACHE"]
    assert command("cache").out.startswith("1 tables, ")
    cleared = json.loads(command("cache", "--clear", "--json").out)
    assert cleared == {**shown, "tables": 0, "bytes": 0, "freed": shown["bytes"]}


def test_a_cache_that_cannot_be_written_ends_nothing_and_is_told_once(here, command, photos, monkeypatch):
    (here / "file").write_text("no folder")
    monkeypatch.setenv("SEEWHY_CACHE", str(here / "file" / "tables"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ended = command("audit", photos, *QUICK, "--audits", "accuracy,worth_it,where_it_looks")
    assert ended.code == 0
    assert ended.err.count("What is computed now cannot be remembered: ") == ended.err.count("\n") == 1
    assert str(here / "file") in ended.err


def test_bare_weights_are_audited_and_what_was_assumed_is_a_doubt(here, command, photos):
    import torch

    command("train", photos, *QUICK, "--out", "x")
    torch.save({"model": seewhy.load("x").network.body.state_dict()}, "resnet_tiny.pt")
    words = ("audit", photos, "--model", "resnet_tiny.pt", "--audits", "accuracy", "--threads", 1)
    unnamed = command(*words)
    assert unnamed.code == 2
    assert "does not tell the names of its classes, and no order of them is guessed" in unnamed.err
    ended = command(*words, "--classes", "cat,dog", "--json")
    assert ended.code == 0, ended.err
    found = next(each for each in json.loads(ended.out)["findings"] if each["id"] == "accuracy:test")
    assert (
        "The weights in resnet_tiny.pt are taken for those of resnet_tiny, which has the same tensors."
        in found["doubts"]
    )
    assert any("taken to be usual for resnet_tiny: 8 x 8 pixels" in doubt for doubt in found["doubts"])
    said = command("predict", "resnet_tiny.pt", photos / "cat" / "1.png", "--classes", "cat,dog")
    assert "taken to be usual" in said.err
    (here / "more").mkdir()
    (photos / "cat").rename(here / "more" / "pet")
    mapped = command(
        "audit", "more", "--model", "x", "--mapping", "pet=cat,other=dog", "--audits", "accuracy", "--json"
    )
    assert mapped.code == 0, mapped.err
    document = json.loads(mapped.out)
    assert document["findings"][0]["n"] == document["run"]["counts"]["test"] > 0
    assert document["run"]["classes"] == ["pet"]


def test_a_run_of_a_users_own_network_is_audited_where_its_name_is_typed_again(here, command, photos, monkeypatch):
    (here / "my_own.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "my_own", raising=False)
    words = ("--steps", "4", "--threads", "1")
    assert command("train", photos, "--network", "my_own:small", *words, "--out", "x").code == 0
    refused = command("audit", photos, "--model", "x")
    assert refused.code == 2
    assert "was made by 'my_own:small'. No file decides what is imported" in refused.err
    assert "--network my_own:small" in refused.err
    ended = command("audit", photos, "--model", "x", "--network", "my_own:small", "--audits", "accuracy")
    assert ended.code == 0, ended.err
    assert command("predict", "x", photos / "cat" / "1.png", "--network", "my_own:small").code == 0
    monkeypatch.delitem(sys.modules, "my_own", raising=False)


@pytest.mark.parametrize("stage", ["scan", "train", "tables", "report"])
def test_an_interrupt_at_any_stage_keeps_what_was_done_and_the_same_command_goes_on(
    here, command, photos, monkeypatch, stage
):
    from seewhy import auditing

    audit, struck = auditing.audit, []

    def interrupted(*given, **named):
        work = audit(*given, **named)
        try:
            while True:
                progress = next(work)
                if progress.stage == stage and not struck:
                    struck.append(stage)
                    signal.raise_signal(signal.SIGINT)
                yield progress
        except StopIteration as end:
            return end.value
        finally:
            work.close()

    monkeypatch.setattr(auditing, "audit", interrupted)
    words = ("audit", photos, *QUICK, "--audits", "accuracy,duplicates", "--out", "x")
    ended = command(*words)
    assert struck
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "Interrupted. What was done is kept; the same command goes on from there."
    assert not (here / "x" / "holder").exists()
    assert not list(here.parent.rglob("*.unfinished"))
    assert command(*words).code == 0
    assert (here / "x" / "findings.json").is_file()


@pytest.mark.slow
def test_networks_are_listed(command):
    rows = json.loads(command("networks", "--json").out)
    assert {"name", "parameters", "multiply_adds", "weights", "paper"} <= set(rows[0])
    assert "resnet20" in {row["name"] for row in rows}


def test_a_network_is_shown_layer_by_layer(command):
    shown = command("networks", "resnet20")
    assert shown.code == 0
    assert "Linear" in shown.out
    layers = json.loads(command("networks", "resnet20", "--json").out)
    assert sum(layer["parameters"] for layer in layers if layer["kind"] == "Linear") == 650


def test_a_scan_is_read_by_people_too(here, command, photos):
    (photos / "cat" / "broken.png").write_bytes(b"")
    shown = command("scan", photos).out
    assert shown.startswith("41 images in 2 classes, 40 can be used\n")
    assert "cat/broken.png" in shown


def test_a_table_is_cut_off_without_a_trace(here, photos):
    program = f"{sys.executable} -m seewhy.cli scan {photos} --json"
    ended = subprocess.run(f"{program} | head -c 1", shell=True, capture_output=True, text=True, check=False)
    assert ended.stdout == "{"
    assert "Traceback" not in ended.stderr


def test_an_audits_own_settings_come_from_the_command_line_and_from_a_table_of_the_settings_file(here, command):
    rows = [f"{row},{'ab'[row % 2]},{'ab'[row % 3 == 0]},0.{60 + row % 40},{row // 4}" for row in range(80)]
    (here / "said.csv").write_text("\n".join(["id,target,answer,confidence,patient", *rows]))
    (here / "x.toml").write_text('unit = "patient"\n[calibration]\nbins = 3\nlevel = 0.9\n')

    def settings(*words):
        ended = command("audit", "said.csv", "--config", "x.toml", *words, "--json")
        assert ended.code == 0, ended.err
        return {finding["audit"]: finding["settings"] for finding in json.loads(ended.out)["findings"]}

    found = settings("--set", "calibration.bins=4", "--set", "confusion.most=2")
    assert (found["calibration"]["bins"], found["calibration"]["level"]) == (4, 0.9)
    assert found["confusion"]["most"] == 2
    assert found["intersections"]["unit"] == "patient"
    for words, says in (
        (
            ("--set", "calibration"),
            "--set is 'calibration'; it must be AUDIT.SETTING=VALUE, such as calibration.bins=20",
        ),
        (("--set", "calibration.bin=3"), "has no setting 'bin'. Did you mean 'bins'?"),
        (("--set", "calibraton.bins=3"), "No audit 'calibraton'. Did you mean 'calibration'?"),
        (("--unit", "patent"), "said.csv has no tag 'patent'. Did you mean 'patient'?"),
    ):
        ended = command("audit", "said.csv", *words)
        assert ended.code == 2
        assert says in ended.err
