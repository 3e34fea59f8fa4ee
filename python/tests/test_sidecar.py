"""The loader with the real sidecar, real Parquet and a real tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace import Batch, DataLoader, HeadraceError, wire
from headrace.sidecar import answers, default_address

from .conftest import FakeSidecar

TOKENIZER = os.environ.get("HEADRACE_TEST_TOKENIZER", "")
pytestmark = pytest.mark.skipif(
    not TOKENIZER or "HEADRACE_COMMAND" not in os.environ, reason="HEADRACE_COMMAND and HEADRACE_TEST_TOKENIZER are not set; npm test sets them"
)

SENTENCES = [
    "Call me Ishmael.",
    "Some years ago — never mind how long precisely — having little or no money in my purse,",
    "I thought I would sail about a little and see the watery part of the world.",
    "It is a way I have of driving off the spleen, and regulating the circulation.",
    "Ærø, 東京, Ελλάδα, Москва; naïve café — 🙂.",
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    directory = tmp_path_factory.mktemp("headrace")
    (directory / "data").mkdir()
    chance = random.Random(7)
    for shard in range(4):
        texts = [" ".join(chance.choices(SENTENCES, k=chance.randint(1, 40))) for _ in range(60)]
        pq.write_table(pa.table({"text": texts}), directory / "data" / f"{shard}.parquet", row_group_size=20, compression=["zstd", "snappy", "gzip", "none"][shard])
    config: dict[str, Any] = {
        "seed": 11,
        "sources": {"prose": {"uri": "./data/"}},
        "tokenizer": {"file": TOKENIZER},
        "sequence": {"length": 64},
        "shuffle": {"windowBytes": "64KiB"},
        "batch": {"size": 8},
        "epochs": 1,
        "last": "pad",
        "cache": {"dir": "./cache"},
    }
    (directory / "headrace.yaml").write_text(json.dumps(config))  # JSON is YAML
    return directory


@pytest.fixture
def config(workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = str(workspace / "headrace.yaml")
    yield path
    assert not answers(default_address(path)), "a sidecar was left behind"


def loader_of(config: str, rank: int = 0, world_size: int = 1, **options: Any) -> DataLoader:
    return DataLoader(config, rank=rank, world_size=world_size, tensors="numpy", timeout=60.0, **options)


def documents_of(batches: list[Batch]) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for batch in batches:
        flat, bounds = batch.input_ids.ravel(), batch.cu_seqlens
        for index, (source, shard, row, start, length, _flags) in enumerate(batch.segments.tolist()):
            if source < 0:
                continue
            ids = found.setdefault((shard, row), [])
            ids.extend([-1] * (start + length - len(ids)))
            assert ids[start : start + length] == [-1] * length, "a token came twice"
            ids[start : start + length] = flat[bounds[index] : bounds[index] + length].tolist()
    return found


def test_two_ranks_receive_every_row_once_with_the_ids_of_the_reference(config: str, workspace: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    pq = pytest.importorskip("pyarrow.parquet")
    with loader_of(config, 0, 2, verify=True) as first, loader_of(config, 1, 2) as second, ThreadPoolExecutor(2) as threads:
        others = threads.submit(lambda: list(second))
        batches = [*first, *others.result()]
        assert first.sidecar_pid is not None
        assert second.sidecar_pid is None
    reference = tokenizers.Tokenizer.from_file(TOKENIZER)
    eos = reference.token_to_id("<|endoftext|>")
    expected = {
        (shard, row): [*reference.encode(text, add_special_tokens=False).ids, eos]
        for shard in range(4)
        for row, text in enumerate(pq.read_table(workspace / "data" / f"{shard}.parquet").column("text").to_pylist())
    }
    assert documents_of(batches) == expected


def test_a_sidecar_that_is_killed_is_started_again(config: str) -> None:
    with loader_of(config) as loader:
        expected = [batch.digest for batch in loader]
    with loader_of(config, prefetch=1) as loader:
        found = [next(loader).digest for _ in range(5)]
        killed = loader.sidecar_pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        found += [batch.digest for batch in loader]
        assert found == expected
        assert loader.sidecar_pid not in (None, killed)
    assert not is_alive(killed)


def test_a_sidecar_that_is_killed_is_started_again_though_nobody_waits_here(config: str) -> None:
    """Local rank 0 may be in a collective, waiting for a rank that waits for the sidecar."""
    with loader_of(config, 0, 2) as first, loader_of(config, 1, 2, prefetch=1) as second:
        assert (next(first).step, next(second).step) == (0, 0)
        assert first.sidecar_pid is not None
        os.kill(first.sidecar_pid, signal.SIGKILL)
        assert [next(second).step for _ in range(8)] == list(range(1, 9))
        assert next(first).step == 1


def test_a_sidecar_that_was_killed_while_nobody_looked_is_started_again(config: str) -> None:
    with loader_of(config) as loader:
        state = next(loader).cursor
        assert loader.sidecar_pid is not None
        os.kill(loader.sidecar_pid, signal.SIGKILL)
        loader.load_state_dict(state)
        assert next(loader).step == 1


def test_takes_over_from_a_sidecar_that_is_shutting_down(config: str) -> None:
    """As after a restart of the trainer: the old one's sidecar still drains."""

    def drain(sidecar: FakeSidecar, identity: bytes, message: wire.Message) -> bool:
        sidecar.send(identity, "ERROR", {"session": 0, "code": "DRAINING", "message": "shutting down", "hint": "", "detail": {}})
        return True

    old = FakeSidecar(default_address(config), script=drain)
    closing = threading.Timer(1.5, old.close)
    closing.start()
    with loader_of(config) as loader:
        assert next(loader).step == 0
        assert loader.sidecar_pid is not None
    closing.join()
    assert old.received


