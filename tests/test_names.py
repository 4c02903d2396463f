"""Names as they look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkee_lite.names import name_keys
from talkee_lite.text import MAX_NAME, clean_name, fold_name


def pass_for_each_other(one: str, other: str) -> bool:
    """Whether the rules take two names for one."""
    ours, theirs = name_keys(one), name_keys(other)
    return ours.by_look == theirs.by_look or ours.by_case == theirs.by_case


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "ANNA"),
        ("Anna", "Änná"),
        ("Anna", "Ａｎｎａ"),
        ("Anna", "An\u200bna"),
        ("Anna", "An\u2060\ufe0fna"),
        ("Anna", "A\u0301nna"),
        ("Anna", "Аnnа"),  # Cyrillic
        ("Anna", "Αnna"),  # Greek
        ("Anna", "𝐀𝐧𝐧𝐚"),
        ("admin", "ADMIN"),
        ("admin", "ADMlN"),
        ("admin", "adm1n"),
        ("admin", "adrnin"),
        ("Bill", "BiII"),
        ("Bob", "B0b"),
        ("Straße", "STRASSE"),
        ("Łódź", "lodz"),
        ("Нина", "НИНА"),
        ("Νίκος", "ΝΙΚΟΣ"),
        ("Nina", "Νina"),
        ("İnci", "inci"),
        ("Jane Doe", "Jane  Doe"),
        ("Jane Doe", "Jane\u3000Doe"),
    ],
)
def test_these_are_one_name(one: str, other: str) -> None:
    assert pass_for_each_other(one, clean_name(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "Hanna"),
        ("Nina", "Vina"),
        ("Ulla", "Ylla"),
        ("Anna", "Anna 2"),
        ("Anna B", "AnnaB"),
        ("👍", "👎"),
        ("王", "李"),
        ("محمد", "أحمد"),
        ("Нина", "Зина"),
    ],
)
def test_these_are_two(one: str, other: str) -> None:
    assert not pass_for_each_other(one, other)


@given(st.text(max_size=MAX_NAME).map(clean_name).filter(fold_name))
def test_a_name_has_keys_that_are_the_same_for_its_capitals(name: str) -> None:
    keys = name_keys(name)
    assert keys.by_look
    assert keys.by_case
    # Else it is no pair of one letter's two cases.
    if name.upper().casefold() == name.casefold():
        assert pass_for_each_other(name, name.upper())
