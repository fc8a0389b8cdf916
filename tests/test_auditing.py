"""The whole job says what it could not do, lets one failure take nothing along, and can be read back."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy import auditing, shelf
from seewhy.settings import Settings
from seewhy.storage.run import Run
from seewhy.types import Finding, Tables, picture_key


def finished(work):
    """What the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


#: Enough of the audits to see what the whole job does with them.
SOME = ("accuracy", "confident_mistakes", "confusion", "effects", "where_it_looks")


def asked(photos, **settings):
    usual = {"data": str(photos), "network": "resnet_tiny", "steps": 4, "threads": 1, "audits": SOME}
    return Settings(**{**usual, **settings})


#: What forty photos, of which eight are for testing, are too few for.
TOO_FEW = ["mediation", "properties"]


def test_every_audit_says_something_and_has_a_pillar_for_when_it_cannot(here, photos):
    report, run = finished(auditing.audit(asked(photos, audits=None), out="x"))
    assert {finding.audit for finding in report.findings} == set(shelf.members("audits"))
    assert report.facts["not_run"] == TOO_FEW
    assert all("It takes " in report[f"{name}:not_run"].statement for name in TOO_FEW)
    assert run.finished
    for name in shelf.members("audits"):
        module = shelf.load("audits", name)
        (finding,) = auditing._asked(name, module, {}, Tables({}, absent=Everything("it is raining")))
        if finding.id.endswith(":not_run"):
            assert finding.pillar == module.pillar
            question = shelf.members("audits")[name].question
            assert finding.statement.startswith(f"Not run: {question} It is raining (it needs ")


class Everything(dict):
    """A reason for each table there may be."""

    def __init__(self, why):
        self.why = why

    def __contains__(self, need):
        return True

    def __getitem__(self, need):
        return self.why


def test_only_the_audits_named_are_asked(here, photos):
    report, _ = finished(auditing.audit(asked(photos, audits=("accuracy",)), out="x"))
    assert {finding.audit for finding in report.findings} == {"accuracy"}


def test_an_audit_that_fails_takes_no_other_along(here, photos, monkeypatch):
    def fail(tables):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(shelf.load("audits", "confusion"), "check", fail)
    report, _ = finished(auditing.audit(asked(photos, audits=("accuracy", "confusion")), out="x"))
    finding = report["confusion:not_run"]
    assert finding.pillar == "mistakes"
    assert finding.statement.endswith("It failed with ZeroDivisionError: by nothing.")
    assert report.facts["not_run"] == ["confusion"]
    assert "accuracy:test" in report


def test_a_table_that_fails_takes_along_only_the_audits_that_need_it(here, photos, monkeypatch):
    def fail(*given, **settings):
        raise RuntimeError("no memory")

    monkeypatch.setattr(shelf.load("tables", "explanations"), "make", fail)
    report, _ = finished(auditing.audit(asked(photos, audits=("accuracy", "where_it_looks")), out="x"))
    assert report.facts["not_run"] == ["where_it_looks"]
    assert (
        "It failed with RuntimeError: no memory (it needs explanations(" in report["where_it_looks:not_run"].statement
    )
    assert "accuracy:test" in report


def test_without_predictions_there_is_no_report(here, photos, monkeypatch):
    def fail(*given, **settings):
        raise RuntimeError("no memory")

    monkeypatch.setattr(shelf.load("tables", "baseline"), "make", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        finished(auditing.audit(asked(photos), out="x"))
    assert not Run("x").finished


def test_an_audit_that_is_stopped_goes_on_with_the_model_it_has(here, photos, monkeypatch):
    asking = asked(photos, audits=("accuracy", "confusion"))
    work = auditing.audit(asking)
    for progress in work:
        if progress.stage == "audit":
            work.close()
    run = Run("runs/photos")
    assert not run.finished
    trained = (run.model_folder / "weights.safetensors").stat().st_mtime_ns
    _, resumed = finished(auditing.audit(asking))
    assert resumed.folder == run.folder
    assert (run.model_folder / "weights.safetensors").stat().st_mtime_ns == trained


def test_a_report_comes_back_as_it_was(here, photos):
    report, run = finished(auditing.audit(asked(photos), out="x"))
    back = auditing.report_of(run.folder)
    assert back.as_json() == report.as_json()
    assert list(back.images) == list(report.images)
    assert all((back.images[id] == image).all() for id, image in report.images.items())
    assert [each.method for each in back.explanations] == [each.method for each in report.explanations]
    with pytest.raises(ValueError, match="nowhere holds no finished run; `seewhy audit` makes one"):
        auditing.report_of("nowhere")


def test_thumbnails_are_of_what_findings_name(here, photos):
    report, _ = finished(auditing.audit(asked(photos), out="x"))
    named = {id for finding in report.findings for entry in finding.evidence for id in entry.get("ids", ())}
    named |= {
        item["id"] for finding in report.findings for entry in finding.evidence for item in entry.get("items", ())
    }
    changed = [entry for finding in report.findings for entry in finding.evidence if entry["kind"] == "changed"]
    named |= {
        picture_key(item["id"], item.get("condition") or entry["condition"])
        for entry in changed
        for item in entry["items"]
    }
    assert set(report.images) <= named
    assert all(image.dtype == np.uint8 and max(image.shape) <= auditing.LARGE for image in report.images.values())


def test_the_facts_say_what_was_asked_and_what_came_of_it(here, photos):
    facts = finished(auditing.audit(asked(photos, audits=("accuracy",)), out="x", command="seewhy audit photos"))[
        0
    ].facts
    assert facts["name"] == str(photos)
    assert facts["seed"] == 0
    assert facts["training"]["steps"] == 4
    assert sum(facts["counts"].values()) == 40
    assert facts["classes"] == ["cat", "dog"]
    assert {"weights_sha256", "data_sha256", "versions", "started", "seconds", "threads", "device"} <= set(facts)


def test_a_finding_of_the_users_own_audit_comes_in_by_its_dotted_name(here, photos, monkeypatch):
    package = here / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "size.py").write_text(
        '"""How large is the test?"""\nfrom seewhy.types import Finding, Need\n\n\ndef needs():\n    return Need("baseline")\n\n\n'
        'def check(tables):\n    return Finding("mine.size:n", "mine.size", "data", f"{len(tables.baseline)} images")\n'
    )
    monkeypatch.syspath_prepend(str(here))
    report, _ = finished(auditing.audit(asked(photos, audits=("mine.size",)), out="x"))
    assert report.findings == (Finding("mine.size:n", "mine.size", "data", "8 images"),)
