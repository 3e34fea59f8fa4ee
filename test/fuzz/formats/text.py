"""Plain text, a document a line or a file, by nobody: what Python splits it into."""

from formats import packed

LINES = ["first line", "", "  ", "é 中 🙂", "\ttabs\t", "with a return\r", "x" * 300, "\u2028 no line end", "last"]


def make(directory: str) -> list:
    names = packed.save(directory, "lines.txt", "\n".join(LINES * 8).encode())
    requests = [{"column": "", "kind": "text", "options": {"lines": True}}, {"column": "", "kind": "text", "options": {"lines": False}}]
    return [{"file": name, "requests": requests} for name in names]


def rows(file: str, request: dict) -> object:
    data = packed.content(file)
    own = data.removeprefix(b"\xef\xbb\xbf")
    if not request["options"]["lines"]:
        yield own
        return
    for line in own.split(b"\n"):
        if line.strip(b" \t\r"):
            yield line.removesuffix(b"\r")
