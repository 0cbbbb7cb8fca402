"""What `contract.py` keeps its runner from doing: ending the run itself."""

import os

import schemathesis

NOBODY = "00000000-0000-7000-8000-000000000000"


@schemathesis.hook
def before_call(context, case, kwargs):
    """A replica that drains takes no turns, a token that is revoked opens nothing, and an organization without turns to spend
    is refused everything; each has tests of its own."""
    parameters = case.path_parameters or {}
    if case.operation.path.endswith("/quotas") and isinstance(case.body, dict):
        # A cap that nothing else in the run would fit under.
        for cap, turns in case.body.items():
            if type(turns) is int and 0 <= turns < 1_000_000:
                case.body[cap] = turns + 1_000_000
    if case.operation.path == "/v1/replicas/{replica}/drain":
        parameters["replica"] = NOBODY
    query = case.query or {}
    if case.operation.path == "/v1/turns/{turn}" and str(query.get("wait", "")).isdigit() and int(query["wait"]) > 2:
        # A turn that nobody takes has no outcome however long one waits.
        query["wait"] = 2
    if parameters.get("token") == os.environ["TURNPIKE_OWN_TOKEN"]:
        parameters["token"] = NOBODY
