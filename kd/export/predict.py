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
SIGN = re.compile(rf"&(?:amp;)*(#\d{{1,7}};|#[xX][0-9a-fA-F]{{1,6}};|{NAMES})|.", re.DOTALL)
SPACES = r"[\s\u200b\ufeff\u2060]+"


def clean(raw: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without entities and repeated spaces; each character's start and end in the raw."""
    parts = [(html.unescape(f"&{p[1]}") if p[1] else p[0], p.span()) for p in SIGN.finditer(raw)]
    places = [span for signs, span in parts for _ in signs]
    text = "".join(signs for signs, _ in parts)
    runs = re.finditer(f"{SPACES}|.", text)
    spans = [(places[run.start()][0], places[run.end() - 1][1]) for run in runs]
    text = re.sub(SPACES, " ", text)
    return text.strip(), spans[text.startswith(" ") :]


def answers_of(tokenizer: Any, session: Any, tasks: Any, raw: str, context: str) -> Any:
    """Each task, label, probabilities (of a number: none), and rationale with its place in raw."""
    (text, spans), post = clean(raw), clean(context)[0]
    tokens, seen = tokenizer.encode(text), tokenizer.encode(post).ids if post else [0]
    feed = {"input_ids": tokens.ids, "attention_mask": [1] * len(tokens.ids)}
    feed |= {"context_ids": seen, "context_mask": [int(post != "")] * len(seen)}
    arrays = {node.name: np.array([feed[node.name]]) for node in session.get_inputs()}
    values = zip(session.get_outputs(), session.run(None, arrays), strict=True)
    found = {node.name: value[0] for node, value in values}
    is_word = np.array([start < end for start, end in tokens.offsets])
    words = np.array(tokens.offsets)[is_word]  # the other tokens are special ones
    for task in (task for task in tasks if post or "context" not in task["inputs"]):
        logits, none = found[task["name"]], np.full(len(is_word), -np.inf)
        label = task["low"] + float(logits[0]) * (task["high"] - task["low"])
        label = task["classes"][logits.argmax()] if task["classes"] else label
        odds = np.exp(logits - logits.max())
        chances = dict(zip(task["classes"], (odds / odds.sum()).tolist(), strict=False))
        log_odds = found.get(f"{task['name']}.rationale", none)[is_word]
        chosen = log_odds > -np.log(1 / task["rationale_threshold"] - 1)
        edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2)
        ends = [(spans[words[a, 0]][0], spans[words[b - 1, 1] - 1][1]) for a, b in edges]
        quotes = [{"start": start, "end": end, "words": raw[start:end]} for start, end in ends]
        yield task["name"], {"label": label, "probabilities": chances, "rationale": quotes}


if __name__ == "__main__":
    csv.field_size_limit(1 << 24)
    sys.excepthook = lambda _, error, trace: sys.stderr.write(f"predict.py: {error}\n")
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", nargs="?", default=0)
    parser.add_argument("--model", default="model.onnx")
    given, folder = parser.parse_args(), Path(__file__).parent
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tasks[0]["max_tokens"])
    session = onnxruntime.InferenceSession(folder / given.model)
    with open(given.source, encoding="utf-8-sig", newline="\n") as file:  # noqa: PTH123
        rows = csv.DictReader(file, strict=True) if given.source else ({"text": s} for s in file)
        for number, row in enumerate(rows, 1):
            text = row.get("text") or row.get("response_post") or ""
            post = row.get("context") or row.get("seeker_post") or ""
            found: dict[str, Any] = {"error": "no text, a NUL, or more cells than the header"}
            if None not in row and "\0" not in text + post and clean(text)[0]:
                found = {"answers": dict(answers_of(tokenizer, session, tasks, text, post))}
            sys.stdout.write(json.dumps({"id": row.get("id") or number} | found) + "\n")
