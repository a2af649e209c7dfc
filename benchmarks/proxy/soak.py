"""Many streams, much trouble: every finished turn once in the journal, nothing that did not happen, flat memory.

Owns the trouble: clients that go at a random moment, a provider that cuts and restarts, a recorder that is killed
and started again. Does not own what is recorded.
Invariant: what a client saw whole, the journal has once; what the journal calls completed, the provider said.

    python benchmarks/proxy/soak.py [--seconds 3600] [--streams 64] [--seed 1] [--answer 0.4] [--restarts 12]
        [--turns 50]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import uvloop

from armarius.recorder.turns import exchanges_in

__all__ = ["main"]

_START: Final = [sys.executable, "-m", "armarius", "proxy", "serve", "--json"]
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_GROWTH_MB: Final = 16.0


class Soak:
    """One run. `seen` are the responses that clients have whole, `said` those that the provider ended."""

    def __init__(
        self, folder: Path, *, streams: int, seconds: float, seed: int, answer: float, restarts: int, turns: int
    ) -> None:
        self.streams, self.answer, self.restarts, self.turns, self.folder = streams, answer, restarts, turns, folder
        self.until = time.monotonic() + seconds
        self.random = random.Random(seed)  # noqa: S311  # trouble, no secret
        self.seen, self.said = Counter[str](), set[str]()
        self.trouble = Counter[str]()
        self.number = 0
        self.port = self.upstream = 0
        self.token = ""
        self.memory = list[float]()
        self.process: asyncio.subprocess.Process | None = None

    # ---------------------------------------------------------------- the provider

    async def provide(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, RuntimeError):  # the other side went
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                name = json.loads(await reader.readexactly(size))["user"]
                if not await self._answer(writer, name):
                    break
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, name: str) -> bool:
        """Answer, or break off; whether the connection goes on."""
        cut = self.random.random() < 0.15 and self.random.randrange(40)  # noqa: PLR2004
        writer.write(_HEAD)
        text = ""
        for number in range(40):
            if cut and number == cut:
                self.trouble["provider cuts"] += 1
                return False
            text += f"{name}:{number} "
            delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text[-9:]}
            self._event(writer, delta)
            await asyncio.sleep(self.random.random() * self.answer / 40)
        item = {"id": f"msg_{name}", "type": "message", "role": "assistant"}
        item |= {"content": [{"type": "output_text", "text": text}]}  # type: ignore[dict-item]
        last = {"id": f"resp_{name}", "status": "completed", "output": [item], "usage": {"input_tokens": 1}}
        self.said.add(f"resp_{name}")
        self._event(writer, {"type": "response.completed", "response": last})
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _event(self, writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
        data = f"event: {said['type']}\ndata: {json.dumps(said)}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    # ---------------------------------------------------------------- the clients

    async def client(self) -> None:
        while time.monotonic() < self.until:
            self.number += 1
            try:
                await self._ask(f"{self.number:08}")
            except (ConnectionError, asyncio.IncompleteReadError, OSError):
                self.trouble["client is cut"] += 1
                await asyncio.sleep(self.answer / 2)  # it is being started again

    async def _ask(self, name: str) -> None:
        goes = self.random.randrange(4_000) if self.random.random() < 0.2 else None  # noqa: PLR2004
        items = [{"type": "message", "role": "user", "content": f"{name} " * self.random.randrange(1, 400)}]
        body = json.dumps({"model": "m", "user": name, "stream": True, "input": items}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nX-Armarius-Token: {self.token}\r\n"
        head += f"session-id: s{int(name) // self.turns}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            got = 0
            whole = b""
            while not whole.endswith(b"0\r\n\r\n"):
                data = await reader.read(65536)
                if not data:
                    self.trouble["answer is cut"] += 1
                    return
                got += len(data)
                whole = (whole + data)[-65536:]
                if goes is not None and got > goes:
                    self.trouble["client goes"] += 1
                    return
            if b'"type": "response.completed"' in whole:
                self.seen[f"resp_{name}"] += 1
        finally:
            writer.close()

    # ---------------------------------------------------------------- the recorder

    async def start(self) -> None:
        environ = os.environ | {"ARMARIUS_HOME": str(self.folder)}
        team = ["--skills", str(self.folder / "team"), "--inject", "catalogue"]
        team += ["--snapshots", str(self.folder / "snapshots"), "--snapshot-idle", "1"]
        words = [
            *_START,
            *team,
            "--listen",
            f"127.0.0.1:{self.port}",
            "--upstream",
            f"http://127.0.0.1:{self.upstream}/v1",
        ]
        self.process = await asyncio.create_subprocess_exec(
            *words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout
        state = json.loads(await self.process.stdout.readline())
        self.port = int(state["listen"].removesuffix("/v1").rpartition(":")[2])
        self.token = (self.folder / "recorder" / "token").read_text()

    async def restart(self, every: float) -> None:
        """End the recorder now and then: half of the time as a crash would."""
        while time.monotonic() + every < self.until:
            await asyncio.sleep(every)
            assert self.process
            how = self.random.choice([signal.SIGKILL, signal.SIGTERM])
            self.trouble[f"recorder gets {how.name}"] += 1
            self.process.send_signal(how)
            await self.process.wait()
            await self.start()

    async def watch(self, every: float) -> None:
        """The memory of recorders that are warm."""
        while time.monotonic() < self.until:
            await asyncio.sleep(every)
            with contextlib.suppress(OSError, IndexError):  # it is being started again
                assert self.process
                self.memory.append(_memory_mb(self.process.pid))

    async def run(self) -> None:
        skill = self.folder / "team" / "pdf"
        skill.mkdir(parents=True)
        (skill / "SKILL.md").write_text("---\nname: pdf\ndescription: read it\n---\n# It\n")
        server = await asyncio.start_server(self.provide, "127.0.0.1", 0, limit=1 << 20)
        self.upstream = server.sockets[0].getsockname()[1]
        await self.start()
        seconds = self.until - time.monotonic()
        clients = (self.client() for _ in range(self.streams))
        await asyncio.gather(*clients, self.restart(max(1.0, seconds / self.restarts)), self.watch(seconds / 50))
        assert self.process
        self.process.terminate()
        await self.process.wait()
        server.close()

    def complaints(self) -> list[str]:
        """What is wrong with the journal, or with the memory."""
        broken = list[str]()
        done, found = Counter[str | None](), list[str]()
        for one in exchanges_in(self.folder / "recorder" / "journal", broken):
            if one.end == "completed":
                done[one.response] += 1
                text = json.loads(bytes(one.output[0]))["content"][0]["text"]
                asked = json.loads(bytes(one.input[0]))["content"]
                name = str(one.response).removeprefix("resp_")
                if not (text.count(f"{name}:") == 40 and asked.startswith(name)):  # noqa: PLR2004
                    found.append(f"{one.response} has words of another")
        found += [f"broken line {place}" for place in broken]
        found += [f"{name} is there {count} times" for name, count in done.items() if count > 1]
        found += [f"{name} was never said" for name in done if name not in self.said]
        found += [f"{name} was seen and is not there" for name in self.seen if name not in done]
        told = Counter[str]()
        for path in (self.folder / "snapshots" / "sessions").iterdir():
            for turn in json.loads(path.read_bytes())["turns"]:
                told.update(word for word in turn["response_text"].split() if word.endswith(":39"))
        for name in done:
            count = told[f"{str(name).removeprefix('resp_')}:39"]
            found += [f"{name} is in {count} snapshots"] if count != 1 else []
        return self._growth() + found

    def _growth(self) -> list[str]:
        """The later half of the looks at memory against the earlier one; said first, as it is one line."""
        half = len(self.memory) // 2
        if half > 10 and max(self.memory[half:]) > max(self.memory[:half]) + _GROWTH_MB:  # noqa: PLR2004
            return [f"memory grew from {max(self.memory[:half]):.0f} to {max(self.memory[half:]):.0f} MB"]
        return []


def _memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python benchmarks/proxy/soak.py")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answer", type=float, default=0.4, help="seconds that an answer takes at most")
    parser.add_argument("--restarts", type=int, default=12, help="how often the recorder is ended, less one")
    parser.add_argument("--turns", type=int, default=50, help="of a session, several at a time")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name), **vars(options))
        uvloop.run(soak.run())
        found = soak.complaints()
    most = max(soak.memory or [0])
    print(f"{soak.number} requests, {len(soak.said)} ended, {len(soak.seen)} seen whole, at most {most:.0f} MB")
    print(", ".join(f"{what}: {count}" for what, count in sorted(soak.trouble.items())))
    print("memory in MB:", *(f"{one:.0f}" for one in soak.memory))
    print("\n".join(found[:20]) or "every finished turn once, and nothing else")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
