"""Every example of the documentation does what it says (pages.py tells how)."""

import shutil

import pytest

from tests.docs.pages import PAGES, ROOT, Page


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_examples_of_a_page_do_what_it_says(page, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("the examples need curl")
    tried = Page(page, tmp_path)
    try:
        tried.play()
    finally:
        tried.close()
