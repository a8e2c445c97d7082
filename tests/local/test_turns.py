from local.turns import Turns


def filled(*items: str) -> Turns[str]:
    turns: Turns[str] = Turns()
    for item in items:
        turns.add(item[0], item)
    return turns


def test_groups_take_turns_and_each_keeps_its_order() -> None:
    turns = filled("a1", "a2", "a3", "a4", "b1", "c1", "c2")
    assert turns.take(100) == ["a1", "b1", "c1", "a2", "c2", "a3", "a4"]
    assert len(turns) == 0


def test_turns_go_on_where_the_last_take_stopped() -> None:
    turns = filled("a1", "a2", "b1", "b2", "c1")
    assert [turns.take(1) for _ in range(4)] == [["a1"], ["b1"], ["c1"], ["a2"]]
    assert list(turns) == ["b2"]


def test_a_new_group_waits_for_no_more_than_one_turn_of_each_other() -> None:
    turns = filled(*(f"a{n}" for n in range(1000)))
    turns.take(10)
    turns.add("b", "b1")
    assert turns.take(2)[1] == "b1"


def test_a_group_that_is_passed_over_keeps_its_place() -> None:
    turns: Turns[int] = Turns()
    for item in (1, 2, 3):
        turns.add("first", item)
    turns.add("second", 4)
    assert turns.take(5, without={"first"}) == [4]
    assert (turns.take(1, without={"first"}), len(turns)) == ([], 3)
    turns.add("third", 5)
    assert turns.take(2) == [1, 5]


def test_taking_from_nobody_gives_nothing() -> None:
    assert filled().take(5) == []
