"""What was found in plans, for the programs that show it: SARIF, and GitHub's workflow commands.

Owns both forms. Does not own the findings.
Invariant: pure. A path or a message can end neither a line of GitHub's nor a field of it.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from armarius import __version__
from armarius.plans.check import CheckReport
from armarius.plans.rules import RULES

__all__ = ["as_github", "as_sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(report: CheckReport) -> dict[str, Any]:
    """SARIF 2.1.0 (OASIS), one run; paths are relative to the root of the repository."""
    order = {name: index for index, name in enumerate(RULES)}
    rules = [
        {
            "id": rule.id,
            "name": rule.name,
            "shortDescription": {"text": rule.name},
            "fullDescription": {"text": rule.why},
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES.values()
    ]
    results = [
        {
            "ruleId": found.rule,
            "ruleIndex": order[found.rule],
            "level": found.severity,
            "message": {"text": f"{found.message}; {found.fix}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(plan.path), "uriBaseId": "%SRCROOT%"},
                        "region": {"startLine": found.line},
                    }
                }
            ],
        }
        for plan in report.plans
        for found in plan.findings
    ]
    driver = {"name": "armarius", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def as_github(report: CheckReport) -> Iterator[str]:
    """A line for each finding, which GitHub shows beside the file."""
    for plan in report.plans:
        for found in plan.findings:
            where = f"file={_property(plan.path)},line={found.line},title={_property(_title(found.rule))}"
            yield f"::{found.severity} {where}::{_data(f'{found.message}; {found.fix}')}"


def _title(rule: str) -> str:
    return f"{rule} {RULES[rule].name}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
