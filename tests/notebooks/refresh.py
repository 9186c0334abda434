"""Execute the notebooks in place, so that their stored outputs are what the code says now (``nox -s refresh``).

Then look at the difference: an output that changed is a change of behaviour.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

KEEP_METADATA = {"tags"}


def smaller(png: str) -> str:
    """Return a chart in a palette of 256 colours, which it has hardly more of: a third of the bytes in the wheel."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(out := io.BytesIO(), "png", optimize=True)
    return base64.b64encode(out.getvalue()).decode() + "\n"


def refresh(path: Path) -> None:
    """Execute one notebook and store it without what changes on every execution."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": path.parent}})
    client.extra_arguments = ["--log-level=40"]
    client.execute()
    for cell in notebook.cells:
        for data in (output.get("data", {}) for output in cell.get("outputs", ())):
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEEP_METADATA}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name))
