from seewhy.exports import _facts


def test_the_facts_that_are_there_are_told_in_words():
    facts = {
        "counts": {"train": 1257, "val": 180, "test": 360},
        "classes": ["a"] * 14,
        "seconds": 41.3,
        "device": "cpu",
        "threads": 2,
        "started": "2026-03-01T09:30:12+00:00",
    }
    assert list(_facts.first(facts)) == [
        ("Images", "1,797", "1,257 to train, 180 to choose, 360 to test"),
        ("Classes", "14", "a, a, a, a, a, a, a, a, a, a, a, a and 2 more"),
        ("Time", "41.3 s", "on cpu, 2 threads"),
        ("Started", "2026-03-01 09:30 UTC", ""),
    ]
    assert list(_facts.first({})) == []


def test_what_tables_cost_is_told_in_words_with_a_total():
    tables = {
        "baseline": "remembered",
        "intervention(count=200, intervention=fog, strength=1.0)": "200 images seen, 0.3 s",
        "intervention(count=200, intervention=fog, strength=3.0)": "1,200 images seen, 0.5 s",
        "my_table(of=cats)": "5 images seen, 61.0 s",
    }
    assert _facts.costs(tables) == [
        ("Answers to the images as they are", "\u2013", "remembered"),
        ("Images changed on purpose: fog", "1,400", "0.800 s"),
        ("my table", "5", "1 min 01 s"),
        ("All", "1,405", "1 min 02 s, some remembered"),
    ]
    assert _facts.costs({}) == []


def test_nested_settings_become_rows():
    rows = _facts.flat({"optimizer": {"name": "AdamW", "rate": 0.003}, "epochs": 30})
    assert rows == [("optimizer.name", "AdamW"), ("optimizer.rate", "0.003"), ("epochs", "30")]
