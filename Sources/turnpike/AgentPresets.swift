import Domain

// The agents that `make conformance` drives through a replicated gateway, as it configures them. Each speaks ACP over
// standard input and output, keeps its sessions in files, and talks to any model behind an OpenAI-compatible endpoint.
//
// A file that names the model belongs to the gateway: a new endpoint reaches old conversations with their next worker, and
// a permission that somebody granted "always" is not granted for ever.

extension AgentPreset {
    static let all: [AgentPreset] = [
        .hermes, .vibe, .fastAgent, .codePuppy, .deepAgents, .openHands, .gptme,
    ]

    private static func endpoint(model: String = "the model's name there") -> [Setting] {
        [
            Setting(name: "base_url", usual: nil, help: "the model's endpoint, up to /v1"),
            Setting(name: "model", usual: nil, help: model),
            Setting(name: "api_key", usual: "none", help: "its key; @FILE reads it from a file"),
        ]
    }

    /// What a snapshot leaves out of every workspace: it can be made again, and is often large.
    private static let caches = [".cache/", "__pycache__/", "node_modules/", ".venv/"]

    private static func configuration(
        _ command: [String],
        _ change: (inout AgentConfiguration) -> Void
    ) -> AgentConfiguration {
        var configuration = AgentConfiguration(driver: .acp, command: command, storeMode: .snapshot)
        configuration.permissions = .ask
        configuration.limits.startSeconds = 90
        configuration.limits.graceSeconds = 8
        configuration.snapshots.kind = .directory
        configuration.snapshots.exclude = Self.caches
        change(&configuration)
        return configuration
    }

    static let hermes = AgentPreset(
        name: "hermes",
        summary: "Hermes Agent by Nous Research: general assistant with a shell, skills and memory",
        packages: ["hermes-agent[acp]==0.19.0"],
        remarks: ["Asks for permission before commands that it takes for dangerous, not before all."],
        settings: Self.endpoint(),
        template: Self.configuration(["hermes-acp"]) {
            $0.snapshots.exclude.append("home/.hermes/logs/")
            $0.usage = .cumulative
            $0.files["home/.hermes/config.yaml"] = AgentFile(
                """
                model:
                  provider: custom
                  default: {{model}}
                  base_url: {{base_url}}
                  api_key: {{api_key}}
                approvals:
                  mode: manual
                  timeout: 600
                security:
                  tirith_enabled: false

                """,
                owner: .gateway
            )
        }
    )

    static let vibe = AgentPreset(
        name: "vibe",
        summary: "Mistral Vibe: coding agent with a shell and file editing",
        packages: ["mistral-vibe==3.0.2"],
        remarks: ["Edits files in its workspace without asking; asks before commands."],
        settings: Self.endpoint(),
        template: Self.configuration(["vibe-acp"]) {
            $0.snapshots.exclude.append("home/.vibe/logs/vibe.log")
            $0.usage = .cumulative
            $0.environment["MODEL_API_KEY"] = "{{api_key}}"
            $0.files["home/.vibe/config.toml"] = AgentFile(
                """
                active_model = "turnpike"
                enable_telemetry = false
                enable_update_checks = false
                enable_auto_update = false

                [[providers]]
                name = "turnpike"
                api_base = {{base_url}}
                api_key_env_var = "MODEL_API_KEY"

                [[models]]
                name = {{model}}
                provider = "turnpike"
                alias = "turnpike"

                """,
                owner: .gateway
            )
        }
    )

    static let fastAgent = AgentPreset(
        name: "fast-agent",
        summary: "fast-agent: MCP-centred agent with a shell",
        packages: ["fast-agent-mcp==0.10.48"],
        remarks: [
            "Asks for permission before the tools of MCP servers; its own shell runs without asking. Leave the shell out",
            "with --set 'command=[\"fast-agent-acp\",\"--model\",\"generic.NAME\",\"--no-shell\"]'.",
        ],
        settings: Self.endpoint(),
        template: Self.configuration(["fast-agent-acp", "--model", "generic.{{model}}", "--shell"]) {
            $0.environment["GENERIC_BASE_URL"] = "{{base_url}}"
            $0.environment["GENERIC_API_KEY"] = "{{api_key}}"
        }
    )

