"""Names are those that a text knows, in one of their forms."""

import pytest

from functions.ask.citing.names import known, names


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("It was built by Sostratus.", "Sostratus of Cnidus built it."),
        ("It was a Mongol capital.", "The Mongols had their capital there."),
        ("It joined the European Union.", "It joined the EU."),
        ("It is in the United States.", "It is in the U.S."),
        ("It was Ariq Boke.", "Ariq Böke claimed the throne."),
        ("It fell on 3 March.", "It fell on 2024-03-03."),
        ("In short: The tower stood. Nobody knew.", "It stood."),
        ("Everybody ate.", "They ate."),
        ("NATO agreed.", "They agreed."),
    ],
)
def test_a_name_in_another_form_is_known(sentence: str, text: str) -> None:
    assert all(name.among(known(text)) for name in names(sentence))


@pytest.mark.parametrize(
    "sentence", ["It was built by Ptolemy.", "It was, Ptolemy said, old.", "It is in North Ptolemy."]
)
def test_another_name_is_not(sentence: str) -> None:
    assert not all(name.among(known("Sostratus of Cnidus built it.")) for name in names(sentence))
