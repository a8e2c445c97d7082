"""The page says who may do what as it is."""

from tests.authorization import table


def test_the_security_page_has_the_table_as_it_is() -> None:
    page = table.PAGE.read_text("utf-8")
    assert page == table.replaced(page), "run `python -m tests.authorization.table`"
