#!/bin/sh
# Tell Codex what Armarius can do: the skill at ~/.agents/skills/armarius. `armarius uninstall codex` undoes it.
set -eu
if command -v armarius >/dev/null 2>&1; then
    exec armarius install codex "$@"
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
for python in "$here/.venv/bin/python" python3; do
    if "$python" -c 'import armarius' >/dev/null 2>&1; then
        exec "$python" -m armarius install codex "$@"
    fi
done
echo 'install.sh: armarius is not installed; run `pip install armarius` (or `make test` in a checkout) first' >&2
exit 4
