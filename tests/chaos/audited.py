"""The store as a program that writes down every file operation it asks the interpreter for: `audited.py TRAIL ...`.

A line of TRAIL is JSON: the event, whether it writes, and its paths. Python reports them before they happen
(sys.addaudithook), so it needs neither root nor strace.
"""

import json
import os
import sys

READING = {"os.listdir", "os.scandir", "os.chdir"}
WRITING = {
    *(
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "os.chmod",
        "os.chown",
    ),
    *("shutil.rmtree", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
}
trail = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        assert isinstance(flags, int)
        paths: tuple[object, ...] = (path,)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    elif event in READING or event in WRITING:
        paths, writes = arguments, event in WRITING
    else:
        return
    texts = [os.fsdecode(one) if isinstance(one, bytes | os.PathLike) else one for one in paths]
    os.write(trail, json.dumps([event, writes, [one for one in texts if isinstance(one, str)]]).encode() + b"\n")


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # whether modules are compiled already is not the store's affair
    from metricstore.__main__ import main

    sys.argv[1:] = sys.argv[2:]
    sys.addaudithook(note)
    main()
