#!/bin/sh
# An assistant with a memory: Hermes Agent, whose conversations can be gone back to by ten thousand turns, and whose
# questions may wait until tomorrow. A worker that has run for a day is replaced between two turns.
#
#   python3 -m venv /opt/hermes && /opt/hermes/bin/pip install 'hermes-agent[acp]==0.19.0'
#   MODEL_URL=http://127.0.0.1:8080/v1 MODEL=qwen3 MODEL_KEY=/run/secrets/model deploy/examples/assistant.sh
#
# What is added goes to `turnpike agent add`; with --print it shows the configuration and does nothing.
set -eu
exec turnpike agent add hermes --name assistant \
    --set program="${HERMES:-/opt/hermes}/bin/hermes-acp" \
    --set base_url="$MODEL_URL" --set model="$MODEL" --set api_key="@$MODEL_KEY" \
    --set isolation=limits --set limits.age_seconds=86400 \
    --set limits.turn_seconds=86400 --set limits.approval_seconds=72000 --set limits.snapshot_keep_turns=10000 "$@"
