"""Every job of this project, under one name each: a laptop, CI and a release all run ``nox -s NAME``.

``nox -l`` lists them. Tiers are tags: ``nox -t test`` (2 to 3 minutes), ``nox -t ci`` (what `make test` runs),
``nox -t nightly``. What follows ``--`` goes to pytest.

A check that could not run is never silently green: it is listed at the end with what to install, and where the
variable CI is set it fails. Only a Python of ``MATRIX`` that is not in ``REQUIRED`` may be missing there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))
import ci.lint  # the first: what takes least time to say no
from ci.steps import (
    CONSTRAINTS,
    IN_CI,
    PROJECT,
    PYTHONS,
    REQUIRED,
    ROOT,
    evidence,
    folders,
    install,
    matrix,
    not_run,
    pytest,
    pytest_on_all_cores,
)  # fmt: skip

MAX_WHEEL_BYTES = 15_000_000

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = IN_CI  # PYTHONS names no missing one that is not required
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "unit"]


def notebooks(*, strict: bool) -> list[str]:
    """Return the notebooks that are compared, or (numbered from 90) those that hold widgets and are only executed."""
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [str(path.relative_to(ROOT)) for path in found if path.name.startswith("9") != strict]


# ---- the test tier ----


@nox.session(tags=["test"])
def unit(session: nox.Session) -> None:
    """Run the fast unit tests; with EDGEPROF_COVERAGE=1, note what they cover, as the hosted matrix does."""
    covered = os.environ.get("EDGEPROF_COVERAGE", "") == "1"
    install(session, "test", *(("coverage",) if covered else ()))
    marks = "not slow and not nightly and not parity and not performance and not benchmarks"
    pytest_on_all_cores(session, marks, "tests/unit", covered=covered)


# ---- the rest of the ci tier, the longest last ----


@nox.session(tags=["ci"])
def firmware(session: nox.Session) -> None:
    """Rebuild the prebuilt firmware and compare it byte for byte."""
    install(session, "firmware")
    prebuilt = ROOT / "edgeprof" / "firmware" / "prebuilt"
    listed = json.loads((prebuilt / "manifest.json").read_text(encoding="utf-8"))
    here = session.run("edgeprof", "firmware", "build", "--list", silent=True) or ""
    with tempfile.TemporaryDirectory() as folder:
        for target, entry in listed.items():
            if f"{target}: {entry['compiler']}\n" not in here + "\n":
                not_run(session, f"firmware of {target}", f"It was built with {entry['compiler']}, which is not here.")
                continue
            session.run("edgeprof", "firmware", "build", target, "--out", folder)
            for name in entry["files"]:
                if Path(folder, name).read_bytes() != (prebuilt / name).read_bytes():
                    session.error(f"{name} is not what its sources make: edgeprof firmware build {target} --out …")
            if json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))[target] != entry:
                session.error(f"prebuilt/manifest.json does not describe the images of {target} that lie beside it.")


@nox.session(tags=["ci"])
def wheel(session: nox.Session) -> None:
    """Build the packages, install the wheel into an empty environment, run the demo outside of the clone."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, ".")
        (built,) = Path(folder).glob("*.whl")
        names = zipfile.ZipFile(built).namelist()
        session.log(f"{built.name}: {built.stat().st_size / 1e6:.1f} MB in {len(names)} files")
        if built.stat().st_size > MAX_WHEEL_BYTES:
            session.error(f"The wheel is larger than {MAX_WHEEL_BYTES / 1e6:.0f} MB.")
        if stray := [n for n in names if ".ipynb_checkpoints" in n or "__pycache__" in n or n.startswith("tests/")]:
            session.error(f"The wheel holds what it must not: {stray}")
        session.run(
            "python", "-m", "venv", "--without-pip" if session.venv_backend == "uv" else "--clear", f"{folder}/env"
        )
        python = next(p for p in (Path(folder, "env/bin/python"), Path(folder, "env/Scripts/python.exe")) if p.exists())
        if session.venv_backend == "uv":
            session.run_install("uv", "pip", "install", "--quiet", "--python", str(python), str(built), external=True)
        else:
            session.run_install(str(python), "-m", "pip", "install", "--quiet", str(built), external=True)
        out = Path(folder, "demo-out")
        session.chdir(folder)
        session.run(str(python.with_name("edgeprof")), "demo", "--out", str(out), external=True)
        expect_demo(session, out)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo in the clone; its report stays in demo-out/."""
    install(session)
    session.run("edgeprof", "demo", "--out", "demo-out")
    expect_demo(session, ROOT / "demo-out")


def expect_demo(session: nox.Session, out: Path) -> None:
    """Check that a demo left a report and results."""
    json.loads((out / "results.json").read_text(encoding="utf-8"))
    if "</html>" not in (out / "report.html").read_text(encoding="utf-8"):
        session.error(f"{out / 'report.html'} is not a whole page.")


@nox.session(name="notebooks", python=PYTHONS, tags=["ci"])
def notebooks_session(session: nox.Session) -> None:
    """Execute the notebooks: outputs compared on the pinned stack, only executed on other Pythons."""
    matrix(session)
    pinned = session.python == REQUIRED[0]
    install(session, "test", constraints=pinned)
    same, widgets = notebooks(strict=True), notebooks(strict=False)
    if not same:
        not_run(session, session.name, "There is no notebook in notebooks/.")
        return
    sanitize = ROOT / "tests" / "notebooks" / "sanitize.cfg"
    also = [f"--nbval-sanitize-with={sanitize}"] if sanitize.exists() else []
    common = ("-n", "auto", "--dist", "loadfile", "--nbval-current-env", "-p", "no:cacheprovider")
    if pinned:
        if widgets:
            pytest(session, "--nbval-lax", *common, *widgets, part="-widgets")
        pytest(session, "--nbval", *common, *also, *same)
    else:
        pytest(session, "--nbval-lax", *common, *same, *widgets)


@nox.session(python=PYTHONS[::-1], tags=["ci"])
def tests(session: nox.Session) -> None:
    """Run the tests: all of them on the oldest Python, the fast ones on the others, which note what they cover.

    The oldest has no sys.monitoring: a tracer there slows down what minds the clock.
    """
    matrix(session)
    whole = session.python == PYTHONS[0]
    install(session, "test", "firmware", *(() if whole else ("coverage",)))
    usual = PROJECT["tool"]["pytest"]["ini_options"]["addopts"][-1].removeprefix("-m=")
    marks = usual if whole else f"{usual} and not emulators and not slow"
    tested = folders("integration", "notebooks", "simulation", "contract", "unit")
    pytest_on_all_cores(session, marks, *tested, covered=not whole)


@nox.session(tags=["ci"])
def coverage(session: nox.Session) -> None:
    """Combine what the tests covered on every Python and machine into reports/coverage: JSON, XML and pages."""
    session.install(*nox.project.dependency_groups(PROJECT, "coverage"))
    folder = evidence("coverage")
    found = sorted(str(path) for path in folder.parent.rglob(".coverage.*") if path.is_file())
    if not found:
        not_run(session, "coverage", "No test session noted what it covered: run nox -s tests on a Python from 3.12.")
        return
    session.env["COVERAGE_FILE"] = str(folder / "coverage.sqlite")
    session.run("coverage", "combine", "--keep", "--quiet", *found)
    session.run("coverage", "json", "--quiet", "-o", str(folder / "coverage.json"))
    session.run("coverage", "xml", "--quiet", "-o", str(folder / "coverage.xml"))
    session.run("coverage", "html", "--quiet", "-d", str(folder / "html"))
    session.run("coverage", "report", "--format=total")


@nox.session(tags=["ci"])
def docs(session: nox.Session) -> None:
    """Build the documentation's site into docs/_build/html, execute what its pages show, open it in a browser."""
    install(session, "test", "docs")
    site = ROOT / "docs" / "_build" / "html"
    shutil.rmtree(site, ignore_errors=True)  # a page that is gone is gone
    doctrees = Path(session.create_tmp()).resolve() / "doctrees"
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "-d", str(doctrees), "docs", str(site))
    session.env["EDGEPROF_SITE"] = str(site)
    pytest(session, "-n", "auto", "tests/docs")
    session.log(f"The site: {site / 'index.html'}")


