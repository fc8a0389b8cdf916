"""A setting is said once; wrong names and values end in a sentence."""

import re

import pytest

from seewhy.settings import Settings, help_of, kinds


def test_settings_survive_their_plain_form():
    settings = Settings(data="photos", groups=("sex", "scanner"), minutes=3, images=False)
    assert Settings.from_dict(settings.as_dict()) == settings
    assert settings.as_dict() == {"data": "photos", "groups": ["sex", "scanner"], "minutes": 3, "images": False}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "No setting 'epoch'. Did you mean 'epochs'? There are: data, model"),
        ({"split": "groupd"}, "Setting split is 'groupd'. Did you mean 'grouped'? It may be grouped or random."),
        ({"minutes": -1}, "Setting minutes is -1; it must be more than 0"),
        ({"seed": "zero"}, "Setting seed is 'zero'; it must be of type int"),
        ({"seed": True}, "Setting seed is True; it must be of type int"),
        ({"minutes": float("nan")}, "Setting minutes is nan; it must be more than 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(values, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Settings.from_dict({"data": "x", **values})


def test_every_setting_says_what_it_is_for():
    for name in kinds():
        assert help_of(name).endswith((".", "]")), name
