"""One measurement of one contestant that runs in Python, as tokenize-runner.ts does it for Node.

The request is the argument, as JSON; the answer is one line of JSON.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import re
import resource
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

# one thread, whatever the machine has: before the packages are loaded
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# (documents) → (the timed call → what ids and tokens are taken from); ids of one document; tokens of a result
Encode = Callable[[list[Any]], Any]
Contestant = tuple[Encode, Callable[[Any], list[int]], Callable[[Any], int], bool]


def load(contestant: str, tokenizer_file: str) -> Contestant:
    """The last entry: whether documents are given as bytes (else as str)."""
    if contestant == "tokenizers":
        from tokenizers import Tokenizer

        hf = Tokenizer.from_file(tokenizer_file)
        hf.no_truncation()
        hf.no_padding()
        return (
            lambda documents: hf.encode_batch_fast(documents, add_special_tokens=False),
            lambda result: result[0].ids,
            lambda result: sum(map(len, result)),
            False,
        )
    if contestant == "fastokens":
        from fastokens import Tokenizer

        try:
            fast = Tokenizer.from_file(tokenizer_file)
        except ValueError as error:
            # it takes some vocabularies (cl100k's, o200k's) only in tiktoken's own format
            if "unsupported model type" not in str(error):
                raise
            ranks, pattern, added = tiktoken_facts(json.loads(Path(tokenizer_file).read_text()))
            with tempfile.NamedTemporaryFile("w", suffix=".tiktoken") as file:
                file.writelines(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in sorted(ranks.items(), key=lambda entry: entry[1]))
                file.flush()
                fast = Tokenizer.from_tiktoken(file.name, pattern=pattern, special_tokens=added)
        fast.no_truncation()
        fast.no_padding()
        return (fast.encode_batch_flat, lambda result: list(array("I", result[0])), lambda result: len(result[0]) // 4, False)
    if contestant == "gigatoken":
        import awkward
        import gigatoken

        giga = gigatoken.Tokenizer(tokenizer_file)
        giga.encode_batch([], parallel=False)  # it loads awkward late
        return (
            lambda documents: giga.encode_batch(documents, parallel=False),
            lambda result: awkward.to_list(result[0]),
            lambda result: int(awkward.count(result)),
            True,
        )
    if contestant == "tiktoken":
        encoding = tiktoken_encoding(json.loads(Path(tokenizer_file).read_text()))
        return (
            lambda documents: encoding.encode_ordinary_batch(documents, num_threads=1),
            lambda result: result[0],
            lambda result: sum(map(len, result)),
            False,
        )
    raise ValueError(f"unknown contestant {contestant}")


def tiktoken_encoding(tokenizer: dict[str, Any]) -> Any:
    import tiktoken

    ranks, pattern, added = tiktoken_facts(tokenizer)
    return tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens=added)


def tiktoken_facts(tokenizer: dict[str, Any]) -> tuple[dict[bytes, int], str, dict[str, int]]:
    """Ranks, pattern, special tokens: tiktoken's own files are on the network, but a byte-level tokenizer.json has the same facts."""
    if tokenizer["model"]["type"] != "BPE" or tokenizer["pre_tokenizer"] is None:
        raise ValueError("tiktoken is for byte-level BPE")
    pattern = pattern_of(tokenizer["pre_tokenizer"])
    byte_of = {character: byte for byte, character in bytes_to_characters().items()}
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in tokenizer["model"]["vocab"].items() if token not in added}
    return ranks, pattern, added


def pattern_of(pre_tokenizer: dict[str, Any]) -> str:
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    if parts[-1]["type"] != "ByteLevel":
        raise ValueError("tiktoken is for byte-level BPE")
    patterns = [part["pattern"]["Regex"] for part in parts if part["type"] == "Split"]
    if len(patterns) == 1:
        return patterns[0]
    if not patterns and [part["type"] for part in parts] == ["ByteLevel"]:
        return GPT2_PATTERN
    raise ValueError("tiktoken has one pattern, the tokenizer another number of them")


def bytes_to_characters() -> dict[int, str]:
    """GPT-2's way to write bytes as characters."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def read_part(request: dict[str, Any], part: str) -> tuple[bytes, array]:
    bounds = array("i", Path(f"{request['text']}-{part}.bounds").read_bytes())
    return Path(f"{request['text']}-{part}.bin").read_bytes(), bounds


def encode_part(contestant: Contestant, documents: tuple[bytes, array], request: dict[str, Any]) -> dict[str, Any]:
    encode, _, count, takes_bytes = contestant
    text, bounds = documents
    tokens, seconds, cpu_seconds, first = 0, 0.0, 0.0, 0
    total = len(bounds) - 1
    while first < total and seconds < request["phaseSecondsMax"]:
        last = first + 1
        while last < total and bounds[last + 1] - bounds[first] <= request["batchBytes"]:
            last += 1
        batch = [text[bounds[i] : bounds[i + 1]] if takes_bytes else text[bounds[i] : bounds[i + 1]].decode() for i in range(first, last)]
        cpu_started, started = time.process_time(), time.perf_counter()
        result = encode(batch)
        seconds += time.perf_counter() - started
        cpu_seconds += time.process_time() - cpu_started
        tokens += count(result)
        first = last
    return {"bytes": bounds[first], "tokens": tokens, "seconds": seconds, "cpuSeconds": cpu_seconds, "whole": first == total}


def digests(contestant: Contestant, request: dict[str, Any], part: str) -> list[str]:
    encode, ids, _, takes_bytes = contestant
    text, bounds = read_part(request, part)
    total = len(bounds) - 1
    count = min(request["sampleDocuments"], total)
    result = []
    for i in range(count):
        document = i * total // count
        own = text[bounds[document] : bounds[document + 1]]
        tokens = ids(encode([own if takes_bytes else own.decode()]))
        result.append(hashlib.sha256(array("i", tokens).tobytes()).hexdigest()[:16])
    return result


def resident_mib() -> float:
    # getrusage counts what the starter had before exec
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()) if Path("/proc/self/status").exists() else None
    return int(peak[1]) / 1024 if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    request = json.loads(sys.argv[1])
    started = time.perf_counter()
    contestant = load(request["contestant"], request["tokenizerFile"])
    answer: dict[str, Any] = {"version": importlib.metadata.version(request["contestant"]), "loadSeconds": time.perf_counter() - started}
    if request["mode"] == "check":
        answer["digests"] = [digest for part in ("cold", "warm", "held") for digest in digests(contestant, request, part)]
    else:
        answer["cold"] = encode_part(contestant, read_part(request, "cold"), request)
        encode_part(contestant, read_part(request, "warm"), request)
        answer["held"] = encode_part(contestant, read_part(request, "held"), request)
    print(json.dumps({**answer, "residentMiB": resident_mib()}))


if __name__ == "__main__":
    main()
