"""A setting is said once; wrong names and values end in a sentence."""

import re

import pytest

from seewhy.settings import Settings, class_mapping, class_names, help_of, kinds


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
        ({"ema": 1.0}, "Setting ema is 1.0; it must be at least 0 and less than 1"),
        ({"mixup": -1}, "Setting mixup is -1; it must be at least 0"),
        ({"grow_from": 0}, "Setting grow_from is 0; it must be more than 0 and at most 1"),
        ({"rand_augment": 11}, "Setting rand_augment is 11; it must be at least 0 and at most 10"),
        ({"precision": "fp8"}, "Setting precision is 'fp8'. It may be auto or fp32 or bf16 or fp16."),
        ({"workers": -1}, "Setting workers is -1; it must be at least 0"),
        ({"minutes": float("nan")}, "Setting minutes is nan; it must be more than 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(values, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Settings.from_dict({"data": "x", **values})


def test_every_setting_says_what_it_is_for():
    for name in kinds():
        assert help_of(name).endswith((".", "]")), name


def test_classes_are_named_or_their_file_is(tmp_path):
    (tmp_path / "names.txt").write_text("tabby, tiger\nbeagle\n\n", encoding="utf-8")
    assert class_names(["a", "b"]) == ("a", "b")
    assert class_names([str(tmp_path / "names.txt")]) == ("tabby, tiger", "beagle")
    for wrong in (["a"], ["a", "a"], []):
        with pytest.raises(ValueError, match="it must be two different names or more, or their file"):
            class_names(wrong)


def test_a_mapping_is_read_as_it_is_typed():
    assert class_mapping(["cat=tabby", "tiger cat", "dog=beagle"]) == {
        "cat": ("tabby", "tiger cat"),
        "dog": ("beagle",),
    }
    assert class_mapping(["a=x", "b=y", "a=1=1"]) == {"a": ("x", "1=1"), "b": ("y",)}
    with pytest.raises(ValueError, match="Setting mapping begins with 'tabby'; it must be like cat=tabby,tiger cat"):
        class_mapping(["tabby", "cat=x"])


def test_an_audits_own_settings_are_kept_and_checked_against_what_it_has():
    settings = Settings.from_dict({"data": "x", "calibration": {"bins": 20}, "set": {"groups": {"tags": ["sex"]}}})
    assert settings.set == {"groups": {"tags": ("sex",)}, "calibration": {"bins": 20}}
    assert Settings.from_dict(settings.as_dict()) == settings
    for given, words in (
        ({"calibratoin": {"bins": 20}}, "No audit 'calibratoin'. Did you mean 'calibration'? There are: accuracy"),
        ({"calibration": {"bin": 20}}, "The audit 'calibration' has no setting 'bin'. Did you mean 'bins'? It has: "),
        ({"calibration": {"bins": "many"}}, "calibration.bins is 'many'; it must be of type int"),
        ({"calibration": {"bins": True}}, "calibration.bins is True; it must be of type int"),
        ({"set": {"calibration": 3}}, "The settings of 'calibration' are 3; they must be names with values"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            Settings.from_dict({"data": "x", **given})
