"""A rank in Python: receives its batches and tells the demo about each, as one JSON line. Arguments: address, rank, world size."""

import json
import sys

import headrace

address, rank, world_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with headrace.DataLoader(address=address, rank=rank, world_size=world_size, tensors="numpy", timeout=120.0) as loader:
    for batch in loader:
        print(json.dumps({"step": batch.step, "tokens": batch.tokens, "size": batch.input_ids.size, "segments": batch.segments.ravel().tolist()}), flush=True)
