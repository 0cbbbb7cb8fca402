"""A program that asks its model with OpenAI's SDK as it is, told where by its environment alone: one process a turn, and
what the SDK makes of the answers on standard output, a JSON object a line."""

import json
import sys

import openai

client = openai.OpenAI()
verb = sys.stdin.read().strip()


def say(**members):
    print(json.dumps(members), flush=True)


if verb == "whole":
    answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    say(text=answer.choices[0].message.content, tokens=answer.usage.total_tokens)
elif verb == "streamed":
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    say(pieces=[chunk.choices[0].delta.content for chunk in stream if chunk.choices])
elif verb == "refused":
    try:
        client.chat.completions.create(model="another", messages=[{"role": "user", "content": "hi"}])
    except openai.PermissionDeniedError as error:
        say(code=error.code)
elif verb == "spent":
    for _ in range(10):
        try:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        except openai.RateLimitError as error:
            say(code=error.code)
            break
