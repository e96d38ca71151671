"""What a cache keeps, and that it stays within its memory limit."""

from __future__ import annotations

import threading

from omnitrack.byte_cache import ByteCache


def test_the_least_recently_used_make_room() -> None:
    cache: ByteCache[str, bytes] = ByteCache(25, len)
    for key in ("a", "b"):
        cache.put(key, bytes(10))
    assert cache.get("a") is not None
    cache.put("c", bytes(10))
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]
    cache.put("d", bytes(20))
    assert [cache.get(key) is not None for key in "abcd"] == [False, False, False, True]


def test_what_is_too_large_is_kept_only_where_it_is_the_least_to_keep() -> None:
    for least, kept in ((0, False), (1, True)):
        cache: ByteCache[int, bytes] = ByteCache(5, len, least)
        cache.put(0, bytes(10))
        assert (cache.get(0) is not None) == kept
    cache.put(1, bytes(10))
    assert cache.get(0) is None and cache.get(1) is not None


def test_a_value_is_made_once_while_it_is_kept() -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return bytes(10)

    cache: ByteCache[int, bytes] = ByteCache(10, len)
    assert cache.through(0, make) is cache.through(0, make)
    cache.through(1, make)
    cache.through(0, make)
    assert len(made) == 3
    cache.clear()
    cache.through(0, make)
    assert len(made) == 4


def test_two_threads_that_make_the_same_count_it_once() -> None:
    cache: ByteCache[int, bytes] = ByteCache(25, len)
    both = threading.Barrier(2)

    def make() -> bytes:
        both.wait(10)
        return bytes(10)

    threads = [threading.Thread(target=cache.through, args=(0, make)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    cache.put(1, bytes(10))
    assert cache.get(0) is not None and cache.get(1) is not None


def test_in_rounds_what_is_read_again_and_again_stays() -> None:
    """Five values of ten bytes, in the same order three times, through a cache of thirty: an LRU finds none again."""
    made: list[int] = []

    def value(number: int) -> bytes:
        made.append(number)
        return bytes(10)

    for rounds, expected in ((False, [0, 1, 2, 3, 4] * 3), (True, [0, 1, 2, 3, 4, 3, 4, 3, 4])):
        cache: ByteCache[int, bytes] = ByteCache(30, len)
        made.clear()
        if rounds:
            cache.begin_round()
        for number in [0, 1, 2, 3, 4] * 3:
            cache.through(number, lambda number=number: value(number))
        assert made == expected
    made.clear()
    cache.begin_round()  # what was used in an earlier round is evicted, the least recently used first
    for number in (7, 1, 8, 7, 9, 8, 1):
        cache.through(number, lambda number=number: value(number))
    assert made == [7, 8, 9]


def test_in_rounds_the_least_number_is_kept_and_large_values_are_not() -> None:
    cache: ByteCache[int, bytes] = ByteCache(10, len)
    cache.begin_round()
    cache.put(0, bytes(20))
    assert cache.get(0) is None
    cache.put(1, bytes(8))
    cache.put(2, bytes(8))
    assert cache.get(1) == bytes(8) and cache.get(2) is None
    one: ByteCache[int, bytes] = ByteCache(0, len, 1)
    one.begin_round()
    one.put(0, bytes(20))
    one.put(1, bytes(20))
    assert one.get(0) == bytes(20) and one.get(1) is None
