"""/openapi.json is valid OpenAPI 3.1 and describes the routes that there are."""

import re

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub.api.app import ROUTES
from hub.api.openapi import describe
from hub.api.operations import OPERATIONS, QUERY, SCHEMAS
from tests.api.stage import FILE


async def test_the_hub_answers_a_valid_document(stage):
    document = (await stage.call("GET", "/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_described_and_no_other():
    assert set(OPERATIONS) == {f"{method} {path}" for path, methods in ROUTES.items() for method in methods}


def test_what_is_named_is_used_and_there():
    assert {name for op in OPERATIONS.values() for name in op.query} == set(QUERY)
    named = {op.answers for op in OPERATIONS.values() if op.answers}
    assert named <= set(SCHEMAS)
    used = set(re.findall(r"#/components/schemas/(\w+)", repr(describe())))
    assert used == set(describe()["components"]["schemas"])


def test_operations_have_names_of_their_own():
    names = [op["operationId"] for path in describe()["paths"].values() for op in path.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)


async def test_answers_are_as_described(stage):
    stage.join("a")
    group = {"tasks": [{"id": "x", "name": "main", "file": FILE}]}
    sent = [
        ("POST", "/tasks", "/tasks", {"id": "t", "name": "main", "inputs": [1], "file": FILE}),
        ("POST", "/tasks", "/tasks", {"name": ""}),
        ("POST", "/tasks/{id}/start", "/tasks/t/start", None),
        ("POST", "/workflows", "/workflows", {"workflow_id": "w", **group}),
        ("POST", "/jobs", "/jobs", {"job_id": "j", "tasks": [{"id": "y", "name": "main", "file": FILE}]}),
        ("POST", "/workflows/{id}/start", "/workflows/w/start", None),
        ("POST", "/jobs/{id}/start", "/jobs/j/start", None),
    ]
    for method, template, path, body in sent:
        check(method, template, await stage.call(method, path, body))
        if path == "/tasks/t/start":
            await stage.ended("t")
    sha = (await stage.call("GET", "/modules")).json()["modules"][0]["sha256"]
    ids = {"tasks": "t", "workflows": "w", "jobs": "j", "proplets": "a", "modules": sha}
    looked = 0
    for route, op in OPERATIONS.items():
        method, template = route.split(" ")
        if method != "GET" or "application/json" not in op.kinds or template.startswith("/mip"):
            continue
        path = template.replace("{id}", ids.get(template.split("/")[1], ""))
        query = {"schedule": "0 0 * * *"} if path == "/cron/preview" else None
        answer = await stage.http.get(path, params=query)
        assert answer.status_code == 200, path
        check(method, template, answer)
        looked += 1
    assert looked > 20
    check("GET", "/tasks/{id}", await stage.call("GET", "/tasks/nobody"))


def check(method, template, answer):
    """Whether a JSON answer is what the document says of this route and status."""
    document = describe()
    responses = document["paths"][template][method.lower()]["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    errors = list(OAS31Validator({**schema, "components": document["components"]}).iter_errors(answer.json()))
    assert not errors, (template, errors[0].message)
