"""Executes notebooks: run_notebooks.py OUTPUT FOLDER [NAME...]; see scripts/notebooks."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LIMIT = 120.0


def main() -> int:
    output, folder, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    passed = failed = 0
    for path in sorted(folder.glob("*.ipynb")):
        if wanted and path.stem not in wanted:
            continue
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        place = output / path.stem
        place.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        try:
            NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(place)}}).execute()
            error = None
        except CellExecutionError as e:
            error = str(e)
        took = time.monotonic() - begin
        nbformat.write(book, place / path.name)
        cells = sum(c.cell_type == "code" for c in book.cells)
        if error is None and took > LIMIT:
            error = f"took {took:.0f} s, the limit is {LIMIT:.0f}"
        print(f"{path}: {cells} cells, {took:.1f} s, {'ok' if error is None else error}", flush=True)
        passed, failed = (passed + 1, failed) if error is None else (passed, failed + 1)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
