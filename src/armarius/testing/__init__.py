"""Shipped fakes that implement: only tests and the demo import this part.

Owns a scripted model that the real Codex CLI talks to over HTTP, a clock that stands still, and a
small benchmark. Does not own anything that a user's run depends on.
Invariant: nothing here is random; an answer follows from the request, the seed and the script.

    model_server.py   the sockets: HTTP on loopback, server-sent events, connections that break
    exchange.py       one request, one answer, without sockets: faults, usage, the record
    conversation.py   what a request of Codex says
    model.py          which role the model plays for a conversation
    policy.py         the worker: reads the skill, runs its tools, answers as it asks
    grammar*.py       the English it understands; the table stands in grammar.py
    english.py        sentences, clauses, and which of them are negated
    prose.py          the words a worker fills an answer with
    instance.py       the smallest value a JSON Schema admits
    reflector.py      the second role: failed checks become rules; shares nothing with the worker
    pattern.py        a text that a regular expression matches, for the reflector
    script.py         the literal script of a prompt, `SCRIPT:[…]`
    faults.py         what goes wrong on purpose, and how it is spelt
    reply.py          what the model does next, as values
    events.py         a reply as Codex's events
    clock.py          FakeClock
    benchmarks/       four deficient skills with their tasks
"""
