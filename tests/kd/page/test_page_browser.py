"""Tests of the page in a browser: its answers are the student's, and nothing leaves it."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect
from tokenizers import Tokenizer

from data.cleaning import clean
from data.rationales import spans_of_tokens
from kd.page.build import make_page
from student.predictions import Rejection
from student.predictor import Predictor

POST = "i lost my job today and i feel like a failure"
REPLY = "I am so sorry, that must be very hard. What did they say to you?"
PAIRS = {
    "plain": (REPLY, POST),
    "short": ("no", "why"),
    "markup": ("<img src=x onerror=alert(1)> so <b>sorry</b></p><script>x", "</textarea>&lt;i>"),
    "entities": ("  so&nbsp;sorry &amp;amp; \n\n\t sad&#33;\u200b ", "&quot;what\x85 now&quot;"),
    "emoji": ("👩\u200d👩\u200d👧 so sorry 😀😀 for you 🇩🇪 now", "my dog 🐶 died 😭"),
    "right to left": ("אני מצטער so sorry مرحبا", "שלום"),
    "too long": ("i am so very sorry to hear of it and " * 9, "so it was, " * 30),
    "special tokens": ("so [SEP] sorry [MASK]", "[CLS] sad"),
    "a post of no word": (REPLY, "\x01"),
}  # fmt: skip
REFUSED = {
    "a NUL": ("so \0 sorry", "sad"),
    "a NUL in the post": (REPLY, "sad\0"),
    "a NUL in both": ("\0", "\0"),
    "half a pair": ("so sorry \ud83d", "sad"),
    "a byte in the post": (REPLY, "sad \udc9f"),
    "nothing but a control": ("\x01", "sad"),
    "nothing but a sign": ("\u00ad", "sad"),
    "an accent alone": ("\u0301", ""),
}
# Spans of the marked text by task, in characters; touching pieces of one quote are one.
MARKS = """() => {
    const spans = {};
    let place = 0;
    const words = document.querySelector("[data-text=reply] .words");
    const walker = document.createTreeWalker(words, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const end = place + Array.from(node.data).length;
        for (let up = node.parentElement; up !== words; up = up.parentElement) {
            if (up.tagName !== "MARK") continue;
            const found = (spans[up.dataset.task] ??= []);
            if (found.length && found.at(-1)[1] === place) found.at(-1)[1] = end;
            else found.push([place, end]);
        }
        place = end;
    }
    return spans;
}"""
SHOWN = """name => Array.from(
    document.querySelectorAll(`[data-text=${name}] article`), (card) => ({
        task: card.dataset.task,
        answer: card.querySelector(".answer strong").textContent,
        values: Array.from(card.querySelectorAll("ul.classes data, strong data"),
                           (data) => Number(data.value)),
        quotes: Array.from(card.querySelectorAll(".quotes q"), (quote) => quote.textContent),
    }))"""


def expected(folder, text, context):
    """task → (label or value, probabilities or value, spans of the raw text), by onnxruntime."""
    import onnxruntime

    tasks = json.loads((folder / "tasks.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tasks[0]["max_tokens"])
    cleaned, post = clean(text), clean(context).text
    tokens = tokenizer.encode(cleaned.text)
    seen = tokenizer.encode(post).ids if post else [0]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    rows = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask,
            "context_ids": seen, "context_mask": [int(bool(post))] * len(seen)}  # fmt: skip
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {name: np.array([row]) for name, row in rows.items()})
    found = {name: value[0].astype(float) for name, value in zip(names, values, strict=True)}
    answers = {}
    for task in tasks:
        if task["has_context"] and not post:
            continue
        logits, spans = found[task["name"]], []
        if task["has_rationale"]:
            chosen = found[f"{task['name']}.rationale"] > 0
            offsets = np.array(tokens.offsets)
            spans = [cleaned.raw_span(*span) for span in spans_of_tokens(chosen, offsets)]
        if task["kind"] == "regression":
            value = task["low"] + logits[0].clip(0, 1) * (task["high"] - task["low"])
            answers[task["name"]] = f"{value:.2f}", [value], spans
        else:
            chances = np.exp(logits) / np.exp(logits).sum()
            answers[task["name"]] = task["classes"][logits.argmax()], chances.tolist(), spans
    return answers


def check(shown, answers):
    """What a section shows is what is expected, the tasks that quote first."""
    assert {card["task"] for card in shown} == set(answers)
    for card in shown:
        answer, values, spans = answers[card["task"]]
        assert card["answer"] == answer
        assert card["values"] == pytest.approx(values, abs=1e-5)
        assert len(card["quotes"]) == len(spans)


@pytest.mark.parametrize("name", PAIRS)
def test_the_answers_are_those_of_onnxruntime_in_python(name, page, exported, ask):
    text, context = PAIRS[name]
    ask(page, text, context)
    answers = expected(exported, text, context)
    shown = page.evaluate(SHOWN, "reply")
    check(shown, answers)
    for card in shown:
        assert card["quotes"] == [text[start:end] for start, end in answers[card["task"]][2]]
    marks = page.evaluate(MARKS)
    for task, (_, _, spans) in answers.items():
        assert [tuple(span) for span in marks.get(task, [])] == spans
    assert page.text_content("[data-text=reply] .words") == text
    if name != "a post of no word":
        check(page.evaluate(SHOWN, "post"), expected(exported, context, ""))


@pytest.mark.parametrize("name", REFUSED)
def test_a_text_that_python_refuses_has_no_answer_but_pythons_reason(name, page, tiny_model, ask):
    text, context = REFUSED[name]
    ask(page, text, context, until=".refusal")
    predictor = Predictor.load(tiny_model)  # its tokenizer is the small student's
    [rejection] = predictor.answer_each([text], [context])
    of, fault = rejection.reason.removeprefix("the ").split(" ", 1)
    told = f"No answer: the {'reply' if of == 'text' else 'post'} {fault}."
    reply = page.locator("[data-text=reply]")
    expect(reply.locator("p")).to_have_text([told])
    assert reply.locator("article").count() == 0
    expect(page.locator("#said")).to_contain_text(told)
    if context:
        [answer] = predictor.answer_each([context], [""])
        is_refused = isinstance(answer, Rejection)
        assert page.locator("[data-text=post] .refusal").count() == is_refused
        assert (page.locator("[data-text=post] article").count() == 0) == is_refused


def test_the_pairs_have_every_kind_of_answer(exported):
    """Pairs that all gave one class and no quote would prove little."""
    found = [expected(exported, *pair) for pair in PAIRS.values()]
    for task in ("warmth", "close_care"):
        assert len({answers[task][0] for answers in found}) > 1
        assert {len(answers[task][2]) > 1 for answers in found} == {False, True}
    assert {10.0, 90.0} & {answers["age"][1][0] for answers in found}  # beyond the scale's end
    overlaps = [set(range(*one)) & set(range(*two)) for answers in found
                for one in answers["warmth"][2] for two in answers["close_care"][2]]  # fmt: skip
    assert any(overlaps)


def test_text_that_looks_like_markup_shows_as_text(page, ask):
    ask(page, *PAIRS["markup"])
    assert page.query_selector("#results img, #results b, #results script") is None
    assert page.title() == "How is this reply worded?"


def test_a_reply_alone_has_answers_to_the_tasks_that_read_no_post(page, exported, ask):
    ask(page, REPLY, "  \n")
    check(page.evaluate(SHOWN, "reply"), expected(exported, REPLY, ""))
    assert page.query_selector("[data-text=post]") is None
    assert "there is no post" in page.inner_text("#results")


def test_a_post_alone_has_answers_about_itself(page, exported, ask):
    ask(page, " ", POST)
    check(page.evaluate(SHOWN, "post"), expected(exported, POST, ""))
    assert page.query_selector("[data-text=reply]") is None


def test_without_texts_there_is_no_answer(page, ask):
    ask(page, REPLY, POST)
    page.get_by_label("Post").fill("")
    page.get_by_label("Reply").fill("&nbsp;\u200b")
    page.wait_for_selector("#status:text('Ready.')")
    assert page.query_selector_all("#results article") == []
    assert "answers appear here" in page.inner_text("#results")


def test_what_was_not_read_is_set_back_and_told(page, exported, ask):
    text, context = PAIRS["too long"]
    ask(page, text, context)
    unread = page.text_content("[data-text=reply] .unread")
    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(24)
    end = tokenizer.encode(clean(text).text).offsets[-2][1]
    assert unread == text[end:]
    assert page.inner_text("#results").count("was not read") == 2
    ask(page, "so sorry", "sad")
    expect(page.locator("[data-text=reply] .words")).to_have_text("so sorry")
    assert page.query_selector(".unread") is None


def test_answers_follow_the_typing_and_never_stand_under_another_text(browser, address, exported):
    """The answer of a slow student to a text that has changed since must be dropped."""
    page = browser.new_page()
    page.add_init_script(
        """const send = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (...given) {
            setTimeout(() => send.apply(this, given), 150);
        };"""
    )
    page.goto(address)
    page.wait_for_selector("#status:text('Ready.')")
    page.evaluate(
        """() => {
            globalThis.seen = [];
            new MutationObserver(() => {
                const words = document.querySelector("[data-text=reply] .words");
                if (!words) return;
                globalThis.seen.push([words.textContent, document.getElementById("text").value]);
            }).observe(document.getElementById("results"), { childList: true });
        }"""
    )
    page.get_by_label("Post").fill(POST)
    reply = page.get_by_label("Reply")
    # Less than the student takes, more than it waits before it is asked; then a rest.
    for piece, rest in ((REPLY[:20], 300), (REPLY[20:30], 300), (REPLY[30:40], 1500)):
        reply.press_sequentially(piece)
        page.wait_for_timeout(rest)
    reply.press_sequentially(REPLY[40:])
    expect(page.locator("[data-text=reply] .words")).to_have_text(REPLY)
    check(page.evaluate(SHOWN, "reply"), expected(exported, REPLY, POST))
    seen = page.evaluate("globalThis.seen")
    assert [shown for shown, _ in seen] == [typed for _, typed in seen]
    assert REPLY[:40] in [shown for shown, _ in seen]
    page.close()


def test_after_a_failed_question_the_next_text_is_answered(browser, address, exported, ask):
    """A page that stays busy would show old answers, or none, under all that is typed later."""
    page = browser.new_page()
    page.add_init_script(
        """const send = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message, ...given) {
            const isBad = message.text === "fail";
            send.call(this, isBad ? { text: null, context: null } : message, ...given);
        };"""
    )
    page.goto(address)
    ask(page, REPLY, POST)
    page.get_by_label("Reply").fill("fail")
    alert = page.locator("[role=alert]")
    expect(alert).to_contain_text("The student could not answer: ")
    assert page.inner_text("#results") == ""
    assert page.inner_text("#status") == ""
    page.wait_for_timeout(1500)  # longer than the page waits to tell a screen reader
    assert page.text_content("#said") == ""
    page.get_by_label("Reply").fill(REPLY)
    expect(page.locator("[data-text=reply] .words")).to_have_text(REPLY)
    expect(alert).to_be_hidden()
    check(page.evaluate(SHOWN, "reply"), expected(exported, REPLY, POST))
    page.close()


def test_neither_page_nor_worker_can_connect_even_to_its_own_server(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#status:text('Ready.')")
    tried = f"fetch('{address}page.js').then(() => 'sent', () => 'refused')"
    assert page.evaluate(tried) == "refused"
    assert page.workers[0].evaluate(tried) == "refused"
    page.close()


def test_the_folder_opens_from_a_disk_under_the_same_policy(
    browser, built, exported, tmp_path, ask
):
    make_page(exported, tmp_path / "page")
    context = browser.new_context(offline=True)
    page, mistakes = context.new_page(), []
    page.on("console", lambda message: mistakes.append(message.text))
    page.goto((tmp_path / "page" / "index.html").as_uri())
    page.wait_for_selector("#status:text('Ready.')")
    assert mistakes == []
    ask(page, REPLY, POST)
    check(page.evaluate(SHOWN, "reply"), expected(exported, REPLY, POST))
    tried = "fetch('page.js').then(() => 'sent', () => 'refused')"
    assert page.evaluate(tried) == page.workers[0].evaluate(tried) == "refused"
    context.close()


def test_a_missing_part_is_told(browser, built, exported, tmp_path):
    make_page(exported, tmp_path / "page")
    (tmp_path / "page" / "parts" / "model-0.js").unlink()
    page = browser.new_page()
    page.goto((tmp_path / "page" / "index.html").as_uri())
    page.wait_for_selector("#failure:visible")
    assert page.inner_text("[role=alert]").endswith("parts/model-0.js is missing")
    page.close()
