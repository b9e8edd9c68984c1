"""Answer texts by onnxruntime, tokenizers and numpy alone, one JSON line each.
python predict.py [POSTS.csv | < LINES.txt] [--model model.fp16.onnx] > ANSWERS.jsonl
A CSV has the column text (or response_post), and may have context (or seeker_post) and id.
"""

import argparse
import csv
import html.entities
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

NAMES = "|".join(name for name in html.entities.html5 if name.endswith(";"))
SIGN = re.compile(rf"&(?:amp;)*(?:#\d{{1,7}};|#[xX][0-9a-fA-F]{{1,6}};|{NAMES})|.", re.DOTALL)
SPACES = r"[\s\u200b\ufeff\u2060]+"
COLUMNS = [("text", "response_post"), ("context", "seeker_post"), ("id", "id")]
FAULT = {"error": "no word, no context for any task, a NUL, no UTF-8, too long, or a wrong row"}


def clean(raw: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without entities and repeated spaces; each character's start and end in the raw."""
    parts = [(html.unescape(p[0].replace("amp;", "")), p.span()) for p in SIGN.finditer(raw)]
    places, text = [span for part, span in parts for _ in part], "".join(part for part, _ in parts)
    runs = [run.span() for run in re.finditer(f"{SPACES}|.", text)]
    text, spans = re.sub(SPACES, " ", text), [(places[a][0], places[b - 1][1]) for a, b in runs]
    return text.strip(), spans[text.startswith(" ") :]


def answers_of(tokenizer: Any, session: Any, tasks: Any, raw: str, context: str) -> Any:
    """Each task, label, probabilities (of a number: none), and rationale with its place in raw."""
    (text, spans), post = clean(raw), clean(context)[0]
    tokens, seen = tokenizer.encode(text), tokenizer.encode(post).ids if post else [0]
    is_word = [start < end for start, end in tokens.offsets]  # the others are special tokens
    words = np.array([(spans[a][0], spans[b - 1][1]) for a, b in tokens.offsets if a < b])
    feed = [tokens.ids, tokens.attention_mask, seen, [int(post != "")] * len(seen)]
    inputs = {i.name: np.array([row]) for i, row in zip(session.get_inputs(), feed, strict=False)}
    run = session.run(None, inputs) if any(is_word) and max(len(raw), len(context)) <= 10**6 else []
    found = {node.name: values[0] for node, values in zip(session.get_outputs(), run, strict=False)}
    for task in (task for task in tasks if found and (post or "context" not in task["inputs"])):
        logits, classes, ends = found[task["name"]], task["classes"], (task["low"], task["high"])
        label = classes[logits.argmax()] if classes else float(np.interp(logits[0], (0, 1), ends))
        chances = np.exp(logits - np.logaddexp.reduce(logits))
        chances = dict(zip(classes, chances.tolist(), strict=False))
        log_odds = found.get(f"{task['name']}.rationale", np.full(len(is_word), -np.inf))
        chosen = np.flatnonzero(log_odds[is_word] > -np.log(1 / task["rationale_threshold"] - 1))
        quotes: list[dict[str, Any]] = []
        for n, (start, end) in zip(chosen, words[chosen].tolist(), strict=True):
            if quotes and (n - 1 in chosen or start < quotes[-1]["end"]):  # a token of one emoji
                start = quotes.pop()["start"]
            quotes.append({"start": start, "end": end, "words": raw[start:end]})
        yield task["name"], {"label": label, "probabilities": chances, "rationale": quotes}


if __name__ == "__main__":
    csv.field_size_limit(1 << 24)
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", nargs="?", default=0, type=lambda s: s if s != "-" else 0)
    parser.add_argument("--model", default="model.onnx")
    given, folder = parser.parse_args(), Path(__file__).parent
    sys.excepthook = lambda _, error, trace: parser.exit(2, f"predict.py: {error}\n")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(folder / given.model)
    with open(given.source, errors="surrogateescape", encoding="utf-8-sig", newline="\n") as file:  # noqa: PTH123
        lines: Any = csv.reader(file, strict=True) if given.source else ([line] for line in file)
        header = [name.strip() for name in next(lines, [])] if given.source else ["text"]
        if not {*header} & {*COLUMNS[0]} or any(header.count(n) > 1 for n in sum(COLUMNS, ())):
            raise ValueError(f"{given.source}: its header needs text or response_post, each once")
        for number, cells in enumerate(filter(None, lines), 1):
            row: dict[str, str] = dict(zip(header, cells, strict=False))
            text, post, key = (row.get(one, row.get(other, "")) for one, other in COLUMNS)
            ok = len(cells) == len(header) and not re.search("[\0\ud800-\udfff]", text + post + key)
            found = dict(answers_of(tokenizer, session, tasks, text, post)) if ok else {}
            print(json.dumps({"id": key or number} | ({"answers": found} if found else FAULT)))
