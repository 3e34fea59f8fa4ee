"""A batch as a trainer sees it: arrays by name, made when they are asked for, as numpy arrays or torch tensors."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Literal

import numpy as np
from numpy.typing import NDArray

from .cursor import Cursor, plain
from .errors import HeadraceError
from .fields import Field, Fields, Images

Array = Any
"""A numpy array, or a torch tensor."""

IGNORE_INDEX = -100
"""The label that cross-entropy leaves out, in PyTorch and Hugging Face."""

SOURCE_PADDING = -1
"""The source of segments of padding (docs/wire.md)."""

PositionIds = Literal["document", "row"]
"""Where ``position_ids`` start again at 0."""


class Batch(Mapping[str, Array]):
    """
    A rank's part of one step, or with the loader's ``micro_batch`` some rows of it.

    Arrays, as attributes and by key:

    - ``input_ids`` [rows, length]: int32 in numpy, int64 in torch
    - ``labels`` [rows, length]: equal to ``input_ids`` and not shifted, -100 where ``loss_mask`` is 0 (Hugging Face's convention);
      with the loader's ``mask_boundaries`` also at the first token of each piece, so that none is predicted from another document
    - ``loss_mask`` [rows, length] uint8: 0 on padding, and on what else does not count for the loss (of chats, what the assistant did not say)
    - ``position_ids`` [rows, length]: start again at 0 with each document's piece; with the loader's ``position_ids="row"`` with each row
    - ``cu_seqlens`` [segments + 1] int32: bounds of the documents' pieces in the flattened [rows x length]; every row starts a piece, padding is a piece
    - ``segments`` [segments, 6] int32: source, shard, row, token_start, length, flags of each piece (docs/wire.md)

    Samples (docs/formats.md) have ``fields``, a mapping by name: arrays or tensors of numbers, lists of ``str``, of ``memoryview``, or of decoded images.
    Samples without tokens have neither ``input_ids`` nor ``labels`` nor ``position_ids``; their ``length`` is 1, and ``loss_mask`` is 0 on rows of padding.

    and ``step``, ``tokens`` (without padding), ``digest``, ``cursor``, ``max_seqlen``. Numpy arrays are read-only views of what was received.

    Of micro-batches: ``micro_step`` (0 …), ``is_last_micro_step``, and ``step_tokens``: the tokens of all of the rank's rows of the step, which sums of
    losses are divided by. ``digest`` and ``verify`` are of all of these rows. A batch that is a whole step is its only micro-batch.
    """

    KEYS = ("input_ids", "labels", "loss_mask", "position_ids", "cu_seqlens", "segments")

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        step: int,
        tokens: int,
        digest: str,
        cursor: Cursor,
        convert: Callable[[str, NDArray[Any]], Array],
        mask_boundaries: bool = False,
        position_ids: PositionIds = "document",
        length: int | None = None,
        fields: Mapping[str, Field] | None = None,
        images: Images | None = None,
    ) -> None:
        self.step = step
        self.tokens = tokens
        self.digest = digest
        self._cursor = cursor
        self._arrays = dict(arrays)
        self._length = arrays["input_ids"].shape[1] if length is None else length
        self._rows = int(arrays["cu_seqlens"][-1]) // self._length
        self._fields = dict(fields or {})
        self._images = images or Images(None, 1)
        if "loss_mask" not in arrays:  # not sent where every token counts
            self._arrays["loss_mask"] = _ones(self._rows, self._length)
        self._convert = convert
        self._mask_boundaries = mask_boundaries
        self._position_ids = position_ids
        self.micro_step = 0
        self.is_last_micro_step = True
        self.step_tokens = tokens
        # the whole step, where this is a part of it
        self._whole = self
        self._made: dict[str, Array] = {}
        self._made_fields: Fields | None = None

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            if name not in self._keys:
                raise KeyError(name)
            self._made[name] = self._convert(name, self._numpy(name))
        return self._made[name]

    def __getattr__(self, name: str) -> Array:
        if name in Batch.KEYS and name in self._keys:
            return self[name]
        raise AttributeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        micro_step = "" if self._whole is self else f", micro_step={self.micro_step}"
        return f"Batch(step={self.step}{micro_step}, rows={self._rows}, length={self._length}, tokens={self.tokens})"

    @property
    def rows(self) -> int:
        """Sequences in this batch."""
        return self._rows

    @property
    def length(self) -> int:
        """Tokens of a sequence; 1 of samples without tokens."""
        return self._length

    @property
    def fields(self) -> Fields:
        """Of samples, by name."""
        if self._made_fields is None:
            segments, bounds = self._arrays["segments"], self._arrays["cu_seqlens"]
            first = np.searchsorted(bounds, np.arange(self._rows) * self._length)
            padding = segments[first, 0] == SOURCE_PADDING
            self._made_fields = Fields(self._fields, self._convert, self._images, f"step {self.step}", padding)
        return self._made_fields

    @property
    def _keys(self) -> tuple[str, ...]:
        return self.KEYS if "input_ids" in self._arrays else ("loss_mask", "cu_seqlens", "segments")

    def part(self, start: int, end: int, cursor: Cursor) -> Batch:
        """The rows [start, end) as the micro-batch that ends with ``cursor``. Its arrays are views; only ``cu_seqlens``, which starts at 0 again, is made anew."""
        cu_seqlens, segments = self._arrays["cu_seqlens"], self._arrays["segments"]
        length = self._length
        first, last = np.searchsorted(cu_seqlens, (start * length, end * length))
        bounds = cu_seqlens[first : last + 1] - cu_seqlens[first]
        bounds.flags.writeable = False
        own = segments[first:last]
        arrays = {"loss_mask": self._arrays["loss_mask"][start:end], "cu_seqlens": bounds, "segments": own}
        if "input_ids" in self._arrays:
            arrays["input_ids"] = self._arrays["input_ids"][start:end]
        part = Batch(
            arrays,
            step=self.step,
            tokens=int(own[own[:, 0] != SOURCE_PADDING, 4].sum()),
            digest=self.digest,
            cursor=cursor,
            convert=self._convert,
            mask_boundaries=self._mask_boundaries,
            position_ids=self._position_ids,
            length=length,
            fields={name: field.rows(start, end) for name, field in self._fields.items()},
            images=self._images,
        )
        part.micro_step = start // (end - start)
        part.is_last_micro_step = end == self.rows
        part.step_tokens = self.tokens
        part._whole = self
        return part

    @property
    def cursor(self) -> dict[str, Any]:
        """The state after this batch. The caller's own: it may be changed."""
        return plain(self._cursor)

    @property
    def max_seqlen(self) -> int:
        """The longest piece: what varlen attention kernels ask for."""
        return int(np.diff(self._arrays["cu_seqlens"]).max())

    def verify(self) -> None:
        """Computes the digest of what was received and compares it with the sidecar's. Errors: ``DIGEST_MISMATCH``."""
        found = batch_digest(self._whole._arrays, self._length, self._whole._fields)
        if found != self.digest:
            raise HeadraceError(
                "DIGEST_MISMATCH",
                f"the batch of step {self.step} is not what the sidecar made",
                hint="look for a faulty memory or a proxy between the two",
                detail={"step": self.step, "digest": self.digest, "found": found},
            )

    def _numpy(self, name: str) -> NDArray[Any]:
        if name == "labels":
            labels = np.where(self._arrays["loss_mask"] == 0, np.int32(IGNORE_INDEX), self._arrays["input_ids"])
            if self._mask_boundaries:
                labels.reshape(-1)[self._arrays["cu_seqlens"][:-1]] = IGNORE_INDEX
            return labels
        if name == "position_ids":
            rows, length = self._rows, self._length
            bounds = self._arrays["cu_seqlens"] if self._position_ids == "document" else np.arange(rows + 1) * length
            return _position_ids(bounds, (rows, length))
        return self._arrays[name]


@functools.lru_cache(maxsize=4)
def _ones(rows: int, length: int) -> NDArray[np.uint8]:
    """One array for all batches of a shape, which nobody can write to."""
    ones = np.ones((rows, length), dtype=np.uint8)
    ones.flags.writeable = False
    return ones


def _position_ids(bounds: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    starts = np.repeat(bounds[:-1].astype(np.int32), np.diff(bounds))
    positions: NDArray[Any] = np.arange(starts.size, dtype=np.int32) - starts
    return positions.reshape(shape)


def batch_digest(arrays: Mapping[str, NDArray[Any]], length: int | None = None, fields: Mapping[str, Field] | None = None) -> str:
    """The digest of docs/wire.md: SHA-256 over the digests of the rows, each over its ids, its segments, its mask where that says more than its padding, and
    its fields."""
    input_ids, cu_seqlens, segments = arrays.get("input_ids"), arrays["cu_seqlens"], arrays["segments"]
    loss_mask = arrays.get("loss_mask")
    if length is None:
        length = arrays["input_ids"].shape[1]
    rows = int(cu_seqlens[-1]) // length
    bounds = np.searchsorted(cu_seqlens, np.arange(rows + 1) * length)
    total = hashlib.sha256()
    for row in range(rows):
        own = hashlib.sha256(b"" if input_ids is None else np.ascontiguousarray(input_ids[row], dtype="<i4").tobytes())
        pieces = segments[bounds[row] : bounds[row + 1]]
        own.update(np.ascontiguousarray(pieces, dtype="<i4").tobytes())
        if loss_mask is not None:
            padding = int(pieces[-1, 4]) if pieces[-1, 0] == SOURCE_PADDING else 0
            if not loss_mask[row, : length - padding].all():
                own.update(np.ascontiguousarray(loss_mask[row], dtype=np.uint8).tobytes())
        for field in (fields or {}).values():
            data = field.row_bytes(row)
            own.update(len(data).to_bytes(8, "little"))
            own.update(data)
        total.update(own.digest())
    return total.hexdigest()