@nox.session(tags=["ci"])
def reference(session: nox.Session) -> None:
    """Capture a part of the reference data anew on every emulated board, and compare each device column."""
    install(session)
    # A legacy type on some boards, a mix of K types on the others; all of them on all are nightly.
    legacy = {"lx106", "rv32imac", "wasm"}
    capture_reference(session, "--quant=Q4_0", which=legacy.__contains__)
    capture_reference(session, "--quant=Q4_K_M", which=lambda name: name not in legacy)


def capture_reference(session: nox.Session, *more: str, which: Callable[[str], bool] = bool) -> None:
    """Capture what can be captured here, and note which boards cannot be started; ``which`` takes a board's name."""
    listed = json.loads(session.run("edgeprof", "boards", "--json", silent=True) or "[]")
    known = listed if isinstance(listed, list) else listed["boards"]
    known = [board for board in known if which(board["name"])]
    usable = [board["name"] for board in known if board["usable"] and board["name"] != "host"]
    for board in known:
        if not board["usable"]:
            not_run(session, f"reference data of {board['name']}", board["why_not"])
    if usable:
        session.run("edgeprof", "reference", "build", "--check", *more, *(f"--board={name}" for name in usable))


# ---- the nightly tier ----


@nox.session(tags=["nightly"])
def nightly(session: nox.Session) -> None:
    """Run the tests that take minutes; with EDGEPROF_RESULTS=FOLDER, record there what ran."""
    install(session, "test", "firmware", "docs")
    session.install("uv")  # a test makes environments with other versions of wasmtime
    tested = folders("integration", "notebooks", "performance", "simulation", "unit", "docs")
    pytest_on_all_cores(session, "nightly", *tested)
    if folder := os.environ.get("EDGEPROF_RESULTS"):
        reports = [str(evidence("junit") / f"nightly{part}.xml") for part in ("", "-alone")]
        out = str(Path(folder) / "nightly.json")
        session.run("python", "tests/record_nightly.py", *reports, "--out", out, env={"PYTHONPATH": "tests"})


