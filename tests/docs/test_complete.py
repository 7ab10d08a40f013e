"""The documentation says all there is: routes, fields, options, tables; and its links lead somewhere."""

import re
from dataclasses import fields

import msgspec
import pytest

from hub.api import bodies
from hub.api.app import ROUTES
from motet import config
from tests.docs.pages import PAGES, ROOT
from tests.docs.tables import DOCS, TABLES, with_table

_LINK = re.compile(r"\]\(([^)\s]+)\)")
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(text):
    """The names that GitHub gives to headings."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page):
    for link in _LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if not link.startswith(("http://", "https://")):
            target = (page.parent / path) if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text()), link


def test_every_page_is_linked_from_another():
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _LINK.findall(page.read_text())
    }
    assert {page for page in PAGES if page.parent == DOCS} <= linked


def test_every_route_is_in_the_table_of_the_api():
    said = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?\s]*)`", (DOCS / "rest.md").read_text()))
    assert said == {(method, path) for path, methods in ROUTES.items() for method in methods}


def test_every_field_of_a_body_is_explained():
    text = "\n".join(page.read_text() for page in PAGES)
    for kind in (bodies.TaskIn, bodies.WorkflowIn, bodies.JobIn, bodies.StopIn, bodies.RetryIn, bodies.DuplicateIn,
                 bodies.PlacementIn, bodies.ResourcesIn, bodies.CacheIn):  # fmt: skip
        for field in msgspec.structs.fields(kind):
            assert re.search(rf"`[^`\n]*\b{field.encode_name}\b[^`\n]*`", text), f"{kind.__name__}.{field.name}"


@pytest.mark.parametrize(("page", "kind"), [("hub.md", config.HubConfig), ("edge.md", config.EdgeConfig)])
def test_every_option_is_explained(page, kind):
    text = (DOCS / page).read_text()
    for field in fields(kind):
        option = field.metadata["option"]
        assert f"`{config.flag(field.name)}`" in text
        assert option.flag_only or f"`{config.variable(field.name)}`" in text


@pytest.mark.parametrize("marker", TABLES)
def test_tables_are_those_of_the_code(marker):
    page, table = TABLES[marker]
    text = (DOCS / page).read_text()
    assert with_table(text, marker, table()) == text, "run python -m tests.docs.tables"
