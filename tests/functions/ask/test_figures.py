"""Numbers are compared by what they stand for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.ask.citing.figures import numbers, told, values


@pytest.mark.parametrize(
    ("claimed", "known"),
    [
        ("1,234.50", "1.234,5"),
        ("1 234 567", "1,234,567"),
        ("1'234", "1234"),
        ("1.5 million", "1,500,000"),
        ("1,500,000", "1.5 million"),
        ("$12k", "12,000"),
        ("45%", "45 percent"),
        ("the 1990s", "1990"),
        ("1990-95", "from 1990 to 1995"),
        ("1995", "1990–95"),
        ("15 January 2024", "2024-01-15"),
        ("2024", "15.01.2024"),
        ("12", "twelve"),
        ("25", "twenty-five"),
        ("300", "three hundred"),
        ("٤٢", "42"),
        ("007", "7"),
        ("7 and 8", "nothing"),
    ],
)
def test_the_same_number_is_known_however_it_is_written(claimed: str, known: str) -> None:
    assert told(numbers(claimed), values(known))


@pytest.mark.parametrize(
    ("claimed", "known"),
    [
        ("12", "13"),
        ("12", "120"),
        ("12.5", "125"),
        ("2,000", "2"),
        ("1.5 million", "1.6 million"),
        ("1990-95", "1990"),
        ("15.01.2024", "16.01.2024"),
        ("10 and 11", "10"),
        ("42", ""),
    ],
)
def test_another_number_is_not(claimed: str, known: str) -> None:
    assert not told(numbers(claimed), values(known))


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,'’ -–/kmn\u00a0٤x\n", max_size=40))
def test_a_text_knows_its_own_numbers(text: str) -> None:
    assert told(numbers(text), values(text))
