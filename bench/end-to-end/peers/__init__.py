"""The contestants, a file each: `batches(request)` yields what contract.py calls Delivered."""
