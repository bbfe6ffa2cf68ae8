# SPDX-License-Identifier: GPL-3.0-only
"""Which host gets a request."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeld_ray.routing.placement import BUSY, HostView, ModelView, Placement, Wish

GIB = 1 << 30


def view(
    host: str, *, free: int = 8, budget: int = 8, seq: int = 1, **models: ModelView
) -> HostView:
    return HostView(
        id=host, seq=seq, budget_bytes=budget * GIB, free_bytes=free * GIB, models=models
    )


def placement(*views: HostView) -> Placement:
    found = Placement()
    for each in views:
        found.update(each)
    return found


CALM = ModelView(running=1, slots=4)
BUSY_VIEW = ModelView(running=4, queued=4, slots=4)
FULL = ModelView(running=4, queued=32, slots=4)


def sound(each: HostView) -> HostView:
    """No host has more free than it has."""
    most = each.budget_bytes
    return each if most is None else replace(each, free_bytes=min(most, each.free_bytes or 0))


hosts = st.lists(
    st.builds(
        HostView,
        id=st.sampled_from("abcdefgh"),
        seq=st.integers(0, 5),
        budget_bytes=st.none() | st.integers(0, 20).map(lambda gib: gib * GIB),
        free_bytes=st.integers(-2, 20).map(lambda gib: gib * GIB),
        evictable_bytes=st.integers(0, 9).map(lambda gib: gib * GIB),
        models=st.dictionaries(
            st.sampled_from("xyz"),
            st.builds(
                ModelView,
                running=st.integers(0, 9),
                queued=st.integers(0, 40),
                slots=st.integers(0, 4),
            ),
        ),
        takes_requests=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
).map(lambda views: [sound(each) for each in views])
wishes = st.builds(
    Wish,
    model=st.sampled_from("xyzw"),
    need_bytes=st.integers(0, 20).map(lambda gib: gib * GIB),
    key=st.text(max_size=3),
    prefers=st.sampled_from(["", *"abcdefgh"]),
    exclude=st.lists(st.sampled_from("abcdefgh"), max_size=3),
    among=st.none() | st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True),
)


@given(hosts, wishes)
def test_there_is_a_host_as_long_as_there_are_any_and_none_twice(views, wish):
    ranked = placement(*views).rank(wish)
    assert bool(ranked) == bool(views)
    assert len(set(ranked)) == len(ranked)
    assert set(ranked) <= {each.id for each in views}


@given(hosts, wishes, st.randoms(use_true_random=False))
def test_ingresses_that_know_the_same_agree(views, wish, chance):
    mixed = list(views)
    chance.shuffle(mixed)
    assert placement(*views).rank(wish)[:1] == placement(*mixed).rank(wish)[:1]


@given(hosts, wishes)
def test_a_host_that_is_too_small_or_was_tried_comes_behind_every_other(views, wish):
    known = {each.id: each for each in views}

    def is_sound(host: str) -> bool:
        each = known[host]
        fits = each.budget_bytes is None or each.budget_bytes >= wish.need_bytes
        may = each.takes_requests and host not in wish.exclude
        return (
            may
            and (wish.among is None or host in wish.among)
            and (fits or wish.model in each.models)
        )

    first, *_ = [*placement(*views).rank(wish), ""]
    assert not first or is_sound(first) or not any(is_sound(host) for host in known)


@given(hosts, wishes)
def test_a_busy_host_is_not_asked_while_a_calm_one_has_the_model(views, wish):
    known = {each.id: each for each in views}
    allowed = [
        each
        for each in views
        if each.takes_requests
        and each.id not in wish.exclude
        and (wish.among is None or each.id in wish.among)
    ]
    calm = [
        each
        for each in allowed
        if wish.model in each.models and each.models[wish.model].load < BUSY
    ]
    if calm:
        first = known[placement(*views).rank(wish)[0]]
        is_calm = wish.model in first.models and first.models[wish.model].load < BUSY
        assert is_calm or first.id == wish.prefers


def test_who_has_the_model_is_asked_before_who_has_room():
    assert placement(view("a"), view("b", free=0, x=CALM)).rank(Wish(model="x"))[0] == "b"


def test_who_has_room_is_asked_before_who_must_evict():
    found = placement(view("a", free=1), view("b", free=5)).rank(
        Wish(model="x", need_bytes=4 * GIB)
    )
    assert found == ["b", "a"]


def test_a_model_that_keeps_its_host_busy_gets_another_one():
    found = placement(view("a", x=BUSY_VIEW), view("b")).rank(Wish(model="x", need_bytes=GIB))
    assert found == ["b", "a"]


def test_a_busy_host_is_asked_before_one_that_must_evict():
    found = placement(view("a", x=BUSY_VIEW), view("b", free=0)).rank(
        Wish(model="x", need_bytes=GIB)
    )
    assert found == ["a", "b"]


def test_a_chat_goes_back_to_the_host_that_had_it():
    known = placement(view("a", x=CALM), view("b", x=CALM))
    for host in "ab":
        assert known.rank(Wish(model="x", key="chat", prefers=host))[0] == host


def test_a_chat_leaves_a_host_that_would_refuse_it():
    known = placement(view("a", x=FULL), view("b", x=CALM))
    assert known.rank(Wish(model="x", key="chat", prefers="a"))[0] == "b"


def test_chats_spread_over_all_hosts_that_have_their_model():
    known = placement(*(view(host, x=CALM) for host in "abcd"))
    first = [known.rank(Wish(model="x", key=str(chat)))[0] for chat in range(1000)]
    assert min(first.count(host) for host in "abcd") > 150


def test_who_was_just_sent_a_model_counts_as_having_it():
    known = placement(view("a"), view("b"))
    wish = Wish(model="x", need_bytes=GIB)
    first = known.rank(wish)[0]
    known.note_sent(wish, first)
    assert known.rank(wish)[0] == first


def test_what_was_sent_takes_its_room():
    known = placement(view("a", free=5))
    known.note_sent(Wish(model="x", need_bytes=4 * GIB), "a")
    known.update(view("b", free=3))
    assert known.rank(Wish(model="y", need_bytes=2 * GIB))[0] == "b"


def test_two_reports_without_the_model_disprove_what_was_sent_however_often_it_is_sent():
    known = placement(view("a", free=0), view("b", free=0))
    wish = Wish(model="x", need_bytes=GIB)
    sent = known.rank(wish)[0]
    known.note_sent(wish, sent)
    for seq in (2, 3):
        assert known.rank(wish)[0] == sent
        known.update(view(sent, free=0, seq=seq))
        known.update(view("b" if sent == "a" else "a", free=8, seq=seq))
        known.note_sent(wish, sent) if seq == 2 else None
    assert known.rank(wish)[0] != sent


def test_a_new_empty_host_gets_work():
    known = placement(view("a", free=0))
    known.update(view("b", free=8))
    assert known.rank(Wish(model="x", need_bytes=GIB))[0] == "b"


def test_a_host_that_is_gone_is_forgotten_with_what_it_had():
    known = placement(view("a", x=CALM), view("b"))
    known.note_sent(Wish(model="y"), "a")
    known.remove("a")
    assert known.rank(Wish(model="x")) == ["b"]
    assert known.rank(Wish(model="y")) == ["b"]


def test_only_one_host_will_do_where_it_is_named():
    known = placement(view("a", x=CALM), view("b"))
    assert known.rank(Wish(model="x", only="b")) == ["b"]
    assert known.rank(Wish(model="x", only="c")) == []


def test_a_host_is_asked_only_for_models_whose_files_it_has():
    known = placement(view("a"), view("b"))
    for host in "ab":
        assert known.rank(Wish(model="x", among=(host,)))[0] == host


@given(hosts)
def test_a_view_crosses_as_plain_data(views):
    for each in views:
        assert HostView.of(each.id, each.stats()) == each


def test_a_new_host_takes_its_share_and_nothing_else_moves():
    models = [f"model-{number}" for number in range(600)]
    before = placement(*(view(host, free=8) for host in "abc"))
    after = placement(*(view(host, free=8) for host in "abcd"))
    first = {model: before.rank(Wish(model=model))[0] for model in models}
    moved = {model: after.rank(Wish(model=model))[0] for model in models}
    changed = {model for model in models if first[model] != moved[model]}
    assert all(moved[model] == "d" for model in changed)
    assert 90 < len(changed) < 220


def test_a_model_is_not_loaded_twice_by_a_burst():
    known = placement(*(view(host) for host in "abc"))
    wish = Wish(model="x", need_bytes=GIB)
    used = set()
    for number in range(8):
        chosen = known.rank(Wish(model="x", need_bytes=GIB, key=str(number)))[0]
        known.note_sent(wish, chosen)
        used.add(chosen)
    assert len(used) == 1


def test_random_histories_leave_no_trace_of_hosts_that_are_gone():
    chance = random.Random(7)
    known = Placement()
    for step in range(500):
        host, model = chance.choice("abcdef"), chance.choice("xyz")
        match chance.randrange(3):
            case 0:
                known.update(
                    view(host, seq=step, **({model: CALM} if chance.random() < 0.5 else {}))
                )
            case 1:
                known.note_sent(Wish(model=model, need_bytes=GIB), host)
            case _:
                known.remove(host)
        for each in known.rank(Wish(model=model)):
            assert each in known.hosts


def large(hosts: int) -> Placement:
    """Return a placement of many hosts: a third is busy with one model, one of them has another."""
    chance = random.Random(1)
    known = Placement()
    for number in range(hosts):
        hot = {"hot": BUSY_VIEW} if number % 3 == 0 else {}
        rare = {"rare": CALM} if number == 0 else {}
        own = {f"model-{chance.randrange(10 * hosts)}": CALM for _ in range(10)}
        free = chance.randrange(20)
        known.update(view(f"host-{number}", free=free, budget=80, **hot, **rare, **own))
    return known


@pytest.mark.parametrize("model", ["absent", "hot", "rare"])
@pytest.mark.parametrize("need_gib", [8, 40])
def test_a_decision_costs_no_more_for_each_host_where_there_are_ten_times_as_many(model, need_gib):
    """The least of many counts, and only how they compare: no machine's speed is in it."""
    wish = Wish(model=model, need_bytes=need_gib * GIB, key="chat")
    known = large(100), large(1000)
    took_s: list[list[float]] = [[], []]
    for _ in range(50):
        for each, took in zip(known, took_s, strict=True):
            began_s = time.process_time()
            each.rank(wish)
            took.append(time.process_time() - began_s)
    fewer_s, more_s = map(min, took_s)
    assert more_s < 15 * fewer_s


def test_what_was_sent_since_the_last_report_counts():
    known = placement(view("a", x=CALM), view("b"))
    wish = Wish(model="x", need_bytes=GIB)
    for _ in range(int(BUSY * 4)):
        known.note_sent(wish, "a")
    assert known.rank(wish)[0] == "b"
    known.update(view("a", seq=2, x=CALM))
    assert known.rank(wish)[0] == "a"
