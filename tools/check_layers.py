#!/usr/bin/env python3
"""The layers of src/: a file includes its own folder, lower levels and include/, nothing else.

Rooms of one level do not meet; the command line sees include/ and base alone; a library that is
one room's business is included there and nowhere else. Prints each breach, exits 1 if there is one.
"""

import pathlib
import re
import sys

LEVELS = {
    "base": 0,
    "text": 1,
    "formats": 1,
    "quant": 1,
    "dist": 1,
    "kernels": 2,
    "model": 3,
    "data": 4,
    "eval": 5,
    "train": 6,
    "api": 7,
    "serve": 8,
    "cli": 9,
}

# Rooms that see less than what lies below them.
ONLY = {"cli": {"base", "serve"}, "serve": {"base"}}

# Headers of other people's libraries that stay behind one room's door.
DOORS = {
    r"gumbo\.h": {"text"},
    r"pcre2\.h": {"text"},
    r"utf8proc\.h": {"text"},
    r"\w*intrin\.h": {"kernels", "quant"},
    r"openssl/.*": {"base"},
    r"zlib\.h|zstd\.h": {"data"},
    r"sqlite3\.h|microhttpd\.h": {"serve"},
    r"mpi\.h": {"dist"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def breaches(root):
    src = root / "src"
    for path in sorted(src.rglob("*.[ch]")):
        room = path.relative_to(src).parts[0]
        if room not in LEVELS:
            yield f"{path.relative_to(root)}: no room of the name '{room}' is known"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            fault = match and fault_of(room, match.group(1), match.group(2))
            if fault:
                yield f"{path.relative_to(root)}:{number}: {fault}"


def fault_of(room, bracket, name):
    if bracket == "<":
        for pattern, rooms in DOORS.items():
            if re.fullmatch(pattern, name) and room not in rooms:
                return f"<{name}> belongs to {', '.join(sorted(rooms))} alone"
        return None
    other = name.split("/")[0] if "/" in name else None
    if other not in LEVELS:
        return f'"{name}" names no room; write "room/file.h"'
    if other == room:
        return None
    if LEVELS[other] >= LEVELS[room]:
        return f"{room} (level {LEVELS[room]}) may not see {other} (level {LEVELS[other]})"
    if room in ONLY and other not in ONLY[room]:
        return f"{room} sees include/ and {', '.join(sorted(ONLY[room]))} alone, not {other}"
    return None


def main():
    found = list(breaches(pathlib.Path(__file__).resolve().parent.parent))
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
