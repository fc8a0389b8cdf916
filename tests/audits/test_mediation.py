"""What goes through which layer and unit is told with its interval; where there is no effect, or no few units, that."""

from __future__ import annotations

import pytest
from planted import exchanged, predicted

from seewhy.audits import mediation
from seewhy.types import Need, Tables

IDS = [f"i{row}" for row in range(60)]


def findings(**planted):
    baseline = predicted(["cat", "dog"] * 30, ["cat", "dog"] * 30)
    need, _ = mediation.needs()
    tables = Tables({need: exchanged(IDS, **planted), Need("baseline"): baseline}, baseline.classes, "test", 0)
    return {finding.id: finding for finding in mediation.check(tables)}


def test_units_that_carry_more_than_others_are_named_with_their_share():
    found = findings(effect=-2.0, share=0.4, random=0.1)
    layers, units = found["mediation:layers"], found["mediation:units"]
    against = findings(effect=-2.0, share=0.4, random=0.1, ways=[("skip", 1.6), ("branch", -0.6)])["mediation:layers"]
    assert "160 %" in against.statement
    assert against.statement.endswith(", more than all, for other ways work against it.")
    assert "more than all" not in layers.statement
    assert layers.found and units.found  # noqa: PT018
    assert (layers.value, units.value) == (pytest.approx(0.7), pytest.approx(0.4))
    assert units.low <= 0.4 <= units.high
    assert units.severity == "none"
    assert "100 % of the answers become others, and the log-odds of the true class move by -2.0" in layers.doubts[0]
    assert layers.statement.startswith("Of what changing the colours does to 60 images, 70.0 %")
    assert "goes through 'block1.add', the most of 2 layers at which ways through the network meet" in layers.statement
    assert units.statement.startswith("The units 7 and 2 of the 64 in 'last' carry 40.0 %")
    assert units.statement.endswith("; as many drawn at random carry 10.0 %.")
    assert "Of 64 units 32 were tried, by a first guess from gradients." in units.doubts
    table = layers.evidence[0]
    assert [row[0] for row in table["rows"]] == ["block1.add", "block2.add", "last"]
    bars = units.evidence[0]["rows"]
    assert [row["name"] for row in bars] == ["unit 7", "unit 2", "units 7, 2", "at random: 1, 5"]


def test_the_interaction_is_what_the_parts_do_only_together():
    found = findings(effect=-2.0, share=0.5, random=0.1, interaction=-0.3)
    name, direct, pure, total, interaction, held = found["mediation:units"].evidence[1]["rows"][2]
    assert name == "units 7, 2"
    assert interaction == pytest.approx(-0.3)
    assert total - pure == pytest.approx(-0.3, abs=2e-3)
    assert total / (direct + total) == pytest.approx(0.5, abs=1e-3)
    assert held == 0


def test_units_that_carry_no_more_than_others_are_not_found():
    units = findings(effect=-2.0, share=0.1, random=0.1)["mediation:units"]
    assert units.found is False
    assert units.statement.startswith(
        "No few units carry it: the likeliest, units 7 and 2 of the 64 in 'last', carry 10.0 %"
    )


def test_in_a_chain_all_goes_through_every_layer():
    layers = findings(effect=2.0, share=0.4, random=0.1, ways=())["mediation:layers"]
    assert (
        "No two ways meet in this network, so that all of what changing the colours does goes through every layer: 100 % "
        in layers.statement
    )


@pytest.mark.parametrize(
    ("effect", "said"), [(0.0, "+0.00 nats (95 % interval -0.10 to 0.10, 60 images)"), (0.01, "nats")]
)
def test_without_a_clear_effect_nothing_is_divided(effect, said):
    (finding,) = findings(effect=effect, share=0.4, random=0.1, spread=80.0).values()
    assert finding.found is False
    assert said in finding.statement
    assert finding.statement.endswith(", so there is no effect to divide among layers and units.")


def test_settings_say_which_table():
    need, _ = mediation.needs(intervention="transplant:0.5:cells=8", layer="stage1", units=3)
    assert dict(need.settings) == {
        "intervention": "transplant",
        "strength": 0.5,
        "settings": (("cells", 8),),
        "layer": "stage1",
        "units": 3,
        "images": 200,
    }
