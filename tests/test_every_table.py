"""Every table and every recipe opens with its question and keeps its contract."""

from __future__ import annotations

import inspect

import pytest

from seewhy import shelf
from seewhy.tables import Subject
from seewhy.types import Report


@pytest.mark.parametrize("name", list(shelf.members("tables")))
def test_a_table_is_a_generator_over_a_subject_with_settings_by_keyword(name):
    member, module = shelf.members("tables")[name], shelf.load("tables", name)
    assert member.question.endswith("?")
    assert inspect.isgeneratorfunction(inspect.unwrap(module.make))
    subject, *settings = inspect.signature(module.make).parameters.values()
    assert subject.name == "subject"
    assert subject.annotation in (Subject, "Subject")
    assert all(setting.kind is inspect.Parameter.KEYWORD_ONLY for setting in settings)
    assert isinstance(getattr(module, "shared", False), bool)
    assert isinstance(getattr(module, "cheap", False), bool)


@pytest.mark.parametrize("name", list(shelf.members("recipes")))
def test_a_recipe_says_how_long_it_takes_and_needs_no_setting(name):
    member, module = shelf.members("recipes")[name], shelf.load("recipes", name)
    assert member.question.endswith("?")
    assert module.takes
    assert inspect.isgeneratorfunction(inspect.unwrap(module.run))
    assert all(not setting.required for setting in member.settings)
    assert inspect.signature(module.run).return_annotation.endswith(f"{Report.__name__}]")


def test_audits_ask_for_tables_that_are_there():
    known = shelf.members("tables")
    for name in shelf.members("audits"):
        for need in shelf.load("audits", name).needs():
            assert need.table in known, f"{name} asks for {need}"
