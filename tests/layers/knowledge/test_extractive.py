"""The answerer that needs no model."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from minirag.knowledge.lexical.analyzer import terms
from minirag.knowledge.llm import Completion, Passage, Prompt
from minirag.knowledge.llm.extractive import Extractive

HANDBOOK = """# Holidays

Full-time employees receive 25 days each calendar year.

- Up to 5 days may be carried over to March
- More needs the approval of HR

| Country | Days |
|---|---|
| Germany | 30 |
"""
EXPENSES = "Travel is reimbursed within 14 days. Keep the receipts. Hotels up to $180 a night are paid."
FAQ = "When is the office in the old town closed for visitors?\nIt is closed on public holidays and on Sundays."


def ask(
    question: str, contents: Sequence[str], scores: Sequence[float] = (), idf: Mapping[str, float] | None = None
) -> Completion:
    scores = scores or [1.0 - 0.1 * rank for rank in range(len(contents))]
    passages = tuple(
        Passage(marker, uuid4(), uuid4(), "document", content, score)
        for marker, (content, score) in enumerate(zip(contents, scores, strict=True), 1)
    )
    weights = dict.fromkeys(terms(question), 1.0) if idf is None else idf
    return Extractive().complete(Prompt("", "", question, passages, weights, "1"), seconds=1.0)


def lines(completion: Completion) -> list[str]:
    return completion.text.split("\n")


def test_the_best_sentence_comes_first_with_its_marker() -> None:
    assert lines(ask("How much is paid for hotels?", [HANDBOOK, EXPENSES]))[0] == (
        "Hotels up to $180 a night are paid. [2]"
    )


def test_no_passages_give_no_text() -> None:
    assert ask("anything", []) == Completion("", "extractive-1", 0, 0, provider="extractive")


def test_passages_without_text_give_no_text() -> None:
    assert ask("anything", ["", " \n "]).text == ""


def test_a_quotation_is_its_passage_word_for_word_but_for_white_space() -> None:
    content = "The  bridge was\nbuilt in\t1883. It spans the river."
    assert ask("When was the bridge built?", [content]).text == "The bridge was built in 1883. [1]"


def test_numbers_in_brackets_are_left_out_so_that_no_document_can_forge_a_marker() -> None:
    assert ask("Who built the bridge?", ["The bridge was built by Ellet [2], an engineer.[3, 4]"]).text == (
        "The bridge was built by Ellet, an engineer. [1]"
    )


def test_a_rare_term_outweighs_common_ones() -> None:
    idf = dict.fromkeys(terms("which metal has the highest boiling point"), 0.5) | {"metal": 0.5, "boil": 6.0}
    contents = ["This metal has the highest point of all.", "Boiling takes long here, as everybody knows."]
    assert lines(ask("which metal has the highest boiling point", contents, [1.0, 1.0], idf))[0].endswith("[2]")


def test_what_all_sentences_say_tells_none_of_them_apart() -> None:
    contents = [
        "Pharos is an island. Pharos has a lighthouse. Pharos has a harbour, too.",
        "A fee is due before noon.",
    ]
    # In a workspace of few documents all words are as rare.
    idf = dict.fromkeys(terms("fee Pharos"), 1.0)
    assert lines(ask("What is the fee on Pharos?", contents, [1.0, 1.0], idf))[0].endswith("[2]")


def test_words_that_only_ask_do_not_count() -> None:
    contents = ["What it is and how it is done and by whom.", "Rhubarb grows in the garden behind the house."]
    assert lines(ask("What is it with rhubarb?", contents, [1.0, 1.0]))[0].endswith("[2]")


def test_terms_that_stand_together_in_the_question_count_more_together() -> None:
    contents = ["The bridge is made of stone and old, they say.", "They say of it that the old stone bridge is fine."]
    assert lines(ask("Where is the old stone bridge?", contents, [1.0, 1.0]))[0].endswith("[2]")


def test_what_a_pronoun_stands_for_counts() -> None:
    contents = [
        "Nothing is known about the year. Some say that it opened late.",
        "The Corn Exchange lies by the market. It opened in 1861 with a ball.",
    ]
    found = lines(ask("When was the Corn Exchange opened?", contents, [1.0, 1.0]))
    assert "It opened in 1861 with a ball. [2]" in found[:2]


def test_of_two_alike_the_better_passage_is_quoted() -> None:
    contents = ["The tower is 30 metres high, says the guide.", "The tower is 40 metres high, writes the mayor."]
    assert lines(ask("How high is the tower?", contents, [0.3, 1.0]))[0].endswith("[2]")


def test_a_sentence_that_two_passages_share_is_quoted_once() -> None:
    shared = "The harbour was closed in 1954 after the flood."
    found = lines(ask("When was the harbour closed?", [f"{shared} Ships left.", f"It was old. {shared}"]))
    assert sum("1954" in line for line in found) == 1


def test_a_piece_of_a_sentence_already_quoted_is_not_quoted_again() -> None:
    whole = "The harbour of the old town was closed in 1954 after the flood."
    found = lines(ask("When was it closed?", [whole, "was closed in 1954 after the flood."]))
    assert sum("1954" in line for line in found) == 1


def test_neither_a_heading_nor_a_question_is_an_answer() -> None:
    assert ask("What is said about holidays?", [HANDBOOK]).text.startswith("Full-time employees")
    assert ask("When is the office closed?", [FAQ]).text == "It is closed on public holidays and on Sundays. [1]"


def test_a_heading_that_repeats_the_question_does_not_take_the_place_of_an_answer() -> None:
    contents = ["The harbour froze often, say those who were there.", "## Closing of the old harbour in 1954"]
    idf = dict.fromkeys(terms("old harbour closing 1954"), 1.0)
    assert ask("Why the closing of the old harbour in 1954?", contents, [1.0, 1.0], idf).text == (
        "The harbour froze often, say those who were there. [1]"
    )


def test_a_heading_is_not_quoted_for_the_part_of_the_question_that_it_repeats() -> None:
    contents = ["The mill was built by Thomas Hall in 1790.", "## Cost of the roof"]
    assert ask("Who built the mill and what did the roof cost?", contents).text == (
        "The mill was built by Thomas Hall in 1790. [1]"
    )


def test_a_heading_is_quoted_if_nothing_else_says_a_word_of_the_question() -> None:
    assert ask("Is there parking?", ["Trains run all day long.\n\n## Parking"]).text == "Parking [1]"


def test_a_row_of_a_table_is_quoted_if_nothing_else_says_it() -> None:
    assert lines(ask("How many days in Germany?", [HANDBOOK], idf={"mani": 1, "day": 1, "germani": 5}))[0] == (
        "| Germany | 30 | [1]"
    )


def test_an_item_of_a_list_is_quoted_without_its_bullet() -> None:
    other = "There is more about the approval of such things on the last page."
    found = lines(ask("Who gives approval for more?", [other, HANDBOOK], [0.9, 1.0]))
    assert found[0] == "More needs the approval of HR [2]"


def test_an_answer_has_three_sentences_at_most() -> None:
    content = " ".join(f"The pump number {word} is blue." for word in ("one", "two", "three", "four", "five", "six"))
    assert len(lines(ask("Which pump is blue?", [content]))) <= 3


def test_an_answer_stops_when_the_rest_adds_nothing() -> None:
    content = "The lighthouse was built in 1902. A café sells cake. The parking is free. Dogs are welcome."
    assert ask("When was the lighthouse built?", [content]).text == "The lighthouse was built in 1902. [1]"


def test_the_sentence_after_the_best_one_comes_with_it_if_it_is_about_the_question_too() -> None:
    report = "The flight was short. Then the propeller came apart. The pilot shut down the engine. Nobody was hurt."
    idf = {"pilot": 2.0, "propel": 6.0, "came": 3.0, "apart": 6.0}
    assert lines(ask("What did the pilot do when the propeller came apart?", [report], idf=idf)) == [
        "Then the propeller came apart. [1]",
        "The pilot shut down the engine. [1]",
    ]


def test_the_sentence_after_the_best_one_stays_away_if_it_is_about_something_else() -> None:
    assert lines(ask("What came apart in flight?", ["The propeller came apart. Lunch was at noon."])) == [
        "The propeller came apart. [1]"
    ]


def test_a_sentence_that_shares_a_common_word_only_is_not_quoted_beside_the_answer() -> None:
    contents = [
        "The lighthouse of Pharos was built in 280 BC. The barn was built of stone by a guild of masons.",
        "The church was built of brick. The mill was built of wood.",
    ]
    idf = dict.fromkeys(terms("lighthouse Pharos"), 6.0) | {"built": 1.0}
    assert ask("When was the lighthouse of Pharos built?", contents, [1.0, 0.9], idf).text == (
        "The lighthouse of Pharos was built in 280 BC. [1]"
    )


def test_two_parts_of_a_question_are_answered_by_two_sentences() -> None:
    contents = ["The mill was built by Thomas Hall in 1790.", "Repairs of the roof cost 300 pounds in 1820."]
    found = lines(ask("Who built the mill and what did the roof cost?", contents))
    assert {line[-3:] for line in found} == {"[1]", "[2]"}


def test_a_far_weaker_sentence_is_quoted_for_the_part_of_the_question_that_it_alone_answers() -> None:
    contents = [
        "Location: Madill, Oklahoma, accident of 30 November.",
        "The board determines the probable cause of this to be ice on the wing.",
    ]
    idf = {"probabl": 1.5, "caus": 1.0, "madil": 6.0, "accid": 0.5}
    found = lines(ask("What was the probable cause of the Madill accident?", contents, [1.0, 0.2], idf))
    assert [line[-3:] for line in found] == ["[1]", "[2]"]


def test_text_without_any_full_stop_is_quoted_in_parts() -> None:
    content = " ".join(f"item{number} costs {number} dollars" for number in range(200))
    found = lines(ask("What is the price of item150?", [content]))
    assert "item150" in found[0]
    assert all(len(line) <= 510 for line in found)


def test_a_question_without_known_words_gets_one_sentence_of_the_best_passage() -> None:
    assert ask("zzz", [EXPENSES, HANDBOOK], idf={}).text == "Travel is reimbursed within 14 days. [1]"


def test_a_question_in_chinese_is_answered() -> None:
    contents = ["黑豹队的防守只丢了308分，排名第六。球队表现很好。", "天气很好，我们去公园。"]
    assert lines(ask("黑豹队的防守丢了多少分？", contents))[0] == "黑豹队的防守只丢了308分，排名第六。 [1]"
