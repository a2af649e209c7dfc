"""A repository with a suite, a worker that changed it, and judges that say what a test has them say."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from armarius.audit.validate import validate
from armarius.audit.validation import Order, Validation
from armarius.dispatch.api import Options, open_dispatch
from armarius.sharing.wish import Sharing
from armarius.store.ledger import events_of
from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply, Say, Shell
from support.codex_config import codex_config
from support.terminal import ARMARIUS, Done

__all__ = ["ACCEPTANCE", "CHECK", "Court", "Says", "verdict"]

ACCEPTANCE = "`total.txt` holds the total of `numbers.txt`, and `sh tests/check.sh` succeeds."
CHECK = 'test "$(cat total.txt)" = 41 && echo "the total is right"\n'


class Says(msgspec.Struct, frozen=True):
    """A judge: the commands that it runs, and what it answers; `{n}` is the output of its command n."""

    runs: tuple[str, ...] = ("sh tests/check.sh",)
    answer: str = ""


def verdict(outcome: str, *claims: tuple[str, str], source: str = "codex-gpt-5.5", reason: str = "") -> str:
    """A verdict in the form of the contract."""
    ran = "".join(f"$ {command}\n{output}\n" if output else f"$ {command}\n" for command, output in claims)
    why = reason or f"`{claims[0][0]}` shows it"
    return f"VERDICT: {outcome}\n\nCOMMANDS RUN:\njudge_source: {source}\n{ran}REASONS:\n- {why}\n"


class Court:
    """A machine below `folder`, whose model plays a worker for a script, and the judges, in turn, for the rest."""

    def __init__(self, folder: Path, environ: dict[str, str], codex: Path) -> None:
        self.environ = environ | {"PATH": "/usr/bin:/bin", "ARMARIUS_CODEX": str(codex)}
        self.project = folder / "project"
        self.state = Path(environ["ARMARIUS_HOME"])
        self.judges: list[Says] = []
        self.prompts: list[str] = []
        self._threads: list[str] = []
        self._scripted = ScriptedModel()

    def answer(self, conversation: Conversation) -> Reply:
        if "SCRIPT:" in conversation.task:
            return self._scripted(conversation)
        if conversation.thread_id not in self._threads:
            self._threads.append(conversation.thread_id)
            self.prompts.append(conversation.task)
        says = self.judges[min(self._threads.index(conversation.thread_id), len(self.judges) - 1)]
        place = len(conversation.calls)
        if place < len(says.runs):
            return Reply((Shell(says.runs[place]),))
        return Reply((Say(says.answer),))

    def serve(self, server: ModelServer) -> None:
        (Path(self.environ["CODEX_HOME"]) / "config.toml").write_text(codex_config(server.base_url))

    def build(self) -> None:
        self.project.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write({"numbers.txt": "40\n1\n", "total.txt": "0\n", "tests/check.sh": CHECK, "README": "sums\n"})
        self.commit("begin")

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def git(self, *words: str) -> str:
        who = {f"GIT_{role}_{what}": f"owner@{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *words], cwd=self.project, env=self.environ | who, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def work(self, *steps: dict[str, Any], **options: Any) -> str:
        """Have a worker do these steps; its run."""

        sharing = Sharing(checkout=options.pop("checkout", True))
        with open_dispatch(self.project, self.environ) as dispatch:
            wish = Options(cwd=self.project, sandbox="workspace-write", sharing=sharing)
            done = dispatch.run("SCRIPT:" + json.dumps([*steps, {"say": "I did it. VERDICT: PASS"}]), wish)
        assert done.state == "succeeded", done.problem
        return done.id

    def judge(self, name: str, *says: Says, **order: Any) -> Validation:
        self.judges = list(says)
        whole: dict[str, Any] = {"acceptance": ACCEPTANCE, "repo": self.project, **order}
        wanted = Order(name=name, **whole)
        with open_dispatch(self.project, self.environ) as dispatch:
            return validate(dispatch, wanted)

    def type(self, *words: str, stdin: bytes = b"") -> Done:
        """The same by the command line, as it is typed in the project."""
        done = subprocess.run(
            [*ARMARIUS, *words], cwd=self.project, env=self.environ, input=stdin, capture_output=True, check=False
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def events(self, subject: str) -> Sequence[tuple[str, dict[str, Any]]]:

        with open_dispatch(self.project, self.environ) as dispatch:
            return [(one.kind, json.loads(one.body)) for one in events_of(dispatch.bench.ledger, subject)]