@nox.session(name="reference-nightly", tags=["nightly"])
def reference_nightly(session: nox.Session) -> None:
    """Capture all reference data anew, floats on cores without floating point included."""
    install(session)
    capture_reference(session, "--nightly")


@nox.session(tags=["ci"])
def performance(session: nox.Session) -> None:
    """Measure time and memory on this machine; run it alone."""
    install(session, "test")
    pytest(session, "-m", "performance", "tests/performance")


@nox.session(tags=["nightly"])
def mutants(session: nox.Session) -> None:
    """Put each listed mutant into a copy of the package; the tests must notice every one."""
    install(session, "test")
    session.run("python", "tests/mutants/run.py", "--jobs", str(os.cpu_count() or 1), *session.posargs)


@nox.session(tags=["nightly"])
def parity(session: nox.Session) -> None:
    """Compare the reference firmware with llama.cpp, which is compiled here (some minutes, once)."""
    if not shutil.which("g++") and not shutil.which("c++"):
        not_run(session, "parity", "Install a C++ compiler: apt-get install g++.")
        return
    install(session, "test", "parity")
    pytest(session, "-m", "parity", "tests/parity")


@nox.session(python=REQUIRED[0], reuse_venv=False, tags=["nightly"])
def floors(session: nox.Session) -> None:
    """Run the unit tests with the oldest dependencies that pyproject.toml allows."""
    if session.venv_backend != "uv":
        not_run(session, "floors", "pip cannot choose the oldest versions: install uv.")
        return
    session.install("--resolution", "lowest-direct", "-e", ".")
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    # Old libraries on new ones of others, which deprecate what they use.
    pytest(session, "-W", "ignore::DeprecationWarning", *folders("unit", "contract"))


# ---- what is made rather than checked ----


@nox.session(python=REQUIRED[0])
def refresh(session: nox.Session) -> None:
    """Execute the notebooks anew on the pinned stack and store their outputs; then look at what changed."""
    install(session, "test", constraints=True)
    session.run("python", "tests/notebooks/refresh.py", *notebooks(strict=True))


@nox.session
def picture(session: nox.Session) -> None:
    """Take the README's picture: the top of the report of the reference data, as a browser shows it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        not_run(session, "picture", "Install a browser: apt-get install chromium.")
        return
    install(session)
    with tempfile.TemporaryDirectory() as folder:
        session.run("edgeprof", "report", "compare_quantizations", "data/reference", "--out", folder)
        session.run(
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,1130",
            f"--user-data-dir={folder}/profile", f"--screenshot={ROOT / 'docs' / 'images' / 'report.png'}",
            f"file://{folder}/report.html", external=True,
        )  # fmt: skip


@nox.session
def constraints(session: nox.Session) -> None:
    """Write notebooks/constraints.txt anew; then look at what changes in the notebooks' outputs."""
    wanted = [*PROJECT["project"]["dependencies"], *nox.project.dependency_groups(PROJECT, "test")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in.txt").write_text("\n".join(wanted), encoding="utf-8")
        flags = (
            "--universal",
            "--upgrade",
            "--no-header",
            "--no-annotate",
            "--no-emit-index-url",
            "--no-emit-find-links",
        )
        command = ("uv", "pip", "compile", "--quiet", *flags, f"--python-version={REQUIRED[0]}")
        session.install("uv")
        session.run(*command, f"--output-file={folder}/out.txt", f"{folder}/in.txt")
        head = "# The one stack that the notebooks' stored outputs are compared under (strict nbval).\n"
        text = head + "# Made by: nox -s constraints\n" + Path(folder, "out.txt").read_text(encoding="utf-8")
        (ROOT / CONSTRAINTS).write_text(text, encoding="utf-8")


# ---- sessions of other modules, in the order in which they run ----

import ci.container
import ci.deployment
import ci.hardware
import ci.hosted
import ci.locks
import ci.performance
import ci.pipelines
import ci.sbom
import ci.security
import ci.quality  # the last: it judges what all others left
