"""`armarius proxy status`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import rfc3339
from armarius.install.profile import serve_command
from armarius.install.proxy_doctor import ProxyStatus, status_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Say whether the recorder of this CODEX_HOME's profile runs, and what it has done."""
    status = status_of(configuration.load())
    if as_json:
        print_json(status)
    else:
        say(_told(status))
    return 0


def _told(status: ProxyStatus) -> str:
    if status.base_url is None:
        return "Not installed; run `armarius proxy install`."
    state = status.state
    if state is None:
        return f"Nothing answers at {status.base_url}; run `{serve_command(status.base_url)}`."
    lines = [
        f"{state.listen} since {rfc3339(state.since_us)}, process {state.pid}, forwarding to {state.upstream}",
        f"{_count(state.requests, 'request')}, {state.active} on the way; {state.refused} refused",
    ]
    if state.journal is None:
        lines.append("recording nothing")
    else:
        lines.append(f"{state.recorded} recorded, {state.journal.bytes:,} bytes below {state.journal.folder}")
    if state.skills is not None:
        lines.append(f"{_count(state.skills.skills, 'skill')} of {state.skills.source} in {state.skills.folder}")
        lines += [f"  left alone: {kept}" for kept in state.skills.kept]
    if state.snapshots is not None:
        written, size = _count(state.snapshots.written, "snapshot"), f"{state.snapshots.bytes:,} bytes"
        lines.append(f"{written}, {size}, in {state.snapshots.place}")
    if state.evolution is not None:
        under_way = f", {state.evolution.job} under way" if state.evolution.job else ""
        lines.append(f"{_count(state.evolution.done, 'order')} done by {state.evolution.service}{under_way}")
    for part in (state.skills, state.snapshots, state.evolution):
        if part is not None and part.trouble:
            lines.append(f"TROUBLE: {part.trouble}")
    if state.unrecorded:
        lines.append(f"{_count(state.unrecorded, 'exchange')} lost. {state.trouble}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
