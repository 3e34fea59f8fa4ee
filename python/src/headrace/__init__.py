"""Exactly repeatable token batches from the headrace sidecar of this machine."""

from .batch import IGNORE_INDEX, Batch, batch_digest
from .cursor import merge_state
from .errors import HeadraceError
from .loader import DataLoader
from .version import __version__

__all__ = ["IGNORE_INDEX", "Batch", "DataLoader", "HeadraceError", "__version__", "batch_digest", "merge_state"]
