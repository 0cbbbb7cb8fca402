"""Drives the chat page in a headless Chromium: two tabs, each on a replica of its own, one conversation.

    page.py FIRST_URL SECOND_URL THIRD_URL [FOLDER]

The third leads to the second replica, and to the first once the process VICTIM, the second, is gone. TURNPIKE_TOKEN is
the token to sign in with, BROWSER a Chromium; the agent `echo` is the example agent. With a folder, screenshots are left
there. Ends with 0 when everything was seen.
"""

import os
import re
import signal
import sys

from playwright.sync_api import expect, sync_playwright

first_url, second_url, third_url = sys.argv[1:4]
folder = sys.argv[4] if len(sys.argv) > 4 else None
token = os.environ["TURNPIKE_TOKEN"]
expect.set_options(timeout=20_000)


def shoot(tab, name):
    if folder:
        tab.screenshot(path=f"{folder}/{name}.png")


def sign_in(tab, url):
    tab.goto(url)
    tab.get_by_label("Token").fill("tpk_wrong")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert").first).to_contain_text("unknown, expired or revoked")
    shoot(tab, "door")
    tab.get_by_label("Token").fill(token)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_label("Message")).to_be_visible()


def plain(tab, url):
    """Over plain HTTP from elsewhere the page says why nobody can sign in, and sends no token."""
    sent = []
    tab.on("request", lambda request: sent.append(request.method))
    tab.goto(url.replace("127.0.0.1", "chat.example"))
    expect(tab.get_by_role("alert").first).to_contain_text("plain HTTP")
    tab.get_by_label("Token").fill(token)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert").first).to_contain_text("plain HTTP")
    assert "POST" not in sent, sent
    tab.close()


def say(tab, text):
    tab.get_by_label("Message").fill(text)
    tab.get_by_label("Message").press("Enter")
    expect(tab.get_by_label("Message")).to_have_value("")


def last(tab):
    return tab.locator("article.turn").last


def follow_each_other(one, other):
    """Two tabs on two replicas see the same conversation while it happens."""
    one.get_by_label("Agent").select_option("echo")
    expect(one.locator("#title")).to_contain_text("echo / chat-")
    say(one, "Hello from the first tab")
    expect(last(one).locator(".reply")).to_contain_text("Hello from the first tab")
    name = one.evaluate("location.hash")
    other.evaluate("hash => { location.hash = hash }", name)
    expect(last(other).locator(".said")).to_have_text("Hello from the first tab")
    expect(other.locator("#link")).to_have_text("live")
    say(other, "And from the second")
    for tab in (one, other):
        expect(last(tab).locator(".said")).to_have_text("And from the second")
        expect(last(tab).locator(".reply")).to_contain_text("And from the second")
    say(one, "/tool")
    expect(last(other).locator("details summary").first).to_contain_text("completed")
    shoot(other, "conversation")
    return name


def decide(one, other):
    """A question that is asked in one tab is decided in the other."""
    say(one, "/ask")
    for tab in (one, other):
        expect(tab.locator(".question .options button").first).to_be_visible()
        expect(last(tab).locator(".state")).to_have_text("waiting for a decision")
    shoot(one, "question")
    option = other.locator(".question .options button").first
    chosen = option.inner_text()
    option.click()
    for tab in (one, other):
        expect(tab.locator(".question .options button")).to_have_count(0)
        expect(last(tab).locator(".question")).to_contain_text(chosen)
        expect(last(tab).locator(".state")).to_have_text("")


def queue_and_stop(one, other):
    """What waits says how many are ahead, and Escape stops what runs."""
    say(one, "/slow 60")
    expect(last(one).locator(".state")).to_have_text("working…")
    say(one, "waiting")
    expect(last(one).locator(".state")).to_contain_text("queued, 1 ahead")
    expect(last(other).locator(".state")).to_contain_text("queued, 1 ahead")
    shoot(one, "queue")
    one.keyboard.press("Escape")
    expect(one.locator("article.turn").nth(-2).locator(".state")).to_have_text("cancelled")
    expect(last(other).locator(".reply")).to_contain_text("waiting")


def interrupt(one, other):
    """While a turn runs, a message may end it and what waits, by a button and by keys; else there is no such button."""
    button = one.get_by_role("button", name="Interrupt")
    expect(button).to_be_hidden()
    for way in ("click", "tab", "keys"):
        say(one, "/slow 60")
        expect(last(one).locator(".state")).to_have_text("working…")
        say(one, "nobody hears this")
        expect(last(one).locator(".state")).to_contain_text("queued, 1 ahead")
        expect(button).to_be_visible()
        message = one.get_by_label("Message")
        message.fill(f"instead, by {way}")
        shoot(one, f"interrupt-{way}")
        if way == "click":
            button.click()
        elif way == "tab":
            message.press("Tab")
            expect(one.get_by_role("button", name="Send")).to_be_focused()
            one.keyboard.press("Tab")
            expect(button).to_be_focused()
            one.keyboard.press("Enter")
        else:
            message.press("Control+Enter")
        expect(message).to_have_value("")
        for tab in (one, other):
            turns = tab.locator("article.turn")
            expect(last(tab).locator(".reply")).to_contain_text(f"instead, by {way}")
            for place in (-2, -3):
                expect(turns.nth(place).locator(".state")).to_have_text("interrupted")
        expect(button).to_be_hidden()
    # Without anything to interrupt, the keys send.
    one.get_by_label("Message").fill("nothing runs")
    one.get_by_label("Message").press("Control+Enter")
    expect(last(other).locator(".reply")).to_contain_text("nothing runs")


