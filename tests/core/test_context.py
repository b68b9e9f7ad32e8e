"""What stages derive from context is made anew when what it was made of changes, and not before."""

from __future__ import annotations

import polars as pl

from streams.core.context import Context, Memo

ONE, OTHER, ANOTHER = (pl.DataFrame({"id": [number]}) for number in range(3))


def test_a_memo_is_built_again_where_one_of_its_topics_has_another_frame_only() -> None:
    """Another context, version or topic builds nothing; another frame of a topic does, whatever the versions say."""
    built: list[int] = []

    def build(context: Context) -> int:
        built.append(context.version)
        return int(context.frame("a")["id"].sum())

    memo = Memo(("a", "b"), build)
    assert memo.of(Context({"a": ONE, "b": OTHER, "c": OTHER}, 1)) == 0
    assert memo.of(Context({"a": ONE, "b": OTHER, "c": ANOTHER}, 2)) == 0
    assert built == [1]
    assert memo.of(Context({"a": OTHER, "b": OTHER}, 2)) == 1
    assert memo.of(Context({"a": OTHER, "b": ANOTHER}, 2)) == 1
    assert built == [1, 2, 2]


def test_a_topic_has_a_version_of_its_own_where_it_is_counted() -> None:
    """Without counts by topic, the context's version stands for every topic."""
    assert Context({"a": ONE}, 7, {"a": 3}).version_of("a") == 3
    assert Context({"a": ONE}, 7).version_of("a") == 7
