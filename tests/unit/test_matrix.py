"""Which reports a matrix asks for, all checked before one is made; and annotations."""

from __future__ import annotations

import re

import pytest
from nbformat import v4, write

from edgeprof import matrix, workflow_commands
from edgeprof.errors import StorageError, UsageError

ONE = "notebook: one.ipynb\ndata: data set"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two notebooks and a data set."""
    declared = {"one": 'data: str = ""\nn: int = 1\nq: str = ""', "two": 'q: str = ""\nl: list[int] = []'}
    for name, parameters in declared.items():
        cell = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
        write(v4.new_notebook(cells=[cell], metadata=metadata), tmp_path / f"{name}.ipynb")
    (tmp_path / "data set").mkdir()
    return tmp_path


def load(folder, text: str) -> list[matrix.Planned]:
    file = folder / "m.yaml"
    file.write_text(text, encoding="utf-8")
    return matrix.load_matrix(file)


def test_all_combinations_and_single_sets(folder):
    found = load(folder, f"{ONE}\nparameters: {{n: 3}}\nmatrix: {{q: [no, 1.0], n: [1, 2]}}\ninclude: [{{q: x}}]")
    assert [one.parameters for one in found] == [
        *({"data": str(folder / "data set"), "n": n, "q": q} for q in ("no", "1.0") for n in (1, 2)),
        {"data": str(folder / "data set"), "n": 3, "q": "x"},
    ]
    assert [one.slug.rsplit("-", 1)[0] for one in found] == ["no-1", "no-2", "1-0-1", "1-0-2", "x"]


def test_notebooks_may_differ(folder):
    found = load(folder, "include: [{notebook: one.ipynb}, {notebook: two.ipynb, l: [1, 2], q: no}]")
    assert [(one.notebook.name, one.parameters) for one in found] == [
        ("one.ipynb", {}), ("two.ipynb", {"l": [1, 2], "q": "no"}),
    ]  # fmt: skip
    both = load(folder, "matrix: {notebook: [one.ipynb, two.ipynb], q: [a]}")
    assert [one.notebook.stem for one in both] == ["one", "two"]


def test_names_of_folders_are_safe_apart_and_stay(folder):
    text = ONE + "\nmatrix:\n  q: [../../x, 'a/b', 'a b', 'A B', ..., " + "n" * 300 + "]"
    found = load(folder, text)
    names = [one.slug for one in found]
    assert len(set(names)) == 6
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", name) for name in names)
    fewer = load(folder, ONE + "\nparameters: {n: 5}\ninclude: [{q: a b}, {q: new}]")
    assert fewer[0].slug == names[2] and fewer[1].slug not in names
    # The same words of other parameters are another set.
    apart = load(folder, "include: [{notebook: two.ipynb, q: one}, {notebook: two.ipynb, q: one, l: []}]")
    assert len({one.slug for one in apart}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The whole file of the matrix m.yaml is not of the form"),
        ("[1, 2]", "not of the form `name: value`"),
        ("{: :", "is not YAML"),
        ("q: &a [*a]\nmatrix: {q: *a}", "is not YAML"),
        (ONE, "asks for nothing"),
        (ONE + "\nmatrx: {q: [x]}", r"Did you mean 'matrix'\?"),
        (ONE + "\nmatrix: [q]", "part `matrix` of the matrix m.yaml"),
        (ONE + "\nmatrix: {q: x}", "matrix: q in m.yaml is not a list of values: 'x'"),
        (ONE + "\nmatrix: {q: []}", "is not a list of values"),
        (ONE + "\ninclude: {q: x}", "include: in m.yaml is not a list"),
        (ONE + "\ninclude: [x]", "list `include`"),
        ("matrix: {q: [x]}", "Which notebook"),
        (ONE + "\ninclude: [{q: x}, {q: x}]", "names the set x twice"),
        (ONE + "\ninclude: [{q: x}, {qq: y}]", r"the set y: There is no parameter of one 'qq'. Did you mean 'q'\?"),
        (ONE + "\nmatrix: {n: [1, many]}", "the set many: Parameter 'n' is of type int; 'many' is not"),
        (ONE + "\nmatrix: {output_dir: [x]}", "choose it with --out"),
        ("matrix: {notebook: [quickstrat]}", r"Did you mean '00_quickstart'\?"),
        (
            ONE + f"\nmatrix: {{q: {list(range(40))}, n: {list(range(30))}}}",
            "asks for 1,200 reports; 1,000 is the most",
        ),
    ],
)
def test_what_is_wrong_in_one_set_is_said_before_anything_runs(folder, text, message):
    with pytest.raises(UsageError, match=message):
        load(folder, text)


def test_a_data_set_or_file_that_is_not_there(folder):
    with pytest.raises(StorageError, match="no data set at"):
        load(folder, "notebook: one.ipynb\nmatrix: {data: [data set, none]}")
    with pytest.raises(StorageError, match="cannot be read"):
        matrix.load_matrix(folder / "none.yaml")


def test_an_annotation_cannot_be_broken_out_of():
    line = workflow_commands.annotation(
        "error", "a%\r\n::warning::b\x1b[m", file="x,y:z%.ipynb", title="t\n::", line=""
    )
    assert line == "::error file=x%2Cy%3Az%25.ipynb,title=t%0A%3A%3A::a%25%0A::warning::b\ufffd[m"
    assert workflow_commands.annotation("notice", "n") == "::notice::n"