def come_back(context, tab):
    """A lost connection is taken up where it broke, and a reload shows the same conversation."""
    context.set_offline(True)
    tab.evaluate("room.source.dispatchEvent(new Event('error'))")
    expect(tab.locator("#link")).to_have_text("reconnecting…")
    context.set_offline(False)
    turns = tab.locator("article.turn").count()
    tab.reload()
    expect(tab.locator("article.turn")).to_have_count(turns)
    say(tab, "still here")
    expect(last(tab).locator(".reply")).to_contain_text("still here")


def survive(one, tab):
    """The replica behind a tab dies; the tab goes on by itself with another, and has missed nothing."""
    sign_in(tab, third_url)
    tab.evaluate("hash => { location.hash = hash }", one.evaluate("location.hash"))
    expect(tab.locator("#link")).to_have_text("live")
    os.kill(int(os.environ["VICTIM"]), signal.SIGKILL)
    say(one, "after the loss")
    expect(last(one).locator(".reply")).to_contain_text("after the loss")
    expect(last(tab).locator(".reply")).to_contain_text("after the loss")
    expect(tab.locator("#link")).to_have_text("live")
    texts = [page.locator("article.turn .said").all_inner_texts() for page in (one, tab)]
    assert texts[0] == texts[1], texts


def fits(tab):
    """What is wider than the window scrolls or breaks where it is, and hides nothing else."""
    say(tab, "```\n" + "a line that does not fit " * 20 + "\n```\n" + "x" * 300)
    expect(last(tab).locator(".reply")).to_contain_text("x" * 300)
    # Drawn anew with each word until then.
    expect(last(tab).locator(".state")).to_have_text("")
    width = tab.viewport_size["width"]
    for part in (".said", ".reply", ".reply pre"):
        box = last(tab).locator(part).bounding_box()
        assert 0 <= box["x"] and box["x"] + box["width"] <= width, (part, box, width)


def narrow(tab):
    tab.set_viewport_size({"width": 380, "height": 700})
    expect(tab.get_by_role("navigation")).to_be_hidden()
    tab.get_by_role("button", name="Conversations").click()
    expect(tab.get_by_role("navigation")).to_be_visible()
    shoot(tab, "narrow")
    # Escape closes what is open before it stops anything.
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("navigation")).to_be_hidden()
    expect(tab.get_by_label("Message")).to_be_visible()
    fits(tab)
    shoot(tab, "narrow-conversation")
    say(tab, "/slow 60")
    tab.get_by_label("Message").fill("instead, in a narrow window")
    # All that can be done is within reach, and what is typed can be read.
    assert tab.get_by_label("Message").bounding_box()["width"] > 300
    for name in ("Send", "Interrupt", "Stop"):
        button = tab.get_by_role("button", name=name)
        expect(button).to_be_visible()
        box = button.bounding_box()
        assert 0 <= box["x"] and box["x"] + box["width"] <= 380 and box["y"] + box["height"] <= 700, (name, box)
    shoot(tab, "narrow-interrupt")
    tab.get_by_role("button", name="Interrupt").click()
    expect(last(tab).locator(".reply")).to_contain_text("instead, in a narrow window")


def sign_out(tab):
    cookies = [cookie for cookie in tab.context.cookies() if cookie["name"] == "__Host-turnpike"]
    assert cookies and all(cookie["httpOnly"] and cookie["secure"] for cookie in cookies), cookies
    assert tab.evaluate("document.cookie") == ""
    tab.set_viewport_size({"width": 1100, "height": 800})
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_label("Token")).to_be_visible()
    assert tab.evaluate("fetch('/v1/session').then(answer => answer.status)") == 401


def main():
    problems = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["BROWSER"],
            args=["--no-sandbox", "--host-resolver-rules=MAP chat.example 127.0.0.1"],
        )
        plain(browser.new_page(), first_url)
        contexts = [browser.new_context(viewport={"width": 1100, "height": 800}) for _ in range(3)]
        one, other, third = [context.new_page() for context in contexts]
        for tab in (one, other, third):
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.on("console", lambda message: problems.append(message.text)
                   if re.search("Content.Security.Policy", message.text) else None)
        sign_in(one, first_url)
        sign_in(other, second_url)
        follow_each_other(one, other)
        decide(one, other)
        queue_and_stop(one, other)
        interrupt(one, other)
        come_back(contexts[1], other)
        survive(one, third)
        fits(one)
        narrow(one)
        sign_out(one)
        browser.close()
    assert not problems, problems
    print("the page: all seen")


main()
