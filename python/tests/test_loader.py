"""The loader against a scripted sidecar: order, credits, deadlines, reconnecting, states."""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import DataLoader, HeadraceError, merge_state, wire

from .conftest import FakeSidecar, cursor


def loader_of(address: str, **options: Any) -> DataLoader:
    return DataLoader(address=address, rank=0, tensors="numpy", **{"world_size": 1, "timeout": 5.0, **options})


def code_of(raised: pytest.ExceptionInfo[HeadraceError]) -> str:
    return raised.value.code


def test_delivers_every_step_in_order_and_then_ends(fake: FakeSidecar) -> None:
    with loader_of(fake.address, verify=True) as loader:
        batches = list(loader)
        assert [batch.step for batch in batches] == list(range(20))
        assert batches[3].input_ids.tolist() == [[3, 4, 7, 0]]
        assert batches[3].labels.tolist() == [[3, 4, 7, -100]]
        assert batches[3].position_ids.tolist() == [[0, 1, 0, 0]]
        assert list(loader) == []
        assert loader.state_dict() == cursor(20)


def test_asks_for_no_more_than_it_was_told_to(fake: FakeSidecar) -> None:
    with loader_of(fake.address, prefetch=3) as loader:
        assert len(list(loader)) == 20
    assert fake.in_flight_max <= 3
    assert fake.hellos[0]["credits"] == 3


