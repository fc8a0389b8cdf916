"""The whole job: from images to a report. Asks every audit what it needs, has each table made once, hands it over.

A table that cannot be had becomes a Finding that says so, never a silent gap; an audit that fails takes no other along.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from seewhy import shelf
from seewhy.exports import html, json
from seewhy.images import decoding, imaging
from seewhy.interventions import Change
from seewhy.loading import Loader
from seewhy.material import opening
from seewhy.model import Model
from seewhy.planner import Cost, Planner, Unavailable
from seewhy.processes import ranks
from seewhy.settings import Settings, class_mapping, class_names
from seewhy.statistics import confounding
from seewhy.storage import predicted
from seewhy.storage.cache import Cache, files_of, table_in
from seewhy.storage.run import Run, pictures
from seewhy.tables.intervention import changing
from seewhy.training import choosing, fitting
from seewhy.types import Explanation, Finding, Need, Pillar, Progress, Report, Tables, finished, picture_key

#: The longer side of a thumbnail in pixels, and of one that is explained; and how many there may be.
SMALL, LARGE, MOST_IMAGES = 96, 224, 400


def audit(
    settings: Settings,
    *,
    out: str | Path | None = None,
    cache: Cache | None = None,
    command: str = "",
    data: Any = None,
    model: Model | None = None,
) -> Generator[Progress, None, tuple[Report, Run]]:
    """The whole job: open, scan, train unless a model is given, make the tables, ask every audit, write the report.

    `data` and `model` are for whoever has them in memory; otherwise the settings name them.
    """
    with ranks.together():
        return (yield from _audited(settings, out, cache or Cache(), command, data, model))


def _audited(
    settings: Settings, out: str | Path | None, cache: Cache, command: str, data: Any, model: Model | None
) -> Generator[Progress, None, tuple[Report, Run]]:
    began = time.monotonic()
    fitting.check(settings)
    for name in settings.audits or ():
        shelf.load("audits", name)
    if data is None and predicted.is_table(settings.data):
        if settings.model is not None:
            raise ValueError(f"{settings.data} holds predictions, so there is nothing to ask {settings.model} about")
        predictions = predicted.from_table(settings.data)
        _check_tags(settings, predictions.tags)
        run = ranks.once(lambda: Run.start(settings, out=out))
        planner = Planner(settings, cache, {Need("baseline"): predictions})
        with run.locked():
            report = yield from _report(planner, run, began, command)
        return report, run
    if model is None and settings.model is not None:
        model = _given(settings, settings.model)
    if model is not None and settings.tta != "none":
        model = model.seeing(settings.tta)
    material = yield from opening.open_material(settings, cache, data=data, model=model)
    _check_tags(settings, material.dataset.tags)
    run = ranks.once(lambda: Run.start(settings, out=out))
    with run.locked():
        run.save_quarantine(material.scan)
        model = model or (yield from fitting.fit(material, settings, run))
        planner = Planner(settings, cache, {}, material, model, ranks.once(run.logged))
        report = yield from _report(planner, run, began, command)
    return report, run


def _given(settings: Settings, reference: str) -> Model:
    """The model that the settings name. Raises as `Model.resolve` does."""
    return Model.resolve(
        reference,
        classes=None if settings.classes is None else class_names(settings.classes),
        network=settings.network,
        mapping=None if settings.mapping is None else class_mapping(settings.mapping),
    )


def _check_tags(settings: Settings, tags: Iterable[str]) -> None:
    """Raises ValueError for a tag that is not there, before anything is learnt."""
    there = list(tags)
    if settings.graph is not None:
        confounding.read_graph(settings.graph)
    one = [settings.unit] if settings.unit else []
    for name in (*(settings.groups or ()), *(settings.confounders or ()), *one):
        if name not in there:
            known = f"There are: {', '.join(there)}." if there else "There are none."
            raise ValueError(f"{settings.data} has no tag {name!r}. {shelf.nearest(name, there)}{known}")


def _report(planner: Planner, run: Run, began: float, command: str) -> Generator[Progress, None, Report]:
    """Make the tables; then ask all audits and write what they found into the run's folder, the findings last."""
    tables = yield from _tables(planner)
    return (yield from ranks.once_through(_written(planner, tables, run, began, command)))


