"""The contestants, a file each: `batches(request)` yields what contract.py calls Delivered; `resumable(request, state)` answers batches after a state
(None: from the start) and a function that tells the state after the last of them."""