def test_two_processes_that_start_the_sidecar_at_once_share_one(config: str) -> None:
    with loader_of(config) as first, loader_of(config, consumer="other") as second, ThreadPoolExecutor(2) as threads:
        steps = list(threads.map(lambda loader: next(loader).step, (first, second)))
        assert steps == [0, 0]
        assert [first.sidecar_pid, second.sidecar_pid].count(None) == 1
        # the one that has the sidecar leaves last: it would wait for the other
        for loader in sorted((first, second), key=lambda each: each.sidecar_pid is not None):
            loader.close()


def test_a_path_with_spaces_and_another_working_directory(config: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = workspace / "the run's config.yaml"
    spaced.write_text(Path(config).read_text())
    monkeypatch.chdir(workspace)
    with loader_of(spaced.name) as loader:
        monkeypatch.chdir("/")
        assert next(loader).step == 0
    assert not answers(default_address(str(spaced)))


CONTINUE = """
import hashlib, json, sys
from headrace import DataLoader
with DataLoader(sys.argv[1], rank=0, world_size=1, tensors="numpy", timeout=60.0) as loader:
    loader.load_state_dict(json.loads(sys.argv[2]))
    print(json.dumps([hashlib.sha256(batch.input_ids.tobytes()).hexdigest() for batch in loader]))
"""


def test_a_state_continues_in_a_new_process(config: str) -> None:
    with loader_of(config) as loader:
        batches = list(loader)
    hashes = [hashlib.sha256(np.ascontiguousarray(batch.input_ids).tobytes()).hexdigest() for batch in batches]
    assert len(set(hashes)) == len(hashes) > 10
    for step in random.sample(range(len(batches)), 4):
        state = json.dumps(batches[step].cursor)
        result = subprocess.run([sys.executable, "-c", CONTINUE, config, state], capture_output=True, text=True, check=True, timeout=120)
        assert json.loads(result.stdout) == hashes[step + 1 :], f"after step {step}"


def test_a_state_of_another_seed_is_refused_by_name(config: str, workspace: Path) -> None:
    with loader_of(config) as loader:
        state = next(loader).cursor
        loader.load_state_dict({**state, "plan": {**state["plan"], "seed": 12}})
        with pytest.raises(HeadraceError) as raised:
            next(loader)
    assert (raised.value.code, raised.value.detail["field"]) == ("CURSOR_MISMATCH", "seed")


def test_a_configuration_with_a_mistake_says_so(config: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(Path(config).read_text().replace('"batch"', '"bach"'))
    with loader_of(str(broken)) as loader, pytest.raises(HeadraceError) as raised:
        next(loader)
    assert raised.value.code == "SIDECAR_FAILED"
    assert "unknown key bach (did you mean batch" in raised.value.message


HOLD = """
import sys, time
from headrace import DataLoader
loader = DataLoader(sys.argv[1], rank=0, world_size=1, tensors="numpy")
next(loader)
print(loader.sidecar_pid, flush=True)
time.sleep(60)
"""


def test_the_sidecar_ends_with_a_trainer_that_is_killed(config: str) -> None:
    trainer = subprocess.Popen([sys.executable, "-c", HOLD, config], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    pid = int(trainer.stdout.readline())
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    # its one session is still there, and silent: that is found out long before the grace period of 20 s is over
    deadline = time.monotonic() + 12
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_training_and_validation_share_the_documents_between_them(config: str, workspace: Path) -> None:
    def documents(loader: DataLoader) -> list[tuple[int, int]]:
        return [(int(shard), int(row)) for batch in loader for source, shard, row, _, _, flags in batch.segments.tolist() if source >= 0 and flags & 1]

    with loader_of(config, split="validation") as loader, pytest.raises(HeadraceError, match="this configuration has none") as refused:
        next(loader)
    assert refused.value.code == "CONFIG_INVALID"

    held = workspace / "held.yaml"
    held.write_text(json.dumps({**json.loads(Path(config).read_text()), "validation": {"share": 0.2}}))
    with loader_of(str(held)) as train, loader_of(str(held), split="validation", verify=True) as validation:
        trained, first = documents(train), documents(validation)
        assert len(first) > 10
        assert sorted(trained + first) == [(shard, row) for shard in range(4) for row in range(60)]
        state = validation.state_dict()
        assert state["plan"]["split"] == "validation"
        validation.load_state_dict({})  # the next evaluation
        assert documents(validation) == first
        train.load_state_dict(state)
        with pytest.raises(HeadraceError, match="split") as mixed:
            next(train)
        assert mixed.value.code == "CURSOR_MISMATCH"


def test_a_split_that_does_not_exist_is_refused(config: str) -> None:
    with pytest.raises(HeadraceError, match="split is 'test'"):
        loader_of(config, split="test")
