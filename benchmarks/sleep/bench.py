"""All measurements of sleep, or one of them.

Owns which programs there are. Does not own any measurement.
Invariant: every program also runs alone, with a `--help` of its own; what stands behind `--only NAME` is handed on.

    python benchmarks/sleep/bench.py [--only skillopt|offline|night|gate [OPTIONS OF THAT PROGRAM]]
    python benchmarks/sleep/bench.py --quick
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["main"]

_HERE: Final = Path(__file__).parent
_PROGRAMS: Final[dict[str, tuple[Path, list[str]]]] = {
    "skillopt": (_HERE / "bundled.py", ["--quick"]),
    "offline": (_HERE / "offline.py", ["--quick"]),
    "night": (_HERE / "night.py", ["--rounds", "1"]),
    "gate": (_HERE.parent / "gatebench.py", ["--trials", "200"]),
}
"""Each with what makes it short."""


def main(arguments: list[str] | None = None) -> int:
    """Run them one after the other; 1 when one of them missed a goal."""
    parser = argparse.ArgumentParser("python benchmarks/sleep/bench.py", allow_abbrev=False)
    parser.add_argument("--only", choices=_PROGRAMS, help="this one; what follows are its own options, and --quick")
    parser.add_argument("--quick", action="store_true", help="a few minutes in all, and less to rely on")
    words = sys.argv[1:] if arguments is None else arguments
    end = words.index("--only") + 2 if "--only" in words else len(words)
    options, rest = parser.parse_args(words[:end]), words[end:]
    is_quick = options.quick or "--quick" in rest
    rest = [word for word in rest if word != "--quick"]
    codes = list[int]()
    for name in [options.only] if options.only else _PROGRAMS:
        path, short = _PROGRAMS[name]
        argv = [sys.executable, str(path), *(short if is_quick else []), *rest]
        print(f"== {name}", flush=True)
        codes.append(subprocess.run(argv, check=False).returncode)
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main())
