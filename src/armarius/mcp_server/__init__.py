"""The door for other agents: Armarius as a server of the Model Context Protocol, on standard input and output.

Owns which commands are tools, what each may be asked, and who may ask for what. Does not own what a command
does: a tool calls it as a person would, and hands on its `--json` answer.
Invariant: what changes something is off until the user's own file or a flag allows it by name; no secret
leaves; a caller that goes away ends what it waited for.

    wishes.py   what may be asked: typed inputs -> the words of a command (pure)
    wishes_more.py  the same for proof, memory, kept analyses and workflows
    tools.py    the table of tools, and which of them are open
    nested.py   whether we were started by an agent that Armarius itself runs
    cursors.py  where a watch goes on when it is asked again
    answers.py  an answer as it may leave
    server.py   the protocol; the only module that loads it
"""
