"""A report with everything a report can hold: every kind of evidence, every severity, and names that mean harm."""

import numpy as np
import pytest

from seewhy.types import PILLARS, SEVERITIES, Explanation, Finding, Report

HOSTILE = (
    "<script>window.harmed = true</script>",
    "=1+1",
    "\N{FOX FACE} fox",
    "\u202egpj.exe",
    "long " + "x" * 195,
    "</script><!--",
    "break\nbell\x07\x1b[31m",
    "\u05e9\u05dc\u05d5\u05dd\u200f",
    '" onload="window.harmed = true',
    "[bold red]{{ 7 * 7 }}[/bold red]",
)


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def rich() -> Report:
    random = np.random.default_rng(0)
    ids = tuple(f"photos/{name}/{place}.jpg" for place, name in enumerate(HOSTILE))
    images = {id: random.integers(0, 256, (48, 64, 3), dtype=np.uint8) for id in ids}
    images[ids[1]] = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    heat = {id: random.random(image.shape[:2]).astype(np.float32) for id, image in images.items()}
    explanations = tuple(
        Explanation(id, f"why {HOSTILE[0]}", method, {"image": heat[id] - 0.5 * (method == "occlusion")}, {}, 2.0)
        for id in ids[:4]
        for method in ("gradient", "occlusion")
    )
    steps = np.linspace(0.05, 0.95, 12)
    evidence = {
        "performance": {
            "kind": "curve",
            "title": "Calibration",
            "x_label": "confidence",
            "y_label": "share right",
            "series": [
                {"name": "as it is", "x": steps, "y": steps**2, "low": steps**2 - 0.05, "high": steps**2 + 0.05},
                {"name": HOSTILE[8], "x": steps, "y": steps, "low": None, "high": None},
            ],
            "diagonal": True,
        },
        "see": {
            "kind": "explanations",
            "title": "Where it looks",
            "ids": ids[:4],
            "methods": ["gradient", "occlusion"],
        },
        "cause": {
            "kind": "bars",
            "title": "Effects",
            "unit": "difference of shares",
            "rows": [{"name": name, "value": 0.02 * place - 0.1} for place, name in enumerate(HOSTILE)],
            "reference": None,
        },
        "fair": {
            "kind": "bars",
            "title": "By group",
            "unit": "share",
            "rows": [
                {"name": name, "value": 0.5 + 0.04 * place, "low": 0.4, "high": 0.9, "n": 10 + place}
                for place, name in enumerate(HOSTILE)
            ]
            + [{"name": "nobody", "value": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}],
            "reference": {"name": "all", "value": 0.7},
        },
        "mistakes": {
            "kind": "matrix",
            "title": "Labels and answers",
            "rows": HOSTILE,
            "columns": HOSTILE,
            "counts": (np.eye(10) * 20 + random.integers(0, 4, (10, 10))).astype(int),
            "row_label": "target",
            "column_label": "answer",
        },
        "data": {"kind": "table", "title": "Files", "columns": ["file", HOSTILE[0]], "rows": [[id, 1.5] for id in ids]},
    }
    findings = [
        Finding(
            f"toy_{pillar}:{HOSTILE[place]}",
            f"toy_{pillar}",
            pillar,
            f"The class '{HOSTILE[place]}' is answered wrongly more often than others, by a test of one patch.",
            severity != "none",
            value,
            unit,
            value - 0.06,
            value + 0.06,
            0.95,
            50 + place,
            severity,
            examples=ids[:3],
            evidence=(evidence[pillar], {"kind": "examples", "title": "Seen", "items": [{"id": id} for id in ids[:6]]}),
            doubts=(f"A patch of '{HOSTILE[place]}' did as much.", "Images are taken as independent."),
            settings={"tag": HOSTILE[place], "strength": 0.5},
            seed=3,
            source="Somebody 2015, https://example.org/<paper>",
            mitigation=f"More images of '{HOSTILE[place]}'.",
        )
        for place, (pillar, severity) in enumerate(zip(PILLARS, (*SEVERITIES, "none"), strict=True))
        for value, unit in ((0.7, "share") if place % 2 else (-0.02, "difference of shares"),)
    ]
    findings += [
        Finding("accuracy:test", "accuracy", "performance", "Right on 702 of 1,000 test images.", True, 0.702, "share",
                0.673, 0.730, 0.95, 1000),
        Finding("worth_it:linear", "worth_it", "performance", "Not clearly better than a linear model.", True, 0.01,
                "difference of shares", -0.02, 0.04, 0.95, 1000, "serious"),
        Finding("groups:not_run", "groups", "fair", f"Not run: it needs a column such as {HOSTILE[9]}."),
    ]  # fmt: skip
    facts = {
        "name": HOSTILE[0],
        "command": f"seewhy audit 'photos/{HOSTILE[0]}' --seed 3",
        "seed": 3,
        "network": "lite0",
        "network_reason": "100 photos are too few to train from nothing",
        "classes": list(HOSTILE),
        "counts": {"train": 700, "val": 100, "test": 1000},
        "seconds": 372.4,
        "started": "2026-03-01T09:30:12+00:00",
        "device": "cpu",
        "threads": 2,
        "peak_memory_mb": 612.4,
        "passes": 4000,
        "versions": {"torch": "2.11.0"},
        "weights_sha256": "9f2c" * 16,
        "data_sha256": "71ab" * 16,
        "settings": {"optimizer": {"learning_rate": 0.003}, HOSTILE[5]: HOSTILE[6]},
    }
    return Report(facts, tuple(findings), explanations, images)
