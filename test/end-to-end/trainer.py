"""A trainer as trainer.mjs is one, with the Python client."""

import base64
import json
import sys
import time

import headrace

address, rank, world_size, cursor_file, steps_end = sys.argv[1:]


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


with open(cursor_file) as file:
    cursors = json.load(file)
if cursors and cursors[0]["step"] == int(steps_end):
    say("end")
    sys.exit()
loader = headrace.DataLoader(address=address, rank=int(rank), world_size=int(world_size), prefetch=2, timeout=120.0, tensors="numpy", verify=True)
if cursors:
    loader.load_state_dict(cursors)
for batch in loader:
    state = loader.state_dict()
    step = state["step"] - 1
    arrays = {"inputIds": batch["input_ids"], "segments": batch["segments"], "cuSeqlens": batch["cu_seqlens"]}
    rows, length = batch["input_ids"].shape
    encoded = {name: base64.b64encode(array.astype("<i4").tobytes()).decode() for name, array in arrays.items()}
    say({"step": step, "rows": rows, "length": length, **encoded, "cursor": state})
    if step + 1 == int(steps_end):
        break
    time.sleep(0.004)
say("end")
