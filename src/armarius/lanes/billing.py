"""Whether a run may start, as far as money is concerned.

Owns reading everything that the decision takes. Does not own the decision (`armarius.codex.billing`)
nor the lanes (lanes.py).
Invariant: nothing is started here but `codex login status`, and that only when a plan or nobody would be
billed and nothing else speaks against it.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from armarius.codex.billing import Billing, Case, Kind, bill, hold
from armarius.codex.dotenv import names_in
from armarius.codex.home import read_login
from armarius.codex.layers import SYSTEM, read_layers
from armarius.codex.login import login_status
from armarius.errors import HostError
from armarius.settings import Settings, pays

__all__ = ["admit", "billing_of"]


def billing_of(
    settings: Settings,
    codex_home: Path,
    *,
    kind: Kind | None = None,
    program: Path | None = None,
    cwd: Path | None = None,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    system: Path = SYSTEM,
) -> Billing:
    """Who would be billed for a run in `codex_home`, and all that speaks against it.

    `kind` is that of the lane (None: the caller's own home), `program` the Codex to ask for its login
    status (None: it is not asked). DataError for a file that cannot be read.
    """
    if codex_home.exists() and not codex_home.is_dir():
        raise HostError("codex-home", f"{codex_home} is not a folder", "set CODEX_HOME to one, or unset it")
    layers = read_layers(codex_home, cwd=cwd, profile=profile, overrides=overrides, system=system)
    owners = (layer for layer in reversed(layers) if layer.origin not in ("project", "override"))
    store = next((layer.said[_STORE] for layer in owners if _STORE in layer.said), "file")
    case = Case(
        home=str(codex_home),
        login=read_login(codex_home, store=str(store)),
        layers=layers,
        kind=kind,
        ambient=settings.api_keys,
        drop_keys=settings.drop_keys,
        dotenv=tuple(filter(pays, names_in(codex_home))),
    )
    billing = bill(case)
    is_asked = billing.kind == "chatgpt" or (billing.plan == "nobody" and billing.base_url is None)
    if program is None or billing.objections or not is_asked or not codex_home.is_dir():
        return billing
    status = login_status(program, codex_home, settings.environ, settings.home / "logins.json")
    return bill(msgspec.structs.replace(case, status=status))


def admit(
    settings: Settings,
    codex_home: Path,
    *,
    kind: Kind | None = None,
    program: Path | None = None,
    cwd: Path | None = None,
    profile: str | None = None,
    overrides: Iterable[str] = (),
) -> Billing:
    """The same, refused when anything speaks against it."""
    billing = billing_of(
        settings, codex_home, kind=kind, program=program, cwd=cwd, profile=profile, overrides=overrides
    )
    hold(billing)
    return billing


_STORE = "cli_auth_credentials_store"
