"""Reports without a kernel: notebooks by name, parameters and their types, digests, and the page."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from handmade import Tags
from nbformat import v4

from edgeprof import offline, page, parameters, report
from edgeprof.errors import ReportError, StorageError, UsageError
from edgeprof.server import place

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PARAMETERS = """\
data: str = ""  # the data set
n: int = 3
share: float = 0.5
quick: bool = False
names: list[str] = ["a"]
counts: list[int] = []
plain = 7
text = "x"
table: dict = {}
output_dir: str = ""
"""


def notebook(path: Path, *cells: Any, parameters: str | None = PARAMETERS) -> Path:
    """Write a notebook; a cell is its source, or a cell."""
    made = [v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters is not None else []
    made += [v4.new_code_cell(c) if isinstance(c, str) else c for c in cells]
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(v4.new_notebook(cells=made, metadata=metadata), path)
    return path


@pytest.fixture
def some(tmp_path):
    return notebook(tmp_path / "some.ipynb")


# ---- names ----


def test_notebooks_are_found_by_name_and_by_path(some):
    known = report.list_notebooks()
    assert set(known) >= {"00_quickstart", "02_inspect_run", "03_compare_quantizations"}
    assert report.find_notebook("quickstart") == known["00_quickstart"]
    assert report.find_notebook("03_compare_quantizations") == known["03_compare_quantizations"]
    assert report.find_notebook(str(some)) == some


def test_a_notebook_reads_a_data_set_or_evidence():
    known = report.list_notebooks()
    assert report.find_notebook("quality_report") == known["quality_report"]
    assert parameters.source_of(parameters.parameters_of(known["quality_report"])) == "reports"
    assert parameters.source_of(parameters.parameters_of(known["02_inspect_run"])) == "data"
    assert parameters.source_of(["n"]) == "data", "then the usual error names what there is"
    assert parameters.short_name("06_regression_gate") == "regression_gate"


def test_a_notebook_that_reads_evidence_is_not_begun_with_a_data_set(tmp_path):
    for name, begins in (("quality_report", False), ("02_inspect_run", True)):
        place.write_prepared(report.list_notebooks()[name], tmp_path / "data-of-mine", tmp_path / "copy.ipynb")
        text = (tmp_path / "copy.ipynb").read_text(encoding="utf-8")
        assert ("data-of-mine" in text) == begins
        assert "image/png" not in text


def test_an_unknown_notebook_names_the_closest():
    with pytest.raises(UsageError, match=r"no notebook 'quickstrat'. Did you mean '00_quickstart'\?"):
        report.find_notebook("quickstrat")
    with pytest.raises(UsageError, match="no notebook none.ipynb"):
        report.find_notebook("none.ipynb")


# ---- parameters ----


def test_parameters_as_their_cell_declares_them(some):
    found = parameters.parameters_of(some)
    assert {name: p.type for name, p in found.items()} == {
        "data": "str", "n": "int", "share": "float", "quick": "bool", "names": "list[str]", "counts": "list[int]",
        "plain": "int", "text": "str", "table": "dict", "output_dir": "str",
    }  # fmt: skip
    assert (found["data"].help, found["n"].default) == ("the data set", "3")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n", "12", 12), ("n", " 12 ", 12), ("n", "-1", -1), ("n", 12, 12), ("n", "2.0", 2),
        ("share", "0.25", 0.25), ("share", "1", 1.0), ("share", "1e-3", 0.001), ("share", 2, 2.0),
        ("quick", "true", True), ("quick", "False", False), ("quick", True, True),
        ("names", "a, b,,c", ["a", "b", "c"]), ("names", "", []), ("names", ["x"], ["x"]),
        ("counts", "1,2", [1, 2]), ("counts", (3,), [3]),
        ("data", "007", "007"), ("data", "1.5", "1.5"), ("data", "[1]", "[1]"), ("data", Path("x"), "x"),
        ("plain", "8", 8), ("text", "8", "8"), ("table", "{'a': 1}", {"a": 1}), ("table", "words", "words"),
    ],
)  # fmt: skip
def test_values_get_the_declared_type(some, name, given, value):
    (found,) = parameters.checked(some, {name: given}).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("n", "many"), ("n", "1.5"), ("n", "True"), ("n", ""), ("n", "[1]"), ("n", "1e999"), ("n", True), ("n", None),
        ("share", "half"), ("share", "nan"), ("share", True), ("quick", "1"), ("quick", "yes"), ("quick", 1),
        ("counts", "1,x"), ("counts", "1.5"), ("counts", 5), ("names", 5), ("plain", "x"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_an_error(some, name, given):
    with pytest.raises(UsageError, match=rf"Parameter '{name}' is of type .* is not\.") as error:
        parameters.checked(some, {name: given})
    assert error.value.exit_code == 3


def test_an_unknown_parameter_names_the_closest(some):
    with pytest.raises(UsageError, match=r"no parameter of some 'dat'. Did you mean 'data'\?") as error:
        parameters.checked(some, {"dat": "x"})
    assert error.value.exit_code == 3


def test_a_notebook_without_a_parameters_cell_is_an_error(tmp_path):
    path = notebook(tmp_path / "bare.ipynb", "1", parameters=None)
    with pytest.raises(ReportError, match="has no parameters cell. Tag the cell") as error:
        report.make_report(path, tmp_path / "out", {})
    assert error.value.exit_code == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content", ["", "no JSON", "[]", "{}", '{"cells": 3}', '{"cells": [{"metadata": {"tags": null}}]}']
)
def test_what_is_no_notebook_is_said_so(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match="x.ipynb is not a notebook that can be read"):
        parameters.parameters_of(tmp_path / "x.ipynb")


def test_a_notebook_without_a_kernel_is_said_so(tmp_path):
    nb = v4.new_notebook(cells=[v4.new_code_cell("a: int = 1", metadata={"tags": ["parameters"]})])
    nbformat.write(nb, tmp_path / "x.ipynb")
    with pytest.raises(ReportError, match="does not say its kernel"):
        parameters.parameters_of(tmp_path / "x.ipynb")


def test_the_output_folder_is_chosen_with_out(some, tmp_path):
    with pytest.raises(UsageError, match="choose it with --out"):
        report.make_report(some, tmp_path / "out", {"output_dir": "x"})


def test_a_missing_data_set_is_said_before_anything_runs(some, tmp_path):
    with pytest.raises(StorageError, match="no data set at none"):
        report.make_report(some, tmp_path / "out", {"data": "none"})


# ---- what is recorded ----


def test_results_are_recorded_one_beside_the_other(tmp_path):
    report.record("", "nothing", {"a": 1})
    report.record(
        str(tmp_path), "frame", pd.DataFrame({"x": [1, 2], "y": [0.5, None], "z": pd.array([None, 2**60], "Int64")})
    )
    report.record(str(tmp_path), "facts", {"board": ("a", "b")})
    (made,) = tmp_path.iterdir()
    assert json.loads(made.read_text(encoding="utf-8")) == {
        "frame": [{"x": 1, "y": 0.5, "z": None}, {"x": 2, "y": None, "z": 2**60}],
        "facts": {"board": ["a", "b"]},
    }


def test_the_digest_changes_with_every_byte_and_name(tmp_path):
    def write(capture: str, **files: str) -> str:
        folder = tmp_path / f"capture={capture}" / "segment=0000"
        folder.mkdir(parents=True, exist_ok=True)
        entries = [{"path": path, "sha256": digest} for path, digest in files.items()]
        (folder / "manifest.json").write_text(json.dumps({"capture_id": capture, "files": entries}), encoding="utf-8")
        return report.inputs_digest(tmp_path)

    assert report.inputs_digest(tmp_path) == report.inputs_digest(str(tmp_path / "none"))
    digests = [
        write("a", f="00"),
        write("a", f="01"),
        write("a", g="01"),
        write("a", f="01", g="02"),
        write("b", f="00"),
    ]
    assert len(set(digests)) == len(digests)
    assert write("b", f="00") == digests[-1]


# ---- the page ----


def executed(tmp_path: Path, *outputs: Any, markdown: str = "# Title & <b>more</b>\n\ntext") -> str:
    cell = v4.new_code_cell("SOURCE = 1", outputs=list(outputs))
    made = notebook(tmp_path / "executed.ipynb", v4.new_markdown_cell(markdown), cell)
    return page.to_html(made)


def shows(data: dict[str, str]) -> Any:
    return v4.new_output("display_data", data=data)


BAD = [
    v4.new_output("stream", name="stderr", text="a warning"),
    shows({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider()"}),
    shows({"application/javascript": "alert(1)", "text/plain": "words instead"}),
    shows({"text/html": '<script src="https://example.org/x.js">alert(2)</script><p onclick="x()">kept</p>'}),
    shows(
        {"text/html": '<link rel="stylesheet" href="http://example.org"><style>@import "http://example.org"</style>'}
    ),
    shows({"text/html": '<iframe src="http://example.org">inside</iframe><object data="http://example.org"></object>'}),
    shows({"text/html": '<img srcset="http://example.org/a.png" src="//example.org/b.png" alt="there was a picture">'}),
    shows(
        {"text/html": '<div style="background: url(http://example.org)"><a HREF="javascript:alert(3)">link</a></div>'}
    ),
    shows(
        {
            "text/html": '<form action="http://example.org"><input onfocus=alert(4) autofocus></form><base href="http://example.org">'
        }
    ),
    shows({"text/html": '<svg><use xlink:href="http://example.org#a"/><script>alert(5)</script></svg>'}),
    shows({"text/html": '<meta http-equiv="refresh" content="0; url=http://example.org"><!-- http://example.org -->'}),
    shows({"text/markdown": "![a](http://example.org/c.png) [b](https://example.org)"}),
]


@pytest.mark.slow
def test_the_page_opens_offline(tmp_path):
    made = executed(tmp_path, *BAD, markdown="# T\n<script>alert(6)</script>\n![x](http://example.org/d.png) $x^2$")
    tags = Tags(made)
    assert {"script", "link", "iframe", "object", "form", "input", "base", "embed", "button"}.isdisjoint(tags.tags)
    assert not [a for a in tags.attributes if a.startswith("on") or a in ("href", "srcset", "xlink:href", "action")]
    assert tags.tags.count("style") == 1  # the page's own
    assert "example.org" not in made
    assert "alert(1)" not in made and "alert(3)" not in made
    assert "a warning" not in made and "model_id" not in made
    assert "kept" in made and "words instead" in made and "there was a picture" in made
    assert "http" not in made.replace("http-equiv", "")
    assert "default-src 'none'" in made  # and if something came through, a browser would not load it


def test_plain_text_may_name_an_address(tmp_path):
    made = executed(
        tmp_path, v4.new_output("stream", name="stdout", text="see https://example.org <q>\x1b[31mred\x1b[0m")
    )
    tags = Tags(made)
    assert "see https://example.org <q>" in "".join(tags.texts)
    assert "q" not in tags.tags
    assert "\x1b" not in made


def test_the_page_has_title_text_pictures_and_no_code(tmp_path):
    made = executed(tmp_path, shows({"image/png": PNG, "text/plain": "<Figure>"}))
    tags = Tags(made)
    assert made.startswith("<!DOCTYPE html>")
    assert made.rstrip().endswith("</html>")
    assert "<title>Title &amp; &lt;b&gt;more&lt;/b&gt;</title>" in made
    assert "SOURCE" not in made and "quick: bool" not in made
    assert f'src="data:image/png;base64,{PNG}"' in made.replace("\n", "")
    assert tags.tags.count("img") == made.count(offline.ALT) == 1


def test_a_picture_s_own_text_is_kept():
    assert (
        offline.offline('<img src="data:image/png;base64,A" alt="mine">')
        == '<img src="data:image/png;base64,A" alt="mine">'
    )
    for without in (
        '<img src="data:image/png;base64,A">',
        '<img alt="No description has been provided" src="data:image/png;base64,A"/>',
    ):
        assert offline.offline(without) == f'<img src="data:image/png;base64,A" alt="{offline.ALT}">'


def test_harmless_html_passes_as_it_is():
    for text in (
        '<div><table>\n<tr><td style="text-align:right">&lt; &#8211;</td></tr></table></div>',
        '<div style="overflow-x:auto" tabindex="0">x</div>',
        '<p class="caption">a<br>b</p><pre>x  y</pre><a href="#top">up</a>',
        '<svg viewBox="0 0 1 1"><path d="M0 0"/></svg>',
    ):
        assert offline.offline(text) == text


def test_keys_can_scroll_a_wide_table():
    made = offline.offline('<div style="overflow-x:auto"><table></table></div>')
    assert made == f"{offline.SCROLLING}<table></table></div>"
    assert 'tabindex="0"' in made and "aria-label=" in made