    static let codePuppy = AgentPreset(
        name: "code-puppy",
        summary: "Code Puppy: coding agent with a shell and file editing",
        packages: ["code-puppy==0.0.946"],
        remarks: [],
        settings: Self.endpoint(),
        template: Self.configuration(["code-puppy", "--acp"]) {
            $0.snapshots.exclude.append("home/.code_puppy/plugin-skills/")
            $0.usage = .perTurn
            $0.files["home/.code_puppy/extra_models.json"] = AgentFile(
                """
                {"turnpike": {"type": "custom_openai", "name": {{model}}, "context_length": 131072,
                 "custom_endpoint": {"url": {{base_url}}, "api_key": {{api_key}}}}}

                """,
                owner: .gateway
            )
            $0.files["home/.code_puppy/puppy.cfg"] = AgentFile(
                """
                [puppy]
                puppy_name = Puppy
                owner_name = you
                model = turnpike
                yolo_mode = false
                auto_save_session = true

                """,
                owner: .gateway
            )
        }
    )

    static let deepAgents = AgentPreset(
        name: "deepagents",
        summary: "Deep Agents by LangChain: a library's agent with a shell, planning and subagents",
        packages: ["deepagents-acp==0.0.13", "langchain-openai==1.7.4", "langgraph-checkpoint-sqlite==3.1.2"],
        remarks: [
            "The package is a library; the preset brings the program. Name the interpreter of its environment with",
            "--set program=/opt/deepagents/bin/python.",
        ],
        settings: Self.endpoint(),
        template: Self.configuration(["python3", "../home/deepagent.py"]) {
            $0.environment = ["MODEL": "{{model}}", "OPENAI_BASE_URL": "{{base_url}}", "OPENAI_API_KEY": "{{api_key}}"]
            $0.files["home/deepagent.py"] = AgentFile(Self.deepAgent, owner: .gateway)
        }
    )

    static let openHands = AgentPreset(
        name: "openhands",
        summary: "OpenHands: software agent with a shell in tmux and file editing",
        packages: ["openhands==1.16.0"],
        remarks: [
            "Its replies come whole, not as a stream. Offers two ways to allow once; the first is the one that is chosen.",
            "Looks for its maker's public skills on the network when it starts, and goes on without.",
        ],
        settings: Self.endpoint(model: "what LiteLLM calls it, such as openai/NAME"),
        template: Self.configuration(["openhands", "acp"]) {
            $0.snapshots.exclude.append("home/.openhands/cache/")
            $0.environment = [
                "OPENHANDS_SUPPRESS_BANNER": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                // Without it the tmux servers of all conversations would be one.
                "TMUX_TMPDIR": "../tmp",
            ]
            $0.files["home/.openhands/agent_settings.json"] = AgentFile(
                """
                {"kind": "Agent", "tools": [], "llm": {"model": {{model}}, "base_url": {{base_url}},
                 "api_key": {{api_key}}, "usage_id": "agent"}}

                """,
                owner: .gateway
            )
        }
    )

    static let gptme = AgentPreset(
        name: "gptme",
        summary: "gptme: assistant with a shell, in the terminal's style",
        packages: ["gptme==0.35.1", "agent-client-protocol==0.12.1"],
        remarks: ["Finds its conversation again by its working directory, without session/load."],
        settings: Self.endpoint(),
        template: Self.configuration(["gptme-acp"]) {
            $0.environment = [
                "MODEL": "local/{{model}}", "OPENAI_BASE_URL": "{{base_url}}", "OPENAI_API_KEY": "{{api_key}}",
            ]
        }
    )

    private static let deepAgent = """
        import asyncio
        import os
        import pathlib

        from acp import run_agent
        from deepagents import create_deep_agent
        from deepagents.backends import LocalShellBackend
        from deepagents_acp.server import AgentServerACP
        from langchain_openai import ChatOpenAI
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


        async def main():
            state = pathlib.Path.home() / ".deepagents"
            state.mkdir(exist_ok=True)
            model = ChatOpenAI(model=os.environ["MODEL"], use_responses_api=False)
            async with AsyncSqliteSaver.from_conn_string(str(state / "sessions.db")) as sessions:

                def build(context):
                    return create_deep_agent(
                        model=model,
                        checkpointer=sessions,
                        backend=LocalShellBackend(root_dir=context.cwd, inherit_env=True),
                        interrupt_on={"execute": {"allowed_decisions": ["approve", "reject"]}},
                    )

                await run_agent(AgentServerACP(agent=build, load_sessions=True))


        asyncio.run(main())

        """
}
