"""Files of the command's own."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """A file that its owner alone can read, whole or as it was, whenever the power is cut. OSError.

    What is not yet whole begins with a dot: who reads a folder of files, as the store does for users, leaves it alone.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        part = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink()
            raise
