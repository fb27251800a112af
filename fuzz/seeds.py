#!/usr/bin/env python3
"""Make the first corpus of `decode`: the golden frames, each behind a byte that says in what portions it arrives."""
import pathlib

root = pathlib.Path(__file__).resolve().parent
corpus = root / "corpus" / "decode"
corpus.mkdir(parents=True, exist_ok=True)
frames = {}
for line in (root.parent / "tests" / "wire" / "v1.hex").read_text().splitlines():
    text = line.split(";")[0].rstrip()
    if text.startswith(" "):
        frames[name] += bytes.fromhex(text)
    elif text:
        name = text
        frames[name] = b""
for name, frame in frames.items():
    (corpus / name.replace(" ", "_")).write_bytes(b"\xff" + frame)
(corpus / "all").write_bytes(b"\x10" + b"".join(frames.values()))
print(f"{len(frames) + 1} files in {corpus}")
