"""What a client of OpenAI's SDK, unmodified, does about a question: `ask MODEL TEXT`, `decide RESPONSE QUESTION yes|no` or
`cancel RESPONSE`. The gateway is in OPENAI_BASE_URL, the token in OPENAI_API_KEY. Prints one JSON object."""

import json
import sys

import openai


def shown(response):
    questions = [item for item in response.output if item.type == "mcp_approval_request"]
    return {
        "response": response.id, "status": response.status, "text": response.output_text,
        "question": questions[-1].id if questions else None, "tool": questions[-1].name if questions else None,
    }


client = openai.OpenAI(max_retries=0, timeout=150)
verb, *words = sys.argv[1:]
try:
    if verb == "ask":
        found = shown(client.responses.create(model=words[0], input=words[1]))
    elif verb == "decide":
        decision = {"type": "mcp_approval_response", "approval_request_id": words[1], "approve": words[2] == "yes"}
        model = client.responses.retrieve(words[0]).model
        found = shown(client.responses.create(model=model, previous_response_id=words[0], input=[decision]))
    else:
        found = shown(client.responses.cancel(words[0]))
except openai.APIStatusError as error:
    found = {"error": error.status_code, "code": error.code}
print(json.dumps(found))
