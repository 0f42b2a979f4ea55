"""Changes of recipes: hand-worked trees, and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrkit.augment import OneOf, Op, Sequential, SomeOf, Sometimes, edit

A, B, C, D = (Op("Add", value=k) for k in range(4))
TREE = Sequential([A, OneOf([B, C]), D])


@pytest.mark.parametrize(
    ("recipe", "place", "to", "wanted", "then"),
    [
        (TREE, (0,), (3,), Sequential([OneOf([B, C]), D, A]), (2,)),
        (TREE, (2,), (0,), Sequential([D, A, OneOf([B, C])]), (0,)),
        # Taken from before the group, which then lies one place further up.
        (TREE, (0,), (1, 1), Sequential([OneOf([B, A, C]), D]), (0, 1)),
        # Put before the group, which then lies one place further down.
        (TREE, (1, 0), (0,), Sequential([B, A, OneOf([C]), D]), (0,)),
        (TREE, (1,), (1,), TREE, (1,)),
        # Within groups that may hold no more and no fewer parts than they have.
        (Sometimes(0.5, A, B), (1,), (0,), Sometimes(0.5, B, A), (0,)),
        (OneOf([A]), (0,), (1,), OneOf([A]), (0,)),
    ],
)
def test_a_moved_part_lies_where_it_was_put(recipe, place, to, wanted, then):
    assert edit.move(recipe, place, to) == (wanted, then)


PARTS = st.recursive(
    st.sampled_from([A, B, C, D]), lambda parts: st.lists(parts, min_size=1, max_size=3).map(Sequential), max_leaves=8
)


@given(data=st.data())
def test_moving_loses_and_doubles_nothing_and_what_is_inserted_can_be_removed(data):
    recipe = Sequential([data.draw(PARTS), data.draw(PARTS)])
    parts = dict(edit.places(recipe))
    assert all(edit.part(recipe, place) == part for place, part in parts.items())
    place, to = (data.draw(st.sampled_from(list(parts)[1:])) for _ in range(2))
    assert edit.remove(edit.insert(recipe, place, D), place) == recipe
    if to[: len(place)] == place and to != place:
        with pytest.raises(ValueError, match="cannot be moved into itself"):
            edit.move(recipe, place, to)
        return
    moved, then = edit.move(recipe, place, to)
    assert edit.part(moved, then) == parts[place]
    before, after = ([repr(part) for _, part in edit.places(one) if isinstance(part, Op)] for one in (recipe, moved))
    assert sorted(after) == sorted(before)


def test_a_group_keeps_its_parts_when_it_becomes_another_kind():
    some = SomeOf((1, 2), [A, B], random_order=True)
    assert edit.grouped(some, "Sequential") == Sequential([A, B], random_order=True)
    assert edit.grouped(some, "Sometimes") == Sometimes(0.5, A, B)
    assert edit.grouped(A, "SomeOf") == SomeOf((0, None), [A])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: edit.put(TREE, (0, 0), A), "place must be a place of the recipe"),
        (lambda: edit.remove(Sequential([OneOf([A])]), (0, 0)), "OneOf needs at least 1"),
        (lambda: edit.insert(Sometimes(0.5, A, B), (2,), C), "Sometimes has one part, or two"),
        (lambda: edit.move(TREE, (), (0,)), "cannot be moved into itself or out"),
    ],
)
def test_a_change_that_gives_no_recipe_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change()
