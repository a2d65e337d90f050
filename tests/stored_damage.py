"""Damage of what a partition has in Redis: one value changed, or one key of another type."""

from __future__ import annotations

from random import Random
from typing import Any

# Written by scripts outside the checksum, or a number that another version or owner may have written.
OWNERSHIP = ("meta token", "meta generation", "meta transactional_id", "meta published", "meta version",
             "meta online")  # fmt: skip


def damaged(data: bytes, rng: Random) -> bytes:
    """Other bytes: one flipped, the end cut off, or all replaced."""
    how = rng.choice(["flip", "cut", "replace"])
    if how == "replace" or not data:
        other = rng.randbytes(rng.randrange(20))
        return other if other != data else data + b"?"
    at = rng.randrange(len(data))
    if how == "cut":
        return data[:at]
    return data[:at] + bytes((data[at] ^ rng.randint(1, 255),)) + data[at + 1 :]


def damage(redis: Any, keys: tuple[str, ...], rng: Random) -> str:
    """Change one stored value, or the type of one key; what it was."""
    meta, sessions, due, outbox, online = keys
    there = [key for key in keys if redis.exists(key) and (key != outbox or redis.xlen(key))]
    key = rng.choice([*there, "type"])
    if key == meta:
        name = rng.choice(sorted(redis.hkeys(meta)))
        redis.hset(meta, name, damaged(redis.hget(meta, name), rng))
        return f"meta {name.decode()}"
    if key == sessions:
        name = rng.choice(sorted(redis.hkeys(sessions)))
        redis.hset(sessions, name, damaged(redis.hget(sessions, name), rng))
        return "session"
    if key == due:
        redis.zrem(due, rng.choice(redis.zrange(due, 0, -1)))
        redis.zadd(due, {b"nobody-" + rng.randbytes(3): 5})
        return "due"
    if key == outbox:
        (first, fields), *others = redis.xrange(outbox)
        name = rng.choice(sorted(set(fields) - {b"c"}))
        redis.delete(outbox)
        redis.xadd(outbox, fields | {name: damaged(fields[name], rng)}, id=first)
        for entry, more in others:
            redis.xadd(outbox, more, id=entry)
        return "outbox"
    if key == online:
        redis.set(online, damaged(redis.get(online), rng))
        return "online"
    key = rng.choice(keys)
    redis.delete(key)
    if rng.random() < 0.5 and key != online:
        redis.set(key, "strange")
    else:
        redis.lpush(key, "strange")
    return f"type {keys.index(key)}"
