"""The official OpenAI SDK, unmodified, against replicas behind a balancer.

Arguments: the balancer's URL, then each replica's; the token is in TURNPIKE_TOKEN. Agents: `list` appends each message
to a list that it shows at the end of its reply, after as many chunks as the message asks for; `echo` repeats its input;
`careful` asks before it does anything; `broken` fails. Every check prints its name; the first that fails ends the run.
"""

import os
import sys
import time

import openai
from openai import OpenAI

balancer, *replicas = sys.argv[1:]
token = os.environ["TURNPIKE_TOKEN"]


def client_of(url, **more):
    return OpenAI(base_url=url + "/v1", api_key=token, **more)


client = client_of(balancer)
direct = [client_of(url) for url in replicas]
checks = []


def check(body):
    checks.append(body)
    return body


def fails(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("no %s" % kind.__name__)


def text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def numbers(events):
    return [event.sequence_number for event in events]


def deltas(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


@check
def models():
    names = {model.id for model in client.models.list()}
    assert {"list", "echo", "careful", "broken"} <= names, names
    assert client.models.retrieve("list").object == "model"
    assert fails(openai.NotFoundError, lambda: client.models.retrieve("nobody")).code == "model_not_found"


@check
def chat():
    talk = []
    for number, word in enumerate(["a", "b", "c"], 1):
        talk.append({"role": "user", "content": word})
        # Each request goes to another replica, and the history along with it; only the last message is new.
        answer = client.chat.completions.with_raw_response.create(
            model="list", messages=talk, extra_headers={"X-Conversation-Id": "sdk-chat"}
        )
        assert answer.headers["x-conversation-id"] == "sdk-chat"
        reply = answer.parse().choices[0].message.content
        assert reply.count('"') == 2 * number and reply.endswith('"%s"]' % word), reply
        talk.append({"role": "assistant", "content": reply})


@check
def chat_stream():
    messages = [{"role": "user", "content": "word 3 0.01"}]
    with client.chat.completions.create(model="list", messages=messages, stream=True) as stream:
        chunks = list(stream)
    assert text(chunks) == '1 2 3 ["word"]', text(chunks)
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "stop"
    asked = client.chat.completions.create(
        model="echo", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    assert list(asked)[-1].choices == []


@check
def errors():
    hello = [{"role": "user", "content": "x"}]
    stranger = OpenAI(base_url=balancer + "/v1", api_key="tpk_wrong")
    fails(openai.AuthenticationError, lambda: stranger.models.list())
    fails(openai.NotFoundError, lambda: client.chat.completions.create(model="nobody", messages=hello))
    wrong = fails(openai.BadRequestError, lambda: client.chat.completions.create(model="echo", messages=[]))
    assert wrong.param == "messages" and wrong.type == "invalid_request_error"
    fails(openai.BadRequestError, lambda: client.responses.create(model="echo", input=[]))
    fails(openai.NotFoundError, lambda: client.responses.retrieve("resp_" + 32 * "0"))
    lost = fails(
        openai.BadRequestError,
        lambda: client.responses.create(model="echo", input="x", previous_response_id="resp_" + 32 * "0"),
    )
    assert lost.code == "previous_response_not_found"
    # The turn was accepted, so the SDK must not send it again.
    name = {"X-Conversation-Id": "sdk-broken"}
    failed = fails(
        openai.InternalServerError,
        lambda: client.chat.completions.create(model="broken", messages=hello, extra_headers=name),
    )
    assert failed.code == "worker_exited" and failed.response.headers["x-should-retry"] == "false"
    streamed = client.chat.completions.create(model="broken", messages=hello, extra_headers=name, stream=True)
    assert fails(openai.APIError, lambda: list(streamed)).code == "worker_exited"
    broken = client.responses.create(model="broken", input="x")
    assert broken.status == "failed" and broken.error.code == "worker_exited"


@check
def retries():
    # The client gives up twice while the one turn goes on; its third try, on whichever replica, gets the reply.
    impatient = client_of(balancer, timeout=1.2, max_retries=4)
    hello = [{"role": "user", "content": "once 25 0.1"}]
    name = {"X-Conversation-Id": "sdk-retry"}
    answer = impatient.chat.completions.create(model="list", messages=hello, extra_headers=name)
    assert answer.choices[0].message.content.endswith('["once"]'), answer
    answer = impatient.responses.create(model="list", input="twice 25 0.1", extra_headers=name)
    assert answer.output_text.endswith('["once", "twice"]'), answer.output_text


@check
def responses():
    first = client.responses.create(model="list", input="a", metadata={"k": "v"})
    assert first.status == "completed" and first.output_text == '["a"]' and first.metadata == {"k": "v"}
    second = client.responses.create(model="list", input="b", previous_response_id=first.id)
    assert second.output_text == '["a", "b"]' and second.previous_response_id == first.id
    # Another branch from the first: a conversation of its own, that is told what was said.
    root = client.responses.create(model="echo", input="root")
    for word in ("leaf", "twig"):
        last = client.responses.create(model="echo", input=word, previous_response_id=root.id)
    assert "root" in last.output_text and "leaf" not in last.output_text and last.output_text.endswith("twig")
    assert client.responses.retrieve(second.id) == second
    [item] = client.responses.input_items.list(second.id)
    assert item.role == "user" and item.content[0].text == "b"
    client.responses.delete(first.id)
    fails(openai.NotFoundError, lambda: client.responses.retrieve(first.id))
    alone = client.responses.create(model="echo", input="x", store=False)
    assert alone.output_text == "x"
    fails(openai.NotFoundError, lambda: client.responses.retrieve(alone.id))


@check
def response_stream():
    with client.responses.create(model="list", input="s 3 0.02", stream=True) as stream:
        events = list(stream)
    assert numbers(events) == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ], types
    assert types[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ], types
    assert deltas(events) == events[-1].response.output_text == '1 2 3 ["s"]'
    again = list(client.responses.retrieve(events[0].response.id, stream=True))
    assert again == events, "the same events, whenever and wherever they are read"


@check
def resume():
    # Read a few events on one replica, leave, and go on from there on each other one.
    stream = direct[0].responses.create(model="list", input="r 20 0.05", stream=True, background=True)
    seen = []
    for event in stream:
        seen.append(event)
        if len(seen) == 8:
            break
    stream.close()
    response = seen[0].response.id
    for other in direct[1:]:
        rest = list(other.responses.retrieve(response, stream=True, starting_after=seen[-1].sequence_number))
        events = seen + rest
        assert numbers(events) == list(range(len(events)))
        assert events[-1].type == "response.completed"
        assert deltas(events) == events[-1].response.output_text


@check
def background():
    started = client.responses.create(model="list", input="b 5 0.05", background=True)
    assert started.status in ("queued", "in_progress")
    end = time.monotonic() + 20
    while (now := client.responses.retrieve(started.id)).status in ("queued", "in_progress"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert now.status == "completed" and now.output_text.endswith('["b"]')


@check
def cancel():
    started = client.responses.create(model="list", input="c 500 0.05", background=True)
    end = time.monotonic() + 20
    while "1 " not in client.responses.retrieve(started.id).output_text:
        assert time.monotonic() < end
        time.sleep(0.05)
    cancelled = client.responses.cancel(started.id)
    assert cancelled.status == "cancelled" and cancelled.output_text.startswith("1 ")
    assert client.responses.cancel(started.id).status == "cancelled"


@check
def approval():
    asked = client.responses.create(model="careful", input="go")
    question = asked.output[-1]
    assert asked.status == "completed" and question.type == "mcp_approval_request", asked.output
    assert question.name == "touch x" and question.server_label == "worker"
    decision = {"type": "mcp_approval_response", "approval_request_id": question.id, "approve": True}
    with client.responses.create(
        model="careful", previous_response_id=asked.id, input=[decision], stream=True
    ) as stream:
        events = list(stream)
    assert numbers(events) == list(range(len(events)))
    answered = events[-1].response
    assert answered.status == "completed" and answered.output_text == "0:once", answered
    assert answered.previous_response_id == asked.id and answered.id != asked.id
    assert client.responses.retrieve(asked.id) == asked
    assert client.responses.retrieve(answered.id) == answered
    # The same decision again is the same answer; another one comes too late.
    again = client.responses.create(model="careful", previous_response_id=asked.id, input=[decision])
    assert again == answered
    other = dict(decision, approve=False)
    late = fails(
        openai.ConflictError,
        lambda: client.responses.create(model="careful", previous_response_id=asked.id, input=[other]),
    )
    assert late.code == "already_decided"


@check
def conversations():
    made = client.conversations.create(
        metadata={"topic": "x"}, items=[{"type": "message", "role": "user", "content": "earlier words"}]
    )
    assert client.conversations.retrieve(made.id) == made and made.metadata == {"topic": "x"}
    answer = client.responses.create(model="echo", input="one", conversation=made.id)
    assert answer.conversation.id == made.id
    assert "earlier words" in answer.output_text and answer.output_text.endswith("one")
    assert client.responses.create(model="echo", input="two", conversation=made.id).output_text == "two"
    client.conversations.items.create(made.id, items=[{"type": "message", "role": "user", "content": "by hand"}])
    assert "by hand" in client.responses.create(model="echo", input="three", conversation=made.id).output_text
    items = list(client.conversations.items.list(made.id, order="asc", limit=2))
    assert [item.role for item in items] == [
        "user", "user", "assistant", "user", "assistant", "user", "user", "assistant",
    ], items
    assert items[-1].content[0].text.endswith("three") and items[5].content[0].text == "by hand"
    assert list(client.conversations.items.list(made.id, limit=3)) == items[::-1]
    for item in items:
        assert client.conversations.items.retrieve(item.id, conversation_id=made.id) == item
    assert client.conversations.update(made.id, metadata={"topic": "y"}).metadata == {"topic": "y"}
    assert client.conversations.delete(made.id).deleted
    fails(openai.NotFoundError, lambda: client.conversations.retrieve(made.id))
    fails(
        openai.APIStatusError,
        lambda: client.responses.create(model="echo", input="x", conversation=made.id),
    )


for body in checks:
    began = time.monotonic()
    body()
    print("%-16s %5.2f s" % (body.__name__, time.monotonic() - began), flush=True)
