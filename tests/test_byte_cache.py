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
