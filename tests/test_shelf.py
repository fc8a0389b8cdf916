"""A file on a shelf is a member: found, read without importing it, loaded by name."""

import re
import subprocess
import sys

import pytest

import seewhy.explainers
from seewhy import shelf

TOY = '''"""How bright is each pixel?

More about it.
"""
import seewhy_has_no_such_module

def needs(*, share: float = 0.5):
    return ()

def heat(evidence, question, *, share: float = 0.5, into: str):
    return None
'''


def test_a_new_file_is_a_member_and_is_read_without_being_imported(tmp_path, monkeypatch):
    (tmp_path / "brightness.py").write_text(TOY)
    monkeypatch.setattr(seewhy.explainers, "__path__", [*seewhy.explainers.__path__, str(tmp_path)])
    member = shelf.members("explainers")["brightness"]
    assert member.question == "How bright is each pixel?"
    assert [(setting.name, setting.type, setting.default, setting.required) for setting in member.settings] == [
        ("share", "float", 0.5, False),
        ("into", "str", None, True),
    ]


def test_two_members_of_one_name_are_an_error(tmp_path, monkeypatch):
    (tmp_path / "gradient.py").write_text(TOY)
    monkeypatch.setattr(seewhy.explainers, "__path__", [*seewhy.explainers.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="Two members of the shelf explainers are named 'gradient'"):
        shelf.members("explainers")


def test_an_unknown_name_gets_the_nearest_and_the_list():
    words = "No explainer 'oclusion'. Did you mean 'occlusion'? There are: "
    with pytest.raises(KeyError, match=re.escape(words)):
        shelf.load("explainers", "oclusion")


def test_a_users_own_member_is_loaded_by_its_dotted_path(tmp_path, monkeypatch):
    (tmp_path / "my_package.py").write_text("")
    (tmp_path / "my_explainers").mkdir()
    (tmp_path / "my_explainers" / "loud.py").write_text('"""How loud?"""\nVALUE = 7\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert shelf.load("explainers", "my_explainers.loud").VALUE == 7
    with pytest.raises(KeyError, match=r"No module 'my_explainers.quiet' for the shelf explainers"):
        shelf.load("explainers", "my_explainers.quiet")


def test_an_unknown_setting_of_a_member_is_named():
    with pytest.raises(ValueError, match="The explainer 'occlusion' has no setting 'patsh'. Did you mean 'patch'"):
        shelf.check_settings("explainers", "occlusion", ["patsh"])


@pytest.mark.parametrize("module", ["seewhy", "seewhy.cli", "seewhy.shelf", "seewhy.settings"])
def test_importing_what_answers_help_loads_nothing_heavy(module):
    code = (
        f"import sys, {module}; print([name for name in ('torch', 'numpy', 'pyarrow', 'PIL') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
