"""Tests of how the page reads: by eye in any width, with a keyboard, with a screen reader."""

import pytest
from playwright.sync_api import expect

REPLY = "I am so sorry, that must be very hard. What did they say to you?"
POST = "i lost my job today and i feel like a failure"


def test_a_screen_reader_is_told_the_answers_once_the_typing_rests(page, ask):
    ask(page, REPLY, POST)
    told = page.locator("#said[role=status][aria-live=polite]")
    assert told.text_content() == ""
    expect(told).to_contain_text("The reply. warmth: ")
    cards = page.locator("[data-text=reply] article")
    assert cards.count() == 4
    for card in cards.all():
        task, answer = card.locator("h3").inner_text(), card.locator("strong").inner_text()
        assert f"{task}: {answer}" in told.text_content()
        for quote in card.locator("q").all():
            assert f"“{quote.text_content()}”" in told.text_content()
    assert "“I am so sorry”" in told.text_content()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page):
    page.get_by_label("Post").focus()
    reached = []
    for _ in range(6):
        reached.append(page.evaluate("document.activeElement.textContent.trim()"
                                     " || document.activeElement.id"))  # fmt: skip
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(outline.removesuffix("px")) >= 2
        page.keyboard.press("Tab")
    assert reached == ["context", "text", "A warm reply", "A curt reply", "A question back",
                       "Clear"]  # fmt: skip
    page.get_by_role("button", name="A curt reply").press("Enter")
    page.wait_for_selector("#status:text('Answered')")
    assert "get over it" in page.input_value("#text")


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_the_page_fits_its_window(width, page, ask):
    page.set_viewport_size({"width": width, "height": 900})
    ask(page, "so sorry " + "x" * 300, "y" * 300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for card in page.query_selector_all("article"):
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_the_bar_of_a_number_stands_out_as_that_of_the_class_answered(page, ask):
    ask(page, REPLY, POST)
    colour = "part => getComputedStyle(document.querySelector(part)).backgroundColor"
    number = page.evaluate(colour, "[data-task=age] .bar span")
    assert number == page.evaluate(colour, ".best .bar span")
    assert number != page.evaluate(colour, "li:not(.best) .bar span")


def test_the_limits_stand_before_the_fields(page):
    text = page.inner_text("main")
    assert text.index("Not for diagnosing anybody") < text.index("Post")