def _written(
    planner: Planner, tables: Tables, run: Run, began: float, command: str
) -> Generator[Progress, None, Report]:
    findings: list[Finding] = []
    asked = _audits(planner)
    for number, (name, module, chosen) in enumerate(asked):
        yield Progress("audit", number + 1, len(asked), note=_question(name, module))
        findings += _asked(name, module, chosen, tables)
    assumed = () if planner.model is None else tuple(planner.model.provenance.get("assumed", ()))
    findings = [replace(each, doubts=(*each.doubts, *assumed)) if each.found is not None else each for each in findings]
    facts = _facts(planner, began, command, findings)
    images: dict[str, np.ndarray] = {}
    explanations: tuple[Explanation, ...] = ()
    if planner.settings.images:
        images = _thumbnails(planner, findings)
        with_pictures = [need for need in planner.given if need.table == "explanations"]
        explanations = next((planner.given[need] for need in with_pictures), ())
    report = _write(run, Report(facts, tuple(findings), explanations, images, html.framed))
    yield Progress("report", 1, 1, note=str(run.folder / "report.html"))
    return report


def _write(run: Run, report: Report) -> Report:
    """Into the run's folder. It is the run's report once its findings are there; until then the one of before is."""
    name = run.save_shown(report.images, files_of(report.explanations))
    report = replace(report, facts={**report.facts, "shown": name})
    html.write(report, run.folder / "report.html")
    json.write(report, run.folder / "findings.json")
    run.drop_shown(but=name)
    return report


def _audits(planner: Planner) -> list[tuple[str, ModuleType, dict[str, Any]]]:
    """Name, module and settings of each audit that is asked."""
    names = planner.settings.audits or tuple(shelf.members("audits"))
    modules = {name: shelf.load("audits", name) for name in names}
    return [(name, module, _settings_of(name, module, planner.settings)) for name, module in modules.items()]


def _tables(planner: Planner) -> Generator[Progress, None, Tables]:
    """All that the audits need, each made once; of what cannot be had the reason."""
    needs = list(dict.fromkeys(need for _, module, chosen in _audits(planner) for need in _needs(module, chosen)))
    absent: dict[Need, str] = {}
    made: dict[Need, Any] = {}
    for number, need in enumerate(needs):
        yield Progress("tables", number, len(needs), note=str(need))
        try:
            made[need] = yield from planner.make(need)
        except ranks.Lost:
            raise
        except Unavailable as error:
            absent[need] = str(error)
        except Exception as error:  # without the first table there is nothing to say
            if need == Need("baseline"):
                raise
            absent[need] = f"it failed with {type(error).__name__}: {error}"
    planner.given = {**planner.given, **made}
    baseline = planner.given.get(Need("baseline"))
    return Tables(made, baseline.classes if baseline is not None else (), "test", planner.settings.seed, absent)


def _asked(name: str, module: ModuleType, chosen: Mapping[str, Any], tables: Tables) -> list[Finding]:
    """The findings of one audit."""
    optional: frozenset[str] = getattr(module, "optional", frozenset())
    for need in _needs(module, chosen):
        if need in tables.absent and need.table not in optional:
            return [_not_run(name, module, f"{tables.absent[need]} (it needs {need})")]
    try:
        found = module.check(tables, **chosen)
        return [found] if isinstance(found, Finding) else list(found)
    except Exception as error:  # noqa: BLE001 one audit that fails must not take the others' findings along
        return [_not_run(name, module, f"it failed with {type(error).__name__}: {error}")]


def _not_run(name: str, module: ModuleType, why: str) -> Finding:
    pillar: Pillar = getattr(module, "pillar", "data")
    return Finding(f"{name}:not_run", name, pillar, f"Not run: {_question(name, module)} {why[:1].upper()}{why[1:]}.")


def _question(name: str, module: ModuleType) -> str:
    return (module.__doc__ or name).partition("\n")[0]


def _needs(module: ModuleType, chosen: Mapping[str, Any]) -> tuple[Need, ...]:
    """What an audit asks for; its `needs` takes those of the settings that matter to it."""
    takes = inspect.signature(module.needs).parameters
    asked = module.needs(**{name: value for name, value in chosen.items() if name in takes})
    return (asked,) if isinstance(asked, Need) else tuple(asked)


def _settings_of(name: str, module: ModuleType, settings: Settings) -> dict[str, Any]:
    """What the user's words set: `--groups` is the setting `tags` of every audit that has it, `--unit`, `--confounders`
    and `--graph` are those of their names; `--set` speaks to one audit."""
    takes = inspect.signature(module.check).parameters
    words = {
        "tags": settings.groups,
        "unit": settings.unit,
        "confounders": settings.confounders,
        "graph": settings.graph,
    }
    chosen = {word: value for word, value in words.items() if value and word in takes}
    return {**chosen, **(settings.set or {}).get(name, {})}


