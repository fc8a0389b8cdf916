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


def test_nested_settings_become_rows():
    rows = _facts.flat({"optimizer": {"name": "AdamW", "rate": 0.003}, "epochs": 30})
    assert rows == [("optimizer.name", "AdamW"), ("optimizer.rate", "0.003"), ("epochs", "30")]