@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_gives_credits_back_half_of_them_at_a_time(address: str, prefetch: int) -> None:
    returned: list[int] = []

    def note(_sidecar: FakeSidecar, _identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT":
            returned.append(message.header["credits"])
        return False

    sidecar = FakeSidecar(address, script=note)
    try:
        with loader_of(address, prefetch=prefetch) as loader:
            assert len(list(loader)) == 20
    finally:
        sidecar.close()
    half = max(1, prefetch // 2)
    # on a busy machine more come together
    assert min(returned) >= half
    assert len(returned) <= 20 // half


@pytest.mark.parametrize(("rows", "world_size", "ahead_max"), [(1, 8, 64), (12_000, 1, 16), (12_000, 2, 8)])
def test_asks_for_more_while_it_waits_up_to_so_many_bytes(address: str, rows: int, world_size: int, ahead_max: int) -> None:
    asked = 4
    ahead: list[int] = []

    def late(_sidecar: FakeSidecar, _identity: bytes, message: wire.Message) -> bool:
        nonlocal asked
        if message.type == "CREDIT":
            asked += message.header["credits"]
            ahead.append(asked - message.header["step"])
            time.sleep(0.01)  # so that the consumer, which does nothing, waits
        return False

    sidecar = FakeSidecar(address, steps=300 if rows == 1 else 20, rows=rows, script=late)
    try:
        with loader_of(address, world_size=world_size) as loader:
            assert [batch.step for batch in loader] == list(range(sidecar.steps))
    finally:
        sidecar.close()
    assert sidecar.hellos[0]["credits"] == 4
    assert max(ahead) == ahead_max


def test_tells_with_its_credits_how_long_it_waited(address: str) -> None:
    waits: list[float] = []

    def note(_sidecar: FakeSidecar, _identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT":
            waits.extend(message.header["waitsMs"])
            if len(waits) == 4:
                time.sleep(0.5)  # before the batch that this credit is for
        return False

    sidecar = FakeSidecar(address, script=note)
    try:
        with loader_of(address, prefetch=1) as loader:
            assert len(list(loader)) == 20
    finally:
        sidecar.close()
    # a batch each; that of the last is told with no credit, or with one
    assert len(waits) in (19, 20)
    # a busy machine may be late to ask
    assert 100 <= waits[4] < 10_000
    assert min(waits) >= 0


def test_a_state_is_of_the_last_batch_consumed_and_survives_json(fake: FakeSidecar) -> None:
    with loader_of(fake.address) as loader:
        assert loader.state_dict() == {}
        for _ in range(5):
            next(loader)
        state = json.loads(json.dumps(loader.state_dict()))
        assert state == cursor(5)
    with loader_of(fake.address) as other:
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert next(other).step == 5
        other.load_state_dict({})
        assert next(other).step == 0


def test_continues_after_the_sidecar_was_replaced(address: str) -> None:
    first = FakeSidecar(address)
    with loader_of(address, prefetch=2) as loader:
        steps = [next(loader).step for _ in range(4)]
        first.close()
        second = FakeSidecar(address)
        try:
            steps += [batch.step for batch in loader]
            assert steps == list(range(20))
            assert second.hellos[-1]["expect"] == cursor(0)["plan"]
            assert second.hellos[-1]["incarnation"] == first.hellos[0]["incarnation"]
        finally:
            second.close()


def test_says_hello_again_when_its_session_is_forgotten(address: str) -> None:
    forgotten = threading.Event()

    def forget(sidecar: FakeSidecar, _identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT" and message.header["session"] == 1 and not forgotten.is_set():
            forgotten.set()
            sidecar.session += 1  # as after a restart: the old number is unknown
        return False

    sidecar = FakeSidecar(address, script=forget)
    try:
        with loader_of(address) as loader:
            assert [batch.step for batch in loader] == list(range(20))
        assert forgotten.is_set()
        assert len(sidecar.hellos) == 2
    finally:
        sidecar.close()


def test_reconnecting_again_and_again_while_the_consumer_is_busy_breaks_no_bound(address: str) -> None:
    sidecar = FakeSidecar(address, steps=40)
    try:
        with loader_of(address, prefetch=2) as loader:
            assert next(loader).step == 0
            for _ in range(6):  # as restarts of the sidecar while the trainer writes a checkpoint
                sidecar.forget_session()
                time.sleep(0.25)  # longer than a heartbeat: the client finds out
            assert loader._held.connection is not None
            assert loader._held.connection._waiting <= 3
            sidecar.in_flight_max = 0
            assert [batch.step for batch in loader] == list(range(1, 40))
        assert len(sidecar.hellos) >= 2
        assert sidecar.in_flight_max <= 2
    finally:
        sidecar.close()


def second_credit_fails(address: str, answer: Callable[[FakeSidecar, bytes], None], match: str) -> None:
    """The first batch comes with the greeting; the credit for the second gets `answer`, which the loader must refuse."""

    def script(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT":
            answer(sidecar, identity)
        return message.type == "CREDIT"

    sidecar = FakeSidecar(address, script=script)
    try:
        with loader_of(address, prefetch=1) as loader:
            assert next(loader).step == 0
            with pytest.raises(HeadraceError, match=match):
                next(loader)
    finally:
        sidecar.close()


def test_a_stream_that_ends_too_early_is_no_end(address: str) -> None:
    second_credit_fails(
        address,
        lambda sidecar, identity: sidecar.send(identity, "END", {"session": sidecar.session, "step": 20}),
        match="the stream ended at step 20 where step 1 was due",
    )


def test_positions_of_other_lanes_than_the_session_has_are_refused(address: str) -> None:
    def with_other_lanes(sidecar: FakeSidecar, identity: bytes) -> None:
        sidecar.lanes = [1]
        sidecar.send_batch(identity, 1)

    second_credit_fails(address, with_other_lanes, match="positions of other lanes or sources than the session has")


def test_a_sidecar_that_starts_elsewhere_than_asked_is_refused(address: str) -> None:
    def rewind(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type == "HELLO":
            message.header["cursors"] = []
        return False

    sidecar = FakeSidecar(address, script=rewind)
    try:
        with loader_of(address) as loader:
            loader.load_state_dict(cursor(5))
            with pytest.raises(HeadraceError, match="starts at step 0 where step 5 was due"):
                next(loader)
    finally:
        sidecar.close()


def test_a_defect_in_the_thread_is_an_error_of_headrace(fake: FakeSidecar) -> None:
    with loader_of(fake.address, expect={"seed": object()}) as loader, pytest.raises(HeadraceError) as raised:
        next(loader)
    assert code_of(raised) == "INTERNAL"
    assert isinstance(raised.value.__cause__, TypeError)


def test_an_error_that_is_raised_often_does_not_grow(address: str) -> None:
    with loader_of(address, timeout=0.3, expect={"seed": object()}) as loader:
        depths = []
        for _ in range(3):
            with pytest.raises(HeadraceError) as raised:
                next(loader)
            depths.append(len(raised.traceback))
        assert depths == [depths[0]] * 3


def test_closing_ends_the_wait_of_another_thread_with_an_error(address: str) -> None:
    sidecar = FakeSidecar(address, script=lambda _sidecar, _identity, message: message.type == "CREDIT")
    try:
        loader = loader_of(address, prefetch=1)
        assert next(loader).step == 0
        closer = threading.Timer(0.3, loader.close)
        closer.start()
        # an end of the loop would look like the end of the data
        with pytest.raises(HeadraceError) as raised:
            next(loader)
        assert code_of(raised) == "ABORTED"
        closer.join()
    finally:
        sidecar.close()


@pytest.mark.parametrize("code", ["FENCED", "CONFIG_MISMATCH", "CURSOR_MISMATCH", "BAD_ROW"])
def test_raises_what_the_sidecar_says(address: str, code: str) -> None:
    def refuse(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type != "HELLO":
            return False
        sidecar.send(identity, "ERROR", {"session": 0, "code": code, "message": "no — ü", "hint": "do this", "detail": {"field": "seed"}})
        return True

    sidecar = FakeSidecar(address, script=refuse)
    try:
        with loader_of(address) as loader:
            for _ in range(2):
                with pytest.raises(HeadraceError) as raised:
                    next(loader)
                assert code_of(raised) == code
                assert str(raised.value) == f"{code}: no — ü (do this)"
                assert raised.value.detail == {"field": "seed"}
    finally:
        sidecar.close()


def test_a_silent_sidecar_is_a_timeout_after_which_waiting_goes_on(address: str) -> None:
    silent = threading.Event()
    silent.set()
    held: list[tuple[bytes, wire.Message]] = []

    def hold(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT" and silent.is_set():
            held.append((identity, message))
            return True
        if message.type == "PING" and not silent.is_set() and held:
            for each in held:
                sidecar._answer(*each)
            held.clear()
        return False

    sidecar = FakeSidecar(address, script=hold)
    try:
        with loader_of(address, prefetch=1, timeout=1.0) as loader:
            assert next(loader).step == 0
            with pytest.raises(HeadraceError) as raised:
                next(loader)
            assert code_of(raised) == "TIMEOUT"
            silent.clear()
            assert [batch.step for batch in loader] == list(range(1, 20))
    finally:
        sidecar.close()


def test_nobody_there_is_an_error_within_the_timeout(address: str) -> None:
    with loader_of(address, timeout=1.0) as loader, pytest.raises(HeadraceError) as raised:
        next(loader)
    assert code_of(raised) == "SIDECAR_UNREACHABLE"


def test_after_nobody_was_there_the_next_call_looks_again(address: str) -> None:
    first = FakeSidecar(address)
    with loader_of(address, prefetch=1, timeout=1.0) as loader:
        steps = [next(loader).step for _ in range(3)]
        first.close()
        codes: set[str] = set()
        while "SIDECAR_UNREACHABLE" not in codes:
            try:
                steps.append(next(loader).step)
            except HeadraceError as error:
                codes.add(error.code)
        second = FakeSidecar(address)
        try:
            steps += [batch.step for batch in loader]
            assert steps == list(range(20))
        finally:
            second.close()


def test_a_rank_that_waits_for_another_to_start_the_sidecar_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    config = tmp_path / "x.yaml"
    config.write_text("")
    # the second machine of a launcher that does not set LOCAL_RANK
    with DataLoader(config, rank=8, world_size=16, tensors="numpy", timeout=0.5) as loader, pytest.raises(HeadraceError, match="this is local rank 8") as raised:
        next(loader)
    assert code_of(raised) == "SIDECAR_UNREACHABLE"


@pytest.mark.parametrize("frames", [[b""], [b"XX\x01\x04{}"], [b"HR\x01\x04{}"], [b"HR\x01\x05[]"], [b"HR\x02\x08{}", b"x"]])
def test_a_malformed_message_is_raised(address: str, frames: list[bytes]) -> None:
    def garble(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type == "HELLO":
            sidecar.send_raw(identity, frames)
        return message.type == "HELLO"

    sidecar = FakeSidecar(address, script=garble)
    try:
        with loader_of(address) as loader, pytest.raises(HeadraceError) as raised:
            next(loader)
        assert code_of(raised) == "BAD_MESSAGE"
    finally:
        sidecar.close()


def test_a_step_out_of_order_is_raised(address: str) -> None:
    second_credit_fails(address, lambda sidecar, identity: sidecar.send_batch(identity, 17), match="step 17 came where step 1 was due")


def test_says_bye(fake: FakeSidecar) -> None:
    loader = loader_of(fake.address)
    next(loader)
    loader.close()
    loader.close()
    deadline = threading.Event()
    for _ in range(100):
        if "BYE" in fake.received:
            break
        deadline.wait(0.02)
    assert "BYE" in fake.received


def test_a_forked_child_is_told_not_to_use_it(fake: FakeSidecar) -> None:
    loader = loader_of(fake.address)
    next(loader)
    loader._pid = os.getpid() + 1
    with pytest.raises(HeadraceError, match="another process"):
        next(loader)
    loader._pid = os.getpid()
    loader.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"source": "x.yaml", "address": "ipc:///x"},
        {"address": "ipc:///x", "prefetch": 0},
        {"address": "ipc:///x", "tensors": "jax"},
        {"address": ""},
        {"address": "localhost:7070"},
        {"address": "ipc:///x", "rank": 1.5},
        {"address": "ipc:///x", "command": "npx headrace"},
        {"address": "ipc:///x", "timeout": 0},
        {"address": "ipc:///x", "timeout": float("nan")},
        {"address": "ipc:///x", "start_timeout": float("inf")},
        {"source": "/no/such.yaml"},
    ],
)
def test_refuses_arguments_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(HeadraceError) as raised:
        DataLoader(**options)
    assert code_of(raised) in ("CONFIG_INVALID", "CONFIG_NOT_FOUND", "ADDRESS_INVALID")


def test_ranks_come_from_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    loader = DataLoader(address="ipc:///x")
    assert (loader.rank, loader.world_size) == (3, 8)
    monkeypatch.setenv("RANK", "three")
    with pytest.raises(HeadraceError, match="RANK"):
        DataLoader(address="ipc:///x")


def test_after_an_interrupt_waiting_goes_on(address: str) -> None:
    silent = threading.Event()
    silent.set()
    held: list[tuple[bytes, wire.Message]] = []

    def hold(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        if message.type == "CREDIT" and silent.is_set():
            held.append((identity, message))
            return True
        while held and not silent.is_set():
            sidecar._answer(*held.pop())
        return False

    sidecar = FakeSidecar(address, script=hold)
    try:
        with loader_of(address, prefetch=1) as loader:
            assert next(loader).step == 0
            started = time.monotonic()
            interrupt = threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                next(loader)
            assert time.monotonic() - started < 2
            interrupt.join()
            silent.clear()
            assert [batch.step for batch in loader] == list(range(1, 20))
    finally:
        sidecar.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_real_forked_child_can_neither_use_nor_end_it(fake: FakeSidecar) -> None:
    script = """
import gc, os, sys
from headrace import DataLoader, HeadraceError
loader = DataLoader(address=sys.argv[1], rank=0, world_size=1, tensors="numpy", timeout=5.0)
assert next(loader).step == 0
child = os.fork()
if child == 0:
    refused = 0
    for use in (lambda: next(loader), lambda: list(loader), lambda: loader.load_state_dict({})):
        try:
            use()
        except HeadraceError as error:
            refused += error.code == "CONFIG_INVALID"
    loader.close()
    del loader, use
    gc.collect()
    sys.exit(refused)  # with atexit
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 3
print([batch.step for batch in loader] == list(range(1, 20)))
"""
    result = subprocess.run([sys.executable, "-c", script, fake.address], capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("True\n", "")
    assert len(fake.hellos) == 1


def test_a_closed_loader_is_closed(fake: FakeSidecar) -> None:
    loader = loader_of(fake.address)
    assert [next(loader).step for _ in range(3)] == [0, 1, 2]
    loader.close()
    # it used to begin again at step 0
    with pytest.raises(HeadraceError) as raised:
        next(loader)
    assert code_of(raised) == "ABORTED"
    assert loader.state_dict() == cursor(3)


def test_a_dropped_loader_leaves(fake: FakeSidecar) -> None:
    loader = loader_of(fake.address)
    next(loader)
    assert loader._held.connection is not None
    thread = loader._held.connection._thread
    del loader
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert await_message(fake, "BYE")


def test_a_process_that_ends_without_close_leaves(fake: FakeSidecar) -> None:
    script = "import sys\nfrom headrace import DataLoader\nloader = DataLoader(address=sys.argv[1], rank=0, world_size=1, tensors='numpy')\nnext(loader)\n"
    subprocess.run([sys.executable, "-c", script, fake.address], check=True, timeout=60)
    assert await_message(fake, "BYE")


def await_message(fake: FakeSidecar, message_type: str) -> bool:
    deadline = time.monotonic() + 5
    while message_type not in fake.received and time.monotonic() < deadline:
        time.sleep(0.02)
    return message_type in fake.received


def test_several_states_are_one_state_before_the_first_batch(fake: FakeSidecar) -> None:
    one = {**cursor(5), "lanes": {"0": {"web": [5, 0, 0, 0, 20]}}}
    two = {**cursor(5), "lanes": {"1": {"web": [6, 0, 0, 0, 20]}}}
    merged = merge_state([one, two])
    with loader_of(fake.address) as loader:
        loader.load_state_dict(state for state in (one, two))
        assert loader.state_dict() == merged
        assert next(loader).step == 5
        assert fake.hellos[0]["cursors"] == [merged]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ([], "CURSOR_INVALID"),
        (None, "CURSOR_INVALID"),
        ("state", "CURSOR_INVALID"),
        ([None], "CURSOR_INVALID"),
        ({"version": 2, "step": 1, "plan": None, "mixture": [], "lanes": {}}, "CURSOR_INVALID"),
        ([cursor(5), {}], "CURSOR_MISMATCH"),
        ([cursor(5), cursor(6)], "CURSOR_MISMATCH"),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(fake: FakeSidecar, state: Any, code: str) -> None:
    with loader_of(fake.address) as loader:
        assert next(loader).step == 0
        with pytest.raises(HeadraceError) as raised:
            loader.load_state_dict(state)
        assert code_of(raised) == code
        assert loader.state_dict() == cursor(1)
        assert next(loader).step == 1


def test_states_are_the_callers_own(fake: FakeSidecar) -> None:
    with loader_of(fake.address, prefetch=1) as loader:
        loaded = cursor(3)
        loader.load_state_dict(loaded)
        loaded["lanes"]["0"]["web"][0] = 99
        batch = next(loader)
        for state in (batch.cursor, loader.state_dict()):
            state["epoch"] = object()
            state["lanes"]["0"]["web"][0] = 99
            state["plan"].clear()
        assert batch.cursor == loader.state_dict() == cursor(4)
        fake.forget_session()
        assert [each.step for each in loader] == list(range(4, 20))
    assert fake.hellos[0]["cursors"] == [cursor(3)]
    # what is said after a reconnect was not changed either
    assert fake.hellos[-1]["expect"] == cursor(0)["plan"]


def test_a_state_at_the_end_is_the_end(fake: FakeSidecar) -> None:
    with loader_of(fake.address) as loader:
        state = list(loader)[-1].cursor
    with loader_of(fake.address) as other:
        other.load_state_dict(state)
        assert list(other) == []
        assert other.state_dict() == state == cursor(20)


def test_a_batch_that_fails_its_digest_is_asked_for_again(address: str) -> None:
    damaged = threading.Event()

    def damage(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        sidecar.damaged_step = None if damaged.is_set() else 2
        return False

    sidecar = FakeSidecar(address, script=damage)
    try:
        with loader_of(address, verify=True) as loader:
            assert [next(loader).step for _ in range(2)] == [0, 1]
            with pytest.raises(HeadraceError) as raised:
                next(loader)
            assert code_of(raised) == "DIGEST_MISMATCH"
            assert loader.state_dict() == cursor(2)
            damaged.set()
            assert [batch.step for batch in loader] == list(range(2, 20))
    finally:
        sidecar.close()


def test_neither_a_loader_nor_its_dataset_goes_to_another_process() -> None:
    loader = DataLoader(address="ipc:///x", rank=0, world_size=1, tensors="numpy")
    with pytest.raises(HeadraceError, match="num_workers=0"):
        pickle.dumps(loader)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_of_torch_are_refused(fake: FakeSidecar, start: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    with DataLoader(address=fake.address, rank=0, world_size=1) as loader:
        assert next(loader).step == 0
        fed = torch.utils.data.DataLoader(loader.dataset(), batch_size=None, num_workers=1, multiprocessing_context=start)
        # torch raises what a worker raised as an error of its own
        with pytest.raises((HeadraceError, RuntimeError), match="num_workers=0"):
            next(iter(fed))
        assert next(loader).step == 1


def test_torch_tensors_where_torch_is_installed(fake: FakeSidecar) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    with DataLoader(address=fake.address, rank=0, world_size=1) as loader:
        batch = next(loader)
        assert batch.input_ids.dtype == torch.int64
        assert batch.labels.tolist() == [[0, 1, 7, -100]]
        assert batch.cu_seqlens.dtype == torch.int32
        fed = torch.utils.data.DataLoader(loader.dataset(), batch_size=None, num_workers=0)
        assert next(iter(fed))["input_ids"].tolist() == [[1, 2, 7, 0]]


def test_merging_states() -> None:
    one = {**cursor(5), "lanes": {"0": {"web": [1, 0, 0, 0, 0]}}}
    two = {**cursor(5), "lanes": {"1": {"web": [2, 0, 0, 0, 0]}}}
    assert merge_state([one, two])["lanes"] == {**one["lanes"], **two["lanes"]}
    for other, field in [
        ({**two, "step": 6}, "step"),
        ({**two, "plan": {**two["plan"], "seed": 1}}, "plan.seed"),
        ({**two, "lanes": {"0": {"web": [9, 0, 0, 0, 0]}}}, "lanes.0"),
    ]:
        with pytest.raises(HeadraceError) as raised:
            merge_state([one, other])
        assert (code_of(raised), raised.value.detail) == ("CURSOR_MISMATCH", {"field": field})
    for broken in ([], [{"step": 3}], [{**one, "version": 3}]):
        with pytest.raises(HeadraceError) as raised:
            merge_state(broken)
        assert code_of(raised) == "CURSOR_INVALID"


def test_errors_survive_pickling() -> None:
    error = HeadraceError("FENCED", "gone", hint="end it", detail={"rank": 1})
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, str(copy), copy.detail) == ("FENCED", str(error), {"rank": 1})