def _thumbnails(planner: Planner, findings: Iterable[Finding]) -> dict[str, np.ndarray]:
    """Small pictures of the examples that findings name; of those that are explained, as the network saw them."""
    if planner.material is None or planner.model is None:
        return {}
    dataset = planner.material.dataset
    places = {id: place for place, id in enumerate(dataset.ids)}
    entries = [entry for finding in findings for entry in finding.evidence]
    explained = {id for entry in entries for id in entry.get("ids", ())}
    changed = [entry for entry in entries if entry.get("kind") == "changed"]
    explained |= {item["id"] for entry in changed for item in entry["items"]}
    named = dict.fromkeys(item["id"] for entry in entries for item in entry.get("items", ()))
    found = {}
    for id in [*explained, *named][:MOST_IMAGES]:
        if id in places:
            pixels = dataset.pixels(places[id])
            seen = imaging.fit_pixels(pixels, planner.model.preprocessing) if id in explained else pixels
            found[id] = imaging.thumbnail(seen, LARGE if id in explained else SMALL)
    for entry in changed:
        if "change" in entry:
            found |= _after(planner, entry, places)
    return found | _kept(planner)


def _after(planner: Planner, entry: Mapping[str, Any], places: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Thumbnails of examples as a change makes them, each by its `picture_key`."""
    subject = planner.subject
    rows = [places[item["id"]] for item in entry["items"] if item["id"] in places]
    if subject is None or not rows:
        return {}
    asked = entry["change"]
    change = Change(asked["intervention"], asked.get("strength"), tuple((asked.get("settings") or {}).items()))
    loader = Loader(subject.material.dataset.subset(rows), subject.model.task)
    apply = finished(changing(subject, change, loader))
    after = apply(loader.batch(range(len(rows))).to(subject.device)).inputs["image"]
    pixels = after.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    ids = loader.dataset.ids
    return {
        picture_key(id, entry["condition"]): imaging.thumbnail(each, LARGE)
        for id, each in zip(ids, pixels, strict=True)
    }


def _kept(planner: Planner) -> dict[str, np.ndarray]:
    """Thumbnails that a table keeps because nothing draws them again: its columns `id`, `condition` and `picture`."""
    found = {}
    for table in planner.given.values():
        if isinstance(table, pa.Table) and {"id", "condition", "picture"} <= set(table.column_names):
            for row in table.select(["id", "condition", "picture"]).to_pylist():
                found[picture_key(row["id"], row["condition"])] = decoding.decode(row["picture"])
    return found


def _facts(planner: Planner, began: float, command: str, findings: Iterable[Finding]) -> dict[str, Any]:
    """What the report says of the run itself."""
    facts: dict[str, Any] = {
        "name": planner.settings.data,
        "command": command,
        "seed": planner.settings.seed,
        "settings": planner.settings.as_dict(),
        "versions": fitting.versions(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "threads": torch.get_num_threads(),
        "peak_memory_mb": _peak_memory(),
        "not_run": [finding.audit for finding in findings if finding.id.endswith(":not_run")],
    }
    if planner.material is not None and planner.model is not None:
        model, dataset = planner.model, planner.material.dataset
        facts |= {
            "command": _exactly(command, planner.settings, model),
            "classes": list(dataset.classes),
            "counts": {name: dataset.splits.count(name) for name in ("train", "val", "test")},
            "network": model.name,
            "network_reason": model.provenance.get("network_reason", ""),
            "training": model.provenance.get("training", {}),
            "views": model.views,
            "weights_sha256": model.digest,
            "data_sha256": planner.material.digest,
            "device": str(choosing.chosen_device(planner.settings.device)),
            "passes": sum(cost.images for cost in planner.costs),
            "tables": {cost.table: _cost(cost) for cost in planner.costs},
        }
    return facts


def _cost(cost: Cost) -> str:
    return "remembered" if cost.remembered else f"{cost.images:,} images seen, {cost.seconds:.1f} s"


def _exactly(command: str, settings: Settings, model: Model) -> str:
    """The command with the step count and threads that a time budget came to: these make the same weights again."""
    steps = model.provenance.get("training", {}).get("steps")
    if settings.model is not None or not command.startswith("seewhy ") or steps is None:
        return command
    said = f"{command} " if settings.steps is not None else f"{command} --steps {steps} "
    return said.rstrip() if settings.threads is not None else f"{said}--threads {torch.get_num_threads()}"


def _peak_memory() -> float | None:
    """The process's largest resident size in MB, where the system tells it."""
    if sys.platform == "win32":
        return None
    import resource  # there is none on Windows

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(size / (1e6 if sys.platform == "darwin" else 1e3), 1)


def report_of(folder: str | Path) -> Report:
    """The report of a finished run, read back. Raises ValueError where there is none."""
    run = Run(folder)
    if not run.finished:
        raise ValueError(f"{folder} holds no finished run; `seewhy audit` makes one")
    report = json.read(run.folder / "findings.json")
    shown = run.shown(report.facts.get("shown"))
    if shown is not None:
        report = replace(report, images=pictures(shown), explanations=table_in(shown))
    return replace(report, render=html.framed)
