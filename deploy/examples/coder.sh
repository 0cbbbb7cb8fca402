#!/bin/sh
# A coding agent: Mistral Vibe in a sandbox, which sees the system, its own program and its workspace, and nothing else of
# the host's files. It edits freely and asks before commands; one started worker waits on each replica.
#
#   python3 -m venv /opt/vibe && /opt/vibe/bin/pip install mistral-vibe==3.0.2
#   MODEL_URL=http://127.0.0.1:8080/v1 MODEL=devstral MODEL_KEY=/run/secrets/model deploy/examples/coder.sh
#
# What is added goes to `turnpike agent add`; with --print it shows the configuration and does nothing.
set -eu
exec turnpike agent add vibe --name coder \
    --set program="${VIBE:-/opt/vibe}/bin/vibe-acp" \
    --set base_url="$MODEL_URL" --set model="$MODEL" --set api_key="@$MODEL_KEY" \
    --set isolation=sandbox --set read_only_paths="[\"${VIBE:-/opt/vibe}\"]" \
    --set warm=1 --set limits.resident_bytes=1073741824 "$@"
