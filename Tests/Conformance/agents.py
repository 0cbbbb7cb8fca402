"""The agents of the matrix: how each is started, and how it is made to do what a cell needs.

Their packages are those that the presets name, with everything below them as constraints/ has it. `command` is a shell command that leaves a file and before which the agent
asks for permission. `streams`: whether it passes the model's words on as they come. `greeting`: what it says of its own
accord whenever it opens a session, as a pattern. It says so in a message of its own, at a moment that may be before the
first prompt, where the gateway drops it, or within it, where nothing tells it from the reply: then it is what the user
reads, and the matrix says so.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Agent:
    preset: str
    program: str
    # The oldest Python that it takes, as a minor version.
    python: int
    command: str = "touch {file}"
    model: str = "scripted"
    streams: bool = True
    greeting: str = ""
    settings: tuple = ()


AGENTS = (
    # Asks only before what it takes for dangerous.
    Agent("hermes", "hermes-acp", 11, "touch {file} && mkdir -p gone && rm -rf gone"),
    Agent("vibe", "vibe-acp", 12),
    # Asks before tools of MCP servers, not before its own shell: it gets such a server.
    Agent("fast-agent", "fast-agent-acp", 13, settings=("mcp_servers={shell_server}",)),
    Agent("code-puppy", "code-puppy", 11),
    Agent("deepagents", "python", 11),
    Agent("openhands", "openhands", 12, model="openai/scripted", streams=False),
    Agent("gptme", "gptme-acp", 11, streams=False,
          greeting=r"ℹ️ (New|Resumed) session\nUsing model: [^\n]*\nUsing workspace: \S*/work"),
)
