"""Drives the chat page in a headless Chromium: two tabs, each on a replica of its own, one conversation.

    page.py FIRST_URL SECOND_URL [FOLDER]

TURNPIKE_TOKEN is the token to sign in with, BROWSER a Chromium; the agent `echo` is the example agent. With a folder,
screenshots are left there. Ends with 0 when everything was seen.
"""

import os
import re
import sys

from playwright.sync_api import expect, sync_playwright

first_url, second_url = sys.argv[1:3]
folder = sys.argv[3] if len(sys.argv) > 3 else None
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


def narrow(tab):
    tab.set_viewport_size({"width": 380, "height": 700})
    expect(tab.get_by_role("navigation")).to_be_hidden()
    tab.get_by_role("button", name="Conversations").click()
    expect(tab.get_by_role("navigation")).to_be_visible()
    shoot(tab, "narrow")
    tab.get_by_role("button", name="Conversations").click()
    expect(tab.get_by_label("Message")).to_be_visible()


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
        browser = playwright.chromium.launch(executable_path=os.environ["BROWSER"], args=["--no-sandbox"])
        contexts = [browser.new_context(viewport={"width": 1100, "height": 800}) for _ in range(2)]
        one, other = [context.new_page() for context in contexts]
        for tab in (one, other):
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.on("console", lambda message: problems.append(message.text)
                   if re.search("Content.Security.Policy", message.text) else None)
        sign_in(one, first_url)
        sign_in(other, second_url)
        follow_each_other(one, other)
        decide(one, other)
        queue_and_stop(one, other)
        come_back(contexts[1], other)
        narrow(one)
        sign_out(one)
        browser.close()
    assert not problems, problems
    print("the page: all seen")


main()
