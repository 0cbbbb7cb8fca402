"""A list-append agent written with the public ACP SDK (PyPI: agent-client-protocol), as a stranger would write one.

Each turn appends its text to a list and replies with the whole list as JSON. The list lives in blob snapshots only:
state in with session/new, a base or a delta out with the result of session/prompt. So the replies of a conversation
show, wherever its worker ran, whether any turn was lost, doubled or performed out of order.
"""

import asyncio
import base64
import json
from typing import Any

from acp import (
    Agent,
    InitializeResponse,
    NewSessionResponse,
    PromptResponse,
    run_agent,
    text_block,
    update_agent_message,
)


def turnpike(meta: Any) -> dict[str, Any]:
    """What Turnpike says in `_meta`, which the SDK passes on as `field_meta` or as keyword arguments."""
    return (meta or {}).get("turnpike") or {}


class ListAgent(Agent):
    def __init__(self) -> None:
        self.items: list[str] = []
        self.client: Any = None

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        return InitializeResponse(protocol_version=1, field_meta={"turnpike": {"version": 1, "blob": True}})

    async def new_session(self, cwd: str, **kwargs: Any) -> NewSessionResponse:
        saved = turnpike(kwargs).get("snapshot")
        if saved:
            self.items = json.loads(base64.b64decode(saved["base"]))
            for delta in saved.get("deltas", []):
                self.items += json.loads(base64.b64decode(delta))
        return NewSessionResponse(session_id="list")

    async def prompt(self, session_id: str, prompt: list[Any], **kwargs: Any) -> PromptResponse:
        text = "".join(block.text for block in prompt if block.type == "text")
        self.items.append(text)
        chunk = update_agent_message(text_block(json.dumps(self.items)))
        await self.client.session_update(session_id=session_id, update=chunk)
        wants = turnpike(kwargs).get("wants")
        if not wants:
            return PromptResponse(stop_reason="end_turn")
        state = [text] if wants == "delta" else self.items
        body = base64.b64encode(json.dumps(state).encode()).decode()
        return PromptResponse(
            stop_reason="end_turn", field_meta={"turnpike": {"snapshot": {"kind": wants, "body": body}}}
        )

    async def cancel(self, session_id: str, **_: Any) -> None:
        """A turn is over before a cancel could reach it."""


if __name__ == "__main__":
    asyncio.run(run_agent(ListAgent()))
